/** The golden vectors, read by Node's own test runner: `node --test tests/sdk/`. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { analyse } from "../../sdk/egemaps/extract.js";
import { FEATURE_NAMES } from "../../sdk/names.js";
import { filterTaps, prototype, resample } from "../../sdk/resample.js";
import { makeSignal, noiseValues } from "./signals.js";

const read = (name) => JSON.parse(readFileSync(new URL(`../../vectors/${name}`, import.meta.url), "utf8"));
const isRoots = (i) => i >= 38 && i < 58;

for (const file of ["compat", "corrected", "rates"]) {
  for (const { signal, rate_hz = 16000, profile, ...expected } of read(`features/${file}.json`).cases) {
    test(`features of ${signal.name}, ${profile}`, () => {
      const found = analyse(makeSignal(signal), rate_hz, { profile });
      assert.equal(found.frames, expected.frames);
      assert.equal(found.voicedFrames, expected.voiced_frames);
      assert.equal(found.version, expected.version);
      assert.deepEqual(Object.keys(expected.features), [...FEATURE_NAMES]);
      Object.values(expected.features).forEach((value, i) => {
        const allowed = 1e-9 + (isRoots(i) ? 1e-4 : 1e-6) * Math.abs(value);
        assert.ok(Math.abs(found.values[i] - value) <= allowed, `${FEATURE_NAMES[i]}: ${found.values[i]}, not ${value}`);
      });
    });
  }
}

for (const { signal, rate_hz, profile, code } of read("features/refused.json").cases) {
  test(`refused: ${signal.name}`, () => {
    const samples = makeSignal(signal);
    if (signal.last) samples[samples.length - 1] = { nan: NaN, inf: Infinity }[signal.last];
    assert.throws(() => analyse(samples, rate_hz, { profile }), (error) => error.publicCode === code);
  });
}

test("samples of another type are refused", () => {
  for (const samples of [[0, 0], new Int16Array(16000), null, "text", undefined]) {
    assert.throws(() => analyse(samples, 16000), (error) => error.publicCode === "usage");
  }
});

test("the resampler's table is the one of the vectors, entry for entry", () => {
  const table = prototype();
  assert.equal(table.length, read("resampler/prototype.json").prototype.length);
  read("resampler/prototype.json").prototype.forEach((steps, i) => assert.equal(table[i], steps, `entry ${i}`));
});

test("taps and outputs of the resampler are those of the vectors", () => {
  const { input, cases } = read("resampler/cases.json");
  const samples = noiseValues(input.count, input.seed).map((e) => input.gain * e);
  for (const { rate_hz, taps_of_output_1, output } of cases) {
    const pairs = [[filterTaps(1, rate_hz), taps_of_output_1], [resample(samples, rate_hz), output]];
    for (const [found, expected] of pairs) {
      assert.equal(found.length, expected.length);
      expected.forEach((value, i) => assert.ok(Math.abs(found[i] - value) <= 1e-12, `${rate_hz} Hz, ${i}`));
    }
  }
});

test("two runs give the same bits, and the samples stay as they were", () => {
  const samples = makeSignal({ samples: 16000, periods: [100, 101], voiced: [[0, 16000]], noise: 0.01, seed: 5 });
  const before = samples.slice();
  assert.deepEqual(analyse(samples, 22050), analyse(samples, 22050));
  assert.deepEqual(samples, before);
});

test("float32 samples are the same as their float64 form", () => {
  const samples = Float32Array.from(noiseValues(8000, 3));
  assert.deepEqual(analyse(samples, 16000).values, analyse(Float64Array.from(samples), 16000).values);
});

test("progress rises to its end", () => {
  const shares = [];
  analyse(new Float64Array(32000), 16000, { onProgress: (share) => shares.push(share) });
  assert.ok(shares.length > 1 && shares.every((share, i) => share > 0 && share <= 1 && share > (shares[i - 1] ?? 0)));
});
