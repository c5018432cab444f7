/**
 * Jitter and shimmer: the periods of the waveform, one after the other (specification 8).
 *
 * Correlations use the samples as whole 16-bit steps held in float64, so every sum of products is exact: the same
 * period measured from two overlapping frames gives the same number, and a window without energy is found by
 * comparing with 0. Amplitudes use the float32 signal: two that are equal in steps may differ there in the last bit,
 * which decides whether a shimmer of exactly 0 is dropped from the statistics.
 *
 * Q17: a period is float32; the difference of a period measured twice is then exactly 0.
 */

import { LONG } from "./frames.js";
import { fround, roundHalfAway } from "./numeric.js";

const CORRELATION_GATE = 0.5;
const LONGEST = 1024; // lags of one period at most: 55 Hz at 16 kHz has 320 of them
const RATE_HZ = LONG.sampleRate_hz;

const sums = new Float64Array(2 * LONGEST); // of the steps before each place
const squares = new Float64Array(2 * LONGEST);
const correlation = new Float64Array(LONGEST);

/**
 * What one frame adds up.
 * @typedef {{periods: number, period_s: number, differences: number, difference_s: number,
 *   amplitude: number, amplitudeDifference: number}} Sums
 */

/** The reader of the waveform; what it remembers lasts through consecutive voiced frames. */
export class Walk {
  constructor() {
    this.carry = 0; // samples before the next frame's start that no earlier frame has used up
    this.lastPeriod_s = 0; // float32
    this.lastJitter = 0;
    this.lastShimmer = 0;
    /** @type {Float64Array} */
    this.steps = new Float64Array(0);
    /** @type {Float32Array} */
    this.signal = new Float32Array(0);
  }

  /**
   * Jitter and shimmer (dB) of the frame that starts at sample `start`.
   * @param {Float64Array} steps samples as 16-bit steps
   * @param {Float32Array} signal the same as float32
   * @param {number} start @param {number} f0_hz 0 where unvoiced
   * @returns {[number, number]}
   */
  frame(steps, signal, start, f0_hz) {
    this.steps = steps;
    this.signal = signal;
    if (f0_hz > 0) {
      const found = this.#voiced(start - this.carry, RATE_HZ / f0_hz);
      return [this.#jitter(found), this.#shimmer_db(found)];
    }
    this.carry = this.lastPeriod_s = this.lastJitter = this.lastShimmer = 0;
    return [0, 0];
  }

  /**
   * Go from period to period, from sample `start` on, as far as this frame reaches.
   * @param {number} start @param {number} period samples
   */
  #voiced(start, period) {
    const low = Math.floor(0.9 * period);
    const high = Math.ceil(1.1 * period);
    const needLeast = LONG.hop + this.carry;
    const need = Math.min(Math.max(needLeast, 2 * high + 2), this.carry + LONG.length);
    /** @type {Sums} */
    const found = { periods: 0, period_s: 0, differences: 0, difference_s: 0, amplitude: 0, amplitudeDifference: 0 };
    let at = 0;
    let last = 0;
    while (at < need - 2 * high - 1) {
      at += this.#period(start + at, low, high, found) ?? roundHalfAway(period);
      if (at < needLeast - 1) last = at;
    }
    this.carry = needLeast - last;
    return found;
  }

  /**
   * Measure the period that starts at sample `at`; its samples, or undefined where none is found.
   * @param {number} at @param {number} low @param {number} high shortest and longest lag
   * @param {Sums} found
   */
  #period(at, low, high, found) {
    correlate(this.steps, at, low, high);
    const peak = bestLag(high - low + 1);
    if (peak < 0) return undefined;
    const lag = low + peak;
    const [refined, height] = vertex(lag, correlation[peak - 1], correlation[peak], correlation[peak + 1]);
    if (height > CORRELATION_GATE) {
      this.#addPeriod(fround(Math.abs(refined) / RATE_HZ), found);
      // amplitudes of two periods without their first and last sample; float32, as stored
      const first = span(this.signal, at + 1, at + lag - 1);
      const second = span(this.signal, at + lag + 1, at + 2 * lag - 1);
      found.amplitude += (first + second) / 2;
      found.amplitudeDifference += Math.abs(first - second);
    }
    return lag;
  }

  /** @param {number} period_s float32 @param {Sums} found */
  #addPeriod(period_s, found) {
    found.periods += 1;
    found.period_s += period_s;
    if (this.lastPeriod_s > 0) {
      found.difference_s += fround(Math.abs(fround(this.lastPeriod_s - period_s)));
      found.differences += 1;
    }
    this.lastPeriod_s = period_s;
  }

  /** @param {Sums} found */
  #jitter(found) {
    if (found.periods && !found.differences) return 0;
    if (found.periods) {
      const mean_s = found.period_s / found.periods;
      this.lastJitter = Math.min(1, found.difference_s / found.differences / mean_s);
    }
    return this.lastJitter;
  }

  /** @param {Sums} found */
  #shimmer_db(found) {
    if (found.periods) {
      this.lastShimmer = Math.min(1, found.amplitude ? found.amplitudeDifference / found.amplitude : 0);
    }
    return 20 * Math.log10(1 + this.lastShimmer);
  }
}

/**
 * Pearson correlation of y[at : at+p] and y[at+p : at+2p] for each lag p, in `correlation`; NaN without energy.
 * @param {Float64Array} y @param {number} at @param {number} low @param {number} high
 */
function correlate(y, at, low, high) {
  for (let i = 0; i < 2 * high; i++) {
    sums[i + 1] = sums[i] + y[at + i];
    squares[i + 1] = squares[i] + y[at + i] * y[at + i];
  }
  for (let p = low; p <= high; p++) {
    let cross = 0;
    for (let i = at; i < at + p; i++) cross += y[i] * y[i + p];
    const a = sums[p];
    const b = sums[2 * p] - a;
    const product = (p * squares[p] - a * a) * (p * (squares[2 * p] - squares[p]) - b * b);
    correlation[p - low] = product > 0 ? (p * cross - a * b) / Math.sqrt(product) : NaN;
  }
}

/**
 * Index of the largest strict local maximum, the first on ties, or -1; the last two are never candidates.
 * @param {number} count
 */
function bestLag(count) {
  let best = -1;
  for (let i = 1; i < count - 2; i++) {
    const here = correlation[i];
    const isMaximum = correlation[i - 1] < here && here > correlation[i + 1];
    if (isMaximum && (best < 0 || here > correlation[best])) best = i;
  }
  return best;
}

/**
 * Largest minus smallest value of signal[start..end), float32.
 * @param {Float32Array} signal @param {number} start @param {number} end
 */
function span(signal, start, end) {
  let least = signal[start];
  let most = least;
  for (let i = start + 1; i < end; i++) {
    if (signal[i] < least) least = signal[i];
    else if (signal[i] > most) most = signal[i];
  }
  return fround(most - least);
}

/**
 * Vertex of the parabola through three neighbouring lags, the middle one a strict maximum.
 * @param {number} lag @param {number} left @param {number} top @param {number} right
 * @returns {[number, number]}
 */
function vertex(lag, left, top, right) {
  const slope = (right - left) / 2;
  const curvature = (left + right) / 2 - top;
  return [lag - slope / (2 * curvature), top - (slope * slope) / (4 * curvature)];
}
