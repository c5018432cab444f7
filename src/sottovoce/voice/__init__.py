"""The voice bench: from the bytes of a recording to numbers. Pure functions, no I/O, no network, no randomness.

decode (audio) -> 16 kHz (resample) -> 88 features (egemaps) -> how far to trust them (quality) -> what is told
(insight); an embedding is an extra. `pipeline` is the whole way in one function.
"""
