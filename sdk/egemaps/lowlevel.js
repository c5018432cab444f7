/**
 * The low-level contours of a recording, measured frame by frame.
 *
 * What needs the pitch (jitter, formants, harmonics) waits until the path through the pitch candidates is decided,
 * mostly one or two frames; it is asked every `BLOCK` frames.
 */

import * as balance from "./balance.js";
import { column } from "./contours.js";
import { findFormants, findFormantsCorrected, FORMANTS, usedSpectrum } from "./formants.js";
import { gaussian, hamming, LONG, magnitudes, powers, SHORT, toSignal } from "./frames.js";
import { harmonicLevels, harmonicsToNoise } from "./harmonics.js";
import * as mel from "./mel.js";
import { Walk } from "./periods.js";
import { semitones, Tracker } from "./pitch.js";

const BLOCK = 64; // frames
const SPECTRAL = 10; // loudness, four of balance, flux, four MFCC
const VOICE = 14; // jitter, shimmer, HNR, H1-H2, H1-A3, then frequency, bandwidth, amplitude of three formants
const NO_AMPLITUDE_DB = -201; // Q13

/**
 * Low-level values before smoothing; the 20 ms stream has a few frames more than the 60 ms stream.
 * @typedef {object} Contours
 * @property {Float32Array} semitones (frames60,) above 27.5 Hz, 0 where unvoiced
 * @property {number} undecided frames at the end that an online decoder would still hold
 * @property {number} level_db
 * @property {Float32Array[]} spectral ten contours of the 20 ms stream
 * @property {Float32Array[]} voice fourteen contours of the 60 ms stream
 */

/**
 * @param {Float64Array} steps a whole recording of at least 60 ms at 16 kHz, as 16-bit steps
 * @param {boolean} corrected
 * @param {(share: number) => void} onProgress told how much is done, 0..1
 * @returns {Contours}
 */
export function measure(steps, corrected, onProgress) {
  const measurement = new Measurement(steps, corrected);
  const count = LONG.count(steps.length);
  for (let t = 0; t < count; t++) {
    measurement.addFrame(t);
    if ((t + 1) % BLOCK === 0) {
      measurement.measureDecided();
      onProgress((t + 1) / count);
    }
  }
  return measurement.finish(count);
}

/** One recording on its way from samples to contours. */
class Measurement {
  /** @param {Float64Array} steps @param {boolean} corrected */
  constructor(steps, corrected) {
    this.steps = steps;
    this.signal = toSignal(steps);
    this.corrected = corrected;
    this.tracker = new Tracker(corrected);
    this.walk = new Walk();
    this.shortCount = SHORT.count(steps.length);
    this.spectral = new Float32Array(this.shortCount * SPECTRAL);
    this.voice = new Float32Array(LONG.count(steps.length) * VOICE);
    this.f0_hz = new Float32Array(LONG.count(steps.length));
    this.decided = 0; // frames done with all that needs the pitch
    this.energy = 0;
    /** @type {{magnitude: Float32Array, source: Float32Array | Float64Array}[]} of the other frames */
    this.waiting = [];
    this.short = { windowed: new Float32Array(SHORT.length), power: new Float32Array(SHORT.bins) };
    this.short2 = [new Float32Array(SHORT.bins), new Float32Array(SHORT.bins)]; // magnitudes now and before
    this.bands = new Float32Array(mel.BANDS);
    this.long = new Float32Array(LONG.length);
  }

  /** Frame `t` of both streams. @param {number} t */
  addFrame(t) {
    this.#measureShort(t);
    const source = this.corrected ? this.short.power.slice() : usedSpectrum(SHORT.fft);
    const start = t * LONG.hop;
    gaussian(this.signal.subarray(start, start + LONG.length), this.long);
    const magnitude = new Float32Array(LONG.bins);
    magnitudes(this.long, LONG, magnitude);
    this.tracker.add(this.long, magnitude);
    this.waiting.push({ magnitude, source });
  }

  /** All frames whose pitch is decided. */
  measureDecided() {
    this.#measureVoice(this.tracker.decided());
  }

  /** @param {number} count frames of the 60 ms stream @returns {Contours} */
  finish(count) {
    for (let t = count; t < this.shortCount; t++) this.#measureShort(t);
    this.measureDecided();
    const rest = this.tracker.finish();
    this.#measureVoice(rest);
    return {
      semitones: semitones(this.f0_hz),
      undecided: rest.length,
      level_db: 10 * Math.log10(Math.max(this.energy / this.shortCount, 1e-12)),
      spectral: Array.from({ length: SPECTRAL }, (_, i) => column(this.spectral, SPECTRAL, i)),
      voice: Array.from({ length: VOICE }, (_, i) => column(this.voice, VOICE, i)),
    };
  }

  /** Frame `t` of the 20 ms stream. @param {number} t */
  #measureShort(t) {
    const { power, windowed } = this.short;
    const [magnitude, before] = this.short2;
    const frame = this.signal.subarray(t * SHORT.hop, t * SHORT.hop + SHORT.length);
    const row = this.spectral.subarray(t * SPECTRAL, (t + 1) * SPECTRAL);
    hamming(frame, windowed);
    magnitudes(windowed, SHORT, magnitude);
    powers(magnitude, power);
    mel.melBands(power, this.bands);
    row[0] = mel.loudness(this.bands);
    row[1] = balance.alphaRatio(power);
    row[2] = balance.hammarbergIndex(power);
    balance.spectralSlopes(power, this.corrected, row, 3);
    row[5] = t === 0 ? 0 : balance.spectralFlux(magnitude, before);
    mel.mfcc(this.bands, row, 6);
    this.short2 = [before, magnitude];
    this.energy += meanSquare(frame);
  }

  /** @param {Float32Array} f0_hz of the next decided frames */
  #measureVoice(f0_hz) {
    const frames = this.waiting.splice(0, f0_hz.length);
    frames.forEach(({ magnitude, source }, i) => {
      const t = this.decided + i;
      const row = this.voice.subarray(t * VOICE, (t + 1) * VOICE);
      [row[0], row[1]] = this.walk.frame(this.steps, this.signal, t * LONG.hop, f0_hz[i]);
      if (f0_hz[i] > 0) this.#harmonicVoice(magnitude, source, f0_hz[i], row);
      else if (!this.corrected) row[7] = row[10] = row[13] = NO_AMPLITUDE_DB;
    });
    this.f0_hz.set(f0_hz, this.decided);
    this.decided += f0_hz.length;
  }

  /** @param {Float32Array} magnitude @param {Float32Array | Float64Array} source @param {number} f0_hz @param {Float32Array} row */
  #harmonicVoice(magnitude, source, f0_hz, row) {
    const formants = new Float32Array(2 * FORMANTS);
    const levels = new Float32Array(2 + FORMANTS);
    if (source instanceof Float32Array) findFormantsCorrected(source, f0_hz, formants);
    else findFormants(source, formants);
    harmonicLevels(magnitude, f0_hz, formants, this.corrected, levels);
    row[2] = harmonicsToNoise(magnitude, f0_hz);
    row[3] = levels[0];
    row[4] = levels[1];
    for (let k = 0; k < FORMANTS; k++) {
      row[5 + 3 * k] = formants[k];
      row[6 + 3 * k] = formants[FORMANTS + k];
      row[7 + 3 * k] = levels[2 + k];
    }
  }
}

/** @param {Float32Array} frame */
function meanSquare(frame) {
  let sum = 0;
  for (let i = 0; i < frame.length; i++) sum += frame[i] * frame[i];
  return sum / frame.length;
}
