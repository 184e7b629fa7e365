"""Runs that pass for ours: nothing of the size they state is built, and nothing is predicted of NaN."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from actionpose.errors import UserError
from actionpose.files import sha256_file
from actionpose.lift.source import MOTION_FPS, open_model
from cli.train import main
from tests.makers.shards import options, tiny

JOINTS = "pose.joints_embed.weight"


@pytest.fixture(scope="module")
def finetuned(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    words = ["finetune", "--data", str(shards), "--out", str(out), *options(tiny("finetune.steps=1"))]
    assert CliRunner().invoke(main, words).exit_code == 0
    return out


def change_meta(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    (path,) = run.glob("checkpoints/step_*/meta.json")
    meta = json.loads(path.read_text())
    change(meta)
    path.write_text(json.dumps(meta))


def change_weights(run: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Change the weights, and let the meta file state their checksum, as someone would who means it."""
    (path,) = run.glob("checkpoints/step_*/weights.safetensors")
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    change_meta(run, lambda meta: meta["files"].update({path.name: sha256_file(path)}))


def pose(**values: Any) -> Callable[[Path], None]:
    return lambda run: change_meta(run, lambda meta: meta["recipe"]["pose"].update(values))


STRANGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "no recipe": (lambda run: change_meta(run, lambda meta: meta.update(recipe=None)), "lacks the recipe"),
    "the default recipe": (lambda run: change_meta(run, lambda meta: meta.update(recipe={})), "dim_feat 512 stated"),
    "a width of 10^9": (pose(dim_feat=10**9), "dim_feat 1000000000 stated"),
    "a depth of 10^9": (pose(depth=10**9), "depth 1000000000 stated"),
    "10^12 frames": (pose(max_frames=10**12), "max_frames 1000000000000 stated"),
    "hidden layers of 10^9": (pose(mlp_ratio=1e9), "mlp_ratio 1e"),
    "a layer of another shape": (
        lambda run: change_weights(run, lambda w: w.update({JOINTS: torch.zeros(3, 3)})),
        "dim_feat",
    ),
    "no first layer": (lambda run: change_weights(run, lambda w: w.pop(JOINTS)), "holds no pose encoder"),
    "a layer less": (lambda run: change_weights(run, lambda w: w.pop("pose.head.bias")), "head.bias"),
    "NaN": (lambda run: change_weights(run, lambda w: w[JOINTS].fill_(float("nan"))), "not finite"),
    "a list of data": (lambda run: change_meta(run, lambda meta: meta.update(data=[1])), "damaged"),
}


@pytest.mark.parametrize("what", STRANGE)
def test_a_run_whose_files_contradict_each_other_is_refused_by_every_reader(
    finetuned: Path, shards: Path, tmp_path: Path, what: str
):
    change, words = STRANGE[what]
    shutil.copytree(finetuned, tmp_path / "run")
    change(tmp_path / "run")
    with pytest.raises(UserError, match=words) as error:
        open_model(tmp_path / "run")
    assert str(tmp_path / "run") in error.value.message
    for dry in (["--dry-run"], []):
        start = ["finetune", "--data", str(shards), "--init", str(tmp_path / "run"), "--out", str(tmp_path / "out")]
        done = CliRunner().invoke(main, [*start, *options(tiny("finetune.steps=1")), *dry])
        assert done.exit_code == 1, done.output
        assert "bug" not in done.output, done.output


def test_a_rate_that_is_none_is_not_used(finetuned: Path, tmp_path: Path):
    shutil.copytree(finetuned, tmp_path / "run")
    change_meta(tmp_path / "run", lambda meta: meta["data"].update(fps=float("nan"), folder="/nowhere"))
    assert open_model(tmp_path / "run").fps == MOTION_FPS


def test_who_may_read_a_run_may_read_its_weights(finetuned: Path):
    (path,) = finetuned.glob("checkpoints/step_*/weights.safetensors")
    assert path.stat().st_mode & 0o777 == path.with_name("meta.json").stat().st_mode & 0o777
