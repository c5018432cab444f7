/**
 * What the waveform itself says about how far its features can be trusted: clipping, offset, noise, length, band.
 *
 * Measured on the chosen channel at its own rate, before resampling.
 */

import { percentile } from "./egemaps/numeric.js";

export const MINIMUM_VOICED_FRAMES = 20; // fewer, and what is said of the voice is "not available"

const SHORT_S = 0.5; // below: percentiles and rates rest on fewer than 50 frames
const NARROW_BAND_HZ = 8000; // source rates up to this hold at most 4 kHz of voice
const RAIL_LEAST = 0.97; // of full scale; companded 8-bit audio has its rail at 0.98
const RAIL_TOLERANCE = 2 ** -15; // one step of 16 bits
const RAIL_RUN = 3; // samples in a row at one rail are clipped, fewer may be a true peak
const CLIPPED_SHARE = 0.001;
const DC_LEVEL = 0.02; // of full scale
const DC_LEAST = 0.001; // a smaller offset counts where it is stronger than the signal
const SNR_LEAST_FRAMES = 50;
const SNR_LEAST_CONTRAST_DB = 3; // steadier signals have no pauses to take the noise from
const SILENT_ENERGY = 1e-12;
const SILENCE_DB = -60; // full-scale square 0 dB; speech near a microphone lies above -45
const NOISY_SNR_DB = 10; // below, jitter, shimmer and HNR mostly measure the noise

/**
 * @typedef {object} Quality
 * @property {number} duration_s analysed part
 * @property {number} voicedFrames 10 ms frames with F0 > 0
 * @property {number} clippedShare 0..1, samples at the rails
 * @property {number | null} snr_db estimate; null where the signal gives none
 * @property {number} sourceRate_hz
 * @property {string[]} flags sorted: clipped, cut, dc, few_voiced_frames, narrow_band, no_voice, short, ...
 *
 * @typedef {{name: string, measured: number, words: string}} Finding
 */

/**
 * @param {Float64Array | Float32Array} samples (n,) finite, full scale 1.0, at the source's own rate
 * @param {number} sourceRate_hz
 * @param {number} voicedFrames
 * @param {string[]} [seen] flags of whoever made the samples
 * @returns {Quality}
 */
export function qualityOf(samples, sourceRate_hz, voicedFrames, seen = []) {
  const mean = meanOf(samples);
  const clippedShare = (inRuns(samples, 1) + inRuns(samples, -1)) / (samples.length || 1);
  const found = {
    clipped: clippedShare >= CLIPPED_SHARE,
    dc: hasOffset(samples, mean),
    few_voiced_frames: voicedFrames > 0 && voicedFrames < MINIMUM_VOICED_FRAMES,
    narrow_band: sourceRate_hz <= NARROW_BAND_HZ,
    no_voice: voicedFrames === 0,
    short: samples.length < SHORT_S * sourceRate_hz,
  };
  const flags = Object.entries(found).filter(([, present]) => present).map(([name]) => name);
  return {
    duration_s: samples.length / sourceRate_hz,
    voicedFrames,
    clippedShare,
    snr_db: estimateSnr_db(samples, mean, sourceRate_hz),
    sourceRate_hz,
    flags: [...flags, ...seen].sort(),
  };
}

/**
 * What a person should know before anything is made of the features of this recording. Nothing is refused here; an
 * empty list means that nothing of this list was found, not that the recording is good.
 * @param {Quality} quality
 * @param {number} level_db `equivalentSoundLevel_dBp` of the features
 * @returns {Finding[]}
 */
export function gate({ clippedShare, snr_db, duration_s, voicedFrames }, level_db) {
  const silent = level_db <= SILENCE_DB;
  /** @type {[boolean, string, number, string][]} */
  const checks = [
    [silent, "silence", level_db, `almost silent: the level is ${(-level_db).toFixed(0)} dB below full scale`],
    [
      clippedShare >= CLIPPED_SHARE, "clipping", clippedShare,
      `clipped: ${(100 * clippedShare).toPrecision(2)} % of the samples stand at the rails; record with less gain`,
    ],
    [
      snr_db !== null && snr_db < NOISY_SNR_DB, "noise", snr_db ?? 0,
      `noisy: the signal-to-noise ratio is about ${snr_db?.toFixed(0)} dB; it blurs most values`,
    ],
    [
      duration_s < SHORT_S, "short", duration_s,
      `short: ${duration_s.toFixed(2)} s; percentiles and rates need at least ${SHORT_S} s`,
    ],
    [
      !silent && voicedFrames === 0, "no_voice", 0,
      "without voice: no frame has a pitch, so every voiced value is a placeholder",
    ],
    [
      !silent && voicedFrames > 0 && voicedFrames < MINIMUM_VOICED_FRAMES, "few_voiced_frames", voicedFrames,
      `hardly any voice: ${voicedFrames} voiced frames of 10 ms; at least ${MINIMUM_VOICED_FRAMES} are needed`,
    ],
  ];
  return checks.filter(([found]) => found).map(([, name, measured, words]) => ({ name, measured, words }));
}

/**
 * How many samples lie in runs of at least three at one rail: the channel's own highest (or lowest) value, where
 * that is near full scale.
 * @param {Float64Array | Float32Array} samples
 * @param {1 | -1} side
 */
function inRuns(samples, side) {
  let highest = -Infinity;
  for (let i = 0; i < samples.length; i++) {
    const s = side * samples[i];
    if (s > highest) highest = s;
  }
  const rail = Math.min(highest, 1);
  if (!(rail >= RAIL_LEAST)) return 0;
  let total = 0;
  let run = 0;
  for (let i = 0; i <= samples.length; i++) {
    if (i < samples.length && side * samples[i] >= rail - RAIL_TOLERANCE) run += 1;
    else {
      if (run >= RAIL_RUN) total += run;
      run = 0;
    }
  }
  return total;
}

/**
 * Whether the mean is off zero: by 2 % of full scale, or by more than the signal itself.
 * @param {Float64Array | Float32Array} samples @param {number} mean
 */
function hasOffset(samples, mean) {
  const offset = Math.abs(mean);
  if (samples.length === 0 || offset < DC_LEAST) return false;
  return offset >= DC_LEVEL || offset >= Math.sqrt(energy(samples, mean, 0, samples.length));
}

/**
 * 10 log10 of (loud - quiet) / quiet: 90th and 10th percentile of the energies of 20 ms frames. A rough estimate for
 * speech with pauses over steady noise; null where it cannot be made.
 * @param {Float64Array | Float32Array} samples
 * @param {number} mean
 * @param {number} sampleRate_hz
 */
function estimateSnr_db(samples, mean, sampleRate_hz) {
  const energies = frameEnergies(samples, mean, sampleRate_hz).filter((energy) => energy > SILENT_ENERGY).sort();
  if (energies.length < SNR_LEAST_FRAMES) return null;
  const quiet = percentile(energies, 10);
  const loud = percentile(energies, 90);
  if (loud < quiet * 10 ** (SNR_LEAST_CONTRAST_DB / 10)) return null;
  return 10 * Math.log10((loud - quiet) / quiet);
}

/** @param {Float64Array | Float32Array} samples @param {number} mean @param {number} sampleRate_hz */
function frameEnergies(samples, mean, sampleRate_hz) {
  const length = Math.floor(sampleRate_hz / 50);
  const hop = Math.floor(sampleRate_hz / 100);
  const energies = new Float64Array(samples.length < length ? 0 : 1 + Math.floor((samples.length - length) / hop));
  for (let t = 0; t < energies.length; t++) energies[t] = energy(samples, mean, t * hop, t * hop + length);
  return energies;
}

/**
 * Mean square of samples[start..end) around the mean of all.
 * @param {Float64Array | Float32Array} samples @param {number} mean @param {number} start @param {number} end
 */
function energy(samples, mean, start, end) {
  let sum = 0;
  for (let i = start; i < end; i++) {
    const s = samples[i] - mean;
    sum += s * s;
  }
  return sum / (end - start);
}

/** @param {Float64Array | Float32Array} samples */
function meanOf(samples) {
  let sum = 0;
  for (let i = 0; i < samples.length; i++) sum += samples[i];
  return sum / (samples.length || 1);
}
