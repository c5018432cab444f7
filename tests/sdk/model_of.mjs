/** node model_of.mjs MODEL ROWS: the outputs for rows (JSON), then 1 or 0 for each flipped bit of the file. */

import { readFileSync } from "node:fs";

import { readModel, run } from "../../sdk/model.js";

const [modelPath, rowsPath] = process.argv.slice(2);
const bytes = new Uint8Array(readFileSync(modelPath));
const { rows, flips } = JSON.parse(readFileSync(rowsPath, "utf8"));
const model = readModel(bytes.slice().buffer);
const outputs = rows.map((row) => Array.from(run(model, row)));
const start = performance.now();
for (let i = 0; i < 2000 && rows.length > 0; i += 1) run(model, rows[i % rows.length]);
const milliseconds = (performance.now() - start) / 2000;
const taken = flips.map((bit) => {
  const broken = bytes.slice();
  broken[bit >> 3] ^= 1 << (bit & 7);
  try {
    readModel(broken.buffer);
    return 1;
  } catch {
    return 0;
  }
});
console.log(JSON.stringify({ outputs, taken, milliseconds }));
