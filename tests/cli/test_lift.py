"""`ap-lift run` as it is typed: files in, a file out, and sentences on the way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from actionpose.lift import detector_files as files
from cli.lift import main
from tests.makers.filmed import camera_pose, filmed, untrained_run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_run(tmp_path_factory.mktemp("model") / "run")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "my clip.json"
    path.write_text(json.dumps(files.coco_results(filmed(camera_pose(30), "coco-17"))))
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["run", *map(str, words)])


def test_a_file_becomes_poses_and_what_it_was_taken_for_is_reported(model: Path, clip: Path, tmp_path: Path):
    done = run(clip, "--model", model, "--fps", 25, "-o", tmp_path / "o.npz")
    assert done.exit_code == 0, done.output
    assert "COCO results JSON, 30 frames: COCO, 17 joints" in done.stderr
    assert "25 frames a second: as asked" in done.stderr
    assert "30 poses in" in done.stderr.splitlines()[-1]
    with np.load(tmp_path / "o.npz", allow_pickle=False) as file:
        assert file["poses_3d"].shape == (30, 17, 3)
        assert file["timestamps"][-1] == pytest.approx(29 / 25)


def test_several_files_are_lifted_into_a_folder(model: Path, clip: Path, tmp_path: Path):
    np.save(tmp_path / "other.npy", filmed(camera_pose(12), "h36m-17").astype(np.float32))
    done = run(clip, tmp_path / "other.npy", "--model", model, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"my clip.npz", "other.npz"}
    assert "2 clips lifted into" in done.stderr


def test_one_bad_file_of_several_is_named_and_the_others_are_lifted(model: Path, clip: Path, tmp_path: Path):
    (tmp_path / "bad.json").write_text("[{")
    done = run(tmp_path / "bad.json", clip, "--model", model, "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "bad.json is cut short" in done.stderr
    assert (tmp_path / "out" / "my clip.npz").is_file()


def test_wrong_use_gets_a_sentence(model: Path, clip: Path, tmp_path: Path):
    assert "no model is named" in run(clip, "-o", tmp_path / "o.npz").stderr
    assert run(clip, "-o", tmp_path / "o.npz", "--model", model, "--all", "--person", 1).exit_code == 2
    missing = run(clip, "-o", tmp_path / "o.npz", "--model", tmp_path / "nowhere")
    assert (missing.exit_code, "is not there" in missing.stderr) == (1, True)
    picture = tmp_path / "p.json"
    picture.write_bytes(b"\xff\xd8\xff\xe0")
    done = run(picture, "-o", tmp_path / "o.npz", "--model", model)
    assert done.exit_code == 1
    assert "is a picture" in done.stderr
    assert "docs/lift.md" in done.stderr
    assert not (tmp_path / "o.npz").exists()
