/**
 * Spectral balance of the 20 ms stream: ratios, slopes, flux (specification 6).
 *
 * Sources: Hammarberg et al. 1980; Eyben et al. 2016 (GeMAPS). In `corrected` a flat spectrum has the slope 0 (Q3).
 */

import { SHORT } from "./frames.js";
import { once, searchSorted } from "./numeric.js";

const POWER_FLOOR = 1e-14; // -140 dB
const F_HZ = SHORT.frequencies_hz;
const BIN_1000 = searchSorted(F_HZ, 1000); // the first at or above 1 kHz
const BIN_2000 = searchSorted(F_HZ, 2000);
const AFTER_5000 = searchSorted(F_HZ, 5000, true); // the first above 5 kHz
const BELOW_5000 = searchSorted(F_HZ, 5000);
const SLOPE_BINS = searchSorted(F_HZ, 1500, true); // the weights are 0 from here on

/**
 * dB: energy of 1-5 kHz over energy below 1 kHz; 0 where the latter is 0.
 * @param {Float32Array} power (bins,)
 */
export function alphaRatio(power) {
  let low = 0;
  let high = 0;
  for (let k = 0; k < BIN_1000; k++) low += power[k];
  for (let k = BIN_1000; k < AFTER_5000; k++) high += power[k];
  return ratio_db(high, low);
}

/**
 * dB: strongest bin below 2 kHz over strongest bin of 2-5 kHz; 0 where the latter is 0.
 * @param {Float32Array} power (bins,)
 */
export function hammarbergIndex(power) {
  let low = 0;
  let high = 0;
  for (let k = 0; k < BIN_2000; k++) if (power[k] > low) low = power[k];
  for (let k = BIN_2000; k < AFTER_5000; k++) if (power[k] > high) high = power[k];
  return ratio_db(low, high);
}

/**
 * dB/Hz: regression slopes of the log spectrum over 0-500 and 500-1500 Hz.
 *
 * In `corrected` the weights add up to 0, so the levels may be counted from the floor: digital silence then gives
 * exactly 0, which the statistics leave out, and not the rounding of a sum.
 * @param {Float32Array} power (bins,)
 * @param {boolean} corrected
 * @param {Float32Array} row receives the two
 * @param {number} at from this place on
 */
export function spectralSlopes(power, corrected, row, at) {
  const [low, high] = slopeWeights(corrected);
  const origin = corrected ? POWER_FLOOR : 1;
  let first = 0;
  let second = 0;
  for (let k = 0; k < SLOPE_BINS; k++) {
    const level_db = 10 * Math.log10(Math.max(power[k], POWER_FLOOR) / origin);
    first += level_db * low[k];
    second += level_db * high[k];
  }
  row[at] = first;
  row[at + 1] = second;
}

/**
 * Root mean square change of the magnitudes below 5 kHz since the frame before.
 * @param {Float32Array} magnitude (bins,)
 * @param {Float32Array} before (bins,)
 */
export function spectralFlux(magnitude, before) {
  let sum = 0;
  for (let k = 0; k < BELOW_5000; k++) sum += (magnitude[k] - before[k]) ** 2;
  return Math.sqrt(sum / BELOW_5000);
}

/** The regression is linear in the levels, so each slope is one weighted sum of them. */
const slopeWeights = once((/** @type {boolean} */ corrected) => [
  weightsOf(0, 500, corrected),
  weightsOf(500, 1500, corrected),
]);

/** @param {number} low_hz @param {number} high_hz @param {boolean} corrected */
function weightsOf(low_hz, high_hz, corrected) {
  const above = searchSorted(F_HZ, low_hz, true);
  const reach = searchSorted(F_HZ, high_hz);
  const left = above - 1;
  const right = F_HZ[reach] === high_hz ? reach : reach - 1;
  const edge = new Float64Array(SHORT.bins).fill(1, left, right + 1);
  edge[left] = (F_HZ[above] - low_hz) / (F_HZ[above] - F_HZ[above - 1]) || 1;
  edge[right] = (high_hz - F_HZ[reach - 1]) / (F_HZ[reach] - F_HZ[reach - 1]) || 1;
  const count = right - left + +corrected; // Q3: without the correction one less than the points used
  let sumF = 0;
  let sumFF = 0;
  for (let k = left; k <= right; k++) {
    sumF += edge[k] * F_HZ[k];
    sumFF += (edge[k] * F_HZ[k]) ** 2;
  }
  return edge.map((e, k) => (e * (count * F_HZ[k] - sumF)) / (count * sumFF - sumF ** 2));
}

/**
 * 10 log10 of a ratio with the floor on the numerator; 0 where the denominator is 0.
 * @param {number} numerator @param {number} denominator
 */
function ratio_db(numerator, denominator) {
  return denominator > 0 ? 10 * Math.log10(Math.max(numerator, POWER_FLOOR) / denominator) : 0;
}
