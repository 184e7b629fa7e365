"""What 3D and 2D of MPI-INF-3DHP say about themselves: joint order, unit, and whether skeletons were rescaled.

Legend: M frames looked at, J = 17 joints. Camera frame: x right, y down, z away from the camera.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from actionpose.arrays import Float64s, Floats
from pipeline.sources.facts import table

Order = Literal["3dhp", "h36m"]
Kind = Literal["universal", "metric", "unknown"]

SAMPLE = 400
"""Frames looked at, spread evenly over a video."""

_HIPS_AND_PELVIS: dict[Order, tuple[int, int, int]] = {"3dhp": (8, 11, 14), "h36m": (1, 4, 0)}
_THIGHS: dict[Order, tuple[tuple[int, int], ...]] = {"3dhp": ((8, 9), (11, 12)), "h36m": ((1, 2), (4, 5))}
_KNEE_TO_NECK: dict[Order, tuple[tuple[int, int], ...]] = {
    "3dhp": ((12, 11), (15, 14), (1, 15)),
    "h36m": ((5, 4), (7, 0), (8, 7)),
}
_SCALES = np.arange(0.80, 1.2501, 0.01)


def sampled(frames: Floats) -> Float64s:
    """At most `SAMPLE` frames of (n, 17, C), in double precision."""
    return np.asarray(frames[:: max(1, len(frames) // SAMPLE)], dtype=np.float64)


def to_h36m(pose: Floats) -> Floats:
    """Joints (..., 17, C) from the dataset's order to Human3.6M's."""
    return pose[..., table("mpi_inf_3dhp")["joints"]["to_h36m"], :]


def from_h36m(pose: Floats) -> Floats:
    """Inverse of `to_h36m`."""
    return pose[..., np.argsort(table("mpi_inf_3dhp")["joints"]["to_h36m"]), :]


def joint_order(pose3d: Floats) -> Order | None:
    """The joint order of (M, 17, 3): only in one of the two is the pelvis between the hips."""
    distance: dict[Order, float] = {}
    for order, (right, left, pelvis) in _HIPS_AND_PELVIS.items():
        middle = (pose3d[:, right] + pose3d[:, left]) / 2
        width = np.linalg.norm(pose3d[:, right] - pose3d[:, left], axis=-1)
        off = np.linalg.norm(pose3d[:, pelvis] - middle, axis=-1)
        distance[order] = float(np.median(off / np.maximum(width, 1e-9)))
    best = min(distance, key=distance.__getitem__)
    return best if distance[best] < 0.25 else None


def in_metres(pose3d: Floats, order: Order) -> bool:
    """Whether lengths of (M, 17, 3) are metres; the files should hold millimetres."""
    lengths = [np.linalg.norm(pose3d[:, a] - pose3d[:, b], axis=-1) for a, b in _THIGHS[order]]
    return float(np.median(lengths)) < 5.0


# --- universal or metric ----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The camera and the size of the skeleton that carry 3D onto 2D best, and how large the skeleton is.

    `scale` about the pelvis that the 3D has to be multiplied by; `residual_px`, root mean square of the misfit then;
    `as_is_px`, the misfit of the 3D as it is; `height`, from knee over pelvis and spine to neck, in the file's unit.
    """

    scale: float
    residual_px: float
    as_is_px: float
    height: float


@dataclass(frozen=True)
class Annotation:
    """Which 3D a file holds, and what it was judged by.

    `scales`: subject → `Fit.scale`, median over its videos; `residual_px`, `as_is_px`: median over videos;
    `height_spread`: (largest - smallest) / mean height of the subjects.
    """

    kind: Kind
    scales: Mapping[str, float]
    residual_px: float
    as_is_px: float
    height_spread: float
    sentence: str


def fit_projection(pose2d: Floats, pose3d: Floats, order: Order, focal: Sequence[float]) -> Fit | None:
    """Find the skeleton scale of one camera's video; None when there is nothing to project.

    For a given scale k about the pelvis, u = f·X/Z + c is linear in f and c; k is searched. f is held near its
    calibrated value, or a person who does not walk about would fit in any size.

    Args:
        pose2d: (M, 17, 2) pixels.
        pose3d: (M, 17, 3) camera frame, any unit.
        order: of the joints.
        focal: calibrated focal lengths, pixels.
    """
    root = _HIPS_AND_PELVIS[order][2]
    pelvis = pose3d[:, root : root + 1]
    limbs = pose3d - pelvis
    reach = float(np.abs(limbs).max(initial=0.0))
    if not len(pose3d) or float(np.median(pelvis[..., 2])) <= reach:
        return None  # root-relative already, or not in front of the camera
    errors = [_misfit(pose2d, pelvis + k * limbs, focal) for k in _SCALES]
    best = int(np.argmin(errors))
    scale, error = _SCALES[best], errors[best]
    for step in (0.005, 0.0025, 0.00125, 0.0006):  # halve the step around the best so far
        for k in (scale - step, scale + step):
            if (e := _misfit(pose2d, pelvis + k * limbs, focal)) < error:
                scale, error = k, e
    as_is = _misfit(pose2d, pose3d, focal)
    links = [np.linalg.norm(pose3d[:, a] - pose3d[:, b], axis=-1) for a, b in _KNEE_TO_NECK[order]]
    return Fit(
        scale=float(scale),
        residual_px=float(np.sqrt(error)),
        as_is_px=float(np.sqrt(as_is)),
        height=float(np.median(np.sum(links, axis=0))),
    )


def _misfit(pose2d: Floats, pose3d: Floats, focal: Sequence[float]) -> float:
    """Mean over points of the squared distance in pixels, with the best centre and permitted focal lengths."""
    slack = table("mpi_inf_3dhp")["annotation"]["focal_slack"]
    total = 0.0
    for axis, calibrated in enumerate(focal):
        x = (pose3d[..., axis] / pose3d[..., 2]).ravel()
        u = pose2d[..., axis].ravel()
        dx, du = x - x.mean(), u - u.mean()
        f = np.clip(float(dx @ du) / max(float(dx @ dx), 1e-12), calibrated * (1 - slack), calibrated * (1 + slack))
        total += float(np.mean((du - f * dx) ** 2))
    return total


def focal_of(name: str) -> tuple[float, ...]:
    """Calibrated focal lengths of a sequence's cameras, pixels."""
    rows = table("mpi_inf_3dhp")["intrinsics"]
    row = next((row for row in rows if name in row["sequences"]), rows[0])
    return tuple(row["focal"])


def annotation_of(fits: Sequence[tuple[str, Fit]]) -> Annotation:
    """Judge a file by the fits of its videos, each with its subject.

    In a universal file every subject was scaled about the pelvis to one height: heights are equal, and the 3D projects
    only after that factor is undone. A metric file projects as it is, and its people differ in height.
    """
    rule, nan = table("mpi_inf_3dhp")["annotation"], float("nan")
    if not fits:
        sentence = "the 3D is not in a camera's frame, so which 3D it is cannot be judged"
        return Annotation("unknown", scales={}, residual_px=nan, as_is_px=nan, height_spread=nan, sentence=sentence)
    subjects = sorted({subject for subject, _ in fits})
    of = {subject: [fit for name, fit in fits if name == subject] for subject in subjects}
    scales = {subject: float(np.median([fit.scale for fit in own])) for subject, own in of.items()}
    heights = [float(np.median([fit.height for fit in own])) for own in of.values()]
    spread = float(np.ptp(heights) / np.mean(heights))
    residual = float(np.median([fit.residual_px for _, fit in fits]))
    as_is = float(np.median([fit.as_is_px for _, fit in fits]))
    off = [abs(scale - 1) > rule["scale_tolerance"] for scale in scales.values()]
    one_height = len(subjects) >= rule["subjects"] and spread < rule["height_spread"]
    kind: Kind = "metric"
    sentence = f"annot3: the 3D projects onto the 2D as it is (misfit {as_is:.1f} px)"
    if residual > rule["residual_px"]:
        kind, sentence = "unknown", f"the 3D does not project onto the 2D in any size (misfit {residual:.1f} px)"
    elif 2 * sum(off) > len(off) or (one_height and any(off)):
        kind = "universal"
        shown = ", ".join(f"{subject} {scale:.3f}" for subject, scale in scales.items())
        sentence = (
            f"univ_annot3: heights differ by {100 * spread:.1f} %, the 3D misses the 2D by {as_is:.1f} px as it is, "
            f"by {residual:.1f} px with skeletons scaled about the pelvis ({shown})"
        )
    return Annotation(
        kind, scales=scales, residual_px=residual, as_is_px=as_is, height_spread=spread, sentence=sentence
    )
