/**
 * Eigenvalues of a real companion matrix by the shifted QR algorithm with two shifts at once (Francis 1961;
 * Martin, Peters and Wilkinson 1970), after balancing (Parlett and Reinsch 1969): the way LAPACK goes too.
 */

const MOST_STEPS = 90;

/**
 * Roots of z^n - sum c_i z^(n-1-i).
 * @param {Float64Array} c (n,)
 * @returns {{real: Float64Array, imaginary: Float64Array}} n of them, in no order
 */
export function rootsOf(c) {
  const n = c.length;
  /** @type {Float64Array[]} */
  const h = [c.slice()];
  for (let i = 1; i < n; i++) {
    h.push(new Float64Array(n));
    h[i][i - 1] = 1;
  }
  balance(h);
  return eigenvalues(h);
}

/** Scale rows and columns by powers of two until they are about as long. @param {Float64Array[]} h */
function balance(h) {
  for (let again = true; again; ) {
    again = false;
    for (let i = 0; i < h.length; i++) {
      const factor = balancingFactor(h, i);
      if (factor === 1) continue;
      again = true;
      for (let j = 0; j < h.length; j++) h[i][j] /= factor;
      for (let j = 0; j < h.length; j++) h[j][i] *= factor;
    }
  }
}

/** @param {Float64Array[]} h @param {number} i */
function balancingFactor(h, i) {
  let column = 0;
  let row = 0;
  for (let j = 0; j < h.length; j++) {
    if (j === i) continue;
    column += Math.abs(h[j][i]);
    row += Math.abs(h[i][j]);
  }
  if (column === 0 || row === 0) return 1;
  const before = column + row;
  let factor = 1;
  for (; column < row / 2; column *= 4) factor *= 2;
  for (; column > row * 2; column /= 4) factor /= 2;
  return (column + row) / factor < 0.95 * before ? factor : 1;
}

/** @param {Float64Array[]} h upper Hessenberg; is overwritten */
function eigenvalues(h) {
  const real = new Float64Array(h.length);
  const imaginary = new Float64Array(h.length);
  let end = h.length - 1;
  let shifted = 0; // what exceptional shifts took off the diagonal
  for (let step = 0; end >= 0; step++) {
    const start = splitAt(h, end);
    if (start === end || step > MOST_STEPS) {
      real[end] = h[end][end] + shifted;
      end -= 1;
      step = -1;
    } else if (start === end - 1) {
      pair(h, end, shifted, real, imaginary);
      end -= 2;
      step = -1;
    } else {
      let shift = { x: h[end][end], y: h[end - 1][end - 1], w: h[end][end - 1] * h[end - 1][end] };
      if (step % 10 === 9) {
        shifted += shift.x;
        shift = exceptional(h, end, shift.x);
      }
      sweep(h, start, end, shift);
    }
  }
  return { real, imaginary };
}

/**
 * First row of the last block that does not fall apart.
 * @param {Float64Array[]} h @param {number} end
 */
function splitAt(h, end) {
  for (let l = end; l > 0; l--) {
    const size = Math.abs(h[l - 1][l - 1]) + Math.abs(h[l][l]) || 1;
    if (Math.abs(h[l][l - 1]) <= Number.EPSILON * size) {
      h[l][l - 1] = 0;
      return l;
    }
  }
  return 0;
}

/**
 * The two eigenvalues of the last block of 2 x 2.
 * @param {Float64Array[]} h @param {number} end @param {number} shifted
 * @param {Float64Array} real @param {Float64Array} imaginary
 */
function pair(h, end, shifted, real, imaginary) {
  const x = h[end][end];
  const w = h[end][end - 1] * h[end - 1][end];
  const p = (h[end - 1][end - 1] - x) / 2;
  const q = p * p + w;
  const z = Math.sqrt(Math.abs(q));
  if (q < 0) {
    real[end - 1] = real[end] = x + p + shifted;
    imaginary[end - 1] = z;
    imaginary[end] = -z;
    return;
  }
  const far = p + (p < 0 ? -z : z);
  real[end - 1] = x + far + shifted;
  real[end] = far === 0 ? real[end - 1] : x - w / far + shifted;
}

/**
 * Where the usual shifts go in circles: others.
 * @param {Float64Array[]} h @param {number} end @param {number} x
 */
function exceptional(h, end, x) {
  for (let i = 0; i <= end; i++) h[i][i] -= x;
  const s = Math.abs(h[end][end - 1]) + Math.abs(h[end - 1][end - 2]);
  return { x: 0.75 * s, y: 0.75 * s, w: -0.4375 * s * s };
}

/**
 * One double step on the block [start, end]: a reflection makes a bulge, further ones chase it out.
 * @param {Float64Array[]} h @param {number} start @param {number} end
 * @param {{x: number, y: number, w: number}} shift
 */
function sweep(h, start, end, shift) {
  let [first, p, q, r] = beginning(h, start, end, shift);
  for (let i = first + 2; i <= end; i++) {
    h[i][i - 2] = 0;
    if (i > first + 2) h[i][i - 3] = 0;
  }
  for (let k = first; k < end; k++) {
    const three = k < end - 1;
    let scale = 1;
    if (k > first) {
      [p, q, r] = [h[k][k - 1], h[k + 1][k - 1], three ? h[k + 2][k - 1] : 0];
      scale = Math.abs(p) + Math.abs(q) + Math.abs(r);
      if (scale === 0) continue;
      [p, q, r] = [p / scale, q / scale, r / scale];
    }
    const length = Math.sqrt(p * p + q * q + r * r);
    const s = p < 0 ? -length : length;
    if (s === 0) continue;
    if (k > first) h[k][k - 1] = -s * scale;
    else if (start !== first) h[k][k - 1] = -h[k][k - 1];
    p += s;
    reflect(h, k, start, end, three, [p / s, q / s, r / s, q / p, r / p]);
  }
}

/**
 * The reflection of rows and columns k, k+1 and, if `three`, k+2.
 * @param {Float64Array[]} h @param {number} k @param {number} start @param {number} end @param {boolean} three
 * @param {[number, number, number, number, number]} reflection
 */
function reflect(h, k, start, end, three, [x, y, z, q, r]) {
  for (let j = k; j <= end; j++) {
    const p = h[k][j] + q * h[k + 1][j] + (three ? r * h[k + 2][j] : 0);
    h[k][j] -= p * x;
    h[k + 1][j] -= p * y;
    if (three) h[k + 2][j] -= p * z;
  }
  for (let i = start, last = Math.min(end, k + 3); i <= last; i++) {
    const row = h[i];
    const p = x * row[k] + y * row[k + 1] + (three ? z * row[k + 2] : 0);
    row[k] -= p;
    row[k + 1] -= p * q;
    if (three) row[k + 2] -= p * r;
  }
}

/**
 * Where the step may begin (two small subdiagonal entries in a row let it), and the first column's reflection.
 * @param {Float64Array[]} h @param {number} start @param {number} end
 * @param {{x: number, y: number, w: number}} shift
 * @returns {[number, number, number, number]}
 */
function beginning(h, start, end, { x, y, w }) {
  for (let m = end - 2; ; m--) {
    const z = h[m][m];
    let p = ((x - z) * (y - z) - w) / h[m + 1][m] + h[m][m + 1];
    let q = h[m + 1][m + 1] - z - (x - z) - (y - z);
    let r = h[m + 2][m + 1];
    const scale = Math.abs(p) + Math.abs(q) + Math.abs(r);
    [p, q, r] = [p / scale, q / scale, r / scale];
    if (m === start) return [m, p, q, r];
    const small = Math.abs(h[m][m - 1]) * (Math.abs(q) + Math.abs(r));
    const large = Math.abs(p) * (Math.abs(h[m - 1][m - 1]) + Math.abs(z) + Math.abs(h[m + 1][m + 1]));
    if (small <= Number.EPSILON * large) return [m, p, q, r];
  }
}
