"""What a terminal, a spreadsheet and a shell get to see of strange names and broken machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from actionpose.characters import json_text, printable, writable
from cli.app import Command
from cli.data import main
from cli.output import emit

STRANGE = "walk \x1b[31m\x07\x9b2J \u202eflip\ud800\0"


def test_nothing_that_a_terminal_obeys_is_printed(capsys: pytest.CaptureFixture[str]):
    for form in ("table", "csv", "json"):
        emit([{"label": STRANGE.replace("\ud800", ""), "frames": 3}], form)
        out = capsys.readouterr().out
        assert printable(out.replace("\n", "")) == out.replace("\n", "")
    assert json.loads(out) == [{"label": STRANGE.replace("\ud800", ""), "frames": 3}]
    assert printable("a\tb\nc é 走") == "a\tb\nc é 走"
    assert writable(printable(STRANGE)) == printable(STRANGE)
    assert json.loads(json_text(json.dumps("\u202e", ensure_ascii=False))) == "\u202e"


def test_cells_that_begin_like_formulas_are_texts(capsys: pytest.CaptureFixture[str]):
    emit([{"text": "=1+1"}, {"text": "@x"}, {"text": "-"}, {"text": "walk"}, {"text": -2.5}], "csv")
    assert capsys.readouterr().out.split() == ["text", "'=1+1", "'@x", "-", "walk", "-2.5"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "/data/x.h5"), "the disk is full"),
        (OSError(28, "No space left on device"), "the output: No space left"),
        (PermissionError(13, "Permission denied", "train.json"), "train.json: Permission denied"),
        (OSError("14280 requested and 992 written"), "the disk is full"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_what_the_machine_brings_about_is_no_bug(error: Exception, words: str):
    def body() -> None:
        raise error

    result = CliRunner().invoke(Command("x", callback=body))
    assert result.exit_code == 1
    assert words in result.stderr
    assert "bug" not in result.stderr


def test_what_is_a_bug_is_still_called_one():
    def body() -> None:
        raise ZeroDivisionError("here")

    assert "this is a bug" in CliRunner().invoke(Command("x", callback=body)).stderr


@pytest.mark.parametrize(("pattern", "words"), [("[", "not a pattern"), (r"(a*)*\1b", "too long"), ("(.*)*(.*)*=", "")])
def test_a_pattern_ends_in_a_sentence_or_a_result(tmp_path: Path, pattern: str, words: str):
    row = {"id": "x", "stage": "index", "reason": "a" * 3000, "message": ""}
    (tmp_path / "failures.jsonl").write_text(json.dumps(row) + "\n")
    result = CliRunner().invoke(main, ["inspect", str(tmp_path / "failures.jsonl"), "--where", f"reason~{pattern}"])
    assert "bug" not in result.stderr
    assert words in result.stderr
