"""Our pose encoder against the textbook form of the same network (`textbook.py`) with the same weights.

    python benchmarks/bench_encoder.py [--sizes base,lite] [--pairs 1] [--rounds 3] [--device cpu|cuda] [--compile]

Forward without gradients, and forward with backward, on clips of 243 frames and on short ones. Contestants take turns;
ratios are medians over rounds. Outputs and gradients are compared first, with all five pairs of blocks.

On a CPU: one thread, CPU time, float32; `--pairs` 1 (all pairs cost the same). On a GPU: bfloat16 autocast on both
sides, device time, five pairs, and our encoder through torch.compile as a third contestant. "of the matrix rate" is
FLOPs by formula (`costs.py`) over time, divided by what a large product of matrices reaches in the same run.
Memory on a CPU is the growth of the resident set of a process of its own; on a GPU it is the allocator's peak.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

# Before torch reads them: every contestant gets one thread.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import torch
from costs import encoder_macs, matrix_rate
from textbook import TextbookEncoder
from torch import Tensor, nn
from turns import Seconds, best, cpu_seconds, take_turns, times_faster

from actionpose.model.pose_encoder import PoseConfig, PoseEncoder

SIZES = {"base": {"dim_feat": 512, "mlp_ratio": 2.0}, "lite": {"dim_feat": 256, "mlp_ratio": 4.0}}
CPU_BATCHES = ((4, 243), (16, 31))
GPU_BATCHES = ((4, 243), (16, 243), (64, 31))
ALL_PAIRS = 5
TOLERANCE = 1e-5


def encoder_config(size: str, pairs: int) -> PoseConfig:
    return PoseConfig(**SIZES[size], depth=pairs, middle=min(3, pairs))


def contestants(config: PoseConfig, device: torch.device) -> dict[str, nn.Module]:
    """Both forms with the same weights, all of them random so that nothing cancels."""
    torch.manual_seed(0)
    ours = PoseEncoder(config)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    textbook = TextbookEncoder(config)
    textbook.load_state_dict(ours.state_dict())
    return {"ours": ours.to(device), "textbook": textbook.to(device)}


def clips(batch: int, frames: int, device: torch.device) -> Tensor:
    return torch.randn(batch, frames, 17, 3, generator=torch.Generator().manual_seed(1)).to(device)


# --- what is done -----------------------------------------------------------------------------


def autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def forward(encoder: nn.Module, inputs: Tensor) -> None:
    with torch.no_grad(), autocast(inputs.device):
        encoder(inputs)


def forward_backward(encoder: nn.Module, inputs: Tensor) -> None:
    for parameter in encoder.parameters():
        parameter.grad = None
    with autocast(inputs.device):
        loss = whole_loss(encoder, inputs)
    loss.backward()


def whole_loss(encoder: nn.Module, inputs: Tensor) -> Tensor:
    """Something that every output has a part in."""
    token, pose, rep = encoder(inputs)
    return pose.float().square().mean() + token.float().square().mean() + rep.float().square().mean()


WORK = {"forward": (forward, 1), "forward + backward": (forward_backward, 3)}
"""Name → what is done, and how many forward passes it counts for."""


# --- are they equal? --------------------------------------------------------------------------


def check(size: str, device: torch.device) -> None:
    """Compare all outputs and gradients in float32, with all pairs; stop when they differ."""
    both, inputs = contestants(encoder_config(size, ALL_PAIRS), device), clips(2, 31, device)
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


def device_seconds(run: Callable[[], object]) -> float:
    """Mean of some calls in a row, as the GPU saw them."""
    begin, end, calls = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True), 5
    torch.cuda.synchronize()
    begin.record()
    for _ in range(calls):
        run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3 / calls


def race(size: str, options: argparse.Namespace, device: torch.device, rate: float) -> None:
    config = encoder_config(size, options.pairs)
    both = contestants(config, device)
    runners: dict[str, nn.Module] = dict(both)
    if options.compile:
        runners["ours, compiled"] = torch.compile(both["ours"], dynamic=False)
    clock = device_seconds if device.type == "cuda" else cpu_seconds
    for batch, frames in GPU_BATCHES if device.type == "cuda" else CPU_BATCHES:
        inputs = clips(batch, frames, device)
        for work, (do, passes) in WORK.items():
            turns = {name: partial(do, encoder, inputs) for name, encoder in runners.items()}
            seconds = take_turns(turns, options.rounds, clock)
            flops = 2 * passes * encoder_macs(config, batch, frames)
            print_race(f"{size} {batch} x {frames} {work}", seconds, flops, rate)
        if device.type == "cuda":
            print_gpu_memory(f"{size} {batch} x {frames}", runners, inputs)


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


def print_gpu_memory(title: str, runners: dict[str, nn.Module], inputs: Tensor) -> None:
    for name, encoder in runners.items():
        for parameter in encoder.parameters():
            parameter.grad = None
        for work, (do, _) in WORK.items():
            torch.cuda.synchronize()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            do(encoder, inputs)
            torch.cuda.synchronize()
            peak = (torch.cuda.max_memory_allocated() - before) / 2**20
            print(f"{title + ' ' + work:34s} {name:15s} {peak:10.0f} MiB at its peak")


def grow(name: str, size: str, pairs: int, work: str, batch: int, frames: int) -> float:
    """MiB that this process grows by at its peak; asked of a fresh process."""
    encoder = contestants(encoder_config(size, pairs), torch.device("cpu"))[name]
    do, _ = WORK[work]
    do(encoder, clips(1, 2, torch.device("cpu")))  # libraries, gradients
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = resident("VmRSS")
    do(encoder, clips(batch, frames, torch.device("cpu")))
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
    parser.add_argument("--pairs", type=int, default=0, help="pairs of blocks [default: 1 on a CPU, 5 on a GPU]")
    parser.add_argument("--rounds", type=int, default=0, help="[default: 3 on a CPU, 20 on a GPU]")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, help="[default: on a GPU]")
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--grow", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.grow:  # a process of its own, see print_cpu_memory
        name, size, pairs, work, batch, frames = options.grow
        print(grow(name, size, int(pairs), work, int(batch), int(frames)))
        return
    device = torch.device(options.device)
    gpu = device.type == "cuda"
    options.pairs = options.pairs or (ALL_PAIRS if gpu else 1)
    options.rounds = options.rounds or (20 if gpu else 3)
    options.compile = gpu if options.compile is None else options.compile
    compare(options, device)


def compare(options: argparse.Namespace, device: torch.device) -> None:
    sizes = options.sizes.split(",")
    for size in sizes:
        check(size, device)
    gpu = device.type == "cuda"
    rate = matrix_rate(device, torch.bfloat16 if gpu else torch.float32, size=8192 if gpu else 2048)
    where = torch.cuda.get_device_name(device) if gpu else "CPU, one thread"
    print(
        f"{where}, torch {torch.__version__}, {'bfloat16 autocast' if gpu else 'float32'}, {options.pairs} pairs of "
        f"blocks, {options.rounds} rounds; matrix rate {rate / 1e9:,.0f} GFLOP/s"
    )
    for size in sizes:
        race(size, options, device, rate)
        if options.memory and Path("/proc/self/clear_refs").exists() and not gpu:
            print_cpu_memory(size)


if __name__ == "__main__":
    main()
