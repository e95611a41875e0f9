// Writes on the page: what the network is, what it predicts, and what is inside it.

// With more classes than this, only the best are listed.
const ALL_CLASSES = 10;
const BEST_CLASSES = 5;

// The hottest colour of a class map, and how much of the picture it covers.
const HEAT = [255, 96, 0];
const HEAT_SHARE = 0.75;

export const element = (id) => document.getElementById(id);

export function setStatus(text) {
  element("status").textContent = text;
}

/**
 * Describes the network.
 * @param {object} metadata The content of network.json.
 * @param {Function} onSample Called with the button of a sample picture.
 */
export function describe(metadata, onSample) {
  const { title, drawing, labels, samples } = metadata;
  document.title = `${title}: ${document.title}`;
  document.body.dataset.kind = drawing ? "drawings" : "pictures";
  element("title").textContent = title;
  element("about").textContent = about(metadata);
  element("first-layer").textContent = metadata.first_layer;
  element("class-map-layer").textContent = metadata.class_map;
  if (drawing) {
    element("subject").textContent = drawing.subject;
    element("brush").value = drawing.brush;
    const [strokes, ground] = drawing.dark_on_light ? ["light", "dark"] : ["dark", "light"];
    element("invert-kind").textContent = `${strokes} strokes on ${ground} paper`;
  } else {
    element("given-title").textContent = "Picture";
    element("pad").setAttribute("aria-label", "The picture that was chosen");
    element("pad").before(element("tools"), element("samples-row"));
  }
  const rows = labels.length > ALL_CLASSES ? BEST_CLASSES : labels.length;
  element("classes").replaceChildren(...Array.from({ length: rows }, classRow));
  element("samples-row").hidden = !samples.pictures.length;
  element("samples").replaceChildren(...samples.pictures.map((one) => sampleItem(one, onSample)));
  element("credit").textContent = samples.credit ? `Samples: ${samples.credit}.` : "";
  setStatus(`Loading the network (${Math.ceil(metadata.download / 1e6)} MB, once).`);
}

function about({ title, dataset, paper, bytes }) {
  const size = bytes < 1e6 ? `${Math.round(bytes / 1e3)} KB` : `${(bytes / 1e6).toFixed(1)} MB`;
  const trained = dataset ? ` was trained on ${dataset} and` : "";
  return `${title}${trained} is a file of ${size}. ${paper ? `${paper}.` : ""}`;
}

function classRow() {
  const row = document.createElement("li");
  row.innerHTML = '<span class="label"></span><span class="bar"></span><data value="0"></data>';
  return row;
}

function sampleItem({ file, label }, onSample) {
  const [item, button, picture] = ["li", "button", "img"].map((tag) => document.createElement(tag));
  Object.assign(picture, { src: `./samples/${file}`, alt: "" });
  Object.assign(button, { type: "button", title: label });
  button.dataset.file = picture.src;
  button.setAttribute("aria-label", label ? `Sample: ${label}` : "Sample");
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => onSample(button));
  button.append(picture);
  item.append(button);
  return item;
}

/**
 * Shows a prediction, or that there is none.
 * @param {object|null} prediction `probabilities`, `best`, `seen`, `maps` and `classMap`.
 * @param {object} metadata The content of network.json.
 */
export function show(prediction, { labels, drawing }) {
  const probabilities = prediction?.probabilities ?? new Float32Array(labels.length);
  const rows = [...element("classes").children];
  const ranked = [...labels.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
  // All classes keep their places; the best of many change them.
  const listed = rows.length === labels.length ? [...labels.keys()] : ranked;
  rows.forEach((row, i) => {
    const [label, probability] = [listed[i], probabilities[listed[i]]];
    row.classList.toggle("best", Boolean(prediction) && label === ranked[0]);
    row.style.setProperty("--probability", probability);
    row.querySelector(".label").textContent =
      prediction || rows.length === labels.length ? labels[label] : "";
    const number = row.querySelector("data");
    number.value = probability;
    number.textContent = prediction ? percent(probability) : "";
  });
  const nothing = drawing ? "Nothing drawn yet." : "No picture yet.";
  setStatus(
    prediction ? `${labels[ranked[0]]}, ${percent(probabilities[ranked[0]])}` : nothing,
  );
  for (const id of ["seen", "inside"]) element(id).hidden = !prediction;
  if (prediction) showInside(prediction, labels[prediction.best]);
}

function percent(fraction) {
  return `${(100 * fraction).toFixed(fraction > 0.0995 ? 0 : 1)} %`;
}

function showInside({ seen, maps, classMap }, label) {
  const light = (pixel, c) => seen.data[pixel * seen.channels + (c % seen.channels)];
  paint(sized(element("input"), seen), light);
  // Each map has its own scale, so that weak ones are visible too.
  mapCanvases(maps.channels).forEach((canvas, map) => {
    const values = maps.data.filter((_, i) => i % maps.channels === map);
    const share = fraction(values);
    paint(sized(canvas, maps), (pixel) => 255 * share(values[pixel]));
  });
  showClassMap(seen, classMap, label);
}

/** Lays the map of a class over a grey copy of the input. */
function showClassMap(seen, { width, height, data }, label) {
  const grey = (pixel) => {
    const [first, end] = [pixel * seen.channels, (pixel + 1) * seen.channels];
    return seen.data.subarray(first, end).reduce((a, b) => a + b) / seen.channels;
  };
  const canvas = sized(element("class-map"), seen);
  paint(canvas, grey);
  const most = Math.max(...data, 0) || 1;
  const share = (value) => Math.max(value, 0) / most;
  const heat = new OffscreenCanvas(width, height);
  paint(heat, (pixel, c) => HEAT[c], (pixel) => 255 * HEAT_SHARE * share(data[pixel]));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(heat, 0, 0, seen.width, seen.height);
  canvas.setAttribute("aria-label", `The class map of ${label}, over the input`);
  element("class-map-label").textContent = label;
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

/** Returns a function that maps the smallest of some values to 0 and the largest to 1. */
function fraction(values) {
  const [smallest, largest] = values.reduce(
    ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
    [Infinity, -Infinity],
  );
  return (value) => (value - smallest) / (largest - smallest || 1);
}

/** Fills a canvas from functions of a pixel's index: of its colours, by channel, and its alpha. */
function paint(canvas, value, alpha = () => 255) {
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < pixels.data.length; i++) {
    pixels.data[i] = i % 4 === 3 ? alpha(i >> 2) : value(i >> 2, i % 4);
  }
  context.putImageData(pixels, 0, 0);
}
