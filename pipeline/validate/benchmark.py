"""Is a benchmark's shard folder what it says it is: invariants that only videos have, for `ap-data validate`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from actionpose.shards import ShardSet
from pipeline.validate.check import Check, judged

TARGETS = ("image-2.5d", "camera", "universal", "metric")
SAID = ("width", "height", "camera", "target", "unit_mm", "unit_from", "protocols", "source_2d")
"""What every video has to say of itself."""

OUTSIDE = 1.5
"""Screen units from the middle that a joint may be away on average: people leave a picture, but not so far."""

_EVERY = 50  # frames of a video from one that is looked at to the next: a second


def benchmark_checks(shards: ShardSet, videos: Mapping[str, Mapping[str, Any]]) -> list[Check]:
    """What each video says, scales, people, and agreement with `videos.jsonl` where it is there."""
    checks = [said(shards), scales(shards), people(shards), pictures(shards)]
    return [*checks, agreement(shards, videos)] if videos else checks


def _rows(shards: ShardSet) -> Iterator[tuple[int, str, dict[str, Any]]]:
    for number, motion_id in enumerate(shards.motions["motion_id"]):
        yield number, str(motion_id), shards.motions["extra"][number]


def said(shards: ShardSet) -> Check:
    """Every video says what a protocol needs to know of it, and has its 2D."""
    wrong = [] if shards.has_pose2d else ["the shards have no 2D"]
    for _, motion_id, extra in _rows(shards):
        missing = [name for name in SAID if name not in extra]
        if missing or extra["target"] not in TARGETS:
            wrong.append(f"{motion_id}: " + (", ".join(missing) or f"target {extra['target']}"))
    targets = Counter(extra.get("target") for _, _, extra in _rows(shards))
    return judged("videos", wrong, ", ".join(f"{number:,} of target {name}" for name, number in targets.items()))


def scales(shards: ShardSet) -> Check:
    """Millimetres per screen unit are positive: one number, or one for each frame."""
    wrong = []
    for number, motion_id, extra in _rows(shards):
        unit = np.asarray(extra.get("unit_mm", 0.0), dtype=np.float64)
        frames = int(shards.motions["stop"][number] - shards.motions["start"][number])
        if not (np.isfinite(unit).all() and (unit > 0).all()) or unit.shape not in ((), (frames,)):
            wrong.append(f"{motion_id}: {unit.shape} of {frames} frames, least {unit.min(initial=np.inf):g}")
    origins = Counter(extra.get("unit_from") for _, _, extra in _rows(shards))
    return judged("scales", wrong, ", ".join(f"{number:,} {name}" for name, number in origins.items()))


def people(shards: ShardSet) -> Check:
    """Nobody is in train and in test."""
    splits: dict[tuple[str, str], set[str]] = defaultdict(set)
    for dataset, subject, split in zip(*(shards.motions[c] for c in ("dataset", "subject", "split")), strict=True):
        splits[str(dataset), str(subject)].add(str(split))
    wrong = [f"{name}: {' and '.join(sorted(where))}" for (_, name), where in splits.items() if len(where) > 1]
    return judged("people", wrong, f"{len(splits)} people, each in one split")


def pictures(shards: ShardSet) -> Check:
    """2D lies on its picture: a wrong image size or unit puts it elsewhere."""
    wrong = []
    for number, motion_id, _ in _rows(shards):
        if not shards.has_pose2d:
            break  # told under videos
        frames = shards.motion_frames(number, "pose2d")[::_EVERY]
        if not (middle := float(np.abs(np.median(frames[..., :2], axis=0)).max())) <= OUTSIDE:
            wrong.append(f"{motion_id}: {middle:.2f} screen units from the middle")
    return judged("pictures", wrong, f"joints within {OUTSIDE:g} screen units of the middle", otherwise="warning")


def agreement(shards: ShardSet, videos: Mapping[str, Mapping[str, Any]]) -> Check:
    """Every video of the shards is the row of `videos.jsonl`, and the other way round."""
    wrong = []
    for number, motion_id, extra in _rows(shards):
        row = videos.get(motion_id)
        here: dict[str, Any] = {name: str(shards.motions[name][number]) for name in ("split", "subject", "action")}
        here["frames"] = int(shards.motions["stop"][number] - shards.motions["start"][number])
        here["protocols"] = list(extra.get("protocols", ()))
        differ = [name for name, value in here.items() if row is not None and row[name] != value]
        if row is None or differ:
            wrong.append(f"{motion_id}: " + (", ".join(differ) or "not in the manifest"))
    known = {motion_id for _, motion_id, _ in _rows(shards)}
    wrong += [f"{motion_id}: not in the shards" for motion_id in videos if motion_id not in known]
    return judged("agreement", wrong, f"{len(known):,} videos are those of the manifest")
