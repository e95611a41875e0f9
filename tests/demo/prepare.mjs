// Reads {picture, settings}, a JSON object, and writes what the page's JavaScript makes of it.

import { readFileSync } from "node:fs";

import { prepared } from "../../keras_classics/demo/site/picture.js";

const { picture, settings } = JSON.parse(readFileSync(0, "utf8"));
picture.data = Float32Array.from(picture.data);
console.log(JSON.stringify([...prepared(picture, settings).data]));
