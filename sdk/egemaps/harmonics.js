/**
 * Harmonics-to-noise ratio and levels of harmonics, of voiced frames (specification 10).
 *
 * Sources: Boersma 1993 (HNR from the autocorrelation; the window's own is not divided out here, so norms of other
 * HNR definitions don't apply); Eyben et al. 2016 (H1-H2, H1-A3, formant amplitudes; Q12: in `compat` "H1" and "H2"
 * are the second and third harmonic). In `corrected` they are the first and the second; all heights, the first one's
 * too, are read from a parabola through the logarithms; and what is missing is 0, never a level of -200 dB.
 */

import { LONG } from "./frames.js";
import { fround, localMaxima, parabolaVertex } from "./numeric.js";
import { FORMANTS } from "./formants.js";

const HARMONICS = 100;
const HIGHEST_HZ = 6600; // nothing asks for a harmonic beyond: 1.2 times the highest formant, and a bin
const NOT_FOUND_DB = -200;
const EMPTY_DB = -201;
const LIMIT_DB = 201;
const NO_NOISE = 1e11;
const SMALLEST = 1e-30; // of a magnitude whose logarithm is taken

const F_HZ = LONG.frequencies_hz;
const LAST_BIN = LONG.bins - 1;

const mirrored = new Float64Array(LONG.fftSize);
const acf = new Float32Array(LONG.bins);
const isMaximum = new Uint8Array(LONG.bins);
const peakBelow = new Int32Array(LONG.bins);
const peakAbove = new Int32Array(LONG.bins);
const bins = new Int32Array(HARMONICS);
const frequency_hz = new Float64Array(HARMONICS);
const magnitudes = new Float64Array(HARMONICS);
const relative_db = new Float64Array(HARMONICS);

/**
 * HNR in dB of one voiced frame.
 * @param {Float32Array} magnitude (bins,)
 * @param {number} f0_hz
 */
export function harmonicsToNoise(magnitude, f0_hz) {
  // float32 as in the reference definition: ties between neighbouring lags decide which one is a maximum
  for (let k = 0; k <= LAST_BIN; k++) mirrored[k] = fround(magnitude[k] * magnitude[k]);
  for (let k = 1; k < LAST_BIN; k++) mirrored[LONG.fftSize - k] = mirrored[k];
  LONG.fft.transform(mirrored);
  for (let l = 0; l <= LAST_BIN; l++) acf[l] = Math.abs(LONG.fft.real[l]) / LONG.fftSize;
  const lag = nearestMaximum(Math.floor((2 * F_HZ[LAST_BIN]) / f0_hz));
  if (lag === 0) return 0;
  const noise = acf[0] - acf[lag];
  const ratio = noise === 0 ? NO_NOISE : acf[lag] / noise;
  return 10 * Math.log10(Math.min(Math.max(ratio, 1e-9), NO_NOISE));
}

/** The local maximum of `acf` nearest to the expected lag, the shorter of two; 0 where there is none. @param {number} expected */
function nearestMaximum(expected) {
  localMaxima(acf, isMaximum);
  for (let offset = 0; offset <= expected + LAST_BIN; offset++) {
    for (const lag of [expected - offset, expected + offset]) {
      if (lag > 0 && lag < LAST_BIN && isMaximum[lag]) return lag;
    }
  }
  return 0;
}

/**
 * H1-H2, H1-A3 and the levels of three formants of one voiced frame, in dB.
 * @param {Float32Array} magnitude (bins,)
 * @param {number} f0_hz
 * @param {Float32Array} formants three frequencies (Hz), ascending; what follows is not looked at
 * @param {boolean} corrected
 * @param {Float32Array} result (5,) receives them
 */
export function harmonicLevels(magnitude, f0_hz, formants, corrected, result) {
  const count = findHarmonics(magnitude, f0_hz, corrected);
  let third = -1;
  for (let k = 0; k < FORMANTS; k++) {
    third = strongestNear(formants[k], count);
    result[2 + k] = third < 0 ? 0 : relative_db[third];
  }
  if (corrected) {
    const present = magnitudes[0] > 0;
    result[0] = present && magnitudes[1] > 0 ? -relative_db[1] : 0;
    result[1] = present && third >= 0 ? -relative_db[third] : 0;
  } else {
    result[0] = limited(relative_db[1] - relative_db[2]); // Q12
    result[1] = limited(relative_db[1] - (third < 0 ? LIMIT_DB : relative_db[third]));
  }
}

/** @param {number} level_db */
function limited(level_db) {
  return Math.min(Math.max(level_db, -LIMIT_DB), LIMIT_DB);
}

/**
 * The strongest harmonic within 20 % of a frequency, -1 where there is none.
 * @param {number} centre_hz @param {number} count
 */
function strongestNear(centre_hz, count) {
  let best = -1;
  for (let i = 0; i < count; i++) {
    const within = frequency_hz[i] >= 0.8 * centre_hz && frequency_hz[i] <= 1.2 * centre_hz;
    if (within && magnitudes[i] > (best < 0 ? 0 : magnitudes[best])) best = i;
  }
  return best;
}

/**
 * The spectral peaks nearest to the multiples of F0; index 0 is F0 itself. Fills the tables above, 0 where none was
 * found, and returns how many harmonics were looked for.
 * @param {Float32Array} magnitude @param {number} f0_hz @param {boolean} corrected
 */
function findHarmonics(magnitude, f0_hz, corrected) {
  frequency_hz.fill(0);
  magnitudes.fill(0);
  bins.fill(0);
  relative_db.fill(NOT_FOUND_DB);
  markPeaks(magnitude);
  let last = near(0.5 * f0_hz, 1);
  const first = near(0.5 * f0_hz, last);
  let reference = 0;
  let count = 0;
  for (; count < HARMONICS && (count + 0.5) * f0_hz <= HIGHEST_HZ; count++) {
    const centre = near((count + 1) * f0_hz, last);
    if (centre === 0) break;
    const peak = peakNear(count, f0_hz, centre, last);
    bins[count] = centre;
    last = centre;
    if (peak < first || peak >= LAST_BIN) continue;
    bins[count] = peak;
    magnitudes[count] = magnitude[peak];
    const [vertex, height] = interpolated(magnitude, peak, corrected);
    frequency_hz[count] = vertex;
    if (count === 0) reference = corrected ? height : magnitude[peak];
    relative_db[count] = level_db(height, reference);
  }
  if (reference <= 0) relative_db.fill(EMPTY_DB);
  relative_db[0] = 0;
  emptyDoubles();
  return count;
}

/** @param {number} height @param {number} reference */
function level_db(height, reference) {
  if (!(height > 0) || !(reference > 0)) return NOT_FOUND_DB;
  return Math.max(20 * (Math.log10(height) - Math.log10(reference)), NOT_FOUND_DB);
}

/**
 * Frequency and height of the parabola through a peak and its neighbours.
 * @param {Float32Array} magnitude @param {number} at @param {boolean} logarithmic
 */
function interpolated(magnitude, at, logarithmic) {
  const y = [magnitude[at - 1], magnitude[at], magnitude[at + 1]];
  if (!logarithmic) return parabolaVertex(F_HZ[at - 1], F_HZ[at], F_HZ[at + 1], y[0], y[1], y[2]);
  const [l, m, r] = y.map((value) => Math.log(Math.max(value, SMALLEST)));
  const [vertex, top] = parabolaVertex(F_HZ[at - 1], F_HZ[at], F_HZ[at + 1], l, m, r);
  return [vertex, Math.exp(top)];
}

/** Empty a harmonic that fell on the bin of the one before; the comparison sees those already emptied. */
function emptyDoubles() {
  for (let i = 1; i < HARMONICS; i++) {
    if (bins[i] !== bins[i - 1]) continue;
    bins[i] = frequency_hz[i] = magnitudes[i] = 0;
    relative_db[i] = EMPTY_DB;
  }
}

/** For each bin the nearest peak at or below it (-1: none) and at or above it (bins: none). @param {Float32Array} magnitude */
function markPeaks(magnitude) {
  localMaxima(magnitude, isMaximum);
  for (let k = 0, peak = -1; k <= LAST_BIN; k++) peakBelow[k] = isMaximum[k] ? (peak = k) : peak;
  for (let k = LAST_BIN, peak = LAST_BIN + 1; k >= 0; k--) peakAbove[k] = isMaximum[k] ? (peak = k) : peak;
}

/**
 * Nearest bin to a frequency, at or after `start` (give or take one); 0 beyond the last bin.
 * @param {number} f_hz @param {number} start
 */
function near(f_hz, start) {
  let above = Math.max(Math.floor(f_hz * LONG.duration_s) - 1, 0);
  while (above <= LAST_BIN && F_HZ[above] <= f_hz) above++;
  const after = Math.max(above, start, 1);
  if (after > LAST_BIN) return 0;
  return F_HZ[after] - f_hz > f_hz - F_HZ[after - 1] ? after - 1 : after;
}

/**
 * The peak at the centre, else the nearest one within half a harmonic (right wins); -1 if none.
 * @param {number} i @param {number} f0_hz @param {number} centre @param {number} last
 */
function peakNear(i, f0_hz, centre, last) {
  const right = peakAbove[centre];
  const left = peakBelow[centre];
  const rightOk = right <= Math.max(near((i + 1.5) * f0_hz, centre), right === centre ? centre : 0);
  const leftOk = left >= near((i + 0.5) * f0_hz, last);
  if (rightOk && (!leftOk || right - centre <= centre - left)) return right;
  return leftOk ? left : -1;
}
