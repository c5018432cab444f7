/**
 * Fundamental frequency: subharmonic summation, candidates, path, energy gate (specification 7.2 to 7.4).
 *
 * Source: Hermes 1988.
 */

import { LONG } from "./frames.js";
import { fround, parabolaVertex } from "./numeric.js";
import { octaveSpectrum, POINTS, POINTS_PER_OCTAVE } from "./octave.js";
import { Path, UNVOICED } from "./viterbi.js";

const HARMONICS = 15;
const COMPRESSION = 0.85;
const CANDIDATES = 6;
const LOWEST_HZ = 55;
const HIGHEST_HZ = 1000;
const RMS_GATE = 0.001;
const REFERENCE_HZ = 27.5;

const N = LONG.bins;
const SHIFTS = Array.from({ length: HARMONICS - 1 }, (_, i) => ({
  shift: Math.floor(fround(POINTS_PER_OCTAVE) * Math.log2(i + 2)),
  factor: fround(COMPRESSION ** (i + 1)),
}));
const POINTS_32 = Float32Array.from(POINTS);

const spectrum = new Float32Array(N);
const total = new Float32Array(N);

/** The F0 contour of frames that come one by one. */
export class Tracker {
  /** @param {boolean} corrected */
  constructor(corrected) {
    this.corrected = corrected;
    this.path = new Path(corrected);
    this.frequency_hz = new Float32Array(CANDIDATES);
    this.voicing = new Float32Array(CANDIDATES);
    /** @type {Float32Array[]} candidates of the frames that are not decided; empty where the frame is not loud */
    this.waiting = [];
  }

  /**
   * @param {Float32Array} windowed one Gaussian-windowed 60 ms frame
   * @param {Float32Array} magnitude its spectrum
   */
  add(windowed, magnitude) {
    octaveSpectrum(magnitude, this.corrected, spectrum);
    summation(spectrum, total);
    findCandidates(total, this.frequency_hz, this.voicing);
    this.path.add(this.frequency_hz, this.voicing);
    this.waiting.push(isLoud(windowed) ? this.frequency_hz.slice() : new Float32Array(CANDIDATES));
  }

  /** F0 of the frames that are decided by now and were not before; 0 where unvoiced. */
  decided() {
    return this.#chosen(this.path.agreed());
  }

  /** F0 of the other frames: those that an online decoder would still hold (specification 7.3). */
  finish() {
    return this.#chosen(this.path.finish());
  }

  /** @param {Uint8Array} states */
  #chosen(states) {
    const candidates = this.waiting.splice(0, states.length);
    return Float32Array.from(states, (state, t) => (state === UNVOICED ? 0 : candidates[t][state]));
  }
}

/**
 * Semitones above 27.5 Hz, 0 where unvoiced.
 * @param {Float32Array} f0_hz
 */
export function semitones(f0_hz) {
  return f0_hz.map((f) => (f > 0 ? 12 * Math.log2(f / REFERENCE_HZ) : 0));
}

/** @param {Float32Array} windowed */
function isLoud(windowed) {
  let sum = 0;
  for (let i = 0; i < windowed.length; i++) sum += windowed[i] * windowed[i];
  return Math.sqrt(sum / windowed.length) > RMS_GATE;
}

/**
 * Subharmonic sum of 15 compressed, shifted copies, float32 at each step.
 * @param {Float32Array} octave (n,)
 * @param {Float32Array} sum (n,)
 */
export function summation(octave, sum) {
  sum.set(octave);
  for (const { shift, factor } of SHIFTS) {
    for (let i = 0, end = N - shift; i < end; i++) sum[i] += fround(octave[i + shift] * factor);
  }
  for (let i = 0; i < N; i++) sum[i] = sum[i] / HARMONICS;
}

const peakAt = new Int32Array(CANDIDATES);
const score = new Float64Array(CANDIDATES);

/**
 * The six strongest peaks, refined, limited to 55..1000 Hz, packed to the left; what is missing is 0.
 * @param {Float32Array} sum (n,)
 * @param {Float32Array} frequency_hz (6,)
 * @param {Float32Array} voicing (6,)
 */
export function findCandidates(sum, frequency_hz, voicing) {
  frequency_hz.fill(0);
  voicing.fill(0);
  score.fill(0);
  let mean = 0;
  for (let i = 0; i < N; i++) mean += sum[i];
  mean /= N;
  let count = 0;
  for (let slot = 0, found = strongest(sum); slot < found; slot++) {
    const at = peakAt[slot];
    const [vertex, height] = parabolaVertex(
      POINTS_32[at - 1], POINTS_32[at], POINTS_32[at + 1], sum[at - 1], sum[at], sum[at + 1],
    );
    const frequency = 2 ** vertex;
    if (frequency < LOWEST_HZ || frequency > HIGHEST_HZ) continue;
    frequency_hz[count] = frequency;
    voicing[count] = height > mean && height > 0 ? 1 - mean / height : 0;
    score[count++] = height;
  }
  strongestFirst(frequency_hz, voicing);
}

/**
 * Places of the largest inner peaks in `peakAt`, the largest first, the lower index first on ties; how many.
 * @param {Float32Array} sum
 */
function strongest(sum) {
  let found = 0;
  for (let i = 1; i < N - 1; i++) {
    if (!isPeak(sum, i) || !(sum[i] > 0)) continue;
    if (found === CANDIDATES && !(sum[i] > sum[peakAt[found - 1]])) continue;
    let slot = found < CANDIDATES ? found++ : found - 1;
    for (; slot > 0 && sum[i] > sum[peakAt[slot - 1]]; slot--) peakAt[slot] = peakAt[slot - 1];
    peakAt[slot] = i;
  }
  return found;
}

/**
 * Strictly above what is before it and what is after it. Two equal points at the top count as one peak, the first of
 * them: in float32 they are equal by rounding, and the strict rule would lose the strongest candidate of a frame.
 * @param {Float32Array} sum @param {number} i 1..N-2
 */
function isPeak(sum, i) {
  if (!(sum[i] > sum[i - 1])) return false;
  return sum[i] > sum[i + 1] || (i < N - 2 && sum[i] === sum[i + 1] && sum[i] > sum[i + 2]);
}

/**
 * The highest score changes places with position 0: a swap, not a sort.
 * @param {Float32Array} frequency_hz @param {Float32Array} voicing
 */
function strongestFirst(frequency_hz, voicing) {
  let best = 0;
  for (let i = 1; i < CANDIDATES; i++) if (score[i] > score[best]) best = i;
  for (const values of [frequency_hz, voicing]) [values[0], values[best]] = [values[best], values[0]];
}
