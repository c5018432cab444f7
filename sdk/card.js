/**
 * Whose model it is: the signed card of a model file, checked on the device before the model is run.
 *
 *     const keys = await trustedKeys(identityText);          // pinned: part of the page, or of the app
 *     const { model, card } = await openModel(file, cardText, { trusted: keys, profile: "compat" });
 *
 * Rules upheld here, as on the Python side (sealing/receipt.py, usecases/models.py):
 * 1. A card is verified against keys that were pinned before, never against one that it brings along. Who is not
 *    pinned is an unknown signer, whatever the signature says.
 * 2. A text that is not spelled as our own writer spells it (another field, a double key, a float, other spaces) is
 *    refused: the text that was checked is the text that was signed. Python also takes other layouts.
 * 3. The card names the hash of the file, and says of the model what the file says.
 * 4. A model of another feature profile is refused, and one that is a demonstration only unless that is asked for.
 *
 * Ed25519 (RFC 8032) and SHA-256 are the browser's own (Web Cryptography).
 */

import { IntegrityError, UnknownSigner, UsageError } from "./errors.js";
import { hashOf, readModel } from "./model.js";

const RECEIPT_FORMAT = "sottovoce-receipt/1";
const IDENTITY_FORMAT = "sottovoce-identity/1";
const CARD_FORMATS = ["sottovoce-model-card/1", "sottovoce-model-card/2", "sottovoce-model-card/3"];
const SIGNING_LABEL = "sottovoce/receipt/1\0";
const MOST_CHARACTERS = 1 << 20;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;

/**
 * @typedef {null | boolean | number | string | any[] | {[key: string]: any}} Json
 * @typedef {{[key: string]: any}} Fields
 * @typedef {{kind: string, body: Fields, keyId: string}} Receipt
 * @typedef {import("./model.js").Model} Model
 */

/**
 * A model that somebody pinned has signed for, ready for `runModel`.
 *
 * UnknownSigner; IntegrityError (`signature_broken`, `receipt_malformed`, `card_malformed`, `model_not_of_card`);
 * UsageError (`model_malformed`, `model_profile`, `model_demonstration`).
 * @param {ArrayBuffer} file
 * @param {string} card
 * @param {{trusted: Map<string, Uint8Array>, profile?: string, demonstration?: boolean}} how
 * @returns {Promise<{model: Model, card: Fields, keyId: string}>}
 */
export async function openModel(file, card, { trusted, profile, demonstration = false }) {
  const { kind, body, keyId } = await verifyReceipt(card, trusted);
  if (kind !== "model" || !CARD_FORMATS.includes(body.format) || !Array.isArray(body.files)) throw malformed("card_malformed");
  const model = readModel(file);
  if (!isAbout(body, model, await hashOf(file))) {
    throw new IntegrityError("This card is not about this model file.", {
      hint: "Get the card that was signed for exactly this file.",
      reason: "model_not_of_card",
    });
  }
  if (profile !== undefined && profile !== model.profile) {
    throw new UsageError("This model was made for features of another profile.", {
      hint: "Extract the features with the profile that the model's card names.",
      reason: "model_profile",
    });
  }
  if (body.demonstration !== false && !demonstration) {
    throw new UsageError("This model is a demonstration: its data do not support a use.", {
      hint: "Ask for a demonstration if that is what this is.",
      reason: "model_demonstration",
    });
  }
  return { model, card: body, keyId };
}

/**
 * Key id -> public key of a pinned identity file: its first key, then every one that the chain of statements leads to.
 * @param {string} identity @returns {Promise<Map<string, Uint8Array>>}
 */
export async function trustedKeys(identity) {
  const data = parse(identity, ["created_at", "format", "key_id", "public_key", "statements"]);
  if (data.format !== IDENTITY_FORMAT || !Array.isArray(data.statements)) throw malformed();
  let key = bytesOf(data.public_key, KEY_BYTES);
  if (data.key_id !== (await keyIdOf(key))) throw malformed();
  const keys = new Map([[data.key_id, key]]);
  for (const statement of data.statements) {
    const { kind, body, keyId } = await verify(statement, new Map([[await keyIdOf(key), key]]));
    key = bytesOf(body.public_key, KEY_BYTES);
    if (kind !== "identity" || body.statement !== "replaced_by" || body.key_id !== (await keyIdOf(key))) {
      throw malformed();
    }
    if (body.replaces !== keyId) throw malformed();
    keys.set(body.key_id, key);
  }
  return keys;
}

/**
 * A receipt whose signer is pinned and whose signature fits. UnknownSigner, IntegrityError.
 * @param {string} text @param {Map<string, Uint8Array>} trusted @returns {Promise<Receipt>}
 */
export async function verifyReceipt(text, trusted) {
  return verify(parse(text, ["body", "format", "kind", "signature", "signer"]), trusted);
}

// --- signatures ---------------------------------------------------------------------------------------------

/** @param {any} data @param {Map<string, Uint8Array>} trusted @returns {Promise<Receipt>} */
async function verify(data, trusted) {
  check(data, ["body", "format", "kind", "signature", "signer"]);
  check(data.signer, ["key_id"]);
  check(data.body);
  const { body, kind, signer } = data;
  if (data.format !== RECEIPT_FORMAT || typeof kind !== "string" || typeof signer.key_id !== "string") throw malformed();
  const signature = bytesOf(data.signature, SIGNATURE_BYTES);
  const key = trusted.get(signer.key_id);
  if (key === undefined) {
    throw new UnknownSigner("Nothing pinned says whose signature this is.", {
      hint: "Pin the identity file of the signer, got by another way than the card.",
    });
  }
  const message = SIGNING_LABEL + JSON.stringify(ordered({ body, format: data.format, kind, signer }));
  if (!(await isSigned(key, signature, new TextEncoder().encode(message)))) {
    throw new IntegrityError("The signature does not fit: the text was altered after it was signed.", {
      reason: "signature_broken",
    });
  }
  return { kind, body, keyId: signer.key_id };
}

/** @param {Uint8Array} key @param {Uint8Array} signature @param {Uint8Array} message */
async function isSigned(key, signature, message) {
  try {
    const imported = await crypto.subtle.importKey("raw", plain(key), "Ed25519", false, ["verify"]);
    return await crypto.subtle.verify("Ed25519", imported, plain(signature), plain(message));
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotSupportedError") {
      throw new UsageError("This browser cannot check signatures of the kind Ed25519.", {
        hint: "Use a newer browser; without the check no model is run.",
        reason: "unsupported",
      });
    }
    return false; // bytes that are no key
  }
}

/** @param {Uint8Array} key */
function keyIdOf(key) {
  return hashOf(plain(key));
}

/** The same bytes as a buffer that nobody else holds. @param {Uint8Array} bytes @returns {ArrayBuffer} */
function plain(bytes) {
  return /** @type {ArrayBuffer} */ (bytes.slice().buffer);
}

// --- the form of what is signed -----------------------------------------------------------------------------

/** @param {Fields} card @param {Model} model @param {string} sha256 */
function isAbout(card, model, sha256) {
  const labels = Array.isArray(card.labels) ? card.labels : [];
  return (
    card.files.some((/** @type {any} */ entry) => entry !== null && typeof entry === "object" && entry.sha256 === sha256) &&
    card.attribute === model.attribute &&
    card.feature_profile === model.profile &&
    card.feature_version === model.version &&
    labels.length === model.labels.length &&
    model.labels.every((label, i) => label === labels[i])
  );
}

/**
 * The object in a text that is spelled as our writer spells it, with exactly these fields.
 * @param {string} text @param {string[]} names @returns {Fields}
 */
function parse(text, names) {
  if (text.length > MOST_CHARACTERS) throw malformed();
  try {
    const data = JSON.parse(text);
    check(data, names);
    const shape = ordered(data);
    const spellings = [`${JSON.stringify(shape, null, 2)}\n`, JSON.stringify(shape)];
    if (spellings.some((spelling) => sameText(spelling, text))) return data;
  } catch (error) {
    if (error instanceof IntegrityError) throw error;
  }
  throw malformed();
}

/** The identity file is written in ASCII alone, receipts are not: both are ours. @param {string} ours @param {string} text */
function sameText(ours, text) {
  return ours === text || ours.replace(/[\u007f-\uffff]/g, escaped) === text;
}

/** @param {string} character */
function escaped(character) {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** @param {any} value @param {string[]} [names] */
function check(value, names) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw malformed();
  if (names !== undefined && String(Object.keys(value).sort()) !== String(names)) throw malformed();
}

/** Keys sorted by UTF-16 units (RFC 8785, 3.2.3); whole numbers only. @param {any} value @returns {any} */
function ordered(value) {
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw malformed();
  if (Array.isArray(value)) return value.map(ordered);
  if (value === null || typeof value !== "object") return value;
  const sorted = Object.create(null); // so that a key like __proto__ is a key
  for (const key of Object.keys(value).sort()) sorted[key] = ordered(value[key]);
  return sorted;
}

/** Exactly so many bytes in their one canonical base64. @param {any} text @param {number} size @returns {Uint8Array} */
function bytesOf(text, size) {
  if (typeof text !== "string") throw malformed();
  let decoded = "";
  try {
    decoded = atob(text);
  } catch {
    throw malformed();
  }
  if (decoded.length !== size || btoa(decoded) !== text) throw malformed();
  return Uint8Array.from(decoded, (character) => character.charCodeAt(0));
}

function malformed(reason = "receipt_malformed") {
  return new IntegrityError("This is not a card, receipt or identity file of sottovoce.", { reason });
}
