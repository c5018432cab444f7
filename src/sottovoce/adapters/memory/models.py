"""Port `Models` in memory."""

from __future__ import annotations

from sottovoce.errors import Conflict
from sottovoce.ports import StoredModel


class MemoryModels:
    def __init__(self) -> None:
        self._models: dict[str, StoredModel] = {}

    def hashes(self) -> tuple[str, ...]:
        return tuple(sorted(self._models))

    def get(self, sha256: str) -> StoredModel | None:
        return self._models.get(sha256)

    def add(self, model: StoredModel) -> None:
        if model.sha256 in self._models:
            raise Conflict("This model is here already.", reason="model_exists")
        self._models[model.sha256] = model

    def remove(self, sha256: str) -> bool:
        return self._models.pop(sha256, None) is not None
