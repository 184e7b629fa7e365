"""What the settings of *pack* leave out of the shards, each pair with its reason: copies, labels beyond their cap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

from pipeline.config import PackConfig
from pipeline.engine.manifest import ClipRow, DropRow, KeypointRow, PairRow, motion_of, read_rows
from pipeline.engine.row_index import lookup
from pipeline.engine.stage import Result
from pipeline.pack.duplicates import copies_to_drop, duplicates_of
from pipeline.pack.sampling import beyond_cap

SAME_TAKE = "same take as another motion"
BEYOND_CAP = "label beyond pack.max_per_label"


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """What stays out of the shards, though it has keypoints and labels.

    Attributes:
        copies: motion left out as a copy → the one that stays.
        pairs: motion → ids of its pairs beyond a cap; copies have none.
        clips: ids of the clips that lost all their pairs to a cap.
        motions: motions of which nothing is left: copies, and those that lost all their clips.
    """

    copies: Mapping[str, str] = field(default_factory=dict)
    pairs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    clips: frozenset[str] = frozenset()
    motions: frozenset[str] = frozenset()

    def reason(self, motion_id: str, pair_id: str) -> str:
        """Why a pair is left out; empty when it stays."""
        if motion_id in self.copies:
            return SAME_TAKE
        return BEYOND_CAP if pair_id in self.pairs.get(motion_id, ()) else ""


def left_out(index: Result, keypoints: Result, pairs: Result, config: PackConfig) -> LeftOut:
    """What `pack.duplicates` and `pack.max_per_label` leave out of these finished stages; by default nothing.

    Copies go first, so that a cap counts only pairs that could be trained on. It never touches validation.
    """
    copies = {}
    if config.duplicates == "drop":
        copies = copies_to_drop(duplicates_of(index, keypoints, pairs))
    if not config.max_per_label:
        return LeftOut(copies=copies, motions=frozenset(copies))
    there = {row.motion_id for row in read_rows(keypoints.table("keypoints"), KeypointRow)} - copies.keys()
    train = ((row.pair_id, row.text) for motion, row in _rows(pairs) if motion in there and row.split == "train")
    gone = beyond_cap(train, config.max_per_label, config.cap_seed)
    of_motion: dict[str, set[str]] = {}
    clips: Counter[tuple[str, str]] = Counter()
    """(motion, clip) → pairs that remain."""
    for motion_id, row in _rows(pairs):
        clips[motion_id, row.clip_id] += row.pair_id not in gone
        if row.pair_id in gone:
            of_motion.setdefault(motion_id, set()).add(row.pair_id)
    remaining = {motion_id for (motion_id, _), number in clips.items() if number}
    return LeftOut(
        copies=copies,
        pairs={motion_id: frozenset(ids) for motion_id, ids in of_motion.items()},
        clips=frozenset(clip_id for (_, clip_id), number in clips.items() if not number),
        motions=frozenset(copies) | (of_motion.keys() - remaining),
    )


def _rows(pairs: Result) -> Iterator[tuple[str, PairRow]]:
    return ((motion_of(asdict(row)), row) for row in read_rows(pairs.table("pairs"), PairRow))


def left_out_rows(pairs: Result, left: LeftOut) -> Iterator[DropRow]:
    """A row of `dropped.jsonl` for each pair that is left out, under the pair's own id."""
    clips = lookup(pairs.table("clips"))
    for motion_id, pair in _rows(pairs):
        reason = left.reason(motion_id, pair.pair_id)
        if not reason:
            continue
        clip = next(clip for clip in clips.rows(motion_id, ClipRow) if clip.clip_id == pair.clip_id)
        yield DropRow(
            drop_id=pair.pair_id,
            babel_sid=pair.babel_sid,
            text=pair.text,
            start_s=clip.start_s,
            stop_s=clip.stop_s,
            reason=reason,
        )
