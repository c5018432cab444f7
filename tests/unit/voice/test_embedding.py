"""The embedding extra: refusals without it, the real thing where torch and transformers are installed."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys

import numpy as np
import pytest

from sottovoce.errors import ConfigurationError, ExtraMissing
from sottovoce.voice import embedding

INSTALLED = all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
needs_extra = pytest.mark.skipif(not INSTALLED, reason="needs the extra [embeddings] (torch, transformers)")


@pytest.fixture
def folder(tmp_path):
    """A folder that looks like a model until somebody reads its weights."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "wav2vec2", "hidden_size": 768}))
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    return tmp_path


def test_M07_a_missing_extra_is_named_with_the_command_that_installs_it(folder, monkeypatch):
    """Who asks for an embedding without the extra is told exactly what to install."""
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ExtraMissing) as missing:
        embedding.load(folder)
    assert 'pip install "sottovoce[embeddings]"' in missing.value.hint


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_M07_a_pickled_model_is_refused_unopened(folder, name):
    """A model stored as a pickle, which could run code, is refused before anything of it is read."""
    (folder / "model.safetensors").unlink()
    (folder / name).mkdir()  # reading it would fail otherwise
    with pytest.raises(ConfigurationError) as refused:
        embedding.load(folder)
    assert refused.value.public_code == "model_pickled"
    assert str(folder) not in str(refused.value.to_dict())


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ConfigurationError) as refused:
        embedding.load(tmp_path)
    assert refused.value.public_code == "model_missing"
    with pytest.raises(ConfigurationError):
        embedding.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{not json", '{"model_type": "bert"}', '{"model_type": "wav2vec2", "hidden_size": 512}'],
)
def test_a_configuration_that_is_no_wav2vec2_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ConfigurationError):
        embedding.load(folder)


def test_hash_covers_configuration_and_weights(folder):
    first = embedding._sha256(folder)
    assert len(first) == len(hashlib.sha256().hexdigest())
    (folder / "preprocessor_config.json").write_text("{}")
    second = embedding._sha256(folder)
    (folder / "model.safetensors").write_bytes(b"other bytes")
    assert len({first, second, embedding._sha256(folder)}) == 3


def test_importing_the_module_loads_no_torch():
    assert "torch" not in vars(embedding)
    assert "transformers" not in vars(embedding)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A seeded random model of the smallest size that gives 768 numbers."""
    import torch
    import transformers

    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("tiny")
    config = transformers.Wav2Vec2Config(
        hidden_size=768, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64,
        conv_dim=(16, 16), conv_kernel=(10, 8), conv_stride=(5, 4), num_feat_extract_layers=2,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
    )  # fmt: skip
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    return folder


@needs_extra
def test_M07_embedding_is_768_numbers_and_the_same_every_time(tiny):
    """The embedding of a recording is 768 numbers, the same in each run, with the hash of the exact model."""
    samples = np.sin(np.arange(16000) / 20)
    embedder = embedding.load(tiny)
    first, second = embedder.embed(samples), embedding.load(tiny).embed(samples)
    assert first == second
    assert len(first.values) == 768
    assert first.model_sha256 == embedding._sha256(tiny)
    assert embedder.embed(samples[:1600]) != first


@needs_extra
def test_the_mean_over_time_of_the_last_hidden_state(tiny):
    import torch
    import transformers

    samples = np.random.default_rng(1).standard_normal(8000) * 0.1 + 0.2
    model = transformers.Wav2Vec2Model.from_pretrained(str(tiny), local_files_only=True).eval()
    prepared = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    with torch.no_grad():
        hidden = model(torch.tensor(prepared[None, :], dtype=torch.float32)).last_hidden_state.numpy()[0]
    assert embedding.load(tiny).embed(samples).values == pytest.approx(hidden.mean(axis=0), abs=1e-5)


@needs_extra
def test_weights_that_cannot_be_read_are_refused_without_a_path(tiny, tmp_path):
    (tmp_path / "config.json").write_bytes((tiny / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ConfigurationError) as refused:
        embedding.load(tmp_path)
    assert refused.value.public_code == "model_unreadable"
    assert str(tmp_path) not in str(refused.value.to_dict())
