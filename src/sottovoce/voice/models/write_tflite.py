"""A network as a `.tflite` file that LiteRT, the browser and Python run alike: about a millisecond, no torch.

The graph is  SUB mean -> MUL gain -> FULLY_CONNECTED (ReLU) ... -> FULLY_CONNECTED -> LOGISTIC | SOFTMAX.
With `f16` and `int8` the weights are stored smaller (int8: one scale for each output, symmetric) and a DEQUANTIZE
makes them float32 again before anything is computed: so all runtimes agree on those files as closely as on the
full one, and what is lost is the rounding of weights, not the rounding of a person's values.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from sottovoce.errors import UsageError
from sottovoce.model.canonical import canonical_json
from sottovoce.voice.models import tflite
from sottovoce.voice.models.flatbuffer import Block, Content, Number, Table, numbers, text, write
from sottovoce.voice.models.network import PRECISIONS, About, Dense, Floats, Network, Precision

_DATA_ALIGN_BYTES = 16  # force_align of Buffer.data
_LARGEST_INT8 = 127
_VERSIONS = {
    tflite.DEQUANTIZE: {"f16": 3, "int8": 5}
}  # per type of weights; every other operator is version 1


def write_tflite(network: Network, *, quantise: Precision = "none") -> bytes:
    """The file; the same network gives the same bytes. UsageError for a precision that does not exist."""
    if quantise not in PRECISIONS:
        raise UsageError("The weights of a model are stored as none, f16 or int8.", reason="model_quantise")
    return _Graph(quantise).file(network)


def about_to_bytes(about: About) -> bytes:
    """What a file says of itself, in canonical JSON."""
    said = asdict(about)
    return canonical_json({"format": tflite.FORMAT, **said, "labels": list(about.labels)})


def as_int8(weights: Floats) -> tuple[NDArray[np.int8], Floats]:
    """(outputs, inputs) -> the same in -127..127, and the scale of each output."""
    most = np.abs(weights).max(axis=1)
    scales = np.where(most > 0, most / np.float32(_LARGEST_INT8), np.float32(1)).astype(np.float32)
    scales = np.maximum(scales, np.finfo(np.float32).tiny)
    rounded = np.rint(weights / scales[:, None]).clip(-_LARGEST_INT8, _LARGEST_INT8)
    return rounded.astype(np.int8), scales


@dataclass(slots=True)
class _Graph:
    """Tensors, buffers and operators, in the order in which they are added."""

    quantise: Precision
    tensors: list[Table] = field(default_factory=list)
    buffers: list[Table] = field(default_factory=lambda: [Table({})])  # number 0 is empty by definition
    operators: list[Table] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)

    def file(self, network: Network) -> bytes:
        first = value = self.value("features", len(network.mean))
        value = self.with_constant(tflite.SUB, value, network.mean, "mean")
        value = self.with_constant(tflite.MUL, value, network.gain, "gain")
        for number, layer in enumerate(network.layers, start=1):
            activation = tflite.RELU if number < len(network.layers) else tflite.NO_ACTIVATION
            value = self.dense(value, layer, number, activation)
        value = self.end(value, network)
        about = self.buffer(about_to_bytes(network.about))
        return write(self.root(first, value, about), identifier=tflite.IDENTIFIER)

    def root(self, first: int, last: int, about: int) -> Table:
        subgraph = Table({
            0: self.tensors, 1: numbers("i", [first]), 2: numbers("i", [last]), 3: self.operators,
        })  # fmt: skip
        metadata = Table({0: text(tflite.METADATA_NAME), 1: Number("I", about)})
        return Table({
            0: Number("I", tflite.SCHEMA_VERSION), 1: [self.code(code) for code in self.codes],
            2: [subgraph], 4: self.buffers, 6: [metadata],
        })  # fmt: skip

    def code(self, code: int) -> Table:
        version = _VERSIONS.get(code, {}).get(self.quantise, 1)
        return Table({0: Number("b", code), 2: Number("i", version), 3: Number("i", code)})

    def with_constant(self, code: int, value: int, constant: Floats, name: str) -> int:
        out = self.value(f"{name}_out", len(constant))
        self.operator(code, [value, self.constant(constant, name)], out)
        return out

    def dense(self, value: int, layer: Dense, number: int, activation: int) -> int:
        weights, bias = self.weights(layer.weights, f"w{number}"), self.constant(layer.bias, f"b{number}")
        out = self.value(f"y{number}", len(layer.bias))
        options = Table({0: Number("b", activation)} if activation else {})
        inputs = [value, weights, bias]
        self.operator(tflite.FULLY_CONNECTED, inputs, out, tflite.FULLY_CONNECTED_OPTIONS, options)
        return out

    def end(self, value: int, network: Network) -> int:
        out = self.value("probability", network.widths[-1])
        if network.output == "sigmoid":
            self.operator(tflite.LOGISTIC, [value], out)
        else:
            beta = Table({0: Number("f", 1.0)})
            self.operator(tflite.SOFTMAX, [value], out, tflite.SOFTMAX_OPTIONS, beta)
        return out

    def weights(self, weights: Floats, name: str) -> int:
        """The tensor of float32 weights: stored as they are, or what a DEQUANTIZE makes of the stored ones."""
        if self.quantise == "none":
            return self.constant(weights, name)
        stored = (
            self._stored_f16(weights, name) if self.quantise == "f16" else self._stored_int8(weights, name)
        )
        out = self.tensor(f"{name}_f", weights.shape, tflite.FLOAT32)
        self.operator(tflite.DEQUANTIZE, [stored], out)
        return out

    def _stored_f16(self, weights: Floats, name: str) -> int:
        with np.errstate(over="ignore"):
            small = weights.astype("<f2")
        if not np.isfinite(small).all():
            raise UsageError("A weight is too large for float16.", reason="model_quantise")
        return self.tensor(name, weights.shape, tflite.FLOAT16, small.tobytes())

    def _stored_int8(self, weights: Floats, name: str) -> int:
        small, scales = as_int8(weights)
        zeros = Block(bytes(8 * len(scales)), len(scales), 8)
        how = Table({2: Block(scales.astype("<f4").tobytes(), len(scales)), 3: zeros})
        return self.tensor(name, weights.shape, tflite.INT8, small.tobytes(), how)

    def constant(self, values: Floats, name: str) -> int:
        return self.tensor(name, values.shape, tflite.FLOAT32, values.astype("<f4").tobytes())

    def value(self, name: str, width: int) -> int:
        return self.tensor(name, (1, width), tflite.FLOAT32)

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        kind: int,
        data: bytes | None = None,
        how: Table | None = None,
    ) -> int:
        fields: dict[int, Content] = {0: numbers("i", shape), 3: text(name)}
        if kind != tflite.FLOAT32:
            fields[1] = Number("b", kind)
        if data is not None:
            fields[2] = Number("I", self.buffer(data))
        if how is not None:
            fields[4] = how
        self.tensors.append(Table(fields))
        return len(self.tensors) - 1

    def buffer(self, data: bytes) -> int:
        self.buffers.append(Table({0: Block(data, len(data), _DATA_ALIGN_BYTES)}))
        return len(self.buffers) - 1

    def operator(
        self, code: int, inputs: list[int], output: int, kind: int = 0, options: Table | None = None
    ) -> None:
        if code not in self.codes:
            self.codes.append(code)
        fields: dict[int, Content] = {1: numbers("i", inputs), 2: numbers("i", [output])}
        if self.codes.index(code):
            fields[0] = Number("I", self.codes.index(code))
        if options is not None:
            fields |= {3: Number("B", kind), 4: options}
        self.operators.append(Table(fields))
