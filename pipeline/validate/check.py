"""What one invariant of a data set came to: a verdict, numbers, and who offends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

SHOWN = 3
"""Offenders named in a line; JSON has up to KEPT."""

KEPT = 50


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of `ap-data validate`."""

    name: str
    verdict: str
    """`ok`, `broken`, or `warning`: odd, but not against the contract."""
    proved: str
    """What was looked at, with numbers."""
    offenders: tuple[str, ...] = ()
    number: int = 0
    """All offenders, the unnamed too."""

    def row(self) -> dict[str, Any]:
        """As plain data."""
        row = {"check": self.name, "verdict": self.verdict, "proved": self.proved}
        return {**row, "offenders": list(self.offenders), "offenders_in_all": self.number}

    def line(self) -> str:
        """For human eyes; offenders after the numbers."""
        more = f" and {self.number - SHOWN:,} more" if self.number > SHOWN else ""
        who = f"; {self.number:,} against it: " + " | ".join(self.offenders[:SHOWN]) + more if self.number else ""
        return f"{self.verdict:<8} {self.name:<13} {self.proved}{who}"


def judged(name: str, offenders: Iterable[str], proved: str, *, otherwise: str = "broken") -> Check:
    """`ok` without offenders, else `otherwise`."""
    listed = list(offenders)
    return Check(
        name=name,
        verdict=otherwise if listed else "ok",
        proved=proved,
        offenders=tuple(listed[:KEPT]),
        number=len(listed),
    )
