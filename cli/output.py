"""What a command prints: results on stdout as a table, JSON or CSV; notes and the last line on stderr."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import click

from actionpose import progress
from actionpose.characters import json_text, printable, shell_word
from actionpose.config import flat
from actionpose.files import write_text
from actionpose.jsonl import finite
from cli.app import F

FORMATS = ("table", "json", "csv")
_FORMULA = ("=", "+", "-", "@")


def format_option(body: F) -> F:
    """`--format table|json|csv`; the body gets `format`."""
    choice = click.Choice(FORMATS)
    return click.option("--format", type=choice, default="table", show_default=True, help="Form of the result.")(body)


def emit(result: Mapping[str, Any] | Sequence[Mapping[str, Any]], format: str) -> None:
    """Print a result on stdout: one object, or rows with the same keys.

    JSON keeps the structure; a table or CSV of one object has a row per dotted key. Numbers that are not finite
    have no JSON form and become null.
    """
    if format == "json":
        click.echo(json_text(json.dumps(finite(result), indent=1, ensure_ascii=False, default=str)))
        return
    if isinstance(result, Mapping):
        rows: list[Mapping[str, Any]] = [{"key": key, "value": value} for key, value in flat(result).items()]
    else:
        rows = list(result)
    click.echo(_csv(rows) if format == "csv" else aligned(rows, header=not isinstance(result, Mapping)))


def write_rows(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Write rows with the same keys as a CSV file."""
    write_text(out, _csv(rows) + "\n")


def _columns(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _csv_cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue().rstrip("\n")


def _csv_cell(value: Any) -> str:
    """A cell that a spreadsheet shows and does not calculate: a text that begins like a formula gets a quote."""
    text = printable(_cell(value, digits=9))
    return f"'{text}" if not isinstance(value, int | float) and text.startswith(_FORMULA) and len(text) > 1 else text


def aligned(rows: Sequence[Mapping[str, Any]], *, header: bool = True) -> str:
    """Rows as aligned text; numbers to the right, text to the left."""
    columns = _columns(rows)
    cells = [[printable(_cell(row.get(column, ""))).replace("\n", "\\n") for column in columns] for row in rows]
    right = [all(isinstance(row.get(c, 0), int | float) for row in rows) for c in columns]
    lines = ([columns] if header else []) + cells
    if not lines:
        return ""
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    text = []
    for line in lines:
        padded = (v.rjust(w) if r else v.ljust(w) for v, w, r in zip(line, widths, right, strict=True))
        text.append("  ".join(padded).rstrip())
    if header:
        text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text)


def _cell(value: Any, digits: int = 5) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item, digits) for item in value)
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, default=str)
    return "" if value is None else str(value)


# --- everything else: stderr ------------------------------------------------------------------


def say(text: str) -> None:
    """Text for people on stdout; what a terminal would obey (in labels, in names of files) is spelled out."""
    click.echo(printable(text))


def note(text: str) -> None:
    """A line about progress."""
    click.echo(printable(text), err=True)


def loading(package: str) -> None:
    """Say what the command waits for before it can say anything else; the import itself names a missing package."""
    if find_spec(package) is not None:
        progress.say(f"loading {package}")


def next_step(text: str) -> None:
    """The last line of a command: what was made, where, and what to type next."""
    if sys.stdout is not None:  # it may be closed
        sys.stdout.flush()
    click.echo(printable(text), err=True)


def frames_bar(frames: Iterable[int]) -> Iterable[int]:
    """The frames of a film, with their progress."""
    return progress.track(frames, "drawing", unit="frame")


def command_line(*words: object) -> str:
    """A command to type, quoted where a shell needs it."""
    return " ".join(shell_word(str(word)) for word in words)


def some_failed() -> NoReturn:
    """Exit with status 1 after everything was printed: the work is done, but some items failed."""
    raise click.exceptions.Exit(1)
