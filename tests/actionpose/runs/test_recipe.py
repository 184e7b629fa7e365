"""Recipes are readable, the shipped ones fit their purpose, and the defaults are the paper's."""

from __future__ import annotations

import pytest

from actionpose.config import load_config, to_dict, to_toml
from actionpose.errors import UserError
from actionpose.runs.recipe import Recipe
from tests.makers.places import ROOT

SHIPPED = sorted((ROOT / "actionpose/recipes").glob("*.toml"))


def test_the_defaults_are_the_papers():
    recipe = Recipe()
    assert (recipe.pretrain.epochs, recipe.pretrain.batch, recipe.pretrain.lr) == (300, 16, 5e-4)
    assert (recipe.data.clip_frames, recipe.loss.negatives, recipe.loss.temperature) == (243, 16, 0.1)
    assert (recipe.pose.depth, recipe.text.layers) == (5, 3)
    assert (recipe.finetune.epochs, recipe.finetune.batch, recipe.finetune.lr) == (60, 32, 2e-4)  # MotionBERT's


def test_these_recipes_are_shipped():
    assert [path.stem for path in SHIPPED] == [
        "anywhere",
        "finetune_3dhp",
        "finetune_h36m",
        "pretrain",
        "small",
        "tiny",
    ]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_reads_and_survives_its_own_toml(path, tmp_path):
    recipe = load_config(Recipe, [path])
    (tmp_path / "again.toml").write_text(to_toml(recipe, explain=True), encoding="utf-8")
    assert load_config(Recipe, [tmp_path / "again.toml"]) == recipe


def test_benchmarks_are_measured_on_their_test_split():
    for path in SHIPPED:
        if path.stem.startswith("finetune"):
            assert load_config(Recipe, [path]).eval.split == "test"


def test_the_tiny_recipe_needs_no_download_and_no_gpu():
    recipe = load_config(Recipe, [path for path in SHIPPED if path.stem == "tiny"])
    assert recipe.text.model == "minilm"
    assert recipe.text.pooling == "mean"  # three layers of MiniLM give one [CLS] vector for all phrases
    assert recipe.pose.dim_feat <= 96


def test_clips_longer_than_the_encoder_are_refused():
    with pytest.raises(UserError, match=r"clip_frames 300 is more than pose\.max_frames 243"):
        load_config(Recipe, overrides=["data.clip_frames=300"])


def test_a_mistyped_setting_names_the_nearest_one():
    with pytest.raises(UserError, match=r"did you mean 'pretrain\.epochs'"):
        load_config(Recipe, overrides=["pretrain.epoch=3"])


def test_stages_differ_only_in_values():
    recipe = to_dict(Recipe())
    assert recipe["pretrain"].keys() == recipe["finetune"].keys()
