// Reads a JSON list of {image, settings}, and writes the images preprocessed by the page's code.

import { readFileSync } from "node:fs";

import { hasLightEdge, prepared } from "../../keras_classics/demo/site/image.js";

const results = JSON.parse(readFileSync(0, "utf8")).map(({ image, settings }) => {
  image.data = Uint8Array.from(image.data);
  return { light: hasLightEdge(image), input: [...prepared(image, settings).input.data] };
});
console.log(JSON.stringify(results));
