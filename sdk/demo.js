/** The demonstration page: record or choose a file, see the features and the profile, watch the network stay empty. */

import { offerModel } from "./demo-model.js";
import { readSound } from "./files.js";
import { Cancelled, Extractor, FEATURE_NAMES, Recorder, SottovoceError, tone, voiceProfile } from "./index.js";

const MOST_S = 30;

/** @typedef {import("./features.js").Features} Features */

/** @type {<T extends HTMLElement>(id: string) => T} */
const byId = (id) => /** @type {any} */ (document.getElementById(id));
const record = byId("record");
const file = /** @type {HTMLInputElement} */ (byId("file"));
const profile = /** @type {HTMLSelectElement} */ (byId("profile"));
const level = /** @type {HTMLMeterElement} */ (byId("level"));
const progress = /** @type {HTMLProgressElement} */ (byId("progress"));

const extractor = new Extractor();
const recorder = new Recorder({ most_s: MOST_S, onState, onCue: tone, onLevel });

record.addEventListener("click", () => (recorder.state === "recording" ? recorder.stop() : take(recorded)));
file.addEventListener("change", () => file.files?.length && take(chosen));
byId("cancel").addEventListener("click", () => extractor.cancel());
byId("forget").addEventListener("click", forget);

const model = await offerModel();
await extractor.features(new Float64Array(16000), 16000); // starts the worker, and nothing is loaded later
watchNetwork();
enable(true);
show("idle", "Ready. Nothing has been recorded.");
document.documentElement.dataset.ready = "yes";

/**
 * Take samples from somewhere, measure them, show what came out.
 * @param {() => Promise<{samples: Float32Array | Float64Array, sampleRate_hz: number, flags: string[]}>} source
 */
async function take(source) {
  forget();
  enable(false);
  try {
    const { samples, sampleRate_hz, flags } = await source();
    show("working", "Measuring…");
    const options = { profile: profile.value, flags, onProgress: (/** @type {number} */ share) => (progress.value = share) };
    const start = performance.now();
    const features = await extractor.features(samples, sampleRate_hz, options);
    present(features, (performance.now() - start) / 1000);
    show("done", "Measured. The page keeps no copy of the recording.");
  } catch (error) {
    tell(error);
  } finally {
    enable(true);
  }
}

function recorded() {
  return recorder.record();
}

async function chosen() {
  const [first] = file.files ?? [];
  const buffer = await first.arrayBuffer();
  file.value = "";
  show("working", "Reading the file…");
  return readSound(buffer);
}

/** @param {import("./record.js").State} state */
function onState(state) {
  const on = state === "recording";
  record.setAttribute("aria-pressed", String(on));
  byId("record-label").textContent = on ? "Stop" : "Record";
  level.hidden = byId("left").hidden = !on;
  if (state === "asking") show("idle", "The browser asks whether this page may use the microphone.");
  if (state === "ready") show("idle", "A tone, then it starts.");
  if (state === "stopped") show("idle", "The microphone is off.");
  if (on) show("recording", `Recording. It ends by itself after ${MOST_S} s.`);
  /** @type {HTMLButtonElement} */ (record).disabled = !on;
}

/** @param {number} peak @param {number} seconds */
function onLevel(peak, seconds) {
  level.value = peak;
  byId("left").textContent = `${Math.max(0, Math.ceil(MOST_S - seconds))} s left`;
}

/** @param {Features} features @param {number} took_s */
function present(features, took_s) {
  const { quality, frames, values } = features;
  const voiced = ((100 * quality.voicedFrames) / frames).toFixed(0);
  byId("summary").textContent =
    `${quality.duration_s.toFixed(1)} s at ${quality.sourceRate_hz / 1000} kHz, ${voiced} % of it voiced; ` +
    `profile ${features.profile}, measured in ${took_s.toFixed(2)} s.`;
  const seen = quality.flags.map((flag) => WORDS[flag]).filter(Boolean);
  byId("findings").replaceChildren(
    ...[...features.findings.map(({ words }) => words), ...seen].map((words) => element("li", sentence(words))),
  );
  byId("items").replaceChildren(...voiceProfile(features).items.map(item));
  byId("features").replaceChildren(...FEATURE_NAMES.map((name, i) => row(name, values[i])));
  model.measured(features);
  byId("result").hidden = false;
  byId("result").focus({ preventScroll: true });
}

/** What the reader or the recorder saw, in words. @type {Record<string, string>} */
const WORDS = {
  cut: `only the first ${MOST_S} seconds were measured`,
  decoded_by_browser: "the browser's own decoder opened this file",
  dropouts: "parts of the recording were lost on their way from the microphone",
  echo_cancellation: "the browser cancelled echoes although it was asked not to: values are changed by it",
  gain_control: "the browser controlled the gain although it was asked not to: values are changed by it",
  interrupted: "the microphone ended during the recording",
  narrow_band: "telephone band: nothing above 4 kHz was recorded",
  noise_suppression: "the browser suppressed noise although it was asked not to: values are changed by it",
  resampled_by_browser: "the browser changed the sample rate",
  settings_unknown: "the browser does not tell how it processed the sound",
  dc: "the recording is off zero: the microphone adds an offset",
};

/** @param {{title: string, value: number | null, unit: string, meaning: string}} item */
function item({ title, value, unit, meaning }) {
  const box = document.createElement("div");
  const shown = element("dd", value === null ? "not available" : shortNumber(value));
  shown.className = value === null ? "value missing" : "value";
  if (value !== null) shown.append(" ", element("small", unit));
  const text = element("dd", meaning);
  text.className = "meaning";
  box.append(element("dt", title), shown, text);
  return box;
}

/** @param {string} name @param {number} value */
function row(name, value) {
  const line = document.createElement("tr");
  line.append(element("td", name), element("td", shortNumber(value, 6)));
  return line;
}

/** @param {number} value @param {number} [digits] */
function shortNumber(value, digits = 3) {
  return String(Number(value.toPrecision(digits)));
}

/** @param {string} tag @param {string} text */
function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

/** @param {string} words */
function sentence(words) {
  return `${words[0].toUpperCase()}${words.slice(1)}.`;
}

function forget() {
  byId("result").hidden = true;
  for (const id of ["items", "features", "findings"]) byId(id).replaceChildren();
  byId("summary").textContent = "";
  model.forget();
  show("idle", "Ready. Nothing is kept.");
}

/** @param {boolean} on */
function enable(on) {
  /** @type {HTMLButtonElement} */ (record).disabled = !on;
  file.disabled = profile.disabled = !on;
}

/** @param {string} state @param {string} text */
function show(state, text) {
  byId("state").dataset.state = state;
  byId("state-text").textContent = text;
  progress.hidden = byId("cancel").hidden = state !== "working";
  progress.value = 0;
}

/** @param {unknown} error */
function tell(error) {
  if (error instanceof Cancelled) return show("idle", "Stopped. Nothing is kept.");
  const known = error instanceof SottovoceError;
  const words = known ? [error.message, error.hint].filter(Boolean).join(" ") : "Something went wrong in this page.";
  show("error", words);
}

/** Every request from now on is listed and counted, but for parts of the page itself: its icon, its worker. */
function watchNetwork() {
  const links = [...document.querySelectorAll("link")].map(({ href }) => href);
  const own = new Set([...links, new URL("worker.js", import.meta.url).href]);
  let count = 0;
  new PerformanceObserver((list) => {
    for (const { name } of list.getEntries()) {
      if (own.has(name)) continue;
      byId("request-list").append(element("li", name));
      byId("requests").textContent = String(++count);
      byId("requests").closest("section")?.setAttribute("data-alarm", "");
    }
  }).observe({ type: "resource" });
  document.addEventListener("securitypolicyviolation", ({ violatedDirective }) => {
    byId("violations").textContent = `Something was refused: ${violatedDirective}.`;
  });
}
