"""The texts that people are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sottovoce.errors import Conflict, UsageError
from sottovoce.model.consent import NoticeVersion
from sottovoce.model.purpose import VOICE_ANALYSIS

if TYPE_CHECKING:
    from conftest import Hall


def _versions(hall: Hall) -> list[NoticeVersion]:
    with hall.database.read() as tx:
        return list(tx.consents.notices("default", VOICE_ANALYSIS))


def test_C1b_one_version_has_one_text(hall: Hall) -> None:
    """The same version of a notice can never stand for two texts."""
    hall.platform.grant(subject="a", purposes=[VOICE_ANALYSIS], notice=b"one", notice_version="v1")
    with pytest.raises(Conflict, match="other words"):
        hall.platform.grant(subject="a", purposes=[VOICE_ANALYSIS], notice=b"two", notice_version="v1")


def test_C3a_a_version_counts_once_whatever_the_languages_and_a_new_one_comes_after_it(hall: Hall) -> None:
    """A translation of a notice is the same version to everybody; the next version is the next."""
    for text, version, locale in (("a", "v1", "en"), ("b", "v1", "de"), ("c", "v2", "de"), ("a", "v1", "en")):
        hall.platform.grant(
            subject="a",
            purposes=[VOICE_ANALYSIS],
            notice=text.encode(),
            notice_version=version,
            locale=locale,
        )
    found = {(one.version, one.locale): one.ordinal for one in _versions(hall)}
    assert found == {("v1", "en"): 1, ("v1", "de"): 1, ("v2", "de"): 2}


def test_a_notice_has_an_end(hall: Hall) -> None:
    with pytest.raises(UsageError):
        hall.platform.grant(
            subject="a", purposes=[VOICE_ANALYSIS], notice=b"x" * (256 * 1024 + 1), notice_version="v1"
        )
    assert not [one for one in _versions(hall) if one.version == "v1"]
