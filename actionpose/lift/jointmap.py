"""A joint map: a TOML file in which users map the joints of their own detector to ours.

    [joints]
    left_hip = "hipL"              # a name in the file, or the number of a column
    pelvis = ["hipL", "hipR"]      # the middle of several
    nose = 3

Left of the sign are our names: the 17 of Human3.6M, and left_ear, right_ear, left_eye, right_eye, neck.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.files import require_file
from actionpose.lift.layouts import Layout
from actionpose.skeleton import JOINT_NAMES

NAMES = (*JOINT_NAMES, "neck", "left_ear", "right_ear", "left_eye", "right_eye")
LONGEST = 1 << 20  # bytes of a joint map; a written one has hundreds


@dataclass(frozen=True, kw_only=True)
class JointMap:
    """Our joint → the names or columns that its place is the mean of."""

    path: Path
    sources: Mapping[str, tuple[str | int, ...]]

    def apply(self, points: Floats, confidence: Floats, names: Sequence[str] | None) -> tuple[Floats, Floats, Layout]:
        """Pick the mapped joints out of a detector's.

        Args:
            points: (N, K, 2).
            confidence: (N, K).
            names: of the K joints, if the file has them.

        Raises:
            UserError: the map names a joint that the file does not have.
        """
        columns = [[self._column(source, names, points.shape[1]) for source in s] for s in self.sources.values()]
        where = np.stack([points[:, chosen].mean(axis=1) for chosen in columns], axis=1)
        sure = np.stack([confidence[:, chosen].min(axis=1) for chosen in columns], axis=1)
        return where, sure, Layout(name=self.path.name, joints=tuple(self.sources), says=f"joint map {self.path.name}")

    def _column(self, source: str | int, names: Sequence[str] | None, count: int) -> int:
        if isinstance(source, int):
            if not 0 <= source < count:
                raise UserError(
                    f"{self.path}: there is no joint {source}; the keypoints have {count}", "count them from 0"
                )
            return source
        if names is None:
            raise UserError(
                f"{self.path} names the joint '{source}', but the keypoints carry no names",
                f"write numbers instead, counted from 0 to {count - 1}",
            )
        if source not in names:
            near = [n for n in names if n.lower() == source.lower()]
            near = near or difflib.get_close_matches(source, names, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise UserError(
                f"{self.path} names the joint '{source}', which the keypoints do not have",
                f"{hint}they have: {', '.join(names)}",
            )
        return list(names).index(source)


def read_joint_map(path: Path) -> JointMap:
    """Read a joint map.

    Raises:
        UserError: not there, not TOML, or an entry that is neither a name, a number nor a list of these.
    """
    try:
        if require_file(path).st_size > LONGEST:
            raise UserError(f"{path} is not a joint map: it has more than {LONGEST} bytes", "give a short TOML file")
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
        raise UserError(f"{path} is not TOML: {error}", "see docs/lift.md for an example") from error
    table = content.get("joints")
    if not isinstance(table, dict) or not table:
        raise UserError(f"{path} has no [joints] table", 'begin it with [joints], then lines such as nose = "snout"')
    return JointMap(path=path, sources={_ours(path, name): _theirs(path, name, v) for name, v in table.items()})


def _ours(path: Path, name: str) -> str:
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.5)
        advice = f"did you mean '{near[0]}'?" if near else "names: " + ", ".join(NAMES)
        raise UserError(f"{path}: '{name}' is not one of our joints", advice)
    return name


def _theirs(path: Path, name: str, value: Any) -> tuple[str | int, ...]:
    sources = value if isinstance(value, list) else [value]
    if not sources or any(isinstance(s, bool) or not isinstance(s, str | int) for s in sources):
        raise UserError(f"{path}: {name} = {value!r}", "write a joint's name, its number, or a list of these")
    return tuple(sources)
