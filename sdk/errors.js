/**
 * Every error that the SDK raises on purpose; codes and reasons are those of the Python package (errors.py).
 *
 * A message never carries a feature value, a file's content or the name of a file.
 */

/** Something went wrong. */
export class SottovoceError extends Error {
  /**
   * @param {string} code stable code of the kind
   * @param {string} message what happened
   * @param {{hint?: string, reason?: string}} [more] what to try; what narrows the code
   */
  constructor(code, message, { hint = "", reason = "" } = {}) {
    super(message);
    this.name = new.target.name;
    this.code = code;
    this.hint = hint;
    this.reason = reason;
  }

  /** The most precise stable code: the reason where there is one, else the code of the kind. */
  get publicCode() {
    return this.reason || this.code;
  }
}

/** The request itself is not well formed. */
export class UsageError extends SottovoceError {
  /** @param {string} message @param {{hint?: string, reason?: string}} [more] */
  constructor(message, more) {
    super("usage", message, more);
  }
}

/** The recording cannot be analysed. */
export class AudioRejected extends SottovoceError {
  /** @param {string} message @param {{hint?: string, reason?: string}} [more] */
  constructor(message, more) {
    super("audio_rejected", message, more);
  }
}

/** What is presented is not what was signed. */
export class IntegrityError extends SottovoceError {
  /** @param {string} message @param {{hint?: string, reason?: string}} [more] */
  constructor(message, more) {
    super("integrity", message, more);
  }
}

/** The signature may be sound, but nothing pinned says whose it is. */
export class UnknownSigner extends SottovoceError {
  /** @param {string} message @param {{hint?: string, reason?: string}} [more] */
  constructor(message, more) {
    super("unknown_signer", message, more);
  }
}

/** The person stopped it, or the page did. */
export class Cancelled extends SottovoceError {
  constructor() {
    super("cancelled", "Stopped before there was a result.");
  }
}

/** Recording is not possible here, or not allowed. */
export class RecorderError extends SottovoceError {
  /** @param {string} message @param {{hint?: string, reason?: string}} [more] */
  constructor(message, more) {
    super("recorder", message, more);
  }
}
