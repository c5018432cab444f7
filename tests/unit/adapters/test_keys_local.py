"""Key files that ask for the impossible: damaged, and said so at once."""

from __future__ import annotations

import json

import pytest

from sottovoce.adapters import keys_local
from sottovoce.errors import KeyUnavailable, SottovoceError

FILE = json.loads(keys_local._serialise(keys_local._KekFile(1, bytes(48), bytes(16), 64, 3, 1)))


def with_cost(name: str, value: object) -> bytes:
    said = {key: each for key, each in {**FILE, name: value}.items() if key != "sha256"}
    return json.dumps({**said, "sha256": keys_local._checksum(said)}).encode()


def test_what_was_written_is_read() -> None:
    assert keys_local._parse(with_cost("passes", 3), 1).passes == 3


@pytest.mark.parametrize("name", ["memory_kib", "passes", "lanes"])
@pytest.mark.parametrize(
    "value", [float("inf"), float("nan"), 2**31, 10**30, 0, -1, 1.5, "3", True, None, [3]]
)
def test_M05_a_key_file_that_asks_for_hours_or_for_nothing_is_damaged(name: str, value: object) -> None:
    """A key file whose passphrase would take hours, all the memory, or no work to check is refused as damaged."""
    with pytest.raises(SottovoceError) as refused:
        keys_local._parse(with_cost(name, value), 1)
    assert refused.value.code in ("integrity", KeyUnavailable.code)
