"""Walking a folder: every file once, whatever links there are, and nothing left out in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actionpose.walk import Unreadable, walk, written_name


def tree(root: Path) -> Path:
    for name in ("b/two.npz", "a/s1/one.npz", "a/zero.npz", "top.npz"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def names(root: Path, depth: int | None = None) -> list[str]:
    return [path.relative_to(root).as_posix() for path in walk(root, depth) if isinstance(path, Path)]


def test_files_come_folder_by_folder_in_order_of_name(tmp_path: Path):
    assert names(tree(tmp_path / "r")) == ["top.npz", "a/zero.npz", "a/s1/one.npz", "b/two.npz"]
    assert names(tmp_path / "r", 1) == ["top.npz", "a/zero.npz", "b/two.npz"]


def test_loops_end_and_every_file_comes_once_from_where_it_stands(tmp_path: Path):
    root = tree(tmp_path / "r")
    before = names(root)
    for place, target in (("a/here", "."), ("a/up", ".."), ("a/s1/over", "../../.."), ("a/aa", "../b"), ("b/x", "x")):
        os.symlink(target, root / place)
    assert [name for name in names(root) if name != "b/x"] == before


def test_a_link_to_a_folder_above_leads_nowhere(tmp_path):
    (tmp_path / "beside.npz").touch()
    root = tmp_path / "data"
    root.mkdir()
    (root / "own.npz").touch()
    for place in (tmp_path, tmp_path.parent, root):
        (root / f"up_{len(place.parts)}").symlink_to(place)
    assert list(walk(root)) == [root / "own.npz"]


def test_a_linked_folder_from_elsewhere_is_followed_once(tmp_path: Path):
    root = tree(tmp_path / "r")
    tree(tmp_path / "elsewhere")
    for link in ("m", "n"):
        os.symlink(tmp_path / "elsewhere", root / link)
    assert [name for name in names(root) if name.startswith(("m", "n"))] == [
        f"m/{name}" for name in names(tree(root))[:4]
    ]


def test_what_cannot_be_looked_into_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = tree(tmp_path / "r")
    os.symlink("/proc", root / "system")
    scandir = os.scandir

    def closed(place: Path) -> object:
        if Path(place).name == "s1":
            raise PermissionError(13, "Permission denied")
        return scandir(place)

    monkeypatch.setattr(os, "scandir", closed)
    said = {found.path.name: found.reason for found in walk(root) if isinstance(found, Unreadable)}
    assert said.keys() == {"s1", "system"}
    assert said["s1"] == "Permission denied"


def test_a_name_that_is_no_utf8_is_spelled_out():
    assert written_name(os.fsdecode(b"caf\xe9.npz")) == "caf\\xe9.npz"
    assert written_name("café.npz") == "café.npz"
