/**
 * Recording for measuring: the microphone's samples as they are, visibly, and never longer than the policy says.
 *
 *     const recorder = new Recorder({ most_s: 30, onState: show, onCue: tone });
 *     const { samples, sampleRate_hz, flags } = await recorder.record();   // until stop(), the maximum, or a hidden page
 *
 * Rules upheld here:
 * 1. The microphone is open only between `record()` and its end; then every track is stopped and the context closed.
 * 2. The state is told before the first sample is kept and after the last (`onState`); the cue (`onCue`) is waited
 *    for, so that it is heard before the recording begins and is not part of it. What the microphone gives before that
 *    is let go on the audio thread.
 * 3. The maximum is kept on the audio thread (record-worklet.js).
 * 4. Echo cancellation, noise suppression and gain control are asked off; what the browser really does is read back
 *    and told: such processing changes what is measured.
 * 5. A page that is hidden stops recording.
 * 6. Samples come by AudioWorklet, never by MediaRecorder: its formats are lossy and differ from browser to browser.
 */

import { Cancelled, RecorderError } from "./errors.js";

const WORKLET = new URL("./record-worklet.js", import.meta.url);
const SETTLED_S = 0.1;
const LET_GO_S = 0.8; // of sound after opening the microphone; scripts/recorder_losses.py counts what is lost after it
const SETTLE_PATIENCE_S = 5; // for a microphone that gives nothing
const STOP_PATIENCE_S = 2; // for an audio thread that does not answer

/** @typedef {"idle" | "asking" | "ready" | "recording" | "stopped"} State */

/**
 * @typedef {object} Recording
 * @property {Float32Array} samples (n,) one channel
 * @property {number} sampleRate_hz
 * @property {string} endedBy `asked`, `maximum`, `hidden` or `interrupted`
 * @property {number} dropouts gaps in the stream
 * @property {number} missing samples lost in them
 * @property {{echoCancellation?: boolean | string, noiseSuppression?: boolean, autoGainControl?: boolean,
 *   sampleRate?: number, channelCount?: number}} settings what the browser says it does
 * @property {string[]} flags for the quality: dropouts, echo_cancellation, noise_suppression, gain_control,
 *   settings_unknown, resampled_by_browser, interrupted
 *
 * @typedef {object} Options
 * @property {number} [most_s] the policy's maximum
 * @property {(state: State) => void} [onState] to show it: text, sign and colour
 * @property {(moment: "start" | "end") => void | Promise<void>} [onCue] to make it heard
 * @property {(peak: number, seconds: number) => void} [onLevel] loudest sample of the last block, time so far
 */

/** One microphone, one recording at a time. */
export class Recorder {
  /** @type {State} */
  state = "idle";
  /** @type {((reason: string) => void) | undefined} */
  #end;
  #stopped = false;

  /** @param {Options} [options] */
  constructor({ most_s = 30, onState = () => {}, onCue = () => {}, onLevel = () => {} } = {}) {
    this.most_s = most_s;
    this.onState = onState;
    this.onCue = onCue;
    this.onLevel = onLevel;
  }

  /**
   * Record until `stop()`, the maximum, a hidden page or the end of the microphone.
   *
   * Throws RecorderError with the reason `busy`, `unsupported`, `denied`, `no_microphone` or `hidden`, and Cancelled
   * where `stop()` comes before it began.
   * @returns {Promise<Recording>}
   */
  async record() {
    if (this.state !== "idle" && this.state !== "stopped") {
      throw new RecorderError("This recorder is already at work.", { reason: "busy" });
    }
    this.#stopped = false;
    this.#tell("asking");
    let heard = false;
    /** @type {MediaStream | undefined} */
    let stream;
    /** @type {AudioContext | undefined} */
    let context;
    try {
      stream = await microphone();
      const [track] = stream.getAudioTracks();
      context = await contextFor(track);
      const tap = await tapped(context, stream, this.most_s);
      this.#tell("ready");
      heard = true;
      await this.onCue("start");
      if (this.#stopped) throw new Cancelled();
      const taken = await this.#take(tap, track);
      return finished(taken, track.getSettings(), context.sampleRate);
    } finally {
      stream?.getTracks().forEach((track) => track.stop());
      await context?.close();
      this.#tell("stopped");
      if (heard) await this.onCue("end");
    }
  }

  /** End the recording; `record()` then gives it. */
  stop() {
    this.#stopped = true;
    this.#end?.("asked");
  }

  /** @param {State} state */
  #tell(state) {
    this.state = state;
    this.onState(state);
  }

  /**
   * @param {AudioWorkletNode} tap @param {MediaStreamTrack} track
   * @returns {Promise<Taken>}
   */
  async #take(tap, track) {
    if (document.visibilityState === "hidden") {
      throw new RecorderError("A hidden page does not record.", { reason: "hidden" });
    }
    try {
      return await new Promise((resolve) => this.#listen(tap, track, resolve));
    } finally {
      this.#end = undefined;
    }
  }

  /**
   * @param {AudioWorkletNode} tap @param {MediaStreamTrack} track
   * @param {(taken: Taken) => void} resolve
   */
  #listen(tap, track, resolve) {
    const { sampleRate } = tap.context;
    const listening = new AbortController();
    /** @type {Float32Array[]} */
    const blocks = [];
    let count = 0;
    let reason = "asked";
    const finish = (/** @type {{end: string, dropouts: number, missing: number}} */ { end, dropouts, missing }) => {
      listening.abort();
      resolve({ blocks, endedBy: end === "asked" ? reason : end, dropouts, missing });
    };
    tap.port.onmessage = ({ data }) => {
      if (data.end) return finish(data);
      blocks.push(data.samples);
      count += data.samples.length;
      this.onLevel(peakOf(data.samples), count / sampleRate);
    };
    this.#end = (why) => {
      reason = why;
      tap.port.postMessage("stop");
      setTimeout(() => finish({ end: "asked", dropouts: 0, missing: 0 }), 1000 * STOP_PATIENCE_S);
    };
    const { signal } = listening;
    const hidden = () => document.visibilityState === "hidden" && this.#end?.("hidden");
    document.addEventListener("visibilitychange", hidden, { signal });
    track.addEventListener("ended", () => this.#end?.("interrupted"), { signal });
    this.#tell("recording");
    tap.port.postMessage("start");
  }
}

/** @typedef {{blocks: Float32Array[], endedBy: string, dropouts: number, missing: number}} Taken */

/**
 * A short tone through the loudspeaker: rising when a recording starts, falling when it has ended.
 * @param {"start" | "end"} moment
 */
export async function tone(moment) {
  const context = new AudioContext();
  const oscillator = new OscillatorNode(context, { type: "sine", frequency: moment === "start" ? 660 : 880 });
  const volume = new GainNode(context, { gain: 0 });
  const now = context.currentTime;
  volume.gain.setTargetAtTime(0.1, now, 0.01);
  volume.gain.setTargetAtTime(0, now + 0.14, 0.02);
  oscillator.frequency.setValueAtTime(moment === "start" ? 880 : 660, now + 0.08);
  oscillator.connect(volume).connect(context.destination);
  oscillator.start(now);
  oscillator.stop(now + 0.25);
  await Promise.race([
    new Promise((resolve) => oscillator.addEventListener("ended", resolve, { once: true })),
    new Promise((resolve) => setTimeout(resolve, 600)), // no loudspeaker, no waiting
  ]);
  await context.close();
}

async function microphone() {
  const devices = navigator.mediaDevices;
  if (!devices?.getUserMedia || typeof AudioWorkletNode === "undefined") {
    throw new RecorderError("This browser cannot record here.", {
      hint: "Recording needs a current browser and a secure page (https, or this device itself).",
      reason: "unsupported",
    });
  }
  const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
  try {
    return await devices.getUserMedia({ audio: raw, video: false });
  } catch (error) {
    const denied = error instanceof DOMException && ["NotAllowedError", "SecurityError"].includes(error.name);
    throw denied
      ? new RecorderError("The microphone was not allowed.", {
          hint: "Allow it for this page in the browser's address bar, then try again.",
          reason: "denied",
        })
      : new RecorderError("No microphone can be used.", {
          hint: "Connect one, or close the program that holds it.",
          reason: "no_microphone",
        });
  }
}

/**
 * A context at the microphone's own rate: another one would resample. Nothing is played, so large buffers cost nothing
 * and lose less on a busy device.
 * @param {MediaStreamTrack} track
 */
async function contextFor(track) {
  const { sampleRate } = track.getSettings();
  const context = new AudioContext({ latencyHint: "playback", ...(sampleRate ? { sampleRate } : {}) });
  await context.audioWorklet.addModule(WORKLET);
  await context.resume();
  // A context that has just started leaves out its first frames: they would be a gap in the recording.
  for (let i = 0; i < 100 && context.currentTime < SETTLED_S; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return context;
}

/**
 * A tap that listens to the microphone and keeps nothing yet; given when the browser's buffers have settled.
 * @param {AudioContext} context @param {MediaStream} stream @param {number} most_s
 * @returns {Promise<AudioWorkletNode>}
 */
async function tapped(context, stream, most_s) {
  const { sampleRate } = context;
  const tap = new AudioWorkletNode(context, "sottovoce-tap", {
    numberOfOutputs: 0,
    processorOptions: {
      mostSamples: Math.floor(most_s * sampleRate),
      settleSamples: Math.ceil(LET_GO_S * sampleRate),
    },
  });
  const settled = new Promise((resolve) => {
    tap.port.onmessage = resolve;
    setTimeout(resolve, 1000 * SETTLE_PATIENCE_S);
  });
  context.createMediaStreamSource(stream).connect(tap);
  await settled;
  return tap;
}

/**
 * @param {Taken} taken @param {MediaTrackSettings} settings @param {number} sampleRate_hz
 * @returns {Recording}
 */
function finished({ blocks, endedBy, dropouts, missing }, settings, sampleRate_hz) {
  const samples = new Float32Array(blocks.reduce((count, block) => count + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    samples.set(block, at);
    at += block.length;
    block.fill(0);
  }
  const { echoCancellation, noiseSuppression, autoGainControl, sampleRate, channelCount } = settings;
  const processing = [echoCancellation, noiseSuppression, autoGainControl];
  const seen = {
    dropouts: dropouts > 0,
    echo_cancellation: Boolean(echoCancellation),
    gain_control: Boolean(autoGainControl),
    interrupted: endedBy === "interrupted",
    noise_suppression: Boolean(noiseSuppression),
    resampled_by_browser: sampleRate !== undefined && sampleRate !== sampleRate_hz,
    settings_unknown: processing.includes(undefined),
  };
  return {
    samples,
    sampleRate_hz,
    endedBy,
    dropouts,
    missing,
    settings: { echoCancellation, noiseSuppression, autoGainControl, sampleRate, channelCount },
    flags: Object.entries(seen).filter(([, present]) => present).map(([name]) => name),
  };
}

/** @param {Float32Array} samples */
function peakOf(samples) {
  let peak = 0;
  for (const s of samples) peak = Math.max(peak, Math.abs(s));
  return peak;
}
