// Runs the exported network with LiteRT on the visitor's CPU.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

import { toBytes } from "./image.js";

/**
 * Loads the runtime and the files of a network.
 * @param {object} metadata The content of network.json.
 * @returns {Promise<Function>} A function from a prepared image, see `prepared`, to the
 *   `probabilities`, their largest, `best`, the feature maps {width, height, channels, data} of the
 *   first layer, `maps`, and the map of that class, `classMap`.
 */
export async function loadNetwork({ input_shape: shape, pixels }) {
  await loadLiteRt("./litert/wasm/");
  const [network, firstLayer, classMap] = await Promise.all([
    load("model"),
    load("first_layer"),
    load("class_map"),
  ]);
  return async ({ seen, input }) => {
    const picture = [input.data, [1, ...shape]];
    const given = pixels ? [toBytes(seen), [1, ...shape]] : picture;
    const probabilities = await run(network, given);
    const best = probabilities.indexOf(Math.max(...probabilities));
    return {
      probabilities,
      best,
      maps: await maps(firstLayer, picture),
      classMap: await maps(classMap, picture, [Int32Array.of(best), [1]]),
    };
  };
}

function load(name) {
  return loadAndCompile(`./${name}.tflite`, { accelerator: "wasm" });
}

async function maps(model, ...inputs) {
  const [, height, width, channels] = model.getOutputDetails()[0].shape;
  return { width, height, channels, data: await run(model, ...inputs) };
}

/** Runs a model. The runtime's memory is not garbage-collected, so the tensors are deleted. */
async function run(model, ...inputs) {
  const tensors = inputs.map(([values, shape]) => new Tensor(values, shape));
  const [output] = await model.run(tensors);
  const values = Float32Array.from(await output.data());
  for (const tensor of [...tensors, output]) tensor.delete();
  return values;
}
