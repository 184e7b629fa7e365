"""How long a run will still take: its steps, and the work between them as far as its size is known.

Nothing here changes what is learned.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

FORWARD = 1 / 3
"""A clip that is only looked at against one that is trained on, before it has been measured."""


@dataclass
class Chore(Generic[T]):
    """Work that is done between steps: statistics, heads, an evaluation.

    Attributes:
        run: does it.
        clips: clips that go through the model for it, for the first estimate of its time.
        seconds: what it took the last time.
    """

    run: Callable[[], T]
    clips: int
    seconds: float | None = field(default=None, init=False)

    def __call__(self) -> T:
        """Do it, and remember how long that took."""
        begun = time.monotonic()
        done = self.run()
        self.seconds = time.monotonic() - begun
        return done

    def lasts(self, clip_s: float) -> float:
        """Seconds it takes once, where training on a clip takes `clip_s`."""
        return self.clips * clip_s * FORWARD if self.seconds is None else self.seconds


def times_due(step: int, total: int, steps_per_epoch: int, every: int = 1) -> int:
    """How often work is still to be done that is due after each `every` epochs, and after the last step."""
    if not every or step >= total:
        return 0
    period = steps_per_epoch * every
    whole = total // period - step // period
    return whole + (1 if total % period else 0)
