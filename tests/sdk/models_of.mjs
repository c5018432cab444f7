/**
 * What the browser SDK makes of model files: `node models_of.mjs jobs.json`, one line of JSON for each job.
 *
 * jobs.json: a list of {file (base64), rows}; the answer holds the outputs, or the code of the refusal.
 */

import { readFileSync } from "node:fs";

import { readModel, run } from "../../sdk/model.js";

for (const { file, rows } of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  try {
    const model = readModel(Uint8Array.from(Buffer.from(file, "base64")).buffer);
    console.log(JSON.stringify({ outputs: rows.map((row) => run(model, row)) }));
  } catch (error) {
    console.log(JSON.stringify({ code: error.publicCode ?? String(error) }));
  }
}
