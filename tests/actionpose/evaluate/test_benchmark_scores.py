"""From a benchmark's own files to its published arithmetic: build, score, and nothing is lost on the way."""

from __future__ import annotations

import json
import pickle
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from actionpose.evaluate.predictions import target_mm, write_predictions
from actionpose.shards import ShardSet
from cli.data import main as ap_data
from cli.train import main as ap_train
from pipeline.demo.h36m import write_demo_h36m
from pipeline.demo.mpi3dhp import write_demo_3dhp
from tests.makers.protocols import TO_3DHP, Video, h36m_b, mpi_inf_3dhp, same, subtracted
from tests.makers.shards import make_shards


def typed(program, *arguments: object):
    done = CliRunner().invoke(program, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return done


# --- MPI-INF-3DHP -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mpi(tmp_path_factory):
    """A look-alike of the published test file, and shards built from it."""
    home = tmp_path_factory.mktemp("mpi")
    motion = ShardSet(make_shards(home / "motion", lengths=(60, 80, 70, 90), splits=("train", "val")))
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


def test_3dhp_scores_of_shards_are_the_published_arithmetic_on_the_published_file(mpi, tmp_path):
    file, shards = mpi
    target = truth(file)
    rng = np.random.default_rng(0)
    predicted = {name: pose + rng.normal(size=pose.shape) * 60 for name, pose in target.items()}
    np.savez(tmp_path / "p.npz", **predicted)
    done = typed(ap_train, "score", tmp_path / "p.npz", "--data", shards, "--joints", "3dhp", "--format", "json")
    row, ours = json.loads(done.stdout), list(TO_3DHP)
    videos = [Video(name, "", target[name][:, ours], subtracted(predicted[name][:, ours])) for name in target]
    assert same(row, mpi_inf_3dhp(videos), 0.01) == []
    assert row["frames"] > 100
    assert (row["target"], row["protocol"]) == ("universal", "3dhp")


def test_the_published_truth_is_a_perfect_prediction_of_its_shards(mpi, tmp_path):
    file, shards = mpi
    np.savez(tmp_path / "p.npz", **truth(file))
    done = typed(ap_train, "score", tmp_path / "p.npz", "--data", shards, "--joints", "3dhp", "--format", "json")
    row = json.loads(done.stdout)
    assert row["mpjpe_mm"] < 1e-3  # shards are float32
    assert row["pck"] == 100
    assert row["auc"] == pytest.approx(96.774, abs=1e-3)


# --- Human3.6M --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def h36m(tmp_path_factory):
    """Look-alikes of the published files, and shards of both protocols."""
    home = tmp_path_factory.mktemp("h36m")
    motion = ShardSet(make_shards(home / "motion", lengths=(60, 80, 70), splits=("train", "val")))
    write_demo_h36m(home / "files", motion)
    pickled = home / "files/h36m_sh_conf_cam_source_final.pkl"
    typed(ap_data, "build-h36m", "--h36m", pickled, "--out", home / "b")
    seen = home / "files/data_2d_h36m_cpn_ft_h36m_dbb.npz"
    places = ("--detections", seen, "--cameras", home / "files/metadata.xml")
    typed(ap_data, "build-h36m", "--h36m", home / "files/data_3d_h36m.npz", *places, "--out", home / "a")
    return pickled, home / "b", home / "a"


def test_protocol_b_of_shards_is_the_published_arithmetic_on_the_published_file(h36m, tmp_path):
    pickled, shards, _ = h36m
    test = pickle.loads(pickled.read_bytes())["test"]  # a look-alike that this test wrote itself
    truth = np.asarray(test["joints_2.5d_image"], dtype=np.float64)
    predicted = truth + np.random.default_rng(0).normal(size=truth.shape) * 40
    videos = []
    for source, group in groupby(range(len(truth)), key=lambda frame: test["source"][frame]):
        frames = list(group)
        action = str(test["action"][frames[0]])
        videos.append(Video(source, action, truth[frames], subtracted(predicted[frames])))
    np.savez(tmp_path / "p.npz", **{video.name: video.predicted for video in videos})
    row = json.loads(
        typed(ap_train, "score", tmp_path / "p.npz", "--data", shards, "--window", 27, "--format", "json").stdout
    )
    assert row["protocol"] == "h36m-b"
    assert same(row, h36m_b(videos, 27), 0.01) == []
    assert len(row["skipped"]) == 4
    assert (row["target"], row["unit_from"]) == ("image-2.5d", "stored")


def test_protocol_a_and_b_are_not_interchangeable(h36m, tmp_path):
    _, b, a = h36m
    shards = ShardSet(a)
    chosen = np.flatnonzero(shards.motions["split"] == "test").tolist()
    whole = {str(shards.motions["motion_id"][m]): np.arange(len(shards.motion_frames(m))) for m in chosen}
    poses = {name: target_mm(shards, m, frames) for m, (name, frames) in zip(chosen, whole.items(), strict=True)}
    write_predictions(tmp_path / "perfect.npz", poses, {})
    row = json.loads(typed(ap_train, "score", tmp_path / "perfect.npz", "--data", a, "--format", "json").stdout)
    assert (row["protocol"], row["windowing"], row["target"]) == ("h36m-a", "chunks", "camera")
    assert row["mpjpe_mm"] == 0
    assert len(row["skipped"]) == 4
    assert all("S11" in name for name in row["skipped"])
    for folder, other in ((a, "h36m-b"), (b, "h36m-a")):
        done = CliRunner().invoke(
            ap_train, ["score", str(tmp_path / "perfect.npz"), "--data", str(folder), "--protocol", other]
        )
        assert done.exit_code == 1
        assert f"protocol '{other}' does not fit" in done.stderr
