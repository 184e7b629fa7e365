"""Labels and motions become clips and pairs, every dropped label with its reason. Stage *pairs*."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actionpose.files import sha256_file
from pipeline.config import DataConfig, PairConfig
from pipeline.engine.item import Item, ItemError, Rows, Skip
from pipeline.engine.manifest import MotionRow
from pipeline.engine.stage import Stage
from pipeline.sources import facts
from pipeline.sources.babel import babel_files, entry_places, parse_sequence, read_entry
from pipeline.sources.feat_p import Timing, motion_at, motions_by_path
from pipeline.stages.pairing import Clock, plan_entry


def pair_items(folder: Path, config: DataConfig) -> list[Item]:
    """One item per BABEL sequence: its position in the file, not its content."""
    items = []
    for split, path in babel_files(folder, config.pairs):
        file = str(path)
        for sid, place in entry_places(path).items():
            items.append(Item(f"{split}/{path.stem}/{sid}", {"split": split, "sid": sid, "file": file, "place": place}))
    return items


def pairs_one(item: Item, context: dict[str, Any], folder: Path) -> Rows:
    """Plan one sequence with the true length of its motion."""
    config: PairConfig = context["config"]
    split, entry = item.data["split"], read_entry(Path(item.data["file"]), item.data["place"])
    sequences = list(parse_sequence(item.data["sid"], split, entry, config))
    feat_p = sequences[0].feat_p
    motion: Timing | None = motion_at(context["motions"], feat_p)
    if motion is None:
        raise Skip("motion not found", f"{feat_p} is not in the index: its dataset is not unpacked, or was refused")
    if (first := context["split"][motion.motion_id]) != split:
        raise ItemError("motion in two splits", f"{motion.motion_id} is already in {first}")
    stored_s = motion.frames / motion.fps_stored
    if abs(stored_s - sequences[0].duration_s) > config.duration_tolerance_s:
        raise ItemError(
            "length disagrees with BABEL",
            f"{motion.motion_id}: {motion.frames} frames at {motion.fps_stored:g} Hz are {stored_s:.2f} s, "
            f"BABEL says {sequences[0].duration_s:.2f} s: another edition, or a wrong rate",
        )
    clock = Clock.of_motion(motion.frames, motion.fps_stored, motion.fps_true, context["fps"])
    plan = plan_entry(sequences, motion.motion_id, clock, config)
    return {
        "clips": list(plan.clips.values()),
        "pairs": plan.pairs,
        "transitions": plan.transitions,
        "dropped": plan.dropped,
    }


def pairs_stage(
    config: DataConfig, items: Sequence[Item], motions: Iterable[MotionRow], index_content: str
) -> tuple[Stage, dict[str, Any]]:
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
    return stage, pairs_context(config, items, motions)


def pairs_context(config: DataConfig, items: Iterable[Item], motions: Iterable[MotionRow]) -> dict[str, Any]:
    """What `pairs_one` needs besides its item: motions, and the split of each, which is that of its first sequence."""
    known = motions_by_path(Timing(m.motion_id, m.source, m.frames, m.fps_stored, m.fps_true) for m in motions)
    split: dict[str, str] = {}
    for item in items:
        if (motion := motion_at(known, item.data["place"].feat_p)) is not None:
            split.setdefault(motion.motion_id, item.data["split"])
    return {"config": config.pairs, "motions": known, "split": split, "fps": config.keypoints.fps}
