"""Videos of a benchmark become shards of kind `benchmark`: what every reader hands over, and the writer they share.

A reader makes one `BenchmarkMotion` per video of one camera, in the frame and units described there, or a `Rejected`
with its reason; `write_benchmark` takes them one at a time, so that memory holds one video and what the reader itself
keeps. Frames wait in a plain file until their shard is full, because a shard's tables come before its frames.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.characters import writable
from actionpose.config import canonical_json
from actionpose.errors import UserError
from actionpose.files import PARTIAL, publish_folder
from actionpose.progress import track
from actionpose.schema import COLUMNS, Summary, VideoFacts
from actionpose.shards import ShardSet, check_place, read_index, summary_of, write_index, write_shard
from actionpose.skeleton import N_JOINTS
from pipeline.engine.item import ItemError
from pipeline.engine.journal import disk_troubles, locked
from pipeline.engine.manifest import FailureRow, VideoRow, write_rows
from pipeline.pack.same_joints import Agreement

log = logging.getLogger("ap-data")

WRITER_VERSION = 1
"""Raised when the same input would give other bytes."""

MAX_FRAMES = 500_000
"""Frames in one shard, as `pack.max_frames`; a video is never divided."""

SPLITS = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class BenchmarkFile:
    """What a file of a benchmark turned out to be.

    Attributes:
        path: the file, or the folder of many.
        layout: a short name that tables and indexes use, such as `motionbert-pickle`.
        sentence: what it is, in words for a person.
        protocols: names of the protocols it permits.
        counts: numbers that identify it (frames per split, videos, …).
        problems: what is odd about it without being fatal.
        sha256: `sha256:<hex>` of its bytes; of a folder, over names and checksums.
    """

    path: Path
    layout: str
    sentence: str
    protocols: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    sha256: str = ""

    @property
    def identity(self) -> dict[str, Any]:
        """What the index says of it: no path, so that equal files give equal bytes wherever they lie."""
        return {"file": self.path.name, "layout": self.layout, "sha256": self.sha256}


@dataclass(frozen=True, kw_only=True)
class BenchmarkMotion:
    """One video of one camera, joints in Human3.6M order.

    Attributes:
        motion_id: unique in a build, such as `h36m/s_09_act_05_subact_02_ca_01`.
        dataset: `Human3.6M` or `MPI-INF-3DHP`.
        subject: as the dataset names it.
        split: `train` or `test`.
        action: its name, or empty.
        source: the file it comes from, by name.
        fps_stored, fps_true: frames per second.
        pose2d: (n, 17, 3), screen x, y (width scales both) and confidence.
        pose3d: (n, 17, 3), screen units, camera frame (x right, y down, z away), not yet root-relative.
        facts: what the protocol needs in addition to the frames.
    """

    motion_id: str
    dataset: str
    subject: str
    split: str
    action: str
    source: str
    fps_stored: float
    fps_true: float
    pose2d: NDArray[np.float32]
    pose3d: NDArray[np.float32]
    facts: VideoFacts


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """One video that cannot be used: `reason` in a few words that can be counted, `message` with the value."""

    motion_id: str
    reason: str
    message: str


class Unfit(ItemError):
    """Raised by a reader for what cannot be used while the rest can."""

    def rejected(self, motion_id: str) -> Rejected:
        """As the verdict on a video."""
        return Rejected(motion_id=motion_id, reason=self.reason, message=self.message)


@dataclass(frozen=True, kw_only=True)
class Written:
    """A finished build: its index, and whether it was made now or had been there already."""

    folder: Path
    index: dict[str, Any]
    fresh: bool

    @property
    def failures(self) -> dict[str, dict[str, int]]:
        """Stage → reason → number of rejected videos."""
        return self.summary.failures

    @property
    def summary(self) -> Summary:
        """The counts of the index."""
        return summary_of(self.index, self.folder)


def write_benchmark(
    out: Path,
    motions: Iterable[BenchmarkMotion | Rejected],
    *,
    stage: str,
    fps: float,
    licence: str,
    sources: Sequence[BenchmarkFile],
    settings: Mapping[str, Any] | None = None,
    total: int | None = None,
    max_frames: int = MAX_FRAMES,
) -> Written:
    """Write the shard folder of a benchmark, unless exactly this one is there already.

    The folder is made under another name and appears by one rename; its index is written last. The same motions give
    the same bytes. A video that does not fit the contract is rejected with its reason; the others are written.

    Args:
        out: the folder; replaced when it holds shards.
        motions: in the order of the result; taken one at a time, and not at all if the folder is up to date.
        stage: who writes, such as `build-h36m`; the stage column of `failures.jsonl`.
        fps: frames per second the index states.
        licence: whose terms the content carries.
        sources: the files the motions come from.
        settings: whatever else the bytes depend on; JSON data.
        total: number of motions, for the progress bar.
        max_frames: frames in one shard.

    Raises:
        UserError: `out` holds something else, no video could be used, another run holds the folder, the disk refuses.
    """
    provenance = {
        "stage": stage,
        "version": WRITER_VERSION,
        "sources": [source.identity for source in sources],
        "settings": {**(settings or {}), "max_frames": max_frames},
    }
    check_place(out)
    if (index := _current(out, provenance)) is not None:
        return Written(folder=out, index=index, fresh=False)
    partial = out.with_name(out.name + PARTIAL)
    with locked(partial), disk_troubles(partial):
        shutil.rmtree(partial)
        partial.mkdir()
        count = _Count()
        shards = _write_shards(partial, _sound(track(motions, stage, total=total, unit="video"), count), max_frames)
        for misfit in count.fit.misfits():
            raise misfit
        if not shards:
            raise UserError(f"{stage}: none of {len(count.rejected)} videos can be used", _first_reason(count.rejected))
        failures = [
            FailureRow(id=writable(r.motion_id), stage=stage, reason=r.reason, message=writable(r.message))
            for r in count.rejected
        ]
        write_rows(partial / "manifests" / "videos.jsonl", count.videos)
        write_rows(partial / "manifests" / "failures.jsonl", failures)
        index = write_index(
            partial,
            kind="benchmark",
            fps=fps,
            views=(),
            shards=shards,
            summary=_summary(shards, count, stage, sources),
            provenance=provenance,
            licence=licence,
        )
        publish_folder(partial, out)
    return Written(folder=out, index=index, fresh=True)


def misfits(motions: Iterable[BenchmarkMotion | Rejected]) -> list[UserError]:
    """Why `write_benchmark` would refuse these videos for their 2D: an error for each split that it does not fit."""
    count = _Count()
    for _ in _sound(track(motions, "2D against 3D", unit="video"), count):
        pass
    return count.fit.misfits()


def _first_reason(rejected: Sequence[Rejected]) -> str:
    return f"the first, {rejected[0].motion_id}: {rejected[0].message}" if rejected else "the files hold no video"


def _current(out: Path, provenance: Mapping[str, Any]) -> dict[str, Any] | None:
    """The index in `out` when exactly this was built there, with every shard in its size."""
    try:
        index = read_index(out)
        ShardSet(out)
    except UserError:
        return None
    return index if canonical_json(index["provenance"]) == canonical_json(provenance) else None


# --- what is let in ---------------------------------------------------------------------------


@dataclass
class _Count:
    videos: list[VideoRow] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    fit: Agreement = field(default_factory=Agreement)


def _sound(motions: Iterable[BenchmarkMotion | Rejected], count: _Count) -> Iterator[BenchmarkMotion]:
    """Those that fit the contract; the others are noted."""
    for motion in motions:
        verdict = motion if isinstance(motion, Rejected) else _verdict(motion, count.seen)
        if verdict is not None:
            count.rejected.append(verdict)
            continue
        assert isinstance(motion, BenchmarkMotion)
        count.seen.add(motion.motion_id)
        count.fit.add(motion.split, motion.pose2d, motion.pose3d)
        count.videos.append(_video_row(motion))
        yield motion


def _verdict(motion: BenchmarkMotion, seen: set[str]) -> Rejected | None:
    n = len(motion.pose3d)
    shape = (n, N_JOINTS, 3)

    def no(reason: str, message: str) -> Rejected:
        return Rejected(motion_id=writable(motion.motion_id), reason=reason, message=message)

    named = (motion.motion_id, motion.subject, motion.action, motion.source, motion.facts.camera)
    if any(writable(text) != text for text in named):
        return no("unwritable name", f"{named} hold characters that cannot be written")
    if motion.motion_id in seen:
        return no("same id twice", "another video of this build has the same id")
    if motion.split not in SPLITS:
        return no("unknown split", f"split '{motion.split}' is neither train nor test")
    if not n:
        return no("no frames", "the video has no frames")
    if motion.pose3d.shape != shape or motion.pose2d.shape != shape:
        return no("wrong shape", f"pose3d {motion.pose3d.shape}, pose2d {motion.pose2d.shape}, expected {shape}")
    for name, frames in (("pose3d", motion.pose3d), ("pose2d", motion.pose2d)):
        if not (finite := np.isfinite(frames).all(axis=(1, 2))).all():
            return no("not finite", f"{name} of {n - int(finite.sum())} frames, the first is {int(finite.argmin())}")
    unit = np.asarray(motion.facts.unit_mm)
    if not (np.isfinite(unit).all() and (unit > 0).all()) or unit.shape not in ((), (n,)):
        return no("no scale", "unit_mm is not positive and finite for every frame")
    return None


def _video_row(motion: BenchmarkMotion) -> VideoRow:
    facts, frames = motion.facts, len(motion.pose3d)
    return VideoRow(
        motion_id=motion.motion_id,
        dataset=motion.dataset,
        subject=motion.subject,
        split=motion.split,
        action=motion.action,
        camera=facts.camera,
        frames=frames,
        frames_valid=len(facts.valid_frames(frames)),
        fps=motion.fps_true,
        width=facts.width,
        height=facts.height,
        source_2d=facts.source_2d,
        target=facts.target,
        unit_mm=facts.mean_unit_mm,
        unit_from=facts.unit_from,
        protocols=list(facts.protocols),
        left_out=[f"{name}: {reason}" for name, reason in sorted(facts.skip.items())],
    )


class _Shelf:
    """The frames of one shard to be, waiting in two plain files."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.split, self.number = folder, split, 0
        self.rows: list[dict[str, Any]] = []
        self.frames = 0

    def _spool(self, name: str) -> Path:
        return self.folder / f".{self.split}.{name}.frames"

    def put(self, motion: BenchmarkMotion) -> None:
        for name in ("pose3d", "pose2d"):
            with open(self._spool(name), "ab") as handle:
                handle.write(np.ascontiguousarray(getattr(motion, name), dtype="<f4").tobytes())
        stop = self.frames + len(motion.pose3d)
        named = {key: getattr(motion, key) for key in COLUMNS["motions"] if hasattr(motion, key)}
        self.rows.append({**named, "extra": motion.facts.to_json(), "start": self.frames, "stop": stop, "heading": 0.0})
        self.frames = stop

    def close(self) -> dict[str, Any] | None:
        """Write the shard if there is anything for it, and start the next one; its row of the index."""
        if not self.rows:
            return None
        tables: dict[str, dict[str, list[Any]]] = {name: {c: [] for c in columns} for name, columns in COLUMNS.items()}
        for column, values in tables["motions"].items():
            values += [row[column] for row in self.rows]
        path = self.folder / f"{self.split}-{self.number:05d}.h5"
        row = write_shard(path, tables=tables, pose3d=self._waiting("pose3d"), pose2d=self._waiting("pose2d"))
        for name in ("pose3d", "pose2d"):
            self._spool(name).unlink()
        self.number, self.rows, self.frames = self.number + 1, [], 0
        return row

    def _waiting(self, name: str) -> Iterator[NDArray[np.float32]]:
        with open(self._spool(name), "rb") as handle:
            for row in self.rows:
                shape = (row["stop"] - row["start"], N_JOINTS, 3)
                yield np.fromfile(handle, "<f4", int(np.prod(shape))).reshape(shape)


def _write_shards(folder: Path, motions: Iterable[BenchmarkMotion], max_frames: int) -> list[dict[str, Any]]:
    shelves = {split: _Shelf(folder, split) for split in SPLITS}
    done: dict[str, list[dict[str, Any] | None]] = defaultdict(list)
    for motion in motions:
        shelf = shelves[motion.split]
        if shelf.frames and shelf.frames + len(motion.pose3d) > max_frames:
            done[motion.split].append(shelf.close())
        shelf.put(motion)
    for split, shelf in shelves.items():
        done[split].append(shelf.close())
    return [row for split in SPLITS for row in done[split] if row is not None]


# --- the index --------------------------------------------------------------------------------


def _summary(
    shards: Sequence[Mapping[str, Any]], count: _Count, stage: str, sources: Sequence[BenchmarkFile]
) -> Summary:
    reasons = Counter(rejected.reason for rejected in count.rejected)
    seconds = sum(row.frames / row.fps for row in count.videos)
    splits = sorted({row["split"] for row in shards}, key=SPLITS.index)
    left_out: Counter[str] = Counter(text for row in count.videos for text in row.left_out)
    return Summary(
        motions=len(count.videos),
        frames=sum(row["frames"] for row in shards),
        hours=round(seconds / 3600, 4),
        splits={s: _of_split([row for row in shards if row["split"] == s]) for s in splits},
        protocols=sorted({name for row in count.videos for name in row.protocols}),
        left_out=dict(sorted(left_out.items())),
        source=[source.identity for source in sources],
        source_2d=dict(sorted(Counter(row.source_2d for row in count.videos).items())),
        failures={stage: dict(sorted(reasons.items()))} if reasons else {},
    )


def _of_split(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in ("motions", "frames")}


def describe(file: BenchmarkFile) -> dict[str, Any]:
    """A `BenchmarkFile` as plain data, for `--format json`."""
    return {**asdict(file), "path": str(file.path), "counts": dict(file.counts)}
