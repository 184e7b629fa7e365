"""The same take under two ids, found by content: training must not see motions of validation.

The CMU database holds whole subjects twice under other numbers, and BABEL splits by sequence, so copies can
be on both sides. Two motions count as the same take when the heights of their joints above the pelvis, which do not
depend on where the person stands or faces, agree in time after a shift of at most a tenth of the length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from actionpose.arrays import Float64s, Floats
from pipeline.engine.manifest import DuplicateRow
from pipeline.pack.content import body_size
from pipeline.sources import facts

BODY_M = 1.7
BODY_SIZE = 2.1
"""`content.body_size` of a person of BODY_M: heights are given on such a body, so that two shapes can be one take."""

NEAR_M = 0.02
"""Largest RMS difference of joint heights within one take, whose body was perhaps fitted twice."""

NEAR_SHARE = 0.15
"""And the largest as a share of the motion's own variation: two people who stand still are not one take.

Measured on 1,904 takes of which no two are one: the nearest two are 0.21 apart, cyclic walks of one person. Of copies
with up to 4 % trimmed off either end, a body 5 % larger and joints that wander by 4 mm, 84 % are found, of plain
ones all; the rest hardly move.
"""

MEAN_M, SPREAD_M, SPREAD_SHARE = 0.015, 0.01, 0.2
"""How far the means and the standard deviations of two motions' heights may be apart to be looked at closely."""

MIN_OVERLAP = 0.9
MIN_FRAMES = 15
COARSE = 3
"""Shifts are tried in steps of this many frames first."""


@dataclass(frozen=True, slots=True)
class LazyMotion:
    """A motion to look at; its frames are read when needed, and more than once."""

    motion_id: str
    dataset: str
    subject: str
    split: str
    frames: Callable[[], Floats]


def heights(frames: Floats) -> Float64s:
    """(T, 16) heights of the joints above the pelvis, metres on a body of common size; z is up."""
    size = body_size(frames)
    scale = BODY_SIZE / size if size > 0 else 0.0
    z = np.asarray(frames[:, :, 2], dtype=np.float64)
    return (z[:, 1:] - z[:, :1]) * scale


def find_duplicates(takes: Sequence[LazyMotion]) -> list[DuplicateRow]:
    """Every two motions that are one take, in order of id. Keeps 34 numbers per motion in memory."""
    ordered = sorted(takes, key=lambda take: take.motion_id)
    rows = []

    @lru_cache(maxsize=32)
    def read(number: int) -> Float64s:
        return heights(ordered[number].frames())

    for first, second in _candidates(ordered):
        a, b = ordered[first], ordered[second]
        match = same_take(read(first), read(second))
        if match is not None:
            rows.append(_row(a, b, *match))
    return rows


BLOCK = 1 << 16
"""Pairs of motions compared at a time."""


def _candidates(takes: Sequence[LazyMotion]) -> Iterator[tuple[int, int]]:
    """Pairs of like length whose heights have like means and spreads; all others cannot be one take."""
    block = max(1, BLOCK // max(len(takes), 1))
    lengths = np.zeros(len(takes))
    means = np.zeros((len(takes), 16))
    spreads = np.zeros((len(takes), 16))
    for number, take in enumerate(takes):
        h = heights(take.frames())
        lengths[number], means[number], spreads[number] = len(h), h.mean(axis=0), h.std(axis=0)
    for start in range(0, len(takes), block):
        part = slice(start, start + block)
        shorter = np.minimum(lengths[part, None], lengths)
        near = shorter >= np.maximum(MIN_FRAMES, MIN_OVERLAP * np.maximum(lengths[part, None], lengths))
        near &= _distances(means[part], means) < MEAN_M
        moving = np.sqrt(np.square(spreads).mean(axis=1))
        near &= _distances(spreads[part], spreads) < np.minimum(SPREAD_M, SPREAD_SHARE * moving)
        for first, second in np.argwhere(near):
            if start + first < second:
                yield int(start + first), int(second)


def _distances(a: Float64s, b: Float64s) -> Float64s:
    """RMS distances of all rows of a to all rows of b."""
    squares = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0) / a.shape[1])


def same_take(a: Float64s, b: Float64s) -> tuple[float, int, float] | None:
    """(RMS difference in metres, shift in frames, overlap) when two motions are one take, else None.

    Args:
        a: (T, 16) of `heights`.
        b: the same of another motion; its frame i + shift is a's frame i.
    """
    longest = max(len(a), len(b))
    least = max(MIN_FRAMES, int(np.ceil(MIN_OVERLAP * longest)))
    shifts = range(least - len(a), len(b) - least + 1)
    if not shifts:
        return None
    coarse = [*shifts[::COARSE], 0] if 0 in shifts else [*shifts[::COARSE]]
    best = min(coarse, key=lambda shift: _rms(a, b, shift, COARSE))
    shift = min(
        (s for s in range(best - COARSE, best + COARSE + 1) if s in shifts), key=lambda shift: _rms(a, b, shift)
    )
    apart = _rms(a, b, shift)
    common = _common(a, b, shift)
    moving = float(np.sqrt(np.square(common[0] - common[0].mean(axis=0)).mean()))
    if apart > NEAR_M or apart > NEAR_SHARE * moving:
        return None
    return apart, shift, len(common[0]) / longest


def _common(a: Float64s, b: Float64s, shift: int) -> tuple[Float64s, Float64s]:
    start, stop = max(0, -shift), min(len(a), len(b) - shift)
    return a[start:stop], b[start + shift : stop + shift]


def _rms(a: Float64s, b: Float64s, shift: int, step: int = 1) -> float:
    left, right = _common(a, b, shift)
    return float(np.sqrt(np.square(left[::step] - right[::step]).mean()))


def _row(a: LazyMotion, b: LazyMotion, apart: float, shift: int, overlap: float) -> DuplicateRow:
    return DuplicateRow(
        duplicate_id=f"{a.motion_id} = {b.motion_id}",
        motion_a=a.motion_id,
        motion_b=b.motion_id,
        split_a=a.split,
        split_b=b.split,
        straddles=a.split != b.split,
        known=known_copy(a, b),
        difference_m=round(apart, 5),
        shift=shift,
        overlap=round(overlap, 3),
        dropped="",
    )


def known_copy(a: LazyMotion, b: LazyMotion) -> bool:
    """Whether manifests/amass.toml says that the two subjects hold the same takes."""
    for row in facts.table("amass")["same_takes"]:
        name = facts.canonical_dataset(row["dataset"])
        same = name == facts.canonical_dataset(a.dataset) == facts.canonical_dataset(b.dataset)
        if same and {a.subject, b.subject} == set(row["subjects"]):
            return True
    return False


def copies_to_drop(rows: Sequence[DuplicateRow]) -> dict[str, str]:
    """Motion to leave out → the one that stays.

    Within a split the later id goes. Across splits the copy in train goes, so that validation is the same
    for everybody.
    """
    gone: dict[str, str] = {}
    # Copies of a straddling take first: what goes for the sake of validation cannot be what stays for another.
    for row in sorted(rows, key=lambda row: (not row.straddles, row.key)):
        stays, goes = row.motion_a, row.motion_b
        if row.straddles and row.split_b == "val":
            stays, goes = goes, stays
        if stays not in gone:
            gone.setdefault(goes, stays)
    return gone
