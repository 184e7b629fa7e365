"""Rows of a manifest are found by their motion, whatever the ids look like."""

from __future__ import annotations

import pytest

from actionpose.errors import UserError
from pipeline.engine.manifest import ClipRow, PairRow, write_rows
from pipeline.engine.row_index import Lookup, lookup


def clip(motion_id: str, start: int) -> ClipRow:
    return ClipRow(
        clip_id=f"{motion_id}#{start:06d}-{start + 9:06d}",
        motion_id=motion_id,
        split="train",
        kind="segment",
        start=start,
        stop=start + 9,
        gap_start=0,
        gap_stop=0,
        start_s=0.0,
        stop_s=1.0,
    )


def test_rows_of_a_motion_are_found_though_ids_begin_the_same_way_and_interleave(tmp_path):
    ids = ("KIT/1/a", "KIT/1/a b", "KIT/1/a#1", "KIT/1/ä")
    rows = [clip(motion_id, start) for motion_id in ids for start in (0, 30, 60)]
    write_rows(tmp_path / "clips.jsonl", rows)
    found = Lookup(tmp_path / "clips.jsonl")
    for motion_id in ids:
        assert list(found.rows(motion_id, ClipRow)) == [row for row in rows if row.motion_id == motion_id]
    assert list(found.rows("KIT/1", ClipRow)) == []


def test_a_changed_manifest_is_looked_at_again(tmp_path):
    path = tmp_path / "clips.jsonl"
    write_rows(path, [clip("a/b/c", 0)])
    assert len(list(lookup(path).rows("a/b/c", ClipRow))) == 1
    write_rows(path, [clip("a/b/c", 0), clip("a/b/c", 5)])
    assert len(list(lookup(path).rows("a/b/c", ClipRow))) == 2


def test_the_motion_of_a_pair_is_the_one_its_clip_names(tmp_path):
    names = {name: "" for name in ("pair_id", "split", "kind", "text", "raw", "text_a", "text_b", "babel_sid")}
    numbers, lists = {"border_a": 0, "border_b": 0}, {"act_cat": [], "concurrent": [], "seg_ids": []}
    pair = PairRow(clip_id="KIT/1/a#1#000000-000009-without-000003-000005", **names, **numbers, **lists)
    write_rows(tmp_path / "pairs.jsonl", [pair])
    assert pair.motion_id == "KIT/1/a#1"
    assert list(Lookup(tmp_path / "pairs.jsonl").rows("KIT/1/a#1", PairRow)) == [pair]


def test_rows_of_the_wrong_kind_are_refused(tmp_path):
    path = tmp_path / "clips.jsonl"
    write_rows(path, [clip("a/b/c", 0)])
    with pytest.raises(UserError):
        list(Lookup(path).rows("a/b/c", PairRow))
