/** Contours -> functionals: means, deviations, percentiles, slopes (specification 13). */

import { percentile } from "./numeric.js";

/** @typedef {import("./peaks.js").Slopes} Slopes */

/**
 * Mean and population standard deviation.
 * @param {ArrayLike<number>} values not empty
 */
export function meanAndDeviation(values) {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  const mean = sum / values.length;
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i] - mean) ** 2;
  return [mean, Math.sqrt(squares / values.length)];
}

/**
 * Arithmetic mean, and standard deviation over the signed mean; both 0 for an empty list.
 * @param {Float32Array} values
 */
export function meanAndSpread(values) {
  if (values.length === 0) return [0, 0];
  const [mean, deviation] = meanAndDeviation(values);
  return [mean, deviation / (mean || 1)];
}

/** The same of the values that are not 0. @param {Float32Array} values */
export function meanAndSpreadNonzero(values) {
  return meanAndSpread(values.filter((value) => value !== 0));
}

/**
 * Mean, spread, percentiles 20, 50 and 80, their range, and the four slope statistics.
 * @param {Float32Array} values
 * @param {Slopes} slopes
 */
export function ten(values, slopes) {
  const ascending = Float64Array.from(values).sort();
  const [p20, p50, p80] = [20, 50, 80].map((p) => (values.length ? percentile(ascending, p) : 0));
  return [
    ...meanAndSpread(values),
    p20,
    p50,
    p80,
    Math.abs(p80 - p20),
    slopes.risingMean,
    slopes.risingDeviation,
    slopes.fallingMean,
    slopes.fallingDeviation,
  ];
}
