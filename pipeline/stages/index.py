"""Every motion file looked at once: is it a motion, how long, at which rate. Stage *index*."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from actionpose.config import canonical_json, fingerprint
from actionpose.walk import Unreadable, written_name
from pipeline.body.resample import snap_rate
from pipeline.config import DataConfig
from pipeline.engine.checksum import checksum_file
from pipeline.engine.item import Item, ItemError, Rows, Skip
from pipeline.engine.manifest import MotionRow, read_rows
from pipeline.engine.stage import Stage, StageResult
from pipeline.sources import facts
from pipeline.sources.amass import motion_files, motion_id, open_motion


def index_items(root: Path) -> list[Item]:
    """One item per file, and one per folder that cannot be read; the cost is a guess at hashing it."""
    return _without_repeats([_item(place, root) for place in motion_files(root)])


def _item(place: Path | Unreadable, root: Path) -> Item:
    path = place.path if isinstance(place, Unreadable) else place
    source = written_name(path.relative_to(root).as_posix())
    data: dict[str, Any] = {"source": source, "bytes": 0}
    if isinstance(place, Unreadable):
        return Item(id=source, data={**data, "unreadable": f"a folder that cannot be read: {place.reason}"})
    if source != path.relative_to(root).as_posix():
        return Item(id=source, data={**data, "unreadable": "its name is not UTF-8; rename it"})
    with suppress(OSError):  # a broken link; `motion_row` reports it
        status = path.stat()
        data |= {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
    return Item(id=motion_id(Path(source)), data=data, cost=0.002 + data["bytes"] / 1e9)


def _without_repeats(items: list[Item]) -> list[Item]:
    """A path that ends like an earlier one keeps its own id, so that both are seen and the second is refused."""
    seen: dict[str, str] = {}
    out = []
    for item in items:
        if item.id in seen:
            item = Item(item.data["source"], {**item.data, "repeats": seen[item.id]}, item.cost)
        seen.setdefault(item.id, item.data["source"])
        out.append(item)
    return out


def motion_row(item: Item, root: Path, *, rate_overrides: bool) -> MotionRow:
    """What one file's headers say; nothing large is read, and the checksum is left empty.

    Raises:
        Skip: a file that is not a motion.
        ItemError: a motion we cannot use.
    """
    relative = Path(item.data["source"])
    path = root / relative
    if "unreadable" in item.data:
        raise ItemError("cannot be read", f"{relative}: {item.data['unreadable']}")
    if reason := facts.not_a_motion(path.name):
        raise Skip("not a motion", f"{relative}: {reason}")
    if "repeats" in item.data:
        raise ItemError("same motion twice", f"{relative} has the dataset, subject and name of {item.data['repeats']}")
    if not path.is_file():
        raise ItemError("cannot be read", f"{relative} is not a file: a broken link, or a device")
    if len(relative.parts) < 3:
        raise ItemError("not in a dataset folder", f"{relative} should stand as DATASET/SUBJECT/{relative.name}")
    with open_motion(path) as file:
        head = file.header
    dataset, subject = relative.parts[-3], relative.parts[-2]
    rate = facts.TrueRate(snap_rate(head.fps))
    if rate_overrides:
        rate = facts.overridden_rate(dataset, subject, head.fps) or rate
    return MotionRow(
        motion_id=item.id,
        source=relative.as_posix(),
        dataset=dataset,
        subject=subject,
        gender=head.gender,
        frames=head.frames,
        fps_stored=head.fps,
        fps_true=rate.fps,
        rate_note=rate.note or ("snapped to a whole number" if rate.fps != head.fps else ""),
        duration_s=round((head.frames - 1) / rate.fps, 6),
        betas=head.betas,
        bytes=item.data["bytes"],
        checksum="",
    )


def index_one(item: Item, context: dict[str, Any], folder: Path) -> Rows:
    """Look at one file: is it a motion, how long, at which rate, and what is its checksum."""
    root = Path(context["amass"])
    row = motion_row(item, root, rate_overrides=context["rate_overrides"])
    return {"motions": [replace(row, checksum=checksum_file(root / row.source))]}


def _fingerprint_of(items: Iterable[Item], *columns: str) -> str:
    """`fingerprint` of these columns of every item, in a list that is never in memory as a whole."""
    digest = hashlib.sha256(b"[")
    for number, item in enumerate(items):
        row = canonical_json([item.data.get(column, 0) for column in columns])
        digest.update(f"{',' if number else ''}{row}".encode())
    digest.update(b"]")
    return "sha256:" + digest.hexdigest()


def times_of(items: Iterable[Item]) -> str:
    """Fingerprint of when the files were last written: as long as it is the same, so are the files."""
    return _fingerprint_of(items, "source", "bytes", "mtime_ns")


def still_the_same(items: Iterable[Item], result: StageResult, root: Path) -> bool:
    """Whether files that have other times than they had hold what they held; a failed one is always looked at again."""
    known = {row.source: row.checksum for row in read_rows(result.table("motions"), MotionRow)}
    read = (item for item in items if item.data["source"] in known)
    return not result.failures and all(
        checksum_file(root / item.data["source"]) == known[item.data["source"]] for item in read
    )


def index_stage(config: DataConfig, items: list[Item]) -> tuple[Stage, dict[str, Any]]:
    """The stage and the context its workers get."""
    overrides = config.keypoints.rate_overrides
    payload = {
        "rate_overrides": overrides,
        "known_rates": fingerprint(facts.table("amass")["rate_override"]) if overrides else "",
        "files": len(items),
        "bytes": sum(item.data["bytes"] for item in items),
        "listing": _fingerprint_of(items, "source", "bytes"),
    }
    stage = Stage(name="index", version=2, tables=("motions",), work=index_one, payload=payload, row_per_item="motions")
    return stage, {"amass": str(Path(config.inputs.amass).resolve()), "rate_overrides": overrides}
