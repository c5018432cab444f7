"""A model file read back, with nothing in it believed: exactly the graph that `write_tflite` makes, or refused.

Rules upheld here:
1. A file is at most 1 MiB; every number in it is checked before it is used (flatbuffer.py).
2. Only the graph of docs/reference/model-file.md is read: another operator, order, option, type, a tensor used
   twice or not at all is refused, so a phone cannot be shown another model than the one that was looked at.
3. Weights are finite. IntegrityError (reason `model_malformed`) is the only way to fail.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from sottovoce.errors import UsageError
from sottovoce.voice.models import tflite
from sottovoce.voice.models.flatbuffer import View, malformed, read
from sottovoce.voice.models.network import About, Dense, Floats, Network, Output, Precision
from sottovoce.voice.models.write_tflite import about_to_bytes

MAXIMUM_BYTES = 1 << 20
_MOST_TENSORS, _MOST_OPERATORS, _MOST_ABOUT_BYTES = 64, 32, 4096
_INPUTS = {  # how many each operator has
    tflite.DEQUANTIZE: 1,
    tflite.FULLY_CONNECTED: 3,
    tflite.LOGISTIC: 1,
    tflite.MUL: 2,
    tflite.SOFTMAX: 1,
    tflite.SUB: 2,
}
_OPTIONS = {tflite.FULLY_CONNECTED: tflite.FULLY_CONNECTED_OPTIONS, tflite.SOFTMAX: tflite.SOFTMAX_OPTIONS}
_T = TypeVar("_T")
_ITEM_TYPES = {tflite.FLOAT32: "<f4", tflite.FLOAT16: "<f2", tflite.INT8: "i1"}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model that was read: its network, how its weights were stored, and the hash of the exact file."""

    network: Network
    precision: Precision
    sha256: str
    size_bytes: int


def read_tflite(data: bytes) -> ModelFile:
    """The model in a file. IntegrityError (reason `model_malformed`) where it is not exactly one of ours."""
    if len(data) > MAXIMUM_BYTES:
        raise malformed()
    root = read(data, identifier=tflite.IDENTIFIER).only(0, 1, 2, 4, 6)
    if root.number(0, "I") != tflite.SCHEMA_VERSION:
        raise malformed()
    graph = _Graph(root)
    try:
        network = graph.network(_about(root, graph.buffers))
    except UsageError:  # of Network: parts that do not fit, values that are not finite
        raise malformed() from None
    return ModelFile(network, graph.precision(), hashlib.sha256(data).hexdigest(), len(data))


def _about(root: View, buffers: list[View]) -> About:
    entries = root.tables(6, most=1)
    if len(entries) != 1 or entries[0].only(0, 1).text(0) != tflite.METADATA_NAME:
        raise malformed()
    data = _buffer(buffers, entries[0].number(1, "I"))
    if len(data) > _MOST_ABOUT_BYTES:
        raise malformed()
    about = _about_of(_json(data))
    if about_to_bytes(about) != data:  # also: another format, one more field, a second spelling
        raise malformed()
    return about


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise malformed() from None


def _about_of(said: Any) -> About:
    if not isinstance(said, dict) or not isinstance(said.get("labels"), list):
        raise malformed()
    words = [said.get(name) for name in ("attribute", "feature_profile", "feature_version")]
    if not all(isinstance(word, str) for word in (*words, *said["labels"])):
        raise malformed()
    attribute, profile, version = words
    return About(str(attribute), tuple(said["labels"]), str(profile), str(version))


def _buffer(buffers: list[View], index: int) -> bytes:
    if not 0 < index < len(buffers):
        raise malformed()
    return buffers[index].only(0).block(0)


@dataclass(frozen=True, slots=True)
class _Step:
    """One operator, looked up: what it does, on which tensors."""

    code: int
    inputs: tuple[int, ...]
    output: int
    options: View | None


class _Graph:
    """The one subgraph of a file, followed from its input to its output; each part of it is used exactly once."""

    def __init__(self, root: View) -> None:
        self.buffers = root.tables(4, most=_MOST_TENSORS + 2)
        self._codes = [_code(one.only(0, 2, 3)) for one in root.tables(1, most=_MOST_OPERATORS)]
        graph = _only_one(root.tables(2, most=1)).only(0, 1, 2, 3)
        self._tensors = [one.only(0, 1, 2, 3, 4) for one in graph.tables(0, most=_MOST_TENSORS)]
        self._steps = [self._step(one.only(0, 1, 2, 3, 4)) for one in graph.tables(3, most=_MOST_OPERATORS)]
        self._first = _only_one(graph.integers(1, most=1))
        self._last = _only_one(graph.integers(2, most=1))
        self._used: set[int] = set()
        self._made: dict[int, Floats] = {}  # weights that a DEQUANTIZE has made
        self._kinds: set[int] = set()  # how weights are stored

    def network(self, about: About) -> Network:
        main = [step.code for step in self._steps if step.code != tflite.DEQUANTIZE]
        layers = len(main) - 3
        ends = {tflite.LOGISTIC: "sigmoid", tflite.SOFTMAX: "softmax"}
        middle = [tflite.FULLY_CONNECTED] * layers
        if layers < 1 or main[:-1] != [tflite.SUB, tflite.MUL, *middle] or main[-1] not in ends:
            raise malformed()
        parts = self._parts()
        if self._made or self._used != set(range(len(self._tensors))):
            raise malformed()
        output: Output = "sigmoid" if main[-1] == tflite.LOGISTIC else "softmax"
        return Network(parts[0].bias, parts[1].bias, tuple(parts[2:]), output, about)

    def precision(self) -> Precision:
        kinds: dict[int, Precision] = {tflite.FLOAT32: "none", tflite.FLOAT16: "f16", tflite.INT8: "int8"}
        return kinds[_only_one(list(self._kinds))]

    def _parts(self) -> list[Dense]:
        """Mean, gain (as a bias without weights), then the layers: what the steps read, in their order."""
        value, width = self._first, self._width(self._first)
        parts: list[Dense] = []
        for step in self._steps:
            if step.code == tflite.DEQUANTIZE:
                self._dequantise(step)
                continue
            if step.inputs[0] != value:
                raise malformed()
            last = step is self._steps[-1]
            if not last:
                parts.append(self._part(step, width, inner=step is not self._steps[-2]))
                width = parts[-1].bias.size
            value = step.output
            if self._width(value) != width:
                raise malformed()
        if value != self._last:
            raise malformed()
        return parts

    def _part(self, step: _Step, width: int, *, inner: bool) -> Dense:
        if step.code != tflite.FULLY_CONNECTED:
            constant = self._constant(step.inputs[1], tflite.FLOAT32)
            if constant.shape != (width,):
                raise malformed()
            return Dense(np.empty((0, 0), np.float32), constant)
        options = step.options
        activation = tflite.RELU if inner else tflite.NO_ACTIVATION
        if options is None or options.only(0).number(0, "b") != activation:
            raise malformed()
        return Dense(self._weights(step.inputs[1]), self._constant(step.inputs[2], tflite.FLOAT32))

    def _weights(self, index: int) -> Floats:
        if index in self._made:
            return self._made.pop(index)
        self._kinds.add(tflite.FLOAT32)
        return self._constant(index, tflite.FLOAT32)

    def _dequantise(self, step: _Step) -> None:
        kind = self._tensor(step.inputs[0]).number(1, "b")
        if kind not in (tflite.FLOAT16, tflite.INT8):
            raise malformed()
        self._kinds.add(kind)
        weights = self._constant(step.inputs[0], kind)
        made = self._fresh(step.output)
        if made.only(0, 3).integers(0, most=2) != weights.shape:
            raise malformed()
        self._made[step.output] = weights

    def _constant(self, index: int, kind: int) -> Floats:
        """The values of a stored tensor, in float32."""
        tensor = self._fresh(index)
        if tensor.number(1, "b") != kind:
            raise malformed()
        shape = tensor.integers(0, most=2)
        stored = np.frombuffer(_whole(_buffer(self.buffers, tensor.number(2, "I")), kind), _ITEM_TYPES[kind])
        if not shape or min(shape) < 1 or stored.size != _product(shape):
            raise malformed()
        values = stored.reshape(shape).astype(np.float32)
        if kind != tflite.INT8:
            tensor.only(0, 1, 2, 3)
            return values
        with np.errstate(over="ignore"):  # Network refuses what is not finite
            scaled: Floats = values * _scales(tensor, shape)[:, None]
        return scaled

    def _width(self, index: int) -> int:
        """The width of a tensor that is computed: (1, width) float32, nothing stored."""
        shape = self._fresh(index).only(0, 3).integers(0, most=2)
        if len(shape) != 2 or shape[0] != 1:
            raise malformed()
        return shape[1]

    def _fresh(self, index: int) -> View:
        if index in self._used:
            raise malformed()
        tensor = self._tensor(index)
        self._used.add(index)
        return tensor

    def _tensor(self, index: int) -> View:
        if not 0 <= index < len(self._tensors):
            raise malformed()
        return self._tensors[index]

    def _step(self, operator: View) -> _Step:
        number = operator.number(0, "I")
        if number >= len(self._codes):
            raise malformed()
        code = self._codes[number]
        inputs, outputs = operator.integers(1, most=3), operator.integers(2, most=1)
        kind = operator.number(3, "B")
        if len(inputs) != _INPUTS[code] or kind != _OPTIONS.get(code, 0):
            raise malformed()
        options = operator.table(4) if kind else None
        if options is None:
            operator.only(0, 1, 2)
        elif code == tflite.SOFTMAX and options.only(0).real(0) != 1.0:
            raise malformed()
        return _Step(code, inputs, _only_one(outputs), options)


def _code(code: View) -> int:
    """The operator; refused where the two fields that name it differ, or we do not know its version."""
    number = code.number(3, "i")
    if number not in _INPUTS or code.number(0, "b") != number:
        raise malformed()
    if code.number(2, "i", 1) not in ((3, 5) if number == tflite.DEQUANTIZE else (1,)):
        raise malformed()
    return number


def _scales(tensor: View, shape: tuple[int, ...]) -> Floats:
    """One positive scale for each output; zero points are 0."""
    if len(shape) != 2:
        raise malformed()
    how = tensor.table(4).only(2, 3)
    scales = np.frombuffer(how.block(2, 4), "<f4").astype(np.float32)
    if scales.size != shape[0] or not np.all(scales > 0) or not np.all(np.isfinite(scales)):
        raise malformed()
    if how.block(3, 8) != bytes(8 * shape[0]):
        raise malformed()
    return scales


def _whole(data: bytes, kind: int) -> bytes:
    if len(data) % np.dtype(_ITEM_TYPES[kind]).itemsize:
        raise malformed()
    return data


def _product(shape: tuple[int, ...]) -> int:
    return shape[0] * (shape[1] if len(shape) == 2 else 1)


def _only_one(values: Sequence[_T]) -> _T:
    if len(values) != 1:
        raise malformed()
    return values[0]
