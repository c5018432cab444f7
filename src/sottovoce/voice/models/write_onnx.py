"""The same network as an `.onnx` file, for runtimes that read that: the twin of the `.tflite`, never its source.

Written by hand as protocol buffers (encoding: protobuf.dev; field numbers: the public onnx.proto), operator set 13.
Sub, Mul, Gemm, Relu, Sigmoid | Softmax; smaller weights go through Cast (f16) or DequantizeLinear (int8).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

from sottovoce.errors import UsageError
from sottovoce.voice.models.network import PRECISIONS, Floats, Network, Precision
from sottovoce.voice.models.write_tflite import about_to_bytes, as_int8

IR_VERSION, OPERATOR_SET = 7, 13
_FLOAT, _INT8, _FLOAT16 = 1, 3, 10  # TensorProto.DataType
_ATTRIBUTE_INT = 2  # AttributeProto.AttributeType


def write_onnx(network: Network, *, quantise: Precision = "none") -> bytes:
    """The file; the same network gives the same bytes. Input `features` (n, inputs), output `probability`."""
    if quantise not in PRECISIONS:
        raise UsageError("The weights of a model are stored as none, f16 or int8.", reason="model_quantise")
    graph = _Graph(quantise)
    graph.add(network)
    ends = _value(11, "features", network.widths[0]) + _value(12, "probability", network.widths[-1])
    body = b"".join(graph.nodes) + _text(2, "sottovoce") + b"".join(graph.stored) + ends
    about = _text(1, "sottovoce") + _bytes(2, about_to_bytes(network.about))
    operators = _bytes(8, _text(1, "") + _integer(2, OPERATOR_SET))
    return _integer(1, IR_VERSION) + _text(2, "sottovoce") + _bytes(7, body) + operators + _bytes(14, about)


@dataclass(slots=True)
class _Graph:
    """Nodes and stored tensors, as the bytes of their fields in GraphProto."""

    quantise: Precision
    nodes: list[bytes] = field(default_factory=list)
    stored: list[bytes] = field(default_factory=list)

    def add(self, network: Network) -> None:
        self.node("Sub", ["features", self.constant("mean", network.mean)], "centred")
        self.node("Mul", ["centred", self.constant("gain", network.gain)], "y0")
        for number, layer in enumerate(network.layers, start=1):
            inner = number < len(network.layers)
            parts = [self.weights(f"w{number}", layer.weights), self.constant(f"b{number}", layer.bias)]
            out = f"z{number}" if inner else "logits"
            self.node("Gemm", [f"y{number - 1}", *parts], out, transB=1)
            if inner:
                self.node("Relu", [out], f"y{number}")
        if network.output == "sigmoid":
            self.node("Sigmoid", ["logits"], "probability")
        else:
            self.node("Softmax", ["logits"], "probability", axis=1)

    def weights(self, name: str, values: Floats) -> str:
        if self.quantise == "none":
            return self.constant(name, values)
        if self.quantise == "f16":
            with np.errstate(over="ignore"):
                small = values.astype("<f2")
            if not np.isfinite(small).all():
                raise UsageError("A weight is too large for float16.", reason="model_quantise")
            self.tensor(f"{name}_s", values.shape, _FLOAT16, small.tobytes())
            self.node("Cast", [f"{name}_s"], name, to=_FLOAT)
            return name
        whole, scales = as_int8(values)
        self.tensor(f"{name}_s", values.shape, _INT8, whole.tobytes())
        inputs = [f"{name}_s", self.constant(f"{name}_k", scales)]
        self.tensor(f"{name}_0", scales.shape, _INT8, bytes(len(scales)))
        self.node("DequantizeLinear", [*inputs, f"{name}_0"], name, axis=0)
        return name

    def constant(self, name: str, values: Floats) -> str:
        self.tensor(name, values.shape, _FLOAT, values.astype("<f4").tobytes())
        return name

    def tensor(self, name: str, shape: tuple[int, ...], kind: int, data: bytes) -> None:
        dimensions = b"".join(_integer(1, size) for size in shape)
        self.stored.append(_bytes(5, dimensions + _integer(2, kind) + _text(8, name) + _bytes(9, data)))

    def node(self, kind: str, inputs: list[str], output: str, **attributes: int) -> None:
        body = b"".join(_text(1, name) for name in inputs) + _text(2, output) + _text(4, kind)
        for name, value in attributes.items():
            body += _bytes(5, _text(1, name) + _integer(3, value) + _integer(20, _ATTRIBUTE_INT))
        self.nodes.append(_bytes(1, body))


def _value(number: int, name: str, width: int) -> bytes:
    """A ValueInfoProto: float32 of the shape (n, width)."""
    shape = _bytes(1, _text(2, "n")) + _bytes(1, _integer(1, width))
    kind = _bytes(1, _integer(1, _FLOAT) + _bytes(2, shape))
    return _bytes(number, _text(1, name) + _bytes(2, kind))


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _text(number: int, words: str) -> bytes:
    return _bytes(number, words.encode())


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += struct.pack("B", value & 127 | 128)
        value >>= 7
    return out + struct.pack("B", value)
