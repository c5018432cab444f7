"""What may be known of a result by a process that never sees it: names, versions and hashes, no numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Findings:
    """Which definitions and rules a result was made by, and the hash of its features: what tables and the decision
    log say in clear or of a result that they hold sealed."""

    profile: str
    features_version: str
    feature_sha256: str  # of the stored float32 form
    insight_kind: str
    insight_version: str
    insight_sha256: str  # of the rule table or model file
    embedding_sha256: str | None = None  # of the embedding's model; None: no embedding was made

    @property
    def insight_model(self) -> str:
        """As decisions and versions name it."""
        return f"{self.insight_kind}/{self.insight_version}"
