"""`ap-lift run` as it is typed: files in, a file out, and sentences on the way."""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from actionpose import progress
from actionpose.export import network
from benchmarks import detector_files as files
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
    return typed("run", *words)


def typed(*words: object) -> Result:
    return CliRunner().invoke(main, [*map(str, words)])


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
    assert run(clip, "-o", tmp_path / "o.npz", "--model", model, "--all", "--person", 1).exit_code == 2
    missing = run(clip, "-o", tmp_path / "o.npz", "--model", tmp_path / "nowhere")
    assert (missing.exit_code, "there is no " in missing.stderr) == (1, True)
    (tmp_path / "b").mkdir()
    twin = shutil.copy(clip, tmp_path / "b")
    same = run(clip, twin, "-o", tmp_path / "both", "--model", model)
    assert (same.exit_code, "would both be written to" in same.stderr) == (2, True)
    assert not (tmp_path / "both").exists()
    picture = tmp_path / "p.json"
    picture.write_bytes(b"\xff\xd8\xff\xe0")
    done = run(picture, "-o", tmp_path / "o.npz", "--model", model)
    assert done.exit_code == 1
    assert "is a picture" in done.stderr
    assert "docs/lift.md" in done.stderr
    assert not (tmp_path / "o.npz").exists()


# --- pictures ---------------------------------------------------------------------------------


def embedded(page: Path) -> list[dict[str, Any]]:
    (text,) = re.findall(r'<script type="application/json">(.*?)</script>', page.read_text(), re.DOTALL)
    return json.loads(text)["clips"]


def test_a_clip_is_shown_when_it_is_lifted_and_later(model: Path, clip: Path, tmp_path: Path):
    done = run(clip, "--model", model, "--fps", 25, "-o", tmp_path / "o.npz", "--view", tmp_path / "now.html")
    assert done.exit_code == 0, done.output
    (shown,) = embedded(tmp_path / "now.html")
    assert (shown["title"], shown["frames"], shown["fps"]) == ("my clip.json", 30, 25)
    assert [flat["name"] for flat in shown["flats"]] == ["2D input", "3D, turned 90°"]
    later = typed("view", tmp_path / "o.npz", "--start", 0.4, "--seconds", 0.4, "-o", tmp_path / "later.html")
    assert later.exit_code == 0, later.output
    assert later.stderr.splitlines()[-1] == f"0.4 s is in {tmp_path / 'later.html'}"
    assert embedded(tmp_path / "later.html")[0]["first_s"] == 0.4


def test_everybody_is_on_a_page_and_completed_joints_are_marked(model: Path, tmp_path: Path):
    two = np.stack([filmed(camera_pose(20), "h36m-17")] * 2, axis=1)
    two[:, 1, :, 0] += 500
    two[5:8, 0, 13, 2] = 0
    np.save(tmp_path / "two.npy", two)
    run(tmp_path / "two.npy", "--layout", "h36m-17", "--model", model, "--all", "--fill", "-o", tmp_path / "o.npz")
    done = typed("view", tmp_path / "o.npz", "-o", tmp_path / "o.html")
    assert done.exit_code == 0, done.output
    shown = embedded(tmp_path / "o.html")
    assert len(shown) == 2
    filled = [np.frombuffer(base64.b64decode(clip["people"][0].get("filled", "")), np.uint8) for clip in shown]
    (marks,) = [one.reshape(-1, 17) for one in filled if one.any()]
    assert np.argwhere(marks).tolist() == [[5, 13], [6, 13], [7, 13]]
    one = typed("view", tmp_path / "o.npz", "-o", tmp_path / "o.png")
    assert "choose another with --person" in one.stderr
    assert (tmp_path / "o.png").read_bytes()[:4] == b"\x89PNG"


def test_the_picture_is_refused_before_anything_is_lifted(model: Path, clip: Path, tmp_path: Path):
    done = run(clip, "--model", model, "-o", tmp_path / "o.npz", "--view", tmp_path / "o.webm")
    assert (done.exit_code, ".html, .mp4, .gif or .png" in done.stderr) == (1, True)
    assert not (tmp_path / "o.npz").exists()
    wrong = typed("view", clip, "-o", tmp_path / "o.html")
    assert (wrong.exit_code, "is not a result of `ap-lift run`" in wrong.stderr) == (1, True)


def test_a_model_is_not_exported_in_silence(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def slowly(source: Any, out: Path) -> list[str]:
        time.sleep(0.3)
        return ["largest difference 0 mm"]

    monkeypatch.setattr(network, "write_pt2", slowly)
    monkeypatch.setattr(progress, "FIRST_S", 0.05)
    done = typed("export", model, "-o", tmp_path / "m.pt2")
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("loading torch\n")
    assert re.search(rf"\nexporting {re.escape(str(model))}: \d+s so far\n", done.stderr)
