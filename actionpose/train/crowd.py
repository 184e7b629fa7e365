"""Whether other jobs hold the cores: several threads that wait for each other are then much slower than one."""

from __future__ import annotations

import time

import torch

ADVICE = "other jobs use the cores: -o run.threads=1 is faster then"

BUSY_BELOW = 0.6
"""Share of the steps' time that the main thread computes. Left alone it is near 1: it works, or spins until the other
threads are done. Below this, it waited for a core, or for a thread that waited for one."""

MEASURED_S = 2.0
"""Shorter times tell nothing."""


class OtherJobs:
    """Compares CPU time with wall time; a context manager around each step.

    Args:
        device: where the model is. On a GPU the main thread waits for other reasons, so nothing is noticed there.
    """

    def __init__(self, device: torch.device) -> None:
        self.several = device.type == "cpu" and torch.get_num_threads() > 1
        self.computing_s = self.seconds = 0.0
        self.noticed = False

    def __enter__(self) -> None:
        self._begun = time.monotonic(), time.thread_time()

    def __exit__(self, *exc: object) -> None:
        self.seconds += time.monotonic() - self._begun[0]
        self.computing_s += time.thread_time() - self._begun[1]

    def newly_noticed(self, waited_s: float) -> bool:
        """Whether the steps since the last question show it for the first time.

        Args:
            waited_s: how long they waited for workers that read.
        """
        seconds, computing_s = self.seconds - waited_s, self.computing_s
        self.seconds = self.computing_s = 0.0
        if self.noticed or not self.several or seconds < MEASURED_S or computing_s >= BUSY_BELOW * seconds:
            return False
        self.noticed = True
        return True
