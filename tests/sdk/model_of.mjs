/** node model_of.mjs MODEL ROWS: the outputs for rows (JSON), the time of one, then 1 or 0 for each flipped bit of the file. */

import { readFileSync } from "node:fs";

import { readModel, run } from "../../sdk/model.js";

const [modelPath, rowsPath] = process.argv.slice(2);
const bytes = new Uint8Array(readFileSync(modelPath));
const { rows, flips } = JSON.parse(readFileSync(rowsPath, "utf8"));
const model = readModel(bytes.slice().buffer);
const outputs = rows.map((row) => Array.from(run(model, row)));
const batch = () => {
  const start = performance.now();
  for (let i = 0; i < 100 && rows.length > 0; i += 1) run(model, rows[i % rows.length]);
  return (performance.now() - start) / 100;
};
const milliseconds = Math.min(...Array.from({ length: 20 }, batch)); // the least: others may be at work beside
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
