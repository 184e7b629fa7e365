"""Commands on a GPU: whatever they bring together is on one device, and the numbers are a CPU's."""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest
from click.testing import CliRunner

from cli import lift, train
from tests.makers.places import ROOT
from tests.makers.pretend_gpu import pretend_gpu
from tests.makers.shards import options, tiny


def run(main, *arguments) -> str:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="ap")
    assert done.exit_code == 0, done.output
    return done.stdout


def test_training_and_evaluation_give_the_numbers_of_a_cpu(shards, tmp_path):
    found = []
    for name, device in (("cpu", nullcontext), ("gpu", pretend_gpu)):
        out, data = tmp_path / name, ("--data", shards)
        with device():
            run(train.main, "finetune", *data, "--out", out, *options(tiny("finetune.steps=3")))
            found.append(json.loads(run(train.main, "evaluate", out, *data, "--format", "json")))
    assert found[1]["mpjpe_mm"] == pytest.approx(found[0]["mpjpe_mm"], abs=0.01)
    assert found[1]["p_mpjpe_mm"] == pytest.approx(found[0]["p_mpjpe_mm"], abs=0.01)


def test_pretraining_and_what_it_learned_are_measured_there(shards, bert, tmp_path):
    data, out = ("--data", shards), tmp_path / "pre"
    few = ("-o", "robust.windows=2", "-o", 'robust.curves=["part","frames"]', "--format", "json")
    with pretend_gpu():
        more = options(tiny("text.frozen=true", "pretrain.steps=2", "run.gradients=true", text=bert))
        run(train.main, "pretrain", *data, "--out", out, *more)
        learned = json.loads(run(train.main, "evaluate", out, *data, "-o", "eval.flip_tta=false", "--format", "json"))
        curves = json.loads(
            run(train.main, "robustness", out, *data, "--out", tmp_path / "r", *few, "--format", "json")
        )
    assert {"retrieval", "probe"} <= set(learned)
    assert curves


def test_lifting_and_naming_give_the_numbers_of_a_cpu(tmp_path):
    found = []
    for name, device in (("cpu", nullcontext), ("gpu", pretend_gpu)):
        out = tmp_path / f"{name}.npz"
        with device():
            run(lift.main, "run", ROOT / "examples/keypoints/coco-results.json", "--fps", "25", "--fill", "-o", out)
            named = run(lift.main, "actions", out, "--labels", "walk,sit down", "--format", "json")
        with np.load(out) as arrays:
            found.append((arrays["poses_3d"], [row["label"] for row in json.loads(named)]))
    np.testing.assert_allclose(found[1][0], found[0][0], atol=1e-4)
    assert found[1][1] == found[0][1]
