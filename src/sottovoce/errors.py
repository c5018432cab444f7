"""Every error that sottovoce raises on purpose: a stable code, what happened, and what to try next.

The docstring of each class is its default message. Codes are part of the public interface: doors map them to
an exit code or an HTTP status, and callers branch on them. A message never carries a secret, a feature value, a
transcript, a file's content or a decoder's own text.
"""

from __future__ import annotations

from typing import ClassVar


class SottovoceError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str = "", *, hint: str = "", reason: str = "") -> None:
        """`reason` narrows the code (for rejected audio: `too_short`, `truncated`, ...)."""
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.hint = hint or self.default_hint
        self.reason = reason
        super().__init__(self.message)

    @property
    def public_code(self) -> str:
        """The most precise stable code: the reason where there is one, else the code of the class."""
        return self.reason or self.code

    def to_dict(self) -> dict[str, str]:
        """A plain object for JSON output, without empty fields."""
        fields = {"code": self.public_code, "kind": self.code, "message": self.message, "hint": self.hint}
        return {key: value for key, value in fields.items() if value}


class UsageError(SottovoceError):
    """The request itself is not well formed."""

    code = "usage"


class ConfigurationError(SottovoceError):
    """The settings cannot be used as they are."""

    code = "configuration"


class ExtraMissing(SottovoceError):
    """This needs an optional part of sottovoce that is not installed."""

    code = "extra_missing"


class ConsentRequired(SottovoceError):
    """The person has not consented to what this needs."""

    code = "consent_required"
    default_hint = "Record the person's consent with `sottovoce consent grant`, then try again."


class ReconsentRequired(ConsentRequired):
    """The notice changed materially since the person consented; they have to be asked again."""

    code = "reconsent_required"


class AudioRejected(SottovoceError):
    """The recording cannot be analysed."""

    code = "audio_rejected"


class InputUnreadable(SottovoceError):
    """The input file cannot be read."""

    code = "input_unreadable"


class ExtractionFailed(SottovoceError):
    """The sealed child ended without a result."""

    code = "extraction_failed"


class NotFound(SottovoceError):
    """There is nothing of that id."""

    code = "not_found"


class Conflict(SottovoceError):
    """The request contradicts what is already recorded."""

    code = "conflict"


class IntegrityError(SottovoceError):
    """Stored or presented data is not what was written."""

    code = "integrity"


class KeyUnavailable(SottovoceError):
    """A key that this needs is missing, wrong or destroyed."""

    code = "key_unavailable"


class StorageError(SottovoceError):
    """The storage did not do what was asked."""

    code = "storage"


class SchemaNewer(StorageError):
    """The database was written by a newer version of sottovoce."""

    code = "schema_newer"
    default_hint = "Upgrade sottovoce to at least the version that wrote this home."


class UnknownSigner(SottovoceError):
    """The signature may be sound, but nothing pinned says whose it is."""

    code = "unknown_signer"
