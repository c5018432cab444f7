"""Networks of any shape with pseudo-random weights, and rows that suit them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from sottovoce.voice.models.network import About, Network, Output, make_network

MakeNetwork = Callable[..., Network]
MakeRows = Callable[..., NDArray[np.float32]]


@pytest.fixture(scope="session")
def a_network() -> MakeNetwork:
    def make(
        widths: tuple[int, ...] = (88, 128, 64, 1), output: Output = "sigmoid", seed: int = 5
    ) -> Network:
        dice = np.random.default_rng(seed)
        layers = [
            (dice.normal(size=(after, before)) * np.sqrt(2 / before), dice.normal(size=after) * 0.1)
            for before, after in pairwise(widths)
        ]
        labels = ("no", "yes") if output == "sigmoid" else tuple(f"label {i}" for i in range(widths[-1]))
        about = About("nothing", labels, "compat", "egemaps-88/1")
        mean, scale = dice.normal(size=widths[0]) * 20, dice.uniform(0.1, 30, widths[0])
        return make_network(mean=mean, scale=scale, layers=layers, output=output, about=about)

    return make


@pytest.fixture(scope="session")
def rows_of() -> MakeRows:
    def make(network: Network, count: int = 500, seed: int = 6) -> NDArray[np.float32]:
        dice = np.random.default_rng(seed)
        rows = network.mean + dice.normal(size=(count, len(network.mean))) / network.gain
        return rows.astype(np.float32)

    return make
