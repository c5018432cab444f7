/**
 * Smoothing over three frames, and which frames count as voiced (specification 11).
 *
 * Masking happens before smoothing, so a value at the border of a voiced stretch is averaged with its own class only.
 */

/**
 * Mean of each value and its two neighbours; at the ends the value replaces the missing one.
 * @param {Float32Array} values
 */
export function smooth(values) {
  const last = values.length - 1;
  return values.map((here, t) => (values[t ? t - 1 : 0] + here + values[Math.min(t + 1, last)]) / 3);
}

/**
 * Like `smooth`, but 0 stays 0 and only values other than 0 enter a mean.
 * @param {Float32Array} values
 */
export function smoothNonzero(values) {
  const last = values.length - 1;
  return values.map((here, t) => {
    if (here === 0) return 0;
    const before = values[t ? t - 1 : 0];
    const after = values[Math.min(t + 1, last)];
    return (before + here + after) / (1 + +(before !== 0) + +(after !== 0));
  });
}

/**
 * The values, 0 in the frames where the mask is not `kept`.
 * @param {Float32Array} values at least as many as the mask
 * @param {Uint8Array} mask
 * @param {0 | 1} kept
 */
export function onlyWhere(values, mask, kept) {
  return values.subarray(0, mask.length).map((value, t) => (mask[t] === kept ? value : 0));
}

/**
 * One column of a table, row after row of `width` values.
 * @param {Float32Array} table @param {number} width @param {number} index
 */
export function column(table, width, index) {
  return Float32Array.from({ length: table.length / width }, (_, t) => table[t * width + index]);
}
