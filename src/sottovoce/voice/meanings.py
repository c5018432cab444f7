"""What each of the 88 features is, in plain language: for the person whose voice it was.

A name is a measure (what is looked at) and a statistic (how it is summed up over the recording). Nothing here says
anything about the person, only about the sound.
"""

from __future__ import annotations

from sottovoce.model.features import FEATURE_NAMES

_MEASURES: dict[str, str] = {
    "F0semitoneFrom27.5Hz": "the pitch of the voice, in semitones above 27.5 Hz",
    "loudness": "how loud the sound is to the ear",
    "spectralFluxV": "how quickly the sound colour changes while the voice sounds",
    "spectralFluxUV": "how quickly the sound colour changes between voiced sounds",
    "spectralFlux": "how quickly the sound colour changes",
    "jitterLocal": "how much neighbouring periods of the voice differ in length",
    "shimmerLocaldB": "how much neighbouring periods of the voice differ in strength, in dB",
    "HNRdBACF": "how much of the voiced sound repeats from period to period, in dB",
    "logRelF0-H1-H2": "how strong the first overtone is against the second, in dB",
    "logRelF0-H1-A3": "how strong the first overtone is against the third resonance, in dB",
    "alphaRatioV": "low against high frequencies while the voice sounds, in dB",
    "alphaRatioUV": "low against high frequencies between voiced sounds, in dB",
    "hammarbergIndexV": "the strongest low against the strongest high frequency while the voice sounds, in dB",
    "hammarbergIndexUV": "the strongest low against the strongest high frequency between voiced sounds, in dB",
    "slopeV0-500": "how the spectrum falls from 0 to 500 Hz while the voice sounds",
    "slopeUV0-500": "how the spectrum falls from 0 to 500 Hz between voiced sounds",
    "slopeV500-1500": "how the spectrum falls from 500 to 1500 Hz while the voice sounds",
    "slopeUV500-1500": "how the spectrum falls from 500 to 1500 Hz between voiced sounds",
    **{f"mfcc{i}V": f"number {i} of four that sum up the sound colour while the voice sounds" for i in range(1, 5)},
    **{f"mfcc{i}": f"number {i} of four that sum up the sound colour" for i in range(1, 5)},
}  # fmt: skip
_ORDINALS = {1: "first", 2: "second", 3: "third"}
for _k, _which in _ORDINALS.items():
    _MEASURES[f"F{_k}frequency"] = f"where the {_which} resonance of the sound lies, in Hz"
    _MEASURES[f"F{_k}bandwidth"] = f"how broad the {_which} resonance of the sound is, in Hz"
    _MEASURES[f"F{_k}amplitudeLogRelF0"] = f"how strong the {_which} resonance is against the pitch, in dB"

_STATISTICS: dict[str, str] = {
    "amean": "the average",
    "stddevNorm": "how much it varies, against its average",
    "percentile20.0": "a fifth of the moments lie below this",
    "percentile50.0": "half of the moments lie below this",
    "percentile80.0": "four fifths of the moments lie below this",
    "pctlrange0-2": "the distance from the lower to the upper fifth",
    "meanRisingSlope": "how fast it rises, on average",
    "stddevRisingSlope": "how much the speed of rising varies",
    "meanFallingSlope": "how fast it falls, on average",
    "stddevFallingSlope": "how much the speed of falling varies",
}
_WHOLE: dict[str, str] = {
    "loudnessPeaksPerSec": "how often the loudness peaks in a second, roughly once per syllable",
    "VoicedSegmentsPerSec": "how often the voice starts anew in a second",
    "MeanVoicedSegmentLengthSec": "how long the voice sounds without a break, on average, in seconds",
    "StddevVoicedSegmentLengthSec": "how much the length of voiced stretches varies, in seconds",
    "MeanUnvoicedSegmentLength": "how long the voice is silent or voiceless at a time, on average, in seconds",
    "StddevUnvoicedSegmentLength": "how much the length of voiceless stretches varies, in seconds",
    "equivalentSoundLevel_dBp": "how strong the whole recording is, in decibels",
}


def meaning_of(name: str) -> str:
    """The feature of that name in plain words; KeyError for a name that is none of the 88."""
    if name in _WHOLE:
        return _WHOLE[name]
    measure, _, rest = name.partition("_")
    statistic = rest.partition("_")[2]
    return f"{_MEASURES[measure]}: {_STATISTICS[statistic]}"


MEANINGS: dict[str, str] = {name: meaning_of(name) for name in FEATURE_NAMES}
