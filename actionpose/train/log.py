"""What a run says about itself: `log.jsonl` for programs; for people a line now and then, and a bar on a terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from actionpose import progress
from actionpose.jsonl import append_line, read_lines, write_lines
from actionpose.progress import EVERY_S, duration

CHARTED = ("losses", "report", "gradients", "lr", "clips_per_s", "wait_s", "step_s", "memory_mb")
"""What TensorBoard shows of an interval."""


def seen(row: Mapping[str, Any]) -> dict[str, float]:
    """What a person reads of a log line: `mpjpe_mm`, and where texts are aligned `own_text_first_percent`."""
    report = row["report"]
    found = {"mpjpe_mm": report["mpjpe_mm"]} if "mpjpe_mm" in report else {}
    if "own_text_first" in report:
        found["own_text_first_percent"] = 100 * report["own_text_first"]
    return found


def in_words(row: Mapping[str, Any]) -> str:
    """`MPJPE 218 mm, own text first 8 % | 12 clips/s` of a log line."""
    numbers = seen(row)
    parts = [f"MPJPE {numbers['mpjpe_mm']:.0f} mm"] if "mpjpe_mm" in numbers else []
    if "own_text_first_percent" in numbers:
        parts.append(f"own text first {numbers['own_text_first_percent']:.0f} %")
    speed = row["clips_per_s"]
    return " | ".join(filter(None, [", ".join(parts), f"{speed:.{0 if speed >= 10 else 1}f} clips/s"]))


class RunLog:
    """The log of one training process.

    Args:
        folder: the run folder; `log.jsonl` is added to.
        total: steps of the whole run.
        active: False in processes other than the first: they write nothing.
        stream: where lines for people go; stderr.
    """

    def __init__(self, folder: Path, *, total: int, active: bool = True, stream: TextIO | None = None) -> None:
        self.path = folder / "log.jsonl"
        self.total, self.active = total, active
        self.stream = stream or sys.stderr
        self.terminal = active and self.stream.isatty()
        self.started = self.spoke = time.monotonic()
        self.words = ""
        self.bar: Any = None
        self.board: Any = None  # made with the first number, so that a run that never starts leaves nothing
        self.resumed_at: int | None = None

    def trim(self, step: int) -> None:
        """Drop what was logged after `step`: the run resumes there and logs it again."""
        self.resumed_at = step
        if self.active and self.path.is_file():
            kept = [row for row in read_lines(self.path) if row.get("step", 0) <= step]
            write_lines(self.path, (json.dumps(row, ensure_ascii=False) + "\n" for row in kept))

    def say(self, text: str) -> None:
        """A line for people."""
        if self.active:
            progress.say(text, self.stream)
            self.spoke = time.monotonic()

    def event(self, name: str, **values: Any) -> None:
        """A line in the log about something other than a step."""
        if self.active:
            append_line(self.path, {"event": name, **values})
            if name == "eval":
                self._chart(values, "eval")

    def steps(self, row: Mapping[str, Any]) -> None:
        """One interval: `step, epoch, losses, report, lr, clips_per_s, wait_s, step_s, memory_mb, eta_s`.

        And `gradients`, if asked. Losses, in units of their own, are only in the file.
        """
        if not self.active:
            return
        append_line(self.path, {**row, "elapsed_s": round(time.monotonic() - self.started, 3)})
        self._chart({key: row[key] for key in CHARTED if key in row}, "train", step=row["step"])
        self.words = in_words(row)
        self.say(f"step {row['step']}/{self.total} | {self.words} | {duration(row['eta_s'])} left")

    def _chart(self, values: Mapping[str, Any], under: str, *, step: int | None = None) -> None:
        """Numbers to TensorBoard where it is installed, each by its path in the row."""
        if self.board is None:
            self.board = board_writer(self.path.parent, self.resumed_at) or False
        if not self.board:
            return
        at = values["step"] if step is None else step
        for name, value in values.items():
            if isinstance(value, Mapping):
                self._chart(value, f"{under}/{name}", step=at)
            elif isinstance(value, int | float) and name not in ("step", "epoch"):
                self.board.add_scalar(f"{under}/{name}", value, at)

    def tick(self, step: int, left_s: float | None) -> None:
        """Progress between lines: a bar on a terminal; elsewhere a line when the last one is a minute old."""
        left = "" if left_s is None else f"{duration(left_s)} left"
        words = " | ".join(filter(None, [self.words, left]))
        if self.terminal:
            if self.bar is None:
                shape = "{desc} {n_fmt}/{total_fmt} |{bar:24}| {postfix}"
                self.bar = progress.bar("step", self.total, "step", self.stream, initial=step, bar_format=shape)
            self.bar.n = step
            self.bar.set_postfix_str(words)
        elif self.active and time.monotonic() - self.spoke > EVERY_S:
            self.say(f"step {step}/{self.total} | {words}")

    def pause(self) -> None:
        """Take the bar away: work with a bar of its own follows."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def close(self) -> None:
        """Leave the terminal's line clean, and what TensorBoard shows complete."""
        if self.board:
            self.board.close()
        self.pause()


def board_writer(folder: Path, resumed_at: int | None = None) -> Any:
    """TensorBoard's writer for RUN/tensorboard where it is installed, else None: `log.jsonl` has it all anyway.

    Args:
        folder: the run folder.
        resumed_at: what an interrupted run wrote after this step is hidden.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # type: ignore[attr-defined,unused-ignore]
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=None if resumed_at is None else resumed_at + 1)


def warn(text: str) -> None:
    """A line for people from outside a run."""
    progress.say(f"note: {text}")
