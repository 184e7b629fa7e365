"""Takes that are there twice, found by content among the labelled motions. Stage *copies*."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from sys import intern
from typing import Any

import numpy as np

from actionpose.arrays import Floats
from actionpose.config import fingerprint
from pipeline.engine.item import Item, Rows
from pipeline.engine.manifest import KeypointRow, MotionRow, read_rows
from pipeline.engine.stage import Stage, StageResult
from pipeline.pack.duplicates import LazyMotion, find_duplicates
from pipeline.pack.selection import labelled_motions
from pipeline.sources import facts


def copies_items() -> list[Item]:
    """One item: every motion is compared with every other that is like it."""
    return [Item("copies", {})]


def copies_one(item: Item, context: dict[str, Any], folder: Path) -> Rows:
    """Every two motions that are one take."""
    return {"duplicates": find_duplicates(_takes(**context))}


def _takes(index: StageResult, keypoints: StageResult, pairs: StageResult) -> list[LazyMotion]:
    splits = labelled_motions(pairs)
    known = {
        row.motion_id: (intern(row.dataset), intern(row.subject))
        for row in read_rows(index.table("motions"), MotionRow)
        if row.motion_id in splits
    }
    return [
        LazyMotion(
            row.motion_id, *known[row.motion_id], splits[row.motion_id], partial(_frames, keypoints.folder, row.file)
        )
        for row in read_rows(keypoints.table("keypoints"), KeypointRow)
        if row.motion_id in splits
    ]


def _frames(folder: Path, file: str) -> Floats:
    frames: Floats = np.load(folder / file, allow_pickle=False)
    return frames


def copies_stage(index: StageResult, keypoints: StageResult, pairs: StageResult) -> tuple[Stage, dict[str, Any]]:
    """The stage and what its work needs; it runs in one process, since one look compares all."""
    payload = {
        "index": index.content,
        "keypoints": keypoints.content,
        "pairs": pairs.content,
        "same_takes": fingerprint(facts.table("amass")["same_takes"]),
    }
    stage = Stage(
        name="copies",
        version=2,
        tables=("duplicates",),
        work=copies_one,
        payload=payload,
        parallel=False,
        indivisible=True,
    )
    return stage, {"index": index, "keypoints": keypoints, "pairs": pairs}
