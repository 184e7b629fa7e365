"""BVH files: a hierarchy in braces, then one row of numbers a frame. Read with limits, never by recursion."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from actionpose.arrays import Floats
from pipeline.engine.item import ItemError
from pipeline.importers.source import MAX_FRAMES, MAX_JOINTS, MAX_VALUES, Joint, Source, checked_values

_LONGEST_LINE = 10_000
_MAX_DEPTH = 200
_BLOCK = 1 << 20
_LONGEST_ROW = 1 << 22
_NTSC = 1000 / 1001
_USUAL_RATES = (
    *(30.0, 60.0, 120.0, 25.0, 50.0, 100.0, 24.0, 240.0, 250.0, 200.0, 90.0, 150.0),
    *(30.0 * _NTSC, 60.0 * _NTSC, 24.0 * _NTSC, 120.0 * _NTSC),
)
_CHANNEL = re.compile(r"([XYZxyz])(position|rotation)", re.IGNORECASE)


def read_bvh(path: Path, *, degrees: bool | None = None) -> Source:
    """Read one BVH file.

    Args:
        path: the file.
        degrees: what the angles are: False for radians, against the format; None for degrees that look like degrees.

    Returns:
        The take; `fps` is None when the file's Frame Time is unusable, and `stated` is then what it says.

    Raises:
        ItemError: not a BVH, damaged, cut short, or not a motion; the message says where.
    """
    with open(path, "rb") as handle:
        lines = _Lines(handle, path.name)
        joints, width = _hierarchy(lines)
        frames = _frames(lines)
        stated, fps = _rate(lines)
        if frames * width > MAX_VALUES:
            raise ItemError(
                "too long", f"{path.name} announces {frames:,} frames of {width} values; cut it into shorter takes"
            )
        values = _motion(handle, path.name, frames, width)
    values = checked_values(joints, values, degrees=degrees, where=path.name)
    joints = tuple(_without_empty_places(joint, values) for joint in joints)
    return Source(kind="BVH", joints=joints, values=values, fps=fps, stated=stated)


def _without_empty_places(joint: Joint, values: Floats) -> Joint:
    """Some exporters give every joint position channels and leave them at zero: there the offset is what counts."""
    columns = [column for _, column in joint.places]
    if joint.parent < 0 or not columns or values[:, columns].any():
        return joint
    return replace(joint, places=())


class _Lines:
    """Lines of the header: short ones, numbered for messages, blank ones left out."""

    def __init__(self, handle: BinaryIO, name: str) -> None:
        self._handle, self.name, self.number = handle, name, 0

    def next(self) -> list[str]:
        """The words of the next line.

        Raises:
            ItemError: the file ends, or this is not text.
        """
        while True:
            raw = self._handle.readline(_LONGEST_LINE)
            self.number += 1
            if not raw:
                raise ItemError("cut short", f"{self.name} ends in line {self.number}, before its motion")
            if len(raw) == _LONGEST_LINE or b"\0" in raw:
                raise ItemError("not BVH", f"{self.name}: line {self.number} is not text of a BVH header")
            if words := raw.decode("utf-8", "replace").lstrip("\ufeff").split():
                return words

    def wrong(self, what: str) -> ItemError:
        """An error that names the line."""
        return ItemError("malformed", f"{self.name}, line {self.number}: {what}")


def _hierarchy(lines: _Lines) -> tuple[tuple[Joint, ...], int]:
    """The joints, and the number of values in a frame."""
    if lines.next()[0].upper() != "HIERARCHY":
        raise ItemError("not BVH", f"{lines.name} does not begin with HIERARCHY")
    joints: list[Joint] = []
    names: set[str] = set()
    open_joints: list[int] = []
    width = 0
    while True:
        words = lines.next()
        key = words[0].upper()
        if key == "MOTION":
            break
        if key in ("ROOT", "JOINT", "END"):
            braced = words[-1] == "{"  # some exporters open the brace in the same line
            joints.append(_new_joint(lines, words[:-1] if braced else words, joints, open_joints, names))
            if not braced and lines.next() != ["{"]:
                raise lines.wrong(f"no brace opens {joints[-1].name}")
            open_joints.append(len(joints) - 1)
        elif key == "OFFSET" and open_joints:
            joints[open_joints[-1]] = _with_offset(lines, words, joints[open_joints[-1]])
        elif key == "CHANNELS" and open_joints:
            joints[open_joints[-1]] = _with_channels(lines, words, joints[open_joints[-1]], width)
            width += len(words) - 2
        elif key == "}" and open_joints:
            open_joints.pop()
        else:
            raise lines.wrong(f"'{' '.join(words)[:40]}' does not belong in a hierarchy")
    if open_joints:
        raise lines.wrong(f"the braces of {joints[open_joints[-1]].name} are never closed")
    if not width:
        raise lines.wrong("a hierarchy without joints that move")
    return tuple(joints), width


def _new_joint(lines: _Lines, words: list[str], joints: list[Joint], open_joints: list[int], names: set[str]) -> Joint:
    key = words[0].upper()
    if len(joints) >= MAX_JOINTS:
        raise ItemError("too many joints", f"{lines.name} has more than {MAX_JOINTS:,} joints: not a human figure")
    if len(open_joints) >= _MAX_DEPTH:
        raise ItemError("too deep", f"{lines.name}: joints inside each other more than {_MAX_DEPTH} deep")
    if (key == "ROOT") != (not open_joints):
        raise lines.wrong(f"{key} is in the wrong place")
    if key == "ROOT" and joints:
        raise ItemError("several figures", f"{lines.name} has more than one ROOT: give each person a file")
    if key != "END" and len(words) < 2:
        raise lines.wrong(f"{key} without a name")
    name = " ".join(words[1:]) if key != "END" else f"{joints[open_joints[-1]].name}:end"
    if name in names and key != "END":
        raise lines.wrong(f"there are two joints called {name}: rename one of them")
    names.add(name)
    return Joint(name=name, parent=open_joints[-1] if open_joints else -1, offset=(0.0, 0.0, 0.0))


def _with_offset(lines: _Lines, words: list[str], joint: Joint) -> Joint:
    numbers = [_number(lines, word) for word in words[1:]]
    if len(numbers) != 3:
        raise lines.wrong(f"OFFSET of {joint.name} has {len(numbers)} numbers, not 3")
    return replace(joint, offset=(numbers[0], numbers[1], numbers[2]))


def _with_channels(lines: _Lines, words: list[str], joint: Joint, column: int) -> Joint:
    found = [_CHANNEL.fullmatch(word) for word in words[2:]]
    if joint.places or joint.turns or len(found) > 6 or words[1:2] != [str(len(found))]:
        raise lines.wrong(f"CHANNELS of {joint.name} are not up to 6 names with their number before them")
    places: list[tuple[int, int]] = []
    turns: list[tuple[int, int]] = []
    for number, match in enumerate(found):
        if match is None:
            raise lines.wrong(f"channel '{words[2 + number][:20]}' of {joint.name} is neither position nor rotation")
        axis = "XYZ".index(match[1].upper())
        (places if match[2].lower() == "position" else turns).append((axis, column + number))
    if len({axis for axis, _ in places}) < len(places) or len({axis for axis, _ in turns}) < len(turns):
        raise lines.wrong(f"CHANNELS of {joint.name} name an axis twice")
    return replace(joint, places=tuple(places), turns=tuple(turns))


def _number(lines: _Lines, word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        hint = " (decimals need a point)" if "," in word else ""
        raise lines.wrong(f"'{word[:20]}' is not a number{hint}") from None
    if not abs(number) <= 1e6:  # also false for NaN
        raise lines.wrong(f"{number:g} is not a plausible bone length")
    return number


def _stated(words: list[str]) -> tuple[str, str]:
    """Key in capitals and value of a line such as `Frames: 100`, with or without blank or colon."""
    text = " ".join(words)
    key, colon, value = text.partition(":")
    if not colon:
        key, _, value = text.rpartition(" ")
    return key.strip().upper(), value.strip()


def _frames(lines: _Lines) -> int:
    words = lines.next()
    key, value = _stated(words)
    if key != "FRAMES" or not value.isdecimal():
        raise lines.wrong(f"'{' '.join(words)[:40]}' instead of 'Frames: N', a whole number of at least 1")
    frames = int(value[:18])
    if not 1 <= frames <= MAX_FRAMES:
        hint = "; cut it into shorter takes" if frames else ""
        raise ItemError("absurd length", f"{lines.name} announces {frames:,} frames, not 1 to {MAX_FRAMES:,}{hint}")
    return frames


def _rate(lines: _Lines) -> tuple[str, float | None]:
    words = lines.next()
    key, value = _stated(words)
    if key != "FRAME TIME" or not value or " " in value:
        raise lines.wrong(f"'{' '.join(words)[:40]}' instead of 'Frame Time: SECONDS'")
    return " ".join(words)[:40], rate_of(value)


def rate_of(text: str) -> float | None:
    """The rate in Hz behind a frame time as written; None when it is not plausible.

    Times are written with few digits: 0.033 is 30 Hz, not 30.303. So the usual rate that is written like this wins.
    """
    try:
        seconds = float(text)
    except ValueError:
        return None
    if not 0.001 <= seconds <= 1.0:
        return None
    digits = len(text.partition(".")[2]) if text.replace(".", "", 1).isdecimal() else 12
    written_alike = (rate for rate in _USUAL_RATES if abs(round(1 / rate, digits) - seconds) < 1e-9)
    return next(written_alike, 1 / seconds)


def _motion(handle: BinaryIO, name: str, frames: int, width: int) -> Floats:
    """The values (frames, width); memory grows with what is there, not with what is announced."""
    wanted = frames * width
    blocks, count = [], 0
    for rows in _rows(handle, name):
        words = [word for row in rows for word in row]
        try:
            block = np.array(words, dtype=np.bytes_).astype(np.float64)
        except ValueError:
            raise _no_number(name, words, count, width) from None
        _check_rows(name, rows, count, width)
        blocks.append(block)
        count += len(block)
        if count > wanted:
            raise ItemError(
                "wrong length",
                f"{name} announces {frames:,} frames of {width} values and holds more",
            )
    if count < wanted:
        raise ItemError(
            "cut short",
            f"{name} announces {frames:,} frames of {width} values and ends in frame {count // width:,}",
        )
    return np.concatenate(blocks).reshape(frames, width)


def _rows(handle: BinaryIO, name: str) -> Iterator[list[list[bytes]]]:
    """The rest of the file in lists of lines in words; a word of more than 100 bytes is cut off there."""
    rest = b""
    while piece := handle.read(_BLOCK):
        piece = rest + piece
        cut = piece.rfind(b"\n")
        rest = piece[cut + 1 :]
        if len(rest) > _LONGEST_ROW:
            raise ItemError("malformed", f"{name}: its motion has a line of more than {_LONGEST_ROW:,} bytes")
        if rows := _in_words(piece[: cut + 1]):
            yield rows
    if rows := _in_words(rest):
        yield rows


def _in_words(text: bytes) -> list[list[bytes]]:
    rows = [row.split() for row in text.split(b"\n")]
    if len(text) > 100 and max((len(word) for row in rows for word in row), default=0) > 100:
        rows = [[word[:100] for word in row] for row in rows]
    return [row for row in rows if row]


def _check_rows(name: str, rows: list[list[bytes]], before: int, width: int) -> None:
    """Frames may share a line or be wrapped, but a line that belongs to two halves of frames is out of step.

    Raises:
        ItemError: a line has more or fewer values than there are channels.
    """
    for row in rows:
        inside = before % width
        if (inside + len(row) > width) if inside else (len(row) > width and len(row) % width):
            frame, found = before // width, inside or len(row)
            raise ItemError(
                "wrong width", f"{name}: frame {frame:,} has {found:,} values, and the joints have {width} channels"
            )
        before += len(row)


def _no_number(name: str, words: list[bytes], before: int, width: int) -> ItemError:
    for number, word in enumerate(words):
        try:
            float(word)
        except ValueError:
            text = word[:20].decode("utf-8", "replace")
            hint = " (decimals need a point)" if "," in text else ""
            return ItemError("malformed", f"{name}: frame {(before + number) // width}: '{text}' is not a number{hint}")
    return ItemError("malformed", f"{name}: something in its motion is not a number")
