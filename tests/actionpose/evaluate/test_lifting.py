"""A protocol's numbers: every frame once, in millimetres, the same however windows are batched."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from actionpose.config import resolve
from actionpose.data.batches import Assembler, detector
from actionpose.data.samples import DataConfig, motion_samples
from actionpose.errors import UserError
from actionpose.evaluate.lifting import EvalConfig, held_out, lift_batch, mean_pose_lift, score, summarise
from actionpose.jsonl import read_lines
from actionpose.model.action_pose import ActionPose
from actionpose.model.pose_encoder import PoseConfig
from actionpose.runs import evaluate as evaluation
from actionpose.runs import train as training
from actionpose.runs.recipe import Recipe
from actionpose.shards import ShardSet
from actionpose.train.runtime import Runtime
from tests.makers.bert import write_tiny_bert
from tests.makers.shards import make_shards, tiny

CPU = Runtime(device=torch.device("cpu"), bf16=False)
DATA = DataConfig(clip_frames=32, stride=16, detections="clean")
EVAL = EvalConfig(flip_tta=False)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return ActionPose(PoseConfig(dim_feat=16, dim_rep=16, depth=2, heads=2, max_frames=32, middle=1)).eval()


def oracle(table):
    """A lifter that has seen the answers: recognises clips by their 2D."""
    batch = Assembler(table=table, augment=False)(np.arange(len(table)), 0)

    def lift(pose2d, valid):
        known = batch["pose2d"][:, : pose2d.shape[1]]
        out = []
        for clip, frames in zip(pose2d, valid.sum(1).tolist(), strict=True):
            which = [torch.equal(k[:frames], clip[:frames]) for k in known].index(True)
            out.append(batch["pose3d"][which, : pose2d.shape[1]])
        return torch.stack(out)

    return lift


# --- which frames -----------------------------------------------------------------------------


def test_every_frame_of_every_view_is_scored_once(folder, model):
    shards = ShardSet(folder)
    table = held_out(shards, DATA, EVAL)
    scores = score(model.lift, table, EVAL, CPU)
    lengths = (shards.motions["stop"] - shards.motions["start"])[shards.motions["split"] == "val"]
    assert len(scores.error) == 2 * lengths.sum()
    assert set(shards.motions["split"][scores.motion]) == {"val"}


def test_dropped_tails_leave_only_full_windows(folder, model):
    table = held_out(ShardSet(folder), DATA, EVAL)
    assert table.left_out == 0
    without = held_out(ShardSet(folder), DATA, dataclasses.replace(EVAL, drop_tails=True))
    kept = score(model.lift, without, EVAL, CPU)
    lengths = [20, 33, 47, 60, 26, 41, 55, 18]
    assert len(kept.error) == 2 * sum(n // 32 * 32 if n >= 32 else n for n in lengths)
    assert without.left_out == sum(lengths) - len(kept.error) // 2


def test_a_perfect_answer_has_no_error_and_a_scaled_one_the_right_one(folder):
    table = held_out(ShardSet(folder), DATA, EVAL)
    perfect = oracle(table)
    assert score(perfect, table, EVAL, CPU).error.max() == 0
    half = score(lambda x, v: 0.5 * perfect(x, v), table, EVAL, CPU)
    batch = Assembler(table=table, augment=False)(np.arange(len(table)), 0)
    mm = (batch["pose3d"] * batch["unit_mm"][:, None, None, None]).double().norm(dim=-1).mean(-1)
    counted = [mm[i, table.counted(i)[1]] for i in range(len(table))]
    assert half.error.mean() == pytest.approx(0.5 * float(torch.cat(counted).mean()), rel=1e-6)
    assert half.aligned.max() < 0.01  # a factor is what Procrustes takes out


def test_an_error_at_the_root_alone_costs_nothing_and_moves_no_other_joint(folder):
    # MotionBERT, MotionAGFormer and P-STMO set joint 0 of a prediction to zero and leave the rest (protocols, 2.2).
    table = held_out(ShardSet(folder), DATA, EVAL)
    perfect = oracle(table)

    def off_at_the_root(pose2d, valid):
        pose3d = perfect(pose2d, valid).clone()
        pose3d[:, :, 0] += torch.tensor([0.0, 0.3, -0.2])
        return pose3d

    kept = []
    scores = score(off_at_the_root, table, EVAL, CPU, keep=lambda *video: kept.append(video[3]))
    assert scores.error.max() == 0
    assert all(not pose[:, 0].any() for pose in kept)


def test_a_prediction_that_is_not_finite_is_refused_with_the_name_of_its_video(folder):
    table = held_out(ShardSet(folder), DATA, EVAL)
    perfect = oracle(table)

    def broken(pose2d, valid):
        pose3d = perfect(pose2d, valid).clone()
        pose3d[0, 3, 5] = float("nan")
        return pose3d

    with pytest.raises(UserError, match=r"prediction for .+ \(front\) is not finite in 1 of \d+ frames"):
        score(broken, table, dataclasses.replace(EVAL, batch=1024), CPU)


def test_errors_do_not_depend_on_batches(folder, model):
    table = held_out(ShardSet(folder), DATA, EVAL)
    one, many = (score(model.lift, table, dataclasses.replace(EVAL, batch=b), CPU) for b in (1, 64))
    np.testing.assert_array_equal(one.motion, many.motion)
    np.testing.assert_allclose(one.error, many.error, rtol=1e-5)


def test_one_window_equals_the_plain_computation(folder, model):
    table = held_out(ShardSet(folder), DATA, EVAL)
    assemble = Assembler(table=table, augment=False)
    sample = int(np.flatnonzero(table.length == 20)[0])
    batch = assemble(np.array([sample]), 0)
    with torch.no_grad():
        raw = model.lift(batch["pose2d"], batch["valid"])[0].double().numpy()
    unit = 1000 / 0.298
    raw[:, 0] = 0  # as published: the root is set to zero, the others stay
    expected = np.linalg.norm(raw * unit - batch["pose3d"][0].double().numpy() * unit, axis=-1).mean(axis=-1)
    scores = score(model.lift, table, EVAL, CPU)
    mine = scores.error[(scores.motion == table.motion[sample]) & (scores.view == table.view[sample])]
    np.testing.assert_allclose(mine, expected, rtol=1e-5)


def test_flipping_averages_a_clip_and_its_mirror_image(folder, model):
    table = held_out(ShardSet(folder), DATA, EVAL)
    batch = Assembler(table=table, augment=False)(np.arange(4), 0)
    both = lift_batch(model.lift, batch["pose2d"], batch["valid"], CPU, flip_tta=True)
    from actionpose.geometry import flip

    def lift(pose2d):
        with torch.no_grad():
            return model.lift(torch.from_numpy(pose2d), batch["valid"]).numpy()

    clean = batch["pose2d"].numpy()
    expected = (lift(clean) + flip(lift(flip(clean)))) / 2
    expected[:, :, 0] = 0
    np.testing.assert_allclose(both, expected, atol=1e-6)
    assert not np.allclose(both, lift_batch(model.lift, batch["pose2d"], batch["valid"], CPU, flip_tta=False))


# --- summaries --------------------------------------------------------------------------------


def test_means_by_action_dataset_and_view_add_up(folder, model):
    table = held_out(ShardSet(folder), DATA, EVAL)
    result = summarise(score(model.lift, table, EVAL, CPU), table).to_json()
    for group in ("actions", "datasets", "views"):
        rows = result[group].values()
        assert sum(row["frames"] for row in rows) == result["frames"]
        pooled = sum(row["mpjpe_mm"] * row["frames"] for row in rows) / result["frames"]
        assert pooled == pytest.approx(result["mpjpe_mm"])
    assert set(result["views"]) == {"front", "side"}


def test_the_mean_pose_is_the_best_constant_answer(folder):
    shards = ShardSet(folder)
    train = motion_samples(shards, DATA)
    lift = mean_pose_lift(train)
    batch = Assembler(table=train, augment=False)(np.arange(len(train)), 0)
    constant = lift(batch["pose2d"], batch["valid"])[0, 0]
    expected = batch["pose3d"][batch["valid"]].double().mean(0)
    torch.testing.assert_close(constant.double(), expected, atol=1e-6, rtol=0)


# --- detections -------------------------------------------------------------------------------


def test_detections_are_the_same_in_every_epoch_and_every_run(folder):
    config = dataclasses.replace(DATA, detections="noise", flip=False)
    table = motion_samples(ShardSet(folder), config)
    clean = Assembler(table=table)(np.arange(6), 0)
    seen = [
        Assembler(table=table, seed=s, detect=detector(config))(np.arange(6), e) for s, e in ((0, 0), (0, 5), (9, 1))
    ]
    assert torch.equal(seen[0]["pose2d"], seen[1]["pose2d"])
    assert torch.equal(seen[0]["pose2d"], seen[2]["pose2d"])
    moved = (seen[0]["pose2d"] - clean["pose2d"])[..., :2].norm(dim=-1)
    assert 0.001 < moved.mean() < 0.02  # screen units: 3 to 70 mm
    assert torch.equal(seen[0]["pose3d"], clean["pose3d"])
    other = detector(dataclasses.replace(config, detection_seed=1))
    assert not torch.equal(Assembler(table=table, detect=other)(np.arange(6), 0)["pose2d"], seen[0]["pose2d"])
    assert detector(DATA) is None


# --- a run ------------------------------------------------------------------------------------


def test_measuring_a_pretrained_run_adds_a_line_with_retrieval_and_baselines(folder, tmp_path):
    bert = write_tiny_bert(tmp_path / "bert")
    resolved = resolve(Recipe, overrides=tiny("pretrain.steps=2", "eval.baselines=true", text=bert))
    training.train("pretrain", resolved, folder, tmp_path / "run", resume=False, argv=[], version="0")
    row = evaluation.evaluate(
        tmp_path / "run", folder, resolved.value, argv=["ap-train", "evaluate"], version="0"
    ).to_json()
    assert {"mpjpe_mm", "p_mpjpe_mm", "frames", "protocol", "fingerprint", "seed", "command"} <= set(row)
    assert row["fingerprint"] == ShardSet(folder).fingerprint
    assert row["protocol"] == "orthographic"
    assert row["pretrained"] is False
    both = row["retrieval"]
    assert set(both) == {"text_to_motion", "motion_to_text"}
    assert both["motion_to_text"]["candidates"] == 8
    assert both["motion_to_text"]["chance"]["r1"] == pytest.approx(100 / 8)
    assert set(row["baselines"]) == {"mean_pose", "untrained"}
    assert row["baselines"]["mean_pose"]["mpjpe_mm"] < row["baselines"]["untrained"]["mpjpe_mm"]
    lines = read_lines(tmp_path / "run/results.jsonl")
    assert lines == [json.loads(json.dumps(row))]
    again = evaluation.evaluate(tmp_path / "run", folder, resolved.value, argv=[], version="0").to_json()
    assert again["mpjpe_mm"] == row["mpjpe_mm"]
    assert len(read_lines(tmp_path / "run/results.jsonl")) == 2


def test_a_motion_that_never_moves_and_one_of_a_single_frame_are_scored_too(tmp_path, model):
    still = make_shards(tmp_path / "still", lengths=(1, 2, 40, 20, 20, 20, 20, 20), splits=("val",))
    table = held_out(ShardSet(still), DATA, EVAL)
    scores = score(model.lift, table, EVAL, CPU)
    assert len(scores.error) == 2 * (1 + 2 + 40 + 100)
    assert np.isfinite(scores.error).all()
    assert np.isfinite(scores.aligned).all()
