"""Is a benchmark's shard folder what it says it is: invariants that only videos have, for `ap-data validate`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from actionpose.errors import UserError
from actionpose.schema import TARGETS, VideoFacts
from actionpose.shards import ShardSet
from pipeline.pack.same_joints import Agreement
from pipeline.validate.check import Check, judged

OUTSIDE = 1.5
"""Screen units from the middle that a joint may be away on average: people leave a picture, but not so far."""

_EVERY = 50  # frames of a video from one that is looked at to the next: a second


def benchmark_checks(shards: ShardSet, videos: Mapping[str, Mapping[str, Any]]) -> list[Check]:
    """What each video states, scales, people, and agreement with `videos.jsonl` where it is there."""
    checks = [stated(shards), people(shards), pictures(shards), joints(shards)]
    try:
        shards.videos  # noqa: B018 (the others need what every video states)
    except UserError:
        return checks
    checks.insert(1, scales(shards))
    return [*checks, agreement(shards, videos)] if videos else checks


def _ids(shards: ShardSet) -> Iterator[tuple[int, str]]:
    for number, motion_id in enumerate(shards.motions["motion_id"]):
        yield number, str(motion_id)


def stated(shards: ShardSet) -> Check:
    """Every video states what a protocol needs to know of it, and has its 2D."""
    wrong = [] if shards.has_pose2d else ["the shards have no 2D"]
    targets: Counter[str] = Counter()
    for number, motion_id in _ids(shards):
        try:
            target = VideoFacts.from_json(shards.motions["extra"][number], where=motion_id).target
        except UserError as error:
            wrong.append(error.message)
            continue
        targets[target] += 1
        wrong += [] if target in TARGETS else [f"{motion_id}: target {target}"]
    return judged("videos", wrong, ", ".join(f"{number:,} of target {name}" for name, number in targets.items()))


def scales(shards: ShardSet) -> Check:
    """Millimetres per screen unit are positive: one number, or one for each frame."""
    wrong = []
    for number, motion_id in _ids(shards):
        unit = np.asarray(shards.videos[number].unit_mm, dtype=np.float64)
        frames = int(shards.motions["stop"][number] - shards.motions["start"][number])
        if not (np.isfinite(unit).all() and (unit > 0).all()) or unit.shape not in ((), (frames,)):
            wrong.append(f"{motion_id}: {unit.shape} of {frames} frames, least {unit.min(initial=np.inf):g}")
    origins = Counter(video.unit_from for video in shards.videos)
    return judged("scales", wrong, ", ".join(f"{number:,} {name}" for name, number in origins.items()))


def people(shards: ShardSet) -> Check:
    """No subject is in both train and test."""
    splits: dict[tuple[str, str], set[str]] = defaultdict(set)
    for dataset, subject, split in zip(*(shards.motions[c] for c in ("dataset", "subject", "split")), strict=True):
        splits[str(dataset), str(subject)].add(str(split))
    wrong = [f"{name}: {' and '.join(sorted(where))}" for (_, name), where in splits.items() if len(where) > 1]
    return judged("people", wrong, f"{len(splits)} people, each in one split")


def pictures(shards: ShardSet) -> Check:
    """2D lies on its picture: a wrong image size or unit puts it elsewhere."""
    wrong = []
    for number, motion_id in _ids(shards):
        if not shards.has_pose2d:
            break  # reported under videos
        frames = shards.motion_frames(number, "pose2d")[::_EVERY]
        if not (middle := float(np.abs(np.median(frames[..., :2], axis=0)).max())) <= OUTSIDE:
            wrong.append(f"{motion_id}: {middle:.2f} screen units from the middle")
    return judged("pictures", wrong, f"joints within {OUTSIDE:g} screen units of the middle", otherwise="warning")


def joints(shards: ShardSet) -> Check:
    """2D and 3D show the same joints in one unit, video by video put together for each split."""
    seen = Agreement()
    if shards.has_pose2d:
        for number, _ in _ids(shards):
            pose2d, pose3d = (shards.motion_frames(number, name) for name in ("pose2d", "pose3d"))
            seen.add(str(shards.motions["split"][number]), pose2d, pose3d)
    wrong = [f"{split}: {words}" for split, words in seen.verdicts().items()]
    return judged("joints", wrong, "2D and 3D show the same joints, in every split")


def agreement(shards: ShardSet, videos: Mapping[str, Mapping[str, Any]]) -> Check:
    """Every video of the shards is the row of `videos.jsonl`, and the other way round."""
    wrong = []
    for number, motion_id in _ids(shards):
        row = videos.get(motion_id)
        here: dict[str, Any] = {name: str(shards.motions[name][number]) for name in ("split", "subject", "action")}
        here["frames"] = int(shards.motions["stop"][number] - shards.motions["start"][number])
        here["protocols"] = list(shards.videos[number].protocols)
        differ = [name for name, value in here.items() if row is not None and row.get(name) != value]
        if row is None or differ:
            wrong.append(f"{motion_id}: " + (", ".join(differ) or "not in the manifest"))
    known = {motion_id for _, motion_id in _ids(shards)}
    wrong += [f"{motion_id}: not in the shards" for motion_id in videos if motion_id not in known]
    return judged("agreement", wrong, f"{len(known):,} videos are those of the manifest")
