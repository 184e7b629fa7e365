"""Checks of the body folder and the joint regressor; every look-alike is recognised by content."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from actionpose.errors import UserError
from actionpose.plain_npz import npz_names
from actionpose.sniff import refuse_wrong_content
from actionpose.walk import Unreadable, walk
from pipeline.body.convert import recognise
from pipeline.body.dmpls import N_DMPLS, find_dmpls, load_dmpls
from pipeline.body.regressor import SOURCE, load_regressor, read_matrix
from pipeline.body.smplh import DOWNLOAD, GENDERS, SmplhModel, available_genders, find_body, gender_in_name, load_body
from pipeline.doctor.finding import Finding, counted, from_error, listed, some

FULL_SIZE = 6890
_SHORT, _TALL = 1.4, 2.1  # metres; the mean bodies of SMPL+H are 1.6 to 1.8


# --- the body ---------------------------------------------------------------------------------


def look_at_body(folder: Path, needed: Mapping[str, int] | None) -> tuple[list[Finding], SmplhModel | None]:
    """Load every gender that is there.

    Args:
        folder: as for `find_body`.
        needed: gender → motions that need it; None when the motions are not known.

    Returns:
        Findings `body.<gender>`, or `body` when none is there; and a sound body, if any.
    """
    present = available_genders(folder)
    if not present:
        return [_no_body(folder)], None
    findings: list[Finding] = []
    sound: dict[str, SmplhModel] = {}
    for gender in GENDERS:
        if gender not in present:
            findings += _absent(folder, gender, needed)
            continue
        try:
            sound[gender] = load_body(folder, gender)
        except UserError as error:
            findings.append(from_error(f"body.{gender}", error))
        else:
            findings.append(_sound(gender, sound[gender]))
    if not folder.is_file():
        findings += _same_file(sound)
    return findings, next(iter(sound.values()), None)


def _sound(gender: str, model: SmplhModel) -> Finding:
    tall = float(np.ptp(model.v_template[:, 1]))
    notes = []
    if any(name.startswith("hands_") for name in npz_names(model.path)):
        notes.append("MANO hand keys are merged in and not used: AMASS stores whole hand poses")
    if not model.posedirs.any():
        notes.append("no pose correctives, as in the demo body; the licensed SMPL+H has them")
    message = f"SMPL+H, {len(model.v_template):,} vertices, 16 betas, {tall:.2f} m"
    details = {"path": str(model.path), "sha256": model.sha256, "vertices": len(model.v_template), "height_m": tall}
    message = "; ".join((message, *notes))
    if _SHORT <= tall <= _TALL:
        return Finding(f"body.{gender}", "ok", message, details=details)
    message += ": not the height of a person"
    action = f"check that this is the original file, in metres; {DOWNLOAD}"
    return Finding(f"body.{gender}", "warning", message, action, details=details)


def _absent(folder: Path, gender: str, needed: Mapping[str, int] | None) -> list[Finding]:
    if needed is not None and not needed.get(gender):
        return []
    try:
        find_body(folder, gender)
    except UserError as error:
        if needed is None:
            message = f"{error.message}; motions of that gender would fail"
            return [Finding(f"body.{gender}", "warning", message, error.hint)]
        message = f"{error.message}; {counted(needed[gender], 'motion')} would fail"
        action = error.hint
        if gender == "neutral":
            action += "; or use another body for them: -o keypoints.missing_gender=female (or skip)"
        return [Finding(f"body.{gender}", "missing", message, action)]
    return []


def _same_file(sound: Mapping[str, SmplhModel]) -> list[Finding]:
    by_content = defaultdict(list)
    for gender, model in sound.items():
        by_content[model.sha256].append(gender)
    same = [genders for genders in by_content.values() if len(genders) > 1]
    if not same:
        return []
    names = f"{', '.join(same[0][:-1])} and {same[0][-1]}"
    message = f"{names} are the same file: motions of one gender get the body of another"
    action = "put each gender's own model.npz of smplh.tar.xz in its place, unless this is intended"
    return [Finding("body.genders", "warning", message, action, details={"same": same})]


def _no_body(folder: Path) -> Finding:
    try:
        find_body(folder, "neutral")
    except UserError as error:
        if not folder.exists():
            return from_error("body", error, "missing")
    there = _candidates(folder)
    seen = {place.path: (f"cannot be read: {place.reason}", False) for place in there if isinstance(place, Unreadable)}
    seen |= {path: what_it_is(path) for path in there if isinstance(path, Path)}
    lines = [f"{path.relative_to(folder)}: {what}" for path, (what, _) in seen.items()]
    commands = (
        f"ap-data convert-model {p} --out {folder}/smplh/GENDER/model.npz" for p, (_, good) in seen.items() if good
    )
    found = f"; found: {listed([path.name for path in seen])}" if seen else ""
    message = f"no SMPL+H body (smplh/{{female,male,neutral}}/model.npz) in {folder}{found}"
    details = {"files": {str(path): what for path, (what, _) in seen.items()}}
    return Finding("body", "wrong", message, next(commands, DOWNLOAD), some(lines, 4), details)


def _candidates(folder: Path, limit: int = 20) -> list[Path | Unreadable]:
    """Files that may be bodies, those of the upper folders first, and folders that cannot be read."""
    endings = (".npz", ".pkl", ".tar.xz", ".zip")
    found = [p for p in walk(folder, 3) if isinstance(p, Unreadable) or p.name.lower().endswith(endings)]
    closed = [place for place in found if isinstance(place, Unreadable)]
    files = [path for path in found if isinstance(path, Path) and path.is_file()]
    return [*closed, *sorted(files, key=lambda path: (len(path.parts), path))[:limit]]


def what_it_is(path: Path) -> tuple[str, bool]:
    """A file in words, by its content, and whether `ap-data convert-model` can use it."""
    if path.suffix.lower() == ".pkl":
        try:
            found = recognise(path)
        except UserError as error:
            return error.message.removeprefix(f"{path} is "), False
        return found.sentence, found.convertible
    if path.suffix.lower() != ".npz":
        return "a packed archive, not unpacked", False
    try:
        load_body(path, gender_in_name(path) or "neutral")
    except UserError as error:
        return error.message.removeprefix(f"{path} is ").replace(f"{path.parent}/", ""), False
    return "a valid SMPL+H body under an unexpected name; rename it to GENDER/model.npz", False


def look_at_regressor(path: Path, model: SmplhModel | None) -> Finding:
    """Load the regressor for a body; without one, check what can be checked.

    Returns:
        The finding `regressor`; its details name the order of the legs.
    """
    if not path.exists():
        return Finding("regressor", "missing", f"no joint regressor at {path}", f"--regressor FILE; {SOURCE}")
    if path.is_dir():
        inside = sorted(path.glob("*regressor*.npy"))
        action = f"--regressor {inside[0]}" if inside else f"--regressor FILE; {SOURCE}"
        return Finding("regressor", "wrong", f"{path} is a folder", action)
    try:
        refuse_wrong_content(path, SOURCE)
        if model is None:
            read_matrix(path, FULL_SIZE)
            message = "17 x 6,890, rows sum to one; the order of the legs shows only on a body"
            return Finding("regressor", "warning", message, "give the body too: --body DIR")
        regressor = load_regressor(path, model)
    except UserError as error:
        return from_error("regressor", error)
    weights = int((regressor.matrix != 0).sum())
    legs = "right leg first, Human3.6M order" if regressor.order == "h36m" else "left leg first"
    message = "; ".join((f"17 x {len(model.v_template):,}, {weights} weights, {legs}", *regressor.notes))
    details = {"order": regressor.order, "sha256": regressor.sha256, "notes": list(regressor.notes)}
    return Finding("regressor", "ok", message, details=details)


def look_at_dmpls(folder: str, needed: Mapping[str, int] | None, model: SmplhModel | None) -> list[Finding]:
    """Load the soft-tissue directions of every gender that motions need.

    Args:
        folder: as given; empty when soft tissue is on and no folder was named.
        needed: gender → motions that need it; None when the motions are not known: then all that are there.
        model: a body they are for; without one, the full size is expected.

    Returns:
        Findings `dmpls.<gender>`, or `dmpls` when none is there.
    """
    place = Path(folder) if folder else ""
    vertices = len(model.v_template) if model is not None else FULL_SIZE
    findings: list[Finding] = []
    absent: dict[str, UserError] = {}
    for gender in GENDERS:
        try:
            find_dmpls(place, gender)
        except UserError as error:
            absent[gender] = error
            if needed is not None and needed.get(gender):
                findings.append(from_error(f"dmpls.{gender}", error, "missing"))
            continue
        try:
            soft = load_dmpls(place, gender, vertices)
        except UserError as error:
            findings.append(from_error(f"dmpls.{gender}", error))
            continue
        message = f"{N_DMPLS} soft-tissue directions, {len(soft.dirs):,} vertices"
        details = {"path": str(soft.path), "sha256": soft.sha256, "vertices": len(soft.dirs)}
        findings.append(Finding(f"dmpls.{gender}", "ok", message, details=details))
    if len(absent) == len(GENDERS):
        return [from_error("dmpls", next(iter(absent.values())), "missing")]
    return findings
