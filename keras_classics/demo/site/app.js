// The page: a drawing pad, image files, and the network's prediction for either of them.

import { loadNetwork } from "./network.js";
import { brightness, framed, fromCanvas, inverted, prepared } from "./image.js";

const BLACK = "#000";
const WHITE = "#fff";
// Larger photographs are reduced to this side first; the networks' inputs are far smaller.
const LONGEST_SIDE = 2048;

const element = (id) => document.getElementById(id);
const pad = element("pad");
const ink = pad.getContext("2d", { willReadFrequently: true });

/** What the page shows: the image file (null: the drawing instead), and the prediction. */
export const shown = { image: null, prediction: null };

let metadata;
let network;
let wanted = false;
let busy = false;

start().catch((error) => setStatus(`The network cannot run: ${error.message}`));

async function start() {
  metadata = await (await fetch("./network.json")).json();
  describe();
  clear();
  listen();
  network = await loadNetwork(metadata.input_shape);
  document.body.dataset.ready = "";
  predict();
}

// Description of the network.

function describe() {
  document.title = `${metadata.title}: ${document.title}`;
  element("title").textContent = metadata.title;
  element("subject").textContent = metadata.subject;
  element("first-layer").textContent = metadata.first_layer;
  element("brush").value = metadata.drawing.brush;
  element("classes").replaceChildren(...metadata.labels.map(classRow));
  element("about").textContent = about();
}

function about() {
  const trained = metadata.dataset ? ` was trained on ${metadata.dataset}` : "";
  const size = `${trained ? " and" : ""} is a file of ${Math.round(metadata.bytes / 1024)} KB`;
  return `${metadata.title}${trained}${size}. ${metadata.paper ? `${metadata.paper}.` : ""}`;
}

function classRow(label) {
  const row = document.createElement("li");
  row.innerHTML = '<span class="label"></span><span class="bar"></span><data value="0"></data>';
  row.querySelector(".label").textContent = label;
  return row;
}

// Drawing.

function listen() {
  pad.addEventListener("pointerdown", beginStroke);
  pad.addEventListener("pointermove", drawStroke);
  element("clear").addEventListener("click", clear);
  element("file").addEventListener("change", (event) => {
    take(event.target.files);
    // Without this, choosing the same file again triggers no change event.
    event.target.value = "";
  });
  element("invert").addEventListener("change", showImage);
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
}

function clear() {
  shown.image = null;
  element("invert-row").hidden = true;
  ink.fillStyle = BLACK;
  ink.fillRect(0, 0, pad.width, pad.height);
  predict();
}

function beginStroke(event) {
  if (!event.isPrimary) return;
  if (shown.image) clear();
  pad.setPointerCapture(event.pointerId);
  Object.assign(ink, {
    strokeStyle: WHITE,
    lineCap: "round",
    lineJoin: "round",
    lineWidth: (pad.width * element("brush").value) / 100,
  });
  ink.beginPath();
  ink.moveTo(...position(event));
  drawStroke(event);
}

function drawStroke(event) {
  if (!event.isPrimary || !event.buttons || shown.image) return;
  ink.lineTo(...position(event));
  ink.stroke();
  predict();
}

function position(event) {
  const scale = pad.width / pad.getBoundingClientRect().width;
  return [event.offsetX * scale, event.offsetY * scale];
}

// Image files.

async function take([file]) {
  if (!file) return;
  try {
    shown.image = await read(file);
  } catch {
    return setStatus(`${file.name} is not an image that this browser can read.`);
  }
  // The networks expect light strokes on a dark background. A mostly light image has dark strokes.
  element("invert").checked = brightness(shown.image) > 127;
  element("invert-row").hidden = false;
  showImage();
}

async function read(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  const scale = Math.min(LONGEST_SIDE / Math.max(bitmap.width, bitmap.height), 1);
  const canvas = new OffscreenCanvas(
    Math.max(Math.round(bitmap.width * scale), 1),
    Math.max(Math.round(bitmap.height * scale), 1),
  );
  const context = canvas.getContext("2d");
  // Transparent pixels become white.
  context.fillStyle = WHITE;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return fromCanvas(context.getImageData(0, 0, canvas.width, canvas.height));
}

function showImage() {
  const image = givenImage();
  ink.fillStyle = BLACK;
  ink.fillRect(0, 0, pad.width, pad.height);
  const scale = pad.width / Math.max(image.width, image.height);
  const [width, height] = [image.width * scale, image.height * scale];
  const [left, top] = [(pad.width - width) / 2, (pad.height - height) / 2];
  const canvas = new OffscreenCanvas(image.width, image.height);
  paint(canvas, (pixel, c) => image.data[3 * pixel + c]);
  ink.imageSmoothingEnabled = scale < 1;
  ink.drawImage(canvas, left, top, width, height);
  predict();
}

function givenImage() {
  return element("invert").checked ? inverted(shown.image) : shown.image;
}

// Prediction.

/** Returns the input of the network; null if nothing was drawn. */
function networkInput() {
  const drawing = () => fromCanvas(ink.getImageData(0, 0, pad.width, pad.height));
  const image = shown.image ? givenImage() : framed(drawing(), metadata.drawing);
  return image && prepared(image, metadata.preprocessing);
}

/** Runs one prediction at a time; when it ends, the newest drawing comes next. */
async function predict() {
  wanted = true;
  if (!network || busy) return;
  busy = true;
  while (wanted) {
    wanted = false;
    const input = networkInput();
    shown.prediction = input && { input, ...(await network(input.data)) };
    show(shown.prediction);
  }
  busy = false;
}

function show(prediction) {
  const probabilities = prediction?.probabilities ?? new Float32Array(metadata.labels.length);
  const best = probabilities.indexOf(Math.max(...probabilities));
  [...element("classes").children].forEach((row, i) => {
    row.classList.toggle("best", Boolean(prediction) && i === best);
    row.style.setProperty("--probability", probabilities[i]);
    const number = row.querySelector("data");
    number.value = probabilities[i];
    number.textContent = prediction ? percent(probabilities[i]) : "";
  });
  setStatus(prediction ? `${metadata.labels[best]}, ${percent(probabilities[best])}` : "Nothing drawn yet.");
  showMaps(prediction);
}

function percent(fraction) {
  return `${(100 * fraction).toFixed(fraction > 0.0995 ? 0 : 1)} %`;
}

function setStatus(text) {
  element("status").textContent = text;
}

function showMaps(prediction) {
  element("inside").hidden = !prediction;
  if (!prediction) return;
  const { input, maps } = prediction;
  const toGrey = ranged(input.data);
  paint(sized(element("input"), input), (pixel, c) =>
    toGrey(input.data[pixel * input.channels + (c % input.channels)]),
  );
  // Each map has its own scale, so that weak ones are visible too.
  mapCanvases(maps.channels).forEach((canvas, map) => {
    const values = maps.data.filter((_, i) => i % maps.channels === map);
    const mapToGrey = ranged(values);
    paint(sized(canvas, maps), (pixel) => mapToGrey(values[pixel]));
  });
}

function mapCanvases(count) {
  const holder = element("maps");
  while (holder.children.length < count) {
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Map ${holder.children.length + 1} of ${count}`);
    holder.append(canvas);
  }
  return [...holder.children];
}

function sized(canvas, { width, height }) {
  return Object.assign(canvas, { width, height });
}

/** Returns a function that maps the smallest of some values to 0 and the largest to 255. */
function ranged(values) {
  const [smallest, largest] = values.reduce(
    ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
    [Infinity, -Infinity],
  );
  return (value) => (255 * (value - smallest)) / (largest - smallest || 1);
}

/** Fills a canvas from a function of the pixel's index and channel. */
function paint(canvas, value) {
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < pixels.data.length; i++) {
    pixels.data[i] = i % 4 === 3 ? 255 : value(i >> 2, i % 4);
  }
  context.putImageData(pixels, 0, 0);
}
