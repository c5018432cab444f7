"""Reference pages name everything there is: every error code with its exit code, every setting, every purpose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sottovoce import errors
from sottovoce.doors.cli.errors import EXIT_CODES
from sottovoce.model.purpose import CONSENT_PURPOSES
from sottovoce.settings import Settings

DOCS = Path(__file__).resolve().parents[2] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def kinds(base: type[errors.SottovoceError]) -> Iterator[type[errors.SottovoceError]]:
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from kinds(kind)


def test_every_kind_of_error_is_on_its_page() -> None:
    text = page("reference/errors.md")
    for kind in kinds(errors.SottovoceError):
        assert f"| `{kind.code}` | `{kind.__name__}` |" in text


def test_exit_codes_are_those_of_the_command_line() -> None:
    rows = re.findall(r"^\| (\d+) \|[^|]*\|([^|]*)\|$", page("reference/errors.md"), re.MULTILINE)
    written = {code: int(number) for number, cell in rows for code in re.findall(r"`(\w+)`", cell)}
    assert written.pop("internal") == 1
    assert written == EXIT_CODES


def test_every_setting_is_on_its_page_and_nothing_else() -> None:
    rows = set(re.findall(r"^\| `([a-z_]+)` \|", page("reference/settings.md"), re.MULTILINE))
    assert rows == set(Settings.model_fields)


def test_every_purpose_can_be_looked_up() -> None:
    text = page("how-to/record-consent.md")
    for purpose in CONSENT_PURPOSES:
        assert f"`{purpose}`" in text or purpose.startswith("infer_")
