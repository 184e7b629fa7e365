"""Clips, pairs and headings become shards: the folder that training reads. Stage *pack*."""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from actionpose.shards import COLUMNS, ShardSet, write_index, write_shard
from pipeline.config import DataConfig
from pipeline.content import content_rows
from pipeline.duplicates import copies_to_drop, duplicates_of
from pipeline.manifest import (
    ClipRow,
    DropRow,
    KeypointRow,
    MotionRow,
    PairRow,
    ShardRow,
    ViewRow,
    read_rows,
    write_rows,
)
from pipeline.sampling import label_rows
from pipeline.stage import Item, Result, Rows, Stage

LICENCE = (
    "Derived from the user's motion, body and label files. What is made from AMASS, BABEL or SMPL+H carries their "
    "terms: non-commercial research, no redistribution. Trained weights inherit them."
)


SAME_TAKE = "same take as another motion"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The finished stages that shards are made from."""

    index: Result
    keypoints: Result
    pairs: Result
    views: Result


# --- which motion goes where ------------------------------------------------------------------


def pack_items(sources: Sources, config: DataConfig) -> list[Item]:
    """One item per shard: motions in order of id, a shard closed when the next motion would overfill it."""
    motions = {row.motion_id: row for row in read_rows(sources.index.table("motions"), MotionRow)}
    clips: dict[str, dict[str, ClipRow]] = defaultdict(dict)
    for clip in read_rows(sources.pairs.table("clips"), ClipRow):
        clips[clip.motion_id].setdefault(clip.clip_id, clip)
    pairs: dict[str, list[PairRow]] = defaultdict(list)
    for pair in read_rows(sources.pairs.table("pairs"), PairRow):
        pairs[pair.clip_id].append(pair)
    views = {row.id: row for row in read_rows(sources.views.table("views"), ViewRow)}
    by_split: dict[str, list[dict[str, Any]]] = defaultdict(list)
    gone = left_out(sources, config)
    for row in read_rows(sources.keypoints.table("keypoints"), KeypointRow):
        own = sorted(clips.get(row.motion_id, {}).values(), key=lambda clip: clip.clip_id)
        if own and row.motion_id not in gone:
            entry = _motion_entry(motions[row.motion_id], row, own, pairs, views)
            by_split[own[0].split].append(entry)
    return [item for split in sorted(by_split) for item in _filled(split, by_split[split], config.pack.max_frames)]


def left_out(sources: Sources, config: DataConfig) -> dict[str, str]:
    """Motion whose pairs are left out as copies → the one that stays; empty unless `pack.duplicates` is `drop`."""
    if config.pack.duplicates == "report":
        return {}
    return copies_to_drop(duplicates_of(sources.index, sources.keypoints, sources.pairs))


def _motion_entry(
    motion: MotionRow,
    keypoints: KeypointRow,
    clips: Sequence[ClipRow],
    pairs: dict[str, list[PairRow]],
    views: dict[str, ViewRow],
) -> dict[str, Any]:
    return {
        "motion": asdict(motion),
        "file": keypoints.file,
        "frames": keypoints.frames,
        "heading": views[motion.motion_id].heading,
        "clips": [
            {**asdict(clip), "heading": views[clip.clip_id].heading, "pairs": [asdict(p) for p in pairs[clip.clip_id]]}
            for clip in clips
        ],
    }


def _filled(split: str, entries: Iterable[dict[str, Any]], max_frames: int) -> list[Item]:
    groups: list[list[dict[str, Any]]] = [[]]
    frames = 0
    for entry in entries:
        if groups[-1] and frames + entry["frames"] > max_frames:
            groups.append([])
            frames = 0
        groups[-1].append(entry)
        frames += entry["frames"]
    return [
        Item(f"{split}-{number:05d}.h5", {"split": split, "motions": group}, cost=10.0)
        for number, group in enumerate(groups)
        if group
    ]


# --- one shard --------------------------------------------------------------------------------


def pack_one(item: Item, context: dict[str, Any], folder: Path) -> Rows:
    """Write one shard file."""
    entries = item.data["motions"]
    files = (np.load(Path(context["keypoints"]) / entry["file"], allow_pickle=False) for entry in entries)
    row = write_shard(folder / item.id, tables=shard_tables(item.data["split"], entries), pose3d=files)
    return {"shards": [ShardRow(**row)]}


def shard_tables(split: str, entries: Sequence[dict[str, Any]]) -> dict[str, dict[str, list[Any]]]:
    """The three tables of a shard, column by column (`actionpose.shards.COLUMNS`)."""
    tables: dict[str, dict[str, list[Any]]] = {name: {c: [] for c in columns} for name, columns in COLUMNS.items()}
    start = 0
    for number, entry in enumerate(entries):
        motion = entry["motion"]
        row = {
            **{key: motion[key] for key in ("motion_id", "dataset", "subject", "source", "fps_stored", "fps_true")},
            "split": split,
            "action": "",
            "start": start,
            "stop": start + entry["frames"],
            "heading": entry["heading"],
            "extra": {"gender": motion["gender"], "sha256": motion["sha256"]},
        }
        _append(tables["motions"], row)
        start += entry["frames"]
        for clip in entry["clips"]:
            clip_number = len(tables["clips"]["motion"])
            _append(tables["clips"], {**clip, "motion": number})
            for pair in clip["pairs"]:
                _append(tables["pairs"], {**pair, "clip": clip_number})
    return tables


def _append(table: dict[str, list[Any]], row: dict[str, Any]) -> None:
    for column, values in table.items():
        values.append(row[column])


# --- the folder as a whole --------------------------------------------------------------------


def pack_stage(config: DataConfig, sources: Sources) -> tuple[Stage, dict[str, Any]]:
    """The stage and the context its workers get."""
    payload = {
        "pack": asdict(config.pack),
        "index": sources.index.content,
        "keypoints": sources.keypoints.content,
        "pairs": sources.pairs.content,
        "project-2d": sources.views.content,
        "failures": {name: r.meta["tables"]["failures"]["sha256"] for name, r in _named(sources).items()},
    }
    stage = Stage(name="pack", version=2, tables=("shards",), work=pack_one, payload=payload, row_per_item="shards")
    return stage, {"keypoints": str(sources.keypoints.folder.resolve())}


def _named(sources: Sources) -> dict[str, Result]:
    return {
        "index": sources.index,
        "keypoints": sources.keypoints,
        "pairs": sources.pairs,
        "project-2d": sources.views,
    }


def finish_folder(folder: Path, sources: Sources, config: DataConfig) -> None:
    """Put the manifests beside the shards and write the index, the last file."""
    manifests = folder / "manifests"
    manifests.mkdir(exist_ok=True)
    for result, names in (
        (sources.index, ("motions",)),
        (sources.keypoints, ("keypoints",)),
        (sources.views, ("views",)),
        (sources.pairs, ("clips", "pairs", "transitions", "dropped")),
    ):
        for name in names:
            shutil.copyfile(result.table(name), manifests / f"{name}.jsonl")
    gone = left_out(sources, config)
    _write_copies(manifests, sources, gone)
    for verdict in ("failures", "skipped"):
        texts = [result.table(verdict).read_text(encoding="utf-8") for result in _named(sources).values()]
        (manifests / f"{verdict}.jsonl").write_text("".join(texts), encoding="utf-8")
    shards = [asdict(row) for row in read_rows(folder / "shards.jsonl", ShardRow)]
    write_index(
        folder,
        kind="motion-text",
        fps=config.keypoints.fps,
        views=config.project.views,
        shards=shards,
        summary=summarise(shards, sources, config, gone),
        provenance={name: result.meta["identity"] for name, result in _named(sources).items()},
        licence=LICENCE,
    )
    # These two are made from the finished shards; the folder is still under its unfinished name.
    packed = ShardSet(folder)
    write_rows(manifests / "content.jsonl", content_rows(packed))
    splits = packed.motions["split"][packed.clips["motion"]][packed.pairs["clip"]]
    lengths = packed.clip_lengths()[packed.pairs["clip"]]
    labelled = zip(packed.pairs["text"], splits, (int(n) for n in lengths), strict=True)
    write_rows(manifests / "labels.jsonl", label_rows(labelled, packed.fps))


def _write_copies(manifests: Path, sources: Sources, gone: dict[str, str]) -> None:
    """`duplicates.jsonl`, and a reason in `dropped.jsonl` for each pair that went with a copy."""
    rows = duplicates_of(sources.index, sources.keypoints, sources.pairs)
    dropped = [r.motion_a if r.motion_a in gone else r.motion_b if r.motion_b in gone else "" for r in rows]
    write_rows(
        manifests / "duplicates.jsonl", [replace(row, dropped=name) for row, name in zip(rows, dropped, strict=True)]
    )
    if not gone:
        return
    clips = {clip.clip_id: clip for clip in read_rows(sources.pairs.table("clips"), ClipRow)}
    drops = list(read_rows(sources.pairs.table("dropped"), DropRow))
    for pair in read_rows(sources.pairs.table("pairs"), PairRow):
        clip = clips[pair.clip_id]
        if clip.motion_id in gone:
            drops.append(
                DropRow(
                    drop_id=pair.pair_id,
                    babel_sid=pair.babel_sid,
                    text=pair.text,
                    start_s=clip.start_s,
                    stop_s=clip.stop_s,
                    reason=SAME_TAKE,
                )
            )
    write_rows(manifests / "dropped.jsonl", drops)


def summarise(
    shards: Sequence[dict[str, Any]], sources: Sources, config: DataConfig, gone: dict[str, str]
) -> dict[str, Any]:
    """The counts that `ap-data inspect` shows; `gone` are the copies left out."""
    packed = {row.motion_id for row in read_rows(sources.keypoints.table("keypoints"), KeypointRow)}
    pairs = list(read_rows(sources.pairs.table("pairs"), PairRow))
    clips = {clip.clip_id: clip for clip in read_rows(sources.pairs.table("clips"), ClipRow)}
    copies = [pair for pair in pairs if clips[pair.clip_id].motion_id in gone]
    kept = [pair for pair in pairs if clips[pair.clip_id].motion_id in packed - gone.keys()]
    labelled = {clips[pair.clip_id].motion_id for pair in kept}
    motions = [row for row in read_rows(sources.index.table("motions"), MotionRow) if row.motion_id in labelled]
    frames = sum(row["frames"] for row in shards)
    return {
        "motions": len(motions),
        "clips": len({pair.clip_id for pair in kept}),
        "pairs": len(kept),
        "kinds": dict(sorted(Counter(pair.kind for pair in kept).items())),
        "transitions": _transitions(sources),
        "frames": frames,
        "hours": round(frames / config.keypoints.fps / 3600, 4),
        "labels": dict(Counter(pair.text for pair in kept).most_common()),
        "rates": _rates(motions),
        "splits": {split: _of_split(split, shards) for split in sorted({row["split"] for row in shards})},
        "dropped": _reasons(sources.pairs, "dropped") | ({SAME_TAKE: len(copies)} if copies else {}),
        "failures": {name: result.failures for name, result in _named(sources).items() if result.failures},
        "skipped": {name: r.meta["skipped"] for name, r in _named(sources).items() if r.meta["skipped"]},
        "unlabelled_motions": len(packed - labelled - gone.keys()),
        "pairs_without_motion": len(pairs) - len(kept) - len(copies),
    }


def _transitions(sources: Sources) -> dict[str, Any]:
    verdicts = Counter(
        json.loads(line)["verdict"] for line in sources.pairs.table("transitions").read_text("utf-8").splitlines()
    )
    number = verdicts.pop("kept", 0)
    return {"found": number + verdicts.total(), "kept": number, "dropped": dict(sorted(verdicts.items()))}


def _rates(motions: Sequence[MotionRow]) -> dict[str, int]:
    """Motions per rate used, slowest first; corrected ones are named as such."""
    named = Counter((row.fps_true, row.fps_stored) for row in motions)
    return {
        f"{true:g}" if round(true, 2) == round(stored, 2) else f"{true:g} (stored as {stored:g})": number
        for (true, stored), number in sorted(named.items())
    }


def _of_split(split: str, shards: Sequence[dict[str, Any]]) -> dict[str, int]:
    rows = [row for row in shards if row["split"] == split]
    return {name: sum(row[name] for row in rows) for name in ("motions", "clips", "pairs", "frames")}


def _reasons(result: Result, table: str) -> dict[str, int]:
    lines = result.table(table).read_text(encoding="utf-8").splitlines()
    return dict(sorted(Counter(json.loads(line)["reason"] for line in lines).items()))
