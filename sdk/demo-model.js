/**
 * The model of the demonstration page: what its signed card says, a choice that is off until a person makes it, and
 * the answer.
 *
 * Rules upheld here:
 * 1. The model runs only while the choice stands. It is off whenever the page is loaded, and nothing keeps it.
 * 2. It can be chosen only after its card was verified against the signers that came with the page, and beside what
 *    that card says.
 * 3. Shown is what the card's prediction set leaves, and why; never a probability.
 * 4. File, card and signers are one module that is loaded with the page: running the model asks for nothing.
 */

import { answer, openModel, SottovoceError, trustedKeys, UsageError } from "./index.js";

const SHIPPED = new URL("shipped-model.js", import.meta.url).href; // made by whoever serves the page

/** @typedef {import("./features.js").Features} Features */
/** @typedef {Awaited<ReturnType<typeof openModel>>} Opened */
/** @typedef {{value: string, low: string, high: string, speakers: number}} Estimate shares of 1 */

/** @type {<T extends HTMLElement>(id: string) => T} */
const byId = (id) => /** @type {any} */ (document.getElementById(id));
const choice = /** @type {HTMLInputElement} */ (byId("estimate"));

/** The choice, and what was measured last. */
class Offer {
  /** @type {Features | undefined} */
  #features;

  /** @param {Opened | undefined} opened */
  constructor(opened) {
    this.opened = opened;
    choice.checked = false;
    choice.disabled = opened === undefined;
    choice.addEventListener("change", () => this.#show());
    if (opened !== undefined) this.#show();
  }

  /** These features are what the choice is about from now on. @param {Features} features */
  measured(features) {
    this.#features = features;
    this.#show();
  }

  forget() {
    this.#features = undefined;
    this.#show();
  }

  #show() {
    if (this.opened === undefined) return;
    if (!choice.checked) return say("Not run", "It runs only while the box is ticked.");
    if (this.#features === undefined) return say("Nothing to run on", "Record, or choose a file.");
    tell(this.opened, this.#features);
  }
}

/** Offer the model that came with the page; where none did, there is no such part of the page. */
export async function offerModel() {
  const shipped = await import(SHIPPED).then((module) => module.default, () => undefined);
  if (shipped === undefined) return new Offer(undefined);
  byId("model").hidden = false;
  try {
    const trusted = await trustedKeys(shipped.signers);
    const bytes = Uint8Array.from(atob(shipped.file), (character) => character.charCodeAt(0));
    const opened = await openModel(bytes.buffer, shipped.card, { trusted });
    describe(opened.card);
    return new Offer(opened);
  } catch (error) {
    say("Not offered", words(error));
    return new Offer(undefined);
  }
}

/** Run it, and show what is left of the labels. @param {Opened} opened @param {Features} features */
function tell(opened, features) {
  try {
    const said = answer(opened, features);
    say(said.value, reason(said));
  } catch (error) {
    const otherProfile = error instanceof UsageError && error.reason === "model_profile";
    say("Not run", otherProfile ? `It takes the profile ${opened.model.profile}: choose that, and measure again.` : words(error));
  }
}

/** Why there is one label, or none. @param {import("./answer.js").Answer} said */
function reason({ reason: why, labelSet, percent }) {
  if (labelSet === null) return "There is too little voice in this recording.";
  if (why !== null) return `This recording is ${why}: nothing can be said of it.`;
  if (labelSet.length === 1) return `The one label that is not ruled out at ${percent} %. It may be wrong.`;
  if (labelSet.length === 0) return `No label is left at ${percent} %.`;
  return `Neither ${labelSet.join(" nor ")} is ruled out at ${percent} %.`;
}

/** What the card says, in a few lines. @param {{[key: string]: any}} card */
function describe(card) {
  const { conformal, error, training_data: training, transfer } = card;
  const others = transfer[transfer.length - 1];
  const facts = [
    ["It estimates", `${card.attribute.replaceAll("_", " ")}: ${card.labels.join(", ")}, or not determined`],
    ["Its purpose", card.purpose],
    ["Learned from", `${training.speakers} speakers; ${conformal.speakers} more set what is ruled out`],
    ["Wrong", `for ${estimate(error)} it has not learned from, where it has to name a label`],
    ["Coverage", `the labels left held the true one for ${estimate(conformal.coverage)}; the aim is ${conformal.percent} %`],
    ["Wrong elsewhere", `for ${estimate(others)} in other recordings, the same way`],
  ];
  byId("model-facts").replaceChildren(...facts.flatMap(([name, text]) => [element("dt", name), element("dd", text)]));
  byId("model-not-for").replaceChildren(...card.not_for.map((/** @type {string} */ use) => element("li", sentence(use))));
  byId("model-card").hidden = false;
}

/** @param {Estimate} estimate */
function estimate({ value, low, high, speakers }) {
  return `${percent(value)} (95 % interval ${percent(low)} to ${percent(high)}) of ${speakers} speakers`;
}

/** @param {string} share */
function percent(share) {
  return `${(100 * Number(share)).toFixed(1)} %`;
}

/** @param {string} head @param {string} text */
function say(head, text) {
  byId("model-answer").replaceChildren(element("strong", head), ". ", element("span", text));
}

/** @param {unknown} error */
function words(error) {
  if (!(error instanceof SottovoceError)) return "Something went wrong in this page.";
  return [error.message, error.hint].filter(Boolean).join(" ");
}

/** @param {string} text */
function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

/** @param {string} tag @param {string} text */
function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
