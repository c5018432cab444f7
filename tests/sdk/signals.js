/** The signals of vectors/features: made with + and * alone, so that every language makes identical samples. */

/**
 * @param {{samples: number, voiced?: [number, number][], periods?: number[], filters?: [number, number][],
 *   gain?: number, noise?: number, seed?: number}} description
 */
export function makeSignal({ samples, voiced = [], periods = [], filters = [], gain = 1, noise = 0, seed = 0 }) {
  let signal = new Float64Array(samples);
  for (const [start, end] of voiced) {
    for (let position = start, i = 0; position < end; position += periods[i++ % periods.length]) signal[position] = 1;
  }
  for (const [a1, a2] of filters) {
    let [last, before] = [0, 0];
    signal = signal.map((x) => {
      [last, before] = [x + (a1 * last + a2 * before), last];
      return last;
    });
  }
  const noises = noiseValues(samples, seed);
  return signal.map((x, i) => gain * x + noise * noises[i]);
}

/** s = (1664525 s + 1013904223) mod 2^32, e = s / 2^31 - 1; the seed itself is not a value. */
export function noiseValues(count, seed) {
  let state = seed;
  return Float64Array.from({ length: count }, () => {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}
