"""Pretraining on clips as long as BABEL's: batches of like lengths against padding everything to 243 frames.

    python benchmarks/bench_pretrain_lengths.py [--dim 64] [--pairs 1] [--batches 6] [--rounds 2] [--device cpu|cuda]

Whole training steps (putting the batch together, corruption, forward, losses, backward, AdamW) through the trainer's
own parts, without a text encoder, which would cost both sides the same. Lengths follow the quantiles of a BABEL
val.json's clips. Both sides train on the same clips: batches spread evenly over the lengths of an epoch's plan. The
padded side repeats the last frame up to 243 and masks it. Losses are compared first, batch by batch.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import numpy as np
import torch
import torch.nn.functional as F
from costs import encoder_macs
from swinging import write_shards
from turns import best, clock_of, take_turns, times_faster

from actionpose.arrays import Ints
from actionpose.data.batches import Assembler, Batch, Loader, epoch_batches
from actionpose.data.corrupt import CorruptConfig
from actionpose.data.samples import DataConfig, pair_samples
from actionpose.model.action_pose import ActionPose
from actionpose.model.pose_encoder import PoseConfig
from actionpose.shards import ShardSet
from actionpose.train.losses import LossConfig
from actionpose.train.tasks import PretrainTask

QUANTILES = (15, 20, 26, 31, 37, 43, 50, 58, 68, 80, 94, 110, 129, 159, 217, 243, 243, 243, 243, 243, 243)
"""Frames at 0, 5, … 100 % of the clips that BABEL's val.json gives, long transitions cut in windows; mean 123."""

FRAMES = 243


def babel_lengths(clips: int) -> np.ndarray:
    """As many clips, evenly over the quantiles."""
    at = (np.arange(clips) + 0.5) / clips
    return np.interp(at, np.linspace(0, 1, len(QUANTILES)), QUANTILES).round().astype(np.int64)


def spread_batches(lengths: Ints, batch: int, count: int) -> list[Ints]:
    """Batches from the middle of `count` equal parts of an epoch's plan, sorted by length: an epoch in small."""
    plan = sorted(epoch_batches(lengths, batch, seed=0, epoch=0), key=lambda ids: int(lengths[ids].max()))
    return [plan[int((number + 0.5) * len(plan) / count)] for number in range(count)]


def padded(batch: Batch) -> Batch:
    """The batch with every clip at 243 frames: the last one repeated, and masked."""
    more = FRAMES - batch["valid"].shape[1]
    poses = {name: F.pad(batch[name].flatten(2).mT, (0, more), "replicate").mT for name in ("pose2d", "pose3d")}
    return {
        **batch,
        **{name: pose.unflatten(2, (17, 3)).contiguous() for name, pose in poses.items()},
        "valid": F.pad(batch["valid"], (0, more)),
        "padded": True,
    }


def train(
    batches: Callable[[], Iterator[Batch]], task: PretrainTask, optimizer: torch.optim.Optimizer, device: torch.device
) -> None:
    for batch in batches():
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            losses, _ = task(moved(batch, device))
        sum(losses.values(), torch.zeros((), device=device)).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.synchronize()


def moved(batch: Batch, device: torch.device) -> dict[str, Any]:
    return {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}


def check(task: PretrainTask, batches: Callable[[], Iterator[Batch]], device: torch.device) -> float:
    """Largest relative difference of a loss between a batch and its padded form."""
    apart = 0.0
    with torch.no_grad():
        for batch in batches():
            one, two = (task(moved(form, device))[0] for form in (batch, padded(batch)))
            apart = max(apart, *(float((one[n] - two[n]).abs() / one[n].abs()) for n in one))
    return apart


def race(shards: Path, options: argparse.Namespace, device: torch.device) -> None:
    table = pair_samples(ShardSet(shards), DataConfig(views=("front",)))
    config = PoseConfig(
        dim_feat=options.dim, dim_rep=options.dim, heads=options.dim // 32, depth=options.pairs, middle=options.pairs
    )
    torch.manual_seed(0)
    model = ActionPose(config).to(device)
    task = PretrainTask(model, CorruptConfig(), LossConfig(lambda_con=0.0), seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    chosen = spread_batches(table.length, options.batch, options.batches)
    assemble = Assembler(table=table)

    def bucketed() -> Iterator[Batch]:
        return map(assemble.finish, Loader(assemble)(0, chosen))

    def padding() -> Iterator[Batch]:
        return map(padded, bucketed())

    apart = check(task, bucketed, device)
    print(f"losses of a batch and of its padded form differ by {apart:.1e} of their size")
    if not apart < 1e-5:
        sys.exit("bucketed and padded batches do not have the same losses")
    contestants = {
        "bucketed": partial(train, bucketed, task, optimizer, device),
        "padded to 243": partial(train, padding, task, optimizer, device),
    }
    seconds = take_turns(contestants, options.rounds, clock_of(device), warm=device.type == "cpu")
    print_race(seconds, table.length, chosen, config)


def print_race(seconds: dict[str, list[float]], lengths: Ints, chosen: list[Ints], config: PoseConfig) -> None:
    clips = sum(len(ids) for ids in chosen)
    used = sum(int(lengths[ids].sum()) for ids in chosen)
    computed = sum(len(ids) * int(lengths[ids].max()) for ids in chosen)
    macs = sum(encoder_macs(config, len(ids), int(lengths[ids].max())) for ids in chosen)
    ideal = encoder_macs(config, clips, FRAMES) / macs
    print(
        f"{clips} clips, {used / clips:.0f} frames on average, {computed / used - 1:.1%} padding inside buckets; "
        f"multiply-adds: {ideal:.2f} times fewer than padded to 243"
    )
    for name in seconds:
        ratio = times_faster(seconds, name, "padded to 243")
        print(f"{name:16s} {clips / best(seconds, name):>10.2f} clips/s of training   {ratio:.2f} times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dim", type=int, default=64, help="width of the encoder, in heads of 32; lite has 256")
    parser.add_argument("--pairs", type=int, default=1, help="pairs of blocks; all cost the same")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--batches", type=int, default=6, help="steps a round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--clips", type=int, default=4000, help="in the epoch that the batches are taken from")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        lengths = [int(length) for length in babel_lengths(options.clips)]
        race(write_shards(Path(folder) / "shards", lengths), options, torch.device(options.device))


if __name__ == "__main__":
    main()
