"""Everything a child will ever import, open or tabulate, done once in the parent.

Under the call filter a module that is imported lazily fails, and a table that is built lazily is built again for
every recording. So the parent decodes a generated signal in every container and codec, resamples from every usual
rate, extracts the profile, and walks the error paths too.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import wave
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from sottovoce.adapters.extractor import handover, wire
from sottovoce.adapters.extractor.child import Pipeline
from sottovoce.errors import SottovoceError
from sottovoce.model.features import FEATURE_COUNT, Extraction
from sottovoce.model.inference import ModelUse
from sottovoce.ports import ExtractOptions, Place
from sottovoce.sealing.client_body import body_opener
from sottovoce.sealing.envelope import open_body, seal_body
from sottovoce.sealing.suites import SUITE_RSA
from sottovoce.voice.audio import Limits, decode
from sottovoce.voice.bodies import kinds_of
from sottovoce.voice.containers import BytesSource, Source
from sottovoce.voice.formats import Formats, load_formats
from sottovoce.voice.models.network import About, make_network
from sottovoce.voice.models.write_tflite import write_tflite
from sottovoce.voice.pipeline import Embedder, process
from sottovoce.voice.resample import resample

_SECONDS = 0.25
_RATES_HZ = (
    8_000,
    11_025,
    12_000,
    16_000,
    22_050,
    24_000,
    32_000,
    44_100,
    48_000,
    88_200,
    96_000,
    176_400,
    192_000,
)
_SOUNDFILE_KINDS = (
    ("WAV", "PCM_16"), ("WAV", "PCM_U8"), ("WAV", "PCM_24"), ("WAV", "PCM_32"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"),
    ("WAV", "ALAW"), ("WAV", "ULAW"), ("WAV", "GSM610"), ("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"),
    ("RF64", "PCM_16"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
)  # fmt: skip
_FORMATS_KINDS = (("webm", "libopus", 48_000), ("mp4", "aac", 16_000))


def warm_pipeline(*, embedding_model: str | None) -> tuple[Pipeline, bool]:
    """The pipeline of the children, exercised, and whether the optional decoders are there.

    ExtraMissing or ConfigurationError where an embedding model is asked for and cannot be had.
    """
    formats = load_formats()
    embedder = None if embedding_model is None else _load_embedder(embedding_model)
    pipeline = make_pipeline(formats, embedder)
    voice = _voice(16_000)
    _exercise(pipeline, _wav(voice), ExtractOptions(embedding_model=embedding_model))
    _exercise(pipeline, _wav(np.tile(voice, 16)), ExtractOptions())  # what only longer recordings do
    _exercise(pipeline, _wav(voice[:160]), ExtractOptions(channel="mix"))
    for rate in _RATES_HZ:
        resample(_voice(rate), rate)
    for data in (*_encoded(voice), *_encoded_by(formats), *_broken(voice)):
        with contextlib.suppress(SottovoceError):
            decode(BytesSource(data), formats=formats)
    open_body(bytes(32), seal_body(bytes(32), b"voice", b"context"), b"context")
    with contextlib.suppress(SottovoceError):  # a body of suite 1, opened as far as its tag
        opener = body_opener(SUITE_RSA, bytes(32), b"context")
        opener.update_into(memoryview(bytes(64)), bytearray(128))
        opener.finalize()
    with contextlib.suppress(MemoryError):
        np.zeros(1 << 50)
    return pipeline, formats is not None


def _load_embedder(folder: str) -> Embedder:
    """Imported only where it is asked for: torch is heavy, and an extra."""
    from sottovoce.voice.embedding import load

    return load(Path(folder))


def make_pipeline(formats: Formats | None, embedder: Embedder | None) -> Pipeline:
    def pipeline(source: Source, options: ExtractOptions) -> Extraction:
        return process(
            source,
            profile=options.profile,
            limits=Limits(max_body_bytes=options.max_body_bytes, max_analysed_s=options.max_analysed_s),
            channel=options.channel,
            accept_truncated=options.accept_truncated,
            formats=formats,
            embedder=embedder,
        )

    return pipeline


def _exercise(pipeline: Pipeline, data: bytes, options: ExtractOptions) -> None:
    """The whole way of a recording, with the packing of its result or refusal, and the sealing of a result."""
    kinds = kinds_of(embedding=options.embedding_model is not None)
    places = [Place(kind, "warmup", bytes(32), b"context") for kind in kinds]
    try:
        answer = wire.pack_result(pipeline(BytesSource(data), options))
        vector = wire.unpack_result(answer, options).features
        use = _model(vector.profile, vector.version)
        places.append(Place("inference:warmup", "warmup", bytes(32), b"context", use))
        job = handover.unpack_job(bytes(handover.pack_job(options, places)) + answer)
        made = handover.seal(handover.with_models(job, [use.data]))
        handover.unpack_sealed(handover.pack_sealed(made), options, places)
    except SottovoceError as error:
        wire.pack_error(error)


@cache
def _model(profile: str, version: str) -> ModelUse:
    """A network as wide and as deep as those that are run here, with nothing learned in it."""
    layers: list[tuple[npt.ArrayLike, npt.ArrayLike]] = [
        (np.zeros((64, FEATURE_COUNT)), np.zeros(64)),
        (np.zeros((1, 64)), np.zeros(1)),
    ]
    network = make_network(
        mean=np.zeros(FEATURE_COUNT), scale=np.ones(FEATURE_COUNT), layers=layers, output="sigmoid",
        about=About("warmup", ("no", "yes"), profile, version),
    )  # fmt: skip
    data = write_tflite(network)
    return ModelUse(
        attribute="warmup", sha256=hashlib.sha256(data).hexdigest(), card_sha256="", feature_profile=profile,
        feature_version=version, threshold=0.5, percent=90, guarantee="none", not_for="any use", demonstration=True,
        data=data,
    )  # fmt: skip


def _voice(rate_hz: int) -> npt.NDArray[np.float64]:
    """A buzz at 120 Hz with a little noise: enough for every stage to find something."""
    time_s = np.arange(int(_SECONDS * rate_hz)) / rate_hz
    buzz = sum(np.sin(2 * np.pi * 120 * k * time_s) / k for k in range(1, 20))
    noise = np.random.default_rng(1).standard_normal(len(time_s))
    return np.asarray(0.2 * buzz + 0.001 * noise)


def _wav(samples: npt.NDArray[np.float64], rate_hz: int = 16_000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, rate_hz, 0, "NONE", ""))
        writer.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return file.getvalue()


def _encoded(voice: npt.NDArray[np.float64]) -> Iterator[bytes]:
    for container, codec in _SOUNDFILE_KINDS:
        rate = 8_000 if codec == "GSM610" else 16_000
        file = io.BytesIO()
        with contextlib.suppress(soundfile.LibsndfileError):
            soundfile.write(file, np.clip(voice, -1, 1), rate, format=container, subtype=codec)
            yield file.getvalue()


def _encoded_by(formats: Formats | None) -> Iterator[bytes]:
    """Each optional container; a build of FFmpeg without an encoder just has nothing exercised."""
    if formats is None:
        return
    for container, codec, rate in _FORMATS_KINDS:
        with contextlib.suppress(formats.av.FFmpegError, ValueError, OSError):
            yield _encode(formats.av, container, codec, rate)


def _encode(av: Any, container: str, codec: str, rate_hz: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate_hz, layout="mono")
        samples = (_voice(rate_hz) * 32767).astype(np.int16)[np.newaxis, :]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = rate_hz
        for piece in (frame, None):
            for packet in stream.encode(piece):
                out.mux(packet)
    return file.getvalue()


def _broken(voice: npt.NDArray[np.float64]) -> Iterator[bytes]:
    whole = _wav(voice)
    yield from (b"", b"text", whole[:30], whole[:1000], whole[:44])
    flac = io.BytesIO()
    soundfile.write(flac, voice, 16_000, format="FLAC")
    damaged = bytearray(flac.getvalue())
    damaged[len(damaged) // 2 :: 7] = bytes(len(damaged[len(damaged) // 2 :: 7]))
    yield bytes(damaged)
    loud = io.BytesIO()
    soundfile.write(loud, np.full(4000, 1e30), 16_000, format="WAV", subtype="FLOAT")
    yield loud.getvalue()
