/**
 * 88 eGeMAPS v02 functionals of a recording, profiles `compat` and `corrected` (specification 2 to 15).
 *
 *     const { values } = analyse(samples, 48000, { profile: "compat" });
 *
 * The twin of voice/egemaps/extract.py: the same modules, the same order of work, float64 with rounding to float32
 * where the Python side rounds. Everything is deterministic; nothing is fetched, stored or written.
 */

import { AudioRejected, UsageError } from "../errors.js";
import { MAXIMUM_RATE_HZ, MINIMUM_RATE_HZ, RATE_HZ, resample } from "../resample.js";
import { onlyWhere, smooth, smoothNonzero } from "./contours.js";
import { quantise } from "./frames.js";
import { meanAndSpread, meanAndSpreadNonzero, ten } from "./functionals.js";
import { measure } from "./lowlevel.js";
import { measureSlopes } from "./peaks.js";
import { measureSegments } from "./segments.js";

const MINIMUM_S = 0.1;
const VOICED_SEMITONE = 1e-6;

/** One exact definition of the 88 values each; vectors of different profiles or versions are never mixed. */
export const PROFILES = Object.freeze({ compat: "egemaps-88/1", corrected: "egemaps-88/c1" });

/**
 * @typedef {import("./lowlevel.js").Contours} Contours
 * @typedef {object} Analysis
 * @property {Float64Array} values (88,) in the order of `FEATURE_NAMES`
 * @property {string} profile @property {string} version
 * @property {number} sampleRate_hz of the analysed signal: 16000
 * @property {number} voicedFrames 10 ms frames with F0 > 0
 * @property {number} frames 10 ms frames in all (of the 60 ms stream)
 */

/**
 * Features and frame counts of one recording.
 *
 * Throws AudioRejected with the reason `non_finite`, `too_short` (less than 100 ms) or `sample_rate` (outside
 * 8..192 kHz), UsageError for an unknown profile or samples that are not floating point.
 * @param {Float64Array | Float32Array} samples (n,) mono, -1..1
 * @param {number} sampleRate_hz anything but 16 kHz is resampled
 * @param {{profile?: string, onProgress?: (share: number) => void}} [options]
 * @returns {Analysis}
 */
export function analyse(samples, sampleRate_hz, { profile = "compat", onProgress = () => {} } = {}) {
  const version = versionOf(profile);
  const signal = checked(samples, sampleRate_hz);
  const corrected = profile === "corrected";
  const low = measure(quantise(resample(signal, sampleRate_hz)), corrected, onProgress);
  return {
    values: Float64Array.from(functionals(low, corrected)),
    profile,
    version,
    sampleRate_hz: RATE_HZ,
    voicedFrames: low.semitones.filter((value) => value > 0).length,
    frames: low.semitones.length,
  };
}

/** The 88 values in canonical order (specification 14). @param {Contours} low @param {boolean} corrected */
function functionals(low, corrected) {
  const voiced = Uint8Array.from(low.semitones, (value) => +(value > VOICED_SEMITONE));
  // Q14: what hangs on the pitch is evaluated without the frames that an online decoder still holds. Where it holds
  // them all (a steady tone little longer than 100 ms) the specification leaves it open: all are used.
  const kept = voiced.length - (corrected ? 0 : low.undecided) || voiced.length;
  const pitch = smoothNonzero(low.semitones).subarray(0, kept);
  const voicedPitch = pitch.filter((value) => value !== 0);
  const [loudness, ...spectral] = low.spectral;
  const loudnessContour = smooth(loudness);
  const loudnessSlopes = measureSlopes(loudnessContour, corrected);
  const masked = (/** @type {Float32Array} */ values, /** @type {0 | 1} */ which) =>
    meanAndSpreadNonzero(smoothNonzero(onlyWhere(values, voiced, which)).subarray(0, kept));
  return [
    ...ten(voicedPitch, measureSlopes(voicedPitch, corrected)),
    ...ten(loudnessContour, loudnessSlopes),
    ...spectral.slice(4).flatMap((values) => meanAndSpread(smooth(values))),
    ...low.voice.flatMap((values) => meanAndSpreadNonzero(smoothNonzero(values.subarray(0, kept)))),
    ...spectral.flatMap((values) => masked(values, 1)),
    ...spectral.slice(0, 5).map((values) => masked(values, 0)[0]),
    loudnessSlopes.peaks / (0.01 * loudnessContour.length),
    ...segments(pitch, corrected),
    low.level_db,
  ];
}

/** @param {Float32Array} pitch @param {boolean} corrected */
function segments(pitch, corrected) {
  const hits = Array.from(pitch, (value) => value !== 0);
  const voiced = measureSegments(hits, corrected);
  const unvoiced = measureSegments(hits.map((hit) => !hit), corrected);
  return [voiced.perSecond, voiced.mean_s, voiced.deviation_s, unvoiced.mean_s, unvoiced.deviation_s];
}

/** @param {string} profile */
function versionOf(profile) {
  if (profile === "compat" || profile === "corrected") return PROFILES[profile];
  throw new UsageError("There is no feature profile of that name.", { hint: "Known profiles: compat, corrected." });
}

/** @param {Float64Array | Float32Array} samples @param {number} sampleRate_hz */
function checked(samples, sampleRate_hz) {
  if (!(samples instanceof Float64Array || samples instanceof Float32Array)) {
    throw new UsageError("Samples are one channel: a Float32Array or a Float64Array.", {
      hint: "Choose a channel first.",
    });
  }
  if (!(sampleRate_hz >= MINIMUM_RATE_HZ && sampleRate_hz <= MAXIMUM_RATE_HZ)) {
    throw new AudioRejected("The sample rate is outside 8,000 to 192,000 Hz.", { reason: "sample_rate" });
  }
  if (!allFinite(samples)) {
    throw new AudioRejected("The recording holds values that are not numbers.", { reason: "non_finite" });
  }
  if (samples.length < MINIMUM_S * sampleRate_hz) {
    throw new AudioRejected("The recording is shorter than 100 ms.", {
      hint: "Record a longer one.",
      reason: "too_short",
    });
  }
  return samples instanceof Float64Array ? samples : Float64Array.from(samples);
}

/** @param {Float64Array | Float32Array} samples */
function allFinite(samples) {
  for (let i = 0; i < samples.length; i++) if (!Number.isFinite(samples[i])) return false;
  return true;
}
