/** Small numeric tools that several blocks share: rounding, local maxima, a parabola through three points. */

export const fround = Math.fround;

/**
 * Nearest integer, halves away from zero.
 * @param {number} value
 */
export function roundHalfAway(value) {
  return Math.sign(value) * Math.floor(Math.abs(value) + 0.5);
}

/**
 * Marks entries strictly above both neighbours; at an end, above the only one.
 * @param {Float32Array} values (n,)
 * @param {Uint8Array} mask (n,) is filled with 0 and 1
 */
export function localMaxima(values, mask) {
  const last = values.length - 1;
  mask[0] = +(values[0] > values[1]);
  for (let i = 1; i < last; i++) mask[i] = +(values[i] > values[i - 1] && values[i] > values[i + 1]);
  mask[last] = +(values[last] > values[last - 1]);
}

/**
 * Abscissa and height of the vertex of the parabola through three points with y1 a strict maximum.
 * @param {number} x0 @param {number} x1 @param {number} x2
 * @param {number} y0 @param {number} y1 @param {number} y2
 * @returns {[number, number]}
 */
export function parabolaVertex(x0, x1, x2, y0, y1, y2) {
  const left = x0 - x1;
  const right = x2 - x1;
  const slopeLeft = (y0 - y1) / left;
  const slopeRight = (y2 - y1) / right;
  const curvature = (slopeRight - slopeLeft) / (right - left);
  const slope = slopeLeft - curvature * left;
  return [x1 - slope / (2 * curvature), y1 - (slope * slope) / (4 * curvature)];
}

/**
 * First index whose value is above `value` (`right`) or at least `value`; the list ascends.
 * @param {ArrayLike<number>} sorted
 * @param {number} value
 * @param {boolean} [right]
 */
export function searchSorted(sorted, value, right = false) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value || (right && sorted[middle] === value)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * A percentile with linear interpolation, the way numpy rounds it.
 * @param {Float64Array} ascending not empty
 * @param {number} percent 0..100
 */
export function percentile(ascending, percent) {
  const position = (percent / 100) * (ascending.length - 1);
  const below = Math.floor(position);
  const share = position - below;
  const low = ascending[below];
  const high = ascending[Math.min(below + 1, ascending.length - 1)];
  return share >= 0.5 ? high - (high - low) * (1 - share) : low + (high - low) * share;
}

/**
 * Keeps the last answer for each key: tables that depend on the stream only are made once.
 * @template K, V
 * @param {(key: K) => V} make
 * @returns {(key: K) => V}
 */
export function once(make) {
  /** @type {Map<K, V>} */
  const made = new Map();
  return (key) => {
    let value = made.get(key);
    if (value === undefined) made.set(key, (value = make(key)));
    return value;
  };
}
