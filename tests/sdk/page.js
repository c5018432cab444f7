/** What the browser tests call in the page; served beside the SDK, under the same strict policy. */

import { answer, egemaps, Extractor, openModel, readModel, Recorder, runModel, trustedKeys } from "/index.js";
import { makeSignal } from "./signals.js";

const plain = ({ values, ...rest }) => ({ ...rest, values: Array.from(values) });

/** @type {string[]} */
const violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));

const extractor = new Extractor();

Object.assign(window, {
  violations,

  /** Golden vectors of one file, through the worker. */
  async vectors(file) {
    const { cases } = await (await fetch(`/vectors/features/${file}`)).json();
    const results = [];
    for (const { signal, rate_hz = 16000, profile } of cases) {
      results.push(plain(await extractor.features(makeSignal(signal), rate_hz, { profile })));
    }
    return results;
  },

  /** What becomes of things that the page's policy forbids: the names of the errors. */
  async forbidden() {
    const attempts = {
      markup: () => void (document.body.innerHTML = "<b>no</b>"),
      code: () => Function("return 1")(),
      worker: () => void new Worker("/worker.js", { type: "module" }),
      elsewhere: () => fetch("http://example.org/"),
    };
    const names = {};
    for (const [name, attempt] of Object.entries(attempts)) {
      names[name] = await Promise.resolve().then(attempt).then(() => "allowed", (error) => error.name);
    }
    return names;
  },

  /** The page is hidden now (or seen again), as far as a script can tell. */
  hide(hidden) {
    Object.defineProperty(document, "visibilityState", { value: hidden ? "hidden" : "visible", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  },

  /** Features of little-endian float64 samples in a file, through the worker; the code where they are refused. */
  async featuresOf(file, rate_hz, profile) {
    const samples = new Float64Array(await (await fetch(file)).arrayBuffer());
    try {
      return plain(await extractor.features(samples, rate_hz, { profile }));
    } catch (error) {
      return { code: error.publicCode };
    }
  },

  /** What the model in /samples/ says of samples in a file: its card is checked, then features, then the answer. */
  async asked(file, rate_hz, profile) {
    const get = (name) => fetch(`/samples/${name}`);
    try {
      const keys = await trustedKeys(await (await get("signers.json")).text());
      const bytes = await (await get("model.tflite")).arrayBuffer();
      const opened = await openModel(bytes, await (await get("card.json")).text(), { trusted: keys });
      const samples = new Float64Array(await (await fetch(file)).arrayBuffer());
      return answer(opened, await extractor.features(samples, rate_hz, { profile }));
    } catch (error) {
      return { reason: error.reason };
    }
  },

  /** Seconds that the features of a file take: in the worker, five times after one. */
  async timed(file, rate_hz, profile) {
    const samples = new Float64Array(await (await fetch(file)).arrayBuffer());
    const took = [];
    for (let i = 0; i < 6; i++) {
      const start = performance.now();
      await extractor.features(samples, rate_hz, { profile, keep: true });
      took.push((performance.now() - start) / 1000);
    }
    return took;
  },

  /** Milliseconds of one inference by the model in a file: the mean of 1000, five times after one. */
  async timedModel(file) {
    const model = readModel(await (await fetch(file)).arrayBuffer());
    const values = Array.from({ length: model.mean.length }, (_, i) => model.mean[i] + i / 100);
    const features = { values, profile: model.profile, version: model.version };
    return Array.from({ length: 6 }, () => {
      const start = performance.now();
      for (let i = 0; i < 1000; i++) runModel(model, features);
      return (performance.now() - start) / 1000;
    });
  },

  /** Progress, then cancel: what came, and the code of the refusal; then the worker works again. */
  async cancelled() {
    const shares = [];
    const samples = new Float64Array(480000).map((_, i) => 0.3 * Math.sin(i / 20));
    const onProgress = (share) => {
      shares.push(share);
      extractor.cancel();
    };
    const code = await extractor.features(samples, 16000, { onProgress }).catch((error) => error.publicCode);
    const again = await extractor.features(new Float64Array(16000), 16000);
    return { shares, code, left: samples.length, again: again.frames };
  },

  /** One recording of so many seconds; the samples stay in the page under `recorded`. */
  async record(most_s, { stopAfter_s = 0, hideAfter_s = 0, stopAtOnce = false } = {}) {
    const states = [];
    const cues = [];
    const recorder = new Recorder({
      most_s,
      onState: (state) => {
        states.push(state);
        if (state !== "recording") return;
        if (stopAfter_s) setTimeout(() => recorder.stop(), 1000 * stopAfter_s);
        if (hideAfter_s) setTimeout(() => window.hide(true), 1000 * hideAfter_s);
      },
      onCue: (moment) => void cues.push(`${moment} while ${recorder.state}`),
    });
    const recording = recorder.record();
    const busy = await recorder.record().catch((error) => error.publicCode);
    if (stopAtOnce) recorder.stop();
    try {
      const { samples, ...rest } = await recording;
      window.recorded = samples;
      await new Promise((resolve) => setTimeout(resolve, 50)); // the last cue
      return { ...rest, count: samples.length, states, cues, busy };
    } catch (error) {
      return { code: error.publicCode, states, cues, busy };
    }
  },

  /** The recording as base64 of little-endian float32. */
  recordedBytes() {
    const bytes = new Uint8Array(window.recorded.buffer);
    let text = "";
    for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    return btoa(text);
  },

  recordedFeatures(rate_hz) {
    return plain(egemaps(window.recorded, rate_hz));
  },
});

document.documentElement.dataset.ready = "yes";
