"""Every format is read back by a program that did not write it, and holds the poses that went in."""

from __future__ import annotations

import csv
import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from actionpose.errors import UserError
from actionpose.export.bvh import rig
from actionpose.export.clip import clip_of
from actionpose.export.write import export_clip
from actionpose.lift.result import Lifted, save
from actionpose.skeleton import BONES, JOINT_NAMES
from cli.lift import main
from tests.makers.filmed import camera_pose, rigid
from tests.makers.gltf import Glb

FRAMES = 30


def lifted(**changes: object) -> Lifted:
    """A known person who walks through the picture, as a result; bones keep their length."""
    poses = rigid(camera_pose(FRAMES, wave=True))
    walked = np.stack([np.linspace(100, 400, FRAMES), np.full(FRAMES, 300.0)], axis=1)
    seen = np.ones((FRAMES, 17), bool)
    made = Lifted(
        poses_3d=poses.astype(np.float32), poses_2d=np.zeros((FRAMES, 17, 2), np.float32),
        confidence=seen.astype(np.float32), valid=seen, filled=~seen, predicted=np.zeros(FRAMES, bool),
        frame_index=np.arange(5, 5 + FRAMES), timestamps=np.arange(5, 5 + FRAMES) / 25.0,
        track_id=np.zeros(FRAMES, np.int64), root_2d=walked.astype(np.float32),
        scale_2d=np.full(FRAMES, 200.0, np.float32), fps=25.0,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def expected(result: Lifted) -> np.ndarray:
    """Metres, y up, z towards the viewer, walking 1.5 m to the right."""
    poses = result.poses_3d.astype(np.float64) * (1, -1, -1)
    return poses + np.stack([np.linspace(0, 1.5, FRAMES), np.zeros(FRAMES), np.zeros(FRAMES)], axis=1)[:, None]


def test_bvh_comes_back_within_a_millimetre(tmp_path: Path):
    pybvh = pytest.importorskip("pybvh")
    result = lifted()
    export_clip(result, tmp_path / "o.bvh")
    read = pybvh.read_bvh_file(str(tmp_path / "o.bvh"))
    assert read.frame_count == FRAMES
    assert read.frame_time == pytest.approx(1 / 25)
    places = read.joint_positions()[:, [read.joint_names.index(name) for name in JOINT_NAMES]] / 100
    assert 1000 * np.abs(places - expected(result)).max() < 1.0


def test_bvh_has_a_fixed_rest_pose_with_the_arms_out(tmp_path: Path):
    pybvh = pytest.importorskip("pybvh")
    export_clip(lifted(), tmp_path / "o.bvh")
    read = pybvh.read_bvh_file(str(tmp_path / "o.bvh"))
    rest = dict(zip([node.name for node in read.nodes], read.rest_pose_positions(), strict=True))
    at = {name: rest[name] for name in JOINT_NAMES}
    assert at["left_wrist"][1] == pytest.approx(at["right_wrist"][1]) == pytest.approx(at["thorax"][1])
    assert at["left_wrist"][0] > at["left_elbow"][0] > 0 > at["right_wrist"][0]
    assert at["head"][1] > at["pelvis"][1] > at["left_ankle"][1]


def test_bones_that_change_their_length_become_rigid_and_it_is_reported(tmp_path: Path):
    result = lifted()
    noise = np.random.default_rng(0).normal(0, 0.01, result.poses_3d.shape).astype(np.float32)
    notes = export_clip(dataclasses.replace(result, poses_3d=result.poses_3d + noise), tmp_path / "o.bvh")
    assert "bones have their median length: that moved joints by" in notes[-1]
    made = rig(clip_of(dataclasses.replace(result, poses_3d=result.poses_3d + noise)))
    assert 1 < made.moved_mm[0] < 40
    lengths = np.linalg.norm(made.positions()[:, 1:] - made.positions()[:, [p for p, _ in BONES]], axis=-1)
    assert lengths.std(axis=0).max() < 1e-9


@pytest.mark.filterwarnings("ignore::UserWarning")  # the reader misses what no file of points has
def test_c3d_comes_back(tmp_path: Path):
    c3d = pytest.importorskip("c3d")
    pytest.importorskip("ezc3d")
    result = hidden_ankle()
    export_clip(result, tmp_path / "o.c3d")
    with open(tmp_path / "o.c3d", "rb") as handle:
        reader = c3d.Reader(handle)
        frames = [points for _, points, _ in reader.read_frames()]
        assert [label.strip() for label in reader.point_labels] == list(JOINT_NAMES)
        assert reader.point_rate == pytest.approx(25)
    points = np.stack(frames)
    known = np.isfinite(expected(result)).all(axis=-1)
    assert np.abs(points[..., :3][known] - 1000 * expected(result)[known]).max() < 0.01
    assert (points[..., 3][~known] < 0).all()  # residual of what was not reconstructed


@pytest.mark.parametrize("suffix", [".c3d", ".trc", ".csv"])
def test_a_name_that_is_no_utf8_is_written(tmp_path: Path, suffix: str):
    if suffix == ".c3d":
        pytest.importorskip("ezc3d")
    for name in ("o", os.fsdecode(b"caf\xe9")):
        export_clip(hidden_ankle(), tmp_path / f"{name}{suffix}")
    one, other = (path.stat().st_size for path in tmp_path.iterdir())
    assert abs(one - other) < 30  # a TRC file holds its own name


def hidden_ankle() -> Lifted:
    result = lifted()
    poses = result.poses_3d.copy()
    poses[3:6, JOINT_NAMES.index("left_ankle")] = np.nan
    return dataclasses.replace(result, poses_3d=poses)


def test_trc_comes_back(tmp_path: Path):
    trc = pytest.importorskip("trc")
    result = hidden_ankle()
    export_clip(result, tmp_path / "o.trc")
    read = trc.TRCData()
    read.load(str(tmp_path / "o.trc"))
    assert read["Markers"] == list(JOINT_NAMES)
    assert (float(read["DataRate"]), int(read["NumFrames"]), read["Units"]) == (25.0, FRAMES, "mm")
    for name in ("right_wrist", "left_ankle"):
        there = 1000 * expected(result)[:, JOINT_NAMES.index(name)]
        assert np.allclose(np.array(read[name], float), there, atol=0.01, equal_nan=True)


def test_csv_comes_back_with_empty_cells_where_joints_are_hidden(tmp_path: Path):
    result = hidden_ankle()
    export_clip(result, tmp_path / "o.csv")
    with open(tmp_path / "o.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [int(row["frame_index"]) for row in rows] == list(range(5, 5 + FRAMES))
    assert rows[4]["left_ankle_x"] == ""
    assert float(rows[2]["head_y"]) == pytest.approx(float(result.poses_3d[2, JOINT_NAMES.index("head"), 1]), abs=1e-6)


def test_glb_moves_every_joint_and_bone(tmp_path: Path):
    pytest.importorskip("trimesh")  # which writes it
    result = lifted()
    export_clip(result, tmp_path / "o.glb")
    glb = Glb(tmp_path / "o.glb")
    tracks = glb.tracks()
    for joint, name in enumerate(JOINT_NAMES):
        assert tracks[f"joint_{name}", "translation"] == pytest.approx(expected(result)[:, joint], abs=1e-4)
    # A bone's cylinder reaches from its parent to its child: turn z by the quaternion, stretch, move.
    for parent, child in BONES:
        name = f"bone_{JOINT_NAMES[child]}"
        x, y, z, w = tracks[name, "rotation"].T
        along = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=1)
        tip = tracks[name, "translation"] + along * tracks[name, "scale"][:, 2:]
        assert tip == pytest.approx(expected(result)[:, child], abs=1e-3)
        assert tracks[name, "translation"] == pytest.approx(expected(result)[:, parent], abs=1e-4)
    assert len(glb.content.meshes) == 33


def test_a_world_with_z_up_becomes_y_up_too(tmp_path: Path):
    camera = lifted()
    turned = camera.poses_3d @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], np.float32).T @ np.eye(3, dtype=np.float32)
    world = dataclasses.replace(camera, poses_3d=turned, coordinate_system="world: x right, y away, z up")
    assert clip_of(world).poses == pytest.approx(clip_of(camera).poses, abs=1e-6)


def test_missing_frames_are_interpolated_and_it_is_reported():
    result = lifted()
    keep = np.setdiff1d(np.arange(FRAMES), [10, 11])
    rows = {name: getattr(result, name)[keep] for name in
            ("poses_3d", "poses_2d", "confidence", "valid", "filled", "predicted", "frame_index", "timestamps",
             "track_id", "root_2d", "scale_2d")}  # fmt: skip
    clip = clip_of(dataclasses.replace(result, **rows))
    assert len(clip.frame) == FRAMES
    assert "2 missing frames are interpolated" in clip.notes[0]
    assert np.abs(clip.poses - expected(result)).max() < 0.05


def test_what_cannot_be_written_gets_a_sentence(tmp_path: Path):
    with pytest.raises(UserError, match="lift again with --fill"):
        export_clip(hidden_ankle(), tmp_path / "o.bvh")
    two = dataclasses.replace(lifted(), track_id=np.repeat([3, 4], FRAMES // 2))
    with pytest.raises(UserError, match=r"holds 2 people \(3, 4\)"):
        export_clip(two, tmp_path / "o.trc")
    assert export_clip(two, tmp_path / "o.trc", 4) == ()
    with pytest.raises(UserError, match="is not a format of clips"):
        export_clip(lifted(), tmp_path / "o.fbx")


def test_the_command_writes_what_the_ending_says(tmp_path: Path):
    save(lifted(), tmp_path / "clip.npz")
    for suffix in ("bvh", "csv", "trc"):
        done = CliRunner().invoke(main, ["export", str(tmp_path / "clip.npz"), "-o", str(tmp_path / f"o.{suffix}")])
        assert done.exit_code == 0, done.output
        assert (tmp_path / f"o.{suffix}").stat().st_size > 1000
    done = CliRunner().invoke(main, ["export", str(tmp_path / "clip.npz"), "-o", str(tmp_path / "o.fbx")])
    assert (done.exit_code, "no ending that is known" in done.stderr) == (2, True)
