/**
 * Mono at any whole rate of 8..192 kHz -> mono at 16 kHz, by our own linear-phase FIR filter.
 *
 * The filter is one table of a Kaiser-windowed sinc, `prototype()`, whose time unit is one sample of the slower of
 * the two rates; for each output sample its taps are read from the table by cubic interpolation and scaled to a sum
 * of 1. The table holds integers: those of vectors/resampler/prototype.json (a test compares them).
 *
 * Source: Kaiser 1974 (window); Smith and Gossett 1984 (interpolated filter table).
 */

import { once } from "./egemaps/numeric.js";
import { AudioRejected } from "./errors.js";

export const RATE_HZ = 16000;
export const MINIMUM_RATE_HZ = 8000;
export const MAXIMUM_RATE_HZ = 192000;

const HALF_WIDTH = 29; // samples of the slower rate on each side
const PER_SAMPLE = 64; // table entries per such sample
const KAISER_BETA = 8.96; // 90 dB
const SCALE = 2 ** 31; // one table step is 1 / SCALE

/**
 * (n,) at `rate_hz` -> (ceil(n * 16000 / rate_hz),) at 16 kHz, without delay; 16 kHz is returned as it is.
 *
 * Output m is the signal at the time m / 16000 s; beyond its ends the signal is taken as 0. Throws AudioRejected
 * (reason `sample_rate`) for a rate that is not a whole number of 8,000..192,000 Hz.
 * @param {Float64Array} samples
 * @param {number} rate_hz
 */
export function resample(samples, rate_hz) {
  if (!(Number.isInteger(rate_hz) && rate_hz >= MINIMUM_RATE_HZ && rate_hz <= MAXIMUM_RATE_HZ)) {
    throw new AudioRejected("The sample rate is no whole number of 8,000 to 192,000 Hz.", { reason: "sample_rate" });
  }
  if (rate_hz === RATE_HZ) return samples;
  const common = gcd(rate_hz, RATE_HZ);
  const phases = RATE_HZ / common;
  const advance = rate_hz / common;
  const result = new Float64Array(Math.ceil((samples.length * RATE_HZ) / rate_hz));
  for (let phase = 0; phase < Math.min(phases, result.length); phase++) {
    const taps = filterTaps(phase, rate_hz);
    let first = Math.floor((phase * advance) / phases) - taps.length / 2 + 1;
    for (let m = phase; m < result.length; m += phases, first += advance) result[m] = dot(samples, first, taps);
  }
  return result;
}

/**
 * Taps of output m; the first belongs to input floor(m * rate / 16000) - reach + 1.
 * @param {number} m @param {number} rate_hz
 */
export function filterTaps(m, rate_hz) {
  const slower = Math.min(rate_hz, RATE_HZ);
  const reach = Math.ceil((HALF_WIDTH * rate_hz) / slower);
  const fraction = ((m * rate_hz) % RATE_HZ) / RATE_HZ;
  const taps = new Float64Array(2 * reach);
  let sum = 0;
  for (let i = 0; i < taps.length; i++) {
    const distance = Math.abs(fraction - (i + 1 - reach)) * (slower / rate_hz);
    taps[i] = interpolated(distance);
    sum += taps[i];
  }
  return taps.map((tap) => tap / sum);
}

/** One side of the filter, in steps of 1 / SCALE; its last entry is 0. */
export function prototype() {
  const count = HALF_WIDTH * PER_SAMPLE;
  return Float64Array.from({ length: count + 1 }, (_, i) => {
    if (i === 0) return SCALE;
    if (i === count) return 0;
    const t = i / PER_SAMPLE;
    const window = bessel0(KAISER_BETA * Math.sqrt(1 - (t / HALF_WIDTH) ** 2)) / bessel0(KAISER_BETA);
    return Math.round(SCALE * (Math.sin(Math.PI * t) / (Math.PI * t)) * window) + 0; // no -0
  });
}

/** The table with what four-point interpolation looks at beyond its ends; it is even about 0. */
const evenTable = once((/** @type {0} */ _) => {
  const table = prototype().map((steps) => steps / SCALE);
  return Float64Array.from([table[1], ...table, 0, 0, 0]);
});

/** Cubic (four-point Lagrange) reading of the table. @param {number} distance */
function interpolated(distance) {
  const even = evenTable(0);
  const position = Math.min(distance * PER_SAMPLE, HALF_WIDTH * PER_SAMPLE);
  const cell = Math.floor(position);
  const x = position - cell;
  return (
    even[cell] * ((-x * (x - 1) * (x - 2)) / 6) +
    even[cell + 1] * (((x + 1) * (x - 1) * (x - 2)) / 2) +
    even[cell + 2] * ((-(x + 1) * x * (x - 2)) / 2) +
    even[cell + 3] * (((x + 1) * x * (x - 1)) / 6)
  );
}

/**
 * Two sums at once: an addition need not wait for the one before.
 * @param {Float64Array} samples @param {number} first @param {Float64Array} taps
 */
function dot(samples, first, taps) {
  const stop = Math.min(taps.length, samples.length - first);
  let even = 0;
  let odd = 0;
  let j = Math.max(0, -first);
  for (let i = first + j; j + 1 < stop; j += 2, i += 2) {
    even += taps[j] * samples[i];
    odd += taps[j + 1] * samples[i + 1];
  }
  if (j < stop) even += taps[j] * samples[first + j];
  return even + odd;
}

/** Modified Bessel function of order 0, by its power series. @param {number} x */
function bessel0(x) {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > 1e-18 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/** @param {number} a @param {number} b @returns {number} */
function gcd(a, b) {
  return b === 0 ? a : gcd(b, a % b);
}
