"""The verbs of whoever trains and runs models: the models of a home, and rounds of training with who has left them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sottovoce.app.hall import LIBRARY, Hall
from sottovoce.errors import UsageError
from sottovoce.model.inference import ModelUse
from sottovoce.model.lineage import Departure, RoundView, TrainingRound
from sottovoce.model.subject import Caller
from sottovoce.usecases.registry import RegisteredModel
from sottovoce.usecases.training import Ask as TrainingAsk
from sottovoce.usecases.training import Handover

if TYPE_CHECKING:
    from sottovoce.model.canonical import JsonValue


class ModelVerbs(Hall):
    """Which models are run here, and what was learned from whom."""

    def models(self) -> tuple[RegisteredModel, ...]:
        """The models of this home and those that are shipped, each with what its card says and whether it is run."""
        return self._registry.list()

    def models_to_run(self) -> tuple[ModelUse, ...]:
        """The models that are run here on the voices of people who agree to their purposes. ConfigurationError,
        IntegrityError and UnknownSigner where one of them cannot be."""
        return self._registry.uses(self._policy.profile)

    def add_model(
        self, data: bytes, card: str, *, signer: str | None = None, demonstration: bool = False,
        caller: Caller = LIBRARY,
    ) -> RegisteredModel:  # fmt: skip
        """Take a model file in with its signed card. `signer`: the identity document of who signed it, pinned with it;
        None: signed by this home. IntegrityError, UnknownSigner, UsageError, Conflict."""
        return self._verb(
            lambda: self._registry.add(data, card, signer=signer, demonstration=demonstration, caller=caller)
        )

    def remove_model(self, sha256: str, *, caller: Caller = LIBRARY) -> None:
        """Take a model of the home's own out. What it has said stays with whom it was said of. NotFound."""
        self._verb(lambda: self._registry.remove(sha256, caller=caller))

    def sign_model_card(self, body: Mapping[str, JsonValue], *, model: bytes) -> str:
        """The card of a model file, signed by this home's identity (docs/reference/model-file.md). IntegrityError
        where body and file are not of each other."""
        from sottovoce.usecases import models

        return models.issue_card(body, model, identity=self.keyring.identity())

    # --- training --------------------------------------------------------------------------------------

    def begin_training(
        self, *, model: str, out: str | os.PathLike[str], profile: str | None = None, epsilon: str | None = None,
        delta: str | None = None, unit: str = "speaker", on_leave: str = "retrain", usable_days: int = 0,
        recipient: str | None = None, caller: Caller = LIBRARY,
    ) -> TrainingRound:  # fmt: skip
        """A new round of training: the features of everybody who agrees to model_training now, as one table (.csv or
        .parquet, for its owner alone). The guarantee is what the data team states; `on_leave`: retrain, retire or
        covered. `recipient`: the id of who receives it, whose own names for people are in it then. NotFound where
        nobody agrees; UsageError, ExtraMissing, Conflict."""
        from sottovoce.adapters import export_file, training_file

        path = Path(out)
        handover = Handover(
            render=training_file.renderer(path), write=lambda data: export_file.write_new(path, data),
            take_back=lambda data: training_file.take_back(path, data),
        )  # fmt: skip
        if path.exists():
            raise UsageError("The file exists already.", hint="Name another one, or remove it first.")
        ask = TrainingAsk(
            model=model, profile=profile, epsilon=epsilon, delta=delta, unit=unit, on_leave=on_leave,
            usable_days=usable_days,
        )  # fmt: skip
        desk = None if recipient is None else self._recipients.desk(recipient)
        return self._verb(lambda: self._training.begin(ask, handover, desk=desk, caller=caller))

    def finish_training(
        self, round_id: str, *, model_sha256: str, version: str, dropped: int = 0, caller: Caller = LIBRARY
    ) -> TrainingRound:
        """Record the model that came of a round, and how many rows were dropped from its table because their people
        had left. NotFound; Conflict where that is not all of them; UsageError."""
        return self._verb(
            lambda: self._training.finish(
                round_id, model_sha256=model_sha256, version=version, dropped=dropped, caller=caller
            )
        )

    def retire_training(self, round_id: str, *, caller: Caller = LIBRARY) -> TrainingRound:
        """Give a round up, or say that its model is not in use any more. NotFound, Conflict."""
        return self._verb(lambda: self._training.retire(round_id, caller=caller))

    def training_rounds(self, *, model: str | None = None, only_due: bool = False) -> tuple[RoundView, ...]:
        """Rounds of training with who has left and what follows; `only_due`: those that somebody has to act on."""
        return self._training.rounds(model=model, only_due=only_due)

    def training_round(self, round_id: str) -> tuple[RoundView, tuple[Departure, ...]]:
        """One round, and the rows of its table that have to be dropped. NotFound."""
        return self._training.show(round_id)
