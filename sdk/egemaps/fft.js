/**
 * The discrete Fourier transform of real signals, float64 (Cooley and Tukey 1965, radix 2).
 *
 * A signal of N values is transformed as N/2 complex ones and unfolded.
 */

/** Transforms of one size, a power of two of at least 4; the results are overwritten by the next call. */
export class RealFft {
  /** @param {number} size */
  constructor(size) {
    this.size = size;
    const half = (this.half = size / 2);
    this.real = new Float64Array(half + 1);
    this.imaginary = new Float64Array(half + 1);
    this.workReal = new Float64Array(half);
    this.workImaginary = new Float64Array(half);
    this.cosines = Float64Array.from({ length: half }, (_, k) => Math.cos((2 * Math.PI * k) / size));
    this.sines = Float64Array.from({ length: half }, (_, k) => Math.sin((2 * Math.PI * k) / size));
    this.reversed = bitReversal(half);
  }

  /**
   * Spectrum of the signal, zeros behind it, in `real` and `imaginary`, bins 0..size/2.
   * @param {Float64Array | Float32Array} signal at most `size` values
   */
  transform(signal) {
    this.#load(signal);
    this.#butterflies();
    this.#unfold();
  }

  /** @param {Float64Array | Float32Array} signal */
  #load(signal) {
    const { reversed, workReal, workImaginary, half } = this;
    const count = signal.length;
    for (let i = 0; i < half; i++) {
      const at = reversed[i];
      workReal[at] = 2 * i < count ? signal[2 * i] : 0;
      workImaginary[at] = 2 * i + 1 < count ? signal[2 * i + 1] : 0;
    }
  }

  #butterflies() {
    const { workReal: re, workImaginary: im, cosines, sines, half, size } = this;
    for (let i = 0; i < half; i += 2) {
      const tr = re[i + 1];
      const ti = im[i + 1];
      re[i + 1] = re[i] - tr;
      im[i + 1] = im[i] - ti;
      re[i] += tr;
      im[i] += ti;
    }
    for (let span = 2; span < half; span *= 2) {
      const stride = size / (2 * span);
      for (let k = 0; k < span; k++) {
        const wr = cosines[k * stride];
        const wi = -sines[k * stride];
        for (let i = k; i < half; i += 2 * span) {
          const j = i + span;
          const tr = wr * re[j] - wi * im[j];
          const ti = wr * im[j] + wi * re[j];
          re[j] = re[i] - tr;
          im[j] = im[i] - ti;
          re[i] += tr;
          im[i] += ti;
        }
      }
    }
  }

  #unfold() {
    const { workReal: re, workImaginary: im, real, imaginary, cosines, sines, half } = this;
    real[0] = re[0] + im[0];
    real[half] = re[0] - im[0];
    imaginary[0] = imaginary[half] = 0;
    for (let k = 1; k < half; k++) {
      const m = half - k;
      const evenReal = (re[k] + re[m]) / 2;
      const evenImaginary = (im[k] - im[m]) / 2;
      const oddReal = (im[k] + im[m]) / 2;
      const oddImaginary = (re[m] - re[k]) / 2;
      real[k] = evenReal + cosines[k] * oddReal + sines[k] * oddImaginary;
      imaginary[k] = evenImaginary + cosines[k] * oddImaginary - sines[k] * oddReal;
    }
  }
}

/** @param {number} size */
function bitReversal(size) {
  const reversed = new Uint32Array(size);
  for (let i = 1, bits = Math.log2(size); i < size; i++) {
    reversed[i] = (reversed[i >> 1] >> 1) | ((i & 1) << (bits - 1));
  }
  return reversed;
}
