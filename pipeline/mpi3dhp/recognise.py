"""Which of the user's files hold MPI-INF-3DHP, what they permit, and which of them a build uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from actionpose.errors import UserError
from actionpose.files import sha256_file
from actionpose.places import not_there
from actionpose.walk import Unreadable, walk
from pipeline.mpi3dhp.files import OFFICIAL_TEST, Contents, read_contents, source
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
)
from pipeline.mpi3dhp.published import differences_from_published
from pipeline.pack.benchmark import BenchmarkFile
from pipeline.sources.facts import table

Asked = Literal["auto", "universal", "metric"]


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
            yield f"which 3D this is cannot be decided ({self.annotation.sentence}); state it: --annotation universal"
        if self.kind == "metric":
            yield "annot3 permits no protocol with published numbers on univ_annot3 (P-STMO, MotionAGFormer)"
        videos = self.contents.videos
        if n := sum(order == "h36m" for order in self.orders):
            yield f"joints of {n} videos are in Human3.6M order already and are not permuted"
        if n := sum(self.metres):
            yield f"the 3D of {n} videos is in metres and is multiplied by 1,000"
        if n := sum(video.valid is None for video in videos) if self.contents.split == "test" else 0:
            yield f"{n} test videos have no valid flags: all their frames would be scored"
        yield from differences_from_published(self.contents)


def protocols_of(kind: Kind) -> tuple[str, ...]:
    """Protocols that a file with this 3D permits; none if that cannot be decided."""
    return tuple(table("mpi_inf_3dhp")["annotation"]["protocol"].get(kind, ()))


# --- which files ------------------------------------------------------------------------------


def candidates(place: Path) -> list[Path | Unreadable]:
    """What may hold the dataset: the file itself, or every npz, mat and unreadable folder down to four folders deep.

    Raises:
        UserError: there is no such file or folder.
    """
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise not_there(place, f"--mpi-inf-3dhp DIR; {source()}")
    found = list(walk(place, 3))
    files = [f for f in found if isinstance(f, Path) and f.suffix in (".npz", ".mat") and f.is_file()]
    return [*sorted(files), *(folder for folder in found if isinstance(folder, Unreadable))]


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
    """Look at every candidate; a converted file takes precedence over the official ones of the same split.

    Raises:
        UserError: no such place.
    """
    looks: list[Looked] = []
    refused: list[tuple[Path, UserError]] = []
    for path in candidates(place):
        if isinstance(path, Unreadable):
            error = UserError(f"{path.path} cannot be read: {path.reason}", "check its permissions")
            refused.append((path.path, error))
            continue
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
    return tuple(Looked(x.contents, _overruled(x.annotation, asked), x.orders, x.metres) for x in found.used)


def _overruled(judged: Annotation, asked: Kind) -> Annotation:
    """What the user says it is, and what geometry says where that is something else."""
    judgement = f"; by geometry, {judged.sentence}" if judged.kind != asked else ""
    return replace(judged, kind=asked, sentence=f"{asked}, as you say{judgement}")
