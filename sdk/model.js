/**
 * A model file on the device: read with nothing in it believed, and run. The twin of voice/models/ in Python.
 *
 *     const model = await readModel(bytes, { sha256, profile: "compat", version: "egemaps-88/1" });
 *     model.run(features.values)       Float64Array: the probability of label 1 (sigmoid), or of each label (softmax)
 *
 * Rules upheld here:
 * 1. Every number of the file is checked against its bounds before it is used; nothing is allocated by it.
 * 2. Exactly the graph of docs/reference/model-file.md is read; any other field, operator, order or type is refused.
 * 3. A file with another hash than the one asked for, or made for other features, is not run.
 *
 * The signature of a model's card is not checked here: take `sha256` from a card that was verified before.
 */

import { SottovoceError, UsageError } from "./errors.js";

const MAXIMUM_BYTES = 1 << 20;
const MOST_TENSORS = 64;
const MOST_OPERATORS = 32;
const MOST_LAYERS = 8;
const MOST_WIDTH = 1024;
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;
const FORMAT = "sottovoce-model/1";
const SUB = 41, MUL = 18, DENSE = 9, LOGISTIC = 14, SOFTMAX = 25, DEQUANTIZE = 6;
const FLOAT32 = 0, FLOAT16 = 1, INT8 = 9;
/** @type {Record<number, number>} operator -> how many inputs it has */
const INPUTS = { [SUB]: 2, [MUL]: 2, [DENSE]: 3, [LOGISTIC]: 1, [SOFTMAX]: 1, [DEQUANTIZE]: 1 };
/** @type {Record<number, number>} operator -> type of its options */
const OPTIONS = { [DENSE]: 8, [SOFTMAX]: 9 };
/** @type {Record<number, number>} */
const ITEM_BYTES = { [FLOAT32]: 4, [FLOAT16]: 2, [INT8]: 1 };
const PRECISIONS = { [FLOAT32]: "none", [FLOAT16]: "f16", [INT8]: "int8" };

/**
 * @typedef {{attribute: string, feature_profile: string, feature_version: string, labels: string[]}} About
 * @typedef {{weights: Float32Array, bias: Float32Array}} Dense  weights row by row, a row for each output
 * @typedef {{code: number, inputs: number[], output: number, options: Table | null}} Step
 */

/** A model that was read; `run` is all there is to do with it. */
export class Model {
  /**
   * @param {{mean: Float32Array, gain: Float32Array, layers: Dense[], output: string, about: About,
   *   precision: string, sha256: string}} parts
   */
  constructor({ mean, gain, layers, output, about, precision, sha256 }) {
    this.mean = mean;
    this.gain = gain;
    this.layers = layers;
    this.output = output;
    this.about = about;
    this.precision = precision;
    this.sha256 = sha256;
  }

  /**
   * @param {ArrayLike<number>} values one for each input, finite
   * @returns {Float64Array} 0..1
   */
  run(values) {
    if (values.length !== this.mean.length || !Array.prototype.every.call(values, Number.isFinite)) {
      throw new UsageError("A model takes finite numbers, one for each input.", { reason: "model_input" });
    }
    let now = Float64Array.from(this.mean, (mean, i) =>
      Math.fround(Math.fround(Math.fround(values[i]) - mean) * this.gain[i]),
    );
    const standard = now;
    this.layers.forEach((layer, i) => {
      now = affine(layer, now, i < this.layers.length - 1);
    });
    const out = this.output === "sigmoid" ? now.map(sigmoid) : softmax(now);
    if (!standard.every(Number.isFinite) || !out.every(Number.isFinite)) {
      throw new UsageError("These values are far outside of what the model can take.", { reason: "model_overflow" });
    }
    return out;
  }
}

/**
 * The model in a file; refused with the code `model_malformed` where it is not exactly one of ours, `model_hash` or
 * `model_profile` where it is not the one that was asked for.
 *
 * @param {ArrayBuffer | Uint8Array} data
 * @param {{sha256?: string, profile?: string, version?: string}} [asked]
 * @returns {Promise<Model>}
 */
export async function readModel(data, { sha256, profile, version } = {}) {
  const bytes = Uint8Array.from(data instanceof Uint8Array ? data : new Uint8Array(data));
  if (bytes.length > MAXIMUM_BYTES) throw malformed();
  const hash = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
  if (sha256 !== undefined && sha256 !== hash) {
    throw new SottovoceError("integrity", "This is not the model file that its card is about.", { reason: "model_hash" });
  }
  const model = new Model({ ...parse(bytes), sha256: hash });
  const { feature_profile, feature_version } = model.about;
  if ((profile ?? feature_profile) !== feature_profile || (version ?? feature_version) !== feature_version) {
    throw new UsageError("This model was made for features of another profile or version.", {
      hint: "Extract the features with the profile that the model's card names.",
      reason: "model_profile",
    });
  }
  return model;
}

/** @param {Uint8Array} bytes */
function parse(bytes) {
  const file = new File(bytes);
  const root = file.root().only(0, 1, 2, 4, 6);
  if (root.number(0, "Uint32", 0) !== 3) throw malformed();
  const buffers = root.tables(4, MOST_TENSORS + 2);
  const about = aboutOf(root, buffers);
  return new Graph(root, buffers).network(about);
}

/**
 * @param {Table} root @param {Table[]} buffers
 * @returns {About}
 */
function aboutOf(root, buffers) {
  const entry = one(root.tables(6, 1)).only(0, 1);
  if (text(entry.block(0, 1)) !== "sottovoce") throw malformed();
  const data = buffer(buffers, entry.number(1, "Uint32", 0));
  if (data.length > 4096) throw malformed();
  const written = text(data);
  let said;
  try {
    said = JSON.parse(written);
  } catch {
    throw malformed();
  }
  const { attribute, feature_profile, feature_version, labels } = said ?? {};
  const words = [attribute, feature_profile, feature_version, ...(Array.isArray(labels) ? labels : [null])];
  if (!words.every((word) => typeof word === "string" && word.length > 0 && [...word].length <= 64)) throw malformed();
  if (words.some((word) => UNPRINTABLE.test(word))) throw malformed();
  if (labels.length < 2 || new Set(labels).size !== labels.length) throw malformed();
  // keys in their canonical order: one more field, another format or a second spelling shows here
  if (JSON.stringify({ attribute, feature_profile, feature_version, format: FORMAT, labels }) !== written) throw malformed();
  return { attribute, feature_profile, feature_version, labels };
}

/** The one subgraph of a file, followed from its input to its output; each part of it is used exactly once. */
class Graph {
  /** @param {Table} root @param {Table[]} buffers */
  constructor(root, buffers) {
    this.buffers = buffers;
    this.codes = root.tables(1, MOST_OPERATORS).map(codeOf);
    const graph = one(root.tables(2, 1)).only(0, 1, 2, 3);
    this.tensors = graph.tables(0, MOST_TENSORS).map((tensor) => tensor.only(0, 1, 2, 3, 4));
    this.steps = graph.tables(3, MOST_OPERATORS).map((operator) => this.step(operator.only(0, 1, 2, 3, 4)));
    this.first = one(graph.integers(1, 1));
    this.last = one(graph.integers(2, 1));
    this.used = new Set();
    /** @type {Map<number, Float32Array>} weights that a DEQUANTIZE has made */
    this.made = new Map();
    /** @type {Set<number>} how weights are stored */
    this.kinds = new Set();
  }

  /** @param {About} about */
  network(about) {
    const main = this.steps.filter((step) => step.code !== DEQUANTIZE);
    const layerCount = main.length - 3;
    const expected = [SUB, MUL, ...Array(Math.max(layerCount, 0)).fill(DENSE)];
    const end = main.at(-1)?.code;
    if (layerCount < 1 || layerCount > MOST_LAYERS || !expected.every((code, i) => main[i].code === code)) throw malformed();
    if (end !== LOGISTIC && end !== SOFTMAX) throw malformed();
    const { constants, layers, width } = this.parts();
    if (this.made.size > 0 || this.used.size !== this.tensors.length || this.kinds.size !== 1) throw malformed();
    if (end === LOGISTIC ? width !== 1 || about.labels.length !== 2 : width !== about.labels.length) throw malformed();
    const precision = PRECISIONS[/** @type {0 | 1 | 9} */ ([...this.kinds][0])];
    return { mean: constants[0], gain: constants[1], layers, output: end === LOGISTIC ? "sigmoid" : "softmax", about, precision };
  }

  parts() {
    let value = this.first;
    let width = this.width(value);
    /** @type {Float32Array[]} */
    const constants = [];
    /** @type {Dense[]} */
    const layers = [];
    this.steps.forEach((step, i) => {
      if (step.code === DEQUANTIZE) {
        this.dequantise(step);
        return;
      }
      if (step.inputs[0] !== value) throw malformed();
      if (step.code === SUB || step.code === MUL) {
        constants.push(this.constant(step.inputs[1], FLOAT32, [width]));
      } else if (step.code === DENSE) {
        layers.push(this.dense(step, width, i !== this.steps.length - 2));
        width = layers[layers.length - 1].bias.length;
      } else if (i !== this.steps.length - 1) throw malformed();
      value = step.output;
      if (this.width(value) !== width) throw malformed();
    });
    if (value !== this.last) throw malformed();
    return { constants, layers, width };
  }

  /** @param {Step} step @param {number} width @param {boolean} inner @returns {Dense} */
  dense(step, width, inner) {
    if (step.options === null || step.options.only(0).number(0, "Int8", 0) !== (inner ? 1 : 0)) throw malformed();
    const [, weightsAt, biasAt] = step.inputs;
    const shape = this.tensor(weightsAt).integers(0, 2);
    if (shape.length !== 2 || shape[1] !== width) throw malformed();
    let weights = this.made.get(weightsAt);
    if (weights === undefined) {
      this.kinds.add(FLOAT32);
      weights = this.constant(weightsAt, FLOAT32, shape);
    }
    this.made.delete(weightsAt);
    return { weights, bias: this.constant(biasAt, FLOAT32, [shape[0]]) };
  }

  /** @param {Step} step */
  dequantise(step) {
    const kind = this.tensor(step.inputs[0]).number(1, "Int8", 0);
    if (kind !== FLOAT16 && kind !== INT8) throw malformed();
    this.kinds.add(kind);
    const shape = this.tensor(step.inputs[0]).integers(0, 2);
    if (shape.length !== 2) throw malformed();
    const weights = this.constant(step.inputs[0], kind, shape);
    const made = this.fresh(step.output).only(0, 3).integers(0, 2);
    if (made.length !== 2 || made[0] !== shape[0] || made[1] !== shape[1]) throw malformed();
    this.made.set(step.output, weights);
  }

  /**
   * The values of a stored tensor, in float32.
   * @param {number} index @param {number} kind @param {number[]} shape
   */
  constant(index, kind, shape) {
    const tensor = this.fresh(index);
    const stated = tensor.integers(0, 2);
    if (tensor.number(1, "Int8", 0) !== kind || stated.length !== shape.length) throw malformed();
    if (!shape.every((width, i) => width === stated[i] && width >= 1 && width <= MOST_WIDTH)) throw malformed();
    const data = buffer(this.buffers, tensor.number(2, "Uint32", 0));
    const count = shape.reduce((product, width) => product * width, 1);
    if (data.length !== count * ITEM_BYTES[kind]) throw malformed();
    if (kind !== INT8) tensor.only(0, 1, 2, 3);
    const scales = kind === INT8 ? scalesOf(tensor, shape[0]) : null;
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    const values = new Float32Array(count);
    for (let i = 0; i < count; i += 1) {
      if (kind === FLOAT32) values[i] = view.getFloat32(4 * i, true);
      else if (kind === FLOAT16) values[i] = half(view.getUint16(2 * i, true));
      else values[i] = view.getInt8(i) * /** @type {Float32Array} */ (scales)[Math.floor(i / shape[1])];
    }
    if (!values.every(Number.isFinite)) throw malformed();
    return values;
  }

  /** The width of a tensor that is computed: (1, width) float32, nothing stored. @param {number} index */
  width(index) {
    const shape = this.fresh(index).only(0, 3).integers(0, 2);
    if (shape.length !== 2 || shape[0] !== 1 || shape[1] < 1 || shape[1] > MOST_WIDTH) throw malformed();
    return shape[1];
  }

  /** @param {number} index */
  fresh(index) {
    if (this.used.has(index)) throw malformed();
    const tensor = this.tensor(index);
    this.used.add(index);
    return tensor;
  }

  /** @param {number} index */
  tensor(index) {
    if (index < 0 || index >= this.tensors.length) throw malformed();
    return this.tensors[index];
  }

  /** @param {Table} operator @returns {Step} */
  step(operator) {
    const number = operator.number(0, "Uint32", 0);
    if (number >= this.codes.length) throw malformed();
    const code = this.codes[number];
    const inputs = operator.integers(1, 3);
    const kind = operator.number(3, "Uint8", 0);
    if (inputs.length !== INPUTS[code] || kind !== (OPTIONS[code] ?? 0)) throw malformed();
    const options = kind ? operator.table(4) : null;
    if (options === null) operator.only(0, 1, 2);
    else if (code === SOFTMAX && options.only(0).number(0, "Float32", 0) !== 1) throw malformed();
    return { code, inputs, output: one(operator.integers(2, 1)), options };
  }
}

/** @param {Table} code */
function codeOf(code) {
  const number = code.only(0, 2, 3).number(3, "Int32", 0);
  const version = code.number(2, "Int32", 1);
  if (!(number in INPUTS) || code.number(0, "Int8", 0) !== number) throw malformed();
  if (number === DEQUANTIZE ? version !== 3 && version !== 5 : version !== 1) throw malformed();
  return number;
}

/** One positive scale for each output; zero points are 0. @param {Table} tensor @param {number} outputs */
function scalesOf(tensor, outputs) {
  const how = tensor.table(4).only(2, 3);
  const stored = how.block(2, 4);
  if (stored.length !== 4 * outputs) throw malformed();
  const view = new DataView(stored.buffer, stored.byteOffset, stored.length);
  const scales = Float32Array.from({ length: outputs }, (_, i) => view.getFloat32(4 * i, true));
  const zeros = how.block(3, 8);
  if (zeros.length !== 8 * outputs || zeros.some((byte) => byte !== 0)) throw malformed();
  if (!scales.every((scale) => scale > 0 && Number.isFinite(scale))) throw malformed();
  return scales;
}

/** @param {Table[]} buffers @param {number} index */
function buffer(buffers, index) {
  if (index < 1 || index >= buffers.length) throw malformed();
  return buffers[index].only(0).block(0, 1);
}

/** The bytes of a FlatBuffer ("FlatBuffers internals", flatbuffers.dev), each read checked against their end. */
class File {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  root() {
    if (this.bytes.length < 8 || text(this.bytes.subarray(4, 8)) !== "TFL3") throw malformed();
    return this.table(this.target(0));
  }

  /** @param {number} place @param {"Int8" | "Uint8" | "Uint16" | "Int32" | "Uint32" | "Float32"} kind */
  number(place, kind) {
    const size = kind.endsWith("8") ? 1 : kind === "Uint16" ? 2 : 4;
    if (place < 0 || place + size > this.bytes.length) throw malformed();
    return size === 1
      ? this.view[/** @type {"getInt8" | "getUint8"} */ (`get${kind}`)](place)
      : this.view[/** @type {"getUint16" | "getInt32" | "getUint32" | "getFloat32"} */ (`get${kind}`)](place, true);
  }

  /** @param {number} place where a reference stands */
  target(place) {
    const distance = this.number(place, "Uint32");
    if (distance < 4 || place + distance > this.bytes.length - 4) throw malformed();
    return place + distance;
  }

  /** @param {number} place */
  table(place) {
    const vtable = place - this.number(place, "Int32");
    const vtableBytes = this.number(vtable, "Uint16");
    const tableBytes = this.number(vtable + 2, "Uint16");
    if (vtableBytes < 4 || vtableBytes % 2 || vtableBytes > 132 || place + tableBytes > this.bytes.length) throw malformed();
    /** @type {Map<number, number>} */
    const fields = new Map();
    for (let index = 0; index < (vtableBytes - 4) / 2; index += 1) {
      const offset = this.number(vtable + 4 + 2 * index, "Uint16");
      if (offset === 0) continue;
      if (offset < 4 || offset >= tableBytes) throw malformed();
      fields.set(index, place + offset);
    }
    return new Table(this, fields);
  }
}

/** A table of a file that nobody vouches for. */
class Table {
  /** @param {File} file @param {Map<number, number>} fields number -> where it stands */
  constructor(file, fields) {
    this.file = file;
    this.fields = fields;
  }

  /** This table; refused where it has any other field. @param {...number} known */
  only(...known) {
    for (const index of this.fields.keys()) if (!known.includes(index)) throw malformed();
    return this;
  }

  /** @param {number} index @param {"Int8" | "Uint8" | "Int32" | "Uint32" | "Float32"} kind @param {number} otherwise */
  number(index, kind, otherwise) {
    const place = this.fields.get(index);
    return place === undefined ? otherwise : this.file.number(place, kind);
  }

  /** @param {number} index */
  table(index) {
    return this.file.table(this.file.target(this.place(index)));
  }

  /** @param {number} index @param {number} most */
  tables(index, most) {
    const [start, count] = this.vector(index, 4);
    if (count > most) throw malformed();
    return Array.from({ length: count }, (_, i) => this.file.table(this.file.target(start + 4 * i)));
  }

  /** @param {number} index @param {number} itemBytes */
  block(index, itemBytes) {
    const [start, count] = this.vector(index, itemBytes);
    return this.file.bytes.subarray(start, start + count * itemBytes);
  }

  /** @param {number} index @param {number} most */
  integers(index, most) {
    const [start, count] = this.vector(index, 4);
    if (count > most) throw malformed();
    return Array.from({ length: count }, (_, i) => this.file.number(start + 4 * i, "Int32"));
  }

  /** @param {number} index */
  place(index) {
    const place = this.fields.get(index);
    if (place === undefined) throw malformed();
    return place;
  }

  /** @param {number} index @param {number} itemBytes @returns {[number, number]} where it starts, how many items */
  vector(index, itemBytes) {
    const place = this.file.target(this.place(index));
    const count = this.file.number(place, "Uint32");
    if (count * itemBytes > this.file.bytes.length - place - 4) throw malformed();
    return [place + 4, count];
  }
}

/** @param {Dense} layer @param {Float64Array} values @param {boolean} inner */
function affine({ weights, bias }, values, inner) {
  const width = values.length;
  return Float64Array.from(bias, (start, row) => {
    let sum = 0;
    for (let i = 0, at = row * width; i < width; i += 1, at += 1) sum += weights[at] * values[i];
    return inner ? Math.max(sum + start, 0) : sum + start;
  });
}

/** @param {number} value */
function sigmoid(value) {
  const small = Math.exp(-Math.abs(value));
  return value >= 0 ? 1 / (1 + small) : small / (1 + small);
}

/** @param {Float64Array} values */
function softmax(values) {
  const most = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** A float16 (IEEE 754 binary16) as a number. @param {number} bits */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** @param {Uint8Array} bytes */
function text(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw malformed();
  }
}

/** @param {Uint8Array} bytes */
function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @template T @param {T[]} values @returns {T} */
function one(values) {
  if (values.length !== 1) throw malformed();
  return values[0];
}

function malformed() {
  return new SottovoceError("integrity", "This is not a model file that sottovoce can read.", {
    hint: "Get the file again from where it came.",
    reason: "model_malformed",
  });
}
