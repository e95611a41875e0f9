// The exported network, in LiteRT on the visitor's processor.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

/**
 * Loads the runtime and the two files of a network.
 * @param {number[]} shape Height, width and channels of its image.
 * @returns {Promise<Function>} From an image, as the network takes it, to its answer: the
 *   probabilities, and the maps {width, height, channels, data} of its first layer.
 */
export async function loadNetwork(shape) {
  await loadLiteRt("./litert/wasm/");
  const [network, firstLayer] = await Promise.all(
    ["./model.tflite", "./first_layer.tflite"].map((path) =>
      loadAndCompile(path, { accelerator: "wasm" }),
    ),
  );
  const [, height, width, channels] = firstLayer.getOutputDetails()[0].shape;
  return async (image) => ({
    probabilities: await run(network, image, shape),
    maps: { height, width, channels, data: await run(firstLayer, image, shape) },
  });
}

/** The runtime's memory is not collected: what is made in it is given back. */
async function run(model, image, shape) {
  const input = new Tensor(image, [1, ...shape]);
  const [output] = await model.run([input]);
  const values = Float32Array.from(await output.data());
  input.delete();
  output.delete();
  return values;
}
