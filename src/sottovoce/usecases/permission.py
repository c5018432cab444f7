"""What a person allows: their consents and what stands on their data, read in the transaction that acts on it.

Rules upheld here:
1. A restriction or an objection forbids what consent would allow.
2. Consent to a notice that has changed materially since is none, until it is given anew; unknown means no (law 8).

Whoever writes reads this in the same transaction, after the subject's row is locked (law 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sottovoce.errors import ConsentRequired, ReconsentRequired
from sottovoce.model import consent as ledger
from sottovoce.model.inference import ModelUse, purpose_for
from sottovoce.model.mark import Mark, forbidden, forbids
from sottovoce.ports import UnitOfWork


@dataclass(frozen=True)
class Consents:
    """What a person's consents allow in this transaction."""

    states: dict[str, ledger.PurposeConsent]
    material: dict[str, int]
    marks: tuple[Mark, ...] = ()

    def allow(self, purposes: Sequence[str]) -> bool:
        if forbids(self.marks, purposes) is not None:
            return False
        return ledger.decide(self.states, purposes, material=self.material).allowed

    def agreed(self, uses: Sequence[ModelUse]) -> tuple[ModelUse, ...]:
        """Those of the models whose purpose is granted: each attribute is a purpose of its own (BP4)."""
        return tuple(use for use in uses if self.allow((purpose_for(use.attribute),)))

    def check(self, purposes: Sequence[str]) -> None:
        """ConsentRequired or ReconsentRequired where they are not all granted, or the person's data is restricted."""
        mark = forbids(self.marks, purposes)
        if mark is not None:
            raise forbidden(mark)
        decision = ledger.decide(self.states, purposes, material=self.material)
        if not decision.allowed:
            raise consent_error(decision.missing, decision.outdated)


def consents_of(tx: UnitOfWork, subject_id: str, *, tenant: str) -> Consents:
    """What the person of this internal id allows now; somebody unknown allows nothing."""
    return Consents(
        ledger.fold(tx.consents.of_subject(subject_id)),
        tx.consents.material(tenant),
        tx.marks.of_subject(subject_id),
    )


def consent_error(missing: Sequence[str], outdated: Sequence[str]) -> ConsentRequired:
    """Why a purpose was refused: never granted or taken back, else granted on a notice of before."""
    if missing:
        return ConsentRequired(
            f"The person has not consented to: {', '.join(missing)}.",
            hint="Record it with `sottovoce consent grant --subject ID --purpose " + " ".join(missing) + "`.",
        )
    return ReconsentRequired(
        f"The notice has changed materially since the person consented to: {', '.join(outdated)}."
    )
