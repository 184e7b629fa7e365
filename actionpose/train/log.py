"""What a run says about itself: `log.jsonl`, a line now and then on stderr, a bar on a terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from actionpose.jsonl import append_line, read_lines, write_lines


def duration(seconds: float) -> str:
    """`47s`, `3m20s`, `5h07m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


CHARTED = ("losses", "report", "gradients", "lr", "clips_per_s", "wait_s", "step_s", "memory_mb")
"""What TensorBoard shows of an interval."""


class RunLog:
    """The log of one training process.

    Args:
        folder: the run folder; `log.jsonl` is added to.
        total: steps of the whole run.
        active: False in processes other than the first: they say nothing.
        stream: where lines for people go; stderr.
    """

    def __init__(self, folder: Path, *, total: int, active: bool = True, stream: TextIO | None = None) -> None:
        self.path = folder / "log.jsonl"
        self.total, self.active = total, active
        self.stream = stream or sys.stderr
        self.terminal = active and self.stream.isatty()
        self.started = time.monotonic()
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
            if self.terminal:
                self.stream.write("\r\033[K")
            self.stream.write(text + "\n")
            self.stream.flush()

    def event(self, name: str, **values: Any) -> None:
        """A line in the log about something other than a step."""
        if self.active:
            append_line(self.path, {"event": name, **values})
            if name == "eval":
                self._chart(values, "eval")

    def steps(self, row: Mapping[str, Any]) -> None:
        """One interval: `step, epoch, losses, report, lr, clips_per_s, wait_s, step_s, memory_mb, eta_s`.

        And `gradients`, if asked.
        """
        if not self.active:
            return
        append_line(self.path, {**row, "elapsed_s": round(time.monotonic() - self.started, 3)})
        self._chart({key: row[key] for key in CHARTED if key in row}, "train", step=row["step"])
        losses = " ".join(f"{name} {value:.4g}" for name, value in row["losses"].items())
        self.say(
            f"step {row['step']}/{self.total} epoch {row['epoch']} | {losses} | lr {row['lr']:.2e} | "
            f"{row['clips_per_s']:.1f} clips/s, waited {row['wait_s']:.2f}s | {duration(row['eta_s'])} left"
        )

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

    def tick(self, step: int) -> None:
        """Progress between lines, on a terminal only."""
        if self.terminal:
            width = 30
            done = width * step // max(self.total, 1)
            self.stream.write(f"\r[{'#' * done}{'.' * (width - done)}] {step}/{self.total}")
            self.stream.flush()

    def close(self) -> None:
        """Leave the terminal's line clean, and what TensorBoard shows complete."""
        if self.board:
            self.board.close()
        if self.terminal:
            self.stream.write("\r\033[K")
            self.stream.flush()


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
    sys.stderr.write(f"note: {text}\n")
