"""Checks of the BABEL folder: whether the files are what their names say, and what their labels contain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from actionpose.errors import UserError
from pipeline.config import DataConfig
from pipeline.doctor.datasets import archives_in
from pipeline.doctor.finding import Finding, counted, from_error, some
from pipeline.sources import facts
from pipeline.sources.babel import LabelledSequence, babel_files, parse_sequence, read_file
from pipeline.stages.label_counts import plan_from_json

ONE_EDITION = "use train.json and val.json of one edition: a motion in both makes numbers on val meaningless"


@dataclass(kw_only=True)
class BabelLook:
    """What was seen of a BABEL folder: its labelled sequences, and what there is to say.

    `usable` is false when a build cannot read it.
    """

    sequences: list[LabelledSequence] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    plan: dict[str, Any] = field(default_factory=dict)
    usable: bool = False


def look_at_babel(folder: Path, config: DataConfig) -> BabelLook:
    """Read the label files the settings ask for.

    Returns:
        Findings `babel` or `babel.…`.
    """
    look = BabelLook()
    if not folder.exists():
        action = "give the folder with train.json and val.json: --babel DIR"
        look.findings.append(Finding("babel", "missing", f"there is no {folder}", action))
        return look
    try:
        wanted = babel_files(folder, config.pairs)
    except UserError as error:
        look.findings.append(_not_there(folder, error))
        return look
    sound = [_one_file(split, path, config, look) for split, path in wanted]
    look.usable = all(sound)
    if look.usable:
        look.findings += [*_labels(look.sequences), *_files_not_used(folder, config)]
        look.plan = plan_from_json(folder, config)
        look.findings += _splits(look.plan)
        look.findings.append(plan_finding(look.plan, "if every motion is available"))
    return look


def _splits(plan: dict[str, Any]) -> list[Finding]:
    """Motions that two label files name, as when one file was saved under the name of another."""
    shared = plan["failures"].get("motion in two splits", 0)
    if not shared:
        return []
    message = f"{counted(shared, 'sequence')}: the motion is in both splits; a build refuses the second"
    return [Finding("babel.splits", "wrong", message, ONE_EDITION, details={"sequences": shared})]


def _not_there(folder: Path, error: UserError) -> Finding:
    if "test" in error.message and "withholds" in error.message:
        return from_error("babel", error)
    if folder.is_file():
        return Finding("babel", "wrong", f"{folder} is a file, not a folder", f"--babel {folder.parent}")
    inside = sorted(path.parent for path in folder.glob("*/train.json"))
    if inside:
        message = f"{folder} holds no train.json; {inside[0].name}/ in it does"
        return Finding("babel", "wrong", message, f"--babel {inside[0]}")
    packed = archives_in(folder)
    if packed:
        action = f"unpack it: cd {folder} && unzip {packed[0].name}"
        return Finding("babel", "wrong", f"{folder} holds {packed[0].name}, not unpacked", action)
    return from_error("babel", error, "missing")


def _one_file(split: str, path: Path, config: DataConfig, look: BabelLook) -> bool:
    """Read one file into the look; whether a build can use it."""
    try:
        entries = read_file(path)
    except UserError as error:
        look.findings.append(from_error(f"babel.{path.stem}", error))
        return False
    sequences: list[LabelledSequence] = []
    broken: list[str] = []
    for sid, entry in entries.items():
        try:
            sequences += parse_sequence(sid, split, entry, config.pairs)
        except UserError as error:
            broken.append(error.message)
    finding = _file_finding(path, len(entries), sequences, broken)
    look.findings.append(finding)
    look.sequences += sequences
    return not finding.stops


def _file_finding(path: Path, total: int, sequences: list[LabelledSequence], broken: list[str]) -> Finding:
    item = f"babel.{path.stem}"
    again = "download babel_v1.0_release again from the BABEL site"
    if broken:
        message = f"{path}: {counted(len(broken), 'sequence')} of {total:,} cannot be read"
        return Finding(item, "wrong", message, again, some(broken, 3), {"broken": broken})
    labels = [label for sequence in sequences for label in sequence.labels]
    if labels and not any(label.text for label in labels):
        message = f"all {len(labels):,} labels of {path} are null: BABEL's test.json, under whatever name"
        action = f"take {path.name} from babel_v1.0_release; test labels are withheld and make no pairs"
        return Finding(item, "wrong", message, action)
    published = next((row["sequences"] for row in facts.table("babel")["file"] if row["name"] == path.name), 0)
    edition = ""
    if published and total == published:
        edition = ", as in BABEL v1.0"
    elif published and 0 < published - total <= 11:
        edition = f"; v1.0 has {published:,}, the TEACH edition leaves a few out"
    elif published:
        edition = f"; BABEL v1.0 has {published:,} in {path.name}"
    message = f"{counted(total, 'sequence')}{edition}, {counted(len(labels), 'label')}"
    details = {"sequences": total, "labels": len(labels), "published": published}
    return Finding(item, "ok", message, details=details)


def _files_not_used(folder: Path, config: DataConfig) -> Iterable[Finding]:
    there = [name for name in ("test.json", "extra_train.json", "extra_val.json") if (folder / name).is_file()]
    there = [name for name in there if not (config.pairs.extra and name.startswith("extra_"))]
    if there:
        why = "labels of test are withheld; extra files are used with -o pairs.extra=true"
        message = f"{', '.join(there)}: found, not used ({why})"
        yield Finding("babel.unused", "ok", message, details={"files": there})


# --- what the labels hold ---------------------------------------------------------------------


def _labels(sequences: list[LabelledSequence]) -> list[Finding]:
    """Counts of all irregularities in BABEL's labels; a build handles all of them."""
    counts: Counter[str] = Counter()
    for sequence in sequences:
        counts.update(_odd(sequence))
    if not counts["labels"]:
        message = "no usable label: no sequence has frame labels or exactly one sequence label"
        action = "point --babel at babel_v1.0_release, whose train.json and val.json have labels"
        return [Finding("babel.labels", "wrong", message, action)]
    found = {name: number for name, number in counts.items() if number and name not in ("sequences", "labels")}
    message = f"{counts['frame-labelled sequences']:,} of {counts['sequences']:,} sequences have frame labels"
    lines = [f"{number:,} {name}" for name, number in found.items() if name != "frame-labelled sequences"]
    if lines:
        message += "; " + ", ".join(lines) + ": all handled"
    return [Finding("babel.labels", "ok", message, details=dict(counts))]


def _odd(sequence: LabelledSequence) -> dict[str, int]:
    labels = [label for label in sequence.labels if not label.whole]
    spans = [(label.start_s, label.end_s) for label in labels]
    return {
        "sequences": 1,
        "labels": len(sequence.labels),
        "frame-labelled sequences": int(sequence.from_frames),
        "sequences without a usable label": int(not sequence.labels),
        "null labels": sum(not label.text for label in sequence.labels),
        "labels without category": sum(not label.act_cat for label in sequence.labels),
        "sequences not in order of time": int([x.number for x in labels] != sorted(x.number for x in labels)),
        "sequences with overlapping labels": int(any(b[0] < a[1] - 1e-6 for a, b in pairwise(spans))),
        "labels with the times of another": len(spans) - len(set(spans)),
        "labels ending after the motion": sum(end > sequence.duration_s for _, end in spans),
        "labels under one frame at 30 Hz": sum(end - start < 1 / 30 for start, end in spans),
        "transitions": sum(label.is_transition for label in labels),
    }


def plan_finding(plan: dict[str, Any], condition: str) -> Finding:
    """How many pairs the labels make, as `pairs --dry-run` or the stage counts them."""
    moves = plan["transitions"]
    message = (
        f"{plan['pairs']:,} pairs {condition}, {plan['labels']:,} texts; "
        f"{moves['kept']:,} of {moves['found']:,} transitions have A and B"
    )
    dropped = {"transitions": moves["dropped"], "labels": plan["dropped"]}
    lines = tuple(
        f"{what} dropped: {', '.join(f'{number:,} {reason}' for reason, number in why.items())}"
        for what, why in dropped.items()
        if why
    )
    if plan["pairs"]:
        return Finding("babel.pairs", "ok", message, lines=lines, details=plan)
    action = "see why labels are dropped: ap-data pairs --dry-run --babel DIR"
    return Finding("babel.pairs", "wrong", message, action, lines, plan)
