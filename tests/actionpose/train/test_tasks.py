"""Tasks: losses that sum to the objective, whatever the batch, and two stages that each train what they should."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from actionpose.data.corrupt import CorruptConfig, corrupt
from actionpose.model.action_pose import ActionPose, PoolingConfig
from actionpose.model.pose_encoder import PoseConfig
from actionpose.model.text_encoder import TextConfig
from actionpose.train import losses
from actionpose.train.losses import LossConfig
from actionpose.train.tasks import FinetuneTask, PretrainTask
from tests.makers.bert import write_tiny_bert

POSE = PoseConfig(dim_feat=16, dim_rep=12, depth=2, heads=2, max_frames=24, middle=1)
TEXTS = ["walk", "sit down", "Walk", "wave hand"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return str(write_tiny_bert(tmp_path_factory.mktemp("bert"), layers=1))


def build(bert: str | None, **text) -> ActionPose:
    torch.manual_seed(0)
    config = TextConfig(model=bert, layers=1, **text) if bert else None
    model = ActionPose(POSE, config, PoolingConfig(dim=8))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.pose.parameters():
            parameter.normal_(std=0.2)
    return model.eval()


def make_batch(lengths=(20, 9, 14, 20), T: int = 20, **more: Any) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    B = len(lengths)
    pose3d = torch.randn(B, T, 17, 3, generator=generator)
    pose2d = torch.cat([pose3d[..., :2], torch.ones(B, T, 17, 1)], dim=-1)
    negatives = [["run", "jump high", "Walk", "kick"][i % 2 : i % 2 + 3] for i in range(B)]
    return {
        "pose2d": pose2d,
        "pose3d": pose3d - pose3d[:, :, :1],
        "valid": torch.arange(T) < torch.tensor(lengths)[:, None],
        "padded": True,
        "sample_id": torch.arange(B) * 10,
        "epoch": 2,
        "unit_mm": torch.tensor([1000.0, 2000.0, 3000.0, 4000.0][:B]),
        "text": TEXTS[:B],
        "negatives": negatives,
    } | more


def alone(batch: dict[str, Any], row: int) -> dict[str, Any]:
    """One clip of a batch, without its padding."""
    length = int(batch["valid"][row].sum())
    one = {k: v[row : row + 1] if not isinstance(v, int) else v for k, v in batch.items()}
    return one | {k: one[k][:, :length] for k in ("pose2d", "pose3d", "valid")}


def test_pretraining_terms_are_the_weighted_losses(bert):
    model, batch = build(bert), make_batch()
    loss = LossConfig(lambda_3d=2.0, lambda_v=3.0, lambda_scale=0.5, lambda_con=0.7)
    task = PretrainTask(model, CorruptConfig(), loss, seed=4)
    with torch.no_grad():
        terms, report = task(batch)
        corrupted = corrupt(
            batch["pose2d"], batch["valid"], batch["sample_id"], CorruptConfig(), seed=4, epoch=2
        ).pose2d_BTJ3
        pose3d, clip = model.forward_both(corrupted, batch["valid"])
        names = [[t, *n] for t, n in zip(batch["text"], batch["negatives"], strict=True)]
        text = torch.stack([model.embed_text(row) for row in names])
    logits = losses.alignment_logits(clip, text, 0.1)
    expected = {
        "3d": 2.0 * losses.position_loss(pose3d, batch["pose3d"], batch["valid"]),
        "v": 3.0 * losses.velocity_loss(pose3d, batch["pose3d"], batch["valid"]),
        "scale": 0.5 * losses.scale_loss(pose3d, batch["pose3d"], batch["valid"]),
        "con": 0.7 * losses.alignment_loss(logits, losses.one_hot_target(logits), 2.0),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, atol=1e-5, rtol=1e-5)
    assert report["con"].item() == pytest.approx(terms["con"].item() / 0.7)
    assert report["3d"].item() == pytest.approx(terms["3d"].item() / 2)
    assert 0 < report["own_text"] < 1
    assert all(value.dtype == torch.float32 and not value.requires_grad for value in report.values())


@pytest.mark.parametrize(("progress", "begun"), [(0.0, 0.0), (0.39, 0.0), (0.4, 1.0), (0.9, 1.0)])
def test_alignment_counts_from_its_share_of_the_steps(bert, progress, begun):
    model, batch = build(bert), {**make_batch(), "progress": progress}
    terms, report = PretrainTask(model, CorruptConfig(), LossConfig(lambda_con=0.7, con_from=0.4), seed=4)(batch)
    assert terms["con"].item() == pytest.approx(0.7 * begun * report["con"].item())
    assert report["con"].item() > 0
    terms["con"].backward()
    moved = sum(p.grad.abs().sum() for p in model.parameters() if p.grad is not None)
    assert (moved > 0) == bool(begun)


def test_logged_millimetres_use_each_clips_own_unit_and_leave_the_root_in_its_place():
    model, batch = build(None), make_batch()
    with torch.no_grad():
        _, report = FinetuneTask(model, LossConfig())(batch)
        error = (model.lift(batch["pose2d"], batch["valid"]) - batch["pose3d"]).norm(dim=-1)
    error[..., 0] = 0  # as evaluation does: joint 0 is set to zero, the others stay
    by_hand = (error * batch["unit_mm"][:, None, None])[batch["valid"]].mean()
    torch.testing.assert_close(report["mpjpe_mm"], by_hand)


@pytest.mark.parametrize("targets", ["one-hot", "same-label", "text-similarity"])
def test_a_padded_batch_has_the_loss_of_its_clips(bert, targets):
    batch = make_batch()
    task = PretrainTask(build(bert), CorruptConfig(), LossConfig(targets=targets), seed=0).eval()
    with torch.no_grad():
        together = task(batch)[0]
        parts = [task(alone(batch, row))[0] for row in range(4)]
    frames = batch["valid"].sum(dim=1).double()
    for name, weight in (("3d", frames), ("v", frames - 1), ("con", torch.ones(4))):
        mean = sum(w * part[name] for w, part in zip(weight, parts, strict=True)) / weight.sum()
        assert together[name].item() == pytest.approx(mean.item(), rel=1e-4), name


def test_the_order_of_clips_does_not_matter(bert):
    batch = make_batch()
    order = [2, 0, 3, 1]
    shuffled = {
        k: v[order] if isinstance(v, torch.Tensor) else [v[i] for i in order] if isinstance(v, list) else v
        for k, v in batch.items()
    }
    task = PretrainTask(build(bert), CorruptConfig(), LossConfig(), seed=0).eval()
    with torch.no_grad():
        for name, value in task(batch)[0].items():
            assert task(shuffled)[0][name].item() == pytest.approx(value.item(), rel=1e-5)


def test_soft_targets_follow_the_choice(bert):
    batch = make_batch()  # clip 2 is "Walk" and clips 0 and 2 have "Walk" among their negatives
    rows = [[t, *n] for t, n in zip(batch["text"], batch["negatives"], strict=True)]
    logits = torch.zeros(4, 4)
    one_hot = PretrainTask(build(bert), CorruptConfig(), LossConfig(), seed=0)._target(rows, logits)
    assert torch.equal(one_hot, torch.eye(4)[[0, 0, 0, 0]])
    same = PretrainTask(build(bert), CorruptConfig(), LossConfig(targets="same-label"), 0)._target(rows, logits)
    assert same[0, 0] == same[0, 3] == pytest.approx(0.5, abs=1e-3)
    assert same[1, 0] == pytest.approx(1, abs=1e-3)
    alike = PretrainTask(build(bert), CorruptConfig(), LossConfig(targets="text-similarity"), 0)
    soft = alike._target(rows, logits)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(4))
    assert (soft[:, :1] >= soft).all()
    assert soft[1, 1:].std() > 0


def test_similarity_comes_from_an_encoder_that_training_cannot_reach(bert):
    model = build(bert)
    early, task = (PretrainTask(model, CorruptConfig(), LossConfig(targets="text-similarity"), seed=0) for _ in "ab")
    before = early.similarity([["walk", "run"]])
    with torch.no_grad():
        for parameter in model.text.parameters():
            parameter.zero_()
    assert torch.equal(task.similarity([["walk", "run"]]), before)
    assert not any(p.requires_grad for p in task.similarity.parameters())


def test_pretraining_moves_every_parameter_of_both_branches(bert):
    model = build(bert)
    terms, _ = PretrainTask(model, CorruptConfig(), LossConfig(), seed=0)(make_batch())
    sum(terms.values()).backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_without_alignment_no_text_is_read(bert):
    loss = LossConfig(lambda_con=0.0)
    batch = {k: v for k, v in make_batch().items() if k not in ("text", "negatives")}
    plain = PretrainTask(build(None), CorruptConfig(), loss, seed=0)
    assert plain(batch)[0].keys() == {"3d", "v"}
    with_text = PretrainTask(build(bert), CorruptConfig(), loss, seed=0)
    assert with_text(batch)[0]["3d"].item() == pytest.approx(plain(batch)[0]["3d"].item())
    assert {n.split(".")[1] for n, p in with_text.named_parameters() if p.requires_grad} == {"pose"}
    with pytest.raises(ValueError, match="text encoder"):
        PretrainTask(build(None), CorruptConfig(), LossConfig(), seed=0)


def test_fine_tuning_reads_clean_poses_and_trains_the_pose_encoder_alone(bert):
    model, batch = build(bert), make_batch()
    task = FinetuneTask(model, LossConfig())
    terms, _ = task(batch)
    expected = losses.position_loss(model.lift(batch["pose2d"], batch["valid"]), batch["pose3d"], batch["valid"])
    torch.testing.assert_close(terms["3d"], expected)
    sum(terms.values()).backward()
    trained = {name for name, p in task.named_parameters() if p.grad is not None}
    assert trained == {f"model.pose.{name}" for name, _ in model.pose.named_parameters()}
    corrupted = FinetuneTask(model, LossConfig(), CorruptConfig())(batch)[0]["3d"]
    assert corrupted.item() != pytest.approx(expected.item())


def test_losses_are_float32_under_autocast(bert):
    task = PretrainTask(build(bert), CorruptConfig(), LossConfig(lambda_scale=0.5), seed=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms, _ = task(make_batch())
    assert {value.dtype for value in terms.values()} == {torch.float32}
    sum(terms.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in task.parameters() if p.grad is not None)


def test_both_stages_learn(bert):
    batch = make_batch()
    for stage in ("pretrain", "finetune"):
        model = ActionPose(POSE, TextConfig(model=bert, layers=1), PoolingConfig(dim=8, dropout=0.0))
        clean = CorruptConfig(noise=False, share_random=0.0, share_part=0.0, share_window=0.0)
        task = PretrainTask(model, clean, LossConfig(), 0) if stage == "pretrain" else FinetuneTask(model, LossConfig())
        optimizer = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], lr=3e-3)
        first = last = None
        for _ in range(25):
            terms, report = task(batch)
            last = {name: value.item() for name, value in report.items()}
            first = first or last
            optimizer.zero_grad()
            sum(terms.values()).backward()
            optimizer.step()
        assert last["3d"] < 0.9 * first["3d"], stage
        if stage == "pretrain":
            assert last["con"] < 0.7 * first["con"]


def test_uneven_negatives_are_refused(bert):
    batch = make_batch()
    batch["negatives"][0] = ["run"]
    with pytest.raises(ValueError, match="same number of negatives"):
        PretrainTask(build(bert), CorruptConfig(), LossConfig(), seed=0)(batch)
