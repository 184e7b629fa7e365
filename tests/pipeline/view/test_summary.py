"""Rows of a manifest are chosen by conditions as a person writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from actionpose.errors import UserError
from actionpose.jsonl import write_lines
from pipeline.view.summary import parse_where, select


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("label~walk", ("label", "~", "walk")),
        (" frames >= 60 ", ("frames", ">=", "60")),
        ("split!=val", ("split", "!=", "val")),
        ("text=up ~ down", ("text", "=", "up ~ down")),
        ("text~a>=b", ("text", "~", "a>=b")),
    ],
)
def test_the_first_sign_of_a_condition_is_its_comparison(text, parts):
    assert parse_where(text) == parts


@pytest.mark.parametrize("text", ["walk", "=walk", "two words=1", ""])
def test_a_condition_without_column_or_comparison_is_refused(text):
    with pytest.raises(UserError, match="no comparison"):
        parse_where(text)


def test_yes_and_no_are_asked_for_as_json_writes_them(tmp_path: Path):
    path = tmp_path / "duplicates.jsonl"
    write_lines(path, (f'{{"duplicate_id": "{n}", "straddles": {flag}}}\n' for n, flag in enumerate(("true", "false"))))
    assert [row["duplicate_id"] for row in select(path, ("straddles=true",))] == ["0"]
    assert [row["duplicate_id"] for row in select(path, ("straddles!=true",))] == ["1"]
