"""MPI-INF-3DHP to benchmark shards: its videos, and the build.

2D is normalised by the size of the sequence's pictures. The target is the 3D of the camera's frame in millimetres,
divided by one constant for all sequences; it becomes root-relative when it is loaded. Joints leave in Human3.6M order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.config import fingerprint
from actionpose.geometry import pixel_to_screen
from actionpose.schema import VideoFacts
from actionpose.walk import written_name
from pipeline.mpi3dhp.files import Video
from pipeline.mpi3dhp.geometry import Kind, to_h36m
from pipeline.mpi3dhp.published import published
from pipeline.mpi3dhp.recognise import Looked, protocols_of
from pipeline.pack.benchmark import BenchmarkMotion, Rejected, Written, write_benchmark
from pipeline.sources.facts import table

DATASET = "MPI-INF-3DHP"
STAGE = "build-3dhp"
VERSION = 1
"""Raised when the same files would give other frames."""

INDEX_FPS = 25.0
"""What the index says; videos with 50 frames per second have their own rate."""

LICENCE = (
    "Derived from MPI-INF-3DHP: its terms (non-commercial research, no redistribution) hold for these files; "
    "vcai.mpi-inf.mpg.de/3dhp-dataset"
)


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
        source=written_name(looked.contents.path.name),
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
