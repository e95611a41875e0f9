// Decodes image files to the bytes that TensorFlow's decoders give the network in training.

// A canvas would blend transparent pixels and convert colours; TensorFlow does neither.
const AS_STORED = { colorSpaceConversion: "none", premultiplyAlpha: "none" };

// Side of the tiles that are read at once: every WebGL 2 allows it.
const TILE = 2048;

// Before the EXIF data of a JPEG, a PNG and a WebP file; after it they begin as a TIFF file does.
const EXIF = /(?:Exif\0\0|eXIf|EXIF[^]{4})(?=II\*\0|MM\0\*)/;

// Number of the orientation among the tags of EXIF.
const ORIENTATION = 0x0112;

let gl;

/** An image has more pixels than the network's export decodes. */
export class TooLarge extends Error {}

/**
 * Decodes an image file.
 * @param {Blob} file The file.
 * @param {object} settings
 * @param {boolean} settings.upright Whether to turn the image as its EXIF orientation says.
 * @param {number} settings.max_pixels Most pixels that it may have.
 * @returns {Promise<object>} `image`, {width, height, channels: 4, data}, RGB and an opaque alpha
 *   channel; and `turned`, whether its orientation says to turn it, and it was not.
 */
export async function decode(file, { upright, max_pixels }) {
  const stored = upright ? { file, turned: false } : await asStored(file);
  const bitmap = await createImageBitmap(stored.file, AS_STORED);
  const { width, height } = bitmap;
  if (width * height > max_pixels) {
    const [pixels, most] = [width * height, max_pixels].map((count) => count.toLocaleString("en"));
    throw new TooLarge(`has ${pixels} pixels, more than ${most}`);
  }
  const data = (await viaWebGL(bitmap)) ?? viaCanvas(bitmap);
  for (let i = 3; i < data.length; i += 4) data[i] = 255;
  bitmap.close();
  return { image: { width, height, channels: 4, data }, turned: stored.turned };
}

/** Returns a file without the start of its EXIF data, by which a browser would turn the image. */
async function asStored(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const found = EXIF.exec(new TextDecoder("latin1").decode(bytes));
  if (!found) return { file, turned: false };
  const exif = bytes.subarray(found.index + found[0].length);
  const turned = orientation(exif) > 1;
  exif.fill(0, 0, 4);
  return { file: new Blob([bytes], { type: file.type }), turned };
}

/** Returns the orientation that EXIF data state, 1 to 8; 1, which is upright, if they state none. */
function orientation(exif) {
  const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength);
  const little = exif[0] === 0x49;
  const number = (at) => (at + 2 > view.byteLength ? 0 : view.getUint16(at, little));
  const directory = view.byteLength < 8 ? 8 : view.getUint32(4, little);
  for (let entry = 0; entry < number(directory); entry++) {
    const at = directory + 2 + 12 * entry;
    if (number(at) === ORIENTATION) return number(at + 8);
  }
  return 1;
}

/** Returns an image's pixels, transparent ones with their colours; undefined without WebGL 2. */
async function viaWebGL(bitmap) {
  gl ??= new OffscreenCanvas(1, 1).getContext("webgl2");
  if (!gl || gl.isContextLost()) return undefined;
  const { width, height } = bitmap;
  const data = new Uint8ClampedArray(width * height * 4);
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.pixelStorei(gl.PACK_ROW_LENGTH, width);
  for (let top = 0; top < height; top += TILE) {
    for (let left = 0; left < width; left += TILE) {
      const sides = [Math.min(TILE, width - left), Math.min(TILE, height - top)];
      const tile = await createImageBitmap(bitmap, left, top, ...sides, AS_STORED);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, tile);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
      gl.readPixels(0, 0, ...sides, gl.RGBA, gl.UNSIGNED_BYTE, data, 4 * (top * width + left));
      tile.close();
    }
  }
  const failed = gl.getError() !== gl.NO_ERROR;
  gl.deleteFramebuffer(gl.getParameter(gl.FRAMEBUFFER_BINDING));
  gl.deleteTexture(texture);
  return failed ? undefined : data;
}

/** Returns an image's pixels; those of opaque images are the same. */
function viaCanvas(bitmap) {
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
}
