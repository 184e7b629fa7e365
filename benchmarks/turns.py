"""Contestants take turns, so that a noisy machine slows all equally; ratios come only from such rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch

Seconds = dict[str, list[float]]


def cpu_seconds(run: Callable[[], object]) -> float:
    """CPU time of this process, all its threads."""
    start = time.process_time()
    run()
    return time.process_time() - start


def device_seconds(run: Callable[[], object], calls: int = 1) -> float:
    """Mean of some calls in a row, as the GPU saw them."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    for _ in range(calls):
        run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3 / calls


def clock_of(device: torch.device) -> Callable[[Callable[[], object]], float]:
    """CPU time on a CPU, the device's own on a GPU."""
    return device_seconds if device.type == "cuda" else cpu_seconds


def take_turns(
    contestants: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[Callable[[], object]], float] = cpu_seconds,
    *,
    warm: bool = False,
) -> Seconds:
    """Seconds of each contestant in each round; after one unmeasured call of all, unless they are warm."""
    for run in contestants.values() if not warm else ():
        run()
    seconds: Seconds = {name: [] for name in contestants}
    for number in range(rounds):
        order = list(contestants.items())
        for name, run in order if number % 2 == 0 else order[::-1]:
            seconds[name].append(clock(run))
    return seconds


def times_faster(seconds: Seconds, fast: str, slow: str) -> float:
    """Median over rounds of slow / fast."""
    return statistics.median(s / f for f, s in zip(seconds[fast], seconds[slow], strict=True))


def best(seconds: Seconds, name: str) -> float:
    """The contestant's least disturbed round."""
    return min(seconds[name])
