"""Port `Extractor` without a child process."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence

from sottovoce.errors import InputUnreadable, UsageError
from sottovoce.model.features import Extraction, SandboxLevel
from sottovoce.ports import (
    Descriptor,
    ExtractOptions,
    Place,
    SealedBody,
    SealedExtraction,
)
from sottovoce.sealing.envelope import open_body, seal
from sottovoce.sealing.suites import SUITE_RSA, open_client_body

_SEALING_ROOM_BYTES = 16 << 20  # what sealing adds to the largest body, and more


class InlineExtractor:
    """The extractor without a child: the same pipeline inside the calling process, the whole recording in memory.

    For tests and trusted recordings only: a hostile file meets native decoders in your own process, and what was
    opened may stay in its memory.
    """

    def level(self) -> SandboxLevel:
        return "rlimits"

    def extract(self, source: Descriptor | SealedBody, options: ExtractOptions) -> Extraction:
        # Imported late: whoever fakes a database should not load numpy for it.
        from sottovoce.voice.audio import Limits
        from sottovoce.voice.containers import BytesSource
        from sottovoce.voice.formats import load_formats
        from sottovoce.voice.pipeline import process

        if options.embedding_model is not None:
            raise UsageError("The in-process extractor makes no embeddings.")
        data = _whole_file(source.fd, limit_bytes=options.max_body_bytes + _SEALING_ROOM_BYTES)
        if isinstance(source, SealedBody):
            body = data[source.body_offset :]
            if source.suite == SUITE_RSA:
                data = open_client_body(source.key, body, suite=source.suite, body_context=source.context)
            else:
                data = open_body(source.key, body, source.context)
        return process(
            BytesSource(data),
            profile=options.profile,
            limits=Limits(max_body_bytes=options.max_body_bytes, max_analysed_s=options.max_analysed_s),
            channel=options.channel,
            accept_truncated=options.accept_truncated,
            formats=load_formats(),
        )

    def extract_sealed(
        self,
        source: Descriptor | SealedBody,
        options: ExtractOptions,
        places: Callable[[], Sequence[Place]],
    ) -> SealedExtraction:
        """As the port says, but for its point: here the numbers do pass through this process."""
        from sottovoce.voice.bodies import bodies_of, findings_of
        from sottovoce.voice.insight import voice_profile
        from sottovoce.voice.models.inference import infer

        extraction = self.extract(source, options)
        insight = voice_profile(extraction.features, extraction.quality)
        given = {place.kind: place for place in places()}
        said = {
            kind: infer(place.model, extraction.features, extraction.quality)
            for kind, place in given.items()
            if place.model is not None
        }
        plain = bodies_of(extraction, insight, said)
        if set(given) != set(plain):
            raise UsageError("The places are not those of the result.")
        sealed = {
            kind: seal(place.key, plain[kind], place.context, place.key_id) for kind, place in given.items()
        }
        return SealedExtraction(findings_of(extraction, insight), sealed)

    def close(self) -> None:
        """Nothing to end."""


def _whole_file(fd: int, *, limit_bytes: int) -> bytes:
    """From its start, whatever its offset; up to the limit, which is more than any recording that is accepted.

    InputUnreadable unless it is an open regular file.
    """
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise InputUnreadable("The recording is not a regular file.", reason="not_a_file")
        return os.pread(fd, min(status.st_size, limit_bytes), 0)
    except OSError:
        raise InputUnreadable(
            "The descriptor of the recording is not open.", reason="file_unreadable"
        ) from None
