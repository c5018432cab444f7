"""Scenarios of the campaign with recipient keys: a sealed recording that arrives, a key that is made and retired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sottovoce import app


def key(platform: app.Platform, source: Path) -> None:
    platform.create_recipient_key(name="agency", suite="x25519")


def prepare(platform: app.Platform, source: Path) -> None:
    """A key, and a recording that somebody else has sealed to it."""
    key(platform, source)
    document = platform.recipient_keys()[0].document or ""
    app.seal_file(source, to=document, out=source.with_name("sealed"), contractor="anna")


def take(platform: app.Platform, source: Path) -> str:
    """Acknowledged is the session whose result is stored."""
    (path,) = source.with_name("sealed").rglob("*.sealed")
    return platform.ingest_file(path, subject="").session_id or ""


def retire(platform: app.Platform) -> Any:
    return platform.retire_recipient_key(platform.recipient_keys()[0].key_id, grace_days=0)


def keys(platform: app.Platform) -> list[str]:
    """A key is whole, or destroyed with a date, or not there; no row without one is left."""
    found = platform.recipient_keys()
    dirty = [f"a recipient key is {one.state}" for one in found if one.state not in ("active", "destroyed")]
    rows = [row for row in platform.keyring.rows() if row.kind == "recipient"]
    if len(rows) != sum(one.state == "active" for one in found):
        dirty.append("a key row of no recipient key is left")
    return dirty
