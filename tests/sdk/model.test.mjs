/** The reader of model files: golden vectors, hostile files, one model on the wrong features. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { SottovoceError } from "../../sdk/errors.js";
import { readModel } from "../../sdk/model.js";

const { models, refused } = JSON.parse(readFileSync(new URL("../../vectors/models/models.json", import.meta.url), "utf8"));
const bytesOf = (entry) => new Uint8Array(Buffer.from(entry.file, "base64"));

test("golden model files give the values that Python gives", async () => {
  assert.equal(models.length, 9);
  for (const entry of models) {
    const model = await readModel(bytesOf(entry), { sha256: entry.sha256, profile: "compat", version: "egemaps-88/1" });
    assert.equal(model.precision, entry.precision, entry.name);
    entry.rows.forEach((row, i) => {
      const outputs = model.run(row);
      assert.equal(outputs.length, entry.outputs[i].length);
      outputs.forEach((value, k) => assert.ok(Math.abs(value - entry.outputs[i][k]) < 1e-12, entry.name));
    });
  }
});

test("broken model files are refused with their code", async () => {
  for (const entry of refused) {
    await assert.rejects(readModel(bytesOf(entry)), (error) => error.publicCode === "model_malformed", entry.name);
  }
});

test("no flipped bit and no cut ends in anything but our own refusal", async () => {
  const good = bytesOf(models.find((entry) => entry.name === "one_layer_int8"));
  for (let bit = 0; bit < 8 * good.length; bit += 1) {
    const broken = good.slice();
    broken[bit >> 3] ^= 1 << (bit & 7);
    await onlyOurs(broken);
  }
  for (let end = 0; end < good.length; end += 1) await onlyOurs(good.slice(0, end));
});

async function onlyOurs(bytes) {
  try {
    const model = await readModel(bytes);
    model.run(new Float64Array(model.mean.length));
  } catch (error) {
    assert.ok(error instanceof SottovoceError, String(error));
  }
}

test("a model is not run on other features, and no other file in its place", async () => {
  const [entry] = models;
  const code = (wanted) => (error) => error.publicCode === wanted;
  await assert.rejects(readModel(bytesOf(entry), { profile: "corrected" }), code("model_profile"));
  await assert.rejects(readModel(bytesOf(entry), { version: "egemaps-88/2" }), code("model_profile"));
  await assert.rejects(readModel(bytesOf(entry), { sha256: "0".repeat(64) }), code("model_hash"));
  const model = await readModel(bytesOf(entry));
  assert.throws(() => model.run([1, 2]), code("model_input"));
  assert.throws(() => model.run(new Float64Array(88).fill(NaN)), code("model_input"));
  assert.throws(() => model.run(new Float64Array(88).fill(1e300)), code("model_overflow"));
});
