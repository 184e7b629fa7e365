"""Shard schema v1, writer and reader together: HDF5 files that hold frames once, and one `index.json`.

A shard folder is what training reads and the only thing it needs:

    index.json            what is in it, checksums, where it came from; written last
    train-00000.h5 …      frames and three tables

In each HDF5 file `pose3d` (F, 17, 3) float32 is contiguous, so that a reader maps it at its file offset and
a clip is a slice. `pose2d` (F, 17, 3) float32 (screen x, y, confidence) is there when 2D was detected rather
than projected. The tables are groups of equally long columns:

    motions   one row per source file or video: the range of its frames
    clips     a span of one motion, relative to the motion's first frame
    pairs     a text for a clip

For kind `motion-text`, frames are metres, world frame, z up; the 2D of a view is what
`geometry.camera_matrix(view, heading)` makes of them. For kind `benchmark`, frames are screen units in the
camera's frame.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from actionpose.arrays import Array, Float32s, Float64s, Ints
from actionpose.config import fingerprint
from actionpose.errors import UserError
from actionpose.files import atomic_path, require_file, sha256_file
from actionpose.jsonl import write_json
from actionpose.places import not_shards
from actionpose.schema import COLUMNS, SCHEMA, VERSION, Summary, VideoFacts
from actionpose.shard_checks import (
    check_shape,
    check_spans,
    check_texts,
    json_value,
    own_member,
    place_of,
    wrong_in_index,
)
from actionpose.skeleton import JOINT_NAMES, N_JOINTS

INDEX = "index.json"

_CONTENT = ("schema", "version", "kind", "fps", "views", "joints", "unit", "shards")
"""Keys of the index that say what the shards hold; the fingerprint is theirs."""

Table = Mapping[str, Sequence[Any]]


# --- writing ----------------------------------------------------------------------------------


def check_place(out: Path) -> None:
    """Raise UserError unless `out` is free or holds shards: a build never replaces what it did not make."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file", "choose a folder for --out")
    if out.is_dir() and any(out.iterdir()) and not (out / INDEX).is_file():
        raise UserError(
            f"{out} is not empty and holds no shards (no {INDEX})",
            "choose another --out; a build never overwrites what it did not make",
        )


def write_shard(
    path: str | os.PathLike[str],
    *,
    tables: Mapping[str, Table],
    pose3d: Iterable[Float32s],
    pose2d: Iterable[Float32s] | None = None,
) -> dict[str, Any]:
    """Write one shard and return its row of the index (file, counts, bytes, sha256).

    Args:
        path: the `.h5` file; it appears whole or not at all.
        tables: `motions`, `clips`, `pairs`, each with every column of `COLUMNS`. `motions.start/stop` must
            cover the frames in order without gaps.
        pose3d: one (n, 17, 3) float32 array per motion, in the order of `motions`; taken one at a time.
        pose2d: the same for detected 2D, if there is any.

    Raises:
        UserError: a motion whose frames do not have the announced shape or are not finite.
    """
    motions = tables["motions"]
    frames = int(motions["stop"][-1]) if len(motions["stop"]) else 0
    path = Path(path)
    # Frames start at a multiple of 64 bytes, so that a mapped array is aligned.
    with (
        atomic_path(path) as aside,
        h5py.File(aside, "w", track_order=True, alignment_threshold=1024, alignment_interval=64) as file,
    ):
        file.attrs["schema"], file.attrs["version"] = SCHEMA, VERSION
        _write_frames(file, "pose3d", frames, motions, pose3d)
        if pose2d is not None:
            _write_frames(file, "pose2d", frames, motions, pose2d)
        for name, columns in COLUMNS.items():
            _write_table(file.create_group(name, track_order=True), columns, tables[name])
    counts = {name: len(next(iter(tables[name].values()))) for name in COLUMNS}
    return {
        "file": path.name,
        "split": str(motions["split"][0]) if len(motions["split"]) else "",
        "frames": frames,
        **counts,
        "bytes": path.stat().st_size,
        "sha256": sha256_file(path),
    }


def _write_frames(file: h5py.File, name: str, frames: int, motions: Table, arrays: Iterable[Float32s]) -> None:
    target = file.create_dataset(name, shape=(frames, N_JOINTS, 3), dtype="<f4")
    for motion_id, start, stop, array in zip(
        motions["motion_id"], motions["start"], motions["stop"], arrays, strict=True
    ):
        if array.shape != (stop - start, N_JOINTS, 3):
            raise UserError(f"{motion_id}: {name} has shape {array.shape}, but {stop - start} frames were announced")
        if not np.isfinite(array).all():
            raise UserError(f"{motion_id}: {name} holds values that are not finite")
        target[start:stop] = array


def _write_table(group: h5py.Group, columns: Mapping[str, type], table: Table) -> None:
    for name, kind in columns.items():
        values = table[name]
        if kind in (int, float):
            group.create_dataset(name, data=np.asarray(values, dtype="<i8" if kind is int else "<f8"))
        else:
            texts = [v if kind is str else json.dumps(v, ensure_ascii=False, sort_keys=True) for v in values]
            check_texts(name, texts)
            group.create_dataset(name, data=np.asarray(texts, dtype=object), dtype=h5py.string_dtype("utf-8"))


def write_index(
    folder: str | os.PathLike[str],
    *,
    kind: str,
    fps: float,
    views: Sequence[str],
    shards: Sequence[Mapping[str, Any]],
    summary: Summary,
    provenance: Mapping[str, Any],
    licence: str,
) -> dict[str, Any]:
    """Write `index.json` (the last file of a shard folder) and return it.

    Args:
        folder: which already has the shards.
        kind: `motion-text` or `benchmark`.
        fps: frames per second of every motion.
        views: the names of the views a 2D pose can be projected to; empty when 2D is stored.
        shards: the rows that `write_shard` returned.
        summary: counts of what is in the shards and of what was left out.
        provenance: what the shards were made from and how (inputs, settings, versions).
        licence: whose terms the content carries.
    """
    content = {
        "schema": SCHEMA,
        "version": VERSION,
        "kind": kind,
        "fps": fps,
        "views": list(views),
        "joints": list(JOINT_NAMES),
        "unit": "m" if kind == "motion-text" else "screen",
        "shards": [dict(row) for row in shards],
    }
    index = {
        **content,
        "fingerprint": fingerprint(content),
        "summary": summary.to_json(kind),
        "provenance": dict(provenance),
        "licence": licence,
    }
    write_json(Path(folder) / INDEX, index)
    return index


# --- reading ----------------------------------------------------------------------------------


def read_index(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read and check `index.json`.

    Raises:
        UserError: no index (not a shard folder, or half written), not JSON, another schema, a newer version.
    """
    path = Path(folder) / INDEX
    if not path.exists():
        raise not_shards(Path(folder))
    require_file(path)
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}", "delete the folder and build it again") from error
    if not isinstance(index, dict) or index.get("schema") != SCHEMA:
        raise UserError(f"{path} does not describe ActionPose shards", f"its schema should be '{SCHEMA}'")
    if not isinstance(index.get("version"), int) or index["version"] > VERSION:
        raise UserError(
            f"{path} has schema version {str(index.get('version'))[:60]}; this program reads up to {VERSION}",
            "update actionpose, or build the shards again with this version",
        )
    try:
        sound = index.get("fingerprint") == fingerprint({key: index.get(key) for key in _CONTENT})
    except ValueError:  # NaN or infinity, which JSON does not have
        sound = False
    if not sound:
        raise UserError(
            f"{path} is damaged: its content does not have the fingerprint it states",
            "copy the folder again, or delete it and build it again",
        )
    if (wrong := wrong_in_index(index)) is not None:
        raise UserError(f"{path} is damaged: {wrong}", "delete the folder and build it again")
    return index


def summary_of(index: Mapping[str, Any], folder: str | os.PathLike[str]) -> Summary:
    """The counts that an index states; UserError when one is not there."""
    return Summary.from_json(index["kind"], index["summary"], where=str(Path(folder) / INDEX))


class ShardSet:
    """All shards of a folder as one set of tables, with frames mapped from disk.

    The tables are dicts of equally long arrays. `motions` has an added column `shard`; `clips.motion` and
    `pairs.clip` count over the whole set. Safe to pickle and to fork: each process maps the files itself.

    Args:
        folder: a shard folder.
        only: numbers of the shards to open, counted as in the index; all by default.
        spans: refuse tables whose rows name frames or rows that are not there; `validate` lists those instead.

    Raises:
        UserError: see `read_index`; a shard that is missing, has another size than the index says, or is not laid out
            as `write_shard` does it.
    """

    def __init__(
        self, folder: str | os.PathLike[str], only: Sequence[int] | None = None, *, spans: bool = True
    ) -> None:
        self.folder, self._spans = Path(folder), spans
        self.index = read_index(folder)
        if only is not None:
            self.index["shards"] = [self.index["shards"][number] for number in only]
        self.kind: str = self.index["kind"]
        self.fps: float = self.index["fps"]
        self.views: tuple[str, ...] = tuple(self.index["views"])
        self.fingerprint: str = self.index["fingerprint"]
        self._maps: dict[tuple[int, str], Float32s] = {}
        self._offsets: list[dict[str, tuple[int, int]]] = []
        parts: dict[str, list[dict[str, Array]]] = {name: [] for name in COLUMNS}
        base = dict.fromkeys(COLUMNS, 0)
        for number, row in enumerate(self.index["shards"]):
            tables = self._read_tables(row)
            tables["motions"]["shard"] = np.full(row["motions"], number, dtype=np.int64)
            tables["clips"]["motion"] += base["motions"]
            tables["pairs"]["clip"] += base["clips"]
            for name in COLUMNS:
                parts[name].append(tables[name])
                base[name] += row[name]
        self.motions, self.clips, self.pairs = (_concatenate(parts[n], n) for n in ("motions", "clips", "pairs"))

    @cached_property
    def summary(self) -> Summary:
        """The counts of the index, of all its shards; UserError when one is not there."""
        return summary_of(self.index, self.folder)

    @cached_property
    def videos(self) -> list[VideoFacts]:
        """What each motion of a benchmark states about itself; UserError when a fact is not there."""
        rows = zip(self.motions["motion_id"], self.motions["extra"], strict=True)
        return [VideoFacts.from_json(extra, where=f"{self.folder}: {name}") for name, extra in rows]

    def _read_tables(self, row: Mapping[str, Any]) -> dict[str, dict[str, Array]]:
        path = self._checked_path(row)
        try:
            with h5py.File(path, "r") as file:
                shape = (row["frames"], N_JOINTS, 3)
                names = [name for name in ("pose3d", "pose2d") if name == "pose3d" or name in file]
                offsets = {
                    name: (place_of(own_member(file, name), shape, row["bytes"]), row["frames"]) for name in names
                }
                tables = {
                    name: _read_table(own_member(file, name, h5py.Group), COLUMNS[name], row[name]) for name in COLUMNS
                }
            if self._spans:
                check_spans(tables, row["frames"])
        except PermissionError as error:
            raise UserError(f"cannot read {path}: Permission denied", "check its permissions") from error
        except _DAMAGE as error:
            raise UserError(f"{path} is damaged: {error}", "delete the folder and build it again") from error
        self._offsets.append(offsets)
        return tables

    def _checked_path(self, row: Mapping[str, Any]) -> Path:
        path = self.folder / row["file"]
        if not path.is_file():
            raise UserError(f"{path} is missing, but {INDEX} lists it", "copy the folder again, or build it again")
        if path.stat().st_size != row["bytes"]:
            raise UserError(
                f"{path} is damaged: {path.stat().st_size} bytes, {INDEX} says {row['bytes']}",
                "copy the folder again, or delete it and build it again",
            )
        return path

    def verify(self) -> None:
        """Compare every shard with its checksum.

        Raises:
            UserError: one that differs, by name.
        """
        for row in self.index["shards"]:
            path = self._checked_path(row)
            if sha256_file(path) != row["sha256"]:
                raise UserError(f"{path} does not have the checksum in {INDEX}", "copy it again, or build it again")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}

    def mapped(self, shard: int, name: str = "pose3d") -> Float32s:
        """All frames of one shard, (F, 17, 3) float32, mapped read-only."""
        key = (shard, name)
        if key not in self._maps:
            offset, frames = self._offsets[shard][name]
            path = self.folder / self.index["shards"][shard]["file"]
            shape = (frames, N_JOINTS, 3)
            # A plain array over the map: slices of `np.memmap` itself cost more than the frames they name.
            self._maps[key] = np.asarray(
                np.memmap(path, dtype="<f4", mode="r", offset=offset, shape=shape) if frames else np.zeros(shape, "<f4")
            )
        return self._maps[key]

    @property
    def has_pose2d(self) -> bool:
        """Whether 2D detections are stored in addition to the 3D frames."""
        return all("pose2d" in offsets for offsets in self._offsets) and bool(self._offsets)

    def motion_frames(self, motion: int, name: str = "pose3d") -> Float32s:
        """Frames of one motion, (n, 17, 3) float32; a view of the mapped file."""
        start, stop = self.motions["start"][motion], self.motions["stop"][motion]
        return self.mapped(int(self.motions["shard"][motion]), name)[start:stop]

    def clip_frames(self, clip: int, name: str = "pose3d") -> Float32s:
        """Frames of one clip, (n, 17, 3) float32, without its gap if it has one."""
        row = {key: int(self.clips[key][clip]) for key in ("motion", "start", "stop", "gap_start", "gap_stop")}
        frames = self.motion_frames(row["motion"], name)[row["start"] : row["stop"]]
        if row["gap_start"] == row["gap_stop"]:
            return frames
        return np.concatenate([frames[: row["gap_start"]], frames[row["gap_stop"] :]])

    @cached_property
    def rates(self) -> Float64s:
        """(motions,) frames a second as stored; of motion with text, `fps_true` is the source's, before resampling."""
        true: Float64s = self.motions["fps_true"]
        return true if self.kind == "benchmark" else np.full(len(true), self.fps)

    def clip_lengths(self) -> Ints:
        """Frames in each clip, gaps taken out, (clips,)."""
        c = self.clips
        return (c["stop"] - c["start"]) - (c["gap_stop"] - c["gap_start"])


_DAMAGE = (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, MemoryError, IndexError)
"""What h5py raises on a file with wrong bytes: it depends on which byte. All mean the same to the reader."""


def _read_table(group: h5py.Group, columns: Mapping[str, type], rows: int) -> dict[str, Array]:
    table: dict[str, Array] = {}
    for name, kind in columns.items():
        dataset = own_member(group, name)
        check_shape(dataset, (rows,))
        if kind in (int, float):
            if dataset.dtype != np.dtype("<i8" if kind is int else "<f8"):
                raise ValueError(f"{dataset.name} is {dataset.dtype}")
            table[name] = dataset[:]
            if not np.isfinite(table[name]).all():
                raise ValueError(f"{dataset.name} holds numbers that are not finite")
        else:
            texts = dataset.asstr()[:]
            values = texts if kind is str else [json_value(text, kind, dataset.name) for text in texts]
            column = np.empty(len(texts), dtype=object)
            for row, value in enumerate(values):  # slice assignment would spread equally long lists
                column[row] = value
            table[name] = column
    return table


def _concatenate(parts: list[dict[str, Array]], name: str) -> dict[str, Array]:
    names = [*COLUMNS[name], *(["shard"] if name == "motions" else [])]
    if not parts:
        return {column: np.empty(0, dtype=object) for column in names}
    return {column: np.concatenate([part[column] for part in parts]) for column in names}
