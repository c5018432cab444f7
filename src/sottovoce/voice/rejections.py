"""Why a recording is refused: one stable reason, one plain sentence, one hint each.

The table is closed. The sealed child sends a reason, never a text, so that nothing a decoder says and nothing a
file holds can reach a message, a log or a terminal.
"""

from __future__ import annotations

from types import MappingProxyType

from sottovoce.errors import AudioRejected

FORMATS_HINT = 'Install the optional decoders with: pip install "sottovoce[formats]"'

_RESEND = "Send the recording again; if it was cut on purpose, set accept_truncated."
_EXPORT = "Export it again as WAV, FLAC, Ogg or MP3, between 8 and 192 kHz, with 1 to 8 channels."

REASONS = MappingProxyType(
    {
        "empty": ("The file is empty.", "Record again; nothing was received."),
        "too_large": ("The file is larger than the limit.", "Send a shorter recording or raise the limit."),
        "unknown_format": ("This is not a recording in a format that is known here.", _EXPORT),
        "format_not_allowed": ("This kind of audio file is known but not accepted.", _EXPORT),
        "header_invalid": ("The header of the recording is broken, cut or impossible.", _EXPORT),
        "no_samples": ("The recording holds no sound.", "Record again; the file is only a header."),
        "sample_rate": ("The sample rate lies outside 8 to 192 kHz.", _EXPORT),
        "channels": (
            "The recording does not have the channels that are needed.",
            "1 to 8 channels are accepted, and a channel that is asked for has to exist.",
        ),
        "too_long": ("The recording is longer than two hours.", "Send the part that is to be analysed."),
        "too_short": ("The recording is shorter than 100 ms.", "Record at least a few seconds of speech."),
        "non_finite": ("The recording holds values that are not numbers.", _EXPORT),
        "amplitude": ("The recording is absurdly loud for its format.", "Scale the samples to -1..1."),
        "truncated": ("The recording ends before its header says.", _RESEND),
        "decode_failed": ("The recording opens, but cannot be decoded to its end.", _EXPORT),
    }
)


def rejected(reason: str, *, needs_formats: bool = False) -> AudioRejected:
    """The refusal for a reason of `REASONS`; `needs_formats` names the extra to install instead of the usual hint."""
    message, hint = REASONS[reason]
    return AudioRejected(message, hint=FORMATS_HINT if needs_formats else hint, reason=reason)


def needs_formats(error: AudioRejected) -> bool:
    """Whether this refusal would perhaps not have happened with the extra `[formats]`."""
    return error.hint == FORMATS_HINT
