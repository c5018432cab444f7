/**
 * From samples to frames and magnitude spectra (specification 2 to 4).
 *
 * Two streams with one hop of 10 ms: 20 ms Hamming frames and 60 ms Gaussian frames, both left-aligned; frame t of
 * the two counts as the same time. Magnitudes are not normalised.
 */

import { RealFft } from "./fft.js";
import { fround, roundHalfAway } from "./numeric.js";

export const FULL_SCALE = 32767;
const INT16_SCALE = 32768;
const RATE_HZ = 16000;

/** Sizes and tables of one stream of frames at 16 kHz. */
export class Stream {
  /** @param {number} frame_s nominal length of a frame */
  constructor(frame_s) {
    this.sampleRate_hz = RATE_HZ;
    this.frame_s = frame_s;
    this.length = roundHalfAway(frame_s * RATE_HZ); // samples
    this.hop = roundHalfAway(0.01 * RATE_HZ); // samples
    this.fftSize = 2 ** Math.ceil(Math.log2(this.length));
    this.bins = this.fftSize / 2 + 1;
    this.duration_s = frame_s * (this.fftSize / this.length); // of the zero-padded frame
    // computed exactly so, because equality tests on these values occur (specification 4)
    this.frequencies_hz = Float64Array.from({ length: this.bins }, (_, k) => (1 / this.duration_s) * k);
    this.fft = new RealFft(this.fftSize);
  }

  /** Number of complete frames; nothing is padded. @param {number} samples */
  count(samples) {
    return Math.max(0, 1 + Math.floor((samples - this.length) / this.hop));
  }
}

export const SHORT = new Stream(0.02);
export const LONG = new Stream(0.06);

const HAMMING = Float64Array.from(
  { length: SHORT.length },
  (_, i) => 0.54 - 0.46 * Math.cos((2 * Math.PI * i) / (SHORT.length - 1)),
);
const HALF = (LONG.length - 1) / 2;
const GAUSSIAN = Float64Array.from({ length: LONG.length }, (_, i) =>
  Math.exp(-0.5 * ((i - HALF) / (0.4 * HALF)) ** 2),
);

/**
 * Samples in [-1, 1] as whole 16-bit steps, truncated toward zero and clipped (Q1). The values are integers held in
 * float64: sums of their products stay exact.
 * @param {Float64Array} samples
 */
export function quantise(samples) {
  const steps = new Float64Array(samples.length);
  for (let i = 0; i < steps.length; i++) {
    steps[i] = Math.min(Math.max(Math.trunc(samples[i] * INT16_SCALE), -INT16_SCALE), FULL_SCALE);
  }
  return steps;
}

/**
 * 16-bit steps as the float32 signal that is analysed (divided by 32767, not 32768).
 * @param {Float64Array} steps
 */
export function toSignal(steps) {
  const signal = new Float32Array(steps.length);
  for (let i = 0; i < steps.length; i++) signal[i] = steps[i] / FULL_SCALE;
  return signal;
}

/**
 * One frame under a Hamming window, float32.
 * @param {Float32Array} frame @param {Float32Array} windowed
 */
export function hamming(frame, windowed) {
  for (let i = 0; i < frame.length; i++) windowed[i] = frame[i] * HAMMING[i];
}

/**
 * One frame under a Gaussian window (sigma 0.4 of the half length), float32.
 * @param {Float32Array} frame @param {Float32Array} windowed
 */
export function gaussian(frame, windowed) {
  for (let i = 0; i < frame.length; i++) windowed[i] = frame[i] * GAUSSIAN[i];
}

/**
 * Absolute spectrum of one windowed frame, float32.
 * @param {Float32Array} windowed (length,)
 * @param {Stream} stream
 * @param {Float32Array} magnitude (bins,)
 */
export function magnitudes(windowed, stream, magnitude) {
  const { fft, bins } = stream;
  fft.transform(windowed);
  const { real, imaginary } = fft;
  for (let k = 0; k < bins; k++) magnitude[k] = Math.sqrt(real[k] * real[k] + imaginary[k] * imaginary[k]);
}

/**
 * The squares, float32.
 * @param {Float32Array} magnitude @param {Float32Array} power
 */
export function powers(magnitude, power) {
  for (let k = 0; k < magnitude.length; k++) power[k] = fround(magnitude[k] * magnitude[k]);
}
