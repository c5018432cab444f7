/**
 * The cheapest path through the pitch candidates (specification 7.3).
 *
 * States 0..5 are the candidate slots of a frame, 6 is "unvoiced". The oddities Q5, Q6 and Q7 of the reference
 * definition are part of what `compat` means. In `corrected` a glide is compared with the glide before it on the
 * same path, with the weight 5, and staying unvoiced costs nothing.
 */

export const UNVOICED = 6;
const STATES = 7;
const VOICING_THRESHOLD = 0.7;
const IMPOSSIBLE = 999;
const CHANGE = 10; // voiced <-> unvoiced
const STAY_UNVOICED = 1; // Q7
const GLIDE = 10; // weight of |q| and, Q6, of |q - q'|
const BEND_CORRECTED = 5; // weight of |q - q'| in `corrected`

/** The path of candidates that come frame by frame: a frame is decided when all survivors agree on it. */
export class Path {
  /** @param {boolean} corrected */
  constructor(corrected) {
    this.corrected = corrected;
    this.total = new Float64Array(STATES); // cost of the cheapest path to each state
    this.next = new Float64Array(STATES);
    this.local = new Float64Array(STATES);
    this.before = new Float64Array(UNVOICED); // candidates of the frame before
    this.glides = new Float64Array(STATES * STATES); // [to, from] of the frame before, `corrected` only
    this.lastGlide = new Float64Array(STATES);
    this.frames = 0;
    /** @type {Uint8Array[]} where each state of the undecided frames came from */
    this.cameFrom = [];
  }

  /**
   * The next frame's candidates, six each; 0 where there is none.
   * @param {Float32Array} frequency_hz
   * @param {Float32Array} voicing
   */
  add(frequency_hz, voicing) {
    localCosts(frequency_hz, voicing, this.local);
    const from = new Uint8Array(STATES);
    if (this.frames === 0) this.total.set(this.local);
    else if (this.corrected) this.#advanceCorrected(frequency_hz, from);
    else this.#advance(frequency_hz, from);
    this.cameFrom.push(from);
    this.before.set(frequency_hz);
    this.frames += 1;
  }

  /** The states of the frames up to the last one on which all survivors agree; forgets those frames. */
  agreed() {
    let survivors = new Set(Array(STATES).keys());
    for (let position = this.cameFrom.length - 1; position >= 0; position--) {
      if (survivors.size === 1) {
        const [state] = survivors;
        const decided = this.#traceback(position + 1, state);
        this.cameFrom.splice(0, position + 1);
        return decided;
      }
      survivors = new Set([...survivors].map((state) => this.cameFrom[position][state]));
    }
    return new Uint8Array(0);
  }

  /** The states of the other frames: those on which the survivors disagree. */
  finish() {
    const best = this.total.indexOf(Math.min(...this.total));
    return this.#traceback(this.cameFrom.length, best);
  }

  /** @param {number} count @param {number} state of the last of the first `count` undecided frames */
  #traceback(count, state) {
    const path = new Uint8Array(count);
    for (let position = count - 1; position >= 0; position--) {
      path[position] = state;
      state = this.cameFrom[position][state];
    }
    return path;
  }

  /** @param {Float32Array} now @param {Uint8Array} from */
  #advance(now, from) {
    const { total, next, local, before } = this;
    for (let i = 0; i < UNVOICED; i++) {
      let best = Infinity;
      let previous = this.frames === 1 && i === 0 ? 1 : 0; // Q5: q' of the pair evaluated before, for the same i
      for (let j = 0; j < UNVOICED; j++) {
        let cost = IMPOSSIBLE;
        if (now[i] > 0 && before[j] > 0) {
          const q = Math.log(now[i] / before[j]);
          cost = GLIDE * Math.abs(q) + GLIDE * Math.abs(q - previous);
          previous = q;
        }
        if (total[j] + cost < best) {
          best = total[j] + cost;
          from[i] = j;
        }
      }
      if (total[UNVOICED] + CHANGE < best) {
        best = total[UNVOICED] + CHANGE;
        from[i] = UNVOICED;
      }
      next[i] = best + local[i];
    }
    this.#toUnvoiced(STAY_UNVOICED, from);
    total.set(next);
  }

  /** @param {Float32Array} now @param {Uint8Array} from */
  #advanceCorrected(now, from) {
    const { total, next, local, before, lastGlide } = this;
    const glide = new Float64Array(STATES);
    for (let i = 0; i < UNVOICED; i++) {
      let best = Infinity;
      for (let j = 0; j < STATES; j++) {
        let cost = CHANGE;
        let q = 0;
        if (j < UNVOICED) {
          const valid = now[i] > 0 && before[j] > 0;
          if (valid) q = Math.log(now[i] / before[j]);
          cost = valid ? GLIDE * Math.abs(q) : IMPOSSIBLE;
          cost += total[j];
          if (valid) cost += BEND_CORRECTED * Math.abs(q - lastGlide[j]);
        } else cost += total[j];
        if (cost < best) {
          best = cost;
          from[i] = j;
          glide[i] = q;
        }
      }
      next[i] = best + local[i];
    }
    this.#toUnvoiced(0, from);
    total.set(next);
    lastGlide.set(glide);
  }

  /** @param {number} stay cost @param {Uint8Array} from */
  #toUnvoiced(stay, from) {
    const { total, next, local } = this;
    let best = Infinity;
    for (let j = 0; j < STATES; j++) {
      const cost = total[j] + (j === UNVOICED ? stay : CHANGE);
      if (cost < best) {
        best = cost;
        from[UNVOICED] = j;
      }
    }
    next[UNVOICED] = best + local[UNVOICED];
  }
}

/**
 * Cost of being in each state.
 * @param {Float32Array} frequency_hz (6,)
 * @param {Float32Array} voicing (6,)
 * @param {Float64Array} costs (7,)
 */
function localCosts(frequency_hz, voicing, costs) {
  let strong = false;
  for (let i = 0; i < UNVOICED; i++) {
    const weak = voicing[i] < VOICING_THRESHOLD;
    strong ||= !weak;
    const doubt = -Math.log(Math.min(Math.max(voicing[i], 0.01), 1)) + (weak ? 4 : 0);
    costs[i] = 2 * doubt + rangeCost(frequency_hz[i]);
  }
  costs[UNVOICED] = strong ? 8 : 0;
}

/**
 * Dear below 100 Hz and above 350 Hz, dearest where there is no candidate.
 * @param {number} f
 */
function rangeCost(f) {
  if (f <= 0) return 2;
  if (f < 100) return 1 - f / 100;
  if (f < 350) return 0;
  return f < 600 ? (f - 350) / 250 : 1.2;
}
