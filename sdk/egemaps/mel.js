/**
 * Mel bands, loudness and MFCC of the 20 ms stream (specification 5).
 *
 * Sources: HTK Book (mel bank, cepstrum, liftering); Hermansky 1990 (equal loudness, compression).
 */

import { FULL_SCALE, SHORT } from "./frames.js";
import { fround, roundHalfAway, searchSorted } from "./numeric.js";

export const BANDS = 26;
const COEFFICIENTS = 4;
const LOWEST_HZ = 20;
const HIGHEST_HZ = 8000;
const LIFTER = 22;
const BAND_FLOOR = 9.3e-10;
const LOUDNESS_EXPONENT = 0.33;

const EDGES_MEL = edges(); // lower edge, 26 centres, upper edge; float32 precision
const FIRST_BIN = roundHalfAway(LOWEST_HZ * SHORT.duration_s) + 1;
const END_BIN = Math.min(roundHalfAway(HIGHEST_HZ * SHORT.duration_s), SHORT.bins);
const UPPER = new Uint8Array(SHORT.bins); // the edge above each bin
const SHARE = new Float64Array(SHORT.bins); // of the lower of the two triangles
const EQUAL_LOUDNESS = EDGES_MEL.subarray(1, -1).map((mel) => equalLoudness(700 * (Math.exp(mel / 1127) - 1)));
const COSINES = cosines();

for (let k = FIRST_BIN; k < END_BIN; k++) {
  const position = toMel(SHORT.frequencies_hz[k]);
  const upper = searchSorted(EDGES_MEL, position);
  UPPER[k] = upper;
  SHARE[k] = (EDGES_MEL[upper] - position) / (EDGES_MEL[upper] - EDGES_MEL[upper - 1]);
}

const sums = new Float64Array(BANDS + 2); // one slot beyond each end

/**
 * Energies of triangular filters, float32; each bin lies under at most two triangles.
 * @param {Float32Array} power (bins,)
 * @param {Float32Array} bands (26,)
 */
export function melBands(power, bands) {
  sums.fill(0);
  for (let k = FIRST_BIN; k < END_BIN; k++) {
    sums[UPPER[k] - 1] += SHARE[k] * power[k];
    sums[UPPER[k]] += (1 - SHARE[k]) * power[k];
  }
  for (let b = 0; b < BANDS; b++) bands[b] = sums[b + 1];
}

/**
 * Mean of the equal-loudness weighted, compressed bands.
 * @param {Float32Array} bands (26,)
 */
export function loudness(bands) {
  let sum = 0;
  // BAND_FLOOR is rounded to float32 where the reference compares it with float32 bands
  for (let b = 0; b < BANDS; b++) {
    sum += (Math.max(bands[b], fround(BAND_FLOOR)) * EQUAL_LOUDNESS[b]) ** LOUDNESS_EXPONENT;
  }
  return sum / BANDS;
}

const logBands = new Float64Array(BANDS);

/**
 * Liftered cepstral coefficients 1 to 4.
 * @param {Float32Array} bands (26,)
 * @param {Float32Array} row receives them
 * @param {number} at from this place on
 */
export function mfcc(bands, row, at) {
  for (let b = 0; b < BANDS; b++) logBands[b] = Math.log(Math.max(FULL_SCALE ** 2 * bands[b], 1));
  for (let i = 0; i < COEFFICIENTS; i++) {
    let sum = 0;
    for (let b = 0; b < BANDS; b++) sum += logBands[b] * COSINES[i * BANDS + b];
    row[at + i] = sum;
  }
}

/** @param {number} frequency_hz */
function toMel(frequency_hz) {
  return 1127 * Math.log(1 + frequency_hz / 700);
}

function edges() {
  const low = toMel(LOWEST_HZ);
  const high = toMel(HIGHEST_HZ);
  return Float64Array.from({ length: BANDS + 2 }, (_, m) => fround(low + (m * (high - low)) / (BANDS + 1)));
}

/**
 * Hermansky's approximation of the 40 dB curve, with the extra pole above 5 kHz.
 * @param {number} frequency_hz
 */
function equalLoudness(frequency_hz) {
  const w = 2 * Math.PI * frequency_hz;
  const w2 = w ** 2;
  const poles = (w2 + 6.3e6) ** 2 * (w2 + 0.38e9) * (w ** 7 + 1.7e31);
  return (1e32 * (w2 + 56.8e6) * w2 ** 2) / poles;
}

/** (4 x 26) cosine transform with the lifter folded in. */
function cosines() {
  const table = new Float64Array(COEFFICIENTS * BANDS);
  for (let i = 1; i <= COEFFICIENTS; i++) {
    const lifter = 1 + (LIFTER / 2) * Math.sin((Math.PI * i) / LIFTER);
    for (let b = 0; b < BANDS; b++) {
      const angle = ((Math.PI * i) / BANDS) * (b + 0.5);
      table[(i - 1) * BANDS + b] = Math.sqrt(2 / BANDS) * lifter * Math.cos(angle);
    }
  }
  return table;
}
