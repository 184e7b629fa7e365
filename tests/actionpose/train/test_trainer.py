"""Training learns, resumes to the same bits, shares batches, and stops without losing anything."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from actionpose.config import Resolved, resolve
from actionpose.data.batches import Assembler, detector, epoch_batches
from actionpose.data.samples import motion_samples, pair_samples
from actionpose.data.texts import Texts
from actionpose.errors import UserError
from actionpose.jsonl import read_lines
from actionpose.model.action_pose import ActionPose
from actionpose.runs import train as training
from actionpose.runs.folder import held_run
from actionpose.runs.init import with_encoder_of_init
from actionpose.runs.recipe import Recipe
from actionpose.shards import ShardSet
from actionpose.train import checkpoint
from actionpose.train.overlap import Averaging
from actionpose.train.schedule import StageConfig
from actionpose.train.tasks import FinetuneTask, PretrainTask
from actionpose.train.trainer import Trainer
from tests.makers.places import ROOT
from tests.makers.shards import edit, make_shards, options, tiny
from tests.makers.trees import tree

PROGRAM = [sys.executable, "-m", "cli.train"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def recipe(*more: str, text: Path | None = None) -> Resolved[Recipe]:
    return resolve(Recipe, overrides=tiny(*more, text=text))


def train(command, resolved, shards, out, *, resume=False):
    return training.train(command, resolved, shards, out, resume=resume, argv=["test"], version="test")


def losses(run: Path) -> list[float]:
    return [row["losses"]["total"] for row in read_lines(run / "log.jsonl") if "losses" in row]


def weights(run: Path) -> dict[str, torch.Tensor]:
    found = checkpoint.latest(run)
    assert found is not None
    return found.weights()


def state(run: Path) -> dict:
    found = checkpoint.latest(run)
    assert found is not None
    return json.loads((found.path / "meta.json").read_text())["state"]


# --- it learns --------------------------------------------------------------------------------


LEARN = ('data.views=["front"]', "data.flip=false", "data.detections=clean", "loss.lambda_v=1.0", "run.log_every=10")
"""Velocity weighs less than by default: a model this small first stands still for hundreds of steps otherwise."""


def test_finetuning_overfits_eight_clips(tmp_path):
    shards = make_shards(tmp_path / "eight", lengths=(16,) * 8)
    more = ("finetune.steps=80", "finetune.epochs=80", "finetune.lr=3e-3", "finetune.eval_every=0")
    train("finetune", recipe(*LEARN, *more), shards, tmp_path / "run")
    errors = [row["report"]["mpjpe_mm"] for row in read_lines(tmp_path / "run/log.jsonl") if "report" in row]
    assert errors[0] > 300
    assert errors[-1] < 70


def test_pretraining_reconstructs_eight_corrupted_clips_and_tells_their_texts_apart(tmp_path, bert):
    shards = make_shards(tmp_path / "eight", lengths=(16,) * 8)
    more = ("pretrain.steps=80", "pretrain.epochs=80", "pretrain.lr=3e-3", "corrupt.joint_rate=0.02")
    train("pretrain", recipe(*LEARN, *more, text=bert), shards, tmp_path / "run")
    reports = [row["report"] for row in read_lines(tmp_path / "run/log.jsonl") if "report" in row]
    assert reports[-1]["mpjpe_mm"] < 0.4 * reports[0]["mpjpe_mm"]
    assert reports[-1]["con"] < reports[0]["con"]
    assert {"3d", "v", "con"} < set(reports[-1])


# --- batches ----------------------------------------------------------------------------------


def test_losses_do_not_depend_on_padding(shards, bert):
    chosen = recipe("data.bucket=true", "pooling.dropout=0.0", text=bert).value
    table = pair_samples(ShardSet(shards), chosen.data)
    torch.manual_seed(0)
    model = ActionPose(chosen.pose, chosen.text, chosen.pooling).eval()
    task = PretrainTask(model, chosen.corrupt, chosen.loss, seed=0)
    batch = Assembler(table=table, texts=Texts(table, 4))(torch.arange(12).numpy(), 0)
    short = {**batch, **{k: batch[k][:, :20][:2] for k in ("pose2d", "pose3d", "valid")}}
    short |= {k: batch[k][:2] for k in ("sample_id", "unit_mm", "text", "negatives")}
    # The first two clips have 20 frames: alone they are not padded at all, in the large batch they are.
    assert table.length[:2].tolist() == [20, 20]
    long = {**short, **{k: batch[k][:2] for k in ("pose2d", "pose3d", "valid")}}
    (bare, _), (wide, _) = task(short), task(long)
    assert batch["pose2d"].shape[1] == 32
    for name in bare:
        torch.testing.assert_close(bare[name], wide[name], rtol=1e-5, atol=1e-6)


def test_accumulated_parts_take_the_same_steps_as_whole_batches(tmp_path):
    shards = make_shards(tmp_path / "equal", lengths=(24,) * 8)
    common = ("finetune.epochs=2", "finetune.eval_every=0")
    train("finetune", recipe(*common), shards, tmp_path / "whole")
    train("finetune", recipe(*common, "finetune.accumulate=4"), shards, tmp_path / "parts")
    assert losses(tmp_path / "whole") == pytest.approx(losses(tmp_path / "parts"), rel=1e-5)


UNEVEN = (48, 9, 30, 17, 41, 12, 23, 36)


@pytest.mark.parametrize(("parts", "frame_step"), [(2, 1), (4, 1), (8, 1), (4, 4)])
def test_parts_of_unequal_length_have_the_gradient_of_the_whole_batch(tmp_path, monkeypatch, parts, frame_step):
    shards = make_shards(tmp_path / "uneven", lengths=UNEVEN)
    seen: dict[str, list[torch.Tensor]] = {}

    def gradient_of(name: str, *more: str) -> torch.Tensor:
        steps = seen[name] = []
        honest = Averaging.finish

        def spy(self):
            honest(self)
            steps.append(torch.cat([p.grad.flatten() for p in self.parameters if p.grad is not None]))

        with monkeypatch.context() as patched:
            patched.setattr(Averaging, "finish", spy)
            common = ("finetune.steps=1", "finetune.batch=8", "finetune.eval_every=0", "loss.lambda_scale=0.5")
            longer = ("data.clip_frames=48", "pose.max_frames=48", f"pose.frame_step={frame_step}")
            train("finetune", recipe(*common, *longer, *more), shards, tmp_path / name)
        return steps[0]

    whole = gradient_of("whole")
    split = gradient_of("split", f"finetune.accumulate={parts}")
    assert float((whole - split).norm() / whole.norm()) < 1e-5
    rows = [read_lines(tmp_path / name / "log.jsonl") for name in seen]
    logged = [next(row for row in row_list if "losses" in row) for row_list in rows]
    assert logged[0]["losses"] == pytest.approx(logged[1]["losses"], rel=1e-5)
    assert logged[0]["report"] == pytest.approx(logged[1]["report"], rel=1e-5)


def test_alignment_in_parts_has_the_losses_of_the_whole_batch(tmp_path, bert):
    shards = make_shards(tmp_path / "uneven", lengths=UNEVEN)
    common = ("pretrain.steps=1", "pretrain.batch=8", "data.clip_frames=48", "pose.max_frames=48")
    common += ("pooling.dropout=0.0", "text.frozen=true")  # dropout would draw anew for each part
    common += ("run.gradients=true", "run.log_every=1")
    for name, more in (("whole", ()), ("split", ("pretrain.accumulate=4",))):
        train("pretrain", recipe(*common, *more, text=bert), shards, tmp_path / name)
    logs = [read_lines(tmp_path / name / "log.jsonl") for name in ("whole", "split")]
    whole, split = (next(row for row in rows if "losses" in row) for rows in logs)
    assert whole["losses"] == pytest.approx(split["losses"], rel=1e-4)
    assert whole["gradients"] == pytest.approx(split["gradients"], rel=1e-3)  # of the whole step, not of its last part


def test_gradients_are_clipped_to_the_norm_asked_for(shards, tmp_path, monkeypatch):
    norms = []
    honest = torch.optim.AdamW.step

    def spy(self, *given):
        grads = [p.grad.flatten() for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.cat(grads).norm()))
        return honest(self, *given)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    for limit in ("0.0", "1e-3"):
        train("finetune", recipe("finetune.steps=2", f"finetune.clip_norm={limit}"), shards, tmp_path / limit)
    assert min(norms[:2]) > 1e-3
    assert norms[2:] == pytest.approx([1e-3, 1e-3], rel=1e-3)


@pytest.mark.parametrize("setting", ["pretrain.accumulate=2", "pretrain.batch=1"])
def test_standardising_over_less_than_the_clips_of_a_step_is_refused(shards, bert, tmp_path, setting):
    with pytest.raises(UserError, match=r"pooling\.standardise"):
        train("pretrain", recipe("pooling.standardise=true", setting, text=bert), shards, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_take_the_same_steps_as_one(tmp_path):
    shards = make_shards(tmp_path / "equal", lengths=(24,) * 8)
    more = ("finetune.epochs=3", "finetune.eval_every=0", "run.gradients=true")
    train("finetune", recipe(*more), shards, tmp_path / "one")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "cli.train"]
    given = ["finetune", "--data", str(shards), "--out", str(tmp_path / "two"), *options(tiny(*more))]
    command = [sys.executable, *launch, *given]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(losses(tmp_path / "one")) == 6
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    one, two = (
        [row["gradients"] for row in read_lines(tmp_path / name / "log.jsonl") if "losses" in row]
        for name in ("one", "two")
    )
    assert all(a == pytest.approx(b, rel=1e-3) for a, b in zip(one, two, strict=True))


def test_a_batch_that_cannot_be_shared_is_refused(shards, tmp_path):
    with pytest.raises(UserError, match="multiple of 3"):
        train("finetune", recipe("finetune.accumulate=3"), shards, tmp_path / "run")


def test_finetuning_never_constructs_the_text_branch(shards, tmp_path):
    # A text model that is not there would be refused by anyone who looked for it.
    train("finetune", recipe("text.model=/nowhere", "finetune.steps=1"), shards, tmp_path / "run")
    assert {name.partition(".")[0] for name in weights(tmp_path / "run")} == {"pose"}


# --- schedule ---------------------------------------------------------------------------------


def test_the_learning_rate_decays_once_an_epoch_and_warms_up(shards, tmp_path):
    more = ("finetune.epochs=3", "finetune.lr=0.001", "finetune.decay=0.5", "finetune.warmup_steps=2",
            "finetune.eval_every=0")  # fmt: skip
    train("finetune", recipe(*more), shards, tmp_path / "run")
    rows = [row for row in read_lines(tmp_path / "run/log.jsonl") if "lr" in row]
    expected = [0.001 * 0.5 ** row["epoch"] * min(1, row["step"] / 2) for row in rows]
    assert [row["lr"] for row in rows] == pytest.approx(expected)
    assert {row["epoch"] for row in rows} == {0, 1, 2}


def test_the_last_log_line_is_of_the_last_epoch_whatever_the_interval(shards, tmp_path):
    train("finetune", recipe("finetune.epochs=2", "run.log_every=1000"), shards, tmp_path / "run")
    rows = [row for row in read_lines(tmp_path / "run" / "log.jsonl") if "losses" in row]
    assert [row["epoch"] for row in rows] == [0, 1]  # a line for each epoch: each was measured and saved


def test_impossible_schedules_are_refused():
    for wrong in ({"epochs": 0}, {"lr": 0.0}, {"decay": 1.5}, {"steps": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            StageConfig(**wrong)


# --- going on ---------------------------------------------------------------------------------


def test_samples_are_drawn_by_the_weights_of_their_labels_where_asked(bert, tmp_path, monkeypatch):
    shards = make_shards(tmp_path / "shards", lengths=(24,) * 9)
    asked = []

    def spy(*args, **given):
        asked.append(given["weights"])
        return epoch_batches(*args, **given)

    monkeypatch.setattr("actionpose.train.trainer.epoch_batches", spy)
    for balance in ("none", "label"):
        more = ("pretrain.steps=1", "pretrain.eval_every=0", f"data.balance={balance}")
        train("pretrain", recipe(*more, text=bert), shards, tmp_path / balance)
    evenly, by_label = asked
    texts = ShardSet(shards).pairs["text"].tolist()
    assert evenly is None
    expected = np.repeat([texts.count(text) ** -0.5 for text in texts], 2)  # two views
    assert by_label == pytest.approx(expected / expected.mean())
    assert len(set(expected)) > 1


@pytest.mark.parametrize("balance", ["none", "label"])
def test_resumed_in_a_new_process_equals_uninterrupted_bit_for_bit(shards, bert, tmp_path, balance):
    """With dropout, noise, masks, flips, negatives and a learning text encoder; 8 steps against 4 + 4."""
    same = ("pretrain.epochs=5", "pretrain.eval_every=2", f"data.balance={balance}")
    train("pretrain", recipe(*same, "pretrain.steps=8", text=bert), shards, tmp_path / "whole")
    train("pretrain", recipe(*same, "pretrain.steps=4", text=bert), shards, tmp_path / "parts")
    given = ["pretrain", "--data", str(shards), "--out", str(tmp_path / "parts"), "--resume"]
    command = [*PROGRAM, *given, *options(tiny(*same, "pretrain.steps=8", text=bert))]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert any(name.startswith("text.") for name in whole)
    assert [name for name in whole if not torch.equal(whole[name], parts[name])] == []
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    states = [
        json.loads((checkpoint.latest(tmp_path / r).path / "meta.json").read_text())["state"]
        for r in ("whole", "parts")
    ]
    assert states[0] == states[1]


def test_sigterm_saves_and_the_run_continues_from_there(shards, tmp_path):
    given = ["finetune", "--data", str(shards), "--out", str(tmp_path / "run")]
    command = [*PROGRAM, *given, *options(tiny("finetune.epochs=100000", "finetune.eval_every=0"))]
    process = subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step 5/"):
            process.send_signal(signal.SIGTERM)
            break
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "stopped by SIGTERM" in rest.splitlines()[-1]
    assert "--resume" in rest.splitlines()[-1]
    found = checkpoint.latest(tmp_path / "run")
    assert found is not None
    assert found.step >= 5
    assert read_lines(tmp_path / "run/log.jsonl")[-1]["reason"] == "SIGTERM"
    resolved = recipe("finetune.epochs=100000", "finetune.eval_every=0", f"finetune.steps={found.step + 1}")
    made = train("finetune", resolved, shards, tmp_path / "run", resume=True)
    assert (made["step"], made["finished"]) == (found.step + 1, True)


@pytest.mark.parametrize("stop_at", ["end of the first epoch", "last step of all"])
def test_a_stop_at_the_end_of_an_epoch_changes_no_evaluation_and_no_best(shards, bert, tmp_path, monkeypatch, stop_at):
    more = ("pretrain.epochs=2", "pretrain.eval_every=1", "pooling.standardise=true", "eval.retrieval=false")
    resolved = recipe(*more, text=bert)
    train("pretrain", resolved, shards, tmp_path / "whole")
    whole = state(tmp_path / "whole")
    last = whole["step"] // 2 if stop_at.startswith("end") else whole["step"]
    honest = Trainer._stop_reason
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_stop_reason", lambda self: "SIGTERM" if self.state.step == last else honest(self))
        made = train("pretrain", resolved, shards, tmp_path / "stopped")
    assert (made["reason"], made["step"], made["finished"]) == ("SIGTERM", last, False)
    made = train("pretrain", resolved, shards, tmp_path / "stopped", resume=True)
    assert made["finished"]

    def evaluated(run: Path) -> list[tuple[int, float]]:
        return [(row["step"], row["mpjpe_mm"]) for row in read_lines(run / "log.jsonl") if row.get("event") == "eval"]

    assert evaluated(tmp_path / "stopped") == evaluated(tmp_path / "whole")
    assert state(tmp_path / "stopped") == whole
    before, after = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_resuming_on_other_data_or_settings_is_refused_by_name(shards, tmp_path):
    out = tmp_path / "run"
    train("finetune", recipe("finetune.steps=1"), shards, out)
    other = make_shards(tmp_path / "other", seed=9)
    with pytest.raises(UserError, match=r"other data(.|\n)*other"):
        train("finetune", recipe("finetune.steps=2"), other, out, resume=True)
    with pytest.raises(UserError, match=r"finetune\.lr: was 0\.0002, now 0\.001"):
        train("finetune", recipe("finetune.lr=0.001"), shards, out, resume=True)
    with pytest.raises(UserError, match=r"run\.seed: was 0, now 1"):
        train("finetune", recipe("run.seed=1"), shards, out, resume=True)
    with pytest.raises(UserError, match="a finetune run, not pretrain"):
        train("pretrain", recipe(), shards, out, resume=True)
    # What does not change the steps may change.
    assert train("finetune", recipe("finetune.steps=2", "run.keep=5"), shards, out, resume=True)["step"] == 2


def test_resuming_a_finished_run_changes_nothing(shards, tmp_path):
    train("finetune", recipe("finetune.steps=2"), shards, tmp_path / "run")
    before = weights(tmp_path / "run")
    made = train("finetune", recipe("finetune.steps=2"), shards, tmp_path / "run", resume=True)
    assert made["finished"]
    after = weights(tmp_path / "run")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_run_that_ended_before_its_first_checkpoint_begins_its_log_anew(shards, tmp_path):
    settings = recipe("finetune.steps=2", "finetune.eval_every=0", "run.log_every=1")
    train("finetune", settings, shards, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/checkpoints")
    train("finetune", settings, shards, tmp_path / "run", resume=True)
    rows = read_lines(tmp_path / "run/log.jsonl")
    assert [row["step"] for row in rows if "losses" in row] == [1, 2]
    assert [row["event"] for row in rows if "event" in row] == ["start", "end"]


def test_an_occupied_folder_is_refused_with_advice(shards, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds files but no run"):
        train("finetune", recipe(), shards, tmp_path / "run")
    with pytest.raises(UserError, match="holds files but no run"):
        train("finetune", recipe(), shards, tmp_path / "run", resume=True)
    train("finetune", recipe("finetune.steps=1"), shards, tmp_path / "used")
    with pytest.raises(UserError, match="--resume"):
        train("finetune", recipe("finetune.steps=1"), shards, tmp_path / "used")


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_that_another_training_writes_is_refused(shards, tmp_path, resume):
    if resume:
        train("finetune", recipe("finetune.steps=1"), shards, tmp_path / "run")
    before = tree(tmp_path)
    with held_run(tmp_path / "run"), pytest.raises(UserError, match="another training writes"):
        train("finetune", recipe("finetune.steps=2"), shards, tmp_path / "run", resume=resume)
    assert tree(tmp_path) == before


def test_a_time_budget_ends_a_run_that_can_continue(shards, tmp_path):
    more = ("finetune.epochs=100000", "finetune.eval_every=0", "run.budget_minutes=0.01")
    made = train("finetune", recipe(*more), shards, tmp_path / "run")
    assert made["reason"] == "budget"
    assert not made["finished"]
    assert checkpoint.latest(tmp_path / "run").step == made["step"]


# --- when it goes wrong -----------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_samples(shards, tmp_path, monkeypatch):
    honest = FinetuneTask.forward
    seen = []

    def poisoned(self, batch):
        terms, report = honest(self, batch)
        seen.append(batch["sample_id"].tolist())
        if len(seen) == 3:
            terms["v"] = terms["v"] * float("nan")
        return terms, report

    monkeypatch.setattr(FinetuneTask, "forward", poisoned)
    with pytest.raises(UserError, match="step 3: v is not a finite number") as caught:
        train(
            "finetune",
            recipe("finetune.epochs=9", "run.log_every=2", "finetune.eval_every=0"),
            shards,
            tmp_path / "run",
        )
    assert all(str(sample) in str(caught.value) for sample in seen[2])
    assert "train" in str(caught.value)  # motions are named
    assert checkpoint.latest(tmp_path / "run") is None  # nothing corrupted was saved


def test_pretraining_without_a_text_model_says_how_to_name_one(shards, tmp_path):
    with pytest.raises(UserError, match=r"text\.model"):
        train("pretrain", recipe(), shards, tmp_path / "run")
    made = train("pretrain", recipe("loss.lambda_con=0.0", "pretrain.steps=1"), shards, tmp_path / "bare")
    assert made["step"] == 1
    assert not any(name.startswith("text") for name in weights(tmp_path / "bare"))


# --- first weights ----------------------------------------------------------------------------


def test_finetuning_starts_from_the_pretrained_encoder(shards, bert, tmp_path):
    train("pretrain", recipe("pretrain.steps=2", text=bert), shards, tmp_path / "pre")
    resolved = recipe(f"init.pose={tmp_path / 'pre'}")
    table = motion_samples(ShardSet(shards), resolved.value.data)
    model, _, _ = training.build("finetune", resolved.value, table, loaded=False)
    theirs = weights(tmp_path / "pre")
    assert all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())
    plain = resolve(Recipe, overrides=[f"init.pose={tmp_path / 'pre'}", "data.clip_frames=32", "data.stride=16"])
    assert with_encoder_of_init(plain).pose.dim_feat == 16  # its shape comes along
    with pytest.raises(UserError, match=r"pose\.dim_feat: was 16, now 32"):
        with_encoder_of_init(recipe(f"init.pose={tmp_path / 'pre'}", "pose.dim_feat=32"))
    with pytest.raises(UserError, match=r"at most 32 frames at once, and data\.clip_frames is 40") as refused:
        with_encoder_of_init(resolve(Recipe, overrides=[f"init.pose={tmp_path / 'pre'}", "data.clip_frames=40",
                                                             "data.stride=16"]))  # fmt: skip
    assert "pose.max_frames=40" in refused.value.hint
    with pytest.raises(UserError, match="there is no /nowhere/run"):
        train("finetune", recipe("init.pose=/nowhere/run"), shards, tmp_path / "x")


def test_pretraining_that_starts_from_another_takes_its_heads_if_asked(shards, bert, tmp_path):
    train("pretrain", recipe("pretrain.steps=2", text=bert), shards, tmp_path / "pre")
    theirs, heads = weights(tmp_path / "pre"), ("pose_pool.", "text_pool.")

    def started(*settings):
        resolved = recipe(f"init.pose={tmp_path / 'pre'}", *settings, text=bert)
        table = pair_samples(ShardSet(shards), resolved.value.data)
        state = training.build("pretrain", resolved.value, table, loaded=False)[0].state_dict()
        return {name: torch.equal(value, theirs[name]) for name, value in state.items() if name in theirs}

    with_heads, without = started("init.heads=true"), started()
    assert all(same for name, same in with_heads.items() if name.startswith(("pose.", *heads)))
    assert all(same for name, same in without.items() if name.startswith("pose."))
    assert not without["text_pool.mix.weight"]
    with pytest.raises(UserError, match="heads of another shape"):
        started("init.heads=true", "pooling.dim=24")
    train("pretrain", recipe("loss.lambda_con=0.0", "pretrain.steps=1"), shards, tmp_path / "bare")
    with pytest.raises(UserError, match="has no heads"):
        started("init.heads=true", f"init.pose={tmp_path / 'bare'}")


def test_pretraining_starts_from_a_motionbert_file(shards, bert, tmp_path):
    shape = recipe("pose.class_token=false").value.pose
    torch.manual_seed(7)
    source = ActionPose(shape)
    torch.save({"model_pos": {f"module.{k}": v for k, v in source.pose.state_dict().items()}}, tmp_path / "mb.bin")
    resolved = recipe(f"init.pose={tmp_path / 'mb.bin'}", text=bert)
    table = pair_samples(ShardSet(shards), resolved.value.data)
    model, _, _ = training.build("pretrain", resolved.value, table, loaded=False)
    ours = model.pose.state_dict()
    assert all(torch.equal(value, ours[name]) for name, value in source.pose.state_dict().items())


def test_the_best_checkpoint_is_the_one_with_the_smallest_held_out_error(shards, tmp_path):
    train("finetune", recipe("finetune.epochs=4", "finetune.lr=0.01", "run.keep=1"), shards, tmp_path / "run")
    evaluated = {
        row["step"]: row["mpjpe_mm"] for row in read_lines(tmp_path / "run/log.jsonl") if row.get("event") == "eval"
    }
    assert len(evaluated) == 4
    assert checkpoint.find(tmp_path / "run").step == min(evaluated, key=evaluated.__getitem__)


def test_no_split_to_measure_on_is_a_note_not_a_failure(tmp_path, capsys):
    shards = make_shards(tmp_path / "only-train")
    assert train("finetune", recipe("finetune.steps=1"), shards, tmp_path / "run")["step"] == 1
    assert "no evaluation while training" in capsys.readouterr().err


def test_a_label_that_only_differs_in_spelling_is_no_negative(tmp_path):
    folder = make_shards(tmp_path / "spelt", repeats=2)
    shards = ShardSet(folder)
    edit(folder, pairs__text=[*shards.pairs["text"][:8], *(t.upper() for t in shards.pairs["text"][8:])])
    table = pair_samples(ShardSet(folder), recipe().value.data)
    texts = Texts(table, 4)
    assert len(texts.vocabulary) == 8
    for sample in range(len(table)):
        text, negatives = texts.draw(sample, 0, 0)
        assert text.casefold() not in {n.casefold() for n in negatives}


def test_looking_at_gradients_changes_nothing_that_is_learned(shards, bert, tmp_path):
    settings = ("pretrain.steps=4", "run.log_every=2", "pretrain.eval_every=0")
    train("pretrain", recipe(*settings, text=bert), shards, tmp_path / "plain")
    train("pretrain", recipe(*settings, "run.gradients=true", text=bert), shards, tmp_path / "looked")
    for name, weight in weights(tmp_path / "plain").items():
        assert torch.equal(weight, weights(tmp_path / "looked")[name]), name
    rows = [row for row in read_lines(tmp_path / "looked" / "log.jsonl") if "losses" in row]
    assert [set(row["gradients"]) for row in rows] == [{"3d", "v", "con"}] * 2
    assert all(value > 0 for row in rows for value in row["gradients"].values())


def test_a_finished_model_standardises_by_whole_clips_not_by_corrupted_ones(shards, bert, tmp_path):
    settings = recipe("pretrain.epochs=2", "pooling.standardise=true", "pretrain.eval_every=0", text=bert)
    train("pretrain", settings, shards, tmp_path / "run")
    table = pair_samples(ShardSet(shards), settings.value.data)
    model, _, _ = training.build("pretrain", settings.value, table, loaded=True)
    model.load_state_dict(weights(tmp_path / "run"))
    whole = Assembler(table=table, detect=detector(settings.value.data), augment=False)(np.arange(len(table)), 0)
    with torch.no_grad():
        token = model.eval().pose.token(whole["pose2d"], whole["valid"])
        out = model.pose_pool.standardise(token)
    torch.testing.assert_close(out.mean(dim=0), torch.zeros_like(out[0]), atol=0.02, rtol=0)
    torch.testing.assert_close(out.std(dim=0, correction=0), torch.ones_like(out[0]), atol=0.04, rtol=0)


def test_the_loop_fits_a_screen():
    import inspect

    assert len(inspect.getsource(Trainer._epoch).splitlines()) < 40
