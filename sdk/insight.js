/**
 * The voice profile: what a few of the 88 features say, in plain language, about the sound of one recording.
 *
 * Rules, in this order:
 * 1. Nothing is inferred about the person: no age, sex, health, emotion or identity.
 * 2. Without enough voice every value is "not available" (null), never 0.
 * 3. A value that the recording does not give (no period was measured, ...) is "not available" too.
 * 4. No formants: those of the profile `compat` are not the resonances of the voice.
 * 5. Norms of other definitions are not used: HNR values here are lower than those of other methods.
 *
 * The rule table is that of the Python side, word for word (a test compares them).
 */

import { FEATURE_NAMES } from "./names.js";
import { MINIMUM_VOICED_FRAMES } from "./quality.js";

export const KIND = "voice_profile";
export const VERSION = "voice_profile/1";

/** @type {Record<string, (value: number) => number>} */
const FORMULAS = {
  "as it is": (value) => value,
  "27.5 * 2^(x/12)": (value) => 27.5 * 2 ** (value / 12),
  "100 * x": (value) => 100 * value,
};

/**
 * How one line of the profile comes from one feature; `present_if` names one that is 0 where the value does not exist.
 */
export const RULES = Object.freeze([
  {
    name: "pitch_level",
    title: "Pitch level",
    unit: "Hz",
    formula: "27.5 * 2^(x/12)",
    feature: "F0semitoneFrom27.5Hz_sma3nz_percentile50.0",
    present_if: "F0semitoneFrom27.5Hz_sma3nz_percentile50.0",
    meaning: "How high the voice sounds: half of the voiced moments lie below this frequency, half above.",
  },
  {
    name: "pitch_level_semitones",
    title: "Pitch level on a musical scale",
    unit: "semitones above 27.5 Hz",
    formula: "as it is",
    feature: "F0semitoneFrom27.5Hz_sma3nz_percentile50.0",
    present_if: "F0semitoneFrom27.5Hz_sma3nz_percentile50.0",
    meaning: "The same pitch level counted in semitones (twelve to an octave), as the ear hears distances.",
  },
  {
    name: "pitch_range",
    title: "Pitch range",
    unit: "semitones",
    formula: "as it is",
    feature: "F0semitoneFrom27.5Hz_sma3nz_pctlrange0-2",
    present_if: "F0semitoneFrom27.5Hz_sma3nz_percentile50.0",
    meaning: "How far the melody moves: the distance between the lower and the upper fifth of the voiced moments.",
  },
  {
    name: "voiced_segments_rate",
    title: "Voiced stretches per second",
    unit: "1/s",
    formula: "as it is",
    feature: "VoicedSegmentsPerSec",
    present_if: "VoicedSegmentsPerSec",
    meaning: "How often the voice starts anew. A stand-in for the pace of speaking; words are not recognised.",
  },
  {
    name: "loudness_peaks_rate",
    title: "Loudness peaks per second",
    unit: "1/s",
    formula: "as it is",
    feature: "loudnessPeaksPerSec",
    present_if: "loudnessPeaksPerSec",
    meaning: "How often the loudness peaks, roughly once per syllable. A stand-in for the pace of speaking.",
  },
  {
    name: "loudness_dynamics",
    title: "Loudness dynamics",
    unit: "of the mean loudness",
    formula: "as it is",
    feature: "loudness_sma3_stddevNorm",
    present_if: "loudness_sma3_amean",
    meaning: "How much the loudness changes: 0 is perfectly even; pauses count as quiet.",
  },
  {
    name: "level",
    title: "Level of the recording",
    unit: "dBFS",
    formula: "as it is",
    feature: "equivalentSoundLevel_dBp",
    present_if: "loudness_sma3_amean",
    meaning: "How strong the recording is, in decibels below full scale. It depends on the microphone and its distance, not only on the voice.",
  },
  {
    name: "jitter",
    title: "Jitter",
    unit: "%",
    formula: "100 * x",
    feature: "jitterLocal_sma3nz_amean",
    present_if: "jitterLocal_sma3nz_amean",
    meaning: "How much neighbouring periods of the voice differ in length. Noise and compression raise it.",
  },
  {
    name: "shimmer",
    title: "Shimmer",
    unit: "dB",
    formula: "as it is",
    feature: "shimmerLocaldB_sma3nz_amean",
    present_if: "shimmerLocaldB_sma3nz_amean",
    meaning: "How much neighbouring periods of the voice differ in strength. Noise and compression raise it.",
  },
  {
    name: "hnr",
    title: "Harmonics-to-noise ratio",
    unit: "dB",
    formula: "as it is",
    feature: "HNRdBACF_sma3nz_amean",
    present_if: "HNRdBACF_sma3nz_amean",
    meaning: "How much of the voiced sound repeats from period to period. Norms of other definitions of this ratio don't apply: the method used here gives lower values.",
  },
]);

/**
 * @typedef {{name: string, title: string, value: number | null, unit: string, meaning: string, features: string[]}} Item
 * @typedef {{kind: string, version: string, items: Item[]}} Insight
 */

/**
 * @param {{values: Float64Array, quality: {voicedFrames: number}}} features
 * @returns {Insight}
 */
export function voiceProfile({ values, quality }) {
  const valueOf = (/** @type {string} */ name) => values[FEATURE_NAMES.indexOf(name)];
  const hasVoice = quality.voicedFrames >= MINIMUM_VOICED_FRAMES;
  const items = RULES.map((rule) => {
    const available = hasVoice && valueOf(rule.present_if) !== 0;
    const value = available ? FORMULAS[rule.formula](valueOf(rule.feature)) : null;
    return { name: rule.name, title: rule.title, value, unit: rule.unit, meaning: rule.meaning, features: [rule.feature] };
  });
  return { kind: KIND, version: VERSION, items };
}
