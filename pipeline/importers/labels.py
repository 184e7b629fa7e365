"""Labels: a table of file and description, with times where there are any, into BABEL's format.

Columns are named in the first row (`file, description`, and if wanted `start, end, subject, fps, category`), or there
are two columns without a header. Separated by commas, semicolons or tabs; UTF-8.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from actionpose.characters import printable
from actionpose.errors import UserError
from actionpose.files import require_file
from pipeline.body.resample import MAX_FPS

_MAX_BYTES = 200_000_000
_LONGEST_TEXT = 2_000
_HEADS = {
    **dict.fromkeys(("file", "filename", "name", "take", "motion", "path", "trial"), "file"),
    **dict.fromkeys(("description", "label", "text", "action", "caption", "raw_label"), "text"),
    **dict.fromkeys(("start", "start_s", "start_t", "begin"), "start"),
    **dict.fromkeys(("end", "end_s", "end_t", "stop"), "end"),
    **dict.fromkeys(("subject", "person", "actor"), "subject"),
    **dict.fromkeys(("fps", "rate", "framerate"), "fps"),
    **dict.fromkeys(("category", "categories", "act_cat"), "category"),
}
_SUFFIXES = (".bvh", ".amc", ".asf", ".npz", ".pkl", ".npy", ".fbx", ".c3d", ".txt")
_FORMULA = re.compile(r"=|#(REF!|NAME\?|VALUE!|DIV/0!|N/A|NUM!|NULL!)")
_NAMESPACE = uuid.UUID("c4d9a1c6-6c0e-5d0a-9a55-0d6f3c1f5a10")
ANNOTATOR = str(uuid.uuid5(_NAMESPACE, "label table"))

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TableLabel:
    """One row: a text for a take, over all of it or from `start` to `end` in seconds of the source file."""

    line: int
    text: str
    start: float | None = None
    end: float | None = None
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """All that a table says of one take."""

    key: str
    labels: tuple[TableLabel, ...] = ()
    subject: str = ""
    fps: float | None = None


class LabelTable:
    """A label table by take.

    Args:
        path: the file.

    Raises:
        UserError: not readable, no such columns, a time that is none; names the line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._takes: dict[str, Labelled] = {}
        for line, row in _rows(path):
            self._add(line, row)
        self._by_stem: dict[str, list[str]] = {}
        for key in self._takes:
            self._by_stem.setdefault(PurePosixPath(key).name, []).append(key)
        self._used: set[str] = set()

    def _add(self, line: int, row: Mapping[str, str]) -> None:
        key = take_key(row["file"])
        text = re.sub(r"\s+", " ", row.get("text", "")).strip()
        if not key:
            raise UserError(f"{self.path}, line {line}: no file is named", "give each row a file and a description")
        self._check_text(line, text)
        start, end = (self._seconds(line, row.get(name, ""), name) for name in ("start", "end"))
        if (start is None) != (end is None) or (start is not None and end is not None and not 0 <= start < end):
            raise UserError(
                f"{self.path}, line {line}: no span from '{row.get('start', '')}' to '{row.get('end', '')}'",
                "give both in seconds, the start before the end, or neither",
            )
        categories = tuple(part.strip() for part in re.split(r"[;|]", row.get("category", "")) if part.strip())
        old = self._takes.get(key, Labelled(key=key))
        label = TableLabel(line=line, text=text, start=start, end=end, categories=categories)
        self._takes[key] = Labelled(
            key=key,
            labels=(*old.labels, label) if text else old.labels,
            subject=row.get("subject", "").strip() or old.subject,
            fps=self._fps(line, row.get("fps", "")) or old.fps,
        )

    def _check_text(self, line: int, text: str) -> None:
        """Refuse descriptions that say nothing to a model of language."""
        where = f"{self.path}, line {line}"
        if len(text) > _LONGEST_TEXT:
            raise UserError(f"{where}: a description of {len(text):,} characters", "shorten it")
        if _FORMULA.match(text):
            raise UserError(f"{where}: '{text[:40]}' is a spreadsheet's formula", "save the table with its values")
        if text and (printable(text) != text or not tidy(text)):
            raise UserError(f"{where}: {text[:40]!a} is not a description: it needs letters or digits", "rewrite it")

    def _fps(self, line: int, text: str) -> float | None:
        rate = self._seconds(line, text, "fps")
        if rate is not None and not 1 <= rate <= MAX_FPS:
            raise UserError(f"{self.path}, line {line}: fps is '{text}'", f"give a rate from 1 to {MAX_FPS:g} Hz")
        return rate

    def _seconds(self, line: int, text: str, name: str) -> float | None:
        if not text.strip():
            return None
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not 0 <= value <= 1e6:
            raise UserError(f"{self.path}, line {line}: {name} is '{text[:20]}'", "give a number, with a point")
        return value

    def of(self, file: Path) -> Labelled | None:
        """What the table says of a file: by the end of its path, else by its name alone when only one take has it.

        Raises:
            UserError: several takes of the table have that name, and none fits the path.
        """
        parts = PurePosixPath(take_key(file.as_posix())).parts
        for start in range(len(parts)):
            key = "/".join(parts[start:])
            if key in self._takes:
                self._used.add(key)
                return self._takes[key]
        keys = self._by_stem.get(parts[-1], [])
        if len(keys) > 1:
            raise UserError(
                f"{self.path} has {len(keys)} takes called {parts[-1]} ({', '.join(keys[:3])}), and none stands where "
                f"{file} stands",
                "write paths in the table that end like those of the files",
            )
        if keys:
            self._used.add(keys[0])
        return self._takes[keys[0]] if keys else None

    def check_fits(self, files: Sequence[Path]) -> None:
        """Look whether the table is of these files at all.

        Raises:
            UserError: it has none of them.
        """
        if files and not any(self.of(file) for file in files):
            raise UserError(
                f"no row of {self.path} is about any of the files: it names {next(iter(self._takes))}, and a file is "
                f"{files[0]}",
                "name files in the table by the end of their path",
            )

    def unused(self) -> list[str]:
        """Takes of the table that no file was found for, sorted."""
        return sorted(set(self._takes) - self._used)


def take_key(text: str) -> str:
    """A file as tables spell it: slashes forward, lower case, without known endings and `_poses`."""
    key = text.strip().replace("\\", "/").strip("/").lower()
    for suffix in _SUFFIXES:
        key = key.removesuffix(suffix)
    return key.removesuffix("_poses").removeprefix("./")


def _rows(path: Path) -> Iterable[tuple[int, dict[str, str]]]:
    """(line, column → text) of each row."""
    try:
        size = require_file(path, "give the table with --labels FILE").st_size
        if size > _MAX_BYTES:
            raise UserError(f"{path} has {size:,} bytes: too large for a label table")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "give the table with --labels FILE") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text", "save it as CSV or TSV in UTF-8, not as a spreadsheet") from error
    first = text.lstrip("\r\n").split("\n", 1)[0]
    # Spreadsheets of half of Europe write semicolons where others write commas.
    delimiter = "\t" if "\t" in first else ";" if ";" in first and "," not in first else ","
    content = io.StringIO(text, newline="")
    # Tables separated by tabs are rarely quoted, and their descriptions hold quotation marks.
    if delimiter == "\t":
        reader = csv.reader(content, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(content, delimiter=delimiter)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: no table ({error})", "save it as CSV or TSV") from error
    return _named(path, [(number, row) for number, row in lines if any(row)])


def _named(path: Path, lines: Sequence[tuple[int, list[str]]]) -> list[tuple[int, dict[str, str]]]:
    if not lines:
        raise UserError(f"{path} is empty", "give one row for each file: file, description")
    heads = [_HEADS.get(cell.lower(), "") for cell in lines[0][1]]
    if "file" in heads and "text" in heads:
        twice = next((head for head in heads if head and heads.count(head) > 1), "")
        if twice:
            alike = " and ".join(f"'{cell}'" for cell, head in zip(lines[0][1], heads, strict=True) if head == twice)
            raise UserError(f"{path} has several columns for one thing: {alike}", "keep one of them, rename the others")
        return [(number, dict(_pairs(heads, row))) for number, row in lines[1:]]
    width = max(len(row) for _, row in lines)
    if width not in (2, 4):
        raise UserError(
            f"{path} has {width} column{'s' if width > 1 else ''}, and its first row does not name them: "
            f"{', '.join(lines[0][1])[:80]}",
            "begin it with a row such as: file,description,start,end",
        )
    heads = ["file", "text", "start", "end"][:width]
    return [(number, dict(_pairs(heads, row))) for number, row in lines]


def _pairs(heads: Sequence[str], row: Sequence[str]) -> Iterable[tuple[str, str]]:
    return ((head, cell) for head, cell in zip(heads, row, strict=False) if head)


# --- BABEL's format ---------------------------------------------------------------------------


def tidy(text: str) -> str:
    """A description as BABEL's `proc_label`s are written: lower case, letters and digits alone, one blank between."""
    return re.sub(r"[^\w]+|_", " ", re.sub(r"(?<=\w)'(?=s\b)", "", text.lower())).strip()


def babel_entry(sid: int, feat_p: str, frames: int, fps: float, dropped: int, labelled: Labelled) -> Json:
    """One sequence in BABEL's schema.

    Args:
        sid: its id.
        feat_p: BABEL's path: dataset twice, subject, file.
        frames: frames of the imported take.
        fps: its rate.
        dropped: frames left out at the beginning, which shift the table's times.
        labelled: what the table says.
    """
    length, shift = frames / fps, dropped / fps
    whole = [label for label in labelled.labels if label.start is None]
    timed = [_clipped(label, shift, length) for label in labelled.labels if label.start is not None]
    spans = [span for span in timed if span is not None]
    texts = whole or [label for label, _, _ in spans]
    sequence = [_label(feat_p, label) for label in {label.text: label for label in texts}.values()]
    frame = [
        {**_label(feat_p, label), "start_t": round(start, 3), "end_t": round(end, 3)} for label, start, end in spans
    ]
    return {
        "babel_sid": sid,
        "url": f"https://example.org/imported/{sid:09d}.mp4",
        "feat_p": feat_p,
        "dur": round(length, 2),
        "seq_ann": _annotation(feat_p, "sequence", sequence),
        "frame_ann": _annotation(feat_p, "frames", frame) if frame else None,
    }


def outside(frames: int, fps: float, dropped: int, labelled: Labelled) -> list[str]:
    """Sentences about labels whose times are not in what was kept of a take; arguments as for `babel_entry`."""
    length, shift = frames / fps, dropped / fps
    return [
        f"the label '{label.text}' from {label.start:g} to {label.end:g} s is outside the take, which lasts "
        f"{shift + length:.2f} s"
        for label in labelled.labels
        if label.start is not None and _clipped(label, shift, length) is None
    ]


def _clipped(label: TableLabel, shift: float, length: float) -> tuple[TableLabel, float, float] | None:
    """A span of the source file on the clock of what was kept of it; None when nothing is left."""
    assert label.start is not None
    assert label.end is not None
    start, end = max(0.0, label.start - shift), min(length, label.end - shift)
    return (label, start, end) if end - start >= 1e-3 else None


def _label(feat_p: str, label: TableLabel) -> Json:
    return {
        "raw_label": label.text,
        "proc_label": tidy(label.text),
        "seg_id": str(uuid.uuid5(_NAMESPACE, f"{feat_p}:{label.line}:{label.text}")),
        "act_cat": list(label.categories),
    }


def _annotation(feat_p: str, kind: str, labels: list[Json]) -> Json:
    return {
        "babel_lid": str(uuid.uuid5(_NAMESPACE, f"{feat_p}:{kind}")),
        "anntr_id": ANNOTATOR,
        "mul_act": len(labels) > 1,
        "labels": labels,
    }


def sequence_ids(feat_ps: Iterable[str]) -> dict[str, int]:
    """An id of nine digits for each path, from the path alone, so that imports can be put together later."""
    taken: dict[int, str] = {}
    ids = {}
    for feat_p in sorted(feat_ps):
        sid = int.from_bytes(hashlib.sha256(feat_p.encode()).digest()[:8], "big") % 900_000_000 + 100_000_000
        while sid in taken:
            sid += 1
        taken[sid] = feat_p
        ids[feat_p] = sid
    return ids


def babel_json(entries: Iterable[Json]) -> str:
    """The text of one split's file, in the order of ids."""
    return json.dumps({str(e["babel_sid"]): e for e in sorted(entries, key=lambda e: e["babel_sid"])}, indent=1) + "\n"


def split_subjects(subjects: Iterable[str], share: float, together: Iterable[Sequence[str]] = ()) -> dict[str, str]:
    """Subject → `train` or `val`: never a person in both.

    Subjects (those that belong together as one) stand in the order of the SHA-256 of their name; the first ones go to
    validation until it holds `share` of all, at least one of them when there are two, and never the last.

    Args:
        subjects: names, as `dataset/subject`.
        share: of the subjects, 0 to 1; 0 puts all into train.
        together: names that must not be parted.
    """
    group = {name: name for name in sorted(set(subjects))}
    for members in together:
        joined = {group[name] for name in members if name in group}
        group |= {name: min(joined) for name, owner in group.items() if owner in joined}
    groups = sorted(set(group.values()), key=lambda name: hashlib.sha256(name.encode()).digest())
    wanted = 0 if share <= 0 or len(groups) < 2 else min(max(1, round(share * len(groups))), len(groups) - 1)
    val = set(groups[:wanted])
    return {name: "val" if owner in val else "train" for name, owner in group.items()}
