"""One encoding for everything that is hashed or signed: the subset of RFC 8785 (JCS) without floats.

Keys sorted, no spaces, UTF-8, integers only: two parties who agree on the value agree on the bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sottovoce.errors import UsageError

JsonValue = None | bool | int | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]


def canonical_json(value: JsonValue) -> bytes:
    """The canonical bytes of a value; UsageError for a float or anything else JSON cannot say in one way."""
    text = json.dumps(_ordered(value), separators=(",", ":"), ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UsageError("Signed data holds whole characters only, no half of a surrogate pair.") from None


def _ordered(value: object) -> object:
    """The value as plain lists and dicts, keys in the order of RFC 8785, 3.2.3: by UTF-16 code units."""
    match value:
        case None | bool() | int() | str():
            return value
        case Mapping():
            if not all(isinstance(key, str) for key in value):
                raise UsageError("Signed data has text keys only.")
            return {key: _ordered(value[key]) for key in sorted(value, key=_utf16)}
        case list() | tuple():
            return [_ordered(item) for item in value]
        case _:
            raise UsageError(f"Signed data cannot hold a value of type {type(value).__name__}.")


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")
