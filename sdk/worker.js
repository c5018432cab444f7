/**
 * The worker that computes: one job in, progress and one answer out. `client.js` speaks with it.
 *
 * It holds the samples only while it works; whoever cancels ends the worker, and its memory goes with it.
 */

import { SottovoceError } from "./errors.js";
import { egemaps } from "./features.js";

/** @typedef {{id: number, samples: Float64Array | Float32Array, sampleRate_hz: number, profile?: string, flags?: string[]}} Job */

self.addEventListener("message", (/** @type {MessageEvent<Job>} */ event) => {
  const { id, samples, sampleRate_hz, profile, flags } = event.data;
  const onProgress = (/** @type {number} */ share) => self.postMessage({ id, progress: share });
  try {
    self.postMessage({ id, features: egemaps(samples, sampleRate_hz, { profile, flags, onProgress }) });
  } catch (error) {
    const known = error instanceof SottovoceError;
    const { code, message, hint, reason } = known
      ? error
      : { code: "error", message: "The features could not be computed.", hint: "", reason: "" };
    self.postMessage({ id, error: { code, message, hint, reason } });
  } finally {
    samples?.fill?.(0);
  }
});
