"""From one file to one take on the body: recognise, read, retarget, put on the floor, check."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from actionpose.arrays import Floats
from pipeline.body.resample import MAX_FPS, snap_rate
from pipeline.body.smplh import N_BETAS
from pipeline.engine.item import ItemError
from pipeline.importers.asf_amc import read_amc, read_asf
from pipeline.importers.bvh import read_bvh
from pipeline.importers.figure import Figure, joint_places
from pipeline.importers.floor import find_floor
from pipeline.importers.recognise import kind_of
from pipeline.importers.retarget import RestPose, Retargeted, rest_pose, retarget
from pipeline.importers.skeletons import Correspondence, Table, candidates
from pipeline.importers.smpl import POSE_WIDTH, ankles_to_shoulders, read_smpl
from pipeline.importers.source import Source
from pipeline.importers.verify import CheckedTake, TakeCheck, clean_run, verify

_AT_REST = np.deg2rad(5.0)
_LONGEST_FOLDER = 200
_SUBJECTS = re.compile(r"(?P<a>subject\d+)|^(?P<b>\d+)_\d+|_(?P<c>d\d\d)_")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user sets for all files of an import; empty or None means: detect.

    Attributes:
        table: the joint map, instead of the one that fits.
        fps: the rate in Hz, instead of what files state.
        degrees: whether angles are degrees; None believes the format.
        up: `y` or `z`: which axis of the files is up.
        floor: see `floor.find_floor`.
        asf: the skeleton of AMC files, instead of the one next to them.
        dataset, subject: folder names.
    """

    table: Table | None = None
    fps: float | None = None
    degrees: bool | None = None
    up: str = ""
    floor: str = "auto"
    asf: Path | None = None
    dataset: str = ""
    subject: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Imported:
    """A take in AMASS' terms: poses (T, 156) radians, trans (T, 3) metres, world with z up, betas (16,), fps.

    Attributes:
        kind: format of the file. skeleton: the table used, empty for SMPL files.
        first: frames left out at the beginning. source_frames: frames of the file.
        scale: metres of the body for one unit of the source's path; None for SMPL files.
        unmapped: source joints that nothing was taken from. filled: joints of the body that the source lacks.
    """

    poses: Floats
    trans: Floats
    betas: Floats
    fps: float
    fps_from: str
    gender: str
    kind: str
    skeleton: str
    dataset: str
    subject: str
    first: int
    source_frames: int
    scale: float | None
    checks: tuple[TakeCheck, ...]
    notes: tuple[str, ...]
    unmapped: tuple[str, ...]
    filled: tuple[str, ...]
    together: tuple[tuple[str, ...], ...] = ()


# --- one file ---------------------------------------------------------------------------------


def import_file(
    path: Path, figure: Figure, options: Options, *, fps: float | None = None, subject: str = ""
) -> Imported:
    """Import one file and retarget it to the body.

    Args:
        path: the file.
        figure: the body.
        options: what was decided for all files.
        fps: the rate that the label table gives, if any.
        subject: the subject that the label table gives, if any.

    Raises:
        ItemError: it cannot be imported, or a check rejects it; the message says why.
    """
    kind = kind_of(path)
    try:
        if kind in ("npz", "pickle"):
            take = _smpl(path, figure, options, fps, subject)
        else:
            take = _captured(path, _source(path, kind, options), figure, options, fps, subject)
    except ItemError as error:  # what is wrong with a figure does not know which file it is from
        if path.name in error.message:
            raise
        raise ItemError(error.reason, f"{path.name}: {error.message}") from error
    except OSError as error:
        raise ItemError("cannot be read", f"{path.name}: {error.strerror or error}") from error
    except MemoryError as error:
        raise ItemError(
            "too long", f"{path.name} needs more memory than there is; cut it into shorter takes"
        ) from error
    for check in take.checks:
        if check.verdict == "rejected":
            raise ItemError(f"check {check.check}", f"{path.name}: {check.sentence}")
    return take


def _source(path: Path, kind: str, options: Options) -> Source:
    if kind == "bvh":
        return read_bvh(path, degrees=options.degrees)
    if kind == "asf":
        raise ItemError("a skeleton", f"{path.name} is the skeleton of AMC files, not a motion by itself")
    skeleton = read_asf(options.asf or asf_beside(path), degrees=options.degrees)
    return read_amc(path, skeleton, degrees=options.degrees)


def asf_beside(path: Path) -> Path:
    """The skeleton of an AMC file: `SUBJECT.asf` for `SUBJECT_TAKE.amc`, else the only one in the folder.

    Raises:
        ItemError: there is none, or several.
    """
    here = sorted(p for p in path.parent.iterdir() if p.suffix.lower() == ".asf")
    own = [p for p in here if p.stem.lower() in (path.stem.lower(), path.stem.lower().rpartition("_")[0])]
    if len(own or here) == 1:
        return (own or here)[0]
    raise ItemError(
        "no skeleton",
        f"{path.name} needs its ASF: {len(here)} in its folder, none called {path.stem.rpartition('_')[0]}.asf; "
        "give one with --asf",
    )


def _captured(
    path: Path, source: Source, figure: Figure, options: Options, fps: float | None, subject: str
) -> Imported:
    mapping, rest = _fitting(source, options)
    subject = folder_name(subject or options.subject) or subject_of(path, mapping.table)
    table = mapping.table
    notes: list[str] = []
    # Others use the figures of databases, too; a table that the user names is believed.
    belongs = options.table is not None or not table.subject or re.search(table.subject, path.stem) is not None
    rate, rate_from = _rate(path, source, table, subject, options.fps, fps)
    doubts = _doubts(table, subject, rate, belongs=belongs) if rate_from.startswith("table ") else []
    first = _lead_in(source, mapping)
    source = replace(source, values=source.values[first:])
    if source.frames < 2:
        raise ItemError("no frames", f"{path.name} has {source.frames + first} frame: not a motion")
    if first:
        notes.append(f"the first {first} frames lead in from a rest pose and are left out")
    moved = retarget(source, mapping, rest, figure)
    up_known = bool(table.up) or table.dataset != "Imported"
    done = _standing(path, moved, rate, figure, options.floor, up_known=up_known)
    return Imported(
        poses=done.poses,
        trans=done.trans,
        betas=np.zeros(N_BETAS),
        fps=rate,
        fps_from=rate_from,
        gender=figure.gender,
        kind=source.kind,
        skeleton=table.name,
        dataset=folder_name(options.dataset or (table.dataset if belongs else "")) or "Imported",
        subject=subject,
        first=first + done.first,
        source_frames=source.frames + first,
        scale=moved.scale,
        checks=(*doubts, *done.checks),
        notes=(*notes, *done.notes),
        unmapped=mapping.unmapped,
        filled=mapping.filled,
        together=table.together,
    )


def _fitting(source: Source, options: Options) -> tuple[Correspondence, RestPose]:
    """The first table whose names are there and whose rest pose stands like a person, along `up` when that is given."""
    wrong: ItemError | None = None
    for mapping in candidates(source, options.table):
        if options.up and not mapping.table.rest_axes:
            mapping = replace(mapping, table=replace(mapping.table, up=options.up))
        try:
            return mapping, rest_pose(source, mapping)
        except ItemError as error:
            if error.reason != "no rest pose":
                raise
            wrong = wrong or error
    assert wrong is not None
    raise wrong


def _rate(
    path: Path, source: Source, table: Table, subject: str, option: float | None, labelled: float | None
) -> tuple[float, str]:
    """Rate in Hz, and where it is from.

    Raises:
        ItemError: nothing gives a rate.
    """
    own = table.fps_by_subject.get(subject.lstrip("0"), table.fps)
    ways = (("--fps", option), ("label table", labelled), ("file", source.fps), (f"table {table.name}", own))
    where, rate = next(((where, rate) for where, rate in ways if rate), ("", 0.0))
    if not 1 <= rate <= MAX_FPS:
        stated = f"states '{source.stated}', not a time from 0.001 to 1 s" if source.stated else "states no rate"
        hint = " (decimals need a point)" if "," in source.stated else ""
        raise ItemError(
            "no frame rate",
            f"{path.name} {stated}{hint}; give its rate with --fps, or in a column fps of the label table",
        )
    return snap_rate(rate), where


def _doubts(table: Table, subject: str, rate: float, *, belongs: bool) -> list[TakeCheck]:
    """What is to be said about a rate that is the table's, because the file states none.

    `belongs`: the file is from the database that the table describes.
    """
    if subject.lstrip("0") in table.fps_unsure:
        sentence = f"subject {subject} has takes of 60 and of 120 Hz and the file states no rate: {rate:g} is a guess"
    elif not belongs:
        usual = f"the file states no rate, and {rate:g} Hz is that of the {table.about.partition(',')[0]}"
        sentence = f"{usual}, whose files have other names; give its rate with --fps"
    else:
        return []
    return [TakeCheck("rate", "warning", rate, sentence)]


def _lead_in(source: Source, mapping: Correspondence) -> int:
    """Number of frames before the capture: as the table states, if the file starts in the rest pose."""
    lead = mapping.table.lead_in
    if not lead or source.frames <= lead + 1:
        return 0
    if mapping.table.lead_in_always:
        return lead
    columns = [
        column
        for body, number in mapping.joints.items()
        for _, column in source.joints[number].turns
        if body != "pelvis"
    ]
    first = np.abs(source.values[0, columns])
    return lead if float(np.minimum(first, np.abs(2 * np.pi - first)).mean()) < _AT_REST else 0


def subject_of(path: Path, table: Table | None) -> str:
    """The subject: by the table's pattern, else by patterns of known databases, else from the file's folder."""
    if table and table.subject_name:
        return folder_name(table.subject_name)
    if table and table.subject and (found := re.search(table.subject, path.stem)):
        return folder_name(found[found.lastindex or 0])
    if match := _SUBJECTS.search(path.stem):
        return folder_name(next(group for group in match.groups() if group))
    return folder_name(path.resolve().parent.name) or "subject"


def folder_name(text: str) -> str:
    """A text as the name of one folder: no separators, no leading or trailing dots; may be empty.

    Raises:
        ItemError: it is too long for one.
    """
    name = re.sub(r"[^\w.\-]+", "_", text).strip("._")
    if len(name.encode()) > _LONGEST_FOLDER:
        raise ItemError("odd name", f"'{name[:40]}…' is too long for the name of a folder: shorten it")
    return name


def _smpl(path: Path, figure: Figure, options: Options, fps: float | None, subject: str) -> Imported:
    motion = read_smpl(path, figure, up=options.up)
    ways: Mapping[str, float | None] = {"--fps": options.fps, "label table": fps, "file": motion.fps}
    where, rate = next(((where, rate) for where, rate in ways.items() if rate), ("", 0.0))
    if not 1 <= rate <= MAX_FPS:
        stated = "no rate" if motion.fps is None else f"a rate of {motion.fps:g} Hz, not 1 to {MAX_FPS:g}"
        raise ItemError("no frame rate", f"{path.name} states {stated}; give it with --fps")
    if len(motion.poses) < 2:
        raise ItemError("no frames", f"{path.name} has {len(motion.poses)} frame: not a motion")
    places = joint_places(figure, motion.poses, motion.trans)
    moved = Retargeted(
        poses=motion.poses, trans=motion.trans, scale=1.0, bone_angles={}, upright=ankles_to_shoulders(places)
    )
    # The soles of another build than the figure's are at an unknown height.
    floor = "keep" if motion.betas.any() else options.floor
    done = _standing(path, moved, snap_rate(rate), figure, floor, places)
    return Imported(
        poses=done.poses,
        trans=done.trans,
        betas=motion.betas,
        fps=snap_rate(rate),
        fps_from=where,
        gender=motion.gender,
        kind=motion.kind,
        skeleton="",
        dataset=folder_name(options.dataset) or ("AISTpp" if motion.kind == "AIST++" else "Imported"),
        subject=folder_name(subject or options.subject) or subject_of(path, None),
        first=done.first,
        source_frames=len(motion.poses),
        scale=None,
        checks=done.checks,
        notes=(*motion.notes, *done.notes),
        unmapped=(),
        filled=(),
    )


class _Standing(NamedTuple):
    """A take on the floor: poses (T, 156), trans (T, 3), the number of frames cut off before, checks and notes."""

    poses: Floats
    trans: Floats
    first: int
    checks: tuple[TakeCheck, ...]
    notes: list[str]


def _standing(
    path: Path,
    moved: Retargeted,
    fps: float,
    figure: Figure,
    floor_policy: str,
    places: Floats | None = None,
    up_known: bool = True,
) -> _Standing:
    """Cut flips, put the take on the floor, and check it."""
    places = joint_places(figure, moved.poses, moved.trans) if places is None else places
    run, dropped = clean_run(places, fps)
    if run.start == run.stop:
        raise ItemError("limbs flip", f"{path.name}: {dropped}")
    places = places[run]
    floor = find_floor(places, fps, figure, policy=floor_policy)
    up = np.array([0.0, 0.0, floor.shift])
    take = CheckedTake(
        places=places + up, fps=fps, figure=figure, floor=floor, bone_angles=moved.bone_angles, upright=moved.upright,
        up_known=up_known,
    )  # fmt: skip
    poses = np.zeros((len(places), POSE_WIDTH))
    poses[:, : moved.poses.shape[1]] = moved.poses[run]
    return _Standing(poses, moved.trans[run] + up, run.start, tuple(verify(take)), [dropped] if dropped else [])
