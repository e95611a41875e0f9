// Preprocesses an image with the same arithmetic as the Python that trained the network: the same
// pixels give the same numbers. Nothing here touches the page.
//
// An image is {width, height, channels, data}, rows from top to bottom, values 0..255. A fourth
// channel is ignored.

const single = Math.fround;

const GREY = [0.2989, 0.587, 0.114].map(single);

// The preprocessing layers of keras_classics: each brings an image to one size, then its values to
// another range.
const LAYERS = {
  CanvasPreprocessing: { resize: ontoCanvas, normalize: toRange },
  ImagePreprocessing: { resize: centreCropped, normalize: standardized },
};

/**
 * Prepares an image for a network.
 * @param {object} image Three or four channels.
 * @param {object} settings Name and arguments of the preprocessing layer.
 * @returns {object} Two images of one size: `seen`, values 0..255, and `input`, the network's.
 */
export function prepared(image, settings) {
  const { resize, normalize } = LAYERS[settings.layer];
  const seen = resize(image, settings);
  return { seen, input: { ...seen, data: normalize(seen.data, settings) } };
}

/**
 * Crops a drawing to its strokes and centres it in a square, as the images of the data set are.
 * @param {object} image A drawing, light on black.
 * @param {object} frame Side of the square, and its margin in pixels.
 * @returns {object|null} A square image; null if nothing was drawn.
 */
export function framed(image, { side, margin }) {
  const ink = inkBox(image);
  if (!ink) return null;
  const drawing = cropped(image, ink);
  return centred(resized(drawing, 3, sidesInBox(drawing, side - 2 * margin)), side);
}

/** Returns the negative of an image: dark becomes light. */
export function inverted(image) {
  const isAlpha = (i) => image.channels === 4 && i % 4 === 3;
  return { ...image, data: image.data.map((value, i) => (isAlpha(i) ? value : 255 - value)) };
}

/** Returns the values of an image as bytes, for networks that take these. */
export function toBytes({ data }) {
  return Uint8Array.from(data, roundHalfToEven);
}

/** Returns whether the edge of an image is light, as paper around dark strokes is. */
export function hasLightEdge({ width, height, channels, data }) {
  let [sum, count] = [0, 0];
  for (let y = 0; y < height; y++) {
    const step = y === 0 || y === height - 1 ? 1 : Math.max(width - 1, 1);
    for (let x = 0; x < width; x += step) {
      for (let c = 0; c < 3; c++) sum += data[(y * width + x) * channels + c];
      count += 3;
    }
  }
  return sum / count > 127;
}

// CanvasPreprocessing.

function ontoCanvas(image, { size, border, channels }) {
  return centred(resized(image, channels, sidesInBox(image, size - 2 * border)), size);
}

function toRange(data, { background, foreground }) {
  const scale = single((foreground - background) / 255);
  return data.map((value) => single(value * scale) + single(background));
}

/** Returns the sides of an image whose longer side is resized to that of a box. */
function sidesInBox({ width, height }, box) {
  const scale = single(box / Math.max(width, height));
  const [newWidth, newHeight] = [width, height].map((side) =>
    Math.max(roundHalfToEven(single(side * scale)), 1),
  );
  return { width: newWidth, height: newHeight };
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

// ImagePreprocessing.

function centreCropped(image, { resize, crop, interpolation }) {
  const shortSide = Math.min(image.width, image.height);
  const [width, height] = [image.width, image.height].map((side) =>
    Math.floor((resize * side) / shortSide),
  );
  const left = roundHalfToEven((width - crop) / 2);
  const top = roundHalfToEven((height - crop) / 2);
  const window = { left, top, width: crop, height: crop };
  return resized(image, 3, { width, height }, window, KERNELS[interpolation]);
}

function standardized(data, { mean, std, bgr }) {
  const means = Float32Array.from(mean.flat(2));
  const stds = Float32Array.from(std);
  return data.map((_, i) => {
    const value = bgr ? data[i - (i % 3) + 2 - (i % 3)] : data[i];
    return single(value - means[i % means.length]) / stds[i % 3];
  });
}

// Resizing.

// Weights by distance, and the distance at which they end. The cubic is that of Keys, a = -0.5.
// The cubic overshoots at edges: `cut` brings values back to 0..255 in each direction.
const BILINEAR = { radius: 1, weight: (distance) => Math.max(1 - distance, 0), cut: (same) => same };
const BICUBIC = {
  radius: 2,
  cut: (image) => ({ ...image, data: image.data.map((x) => Math.min(Math.max(x, 0), 255)) }),
  weight: (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : ((2.5 - 0.5 * x) * x - 4) * x + 2),
};
const KERNELS = { bilinear: BILINEAR, bicubic: BICUBIC };

/**
 * Resizes with antialiasing where the image shrinks.
 * @param {object} image Three or four channels.
 * @param {number} channels Channels of the result: 3, or 1 for grey.
 * @param {object} sides Width and height after resizing.
 * @param {object} window The part of the resized image to return: left, top, width and height.
 * @param {object} kernel One of the kernels.
 */
function resized(
  image,
  channels,
  sides,
  window = { left: 0, top: 0, ...sides },
  kernel = BILINEAR,
) {
  const columns = spans(image.width, sides.width, window.left, window.width, kernel);
  const rows = spans(image.height, sides.height, window.top, window.height, kernel);
  return kernel.cut(scaledRows(kernel.cut(scaledColumns(image, channels, columns)), rows));
}

function scaledColumns(image, channels, columns) {
  const [width, height] = [columns.length, image.height];
  const data = new Float32Array(width * height * channels);
  let to = 0;
  for (let y = 0; y < height; y++) {
    const row = channels === 1 ? greyRow(image, y) : colourRow(image, y);
    for (const { first, weights } of columns) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let i = 0, from = first * channels + c; i < weights.length; i++, from += channels) {
          sum += weights[i] * row[from];
        }
        data[to++] = sum;
      }
    }
  }
  return { width, height, channels, data };
}

function scaledRows({ width, channels, data }, rows) {
  const length = width * channels;
  const result = new Float32Array(length * rows.length);
  rows.forEach(({ first, weights }, y) => {
    for (let x = 0; x < length; x++) {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * data[(first + i) * length + x];
      result[y * length + x] = sum;
    }
  });
  return { width, height: rows.length, channels, data: result };
}

function colourRow({ width, channels, data }, y) {
  const row = new Float32Array(3 * width);
  for (let x = 0, from = y * width * channels; x < width; x++, from += channels) {
    for (let c = 0; c < 3; c++) row[3 * x + c] = data[from + c];
  }
  return row;
}

/** Converts a row to grey as TensorFlow does with uint8 images, in single precision. */
function greyRow({ width, channels, data }, y) {
  const row = new Float32Array(width);
  const share = (value, c) => single(single(value * single(1 / 255)) * GREY[c]);
  for (let x = 0, from = y * width * channels; x < width; x++, from += channels) {
    const [red, green, blue] = [data[from], data[from + 1], data[from + 2]];
    const sum = single(single(share(red, 0) + share(green, 1)) + share(blue, 2));
    row[x] = Math.floor(single(sum * 255.5));
  }
  return row;
}

/**
 * Returns, for some of the new positions, the first old position that contributes, and the weights.
 * @param {number} from Old length.
 * @param {number} to New length.
 * @param {number} start First new position.
 * @param {number} count Number of new positions.
 * @param {object} kernel The weights by distance.
 */
function spans(from, to, start, count, { radius: reach, weight }) {
  const step = from / to;
  const scale = Math.max(step, 1);
  const radius = reach * scale;
  return Array.from({ length: count }, (_, i) => {
    const centre = (start + i + 0.5) * step;
    const first = Math.max(Math.ceil(centre - radius - 0.5), 0);
    const last = Math.min(Math.floor(centre + radius - 0.5), from - 1);
    const weights = Array.from({ length: last - first + 1 }, (_, j) =>
      weight(Math.abs(first + j + 0.5 - centre) / scale),
    );
    const sum = weights.reduce((a, b) => a + b);
    return { first, weights: weights.map((value) => value / sum) };
  });
}

// Parts of a drawing.

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
function inkBox({ width, height, channels, data }) {
  const box = { left: Infinity, top: Infinity, right: -1, bottom: -1 };
  for (let pixel = 0; pixel < width * height; pixel++) {
    const start = pixel * channels;
    if (!data[start] && !data[start + 1] && !data[start + 2]) continue;
    const [x, y] = [pixel % width, Math.floor(pixel / width)];
    box.left = Math.min(box.left, x);
    box.right = Math.max(box.right, x);
    box.top = Math.min(box.top, y);
    box.bottom = Math.max(box.bottom, y);
  }
  return box.right < 0 ? null : box;
}

function roundHalfToEven(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 ? below + 1 : below;
}
