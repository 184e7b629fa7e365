"""Checks of dataset names and frame rates: dataset folders, gaps, rates, known corrections."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.doctor.finding import Finding, counted, listed, some
from pipeline.engine.manifest import MotionRow
from pipeline.sources import facts
from pipeline.sources.feat_p import path_key

ARCHIVES = (".tar.bz2", ".tar.xz", ".tar.gz", ".tgz", ".tar", ".zip")


def archives_in(folder: Path) -> list[Path]:
    """Packed archives in a folder, not unpacked yet."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in entries if path.is_file() and path.name.lower().endswith(ARCHIVES)]


def is_known(folder: str) -> bool:
    """Whether the tables know a dataset of this name, in either generation of names."""
    return facts.canonical_dataset(folder) in {row["canonical"] for row in facts.table("amass")["dataset"]}


def too_deep(rows: Sequence[MotionRow]) -> list[Finding]:
    """Files below a known dataset whose last three parts do not name it."""
    deep = [
        row.source
        for row in rows
        if not is_known(row.dataset) and any(is_known(part) for part in row.source.split("/")[:-3])
    ]
    if not deep:
        return []
    dataset = deep[0].split("/")[-3]
    message = f"{counted(len(deep), 'motion')} are too deep: of {deep[0]} '{dataset}' would be the dataset"
    action = "remove the folder level in between, so that files are at DATASET/SUBJECT/NAME_poses.npz"
    return [Finding("amass.layout", "wrong", message, action, some(deep, 3), {"files": deep})]


# --- names ------------------------------------------------------------------------------------


def folder_names(rows: Sequence[MotionRow]) -> list[Finding]:
    """Dataset folders whose name is not the canonical one, or that exist under two names."""
    folders: dict[str, set[str]] = defaultdict(set)
    takes: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in rows:
        folders[facts.canonical_dataset(row.dataset)].add(row.dataset)
        takes[path_key(row.source)].add(row.dataset)
    twice = {name: sorted(found) for name, found in sorted(folders.items()) if len(found) > 1}
    if twice:
        return [_two_names(twice, takes)]
    other = {folder: name for name, found in sorted(folders.items()) for folder in found if folder != name}
    other = {folder: name for folder, name in other.items() if is_known(folder)}
    if not other:
        return []
    names = ", ".join(f"{folder} = {name}" for folder, name in other.items())
    message = f"folder names of another generation, which is fine: {names}"
    return [Finding("amass.folders", "ok", message, details={"folders": other})]


def _two_names(twice: Mapping[str, list[str]], takes: Mapping[tuple[str, str, str], set[str]]) -> Finding:
    """Datasets that exist under several names: harmless where the folders complete each other, copies where not."""
    both = Counter(key[0] for key, names in takes.items() if len(names) > 1)
    copies = {name: both[facts.canonical_dataset(name)] for name in twice}
    lines = tuple(
        f"{name}: {', '.join(found)}; {counted(copies[name], 'take')} in more than one of them"
        for name, found in twice.items()
    )
    total = sum(copies.values())
    message = f"{counted(len(twice), 'dataset')} under several names: {listed(list(twice))}"
    details = {"twice": dict(twice), "takes_in_both": copies}
    if not total:
        message += "; no take is in two of their folders, so they complete each other"
        return Finding("amass.folders", "ok", message, lines=lines, details=details)
    message += f"; in more than one of their folders: {counted(total, 'take')}"
    action = "delete one copy of each take that is there twice, and keep the others: they are there once"
    return Finding("amass.folders", "warning", message, action, lines, details)


def missing_datasets(rows: Sequence[MotionRow], root: Path, wanted: Mapping[str, tuple[int, int]]) -> Finding:
    """Which of BABEL's datasets are not here, and what they would bring.

    Args:
        rows: the motions that are here.
        root: their folder.
        wanted: canonical dataset → labelled sequences in train and val.
    """
    here = {facts.canonical_dataset(row.dataset) for row in rows}
    absent = {
        name: counts for name, counts in wanted.items() if facts.canonical_dataset(name) not in here and any(counts)
    }
    absent = dict(sorted(absent.items(), key=lambda entry: -entry[1][0] - entry[1][1]))
    details = {"missing": {name: {"train": t, "val": v} for name, (t, v) in absent.items()}}
    if not absent:
        return Finding("amass.datasets", "ok", "every dataset that BABEL labels is here", details=details)
    lost, everything = (sum(train + val for train, val in counts.values()) for counts in (absent, wanted))
    share = 1 - lost / max(1, everything)
    packed = {facts.canonical_dataset(path.name.split(".")[0]): path for path in archives_in(root)}
    first = next(iter(absent))
    action = f"download {listed(list(absent))} as 'SMPL+H G' from the AMASS site and unpack into {root}"
    if not is_known(first):
        action = f"put the folder {first} that the labels name under {root}"
    if (key := facts.canonical_dataset(first)) in packed:
        action = f"unpack {packed[key].name}, which is there: cd {root} && tar -xf {packed[key].name}"
    message = (
        f"{counted(len(absent), 'dataset')} that BABEL labels not here; those here have {share:.0%} of its "
        "train and val sequences"
    )
    lines = some((f"{name}: {t:,} train and {v:,} val sequences" for name, (t, v) in absent.items()), 5)
    return Finding("amass.datasets", "warning", message, action, lines, details)


def rates(rows: Sequence[MotionRow]) -> Finding:
    """How many motions at which stored rate, and rates that the dataset should not have."""
    counts = Counter(round(row.fps_stored, 2) for row in rows)
    rates = ", ".join(f"{rate:g} Hz x {number:,}" for rate, number in counts.most_common())
    known = {row["canonical"]: {rate for rate, _ in row["rates"]} for row in facts.table("amass")["dataset"]}
    odd = [
        f"{row.source}: {row.fps_stored:g} Hz"
        for row in rows
        if (usual := known.get(facts.canonical_dataset(row.dataset)))
        and all(abs(row.fps_stored - rate) > 0.01 for rate in usual)
    ]
    details = {"rates": {f"{rate:g}": number for rate, number in sorted(counts.items())}, "unusual": odd}
    if not odd:
        return Finding("amass.rates", "ok", f"stored rates: {rates}", details=details)
    message = f"{rates}; {counted(len(odd), 'file')} with a rate that its dataset does not have in SMPL+H G"
    action = "compare one with a fresh download: it may be resampled, or of another edition"
    return Finding("amass.rates", "warning", message, action, some(odd, 3), details)


def overrides(rows: Sequence[MotionRow], applied: bool) -> list[Finding]:
    """Stored rates known to be wrong, each with its reason, and whether they will be corrected."""
    known: dict[tuple[str, str, float, float, str], int] = Counter()
    for row in rows:
        rate = facts.overridden_rate(row.dataset, row.subject, row.fps_stored)
        if rate:
            known[row.dataset, row.subject, row.fps_stored, rate.fps, rate.note] += 1
    if not known:
        return []
    table = [
        {"dataset": d, "subject": s, "stored": stored, "true": true, "files": n, "reason": reason}
        for (d, s, stored, true, reason), n in known.items()
    ]
    lines = [f"{r['dataset']}/{r['subject']}: {r['stored']:g} → {r['true']:g} Hz, {r['reason']}" for r in table]
    total = counted(sum(known.values()), "motion")
    details = {"overrides": table}
    if applied:
        message = f"the wrong rate of {total} will be corrected, label times with it"
        return [Finding("amass.overrides", "ok", message, lines=some(lines), details=details)]
    message = f"{total} have a rate known to be wrong, and keypoints.rate_overrides is off"
    action = "leave keypoints.rate_overrides on, unless you corrected the files yourself"
    return [Finding("amass.overrides", "warning", message, action, some(lines), details)]
