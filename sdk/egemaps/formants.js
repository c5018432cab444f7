/**
 * Formants: spectral resampling to 11 kHz, linear prediction, roots (specification 9).
 *
 * Source: Makhoul 1975. In `compat` these are not the resonances of the voice (Q8 to Q11); no insight is made from
 * them. In `corrected` the whole windowed frame is used, with all that lies below 5.5 kHz, and the polynomial is the
 * error filter's own. Its autocorrelation at 11 kHz is then the cosine transform of the power spectrum, under a lag
 * window as broad as the pitch asks for (Tohkura, Itakura and Hashimoto 1978).
 */

import { SHORT } from "./frames.js";
import { roundHalfAway } from "./numeric.js";
import { rootsOf } from "./roots.js";

const RATE_HZ = 11000;
const ORDER = 11;
export const FORMANTS = 3;
const LOWEST_HZ = 50;
const HIGHEST_HZ = 5450;
const SMOOTHING = 0.35; // of F0

/** Bins of a 20 ms frame's spectrum that the formants of `compat` are made of, DC and Q9: 0..109. */
export const USED_BINS = Math.floor(Math.min(SHORT.fftSize, points()) / 2);

/**
 * Formants of `compat`, which do without the F0.
 * @param {Float64Array} spectrum (2 * USED_BINS,) real, then imaginary parts of one Hamming-windowed 20 ms frame
 * @param {Float32Array} result (6,) receives three frequencies and three bandwidths (Hz), ascending; 0 where none
 */
export function findFormants(spectrum, result) {
  formantsOf(errorFilter(autocorrelation(resampled(spectrum))), result);
}

/**
 * Formants of `corrected`.
 * @param {Float32Array} power (bins,) of one 20 ms frame
 * @param {number} f0_hz
 * @param {Float32Array} result (6,) as `findFormants`
 */
export function findFormantsCorrected(power, f0_hz, result) {
  const r = lags.fill(0);
  COSINES.forEach((row, k) => {
    for (let lag = 0; lag <= ORDER; lag++) r[lag] += power[k] * row[lag];
  });
  for (let lag = 0; lag <= ORDER; lag++) {
    r[lag] *= Math.exp(-0.5 * (2 * Math.PI * SMOOTHING * f0_hz * (lag / RATE_HZ)) ** 2);
  }
  formantsOf(errorFilter(r).map((a) => -a), result);
}

/** How many samples of a frame the resampling of `compat` gives. */
function points() {
  return roundHalfAway(SHORT.fftSize * (RATE_HZ / SHORT.sampleRate_hz) * (SHORT.frame_s / SHORT.duration_s));
}

/** Power spectrum below 5.5 kHz -> autocorrelation at 11 kHz, lags 0 to 11: a row for each bin. */
function autocorrelationRows() {
  const limit = Math.floor((RATE_HZ / 2) * SHORT.duration_s + 1e-9);
  const atBorder = limit === (RATE_HZ / 2) * SHORT.duration_s;
  return Array.from({ length: limit + 1 }, (_, k) => {
    // DC has no mirror image; nor has half the rate, where a bin lies on it
    const scale = (k === 0 || (k === limit && atBorder) ? 1 : 2) / SHORT.fftSize;
    const step = 2 * Math.PI * (k / SHORT.duration_s / RATE_HZ);
    return Float64Array.from({ length: ORDER + 1 }, (__, lag) => scale * Math.cos(step * lag));
  });
}

const COSINES = autocorrelationRows();
const PERIOD = (SHORT.fftSize * points()) / (SHORT.fftSize * (SHORT.frame_s / SHORT.duration_s)); // 352 points
const QUARTER = PERIOD / 4;
const WAVES = waves();
const y = new Float64Array(points());

/** Cosines, then sines, of 2 pi k i / PERIOD for i = 0..QUARTER, a row for each i; k = 1.. as in the spectrum. */
function waves() {
  return Array.from({ length: QUARTER + 1 }, (_, i) =>
    Float64Array.from({ length: 2 * USED_BINS }, (__, j) => {
      const angle = (2 * Math.PI * (((j % USED_BINS) * i) % PERIOD)) / PERIOD;
      return j < USED_BINS ? Math.cos(angle) : Math.sin(angle);
    }),
  );
}

/**
 * The frame's signal at nominally 11 kHz (9.1): a Fourier series of which only the first points are kept. Points i,
 * PERIOD / 2 - i and PERIOD / 2 + i share their sums over even and over odd bins.
 * @param {Float64Array} spectrum
 */
function resampled(spectrum) {
  const half = PERIOD / 2;
  const mean = spectrum[0]; // Q8: DC with double weight
  for (let i = 0; i <= QUARTER; i++) {
    const wave = WAVES[i];
    let even = 0;
    let odd = 0;
    let evenSine = 0;
    let oddSine = 0;
    for (let k = 1, j = USED_BINS + 1; k < USED_BINS; k += 2, j += 2) {
      odd += spectrum[k] * wave[k];
      oddSine += spectrum[j] * wave[j];
      if (k + 1 === USED_BINS) break;
      even += spectrum[k + 1] * wave[k + 1];
      evenSine += spectrum[j + 1] * wave[j + 1];
    }
    const scale = 2 / SHORT.fftSize;
    y[half - i] = scale * (mean + even - odd + evenSine - oddSine);
    if (half + i < y.length) y[half + i] = scale * (mean + even - odd - evenSine + oddSine);
    y[i] = scale * (mean + even + odd - evenSine - oddSine);
  }
  return y;
}

const OFFSET = Math.floor((SHORT.fftSize - SHORT.length) / 2);
const TURNS = Float64Array.from({ length: USED_BINS }, (_, k) => ((OFFSET * k) % SHORT.fftSize) / SHORT.fftSize);
const TURN_COSINES = TURNS.map((turn) => Math.cos(2 * Math.PI * turn));
const TURN_SINES = TURNS.map((turn) => Math.sin(2 * Math.PI * turn));

/**
 * The part of a frame's spectrum that `findFormants` asks for, of the frame in the middle of its zeros.
 * @param {{real: Float64Array, imaginary: Float64Array}} fft of the frame with all zeros behind it
 */
export function usedSpectrum({ real, imaginary }) {
  const spectrum = new Float64Array(2 * USED_BINS);
  for (let k = 0; k < USED_BINS; k++) {
    spectrum[k] = real[k] * TURN_COSINES[k] + imaginary[k] * TURN_SINES[k];
    spectrum[USED_BINS + k] = imaginary[k] * TURN_COSINES[k] - real[k] * TURN_SINES[k];
  }
  return spectrum;
}

const lags = new Float64Array(ORDER + 1);

/** Sums of lagged products, neither windowed nor normalised. @param {Float64Array} signal */
function autocorrelation(signal) {
  for (let lag = 0; lag <= ORDER; lag++) {
    let sum = 0;
    for (let i = lag; i < signal.length; i++) sum += signal[i] * signal[i - lag];
    lags[lag] = sum;
  }
  return lags;
}

/**
 * Coefficients a of 1 + sum a_i z^-i by Durbin; 0 where there is no energy.
 * @param {Float64Array} r (12,)
 */
function errorFilter(r) {
  const a = new Float64Array(ORDER);
  const before = new Float64Array(ORDER);
  let error = r[0];
  for (let m = 1; m <= ORDER; m++) {
    let rest = r[m];
    for (let i = 1; i < m; i++) rest += a[i - 1] * r[m - i];
    const k = error === 0 ? 0 : -rest / error;
    before.set(a);
    for (let i = 0; i < m - 1; i++) a[i] += k * before[m - 2 - i];
    a[m - 1] = k;
    error *= 1 - k * k;
  }
  return a;
}

/**
 * Q11: roots of z^11 - sum a_i z^(11-i), reflected into the unit circle; the three lowest of 50..5450 Hz.
 * @param {Float64Array} a (11,)
 * @param {Float32Array} result (6,)
 */
function formantsOf(a, result) {
  result.fill(0);
  if (!a.some((value) => value !== 0)) return;
  const { real, imaginary } = rootsOf(a);
  /** @type {[number, number][]} */
  const found = [];
  for (let i = 0; i < ORDER; i++) {
    const frequency_hz = (Math.atan2(imaginary[i], real[i]) * RATE_HZ) / (2 * Math.PI);
    if (imaginary[i] < 0 || frequency_hz < LOWEST_HZ || frequency_hz > HIGHEST_HZ) continue;
    const distance = Math.hypot(real[i], imaginary[i]);
    // 1 / conj(z) has the same angle and the inverse distance
    found.push([frequency_hz, (Math.abs(Math.log(distance)) * RATE_HZ) / Math.PI]);
  }
  found.sort((one, other) => one[0] - other[0]);
  found.slice(0, FORMANTS).forEach(([frequency_hz, bandwidth_hz], k) => {
    result[k] = frequency_hz;
    result[FORMANTS + k] = bandwidth_hz;
  });
}
