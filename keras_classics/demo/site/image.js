// Preprocesses an image with the same arithmetic as the Python that trained the network: the same
// pixels give the same numbers. Nothing here touches the page.
//
// An image is {width, height, channels, data}, rows from top to bottom, values 0..255.

const GREY = [0.2989, 0.587, 0.1140];

/** Returns the RGB image in a canvas's pixels (ImageData), without their alpha channel. */
export function fromCanvas({ width, height, data }) {
  const colours = new Float32Array(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) colours[3 * i + c] = data[4 * i + c];
  }
  return { width, height, channels: 3, data: colours };
}

/** Returns the negative of an image: dark becomes light. */
export function inverted(image) {
  return { ...image, data: image.data.map((value) => 255 - value) };
}

/** Returns the mean of all values, 0..255. */
export function brightness({ data }) {
  return data.reduce((sum, value) => sum + value, 0) / data.length;
}

/** Converts RGB to grey, rounded to integers as TensorFlow rounds uint8 images. */
export function grey({ width, height, data }) {
  const values = new Float32Array(width * height);
  for (let i = 0; i < values.length; i++) {
    const share = GREY.reduce((sum, weight, c) => sum + (weight * data[3 * i + c]) / 255, 0);
    values[i] = Math.floor(share * 255.5);
  }
  return { width, height, channels: 1, data: values };
}

/** Resizes bilinearly, with antialiasing where the image shrinks. */
export function resized(image, width, height) {
  return scaledRows(scaledColumns(image, width), height);
}

/**
 * Centres an image on a canvas of background and maps 0..255 to background..foreground.
 * @param {object} image Three channels.
 * @param {object} settings The arguments of the layer CanvasPreprocessing.
 * @returns {object} An image of size x size.
 */
export function prepared(image, { size, border, channels, background, foreground }) {
  const resizedImage = resizedToBox(channels === 1 ? grey(image) : image, size - 2 * border);
  const { data, ...canvas } = centred(resizedImage, size);
  const scale = (foreground - background) / 255;
  return { ...canvas, data: data.map((value) => value * scale + background) };
}

/**
 * Crops a drawing to its strokes and centres it in a square, as the images of the data set are.
 * @param {object} image A drawing, light on black.
 * @param {object} frame Side of the square, and its margin in pixels.
 * @returns {object|null} A square image; null if nothing was drawn.
 */
export function framed(image, { side, margin }) {
  const ink = inkBox(image);
  return ink && centred(resizedToBox(cropped(image, ink), side - 2 * margin), side);
}

/** Resizes an image until its longer side equals the box's side. */
function resizedToBox(image, box) {
  const scale = Math.fround(box / Math.max(image.width, image.height));
  const [width, height] = [image.width, image.height].map((side) =>
    Math.max(roundHalfToEven(Math.fround(side * scale)), 1),
  );
  return resized(image, width, height);
}

/** Centres an image in a black square; if the margin is odd, the extra pixel comes last. */
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

/** Returns the smallest box around all pixels that are not black, or null if all are black. */
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

/** Returns, for each new position, the first old position that contributes, and the weights. */
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
