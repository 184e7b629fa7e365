"""What the loop promises besides learning: precision, compilation, log lines, charts, and looking while two work."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import types

import pytest
import torch

from actionpose.config import resolve
from actionpose.data.batches import Assembler
from actionpose.jsonl import read_lines
from actionpose.runs import train as training
from actionpose.runs.recipe import Recipe
from actionpose.shards import ShardSet
from actionpose.train import checkpoint
from actionpose.train.log import RunLog, board_writer
from tests.makers.places import ROOT
from tests.makers.shards import make_shards, options, tiny

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def train(shards, out, *more, command="finetune", text=None, resume=False):
    resolved = resolve(Recipe, overrides=tiny(*more, text=text))
    return training.train(command, resolved, shards, out, resume=resume, argv=[], version="0")


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_under_bf16_poses_losses_and_weights_stay_in_float32(shards, bert, command):
    chosen = resolve(Recipe, overrides=tiny(text=bert)).value
    shard_set = ShardSet(shards)
    table = training.samples(command, chosen, shard_set)
    model, task, texts = training.build(command, chosen, table, loaded=False)
    batch = Assembler(table=table, texts=texts)(torch.arange(8).numpy(), 0)
    seen = []
    fine = []
    model.pose.blocks_st[0].mlp_s.fc1.register_forward_hook(lambda module, given, made: seen.append(made.dtype))
    model.pose.joints_embed.register_forward_hook(lambda module, given, made: fine.append(made.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lifted = model.lift(batch["pose2d"], batch["valid"])
        losses, report = task(batch)
    assert set(seen) == {torch.bfloat16}  # so autocast did act
    assert set(fine) == {torch.float32}  # but not on coordinates, which it would round by a detector's jitter
    assert lifted.dtype == torch.float32
    assert {value.dtype for value in (*losses.values(), *report.values())} == {torch.float32}
    # A head in bf16 would leave values on its coarse grid.
    assert not torch.equal(lifted, lifted.bfloat16().float())
    sum(losses.values()).backward()
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {torch.float32}


def test_the_encoder_is_compiled_on_a_cpu_only_when_asked(shards, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, *a, **k: asked.append(type(self).__name__))
    train(shards, tmp_path / "plain", "finetune.steps=1", "finetune.eval_every=0", "run.device=cpu")
    assert asked == []
    train(shards, tmp_path / "fast", "finetune.steps=1", "finetune.eval_every=0", "run.compile=true")
    assert set(asked) == {"Block"}


def test_a_log_line_holds_losses_rate_speed_waiting_and_time_left(shards, tmp_path, capsys):
    train(shards, tmp_path / "run", "finetune.steps=3", "finetune.eval_every=0")
    row = [row for row in read_lines(tmp_path / "run/log.jsonl") if "losses" in row][-1]
    assert {"total", "3d", "v"} <= set(row["losses"])
    assert row["losses"]["total"] == pytest.approx(sum(v for k, v in row["losses"].items() if k != "total"))
    numbers = ("step", "epoch", "lr", "clips_per_s", "wait_s", "step_s", "memory_mb", "eta_s", "elapsed_s")
    assert all(isinstance(row[key], int | float) for key in numbers)
    assert row["eta_s"] == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step 3/3")]
    assert len(lines) == 1
    assert all(word in lines[0] for word in ("MPJPE", "mm", "clips/s", "left"))


def test_embedding_the_labels_by_a_frozen_text_model_shows_how_far_it_is(shards, bert, tmp_path, monkeypatch):
    shown = []
    honest = training.in_parts
    monkeypatch.setattr(training, "in_parts", lambda texts: shown.extend(texts) or honest(texts))
    more = ("pretrain.steps=1", "pretrain.eval_every=0", "text.frozen=true")
    train(shards, tmp_path / "run", *more, command="pretrain", text=bert)
    assert set(ShardSet(shards).pairs["text"]) <= set(shown)


def test_resuming_keeps_the_best_so_far(shards, tmp_path, monkeypatch):
    errors = iter([50.0, 90.0, 70.0, 40.0])
    honest = training.summarise
    monkeypatch.setattr(
        training, "summarise", lambda *given: dataclasses.replace(honest(*given), mpjpe_mm=next(errors))
    )
    same = ("finetune.eval_every=1", "run.keep=1")
    train(shards, tmp_path / "run", *same, "finetune.epochs=2")
    first = checkpoint.find(tmp_path / "run").step
    made = train(shards, tmp_path / "run", *same, "finetune.epochs=3", resume=True)
    assert (made["best_mpjpe_mm"], made["best_step"]) == (50.0, first)
    assert checkpoint.find(tmp_path / "run").step == first < made["step"]
    made = train(shards, tmp_path / "run", *same, "finetune.epochs=4", resume=True)
    assert (made["best_mpjpe_mm"], made["best_step"]) == (40.0, made["step"])


def test_an_error_that_is_no_number_is_never_the_best(shards, tmp_path, monkeypatch):
    errors = iter([float("nan"), 60.0])
    honest = training.summarise
    monkeypatch.setattr(
        training, "summarise", lambda *given: dataclasses.replace(honest(*given), mpjpe_mm=next(errors))
    )
    made = train(shards, tmp_path / "run", "finetune.eval_every=1", "finetune.epochs=2")
    assert (made["best_mpjpe_mm"], made["best_step"]) == (60.0, made["step"])


@pytest.mark.slow
def test_two_processes_look_at_held_out_clips_and_learn_as_one_does(bert, tmp_path):
    # Without dropout, which each process draws for itself; with statistics over the clips of both.
    shards = make_shards(tmp_path / "equal", lengths=(24,) * 8, splits=("train", "val"))
    more = ("pretrain.epochs=2", "pretrain.eval_every=1", "pooling.dropout=0.0", "text.frozen=true",
            "pooling.standardise=true")  # fmt: skip
    train(shards, tmp_path / "one", *more, command="pretrain", text=bert)
    given = ["pretrain", "--data", str(shards), "--out", str(tmp_path / "two"), *options(tiny(*more, text=bert))]
    program = tmp_path / "ap-train"  # the command as an executable, as `--no-python` wants it
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
                       "from cli.train import main\nmain()\n")  # fmt: skip
    program.chmod(0o755)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python", str(program)]
    done = subprocess.run(
        [sys.executable, *launch, *given], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("held out:") == 2  # once an epoch, not once a process
    one, two = (read_lines(tmp_path / run / "log.jsonl") for run in ("one", "two"))
    losses = [[row["losses"]["total"] for row in rows if "losses" in row] for rows in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    looked = [[row["mpjpe_mm"] for row in rows if row.get("event") == "eval"] for rows in (one, two)]
    assert looked[1] == pytest.approx(looked[0], rel=1e-4)
    assert checkpoint.find(tmp_path / "two").step == checkpoint.find(tmp_path / "one").step


# --- TensorBoard ------------------------------------------------------------------------------


class Board:
    """Stands for TensorBoard's writer."""

    made: list[Board] = []  # noqa: RUF012

    def __init__(self, folder, purge_step=None):
        self.folder, self.purge_step, self.closed = folder, purge_step, False
        self.scalars: dict[str, list[tuple[int, float]]] = {}
        Board.made.append(self)

    def add_scalar(self, name, value, step):
        assert not self.closed
        self.scalars.setdefault(name, []).append((step, value))

    def close(self):
        self.closed = True


def test_what_is_logged_is_charted_where_tensorboard_is_installed(shards, bert, tmp_path, monkeypatch):
    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Board
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(Board, "made", [])
    more = ("pretrain.epochs=2", "pretrain.eval_every=1")
    train(shards, tmp_path / "run", *more, "pretrain.steps=2", command="pretrain", text=bert)
    (board,) = Board.made
    assert (board.folder, board.purge_step, board.closed) == (str(tmp_path / "run/tensorboard"), None, True)
    logged = [row for row in read_lines(tmp_path / "run/log.jsonl") if "losses" in row]
    assert board.scalars["train/losses/total"] == [(row["step"], row["losses"]["total"]) for row in logged]
    assert {"train/lr", "train/wait_s", "train/report/mpjpe_mm", "eval/mpjpe_mm"} <= set(board.scalars)
    assert "eval/retrieval/text_to_motion/r5" in board.scalars
    assert "eval/zero_shot/categories/most_frequent/top1" in board.scalars
    train(shards, tmp_path / "run", *more, command="pretrain", text=bert, resume=True)
    assert Board.made[1].purge_step == 3  # what comes after the two steps is charted anew
    assert min(step for step, _ in Board.made[1].scalars["train/lr"]) == 3


def test_without_tensorboard_the_log_is_all_there_is(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert board_writer(tmp_path) is None
    log = RunLog(tmp_path, total=1)
    log.event("eval", step=1, mpjpe_mm=2.0)
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_tensorboard_reads_what_is_written(tmp_path):
    pytest.importorskip("tensorboard")
    log = RunLog(tmp_path, total=1)
    log.event("eval", step=1, mpjpe_mm=2.0)
    log.close()
    assert list((tmp_path / "tensorboard").glob("events.*"))
