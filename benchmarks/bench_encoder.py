"""Our pose encoder against the textbook form of the same network (`textbook.py`) with the same weights.

    python benchmarks/bench_encoder.py [--sizes base,lite] [--pairs 1] [--rounds 3]

Forward without gradients, and forward with backward, on clips of 243 frames and on short ones. Contestants take turns;
ratios are medians over rounds. Outputs and gradients are compared first, with all five pairs of blocks.

On a CPU, one thread, CPU time, float32, one pair of blocks (all cost the same); `bench_gpu.py` does it on a GPU. "of
the matrix rate" is FLOPs by formula (`costs.py`) over time, divided by what a large product of matrices reaches in the
same run. Memory is the growth of the resident set of a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

# Before torch reads them: every contestant gets one thread.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import torch
from costs import encoder_macs, matrix_rate
from encoders import WORK, clips, contestants, encoder_config, whole_loss
from turns import Seconds, best, take_turns, times_faster

BATCHES = ((4, 243), (16, 31))
CPU = torch.device("cpu")
ALL_PAIRS = 5
TOLERANCE = 1e-5


# --- are they equal? --------------------------------------------------------------------------


def check(size: str) -> None:
    """Compare all outputs and gradients in float32, with all pairs; stop when they differ."""
    both, inputs = contestants(encoder_config(size, ALL_PAIRS), CPU), clips(2, 31, CPU)
    with torch.no_grad():
        apart = max(
            float((one - two).abs().max()) for one, two in zip(*(e(inputs) for e in both.values()), strict=True)
        )
    for encoder in both.values():
        whole_loss(encoder, inputs).backward()
    found = [dict(encoder.named_parameters()) for encoder in both.values()]
    largest = max(float(p.grad.abs().max()) for p in found[1].values())
    slopes = max(float((p.grad - found[1][name].grad).abs().max()) for name, p in found[0].items()) / largest
    print(f"{size}: outputs differ by {apart:.1e}, gradients by {slopes:.1e} of the largest")
    if not (apart < TOLERANCE and slopes < 10 * TOLERANCE):
        sys.exit(f"{size}: ours and the textbook's are not the same function")


# --- time -------------------------------------------------------------------------------------


def race(size: str, options: argparse.Namespace, rate: float) -> None:
    config = encoder_config(size, options.pairs)
    both = contestants(config, CPU)
    for batch, frames in BATCHES:
        inputs = clips(batch, frames, CPU)
        for work, (do, passes) in WORK.items():
            seconds = take_turns({name: partial(do, each, inputs) for name, each in both.items()}, options.rounds)
            flops = 2 * passes * encoder_macs(config, batch, frames)
            print_race(f"{size} {batch} x {frames} {work}", seconds, flops, rate)


def print_race(title: str, seconds: Seconds, flops: int, rate: float) -> None:
    for name in seconds:
        least = best(seconds, name)
        ratio = times_faster(seconds, name, "textbook")
        print(
            f"{title:34s} {name:15s} {least * 1e3:10.2f} ms   {ratio:5.2f} x the textbook   "
            f"{flops / least / rate:4.0%} of the matrix rate",
            flush=True,
        )


# --- memory -----------------------------------------------------------------------------------


def grow(name: str, size: str, pairs: int, work: str, batch: int, frames: int) -> float:
    """MiB that this process grows by at its peak; asked of a fresh process."""
    encoder = contestants(encoder_config(size, pairs), CPU)[name]
    do, _ = WORK[work]
    do(encoder, clips(1, 2, CPU))  # libraries, gradients
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = resident("VmRSS")
    do(encoder, clips(batch, frames, CPU))
    return resident("VmHWM") - before


def resident(field: str) -> float:
    """MiB of this process: `VmRSS` now, `VmHWM` at the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def print_cpu_memory(size: str) -> None:
    for work in WORK:
        grown = {}
        for name in ("ours", "textbook"):
            asked = ["--grow", name, size, str(ALL_PAIRS), work, "1", "243"]
            done = subprocess.run([sys.executable, __file__, *asked], check=True, capture_output=True, text=True)
            grown[name] = float(done.stdout)
        print(
            f"{size} 1 x 243 {work}, {ALL_PAIRS} pairs: memory grows by {grown['ours']:,.0f} MiB, "
            f"the textbook's by {grown['textbook']:,.0f}: {grown['textbook'] / grown['ours']:.1f} times as much",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="base,lite")
    parser.add_argument("--pairs", type=int, default=1, help="pairs of blocks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--grow", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.grow:  # a process of its own, see print_cpu_memory
        name, size, pairs, work, batch, frames = options.grow
        print(grow(name, size, int(pairs), work, int(batch), int(frames)))
        return
    sizes = options.sizes.split(",")
    for size in sizes:
        check(size)
    rate = matrix_rate(CPU, torch.float32, size=2048)
    print(
        f"CPU, one thread, torch {torch.__version__}, float32, {options.pairs} pairs of blocks, "
        f"{options.rounds} rounds; matrix rate {rate / 1e9:,.0f} GFLOP/s"
    )
    for size in sizes:
        race(size, options, rate)
        if options.memory and Path("/proc/self/clear_refs").exists():
            print_cpu_memory(size)


if __name__ == "__main__":
    main()
