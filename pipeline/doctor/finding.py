"""The result of checking an input: one verdict, one sentence, one next action."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from actionpose.errors import UserError

Verdict = Literal["ok", "warning", "wrong", "missing"]
SHOWN = 10
"""Examples listed on the screen; the data has all."""


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        item: what, as `input` or `input.aspect`.
        verdict: `ok`; `warning`, a build runs and something should be known; `wrong`, something has to be fixed;
            `missing`, it is not there.
        message: what was found.
        action: what to type or do next; empty when nothing has to be done.
        lines: examples or a small table, for the screen.
        details: everything, as plain data.
    """

    item: str
    verdict: Verdict
    message: str
    action: str = ""
    lines: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def stops(self) -> bool:
        """Whether something has to be fixed first."""
        return self.verdict in ("wrong", "missing")


def from_error(item: str, error: UserError, verdict: Verdict = "wrong") -> Finding:
    """A refusal of the code that will read the input is the finding."""
    return Finding(item, verdict, error.message, error.hint)


@contextmanager
def closed_places(item: str, findings: list[Finding]) -> Iterator[None]:
    """A place inside that may not be read becomes a finding: it must not cost what there is to say of other inputs."""
    try:
        yield
    except OSError as error:
        place = error.filename if isinstance(error.filename, str) else "it"
        message = f"{place} cannot be read: {error.strerror or error}"
        findings.append(Finding(item, "wrong", message, "check its permissions"))


def some(things: Iterable[str], limit: int = SHOWN) -> tuple[str, ...]:
    """The first few, and how many more there are."""
    every = list(things)
    more = len(every) - limit
    return (*every[:limit], f"… and {more:,} more") if more > 0 else tuple(every)


def counted(number: int, one: str, many: str = "") -> str:
    """`1 motion`, `2,000 motions`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(words: Sequence[str], limit: int = 4) -> str:
    """`a, b, c` or `a, b, c, … (9)`."""
    return ", ".join(words) if len(words) <= limit else f"{', '.join(words[: limit - 1])}, … ({len(words)})"
