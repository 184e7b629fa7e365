"""A whole import: files and a label table into AMASS layout, BABEL's format and a manifest of every file.

OUT holds `amass/DATASET/SUBJECT/NAME_poses.npz`, `babel/{train,val}.json` and `import.jsonl`, and is there whole or
not at all. The same files give the same bytes.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from actionpose.errors import UserError
from actionpose.files import atomic_folder, atomic_path, sha256_file, write_text
from actionpose.progress import track
from actionpose.walk import Unreadable, walk
from pipeline.engine.item import ItemError
from pipeline.importers.figure import Figure
from pipeline.importers.labels import Json, LabelTable, babel_entry, babel_json, outside, sequence_ids, split_subjects
from pipeline.importers.recognise import SUFFIXES, kind_of
from pipeline.importers.take import Imported, Options, import_file

MANIFEST = "import.jsonl"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to import and where to.

    `out` None is a dry run: everything is read and checked, nothing written. `val_share`: of subjects.
    """

    files: tuple[Path, ...]
    labels: LabelTable | None
    out: Path | None
    figure: Figure
    options: Options
    val_share: float = 0.1
    workers: int = 0
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Report:
    """The outcome of an import: one row per file, in the order of the files."""

    rows: list[Json]
    unused_labels: list[str] = field(default_factory=list)

    @property
    def imported(self) -> list[Json]:
        """Rows of files that were imported."""
        return [row for row in self.rows if row["status"] == "imported"]

    @property
    def rejected(self) -> list[Json]:
        """Rows of files that were not."""
        return [row for row in self.rows if row["status"] == "rejected"]

    def summary(self) -> Json:
        """Counts, for people and programs."""
        done = self.imported
        labelled = [row for row in done if row["label"]]
        return {
            "files": len(self.rows),
            "imported": len(done),
            "rejected": len(self.rejected),
            "reasons": dict(sorted(Counter(row["reason"] for row in self.rejected).items())),
            "labelled": len(labelled),
            "train": sum(row["split"] == "train" for row in labelled),
            "val": sum(row["split"] == "val" for row in labelled),
            "without_label": len(done) - len(labelled),
            "labels_without_file": len(self.unused_labels),
            "subjects": len({(row["dataset"], row["subject"]) for row in done}),
            "frames": sum(row["frames"] for row in done),
            "hours": round(sum(row["seconds"] for row in done) / 3600, 3),
            "warnings": sum(bool(row["warnings"]) for row in done),
        }


def find_files(given: Iterable[Path], *, out: Path | None = None) -> tuple[Path, ...]:
    """The files themselves, and every motion under folders but OUT, sorted; in the order given, each once.

    Of two files that are one take, the one that is given first counts.

    Raises:
        UserError: a path that is not there, or a folder without motion.
    """
    found: dict[Path, None] = {}
    for path in given:
        if path.is_dir():
            inside = list(_motion_files(path))
            if out is not None:  # an earlier import is no source of a later one
                inside = [p for p in inside if not p.absolute().is_relative_to(out.absolute())]
            if not inside:
                raise UserError(f"there is no motion under {path}", f"give files or folders with {', '.join(SUFFIXES)}")
            found.update(dict.fromkeys(sorted(inside, key=lambda p: p.as_posix())))
        elif os.path.lexists(path):  # links that lead nowhere get a row with their reason
            found[path] = None
        else:
            raise UserError(f"there is no {path}", "check the path")
    return tuple(found)


def _motion_files(folder: Path) -> Iterator[Path]:
    """Files of motion, and folders that cannot be looked into, which get a row with their reason."""
    for place in walk(folder):
        if isinstance(place, Unreadable):
            yield place.path
        elif place.suffix.lower() in SUFFIXES and not place.name.startswith("._"):
            yield place


def run(job: Job) -> Report:
    """Import the files and publish the result.

    Raises:
        UserError: OUT is in use, or the label table does not fit the files.
    """
    if job.labels:
        job.labels.check_fits(job.files)
    if job.out is None:
        return _report(job, list(_rows(job, None)), None)
    _check_free(job.out, overwrite=job.overwrite)
    with atomic_folder(job.out) as folder:
        report = _report(job, list(_rows(job, folder)), folder)
        write_text(folder / MANIFEST, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in report.rows))
    return report


def _check_free(out: Path, *, overwrite: bool) -> None:
    """Refuse to replace what is not an earlier import, or not to be replaced."""
    there = {path.name for path in out.iterdir()} if out.is_dir() else set()
    # A manifest alone is of an import that rejected everything.
    if (out.exists() and not out.is_dir()) or there - {MANIFEST}:
        ours = MANIFEST in there
        if not (ours and overwrite):
            hint = "choose another --out" + (", or replace it with --overwrite" if ours else "")
            raise UserError(f"{out} is there already" + (" and holds an earlier import" if ours else ""), hint)


# --- files ------------------------------------------------------------------------------------


def _rows(job: Job, folder: Path | None) -> Iterator[Json]:
    """One row for each file, in order; motion is written as it comes."""
    seen: dict[str, str] = {}
    named = [(path, job.labels.of(path) if job.labels else None) for path in job.files]
    tasks = [
        (number, path, label.fps if label else None, label.subject if label else "")
        for number, (path, label) in enumerate(named)
    ]
    work = partial(_one, figure=job.figure, options=job.options, folder=folder)
    with ExitStack() as stack:
        if job.workers > 1:
            pool = stack.enter_context(ProcessPoolExecutor(job.workers))
            results: Iterable[Json] = pool.map(work, tasks, chunksize=4)
        else:
            results = map(work, tasks)
        for (_, label), row in zip(named, track(results, "import", total=len(tasks), unit="file"), strict=True):
            row["label"] = "; ".join(dict.fromkeys(lab.text for lab in label.labels)) if label else ""
            yield _placed_row(row, seen, folder)


def _placed_row(row: Json, seen: dict[str, str], folder: Path | None) -> Json:
    """Move a take to its final path, unless an earlier file has it."""
    if row["status"] != "imported":
        return row
    motion, aside = row["motion"], row.pop("aside")
    name = motion.casefold()  # on some file systems, and in label tables, case does not tell names apart
    if name in seen:
        if folder:
            (folder / aside).unlink()
        reason = f"{row['file']} would be {motion}, which {seen[name]} is: rename one, or give them other --subjects"
        return _rejected_row(row, "same take twice", reason)
    seen[name] = row["file"]
    if folder:
        target = folder / motion
        target.parent.mkdir(parents=True, exist_ok=True)
        (folder / aside).rename(target)
    return row


def _rejected_row(row: Json, reason: str, message: str) -> Json:
    return {key: row[key] for key in ("file", "sha256", "label") if key in row} | {
        "status": "rejected",
        "reason": reason,
        "message": message,
    }


def _one(task: tuple[int, Path, float | None, str], *, figure: Figure, options: Options, folder: Path | None) -> Json:
    """Import one file; its arrays get a temporary name until all rows are in order."""
    number, path, fps, subject = task
    file = path.as_posix().encode("utf-8", "backslashreplace").decode()
    row: Json = {"file": file, "status": "imported", "reason": "", "message": "", "sha256": ""}
    try:
        if kind_of(path) == "asf":
            return row | {"status": "skeleton", "message": "the skeleton of AMC files"}
        row["sha256"] = sha256_file(path)
        take = import_file(path, figure, options, fps=fps, subject=subject)
    except ItemError as error:
        return _rejected_row(row, error.reason, error.message)
    row.update(_facts(path, take))
    row["aside"] = f".{number:07d}.npz"
    if folder:
        _write(folder / row["aside"], take)
    return row


def _facts(path: Path, take: Imported) -> Json:
    name = path.stem.removesuffix("_poses")
    return {
        "motion": f"amass/{take.dataset}/{take.subject}/{name}_poses.npz",
        "feat_p": f"{take.dataset}/{take.dataset}/{take.subject}/{name}_poses.npz",
        "dataset": take.dataset,
        "subject": take.subject,
        "kind": take.kind,
        "skeleton": take.skeleton,
        "fps": take.fps,
        "fps_from": take.fps_from,
        "frames": len(take.poses),
        "seconds": round(len(take.poses) / take.fps, 3),
        "source_frames": take.source_frames,
        "first_frame": take.first,
        "scale": None if take.scale is None else round(take.scale, 9),
        "checks": [check.row() for check in take.checks],
        "warnings": [c.sentence for c in take.checks if c.verdict == "warning"],
        "notes": list(take.notes),
        "unmapped": list(take.unmapped),
        "filled": list(take.filled),
        "together": [list(group) for group in take.together],
    }


def _write(path: Path, take: Imported) -> None:
    arrays: dict[str, Any] = {
        "poses": take.poses.astype(np.float32),
        "trans": take.trans.astype(np.float32),
        "betas": take.betas.astype(np.float32),
        "gender": np.array(take.gender),
        "mocap_framerate": np.array(take.fps),
    }
    with atomic_path(path) as aside, open(aside, "wb") as handle:
        np.savez_compressed(handle, **arrays)


# --- labels -----------------------------------------------------------------------------------


def _report(job: Job, rows: list[Json], folder: Path | None) -> Report:
    """Splits and BABEL entries, once all files are known."""
    done = [row for row in rows if row["status"] == "imported"]
    splits = _splits(done, job.val_share)
    ids = sequence_ids(row["feat_p"] for row in done)
    entries: dict[str, list[Json]] = {"train": [], "val": []}
    for row in rows:
        if row["status"] != "imported":
            continue
        row["split"] = splits[f"{row['dataset']}/{row['subject']}"]
        row["babel_sid"] = ids[row["feat_p"]]
        row.pop("together")
        entry = _entry(job.labels, row)
        if entry is None:
            row["label"] = ""
        else:
            entries[row["split"]].append(entry)
    if folder and job.labels and done:
        for split, of_split in entries.items():
            write_text(folder / "babel" / f"{split}.json", babel_json(of_split))
    return Report(rows=rows, unused_labels=job.labels.unused() if job.labels else [])


def _splits(done: Sequence[Json], share: float) -> dict[str, str]:
    names = [f"{row['dataset']}/{row['subject']}" for row in done]
    groups = {tuple(f"{row['dataset']}/{member}" for member in group) for row in done for group in row["together"]}
    return split_subjects(names, share, sorted(groups))


def _entry(table: LabelTable | None, row: Json) -> Json | None:
    labelled = table.of(Path(row["file"])) if table else None
    if labelled is None or not labelled.labels:
        return None
    row["warnings"] += outside(row["frames"], row["fps"], row["first_frame"], labelled)
    entry = babel_entry(row["babel_sid"], row["feat_p"], row["frames"], row["fps"], row["first_frame"], labelled)
    return entry if entry["seq_ann"]["labels"] else None
