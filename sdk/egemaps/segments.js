/**
 * Voiced and unvoiced segments of the pitch contour (specification 13).
 *
 * Q16: in `compat` each is one frame short, a run of n frames counts as n - 1; in `corrected` as n.
 */

import { meanAndDeviation } from "./functionals.js";

const HOP_S = 0.01;
const SHORTEST = 3; // frames that open a segment
const GAP = 2; // missed frames that end one
const MOST = 1000;

/**
 * Rate, mean length and deviation of the segments of one class; 0 where there are none.
 * @param {boolean[]} hits one per frame
 * @param {boolean} corrected
 */
export function measureSegments(hits, corrected) {
  const lengths = findSegments(hits).slice(0, MOST).map((length) => length + +corrected);
  if (lengths.length === 0) return { perSecond: 0, mean_s: 0, deviation_s: 0 };
  const [mean, deviation] = meanAndDeviation(lengths);
  return {
    perSecond: lengths.length / (HOP_S * hits.length),
    mean_s: mean * HOP_S,
    deviation_s: deviation * HOP_S,
  };
}

/** Lengths in frames, as `compat` counts them: one short. @param {boolean[]} hits */
export function findSegments(hits) {
  const lengths = [];
  let [start, count, misses] = [0, 0, 0];
  for (let i = 0; i < hits.length; i++) {
    if (hits[i]) {
      if (count === 0) start = i;
      count += 1;
      misses = 0;
    } else if (count > 0 && ++misses === GAP) {
      if (count >= SHORTEST) lengths.push(i - GAP - start);
      count = misses = 0;
    }
  }
  if (count >= SHORTEST) lengths.push(hits.length - 1 - misses - start);
  return lengths;
}
