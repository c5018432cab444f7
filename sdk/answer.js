/**
 * What a model says of one recording, on the device: one label with the model's own confidence, or that nothing is
 * determined, and why.
 *
 *     const opened = await openModel(file, cardText, { trusted: keys, profile: "compat" });
 *     answer(opened, features).value                          // "female", "not determined", "not available"
 *
 * Rules upheld here, as on the Python side (voice/models/inference.py):
 * 1. Features of another profile or version than the model's are refused, never converted.
 * 2. Without enough voice, or with values beyond what the model takes, everything is "not available", never a guess.
 * 3. Exactly one label in the card's prediction set is an answer; none or several are "not determined".
 * 4. A recording outside of the range on the card is "unlike what was learned": no label is ruled out, however sure the
 *    model is.
 *
 * Ask the person before this is called: each inferred attribute is a purpose of its own.
 */

import { IntegrityError, UsageError } from "./errors.js";
import { distance, runModel } from "./model.js";
import { FEATURE_NAMES } from "./names.js";
import { MINIMUM_VOICED_FRAMES } from "./quality.js";

export const NOT_DETERMINED = "not determined";
export const NOT_AVAILABLE = "not available";
export const UNLIKE = "unlike what was learned";

/**
 * @typedef {object} Answer
 * @property {string} attribute
 * @property {string} value one label, "not determined" or "not available"
 * @property {string | null} reason why nothing is determined, where the recording itself is the reason
 * @property {number | null} confidence the model's own probability of `value`; null where there is no such label
 * @property {string[] | null} labelSet the labels that are not ruled out; null: not available
 * @property {number | null} percent how often such a set holds the true label, among people like those learned from
 * @property {number[] | null} probabilities one for each label
 */

/**
 * UsageError (`model_profile`; `model_quantity` for a model of a quantity, of which labels are no answer);
 * IntegrityError (`card_malformed`) for a range of features that nobody knows.
 * @param {{model: import("./model.js").Model, card: {[key: string]: any}}} opened by `openModel`
 * @param {{values: ArrayLike<number>, profile: string, version: string, quality: {voicedFrames: number}}} features
 * @returns {Answer}
 */
export function answer({ model, card }, features) {
  if (card.quantity !== undefined && card.quantity !== "none") {
    throw new UsageError("This model gives a quantity: its labels are no answer.", { reason: "model_quantity" });
  }
  const conformal = card.conformal?.kind === "set" ? card.conformal : null;
  const percent = conformal === null ? null : conformal.percent;
  const probabilities = probabilitiesOf(model, features);
  if (probabilities === null) {
    return { attribute: model.attribute, value: NOT_AVAILABLE, reason: null, confidence: null, labelSet: null, percent, probabilities };
  }
  const unlike = isUnlike(model, card.learned_range, features);
  const labelSet = setOf(model.labels, probabilities, conformal, unlike);
  const place = labelSet === null ? probabilities.indexOf(Math.max(...probabilities)) : model.labels.indexOf(labelSet[0]);
  const determined = labelSet === null || labelSet.length === 1;
  return {
    attribute: model.attribute,
    value: determined ? model.labels[place] : NOT_DETERMINED,
    reason: unlike ? UNLIKE : null,
    confidence: determined ? probabilities[place] : null,
    labelSet,
    percent,
    probabilities,
  };
}

/** @param {import("./model.js").Model} model @param {any} features @returns {number[] | null} */
function probabilitiesOf(model, features) {
  try {
    const outputs = runModel(model, features); // first: another profile is refused, voice or not
    if (!(features.quality.voicedFrames >= MINIMUM_VOICED_FRAMES)) return null;
    return outputs.length === 1 ? [1 - outputs[0], outputs[0]] : Array.from(outputs);
  } catch (error) {
    if (error instanceof UsageError && error.reason === "model_overflow") return null;
    throw error;
  }
}

/** @param {import("./model.js").Model} model @param {any} range of the card @param {{values: ArrayLike<number>}} features */
function isUnlike(model, range, { values }) {
  if (range === undefined || range === NOT_AVAILABLE) return false; // cards of older formats state none
  const inputs = Array.from(range.inputs, (/** @type {string} */ name) => FEATURE_NAMES.indexOf(name));
  const bound = Number(range.bound);
  if (inputs.length === 0 || inputs.includes(-1) || !Number.isFinite(bound)) {
    throw new IntegrityError("This card names a range that cannot be checked.", { reason: "card_malformed" });
  }
  return distance(model, values, inputs) > bound;
}

/** @param {string[]} labels @param {number[]} probabilities @param {any} conformal @param {boolean} unlike */
function setOf(labels, probabilities, conformal, unlike) {
  if (unlike) return [...labels];
  if (conformal === null) return null;
  const threshold = Number(conformal.threshold);
  return labels.filter((_, i) => 1 - probabilities[i] <= threshold);
}
