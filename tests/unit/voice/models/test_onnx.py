"""The .onnx twin: small, deterministic, and the same values in onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

from sottovoce.errors import UsageError
from sottovoce.voice.models.network import PRECISIONS, run
from sottovoce.voice.models.read_tflite import read_tflite
from sottovoce.voice.models.write_onnx import write_onnx
from sottovoce.voice.models.write_tflite import write_tflite


def fields(data):
    """A second reader of protocol buffers: (number, value) of one message."""

    def varint(at):
        value = shift = 0
        while True:
            byte = data[at]
            value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
            if byte < 128:
                return value, at

    at, found = 0, []
    while at < len(data):
        key, at = varint(at)
        value, at = varint(at)
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        found.append((key >> 3, value))
    assert at == len(data)
    return found


def test_the_twin_holds_the_operators_and_weights_of_the_model(a_network):
    network = a_network((3, 2, 1))
    model = dict(fields(write_onnx(network)))
    graph = fields(model[7])
    kinds = [dict(fields(value))[4].decode() for number, value in graph if number == 1]
    assert kinds == ["Sub", "Mul", "Gemm", "Relu", "Gemm", "Sigmoid"]
    stored = {dict(fields(v))[8].decode(): dict(fields(v))[9] for number, v in graph if number == 5}
    assert stored["w1"] == network.layers[0].weights.tobytes()
    assert stored["gain"] == network.gain.tobytes()


def test_an_unknown_precision_is_refused(a_network):
    with pytest.raises(UsageError):
        write_onnx(a_network((2, 1)), quantise="f8")


@pytest.mark.parametrize("quantise", PRECISIONS)
@pytest.mark.parametrize(("widths", "output"), [((88, 128, 64, 1), "sigmoid"), ((88, 16, 3), "softmax")])
def test_M56_onnxruntime_gives_the_same_values(widths, output, quantise, a_network, rows_of):
    """A model exported for other runtimes gives the same values there, within 1e-5 on 500 rows."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="the parity oracle onnxruntime is not installed")
    network = a_network(widths, output)
    rows = rows_of(network)
    session = onnxruntime.InferenceSession(
        write_onnx(network, quantise=quantise), providers=["CPUExecutionProvider"]
    )
    (answers,) = session.run(None, {"features": rows})
    same = read_tflite(write_tflite(network, quantise=quantise)).network
    assert np.abs(answers - run(same, rows)).max() <= 1e-5
