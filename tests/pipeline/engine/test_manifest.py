"""Rows survive the file whatever the labels are; what is damaged is named by line; pandas sees the same rows."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionpose.errors import UserError
from pipeline.engine.manifest import (
    ROW_TYPES,
    DropRow,
    PairRow,
    Row,
    frame,
    read_lines,
    read_rows,
    write_rows,
)
from scripts import manifest_docs
from tests.makers.places import ROOT

AWKWARD = [
    "NA", "null", "NaN", "None", "", "00000007", "1e5", "true", "-", "a,b", 'say "hi"', "back\\slash", "naïve ß 走る",
    "two\nlines", "tab\there", "\u2028", "transit from NA to null", " spaced ",
]  # fmt: skip


def a_row(row_type: type[Row], key: str, text: str = "walk") -> Row:
    """A row with every column filled by its type."""
    values = {"str": text, "int": 7, "float": 0.1, "bool": True, "list[str]": [text, ""], "list[float]": [0.1, -2e-9]}
    data = {field.name: values[str(field.type)] for field in dataclasses.fields(row_type)}
    return row_type(**data | {row_type.KEY: key})


@pytest.mark.parametrize("table", ROW_TYPES)
def test_rows_of_every_table_round_trip(table: str, tmp_path: Path):
    rows = [a_row(ROW_TYPES[table], key, text) for key, text in zip(sorted(AWKWARD), AWKWARD, strict=True)]
    write_rows(tmp_path / f"{table}.jsonl", rows)
    assert list(read_rows(tmp_path / f"{table}.jsonl", ROW_TYPES[table])) == rows


def test_equal_rows_are_equal_bytes_in_any_order(tmp_path: Path):
    rows = [a_row(PairRow, key) for key in ("b", "a", "00000007", "c")]
    write_rows(tmp_path / "one.jsonl", rows)
    write_rows(tmp_path / "two.jsonl", rows[::-1])
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    assert [row["pair_id"] for _, row in read_lines(tmp_path / "one.jsonl")] == ["00000007", "a", "b", "c"]


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_survives(text: str, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    write_rows(path, [a_row(DropRow, "1", text)])
    assert [row.text for row in read_rows(path, DropRow)] == [text]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ('{"drop_id": "2"', "line 2 is not JSON"),
        ('{"drop_id": "2", "text": "walk"}', r"dropped\.jsonl:2"),
        ('{"drop_id": 2, "babel_sid": "", "text": "", "start_s": 0, "stop_s": 0, "reason": ""}', r"dropped\.jsonl:2"),
    ],
)
def test_a_damaged_line_is_named(damage: str, reason: str, tmp_path: Path):
    path = tmp_path / "dropped.jsonl"
    write_rows(path, [a_row(DropRow, "1")])
    path.write_text(path.read_text() + damage + "\n")
    with pytest.raises(UserError, match=reason):
        list(read_rows(path, DropRow))


def test_a_missing_manifest_is_named(tmp_path: Path):
    with pytest.raises(UserError, match="there is no file"):
        list(read_rows(tmp_path / "pairs.jsonl", PairRow))


# --- pandas -----------------------------------------------------------------------------------


def test_pandas_sees_ids_and_labels_as_they_are(tmp_path: Path):
    rows = [a_row(PairRow, key, text) for key, text in zip(sorted(AWKWARD), AWKWARD, strict=True)]
    write_rows(tmp_path / "pairs.jsonl", rows)
    table = frame(tmp_path / "pairs.jsonl")
    assert table["pair_id"].tolist() == sorted(AWKWARD)
    assert table["text"].tolist() == AWKWARD
    assert not table["text"].isna().any()
    assert table["border_a"].dtype.kind == "i"
    assert table["concurrent"].tolist() == [[text, ""] for text in AWKWARD]
    assert list(table.columns) == [field.name for field in dataclasses.fields(PairRow)]


def test_an_empty_manifest_has_its_columns_in_pandas(tmp_path: Path):
    write_rows(tmp_path / "pairs.jsonl", [])
    assert "text" in frame(tmp_path / "pairs.jsonl").columns
    assert len(frame(tmp_path / "pairs.jsonl")) == 0


def test_the_two_lines_of_the_page_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "demo/world/shards/manifests"
    folder.mkdir(parents=True)
    write_rows(folder / "pairs.jsonl", [a_row(PairRow, "00000007", "NA")])
    monkeypatch.chdir(tmp_path)
    code = manifest_docs.OPENING.partition("```python\n")[2].partition("```")[0]
    names: dict[str, object] = {}
    exec(code, names)
    assert names["pairs"].loc[0, ["pair_id", "text"]].tolist() == ["00000007", "NA"]  # type: ignore[attr-defined]


# --- the page ---------------------------------------------------------------------------------


def test_the_page_is_what_the_row_types_say():
    path = ROOT / "manifests" / "README.md"
    assert path.read_text(encoding="utf-8") == manifest_docs.page(), "run `make docs` and commit manifests/README.md"


def test_every_column_has_a_sentence_and_a_type_json_can_hold():
    for name, row_type in ROW_TYPES.items():
        fields = dataclasses.fields(row_type)
        assert row_type.KEY in {field.name for field in fields}, name
        assert all(field.metadata["doc"] for field in fields), name
        assert f"## {name}.jsonl" in manifest_docs.page()
        assert json.loads(json.dumps(dataclasses.asdict(a_row(row_type, "k")))) == dataclasses.asdict(
            a_row(row_type, "k")
        )
