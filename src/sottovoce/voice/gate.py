"""The gate: what a person should know of a recording before anything is made of its features, in words.

    for finding in findings_of(features, quality):
        print(finding.words)

Nothing is refused here: who asks decides. An empty answer means that nothing of this list was found, not that the
recording is good. The thresholds are measured on real speech by `scripts/gate_thresholds.py`; the table is in
docs/reference/quality-gate.md. No numpy here: any door can ask.
"""

from __future__ import annotations

from dataclasses import dataclass

from sottovoce.model.features import FEATURE_NAMES, MINIMUM_VOICED_FRAMES, FeatureVector, Quality

SHORT_S = 0.5  # below: percentiles and rates rest on fewer than 50 frames
CLIPPED_SHARE = 0.001
SILENCE_DB = -60.0  # full-scale square 0 dB; speech near a microphone lies above -45
NOISY_SNR_DB = 10.0  # below, jitter, shimmer and HNR mostly measure the noise
MUSIC_TONES = 0.45  # share of time of the five steadiest partials (voice.music)


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason to trust the features less: a stable name, the measured value, and both in words."""

    name: str  # silence, clipping, noise, music, short, no_voice, few_voiced_frames
    measured: float
    words: str


def findings_of(features: FeatureVector, quality: Quality) -> tuple[Finding, ...]:
    """What the gate finds in a recording with these features."""
    return gate(quality, features.values[FEATURE_NAMES.index("equivalentSoundLevel_dBp")])


def gate(quality: Quality, level_db: float) -> tuple[Finding, ...]:
    """What a person should know before anything is made of the features of this recording.

    level_db: `equivalentSoundLevel_dBp` of the features. Nothing is refused here; an empty tuple means that nothing
    of this list was found, not that the recording is good.
    """
    found = [_silence(level_db), _clipping(quality), _noise(quality), _music(quality), _shortness(quality)]
    if level_db > SILENCE_DB:
        found.append(_voicelessness(quality))
    return tuple(finding for finding in found if finding is not None)


def _silence(level_db: float) -> Finding | None:
    if level_db > SILENCE_DB:
        return None
    return Finding("silence", level_db, f"almost silent: the level is {-level_db:.0f} dB below full scale")


def _clipping(quality: Quality) -> Finding | None:
    share = quality.clipped_share
    if share < CLIPPED_SHARE:
        return None
    words = f"clipped: {100 * share:.3g} % of the samples stand at the rails; record with less gain"
    return Finding("clipping", share, words)


def _noise(quality: Quality) -> Finding | None:
    snr_db = quality.snr_db
    if snr_db is None or snr_db >= NOISY_SNR_DB:
        return None
    words = f"noisy: the signal-to-noise ratio is about {snr_db:.0f} dB; it blurs most values"
    return Finding("noise", snr_db, words)


def _music(quality: Quality) -> Finding | None:
    tones = quality.steady_tones
    if tones is None or tones < MUSIC_TONES:
        return None
    words = (
        f"like music or a hum: five steady tones sound {100 * tones:.0f} % of the time; in speech they glide"
    )
    return Finding("music", tones, words)


def _shortness(quality: Quality) -> Finding | None:
    if quality.duration_s >= SHORT_S:
        return None
    words = f"short: {quality.duration_s:.2f} s; percentiles and rates need at least {SHORT_S} s"
    return Finding("short", quality.duration_s, words)


def _voicelessness(quality: Quality) -> Finding | None:
    count = quality.voiced_frames
    if count == 0:
        return Finding(
            "no_voice", 0.0, "without voice: no frame has a pitch, so every voiced value is a placeholder"
        )
    if count < MINIMUM_VOICED_FRAMES:
        words = (
            f"hardly any voice: {count} voiced frames of 10 ms; at least {MINIMUM_VOICED_FRAMES} are needed"
        )
        return Finding("few_voiced_frames", float(count), words)
    return None
