"""One motion file to keypoints: the archive is opened once, and what cannot be used is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actionpose.errors import UserError
from pipeline.sources import amass
from pipeline.stages.keypoints import keypoints_file
from tests.makers.worlds import World, write_motion


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
