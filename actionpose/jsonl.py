"""JSON files, and JSON Lines: one JSON object a line, written, appended to, and read back line by line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from actionpose.errors import UserError
from actionpose.files import atomic_path, write_text


def finite(value: Any) -> Any:
    """The same data with None for every number that is not finite, since JSON has neither NaN nor infinity."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- writing ----------------------------------------------------------------------------------


def write_json(path: Path, data: Any) -> None:
    """Replace a file with data as JSON, one member a line, for programs and for people."""
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """Add one row to a file; numbers that are not finite become null."""
    text = json.dumps(finite(row), ensure_ascii=False)
    with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text + "\n")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines, each with its newline, whole or not at all."""
    with (
        atomic_path(path) as aside,
        open(aside, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as handle,
    ):
        handle.writelines(lines)


# --- reading ----------------------------------------------------------------------------------


def placed_lines(
    path: Path, *, hint: str = "write the file again, or copy it again"
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Line number (from 1), place in bytes and object of each line of a file that is complete.

    Args:
        path: the file.
        hint: what to do about a damaged one.

    Raises:
        UserError: a missing file, or a line that is not a JSON object, by number.
    """
    number = place = 0
    try:
        with open(path, "rb") as handle:
            for line in handle:
                number += 1
                yield number, place, _object(path, number, line, hint)
                place += len(line)
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}", hint) from error


def appended_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a file that grows line by line; none when it is not there.

    A process killed while it wrote leaves half a line at the end, which is dropped.

    Raises:
        UserError: a line before the last that is not a JSON object, by number.
    """
    if not path.is_file():
        return
    incomplete: UserError | None = None
    with open(path, "rb") as handle:
        for number, line in enumerate(handle, 1):
            if incomplete is not None:
                raise incomplete
            try:
                row = _object(path, number, line, "take the damaged line out, or begin again in another folder")
            except UserError as error:
                incomplete = error
                continue
            yield row


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All of `appended_lines`."""
    return list(appended_lines(path))


def _object(path: Path, number: int, line: bytes, hint: str) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: line {number} is not JSON: {error}", hint) from error
    if not isinstance(row, dict):
        raise UserError(f"{path}: line {number} is not a JSON object", hint)
    return row
