/** The 88 names in their canonical order (specification 14). */

const TEN = [
  "amean", "stddevNorm", "percentile20.0", "percentile50.0", "percentile80.0", "pctlrange0-2",
  "meanRisingSlope", "stddevRisingSlope", "meanFallingSlope", "stddevFallingSlope",
];
const TWO = ["amean", "stddevNorm"];
const MFCC = [1, 2, 3, 4].map((i) => `mfcc${i}`);
const FORMANTS = [1, 2, 3].flatMap((k) => [`F${k}frequency`, `F${k}bandwidth`, `F${k}amplitudeLogRelF0`]);
const BALANCE = (/** @type {string} */ kind) => [
  `alphaRatio${kind}`, `hammarbergIndex${kind}`, `slope${kind}0-500`, `slope${kind}500-1500`, `spectralFlux${kind}`,
];

/** @param {string[]} contours @param {string} smoothing @param {string[]} statistics */
function each(contours, smoothing, statistics) {
  return contours.flatMap((contour) => statistics.map((statistic) => `${contour}_${smoothing}_${statistic}`));
}

/** @type {readonly string[]} */
export const FEATURE_NAMES = Object.freeze([
  ...each(["F0semitoneFrom27.5Hz"], "sma3nz", TEN),
  ...each(["loudness"], "sma3", TEN),
  ...each(["spectralFlux", ...MFCC], "sma3", TWO),
  ...each(["jitterLocal", "shimmerLocaldB", "HNRdBACF", "logRelF0-H1-H2", "logRelF0-H1-A3"], "sma3nz", TWO),
  ...each(FORMANTS, "sma3nz", TWO),
  ...each([...BALANCE("V"), ...MFCC.map((name) => `${name}V`)], "sma3nz", TWO),
  ...each(BALANCE("UV"), "sma3nz", ["amean"]),
  "loudnessPeaksPerSec", "VoicedSegmentsPerSec", "MeanVoicedSegmentLengthSec", "StddevVoicedSegmentLengthSec",
  "MeanUnvoicedSegmentLength", "StddevUnvoicedSegmentLength", "equivalentSoundLevel_dBp",
]);
