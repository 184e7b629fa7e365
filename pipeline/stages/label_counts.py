"""What the labels alone would become, by each reading of the paper: the counts of `ap-data pairs --dry-run`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.config import DataConfig
from pipeline.sources.babel import LabelledSequence, babel_files, parse_sequence, read_file
from pipeline.stages.pairing import Clock, Plan, plan_sequence


def plan_from_json(folder: Path, config: DataConfig) -> dict[str, Any]:
    """What the labels would become if every motion were there: counts per split and in all.

    Needs no AMASS. Lengths are `floor(dur x fps)`, at BABEL's own clock.

    Returns:
        {sequences, segments, sequence_labels, pairs, clips, labels, transitions: {found, kept, dropped: {reason: n}},
        dropped: {reason: n}, kinds, hours, splits: {split: the same}, top_labels}.
    """
    splits: dict[str, dict[str, Any]] = {}
    everything: list[tuple[LabelledSequence, Plan]] = []
    for split, path in babel_files(folder, config.pairs):
        planned = []
        for sid, entry in read_file(path).items():
            for sequence in parse_sequence(sid, split, entry, config.pairs):
                clock = Clock(config.keypoints.fps, math.floor(sequence.duration_s * config.keypoints.fps))
                planned.append((sequence, plan_sequence(sequence, sequence.feat_p, clock, config.pairs)))
        everything += planned
        splits[split] = _summary(planned)
    total = _summary(everything)
    texts = Counter(pair.text for _, plan in everything for pair in plan.pairs)
    return {**total, "splits": splits, "top_labels": dict(texts.most_common(30))}


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
            extra_there = (folder / "extra_train.json").is_file()
            if value == getattr(config.pairs, name) or (name == "extra" and not extra_there):
                continue
            plan = plan_from_json(folder, replace(config, pairs=replace(config.pairs, **{name: value})))
            found[f"pairs.{name}={str(value).lower()}"] = {
                **{key: plan[key] for key in ("pairs", "clips", "labels")},
                "transitions": plan["transitions"]["kept"],
                "dropped": sum(plan["dropped"].values()) + sum(plan["transitions"]["dropped"].values()),
            }
    return found


def _summary(planned: Sequence[tuple[LabelledSequence, Plan]]) -> dict[str, Any]:
    plans = [plan for _, plan in planned]
    kinds = Counter(pair.kind for plan in plans for pair in plan.pairs)
    verdicts = Counter(row.verdict for plan in plans for row in plan.transitions)
    kept = verdicts.pop("kept", 0)
    clips = {clip.clip_id for plan in plans for clip in plan.clips.values()}
    return {
        "sequences": len({sequence.sid for sequence, _ in planned}),
        "segments": kinds["segment"],
        "sequence_labels": kinds["sequence"],
        "pairs": kinds.total(),
        "clips": len(clips),
        "labels": len({pair.text for plan in plans for pair in plan.pairs}),
        "transitions": {"found": kept + verdicts.total(), "kept": kept, "dropped": dict(sorted(verdicts.items()))},
        "dropped": dict(sorted(Counter(row.reason for plan in plans for row in plan.dropped).items())),
        "hours": round(sum(sequence.duration_s for sequence, _ in planned) / 3600, 4),
    }
