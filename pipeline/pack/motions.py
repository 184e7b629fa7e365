"""Clips, pairs and headings become shards: the folder that training reads. Stage *pack*."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np

from actionpose.schema import COLUMNS, Summary, Transitions
from actionpose.shards import ShardSet, write_index, write_shard
from pipeline.config import DataConfig
from pipeline.engine.item import Item, Rows
from pipeline.engine.manifest import (
    ClipRow,
    DropRow,
    DuplicateRow,
    KeypointRow,
    MotionRow,
    PairRow,
    R,
    ShardRow,
    ViewRow,
    read_lines,
    read_rows,
    write_rows,
)
from pipeline.engine.row_index import lookup
from pipeline.engine.stage import Stage, StageResult
from pipeline.pack.content import content_rows
from pipeline.pack.selection import LeftOut, label_rows, labelled_motions, left_out, left_out_rows

LICENCE = (
    "Derived from the user's motion, body and label files. What is made from AMASS, BABEL or SMPL+H carries their "
    "terms: non-commercial research, no redistribution. Trained weights inherit them."
)


Stages = Mapping[str, StageResult]
"""Name → finished stage, of those that shards are made from."""

BEFORE = ("index", "keypoints", "pairs", "copies", "project-2d")
"""Their names, in the order in which manifests list their failures."""


# --- which motion goes where ------------------------------------------------------------------


def pack_items(stages: Stages, config: DataConfig) -> list[Item]:
    """One item per shard: motions in order of id, a shard closed when the next motion would overfill it."""
    splits = labelled_motions(stages["pairs"])
    by_split: dict[str, list[tuple[str, int]]] = defaultdict(list)
    left = _left_out(stages, config)
    for row in read_rows(stages["keypoints"].table("keypoints"), KeypointRow):
        if row.motion_id in splits and row.motion_id not in left.motions:
            by_split[splits[row.motion_id]].append((row.motion_id, row.frames))
    return [
        Item(
            f"{split}-{number:05d}.h5",
            {"split": split, "motions": group, "without": {m: left.pairs[m] for m in group if m in left.pairs}},
            cost=10.0,
        )
        for split in sorted(by_split)
        for number, group in enumerate(_filled(by_split[split], config.pack.max_frames))
    ]


def _left_out(stages: Stages, config: DataConfig) -> LeftOut:
    return left_out(stages["keypoints"], stages["pairs"], stages["copies"], config.pack)


def _filled(motions: Iterable[tuple[str, int]], max_frames: int) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    total = 0
    for motion_id, frames in motions:
        if groups[-1] and total + frames > max_frames:
            groups.append([])
            total = 0
        groups[-1].append(motion_id)
        total += frames
    return [group for group in groups if group]


# --- one shard --------------------------------------------------------------------------------


def pack_one(item: Item, context: dict[str, Any], folder: Path) -> Rows:
    """Write one shard file."""
    without = item.data["without"]
    entries = [motion_entry(motion, context["tables"], without.get(motion, ())) for motion in item.data["motions"]]
    files = (np.load(Path(context["keypoints"]) / entry["file"], allow_pickle=False) for entry in entries)
    row = write_shard(folder / item.id, tables=shard_tables(item.data["split"], entries), pose3d=files)
    return {"shards": [ShardRow(**row)]}


def motion_entry(motion_id: str, manifests: dict[str, str], without: Collection[str] = ()) -> dict[str, Any]:
    """Everything the manifests (table → path) say of one motion: its row, its clips in order of id, their pairs.

    Pairs whose ids are in `without` are left out, and clips that have no other.
    """

    def rows(table: str, row_type: type[R]) -> Iterator[R]:
        return lookup(manifests[table]).rows(motion_id, row_type)

    headings = {view.id: view.heading for view in rows("views", ViewRow)}
    pairs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for pair in rows("pairs", PairRow):
        if pair.pair_id not in without:
            pairs[pair.clip_id].append(asdict(pair))
    clips: dict[str, ClipRow] = {}
    for clip in rows("clips", ClipRow):
        if clip.clip_id in pairs:
            clips.setdefault(clip.clip_id, clip)
    (keypoints,) = rows("keypoints", KeypointRow)
    (motion,) = rows("motions", MotionRow)
    return {
        "motion": asdict(motion),
        "file": keypoints.file,
        "frames": keypoints.frames,
        "heading": headings[motion_id],
        "clips": [
            {**asdict(clip), "heading": headings[clip.clip_id], "pairs": pairs[clip.clip_id]} for clip in clips.values()
        ],
    }


def shard_tables(split: str, entries: Sequence[dict[str, Any]]) -> dict[str, dict[str, list[Any]]]:
    """The three tables of a shard, column by column (`actionpose.schema.COLUMNS`)."""
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
            "extra": {"gender": motion["gender"], "checksum": motion["checksum"]},
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


def pack_stage(config: DataConfig, stages: Stages) -> tuple[Stage, dict[str, Any]]:
    """The stage and the context its workers get."""
    payload = {
        "pack": asdict(config.pack),
        **{name: stages[name].content for name in BEFORE},
        "failures": {name: stages[name].meta["tables"]["failures"]["sha256"] for name in BEFORE},
    }
    stage = Stage(
        name="pack", version=4, tables=("shards",), work=pack_one, payload=payload, row_per_item="shards", whole=True
    )
    context = {
        "keypoints": str(stages["keypoints"].folder.resolve()),
        "tables": {name: str(path.resolve()) for name, path in _tables(stages).items()},
    }
    return stage, context


def _tables(stages: Stages) -> dict[str, Path]:
    """Table → manifest, of all tables about motions and their labels."""
    makers = {"motions": "index", "keypoints": "keypoints", "views": "project-2d"}
    makers |= dict.fromkeys(("clips", "pairs", "transitions", "dropped"), "pairs")
    return {table: stages[name].table(table) for table, name in makers.items()}


def finish_folder(folder: Path, stages: Stages, config: DataConfig) -> None:
    """Write the manifests, then the index as the last file."""
    manifests = folder / "manifests"
    manifests.mkdir(exist_ok=True)
    for name, path in _tables(stages).items():
        shutil.copyfile(path, manifests / f"{name}.jsonl")
    left = _left_out(stages, config)
    _write_left_out(manifests, stages, left)
    for verdict in ("failures", "skipped"):
        with open(manifests / f"{verdict}.jsonl", "wb") as joined:
            for name in BEFORE:
                with open(stages[name].table(verdict), "rb") as own:
                    shutil.copyfileobj(own, joined)
    shards = [asdict(row) for row in read_rows(folder / "shards.jsonl", ShardRow)]
    write_index(
        folder,
        kind="motion-text",
        fps=config.keypoints.fps,
        views=config.project.views,
        shards=shards,
        summary=summarise(shards, stages, config, left),
        provenance={name: stages[name].meta["identity"] for name in BEFORE},
        licence=LICENCE,
    )
    # These two are made from the finished shards, one after the other; the folder is still under its unfinished name.

    def one_by_one() -> Iterator[ShardSet]:
        return (ShardSet(folder, only=(number,)) for number in range(len(shards)))

    write_rows(manifests / "content.jsonl", (row for packed in one_by_one() for row in content_rows(packed)))
    labelled = (pair for packed in one_by_one() for pair in _labelled(packed))
    write_rows(manifests / "labels.jsonl", label_rows(labelled, config.keypoints.fps))


def _labelled(packed: ShardSet) -> Iterator[tuple[str, str, int]]:
    """(text, split, frames) of every pair."""
    splits = packed.motions["split"][packed.clips["motion"]][packed.pairs["clip"]]
    lengths = packed.clip_lengths()[packed.pairs["clip"]]
    return zip(packed.pairs["text"], splits, (int(n) for n in lengths), strict=True)


def _write_left_out(manifests: Path, stages: Stages, left: LeftOut) -> None:
    """`duplicates.jsonl`, and a reason in `dropped.jsonl` for each pair that the settings of *pack* leave out."""
    gone = left.copies
    rows = list(read_rows(stages["copies"].table("duplicates"), DuplicateRow))
    dropped = [r.motion_a if r.motion_a in gone else r.motion_b if r.motion_b in gone else "" for r in rows]
    write_rows(
        manifests / "duplicates.jsonl", [replace(row, dropped=name) for row, name in zip(rows, dropped, strict=True)]
    )
    if gone or left.pairs:
        drops = read_rows(stages["pairs"].table("dropped"), DropRow)
        write_rows(manifests / "dropped.jsonl", chain(drops, left_out_rows(stages["pairs"], left)))


def summarise(shards: Sequence[dict[str, Any]], stages: Stages, config: DataConfig, left: LeftOut) -> Summary:
    """The counts that `ap-data inspect` shows; `left` is what settings leave out."""
    packed = {row.motion_id for row in read_rows(stages["keypoints"].table("keypoints"), KeypointRow)}
    labels = _packed_labels(stages, packed, left)
    rates = Counter(
        (row.fps_true, row.fps_stored)
        for row in read_rows(stages["index"].table("motions"), MotionRow)
        if row.motion_id in labels.motions
    )
    frames = sum(row["frames"] for row in shards)
    return Summary(
        motions=rates.total(),
        clips=_clips(stages, labels.motions, left),
        pairs=labels.kinds.total(),
        kinds=dict(sorted(labels.kinds.items())),
        transitions=_transitions(stages),
        frames=frames,
        hours=round(frames / config.keypoints.fps / 3600, 4),
        labels=dict(labels.texts.most_common()),
        rates=_rates(rates),
        splits={split: _of_split(split, shards) for split in sorted({row["split"] for row in shards})},
        dropped=_reasons(stages["pairs"], "dropped") | dict(sorted(labels.left.items())),
        failures={name: stages[name].failures for name in BEFORE if stages[name].failures},
        skipped={name: stages[name].meta["skipped"] for name in BEFORE if stages[name].meta["skipped"]},
        unlabelled_motions=len(packed - labels.motions - left.motions),
        pairs_without_motion=labels.without,
    )


@dataclass
class _PackedLabels:
    """What all pairs together say of the motions that are packed."""

    motions: set[str] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    """Reason → pairs left out."""
    without: int = 0
    """Pairs whose motion has no keypoints."""


def _packed_labels(stages: Stages, packed: set[str], left: LeftOut) -> _PackedLabels:
    labels = _PackedLabels()
    for pair in read_rows(stages["pairs"].table("pairs"), PairRow):
        if reason := left.reason(pair):
            labels.left[reason] += 1
        elif pair.motion_id in packed:
            labels.motions.add(pair.motion_id)
            labels.kinds[pair.kind] += 1
            labels.texts[pair.text] += 1
        else:
            labels.without += 1
    return labels


def _clips(stages: Stages, motions: set[str], left: LeftOut) -> int:
    """Different clips of these motions; rows of one clip are adjacent, since they are in order of id."""
    rows = read_rows(stages["pairs"].table("clips"), ClipRow)
    clips = (row.clip_id for row in rows if row.motion_id in motions and row.clip_id not in left.clips)
    return sum(1 for _ in groupby(clips))


def _transitions(stages: Stages) -> Transitions:
    verdicts = Counter(row["verdict"] for _, row in read_lines(stages["pairs"].table("transitions")))
    number = verdicts.pop("kept", 0)
    return Transitions(found=number + verdicts.total(), kept=number, dropped=dict(sorted(verdicts.items())))


def _rates(motions: Counter[tuple[float, float]]) -> dict[str, int]:
    """Motions per rate used, slowest first; corrected ones are named as such."""
    return {
        f"{true:g}" if round(true, 2) == round(stored, 2) else f"{true:g} (stored as {stored:g})": number
        for (true, stored), number in sorted(motions.items())
    }


def _of_split(split: str, shards: Sequence[dict[str, Any]]) -> dict[str, int]:
    rows = [row for row in shards if row["split"] == split]
    return {name: sum(row[name] for row in rows) for name in ("motions", "clips", "pairs", "frames")}


def _reasons(result: StageResult, table: str) -> dict[str, int]:
    return dict(sorted(Counter(row["reason"] for _, row in read_lines(result.table(table))).items()))
