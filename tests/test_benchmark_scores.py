"""From a benchmark's own files to its published arithmetic: build, score, and nothing is lost on the way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from shard_maker import make_shards

from actionpose import metrics
from actionpose.shards import ShardSet
from cli.data import main as ap_data
from cli.train import main as ap_train
from pipeline.demo_3dhp import write_demo_3dhp


def typed(program, *arguments: object):
    done = CliRunner().invoke(program, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def mpi(tmp_path_factory):
    """A look-alike of the published test file, and shards built from it."""
    home = tmp_path_factory.mktemp("mpi")
    motion = ShardSet(make_shards(home / "motion", lengths=(60, 80, 70, 90)))
    files = write_demo_3dhp(home / "files", motion)
    typed(
        ap_data, "build-3dhp", "--mpi-inf-3dhp", home / "files", "--annotation", "universal", "--out", home / "shards"
    )
    return files["test"], home / "shards"


def truth(file: Path) -> dict[str, np.ndarray]:
    """Valid frames of the published file, millimetres, in its own joint order."""
    # A look-alike that the test wrote itself, in the field's pickled layout.
    with np.load(file, allow_pickle=True) as content:
        data = content["data"].item()
    return {name: clip["data_3d"][np.asarray(clip["valid"]).reshape(-1) > 0] for name, clip in data.items()}


def test_3dhp_scores_of_shards_are_those_of_the_published_file(mpi, tmp_path):
    file, shards = mpi
    target = truth(file)
    rng = np.random.default_rng(0)
    predicted = {name: pose + rng.normal(size=pose.shape) * 60 for name, pose in target.items()}
    np.savez(tmp_path / "p.npz", **predicted)
    done = typed(ap_train, "score", tmp_path / "p.npz", "--data", shards, "--joints", "3dhp", "--format", "json")
    row, alone = json.loads(done.stdout), metrics.mpi_inf_3dhp(predicted, target)
    assert row["frames"] == alone["frames"] > 100
    assert row["mpjpe_mm"] == pytest.approx(alone["mpjpe_mm"], abs=1e-3)
    assert row["pck"] == pytest.approx(alone["pck"], abs=0.01)
    assert row["auc"] == pytest.approx(alone["auc"], abs=0.01)
    assert set(row["sequences"]) == set(target)
    assert (row["target"], row["protocol"]) == ("universal", "3dhp")


def test_the_published_truth_is_a_perfect_prediction_of_its_shards(mpi, tmp_path):
    file, shards = mpi
    np.savez(tmp_path / "p.npz", **truth(file))
    done = typed(ap_train, "score", tmp_path / "p.npz", "--data", shards, "--joints", "3dhp", "--format", "json")
    row = json.loads(done.stdout)
    assert row["mpjpe_mm"] < 1e-3  # shards are float32
    assert row["pck"] == 100
    assert row["auc"] == pytest.approx(96.774, abs=1e-3)
