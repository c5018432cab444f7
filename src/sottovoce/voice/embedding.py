"""A wav2vec2 embedding of a recording: 768 numbers, biometric data in every policy (extra `[embeddings]`).

Rules, in this order:
1. The model comes from a folder that the user names; nothing is ever fetched, no code of the folder is run.
2. Weights are read from safetensors only: a pickle can run code when it is opened, so it is refused unopened.
3. torch and transformers are imported here alone, and only when a model is loaded.
4. The hash that stands with an embedding covers the exact weights and configuration.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sottovoce.errors import ConfigurationError, ExtraMissing
from sottovoce.model.features import EMBEDDING_SIZE, Embedding

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
VARIANCE_FLOOR = 1e-7
_HASH_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Embedder:
    """A loaded model. Build it with `load`."""

    model: Any = field(repr=False)  # transformers.Wav2Vec2Model in evaluation mode
    torch: Any = field(repr=False)
    normalise: bool  # whether the model expects zero mean and unit variance
    model_sha256: str

    def embed(self, samples: NDArray[np.float64], /) -> Embedding:
        """(n,) mono at 16 kHz, -1..1, at least 100 ms -> mean over time of the last hidden states."""
        prepared = _normalised(samples) if self.normalise else samples
        tensor = self.torch.from_numpy(prepared.astype(np.float32))[None, :]
        with self.torch.inference_mode():
            hidden = self.model(tensor).last_hidden_state
        mean = hidden[0].mean(dim=0)
        return Embedding(tuple(float(value) for value in mean.tolist()), self.model_sha256)


def load(folder: Path) -> Embedder:
    """The wav2vec2 model of a local folder (`config.json` and `model.safetensors`).

    Raises ConfigurationError where the folder holds no such model (or a pickled one only), ExtraMissing where
    torch or transformers are not installed.
    """
    _check(folder)
    torch, transformers = _libraries()
    try:
        model = transformers.Wav2Vec2Model.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True
        )
    except Exception:  # whatever the libraries raise would quote the folder
        raise ConfigurationError("The embedding model cannot be loaded.", reason="model_unreadable") from None
    model.eval()
    return Embedder(model, torch, _wants_normalised(folder), _sha256(folder))


def _check(folder: Path) -> None:
    """Refuse what must not be opened or would be of no use."""
    if not (folder / WEIGHTS).is_file():
        pickled = any(next(folder.glob(pattern), None) for pattern in PICKLES)
        raise ConfigurationError(
            "The embedding model is stored as a pickle, which can run code when it is opened."
            if pickled
            else "The folder holds no embedding model.",
            hint=f"Give a local folder with {CONFIG} and {WEIGHTS}.",
            reason="model_pickled" if pickled else "model_missing",
        )
    config = _read_json(folder / CONFIG)
    if config.get("model_type") != "wav2vec2":
        raise ConfigurationError("The embedding model is not a wav2vec2 model.", reason="model_kind")
    if config.get("hidden_size", EMBEDDING_SIZE) != EMBEDDING_SIZE:
        raise ConfigurationError(
            f"The embedding model does not give {EMBEDDING_SIZE} numbers.", reason="model_size"
        )


def _libraries() -> tuple[Any, Any]:
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when the libraries are imported
    try:
        import torch
        import transformers
    except ImportError:
        raise ExtraMissing(
            "Embeddings need an optional part of sottovoce that is not installed.",
            hint='Install it with `pip install "sottovoce[embeddings]"`.',
        ) from None
    return torch, transformers


def _wants_normalised(folder: Path) -> bool:
    file = folder / PREPROCESSOR
    return bool(_read_json(file).get("do_normalize", True)) if file.is_file() else True


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ConfigurationError(f"The embedding model's {file.name} cannot be read.", reason="model_missing")
    return content


def _sha256(folder: Path) -> str:
    """Of the configuration, the preprocessing and the weights, in this order, each preceded by its size."""
    digest = hashlib.sha256()
    for name in (CONFIG, PREPROCESSOR, WEIGHTS):
        file = folder / name
        if not file.is_file():
            continue
        digest.update(f"{name} {file.stat().st_size}\n".encode())
        with file.open("rb") as stream:
            while block := stream.read(_HASH_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()


def _normalised(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = (samples - np.mean(samples)) / np.sqrt(np.var(samples) + VARIANCE_FLOOR)
    return result
