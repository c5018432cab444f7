"""Write `vectors/models/models.json`: model files with the values that every implementation gives, and refused ones.

    python scripts/model_vectors.py            # compare with the file
    python scripts/model_vectors.py --write    # write it anew

The weights come from a small generator of pseudo-random numbers: these models infer nothing.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sottovoce.voice.models import tflite
from sottovoce.voice.models import write_tflite as writing
from sottovoce.voice.models.flatbuffer import Number, Table
from sottovoce.voice.models.network import PRECISIONS, About, Network, Output, make_network, run
from sottovoce.voice.models.read_tflite import read_tflite
from sottovoce.voice.models.write_tflite import write_tflite

FILE = Path(__file__).resolve().parents[1] / "vectors" / "models" / "models.json"
ROWS = 6
SHAPES: tuple[tuple[str, tuple[int, ...], Output], ...] = (
    ("two_layers", (88, 6, 1), "sigmoid"),
    ("one_layer", (3, 1), "sigmoid"),
    ("three_classes", (5, 7, 4, 3), "softmax"),
)


def network(widths: tuple[int, ...], output: Output, seed: int) -> Network:
    dice = np.random.default_rng(seed)
    layers: list[Any] = [
        (dice.normal(size=(after, before)) * np.sqrt(2 / before), dice.normal(size=after) * 0.1)
        for before, after in pairwise(widths)
    ]
    labels = ("no", "yes") if output == "sigmoid" else tuple(f"label {i}" for i in range(widths[-1]))
    return make_network(
        mean=dice.normal(size=widths[0]) * 20,
        scale=dice.uniform(0.1, 30, widths[0]),
        layers=layers,
        output=output,
        about=About("nothing", labels, "compat", "egemaps-88/1"),
    )


def rows_for(made: Network, seed: int) -> NDArray[np.float32]:
    """(ROWS, inputs) around the mean, the last one far out."""
    dice = np.random.default_rng(seed)
    rows = made.mean + dice.normal(size=(ROWS, len(made.mean))) / made.gain
    rows[-1] = made.mean + 40 / made.gain
    return rows.astype(np.float32)


def answers() -> list[dict[str, Any]]:
    found = []
    for seed, (name, widths, output) in enumerate(SHAPES, start=11):
        made = network(widths, output, seed)
        rows = rows_for(made, seed)
        for quantise in PRECISIONS:
            data = write_tflite(made, quantise=quantise)  # type: ignore[arg-type]
            file = read_tflite(data)
            found.append({
                "name": f"{name}_{quantise}", "precision": quantise, "sha256": file.sha256,
                "file": base64.b64encode(data).decode(), "rows": rows.tolist(),
                "outputs": run(file.network, rows).tolist(),
            })  # fmt: skip
    return found


def refused() -> list[dict[str, str]]:
    """Files of which one thing is not as it should be; every one has the code `model_malformed`."""
    good = write_tflite(network((3, 1), "sigmoid", 12))
    about = good.replace(b'"format":"sottovoce-model/1"', b'"format":"sottovoce-model/2"')
    version = good.replace(b"TFL3", b"TFL2")
    bad = {
        "empty": b"",
        "cut_in_half": good[: len(good) // 2],
        "cut_by_four": good[:-4],
        "another_identifier": version,
        "another_format": about,
        "root_outside": b"\xff\xff\xff\x7f" + good[4:],
        "root_at_itself": bytes(4) + good[4:],
        "not_a_number": _with_first_weight(good, float("nan")),
        "endless": _with_first_weight(good, float("inf")),
        **odd_graphs(),
    }
    return [{"name": name, "file": base64.b64encode(data).decode()} for name, data in bad.items()]


class _Twice(writing._Graph):
    """The mean is used as gain too."""

    def constant(self, values: Any, name: str) -> int:
        return 2 if name == "gain" else super().constant(values, name)


class _Hot(writing._Graph):
    """A softmax of another temperature."""

    def operator(
        self, code: int, inputs: list[int], output: int, kind: int = 0, options: Table | None = None
    ) -> None:
        beta = Table({0: Number("f", 2.0)})
        super().operator(code, inputs, output, kind, beta if code == tflite.SOFTMAX else options)


class _Late(writing._Graph):
    """The weights are made float32 after they were used."""

    def root(self, first: int, last: int, about: int) -> Table:
        self.operators[2:4] = reversed(self.operators[2:4])
        return super().root(first, last, about)


def odd_graphs() -> dict[str, bytes]:
    """Sound files of graphs that are not ours."""
    made = network((3, 1), "sigmoid", 12)
    spare, unused = writing._Graph("none"), writing._Graph("f16")
    spare.value("spare", 3)
    unused.weights(made.layers[0].weights, "spare")
    return {
        "tensor_without_use": spare.file(made),
        "weights_without_use": unused.file(made),
        "tensor_used_twice": _Twice("none").file(made),
        "weights_made_too_late": _Late("f16").file(made),
        "softmax_of_another_temperature": _Hot("none").file(network((3, 2), "softmax", 12)),
    }


def _with_first_weight(good: bytes, value: float) -> bytes:
    weight = read_tflite(good).network.layers[0].weights[0, :1].astype("<f4").tobytes()
    assert good.count(weight) == 1
    return good.replace(weight, np.array([value], "<f4").tobytes())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--write", action="store_true")
    text = json.dumps({"models": answers(), "refused": refused()}, indent=1) + "\n"
    if parser.parse_args().write:
        FILE.write_text(text, encoding="utf-8")
        return 0
    if FILE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{FILE.name} is not what this release computes", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
