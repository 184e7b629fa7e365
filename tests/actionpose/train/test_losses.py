"""Losses have the values one gets by hand, ignore padding, and have right gradients."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from actionpose.train import losses
from actionpose.train.losses import LossConfig


def poses(B: int, T: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(B, T, 17, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- reconstruction ----------------------------------------------------------------------------


def test_position_and_velocity_by_hand():
    target = torch.zeros(1, 3, 2, 3)
    pose = target.clone()
    pose[0, :, 0, 0] = torch.tensor([3.0, 3.0, 6.0])
    pose[0, :, 0, 1] = torch.tensor([4.0, 4.0, 8.0])
    # Joint 0 is off by 5, 5, 10 and joint 1 by nothing.
    assert losses.position_loss(pose, target).item() == pytest.approx(20 / 6)
    # Its displacements are off by 0 and 5.
    assert losses.velocity_loss(pose, target).item() == pytest.approx(5 / 4)
    assert losses.position_loss(pose, target, torch.tensor([[True, True, False]])).item() == pytest.approx(10 / 4)
    assert losses.velocity_loss(pose, target, torch.tensor([[True, True, False]])).item() == 0


def test_scale_loss_forgives_size_alone():
    target = poses(2, 4)
    assert losses.scale_loss(0.3 * target, target).item() == pytest.approx(0, abs=1e-12)
    pose = poses(2, 4, seed=1)
    factor = (pose * target).sum((-2, -1)) / (pose * pose).sum((-2, -1))
    by_hand = ((factor[..., None, None] * pose - target) ** 2).sum(-1).sqrt().mean()
    torch.testing.assert_close(losses.scale_loss(pose, target), by_hand)
    assert torch.isfinite(losses.scale_loss(torch.zeros_like(target), target))


@pytest.mark.parametrize("loss", [losses.position_loss, losses.velocity_loss, losses.scale_loss])
def test_padding_is_never_looked_at(loss):
    pose, target = poses(2, 6), poses(2, 6, seed=1)
    valid = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    whole = [loss(pose[:1], target[:1]), loss(pose[1:, :3], target[1:, :3])]
    steps = [5, 2] if loss is losses.velocity_loss else [6, 3]
    expected = (whole[0] * steps[0] + whole[1] * steps[1]) / sum(steps)
    pose[1, 3:] = float("nan")
    pose.requires_grad_()
    value = loss(pose, target, valid)
    torch.testing.assert_close(value, expected)
    value.backward()
    assert torch.isfinite(pose.grad[0]).all()
    assert torch.isfinite(pose.grad[1, :2]).all()


@pytest.mark.parametrize("loss", [losses.position_loss, losses.velocity_loss, losses.scale_loss])
def test_reconstruction_gradients_are_right(loss):
    pose, target = poses(2, 3)[..., :4, :].requires_grad_(), poses(2, 3, seed=1)[..., :4, :]
    valid = torch.tensor([[True, True, True], [True, True, False]])
    assert torch.autograd.gradcheck(lambda p: loss(p, target, valid), (pose,))


def test_one_frame_has_no_velocity_and_no_frame_no_loss():
    pose, target = poses(1, 1).requires_grad_(), poses(1, 1, seed=1)
    assert losses.velocity_loss(pose, target) == 0
    assert losses.velocity_loss(pose, target, torch.ones(1, 1, dtype=torch.bool)) == 0
    assert losses.position_loss(pose, target, torch.zeros(1, 1, dtype=torch.bool)) == 0


def test_a_perfect_pose_has_finite_gradients():
    target = poses(1, 3)
    pose = target.clone().requires_grad_()
    (losses.position_loss(pose, target) + losses.velocity_loss(pose, target)).backward()
    assert torch.isfinite(pose.grad).all()


# --- alignment ---------------------------------------------------------------------------------


def test_without_focus_one_hot_alignment_is_cross_entropy_over_all_candidates():
    logits = torch.randn(5, 17, dtype=torch.float64)
    value = losses.alignment_loss(logits, losses.one_hot_target(logits), gamma=0)
    torch.testing.assert_close(value, F.cross_entropy(logits, torch.zeros(5, dtype=torch.long)))


def test_focal_alignment_by_hand():
    # s = (0.75, 0.25) and (0.5, 0.5).
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]], dtype=torch.float64)
    value = losses.alignment_loss(logits, losses.one_hot_target(logits), gamma=2)
    by_hand = (0.25**2 * -math.log(0.75) + 0.5**2 * -math.log(0.5)) / 2
    assert value.item() == pytest.approx(by_hand)
    soft = torch.tensor([[0.5, 0.5], [0.5, 0.5]], dtype=torch.float64)
    by_hand = 0.25**2 * (0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)) / 2
    assert losses.alignment_loss(logits, soft, gamma=2).item() == pytest.approx(by_hand)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_soft_alignment_is_never_negative_and_nothing_where_the_shares_match(gamma):
    target = torch.tensor([[0.9, 0.1]], dtype=torch.float64)
    assert losses.alignment_loss(target.log(), target, gamma).item() == pytest.approx(0, abs=1e-12)
    for share in torch.linspace(0.02, 0.98, 49, dtype=torch.float64):
        logits = torch.stack([share, 1 - share])[None].log()
        assert losses.alignment_loss(logits, target, gamma) >= 0


def test_descent_from_even_shares_settles_at_the_target():
    target = torch.tensor([[0.9, 0.1]], dtype=torch.float64)
    logits = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    for _ in range(3000):
        (gradient,) = torch.autograd.grad(losses.alignment_loss(logits, target, 2.0), logits)
        logits = (logits - 10.0 * gradient).detach().requires_grad_()
    assert logits.softmax(-1)[0, 0].item() == pytest.approx(0.9, abs=0.02)


def test_alignment_gradients_are_right():
    pose = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    text = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    hard = losses.one_hot_target(torch.zeros(3, 5, dtype=torch.float64))
    soft = torch.randn(3, 5, dtype=torch.float64).softmax(-1)
    for target, gamma in ((hard, 2.0), (hard, 0.0), (soft, 0.0)):
        assert torch.autograd.gradcheck(
            lambda p, t, y=target, g=gamma: losses.alignment_loss(losses.alignment_logits(p, t, 0.5), y, g),
            (pose, text),
        )


def test_with_soft_targets_the_focal_factor_only_weighs():
    logits = torch.randn(1, 5, dtype=torch.float64, requires_grad=True)
    target = torch.randn(1, 5, dtype=torch.float64).softmax(-1)
    (focal,) = torch.autograd.grad(losses.alignment_loss(logits, target, 2.0), logits)
    (plain,) = torch.autograd.grad(losses.alignment_loss(logits, target, 0.0), logits)
    torch.testing.assert_close(focal, (1 - logits.softmax(-1)[0, 0]) ** 2 * plain)


def test_certainty_has_finite_loss_and_gradient():
    for sign in (1, -1):
        logits = torch.tensor([[sign * 200.0, 0.0]], requires_grad=True)
        value = losses.alignment_loss(logits, losses.one_hot_target(logits), 2.0)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(logits.grad).all()


def test_soft_targets_follow_similarity_and_sum_to_one():
    alike = torch.tensor([[1.0, 1.0, 0.0]])
    target = losses.softmax_target(alike, 0.1)
    assert target.sum().item() == pytest.approx(1)
    assert target[0, 0] == target[0, 1]
    assert (target[0, 0] / target[0, 2]).item() == pytest.approx(math.exp(10), rel=1e-4)


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"negatives": 0}, {"gamma": -1.0}, {"lambda_v": -1.0}])
def test_settings_that_make_no_loss_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        LossConfig(**wrong)


@pytest.mark.parametrize("gamma", [0.25, 0.5, 1.0, 2.0, 3.0])
def test_the_gradient_stays_finite_when_the_own_text_is_certain(gamma):
    logits = torch.tensor([[20.0, 0.0, 0.0], [0.0, 20.0, 0.0], [90.0, 0.0, 0.0]], requires_grad=True)
    losses.alignment_loss(logits, losses.one_hot_target(logits), gamma).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 3.0])
def test_the_focal_exponent_is_the_one_asked_for(gamma):
    logits = torch.tensor([[1.0, 0.5, -0.3]], dtype=torch.float64)
    own = float(torch.softmax(logits, dim=-1)[0, 0])
    expected = (1 - own) ** gamma * -math.log(own)
    found = losses.alignment_loss(logits, losses.one_hot_target(logits), gamma)
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_the_focal_exponent_is_two_by_default():
    assert LossConfig().gamma == 2.0
