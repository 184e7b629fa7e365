"""What the network sees: the fast form on a CPU equals the plain one that a GPU runs."""

from __future__ import annotations

import pytest
import torch

from actionpose.data import projection
from actionpose.skeleton import FLIP_ORDER, ROOT


def world(clips=5, frames=11):
    draw = torch.Generator().manual_seed(0)
    pose = torch.randn(clips, frames, 17, 3, generator=draw)
    camera = torch.randn(clips, 3, 3, generator=draw)
    valid = torch.arange(frames) < torch.tensor([11, 3, 1, 7, 11])[:clips, None]
    return pose, camera, valid, torch.randn(clips, 3, generator=draw)


@pytest.mark.parametrize("centred_on_clip", [False, True])
def test_projection_by_rows_equals_the_plain_form(centred_on_clip):
    pose, camera, valid, pelvis = world()
    given = (pose, camera, valid, pelvis if centred_on_clip else None)
    for fast, plain in zip(projection._project_rows(*given), projection._project_plain(*given), strict=True):
        torch.testing.assert_close(fast, plain, atol=2e-6, rtol=1e-5)


def test_the_window_is_centred_on_its_valid_frames():
    pose, camera, valid, _ = world()
    pose2d, pose3d = projection.project(pose, camera, valid)
    for clip, frames in enumerate(valid):
        torch.testing.assert_close(pose2d[clip, frames, ROOT, :2].mean(dim=0), torch.zeros(2), atol=2e-6, rtol=0)
    assert bool((pose2d[..., 2] == 1).all())
    assert bool((pose3d[:, :, ROOT] == 0).all())


def test_mirroring_by_rows_equals_the_plain_form_and_undoes_itself():
    pose, *_ = world()
    flipped = torch.tensor([True, False, True, False, False])
    mirrored = projection.mirror(pose, flipped)
    assert torch.equal(mirrored, projection._mirror_plain(pose, flipped))
    assert torch.equal(mirrored[1], pose[1])
    assert torch.equal(mirrored[0, :, :, 0], -pose[0][:, list(FLIP_ORDER), 0])
    assert torch.equal(projection.mirror(mirrored, flipped), pose)


def test_a_clip_at_another_size_is_as_long_in_millimetres():
    pose, *_ = world()
    factor = torch.tensor([0.5, 1.0, 2.0, 1.5, 0.75])
    pose2d, pose3d, unit = projection.zoomed(pose, pose, torch.full((5,), 1000.0), factor)
    torch.testing.assert_close(pose3d * unit[:, None, None, None], pose * 1000.0)
    assert torch.equal(pose2d[..., 2], pose[..., 2])
