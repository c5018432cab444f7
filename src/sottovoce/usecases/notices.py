"""The texts that people are shown: each version has one text for good, and every consent names the one that it is to.

Rules upheld here:
1. A version of a notice in one language stands for exactly one text, known by the hash of its bytes (C1b).
2. The versions of a purpose are counted; whether a new one asks everybody again is said when it is first used (C3a).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sottovoce.errors import Conflict, UsageError
from sottovoce.model.consent import NoticeVersion
from sottovoce.model.ids import RandomBytes, new_id
from sottovoce.model.purpose import consent_purpose, notice_text
from sottovoce.ports import UnitOfWork

_MAXIMUM_NOTICE_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class Notice:
    """The text that was shown, where it is not the built-in one."""

    text: bytes
    version: str
    locale: str = "en"
    material: bool = True


def shown_notice(
    tx: UnitOfWork, purpose: str, given: Notice | None, *, tenant: str, random_bytes: RandomBytes
) -> NoticeVersion:
    """The version of exactly these bytes, registered where it is new; the built-in text where none is given.
    UsageError; Conflict (reason `notice_version`) where the version has other words."""
    known_as = consent_purpose(purpose)
    shown = given or Notice(text=notice_text(known_as), version=known_as.notice)
    if not shown.text or len(shown.text) > _MAXIMUM_NOTICE_BYTES:
        raise UsageError(f"A notice has 1 to {_MAXIMUM_NOTICE_BYTES} bytes.", reason="notice")
    sha256 = hashlib.sha256(shown.text).hexdigest()
    known = tx.consents.notices(tenant, purpose)
    same = next((one for one in known if (one.version, one.locale) == (shown.version, shown.locale)), None)
    if same is None:
        new = NoticeVersion(
            id=new_id("notice", random_bytes), tenant=tenant, purpose=purpose, version=shown.version,
            ordinal=_ordinal(known, shown.version), locale=shown.locale, material=shown.material, sha256=sha256,
            text=shown.text, published_at=tx.now(),
        )  # fmt: skip
        tx.consents.add_notice(new)
        return new
    if same.sha256 != sha256:
        raise Conflict(
            f"Version {shown.version} ({shown.locale}) of this notice has other words.",
            hint="Give the changed text a version of its own.",
            reason="notice_version",
        )
    return same


def _ordinal(known: Sequence[NoticeVersion], version: str) -> int:
    """That of the version in another language, else the next."""
    ordinals = {notice.version: notice.ordinal for notice in known}
    return ordinals.get(version, max(ordinals.values(), default=0) + 1)
