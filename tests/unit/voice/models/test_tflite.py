"""The model file: read back exactly, small, quick to make, the same in LiteRT, and refused when it is anything else."""

from __future__ import annotations

import base64
import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import IntegrityError, UsageError
from sottovoce.voice.models.flatbuffer import Block, Number, Table, numbers, read, text, write
from sottovoce.voice.models.network import PRECISIONS, About, make_network, run
from sottovoce.voice.models.read_tflite import MAXIMUM_BYTES, read_tflite
from sottovoce.voice.models.write_tflite import about_to_bytes, as_int8, write_tflite

SHAPES = [((88, 128, 64, 1), "sigmoid"), ((88, 16, 3), "softmax"), ((4, 1), "sigmoid")]


@pytest.fixture(scope="module")
def vectors(repo_root):
    return json.loads((repo_root / "vectors" / "models" / "models.json").read_text())


@pytest.mark.parametrize(("widths", "output"), SHAPES)
def test_M65_a_file_read_back_is_the_model_that_was_written(widths, output, a_network):
    """What is run on a phone, in a browser or on a server is the model that was made, weight by weight."""
    network = a_network(widths, output)
    read = read_tflite(write_tflite(network)).network
    assert (read.about, read.output, read.widths) == (network.about, output, widths)
    pairs = [(read.mean, network.mean), (read.gain, network.gain)]
    for ours, theirs in zip(read.layers, network.layers, strict=True):
        pairs += [(ours.weights, theirs.weights), (ours.bias, theirs.bias)]
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_the_same_model_gives_the_same_bytes(a_network):
    for quantise in PRECISIONS:
        assert write_tflite(a_network(), quantise=quantise) == write_tflite(a_network(), quantise=quantise)


def test_M56_a_model_is_small_and_quickly_made(a_network):
    """A model fits a phone: 80 KB in full, 25 KB with rounded weights, made in under 50 ms without a framework."""
    network = a_network()
    limits = {"none": 80 * 1024, "f16": 43_000, "int8": 25 * 1024}
    for quantise, limit in limits.items():
        times = []
        for _ in range(5):
            start = time.perf_counter()
            data = write_tflite(network, quantise=quantise)
            times.append(time.perf_counter() - start)
        assert len(data) <= limit
        assert min(times) < 0.05


@pytest.mark.parametrize(("quantise", "most"), [("f16", 2e-3), ("int8", 5e-2)])
def test_rounded_weights_cost_little(quantise, most, a_network, rows_of):
    network = a_network()
    rows = rows_of(network)
    file = read_tflite(write_tflite(network, quantise=quantise))
    assert file.precision == quantise
    loss = np.abs(run(file.network, rows) - run(network, rows)).max()
    assert 0 < loss <= most


def test_int8_weights_lie_within_half_a_step(a_network):
    for layer in a_network().layers:
        small, scales = as_int8(layer.weights)
        assert np.abs(small).max() == 127
        assert np.all(np.abs(small * scales[:, None] - layer.weights) <= scales[:, None] * 0.5001)


def test_a_row_of_zero_weights_stays_zero():
    about = About("nothing", ("no", "yes"), "compat", "egemaps-88/1")
    network = make_network(mean=[0], scale=[1], layers=[([[0.0]], [1.0])], output="sigmoid", about=about)
    for quantise in PRECISIONS:
        assert read_tflite(write_tflite(network, quantise=quantise)).network.layers[0].weights == 0


def test_what_float16_cannot_hold_is_refused():
    about = About("nothing", ("no", "yes"), "compat", "egemaps-88/1")
    network = make_network(mean=[0], scale=[1], layers=[([[1e6]], [1.0])], output="sigmoid", about=about)
    for quantise in ("f16", "f8"):
        with pytest.raises(UsageError) as refusal:
            write_tflite(network, quantise=quantise)
        assert refusal.value.reason == "model_quantise"


@pytest.mark.parametrize("quantise", PRECISIONS)
@pytest.mark.parametrize(("widths", "output"), SHAPES)
def test_M56_litert_gives_the_same_values(widths, output, quantise, a_network, rows_of):
    """The runtime of phones gives the same values as ours for the same file, within 1e-5 on 500 rows."""
    reason = "the parity oracle ai-edge-litert is not installed"
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason=reason)
    network = a_network(widths, output)
    data = write_tflite(network, quantise=quantise)
    rows = rows_of(network)
    runtime = interpreter.Interpreter(model_content=data)
    runtime.allocate_tensors()
    first, last = runtime.get_input_details()[0]["index"], runtime.get_output_details()[0]["index"]
    answers = []
    for row in rows:
        runtime.set_tensor(first, row[None])
        runtime.invoke()
        answers.append(runtime.get_tensor(last)[0].copy())
    assert np.abs(np.array(answers) - run(read_tflite(data).network, rows)).max() <= 1e-5


def test_M92_golden_model_files_give_the_golden_values(vectors):
    """The model files of the vectors give the same values in every release and every language."""
    assert len(vectors["models"]) == 9
    for entry in vectors["models"]:
        file = read_tflite(base64.b64decode(entry["file"]))
        assert (file.sha256, file.precision) == (entry["sha256"], entry["precision"])
        assert run(file.network, entry["rows"]) == pytest.approx(np.array(entry["outputs"]), abs=1e-12)


# --- hostile files ----------------------------------------------------------------------------------------


def only_ours(data):
    """Read it; whatever is wrong with it is said in our own words. Whether it was read."""
    try:
        network = read_tflite(data).network
    except IntegrityError as refusal:
        if refusal.reason != "model_malformed":
            raise
        return False
    assert all(np.isfinite(layer.weights).all() for layer in network.layers)
    return True


def test_M65_broken_model_files_are_refused_with_their_code(vectors):
    """A model file that was cut, changed or made up is refused in plain words, never run and never a crash."""
    assert len(vectors["refused"]) == 14
    for entry in vectors["refused"]:
        assert not only_ours(base64.b64decode(entry["file"])), entry["name"]
    assert not only_ours(bytes(MAXIMUM_BYTES + 1))


def test_every_cut_and_every_flipped_bit_ends_in_our_own_refusal(a_network):
    good = write_tflite(a_network((2, 2, 1)), quantise="int8")
    assert only_ours(good)
    # the last bytes may be padding
    assert not any(only_ours(good[:end]) for end in range(len(good) - 16))
    for bit in range(8 * len(good)):
        broken = bytearray(good)
        broken[bit // 8] ^= 1 << bit % 8
        only_ours(bytes(broken))


@given(st.data())
def test_no_bytes_end_in_anything_but_our_own_refusal(data):
    about = About("nothing", ("no", "yes"), "compat", "egemaps-88/1")
    network = make_network(
        mean=[0, 1], scale=[1, 2], layers=[([[1.0, 2.0]], [1.0])], output="sigmoid", about=about
    )
    good = bytearray(write_tflite(network, quantise=data.draw(st.sampled_from(PRECISIONS))))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(good) - 4))
        good[place : place + 4] = data.draw(st.binary(min_size=4, max_size=4))
    only_ours(bytes(good))
    only_ours(b"\x08\x00\x00\x00TFL3" + data.draw(st.binary(max_size=200)))


def test_a_second_spelling_of_what_a_file_says_is_refused(a_network):
    network = a_network((2, 1))
    about = about_to_bytes(network.about)
    other = about.replace(b'"format":"sottovoce-model/1"', b'"format":"sottovoce-model/9"')
    good = write_tflite(network)
    assert good.count(about) == 1
    assert not only_ours(good.replace(about, other))


# --- the wire format --------------------------------------------------------------------------------------


@given(st.lists(st.text(max_size=9), max_size=4), st.lists(st.integers(-(2**31), 2**31 - 1), max_size=9))
def test_tables_are_read_as_they_were_written(words, whole):
    children = [Table({0: text(word), 2: Number("b", -3)}) for word in words]
    root = Table(
        {0: Number("I", 7), 1: children, 3: numbers("i", whole), 5: Block(b"abc", 3, 16), 6: Number("f", 0.5)}
    )
    data = write(root, identifier=b"TEST")
    view = read(data, identifier=b"TEST")
    assert (view.number(0, "I"), view.real(6), view.number(2, "i", 41)) == (7, 0.5, 41)
    assert view.integers(3, most=9) == tuple(whole)
    assert [(one.text(0), one.number(2, "b")) for one in view.tables(1, most=4)] == [
        (word, -3) for word in words
    ]
    assert view.block(5) == b"abc"
    assert data.index(b"abc") % 16 == 0


def test_flatbuffers_reads_what_we_write(a_network):
    """A second implementation of the wire format sees the same root, version and counts."""
    flatbuffers = pytest.importorskip("flatbuffers", reason="the oracle flatbuffers is not installed")
    data = write_tflite(a_network((2, 2, 1)), quantise="int8")
    place = flatbuffers.encode.Get(flatbuffers.packer.uoffset, data, 0)
    table = flatbuffers.table.Table(data, place)
    assert table.Get(flatbuffers.number_types.Uint32Flags, table.Offset(4) + place) == 3
    assert table.VectorLen(table.Offset(8)) == 1
    assert table.VectorLen(table.Offset(6)) == 5
