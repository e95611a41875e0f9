// Runs the exported network with LiteRT on the visitor's CPU.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

/**
 * Loads the runtime and the two files of a network.
 * @param {number[]} shape Height, width and channels of its input.
 * @returns {Promise<Function>} A function from a preprocessed image to the probabilities and the
 *   feature maps {width, height, channels, data} of the first layer.
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

/** Runs a model. The runtime's memory is not garbage-collected, so the tensors are deleted. */
async function run(model, image, shape) {
  const input = new Tensor(image, [1, ...shape]);
  const [output] = await model.run([input]);
  const values = Float32Array.from(await output.data());
  input.delete();
  output.delete();
  return values;
}
