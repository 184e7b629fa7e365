"""What a report says about shards: every number counted again from the tables, and a few clips to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.picture.scene import Label, Person, Scene
from actionpose.schema import TRANSITION_PREFIX, Summary
from actionpose.shards import ShardSet

WINDOW = 243
"""Frames of one training window (the paper's T)."""

N_CLIPS = 8
MAX_CLIP_FRAMES = 400


@dataclass(frozen=True, kw_only=True)
class ShardFacts:
    """What a shard folder contains, counted from its tables.

    `skipped` comes from the index's summary, since what was rejected is in no table. `remarks` name every count of
    the summary that differs from the tables.
    """

    shards: ShardSet
    motions: int
    clips: int
    pairs: int
    transitions: int
    frames: int
    hours: float
    labels: list[tuple[str, int, bool]]
    lengths: NDArray[np.int64]
    skipped: dict[str, dict[str, int]]
    rates: list[tuple[str, int]]
    splits: list[tuple[str, int]]
    datasets: list[tuple[str, int]]
    kinds: list[tuple[str, int]]
    remarks: tuple[str, ...]


def is_transition(kind: str, label: str) -> bool:
    """Whether a pair describes a change from one action to another."""
    return "transit" in kind or label.startswith(TRANSITION_PREFIX)


def read_shards(shards: ShardSet) -> ShardFacts:
    """Count a shard folder's tables and read what only its summary knows."""
    summary = shards.summary
    pairs, motions = shards.pairs, shards.motions
    marks = [is_transition(k, t) for k, t in zip(pairs["kind"].tolist(), pairs["text"].tolist(), strict=True)]
    lengths = motions["stop"] - motions["start"]
    frames = int(lengths.sum()) if len(motions["motion_id"]) else 0
    counted = {
        "motions": len(motions["motion_id"]),
        "clips": len(shards.clips["clip_id"]),
        "pairs": len(pairs["pair_id"]),
        "frames": frames,
    }
    return ShardFacts(
        shards=shards,
        **counted,
        transitions=sum(marks),
        hours=float((lengths / shards.rates).sum()) / 3600 if frames else 0.0,
        skipped=_skipped(summary),
        labels=_labels(pairs, marks),
        lengths=shards.clip_lengths(),
        rates=_rates(motions, summary),
        splits=_count(motions["split"]),
        datasets=_count(motions["dataset"]),
        kinds=_count(shards.clips["kind"]),
        remarks=tuple(_remarks(summary, counted)),
    )


def _remarks(summary: Summary, counted: Mapping[str, int]) -> list[str]:
    return [
        f"the index announces {announced} {name}, the tables hold {value}"
        for name, value in counted.items()
        if (announced := getattr(summary, name)) != value
    ]


def _labels(pairs: Mapping[str, NDArray[Any]], marks: list[bool]) -> list[tuple[str, int, bool]]:
    counts = Counter(zip(pairs["text"].tolist(), marks, strict=True))
    rows = [(label, n, mark) for (label, mark), n in counts.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def _skipped(summary: Summary) -> dict[str, dict[str, int]]:
    """Stage → reason → count of what was left out on purpose."""
    left_out = {stage: dict(reasons) for stage, reasons in summary.skipped.items()}
    if summary.dropped:
        left_out["labels"] = summary.dropped
    for number, stage, reason in (
        (summary.unlabelled_motions, "motions", "no label speaks of it"),
        (summary.pairs_without_motion, "pairs", "its motion is not there"),
    ):
        if number:
            left_out.setdefault(stage, {})[reason] = number
    return left_out


def _rates(motions: Mapping[str, NDArray[Any]], summary: Summary) -> list[tuple[str, int]]:
    """Motions per source frame rate, fastest first: in the summary's words, of a benchmark the true rates."""
    rates = summary.rates or Counter(f"{rate:.6g}" for rate in motions["fps_true"].tolist())
    return sorted(rates.items(), key=lambda item: (-float(item[0].split(" ")[0]), item[0]))


def _count(column: NDArray[Any]) -> list[tuple[str, int]]:
    return sorted(Counter(map(str, column.tolist())).items(), key=lambda item: (-item[1], item[0]))


# --- clips to look at -------------------------------------------------------------------------


def sample_clips(shards: ShardSet, count: int = N_CLIPS) -> list[int]:
    """Rows of `pairs` worth showing: one a label, a transition first, then the most frequent labels.

    Among the clips of a label the one whose length is nearest two seconds and a half of motion is taken: long
    enough to see, short enough to loop. The choice depends on the shards alone.
    """
    if shards.kind != "motion-text":
        return []
    texts, kinds = shards.pairs["text"].tolist(), shards.pairs["kind"].tolist()
    lengths, wanted = shards.clip_lengths(), 2.5 * shards.fps
    best: dict[str, tuple[float, int]] = {}
    for row, label in enumerate(texts):
        n = int(lengths[shards.pairs["clip"][row]])
        rank = (abs(n - wanted), row)
        if n >= 2 and rank < best.get(label, (np.inf, 0)):
            best[label] = rank
    often = Counter(texts)
    order = sorted(best, key=lambda label: (-often[label], label))
    moves = [label for label in order if is_transition(kinds[best[label][1]], label)]
    still = [label for label in order if label not in set(moves)]
    n_moves = min(len(moves), max(2, count - len(still)))
    chosen = still[: count - n_moves] + moves[:n_moves]
    chosen = chosen[-1:] + chosen[:-1] if n_moves else chosen
    return [best[label][1] for label in chosen]


def viewer_clip(shards: ShardSet, pair: int) -> Scene:
    """The clip of a pair, with its label and source; of a transition, what comes before and after it."""
    clip = int(shards.pairs["clip"][pair])
    motion = int(shards.clips["motion"][clip])
    whole = shards.clip_frames(clip)
    frames = np.asarray(whole[:MAX_CLIP_FRAMES], dtype=np.float64)
    label, raw = str(shards.pairs["text"][pair]), str(shards.pairs["raw"][pair])
    cut = f" (the first {len(frames)} of {len(whole)})" if len(frames) < len(whole) else ""
    source = Path(str(shards.motions["source"][motion])).name
    about = [
        str(shards.motions["dataset"][motion]), source, str(shards.clips["clip_id"][clip]),
        f"{len(frames)} frames{cut} at {shards.fps:g} frames a second",
    ]  # fmt: skip
    return Scene(
        title=label,
        about=" · ".join(about + ([f"annotated as “{raw}”"] if raw and raw != label else [])),
        people=(Person(points=frames),),
        fps=shards.fps,
        heading=float(shards.clips["heading"][clip]),
        views=shards.views[:2],
        labels=_phases(shards, pair, label, len(frames)),
    )


def _phases(shards: ShardSet, pair: int, label: str, frames: int) -> tuple[Label, ...]:
    """Of a transition: the action before, the transition, the action after."""
    if not is_transition(str(shards.pairs["kind"][pair]), label):
        return ()
    clip = int(shards.pairs["clip"][pair])
    gap = int(shards.clips["gap_start"][clip]), int(shards.clips["gap_stop"][clip])
    # Where the frames between are left out, B follows A at once.
    places = (gap[0], gap[0]) if gap[0] != gap[1] else (shards.pairs[name][pair] for name in ("border_a", "border_b"))
    borders = [min(int(place), frames) for place in places]
    marks = [0, *borders, frames]
    texts = (str(shards.pairs["text_a"][pair]), label, str(shards.pairs["text_b"][pair]))
    return tuple(
        Label(start_s=start / shards.fps, end_s=stop / shards.fps, text=text)
        for start, stop, text in zip(marks, marks[1:], texts, strict=False)
        if stop > start
    )
