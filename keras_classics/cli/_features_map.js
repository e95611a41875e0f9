"use strict";
const { classes, points } = JSON.parse(document.getElementById("points").textContent);
const canvas = document.querySelector("#map canvas");
const context = canvas.getContext("2d");
const shown = document.getElementById("shown");
const images = points.map((point) => {
  if (!point.image) return null;
  const image = new Image();
  image.onload = draw;
  return { image, address: point.image };
});
// Ten colours that differ in lightness too; more classes take hues around the circle.
const TEN = ["#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f",
             "#edc948", "#b07aa1", "#ff9da7", "#9c755f", "#8a8f98"];
const colour = (number) =>
  classes.length <= TEN.length ? TEN[number] : `hsl(${(number * 137.508) % 360} 65% 50%)`;
// At most so many visible images are drawn as pictures, of so many pixels.
const PICTURES = 120, SIDE = 40, MARGIN = 24;
const hidden = new Set();
let scale = 1, left = 0, top_ = 0, width = 0, height = 0, waiting = false;

const largest = (axis) => Math.max(1e-9, ...points.map((point) => point[axis]));
const [right, upper] = [largest("x"), largest("y")];

// Where a point is on the canvas.
function place(point) {
  const unit = Math.min((width - 2 * MARGIN) / right, (height - 2 * MARGIN) / upper);
  return [
    width / 2 + ((point.x - right / 2) * unit + left) * scale,
    height / 2 + ((upper / 2 - point.y) * unit + top_) * scale,
  ];
}

function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; drawNow(); });
}

function visible() {
  return points
    .map((point, number) => ({ point, number, at: place(point) }))
    .filter(({ point, at: [x, y] }) =>
      !hidden.has(point.class) && x > -SIDE && y > -SIDE && x < width + SIDE && y < height + SIDE);
}

function drawNow() {
  const ratio = window.devicePixelRatio || 1;
  [width, height] = [canvas.clientWidth, canvas.clientHeight];
  [canvas.width, canvas.height] = [width * ratio, height * ratio];
  context.scale(ratio, ratio);
  context.imageSmoothingEnabled = false;
  const inView = visible();
  const asPictures = inView.length <= PICTURES;
  for (const { point, number, at: [x, y] } of inView) {
    context.fillStyle = context.strokeStyle = colour(point.class);
    if (asPictures && images[number]) {
      const { image, address } = images[number];
      if (!image.src) image.src = address;
      const unit = SIDE / Math.max(image.width, image.height, 1);
      const [w, h] = [image.width * unit, image.height * unit];
      if (image.complete) context.drawImage(image, x - w / 2, y - h / 2, w, h);
      context.lineWidth = 2;
      context.strokeRect(x - w / 2, y - h / 2, w, h);
    } else if (point.part === "test") {
      context.fillRect(x - 3.5, y - 3.5, 7, 7);
    } else {
      context.beginPath();
      context.arc(x, y, 3.5, 0, 7);
      context.fill();
    }
    if (point.marked) {
      context.strokeStyle = getComputedStyle(document.body).color;
      context.lineWidth = 2;
      context.beginPath();
      context.arc(x, y, asPictures ? SIDE * 0.75 : 8, 0, 7);
      context.stroke();
    }
  }
  document.body.dataset.pictures = asPictures;
  document.body.dataset.ready = "";
}

function zoom(factor, x = width / 2, y = height / 2) {
  const next = Math.min(Math.max(scale * factor, 0.5), 5000);
  // What is under the pointer stays there.
  left += (x - width / 2) * (1 / next - 1 / scale);
  top_ += (y - height / 2) * (1 / next - 1 / scale);
  scale = next;
  show(null);
  draw();
}

function show(found) {
  shown.hidden = !found;
  if (!found) return;
  const { point, at: [x, y] } = found;
  shown.replaceChildren();
  if (point.image) shown.append(Object.assign(new Image(), { src: point.image, alt: "" }));
  const label = document.createElement("b");
  label.textContent = [classes[point.class], point.part && `(${point.part})`].filter(Boolean).join(" ");
  const name = document.createElement("div");
  name.textContent = point.name;
  shown.append(label, name);
  shown.style.left = `${Math.min(x + 14, width - shown.offsetWidth - 2)}px`;
  shown.style.top = `${Math.max(0, Math.min(y + 14, height - shown.offsetHeight - 2))}px`;
}

function nearest(x, y) {
  let best = null, least = 16 ** 2;
  for (const found of visible()) {
    const distance = (found.at[0] - x) ** 2 + (found.at[1] - y) ** 2;
    if (distance < least) [best, least] = [found, distance];
  }
  return best;
}

let dragged = null;
canvas.addEventListener("pointerdown", (event) => {
  dragged = [event.clientX, event.clientY];
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointerup", () => { dragged = null; });
canvas.addEventListener("pointerleave", () => show(null));
canvas.addEventListener("pointermove", (event) => {
  if (dragged) {
    left += (event.clientX - dragged[0]) / scale;
    top_ += (event.clientY - dragged[1]) / scale;
    dragged = [event.clientX, event.clientY];
    show(null);
    draw();
    return;
  }
  show(nearest(event.offsetX, event.offsetY));
});
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
}, { passive: false });
document.getElementById("closer").onclick = () => zoom(1.6);
document.getElementById("farther").onclick = () => zoom(1 / 1.6);
document.getElementById("all").onclick = () => {
  [scale, left, top_] = [1, 0, 0];
  show(null);
  draw();
};

if (classes.length > 1) {
  for (const [number, name] of classes.entries()) {
    const button = document.createElement("button");
    button.textContent = name || "(no class)";
    button.style.borderLeftColor = colour(number);
    button.setAttribute("aria-pressed", "true");
    button.onclick = () => {
      if (hidden.has(number)) hidden.delete(number); else hidden.add(number);
      button.setAttribute("aria-pressed", String(!hidden.has(number)));
      draw();
    };
    document.getElementById("classes").append(button);
  }
}
new ResizeObserver(draw).observe(canvas);
draw();
