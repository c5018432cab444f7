/** Model files: the golden vectors of vectors/models, and files with one byte changed. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { hashOf, readModel, run, runModel } from "../../sdk/model.js";

const { models, refused } = JSON.parse(readFileSync(new URL("../../vectors/models/models.json", import.meta.url), "utf8"));
const bytesOf = (base64) => Uint8Array.from(Buffer.from(base64, "base64")).buffer;
const isMalformed = (error) => error.code === "usage" && error.reason === "model_malformed";

for (const { name, file, sha256, rows, outputs } of models) {
  test(`outputs of ${name} are those of the vectors`, async () => {
    const model = readModel(bytesOf(file));
    assert.equal(await hashOf(bytesOf(file)), sha256);
    rows.forEach((row, r) => {
      const found = run(model, row);
      assert.equal(found.length, outputs[r].length);
      outputs[r].forEach((value, i) => assert.ok(Math.abs(found[i] - value) <= 1e-5, `row ${r}: ${found[i]}`));
    });
  });
}

for (const { name, file } of refused) {
  test(`a model file is refused: ${name}`, () => assert.throws(() => readModel(bytesOf(file)), isMalformed));
}

test("a damaged file is refused or still one whole model, and nothing else happens", () => {
  const good = new Uint8Array(bytesOf(models.find(({ name }) => name === "one_layer_int8").file));
  let read = 0;
  for (let at = 0; at < good.length; at++) {
    for (const value of [0, 1, 127, 128, 255]) {
      const damaged = good.slice();
      damaged[at] = value;
      try {
        const model = readModel(damaged.buffer);
        assert.ok([model.mean, model.gain].every((part) => part.length === 3));
        read += 1;
      } catch (error) {
        assert.ok(isMalformed(error), `byte ${at}: ${error}`);
      }
    }
  }
  assert.ok(read > 0);
  for (let length = 0; length < good.length - 4; length++) {
    assert.throws(() => readModel(good.slice(0, length).buffer), isMalformed);
  }
});

test("a model runs on features of its own profile only, and on finite numbers only", () => {
  const model = readModel(bytesOf(models[0].file));
  const features = { values: models[0].rows[0], profile: "compat", version: "egemaps-88/1" };
  assert.equal(runModel(model, features).length, 1);
  const reason = (change) => {
    try {
      runModel(model, { ...features, ...change });
    } catch (error) {
      return error.reason;
    }
    return "none";
  };
  assert.equal(reason({ profile: "corrected" }), "model_profile");
  assert.equal(reason({ version: "egemaps-88/2" }), "model_profile");
  assert.equal(reason({ values: [1, 2] }), "model_input");
  assert.equal(reason({ values: features.values.map(() => NaN) }), "model_input");
  assert.equal(reason({ values: features.values.map(() => 1e308) }), "model_overflow");
});
