"""The verbs that let something out: what is opened and for which purpose, and who else receives it."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from sottovoce.app.hall import LIBRARY, Hall
from sottovoce.model.outcome import SessionContent, SessionView
from sottovoce.model.recipient import KnownAs, recipient_kind
from sottovoce.model.subject import Caller
from sottovoce.usecases.facts_card import FactsCard
from sottovoce.usecases.feed import FeedPage, FeedStatus
from sottovoce.usecases.handover import DisclosureView
from sottovoce.usecases.inference import DecisionView, Replay
from sottovoce.usecases.recipients import HandedOver, RecipientView


class DisclosureVerbs(Hall):
    """Sessions, decisions, recipients and their deletion feeds."""

    def sessions(self, *, subject: str, caller: Caller = LIBRARY) -> tuple[SessionView, ...]:
        """A person's sessions, newest first."""
        return self._read(lambda: self._disclosure.sessions(subject, caller=caller))

    def show(
        self, session_id: str, *, purpose: str, recipient: str | None = None, caller: Caller = LIBRARY
    ) -> SessionContent:
        """Open what a purpose may see of a session; what is handed to a recipient is written down before it is opened.
        ConsentRequired, NotFound, UsageError; Conflict where the recipient has ended."""
        desk = None if recipient is None else self._recipients.desk(recipient)
        return self._read(
            lambda: self._disclosure.show(session_id, purpose=purpose, desk=desk, caller=caller)
        )

    def facts(self, session_id: str, *, caller: Caller = LIBRARY) -> FactsCard:
        """The privacy facts of a session: where captured, who can open it, who did, when it dies, what was inferred.
        NotFound."""
        return self._read(lambda: self._access.card(session_id, caller=caller))

    def decisions(
        self, *, subject: str | None = None, session_id: str | None = None, caller: Caller = LIBRARY
    ) -> tuple[DecisionView, ...]:
        """What rules and models said of a person, or of a session, oldest first. Looking is an entry in the audit log.
        NotFound, UsageError."""
        return self._read(lambda: self._decisions.list(subject=subject, session_id=session_id, caller=caller))

    def replay(self, decision_id: str, *, purpose: str | None = None, caller: Caller = LIBRARY) -> Replay:
        """Compute a decision once more, by the model of its hash from the features of its hash: the same value to the
        bit, or why not. `purpose`: what it is opened for (else its own). NotFound, ConsentRequired, UsageError."""
        return self._read(lambda: self._decisions.replay(decision_id, purpose=purpose, caller=caller))

    # --- recipients ------------------------------------------------------------------------------------

    def add_recipient(self, name: str, *, kind: str, caller: Caller = LIBRARY) -> RecipientView:
        """Somebody who may receive data: an organisation or a team, of a kind of `model.recipient.RecipientKind`, with
        a key of its own. UsageError, Conflict."""
        wanted = recipient_kind(kind)
        return self._verb(lambda: self._recipients.add(name, wanted, caller=caller))

    def recipients(self) -> tuple[RecipientView, ...]:
        """Everybody who receives or has received data."""
        return self._recipients.all()

    def recipient(self, recipient_id: str) -> RecipientView:
        """One of them. NotFound."""
        return self._recipients.show(recipient_id)

    def end_recipient(
        self, recipient_id: str, *, destroyed: bool = False, caller: Caller = LIBRARY
    ) -> RecipientView:
        """It receives nothing more, and is told on of what it has. `destroyed`: it has stated that nothing is left
        there, so it is told nothing more. NotFound."""
        return self._verb(lambda: self._recipients.end(recipient_id, destroyed=destroyed, caller=caller))

    def feed_key(self, recipient_id: str) -> str:
        """What a recipient needs to read its feed and to acknowledge it, as the text of a file that is for it alone."""
        return self._recipients.key_file(recipient_id, self._pin.read())

    def write_feed_key(self, recipient_id: str, path: str | os.PathLike[str]) -> None:
        """The same as a new file, readable by its owner alone (0600). UsageError where it exists."""
        from sottovoce.adapters import export_file

        export_file.write_new(Path(path), self.feed_key(recipient_id).encode())

    def disclose(
        self, *, subject: str, recipient: str, purpose: str, what: str, session_id: str | None = None,
        at: datetime | None = None, note: str | None = None, caller: Caller = LIBRARY,
    ) -> KnownAs:  # fmt: skip
        """Write down what was handed to a recipient outside of this service; the names that it knows the person by.
        NotFound, UsageError, Conflict."""
        given = HandedOver(
            subject=subject, recipient_id=recipient, purpose=purpose, what=what, session_id=session_id, at=at,
            note=note,
        )  # fmt: skip
        return self._verb(lambda: self._recipients.write_down(given, caller=caller))

    def disclosures(self, *, subject: str) -> tuple[DisclosureView, ...]:
        """What was handed over of a person: to whom, for which purpose, when. NotFound."""
        return self._recipients.of_subject(subject)

    def feed_page(
        self, recipient_id: str, *, after: int = 0, limit: int = 500, caller: Caller = LIBRARY
    ) -> FeedPage:
        """A signed page of a recipient's deletion feed: the entries after that number. NotFound, UsageError."""
        return self._verb(lambda: self._feed.page(recipient_id, after=after, limit=limit, caller=caller))

    def feed_status(self, recipient_id: str | None = None) -> tuple[FeedStatus, ...]:
        """How far each recipient has come with its feed, and who is overdue. NotFound."""
        return self._feed.status(recipient_id)

    def acknowledge_feed(self, text: str, *, caller: Caller = LIBRARY) -> FeedStatus:
        """Take a recipient's acknowledgement in. IntegrityError, Conflict, NotFound."""
        return self._verb(lambda: self._feed.acknowledge(text, caller=caller))
