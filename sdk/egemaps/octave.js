/**
 * The 60 ms spectrum on an octave scale: enhanced, smoothed, interpolated, weighted (specification 7.1).
 *
 * Source: Hermes 1988. The natural cubic spline is one tridiagonal solve per frame; its factors depend on the
 * stream only.
 */

import { LONG } from "./frames.js";
import { fround, searchSorted } from "./numeric.js";

const LOWEST_HZ = 25;
const KEPT_BESIDE_PEAK = 2; // bins on each side of a peak that enhancement leaves as they are

const N = LONG.bins;
const HIGHEST_HZ = (N - 1) / fround(LONG.duration_s);
const STEP = (Math.log2(HIGHEST_HZ) - Math.log2(LOWEST_HZ)) / (N - 1); // octaves between two points

export const POINTS_PER_OCTAVE = N / Math.log2(HIGHEST_HZ / LOWEST_HZ);
/** (n,) log2 Hz, equidistant, as many as there are bins, from 25 Hz to half the sample rate. */
export const POINTS = Float64Array.from({ length: N }, (_, i) => Math.log2(LOWEST_HZ) + i * STEP);

const CENTRE = POINTS_PER_OCTAVE * Math.log2(65 / 50) - 1;
const WEIGHTS = Float64Array.from(
  { length: N },
  (_, i) => 0.5 + Math.atan((3 * (i + 1 - CENTRE)) / POINTS_PER_OCTAVE) / Math.PI,
);

/** (n,) log2 of the bins' frequencies; bin 0, which has none, continues the first step downward. */
const KNOTS = Float64Array.from({ length: N }, (_, k) => Math.log2(k / fround(LONG.duration_s)));
KNOTS[0] = 2 * KNOTS[1] - KNOTS[2];
const GAPS = Float64Array.from({ length: N - 1 }, (_, i) => KNOTS[i + 1] - KNOTS[i]);

// Thomas algorithm: what does not depend on the values
const UPPER = new Float64Array(N);
const LOWER = new Float64Array(N);
const FORCE = new Float64Array(N);
for (let i = 1; i < N - 1; i++) {
  const pivot = 2 * (GAPS[i - 1] + GAPS[i]) - GAPS[i - 1] * UPPER[i - 1];
  UPPER[i] = GAPS[i] / pivot;
  LOWER[i] = GAPS[i - 1] / pivot;
  FORCE[i] = 6 / pivot;
}
const PER_GAP = GAPS.map((gap) => 1 / gap);

// where each point lies, and the four factors of the cubic there
const LEFT = Int32Array.from(POINTS, (point) => {
  return Math.min(Math.max(searchSorted(KNOTS, point, true) - 1, 0), N - 2);
});
const B = POINTS.map((point, i) => (point - KNOTS[LEFT[i]]) / GAPS[LEFT[i]]);
const A = B.map((b) => 1 - b);
const CUBIC_A = A.map((a, i) => ((a ** 3 - a) * GAPS[LEFT[i]] ** 2) / 6);
const CUBIC_B = B.map((b, i) => ((b ** 3 - b) * GAPS[LEFT[i]] ** 2) / 6);

const enhancedBins = new Float64Array(N);
const smooth = new Float64Array(N);
const bends = new Float64Array(N);

/**
 * Weighted spectrum on `POINTS`; never negative, float32.
 * @param {Float32Array} magnitude (bins,)
 * @param {boolean} corrected
 * @param {Float32Array} result (bins,)
 */
export function octaveSpectrum(magnitude, corrected, result) {
  enhance(magnitude, corrected, enhancedBins);
  smoothen(enhancedBins, smooth);
  bend(smooth);
  for (let i = 0; i < N; i++) {
    const k = LEFT[i];
    const linear = A[i] * smooth[k] + B[i] * smooth[k + 1];
    const value = linear + CUBIC_A[i] * bends[k] + CUBIC_B[i] * bends[k + 1];
    result[i] = value > 0 ? value * WEIGHTS[i] : 0;
  }
}

/**
 * Zero what lies between two peaks and further than two bins from both; outside them nothing changes.
 *
 * Q4: with exactly one peak everything from bin 3 upward is zeroed; in `corrected` nothing changes then.
 * @param {Float32Array} a (bins,)
 * @param {boolean} corrected
 * @param {Float64Array} result (bins,)
 */
export function enhance(a, corrected, result) {
  const last = a.length - 1;
  result.set(a);
  let before = -1;
  let count = 0;
  for (let i = 0; i <= last; i++) {
    const rises = i === 0 || a[i] > a[i - 1];
    const falls = i === last || (i === 0 ? a[0] > a[1] : a[i] >= a[i + 1]);
    if (!(rises && falls)) continue;
    const start = before + KEPT_BESIDE_PEAK + 1;
    if (count > 0 && start < i - KEPT_BESIDE_PEAK) result.fill(0, start, i - KEPT_BESIDE_PEAK);
    before = i;
    count += 1;
  }
  if (count === 1 && !corrected) result.fill(0, 3);
}

/**
 * Weights 1/4, 1/2, 1/4; nothing lies below the first bin, and the last one stays.
 * @param {Float64Array} a @param {Float64Array} result
 */
function smoothen(a, result) {
  const last = a.length - 1;
  result[0] = (2 * a[0] + a[1]) / 4;
  for (let i = 1; i < last; i++) result[i] = (2 * a[i] + a[i + 1]) / 4 + a[i - 1] / 4;
  result[last] = a[last];
}

/**
 * Second derivatives of the spline at the knots; zero at both ends.
 * @param {Float64Array} y (bins,)
 */
function bend(y) {
  let slope = (y[1] - y[0]) * PER_GAP[0];
  for (let i = 1; i < N - 1; i++) {
    const next = (y[i + 1] - y[i]) * PER_GAP[i];
    bends[i] = FORCE[i] * (next - slope) - LOWER[i] * bends[i - 1];
    slope = next;
  }
  for (let i = N - 2; i > 0; i--) bends[i] -= UPPER[i] * bends[i + 1];
}
