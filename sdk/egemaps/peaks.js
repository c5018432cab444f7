/**
 * Peaks of a contour and the slopes between them (specification 13).
 *
 * An extremum counts when it stands out by a tenth of the contour's range. Rising slopes lead from a minimum up to
 * the next maximum, falling ones from a maximum down to the next minimum; both are positive, but for the tail in
 * `compat` (Q15). In `corrected` the tail is a slope like any other.
 */

const HOP_S = 0.01;
const RELATIVE_THRESHOLD = 0.1;
const CLEARLY_HIGHER = 1.05;

/**
 * @typedef {{position: number, value: number, isMax: boolean}} Extremum
 * @typedef {{rising: number[], falling: number[]}} Both
 * @typedef {{risingMean: number, risingDeviation: number, fallingMean: number, fallingDeviation: number,
 *   peaks: number}} Slopes statistics of a contour's slopes, per second, and how many maxima it has
 */

/**
 * @param {Float32Array} x contour with a hop of 10 ms; an empty one has slopes of 0
 * @param {boolean} corrected
 * @returns {Slopes}
 */
export function measureSlopes(x, corrected) {
  if (x.length === 0) {
    return { risingMean: 0, risingDeviation: 0, fallingMean: 0, fallingDeviation: 0, peaks: 0 };
  }
  const extrema = findExtrema(x);
  const slopes = walk(x[0], extrema);
  let tail = corrected ? tailLikeTheOthers(x, extrema) : tailOf(x, extrema);
  if (corrected) {
    slopes.rising.push(...tail.rising);
    slopes.falling.push(...tail.falling);
    tail = { rising: [], falling: [] };
  }
  const [risingMean, risingDeviation] = statistics(slopes.rising, tail.rising);
  const [fallingMean, fallingDeviation] = statistics(slopes.falling, tail.falling);
  const peaks = extrema.filter((extremum) => extremum.isMax).length;
  return { risingMean, risingDeviation, fallingMean, fallingDeviation, peaks };
}

/** Alternating maxima and minima that stand out. @param {Float32Array} x */
export function findExtrema(x) {
  let least = x[0];
  let most = x[0];
  for (const value of x) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  const threshold = RELATIVE_THRESHOLD * (most - least);
  const thinned = dropWeakMaxima(localExtrema(x), x[0], threshold);
  return alternating(dropWeakMinima(thinned, x[0], threshold));
}

/** Strictly above or below both neighbours; the two values at each end are never extrema. @param {Float32Array} x */
function localExtrema(x) {
  /** @type {Extremum[]} */
  const found = [];
  for (let i = 2; i < x.length - 2; i++) {
    const isMax = x[i - 1] < x[i] && x[i] > x[i + 1];
    const isMin = x[i - 1] > x[i] && x[i] < x[i + 1];
    if (isMax || isMin) found.push({ position: i, value: x[i], isMax });
  }
  return found;
}

/**
 * Of maxima without a real minimum between them keep the clearly higher one.
 * @param {Extremum[]} extrema @param {number} first @param {number} threshold
 */
function dropWeakMaxima(extrema, first, threshold) {
  let [lastValue, lastMin, lastMax] = [first, first, first];
  let minSeen = false;
  /** @type {Extremum | undefined} */
  let keptMax;
  const dropped = new Set();
  for (const extremum of extrema) {
    const y = extremum.value;
    const far = Math.abs(y - lastValue) >= threshold;
    lastValue = y;
    if (!extremum.isMax) {
      if (far) [minSeen, lastMin] = [true, y];
      continue;
    }
    if (!far && y - lastMin < threshold) {
      dropped.add(extremum);
      continue;
    }
    const replaces = !far && y > CLEARLY_HIGHER * lastMax;
    if (replaces && keptMax) dropped.add(keptMax);
    if (far || replaces || minSeen) [lastMax, keptMax] = [y, extremum];
    else dropped.add(extremum);
    minSeen = false;
  }
  return extrema.filter((extremum) => !dropped.has(extremum));
}

/** @param {Extremum[]} extrema @param {number} first @param {number} threshold */
function dropWeakMinima(extrema, first, threshold) {
  let lastMax = first;
  return extrema.filter((extremum) => {
    if (extremum.isMax) lastMax = extremum.value;
    return extremum.isMax || lastMax - extremum.value >= threshold;
  });
}

/** Of consecutive minima the lowest, of consecutive maxima the highest, the earlier one on ties. @param {Extremum[]} extrema */
function alternating(extrema) {
  /** @type {Extremum[]} */
  const kept = [];
  for (const extremum of extrema) {
    const last = kept.at(-1);
    if (!last || last.isMax !== extremum.isMax) kept.push(extremum);
    else if (extremum.isMax ? extremum.value > last.value : extremum.value < last.value) {
      kept[kept.length - 1] = extremum;
    }
  }
  return kept;
}

/**
 * Rising and falling slopes; the contour's start is the first minimum and the first maximum.
 * @param {number} first @param {Extremum[]} extrema
 * @returns {Both}
 */
function walk(first, extrema) {
  let lastMax = { position: 0, value: first };
  let lastMin = lastMax;
  /** @type {Both} */
  const slopes = { rising: [], falling: [] };
  for (const extremum of extrema) {
    if (extremum.isMax) {
      slopes.rising.push((extremum.value - lastMin.value) / seconds(lastMin.position, extremum.position));
      lastMax = extremum;
    } else {
      slopes.falling.push((lastMax.value - extremum.value) / seconds(lastMax.position, extremum.position));
      lastMin = extremum;
    }
  }
  return slopes;
}

/**
 * What follows the last extremum: one slope, for the rising or for the falling sum.
 * @param {Float32Array} x @param {Extremum[]} extrema
 * @returns {Both}
 */
function tailOf(x, extrema) {
  const end = x.length - 1;
  const last = extrema.at(-1);
  if (!last) {
    const slope = (x[end] - x[0]) / x.length; // per frame, not per second: so defined
    return { rising: slope > 0 ? [slope] : [], falling: slope < 0 ? [slope] : [] };
  }
  const slope = (x[end] - last.value) / seconds(last.position, end);
  return last.isMax ? { rising: [], falling: [slope] } : { rising: [slope], falling: [] }; // Q15
}

/**
 * The same stretch in `corrected`: what goes down is falling, and positive.
 * @param {Float32Array} x @param {Extremum[]} extrema
 * @returns {Both}
 */
function tailLikeTheOthers(x, extrema) {
  const end = x.length - 1;
  const last = extrema.at(-1) ?? { position: 0, value: x[0] };
  const slope = last.position === end ? 0 : (x[end] - last.value) / seconds(last.position, end);
  return { rising: slope > 0 ? [slope] : [], falling: slope < 0 ? [-slope] : [] };
}

/** @param {number} start @param {number} end */
function seconds(start, end) {
  return (end - start) * HOP_S;
}

/**
 * Mean of all; deviation of the slopes without the tail, over the count with it.
 * @param {number[]} slopes @param {number[]} tail
 */
function statistics(slopes, tail) {
  const count = slopes.length + tail.length;
  if (count === 0) return [0, 0];
  const mean = (total(slopes) + total(tail)) / count;
  return [mean, Math.sqrt(total(slopes.map((slope) => (slope - mean) ** 2)) / count)];
}

/** Compensated sum (Neumaier 1974). @param {number[]} values */
function total(values) {
  let sum = 0;
  let lost = 0;
  for (const value of values) {
    const next = sum + value;
    lost += Math.abs(sum) >= Math.abs(value) ? sum - next + value : value - next + sum;
    sum = next;
  }
  return sum + lost;
}
