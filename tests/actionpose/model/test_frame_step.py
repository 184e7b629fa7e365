"""An encoder that reads every n-th frame lifts interleaved clips, and learns from one of them at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from actionpose.config import resolve
from actionpose.model.action_pose import ActionPose
from actionpose.model.frame_step import thin
from actionpose.model.pose_encoder import PoseConfig, PoseEncoder
from actionpose.runs.recipe import Recipe
from actionpose.train.losses import LossConfig
from actionpose.train.tasks import FinetuneTask, thinned, thinned_lengths


def encoder(step: int, *, token: bool = True, frames: int = 12) -> PoseEncoder:
    torch.manual_seed(0)
    config = PoseConfig(
        dim_feat=16, dim_rep=16, depth=2, heads=2, middle=1, max_frames=frames, frame_step=step, class_token=token,
        input_std=0.5, joint_std=0.5,
    )  # fmt: skip
    return PoseEncoder(config).eval()


def clips(batch: int, frames: int) -> Tensor:
    return torch.randn(batch, frames, 17, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("frames", [12, 10, 2])
def test_each_interleaved_clip_is_lifted_as_if_it_were_alone(frames):
    model, pose = encoder(3), clips(2, frames)
    whole = model(pose)
    for at in range(min(3, frames)):
        alone = model(pose[:, at::3], thinned=True)
        torch.testing.assert_close(whole.pose3d_BTJ3[:, at::3], alone.pose3d_BTJ3)
        torch.testing.assert_close(whole.rep_BTJR[:, at::3], alone.rep_BTJR)
    assert whole.pose3d_BTJ3.shape == (2, frames, 17, 3)


def test_the_token_is_the_mean_over_the_interleaved_clips():
    model, pose = encoder(3), clips(2, 12)
    alone = torch.stack([model(pose[:, at::3], thinned=True).token_mid_BJC for at in range(3)])
    torch.testing.assert_close(model.token(pose), alone.mean(dim=0))
    torch.testing.assert_close(model(pose).token_mid_BJC, alone.mean(dim=0))


@pytest.mark.parametrize("token", [True, False])
@pytest.mark.parametrize("count", [8, 2, 1])
def test_padding_changes_neither_poses_nor_token(token, count):
    model, pose = encoder(3, token=token), clips(1, 12)
    valid = torch.arange(12)[None] < count
    padded, short = model(pose, valid), model(pose[:, :count])
    torch.testing.assert_close(padded.pose3d_BTJ3[:, :count], short.pose3d_BTJ3, rtol=1e-4, atol=1e-6)
    assert padded.pose3d_BTJ3.isfinite().all()
    if token:
        torch.testing.assert_close(padded.token_mid_BJC, short.token_mid_BJC, rtol=1e-4, atol=1e-6)


def test_step_one_is_the_encoder_without_the_setting():
    pose = clips(2, 12)
    torch.testing.assert_close(encoder(1)(pose).pose3d_BTJ3, encoder(1)(pose, thinned=True).pose3d_BTJ3, rtol=0, atol=0)
    assert encoder(1).temp_embed.shape[1] == 12
    assert encoder(5).temp_embed.shape[1] == 3


def test_a_clip_longer_than_the_encoder_takes_is_refused():
    with pytest.raises(ValueError, match="at most 4 frames"):
        encoder(3)(clips(1, 13))


def test_thinning_takes_every_nth_frame_from_the_phase_on():
    frame, valid = thin(torch.tensor([10, 4, 1]), 10, 3, torch.tensor([1, 2, 0]))
    assert frame.tolist() == [[1, 4, 7, 9], [2, 5, 8, 9], [0, 3, 6, 9]]
    assert valid.tolist() == [[True, True, True, False], [True, False, False, False], [True, False, False, False]]


def batch_of(frames: int, counts: list[int], epoch: int = 0) -> dict:
    pose = torch.arange(frames, dtype=torch.float32)[None, :, None, None].expand(len(counts), frames, 17, 3)
    valid = torch.arange(frames) < torch.tensor(counts)[:, None]
    return {
        "pose2d": pose, "pose3d": pose + 100, "valid": valid, "padded": min(counts) < frames, "epoch": epoch,
        "sample_id": torch.arange(len(counts)), "unit_mm": torch.full((len(counts),), 1000.0),
    }  # fmt: skip


def test_a_thinned_batch_holds_matching_frames_and_a_valid_one_of_every_clip():
    out = thinned(batch_of(10, [10, 7, 2, 1] * 8), 3, seed=0)
    torch.testing.assert_close(out["pose3d"], out["pose2d"] + 100)
    assert out["valid"].any(dim=1).all()
    assert (out["pose2d"][:, :, 0, 0].diff(dim=1)[out["valid"][:, 1:]] == 3).all()


def test_the_frames_that_are_left_are_counted_without_the_clips():
    counts = [10, 7, 2, 1, 9, 8] * 6
    left = thinned(batch_of(10, counts, epoch=2), 3, seed=5)["valid"].sum(dim=1).numpy()
    counted = thinned_lengths(np.array(counts), np.arange(len(counts)), 2, step=3, seed=5)
    assert counted.tolist() == left.tolist()


def test_phases_differ_between_clips_and_epochs_and_repeat_for_the_same_ones():
    first = thinned(batch_of(12, [12] * 32), 3, seed=0)
    again, later = thinned(batch_of(12, [12] * 32), 3, seed=0), thinned(batch_of(12, [12] * 32, epoch=1), 3, seed=0)
    assert set(first["pose2d"][:, 0, 0, 0].tolist()) == {0.0, 1.0, 2.0}
    assert torch.equal(first["pose2d"], again["pose2d"])
    assert not torch.equal(first["pose2d"], later["pose2d"])
    assert first["padded"] is False
    assert thinned(batch_of(11, [11] * 4), 3, seed=0)["padded"] is True


def test_finetuning_learns_through_thinned_clips():
    chosen = resolve(Recipe, overrides=["pose.dim_feat=16", "pose.dim_rep=16", "pose.depth=2", "pose.heads=2",
                                        "pose.middle=1", "pose.max_frames=12", "data.clip_frames=12", "data.stride=6",
                                        "pose.frame_step=3"]).value  # fmt: skip
    model = ActionPose(chosen.pose)
    terms, report = FinetuneTask(model, LossConfig())(batch_of(12, [12, 12, 5]))
    sum(terms.values()).backward()
    assert report["mpjpe_mm"] > 0
    used = [name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert "pose.head.weight" in used
    assert "pose.joints_embed.weight" in used
