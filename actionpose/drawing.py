"""How a skeleton is drawn: strokes in order of depth, the person's two sides in their colours, hollow where completed.

Points are in the unit of the picture (pixels): x to the right, y down, z away from the viewer. matplotlib is imported
only when strokes are put on an axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats
from actionpose.skeleton import BONES, JOINT_NAMES, LEFT, RIGHT

LEFT_COLOUR, RIGHT_COLOUR, MIDDLE_COLOUR = "#e0632b", "#2368c4", "#56616c"
GHOST_COLOUR = "#a3aab2"
PAPER = "#ffffff"

NOSE, HEAD = JOINT_NAMES.index("nose"), JOINT_NAMES.index("head")
LIMB_M, JOINT_M, HALO_M, HEAD_M = 0.050, 0.060, 0.018, 0.20
"""Widths of limbs, joints, the paper-coloured edge around them and the head, in metres."""

FADE, FADE_M = 0.45, 0.45
"""How much of the paper a limb takes on that lies this many metres behind the pelvis."""


def bone_colour(child: int) -> str:
    """Orange for the person's left, blue for the right, grey between."""
    return LEFT_COLOUR if child in LEFT else RIGHT_COLOUR if child in RIGHT else MIDDLE_COLOUR


def moments(frames: int, count: int) -> list[int]:
    """Up to `count` frame numbers spread evenly from the first to the last."""
    return np.unique(np.linspace(0, frames - 1, min(count, frames)).round().astype(int)).tolist()


@dataclass(frozen=True, kw_only=True)
class Strokes:
    """Straight lines with round ends, in the order in which they are painted.

    Attributes:
        segments: (S, 2, 2) ends.
        colours: (S, 3) RGB between 0 and 1.
        widths: (S,) in the unit of the ends.
    """

    segments: Floats
    colours: Floats
    widths: Floats

    @classmethod
    def joined(cls, parts: Sequence[Strokes]) -> Strokes:
        """All strokes, in order."""
        return cls(
            segments=np.concatenate([part.segments for part in parts] or [np.empty((0, 2, 2))]),
            colours=np.concatenate([part.colours for part in parts] or [np.empty((0, 3))]),
            widths=np.concatenate([part.widths for part in parts] or [np.empty(0)]),
        )


def skeleton(
    points: Floats,
    size: float,
    *,
    filled: NDArray[np.bool_] | None = None,
    colour: str = "",
    thin: float = 1.0,
    face: bool = True,
    paper: str = PAPER,
) -> Strokes:
    """Strokes of one pose, far ones first; each has an edge in the paper's colour, so that crossing limbs stay apart.

    Args:
        points: (17, 3); what has a NaN is not drawn.
        size: units of the picture for a metre.
        filled: (17,) joints that were completed, not seen: drawn hollow, with the limbs that lead to them.
        colour: of the whole skeleton, instead of the colours of its sides.
        thin: factor of all widths.
        face: whether the head is a disc; otherwise its bone is drawn.
        paper: colour behind the skeleton.
    """
    hollow = np.zeros(len(points), dtype=bool) if filled is None else np.asarray(filled, dtype=bool)
    width = size * thin
    depth = (points[:, 2] - np.nanmean(points[:, 2])) / size if np.isfinite(points).any() else points[:, 2]
    paint = _Painter(paper=rgb(paper), edge=HALO_M * width)
    for parent, child in BONES:
        if face and (parent, child) == (NOSE, HEAD):
            continue
        ends = points[[parent, child], :2]
        paint.line(ends, depth[[parent, child]].mean(), colour or bone_colour(child), LIMB_M * width,
                   hollow=bool(hollow[[parent, child]].any()))  # fmt: skip
    for joint in range(len(points)):
        if face and joint in (NOSE, HEAD):
            continue
        around = [depth[list(bone)].mean() for bone in BONES if joint in bone]
        nearest = np.nanmin([depth[joint], *around]) if np.isfinite(depth[joint]) else np.nan
        paint.line(points[[joint, joint], :2], nearest - 1e-3, colour or bone_colour(joint), JOINT_M * width,
                   hollow=bool(hollow[joint]), edged=False)  # fmt: skip
    if face:
        middle = points[[NOSE, HEAD], :2].mean(axis=0)
        paint.line(np.stack([middle, middle]), depth[[NOSE, HEAD]].mean(), colour or MIDDLE_COLOUR, HEAD_M * size,
                   hollow=bool(hollow[[NOSE, HEAD]].any()))  # fmt: skip
    return paint.done()


class _Painter:
    """Collects strokes with their depth."""

    def __init__(self, paper: Floats, edge: float) -> None:
        self.paper, self.edge = paper, edge
        self.found: list[tuple[float, list[tuple[Floats, Floats, float]]]] = []

    def line(self, ends: Floats, depth: float, colour: str, width: float, *, hollow: bool, edged: bool = True) -> None:
        """A stroke, unless an end is not known."""
        if not (np.isfinite(ends).all() and np.isfinite(depth)):
            return
        share = FADE * float(np.clip(depth / FADE_M, 0.0, 1.0))
        ink = (1 - share) * rgb(colour) + share * self.paper
        strokes = [(_inside(ends, width / 2 + self.edge), self.paper, width + 2 * self.edge)] if edged else []
        strokes.append((ends, ink, width))
        if hollow:
            strokes.append((ends, self.paper, 0.55 * width))
        self.found.append((float(depth), strokes))

    def done(self) -> Strokes:
        """Far ones first."""
        flat = [stroke for _, strokes in sorted(self.found, key=lambda item: -item[0]) for stroke in strokes]
        return Strokes(
            segments=np.array([ends for ends, _, _ in flat]).reshape(-1, 2, 2),
            colours=np.array([ink for _, ink, _ in flat]).reshape(-1, 3),
            widths=np.array([width for _, _, width in flat]),
        )


def _inside(ends: Floats, margin: float) -> Floats:
    """The same stroke without its ends, so that its edge leaves the limb alone that it joins."""
    along = ends[1] - ends[0]
    length = float(np.linalg.norm(along))
    share = min(margin / length, 0.5) if length > 0 else 0.0
    return np.stack([ends[0] + share * along, ends[1] - share * along])


def rgb(colour: str) -> Floats:
    """`#rrggbb` as three numbers from 0 to 1."""
    return np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])


def add_strokes(axis: Any, strokes: Strokes, points_per_unit: float, *, above: float = 3.0) -> None:
    """Put strokes on a matplotlib axis.

    Args:
        axis: whose coordinates are the strokes' unit.
        strokes: what to paint.
        points_per_unit: matplotlib's points (1/72 inch) for a unit.
        above: matplotlib's zorder.
    """
    from matplotlib.collections import LineCollection

    # A line without length is not drawn: a spot is a very short one.
    segments = strokes.segments + np.array([[[0.0, 0.0], [1e-3, 0.0]]])
    lines = LineCollection(
        list(segments), colors=strokes.colours, linewidths=strokes.widths * points_per_unit, zorder=above
    )
    lines.set_capstyle("round")
    lines.set_snap(False)  # whole pixels would make spots vanish
    axis.add_collection(lines, autolim=False)
