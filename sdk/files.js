/**
 * From a chosen file to samples: WAVE by our own reader, everything else by the browser's decoder.
 *
 * The browser's decoder resamples to the rate it is told. For FLAC that is the file's own; for other formats it is
 * 48 kHz, and the quality says that the browser had a hand in it.
 */

import { SottovoceError } from "./errors.js";
import { checkSamples, isWav, readWav, rejected } from "./wav.js";

const MOST_BYTES = 1 << 28;
const USUAL_RATE_HZ = 48000; // of Opus, and of most video
const MOST_ANALYSED_S = 30;

/** @typedef {import("./wav.js").Sound} Sound */

/**
 * The first channel of a recording, at most 30 s of it (flag `cut`).
 * @param {ArrayBuffer} buffer
 * @returns {Promise<Sound>}
 */
export async function readSound(buffer) {
  if (buffer.byteLength === 0) throw rejected("empty");
  if (buffer.byteLength > MOST_BYTES) throw new SottovoceError("too_large", "The file is larger than 256 MB.");
  return isWav(buffer) ? readWav(buffer, { mostAnalysed_s: MOST_ANALYSED_S }) : decoded(buffer);
}

/** @param {ArrayBuffer} buffer @returns {Promise<Sound>} */
async function decoded(buffer) {
  const own_hz = flacRate_hz(buffer);
  const context = new OfflineAudioContext(1, 1, own_hz ?? USUAL_RATE_HZ);
  const audio = await context.decodeAudioData(buffer).catch(() => {
    throw rejected("unknown_format");
  });
  const kept = Math.min(audio.length, MOST_ANALYSED_S * audio.sampleRate);
  const samples = Float64Array.from(audio.getChannelData(0).subarray(0, kept));
  for (let i = 0; i < audio.numberOfChannels; i++) audio.getChannelData(i).fill(0);
  checkSamples(samples, audio.sampleRate);
  const flags = ["decoded_by_browser", ...(own_hz ? [] : ["resampled_by_browser"])];
  if (kept < audio.length) flags.push("cut");
  return { samples, sampleRate_hz: audio.sampleRate, channels: audio.numberOfChannels, flags };
}

/** The sample rate that a FLAC file declares (RFC 9639, section 8.2), if it is one. @param {ArrayBuffer} buffer */
function flacRate_hz(buffer) {
  if (buffer.byteLength < 42) return undefined;
  const view = new DataView(buffer);
  if (view.getUint32(0) !== 0x664c6143) return undefined; // "fLaC"
  const rate_hz = view.getUint32(18) >>> 12;
  return rate_hz >= 8000 && rate_hz <= 192000 ? rate_hz : undefined;
}
