"""What the gate measures on real speech and on what is none, against its thresholds.

    python scripts/gate_thresholds.py [--record] [--every N]

Reads the recordings of ../shared/data and makes the rest: speech in noise, clipped, turned down, and music of chords,
arpeggios, melodies and a small band. `--record` writes the tables of docs/reference/quality-gate.md and figures.md,
and docs/images/gate.svg; without it everything is only printed. Fixed seeds: two runs are equal.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from figures import record
from numpy.typing import NDArray

from sottovoce.errors import AudioRejected
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.voice import gate
from sottovoce.voice.audio import Limits, decode_into
from sottovoce.voice.containers import BytesSource
from sottovoce.voice.features import features_of
from sottovoce.voice.listening import Listener
from sottovoce.voice.resample_stream import to_16_khz

F64 = NDArray[np.float64]
ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
SPEECH = ("emodb", "fsdd", "ivr", "librispeech", "ljspeech", "meeting", "misc", "vctk", "wakeword")
MADE_OF = 60  # speech recordings that are spoilt, and pieces of music of each kind
SECONDS = 10.0
RATE_HZ = 16_000
LEVEL = FEATURE_NAMES.index("equivalentSoundLevel_dBp")
FINDINGS = ("silence", "clipping", "noise", "music", "short", "few_voiced_frames", "no_voice")


@dataclass(frozen=True)
class Measured:
    """What the gate looks at, of one recording; None where there is no estimate."""

    level_db: float
    clipped_percent: float
    snr_db: float | None
    tones: float | None
    findings: frozenset[str]


# name of a measure, its threshold, whether more is worse, the range that is drawn
PANELS: tuple[tuple[str, str, float, bool, tuple[float, float]], ...] = (
    ("level_db", "level, dB", gate.SILENCE_DB, False, (-100, 0)),
    ("clipped_percent", "clipped, % of samples", 100 * gate.CLIPPED_SHARE, True, (0, 10)),
    ("snr_db", "signal-to-noise, dB", gate.NOISY_SNR_DB, False, (0, 60)),
    ("tones", "steady tones, share of time", gate.MUSIC_TONES, True, (0, 1)),
)


def heard(listener: Listener) -> Measured:
    found = features_of(listener, listener.facts())
    quality = found.quality
    return Measured(
        found.values[LEVEL], 100 * quality.clipped_share, quality.snr_db, quality.steady_tones,
        frozenset(finding.name for finding in found.findings),
    )  # fmt: skip


def of_file(path: Path) -> Measured | None:
    """None where the file is refused anyway."""
    try:
        _, listener = decode_into(
            BytesSource(path.read_bytes()), Listener, limits=Limits(max_analysed_s=60), accept_truncated=True
        )
        return heard(listener)
    except AudioRejected:
        return None


def of_samples(samples: F64) -> Measured:
    listener = Listener(RATE_HZ)
    listener.feed(samples)
    return heard(listener)


# --- what is made ---------------------------------------------------------------------------------------------


def in_noise(snr_db: float) -> Callable[[F64, np.random.Generator], F64]:
    """White noise at this distance below the mean power of the whole recording, pauses included."""

    def spoil(speech: F64, dice: np.random.Generator) -> F64:
        noise = dice.standard_normal(len(speech)) * np.sqrt(np.mean(speech**2)) * 10 ** (-snr_db / 20)
        mixed = speech + noise
        return np.asarray(mixed / max(1.0, float(np.abs(mixed).max())))

    return spoil


def too_loud(gain_db: float) -> Callable[[F64, np.random.Generator], F64]:
    """So much louder than what just fits."""
    return lambda speech, _: np.clip(speech / np.abs(speech).max() * 10 ** (gain_db / 20), -1, 32767 / 32768)


def turned_down(level_db: float) -> Callable[[F64, np.random.Generator], F64]:
    return lambda speech, _: speech / np.sqrt(np.mean(speech**2)) * 10 ** (level_db / 20)


def with_hum(level_db: float) -> Callable[[F64, np.random.Generator], F64]:
    """Eight harmonics of 50 Hz, together at this level, under the speech."""

    def spoil(speech: F64, dice: np.random.Generator) -> F64:
        t = np.arange(len(speech)) / RATE_HZ
        hum = sum(np.sin(2 * np.pi * 50 * k * t + dice.uniform(0, 6)) for k in range(1, 9))
        return np.asarray(speech + hum / 2 * 10 ** (level_db / 20))

    return spoil


SPOILT = {
    "in white noise, 20 dB below": in_noise(20),
    "in white noise, 10 dB below": in_noise(10),
    "in white noise, 5 dB below": in_noise(5),
    "in white noise, as loud": in_noise(0),
    "6 dB too loud": too_loud(6),
    "12 dB too loud": too_loud(12),
    "20 dB too loud": too_loud(20),
    "turned down to -50 dB": turned_down(-50),
    "turned down to -65 dB": turned_down(-65),
    "hum of -45 dB": with_hum(-45),
}


@dataclass(frozen=True)
class Instrument:
    """How the notes of one piece sound."""

    vibrato_cents: float
    tilt: float
    decay_s: float

    def note(self, midi: float, seconds: float, dice: np.random.Generator) -> F64:
        t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
        bend = self.vibrato_cents / 1200 * np.sin(2 * np.pi * 5.5 * t + dice.uniform(0, 6))
        hz = 440 * 2 ** ((midi - 69) / 12 + bend)
        phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
        partials = [np.sin(k * phase) / k**self.tilt for k in range(1, 11) if k * hz.max() < 7800]
        shape = np.minimum(1, t / 0.02) * np.exp(-t / self.decay_s) * np.minimum(1, (seconds - t) / 0.02)
        return np.asarray(sum(partials) * shape)


SCALE = (0, 2, 4, 5, 7, 9, 11, 12)


def notes_of(kind: str, root: int, dice: np.random.Generator) -> tuple[float, float, list[int]]:
    """The next notes of a piece: beats to the next ones, beats they sound, and which."""
    if kind == "chords":
        beats, step = float(dice.choice([2, 4])), int(dice.choice([0, 5, 7]))
        return beats, beats, [root + step + third for third in (0, 4, 7, 12)]
    if kind == "arpeggios":
        beats = float(dice.choice([0.5, 1]))
        return beats, 2 * beats, [root + int(dice.choice([0, 4, 7, 12, 16, 19]))]
    if kind == "melodies":
        beats = float(dice.choice([0.5, 1, 1, 2]))
        return beats, beats, [root + 12 + int(dice.choice(SCALE))]
    return 1.0, 1.0, [root - 12, root + int(dice.choice([0, 4, 7])), root + 12 + int(dice.choice(SCALE))]


def music(kind: str, dice: np.random.Generator) -> F64:
    """Ten seconds; a band has drums as well."""
    instrument = Instrument(
        float(dice.choice([0, 0, 10, 25, 40])), float(dice.uniform(0.7, 2)), float(dice.uniform(0.4, 3))
    )
    sound, root, beat_s = (
        np.zeros(int((SECONDS + 8) * RATE_HZ)),
        int(dice.integers(48, 60)),
        dice.uniform(0.4, 0.85),
    )
    at_s = 0.0
    while at_s < SECONDS:
        step, length, notes = notes_of(kind, root, dice)
        start = int(at_s * RATE_HZ)
        for midi in notes:
            tone = instrument.note(midi, length * beat_s, dice)
            sound[start : start + len(tone)] += tone
        if kind == "band":
            sound[start : start + 2000] += 2 * dice.standard_normal(2000) * np.exp(-np.arange(2000) / 400)
        at_s += step * beat_s
    piece = sound[: int(SECONDS * RATE_HZ)] + 1e-3 * dice.standard_normal(int(SECONDS * RATE_HZ))
    return np.asarray(0.3 * piece / np.abs(piece).max())


# --- the campaign ---------------------------------------------------------------------------------------------


def files_of(name: str, every: int) -> list[Path]:
    return sorted(p for p in (DATA / name).rglob("*") if p.suffix in (".wav", ".flac", ".mp3", ".ogg"))[
        ::every
    ]


def speech_to_spoil() -> list[F64]:
    """Quiet, near recordings of one reader each, 16 kHz."""
    import soundfile

    found = []
    for path in files_of("librispeech", 1)[:: max(1, len(files_of("librispeech", 1)) // MADE_OF)][:MADE_OF]:
        samples, rate = soundfile.read(path, frames=int(SECONDS * 16_000))
        found.append(to_16_khz(np.ascontiguousarray(samples), rate))
    return found


def groups(every: int) -> Iterator[tuple[str, str, list[Measured]]]:
    """Kind, name and measurements of each group."""
    for name in SPEECH:
        yield "speech", name, [m for m in map(of_file, files_of(name, every)) if m is not None]
    for name, kind in (("spoof", "made voices"), ("noise", "noise"), ("bad_inputs", "odd files")):
        yield kind, name, [m for m in map(of_file, files_of(name, every)) if m is not None]
    speech = speech_to_spoil()
    for name, spoil in SPOILT.items():
        dice = np.random.default_rng(20260101)
        yield "spoilt speech", name, [of_samples(spoil(samples, dice)) for samples in speech[::every]]
    for kind in ("chords", "arpeggios", "melodies", "band"):
        dice = np.random.default_rng(20260101)
        yield "made music", kind, [of_samples(music(kind, dice)) for _ in range(0, MADE_OF, every)]


def quantiles(measured: list[Measured], name: str) -> tuple[float, ...] | None:
    values = [getattr(m, name) for m in measured if getattr(m, name) is not None]
    return tuple(np.quantile(values, (0, 0.05, 0.5, 0.95, 1)).tolist()) if values else None


def table_of_values(found: list[tuple[str, str, list[Measured]]]) -> str:
    lines = [
        "| group | n | " + " | ".join(title for _, title, *_ in PANELS) + " |",
        "|---|---:|" + "---|" * len(PANELS),
    ]
    for kind, name, measured in found:
        cells = []
        for panel, *_ in PANELS:
            values = quantiles(measured, panel)
            cells.append("-" if values is None else f"{values[1]:.3g} / {values[2]:.3g} / {values[3]:.3g}")
        lines.append(f"| {kind}: {name} | {len(measured)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table_of_findings(found: list[tuple[str, str, list[Measured]]]) -> str:
    """Share of recordings of each group with each finding."""
    speech = [m for kind, _, measured in found if kind == "speech" for m in measured]
    lines = ["| group | n | " + " | ".join(FINDINGS) + " |", "|---|---:|" + "---:|" * len(FINDINGS)]
    for label, measured in [("**all speech**", speech), *((f"{kind}: {name}", m) for kind, name, m in found)]:
        shares = [sum(name in m.findings for m in measured) / max(1, len(measured)) for name in FINDINGS]
        cells = " | ".join(f"{100 * share:.1f} %" if share else "0" for share in shares)
        lines.append(f"| {label} | {len(measured)} | {cells} |")
    return "\n".join(lines)


# --- the picture ----------------------------------------------------------------------------------------------


def picture(found: list[tuple[str, str, list[Measured]]]) -> str:
    """For each measure a panel: a bar from 5 to 95 %, a thin line from least to most, a dot at the median."""
    left, width, row, top = 210, 180, 16, 46
    height = top + row * len(found) + 14
    total = left + len(PANELS) * (width + 24)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" '
        'font-family="sans-serif" font-size="11">',
        "<title>What the gate measures on speech and on what is none; dashed: the threshold</title>",
        f'<rect width="{total}" height="{height}" fill="white"/>',
    ]
    for i, (kind, name, _) in enumerate(found):
        colour = "#1b6e53" if kind == "speech" else "#8a5a00"
        y = top + row * i + 11
        parts.append(f'<text x="{left - 10}" y="{y}" text-anchor="end" fill="{colour}">{name}</text>')
    for p, (panel, title, threshold, _, (low, high)) in enumerate(PANELS):
        x0 = left + p * (width + 24)

        def at(value: float, x0: int = x0, low: float = low, high: float = high) -> float:
            return round(x0 + width * (min(max(value, low), high) - low) / (high - low), 1)

        parts.append(f'<text x="{x0}" y="16" font-weight="bold">{title}</text>')
        parts.append(f'<text x="{x0}" y="32" fill="#666">{low:g}</text>')
        parts.append(f'<text x="{x0 + width}" y="32" fill="#666" text-anchor="end">{high:g}</text>')
        parts.append(
            f'<path d="M{at(threshold)} {top - 8}V{height - 8}" stroke="#b00020" stroke-dasharray="4 3"/>'
        )
        for i, (kind, _, measured) in enumerate(found):
            values = quantiles(measured, panel)
            if values is None:
                continue
            colour, y = "#1b6e53" if kind == "speech" else "#c98a1b", top + row * i + 7
            least, five, half, most5, most = map(at, values)
            parts.append(f'<path d="M{least} {y}H{most}" stroke="{colour}"/>')
            parts.append(
                f'<path d="M{five} {y}H{most5}" stroke="{colour}" stroke-width="7" stroke-opacity=".45"/>'
            )
            parts.append(f'<circle cx="{half}" cy="{y}" r="2.6" fill="{colour}"/>')
    return "\n".join([*parts, "</svg>", ""])


def write_down(told: str, values: str) -> None:
    """The findings go to both pages, the values to that of the gate."""
    conditions = f"first 60 s of each recording; made signals of {SECONDS:g} s, fixed seeds"
    page = ROOT / "docs" / "reference" / "quality-gate.md"
    record("gate", "The quality gate on speech and on what is none", told, conditions=conditions)
    record("gate-findings", "Measured: findings", told, conditions=conditions, page=page)
    record("gate-values", "Measured: values", values, conditions=conditions, page=page)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--every", type=int, default=1, help="only every N-th recording, for a quick look")
    chosen = parser.parse_args(arguments)
    if not DATA.is_dir():
        print("The shared recordings (../shared/data) are not beside this checkout.", file=sys.stderr)
        return 1
    found = [group for group in groups(chosen.every) if group[2]]
    told, values = table_of_findings(found), f"5 % / median / 95 %:\n\n{table_of_values(found)}"
    print(told, values, sep="\n\n")
    if chosen.record:
        write_down(told, values)
        (ROOT / "docs" / "images" / "gate.svg").write_text(picture(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
