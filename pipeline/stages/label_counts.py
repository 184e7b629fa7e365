"""What the labels alone would become, by each reading of the paper: the counts of `ap-data pairs --dry-run`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.body.resample import snap_rate
from pipeline.config import DataConfig
from pipeline.sources import facts
from pipeline.sources.babel import LabelledSequence, babel_files, parse_sequence, read_file
from pipeline.sources.feat_p import path_key
from pipeline.stages.pairing import Clock, Plan, plan_entry


def plan_from_json(folder: Path, config: DataConfig) -> dict[str, Any]:
    """What the labels would become if every motion were there: counts per split and in all.

    Needs no AMASS. BABEL gives a sequence's length in seconds, to a hundredth; its frames are worked out from that and
    from the rates that its dataset is stored at. Where several numbers of frames fit, the likeliest is planned, and
    `uncertain` says how far a build can be off.

    Returns:
        {sequences, segments, sequence_labels, pairs, clips, labels, transitions: {found, kept, same_label, dropped:
        {reason: n}}, dropped: {reason: n}, failures: {reason: n}, uncertain: {sequences, pairs: [least, most]}, hours,
        splits: {split: the same}, top_labels}.
    """
    splits: dict[str, dict[str, Any]] = {}
    everything: list[Planned] = []
    owner: dict[tuple[str, str, str], str] = {}
    for split, path in babel_files(folder, config.pairs):
        planned: list[Planned] = []
        for sid, entry in read_file(path).items():
            sequences = list(parse_sequence(sid, split, entry, config.pairs))
            kept = owner.setdefault(path_key(sequences[0].feat_p), split) == split
            planned.append(_planned(sequences, config) if kept else Planned(sequences[0], Plan(), (0, 0), refused=True))
        everything += planned
        splits[split] = _summary(planned)
    total = _summary(everything)
    texts = Counter(pair.text for one in everything for pair in one.plan.pairs)
    return {**total, "splits": splits, "top_labels": dict(texts.most_common(30))}


@dataclass(frozen=True)
class Planned:
    """An entry of BABEL (of several annotators, the first) and its plan; `pairs`: the fewest and most of a build.

    `refused`: its motion is in an earlier split, as a build would find.
    """

    sequence: LabelledSequence
    plan: Plan
    pairs: tuple[int, int]
    refused: bool = False


def _planned(sequences: Sequence[LabelledSequence], config: DataConfig) -> Planned:
    first = sequences[0]
    plans = [plan_entry(sequences, first.feat_p, clock, config.pairs) for clock in possible_clocks(first, config)]
    counts = [len(plan.pairs) for plan in plans]
    return Planned(first, plans[0], (min(counts), max(counts)))


def possible_clocks(sequence: LabelledSequence, config: DataConfig) -> list[Clock]:
    """Every clock that a motion of this sequence's length can have, the likeliest first, each once.

    The rate is one that the dataset stores (`manifests/amass.toml`), most frequent first; the number of stored frames
    is any whose length, written with the digits of BABEL's `dur`, is `dur`.
    """
    dataset, subject, _ = ("", "", *sequence.feat_p.split("/"))[-3:]
    fps = config.keypoints.fps
    clocks: list[Clock] = []
    for stored in facts.stored_rates(dataset):
        known = facts.overridden_rate(dataset, subject, stored) if config.keypoints.rate_overrides else None
        true = known.fps if known else snap_rate(stored)
        clocks += [Clock.of_motion(n, stored, true, fps) for n in _frames_of(sequence.duration_s, stored)]
    return list(dict.fromkeys(clocks))


def _frames_of(duration_s: float, fps: float) -> list[int]:
    """Numbers of frames that last so long at a rate, the nearest first; at least one."""
    digits = max(2, len(repr(duration_s).partition(".")[2]))  # BABEL writes hundredths, and 4.00 as 4.0
    half = 0.5 * 10.0**-digits + 1e-9
    least, most = math.ceil((duration_s - half) * fps), math.floor((duration_s + half) * fps)
    nearest = max(1, round(duration_s * fps))
    return sorted({nearest, *range(max(1, least), most + 1)}, key=lambda frames: abs(frames - nearest))


POLICIES: dict[str, tuple[Any, ...]] = {
    "text": ("proc", "raw"),
    "sequence_labels": (True, False),
    "transition": ("span", "cut", "skip"),
    "extra": (False, True),
}
"""Settings of `pairs` that read the paper in another way, and their values."""


def plans_by_policy(folder: Path, config: DataConfig) -> dict[str, dict[str, Any]]:
    """What each other of `POLICIES` would make of the labels, one setting changed at a time, the rest as configured.

    The extra files are left out where they are not there.

    Returns:
        `pairs.<setting>=<value>` → {pairs, clips, labels, transitions kept, dropped}.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, values in POLICIES.items():
        for value in values:
            extra_there = all((folder / f"extra_{split}.json").is_file() for split in config.pairs.splits)
            if value == getattr(config.pairs, name) or (name == "extra" and not extra_there):
                continue
            plan = plan_from_json(folder, replace(config, pairs=replace(config.pairs, **{name: value})))
            found[f"pairs.{name}={str(value).lower()}"] = {
                **{key: plan[key] for key in ("pairs", "clips", "labels")},
                "transitions": plan["transitions"]["kept"],
                "dropped": sum(plan["dropped"].values()) + sum(plan["transitions"]["dropped"].values()),
            }
    return found


def _summary(planned: Sequence[Planned]) -> dict[str, Any]:
    plans = [one.plan for one in planned]
    kinds = Counter(pair.kind for plan in plans for pair in plan.pairs)
    verdicts = Counter(row.verdict for plan in plans for row in plan.transitions)
    kept = verdicts.pop("kept", 0)
    same = sum(
        bool(pair.text_a) and pair.text_a.casefold() == pair.text_b.casefold() for plan in plans for pair in plan.pairs
    )
    clips = {clip.clip_id for plan in plans for clip in plan.clips.values()}
    transitions = {"found": kept + verdicts.total(), "kept": kept, "same_label": same}
    refused = sum(one.refused for one in planned)
    return {
        "sequences": len({one.sequence.sid for one in planned}),
        "segments": kinds["segment"],
        "sequence_labels": kinds["sequence"],
        "pairs": kinds.total(),
        "clips": len(clips),
        "labels": len({pair.text for plan in plans for pair in plan.pairs}),
        "transitions": {**transitions, "dropped": dict(sorted(verdicts.items()))},
        "dropped": dict(sorted(Counter(row.reason for plan in plans for row in plan.dropped).items())),
        "failures": {"motion in two splits": refused} if refused else {},
        "uncertain": {
            "sequences": sum(one.pairs[0] != one.pairs[1] for one in planned),
            "pairs": [sum(one.pairs[end] for one in planned) for end in (0, 1)],
        },
        "hours": round(sum(one.sequence.duration_s for one in planned) / 3600, 4),
    }
