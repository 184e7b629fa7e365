"""The text encoder reads local BERT folders, keeps the layers it is asked for, and says what is wrong otherwise."""

from __future__ import annotations

import importlib.util
import json
import shutil
import struct
import warnings

import pytest
import torch
from safetensors.torch import load_file

from actionpose import isolated
from actionpose.errors import UserError
from actionpose.model import text_encoder as text_module
from actionpose.model.text_encoder import TextConfig, label_spread, load_text_encoder, model_folder
from tests.makers.bert import write_tiny_bert

PHRASES = ["walk forward", "walk backward", "sit down", "get up from a chair", "wave hand"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_bert(tmp_path_factory.mktemp("bert"))


def load(folder, **settings):
    return load_text_encoder(TextConfig(model=str(folder), **settings)).eval()


def test_the_first_layers_are_those_of_the_whole_model(folder):
    whole, part = load(folder, layers=4), load(folder, layers=2)
    tokens = whole.tokenizer(PHRASES, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = whole.bert(**tokens, output_hidden_states=True).hidden_states
        torch.testing.assert_close(part(PHRASES), hidden[2][:, 0])
    assert len(part.bert.encoder.layer) == 2
    assert part.bert.pooler is None


def test_weights_in_a_torch_file_are_read_in_a_child_and_are_those_of_the_safetensors(tmp_path, monkeypatch):
    folder = write_tiny_bert(tmp_path / "bert")
    plain = load(folder, layers=2)(PHRASES)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    read: list[str] = []
    call = isolated.call
    monkeypatch.setattr(isolated, "call", lambda target, path: read.append(target) or call(target, path))
    assert torch.equal(load(folder, layers=2)(PHRASES), plain)
    assert read == ["actionpose.model.pretrained:stored_tensors"]


def test_mean_pooling_averages_real_tokens_only(folder):
    encoder = load(folder, pooling="mean")
    with torch.no_grad():
        together = encoder(PHRASES)
        alone = torch.cat([encoder([phrase]) for phrase in PHRASES])
        tokens = encoder.tokenizer(PHRASES[:1], return_tensors="pt")
        by_hand = encoder.bert(**tokens).last_hidden_state.mean(dim=1)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together[:1], by_hand, atol=1e-5, rtol=1e-5)


def test_long_phrases_are_cut(folder):
    encoder = load(folder, max_tokens=8)
    with torch.no_grad():
        torch.testing.assert_close(encoder(["walk forward " * 20]), encoder(["walk forward"]))


def test_an_encoder_that_learns_drops_too(folder):
    learning = load_text_encoder(TextConfig(model=str(folder))).train()
    assert all(p.requires_grad for p in learning.parameters())
    assert not torch.equal(learning(PHRASES), learning(PHRASES))


def test_loading_is_silent_and_leaves_the_librarys_settings(folder, capfd):
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load(folder, layers=1)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


# --- labels that do not differ -----------------------------------------------------------------


def test_spread_is_the_mean_cosine_distance():
    vectors = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    assert label_spread(vectors) == pytest.approx((1 + 1 + 2) / 3)
    with pytest.raises(ValueError, match="two phrases"):
        label_spread(vectors[:1])


def test_labels_that_look_the_same_raise_a_warning(folder):
    same = torch.ones(4, 8) + 1e-4 * torch.randn(4, 8)
    with pytest.warns(UserWarning, match="text.pooling=mean"):
        assert label_spread(same) < 1e-6
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error")
        assert label_spread(load(folder)(PHRASES)) > 0.01


@pytest.mark.skipif(importlib.util.find_spec(text_module.MINILM_PACKAGE) is None, reason="no offline text model")
def test_three_layers_of_minilm_tell_phrases_apart_by_mean_but_not_by_cls():
    with torch.no_grad():
        with pytest.warns(UserWarning, match="every label"):
            label_spread(load("minilm", pooling="cls")(PHRASES))
        assert label_spread(load("minilm", pooling="mean")(PHRASES)) > 0.2


# --- refusals ----------------------------------------------------------------------------------


def test_a_missing_package_or_folder_is_named(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="no text model"):
        model_folder("")
    with pytest.raises(UserError, match="nowhere"):
        model_folder(str(tmp_path / "nowhere"))
    monkeypatch.setattr(text_module, "MINILM_PACKAGE", "not_an_installed_package")
    with pytest.raises(UserError) as caught:
        model_folder("minilm")
    assert "pip install" in caught.value.hint


def test_folders_that_hold_something_else_are_refused(folder, tmp_path):
    with pytest.raises(UserError, match=r"config\.json"):
        load(tmp_path)
    other = shutil.copytree(folder, tmp_path / "other")
    described = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(described | {"model_type": "gpt2"}))
    with pytest.raises(UserError, match="'gpt2'"):
        load(other)
    with pytest.raises(UserError, match=r"4 layers") as caught:
        load(folder, layers=6)
    assert caught.value.hint == "-o text.layers=4"


STRANGE = {
    "a vocabulary that is no text": ("vocab.txt", b"\xff\xfe\0", "cannot read the text model"),
    "a tokenizer nested without end": ("tokenizer.json", b"[" * 100_000, "cannot read the text model"),
    "a configuration nested without end": ("config.json", b"[" * 100_000, "config.json cannot be read"),
    "a list for a configuration": ("config.json", b"[]", "config.json cannot be read"),
    "weights of 10^12 numbers": (
        "model.safetensors",
        struct.pack("<Q", 66) + b'{"a": {"dtype": "F32", "shape": [1000000000000], "data_offsets": ['.ljust(66),
        "cannot read the text model",
    ),
    "weights with a header of 2^60 bytes": ("model.safetensors", struct.pack("<Q", 1 << 60), "header too large"),
}


@pytest.mark.parametrize("what", STRANGE)
def test_a_damaged_file_of_a_text_model_is_a_sentence(folder, tmp_path, what):
    name, content, words = STRANGE[what]
    shutil.copytree(folder, tmp_path / "bert")
    (tmp_path / "bert" / name).write_bytes(content)
    with pytest.raises(UserError, match=words) as error:
        load_text_encoder(TextConfig(model=str(tmp_path / "bert"), layers=1))
    assert str(tmp_path / "bert") in error.value.message


def test_sizes_that_the_weights_do_not_have_are_not_built(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "bert")
    config = json.loads((tmp_path / "bert/config.json").read_text())
    (tmp_path / "bert/config.json").write_text(json.dumps({**config, "vocab_size": 10**12}))
    with pytest.raises(UserError, match=r"other sizes than its config\.json states"):
        load_text_encoder(TextConfig(model=str(tmp_path / "bert"), layers=1))


def test_incomplete_weights_are_refused(folder, tmp_path):
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "model.safetensors").unlink()
    with pytest.raises(UserError, match="cannot read the text model"):
        load(broken)
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    dropped = {n: t for n, t in tensors.items() if "layer.0.output.dense.weight" not in n}
    assert len(dropped) == len(tensors) - 1
    save_file(dropped, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="lack 1 tensors"):
        load(broken)
