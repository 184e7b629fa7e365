"""Tables of labels in the shapes people have them, and what they become in BABEL's format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actionpose.errors import UserError
from pipeline.config import PairConfig
from pipeline.importers.labels import (
    LabelTable,
    babel_entry,
    babel_json,
    outside,
    sequence_ids,
    split_subjects,
    take_key,
    tidy,
)
from pipeline.sources.babel import parse_sequence


def table(folder: Path, text: str) -> LabelTable:
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    return LabelTable(folder / "labels.csv")


def texts(labels: LabelTable, file: str) -> list[str] | None:
    found = labels.of(Path(file))
    return None if found is None else [label.text for label in found.labels]


@pytest.mark.parametrize(
    "text",
    [
        "02_04\tjump, balance\n07_01\twalk\n",
        "02_04.bvh\tjump, balance\n\n07_01.bvh\twalk\n",
        'file,description\n02_04,"jump, balance"\n07_01,walk\n',
        '\ufeffFile,Label,fps\r\ncmu/02_04.amc,"jump, balance",120\r\ncmu/07_01.amc,walk,\r\n',
        "name\ttext\n02_04_poses.npz\tjump, balance\n07_01\twalk\n",
    ],
)
def test_tables_of_two_columns_and_tables_with_heads_are_read(tmp_path: Path, text: str):
    labels = table(tmp_path, text)
    assert texts(labels, "/data/cmu/02_04.bvh") == ["jump, balance"]
    assert texts(labels, "/data/cmu/07_01.bvh") == ["walk"]
    assert texts(labels, "/data/cmu/09_01.bvh") is None
    assert labels.unused() == []


def test_the_end_of_the_path_decides_between_takes_of_one_name(tmp_path: Path):
    labels = table(tmp_path, "a/01,walk\nb/01,run\n")
    assert texts(labels, "x/a/01.bvh") == ["walk"]
    assert texts(labels, "x/b/01.bvh") == ["run"]
    with pytest.raises(UserError, match="2 takes called 01"):
        labels.of(Path("x/c/01.bvh"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("a,b,c\n", "3 columns, and its first row does not name them: a, b, c"),
        ("a;b;c\n", "3 columns"),
        ("name,take,description\na,b,walk\n", "several columns for one thing: 'name' and 'take'"),
        ("a,=1+1\n", "line 1: '=1+1' is a spreadsheet's formula"),
        ("a,#NAME?\n", "is a spreadsheet's formula"),
        ("a,!!!\n", "'!!!' is not a description"),
        ("a,\x1b[31mwalk\n", "is not a description"),
        ("file,description,fps\na,walk,0\n", "fps is '0'"),
        ("file,description,fps\na,walk,1e5\n", "fps is '1e5'"),
        ("file,description\n,walk\n", "line 2: no file"),
        ("file,description,start,end\na,walk,1,\n", "line 2: no span from '1' to ''"),
        ("file,description,start,end\na,walk,2,1\n", "no span from '2' to '1'"),
        ("file,description,start,end\na,walk,x,1\n", "start is 'x'"),
        ("file,description,start,end\na,walk,nan,1\n", "start is 'nan'"),
        ("file,description,fps\na,walk,-3\n", "fps is '-3'"),
        (f"a,{'walk ' * 1000}\n", "characters"),
    ],
)
def test_errors_in_a_table_name_the_line(tmp_path: Path, text: str, sentence: str):
    with pytest.raises(UserError) as caught:
        table(tmp_path, text)
    assert sentence in caught.value.message


def test_semicolons_and_line_breaks_inside_quotes_are_read_as_spreadsheets_write_them(tmp_path: Path):
    labels = table(tmp_path, 'file;description\r\na;"jump,\nhigh"\r\nb;run\u2028fast\r\n')
    assert texts(labels, "a.bvh") == ["jump, high"]
    assert texts(labels, "b.bvh") == ["run fast"]


def test_a_table_of_other_files_is_refused_before_anything_is_read(tmp_path: Path):
    with pytest.raises(UserError, match=r"no row of .* about any of the files: it names a, and a file is b.bvh"):
        table(tmp_path, "a,walk\n").check_fits([Path("b.bvh")])


def test_a_label_outside_of_the_take_is_said(tmp_path: Path):
    found = table(tmp_path, "file,description,start,end\na,walk,0,1\na,run,8,9\n").of(Path("a.bvh"))
    assert outside(60, 60.0, 30, found) == ["the label 'run' from 8 to 9 s is outside the take, which lasts 1.50 s"]


def test_a_spreadsheet_is_no_table(tmp_path: Path):
    (tmp_path / "labels.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\xff\xfe")
    with pytest.raises(UserError, match="UTF-8"):
        LabelTable(tmp_path / "labels.xls")


def test_proc_labels_look_like_those_of_babel():
    assert tidy("jump, balance") == "jump balance"
    assert tidy('nursery rhyme - "I\'m a little teapot..."') == "nursery rhyme i m a little teapot"
    assert tidy("  Walk_on  UNEVEN terrain ") == "walk on uneven terrain"
    assert tidy("gehe rückwärts") == "gehe rückwärts"


def test_a_description_becomes_a_sequence_label(tmp_path: Path):
    found = table(tmp_path, "02_04\tjump, balance\n").of(Path("02_04.bvh"))
    entry = babel_entry(7, "D/D/02/02_04_poses.npz", 477, 120.0, 7, found)
    assert entry["dur"] == 3.98
    (sequence,) = parse_sequence("7", "train", entry, PairConfig())
    assert [(label.raw, label.text, label.whole) for label in sequence.labels] == [
        ("jump, balance", "jump balance", True)
    ]


def test_times_become_frame_labels_on_the_clock_of_what_was_kept(tmp_path: Path):
    text = "file,description,start,end,category\na,walk,0,1.5,walk\na,sit down,1.5,9,sit;lower body\na,gone,8,9,\n"
    found = table(tmp_path, text).of(Path("a.bvh"))
    entry = babel_entry(7, "D/D/s/a_poses.npz", 300, 60.0, 30, found)  # half a second was left out: 0.5 to 5.5 s
    (sequence,) = parse_sequence("7", "train", entry, PairConfig())
    spans = [(label.text, label.start_s, label.end_s, label.act_cat) for label in sequence.labels]
    assert spans == [("walk", 0.0, 1.0, ("walk",)), ("sit down", 1.0, 5.0, ("sit", "lower body"))]
    assert [label["raw_label"] for label in entry["seq_ann"]["labels"]] == ["walk", "sit down"]
    assert entry["seq_ann"]["mul_act"]


def test_ids_come_from_paths_alone_and_never_clash():
    paths = [f"D/D/s/{n}_poses.npz" for n in range(5_000)]
    ids = sequence_ids(paths)
    assert len(set(ids.values())) == len(paths)
    assert sequence_ids(paths[:10]) == {path: ids[path] for path in paths[:10]}
    assert all(sid >= 100_000_000 for sid in ids.values())


def test_json_is_in_the_order_of_ids():
    text = babel_json([{"babel_sid": 12}, {"babel_sid": 3}])
    assert list(json.loads(text)) == ["3", "12"]


def test_no_subject_is_in_train_and_in_val():
    subjects = [f"D/{n:02}" for n in range(40)]
    together = [("D/03", "D/17"), ("D/05", "D/99")]
    splits = split_subjects(subjects, 0.2, together)
    assert splits["D/03"] == splits["D/17"]
    assert 6 <= sum(split == "val" for split in splits.values()) <= 9
    assert split_subjects(reversed(subjects), 0.2, together) == splits


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6])
def test_people_known_under_many_numbers_stay_together_whichever_two_are_listed(share: float):
    names = [f"D/{letter}" for letter in "abcdefgh"]
    splits = split_subjects(names, share, [("D/a", "D/d"), ("D/b", "D/c"), ("D/c", "D/d")])
    assert len({splits[f"D/{letter}"] for letter in "abcd"}) == 1


@pytest.mark.parametrize(
    ("subjects", "share", "val"), [(1, 0.5, 0), (2, 0.1, 1), (2, 1.0, 1), (9, 0.0, 0), (10, 0.3, 3)]
)
def test_val_has_somebody_when_there_are_two_and_never_everybody(subjects: int, share: float, val: int):
    splits = split_subjects([f"D/{n}" for n in range(subjects)], share)
    assert sum(split == "val" for split in splits.values()) == val


def test_files_are_named_in_tables_as_people_name_them():
    assert {take_key(name) for name in ("A\\01_02.BVH", "a/01_02", "./A/01_02_poses.npz")} == {"a/01_02"}
