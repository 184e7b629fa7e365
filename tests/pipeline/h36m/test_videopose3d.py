"""VideoPose3D's files, protocol A: the world seen from each camera, with detections that belong to it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from actionpose.shards import ShardSet
from pipeline.demo.h36m import place_of
from pipeline.h36m.cameras import camera_named, world_to_camera
from tests.makers.h36m import PICKLE, near, run, same_frames, videos


def test_camera_frames_are_the_world_seen_from_the_camera(demo, a):
    world = np.load(demo / "data_3d_h36m.npz", allow_pickle=True)["positions_3d"].item()
    kept = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
    have = videos(a)
    assert len(have) == 7 * 3 * 4
    for row, pose2d, pose3d in have.values():
        extra = row["extra"]
        place = place_of(int(row["subject"][1:]), camera_named(extra["camera"]))
        want = world_to_camera(world[row["subject"]][extra["take"]][:, kept].astype(np.float64), place)
        assert near(pose3d * extra["unit_mm"], 1000 * want, 0.01)
        assert (extra["target"], extra["source_2d"], extra["protocols"]) == ("camera", "cpn", ["h36m-a"])
        assert len(pose2d) == len(pose3d)  # the detections were longer


def test_without_detections_the_projection_is_the_2d_and_equals_the_ground_truth_file(demo, tmp_path):
    only = tmp_path / "only"
    only.mkdir()
    for name in ("data_3d_h36m.npz", "metadata.xml"):
        (only / name).write_bytes((demo / name).read_bytes())
    result = run("--h36m", only, "--out", tmp_path / "projected")
    assert result.exit_code == 0
    assert "projected from the 3D" in result.stderr
    files = ("--h36m", demo / "data_3d_h36m.npz", "--detections", demo / "data_2d_h36m_gt.npz")
    assert run(*files, "--out", tmp_path / "given").exit_code == 0
    assert same_frames(ShardSet(tmp_path / "projected"), ShardSet(tmp_path / "given"))
    assert ShardSet(tmp_path / "given").index["summary"]["source_2d"] == {"gt": 84}


@pytest.mark.parametrize("cameras", ["metadata.xml", "cameras.pkl", "cameras.json"])
def test_every_cameras_file_gives_the_same_frames(demo, a, tmp_path, cameras):
    files = ("--h36m", demo / "data_3d_h36m.npz", "--detections", demo / "data_2d_h36m_cpn_ft_h36m_dbb.npz")
    assert run(*files, "--cameras", demo / cameras, "--out", tmp_path / "shards").exit_code == 0
    assert same_frames(ShardSet(tmp_path / "shards"), a)


def test_cameras_of_other_people_are_noticed_and_nothing_is_built(demo, tmp_path):
    table = json.loads((demo / "cameras.json").read_text())
    for entries in table.values():
        entries[0]["orientation"], entries[1]["orientation"] = entries[2]["orientation"], entries[0]["orientation"]
    del table["S7"]
    (tmp_path / "c.json").write_text(json.dumps(table))
    files = ("--h36m", demo / "data_3d_h36m.npz", "--detections", demo / "data_2d_h36m_gt.npz")
    result = run(*files, "--cameras", tmp_path / "c.json", "--out", tmp_path / "shards")
    assert result.exit_code == 1
    failures = [json.loads(x) for x in (tmp_path / "shards/manifests/failures.jsonl").read_text().splitlines()]
    assert {row["reason"] for row in failures} >= {"no camera"}
    assert {row["reason"] for row in failures} & {"cameras do not fit", "behind the camera"}
    assert len(failures) == 6 * 3 * 2 + 3 * 4


def test_positions_without_cameras_or_with_two_detections_say_what_to_type(demo, tmp_path):
    (tmp_path / "data_3d_h36m.npz").write_bytes((demo / "data_3d_h36m.npz").read_bytes())
    assert "--cameras" in run("--h36m", tmp_path, "--out", tmp_path / "o").stderr
    several = run("--h36m", demo / "data_3d_h36m.npz", "--out", tmp_path / "o").stderr
    assert "--detections" in several
    assert "data_2d_h36m_gt.npz" in several
    builds = run("--h36m", demo, "--out", tmp_path / "o").stderr
    assert f"--h36m {demo / PICKLE}" in builds


def test_detections_of_other_joints_are_refused(demo, tmp_path):
    for joints, sides, layout in ((16, [[1, 2], [3, 4]], "mpii"), (17, [[1, 3, 5], [2, 4, 6]], "coco")):
        metadata = {"layout_name": layout, "num_joints": joints, "keypoints_symmetry": sides}
        np.savez(tmp_path / "d.npz", positions_2d=np.array({}, dtype=object), metadata=np.array(metadata, dtype=object))
        result = run("--h36m", demo / "data_3d_h36m.npz", "--detections", tmp_path / "d.npz", "--out", tmp_path / "o")
        assert result.exit_code == 1
        assert layout in result.stderr
