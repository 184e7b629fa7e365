"""Which frames of a benchmark count, in which ground truth, and how they are averaged: one name for each way.

A number without its protocol cannot be compared, so every result row carries the name, and what may differ inside a
protocol (windowing, dropped tails, 2D source) with it. docs/evaluation.md says where each rule comes from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Ints
from actionpose.data.windows import Scored, covering, one_each, overlapping
from actionpose.errors import UserError
from actionpose.shards import ShardSet

Name = Literal["orthographic", "h36m-b", "h36m-a", "3dhp"]
Windowing = Literal["stitched", "chunks", "every-frame", "centre"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a benchmark is measured. In all of them joint 0 is the origin of a frame and counts, with error 0.

    Attributes:
        name: what `--protocol` and result rows say.
        title: who measures like this, on what.
        truth: what the millimetres are.
        windowings: ways to cut a video into windows, the default first.
        clip_frames: T of the published numbers.
        drop_tails: whether frames after the last full window are left out, unless the settings say otherwise.
        stretch: whether a video shorter than a window is stretched to one.
        average: what the headline number is the mean of.
        extra: metrics in addition to the position and motion errors that every protocol reports.
    """

    name: Name
    title: str
    truth: str
    windowings: tuple[Windowing, ...]
    clip_frames: int
    drop_tails: bool = False
    stretch: bool = False
    average: Literal["action means", "frames"] = "frames"
    extra: tuple[str, ...] = ()

    @property
    def by_action(self) -> bool:
        """Whether the headline is the unweighted mean of the action means."""
        return self.average == "action means"


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="orthographic",
            title="projected motion capture (AMASS and its like), every view",
            truth="world millimetres",
            windowings=("stitched",),
            clip_frames=243,
        ),
        Protocol(
            name="h36m-b",
            title="Human3.6M as MotionBERT and MotionAGFormer measure it (protocol B)",
            truth="image coordinates and depth in pixels, times millimetres per pixel of the frame (2.5D)",
            windowings=("stitched",),
            clip_frames=243,
            drop_tails=True,
            stretch=True,
            # Left out, as the shards say: S9 Greeting take 2, SittingDown take 2, Waiting take 1 (damaged truth).
            average="action means",
        ),
        Protocol(
            name="h36m-a",
            title="Human3.6M as VideoPose3D, MixSTE and KTPFormer measure it (protocol A)",
            truth="camera-space millimetres",
            windowings=("chunks", "every-frame"),
            clip_frames=243,
            # Left out, as the shards say: S11 Directions, the take without a number (damaged video).
            average="action means",
        ),
        Protocol(
            name="3dhp",
            title="MPI-INF-3DHP's six test sequences as P-STMO and MotionAGFormer measure them",
            truth="millimetres of the universal skeleton (univ_annot3)",
            windowings=("centre", "stitched"),
            clip_frames=81,
            extra=("pck", "auc"),
        ),
    )
}

SCENES = {
    "green screen": ("TS1", "TS2"),
    "no green screen": ("TS3", "TS4"),
    "outdoor": ("TS5", "TS6"),
}
"""MPI-INF-3DHP's groups of test sequences, by subject."""


# --- which one --------------------------------------------------------------------------------


def protocol_of(shards: ShardSet, asked: str = "", chosen: NDArray[np.bool_] | None = None) -> Protocol:
    """The protocol to measure by: as asked, else the first that all the motions permit.

    Args:
        shards: what is measured on.
        asked: a name, or empty.
        chosen: (motions,) which of them are measured; all by default.

    Raises:
        UserError: a name that there is not, or one the shards do not permit.
    """
    if asked and asked not in PROTOCOLS:
        raise UserError(f"there is no protocol '{asked}'", "known: " + ", ".join(PROTOCOLS))
    permitted = permitted_by(shards, chosen)
    if not permitted:
        for row in _rows(shards, chosen):
            if not shards.videos[row].protocols:
                raise UserError(
                    f"{shards.folder}: {shards.motions['motion_id'][row]} permits no protocol ({_held(shards, row)})",
                    "no published numbers are comparable with it; build shards from the files that the protocols use",
                )
        raise UserError(
            f"{shards.folder} holds motions of {_datasets(shards, chosen)} that share no protocol",
            "measure one dataset at a time: -o 'eval.subjects_include=[\"DATASET/SUBJECT\"]'",
        )
    if asked and asked not in permitted:
        raise UserError(
            f"protocol '{asked}' does not fit {shards.folder}: {_why_not(shards, asked, chosen)}",
            _advice(asked, permitted),
        )
    return PROTOCOLS[asked or permitted[0]]


def permitted_by(shards: ShardSet, chosen: NDArray[np.bool_] | None = None) -> list[str]:
    """Protocols that all of the motions permit, in the order the first one names them.

    Raises:
        UserError: benchmark shards that do not state them.
    """
    if shards.kind == "motion-text":
        return ["orthographic"]
    common: list[str] | None = None
    for motion in _rows(shards, chosen):
        names = shards.videos[motion].protocols
        common = [n for n in (names if common is None else common) if n in names and n in PROTOCOLS]
    return common or []


def windowing_of(protocol: Protocol, asked: str = "") -> Windowing:
    """The way to cut videos into windows.

    Raises:
        UserError: one that the protocol does not know.
    """
    for windowing in protocol.windowings:
        if asked in ("", windowing):
            return windowing
    raise UserError(f"protocol {protocol.name} has no windowing '{asked}'", "it has: " + ", ".join(protocol.windowings))


def _rows(shards: ShardSet, chosen: NDArray[np.bool_] | None) -> list[int]:
    count = len(shards.motions["start"])
    rows: list[int] = (np.arange(count) if chosen is None else np.flatnonzero(chosen)).tolist()
    return rows


def _datasets(shards: ShardSet, chosen: NDArray[np.bool_] | None) -> str:
    return ", ".join(sorted({str(shards.motions["dataset"][row]) for row in _rows(shards, chosen)}))


def _why_not(shards: ShardSet, asked: str, chosen: NDArray[np.bool_] | None) -> str:
    if shards.kind == "motion-text" or asked == "orthographic":
        return f"it holds {_datasets(shards, chosen)} ({shards.kind})"
    for row in _rows(shards, chosen):
        if asked not in shards.videos[row].protocols:
            return f"{shards.motions['motion_id'][row]} does not permit it ({_held(shards, row)})"
    return _datasets(shards, chosen)


def _held(shards: ShardSet, row: int) -> str:
    return f"target {shards.videos[row].target}, 2D source {shards.videos[row].source_2d}"


_MADE_BY = {
    "orthographic": "`ap-data build-babel`",
    "h36m-b": "`ap-data build-h36m` from MotionBERT's pickle",
    "h36m-a": "`ap-data build-h36m` from VideoPose3D's files",
    "3dhp": "`ap-data build-3dhp` from files with univ_annot3",
}


def _advice(asked: str, permitted: list[str]) -> str:
    return f"use --protocol {' or '.join(permitted)}, or shards made for {asked} by {_MADE_BY[asked]}"


# --- which frames -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A protocol and what may be chosen in it: the windows of a video of `frames` frames, and what of each counts.

    Its methods take the video's number of frames and, (n,) ascending, those of them that may count.

    Attributes:
        protocol: says what happens to a short video.
        windowing: how videos are cut.
        size: T.
        drop_tails: leave out what follows the last full window; for `stitched` alone.
    """

    protocol: Protocol
    windowing: Windowing
    size: int
    drop_tails: bool

    def windows(self, frames: int, valid: Ints) -> list[Scored]:
        """All windows of one video."""
        if self.windowing == "chunks":
            return overlapping(frames, self.size)
        if self.windowing == "stitched":
            return covering(frames, self.size, stretch=self.protocol.stretch, drop_tail=self.drop_tails)
        return one_each(valid, self.size)

    def counted(self, frames: int, valid: Ints) -> Ints:
        """Frames that count, in the order of the windows; `chunks` may name a frame twice."""
        parts = [window.counted(frames, valid)[0] for window in self.windows(frames, valid)]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def left_out(self, frames: int, valid: Ints) -> int:
        """How many frames may count and are in no window."""
        return len(valid) - len(np.unique(self.counted(frames, valid)))


def frames_of(shards: ShardSet, motion: int) -> tuple[int, Ints]:
    """How many frames a motion has, and which may be scored, ascending: those its video names, all without a video."""
    frames = int(shards.motions["stop"][motion] - shards.motions["start"][motion])
    if shards.kind == "motion-text":
        return frames, np.arange(frames, dtype=np.int64)
    return frames, shards.videos[motion].valid_frames(frames)


def measured_motions(
    shards: ShardSet, chosen: NDArray[np.bool_], protocol: Protocol
) -> tuple[list[int], dict[str, str]]:
    """Which of the chosen motions the protocol measures, and which takes it leaves out: id → reason."""
    measured, skipped = [], {}
    for motion in _rows(shards, chosen):
        if reason := "" if shards.kind == "motion-text" else shards.videos[motion].skip_reason(protocol.name):
            skipped[str(shards.motions["motion_id"][motion])] = reason
        else:
            measured.append(motion)
    return measured, skipped
