// Draws on the pad with a mouse, a pen or a finger.

/**
 * Draws strokes, each at once.
 * @param {HTMLCanvasElement} pad The canvas.
 * @param {CanvasRenderingContext2D} ink Its context.
 * @param {string} colour Colour of the strokes.
 * @param {Function} onBegin Called before a stroke.
 * @param {Function} onStroke Called after each part of a stroke.
 */
export function listenToPad(pad, ink, colour, onBegin, onStroke) {
  let drawing = false;

  pad.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary) return;
    onBegin();
    drawing = true;
    pad.setPointerCapture(event.pointerId);
    Object.assign(ink, {
      strokeStyle: colour,
      lineCap: "round",
      lineJoin: "round",
      lineWidth: (pad.width * document.getElementById("brush").value) / 100,
    });
    ink.beginPath();
    ink.moveTo(...position(event));
    draw(event);
  });
  pad.addEventListener("pointermove", (event) => {
    if (event.isPrimary && event.buttons && drawing) draw(event);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    pad.addEventListener(end, () => {
      drawing = false;
    });
  }

  function draw(event) {
    ink.lineTo(...position(event));
    ink.stroke();
    onStroke();
  }

  function position(event) {
    const scale = pad.width / pad.getBoundingClientRect().width;
    return [event.offsetX * scale, event.offsetY * scale];
  }
}
