"""BABEL's files are read whole or piece by piece with one result; whatever else is given is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionpose.errors import UserError
from pipeline.config import PairConfig
from pipeline.sources import babel
from pipeline.sources.babel import UNWRITABLE, babel_files, entry_places, parse_sequence, read_entry, read_file
from pipeline.stages.pairing import Clock, plan_sequence
from tests.makers.worlds import framed, label, write_labels

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
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
        ("", "is empty"),
        ("{}", "not a BABEL file"),
        ("[1]", "not a BABEL file"),
        ('{"1":{"other":"a"}}', "not a BABEL file"),
        ("<html>", "a web page"),
        ('{"1":{"feat_p":"\\u00e4"', "damaged"),
    ],
)
def test_damage_is_named_as_when_the_file_is_read_whole(tmp_path, text, message):
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<html>", "a web page"),
        ('{"1": {"feat', "damaged"),
        ("{}", "not a BABEL file"),
        ('{"1": {"x": 1}}', "not a BABEL"),
    ],
)
def test_a_file_that_is_not_babel_says_so(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        read_file(write_labels(tmp_path, train=content) / "train.json")


def test_test_labels_and_missing_files_are_explained(tmp_path):
    with pytest.raises(UserError, match="withholds the labels"):
        babel_files(tmp_path, PairConfig(splits=("test",)))
    with pytest.raises(UserError, match=r"train\.json"):
        babel_files(tmp_path, PairConfig())


def test_a_label_of_the_wrong_type_names_the_sequence(tmp_path):
    entry = framed(label("walk", 0, 1))
    entry["frame_ann"]["labels"][0]["start_t"] = "soon"
    with pytest.raises(UserError, match="sequence 7"):
        list(parse_sequence("7", "train", entry, PairConfig()))


def test_a_long_entry_is_parsed_a_few_times_not_once_for_every_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    long = {"feat_p": "a/b/c.npz", "more": "x" * 3_000_000}
    (tmp_path / "train.json").write_text(json.dumps({"1": {"feat_p": "a"}, "2": long, "3": {"feat_p": "b"}}))
    looks = []
    entry_at = babel._entry_at
    monkeypatch.setattr(babel, "_entry_at", lambda *given, **named: looks.append(0) or entry_at(*given, **named))
    assert list(entry_places(tmp_path / "train.json")) == ["1", "2", "3"]
    assert len(looks) < 20


@pytest.mark.parametrize("character", ["\0", "\ud800"])
def test_one_label_that_cannot_be_written_costs_nothing_but_itself(character: str):
    labels = [label("walk", 0, 4, 0), label(f"wal{character}k", 0, 4, 1), label("sit", 4, 8, 2)]
    (found,) = parse_sequence("7", "train", framed(*labels), PairConfig())
    plan = plan_sequence(found, "KIT/1/a", Clock(30.0, 300), PairConfig())
    assert [pair.text for pair in plan.pairs] == ["walk", "sit"]
    (dropped,) = plan.dropped
    assert dropped.reason == UNWRITABLE
    assert "wal\\" in dropped.text
