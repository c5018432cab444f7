"""What a file declares about itself, read by us before any decoder sees it.

    header = parse(BytesSource(data))      # AudioRejected with the first reason that applies

`parse` recognises a container by its first bytes (never by a name), refuses what is not on the allow-list and
reads the declared header.
"""

from __future__ import annotations

from sottovoce.voice.containers import boxes, flac, iff, mpeg, ogg, riff
from sottovoce.voice.containers.base import BytesSource, Decoder, Header, Source, read
from sottovoce.voice.rejections import rejected

__all__ = ["BytesSource", "Decoder", "Header", "Source", "parse"]

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_WAVE64 = b"riff\x2e\x91\xcf\x11"
_KNOWN_BUT_REFUSED = (b"caff", b"wvpk", b"MAC ", b"DSD ", b"MThd", b"FLV\x01", b"TTA1", _WAVE64)


def parse(source: Source) -> Header:
    """The declared header; AudioRejected `unknown_format`, `format_not_allowed`, `header_invalid` or `no_samples`."""
    head = read(source, 0, 64)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
        return riff.parse(source)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return iff.parse_aiff(source)
    if head[:4] == b".snd":
        return iff.parse_au(source)
    if head[:4] == b"OggS" and len(head) >= 27:
        return ogg.parse(source)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return boxes.parse_webm(source)
    if head[4:8] == b"ftyp" and len(head) >= 16:
        return boxes.parse_mp4(source)
    if head[:9] == b"#!AMR-WB\n" or head[:6] == b"#!AMR\n":
        return boxes.parse_amr(source, wide=head[5:6] == b"-")
    if _refused(head, source.size_bytes):
        raise rejected("format_not_allowed")
    return _tagged(source)


def _refused(head: bytes, size_bytes: int) -> bool:
    """Audio and video containers that we know by name and do not accept."""
    if head[:16] == _ASF:  # the header object has to be there, not just its name
        return len(head) >= 30 and int.from_bytes(head[16:24], "little") <= size_bytes
    adts = len(head) >= 7 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0
    return adts or head.startswith(_KNOWN_BUT_REFUSED) or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")


def _tagged(source: Source) -> Header:
    """FLAC and MPEG audio, which may stand behind an ID3v2 tag."""
    start = mpeg.id3_bytes(source)
    if read(source, start, 4) == b"fLaC":
        return flac.parse(source, start)
    header = mpeg.parse(source, start) if start < source.size_bytes else None
    if header is None:
        raise rejected("unknown_format")
    return header
