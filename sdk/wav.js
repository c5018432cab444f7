/**
 * A small reader of WAVE files (RIFF and RIFX, PCM and floating point), so that the browser's own decoder, which
 * resamples, is not needed for them. The refusals are those of the Python side.
 *
 * Sources: Microsoft/IBM "Multimedia Programming Interface and Data Specifications 1.0" (1991), mmreg.h for the tags.
 */

import { AudioRejected } from "./errors.js";

const OPEN_SIZE = 0x7ffff000; // streamed files leave the size open with this or more
const MAX_CHUNKS = 1000;
const [PCM, FLOAT, EXTENSIBLE] = [1, 3, 0xfffe];
const LOUDEST = 8; // 18 dB above full scale
const RATES_HZ = [8000, 192000];
const MOST_CHANNELS = 8;
const LONGEST_S = 7200;

/** @type {Record<string, [string, string]>} reason -> what happened, what to try */
const REASONS = {
  empty: ["The file is empty.", "Record again."],
  unknown_format: ["This is not a WAVE file.", "Export it as WAV."],
  format_not_allowed: ["This kind of WAVE file is not read here.", "Export it as plain PCM."],
  header_invalid: ["The header of the recording is broken, cut or impossible.", "Export it again."],
  no_samples: ["The recording holds no sound.", "Record again; the file is only a header."],
  sample_rate: ["The sample rate lies outside 8 to 192 kHz.", "Export it again."],
  channels: ["The recording does not have 1 to 8 channels.", "Export it again."],
  too_long: ["The recording is longer than two hours.", "Choose the part that is to be analysed."],
  too_short: ["The recording is shorter than 100 ms.", "Record at least a few seconds of speech."],
  non_finite: ["The recording holds values that are not numbers.", "Export it again."],
  amplitude: ["The recording is absurdly loud for its format.", "Scale the samples to -1..1."],
  truncated: ["The recording ends before its header says.", "Choose the whole file."],
};

/** @typedef {{samples: Float64Array, sampleRate_hz: number, channels: number, flags: string[]}} Sound */

/**
 * The first channel of a WAVE file.
 * @param {ArrayBuffer} buffer
 * @param {{mostAnalysed_s?: number}} [limits] what is longer is cut, and flagged
 * @returns {Sound}
 */
export function readWav(buffer, { mostAnalysed_s = 30 } = {}) {
  if (buffer.byteLength === 0) throw rejected("empty");
  if (!isWav(buffer)) throw rejected("unknown_format");
  const view = new DataView(buffer);
  const { format, start, declared } = chunks(view);
  checkFormat(format, declared);
  const present = buffer.byteLength - start;
  if ((declared ?? present) === 0) throw rejected("no_samples");
  if (declared !== null && present < declared) throw rejected("truncated");
  const frames = Math.floor((declared ?? present) / format.frameBytes);
  const kept = Math.min(frames, Math.floor(mostAnalysed_s * format.sampleRate_hz));
  const samples = Float64Array.from({ length: kept }, (_, i) => format.read(view, start + i * format.frameBytes));
  checkSamples(samples, format.sampleRate_hz);
  const flags = [...(kept < frames ? ["cut"] : []), ...(declared === null ? ["length_unknown"] : [])];
  return { samples, sampleRate_hz: format.sampleRate_hz, channels: format.channels, flags };
}

/** Whether these bytes begin like a WAVE file. @param {ArrayBuffer} buffer */
export function isWav(buffer) {
  if (buffer.byteLength < 12) return false;
  const view = new DataView(buffer);
  return ["RIFF", "RIFX"].includes(text(view, 0)) && text(view, 8) === "WAVE";
}

/** The error for a reason of the table. @param {string} reason */
export function rejected(reason) {
  const [message, hint] = REASONS[reason];
  return new AudioRejected(message, { hint, reason });
}

/**
 * What every recording has to pass: complete numbers, 100 ms, no absurd level.
 * @param {Float64Array | Float32Array} samples @param {number} sampleRate_hz
 */
export function checkSamples(samples, sampleRate_hz) {
  if (!samples.every(Number.isFinite)) throw rejected("non_finite");
  if (samples.length === 0) throw rejected("no_samples");
  if (samples.length < 0.1 * sampleRate_hz) throw rejected("too_short");
  if (samples.some((s) => Math.abs(s) > LOUDEST)) throw rejected("amplitude");
}

/**
 * @typedef {{channels: number, sampleRate_hz: number, frameBytes: number,
 *   read: (view: DataView, at: number) => number}} Format
 */

/** @param {DataView} view @returns {{format: Format, start: number, declared: number | null}} */
function chunks(view) {
  const little = text(view, 0) === "RIFF";
  const riffBytes = view.getUint32(4, little);
  /** @type {Format | undefined} */
  let format;
  let at = 12;
  for (let i = 0; i < MAX_CHUNKS && at + 8 <= view.byteLength; i++) {
    const [name, size] = [text(view, at), view.getUint32(at + 4, little)];
    at += 8;
    if (name === "data") {
      if (!format) break;
      const open = size >= OPEN_SIZE || (size === 0 && (riffBytes === 0 || riffBytes >= OPEN_SIZE));
      return { format, start: at, declared: open ? null : size };
    }
    if (name === "fmt ") format = formatOf(view, at, size, little);
    at += size + (size & 1);
  }
  throw rejected("header_invalid");
}

/** @param {DataView} view @param {number} at @param {number} size @param {boolean} little @returns {Format} */
function formatOf(view, at, size, little) {
  if (size < 16 || at + Math.min(size, 40) > view.byteLength) throw rejected("header_invalid");
  const two = (/** @type {number} */ offset) => view.getUint16(at + offset, little);
  const four = (/** @type {number} */ offset) => view.getUint32(at + offset, little);
  const tag = two(0) === EXTENSIBLE && size >= 28 ? four(24) : two(0);
  const [channels, sampleRate_hz, block, bits] = [two(2), four(4), two(12), two(14)];
  if (channels === 0 || sampleRate_hz === 0 || (bits === 0 && (tag === PCM || tag === FLOAT))) {
    throw rejected("header_invalid");
  }
  if (tag !== PCM && tag !== FLOAT) throw rejected("format_not_allowed");
  const tight = channels * Math.ceil(bits / 8);
  const frameBytes = block >= tight && block % channels === 0 ? block : tight;
  return { channels, sampleRate_hz, frameBytes, read: reader(tag, frameBytes / channels, bits, little) };
}

/**
 * How one sample is read; PCM is scaled to -1..1.
 * @param {number} tag @param {number} width bytes @param {number} bits @param {boolean} little
 * @returns {(view: DataView, at: number) => number}
 */
function reader(tag, width, bits, little) {
  if (tag === FLOAT) {
    if (width * 8 !== bits || (bits !== 32 && bits !== 64)) throw rejected("header_invalid");
    return (view, at) => (bits === 32 ? view.getFloat32(at, little) : view.getFloat64(at, little));
  }
  if (width === 1) return (view, at) => (view.getUint8(at) - 128) / 128;
  if (width === 2) return (view, at) => view.getInt16(at, little) / 2 ** 15;
  if (width === 4) return (view, at) => view.getInt32(at, little) / 2 ** 31;
  if (width !== 3) throw rejected("header_invalid");
  return (view, at) => {
    const high = view.getInt8(little ? at + 2 : at);
    return (high * 65536 + view.getUint8(at + 1) * 256 + view.getUint8(little ? at : at + 2)) / 2 ** 23;
  };
}

/** @param {Format} format @param {number | null} declared bytes */
function checkFormat({ channels, sampleRate_hz, frameBytes }, declared) {
  if (sampleRate_hz < RATES_HZ[0] || sampleRate_hz > RATES_HZ[1]) throw rejected("sample_rate");
  if (channels > MOST_CHANNELS) throw rejected("channels");
  if (declared !== null && declared / frameBytes > LONGEST_S * sampleRate_hz) throw rejected("too_long");
}

/** @param {DataView} view @param {number} at */
function text(view, at) {
  return String.fromCharCode(...new Uint8Array(view.buffer, at, 4));
}
