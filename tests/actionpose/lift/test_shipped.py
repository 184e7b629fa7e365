"""The shipped model: how a run becomes it, what it knows without a text model, and that nothing needs to be named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import actionpose as ap
from actionpose.geometry import camera_matrix, to_camera
from actionpose.lift import shipped
from actionpose.lift.actions import open_with_heads
from actionpose.lift.run import lift
from actionpose.lift.scale import stature
from actionpose.lift.source import open_model
from actionpose.train import checkpoint
from benchmarks import detector_files as files
from cli.lift import main
from pipeline.untrusted.pickles import load_objects
from tests.makers.filmed import camera_pose, filmed, rigid, untrained_run
from tests.makers.places import ROOT
from tests.makers.walker import walking

TEXTS = ("walk", "sit down", "wave")


@pytest.fixture(scope="module")
def run_with_text(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_run(tmp_path_factory.mktemp("run") / "run", text=bert)


@pytest.fixture
def packed(run_with_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run in the place of the shipped model."""
    shipped.pack(run_with_text, tmp_path / "assets", TEXTS, {"name": "the shipped model", "licence": "none"})
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "assets")
    return tmp_path / "assets"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    (tmp_path / "k.json").write_text(json.dumps(files.coco_results(filmed(camera_pose(60, wave=True), "coco-17"))))
    return tmp_path / "k.json"


def typed(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_half_precision_lifts_and_names_as_the_run_does(run_with_text: Path, packed: Path):
    keypoints = filmed(camera_pose(40), "coco-17")
    options = {"fps": 30, "layout": "coco-17", "size": (1280, 720)}
    one, other = ap.lift(keypoints, run_with_text, **options), ap.lift(keypoints, **options)
    assert np.nanmax(np.linalg.norm(one.poses_3d - other.poses_3d, axis=-1)) < 0.001
    assert other.model["name"] == "the shipped model"
    whole, small = ap.load(run_with_text), ap.load()
    np.testing.assert_allclose(small.embed_text([t.upper() for t in TEXTS]), whole.embed_text(TEXTS), atol=0.01)
    motion = np.random.default_rng(0).normal(0, 0.2, (20, 17, 3)).astype(np.float32)
    np.testing.assert_allclose(small.embed_motion(motion), whole.embed_motion(motion), atol=0.01)


def test_what_is_shipped_names_no_place_of_the_machine_that_made_it(packed: Path, tmp_path: Path):
    text = (packed / checkpoint.META).read_text().replace(str(tmp_path / "bert"), "")
    assert str(tmp_path) not in text
    assert json.loads(text)["texts"] == list(TEXTS)
    assert sum(path.stat().st_size for path in packed.iterdir()) < 12 << 20


def test_no_command_needs_a_model_named(packed: Path, clip: Path, tmp_path: Path):
    done = typed("run", clip, "--fps", 30, "-o", tmp_path / "o.npz")
    assert done.exit_code == 0, done.output
    assert sum("the shipped model" in line for line in done.stderr.splitlines()) == 1
    for given in ((), ("--labels", "walk,sit down")):
        done = typed("actions", tmp_path / "o.npz", *given, "--format", "json")
        assert done.exit_code == 0, done.output
        assert {row["label"] for row in json.loads(done.stdout)} <= set(TEXTS)
        assert "3 phrases known without a text model" in done.stderr
    assert typed("search", "wave", clip, "--fps", 30).exit_code == 0
    assert typed("export", "-o", tmp_path / "m.bvh").exit_code == 2


def test_an_unknown_action_gets_a_sentence_with_the_nearest_and_the_way_to_any_other(packed: Path, clip: Path):
    meta = json.loads((packed / checkpoint.META).read_text())
    meta["recipe"]["text"]["model"] = "nowhere"
    (packed / checkpoint.META).write_text(json.dumps(meta))
    done = typed("actions", clip, "--fps", 30, "--labels", "walk,sit dawn")
    assert done.exit_code == 1
    assert "'sit dawn' is not among the 3 phrases" in done.stderr
    assert "close to it: sit down" in done.stderr
    assert "there is no folder nowhere" in done.stderr


def test_without_a_shipped_model_the_commands_say_what_to_name(clip: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "nowhere")
    done = typed("run", clip, "-o", tmp_path / "o.npz")
    assert done.exit_code == 1
    assert "no model is named" in done.stderr


# --- the weights in the package ---------------------------------------------------------------


@pytest.fixture(scope="module")
def really_shipped() -> Path:
    assert (shipped.FOLDER / checkpoint.META).is_file(), "the package lacks its weights"
    return shipped.FOLDER


def test_the_shipped_weights_are_small_licensed_and_know_common_actions(really_shipped: Path):
    assert sum(path.stat().st_size for path in really_shipped.iterdir()) < 12 << 20
    source, says = open_with_heads(None, "cpu")
    assert "mocap.cs.cmu.edu" in source.facts["licence"]
    assert "known without a text model" in says
    assert set(source.model.text.texts) <= set((ROOT / "scripts/shipped_actions.txt").read_text().split("\n"))
    assert len(source.model.text.texts) > 100


@pytest.mark.parametrize("view", ["front", "yaw+050pitch+25", "yaw+200pitch-20", "yaw-090"])
def test_the_shipped_model_lifts_a_walker_from_any_side(really_shipped: Path, view: str):
    pose = rigid(to_camera(walking(81, speed=0.0).astype(np.float64), camera_matrix(view)))
    joints = files.joints_of(pose, "coco-17", up=(0, -1, 0))
    pixels = 1000.0 * joints[..., :2] / (4.0 + joints[..., 2:])
    lifted = ap.lift(pixels, fps=30, layout="coco-17", units="pixels", height_m=stature(pose))
    error = np.linalg.norm(lifted.poses_3d - (pose - pose[:, :1]), axis=-1).mean()
    assert error < 0.12, f"{1000 * error:.0f} mm"


def test_the_shipped_model_lifts_every_example_alike(really_shipped: Path):
    source, folder = open_model(None), ROOT / "examples/keypoints"

    def poses(path: Path) -> np.ndarray:
        own = folder / "own-joints.toml" if path.name == "own-joints.csv" else None
        return lift(path, source, fps=25, joint_map=own, objects=load_objects, flip=False).poses_3d

    expected = poses(folder / "h36m.npy")
    for path in folder.iterdir():
        if path.suffix not in (".toml", ".md"):
            away = np.linalg.norm(poses(path) - expected, axis=-1)
            assert np.nanmedian(away) < 0.1, path
            assert np.isfinite(away).mean() > 0.9, path
