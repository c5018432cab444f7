"""JSON that a stranger wrote, read in one way only: what parsers elsewhere would read otherwise is refused.

Rules upheld here:
1. UTF-8 only, of a bounded size (RFC 8259, 8.1); a key that stands twice in an object is refused (RFC 7493, 2.3).
2. Numbers are finite, and whole ones have at most 18 digits, so that no later conversion overflows (RFC 7493, 2.2).
3. ValueError is the only way to fail, also where the nesting is deeper than the parser goes.

Types, and halves of surrogate pairs (written as escapes), are left to who knows the form.
"""

from __future__ import annotations

import json
import math
from typing import Any

_DIGITS = 18


def read_json(data: str | bytes, *, maximum_bytes: int) -> Any:
    """The value in a text (counted in characters where it is no bytes). ValueError where it is not one."""
    if len(data) > maximum_bytes:
        raise ValueError("too large")
    text = data.decode() if isinstance(data, bytes) else data
    try:
        return json.loads(
            text, object_pairs_hook=_once, parse_float=_finite, parse_int=_bounded, parse_constant=_refused
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not finite")
    return value


def _bounded(text: str) -> int:
    if len(text.lstrip("-")) > _DIGITS:
        raise ValueError("too many digits")
    return int(text)


def _refused(_: str) -> float:
    raise ValueError("not finite")
