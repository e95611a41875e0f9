// Reads the JSON object {image, settings} and writes the image preprocessed by the page's code.

import { readFileSync } from "node:fs";

import { prepared } from "../../keras_classics/demo/site/image.js";

const { image, settings } = JSON.parse(readFileSync(0, "utf8"));
image.data = Float32Array.from(image.data);
console.log(JSON.stringify([...prepared(image, settings).data]));
