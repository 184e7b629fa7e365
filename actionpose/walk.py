"""Files below a folder; each folder is entered once, and unreadable ones are reported."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SYSTEM = tuple(Path(name) for name in ("/proc", "/sys", "/dev"))

Identity = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True)
class Unreadable:
    """A folder that `walk` could not look into, and why."""

    path: Path
    reason: str


def walk(root: Path, depth: int | None = None) -> Iterator[Path | Unreadable]:
    """Every file below a folder, and every folder that cannot be read.

    Files of a folder come before those of its subfolders, in order of name. Links to folders are followed, but last,
    and only to folders not entered before: the place where a folder really is wins over a link to it, and a loop
    ends. A link to `root` or to a folder above it is not followed.

    Args:
        root: where to begin.
        depth: how many folders deep to go; all the way by default.
    """
    seen = {_identity(place) for place in root.resolve().parents}
    waiting = deque([(root, depth)])
    links: deque[tuple[Path, int | None]] = deque()
    while waiting or links:
        folder, left = (waiting or links).popleft()
        try:
            if (identity := _identity(folder)) in seen:
                continue
            seen.add(identity)
            files, folders = _listed(folder)
        except OSError as error:
            yield Unreadable(folder, error.strerror or str(error))
            continue
        yield from files
        if left == 0:
            continue
        deeper = None if left is None else left - 1
        waiting.extendleft((place, deeper) for place in reversed(folders) if not place.is_symlink())
        for place in folders:
            if place.is_symlink() and any(place.resolve().is_relative_to(system) for system in _SYSTEM):
                yield Unreadable(place, "a link into a folder of the operating system, which is not followed")
            elif place.is_symlink():
                links.append((place, deeper))


def _identity(folder: Path) -> Identity:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files and subfolders in order of name; a broken link counts as a file."""
    files: list[Path] = []
    folders: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: os.fsencode(entry.name)):
            try:
                inside = entry.is_dir()
            except OSError:  # a link that leads to itself
                inside = False
            (folders if inside else files).append(folder / entry.name)
    return files, folders


def written_name(path: str | Path) -> str:
    """A path as text that every file can hold: bytes that are not UTF-8 are spelled out in hex."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
