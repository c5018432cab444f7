/**
 * Formants: spectral resampling to 11 kHz, linear prediction, roots (specification 9).
 *
 * Source: Makhoul 1975. In `compat` these are not the resonances of the voice (Q8 to Q11); no insight is made from
 * them. In `corrected` the whole windowed frame is used, with all that lies below 5.5 kHz, and the polynomial is the
 * error filter's own. Its autocorrelation at 11 kHz is then the cosine transform of the power spectrum, under a lag
 * window as broad as the pitch asks for (Tohkura, Itakura and Hashimoto 1978).
 */

import { SHORT } from "./frames.js";
import { roundHalfAway } from "./numeric.js";
import { rootsOf } from "./roots.js";

const RATE_HZ = 11000;
const ORDER = 11;
export const FORMANTS = 3;
const LOWEST_HZ = 50;
const HIGHEST_HZ = 5450;
const SMOOTHING = 0.35; // of F0

/** What one linear map needs: y = x @ map, (inputs x outputs), row after row. */
class LinearMap {
  /** @param {number} inputs @param {number} outputs @param {(i: number, j: number) => number} value */
  constructor(inputs, outputs, value) {
    this.inputs = inputs;
    this.rows = Array.from({ length: 4 * Math.ceil(inputs / 4) }, (_, i) =>
      Float64Array.from({ length: outputs }, (_, j) => (i < inputs ? value(i, j) : 0)),
    );
    this.result = new Float64Array(outputs);
  }

  /**
   * Four inputs at a time: the result is then touched a quarter as often. What lies beyond the inputs counts as 0.
   * @param {Float32Array} x
   */
  apply(x) {
    const { result, rows, inputs } = this;
    result.fill(0);
    for (let i = 0; i < rows.length; i += 4) {
      const x0 = x[i];
      const x1 = i + 1 < inputs ? x[i + 1] : 0;
      const x2 = i + 2 < inputs ? x[i + 2] : 0;
      const x3 = i + 3 < inputs ? x[i + 3] : 0;
      const [r0, r1, r2, r3] = [rows[i], rows[i + 1], rows[i + 2], rows[i + 3]];
      for (let j = 0; j < result.length; j++) {
        result[j] = result[j] + x0 * r0[j] + x1 * r1[j] + x2 * r2[j] + x3 * r3[j];
      }
    }
    return result;
  }
}

/** @type {LinearMap | undefined} */
let resampling;
/** @type {LinearMap | undefined} */
let autocorrelating;

/**
 * Formants of `compat`, which do without the F0.
 * @param {Float32Array} windowed (length,) one Hamming-windowed 20 ms frame
 * @param {Float32Array} result (6,) receives three frequencies and three bandwidths (Hz), ascending; 0 where none
 */
export function findFormants(windowed, result) {
  resampling ??= resamplingMap();
  formantsOf(errorFilter(autocorrelation(resampling.apply(windowed))), result);
}

/**
 * Formants of `corrected`.
 * @param {Float32Array} power (bins,) of one 20 ms frame
 * @param {number} f0_hz
 * @param {Float32Array} result (6,) as `findFormants`
 */
export function findFormantsCorrected(power, f0_hz, result) {
  autocorrelating ??= autocorrelationMap();
  const r = autocorrelating.apply(power);
  for (let lag = 0; lag <= ORDER; lag++) {
    r[lag] *= Math.exp(-0.5 * (2 * Math.PI * SMOOTHING * f0_hz * (lag / RATE_HZ)) ** 2);
  }
  formantsOf(errorFilter(r).map((a) => -a), result);
}

/** Power spectrum below 5.5 kHz -> autocorrelation at 11 kHz, lags 0 to 11. */
function autocorrelationMap() {
  const limit = Math.floor((RATE_HZ / 2) * SHORT.duration_s + 1e-9);
  const atBorder = limit === (RATE_HZ / 2) * SHORT.duration_s;
  return new LinearMap(limit + 1, ORDER + 1, (k, lag) => {
    // DC has no mirror image; nor has half the rate, where a bin lies on it
    const mirrored = k === 0 || (k === limit && atBorder) ? 1 : 2;
    return (mirrored * Math.cos(2 * Math.PI * (k / SHORT.duration_s / RATE_HZ) * lag)) / SHORT.fftSize;
  });
}

/** Windowed frame -> its signal at nominally 11 kHz, as one linear map (9.1). */
function resamplingMap() {
  const { fftSize: size, length, frame_s, duration_s } = SHORT;
  const shrink = frame_s / duration_s;
  const points = roundHalfAway(size * (RATE_HZ / SHORT.sampleRate_hz) * shrink);
  const period = (size * points) / (size * shrink);
  const limit = Math.floor(Math.min(size, points) / 2); // Q9: this many bins only
  const offset = Math.floor((size - length) / 2);
  return new LinearMap(length, points, (m, i) => {
    const angle = 2 * Math.PI * (i / period - (offset + m) / size);
    return (2 / size) * (1 + cosineSum(angle, limit - 1)); // Q8: DC with double weight
  });
}

/** Sum of cos(k * angle), k = 1..count (Dirichlet's kernel). @param {number} angle @param {number} count */
function cosineSum(angle, count) {
  const half = Math.sin(angle / 2);
  return Math.abs(half) < 1e-9 ? count : Math.sin((count + 0.5) * angle) / (2 * half) - 0.5;
}

const lags = new Float64Array(ORDER + 1);

/** Sums of lagged products, neither windowed nor normalised. @param {Float64Array} y */
function autocorrelation(y) {
  for (let lag = 0; lag <= ORDER; lag++) {
    let sum = 0;
    for (let i = lag; i < y.length; i++) sum += y[i] * y[i - lag];
    lags[lag] = sum;
  }
  return lags;
}

/**
 * Coefficients a of 1 + sum a_i z^-i by Durbin; 0 where there is no energy.
 * @param {Float64Array} r (12,)
 */
function errorFilter(r) {
  const a = new Float64Array(ORDER);
  const before = new Float64Array(ORDER);
  let error = r[0];
  for (let m = 1; m <= ORDER; m++) {
    let rest = r[m];
    for (let i = 1; i < m; i++) rest += a[i - 1] * r[m - i];
    const k = error === 0 ? 0 : -rest / error;
    before.set(a);
    for (let i = 0; i < m - 1; i++) a[i] += k * before[m - 2 - i];
    a[m - 1] = k;
    error *= 1 - k * k;
  }
  return a;
}

/**
 * Q11: roots of z^11 - sum a_i z^(11-i), reflected into the unit circle; the three lowest of 50..5450 Hz.
 * @param {Float64Array} a (11,)
 * @param {Float32Array} result (6,)
 */
function formantsOf(a, result) {
  result.fill(0);
  if (!a.some((value) => value !== 0)) return;
  const { real, imaginary } = rootsOf(a);
  /** @type {[number, number][]} */
  const found = [];
  for (let i = 0; i < ORDER; i++) {
    const frequency_hz = (Math.atan2(imaginary[i], real[i]) * RATE_HZ) / (2 * Math.PI);
    if (imaginary[i] < 0 || frequency_hz < LOWEST_HZ || frequency_hz > HIGHEST_HZ) continue;
    const distance = Math.hypot(real[i], imaginary[i]);
    // 1 / conj(z) has the same angle and the inverse distance
    found.push([frequency_hz, (Math.abs(Math.log(distance)) * RATE_HZ) / Math.PI]);
  }
  found.sort((one, other) => one[0] - other[0]);
  found.slice(0, FORMANTS).forEach(([frequency_hz, bandwidth_hz], k) => {
    result[k] = frequency_hz;
    result[FORMANTS + k] = bandwidth_hz;
  });
}
