"""After a recording was analysed and its result sealed, neither is in a process that lives on.

The needles are read by this process; the scanned ones are a service of its own, its parent and idle children. A
window planted by the service itself has to be found, else the scan proves nothing.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sottovoce.doors.cli.residue_search import (
    Needles,
    audio_needles,
    family,
    marked_samples,
    search_memory,
    value_needles,
)
from sottovoce.model.inference import ModelUse
from sottovoce.sealing.envelope import seal_body
from sottovoce.voice.containers import BytesSource
from sottovoce.voice.insight import insight_to_values, voice_profile
from sottovoce.voice.models.inference import infer
from sottovoce.voice.models.network import About, make_network
from sottovoce.voice.models.write_tflite import write_tflite
from sottovoce.voice.pipeline import process

KEY, CONTEXT = bytes(range(32)), b"residue"
RATE, WINDOW = 16_000, 64

SERVICE = """
    import os, sys
    sys.path[:] = {path!r}
    from sottovoce.adapters.extractor import SealedExtractor
    from sottovoce.model.inference import ModelUse
    from sottovoce.ports import Descriptor, ExtractOptions, Place, SealedBody
    use = ModelUse(data=open({model!r}, "rb").read(), **{use!r})
    control = bytearray({window})
    with open({control!r}, "rb", buffering=0) as file:
        file.readinto(control)
    extractor = SealedExtractor(idle_children=1)
    plain = os.open({plain!r}, os.O_RDONLY | os.O_NONBLOCK)
    body = os.open({body!r}, os.O_RDONLY | os.O_NONBLOCK)
    places = [Place(kind, "key", {key!r}, {context!r}) for kind in ("features", "insight", "decision")]
    places.append(Place("inference:apparent_sex", "key", {key!r}, {context!r}, use))
    for source in (Descriptor(plain), SealedBody(body, {key!r}, {context!r})):
        extractor.extract_sealed(source, ExtractOptions(), lambda: places)
    print("done", flush=True)
    sys.stdin.read()
    extractor.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory of other processes is read from /proc")
def test_X16_I1_nothing_of_the_audio_or_of_a_sealed_result_stays_in_memory(tmp_path: Path) -> None:
    """After a recording was measured, a model run on it and its result sealed, no piece of the one and no number of the
    other, the model's own included, is found in the memory of any process that still runs."""
    samples = marked_samples(16, samples=3 * RATE)
    soundfile.write(tmp_path / "clip.wav", samples, RATE, subtype="PCM_16")
    result = process(BytesSource((tmp_path / "clip.wav").read_bytes()))
    (tmp_path / "body").write_bytes(seal_body(KEY, (tmp_path / "clip.wav").read_bytes(), CONTEXT))
    control = os.urandom(WINDOW)
    (tmp_path / "control").write_bytes(control)
    use = a_model(tmp_path)
    service = start_service(tmp_path, use)
    try:
        processes = family(service.pid)
        assert len(processes) >= 2  # the service, the parent, perhaps an idle child
        seen = search_memory(processes, Needles((control,)))
        if seen.unreadable:
            pytest.skip(
                "not run: the memory of other processes cannot be read here (it takes root or ptrace rights)"
            )
        assert seen.found, "the search found not even the control"
        assert not search_memory(processes, Needles(tuple(audio_needles(samples)))).found
        insight = insight_to_values(voice_profile(result.features, result.quality))
        said = infer(use, result.features, replace(result.quality, voiced_frames=100)).probabilities or ()
        assert len(set(said)) == 2
        told = {**insight, **{f"said {number}": value for number, value in enumerate(said)}}
        assert not search_memory(processes, Needles(tuple(value_needles(result.features.values, told)))).found
    finally:
        service.communicate(b"")


def a_model(folder: Path) -> ModelUse:
    """One that says something of its own of each voice."""
    dice = np.random.default_rng(8)
    network = make_network(
        mean=np.zeros(88), scale=np.full(88, 1e3), layers=[(dice.normal(size=(1, 88)), [0.123])], output="sigmoid",
        about=About("apparent_sex", ("female", "male"), "compat", "egemaps-88/1"),
    )  # fmt: skip
    data = write_tflite(network)
    (folder / "model").write_bytes(data)
    return ModelUse(
        attribute="apparent_sex", sha256=hashlib.sha256(data).hexdigest(), card_sha256="0" * 64,
        feature_profile="compat", feature_version="egemaps-88/1", threshold=0.5, percent=90, guarantee="none",
        not_for="any use", demonstration=False, data=data,
    )  # fmt: skip


def start_service(folder: Path, use: ModelUse) -> subprocess.Popen[bytes]:
    program = textwrap.dedent(SERVICE).format(
        path=sys.path,
        window=WINDOW,
        control=str(folder / "control"),
        plain=str(folder / "clip.wav"),
        body=str(folder / "body"),
        model=str(folder / "model"),
        use={one.name: getattr(use, one.name) for one in fields(use) if one.name != "data"},
        key=KEY,
        context=CONTEXT,
    )
    service = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert service.stdout is not None
    assert service.stdout.readline() == b"done\n"
    return service
