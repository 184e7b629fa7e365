"""A run saves a frozen text encoder's vectors in place of the encoder, and then needs it for new phrases alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import actionpose as ap
from actionpose.config import resolve
from actionpose.errors import UserError
from actionpose.lift.actions import known_labels, open_with_heads
from actionpose.runs import train as training
from actionpose.runs.evaluate import evaluate, recipe_of
from actionpose.runs.recipe import Recipe
from actionpose.train import checkpoint
from tests.makers.shards import tiny


@pytest.fixture(scope="module")
def text_model(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(bert, tmp_path_factory.mktemp("text") / "model")


@pytest.fixture(scope="module")
def run(shards: Path, text_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    overrides = tiny("pretrain.steps=2", "text.frozen=true", "pretrain.eval_every=1", text=text_model)
    training.train("pretrain", resolve(Recipe, overrides=overrides), shards, out, resume=False, argv=[], version="0")
    return out


def test_a_checkpoint_holds_the_vectors_of_its_texts_and_no_encoder(run: Path) -> None:
    found = checkpoint.find(run)
    names = [name for name in found.weights() if name.startswith("text.")]
    assert names == ["text.table_VE"]
    assert len(found.weights()["text.table_VE"]) == len(found.meta["texts"]) > 1


def test_it_is_evaluated_and_names_its_own_actions_without_the_text_model_and_is_resumed_with_it(
    run: Path, shards: Path, text_model: Path
) -> None:
    here = ap.load(run).embed_text(checkpoint.find(run).meta["texts"])
    aside = text_model.rename(text_model.with_name("aside"))
    try:
        np.testing.assert_array_equal(ap.load(run).embed_text(checkpoint.find(run).meta["texts"]), here)
        result = evaluate(run, shards, recipe_of(checkpoint.find(run)), argv=[], version="0")
        assert result.retrieval
        labels = known_labels(open_with_heads(run, "cpu")[0])
        assert labels
        assert not any(label.startswith("transit from ") for label in labels)
        with pytest.raises(UserError, match=r"'ride a bicycle' is not among the \d+ phrases"):
            ap.load(run).embed_text("ride a bicycle")
    finally:
        aside.rename(text_model)
    more = resolve(Recipe, overrides=tiny("pretrain.steps=3", "text.frozen=true", text=text_model))
    done = training.train("pretrain", more, shards, run, resume=True, argv=[], version="0")
    assert done["step"] == 3
