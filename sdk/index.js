/**
 * The SDK: the 88 voice features and the voice profile, on the device.
 *
 *     import { egemaps, voiceProfile } from "./index.js";
 *     const features = egemaps(samples, 48000);
 *     voiceProfile(features).items
 *
 * In a page, `Extractor` does the same in a worker, with progress and cancel; `Recorder` records. Nothing here sends,
 * stores or logs anything. The numbers are personal data all the same.
 */

export { answer } from "./answer.js";
export { openModel, trustedKeys } from "./card.js";
export { Extractor } from "./client.js";
export { PROFILES } from "./egemaps/extract.js";
export {
  AudioRejected, Cancelled, IntegrityError, RecorderError, SottovoceError, UnknownSigner, UsageError,
} from "./errors.js";
export { egemaps } from "./features.js";
export { voiceProfile } from "./insight.js";
export { hashOf, readModel, runModel } from "./model.js";
export { FEATURE_NAMES } from "./names.js";
export { Recorder, tone } from "./record.js";
export { readWav } from "./wav.js";
