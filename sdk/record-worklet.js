/**
 * The tap on the microphone, on the audio thread: samples as they come, gaps counted, a hard end.
 *
 * It listens from the moment it is connected, and keeps nothing before "start" is said: a browser that has just
 * opened a microphone loses pieces while its buffers fill, and tells nobody. The end lies here and not in the page: a
 * page that is busy or stuck cannot record longer than it said.
 */

const scope = /** @type {any} */ (globalThis);
const BLOCK = 2048; // samples that are handed over at once

class Tap extends scope.AudioWorkletProcessor {
  /** @param {{processorOptions: {mostSamples: number, settleSamples: number}}} options */
  constructor({ processorOptions }) {
    super();
    this.left = processorOptions.mostSamples;
    this.unsettled = processorOptions.settleSamples; // samples still to be let go before it says "settled"
    this.started = false;
    this.block = new Float32Array(BLOCK);
    this.filled = 0;
    this.next = -1; // the frame that should come next; -1 before the first
    this.dropouts = 0;
    this.missing = 0; // samples
    this.ended = false;
    this.port.onmessage = (/** @type {MessageEvent<"start" | "stop">} */ { data }) => {
      if (data === "start") this.started = true;
      else this.end("asked");
    };
  }

  /** @param {Float32Array[][]} inputs */
  process([channels]) {
    if (this.ended) return false;
    const input = channels[0];
    if (!input) return true;
    if (!this.started) return this.letGo(input.length);
    if (this.next >= 0 && scope.currentFrame !== this.next) {
      this.dropouts += 1;
      this.missing += scope.currentFrame - this.next;
    }
    this.next = scope.currentFrame + input.length;
    this.take(input.subarray(0, this.left));
    this.left -= Math.min(input.length, this.left);
    if (this.left === 0) this.end("maximum");
    return !this.ended;
  }

  /** @param {number} count samples that are not kept */
  letGo(count) {
    if (this.unsettled > 0 && (this.unsettled -= count) <= 0) this.port.postMessage({ settled: true });
    return true;
  }

  /** @param {Float32Array} samples */
  take(samples) {
    let taken = 0;
    while (taken < samples.length) {
      const piece = samples.subarray(taken, taken + BLOCK - this.filled);
      this.block.set(piece, this.filled);
      this.filled += piece.length;
      taken += piece.length;
      if (this.filled === BLOCK) this.flush();
    }
  }

  flush() {
    const samples = this.block.slice(0, this.filled);
    this.block.fill(0);
    this.filled = 0;
    this.port.postMessage({ samples }, [samples.buffer]);
  }

  /** @param {string} reason */
  end(reason) {
    if (this.ended) return;
    this.ended = true;
    if (this.filled > 0) this.flush();
    this.port.postMessage({ end: reason, dropouts: this.dropouts, missing: this.missing });
  }
}

scope.registerProcessor("sottovoce-tap", Tap);
