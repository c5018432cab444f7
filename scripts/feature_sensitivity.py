"""Measure the 88 features over real speech: how large they are, what codecs and sample rates do to them.

    python scripts/feature_sensitivity.py [typical] [codecs] [clip]      (all three where none is named)

Writes three small files to docs/reference/features/, from which scripts/feature_pages.py makes the pages:

- `typical.json`: percentiles over the recordings of ../shared/data.
- `sensitivity.json`: change against 16-bit PCM over a fixed sample of them, per codec and sample rate.
- `clip.json`: values and contours of the bundled recording (src/sottovoce/data/jfk.flac, public domain).

Of the shared recordings only aggregates are stored, each over at least 100 recordings of at least 10 speakers.
Every recording goes the way of the product: container -> decoder -> 16 kHz -> features. Encoders are PyAV's (FFmpeg).
"""

from __future__ import annotations

import csv
import datetime
import importlib.util
import io
import itertools
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: the matrices are small

import numpy as np
import scipy
import soundfile

import sottovoce
from sottovoce.errors import SottovoceError
from sottovoce.model.features import FEATURE_NAMES, MINIMUM_VOICED_FRAMES
from sottovoce.voice.audio import Limits, decode
from sottovoce.voice.containers import BytesSource
from sottovoce.voice.egemaps.extract import PROFILES, analyse
from sottovoce.voice.features import LLD_NAMES, lld

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
PAGES = ROOT / "docs" / "reference" / "features"
CLIP = ROOT / "src" / "sottovoce" / "data" / "jfk.flac"
LEAST_RECORDINGS, LEAST_SPEAKERS = 100, 10
PERCENTILES = (5, 25, 50, 75, 95)
QUARTILES_APART = 1.349  # distance of the quartiles of a normal distribution, in standard deviations
SEED = 20261121
# recordings per set, all of 16 kHz and at least 2 s; of each, the first 12 s
SAMPLE = {"librispeech": 60, "emodb": 18, "vctk": 10, "ljspeech": 6, "wakeword": 10}
SAMPLE_S = (2.0, 12.0)
CLIP_S = (7.0, 10.0)  # the part of the bundled recording that the pictures show


@dataclass(frozen=True)
class Recording:
    set: str
    speaker: str  # empty: not known
    rate_hz: int
    seconds: float
    path: Path


@dataclass(frozen=True)
class Condition:
    """One way that a recording may have gone before it is analysed."""

    name: str
    title: str
    rate_hz: int
    container: str
    codec: str
    bit_rate: int | None = None
    native: bool = False  # analysed at its own rate, which the product never does


CONDITIONS = (
    Condition("pcm16", "PCM, 16 bit, 16 kHz (WAV)", 16000, "wav", "pcm_s16le"),
    Condition("flac", "FLAC, 16 kHz", 16000, "flac", "flac"),
    Condition("opus64", "Opus, 64 kbit/s (Ogg)", 16000, "ogg", "libopus", 64000),
    Condition("opus32", "Opus, 32 kbit/s (Ogg)", 16000, "ogg", "libopus", 32000),
    Condition("opus16", "Opus, 16 kbit/s (Ogg)", 16000, "ogg", "libopus", 16000),
    Condition("aac64", "AAC, 64 kbit/s (M4A)", 16000, "mp4", "aac", 64000),
    Condition("mp3-64", "MP3, 64 kbit/s", 16000, "mp3", "libmp3lame", 64000),
    Condition("rate48", "PCM, 48 kHz", 48000, "wav", "pcm_s16le"),
    Condition("rate44", "PCM, 44.1 kHz", 44100, "wav", "pcm_s16le"),
    Condition("rate8", "PCM, 8 kHz", 8000, "wav", "pcm_s16le"),
    Condition("mulaw", "G.711 mu-law, 8 kHz", 8000, "wav", "pcm_mulaw"),
    Condition("amr", "AMR-NB, 12.2 kbit/s, 8 kHz", 8000, "amr", "libopencore_amrnb", 12200),
    Condition("native48", "PCM, 48 kHz, `native=True`", 48000, "wav", "pcm_s16le", native=True),
    Condition("native8", "PCM, 8 kHz, `native=True`", 8000, "wav", "pcm_s16le", native=True),
)


# --- recordings ------------------------------------------------------------------------------------------------


def speech() -> list[Recording]:
    """Every recording of a real voice; the clip that stands there in 18 formats counts once (misc/)."""
    with (DATA / "MANIFEST.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] == "bonafide"]
    return [
        Recording(
            row["file"].split("/")[0],
            row["speaker"],
            int(row["sample_rate"]),
            float(row["seconds"]),
            DATA / row["file"],
        )
        for row in rows
        if not row["file"].startswith("formats/jfk5")
    ]


def sample(recordings: list[Recording]) -> list[Recording]:
    """The fixed sample: per set a seeded draw that takes every speaker once before it takes one twice."""
    dice = random.Random(SEED)
    chosen: list[Recording] = []
    for name, count in SAMPLE.items():
        pool = [r for r in recordings if r.set == name and r.rate_hz == 16000 and r.seconds >= SAMPLE_S[0]]
        pool.sort(key=lambda r: r.path.name)
        dice.shuffle(pool)
        taken: dict[str, int] = {}
        turn = []
        for recording in pool:
            taken[recording.speaker] = taken.get(recording.speaker, -1) + 1
            turn.append((taken[recording.speaker], recording))
        turn.sort(key=lambda pair: pair[0])
        chosen += [recording for _, recording in turn[:count]]
    return chosen


def samples_of(data: bytes, seconds: float = 30.0) -> tuple[np.ndarray, int]:
    """(n,) samples of channel 0 and their rate, by the decoders of the product."""
    decoded = decode(BytesSource(data), limits=Limits(max_analysed_s=seconds))
    return decoded.samples, decoded.sample_rate_hz


def values_of(samples: np.ndarray, rate_hz: int, profile: str, *, native: bool = False) -> np.ndarray | None:
    """(88,) features; None without enough voice."""
    found = analyse(samples, rate_hz, profile=profile, native=native)
    return np.array(found.features.values) if found.voiced_frames >= MINIMUM_VOICED_FRAMES else None


# --- typical values --------------------------------------------------------------------------------------------


def typical() -> dict[str, Any]:
    everything, table = speech(), {profile: [] for profile in PROFILES}
    used: list[Recording] = []
    skipped = 0
    for recording in everything:
        try:
            samples, rate = samples_of(recording.path.read_bytes())
            rows = {profile: values_of(samples, rate, profile) for profile in PROFILES}
        except SottovoceError:
            rows = {}
        if not rows or any(row is None for row in rows.values()):
            skipped += 1
            continue
        used.append(recording)
        for profile, row in rows.items():
            table[profile].append(row)
    wide = np.array([r.rate_hz >= 16000 and r.seconds >= 1.0 for r in used])
    return {
        "stamp": stamp(),
        "percentiles": list(PERCENTILES),
        "groups": {
            "all": group(used, table, np.ones(len(used), dtype=bool)),
            "wide": group(used, table, wide),
        },
        "skipped": skipped,
        "sets": dict(sorted(Counter(r.set for r in used).items())),
    }


def group(used: list[Recording], table: dict[str, list[np.ndarray]], mask: np.ndarray) -> dict[str, Any]:
    """Percentiles of each feature over the recordings of the mask."""
    chosen = [recording for recording, inside in zip(used, mask, strict=True) if inside]
    counts = counted(chosen)
    profiles = {}
    for profile, rows in table.items():
        values = np.array(rows)[mask]
        lines = np.percentile(values, PERCENTILES, axis=0)
        profiles[profile] = {
            name: rounded(column) for name, column in zip(FEATURE_NAMES, lines.T, strict=True)
        }
    return {**counts, "profiles": profiles}


def counted(recordings: list[Recording]) -> dict[str, int]:
    """How many recordings and speakers; too few are never stored."""
    speakers = {(r.set, r.speaker) for r in recordings if r.speaker}
    if len(recordings) < LEAST_RECORDINGS or len(speakers) < LEAST_SPEAKERS:
        raise SystemExit(f"too few to store: {len(recordings)} recordings, {len(speakers)} speakers")
    return {
        "recordings": len(recordings),
        "speakers": len(speakers),
        "speaker_not_known": sum(not r.speaker for r in recordings),
    }


# --- codecs and rates ------------------------------------------------------------------------------------------


@dataclass
class Changes:
    """Of one profile: values as PCM, and under each condition, row by row."""

    reference: list[np.ndarray] = field(default_factory=list)
    under: dict[str, list[np.ndarray]] = field(default_factory=dict)


def codecs() -> dict[str, Any]:
    import av

    av.logging.set_level(None)
    chosen = sample(speech())
    missing = {c.name: missing_encoder(av, c.codec) for c in CONDITIONS}
    conditions = [c for c in CONDITIONS if not missing[c.name]]
    changes = {profile: Changes(under={c.name: [] for c in conditions}) for profile in PROFILES}
    used, dropped = [], 0
    for recording in chosen:
        rows = measure_one(av, recording, conditions)
        if rows is None:
            dropped += 1
            continue
        used.append(recording)
        for profile, (reference, under) in rows.items():
            changes[profile].reference.append(reference)
            for name, row in under.items():
                changes[profile].under[name].append(row)
    return {
        "stamp": {**stamp(), "pyav": av.__version__, "ffmpeg": ffmpeg_versions(av)},
        "seed": SEED,
        "dropped": dropped,
        **counted(used),
        "conditions": [
            {"name": c.name, "title": c.title, "missing": missing[c.name], "native": c.native}
            for c in CONDITIONS
        ],
        "profiles": {profile: changed(found) for profile, found in changes.items()},
    }


def measure_one(
    av: Any, recording: Recording, conditions: list[Condition]
) -> dict[str, tuple[np.ndarray, dict[str, np.ndarray]]] | None:
    """Profile -> values as PCM and under each condition; None where one of them leaves too little voice."""
    samples, rate = samples_of(recording.path.read_bytes(), SAMPLE_S[1])
    found: dict[str, tuple[np.ndarray, dict[str, np.ndarray]]] = {}
    received = {c.name: samples_of(encoded(av, samples, rate, c)) for c in conditions}
    for profile in PROFILES:
        reference = values_of(samples, rate, profile)
        under = {
            c.name: values_of(*received[c.name], profile, native=c.native)
            for c in conditions
            if not (c.native and PROFILES[profile].corrected)
        }
        if reference is None or any(row is None for row in under.values()):
            return None
        found[profile] = (reference, {name: row for name, row in under.items() if row is not None})
    return found


def encoded(av: Any, samples: np.ndarray, rate_hz: int, condition: Condition) -> bytes:
    """The file that a device would have written under this condition."""
    steps = at_rate(samples, rate_hz, condition.rate_hz)
    out = io.BytesIO()
    with av.open(out, "w", format=condition.container) as container:
        stream = container.add_stream(condition.codec, rate=condition.rate_hz, layout="mono")
        if condition.bit_rate:
            stream.bit_rate = condition.bit_rate
        frame = av.AudioFrame.from_ndarray(steps[None, :], format="s16", layout="mono")
        frame.sample_rate = condition.rate_hz
        for piece in (*split(av, stream, frame), None):
            container.mux(stream.encode(piece))
    return out.getvalue()


def split(av: Any, stream: Any, frame: Any) -> Iterator[Any]:
    """Frames of the size and the sample format that the encoder asks for."""
    context = stream.codec_context
    context.open(strict=False)
    resampler = av.AudioResampler(
        format=context.format, layout="mono", rate=context.sample_rate, frame_size=context.frame_size or 1024
    )
    yield from resampler.resample(frame)
    yield from resampler.resample(None)


def at_rate(samples: np.ndarray, rate_hz: int, wanted_hz: int) -> np.ndarray:
    """(n,) 16-bit steps at another rate, band-limited by the Fourier transform (not by our own filter)."""
    if wanted_hz != rate_hz:
        samples = scipy.signal.resample(samples, round(len(samples) * wanted_hz / rate_hz))
    return np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)


def changed(found: Changes) -> dict[str, Any]:
    """Per feature: deviation between recordings, and per condition the median change: relative, and in deviations.

    The standard deviation is estimated from the middle half of the recordings: a single one whose mean is close to 0
    would else decide over the deviation of a `stddevNorm`.
    """
    reference = np.array(found.reference)
    spread = np.subtract(*np.percentile(reference, (75, 25), axis=0)) / QUARTILES_APART
    table: dict[str, Any] = {}
    for column, name in enumerate(FEATURE_NAMES):
        table[name] = {"deviation": rounded([spread[column]])[0]}
    for condition, rows in found.under.items():
        if not rows:
            continue
        difference = np.abs(np.array(rows) - reference)
        for column, name in enumerate(FEATURE_NAMES):
            nonzero = reference[:, column] != 0
            share = difference[nonzero, column] / np.abs(reference[nonzero, column])
            relative = float(np.median(share)) if nonzero.any() else None
            scaled = float(np.median(difference[:, column]) / spread[column]) if spread[column] else None
            table[name][condition] = rounded([relative, scaled], digits=3)
    return table


def missing_encoder(av: Any, name: str) -> bool:
    try:
        av.codec.Codec(name, "w")
    except Exception:
        return True
    return False


def ffmpeg_versions(av: Any) -> dict[str, str]:
    return {name: ".".join(map(str, av.library_versions[name])) for name in ("libavcodec", "libavformat")}


# --- the bundled clip ------------------------------------------------------------------------------------------


def clip() -> dict[str, Any]:
    samples, rate = samples_of(CLIP.read_bytes())
    first, last = (round(100 * second) for second in CLIP_S)
    contours = {}
    for profile in PROFILES:
        table = lld(samples, rate, profile).values[first:last]
        # peaks are looked for in the loudness: rounding must not make two neighbours equal
        digits = {name: 7 if name.startswith("Loudness") else 3 for name in LLD_NAMES}
        contours[profile] = {name: rounded(table[:, i], digits[name]) for i, name in enumerate(LLD_NAMES)}
    return {
        "stamp": stamp(),
        "file": CLIP.name,
        "seconds": len(samples) / rate,
        "values": {
            profile: dict(
                zip(
                    FEATURE_NAMES,
                    rounded(analyse(samples, rate, profile=profile).features.values),
                    strict=True,
                )
            )
            for profile in PROFILES
        },
        "shown_s": list(CLIP_S),
        "contours": contours,
        "spectrogram": spectrogram(samples, rate),
    }


def spectrogram(samples: np.ndarray, rate_hz: int, *, rows: int = 50, top_hz: float = 5000.0) -> list[str]:
    """Levels 0 to 9 (of 40 dB), lowest band first, one digit per 20 ms; 6 dB more per octave. For pictures only."""
    first, last = (round(rate_hz * second) for second in CLIP_S)
    hop, length = rate_hz // 50, rate_hz // 25
    starts = range(first, last, hop)
    frames = np.array([samples[s : s + length] * np.hanning(length) for s in starts])
    power = np.abs(np.fft.rfft(frames, 2048, axis=1)) ** 2
    edges = np.round(np.linspace(0, top_hz, rows + 1) * 2048 / rate_hz).astype(int)
    bands = np.array([power[:, a:b].mean(axis=1) for a, b in itertools.pairwise(edges)])
    bands *= np.maximum(np.arange(rows) + 0.5, 2.5)[:, None] ** 2
    level = 10 * np.log10(bands / bands.max())
    digits = np.clip((level + 40) / 40 * 10, 0, 9).astype(int)
    return ["".join(map(str, row)) for row in digits]


# --- writing ---------------------------------------------------------------------------------------------------


def stamp() -> dict[str, Any]:
    """What a reader needs to weigh the numbers: versions and the day. No host, no path."""
    return {
        "day": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "sottovoce": sottovoce.__version__,
        "profiles": {name: profile.version for name, profile in PROFILES.items()},
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "libsndfile": soundfile.__libsndfile_version__,
    }


def rounded(values: Any, digits: int = 6) -> list[Any]:
    return [None if value is None else float(f"{float(value):.{digits}g}") for value in values]


def write(name: str, content: dict[str, Any]) -> None:
    PAGES.mkdir(parents=True, exist_ok=True)
    (PAGES / f"{name}.json").write_text(as_json(content) + "\n", encoding="utf-8")


def as_json(value: Any, indent: int = 0) -> str:
    """Lists and what holds nothing deeper on one line: a change of one feature is then a change of one line."""
    flat = not isinstance(value, dict) or not any(isinstance(part, dict | list) for part in value.values())
    if flat and (indent > 2 or not isinstance(value, dict)):
        return json.dumps(value, separators=(",", ":"))
    pad = " " * (indent + 1)
    parts = [f"{pad}{json.dumps(key)}: {as_json(part, indent + 1)}" for key, part in value.items()]
    return "{\n" + ",\n".join(parts) + "\n" + " " * indent + "}"


WORK: dict[str, Callable[[], dict[str, Any]]] = {"clip": clip, "typical": typical, "codecs": codecs}
FILES = {"clip": "clip", "typical": "typical", "codecs": "sensitivity"}


def main(arguments: list[str]) -> int:
    if not set(arguments) <= set(WORK):
        print(__doc__, file=sys.stderr)
        return 2
    wanted = arguments or list(WORK)
    if "codecs" in wanted and not importlib.util.find_spec("av"):
        print("not run: encoding needs PyAV, the extra [formats]", file=sys.stderr)
        return 1
    if not DATA.is_dir() and wanted != ["clip"]:
        print("not run: the shared recordings (../shared/data) are not beside this checkout", file=sys.stderr)
        return 1
    for name in wanted:
        write(FILES[name], WORK[name]())
        print(f"{FILES[name]}.json written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
