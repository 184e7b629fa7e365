"""What motions hold, as a few numbers each: two people compare data sets without showing them to each other.

Checksums of float32 files differ as soon as another processor rounds the last bit. A *sketch* tolerates that:
it is a handful of sums over all coordinates of a motion, each coordinate with a fixed random sign. Of two motions
the root mean square difference of these sums is, on average, that of the motions themselves (Johnson and
Lindenstrauss 1984; signs: Achlioptas 2003). Noise of a micrometre moves it by a micrometre, another regressor
by centimetres.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.config import canonical_json
from actionpose.errors import UserError
from actionpose.shards import ShardSet
from actionpose.skeleton import N_JOINTS
from pipeline.engine.manifest import ContentRow, read_rows
from pipeline.sources.feat_p import path_key

PARTS: dict[str, tuple[int, ...]] = {
    "trunk": (0, 7, 8, 9, 10),
    "right leg": (1, 2, 3),
    "left leg": (4, 5, 6),
    "left arm": (11, 12, 13),
    "right arm": (14, 15, 16),
}
"""Sketched one by one, so that a difference says where it is; every joint is in exactly one."""

SUMS = 4
"""Signed sums per part."""

GRID_M = 1e-6
"""Coordinates are rounded to this first: sums of whole numbers below 2^53 are exact in any order."""

TOLERANCE_M = 1e-4
"""Motions whose sketches are nearer than this, in every part, are the same."""

SIZE_BONES = ((1, 2), (2, 3), (4, 5), (5, 6), (0, 7), (7, 8))
SIZE_TOLERANCE = 0.02


# --- the sketch -------------------------------------------------------------------------------


def signs(frames: int) -> NDArray[np.float64]:
    """(frames, 17, 3, SUMS) of -1 and 1: the low bits of SplitMix64 at the coordinate's number, counted from 1.

    Given by arithmetic alone, so that any other program can make the same.
    """
    z = np.arange(1, frames * N_JOINTS * 3 + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    bits = (z[:, None] >> np.arange(SUMS, dtype=np.uint64)) & np.uint64(1)
    return (1.0 - 2.0 * bits.astype(np.float64)).reshape(frames, N_JOINTS, 3, SUMS)


@lru_cache(maxsize=4)
def _signs_by_part(frames: int) -> dict[str, NDArray[np.float64]]:
    everything = signs(frames)
    return {part: np.ascontiguousarray(everything[:, joints]) for part, joints in PARTS.items()}


def sketch(frames: NDArray[np.floating]) -> list[float]:
    """SUMS numbers per part, in the order of `PARTS`, metres, rounded to the grid.

    Args:
        frames: (T, 17, 3) metres, T at least 1. Zeros give zeros; N coordinates are divided by sqrt(N).
    """
    grid = np.rint(np.asarray(frames, dtype=np.float64) / GRID_M)
    table = _signs_by_part(1 << max(8, (len(grid) - 1).bit_length()))
    numbers: list[float] = []
    for part, joints in PARTS.items():
        coordinates = grid[:, joints].reshape(-1)
        totals = coordinates @ table[part][: len(grid)].reshape(-1, SUMS)
        numbers += [round(float(total) * GRID_M / float(np.sqrt(len(coordinates))), 6) for total in totals]
    return numbers


def body_size(frames: NDArray[np.floating]) -> float:
    """Median length of thighs, shins and trunk together, in the unit of the frames: about 2.1 m for an adult.

    Some hundred frames, evenly spread, decide.
    """
    parents, children = (list(side) for side in zip(*SIZE_BONES, strict=True))
    some = np.asarray(frames[:: max(1, len(frames) // 100)], dtype=np.float64)
    lengths = np.linalg.norm(some[:, children] - some[:, parents], axis=-1)
    return float(np.median(lengths, axis=0).sum())


# --- rows -------------------------------------------------------------------------------------


def content_rows(shards: ShardSet) -> list[ContentRow]:
    """One row per motion of a shard folder, from its frames and tables, in order of id."""
    labels_of = _label_digests(shards)
    rows = []
    for number, motion_id in enumerate(shards.motions["motion_id"]):
        frames = shards.motion_frames(number)
        rows.append(
            ContentRow(
                motion_id=str(motion_id),
                frames=len(frames),
                fps=float(shards.fps),
                size_m=round(body_size(frames), 3),
                sketch=sketch(frames),
                labels=labels_of[number],
            )
        )
    return sorted(rows, key=lambda row: row.key)


def _label_digests(shards: ShardSet) -> list[str]:
    clips, pairs = shards.clips, shards.pairs
    labels_of: dict[int, list[Any]] = defaultdict(list)
    for number, clip in enumerate(pairs["clip"]):
        spans = [int(clips[name][clip]) for name in ("start", "stop", "gap_start", "gap_stop")]
        borders = [int(pairs[name][number]) for name in ("border_a", "border_b")]
        texts = [str(pairs[name][number]) for name in ("kind", "text", "text_a", "text_b")]
        concurrent = sorted(str(text) for text in pairs["concurrent"][number])
        labels_of[int(clips["motion"][clip])].append([*spans, *borders, *texts, *concurrent])
    splits = shards.motions["split"]
    labels = (canonical_json([str(s), *sorted(map(canonical_json, labels_of[n]))]) for n, s in enumerate(splits))
    return [hashlib.sha256(text.encode()).hexdigest()[:16] for text in labels]


def read_content(path: Path) -> list[ContentRow]:
    """Rows of a `content.jsonl`, or of a shard folder, recomputed from its frames.

    Raises:
        UserError: neither.
    """
    if path.is_dir():
        return content_rows(ShardSet(path))
    if not path.is_file():
        raise UserError(f"there is no {path}", "give another shard folder, or the manifests/content.jsonl of one")
    return list(read_rows(path, ContentRow))


# --- comparing --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How two data sets compare; `a` is ours, `b` theirs."""

    same: int
    largest_m: float
    differ: dict[str, str] = field(default_factory=dict)
    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)


def compare(a: Iterable[ContentRow], b: Iterable[ContentRow], tolerance_m: float = TOLERANCE_M) -> Comparison:
    """Motion by motion; ids meet in the form in which both generations of AMASS folder names agree.

    Args:
        a: our rows.
        b: their rows.
        tolerance_m: RMS difference per coordinate, in metres, up to which a body part is the same.
    """
    ours, theirs = ({path_key(row.motion_id): row for row in rows} for rows in (a, b))
    differ: dict[str, str] = {}
    largest = 0.0
    for key in sorted(ours.keys() & theirs.keys()):
        why, distance = difference(ours[key], theirs[key], tolerance_m)
        if why:
            differ[ours[key].motion_id] = why
        else:
            largest = max(largest, distance)
    return Comparison(
        same=len(ours.keys() & theirs.keys()) - len(differ),
        largest_m=largest,
        differ=differ,
        only_a=sorted(ours[key].motion_id for key in ours.keys() - theirs.keys()),
        only_b=sorted(theirs[key].motion_id for key in theirs.keys() - ours.keys()),
    )


def difference(a: ContentRow, b: ContentRow, tolerance_m: float = TOLERANCE_M) -> tuple[str, float]:
    """What differs between two rows, in words (empty: nothing), and the largest distance of a part in metres."""
    apart = part_distances(a.sketch, b.sketch)
    largest = max(apart.values())
    ratio = b.size_m / a.size_m if a.size_m > 0 else float("inf")
    if a.fps != b.fps:
        return f"{a.fps:g} Hz here, {b.fps:g} Hz there", largest
    if a.frames != b.frames:
        return f"{a.frames} frames here, {b.frames} there: another source rate, or cut elsewhere", largest
    # Written so that values which are not numbers are differences.
    if not abs(ratio - 1) <= SIZE_TOLERANCE:
        return f"body {ratio:.3g} times as large there: other units, shape, body or regressor", largest
    far = {part: distance for part, distance in apart.items() if not distance <= tolerance_m}
    if far:
        return "poses differ: " + ", ".join(f"{part} {d * 1000:.2g} mm" for part, d in far.items()), largest
    return ("the labels differ, the motion does not" if a.labels != b.labels else ""), largest


def part_distances(a: Sequence[float], b: Sequence[float]) -> dict[str, float]:
    """Estimated RMS difference per coordinate of each part, metres; one in three is off by a third or more."""
    if len(a) != len(b):
        return dict.fromkeys(PARTS, float("inf"))
    squares = np.square(np.subtract(a, b)).reshape(len(PARTS), -1).mean(axis=1)
    return dict(zip(PARTS, np.sqrt(squares).tolist(), strict=True))
