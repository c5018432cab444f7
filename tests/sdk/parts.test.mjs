/** Single blocks against second, slower definitions; the file reader; what the audio thread does. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { spectralSlopes } from "../../sdk/egemaps/balance.js";
import { RealFft } from "../../sdk/egemaps/fft.js";
import { harmonicLevels, harmonicsToNoise } from "../../sdk/egemaps/harmonics.js";
import { percentile, roundHalfAway, searchSorted } from "../../sdk/egemaps/numeric.js";
import { enhance } from "../../sdk/egemaps/octave.js";
import { findCandidates } from "../../sdk/egemaps/pitch.js";
import { rootsOf } from "../../sdk/egemaps/roots.js";
import { findSegments } from "../../sdk/egemaps/segments.js";
import { qualityOf } from "../../sdk/quality.js";
import { readWav } from "../../sdk/wav.js";
import { noiseValues } from "./signals.js";

test("the transform is the sum that defines it", () => {
  for (const size of [4, 8, 64, 512]) {
    const signal = noiseValues(size - 3 > 0 ? size - 3 : size, size);
    const fft = new RealFft(size);
    fft.transform(signal);
    for (let k = 0; k <= size / 2; k++) {
      let [re, im] = [0, 0];
      signal.forEach((x, i) => {
        re += x * Math.cos((2 * Math.PI * ((i * k) % size)) / size);
        im -= x * Math.sin((2 * Math.PI * ((i * k) % size)) / size);
      });
      assert.ok(Math.hypot(fft.real[k] - re, fft.imaginary[k] - im) < 1e-11, `${size}, bin ${k}`);
    }
  }
});

/** Coefficients c of z^n - sum c_i z^(n-1-i) with these roots; conjugates have to be among them. */
function polynomial(roots) {
  let p = [[1, 0]];
  for (const [a, b] of roots) {
    const next = [...p.map(([x, y]) => [x, y]), [0, 0]];
    p.forEach(([x, y], i) => {
      next[i + 1][0] -= a * x - b * y;
      next[i + 1][1] -= a * y + b * x;
    });
    p = next;
  }
  return Float64Array.from(p.slice(1), ([x]) => -x);
}

test("roots that were put in come out", () => {
  const values = noiseValues(2000, 9);
  for (let round = 0; round < 200; round++) {
    const roots = [[values[round], 0]];
    for (let k = 0; k < 5; k++) {
      const distance = 0.5 + 0.5 * Math.abs(values[200 + round * 5 + k]);
      const angle = ((k + 0.5 + 0.4 * values[1900 - round - k]) / 5) * Math.PI;
      const [a, b] = [distance * Math.cos(angle), distance * Math.sin(angle)];
      roots.push([a, b], [a, -b]);
    }
    const { real, imaginary } = rootsOf(polynomial(roots));
    for (const [a, b] of roots) {
      const nearest = Math.min(...real.map((x, i) => Math.hypot(x - a, imaginary[i] - b)));
      assert.ok(nearest < 1e-7, `round ${round}: ${nearest}`);
    }
  }
});

test("roots of special polynomials", () => {
  const unit = rootsOf(Float64Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])); // z^11 = 1
  unit.real.forEach((x, i) => assert.ok(Math.abs(Math.hypot(x, unit.imaginary[i]) - 1) < 1e-12));
  const zero = rootsOf(Float64Array.from([0.5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])); // z^11 = z^10 / 2
  assert.ok(zero.real.some((x) => Math.abs(x - 0.5) < 1e-12));
  // tenfold: a rounding of 1e-16 moves it by its tenth root
  assert.ok(zero.imaginary.every((y) => Math.abs(y) < 0.1));
});

test("small numeric tools", () => {
  assert.deepEqual([0.5, 1.5, -0.5, -2.5, 0.49].map(roundHalfAway).map((x) => x + 0), [1, 2, -1, -3, 0]);
  assert.deepEqual([searchSorted([1, 2, 2, 3], 2), searchSorted([1, 2, 2, 3], 2, true)], [1, 3]);
  assert.equal(percentile(Float64Array.of(1, 2, 4, 8), 50), 3);
});

test("segments of three and more frames, one miss bridged", () => {
  const runs = (text) => findSegments([...text].map((c) => c === "v"));
  assert.deepEqual(runs("vvv..vv..vvvv"), [2, 3]);
  assert.deepEqual(runs("vv.vvv..."), [5]);
  assert.deepEqual(runs(""), []);
});

test("clipping, offset, length and band are seen", () => {
  const square = Float64Array.from({ length: 16000 }, (_, i) => (i % 100 < 50 ? 1 : -1));
  assert.equal(qualityOf(square, 16000, 50).clippedShare, 1);
  assert.deepEqual(qualityOf(new Float64Array(4000).fill(0.1), 16000, 0).flags, ["dc", "no_voice", "short"]);
  assert.deepEqual(qualityOf(noiseValues(8000, 1).map((e) => e / 9), 8000, 5, ["cut"]).flags,
    ["cut", "few_voiced_frames", "narrow_band"]);
});

/** A WAVE file; `fields` overrides what the header says. */
function wav({ samples = 1600, bits = 16, channels = 1, rate = 16000, tag = 1, declared, order = "RIFF" } = {}) {
  const little = order === "RIFF";
  const bytes = (samples * channels * bits) / 8;
  const view = new DataView(new ArrayBuffer(44 + bytes));
  const text = (at, word) => [...word].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  text(0, order), text(8, "WAVE"), text(12, "fmt "), text(36, "data");
  view.setUint32(4, 36 + bytes, little), view.setUint32(16, 16, little), view.setUint16(20, tag, little);
  view.setUint16(22, channels, little), view.setUint32(24, rate, little);
  view.setUint32(28, (rate * channels * bits) / 8, little), view.setUint16(32, (channels * bits) / 8, little);
  view.setUint16(34, bits, little), view.setUint32(40, declared ?? bytes, little);
  return view;
}

test("samples of every width and order are read, the first channel of two", () => {
  const set = {
    8: (view, at) => view.setUint8(at, 64),
    16: (view, at, little) => view.setInt16(at, -16384, little),
    24: (view, at, little) => view.setUint8(little ? at + 2 : at, 0xc0),
    32: (view, at, little) => view.setInt32(at, -(2 ** 30), little),
  };
  for (const order of ["RIFF", "RIFX"]) {
    for (const bits of [8, 16, 24, 32]) {
      const view = wav({ bits, channels: 2, order });
      set[bits](view, 44 + (2 * bits) / 8, order === "RIFF");
      const { samples, channels } = readWav(view.buffer);
      assert.deepEqual([samples.length, channels, samples[1]], [1600, 2, -0.5], `${order} ${bits}`);
    }
  }
  const float = wav({ bits: 32, tag: 3 });
  float.setFloat32(44, 0.25, true);
  assert.equal(readWav(float.buffer).samples[0], 0.25);
});

test("what is longer than 30 s is cut, and said", () => {
  const { samples, flags } = readWav(wav({ samples: 40 * 8000, rate: 8000 }).buffer);
  assert.deepEqual([samples.length, flags], [240000, ["cut"]]);
});

const refusals = {
  empty: new ArrayBuffer(0),
  unknown_format: new TextEncoder().encode("this is no recording at all").buffer,
  header_invalid: wav({ bits: 0 }).buffer,
  format_not_allowed: wav({ tag: 0x55 }).buffer,
  sample_rate: wav({ rate: 7999 }).buffer,
  channels: wav({ channels: 9 }).buffer,
  no_samples: wav({ samples: 0 }).buffer,
  too_short: wav({ samples: 1599 }).buffer,
  truncated: wav({ declared: 3202 }).buffer,
  too_long: wav({ declared: 16000 * 2 * 7201 }).buffer,
  non_finite: (() => {
    const view = wav({ bits: 32, tag: 3 });
    view.setFloat32(48, NaN, true);
    return view.buffer;
  })(),
  amplitude: (() => {
    const view = wav({ bits: 32, tag: 3 });
    view.setFloat32(48, 9, true);
    return view.buffer;
  })(),
};
for (const [reason, buffer] of Object.entries(refusals)) {
  test(`a file is refused: ${reason}`, () => {
    assert.throws(() => readWav(buffer), (error) => error.code === "audio_rejected" && error.reason === reason);
  });
}

test("the audio thread keeps nothing before the start, counts gaps, ends at the maximum and hands everything over", async () => {
  let Tap;
  globalThis.AudioWorkletProcessor = class {
    port = { sent: [], postMessage(message) { this.sent.push(message); } };
  };
  globalThis.registerProcessor = (_, processor) => (Tap = processor);
  await import("../../sdk/record-worklet.js");
  const run = (mostSamples, frames) => {
    const tap = new Tap({ processorOptions: { mostSamples, settleSamples: 300 } });
    let alive = true;
    for (const frame of [0, 256, 384]) {
      globalThis.currentFrame = frame;
      assert.equal(tap.process([[new Float32Array(128).fill(0.5)]]), true);
    }
    assert.deepEqual(tap.port.sent.splice(0), [{ settled: true }]);
    tap.port.onmessage({ data: "start" });
    for (const frame of frames) {
      globalThis.currentFrame = frame;
      alive = tap.process([[new Float32Array(128).map((_, i) => (frame + i) / 65536)]]);
    }
    const samples = tap.port.sent.flatMap((message) => Array.from(message.samples ?? []));
    return { tap, alive, samples, end: tap.port.sent.find((message) => message.end) };
  };
  const regular = (count) => Array.from({ length: count }, (_, i) => 1024 + 128 * i);

  const whole = run(5000, regular(60));
  assert.equal(whole.alive, false);
  assert.deepEqual(whole.end, { end: "maximum", dropouts: 0, missing: 0 });
  assert.equal(whole.samples.length, 5000);
  assert.ok(whole.samples.every((x, i) => x === (1024 + i) / 65536));

  const gaps = run(99999, [0, 128, 512, 640, 896]);
  gaps.tap.port.onmessage({ data: "stop" });
  gaps.tap.port.onmessage({ data: "stop" });
  assert.deepEqual(gaps.tap.port.sent.at(-1), { end: "asked", dropouts: 2, missing: 384 });
  assert.equal(gaps.tap.port.sent.filter((message) => message.end).length, 1);
});

test("one peak: everything from bin 3 upward is zeroed in compat, nothing in corrected (Q4)", () => {
  const one = Float32Array.from([1, 2, 3, 4, 9, 4, 3, 2, 1]);
  const result = new Float64Array(9);
  enhance(one, false, result);
  assert.deepEqual([...result], [1, 2, 3, 0, 0, 0, 0, 0, 0]);
  enhance(one, true, result);
  assert.deepEqual([...result], [...one]);
  const two = Float32Array.from([9, 1, 1, 1, 1, 1, 1, 1, 9]);
  enhance(two, false, result);
  assert.deepEqual([...result], [9, 1, 1, 0, 0, 0, 1, 1, 9]);
});

test("digital silence has slopes of exactly 0 in corrected, of the stated constants in compat (Q3)", () => {
  const row = new Float32Array(2);
  spectralSlopes(new Float32Array(257), true, row, 0);
  assert.deepEqual([...row], [0, 0]);
  spectralSlopes(new Float32Array(257), false, row, 0);
  assert.ok(Math.abs(row[0] - 0.112) < 5e-7 && Math.abs(row[1] - 0.0763636) < 5e-7);
});

test("two equal points at the top are one peak, a step on a slope is none", () => {
  const candidates = (...top) => {
    const sum = new Float32Array(513);
    sum.set(top, 99);
    const frequency_hz = new Float32Array(6);
    findCandidates(sum, frequency_hz, new Float32Array(6));
    return [...frequency_hz].filter((f) => f > 0);
  };
  const hz = (index) => 25 * 320 ** (index / 512); // 25 Hz to 8 kHz
  const [first, ...others] = candidates(4, 5, 5, 3);
  assert.ok(hz(100) < first && first < hz(101) && others.length === 0);
  assert.equal(candidates(1, 3, 3, 5).length, 1);
  assert.equal(candidates(5, 3, 3, 1).length, 1);
});

test("two harmonics on one peak: the second is emptied", () => {
  const magnitude = new Float32Array(513);
  magnitude.set([1, 2, 1], 9); // at 156 Hz, between 100 and 200
  const levels = new Float32Array(5);
  harmonicLevels(magnitude, 100, new Float32Array(3), false, levels);
  assert.equal(levels[0], -1); // empty (-201 dB) less not found (-200 dB)
});

test("of two maxima equally far from the expected lag the shorter one counts", () => {
  // autocorrelation: Gaussian bumps at 0, 97 (half as high) and 103; expected is 100
  const power = (k) => {
    const angle = (2 * Math.PI * k) / 1024;
    return Math.exp(-0.5 * (2 * angle) ** 2) * (4 + Math.cos(97 * angle) + 2 * Math.cos(103 * angle));
  };
  const magnitude = Float32Array.from({ length: 513 }, (_, k) => Math.sqrt(power(k)));
  const bump = (distance) => Math.exp(-(distance ** 2) / 8);
  const [atZero, atLag] = [4, 0.5 + bump(6)];
  const expected = 10 * Math.log10(atLag / (atZero - atLag));
  assert.ok(Math.abs(harmonicsToNoise(magnitude, 16000 / 100.5) - expected) < 1e-3);
});
