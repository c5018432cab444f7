"""What the 88 features are made of, in words: sources, groups, statistics, and the seven that are no statistic.

The contours stand in `contour_descriptors`. Texts only; `catalog` puts them together, one entry per feature.
`plain` sentences are for the person whose voice it is: no technical word. `corrected` says how the profile
`corrected` differs from `compat`; empty where it does not. Sources are keys of `SOURCES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ALL, VOICED, UNVOICED = "all frames", "voiced frames", "unvoiced frames"

SOURCES: Mapping[str, str] = {
    "eyben": "F. Eyben et al., The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice Research and "
    "Affective Computing, IEEE Transactions on Affective Computing 7(2), 2016, 190-202, doi 10.1109/TAFFC.2015.2457417",
    "hermes": "D. J. Hermes, Measurement of pitch by subharmonic summation, Journal of the Acoustical Society of "
    "America 83(1), 1988, 257-264",
    "hermansky": "H. Hermansky, Perceptual linear predictive (PLP) analysis of speech, Journal of the Acoustical "
    "Society of America 87(4), 1990, 1738-1752",
    "htk": "S. Young et al., The HTK Book, Cambridge University Engineering Department (mel bank, cepstrum, liftering)",
    "boersma": "P. Boersma, Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio "
    "of a sampled sound, IFA Proceedings 17, 1993, 97-110",
    "hammarberg": "B. Hammarberg et al., Perceptual and acoustic correlates of abnormal voice qualities, Acta "
    "Oto-Laryngologica 90, 1980, 441-451",
    "makhoul": "J. Makhoul, Linear prediction: a tutorial review, Proceedings of the IEEE 63(4), 1975, 561-580",
    "tohkura": "Y. Tohkura, F. Itakura, S. Hashimoto, Spectral smoothing technique in PARCOR speech "
    "analysis-synthesis, IEEE Transactions on Acoustics, Speech, and Signal Processing 26(6), 1978, 587-596",
}

GROUPS: Mapping[str, tuple[str, str]] = {
    "pitch": ("Pitch", "How high the voice is and how its melody moves."),
    "loudness": (
        "Loudness and level",
        "How loud the recording is, as an ear would weigh it and as a meter would.",
    ),
    "spectrum": ("Timbre of the whole recording", "Where the energy lies, and how fast that changes."),
    "steadiness": ("Steadiness of the voice", "How alike neighbouring periods are: jitter, shimmer, HNR."),
    "harmonics": (
        "Levels of harmonics",
        "The first harmonics against each other and against the third formant.",
    ),
    "formants": ("Formants", "Resonances of the vocal tract: frequency, bandwidth, level."),
    "balance": ("Spectral balance of voiced sound", "High against low frequencies, where there is a voice."),
    "timbre": ("Timbre of voiced sound", "The same as for the whole recording, voiced frames alone."),
    "unvoiced": ("Sounds without voice", "Consonants, breath, pauses and what else has no pitch."),
    "rhythm": ("Rhythm", "Peaks of loudness, stretches with and without voice."),
}


@dataclass(frozen=True, slots=True)
class Contour:
    """One value per 10 ms; a feature is a statistic of it."""

    base: str  # name of its features without the statistic
    group: str
    title: str
    noun: str  # "the pitch of the voice"
    plain: str  # what that is, for the speaker
    frames: str
    unit: str  # empty: a number without a unit
    definition: str
    formula: str
    code: str  # where it is computed
    sources: tuple[str, ...]
    corrected: str = ""
    caution: str = ""
    level: str = ""  # "scale" or "shift": what it does when the same sound is recorded louder
    step: str = ""  # unit of differences, where it is another one


@dataclass(frozen=True, slots=True)
class Statistic:
    """How a contour becomes one number."""

    suffix: str
    title: str
    plain: str  # {noun} is the contour's
    definition: str
    formula: str
    unit: str  # {unit} and {step} are the contour's
    code: str
    corrected: str = ""
    caution: str = ""


@dataclass(frozen=True, slots=True)
class Single:
    """A feature that is no statistic of a contour."""

    name: str
    group: str
    title: str
    plain: str
    frames: str
    unit: str
    definition: str
    formula: str
    code: str
    corrected: str = ""
    caution: str = ""
    level: str = ""


VOICING = (
    "Which frames are voiced is decided by the pitch path of `corrected`, and the last one or two frames of a "
    "recording, which `compat` leaves out, are used."
)
_NORM = "Where the mean is close to 0 this is large and says little; it has the sign of the mean."
_TAIL = (
    "The stretch after the last extremum is a slope like any other: positive when falling, per second, part of the "
    "deviation. In `compat` a stretch that falls after the last maximum enters the mean with a negative sign, a "
    "contour without any extremum has its slope per frame instead of per second, and the deviation leaves both out."
)
_SLOPE = "Extrema count when they stand out by a tenth of the contour's range. "

STATISTICS: tuple[Statistic, ...] = (
    Statistic(
        "amean", "mean", "The average of {noun}.", "Arithmetic mean over the frames.", "sum(x) / n", "{unit}",
        "functionals.mean_and_spread",
    ),
    Statistic(
        "stddevNorm", "spread", "How much {noun} varies, compared with its average.",
        "Standard deviation over the frames divided by the mean (coefficient of variation).",
        "sqrt(sum((x - mean)^2) / n) / mean", "", "functionals.mean_and_spread", caution=_NORM,
    ),
    Statistic(
        "percentile20.0", "20th percentile", "A low value of {noun}: one fifth of the moments lies below it.",
        "20th percentile over the frames, by linear interpolation.", "sorted(x) at position 0.20 * (n - 1)", "{unit}",
        "functionals.ten",
    ),
    Statistic(
        "percentile50.0", "median", "The middle of {noun}: half of the moments lies below it, half above.",
        "Median over the frames, by linear interpolation.", "sorted(x) at position 0.50 * (n - 1)", "{unit}",
        "functionals.ten",
    ),
    Statistic(
        "percentile80.0", "80th percentile", "A high value of {noun}: one fifth of the moments lies above it.",
        "80th percentile over the frames, by linear interpolation.", "sorted(x) at position 0.80 * (n - 1)", "{unit}",
        "functionals.ten",
    ),
    Statistic(
        "pctlrange0-2", "range", "How far {noun} reaches: from the lowest fifth of the moments to the highest.",
        "Distance of the 20th and the 80th percentile.", "|percentile80.0 - percentile20.0|", "{step}",
        "functionals.ten",
    ),
    Statistic(
        "meanRisingSlope", "mean of rising slopes", "How fast {noun} goes up, on average.",
        _SLOPE + "Mean of the slopes from each minimum up to the next maximum.",
        "mean of (x[max] - x[min before]) / seconds between", "{step} per second", "peaks.measure_slopes",
        corrected=_TAIL,
    ),
    Statistic(
        "stddevRisingSlope", "deviation of rising slopes", "How much the speed differs with which {noun} goes up.",
        _SLOPE + "Standard deviation of the slopes from each minimum up to the next maximum.",
        "sqrt(mean((slope - meanRisingSlope)^2))", "{step} per second", "peaks.measure_slopes", corrected=_TAIL,
    ),
    Statistic(
        "meanFallingSlope", "mean of falling slopes", "How fast {noun} goes down, on average.",
        _SLOPE + "Mean of the slopes from each maximum down to the next minimum, counted positive.",
        "mean of (x[max before] - x[min]) / seconds between", "{step} per second", "peaks.measure_slopes",
        corrected=_TAIL,
    ),
    Statistic(
        "stddevFallingSlope", "deviation of falling slopes", "How much the speed differs with which {noun} goes down.",
        _SLOPE + "Standard deviation of the slopes from each maximum down to the next minimum.",
        "sqrt(mean((slope - meanFallingSlope)^2))", "{step} per second", "peaks.measure_slopes", corrected=_TAIL,
    ),
)  # fmt: skip

_RUN = "A segment is a run of at least three {0} frames; a single frame of the other kind does not end it."
_LENGTH = (
    "A run of n frames counts as n. In `compat` it counts as n - 1: each length is 10 ms short. " + VOICING
)

SINGLES: tuple[Single, ...] = (
    Single(
        "loudnessPeaksPerSec", "rhythm", "Loudness peaks per second",
        "How often the loudness peaks, roughly once per syllable.", ALL, "1/s",
        "Maxima of the loudness contour that stand out by a tenth of its range, per second.",
        "number of maxima / (0.01 * frames)", "peaks.find_extrema",
        caution="Words and syllables are not recognised: it is a stand-in for the pace of speaking.",
    ),
    Single(
        "VoicedSegmentsPerSec", "rhythm", "Voiced segments per second",
        "How often the voice starts anew, per second.", VOICED, "1/s",
        _RUN.format("voiced") + " Number of voiced segments per second.", "number of segments / (0.01 * frames)",
        "segments.measure_segments", VOICING,
        "Words and syllables are not recognised: it is a stand-in for the pace of speaking.",
    ),
    Single(
        "MeanVoicedSegmentLengthSec", "rhythm", "Mean length of voiced segments",
        "How long the voice sounds without a break, on average.", VOICED, "s",
        _RUN.format("voiced") + " Mean length of the voiced segments.", "0.01 * mean of their lengths in frames",
        "segments.measure_segments", _LENGTH,
    ),
    Single(
        "StddevVoicedSegmentLengthSec", "rhythm", "Deviation of the length of voiced segments",
        "How much the stretches differ in length in which the voice sounds without a break.", VOICED, "s",
        _RUN.format("voiced") + " Standard deviation of the length of the voiced segments.",
        "0.01 * sqrt(mean((length - mean)^2))", "segments.measure_segments", VOICING,
    ),
    Single(
        "MeanUnvoicedSegmentLength", "rhythm", "Mean length of unvoiced segments",
        "How long the breaks are in which no voice sounds, on average.", UNVOICED, "s",
        _RUN.format("unvoiced") + " Mean length of the unvoiced segments, pauses and voiceless consonants alike.",
        "0.01 * mean of their lengths in frames", "segments.measure_segments", _LENGTH,
    ),
    Single(
        "StddevUnvoicedSegmentLength", "rhythm", "Deviation of the length of unvoiced segments",
        "How much the breaks differ in length in which no voice sounds.", UNVOICED, "s",
        _RUN.format("unvoiced") + " Standard deviation of the length of the unvoiced segments.",
        "0.01 * sqrt(mean((length - mean)^2))", "segments.measure_segments", VOICING,
    ),
    Single(
        "equivalentSoundLevel_dBp", "loudness", "Equivalent sound level",
        "How strong the recording is. It depends on the microphone and its distance, not only on the voice.", ALL, "dB",
        "Mean energy of all 20 ms frames against full scale; a full-scale sine has -3.01, silence is limited to -120.",
        "10 log10(max(mean over frames of mean(s^2), 1e-12))", "lowlevel.Measurement",
        caution="Depends on the level of the recording.", level="shift",
    ),
)  # fmt: skip
