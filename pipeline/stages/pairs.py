"""Labels and motions become clips and pairs, every dropped label with its reason. Stage *pairs*."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from actionpose.files import sha256_file
from pipeline.config import DataConfig, PairConfig
from pipeline.engine.item import Item, ItemError, Rows, Skip
from pipeline.engine.manifest import MotionRow, PairRow
from pipeline.engine.stage import Stage
from pipeline.sources import facts
from pipeline.sources.babel import LabelledSequence, babel_files, entry_places, parse_sequence, read_entry, read_file
from pipeline.stages.pairing import Clock, Plan, plan_sequence

# --- from feat_p to a motion ------------------------------------------------------------------


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


class HasSource(Protocol):
    """Anything that knows its path under the AMASS root."""

    @property
    def source(self) -> str:
        """Relative path, with slashes."""


M = TypeVar("M", bound=HasSource)


class Resolver(Generic[M]):
    """Finds the motion that a BABEL `feat_p` means: verbatim, without its first part, or by `path_key`."""

    def __init__(self, motions: Iterable[M]) -> None:
        self._by_source: dict[str, M] = {}
        self._by_key: dict[str, M] = {}
        for row in motions:
            self._by_source[row.source] = row
            self._by_key.setdefault("/".join(path_key(row.source)), row)

    def find(self, feat_p: str) -> M | None:
        """The motion, or None."""
        for path in (feat_p, feat_p.partition("/")[2]):
            if path in self._by_source:
                return self._by_source[path]
        return self._by_key.get("/".join(path_key(feat_p)))


# --- the plan alone, from the JSON ------------------------------------------------------------


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


# --- stage pairs ------------------------------------------------------------------------------


def pair_items(folder: Path, config: DataConfig) -> list[Item]:
    """One item per BABEL sequence: where it stands in its file, not what it says."""
    items = []
    for split, path in babel_files(folder, config.pairs):
        file = str(path)
        for sid, place in entry_places(path).items():
            items.append(Item(f"{split}/{path.stem}/{sid}", {"split": split, "sid": sid, "file": file, "place": place}))
    return items


def entry_of(item: Item) -> dict[str, Any]:
    """The annotation that an item is about."""
    return read_entry(Path(item.data["file"]), item.data["place"])


def pairs_one(item: Item, context: dict[str, Any], folder: Path) -> Rows:
    """Plan one sequence with the true length of its motion."""
    config: PairConfig = context["config"]
    sequences = list(parse_sequence(item.data["sid"], item.data["split"], entry_of(item), config))
    feat_p = sequences[0].feat_p
    motion: Timing | None = context["resolver"].find(feat_p)
    if motion is None:
        raise Skip("motion not found", f"{feat_p} is not in the index: its dataset is not unpacked, or was refused")
    if context["owner"].setdefault(motion.motion_id, item.data["split"]) != item.data["split"]:
        raise ItemError(
            "motion in two splits", f"{motion.motion_id} is already in {context['owner'][motion.motion_id]}"
        )
    stored_s = motion.frames / motion.fps_stored
    if abs(stored_s - sequences[0].duration_s) > config.duration_tolerance_s:
        raise ItemError(
            "length disagrees with BABEL",
            f"{motion.motion_id}: {motion.frames} frames at {motion.fps_stored:g} Hz are {stored_s:.2f} s, "
            f"BABEL says {sequences[0].duration_s:.2f} s: another edition, or a wrong rate",
        )
    fps = context["fps"]
    frames = math.floor((motion.frames - 1) / motion.fps_true * fps + 1e-6) + 1
    clock = Clock(fps, frames, stretch=motion.fps_stored / motion.fps_true)
    plans = [plan_sequence(sequence, motion.motion_id, clock, config) for sequence in sequences]
    return {
        "clips": list({clip.clip_id: clip for plan in plans for clip in plan.clips.values()}.values()),
        "pairs": _distinct([pair for plan in plans for pair in plan.pairs], several=len(plans) > 1),
        "transitions": [row for plan in plans for row in plan.transitions],
        "dropped": [row for plan in plans for row in plan.dropped],
    }


def _distinct(pairs: list[PairRow], *, several: bool) -> list[PairRow]:
    """With several annotators one pair for one (clip, text), since they often say the same."""
    if not several:
        return pairs
    first: dict[tuple[str, str], PairRow] = {}
    for pair in pairs:
        first.setdefault((pair.clip_id, pair.text), pair)
    return list(first.values())


def pairs_stage(
    config: DataConfig, motions: Iterable[MotionRow], index_content: str
) -> tuple[Stage, Mapping[str, Any]]:
    """The stage and what its work needs; it runs in one process, since it takes seconds."""
    folder = Path(config.inputs.babel)
    files = {path.name: sha256_file(path) for _, path in babel_files(folder, config.pairs)}
    payload = {
        "pairs": {key: value for key, value in asdict(config.pairs).items()},
        "fps": config.keypoints.fps,
        "babel": files,
        "normalise": facts.table("babel")["normalise"],
        "index": index_content,
    }
    stage = Stage(
        name="pairs",
        version=1,
        tables=("clips", "pairs", "transitions", "dropped"),
        work=pairs_one,
        payload=payload,
        parallel=False,
    )
    return stage, pairs_context(config, motions)


def pairs_context(config: DataConfig, motions: Iterable[MotionRow]) -> dict[str, Any]:
    """What `pairs_one` needs beside its item; one context serves all items, since it remembers whose split is whose."""
    known = (Timing(m.motion_id, m.source, m.frames, m.fps_stored, m.fps_true) for m in motions)
    return {"config": config.pairs, "resolver": Resolver(known), "owner": {}, "fps": config.keypoints.fps}
