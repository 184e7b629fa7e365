"""Memory-flat ways give what the plain ways give: sorting on disk, looking rows up, reading labels piece by piece."""

from __future__ import annotations

import json
from operator import itemgetter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionpose.errors import UserError
from pipeline.engine.manifest import ClipRow, PairRow, motion_of, write_rows
from pipeline.engine.row_index import Lookup, lookup
from pipeline.engine.rowsort import RowSorter
from pipeline.sources.babel import entry_places, read_entry, read_file
from pipeline.stages.pairs import Resolver

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(texts, st.integers()), max_size=40), run=st.integers(1, 50))
def test_sorting_on_disk_is_sorting(tmp_path_factory, rows, run):
    with RowSorter(tmp_path_factory.getbasetemp(), run=run) as sorter:
        for key, value in rows:
            sorter.add(key, json.dumps([key, value], ensure_ascii=False))
        assert sorter.rows == len(rows)
        ordered = [json.dumps(list(row), ensure_ascii=False) + "\n" for row in sorted(rows, key=itemgetter(0))]
        assert list(sorter.lines()) == ordered


def test_what_waits_on_disk_has_no_name(tmp_path):
    with RowSorter(tmp_path, run=2) as sorter:
        for number in range(9):
            sorter.add(str(number), "x")
        assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


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


def test_rows_of_a_motion_are_found_though_ids_begin_alike_and_interleave(tmp_path):
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


def test_the_motion_of_a_row_is_the_one_its_clip_names():
    assert motion_of({"clip_id": "KIT/1/a#1#000000-000009-without-000003-000005"}) == "KIT/1/a#1"
    assert motion_of({"clip_id": "x#0-1", "motion_id": "KIT/1/a"}) == "KIT/1/a"


def test_rows_of_the_wrong_kind_are_refused(tmp_path):
    path = tmp_path / "clips.jsonl"
    write_rows(path, [clip("a/b/c", 0)])
    with pytest.raises(UserError):
        list(Lookup(path).rows("a/b/c", PairRow))


# --- labels, piece by piece -------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
entries = st.dictionaries(texts, values.map(lambda value: {"feat_p": "a/b/c.npz", "more": value}), min_size=1)


@settings(max_examples=80, deadline=None)
@given(data=entries, block=st.integers(1, 60), ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_labels_read_piece_by_piece_are_the_labels(tmp_path_factory, data, block, ascii_only, indent):
    path = tmp_path_factory.getbasetemp() / "train.json"
    path.write_text(json.dumps(data, ensure_ascii=ascii_only, indent=indent), encoding="utf-8")
    places = entry_places(path, block)
    assert list(places) == list(read_file(path))
    assert {sid: read_entry(path, place) for sid, place in places.items()} == data


GOOD = '{"1":{"feat_p":"a"},"2":{"feat_p":"b"}}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD[:-1], "damaged"),
        (GOOD[:-10], "damaged"),
        (GOOD + "x", "damaged"),
        (GOOD.replace(",", " "), "damaged"),
        (GOOD.replace(":", " ", 1), "damaged"),
        ("", "damaged"),
        ("{}", "not a BABEL file"),
        ("[1]", "not a BABEL file"),
        ('{"1":{"other":"a"}}', "not a BABEL file"),
        ("<html>", "a web page"),
        ('{"1":{"feat_p":"\\u00e4"', "damaged"),
    ],
)
def test_damage_is_told_as_when_the_file_is_read_whole(tmp_path, text, message):
    path = tmp_path / "train.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as piecewise:
        entry_places(path, 8)
    with pytest.raises(UserError) as whole:
        read_file(path)
    assert piecewise.value.message == whole.value.message


def test_bytes_that_are_no_text_are_damage(tmp_path: Path):
    (tmp_path / "train.json").write_bytes(GOOD.encode()[:-1] + b"\xff}")
    with pytest.raises(UserError, match="damaged"):
        entry_places(tmp_path / "train.json", 8)


def test_names_that_meet_in_one_key_are_told_apart_by_their_parts():
    class Named:
        def __init__(self, source: str) -> None:
            self.source = source

    motions = [Named("KIT/1/walk_poses.npz"), Named("KIT/11/walk_poses.npz")]
    resolver = Resolver(motions)
    assert resolver.find("KIT/KIT/11/walk_poses.npz") is motions[1]
    assert resolver.find("KIT/KIT/1/Walk_stageii.npz") is motions[0]
