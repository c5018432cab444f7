"""The contours of which 81 of the 88 features are statistics, in words (`descriptors` says what the fields mean)."""

from __future__ import annotations

from sottovoce.voice.egemaps.descriptors import ALL, UNVOICED, VOICED, VOICING, Contour

_WHERE = {
    "": ("", ""),
    "V": (", voiced", " while the voice sounds"),
    "UV": (", unvoiced", " in sounds without voice and in pauses"),
}
_POWER = "P[k] = |FFT of the 20 ms Hamming frame|^2, bin k at k * 31.25 Hz\n"


def _flux(suffix: str, group: str, frames: str, corrected: str = "") -> Contour:
    return Contour(
        f"spectralFlux{suffix}_{'sma3nz' if suffix else 'sma3'}", group, f"Spectral flux{_WHERE[suffix][0]}",
        f"the change of the sound{_WHERE[suffix][1]}",
        "It is large when one sound quickly gives way to another, and when the recording is loud.", frames, "",
        "Root of the mean squared change of the magnitude spectrum below 5 kHz from one 20 ms frame to the next. The "
        "magnitudes are not normalised, so it grows with the level of the recording.",
        _POWER + "flux(t) = sqrt(mean over f < 5000 of (sqrt(P_t[k]) - sqrt(P_(t-1)[k]))^2), 0 in the first frame",
        "balance.spectral_flux", ("eyben",), corrected, "Depends on the level of the recording.", level="scale",
    )  # fmt: skip


def _mfcc(i: int, voiced: bool) -> Contour:
    shape = (
        "weighs low against high tones", "weighs the middle against both ends of the range of tones",
        "weighs four parts of the range of tones against each other",
        "weighs five parts of the range of tones against each other",
    )[i - 1]  # fmt: skip
    number = ("first", "second", "third", "fourth")[i - 1]
    return Contour(
        f"mfcc{i}V_sma3nz" if voiced else f"mfcc{i}_sma3", "timbre" if voiced else "spectrum",
        f"MFCC {i}{', voiced' * voiced}",
        f"the {number} of four measures of the sound's colour{_WHERE['V' * voiced][1]}", f"This one {shape}.",
        VOICED if voiced else ALL, "",
        f"Mel frequency cepstral coefficient {i}: the logarithms of 26 mel bands (20 to 8,000 Hz) against a "
        f"cosine that passes {i} half {'wave' if i == 1 else 'waves'} over them, liftered by 22. It "
        "does not depend on the level.",
        _POWER + "M[b] = 26 triangles, equally wide on mel(f) = 1127 ln(1 + f/700)\n"
        f"x = sqrt(2/26) * (1 + 11 sin(pi * {i} / 22)) * sum_b ln(max(32767^2 M[b], 1)) cos(pi {i} / 26 (b + 0.5))",
        "mel.mfcc", ("htk", "eyben"), VOICING if voiced else "",
    )  # fmt: skip


def _ratios(suffix: str, group: str, frames: str) -> tuple[Contour, ...]:
    """The four descriptors of spectral balance, of voiced (V) or unvoiced (UV) frames."""
    kind, where = _WHERE[suffix]
    line = (
        "The regression counts the points it uses: a flat spectrum has the slope 0. `compat` counts one less than it "
        "uses, which adds a constant share of the mean level: a flat spectrum at -140 dB gives {0}. "
    )
    return (
        Contour(
            f"alphaRatio{suffix}_sma3nz", group, f"Alpha ratio{kind}", f"the share of high tones{where}",
            "Higher values mean a brighter or sharper sound, lower ones a duller one.", frames, "dB",
            "Energy from 1 to 5 kHz over energy below 1 kHz, in decibels.",
            _POWER + "x = 10 log10(sum P over 1000 <= f <= 5000 / sum P over f < 1000)",
            "balance.alpha_ratio", ("eyben",), VOICING,
        ),
        Contour(
            f"hammarbergIndex{suffix}_sma3nz", group, f"Hammarberg index{kind}",
            f"the lead of the strongest low tone{where}",
            "It tells how much stronger the strongest tone below 2,000 vibrations per second is than those above.",
            frames, "dB", "Strongest bin below 2 kHz over strongest bin from 2 to 5 kHz, in decibels.",
            _POWER + "x = 10 log10(max P over f < 2000 / max P over 2000 <= f <= 5000)",
            "balance.hammarberg_index", ("hammarberg", "eyben"), VOICING,
        ),
        *(
            Contour(
                f"slope{suffix}{band}_sma3nz", group, f"Spectral slope {band} Hz{kind}",
                f"the rise of the strength of {tones}{where}",
                "Negative numbers mean that higher tones are weaker than lower ones.", frames, "dB/Hz",
                f"Slope of the regression line through the log power spectrum of {band} Hz, floored at -140 dB.",
                _POWER + "y = 10 log10(max(P, 1e-14))\n"
                "x = (n sum(f y) - sum(f) sum(y)) / (n sum(f^2) - sum(f)^2), over the bins there\n"
                "compat: n = points - 1; corrected: n = points",
                "balance.spectral_slopes", ("eyben",), line.format(flat) + VOICING,
                "In `compat` it depends on the level of the recording, see the difference between the profiles.",
                level="shift",
            )
            for band, tones, flat in (
                ("0-500", "the lowest tones", "0.112 dB/Hz"),
                ("500-1500", "the tones above these", "0.0764 dB/Hz"),
            )
        ),
    )  # fmt: skip


_HARMONIC_LEVELS = "L[i] = 20 log10 of the spectral peak nearest to i * F0, in the 60 ms Gaussian frame\n"
_FORMANT_WAY = (
    "{0} of formant {1}, by linear prediction of order 11 on a 20 ms Hamming frame at nominally 11 kHz. Formants are "
    "resonances of the vocal tract; tongue, jaw and lips move them."
)
_FORMANT_FORMULA = (
    "a = Durbin's solution for the autocorrelation r[0..11] of the frame at 11 kHz\n"
    "compat:    roots z of z^11 - a_1 z^10 - ... - a_11\n"
    "corrected: roots z of z^11 + a_1 z^10 + ... + a_11\n"
)
_FORMANT_CORRECTED = (
    "`compat` looks for the roots of a polynomial whose signs are flipped, in a signal that keeps 3.4 kHz only, loses "
    "30 % of the frame and counts DC twice. `corrected` uses the whole frame, everything below 5.5 kHz, the "
    "polynomial's own signs, and a lag window as broad as 0.35 of the pitch. "
)
_FORMANT_CAUTION = "In `compat` this is not a resonance of the voice: {0}. No insight is made from it."


def _formant(k: int) -> tuple[Contour, ...]:
    resonance = ("lowest", "second", "third")[k - 1]
    mouth = (
        "It depends on the shape of the mouth, so on the sounds that are spoken and on the size of the head."
    )
    return (
        Contour(
            f"F{k}frequency_sma3nz", "formants", f"F{k} frequency",
            f"the {resonance} resonance of mouth and throat", mouth, VOICED, "Hz",
            _FORMANT_WAY.format("Frequency", k),
            _FORMANT_FORMULA + f"F = arg(z) * 11000 / (2 pi), 50 to 5,450 Hz, ascending; this is number {k}",
            "formants.formants_of", ("makhoul", "tohkura", "eyben"), _FORMANT_CORRECTED + VOICING,
            _FORMANT_CAUTION.format(
                "a synthetic vowel with 700, 1,200 and 2,600 Hz gives 433, 1,310 and 2,541 Hz"
            ),
        ),
        Contour(
            f"F{k}bandwidth_sma3nz", "formants", f"F{k} bandwidth",
            f"the width of the {resonance} resonance of mouth and throat",
            "A narrow one rings clearly, a wide one is damped.", VOICED, "Hz", _FORMANT_WAY.format("Bandwidth", k),
            _FORMANT_FORMULA + f"B = -ln|z| * 11000 / pi, of the root that is formant {k}",
            "formants.formants_of", ("makhoul", "tohkura", "eyben"), _FORMANT_CORRECTED + VOICING,
            _FORMANT_CAUTION.format("for synthetic vowels with 60 to 120 Hz it gives 450 to 1,260 Hz"),
        ),
        Contour(
            f"F{k}amplitudeLogRelF0_sma3nz", "formants", f"F{k} amplitude against F0",
            f"the strength of the voice at the {resonance} resonance of mouth and throat",
            "It is compared with the strength of its lowest tone.", VOICED, "dB",
            f"Level of the strongest harmonic within 20 % of formant {k}, against that of F0.",
            _HARMONIC_LEVELS + f"x = L[strongest i with 0.8 F{k} <= i F0 <= 1.2 F{k}] - L[1]; left out if none\n"
            "compat: x = -201 in unvoiced frames",
            "harmonics.formant_amplitudes", ("eyben",),
            "`compat` counts each unvoiced frame as -201 dB, so that its value mostly follows the share of unvoiced "
            "frames; in `corrected` unvoiced frames have no level and are left out. The formants are those of each "
            "profile. " + VOICING,
            "In `compat` this mostly measures the share of unvoiced frames.",
        ),
    )  # fmt: skip


CONTOURS: tuple[Contour, ...] = (
    Contour(
        "F0semitoneFrom27.5Hz_sma3nz", "pitch", "Pitch (F0)", "the pitch of the voice",
        "Pitch is how high or low the voice sounds.", VOICED, "semitones above 27.5 Hz",
        "Fundamental frequency of each 60 ms frame on a scale of semitones above 27.5 Hz (the note A0). Fifteen copies "
        "of the spectrum on an octave scale, each shifted by one harmonic number and weaker than the one before, are "
        "added; the six highest peaks from 55 to 1,000 Hz are candidates. The cheapest path through the candidates of "
        "all frames decides, also on which frames have a voice at all. Statistics take the voiced frames one after the "
        "other, without the gaps between them.",
        "S(u) = 1/15 sum over h = 1..15 of 0.85^(h-1) H(u + log2 h), u = log2 f, H: sharpened, weighted spectrum\n"
        "candidates: the six largest maxima of S; voicing v = 1 - mean(S) / S(maximum)\n"
        "F0 = the candidates on the cheapest path (dear: low v, leaps, changes of voicing); none where rms <= 0.001\n"
        "x = 12 log2(F0 / 27.5)",
        "pitch.Tracker", ("hermes", "eyben"),
        "In the path, a glide is compared with the glide before it on the same path, with the weight 5 (`compat`: with "
        "the pair of candidates that was looked at before, with the weight 10), and staying unvoiced costs nothing "
        "(`compat`: 1). A spectrum with a single peak is left as it is. " + VOICING,
        step="semitones",
    ),
    Contour(
        "loudness_sma3", "loudness", "Loudness", "the loudness",
        "Loudness is how strong the sound is to an ear.", ALL, "",
        "Energies of 26 mel bands of a 20 ms frame, weighted by an equal-loudness curve, each to the power "
        "0.33, averaged.",
        _POWER + "M[b] = 26 triangles from 20 to 8,000 Hz, equally wide on mel(f) = 1127 ln(1 + f/700)\n"
        "E(w) = 1e32 (w^2 + 56.8e6) w^4 / ((w^2 + 6.3e6)^2 (w^2 + 0.38e9) (w^7 + 1.7e31)), w = 2 pi f of the band\n"
        "x = 1/26 sum_b (max(M[b], 9.3e-10) E_b)^0.33",
        "mel.loudness", ("hermansky", "eyben"),
        caution="Depends on the level of the recording. Digital silence is 0.00103397, not 0.", level="scale",
    ),
    _flux("", "spectrum", ALL),
    *(_mfcc(i, voiced=False) for i in (1, 2, 3, 4)),
    Contour(
        "jitterLocal_sma3nz", "steadiness", "Jitter", "the unevenness in time of the voice",
        "It compares each vibration of the voice with the next: how much their lengths differ.", VOICED, "",
        "Mean difference of neighbouring periods of the waveform over the mean period; 0.01 is 1 %. A period is the "
        "lag, within 10 % of 1/F0, at which two neighbouring stretches are most alike; it counts where their "
        "correlation is above 0.5.",
        "T_i = periods of the frame, refined by a parabola\nx = mean |T_i - T_(i-1)| / mean T_i, at most 1",
        "periods.Walk", ("eyben",), VOICING, "Noise and compression raise it.",
    ),
    Contour(
        "shimmerLocaldB_sma3nz", "steadiness", "Shimmer", "the unevenness in strength of the voice",
        "It compares each vibration of the voice with the next: how much their strengths differ.", VOICED, "dB",
        "Difference of the peak-to-peak amplitudes of neighbouring periods over their mean, in decibels.",
        "s = sum |A_i - A_(i+1)| / sum (A_i + A_(i+1)) / 2, at most 1\nx = 20 log10(1 + s)",
        "periods.Walk", ("eyben",), VOICING, "Noise and compression raise it.",
    ),
    Contour(
        "HNRdBACF_sma3nz", "steadiness", "Harmonics-to-noise ratio", "the clearness of the voice",
        "A clear voice repeats itself from one vibration to the next; breath and noise do not.", VOICED, "dB",
        "Harmonics-to-noise ratio from the autocorrelation of a 60 ms frame under a Gaussian window.",
        "r = |inverse FFT of |X|^2| of the 60 ms frame; tau = its maximum nearest to 1/F0\n"
        "x = 10 log10(r[tau] / (r[0] - r[tau]))",
        "harmonics.harmonics_to_noise", ("boersma", "eyben"), VOICING,
        "The window's own autocorrelation is not divided out, in either profile: values are lower than those of other "
        "definitions, whose norms don't apply.",
    ),
    Contour(
        "logRelF0-H1-H2_sma3nz", "harmonics", "H1-H2", "the lead of the voice's lowest tone over the next",
        "It tends to be larger in soft or breathy voices.", VOICED, "dB",
        "Level of the first harmonic against the second. In `compat`: of the second against the third.",
        _HARMONIC_LEVELS + "compat:    x = L[2] - L[3]\ncorrected: x = L[1] - L[2]",
        "harmonics.level_differences", ("eyben",),
        "`compat` compares the second and the third harmonic: harmonics of 0, -6.02 and -18.06 dB give 12.13 dB. "
        "`corrected` compares the first and the second, with heights from a parabola through the logarithms: 6.0 dB. "
        + VOICING,
        "In `compat` this is not what the literature calls H1-H2.",
    ),
    Contour(
        "logRelF0-H1-A3_sma3nz", "harmonics", "H1-A3", "the lead of the voice's lowest tone over its brightest part",
        "It tends to be larger in soft voices.", VOICED, "dB",
        "Level of the first harmonic against the strongest one near the third formant. In `compat`: of the second.",
        _HARMONIC_LEVELS + "A3 = L[strongest i with 0.8 F3 <= i F0 <= 1.2 F3]\n"
        "compat:    x = L[2] - A3\ncorrected: x = L[1] - A3",
        "harmonics.level_differences", ("eyben",),
        "`compat` takes the second harmonic for the first, and its third formant is not the resonance of the voice. "
        "`corrected` takes the first harmonic and its own third formant. " + VOICING,
        "In `compat` this is not what the literature calls H1-A3.",
    ),
    *(contour for k in (1, 2, 3) for contour in _formant(k)),
    *_ratios("V", "balance", VOICED),
    _flux("V", "timbre", VOICED, VOICING),
    *(_mfcc(i, voiced=True) for i in (1, 2, 3, 4)),
    *_ratios("UV", "unvoiced", UNVOICED),
    _flux("UV", "unvoiced", UNVOICED, VOICING),
)  # fmt: skip
