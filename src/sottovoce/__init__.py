"""sottovoce: learn from voices without keeping them.

    import sottovoce

    with sottovoce.open("sqlite:///voices.db") as platform:
        purposes = ["voice_recording", "voice_analysis", "data_retention_30_days"]
        platform.grant(subject="anna", purposes=purposes)
        analysis = platform.analyze("interview.wav", subject="anna")
        print(analysis.features.as_dict(), analysis.audio.state)

The names below are the whole surface. Each is loaded when it is first used: importing sottovoce loads neither
numpy nor SQLAlchemy.
"""

from __future__ import annotations

# As mypy knows it; importing `typing` for it would take a quarter of the time of `sottovoce --help`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from sottovoce.app import Platform, open, seal_file, verify_receipt
    from sottovoce.errors import AudioRejected, ConsentRequired, SottovoceError
    from sottovoce.model.features import FEATURE_NAMES, FeatureVector, Insight, Quality
    from sottovoce.model.outcome import Analysis
    from sottovoce.settings import Settings
    from sottovoce.voice.features import egemaps

__version__ = "0.1.0"

__all__ = [
    "FEATURE_NAMES",
    "Analysis",
    "AudioRejected",
    "ConsentRequired",
    "FeatureVector",
    "Insight",
    "Platform",
    "Quality",
    "Settings",
    "SottovoceError",
    "__version__",
    "egemaps",
    "open",
    "seal_file",
    "verify_receipt",
]

_PLACES = {
    "FEATURE_NAMES": "sottovoce.model.features",
    "Analysis": "sottovoce.model.outcome",
    "AudioRejected": "sottovoce.errors",
    "ConsentRequired": "sottovoce.errors",
    "FeatureVector": "sottovoce.model.features",
    "Insight": "sottovoce.model.features",
    "Platform": "sottovoce.app",
    "Quality": "sottovoce.model.features",
    "Settings": "sottovoce.settings",
    "SottovoceError": "sottovoce.errors",
    "egemaps": "sottovoce.voice.features",
    "open": "sottovoce.app",
    "seal_file": "sottovoce.app",
    "verify_receipt": "sottovoce.app",
}


def __getattr__(name: str) -> object:
    """Load a name of the surface on first use (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module 'sottovoce' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
