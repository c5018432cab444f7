/**
 * A model file on the device: the small networks of `sottovoce models`, read and run without any runtime.
 *
 *     const model = readModel(await response.arrayBuffer());
 *     const [probability] = runModel(model, features);
 *
 * Rules upheld here, as on the Python side (voice/models/read_tflite.py):
 * 1. A file is at most 1 MiB; every number in it is checked against the file's bounds before it is used.
 * 2. Only the graph that our writer makes is read: (x - mean) * gain, fully connected layers, a sigmoid or softmax.
 *    Another operator, order, option or type, an unknown field, a tensor used twice or not at all is refused.
 * 3. Weights are finite. UsageError (reason `model_malformed`) is the only way to fail.
 * 4. A model never runs on features of another profile or version than it was made for.
 *
 * Who may be trusted is decided before: by the signature on the model's card and its SHA-256 (`hashOf`).
 */

import { UsageError } from "./errors.js";

const MAXIMUM_BYTES = 1 << 20;
const MOST_TENSORS = 64;
const MOST_OPERATORS = 32;
const MOST_ABOUT_BYTES = 4096;
const FORMAT = "sottovoce-model/1";
const MAXIMUM_LAYERS = 8;
const MAXIMUM_WIDTH = 1024;
const WORD = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]{1,64}$/u; // printable
const METADATA_NAME = "sottovoce";

// numbers of the TensorFlow Lite schema, version 3
const [FLOAT32, FLOAT16, INT8] = [0, 1, 9];
const [DEQUANTIZE, FULLY_CONNECTED, LOGISTIC, MUL, SOFTMAX, SUB] = [6, 9, 14, 18, 25, 41];
/** @type {Record<number, number>} how many inputs each operator has */
const INPUTS = { [DEQUANTIZE]: 1, [FULLY_CONNECTED]: 3, [LOGISTIC]: 1, [MUL]: 2, [SOFTMAX]: 1, [SUB]: 2 };
/** @type {Record<number, number>} the kind of options each operator has */
const OPTIONS = { [FULLY_CONNECTED]: 8, [SOFTMAX]: 9 };
/** @type {Record<number, number>} bytes of one stored value */
const WIDTHS = { [FLOAT32]: 4, [FLOAT16]: 2, [INT8]: 1 };

/**
 * @typedef {{weights: Float32Array, bias: Float32Array}} Layer weights row after row, one row for each output
 * @typedef {object} Model
 * @property {Float32Array} mean @property {Float32Array} gain
 * @property {Layer[]} layers
 * @property {"sigmoid" | "softmax"} output
 * @property {string} attribute what it infers
 * @property {string[]} labels
 * @property {string} profile @property {string} version of the features it was made for
 */

/** @param {ArrayBuffer} data @returns {Model} */
export function readModel(data) {
  try {
    if (data.byteLength > MAXIMUM_BYTES) throw malformed();
    return new Reader(new DataView(data)).model();
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw malformed(); // a view that was asked beyond its end, text that is no text, JSON that is none
  }
}

/**
 * The probability of label 1 (sigmoid), or of each label (softmax).
 * @param {Model} model
 * @param {{values: ArrayLike<number>, profile: string, version: string}} features
 * @returns {number[]}
 */
export function runModel(model, { values, profile, version }) {
  if (profile !== model.profile || version !== model.version) {
    throw new UsageError("This model was made for features of another profile or version.", {
      hint: "Extract the features with the profile that the model's card names.",
      reason: "model_profile",
    });
  }
  return run(model, values);
}

/**
 * The same for bare numbers, one for each input: UsageError with the reason `model_input` or `model_overflow`.
 * @param {Model} model
 * @param {ArrayLike<number>} values
 */
export function run(model, values) {
  const given = Float64Array.from(values);
  if (given.length !== model.mean.length || !given.every(Number.isFinite)) {
    throw new UsageError("A model takes finite numbers, one for each input.", { reason: "model_input" });
  }
  const standard = standardised(model, given);
  let now = Float64Array.from(standard);
  model.layers.forEach((layer, i) => {
    now = affine(layer, now);
    if (i < model.layers.length - 1) now = now.map((value) => Math.max(value, 0));
  });
  const result = model.output === "sigmoid" ? [sigmoid(now[0])] : softmax(now);
  if (![...standard, ...result].every(Number.isFinite)) {
    throw new UsageError("These values are far outside of what the model can take.", { reason: "model_overflow" });
  }
  return result;
}

/**
 * How far values lie from the mean of what was learned from: the root of the mean square of the standardised values at
 * these places. About 1 for what is like the recordings learned from.
 * @param {Model} model @param {ArrayLike<number>} values @param {number[]} places
 */
export function distance(model, values, places) {
  const standard = standardised(model, Float64Array.from(values));
  return Math.sqrt(places.reduce((sum, place) => sum + standard[place] ** 2, 0) / places.length);
}

/** float32 at each step, as in the graph. @param {Model} model @param {Float64Array} values */
function standardised(model, values) {
  return Float32Array.from(values, (x, i) =>
    Math.fround(Math.fround(Math.fround(x) - model.mean[i]) * model.gain[i]),
  );
}

/** SHA-256 of a file in hexadecimal, to compare with the card's. @param {ArrayBuffer} data */
export async function hashOf(data) {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {Layer} layer @param {Float64Array} values */
function affine({ weights, bias }, values) {
  return Float64Array.from(bias, (start, row) => {
    let sum = start;
    for (let i = 0, at = row * values.length; i < values.length; i++, at++) sum += weights[at] * values[i];
    return sum;
  });
}

/** @param {number} value */
function sigmoid(value) {
  const small = Math.exp(-Math.abs(value));
  return value >= 0 ? 1 / (1 + small) : small / (1 + small);
}

/** @param {Float64Array} values */
function softmax(values) {
  const powers = Array.from(values, (value) => Math.exp(value - Math.max(...values)));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

function malformed() {
  return new UsageError("This is not a model file that can be read.", { reason: "model_malformed" });
}

/** A rule of the format. @param {boolean} holds */
function must(holds) {
  if (!holds) throw malformed();
}

/** One table of a FlatBuffer; every access beyond the file throws. */
class Table {
  /** @param {DataView} view @param {number} at */
  constructor(view, at) {
    this.view = view;
    this.at = at;
    this.vtable = at - view.getInt32(at, true);
    const bytes = view.getUint16(this.vtable, true);
    const tableBytes = view.getUint16(this.vtable + 2, true);
    must(bytes >= 4 && bytes % 2 === 0 && bytes <= 4 + 2 * 64 && at + tableBytes <= view.byteLength);
    this.entries = (bytes - 4) / 2;
    for (let i = 0; i < this.entries; i++) {
      const offset = view.getUint16(this.vtable + 4 + 2 * i, true);
      must(offset === 0 || (offset >= 4 && offset < tableBytes));
    }
  }

  /** Refuse fields that nobody here knows. @param {number[]} fields */
  only(...fields) {
    for (let i = 0; i < this.entries; i++) must(fields.includes(i) || this.where(i) === 0);
    return this;
  }

  /** Where a field stands, 0 where it is absent. @param {number} field */
  where(field) {
    const offset = field < this.entries ? this.view.getUint16(this.vtable + 4 + 2 * field, true) : 0;
    return offset && this.at + offset;
  }

  /** @param {number} field @param {"Int8" | "Uint8" | "Int32" | "Uint32" | "Float32"} kind @param {number} [missing] */
  number(field, kind, missing = 0) {
    const at = this.where(field);
    return at ? this.view[`get${kind}`](at, true) : missing;
  }

  /** What a reference leads to. @param {number} at */
  follow(at) {
    return target(this.view, at);
  }

  /** @param {number} field */
  table(field) {
    const at = this.where(field);
    must(at > 0);
    return new Table(this.view, this.follow(at));
  }

  /** The bytes of a vector. @param {number} field @param {number} [width] of one element */
  block(field, width = 1) {
    const at = this.where(field);
    must(at > 0);
    const start = this.follow(at);
    const bytes = this.view.getUint32(start, true) * width;
    must(start + 4 + bytes <= this.view.byteLength);
    return new Uint8Array(this.view.buffer.slice(start + 4, start + 4 + bytes));
  }

  /** @param {number} field @param {number} most */
  integers(field, most) {
    const bytes = this.block(field, 4);
    must(bytes.length <= 4 * most);
    return Array.from(new Int32Array(bytes.buffer));
  }

  /** @param {number} field @param {number} most */
  tables(field, most) {
    const at = this.where(field);
    must(at > 0);
    const start = this.follow(at);
    const count = this.view.getUint32(start, true);
    must(count <= most);
    return Array.from({ length: count }, (_, i) => new Table(this.view, this.follow(start + 4 + 4 * i)));
  }

  /** @param {number} field */
  text(field) {
    return new TextDecoder("utf-8", { fatal: true }).decode(this.block(field));
  }
}

/** What the reference at this place leads to: forward, and inside the file. @param {DataView} view @param {number} at */
function target(view, at) {
  const distance = view.getUint32(at, true);
  must(distance >= 4 && at + distance <= view.byteLength - 4);
  return at + distance;
}

/** @typedef {{code: number, inputs: number[], output: number, options: Table | undefined}} Step */

/** The one subgraph of a file, followed from its input to its output; each part of it is used exactly once. */
class Reader {
  /** @param {DataView} view */
  constructor(view) {
    must(view.getUint32(4, false) === 0x54464c33); // "TFL3"
    this.root = new Table(view, target(view, 0)).only(0, 1, 2, 4, 6);
    must(this.root.number(0, "Uint32") === 3);
    this.buffers = this.root.tables(4, MOST_TENSORS + 2);
    this.codes = this.root.tables(1, MOST_OPERATORS).map((code) => codeOf(code.only(0, 2, 3)));
    const graph = one(this.root.tables(2, 1)).only(0, 1, 2, 3);
    this.tensors = graph.tables(0, MOST_TENSORS).map((tensor) => tensor.only(0, 1, 2, 3, 4));
    this.steps = graph.tables(3, MOST_OPERATORS).map((operator) => this.step(operator.only(0, 1, 2, 3, 4)));
    this.first = one(graph.integers(1, 1));
    this.last = one(graph.integers(2, 1));
    /** @type {Set<number>} */
    this.used = new Set();
    /** @type {Map<number, {values: Float32Array, shape: number[]}>} weights that a DEQUANTIZE has made */
    this.made = new Map();
  }

  /** @returns {Model} */
  model() {
    const about = this.about();
    const main = this.steps.filter(({ code }) => code !== DEQUANTIZE);
    const [middle, end] = [main.slice(2, -1), main.at(-1)?.code];
    must(main.length >= 4 && middle.length <= MAXIMUM_LAYERS && main[0].code === SUB && main[1].code === MUL);
    must(middle.every(({ code }) => code === FULLY_CONNECTED) && (end === LOGISTIC || end === SOFTMAX));
    let [value, width] = [this.first, this.width(this.first)];
    /** @type {Float32Array[]} */
    const scaling = [];
    /** @type {Layer[]} */
    const layers = [];
    for (const step of this.steps) {
      if (step.code === DEQUANTIZE) {
        this.dequantise(step);
        continue;
      }
      must(step.inputs[0] === value);
      if (step.code === FULLY_CONNECTED) {
        layers.push(this.layer(step, width, layers.length < middle.length - 1));
        width = layers[layers.length - 1].bias.length;
      } else if (step.code === SUB || step.code === MUL) {
        scaling.push(this.vector(step.inputs[1], width));
      }
      value = step.output;
      must(this.width(value) === width);
    }
    must(value === this.last && this.made.size === 0 && this.used.size === this.tensors.length);
    must(end === SOFTMAX ? width === about.labels.length : width === 1 && about.labels.length === 2);
    return { mean: scaling[0], gain: scaling[1], layers, output: end === SOFTMAX ? "softmax" : "sigmoid", ...about };
  }

  about() {
    const entry = one(this.root.tables(6, 1)).only(0, 1);
    must(entry.text(0) === METADATA_NAME);
    const bytes = this.buffer(entry.number(1, "Uint32"));
    must(bytes.length <= MOST_ABOUT_BYTES);
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    const { attribute, feature_profile: profile, feature_version: version, labels } = JSON.parse(text);
    must(Array.isArray(labels) && labels.length >= 2 && new Set(labels).size === labels.length);
    must([attribute, profile, version, ...labels].every((word) => typeof word === "string" && WORD.test(word)));
    // also: another format, one more field, a second spelling
    const fields = { attribute, feature_profile: profile, feature_version: version, format: FORMAT, labels };
    must(JSON.stringify(fields) === text);
    return { attribute, labels, profile, version };
  }

  /** @param {Step} step @param {number} width @param {boolean} inner @returns {Layer} */
  layer({ inputs, options }, width, inner) {
    must(options !== undefined && options.only(0).number(0, "Int8") === (inner ? 1 : 0)); // ReLU between layers
    const made = this.made.get(inputs[1]);
    this.made.delete(inputs[1]);
    const { values, shape } = made ?? this.constant(inputs[1], FLOAT32);
    must(shape.length === 2 && shape[1] === width);
    return { weights: values, bias: this.vector(inputs[2], shape[0]) };
  }

  /** @param {Step} step */
  dequantise({ inputs, output }) {
    const kind = this.tensor(inputs[0]).number(1, "Int8");
    must(kind === FLOAT16 || kind === INT8);
    const stored = this.constant(inputs[0], kind);
    must(same(this.fresh(output).only(0, 3).integers(0, 2), stored.shape));
    this.made.set(output, stored);
  }

  /** @param {number} index @param {number} length */
  vector(index, length) {
    const { values, shape } = this.constant(index, FLOAT32);
    must(same(shape, [length]));
    return values;
  }

  /** The values of a stored tensor, in float32. @param {number} index @param {number} kind */
  constant(index, kind) {
    const tensor = this.fresh(index);
    must(tensor.number(1, "Int8") === kind);
    const shape = tensor.integers(0, 2);
    const bytes = this.buffer(tensor.number(2, "Uint32"));
    const count = shape.reduce((product, size) => product * size, 1);
    must(shape.length > 0 && shape.every((size) => size > 0) && bytes.length === count * WIDTHS[kind]);
    if (kind !== INT8) tensor.only(0, 1, 2, 3);
    const values = kind === INT8 ? scaled(tensor, shape, bytes) : floats(kind, bytes);
    must(values.every(Number.isFinite));
    return { values, shape };
  }

  /** The width of a tensor that is computed: (1, width) float32, nothing stored. @param {number} index */
  width(index) {
    const shape = this.fresh(index).only(0, 3).integers(0, 2);
    must(shape.length === 2 && shape[0] === 1 && shape[1] >= 1 && shape[1] <= MAXIMUM_WIDTH);
    return shape[1];
  }

  /** @param {number} index */
  fresh(index) {
    must(!this.used.has(index));
    this.used.add(index);
    return this.tensor(index);
  }

  /** @param {number} index */
  tensor(index) {
    must(index >= 0 && index < this.tensors.length);
    return this.tensors[index];
  }

  /** @param {number} index */
  buffer(index) {
    must(index > 0 && index < this.buffers.length);
    return this.buffers[index].only(0).block(0);
  }

  /** @param {Table} operator @returns {Step} */
  step(operator) {
    const code = this.codes[operator.number(0, "Uint32")];
    must(code !== undefined);
    const [inputs, outputs] = [operator.integers(1, 3), operator.integers(2, 1)];
    const kind = operator.number(3, "Uint8");
    must(inputs.length === INPUTS[code] && kind === (OPTIONS[code] ?? 0));
    const options = kind ? operator.table(4) : undefined;
    if (!options) operator.only(0, 1, 2);
    if (options && code === SOFTMAX) must(options.only(0).number(0, "Float32") === 1);
    return { code, inputs, output: one(outputs), options };
  }
}

/** The operator; refused where the two fields that name it differ, or nobody knows its version. @param {Table} code */
function codeOf(code) {
  const number = code.number(3, "Int32");
  must(number in INPUTS && code.number(0, "Int8") === number);
  must((number === DEQUANTIZE ? [3, 5] : [1]).includes(code.number(2, "Int32", 1)));
  return number;
}

/** Whole steps times one positive scale for each output; zero points are 0. @param {Table} tensor @param {number[]} shape @param {Uint8Array} bytes */
function scaled(tensor, shape, bytes) {
  must(shape.length === 2);
  const how = tensor.table(4).only(2, 3);
  const scales = new Float32Array(how.block(2, 4).buffer);
  must(scales.length === shape[0] && scales.every((scale) => scale > 0 && Number.isFinite(scale)));
  const zeros = how.block(3, 8);
  must(zeros.length === 8 * shape[0] && zeros.every((byte) => byte === 0));
  return Float32Array.from(new Int8Array(bytes.buffer), (step, i) => step * scales[Math.floor(i / shape[1])]);
}

/** Stored floats, little-endian as every browser is. @param {number} kind @param {Uint8Array} bytes */
function floats(kind, bytes) {
  if (kind === FLOAT32) return new Float32Array(bytes.buffer);
  return Float32Array.from(new Uint16Array(bytes.buffer), half);
}

/** IEEE 754 binary16. @param {number} bits */
function half(bits) {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  const value = exponent < 31 ? size : fraction ? NaN : Infinity;
  return bits >> 15 ? -value : value;
}

/** @param {number[]} a @param {number[]} b */
function same(a, b) {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

/** @template T @param {T[]} values @returns {T} */
function one(values) {
  must(values.length === 1);
  return values[0];
}
