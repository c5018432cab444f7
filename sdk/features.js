/** The features alone: of samples, with what tells how far to trust them. */

import { analyse } from "./egemaps/extract.js";
import { FEATURE_NAMES } from "./names.js";
import { gate, qualityOf } from "./quality.js";

/**
 * @typedef {import("./egemaps/extract.js").Analysis & {
 *   quality: import("./quality.js").Quality, findings: import("./quality.js").Finding[]}} Features
 */

/**
 * 88 features of one channel, with what tells how far to trust them. Errors as `analyse`.
 * @param {Float64Array | Float32Array} samples (n,) -1..1
 * @param {number} sampleRate_hz 8,000 to 192,000; resampled to 16 kHz
 * @param {{profile?: string, flags?: string[], onProgress?: (share: number) => void}} [options] flags: what the
 *   reader or the recorder saw (cut, dropouts, ...)
 * @returns {Features}
 */
export function egemaps(samples, sampleRate_hz, { profile, flags, onProgress } = {}) {
  const analysis = analyse(samples, sampleRate_hz, { profile, onProgress });
  const quality = qualityOf(samples, sampleRate_hz, analysis.voicedFrames, flags);
  const level_db = analysis.values[FEATURE_NAMES.indexOf("equivalentSoundLevel_dBp")];
  return { ...analysis, quality, findings: gate(quality, level_db) };
}
