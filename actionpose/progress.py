"""How far a long piece of work is, on stderr: a bar with the time left on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

from actionpose.characters import printable

T = TypeVar("T")

FIRST_S, EVERY_S = 1.0, 60.0
"""Off a terminal: work that is over sooner says nothing; then a line at least this often."""


def duration(seconds: float) -> str:
    """`47s`, `3m20s`, `5h07m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def silent() -> bool:
    """Whether this is a further process of torchrun: only the first one writes."""
    return os.environ.get("RANK", "0") != "0"


def say(text: str, stream: TextIO | None = None) -> None:
    """A line for people, in place of a bar that stands there."""
    stream = stream or sys.stderr
    if silent():
        return
    stream.write(("\r\033[K" if stream.isatty() else "") + text + "\n")
    stream.flush()


def bar(what: str, total: int | None, unit: str, stream: TextIO | None = None, **options: Any) -> Any:
    """A bar of tqdm's, gone when the work is over."""
    from tqdm import tqdm

    return tqdm(
        total=total, desc=what, unit=unit, file=stream or sys.stderr, leave=False, dynamic_ncols=True, **options
    )


_shown = 0
"""How many pieces of work say something now: what is inside another is silent."""


@contextmanager
def waiting(what: str, stream: TextIO | None = None) -> Iterator[None]:
    """Work that cannot be counted: how long it has taken, each second on a terminal, else a line a minute.

    Silent inside other work that says how far it is, and in worker processes, whose parent does.

    Args:
        what: the work, in words: `reading FILE`.
        stream: stderr by default.
    """
    global _shown
    if _shown or silent() or multiprocessing.parent_process() is not None:
        yield
        return
    stream, started, over = stream or sys.stderr, time.monotonic(), threading.Event()
    live = stream.isatty()

    def speak() -> None:
        wait = FIRST_S
        while not over.wait(wait):
            text = f"{printable(what)}: {duration(time.monotonic() - started)} so far"
            if live:
                stream.write(f"\r\033[K{text}")
                stream.flush()
            else:
                say(text, stream)
            wait = FIRST_S if live else EVERY_S

    speaker = threading.Thread(target=speak, daemon=True)
    _shown += 1
    speaker.start()
    try:
        yield
    finally:
        _shown -= 1
        over.set()
        speaker.join()
        if live:
            stream.write("\r\033[K")
            stream.flush()


class Progress:
    """Work that is counted; use as a context manager and `advance` it.

    Args:
        what: the work, in words: `scoring`.
        total: how many units there are; None: not known.
        unit: one of them: `window`.
        shown: False: say nothing.
        stream: stderr by default.
    """

    def __init__(
        self, what: str, *, total: int | None = None, unit: str = "item", shown: bool = True,
        stream: TextIO | None = None,
    ) -> None:  # fmt: skip
        self.what, self.total, self.unit = what, total, unit
        self.shown = shown and not silent()
        self.stream = stream or sys.stderr
        self.done, self.started = 0, time.monotonic()
        self._bar: Any = None
        self._over = threading.Event()

    def __enter__(self) -> Progress:
        global _shown
        _shown += self.shown
        self.started = time.monotonic()
        if self.shown and self.stream.isatty():
            self._bar = bar(self.what, self.total, self.unit, self.stream)
        elif self.shown:  # a thread, since one unit may take longer than a minute
            threading.Thread(target=self._heartbeat, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        global _shown
        _shown -= self.shown
        self._over.set()
        if self._bar is not None:
            self._bar.close()

    def advance(self, count: int = 1) -> None:
        """So many more units are done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)

    def line(self) -> str:
        """`scoring: 812 of 2,574 windows, 3m20s left`."""
        if self.total is None:
            return f"{self.what}: {self.done:,} {self.unit}s"
        text = f"{self.what}: {self.done:,} of {self.total:,} {self.unit}s"
        if not self.done:
            return text
        left = (time.monotonic() - self.started) / self.done * (self.total - self.done)
        return f"{text}, {duration(left)} left"

    def _heartbeat(self) -> None:
        wait = FIRST_S
        while not self._over.wait(wait):
            say(self.line(), self.stream)
            wait = EVERY_S


def track(
    things: Iterable[T], what: str, *, total: int | None = None, unit: str = "item", shown: bool = True
) -> Iterator[T]:
    """The same things, one by one, with their progress.

    Args:
        things: the work.
        what: in words.
        total: how many; by default their length, where they have one.
        unit: one of them, in words.
        shown: False: say nothing.
    """
    if total is None and isinstance(things, Sized):
        total = len(things)
    with Progress(what, total=total, unit=unit, shown=shown) as progress:
        for thing in things:
            yield thing
            progress.advance()
