"""Checks of motions and labels together: which labels find their motion, do lengths agree, do splits share takes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config import DataConfig
from pipeline.doctor.amass import AmassLook
from pipeline.doctor.babel import ONE_EDITION, BabelLook, plan_finding
from pipeline.doctor.datasets import is_known
from pipeline.doctor.finding import Finding, Verdict, counted, some
from pipeline.engine.manifest import MotionRow
from pipeline.engine.runner import attempt
from pipeline.sources import facts
from pipeline.sources.babel import LabelledSequence
from pipeline.sources.feat_p import motion_at, motions_by_path
from pipeline.stages.pairs import pair_items, pairs_context, pairs_one

MANY = 0.05
"""Above this share of lengths that disagree with BABEL, the motions are of another edition or resampled."""


@dataclass(kw_only=True)
class Join:
    """Which motion each labelled sequence means, and what the stage `pairs` makes of those that were read."""

    found: dict[str, MotionRow] = field(default_factory=dict)
    split: dict[str, str] = field(default_factory=dict)
    unresolved: list[str] = field(default_factory=list)
    renamed: int = 0
    failures: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))


def wanted_datasets(sequences: Iterable[LabelledSequence]) -> dict[str, tuple[int, int]]:
    """Canonical dataset → labelled sequences in train and val, from the label files."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for feat_p, split in {(sequence.feat_p, sequence.split) for sequence in sequences}:
        counts[_dataset(feat_p)][split] += 1
    return {name: (splits["train"], splits["val"]) for name, splits in sorted(counts.items())}


def known_datasets() -> dict[str, tuple[int, int]]:
    """The same from the tables, when no label files are given."""
    return {row["canonical"]: (row["dense"][0], row["dense"][1]) for row in facts.table("amass")["dataset"]}


def _dataset(feat_p: str) -> str:
    """The dataset a `feat_p` is of: our name for it, or the folder's own when the tables do not know it."""
    folder = ("", "", *feat_p.split("/"))[-3]
    return facts.canonical_dataset(folder) if is_known(folder) else folder


def join(amass: AmassLook, babel: BabelLook, folder: Path, config: DataConfig) -> Join:
    """Resolve every sequence, and run the stage `pairs` in memory on those whose motion was read."""
    out = Join()
    known = motions_by_path(amass.motions)
    for sequence in babel.sequences:
        row = motion_at(known, sequence.feat_p)
        if row is None:
            out.unresolved.append(sequence.feat_p)
        elif sequence.feat_p not in out.found:
            out.found[sequence.feat_p] = row
            out.split.setdefault(row.motion_id, sequence.split)
            out.renamed += not sequence.feat_p.endswith(row.source)
    out.unresolved = sorted(set(out.unresolved))
    items = pair_items(folder, config)
    context = pairs_context(config, items, amass.rows)
    for item in items:
        motion = out.found.get(item.data["place"].feat_p)
        if motion is None or not motion.frames:
            continue
        outcome = attempt(pairs_one, item, context, folder)
        if outcome.failure:
            out.failures[outcome.failure[0]].append(outcome.failure[1])
        for table, rows in outcome.rows.items():
            out.rows[table] += rows
    return out


def join_findings(joined: Join, amass: AmassLook, babel: BabelLook, *, drop: bool) -> list[Finding]:
    """`babel.motions`, `.lengths`, `.splits`, `.pairs`, `.repeats`; with `drop` a build leaves copies out."""
    findings = [_coverage(joined, amass, babel), *_lengths(joined), *_other_failures(joined)]
    findings += _known_copies(joined, drop)
    if joined.found and not amass.unread:
        findings.append(plan_finding(_plan(joined), "from the motions that are here"))
    return findings


def _coverage(joined: Join, amass: AmassLook, babel: BabelLook) -> Finding:
    total = len(joined.found) + len(joined.unresolved)
    per_set: dict[str, Counter[str]] = defaultdict(Counter)
    for feat_p in joined.found:
        per_set[_dataset(feat_p)]["found"] += 1
    for feat_p in joined.unresolved:
        per_set[_dataset(feat_p)]["missing"] += 1
    details = {
        "sequences": total,
        "found": len(joined.found),
        "unresolved": joined.unresolved,
        "under_another_name": joined.renamed,
        "datasets": {name: {"found": c["found"], "missing": c["missing"]} for name, c in sorted(per_set.items())},
    }
    also = f"; {joined.renamed:,} under names of another generation" if joined.renamed else ""
    message = f"{len(joined.found):,} of {total:,} labelled motions are here{also}"
    if not joined.unresolved:
        return Finding("babel.motions", "ok", message, details=details)
    if not joined.found:
        message += f": BABEL names {joined.unresolved[0]}, for example, and AMASS holds {amass.motions[0].source}"
        action = "point --amass and --babel at data that belong together"
        return Finding("babel.motions", "wrong", message, action, some(joined.unresolved, 3), details)
    inside = [path for path in joined.unresolved if per_set[_dataset(path)]["found"]]
    gaps = [f"{name}: {c['found']:,} here, {c['missing']:,} not" for name, c in sorted(per_set.items()) if c["missing"]]
    action = "add the datasets named under amass.datasets, or build without them: their labels are skipped"
    if inside:
        name = max(per_set, key=lambda name: per_set[name]["missing"] if per_set[name]["found"] else 0)
        action = f"unpack {name} again if files are missing by accident; a build skips these labels"
    lines = (*some(gaps), *some(f"not here: {path}" for path in inside))
    return Finding("babel.motions", "warning", message, action, lines, details)


def _lengths(joined: Join) -> list[Finding]:
    wrong = joined.failures.get("length disagrees with BABEL", [])
    compared = sum(row.frames > 0 for row in joined.found.values())
    if not compared:
        return []
    if not wrong:
        return [Finding("babel.lengths", "ok", f"the lengths of {counted(compared, 'motion')} agree with BABEL")]
    message = f"{len(wrong):,} of {counted(compared, 'motion')} disagree with BABEL in length"
    verdict: Verdict = "warning"
    action = "nothing, if it is only these few: a build drops and lists them"
    if len(wrong) > MANY * compared:
        verdict, action = "wrong", "download these as 'SMPL+H G': this is another edition, or resampled"
    return [Finding("babel.lengths", verdict, message, action, some(wrong, 5), {"files": wrong})]


def _other_failures(joined: Join) -> list[Finding]:
    findings = []
    for reason, messages in sorted(joined.failures.items()):
        if reason == "length disagrees with BABEL":
            continue
        item, action = "babel.sequences", "download babel_v1.0_release again"
        if reason == "motion in two splits":
            item, action = "babel.splits", ONE_EDITION
        message = f"{counted(len(messages), 'sequence')}: {reason}"
        details = {"reason": reason, "sequences": messages}
        findings.append(Finding(item, "wrong", message, action, some(messages, 5), details))
    return findings


def _plan(joined: Join) -> dict[str, Any]:
    """The counts of `plan_from_json`, of what the stage made."""
    verdicts = Counter(row["verdict"] for row in joined.rows["transitions"])
    kept = verdicts.pop("kept", 0)
    return {
        "pairs": len(joined.rows["pairs"]),
        "clips": len(joined.rows["clips"]),
        "labels": len({row["text"] for row in joined.rows["pairs"]}),
        "kinds": dict(Counter(row["kind"] for row in joined.rows["pairs"])),
        "transitions": {"found": kept + verdicts.total(), "kept": kept, "dropped": dict(sorted(verdicts.items()))},
        "dropped": dict(sorted(Counter(row["reason"] for row in joined.rows["dropped"]).items())),
        "splits": dict(Counter(row["split"] for row in joined.rows["pairs"])),
    }


# --- takes that are there twice ---------------------------------------------------------------


def _known_copies(joined: Join, drop: bool) -> list[Finding]:
    """Subjects that the tables know to hold the same takes, when train has one and val the other."""
    rows = [_between(joined, row) for row in facts.table("amass")["same_takes"]]
    shared = [row for row in rows if row["straddle"]]
    if not shared:
        return []
    lines = [f"{row['dataset']} {' = '.join(row['subjects'])}: {row['straddle']:,} takes" for row in shared]
    total = sum(row["straddle"] for row in shared)
    message = f"{counted(total, 'take')} of equal length in both train and val, under two subject numbers"
    return [_in_both("babel.repeats", message, some(lines), {"pairs": shared}, drop=drop)]


def _between(joined: Join, known: Mapping[str, Any]) -> dict[str, Any]:
    """How many motions of equal length are on both sides of the split, one under each subject."""
    takes: dict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
    for row in joined.found.values():
        same = facts.canonical_dataset(row.dataset) == facts.canonical_dataset(known["dataset"])
        if same and row.frames and row.subject in known["subjects"]:
            takes[row.subject][joined.split[row.motion_id], row.frames] += 1
    a, b = (takes[subject] for subject in known["subjects"])
    straddle = sum(
        min(a[split, frames], b[other, frames]) for split, frames in list(a) for other in {"train", "val"} - {split}
    )
    return {"dataset": known["dataset"], "subjects": known["subjects"], "straddle": straddle}


def copies_between_splits(joined: Join, copies: Iterable[list[str]], *, drop: bool) -> list[Finding]:
    """Of takes with equal poses (`--deep`), those that are labelled in train and in val."""
    across = [ids for ids in copies if len({joined.split[i] for i in ids if i in joined.split}) > 1]
    if not across:
        return []
    message = f"{counted(len(across), 'take')} with the same poses in train and in val"
    lines = some(" = ".join(ids) for ids in across)
    return [_in_both("babel.copies", message, lines, {"copies": across}, drop=drop)]


def _in_both(item: str, message: str, lines: tuple[str, ...], details: dict[str, Any], *, drop: bool) -> Finding:
    """Takes of train that val has too: harmless when the build drops them."""
    if drop:
        return Finding(item, "ok", f"{message}; the copies in train are dropped", lines=lines, details=details)
    action = "build with -o pack.duplicates=drop: the copies in train are dropped, and val is unchanged"
    return Finding(item, "warning", f"{message}: results on val are too optimistic", action, lines, details)
