"""While training, SIGTERM and Ctrl-C mean: finish the step, save, stop. A second Ctrl-C stops at once."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

STOPPING = {
    signal.SIGINT: "stopping after this step; press again to stop now, losing the steps since the last checkpoint",
    signal.SIGTERM: "stopping after this step",
}


class SignalWatch:
    """Remembers the first signal while it is entered.

    Attributes:
        name: of that signal; empty: none came.
    """

    def __init__(self) -> None:
        self.name = ""

    def __enter__(self) -> SignalWatch:
        self.before = {number: signal.signal(number, self.note) for number in STOPPING}
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Remember the signal and answer at once; the loop looks after each step."""
        if number == signal.SIGINT and self.name:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name
        if os.environ.get("RANK", "0") == "0":
            _write_now(f"\n{STOPPING[signal.Signals(number)]}\n")


def _write_now(text: str) -> None:
    """To stderr past its buffer, which the code that was interrupted may be in the middle of."""
    try:
        os.write(sys.stderr.fileno(), text.encode())
    except (OSError, ValueError):  # no file behind it, as in a notebook
        return
