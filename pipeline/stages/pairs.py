"""Labels and motions become clips and pairs, every dropped label with its reason. Stage *pairs*."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actionpose.files import sha256_file
from pipeline.config import DataConfig, PairConfig
from pipeline.engine.item import Item, ItemError, Rows, Skip
from pipeline.engine.manifest import MotionRow, PairRow
from pipeline.engine.stage import Stage
from pipeline.sources import facts
from pipeline.sources.babel import babel_files, entry_places, parse_sequence, read_entry
from pipeline.sources.feat_p import Timing, motion_at, motions_by_path
from pipeline.stages.pairing import Clock, plan_sequence


def pair_items(folder: Path, config: DataConfig) -> list[Item]:
    """One item per BABEL sequence: its position in the file, not its content."""
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
    motion: Timing | None = motion_at(context["motions"], feat_p)
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
    clock = Clock.of_motion(motion.frames, motion.fps_stored, motion.fps_true, fps)
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
        "pairs": asdict(config.pairs),
        "fps": config.keypoints.fps,
        "babel": files,
        "normalise": [facts.table("babel")[name] for name in ("normalise", "as_typed")],
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
    """What `pairs_one` needs besides its item; all items share one context, since it remembers every motion's split."""
    known = (Timing(m.motion_id, m.source, m.frames, m.fps_stored, m.fps_true) for m in motions)
    return {"config": config.pairs, "motions": motions_by_path(known), "owner": {}, "fps": config.keypoints.fps}
