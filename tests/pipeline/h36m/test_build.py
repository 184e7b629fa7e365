"""ap-data build-h36m end to end: scored, inspected, built again, and what it refuses to overwrite."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from click.testing import CliRunner

from actionpose.errors import UserError
from actionpose.geometry import camera_matrix, to_camera
from cli.data import main
from cli.train import main as score_main
from pipeline.demo.h36m import place_of
from pipeline.h36m.cameras import camera_named, world_to_camera
from pipeline.h36m.motionbert import motions, read_content
from pipeline.view.find import find_clip
from tests.makers.h36m import PICKLE, loaded, run, videos

MODULES = (b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


# --- and scored -------------------------------------------------------------------------------


def scored(path, videos, shards, *options):
    np.savez(path, **videos)
    result = CliRunner().invoke(
        score_main, ["score", str(path), "--data", str(shards.folder), "--format", "json", *options]
    )
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_millimetres_straight_from_the_files_score_zero_and_left_out_takes_do_not_count(demo, a, b, tmp_path):
    fields = loaded(demo)["test"]
    source = np.array(fields["source"])
    truth_b = {name: fields["joints_2.5d_image"][source == name].astype(np.float64) for name in sorted(set(source))}
    world = np.load(demo / "data_3d_h36m.npz", allow_pickle=True)["positions_3d"].item()
    kept = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
    truth_a = {
        name: 1000
        * world_to_camera(
            world[row["subject"]][row["extra"]["take"]][:, kept].astype(np.float64),
            place_of(int(row["subject"][1:]), camera_named(row["extra"]["camera"])),
        )
        for name, (row, _, _) in videos(a).items()
        if row["split"] == "test"
    }
    for shards, truth, left_out, actions in (
        (b, truth_b, "s_09_act_05_subact_02", {"Greeting", "Directions", "Walking"}),
        (a, truth_a, "S11_Directions.", {"Greeting", "Directions", "Walking"}),
    ):
        perfect = scored(tmp_path / "perfect.npz", truth, shards, "--window", "10")
        assert perfect["mpjpe_mm"] < 0.01
        assert set(perfect["actions"]) == actions
        wrong = {n: v + 1e6 * np.arange(17)[:, None] if left_out in n else v for n, v in truth.items()}
        assert scored(tmp_path / "wrong.npz", wrong, shards, "--window", "10")["mpjpe_mm"] < 0.01
        moved = {n: v + np.array([30.0, 0, 40.0]) * (np.arange(17) > 0)[:, None] for n, v in truth.items()}
        off = scored(tmp_path / "moved.npz", moved, shards, "--window", "10")["mpjpe_mm"]
        assert off == pytest.approx(50 * 16 / 17, abs=0.01)  # the root counts, with 0


# --- the folder that is made ------------------------------------------------------------------


def test_equal_builds_are_equal_bytes_and_a_second_one_does_nothing(demo, b, tmp_path):
    here = tmp_path / "elsewhere"
    here.mkdir()
    (here / PICKLE).write_bytes((demo / PICKLE).read_bytes())
    assert run("--h36m", here / PICKLE, "--out", tmp_path / "shards").exit_code == 0
    files = sorted(path.relative_to(b.folder) for path in b.folder.rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(tmp_path / "shards") for p in (tmp_path / "shards").rglob("*") if p.is_file())
    assert all((b.folder / name).read_bytes() == (tmp_path / "shards" / name).read_bytes() for name in files)
    stamp = (tmp_path / "shards/index.json").stat().st_mtime_ns
    again = run("--h36m", here / PICKLE, "--out", tmp_path / "shards")
    assert "these shards existed already" in again.stderr
    assert (tmp_path / "shards/index.json").stat().st_mtime_ns == stamp


def test_the_result_can_be_inspected_and_validated(a, b):
    for shards, protocol in ((a, "h36m-a"), (b, "h36m-b")):
        shown = CliRunner().invoke(main, ["inspect", str(shards.folder)])
        assert protocol in shown.stdout
        assert "finetune_h36m" in shown.stderr
        data = json.loads(CliRunner().invoke(main, ["inspect", str(shards.folder), "--format", "json"]).stdout)
        assert data["protocols"] == [protocol]
        assert {file["layout"] for file in data["source"]} & {"motionbert-pickle", "videopose3d-3d"}
        checked = CliRunner().invoke(main, ["validate", str(shards.folder), "--deep"])
        assert checked.exit_code == 0, checked.stdout
        rows = CliRunner().invoke(main, ["inspect", str(shards.folder), "--where", "subject=S9", "--format", "json"])
        assert {row["subject"] for row in json.loads(rows.stdout)} == {"S9"}
        status = CliRunner().invoke(main, ["status", "--out", str(shards.folder), "--format", "json"])
        assert json.loads(status.stdout)[0]["rows"] == "84 videos"


def test_a_preview_shows_the_person_upright_as_the_camera_sees_them(a, b):
    for shards in (a, b):
        clip = find_clip(shards.folder)
        assert clip.title.startswith(str(shards.motions["motion_id"][0]))
        head, pelvis, ankle = (clip.frames[:, j, 2].mean() for j in (10, 0, 3))
        assert 0.4 < head - pelvis < 1.0
        assert 0.5 < pelvis - ankle < 1.2
        seen = to_camera(clip.frames, camera_matrix("front", clip.heading))
        stored = shards.motion_frames(0)
        assert np.corrcoef(seen[..., 0].ravel(), stored[..., 0].ravel())[0, 1] > 0.99
    with pytest.raises(UserError, match="no video 'h36m/walk'"):
        find_clip(b.folder, "h36m/walk")


def test_dry_run_names_files_and_writes_nothing(demo, tmp_path):
    result = run("--h36m", demo / PICKLE, "--out", tmp_path / "o", "--dry-run", "--format", "json")
    (file,) = json.loads(result.stdout)
    assert file["protocols"] == ["h36m-b"]
    assert file["counts"]["test_videos"] == 24
    assert file["sha256"].startswith("sha256:")
    assert not (tmp_path / "o").exists()
    table = run(
        "--h36m", demo / "data_3d_h36m.npz", "--detections", demo / "data_2d_h36m_gt.npz", "--out", "o", "--dry-run"
    )
    assert [line.split()[1] for line in table.stdout.splitlines()[2:]] == [
        "videopose3d-3d",
        "metadata-xml",
        "videopose3d-2d",
    ]


def test_a_folder_of_something_else_is_not_overwritten(demo, tmp_path):
    (tmp_path / "thesis.txt").write_text("three years")
    result = run("--h36m", demo / PICKLE, "--out", tmp_path)
    assert result.exit_code == 1
    assert "never overwrites" in result.stderr
    assert (tmp_path / "thesis.txt").exists()


def test_videos_are_cut_one_at_a_time_beside_what_the_pickle_holds(demo):
    content = read_content(demo / PICKLE)
    held = sum(array.nbytes for split in content.splits for array in (split.joint_2d, split.image))
    cut = motions(content)
    next(cut)  # before the first, some frames of the whole file are looked at
    tracemalloc.start()
    try:
        for video in cut:
            del video
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < held / 10
