"""MPI-INF-3DHP to benchmark shards: which of the user's files hold it, what they permit, and its videos.

2D is normalised by the size of the sequence's pictures. The target is the 3D of the camera's frame in millimetres,
divided by one constant for all sequences; it becomes root-relative when it is loaded. Joints leave in Human3.6M order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from actionpose.config import fingerprint
from actionpose.errors import UserError
from actionpose.files import sha256_file
from actionpose.geometry import pixel_to_screen
from actionpose.schema import VideoFacts
from pipeline.mpi3dhp.files import OFFICIAL_TEST, Contents, Video, read_contents, source
from pipeline.mpi3dhp.geometry import (
    Annotation,
    Fit,
    Kind,
    annotation_of,
    fit_projection,
    focal_of,
    in_metres,
    joint_order,
    sampled,
    to_h36m,
)
from pipeline.mpi3dhp.published import differences, published
from pipeline.pack.benchmark import BenchmarkFile, BenchmarkMotion, Rejected, Written, write_benchmark
from pipeline.sources.facts import table

DATASET = "MPI-INF-3DHP"
STAGE = "build-3dhp"
VERSION = 1
"""Raised when the same files would give other frames."""

INDEX_FPS = 25.0
"""What the index says; videos of 50 frames a second stand beside, each with its rate."""

Asked = Literal["auto", "universal", "metric"]

LICENCE = (
    "Derived from MPI-INF-3DHP: its terms (non-commercial research, no redistribution) hold for these files; "
    "vcai.mpi-inf.mpg.de/3dhp-dataset"
)


@dataclass(frozen=True, eq=False)
class Looked:
    """One file that holds videos of the dataset, and what was made of it."""

    contents: Contents
    annotation: Annotation
    """Which 3D it is, by geometry."""
    orders: tuple[str, ...]
    """The joint order of each video, `3dhp` or `h36m`; empty when it is neither."""
    metres: tuple[bool, ...]
    """Whether each video's 3D is in metres."""

    @property
    def kind(self) -> Kind:
        """`universal`, `metric` or `unknown`."""
        return self.annotation.kind

    @cached_property
    def file(self) -> BenchmarkFile:
        """For reports and for the index of the shards."""
        videos, split = self.contents.videos, self.contents.split
        counts = {"videos": len(videos), "frames": sum(len(video.pose3d) for video in videos)}
        if split == "test":
            counts["valid_frames"] = sum(int(video.scored.sum()) for video in videos)
        names = {video.name for video in videos}
        what = (
            f"{len(names)} training sequences, {len(videos)} videos"
            if split == "train"
            else f"{len(names)} test videos"
        )
        return BenchmarkFile(
            path=self.contents.path,
            layout=self.contents.layout,
            sentence=f"{what}, {counts['frames']:,} frames; {self.annotation.sentence}",
            protocols=protocols_of(self.kind),
            counts=counts,
            problems=tuple(self._problems()),
            sha256=sha256_file(self.contents.path),
        )

    def _problems(self) -> Iterator[str]:
        for rejected in self.contents.rejected:
            yield f"{rejected.motion_id}: {rejected.message}"
        if self.kind == "unknown":
            yield f"which 3D this is cannot be told ({self.annotation.sentence}); say it: --annotation universal"
        if self.kind == "metric":
            yield "annot3 permits no protocol with published numbers on univ_annot3 (P-STMO, MotionAGFormer)"
        videos = self.contents.videos
        if n := sum(order == "h36m" for order in self.orders):
            yield f"joints of {n} videos stand in Human3.6M order already and are not permuted"
        if n := sum(self.metres):
            yield f"the 3D of {n} videos is in metres and is multiplied by 1,000"
        if n := sum(video.valid is None for video in videos) if self.contents.split == "test" else 0:
            yield f"{n} test videos have no valid flags: all their frames would be scored"
        yield from differences(self.contents)


def protocols_of(kind: Kind) -> tuple[str, ...]:
    """Protocols that a file with this 3D permits; where it cannot be told, none."""
    return tuple(table("mpi_inf_3dhp")["annotation"]["protocol"].get(kind, ()))


# --- which files ------------------------------------------------------------------------------


def candidates(place: Path) -> list[Path]:
    """Files that may hold the dataset: the file itself, or every npz and mat down to four folders deep.

    Raises:
        UserError: there is no such place.
    """
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise UserError(f"there is no {place}", f"--mpi-inf-3dhp DIR; {source()}")
    globs = [f"{'*/' * depth}*{suffix}" for depth in range(4) for suffix in (".npz", ".mat")]
    return sorted(path for pattern in globs for path in place.glob(pattern) if path.is_file())


def look(path: Path) -> Looked:
    """Read a file and judge what it holds.

    Raises:
        UserError: see `read_contents`.
    """
    contents = read_contents(path)
    orders, metres = [], []
    fits: list[tuple[str, Fit]] = []
    for video in contents.videos:
        pose3d = sampled(video.pose3d)
        pose2d = sampled(video.pose2d)
        sound = np.isfinite(pose3d).all(axis=(1, 2)) & np.isfinite(pose2d).all(axis=(1, 2))
        pose2d, pose3d = pose2d[sound], pose3d[sound]
        order = joint_order(pose3d) if len(pose3d) else None
        orders.append(order or "")
        metres.append(order is not None and in_metres(pose3d, order))
        if order is not None:
            fit = fit_projection(pose2d, pose3d, order, focal_of(video.name))
            fits += [(video.subject, fit)] if fit is not None else []
    annotation = annotation_of(fits)
    if contents.layout == OFFICIAL_TEST:  # its members say which they are
        annotation = replace(annotation, kind="universal", sentence="univ_annot3 by name")
    return Looked(contents, annotation, tuple(orders), tuple(metres))


@dataclass(frozen=True, eq=False)
class Found:
    """What a place holds: files that are used, files of the dataset that give way, and refused ones."""

    used: tuple[Looked, ...]
    spare: tuple[Looked, ...]
    refused: tuple[tuple[Path, UserError], ...]

    @property
    def splits(self) -> frozenset[str]:
        """Splits that are there."""
        return frozenset(looked.contents.split for looked in self.used)


def find(place: Path) -> Found:
    """Look at every candidate; a converted file stands before the official ones of the same split.

    Raises:
        UserError: no such place.
    """
    looks: list[Looked] = []
    refused: list[tuple[Path, UserError]] = []
    for path in candidates(place):
        try:
            looks.append(look(path))
        except UserError as error:
            refused.append((path, error))
    converted = {looked.contents.split for looked in looks if looked.contents.layout.startswith("pstmo")}
    spare = [x for x in looks if not x.contents.layout.startswith("pstmo") and x.contents.split in converted]
    used = sorted((x for x in looks if x not in spare), key=lambda x: (x.contents.split != "train", x.contents.path))
    return Found(used=tuple(used), spare=tuple(spare), refused=tuple(refused))


def conflict(used: Sequence[Looked], asked: Asked = "auto") -> UserError | None:
    """Why these files cannot go into one build: a video twice, or both kinds of 3D; None when they can."""
    first: dict[str, Path] = {}
    for looked in used:
        path = looked.contents.path
        for video in looked.contents.videos:
            if first.setdefault(video.motion_id, path) != path:
                return UserError(
                    f"{first[video.motion_id]} and {path} both hold {video.motion_id}",
                    "give the folder of one of them, or one file",
                )
    if asked == "auto" and {"universal", "metric"} <= {looked.kind for looked in used}:
        each = "; ".join(f"{looked.contents.path.name}: {looked.kind}" for looked in used)
        return UserError(
            f"univ_annot3 and annot3 are mixed ({each}): a model trained on one cannot be measured on the other",
            "give files of one kind, or say which it is: --annotation universal",
        )
    return None


def chosen(place: Path, asked: Asked = "auto") -> tuple[Looked, ...]:
    """The files a build uses.

    Args:
        place: a folder or a file.
        asked: which 3D it is, when the user knows better than geometry.

    Raises:
        UserError: none there, one of two splits missing because its file is damaged, or two files of one split.
    """
    found = find(place)
    if not found.used or (found.refused and found.splits != {"train", "test"}):
        if found.refused:
            raise found.refused[0][1]
        raise UserError(f"{place} holds no file of MPI-INF-3DHP", source())
    if (error := conflict(found.used, asked)) is not None:
        raise error
    if asked == "auto":
        return found.used
    return tuple(
        Looked(x.contents, replace(x.annotation, kind=asked, sentence=f"{asked}, as you say"), x.orders, x.metres)
        for x in found.used
    )


# --- videos -----------------------------------------------------------------------------------


def picture_of(name: str) -> tuple[int, int]:
    """Width and height of a sequence's pictures, pixels."""
    picture = table("mpi_inf_3dhp")["picture"]
    row = next((row for row in picture["exceptions"] if name in row["sequences"]), picture)
    return int(row["width"]), int(row["height"])


def motions(looked: Looked) -> Iterator[BenchmarkMotion | Rejected]:
    """The videos of a file, as the shards have them."""
    yield from looked.contents.rejected
    for video, order, metres in zip(looked.contents.videos, looked.orders, looked.metres, strict=True):
        if not order and np.isfinite(video.pose3d).all() and len(video.pose3d):
            yield Rejected(
                motion_id=video.motion_id,
                reason="unknown joint order",
                message="the pelvis lies between the hips neither in MPI-INF-3DHP's order nor in Human3.6M's",
            )
            continue
        yield _motion(video, looked, permute=order != "h36m", metres=metres)


def _motion(video: Video, looked: Looked, *, permute: bool, metres: bool) -> BenchmarkMotion:
    facts, split = table("mpi_inf_3dhp"), looked.contents.split
    width, height = picture_of(video.name)
    xy = pixel_to_screen(np.asarray(video.pose2d, dtype=np.float64), width, height)
    pose2d = np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1).astype(np.float32)
    target = np.asarray(video.pose3d, dtype=np.float64) * ((1000.0 if metres else 1.0) / facts["unit"]["mm"])
    pose3d = target.astype(np.float32)
    if permute:
        pose2d, pose3d = np.asarray(to_h36m(pose2d)), np.asarray(to_h36m(pose3d))
    row = published(split).get(video.name, {})
    fps = video.fps if video.fps > 0 else float(row.get("fps", facts[split]["missing_fps"]))
    return BenchmarkMotion(
        motion_id=video.motion_id,
        dataset=DATASET,
        subject=video.subject,
        split=split,
        action="",
        source=looked.contents.path.name,
        fps_stored=video.fps if video.fps > 0 else fps,
        fps_true=fps,
        pose2d=pose2d,
        pose3d=pose3d,
        facts=_facts(video, looked.kind, width, height, split),
    )


def _facts(video: Video, kind: Kind, width: int, height: int, split: str) -> VideoFacts:
    unit = table("mpi_inf_3dhp")["unit"]
    legacy = split == "test" and video.name in unit["legacy_sequences"]
    return VideoFacts(
        width=width,
        height=height,
        camera=video.camera,
        target=kind,
        unit_mm=unit["mm"],
        unit_from="constant",
        protocols=protocols_of(kind),
        source_2d="gt",
        valid=runs(video.scored) if split == "test" else None,
        legacy_unit_mm=unit["legacy_mm"] if legacy else None,
    )


def runs(flags: NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    """Runs of true flags (n,) as [first, stop)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return tuple((int(first), int(stop)) for first, stop in edges.reshape(-1, 2))


def build(used: Sequence[Looked], out: Path) -> Written:
    """Write the shards of these files.

    Raises:
        UserError: see `write_benchmark`.
    """
    videos = (motion for looked in used for motion in motions(looked))
    return write_benchmark(
        out,
        videos,
        stage=STAGE,
        fps=INDEX_FPS,
        licence=LICENCE,
        sources=[looked.file for looked in used],
        settings={
            "version": VERSION,
            "annotation": [looked.kind for looked in used],
            "table": table_fingerprint(),
        },
        total=sum(len(looked.contents.videos) + len(looked.contents.rejected) for looked in used),
    )


def table_fingerprint() -> str:
    """Of what the table decides about the bytes, without the reasons: better words make no shards stale."""
    facts = table("mpi_inf_3dhp")
    decides = {name: facts[name] for name in ("picture", "unit", "joints", "annotation")}
    rates = {split: (facts[split]["missing_fps"], facts[split]["video"]) for split in ("train", "test")}
    return fingerprint(_without_reasons({**decides, **rates}))


def _without_reasons(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_reasons(item) for key, item in value.items() if key != "reason"}
    return [_without_reasons(item) for item in value] if isinstance(value, list | tuple) else value
