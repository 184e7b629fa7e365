"""Acclaim's pair: ASF, a skeleton of bones with directions and axes, and AMC, the angles of its bones frame by frame.

A bone's rotation is given about the axes that the ASF states for it, and acts where the bone begins. So each bone
becomes a joint at its beginning, whose children begin at its end (Acclaim's motion format, 1994).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.files import require_file
from pipeline.body.rotations import rotations_about
from pipeline.engine.item import ItemError
from pipeline.importers.recognise import check_text
from pipeline.importers.source import (
    MAX_FRAMES,
    MAX_JOINTS,
    MAX_VALUES,
    Joint,
    Source,
    checked_values,
)

_MAX_ASF_BYTES = 10_000_000
_LONGEST_LINE = 100_000
_AXES = {"rx": 0, "ry": 1, "rz": 2}
_PLACES = {"tx": 0, "ty": 1, "tz": 2}
_WHOLE_TURN = 2 * np.pi + 0.01

Sections = dict[str, list[list[str]]]
"""Name of a section → its lines in words."""


@dataclass
class _Bone:
    """A bone of an ASF; the root is one without length."""

    name: str
    direction: Floats = field(default_factory=lambda: np.zeros(3))
    length: float = 0.0
    axis: Floats = field(default_factory=lambda: np.eye(3))
    channels: tuple[str, ...] = ()
    parent: str = ""


# --- the skeleton -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Skeleton:
    """An ASF: joints, and for each bone its channels in the order of the AMC, with the column of the first."""

    joints: tuple[Joint, ...]
    columns: dict[str, tuple[int, int]]
    """Bone → first column and number of columns."""
    width: int


def read_asf(path: Path, *, degrees: bool | None = None) -> Skeleton:
    """Read a skeleton.

    Args:
        path: the file.
        degrees: what the angles of its axes are, where its `:units` and their size contradict each other.

    Raises:
        ItemError: not an ASF, malformed, too many bones, or a hierarchy that is not a tree.
    """
    try:
        size = require_file(path).st_size
    except UserError as error:
        raise ItemError("no skeleton", f"{error.message}; give the skeleton of AMC files with --asf") from error
    if size > _MAX_ASF_BYTES:
        raise ItemError("not ASF", f"{path.name} has {size:,} bytes: too large for a skeleton")
    sections = _sections(path)
    degrees = _in_degrees(path.name, sections, degrees)
    bones = {"root": _root(path.name, sections.get("root", []))}
    for bone in _bones(path.name, sections.get("bonedata", []), degrees):
        if bone.name in bones:
            raise _wrong(path.name, f"there are two bones called {bone.name}")
        bones[bone.name] = bone
    if len(bones) > MAX_JOINTS:
        raise ItemError("too many joints", f"{path.name} has more than {MAX_JOINTS:,} bones: not a human figure")
    _set_parents(path.name, bones, sections.get("hierarchy", []))
    return _skeleton(bones, _in_order(path.name, bones))


def _in_degrees(name: str, sections: Sections, option: bool | None) -> bool:
    """Whether axes are given in degrees: as `:units` states, unless that cannot be and the user says otherwise.

    Raises:
        ItemError: it cannot be, and the user says nothing.
    """
    stated = "rad" not in " ".join(" ".join(words) for words in sections.get("units", [])).lower()
    axes = [_numbers(name, words, 3) for key, *words in sections.get("bonedata", []) if key.lower() == "axis"]
    largest = float(np.abs(axes).max(initial=0.0))
    if not (0 < largest <= _WHOLE_TURN if stated else largest > _WHOLE_TURN):
        return stated
    if option is None:
        units = ("degrees", "radians") if stated else ("radians", "degrees")
        raise ItemError(
            f"angles look like {units[1]}",
            f"{name} states {units[0]}, and the largest angle of its axes is {largest:.3f}: say which is right with "
            "--angles",
        )
    return option


def _wrong(name: str, what: str) -> ItemError:
    return ItemError("malformed", f"{name}: {what}")


def _sections(path: Path) -> Sections:
    """Section name → its lines in words; comments left out."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ItemError("no skeleton", f"{path.name} cannot be read: {error.strerror or error}") from error
    check_text(path.name, content[:4096])
    text = content.decode("utf-8-sig", "replace")
    if "\0" in text or ":bonedata" not in text.lower():
        raise ItemError("not ASF", f"{path.name} has no :bonedata: not an Acclaim skeleton")
    sections: Sections = {}
    current: list[list[str]] = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if words and words[0].startswith(":"):
            current = sections.setdefault(words[0][1:].lower(), [])
            words = words[1:]
        if words:
            current.append(words)
    return sections


def _numbers(name: str, words: list[str], count: int) -> Floats:
    try:
        values = np.array([float(word) for word in words[:count]])
    except ValueError:
        raise _wrong(name, f"'{' '.join(words)[:40]}' should be {count} numbers") from None
    if len(values) != count or not (np.abs(values) <= 1e6).all():
        raise _wrong(name, f"'{' '.join(words)[:40]}' should be {count} numbers of ordinary size")
    return values


def _axes(name: str, words: list[str], degrees: bool) -> Floats:
    """The matrix of three angles about x, y, z, applied in the order named, XYZ when none is."""
    angles = _numbers(name, words, 3)
    order = words[3].upper() if len(words) > 3 else "XYZ"
    if sorted(order) != ["X", "Y", "Z"]:
        raise _wrong(name, f"'{order[:10]}' is not an order of three axes")
    turn = np.eye(3)
    for letter in order:
        axis = "XYZ".index(letter)
        turn = rotations_about(np.eye(3)[axis], np.deg2rad(angles[axis]) if degrees else angles[axis]) @ turn
    return turn


def _root(name: str, lines: list[list[str]]) -> _Bone:
    """The root. What an orientation at rest would mean for its channels, readers of ASF do not agree on."""
    root = _Bone("root", channels=("tx", "ty", "tz", "rx", "ry", "rz"))
    for key, *words in lines:
        if key.lower() == "order":
            root.channels = _channels(name, words)
        elif key.lower() == "orientation" and np.any(_numbers(name, words, 3)):
            raise _wrong(name, f"the root is turned at rest (orientation {' '.join(words[:3])}): export it with 0 0 0")
    return root


def _channels(name: str, words: list[str]) -> tuple[str, ...]:
    channels = tuple(word.lower() for word in words)
    known = {*_AXES, *_PLACES, "l"}
    if not set(channels) <= known or len(set(channels)) < len(channels):
        raise _wrong(name, f"'{' '.join(words)[:40]}' are not channels (rx ry rz tx ty tz l)")
    return channels


def _bones(name: str, lines: list[list[str]], degrees: bool) -> list[_Bone]:
    bones: list[_Bone] = []
    for key, *words in lines:
        key = key.lower()
        if key == "begin":
            bones.append(_Bone(""))
            if len(bones) > MAX_JOINTS:
                raise ItemError("too many joints", f"{name} has more than {MAX_JOINTS:,} bones: not a human figure")
        elif not bones:
            raise _wrong(name, f"'{key[:20]}' is outside a bone")
        elif key == "name":
            bones[-1].name = words[0] if words else ""
        elif key == "direction":
            bones[-1].direction = _numbers(name, words, 3)
        elif key == "length":
            bones[-1].length = float(_numbers(name, words, 1)[0])
            if bones[-1].length < 0:
                raise _wrong(name, f"bone '{bones[-1].name}' has the length {bones[-1].length:g}")
        elif key == "axis":
            bones[-1].axis = _axes(name, words, degrees)
        elif key == "dof":
            bones[-1].channels = _channels(name, words)
    for bone in bones:
        size = float(np.linalg.norm(bone.direction))
        if not bone.name or not size:
            raise _wrong(name, f"bone '{bone.name}' lacks a name or a direction")
        bone.direction = bone.direction / size
    return bones


def _set_parents(name: str, bones: dict[str, _Bone], lines: list[list[str]]) -> None:
    """Give each bone its parent."""
    for parent, *children in lines:
        if parent.lower() in ("begin", "end"):
            continue
        for child in (parent, *children):
            if child not in bones:
                raise _wrong(name, f":hierarchy names '{child[:30]}', which is not a bone")
        for child in children:
            if bones[child].parent or child == "root":
                raise ItemError("cycle in the hierarchy", f"{name}: {child} has two parents, or is its own ancestor")
            bones[child].parent = parent


def _in_order(name: str, bones: dict[str, _Bone]) -> list[str]:
    """Bones with parents first."""
    below: dict[str, list[str]] = {}
    for bone in bones.values():
        if bone.name != "root":
            below.setdefault(bone.parent, []).append(bone.name)
    order, waiting = [], ["root"]
    while waiting:
        order.append(waiting.pop())
        waiting.extend(reversed(below.get(order[-1], [])))
    if lost := sorted(set(bones) - set(order)):
        # Each has one parent, so what the root does not reach is unattached or part of a cycle.
        raise ItemError(
            "cycle in the hierarchy",
            f"{name}: {', '.join(lost[:5])} are not reached from the root: unattached, or part of a cycle",
        )
    return order


def _skeleton(bones: dict[str, _Bone], order: list[str]) -> Skeleton:
    joints: list[Joint] = []
    columns: dict[str, tuple[int, int]] = {}
    place = {name: number for number, name in enumerate(order)}
    width = 0
    for name in order:
        bone = bones[name]
        above = bones[bone.parent] if bone.parent else None
        start = above.direction * above.length if above else np.zeros(3)
        columns[name] = (width, len(bone.channels))
        turns = tuple((_AXES[c], width + n) for n, c in enumerate(bone.channels) if c in _AXES)
        places = tuple((_PLACES[c], width + n) for n, c in enumerate(bone.channels) if c in _PLACES)
        joint = Joint(
            name=name,
            parent=place[bone.parent] if bone.parent else -1,
            offset=(float(start[0]), float(start[1]), float(start[2])),
            places=places if name == "root" else (),
            turns=turns[::-1],  # the first channel acts first, so its matrix stands last
            frame=bone.axis,
        )
        joints.append(joint)
        width += len(bone.channels)
    for name in order:  # ends of the last bones, for their directions
        end = bones[name].direction * bones[name].length
        if not any(bones[other].parent == name for other in order):
            joints.append(
                Joint(name=f"{name}:end", parent=place[name], offset=(float(end[0]), float(end[1]), float(end[2])))
            )
    return Skeleton(tuple(joints), columns, width)


def read_amc(path: Path, skeleton: Skeleton, *, degrees: bool | None = None) -> Source:
    """Read a motion of a skeleton; AMC states no rate, so `fps` is None.

    Args:
        path: the file.
        skeleton: its ASF.
        degrees: what the angles are, against what the file says.

    Raises:
        ItemError: damaged, bones that the skeleton does not have, frames missing.
    """
    reading = _Amc(path.name, skeleton)
    with open(path, "rb") as handle:
        for number, line in enumerate(iter(lambda: handle.readline(_LONGEST_LINE), b""), start=1):
            reading.line(number, line)
    reading.finish_frame()
    if not reading.rows:
        raise ItemError("no frames", f"{path.name} has no frames")
    if degrees is None and not reading.degrees:
        degrees = False
    values = checked_values(skeleton.joints, np.array(reading.rows), degrees=degrees, where=path.name)
    return Source(kind="ASF/AMC", joints=skeleton.joints, values=values, fps=None)


class _Amc:
    """A motion while it is read, line by line."""

    def __init__(self, name: str, skeleton: Skeleton) -> None:
        self.name, self.skeleton = name, skeleton
        self.degrees = True
        self.rows: list[Floats] = []
        self._row: Floats | None = None
        self._seen: set[str] = set()
        self._first = 0
        self._bones = {bone for bone, (_, count) in skeleton.columns.items() if count}

    def line(self, number: int, line: bytes) -> None:
        """Take one line."""
        words = line.removeprefix(b"\xef\xbb\xbf").split()
        if not words or words[0].startswith(b"#"):
            return
        if words[0].startswith(b":"):
            self.degrees = self.degrees and words[0].upper() != b":RADIANS"
        elif len(words) == 1 and words[0].isdigit() and len(words[0]) <= 12:
            self.finish_frame()
            self._begin_frame(int(words[0]))
        elif self._row is None:
            raise ItemError("not AMC", f"{self.name}, line {number}: no frame number before the first bone")
        else:
            self._bone(number, words, self._row)

    def finish_frame(self) -> None:
        """Keep the frame that was read, when it is whole."""
        if self._row is None:
            return
        if missing := sorted(self._bones - self._seen):
            raise ItemError(
                "cut short", f"{self.name}: frame {self._first + len(self.rows)} lacks {', '.join(missing[:5])}"
            )
        self.rows.append(self._row)

    def _begin_frame(self, number: int) -> None:
        width = self.skeleton.width
        if len(self.rows) >= MAX_FRAMES or len(self.rows) * width > MAX_VALUES:
            raise ItemError("too long", f"{self.name} has over {len(self.rows):,} frames; cut it into shorter takes")
        # Files may begin at any number; from there on they count up.
        self._first = self._first if self.rows else number
        if number != self._first + len(self.rows):
            raise ItemError(
                "frames are missing",
                f"{self.name}: frame {number} found instead of frame {self._first + len(self.rows)}: frames must "
                "count up by one",
            )
        self._row, self._seen = np.zeros(width), set()

    def _bone(self, line: int, words: list[bytes], row: Floats) -> None:
        bone, where = words[0].decode("utf-8", "replace"), f"{self.name}, line {line}"
        if bone not in self.skeleton.columns:
            raise ItemError("another skeleton", f"{where}: the ASF has no bone '{bone[:30]}'")
        if bone in self._seen:
            raise ItemError("malformed", f"{where}: {bone} occurs twice in a frame")
        first, count = self.skeleton.columns[bone]
        if len(words) - 1 != count:
            raise ItemError(
                "another skeleton",
                f"{where}: {bone} has {len(words) - 1} values, the ASF has {count} (or the file is cut short)",
            )
        try:
            row[first : first + count] = [float(word) for word in words[1:]]
        except ValueError:
            text = b" ".join(words)[:40].decode("latin-1")
            hint = " (decimals need a point)" if "," in text else ""
            raise ItemError("malformed", f"{where}: not all of '{text}' are numbers{hint}") from None
        self._seen.add(bone)
