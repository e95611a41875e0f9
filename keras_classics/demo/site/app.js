// The page: a pad to draw on, pictures from elsewhere, and the network's answer to them.

import { loadNetwork } from "./network.js";
import { brightness, framed, fromCanvas, inverted, prepared } from "./picture.js";

const BLACK = "#000";
const WHITE = "#fff";
// As much of a large photograph as the small image of a network has any use for.
const LONGEST_SIDE = 2048;

const element = (id) => document.getElementById(id);
const pad = element("pad");
const ink = pad.getContext("2d", { willReadFrequently: true });

/** What is on the page: the picture that was given (null: the drawing is it), and the answer. */
export const shown = { picture: null, answer: null };

let metadata;
let network;
let wanted = false;
let busy = false;

start().catch((error) => say(`This page cannot answer: ${error.message}`));

async function start() {
  metadata = await (await fetch("./network.json")).json();
  describe();
  clear();
  listen();
  network = await loadNetwork(metadata.input_shape);
  document.body.dataset.ready = "";
  answer();
}

// What the page says of the network.

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
    // Or choosing the same file again would be no change.
    event.target.value = "";
  });
  element("invert").addEventListener("change", showPicture);
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
}

function clear() {
  shown.picture = null;
  element("invert-row").hidden = true;
  ink.fillStyle = BLACK;
  ink.fillRect(0, 0, pad.width, pad.height);
  answer();
}

function beginStroke(event) {
  if (!event.isPrimary) return;
  if (shown.picture) clear();
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
  if (!event.isPrimary || !event.buttons || shown.picture) return;
  ink.lineTo(...position(event));
  ink.stroke();
  answer();
}

function position(event) {
  const scale = pad.width / pad.getBoundingClientRect().width;
  return [event.offsetX * scale, event.offsetY * scale];
}

// Pictures.

async function take([file]) {
  if (!file) return;
  try {
    shown.picture = await read(file);
  } catch {
    return say(`${file.name} is not a picture that this browser reads.`);
  }
  // Networks here see light on dark; a picture that is light as a whole is dark ink on paper.
  element("invert").checked = brightness(shown.picture) > 127;
  element("invert-row").hidden = false;
  showPicture();
}

async function read(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  const scale = Math.min(LONGEST_SIDE / Math.max(bitmap.width, bitmap.height), 1);
  const canvas = new OffscreenCanvas(
    Math.max(Math.round(bitmap.width * scale), 1),
    Math.max(Math.round(bitmap.height * scale), 1),
  );
  const context = canvas.getContext("2d");
  // What is transparent is paper.
  context.fillStyle = WHITE;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return fromCanvas(context.getImageData(0, 0, canvas.width, canvas.height));
}

function showPicture() {
  const picture = given();
  ink.fillStyle = BLACK;
  ink.fillRect(0, 0, pad.width, pad.height);
  const scale = pad.width / Math.max(picture.width, picture.height);
  const [width, height] = [picture.width * scale, picture.height * scale];
  const [left, top] = [(pad.width - width) / 2, (pad.height - height) / 2];
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  paint(canvas, (pixel, c) => picture.data[3 * pixel + c]);
  ink.imageSmoothingEnabled = scale < 1;
  ink.drawImage(canvas, left, top, width, height);
  answer();
}

function given() {
  return element("invert").checked ? inverted(shown.picture) : shown.picture;
}

// Answering.

/** What the network is given; null where there is nothing to be seen. */
function image() {
  const drawing = () => fromCanvas(ink.getImageData(0, 0, pad.width, pad.height));
  const picture = shown.picture ? given() : framed(drawing(), metadata.drawing);
  return picture && prepared(picture, metadata.preprocessing);
}

/** One answer at a time; of what is drawn meanwhile, the newest is answered next. */
async function answer() {
  wanted = true;
  if (!network || busy) return;
  busy = true;
  while (wanted) {
    wanted = false;
    const input = image();
    shown.answer = input && { input, ...(await network(input.data)) };
    show(shown.answer);
  }
  busy = false;
}

function show(answered) {
  const probabilities = answered?.probabilities ?? new Float32Array(metadata.labels.length);
  const best = probabilities.indexOf(Math.max(...probabilities));
  [...element("classes").children].forEach((row, i) => {
    row.classList.toggle("best", Boolean(answered) && i === best);
    row.style.setProperty("--share", probabilities[i]);
    const number = row.querySelector("data");
    number.value = probabilities[i];
    number.textContent = answered ? percent(probabilities[i]) : "";
  });
  say(answered ? `${metadata.labels[best]}, ${percent(probabilities[best])}` : "Nothing drawn yet.");
  showMaps(answered);
}

function percent(share) {
  return `${(100 * share).toFixed(share > 0.0995 ? 0 : 1)} %`;
}

function say(words) {
  element("verdict").textContent = words;
}

function showMaps(answered) {
  element("inside").hidden = !answered;
  if (!answered) return;
  const { input, maps } = answered;
  const seen = ranged(input.data);
  paint(sized(element("input"), input), (pixel, c) =>
    seen(input.data[pixel * input.channels + (c % input.channels)]),
  );
  // Each map on a scale of its own: the weak ones have their forms too.
  mapCanvases(maps.channels).forEach((canvas, map) => {
    const values = maps.data.filter((_, i) => i % maps.channels === map);
    const bright = ranged(values);
    paint(sized(canvas, maps), (pixel) => bright(values[pixel]));
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

/** A function that maps the least of some values to 0 and the greatest to 255. */
function ranged(values) {
  const [least, greatest] = values.reduce(
    ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
    [Infinity, -Infinity],
  );
  return (value) => (255 * (value - least)) / (greatest - least || 1);
}

/** Fills a canvas from a function of the pixel's number and its channel. */
function paint(canvas, value) {
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < pixels.data.length; i++) {
    pixels.data[i] = i % 4 === 3 ? 255 : value(i >> 2, i % 4);
  }
  context.putImageData(pixels, 0, 0);
}
