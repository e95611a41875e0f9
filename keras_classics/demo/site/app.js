// The page: from a drawing or a picture to the network's prediction.
//
// A network of drawings gets a pad, and may be shown the negative of a picture. Any other network
// gets pictures as they are. network.json says which it is, from the data it was trained on.

import { decode, TooLarge } from "./decode.js";
import { framed, hasLightEdge, inverted, prepared } from "./image.js";
import { loadNetwork } from "./network.js";
import { listenToPad } from "./pad.js";
import { describe, element, setStatus, show } from "./view.js";

const BLACK = "#000";
const WHITE = "#fff";

const pad = element("pad");
const ink = pad.getContext("2d", { willReadFrequently: true });

/** What the page shows: the picture (null: the drawing instead), and the prediction. */
export const shown = { image: null, prediction: null };

let metadata;
let network;
let wanted = false;
let busy = false;
// Number of the newest picture: while it is decoded, another may be chosen.
let newest = 0;

start().catch((error) => setStatus(`The network cannot run: ${error.message}`));

async function start() {
  metadata = await (await fetch("./network.json")).json();
  describe(metadata, takeSample);
  clear();
  listen();
  network = await loadNetwork(metadata);
  document.body.dataset.ready = "";
  predict();
}

function listen() {
  if (metadata.drawing) {
    const colour = metadata.drawing.dark_on_light ? BLACK : WHITE;
    listenToPad(pad, ink, colour, () => shown.image && clear(), predict);
  }
  element("clear").addEventListener("click", clear);
  element("file").addEventListener("change", (event) => {
    take(event.target.files[0]);
    // Without this, choosing the same file again triggers no change event.
    event.target.value = "";
  });
  element("invert").addEventListener("change", showImage);
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
}

function clear() {
  newest++;
  shown.image = null;
  document.body.classList.remove("has-picture");
  element("invert-row").hidden = true;
  element("turned").hidden = true;
  markSample(null);
  sizePad(560, 560);
  predict();
}

// Pictures.

async function takeSample(button) {
  const answer = await fetch(button.dataset.file);
  await take(await answer.blob(), button);
}

async function take(file, sample = null) {
  if (!file) return;
  const number = ++newest;
  setStatus("Reading the picture.");
  let decoded;
  try {
    decoded = await decode(file, metadata);
  } catch (error) {
    const unreadable = "is not an image that this browser can read";
    const why = error instanceof TooLarge ? error.message : unreadable;
    return setStatus(`${file.name} ${why}.`);
  }
  if (number !== newest) return;
  shown.image = decoded.image;
  element("turned").hidden = !decoded.turned;
  element("invert").checked =
    Boolean(metadata.drawing) && hasLightEdge(decoded.image) !== metadata.drawing.dark_on_light;
  element("invert-row").hidden = !metadata.drawing;
  document.body.classList.add("has-picture");
  markSample(sample);
  showImage();
}

function markSample(chosen) {
  for (const button of element("samples").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", button === chosen);
  }
}

async function showImage() {
  predict();
  const { width, height, data } = givenImage();
  const bitmap = await createImageBitmap(new ImageData(data, width, height));
  // A network of drawings keeps the pad's square; a picture keeps its own shape.
  const scale = 560 / Math.max(width, height);
  const sides = [width, height].map((side) => Math.max(Math.round(side * scale), 1));
  if (metadata.drawing) sizePad(560, 560);
  else sizePad(...sides);
  ink.imageSmoothingEnabled = !metadata.drawing || scale < 1;
  ink.imageSmoothingQuality = "high";
  ink.drawImage(bitmap, (pad.width - sides[0]) / 2, (pad.height - sides[1]) / 2, ...sides);
  bitmap.close();
}

/** Gives the pad a size, and fills it with its ground. */
function sizePad(width, height) {
  Object.assign(pad, { width, height });
  ink.fillStyle = metadata.drawing?.dark_on_light ? WHITE : BLACK;
  ink.fillRect(0, 0, width, height);
}

function givenImage() {
  return element("invert").checked ? inverted(shown.image) : shown.image;
}

// Prediction.

/** Returns what the network gets, see `prepared`; null if there is nothing. */
function networkInput() {
  const image = shown.image ? givenImage() : drawing();
  return image && prepared(image, metadata.preprocessing);
}

function drawing() {
  if (!metadata.drawing) return null;
  const { width, height, data } = ink.getImageData(0, 0, pad.width, pad.height);
  const image = { width, height, channels: 4, data };
  if (!metadata.drawing.dark_on_light) return framed(image, metadata.drawing);
  const negative = framed(inverted(image), metadata.drawing);
  return negative && inverted(negative);
}

/** Runs one prediction at a time; when it ends, the newest drawing comes next. */
async function predict() {
  wanted = true;
  if (!network || busy) return;
  busy = true;
  while (wanted) {
    wanted = false;
    const images = networkInput();
    shown.prediction = images && { ...images, ...(await network(images)) };
    show(shown.prediction, metadata);
  }
  busy = false;
}
