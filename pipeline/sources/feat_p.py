"""From a BABEL `feat_p` to the motion it means, whichever generation of names the files have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pipeline.engine.manifest import MotionRow
from pipeline.sources import facts


def path_key(path: str) -> tuple[str, str, str]:
    """(dataset, subject, name) of a path in a form in which both generations of names agree.

    Measured by the reference on all 12,660 paths that BABEL knows: no two collide.
    """
    parts = path.split("/")
    dataset, subject, name = parts[-3:] if len(parts) >= 3 else ("", "", parts[-1])
    stem = name.removesuffix(".npz").removesuffix("_poses").removesuffix("_stageii")
    return facts.canonical_dataset(dataset), subject.lower().replace(" ", "_"), stem.lower().replace(" ", "_")


@dataclass(frozen=True, slots=True)
class Timing:
    """What labels need to know of a motion; columns of `MotionRow`. Held for every motion, so kept small."""

    motion_id: str
    source: str
    frames: int
    fps_stored: float
    fps_true: float


M = TypeVar("M", Timing, MotionRow)


def motions_by_path(motions: Iterable[M]) -> dict[str, M]:
    """Motions under their path below the AMASS root and under their `path_key`; of equal keys the first counts."""
    known: dict[str, M] = {}
    for motion in motions:
        known[motion.source] = motion
        known.setdefault(_key(motion.source), motion)
    return known


def motion_at(known: Mapping[str, M], feat_p: str) -> M | None:
    """The motion that a `feat_p` means: verbatim, without its first part, or by `path_key`; None for an unknown one.

    Args:
        known: from `motions_by_path`.
        feat_p: as BABEL has it, with the dataset's own name in front.
    """
    for path in (feat_p, feat_p.partition("/")[2], _key(feat_p)):
        if path in known:
            return known[path]
    return None


def _key(path: str) -> str:
    return "/" + "/".join(path_key(path))  # paths below a root begin without a slash
