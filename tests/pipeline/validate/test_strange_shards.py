"""Shards that pass for ours: whatever is changed in index, file or tables is found, and nothing falls over it."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from actionpose.config import fingerprint
from actionpose.errors import UserError
from actionpose.files import sha256_file
from actionpose.schema import COLUMNS
from actionpose.shards import ShardSet
from pipeline.validate.tables import validate
from tests.makers.shards import make_shards

CONTENT = ("schema", "version", "kind", "fps", "views", "joints", "unit", "shards")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_shards(tmp_path / "shards", (20, 30))


def change_index(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the index and give it the fingerprint of what it then says, as someone would who means it."""
    index = json.loads((folder / "index.json").read_text())
    change(index)
    index["fingerprint"] = fingerprint({key: index.get(key) for key in CONTENT})
    (folder / "index.json").write_text(json.dumps(index))


def change_file(folder: Path, change: Callable[[h5py.File], None]) -> None:
    """Change the shard and let the index state its new size and checksum."""
    path = folder / "train-00000.h5"
    with h5py.File(path, "r+") as file:
        change(file)
    row = {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    change_index(folder, lambda index: index["shards"][0].update(row))


def found(folder: Path, *, deep: bool = False) -> bool:
    """Whether `validate` says that something is broken; it never raises."""
    return any(check.verdict == "broken" for check in validate(folder, deep=deep))


STRANGE = (None, -50, 10**6, 1 << 70, "30", "", "\0", "../../x.h5", "/etc/passwd", [], {}, [[1]], True, 1.5, "ä" * 5000)
PLACES = ("version", "kind", "fps", "views", "joints", "unit", "shards", "summary", "provenance")


@pytest.mark.parametrize("place", PLACES)
def test_every_strange_value_in_the_index_is_refused_or_harmless(folder: Path, place: str):
    whole = (folder / "index.json").read_text()
    for value in STRANGE:
        (folder / "index.json").write_text(whole)
        change_index(folder, lambda index, value=value: index.update({place: value}))
        found(folder)
        if place in ("kind", "fps", "joints", "unit") and (place, value) != ("fps", 1.5):
            with pytest.raises(UserError, match="index"):
                ShardSet(folder)


@pytest.mark.parametrize("place", ["file", "split", "frames", "bytes", "sha256", "motions", "clips", "pairs"])
def test_every_strange_value_in_the_row_of_a_shard_is_found(folder: Path, place: str):
    whole = (folder / "index.json").read_text()
    for value in STRANGE:
        (folder / "index.json").write_text(whole)
        change_index(folder, lambda index, value=value: index["shards"][0].update({place: value}))
        assert found(folder, deep=True), value


@pytest.mark.parametrize(
    "change",
    [lambda index: index["shards"].append(index["shards"][0]), lambda index: index.update(views=["front", "front"])],
    ids=["a shard", "a view"],
)
def test_nothing_is_learned_twice_because_it_is_listed_twice(folder: Path, change: Callable[[dict[str, Any]], None]):
    change_index(folder, change)
    with pytest.raises(UserError, match="is listed twice"):
        ShardSet(folder)
    assert found(folder)


@pytest.mark.parametrize("value", ["NaN", "1e999"])
def test_numbers_that_json_does_not_have_are_damage(folder: Path, value: str):
    whole = (folder / "index.json").read_text()
    (folder / "index.json").write_text(re.sub(r'"fps": [\d.]+', f'"fps": {value}', whole))
    with pytest.raises(UserError, match=r"index\.json is damaged"):
        ShardSet(folder)
    assert found(folder)


def test_joints_in_another_order_are_not_ours(folder: Path):
    change_index(folder, lambda index: index["joints"].reverse())
    with pytest.raises(UserError, match="joints"):
        ShardSet(folder)


def other_pose(**how: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        frames = file["pose3d"][:]
        del file["pose3d"]
        dtype = how.pop("dtype", "<f4")
        file.create_dataset("pose3d", data=frames.astype(dtype), **how)

    return change


def unallocated(file: h5py.File) -> None:
    del file["pose3d"]
    file.create_dataset("pose3d", shape=(50, 17, 3), dtype="<f4")


def elsewhere(file: h5py.File) -> str:
    """A shard that is as good, outside the folder."""
    return str(Path(file.filename).parents[1] / "elsewhere.h5")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(50, 17, 3), dtype="<f4")
    layout[:] = h5py.VirtualSource(elsewhere(file), "pose3d", shape=(50, 17, 3))
    del file["pose3d"]
    file.create_virtual_dataset("pose3d", layout)


def linked(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = h5py.ExternalLink(elsewhere(file), name)

    return change


def outside(name: str) -> Callable[[h5py.File], None]:
    """Data that HDF5 fetches from any file of the machine."""

    def change(file: h5py.File) -> None:
        shape, dtype = file[name].shape, file[name].dtype
        with h5py.File(elsewhere(file)) as other:
            start, size = other[name].id.get_offset(), other[name].id.get_storage_size()
        del file[name]
        file.create_dataset(name, shape=shape, dtype=dtype, external=[(elsewhere(file), start, size)])

    return change


LAYOUTS = {
    "packed": other_pose(compression="gzip"),
    "in chunks": other_pose(chunks=(10, 17, 3)),
    "float64": other_pose(dtype="<f8"),
    "big-endian": other_pose(dtype=">f4"),
    "integers": other_pose(dtype="<i4"),
    "not written": unallocated,
    "virtual": virtual,
    "a link to elsewhere": linked("pose3d"),
    "a table elsewhere": linked("clips"),
    "a column elsewhere": linked("pairs/text"),
    "frames in another file": outside("pose3d"),
    "a column in another file": outside("pairs/clip"),
    "no frames": lambda file: file.__delitem__("pose3d"),
}


@pytest.mark.parametrize("what", LAYOUTS)
def test_frames_of_another_layout_are_refused_before_they_are_mapped(folder: Path, what: str):
    os.link(make_shards(folder.parent / "other", (20, 30)) / "train-00000.h5", folder.parent / "elsewhere.h5")
    change_file(folder, LAYOUTS[what])
    with pytest.raises(UserError, match=r"train-00000\.h5 is damaged"):
        ShardSet(folder)
    assert found(folder, deep=True)


@pytest.mark.parametrize("gap", [(0, 5), (5, 20), (5, 25), (9, 5), (-3, 5)])
def test_a_gap_has_frames_of_its_clip_on_both_sides(folder: Path, gap: tuple[int, int]):
    def change(file: h5py.File) -> None:
        file["clips/gap_start"][0], file["clips/gap_stop"][0] = gap

    change_file(folder, change)
    with pytest.raises(UserError, match="its gap cannot be"):
        ShardSet(folder)


def test_strange_numbers_in_any_table_are_found_and_never_fall_over(folder: Path):
    rng = random.Random(0)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    places = [(t, c, kind) for t, columns in COLUMNS.items() for c, kind in columns.items() if kind in (int, float)]
    for table, column, kind in places:
        for name, content in whole.items():
            (folder / name).write_bytes(content)
        value = rng.choice((-50, 10**6, -1) if kind is int else (np.nan, np.inf, -1e9))

        def change(file: h5py.File, place: str = f"{table}/{column}", value: float = value) -> None:
            file[place][0] = value

        change_file(folder, change)
        assert found(folder, deep=True), (table, column, value)
