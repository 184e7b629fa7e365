"""Which pairs go into the shards: what settings leave out, each with its reason, and how often to draw each label."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from sys import intern

from actionpose.balance import label_weights
from pipeline.config import PackConfig
from pipeline.engine.manifest import (
    ClipRow,
    DropRow,
    DuplicateRow,
    KeypointRow,
    LabelRow,
    PairRow,
    read_rows,
)
from pipeline.engine.row_index import lookup
from pipeline.engine.stage import StageResult
from pipeline.pack.duplicates import copies_to_drop

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

    def reason(self, pair: PairRow) -> str:
        """Why a pair is left out; empty when it stays."""
        if pair.motion_id in self.copies:
            return SAME_TAKE
        return BEYOND_CAP if pair.pair_id in self.pairs.get(pair.motion_id, ()) else ""


def left_out(keypoints: StageResult, pairs: StageResult, copies: StageResult, config: PackConfig) -> LeftOut:
    """What `pack.duplicates` and `pack.max_per_label` leave out of these finished stages; by default nothing.

    Copies go first, so that a cap counts only pairs that could be trained on. It never touches validation.
    """
    dropped = {}
    if config.duplicates == "drop":
        dropped = copies_to_drop(list(read_rows(copies.table("duplicates"), DuplicateRow)))
    if not config.max_per_label:
        return LeftOut(copies=dropped, motions=frozenset(dropped))
    there = {row.motion_id for row in read_rows(keypoints.table("keypoints"), KeypointRow)} - dropped.keys()
    train = ((row.pair_id, row.text) for row in _pairs(pairs) if row.motion_id in there and row.split == "train")
    gone = beyond_cap(train, config.max_per_label, config.cap_seed)
    of_motion: dict[str, set[str]] = {}
    clips: Counter[tuple[str, str]] = Counter()
    """(motion, clip) → pairs that remain."""
    for row in _pairs(pairs):
        clips[row.motion_id, row.clip_id] += row.pair_id not in gone
        if row.pair_id in gone:
            of_motion.setdefault(row.motion_id, set()).add(row.pair_id)
    remaining = {motion_id for (motion_id, _), number in clips.items() if number}
    return LeftOut(
        copies=dropped,
        pairs={motion_id: frozenset(ids) for motion_id, ids in of_motion.items()},
        clips=frozenset(clip_id for (_, clip_id), number in clips.items() if not number),
        motions=frozenset(dropped) | (of_motion.keys() - remaining),
    )


def _pairs(pairs: StageResult) -> Iterator[PairRow]:
    return read_rows(pairs.table("pairs"), PairRow)


def left_out_rows(pairs: StageResult, left: LeftOut) -> Iterator[DropRow]:
    """A row of `dropped.jsonl` for each pair that is left out, under the pair's own id."""
    clips = lookup(pairs.table("clips"))

    @lru_cache(maxsize=1)  # pairs of a motion mostly follow each other
    def clips_of(motion_id: str) -> dict[str, ClipRow]:
        return {clip.clip_id: clip for clip in clips.rows(motion_id, ClipRow)}

    for pair in _pairs(pairs):
        reason = left.reason(pair)
        if not reason:
            continue
        clip = clips_of(pair.motion_id)[pair.clip_id]
        yield DropRow(
            drop_id=pair.pair_id,
            babel_sid=pair.babel_sid,
            text=pair.text,
            start_s=clip.start_s,
            stop_s=clip.stop_s,
            reason=reason,
        )


def labelled_motions(pairs: StageResult) -> dict[str, str]:
    """Motion → split, of every motion that has a clip."""
    splits: dict[str, str] = {}
    for clip in read_rows(pairs.table("clips"), ClipRow):
        splits.setdefault(clip.motion_id, intern(clip.split))
    return splits


def beyond_cap(pairs: Iterable[tuple[str, str]], cap: int, seed: int = 0) -> set[str]:
    """Ids of the pairs to leave out so that each label keeps at most `cap` of them.

    The choice depends on (seed, pair id) alone: another order or a larger data set does not reshuffle it.

    Args:
        pairs: (pair id, text) of every pair.
        cap: pairs that a label may keep.
        seed: another one keeps other pairs.

    Raises:
        ValueError: a cap under 1.
    """
    if cap < 1:
        raise ValueError(f"a cap of {cap} would keep nothing")
    of_label: dict[str, list[tuple[bytes, str]]] = defaultdict(list)
    for pair_id, text in pairs:
        of_label[text].append((hashlib.sha256(f"{seed}/{pair_id}".encode()).digest(), pair_id))
    return {pair_id for drawn in of_label.values() for _, pair_id in sorted(drawn)[cap:]}


def label_rows(pairs: Iterable[tuple[str, str, int]], fps: float) -> list[LabelRow]:
    """The histogram of labels with their weights, in order of text.

    Args:
        pairs: (text, split, frames) of every pair.
        fps: frames per second.
    """
    train: Counter[str] = Counter()
    val: Counter[str] = Counter()
    frames: Counter[str] = Counter()
    for text, split, length in pairs:
        (train if split == "train" else val)[text] += 1
        frames[text] += length
    weights = label_weights(train)
    return [
        LabelRow(
            text=text,
            train=train[text],
            val=val[text],
            hours=round(frames[text] / fps / 3600, 6),
            weight=round(weights.get(text, 0.0), 6),
        )
        for text in sorted(frames)
    ]
