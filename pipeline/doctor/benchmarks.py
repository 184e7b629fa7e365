"""Checks of the benchmarks: what the user's Human3.6M and MPI-INF-3DHP files are, and which protocols they permit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from actionpose.errors import UserError
from pipeline.doctor.finding import Finding, counted, from_error, listed, some
from pipeline.h36m import motionbert, videopose3d
from pipeline.h36m.build import open_h36m
from pipeline.h36m.recognise import PROTOCOLS, SENTENCES, layout_of
from pipeline.mpi3dhp import recognise as mpi3dhp
from pipeline.mpi3dhp.build import motions
from pipeline.mpi3dhp.files import source
from pipeline.pack.benchmark import BenchmarkFile, BenchmarkMotion, Rejected, describe, misfits

_ADVICE = "build it as it is if that is what you want; otherwise get the published file again"


def look_at_h36m(place: Path) -> list[Finding]:
    """Read the files a build would start from.

    Returns:
        A finding `h36m.<layout>` per file that is used, or one `h36m` that says what is in the way.
    """
    if not place.exists():
        return [Finding("h36m", "missing", f"no Human3.6M files at {place}", "--h36m DIR; docs/benchmark-data.md")]
    if place.is_file():
        return _opened(place, None)
    there = _surveyed(place)
    findings = [from_error("h36m.files", error, "warning" if there.mains else "wrong") for error in there.damaged]
    if not there.mains and not there.damaged:
        return _opened(place, None)
    for path, detections in there.starts:
        known = {finding.details.get("path") for finding in findings}
        findings += [f for f in _opened(path, detections) if f.stops or f.details.get("path") not in known]
    return findings


def _opened(path: Path, detections: Path | None) -> list[Finding]:
    try:
        opened = open_h36m(path, None, detections)
    except UserError as error:
        return [from_error("h36m", error)]
    of_files = [_of_file(f"h36m.{file.layout}", file, _ADVICE) for file in opened.files]
    return of_files + _misfits("h36m.2d", (detections or path).name, opened.motions())


@dataclass(frozen=True, kw_only=True)
class _Survey:
    """Files of a folder: those that builds start from, 2D for them, and those that cannot be read."""

    mains: list[Path] = field(default_factory=list)
    detections: list[Path] = field(default_factory=list)
    damaged: list[UserError] = field(default_factory=list)

    @property
    def starts(self) -> list[tuple[Path, Path | None]]:
        """File and 2D of every build; None where a build finds its 2D itself."""
        starts: list[tuple[Path, Path | None]] = []
        for path in self.mains:
            choice = layout_of(path) != motionbert.LAYOUT and len(self.detections) > 1
            starts += [(path, detections) for detections in self.detections] if choice else [(path, None)]
        return starts


def _surveyed(folder: Path) -> _Survey:
    there = _Survey()
    for path in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
        try:
            layout = layout_of(path)
        except UserError as error:
            there.damaged.append(error)
            continue
        if layout in ("web-page", "empty"):
            there.damaged.append(UserError(f"{path} is {SENTENCES[layout]}", "download it again, logged in"))
        elif layout in PROTOCOLS:
            there.mains.append(path)
        elif layout == videopose3d.LAYOUT_2D:
            there.detections.append(path)
    return there


def starts_h36m(place: Path) -> list[tuple[Path, Path | None]]:
    """What `build-h36m` has to be given for every build that a file or folder permits.

    Returns:
        (--h36m, --detections or None) per build: the place itself where it permits one build, else files by name.
    """
    if place.is_file():
        return [(place, None)]
    starts = _surveyed(place).starts
    return starts if len(starts) > 1 else [(place, None)]


def look_at_3dhp(place: Path) -> list[Finding]:
    """Read every file that may hold the dataset.

    Returns:
        Findings `3dhp.train` and `3dhp.test`, `3dhp` when files contradict each other, and `3dhp.files` for what is
        refused.
    """
    try:
        found = mpi3dhp.find(place)
    except UserError as error:
        return [from_error("3dhp", error, "missing")]
    findings = [_of_file(f"3dhp.{x.contents.split}", x.file, _advice_3dhp(x)) for x in found.used]
    findings += _misfits("3dhp.2d", place.name, (motion for looked in found.used for motion in motions(looked)))
    for looked in found.spare:
        message = f"{looked.contents.path} is not used: a converted file holds the same split"
        findings.append(Finding(f"3dhp.{looked.contents.split}", "ok", message))
    if (conflict := mpi3dhp.conflict(found.used)) is not None:
        findings.append(from_error("3dhp", conflict))
    findings += _refused(found)
    if not found.used and not found.refused:
        findings.append(Finding("3dhp", "missing", f"{place} holds no file of MPI-INF-3DHP", source()))
    if place.is_dir() and found.used:
        for split, what in (("train", "nothing to train on"), ("test", "nothing to evaluate on")):
            if split not in found.splits:
                findings.append(Finding(f"3dhp.{split}", "warning", f"no {split} videos in {place}: {what}", source()))
    return findings


def _of_file(item: str, file: BenchmarkFile, action: str) -> Finding:
    """What a readable file is; what differs from the published one makes it a warning."""
    message = f"{file.path.name}: {file.sentence}"
    if file.protocols:
        message += f"; permits {', '.join(file.protocols)}"
    if not file.problems:
        return Finding(item, "ok", message, details=describe(file))
    return Finding(item, "warning", message, action, some(file.problems), describe(file))


def _misfits(item: str, name: str, videos: Iterable[BenchmarkMotion | Rejected]) -> list[Finding]:
    """2D for which a build would refuse the files."""
    return [Finding(item, "wrong", f"{name}: {error.message}", error.hint) for error in misfits(videos)]


def _advice_3dhp(looked: mpi3dhp.Looked) -> str:
    if looked.kind == "unknown":
        return "say which 3D it is: ap-data build-3dhp --annotation universal (univ_annot3) or metric (annot3)"
    if looked.kind == "metric":
        return f"for protocol 3dhp take univ_annot3: {source()}"
    return f"build it as it is if that is what you want; for the published files {source()}"


def _refused(found: mpi3dhp.Found) -> list[Finding]:
    """Refusals, those with the same reason together; they stop a build that lacks a split."""
    by_reason: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path, error in found.refused:
        reason = error.message.replace(f"cannot read {path}", "cannot be read").replace(str(path), "").strip()
        by_reason[reason, error.hint].append(path)
    stops = found.splits != {"train", "test"}
    findings = []
    for (reason, hint), paths in by_reason.items():
        message = f"{paths[0]} {reason}"
        if len(paths) > 1:
            message = f"{counted(len(paths), 'file')} ({listed([path.name for path in paths])}): {reason}"
        action = hint if stops else "nothing: both splits are there without it"
        details = {"files": [str(path) for path in paths]}
        findings.append(Finding("3dhp.files", "wrong" if stops else "warning", message, action, details=details))
    return findings


LOOKS = {"h36m": look_at_h36m, "mpi_inf_3dhp": look_at_3dhp}
"""Input → what looks at it."""
