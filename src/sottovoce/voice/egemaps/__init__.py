"""Our own eGeMAPS v02 extractor: 88 functionals of a voice recording, written from a specification alone.

Read `extract` first; the other modules are its stages, in this order: frames, mel, balance, octave, pitch
(with viterbi), periods, formants, harmonics, contours, functionals (with peaks and segments). What each feature
is stands in `catalog` and docs/reference/features.md, how this code came about in DERIVATION.md.
"""
