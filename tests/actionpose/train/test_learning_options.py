"""Options beside the paper's: a schedule that ends, masks that come later or stay, people put aside to choose by."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from actionpose.config import Resolved, resolve
from actionpose.data.corrupt import CorruptConfig, Mask, corrupt, masks_only
from actionpose.data.samples import DataConfig, motion_samples
from actionpose.data.selection import select_motions
from actionpose.errors import UserError
from actionpose.evaluate.lifting import EvalConfig, to_measure
from actionpose.runs import train as training
from actionpose.runs.recipe import Recipe
from actionpose.shards import ShardSet
from actionpose.train.log import read_lines
from actionpose.train.tasks import FinetuneTask, PretrainTask
from tests.makers.bert import write_tiny_bert
from tests.makers.shards import edit, tiny


def recipe(*more: str, text: Path | None = None) -> Resolved[Recipe]:
    return resolve(Recipe, overrides=tiny(*more, text=text))


def train(command, resolved, shards, out, *, resume=False):
    return training.train(command, resolved, shards, out, resume=resume, argv=["test"], version="test")


# --- a schedule that ends ---------------------------------------------------------------------

COSINE = ("finetune.schedule=cosine", "finetune.lr=0.001", "finetune.warmup_steps=2", "finetune.eval_every=0",
          "run.log_every=1")  # fmt: skip


def test_a_cosine_warms_up_and_ends_at_zero_wherever_the_run_is_cut(shards, tmp_path):
    train("finetune", recipe(*COSINE, "finetune.steps=8"), shards, tmp_path / "run")
    rates = [row["lr"] for row in read_lines(tmp_path / "run/log.jsonl") if "lr" in row]
    warm = [0.5, *[1.0] * 7]
    expected = [1e-3 * w * 0.5 * (1 + math.cos(math.pi * step / 8)) for step, w in enumerate(warm)]
    np.testing.assert_allclose(rates, expected, rtol=1e-9)
    assert rates[-1] < 0.04 * 1e-3


def test_a_run_on_a_cosine_keeps_its_length_when_it_is_resumed(shards, tmp_path):
    train("finetune", recipe(*COSINE, "finetune.steps=4"), shards, tmp_path / "run")
    with pytest.raises(UserError, match=r"finetune\.steps: was 4, now 6"):
        train("finetune", recipe(*COSINE, "finetune.steps=6"), shards, tmp_path / "run", resume=True)


@pytest.mark.parametrize("late", ["corrupt.masks_from=0.5", "loss.con_from=0.5"])
def test_what_begins_at_a_share_of_the_steps_keeps_their_number(shards, tmp_path, late):
    same = ("pretrain.eval_every=0", "loss.lambda_con=0.0", late)
    train("pretrain", recipe(*same, "pretrain.steps=2"), shards, tmp_path / "run")
    with pytest.raises(UserError, match=r"pretrain\.steps: was 2, now 3"):
        train("pretrain", recipe(*same, "pretrain.steps=3"), shards, tmp_path / "run", resume=True)


def test_a_run_older_than_a_setting_continues_with_its_default(shards, tmp_path):
    same = ("finetune.eval_every=0",)
    train("finetune", recipe(*same, "finetune.steps=1"), shards, tmp_path / "run")
    file = tmp_path / "run/config.json"
    old = json.loads(file.read_text())
    for section, key in (("pose", "frame_step"), ("data", "dev_share"), ("corrupt", "masks_from")):
        del old["recipe"][section][key]
    file.write_text(json.dumps(old))
    assert train("finetune", recipe(*same, "finetune.steps=2"), shards, tmp_path / "run", resume=True)["step"] == 2
    with pytest.raises(UserError, match="dev_share"):
        train("finetune", recipe(*same, "data.dev_share=0.5"), shards, tmp_path / "run", resume=True)


# --- a token that is read ---------------------------------------------------------------------


@pytest.mark.parametrize(("depth", "middle", "warned"), [(2, 2, True), (2, 1, False), (1, 1, True)])
def test_a_token_that_no_block_reads_is_a_note(shards, tmp_path, capsys, depth, middle, warned):
    bert = write_tiny_bert(tmp_path / "bert")
    more = (f"pose.depth={depth}", f"pose.middle={middle}", "pretrain.steps=1", "pretrain.eval_every=0")
    train("pretrain", recipe(*more, text=bert), shards, tmp_path / "run")
    assert ("no block" in capsys.readouterr().err.replace("of blocks, so no frame", "no block")) == warned


def test_the_note_is_not_for_runs_without_texts(shards, tmp_path, capsys):
    more = ("pose.depth=2", "pose.middle=2", "loss.lambda_con=0.0", "pretrain.steps=1", "pretrain.eval_every=0")
    train("pretrain", recipe(*more), shards, tmp_path / "run")
    assert "pose.middle" not in capsys.readouterr().err


# --- masks ------------------------------------------------------------------------------------


def batch_of(clips: int, progress: float) -> dict:
    pose = torch.ones(clips, 12, 17, 3)
    return {
        "pose2d": pose, "pose3d": pose, "valid": torch.ones(clips, 12, dtype=torch.bool), "padded": False,
        "epoch": 0, "sample_id": torch.arange(clips), "unit_mm": torch.ones(clips), "progress": progress,
    }  # fmt: skip


class Seen(torch.nn.Module):
    """Stands for a model and remembers what it was shown."""

    def __init__(self, config) -> None:
        super().__init__()
        self.pose = torch.nn.Module()
        self.pose.config = config
        self.text = self.pose_pool = self.text_pool = None

    def lift(self, pose2d, valid, *, thinned):
        self.shown = pose2d
        return torch.zeros_like(pose2d, requires_grad=True)


@pytest.mark.parametrize(("progress", "masked"), [(0.0, False), (0.29, False), (0.3, True), (0.9, True)])
def test_masks_begin_after_their_share_of_the_steps(progress, masked):
    chosen = recipe("corrupt.masks_from=0.3", "loss.lambda_con=0.0").value
    model = Seen(chosen.pose)
    PretrainTask(model, chosen.corrupt, chosen.loss, seed=0)(batch_of(64, progress))
    assert bool((model.shown == 0).all(dim=-1).any()) == masked
    assert not torch.equal(model.shown, torch.ones_like(model.shown))  # the noise is there from the start


def test_finetuning_masks_the_share_of_clips_that_is_asked_for():
    config = masks_only(CorruptConfig(window_min=3, window_max=6, frame_rate=0.5, masks_from=0.7), 0.4)
    pose = torch.ones(2000, 12, 17, 3)
    found = corrupt(pose, torch.ones(2000, 12, dtype=torch.bool), torch.arange(2000), config, seed=0, epoch=0)
    hit = found.masked_BTJ.flatten(1).any(dim=1)
    assert float(hit.float().mean()) == pytest.approx(0.4, abs=0.03)
    assert torch.equal(found.pose2d_BTJ3[~hit], pose[~hit])  # no noise: detections have their own
    kinds = torch.bincount(found.mask_B, minlength=4)[[Mask.RANDOM, Mask.PART, Mask.WINDOW]] / 2000
    assert kinds.tolist() == pytest.approx([0.2, 0.1, 0.1], abs=0.03)


def test_finetuning_sees_whole_poses_unless_masks_are_asked_for(shards):
    table = motion_samples(ShardSet(shards), recipe().value.data)
    for share in (0.0, 1.0):
        chosen = recipe(f"corrupt.finetune_share={share}").value
        _, task, _ = training.build("finetune", chosen, table, loaded=True)
        assert isinstance(task, FinetuneTask)
        model = Seen(chosen.pose)
        task.model = model
        task(batch_of(32, 0.0))
        assert bool((model.shown == 0).any()) == bool(share)


# --- people put aside -------------------------------------------------------------------------


def chosen(shards: Path, **settings) -> set[tuple[str, str]]:
    found = ShardSet(shards)
    keep = select_motions(found, DataConfig(**settings))
    return set(zip(found.motions["split"][keep], found.motions["subject"][keep], strict=True))


def test_people_put_aside_are_measured_on_and_never_learned_from(shards):
    everyone = chosen(shards, split="train")
    learned, aside = chosen(shards, dev_share=0.7), chosen(shards, split="dev", dev_share=0.7)
    assert learned
    assert aside
    assert not learned & aside
    assert learned | aside == everyone
    assert chosen(shards, split="val", dev_share=0.7) == chosen(shards, split="val")  # held-out people stay as they are


def test_people_put_aside_are_not_learned_from_with_all_splits_either_but_measured_with_all(shards):
    data = DataConfig(split="", dev_share=0.7)
    aside, everyone = chosen(shards, split="dev", dev_share=0.7), chosen(shards, split="")
    assert chosen(shards, split="", dev_share=0.7) == everyone - aside
    found = ShardSet(shards)
    assert select_motions(found, to_measure(found, data, EvalConfig(split=""))).all()


def test_a_name_in_two_datasets_is_one_person(shards, tmp_path):
    trained = int((ShardSet(shards).motions["split"] == "train").sum())
    copied = shutil.copytree(shards, tmp_path / "shards")
    edit(copied, motions__dataset=[f"d{at % 2}" for at in range(trained)])
    for share in (0.7, 0.915):
        assert chosen(copied, split="dev", dev_share=share) == chosen(shards, split="dev", dev_share=share)
        assert not chosen(copied, dev_share=share) & chosen(copied, split="dev", dev_share=share)


def test_a_larger_share_holds_the_people_of_a_smaller_one(shards):
    shares = [chosen(shards, split="dev", dev_share=share) for share in (0.7, 0.915)]
    assert shares[0] < shares[1]


def test_no_subject_is_put_aside_by_default_and_dev_is_then_no_split(shards):
    assert chosen(shards) == chosen(shards, dev_share=0.0)
    with pytest.raises(UserError, match="no motions of split 'dev'"):
        chosen(shards, split="dev")


def test_shares_outside_their_range_are_refused():
    shares = ("data.dev_share=1.0", "corrupt.finetune_share=1.5", "corrupt.masks_from=-0.1", "loss.con_from=2")
    for wrong in (*shares, "pose.frame_step=0"):
        with pytest.raises(UserError):
            recipe(wrong)
