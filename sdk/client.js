/**
 * The extractor of a page: features in a Web Worker, with progress and cancel.
 *
 *     const extractor = new Extractor();
 *     const features = await extractor.features(samples, 48000, { onProgress: (share) => ... });
 *     extractor.cancel();   // ends the worker at once; what waits is refused with the code `cancelled`
 *     extractor.close();
 *
 * Samples are handed over, not copied: the page's own array is empty afterwards (`keep` makes a copy instead, and so
 * does a view of a part).
 * Under Trusted Types the worker's address is made by the policy `sottovoce`, and by no other.
 */

import { AudioRejected, Cancelled, SottovoceError, UsageError } from "./errors.js";

/** @typedef {import("./features.js").Features} Features */

/**
 * @typedef {object} Options
 * @property {string} [profile] `compat` (default) or `corrected`
 * @property {string[]} [flags] what the reader or the recorder saw
 * @property {(share: number) => void} [onProgress] 0..1
 * @property {boolean} [keep] leave the page's samples as they are
 *
 * @typedef {{resolve: (features: Features) => void, reject: (error: Error) => void,
 *   onProgress: (share: number) => void}} Waiting
 */

const WORKER = new URL("./worker.js", import.meta.url);

/** One worker, started when it is first needed. */
export class Extractor {
  /** @type {Worker | undefined} */
  #worker;
  #last = 0;
  /** @type {Map<number, Waiting>} */
  #waiting = new Map();

  /**
   * 88 features of one channel; errors as `egemaps`, and `Cancelled`.
   * @param {Float64Array | Float32Array} samples
   * @param {number} sampleRate_hz
   * @param {Options} [options]
   * @returns {Promise<Features>}
   */
  features(samples, sampleRate_hz, { profile, flags, onProgress = () => {}, keep = false } = {}) {
    if (!(samples instanceof Float64Array || samples instanceof Float32Array)) {
      return Promise.reject(new UsageError("Samples are one channel: a Float32Array or a Float64Array."));
    }
    const id = ++this.#last;
    const whole = samples.buffer instanceof ArrayBuffer && samples.buffer.byteLength === samples.byteLength;
    const sent = keep || !whole ? samples.slice() : samples;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, onProgress });
      this.#running().postMessage({ id, samples: sent, sampleRate_hz, profile, flags }, [sent.buffer]);
    });
  }

  /** End the worker and refuse what waits; the next call starts a new one. */
  cancel() {
    this.#end(new Cancelled());
  }

  /** The same, at the end of the page's use. */
  close() {
    this.cancel();
  }

  #running() {
    if (!this.#worker) {
      this.#worker = new Worker(/** @type {any} */ (trusted(WORKER)), { type: "module" });
      this.#worker.addEventListener("message", (event) => this.#answer(event.data));
      this.#worker.addEventListener("error", (event) => {
        event.preventDefault();
        this.#end(new SottovoceError("error", "The worker ended without an answer."));
      });
    }
    return this.#worker;
  }

  /** @param {{id: number, progress?: number, features?: Features, error?: {code: string, message: string, hint: string, reason: string}}} message */
  #answer({ id, progress, features, error }) {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    if (progress !== undefined) return waiting.onProgress(progress);
    this.#waiting.delete(id);
    if (features) waiting.resolve(features);
    else if (error) waiting.reject(revived(error));
  }

  /** @param {Error} error */
  #end(error) {
    this.#worker?.terminate();
    this.#worker = undefined;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(error);
  }
}

/** @param {{code: string, message: string, hint: string, reason: string}} error */
function revived({ code, message, hint, reason }) {
  if (code === "audio_rejected") return new AudioRejected(message, { hint, reason });
  if (code === "usage") return new UsageError(message, { hint, reason });
  return new SottovoceError(code, message, { hint, reason });
}

/** @type {{createScriptURL: (address: string) => unknown} | undefined} */
let policy;

/** A same-origin address of this SDK as the type that a strict page asks for. @param {URL} address */
function trusted(address) {
  const types = /** @type {any} */ (globalThis).trustedTypes;
  if (!types) return address;
  policy ??= /** @type {{createScriptURL: (address: string) => unknown}} */ (
    types.createPolicy("sottovoce", {
      createScriptURL: (/** @type {string} */ text) => {
        if (text !== WORKER.href) throw new TypeError("Only the SDK's own worker is started.");
        return text;
      },
    })
  );
  return policy.createScriptURL(address.href);
}
