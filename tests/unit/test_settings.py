"""Settings files and variables that are none: refused with a reason, however deep they go."""

from __future__ import annotations

from pathlib import Path

import pytest

from sottovoce.errors import ConfigurationError
from sottovoce.settings import CONFIG_NAME, load

DEEP = "[" * 20_000 + "]" * 20_000


@pytest.mark.parametrize(
    "content",
    [
        f"tenant = {DEEP}".encode(), b"tenant = {a = " * 5000, b"\xff\xfe", b"a = 1\na = 2", b"features_days = nan",
        b"features_days = inf", b"features_days = " + b"9" * 5000, b"[" * 20_000, b"max_body_bytes = 1e400",
    ],
    ids=lambda content: content[:20].decode("utf-8", "replace"),
)  # fmt: skip
def test_M05_a_settings_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    """A settings file with endless nesting, with bytes that are no text or with a number that is none is refused with a
    reason."""
    (tmp_path / CONFIG_NAME).write_bytes(content)
    with pytest.raises(ConfigurationError):
        load(home=tmp_path)


@pytest.mark.parametrize("name", ["SOTTOVOCE_INFER", "SOTTOVOCE_WITNESSES"])
def test_a_variable_that_is_nested_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, DEEP)
    with pytest.raises(ConfigurationError):
        load(home=tmp_path)
