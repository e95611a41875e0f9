// Runs the exported network with LiteRT on the visitor's CPU.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

import { toBytes } from "./image.js";

/**
 * Loads the runtime and the files of a network.
 * @param {object} metadata The content of network.json.
 * @returns {Promise<Function>} A function from a prepared image, see `prepared`, to the
 *   `probabilities`, the feature maps {width, height, channels, data} of the first layer, `maps`,
 *   and the map of each class, `classMap`, null if the network has none.
 */
export async function loadNetwork({ input_shape: shape, pixels, class_map: hasClassMap }) {
  await loadLiteRt("./litert/wasm/");
  const [network, firstLayer, classMap] = await Promise.all([
    load("model"),
    load("first_layer"),
    hasClassMap && load("class_map"),
  ]);
  return async ({ seen, input }) => ({
    probabilities: await run(network, pixels ? toBytes(seen) : input.data, shape),
    maps: await maps(firstLayer, input.data, shape),
    classMap: classMap && (await maps(classMap, input.data, shape)),
  });
}

function load(name) {
  return loadAndCompile(`./${name}.tflite`, { accelerator: "wasm" });
}

async function maps(model, image, shape) {
  const [, height, width, channels] = model.getOutputDetails()[0].shape;
  return { width, height, channels, data: await run(model, image, shape) };
}

/** Runs a model. The runtime's memory is not garbage-collected, so the tensors are deleted. */
async function run(model, image, shape) {
  const input = new Tensor(image, [1, ...shape]);
  const [output] = await model.run([input]);
  const values = Float32Array.from(await output.data());
  input.delete();
  output.delete();
  return values;
}
