"""Which joint of a captured figure is which joint of the body: tables in `skeletons/`, and maps that users write.

A table is a TOML file. `[joints]` gives, for a joint of SMPL+H, the name in the file, or several of which the first
that is there counts. docs/import.md describes every key.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actionpose.errors import UserError
from actionpose.files import require_file
from pipeline.body.smplh import BODY_JOINT_NAMES
from pipeline.engine.item import ItemError
from pipeline.importers.source import Source

BODY = BODY_JOINT_NAMES[:22]
"""The joints that captured figures have; fingers stay at rest."""
SIDES = ("left", "right")
REQUIRED = ("pelvis", *(f"{side}_{name}" for side in SIDES for name in ("hip", "knee", "ankle", "shoulder", "elbow")))
SPINE = ("spine1", "spine2", "spine3")
LIMBS = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
"""Joints whose bone is given the source's direction; the torso is given the source's rotation."""

_PLAIN: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("about", "dataset", "subject", "subject_name", "up"), str),
    **dict.fromkeys(("lead_in_always", "only_when_named"), bool),
    **{"fps": (int, float), "lead_in": int, "rest_frame": int},
}
"""Keys with one value → its type."""

_TABLES = Path(__file__).parent / "skeletons"
_AXIS = re.compile(r"([+-][xyz]) ([+-][xyz]) ([+-][xyz])")
_HINT = "docs/import.md shows a joint map; `ap-data import FILE --dry-run` lists the joints that were found"


@dataclass(frozen=True, kw_only=True)
class Table:
    """One figure's names and rest pose; see docs/import.md for each key of the file."""

    name: str
    joints: Mapping[str, tuple[str, ...]]
    about: str = ""
    dataset: str = "Imported"
    subject: str = ""
    subject_name: str = ""
    fps: float | None = None
    fps_by_subject: Mapping[str, float] = field(default_factory=dict)
    fps_unsure: tuple[str, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()
    up: str = ""
    lead_in: int = 0
    lead_in_always: bool = False
    rest_frame: int | None = None
    only_when_named: bool = False
    needs: tuple[str, ...] = ()
    as_is: tuple[str, ...] = ()
    halfway: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    rest_directions: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    rest_axes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Correspondence:
    """A table applied to a figure.

    Attributes:
        table: which.
        joints: SMPL+H joint → number of the source's joint.
        halfway: SMPL+H joint → the two source joints whose rotations it is half-way between.
        rest_axes: source joint → where its axes point in a T-pose.
        unmapped: names of source joints that nothing is taken from, end sites left out.
        filled: SMPL+H joints that the source does not have.
    """

    table: Table
    joints: Mapping[str, int]
    halfway: Mapping[str, tuple[int, int]]
    rest_axes: Mapping[int, str]
    unmapped: tuple[str, ...]
    filled: tuple[str, ...]


def tables() -> dict[str, Table]:
    """The shipped tables by name; the ones for particular databases before the general one."""
    return dict(_shipped())


@functools.cache
def _shipped() -> tuple[tuple[str, Table], ...]:
    found = [read_table(path) for path in sorted(_TABLES.glob("*.toml"), key=lambda p: (p.stem == "generic", p.stem))]
    return tuple((table.name, table) for table in found)


def read_table(path: Path) -> Table:
    """A table from its file.

    Raises:
        UserError: no TOML, unknown keys or joints, values of the wrong type.
    """
    try:
        require_file(path)
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a joint map: {error}", _HINT) from error
    known = set(Table.__dataclass_fields__) - {"name"}
    if unknown := sorted(set(data) - known):
        raise UserError(f"{path}: unknown key '{unknown[0]}'", f"keys are {', '.join(sorted(known))}; {_HINT}")
    try:
        return Table(name=path.stem, **{**data, **_typed(data)})
    except (TypeError, ValueError, AttributeError, re.error) as error:
        raise UserError(f"{path}: {error}", _HINT) from error


def _typed(data: dict[str, Any]) -> dict[str, Any]:
    """The structured keys; all are checked."""
    for key in data.keys() & _PLAIN.keys():
        if not isinstance(data[key], _PLAIN[key]):
            raise ValueError(f"{key} is {data[key]!r}, of another type than docs/import.md says")
    joints = {key: _names(value) for key, value in data.get("joints", {}).items()}
    halfway = {key: _pair(value) for key, value in data.get("halfway", {}).items()}
    directions = {key: _direction(value) for key, value in data.get("rest_directions", {}).items()}
    axes = {str(key): str(value) for key, value in data.get("rest_axes", {}).items()}
    for name in (*joints, *halfway, *data.get("as_is", ())):
        if name not in BODY:
            raise ValueError(f"'{name}' is not a joint of the body; there are {', '.join(BODY)}")
    for name in directions:
        if name not in LIMBS:
            raise ValueError(f"rest_directions: '{name}' is none of {', '.join(LIMBS)}")
    for value in axes.values():
        if not _AXIS.fullmatch(value) or not _right_handed(value):
            raise ValueError(f"rest_axes: '{value}' is not three right-handed axes like '+y +z +x'")
    if missing := [name for name in REQUIRED if name not in joints]:
        raise ValueError(f"[joints] lacks {', '.join(missing)}")
    if data.get("up", "") not in ("", "y", "z"):
        raise ValueError(f"up is '{data['up']}', not y or z")
    re.compile(data.get("subject", ""))
    return {
        "joints": joints,
        "halfway": halfway,
        "rest_directions": directions,
        "rest_axes": axes,
        "as_is": tuple(data.get("as_is", ())),
        "needs": tuple(str(name) for name in data.get("needs", ())),
        "fps_by_subject": {str(key): float(value) for key, value in data.get("fps_by_subject", {}).items()},
        "fps_unsure": tuple(str(name) for name in data.get("fps_unsure", ())),
        "together": tuple(tuple(str(name) for name in group) for group in data.get("together", ())),
    }


def _right_handed(text: str) -> bool:
    """Whether the third axis is the first one cross the second."""
    (s1, a), (s2, b), (s3, c) = ((1 if axis[0] == "+" else -1, "xyz".index(axis[1])) for axis in text.split())
    return len({a, b, c}) == 3 and s1 * s2 * s3 == (1 if (b - a) % 3 == 1 else -1)


def _names(value: Any) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value)
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{value!r} is not a name or a list of names")
    return names


def _pair(value: Any) -> tuple[str, str]:
    names = _names(value)
    if len(names) != 2:
        raise ValueError(f"halfway: {value!r} is not two names")
    return names[0], names[1]


def _direction(value: Any) -> tuple[float, float, float]:
    numbers = [float(number) for number in value]
    if len(numbers) != 3 or not 0.9 < sum(n * n for n in numbers) < 1.1:
        raise ValueError(f"rest_directions: {value!r} is not a direction of length one")
    return numbers[0], numbers[1], numbers[2]


# --- applying a table -------------------------------------------------------------------------


def candidates(source: Source, table: Table | None = None) -> list[Correspondence]:
    """The tables that name every joint the body needs; the given one alone when one is given.

    The best comes first: a table whose `needs` are there, then the one that names most joints.

    Raises:
        ItemError: none does; the message lists what is missing and what is there.
    """
    names = _by_plain_name(source)
    fitting = (t for t in tables().values() if all(_plain(name) in names for name in t.needs))
    wanted = [table] if table else [t for t in fitting if not t.only_when_named]
    found = [applied for t in wanted if isinstance(applied := _applied(source, names, t), Correspondence)]
    if not found:
        shortages = [missing for t in wanted if isinstance(missing := _applied(source, names, t), list)]
        missing = min(shortages, key=len)
        there = ", ".join(joint.name for joint in source.joints if not joint.name.endswith(":end"))
        raise ItemError(
            "joints cannot be named",
            f"no joint can be named {', '.join(missing)}; the figure has {there[:600]}; write a joint map and pass it "
            "with --joints",
        )
    return sorted(found, key=lambda m: (not m.table.needs, -len(m.joints) - len(m.halfway), m.table.name == "generic"))


def _plain(name: str) -> str:
    return re.sub(r"[\s_.\-]+", "", name.rpartition(":")[2]).lower()


def _by_plain_name(source: Source) -> dict[str, int]:
    """Plain name → joint, end sites left out; a prefix that all joints, or all but the root, share is left out, too."""
    real = [(n, joint.name) for n, joint in enumerate(source.joints) if not joint.name.endswith(":end")]
    names = [_plain(name) for _, name in real]
    shared = _shared_prefix(names) or _shared_prefix(names[1:])
    found: dict[str, int] = {}
    for (number, _), name in zip(real, names, strict=True):
        found.setdefault(name.removeprefix("mixamorig"), number)
        found.setdefault(name.removeprefix(shared), number)
    return found


def _shared_prefix(names: Sequence[str]) -> str:
    """What all names begin with (`bip01`), when it is long enough to be a prefix and leaves each name something."""
    if len(names) < 5:
        return ""
    first, last = min(names), max(names)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:length] if length >= 3 else ""


def _applied(source: Source, names: Mapping[str, int], table: Table) -> Correspondence | list[str]:
    """The mapping, or the required joints that the figure lacks."""
    joints: dict[str, int] = {}
    # Required joints first: where a figure has no collar, its "shoulder" is the upper arm.
    for body in (*REQUIRED, *(name for name in table.joints if name not in REQUIRED)):
        free = (names[_plain(n)] for n in table.joints[body] if names.get(_plain(n), -1) not in (-1, *joints.values()))
        number = next(free, None)
        if number is not None:
            joints[body] = number
    if missing := [name for name in REQUIRED if name not in joints]:
        return missing
    spine = [name for name in SPINE if name in joints]  # parents before children, whatever their names say
    joints |= dict(zip(spine, sorted(joints[name] for name in spine), strict=True))
    halfway = {
        body: (names[_plain(a)], names[_plain(b)])
        for body, (a, b) in table.halfway.items()
        if _plain(a) in names and _plain(b) in names and body not in joints
    }
    used = {*joints.values(), *(n for pair in halfway.values() for n in pair)}
    unmapped = tuple(
        joint.name for n, joint in enumerate(source.joints) if n not in used and not joint.name.endswith(":end")
    )
    filled = tuple(name for name in BODY if name not in joints and name not in halfway)
    axes = {names[_plain(name)]: text for name, text in table.rest_axes.items() if _plain(name) in names}
    return Correspondence(table=table, joints=joints, halfway=halfway, rest_axes=axes, unmapped=unmapped, filled=filled)
