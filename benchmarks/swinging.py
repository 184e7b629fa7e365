"""Made-up shards of any lengths for the benchmarks of training: a drifting figure, the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actionpose.schema import COLUMNS, Summary
from actionpose.shards import write_index, write_shard
from actionpose.skeleton import N_JOINTS


def write_shards(folder: Path, lengths: Sequence[int]) -> Path:
    """One shard; each motion is one clip with one text."""
    folder.mkdir(parents=True)
    tables: dict[str, dict[str, list[Any]]] = {name: {c: [] for c in columns} for name, columns in COLUMNS.items()}
    start = 0
    for number, length in enumerate(lengths):
        blank: dict[type, Any] = {str: "", int: 0, float: 0.0, list: [], dict: {}}
        known = {
            "motions": {"motion_id": f"m{number}", "split": "train", "start": start, "stop": start + length},
            "clips": {"clip_id": f"c{number}", "motion": number, "kind": "segment", "start": 0, "stop": length},
            "pairs": {"pair_id": f"p{number}", "clip": number, "kind": "segment", "text": f"action {number % 50}"},
        }
        for name, columns in COLUMNS.items():
            for column, kind in columns.items():
                tables[name][column].append(known[name].get(column, blank[kind]))
        start += length
    row = write_shard(folder / "train-00000.h5", tables=tables, pose3d=_motions(lengths))
    write_index(
        folder,
        kind="motion-text",
        fps=30.0,
        views=("front",),
        shards=[row],
        summary=Summary(),
        provenance={},
        licence="none",
    )
    return folder


def _motions(lengths: Sequence[int]) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for length in lengths:
        figure = rng.normal(0, 0.4, size=(1, N_JOINTS, 3))
        figure = figure + np.cumsum(rng.normal(0, 0.01, size=(length, N_JOINTS, 3)), axis=0)
        yield (figure + np.array([0, 0, 1])).astype(np.float32)
