"""A stage of small items that fail, are skipped or crash when told to."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from actionpose.files import atomic_path
from pipeline.engine.checksum import checksum_file
from pipeline.engine.item import Item, ItemError, Skip
from pipeline.engine.manifest import KeypointRow
from pipeline.engine.stage import Stage


def square(item: Item, context: dict, folder: Path) -> dict:
    """Write an array; fail, skip or linger when the item says so."""
    if "raise" in item.data:
        raise {
            "item": ItemError("bad content", "item is bad"),
            "skip": Skip("not ours"),
            "bug": ZeroDivisionError("x"),
        }[item.data["raise"]]
    time.sleep(context.get("sleep", 0))
    name = f"files/{item.id}.npy"
    with atomic_path(folder / name) as aside:
        np.save(aside, np.full(1000, item.data["value"], dtype=np.float32))
    row = KeypointRow(
        motion_id=item.id,
        file=name,
        frames=1,
        fps=30.0,
        body="neutral",
        speed_max=float(item.data["value"]),
        bytes=(folder / name).stat().st_size,
        checksum=checksum_file(folder / name),
    )
    return {"keypoints": [row]}


def stage(**payload) -> Stage:
    return Stage(
        name="square",
        version=1,
        tables=("keypoints",),
        work=square,
        payload=payload or {"power": 2},
        row_per_item="keypoints",
    )


def items(n: int, **raising: str) -> list[Item]:
    return [
        Item(f"m{i:03d}", {"value": i, **({"raise": raising[f"m{i:03d}"]} if f"m{i:03d}" in raising else {})})
        for i in range(n)
    ]
