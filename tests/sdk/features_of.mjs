/**
 * Features of recordings by the browser SDK, for comparisons: `node features_of.mjs jobs.json > results.jsonl`.
 *
 * jobs.json: a list of {file, rate_hz, profile}; file holds little-endian float64 samples.
 */

import { readFileSync } from "node:fs";

import { egemaps } from "../../sdk/features.js";
import { voiceProfile } from "../../sdk/insight.js";

for (const { file, rate_hz, profile } of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  const bytes = readFileSync(file);
  const samples = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  let result;
  try {
    const features = egemaps(samples, rate_hz, { profile });
    result = { ...features, values: Array.from(features.values), insight: voiceProfile(features) };
  } catch (error) {
    result = { code: error.publicCode ?? String(error) };
  }
  console.log(JSON.stringify(result));
}
