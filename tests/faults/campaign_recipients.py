"""Scenarios of the campaign with a recipient: handing over, telling, acknowledging; and what must hold afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sottovoce import app
from sottovoce.model.recipient import follows
from sottovoce.sealing import acknowledgement

PURPOSE = "model_training"


def introduce(platform: app.Platform, source: Path) -> None:
    platform.add_recipient("Lab", kind="team")


def hand_over(platform: app.Platform, source: Path) -> None:
    """Every session of anna's to the first recipient."""
    for session in platform.sessions(subject="anna"):
        platform.show(session.session_id, purpose=PURPOSE, recipient=_first(platform))


def package(platform: app.Platform, out: Path) -> Any:
    return platform.export_person(subject="anna", out=out, recipient=_first(platform))


def by_hand(platform: app.Platform) -> Any:
    return platform.disclose(subject="anna", recipient=_first(platform), purpose=PURPOSE, what="features")


def acknowledge(platform: app.Platform) -> Any:
    """The recipient has applied all that it was told."""
    recipient = _first(platform)
    key = bytes.fromhex(json.loads(platform.feed_key(recipient))["acknowledgement_key"])
    last = json.loads(platform.feed_page(recipient).text)["body"]["entries"][-1]
    text = acknowledgement.sign(
        key, recipient_id=recipient, through=last["number"], last_hash=last["hash"], applied_at=platform.now()
    )
    return platform.acknowledge_feed(text)


def _first(platform: app.Platform) -> str:
    return platform.recipients()[0].id


def feeds(platform: app.Platform) -> list[str]:
    """Each feed is whole; a person who is gone was told of once, and a person who is there was not told of as erased;
    what was taken back was told."""
    dirty = []
    gone = not platform.sessions(subject="anna")
    states = platform.consents(subject="anna")
    withdrawn = any((s.purpose, s.status) == (PURPOSE, "withdrawn") for s in states)
    with platform._adapters.database.read() as tx:
        for recipient in tx.recipients.all("default"):
            entries = tx.recipients.entries(recipient.id, after=0, limit=1000)
            kinds = [str(entry.kind) for entry in entries]
            if not all(follows(one, last) for one, last in zip(entries, [None, *entries], strict=False)):
                dirty.append("a feed does not follow")
            if kinds.count("erased") > int(gone):
                dirty.append("an erasure was told and not made, or twice")
            had = any(tx.recipients.disclosures_of(person) for person in tx.subjects.ids())
            if had and withdrawn and "consent_withdrawn" not in kinds:
                dirty.append("a withdrawal was not told")
            receipts = [tx.requests.get(stone.request_id) for stone in tx.requests.tombstones()]
            told = any(one is not None and recipient.id in (one.receipt or "") for one in receipts)
            if told != ("erased" in kinds or "session_erased" in kinds):
                dirty.append("a receipt and a feed do not agree")
    return dirty
