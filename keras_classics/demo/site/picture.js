// From a picture to what the network takes, in the arithmetic of the Python that trained it:
// the same pixels give the same numbers. Nothing in here touches the page.
//
// A picture is {width, height, channels, data}, rows from top to bottom, values 0..255.

const GREY = [0.2989, 0.587, 0.1140];

/** The colours of a canvas's pixels (ImageData), whose fourth channel says nothing here. */
export function fromCanvas({ width, height, data }) {
  const colours = new Float32Array(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) colours[3 * i + c] = data[4 * i + c];
  }
  return { width, height, channels: 3, data: colours };
}

/** Dark becomes light. */
export function inverted(picture) {
  return { ...picture, data: picture.data.map((value) => 255 - value) };
}

/** Mean of all values, 0..255. */
export function brightness({ data }) {
  return data.reduce((sum, value) => sum + value, 0) / data.length;
}

/** One channel for three, in whole numbers as TensorFlow makes them of bytes. */
export function grey({ width, height, data }) {
  const values = new Float32Array(width * height);
  for (let i = 0; i < values.length; i++) {
    const share = GREY.reduce((sum, weight, c) => sum + (weight * data[3 * i + c]) / 255, 0);
    values[i] = Math.floor(share * 255.5);
  }
  return { width, height, channels: 1, data: values };
}

/** Scales bilinearly; where it shrinks, each pixel looks at all that it merges. */
export function resized(picture, width, height) {
  return scaledRows(scaledColumns(picture, width), height);
}

/**
 * Centres a picture on a canvas of background and maps 0..255 to background..foreground.
 * @param {object} picture Three channels.
 * @param {object} settings Those of the layer CanvasPreprocessing.
 * @returns {object} A picture of size x size.
 */
export function prepared(picture, { size, border, channels, background, foreground }) {
  const fitted = fit(channels === 1 ? grey(picture) : picture, size - 2 * border);
  const { data, ...canvas } = centred(fitted, size);
  const scale = (foreground - background) / 255;
  return { ...canvas, data: data.map((value) => value * scale + background) };
}

/**
 * Frames what was drawn as the pictures of a data set are framed.
 * @param {object} picture A drawing, light on black.
 * @param {object} frame Side of the square, and its margin in pixels.
 * @returns {object|null} A square picture; null where nothing was drawn.
 */
export function framed(picture, { side, margin }) {
  const ink = inkBox(picture);
  return ink && centred(fit(cropped(picture, ink), side - 2 * margin), side);
}

/** Scales until the longer side is that of the box. */
function fit(picture, box) {
  const scale = Math.fround(box / Math.max(picture.width, picture.height));
  const [width, height] = [picture.width, picture.height].map((side) =>
    Math.max(roundHalfToEven(Math.fround(side * scale)), 1),
  );
  return resized(picture, width, height);
}

/** Puts a picture in the middle of a black square; of an odd rest, the larger half comes after. */
function centred({ width, height, channels, data }, side) {
  const [left, top] = [(side - width) >> 1, (side - height) >> 1];
  const square = new Float32Array(side * side * channels);
  for (let y = 0; y < height; y++) {
    const row = data.subarray(y * width * channels, (y + 1) * width * channels);
    square.set(row, ((y + top) * side + left) * channels);
  }
  return { width: side, height: side, channels, data: square };
}

function cropped({ width, channels, data }, { left, top, right, bottom }) {
  const crop = { width: right - left + 1, height: bottom - top + 1, channels };
  crop.data = new Float32Array(crop.width * crop.height * channels);
  for (let y = 0; y < crop.height; y++) {
    const start = ((y + top) * width + left) * channels;
    crop.data.set(data.subarray(start, start + crop.width * channels), y * crop.width * channels);
  }
  return crop;
}

/** The smallest box around all that is not black, its ends included; null where all is. */
function inkBox({ width, channels, data }) {
  const box = { left: Infinity, top: Infinity, right: -1, bottom: -1 };
  data.forEach((value, i) => {
    if (value === 0) return;
    const pixel = Math.floor(i / channels);
    const [x, y] = [pixel % width, Math.floor(pixel / width)];
    box.left = Math.min(box.left, x);
    box.right = Math.max(box.right, x);
    box.top = Math.min(box.top, y);
    box.bottom = Math.max(box.bottom, y);
  });
  return box.right < 0 ? null : box;
}

function scaledColumns({ width: from, height, channels, data }, width) {
  const result = { width, height, channels, data: new Float32Array(width * height * channels) };
  spans(from, width).forEach(({ first, weights }, x) => {
    for (let y = 0; y < height; y++) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        weights.forEach((weight, i) => {
          sum += weight * data[(y * from + first + i) * channels + c];
        });
        result.data[(y * width + x) * channels + c] = sum;
      }
    }
  });
  return result;
}

function scaledRows({ width, height: from, channels, data }, height) {
  const row = width * channels;
  const result = { width, height, channels, data: new Float32Array(row * height) };
  spans(from, height).forEach(({ first, weights }, y) => {
    weights.forEach((weight, i) => {
      for (let x = 0; x < row; x++) result.data[y * row + x] += weight * data[(first + i) * row + x];
    });
  });
  return result;
}

/** For each new position, the first old one that it looks at, and the weights from there on. */
function spans(from, to) {
  const step = from / to;
  const radius = Math.max(step, 1);
  return Array.from({ length: to }, (_, position) => {
    const centre = (position + 0.5) * step;
    const first = Math.max(Math.ceil(centre - radius - 0.5), 0);
    const last = Math.min(Math.floor(centre + radius - 0.5), from - 1);
    const triangle = Array.from({ length: last - first + 1 }, (_, i) =>
      Math.max(1 - Math.abs(first + i + 0.5 - centre) / radius, 0),
    );
    const sum = triangle.reduce((a, b) => a + b);
    return { first, weights: triangle.map((weight) => weight / sum) };
  });
}

function roundHalfToEven(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 ? below + 1 : below;
}
