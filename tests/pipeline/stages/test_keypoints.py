"""One motion file to keypoints: the archive is opened once, and what cannot be used is refused by name."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actionpose.errors import UserError
from pipeline.sources import amass
from pipeline.stages.index import index_items, motion_row
from pipeline.stages.keypoints import keypoints_file, keypoints_stage
from tests.makers.worlds import World, smooth_motion, write_motion


def test_a_motion_file_is_opened_once(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    opened: list[Path] = []
    real = amass.open_npz

    def counting(path: Path):
        opened.append(path)
        return real(path)

    monkeypatch.setattr(amass, "open_npz", counting)
    source = next((world.root / "amass" / "SSM_synced").rglob("*_poses.npz"))
    result = keypoints_file(source, tmp_path / "out.npz", world.config)
    assert opened == [source]
    with np.load(tmp_path / "out.npz") as written:
        assert written["fps_true"] == 60  # the known correction of a stored 120 Hz
        np.testing.assert_array_equal(written["keypoints"], result.keypoints)


def test_a_file_that_is_no_motion_is_refused_by_name(world: World, tmp_path: Path):
    np.savez(tmp_path / "shape.npz", betas=np.zeros(16))
    write_motion(tmp_path / "wide_poses.npz", seconds=0.1, poses=np.zeros((12, 165)))
    for name, reason in (("shape.npz", "no poses"), ("wide_poses.npz", "SMPL-X"), ("nothing.npz", "No such file")):
        with pytest.raises(UserError, match=reason) as error:
            keypoints_file(tmp_path / name, tmp_path / "out.npz", world.config)
        assert name in error.value.message
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize(("metres", "reason"), [(100.0, "trans is not in metres"), (1.0, "")])
def test_a_path_in_centimetres_is_refused(world: World, tmp_path: Path, metres: float, reason: str):
    poses, trans = smooth_motion(240, 120.0, 0)
    trans[:, 0] = np.linspace(0, 2.6, 240)  # a walk
    write_motion(tmp_path / "walk_poses.npz", seconds=2, poses=poses, trans=trans * metres)
    if not reason:
        keypoints_file(tmp_path / "walk_poses.npz", tmp_path / "out.npz", world.config)
        return
    with pytest.raises(UserError, match=reason) as error:
        keypoints_file(tmp_path / "walk_poses.npz", tmp_path / "out.npz", world.config)
    assert "walk_poses.npz" in error.value.message
    assert not (tmp_path / "out.npz").exists()


def test_a_joint_faster_than_any_throw_is_refused_in_a_single_file_as_in_a_build(world: World, tmp_path: Path):
    poses, trans = smooth_motion(240, 120.0, 0)
    poses[120:, 3 * 16 + 1] += np.pi  # the left arm is elsewhere from one frame to the next
    write_motion(tmp_path / "jump_poses.npz", seconds=2, poses=poses, trans=trans)
    every_frame = replace(world.config, keypoints=replace(world.config.keypoints, fps=120.0))
    with pytest.raises(UserError, match=r"jump_poses\.npz: a joint moves at \d+ m/s: wrong units or rate"):
        keypoints_file(tmp_path / "jump_poses.npz", tmp_path / "out.npz", every_frame)


def test_motions_whose_body_is_missing_fail_alone_whichever_gender_it_is(world: World, tmp_path: Path):
    amass = world.root / "amass"
    items = [item for item in index_items(amass) if item.data["source"].endswith("_poses.npz")]
    rows = [motion_row(item, amass, rate_overrides=True) for item in items]
    assert {row.gender for row in rows} >= {"female", "male"}
    for gender in ("female", "male"):
        shutil.copytree(world.root / "body/smplh" / gender, tmp_path / gender / "smplh" / gender)
        config = replace(world.config, inputs=replace(world.config.inputs, body=str(tmp_path / gender)))
        stage, _ = keypoints_stage(config, rows, "sha256:0")
        assert list(stage.payload["body"]) == [gender]
    (tmp_path / "empty").mkdir()
    config = replace(world.config, inputs=replace(world.config.inputs, body=str(tmp_path / "empty")))
    with pytest.raises(UserError, match="no female SMPL"):
        keypoints_stage(config, rows, "sha256:0")
