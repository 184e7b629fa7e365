"""A training step on a GPU: the numbers of a CPU, nothing that makes the host wait, few kernels, one compiled form."""

from __future__ import annotations

import copy
import dataclasses
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from actionpose.config import resolve
from actionpose.data import rng
from actionpose.data.batches import GPU_FRAMES, Assembler, detector, epoch_batches
from actionpose.data.corrupt import CorruptConfig, corrupt
from actionpose.model.pose_encoder import PoseConfig, PoseEncoder
from actionpose.runs import train as training
from actionpose.runs.recipe import Recipe
from actionpose.shards import ShardSet
from actionpose.train.runtime import RunConfig, start
from tests.makers.places import ROOT
from tests.makers.pretend_gpu import DEVICE, pretend_gpu
from tests.makers.shards import tiny

SMALL = PoseConfig(dim_feat=16, dim_rep=12, depth=2, heads=2, max_frames=24, middle=1)

VIEWS = (
    "view",
    "slice",
    "select",
    "unsqueeze",
    "expand",
    "detach",
    "alias",
    "split",
    "squeeze",
    "transpose",
    "permute",
)


class Operators(TorchDispatchMode):
    """Counts operators by name, views left out: each of the rest is at least one kernel on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().removeprefix("aten::").split(".")[0]
        if not any(name.startswith(view) for view in VIEWS):
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


def pretraining(shards, bert, *more):
    """A task, and a function that reads batch `epoch`."""
    recipe = resolve(Recipe, overrides=tiny(*more, text=bert)).value
    table = training.samples("pretrain", recipe, ShardSet(shards))
    torch.manual_seed(0)
    model, task, texts = training.build("pretrain", recipe, table, loaded=False)
    assemble = Assembler(table=table, texts=texts, read_texts=model.text.reader(texts.spellings()))
    return task, assemble


def on(device: str | torch.device, raw: dict) -> dict:
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in raw.items()}


def waits_of_a_step(task, assemble) -> dict[str, int]:
    """How often the host waits in a step, by operator; two devices in one operator are an error."""
    with pretend_gpu() as seen:
        task.to(DEVICE)
        for epoch in (0, 1):  # constants are made in the first
            raw = assemble.read(np.arange(8), epoch)
            raw = on(DEVICE, raw)
            seen.waits.clear()
            losses, report = task({**assemble.finish(raw), "progress": 0.5})
            sum(losses.values()).backward()
        assert {value.device for value in (*losses.values(), *report.values())} == {DEVICE}
        assert all(p.grad is not None for p in task.parameters() if p.requires_grad)
        return dict(seen.waits)


# --- without a GPU ------------------------------------------------------------------------------


@pytest.mark.parametrize(("frozen", "waits"), [("true", {}), ("false", {"_local_scalar_dense": 1})])
@pytest.mark.parametrize(
    "more",
    [
        ("pose.frame_step=2", "pooling.standardise=true", "loss.lambda_scale=0.5"),
        ("data.camera.random=true", "pose.token_to_frames=true"),
        ("data.zoom=[0.8,1.2]", "data.centre=clip", "pose.token_read_only=true", "corrupt.masks_from=0.3"),
    ],
)
def test_a_pretraining_step_keeps_to_the_device(shards, bert, more, frozen, waits):
    """A constant made in a step, or a number read back, is a wait for everything that a GPU still has to do.

    The one wait is transformers' own: BERT looks whether any token of a batch is padding.
    """
    task, assemble = pretraining(shards, bert, f"text.frozen={frozen}", *more)
    assert waits_of_a_step(task, assemble) == waits


@pytest.mark.parametrize("more", [(), ("data.camera.random=true", "pose.frame_step=2")])
def test_a_finetuning_step_keeps_to_the_device(shards, more):
    recipe = resolve(Recipe, overrides=tiny("corrupt.finetune_share=0.5", *more)).value
    table = training.samples("finetune", recipe, ShardSet(shards))
    _, task, _ = training.build("finetune", recipe, table, loaded=False)
    assert waits_of_a_step(task, Assembler(table=table, detect=detector(recipe.data))) == {}


def test_corruption_is_few_operators():
    pose, valid = torch.rand(16, 60, 17, 3), torch.ones(16, 60, dtype=torch.bool)
    corrupt(pose, valid, torch.arange(16), CorruptConfig(), seed=0, epoch=0)  # makes the constants
    with Operators() as seen:
        corrupt(pose, valid, torch.arange(16), CorruptConfig(), seed=0, epoch=0)
    assert seen.counts.total() < 150  # 480 when every purpose was drawn by itself


def test_a_joint_draw_has_the_words_of_single_draws():
    def mixed(word: int) -> int:  # SplitMix64 in plain numbers
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) % 2**64
        return word ^ (word >> 31)

    gamma, ids = 0x9E3779B97F4A7C15, [0, 5, 2**40]
    streams = ((3, (2, 2)), (101, ()), (7, (3,)))
    drawn = rng.joint_words(rng.keys(2**33, 4, torch.tensor(ids)), streams)
    for row, sample in zip(drawn.tolist(), ids, strict=True):
        key = mixed((mixed((mixed((gamma + 2**33) % 2**64) + gamma + 4) % 2**64) + gamma + sample) % 2**64)
        wanted = [
            mixed((mixed((key + gamma + stream) % 2**64) + gamma * count) % 2**64)
            for stream, words in ((3, 4), (101, 1), (7, 3))
            for count in range(1, words + 1)
        ]
        assert [word % 2**64 for word in row] == wanted
    assert [tuple(part.shape) for part in rng.split(drawn, streams)] == [(3, 2, 2), (3,), (3, 3)]


def test_draws_compile_to_the_same_words():
    def draw(ids: torch.Tensor) -> torch.Tensor:
        return rng.as_integer(rng.joint_words(rng.keys(3, 2, ids), ((5, (4,)), (9, ()))), 1000)

    ids = torch.arange(6)
    assert torch.equal(torch.compile(draw, fullgraph=True, backend="aot_eager")(ids), draw(ids))


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")  # a graph's constants stay
def test_corruption_compiles_without_breaks():
    def both(pose: torch.Tensor, valid: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        done = corrupt(pose, valid, ids, CorruptConfig(), seed=1, epoch=2)
        return done.masked_BTJ, done.mask_B

    clips = torch.rand(5, 12, 17, 3), torch.ones(5, 12, dtype=torch.bool), torch.arange(5)
    compiled = torch.compile(both, fullgraph=True, backend="aot_eager")
    for found, wanted in zip(compiled(*clips), both(*clips), strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's own, while it traces
def test_a_compiled_encoder_gives_the_same_for_every_length_without_breaks():
    torch.manual_seed(0)
    plain = PoseEncoder(SMALL)
    compiled = copy.deepcopy(plain)
    compiled.compile_blocks("eager")
    for frames in (9, 24, 5, 16):
        pose = torch.rand(3, frames, 17, 3)
        for valid in (None, torch.arange(frames) < torch.tensor([[frames], [2], [frames // 2]])):
            for one, other in zip(plain(pose, valid), compiled(pose, valid), strict=True):
                torch.testing.assert_close(one, other)
    assert torch._dynamo.config.recompile_limit >= 64
    assert compiled.state_dict().keys() == plain.state_dict().keys()


def test_deterministic_runs_set_what_cublas_asks_for(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        with start(RunConfig(device="cpu")):
            assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
        with start(RunConfig(device="cpu", deterministic=True)):
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


@pytest.mark.parametrize("more", [(), ("data.camera.random=true",), ("pose.frame_step=2",)])
def test_frames_that_only_round_a_length_change_no_loss(shards, bert, more):
    task, assemble = pretraining(shards, bert, "pooling.dropout=0", "data.bucket=true", *more)
    rounding = dataclasses.replace(assemble, round_to=GPU_FRAMES)
    lengths = assemble.table.length
    longest = lengths.max()
    seen = set()
    for ids in epoch_batches(lengths, 4, seed=0, epoch=0):
        plain, rounded = assemble(ids, 0), rounding(ids, 0)
        frames = rounded["valid"].shape[1]
        assert frames == longest or (frames < longest and frames % GPU_FRAMES == 0)
        assert torch.equal(rounded["valid"].sum(dim=1), plain["valid"].sum(dim=1))
        assert rounded["padded"] == (frames > lengths[ids].min())
        outcome = []
        for batch in (plain, rounded):
            task.zero_grad()
            terms, report = task(batch)
            sum(terms.values()).backward()
            outcome.append((terms, report, [p.grad for p in task.parameters() if p.grad is not None]))
        for one, other in zip(*outcome, strict=True):
            torch.testing.assert_close(other, one, atol=1e-6, rtol=1e-6)
        seen |= {(plain["valid"].shape[1], frames)}
    assert any(frames > before for before, frames in seen)


# --- with one -----------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_corruption_has_the_same_bits_on_every_device():
    pose, valid, ids = torch.rand(9, 60, 17, 3), torch.arange(60) < torch.arange(4, 58, 6)[:, None], torch.arange(9)
    here = corrupt(pose, valid, ids, CorruptConfig(), seed=1, epoch=2)
    there = corrupt(pose.cuda(), valid.cuda(), ids.cuda(), CorruptConfig(), seed=1, epoch=2)
    assert torch.equal(here.masked_BTJ, there.masked_BTJ.cpu())
    assert torch.equal(here.mask_B, there.mask_B.cpu())
    torch.testing.assert_close(here.pose2d_BTJ3, there.pose2d_BTJ3.cpu(), atol=1e-6, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("precision", "close"), [("fp32", 1e-4), ("bf16", 0.02), ("bf16-stream", 0.05)])
def test_a_step_has_the_losses_and_gradients_of_a_cpu(shards, bert, precision, close):
    task, assemble = pretraining(shards, bert, "pooling.dropout=0")
    task.eval()  # no dropout, whose draws differ between devices
    raw = assemble.read(np.arange(8), 0)
    outcome = []
    for device in ("cpu", "cuda"):
        task.zero_grad()
        task.to(device)
        task.model.pose.bf16_stream = precision == "bf16-stream"
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda" and precision != "fp32"):
            losses, _ = task(assemble.finish(on(device, raw)))
        sum(losses.values()).backward()
        gradient = torch.cat([p.grad.flatten().cpu() for p in task.parameters() if p.grad is not None])
        outcome.append((torch.stack(list(losses.values())).detach().cpu(), gradient))
    (loss, gradient), (loss_gpu, gradient_gpu) = outcome
    torch.testing.assert_close(loss_gpu, loss, rtol=close, atol=close * 0.01)
    assert (gradient_gpu - gradient).norm() < 2 * close * gradient.norm()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_compiled_equals_eager():
    torch.manual_seed(0)
    plain = PoseEncoder(SMALL).cuda()
    compiled = copy.deepcopy(plain)
    compiled.compile_blocks()
    for frames in (16, 24, 8):
        pose = torch.rand(3, frames, 17, 3, device="cuda")
        one, other = plain(pose), compiled(pose)
        torch.testing.assert_close(one.pose3d_BTJ3, other.pose3d_BTJ3, atol=1e-5, rtol=1e-4)
        one.pose3d_BTJ3.sum().backward()
        other.pose3d_BTJ3.sum().backward()
    for a, b in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-3, rtol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_deterministic_run_resumes_to_the_bit(shards, bert, tmp_path):
    """In processes of its own: cuBLAS reads its setting when it is first used."""
    from actionpose.train.checkpoint import find

    def train(out: str, steps: int, *more: str) -> None:
        settings = tiny("run.deterministic=true", "run.device=cuda", f"pretrain.steps={steps}", text=bert)
        words = [word for setting in settings for word in ("-o", setting)]
        command = [sys.executable, "-m", "cli.train", "pretrain", "--data", str(shards), "--out", out, *words, *more]
        subprocess.run(command, check=True, cwd=ROOT, timeout=600)

    train(str(tmp_path / "whole"), 6)
    train(str(tmp_path / "parts"), 3)
    train(str(tmp_path / "parts"), 6, "--resume")
    whole, parts = (find(tmp_path / name).weights() for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
