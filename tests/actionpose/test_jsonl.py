"""JSON Lines: what is written comes back, and a line that a kill left in half is dropped, no other."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from actionpose.errors import UserError
from actionpose.jsonl import append_line, placed_lines, read_lines, write_json, write_lines


def test_numbers_that_are_not_finite_become_null(tmp_path: Path):
    append_line(tmp_path / "a.jsonl", {"loss": math.nan, "deep": [{"x": -math.inf, "y": 1.5}], "text": "ü"})
    assert read_lines(tmp_path / "a.jsonl") == [{"loss": None, "deep": [{"x": None, "y": 1.5}], "text": "ü"}]


def test_a_file_that_is_not_there_has_no_lines(tmp_path: Path):
    assert read_lines(tmp_path / "a.jsonl") == []


def test_half_a_line_at_the_end_is_dropped(tmp_path: Path):
    (tmp_path / "a.jsonl").write_bytes(b'{"step": 1}\n{"ste' + "ü".encode()[:1])
    assert read_lines(tmp_path / "a.jsonl") == [{"step": 1}]


@pytest.mark.parametrize("line", ['{"step', "[1]", ""])
def test_a_damaged_line_before_the_end_is_named(tmp_path: Path, line: str):
    (tmp_path / "a.jsonl").write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
    with pytest.raises(UserError, match=r"a\.jsonl: line 2 is no"):
        read_lines(tmp_path / "a.jsonl")


def test_a_complete_file_is_read_with_the_place_of_each_line(tmp_path: Path):
    write_lines(tmp_path / "a.jsonl", ['{"id": "ä"}\n', '{"id": "b"}\n'])
    rows = list(placed_lines(tmp_path / "a.jsonl"))
    assert [(number, row["id"]) for number, _, row in rows] == [(1, "ä"), (2, "b")]
    with open(tmp_path / "a.jsonl", "rb") as handle:
        handle.seek(rows[1][1])
        assert handle.readline() == b'{"id": "b"}\n'


def test_half_a_line_in_a_complete_file_is_an_error(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n{"id"')
    with pytest.raises(UserError, match="line 2 is not JSON"):
        list(placed_lines(tmp_path / "a.jsonl"))
    with pytest.raises(UserError, match="there is no file"):
        list(placed_lines(tmp_path / "b.jsonl"))


def test_a_name_that_is_no_utf8_comes_back_as_it_was(tmp_path: Path):
    name = os.fsdecode(b"caf\xe9.npz")
    append_line(tmp_path / "a.jsonl", {"data": name})
    write_json(tmp_path / "a.json", {"data": name})
    assert read_lines(tmp_path / "a.jsonl") == [json.loads((tmp_path / "a.json").read_text())] == [{"data": name}]
    write_lines(tmp_path / "b.jsonl", [f"{name}\n"])
    assert (tmp_path / "b.jsonl").read_bytes() == b"caf\\udce9.npz\n"
