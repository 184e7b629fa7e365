"""Is a shard folder what it says it is? Each invariant is one function and one line of `ap-data validate`.

Here: what can be checked with the index, the tables and the manifests, without reading frames. `frames` looks at those.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sized
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from actionpose.errors import UserError
from actionpose.shards import ShardSet
from pipeline.engine.manifest import ROW_TYPES, read_lines
from pipeline.pack.content import TOLERANCE_M, compare, content_rows, read_content
from pipeline.sources import facts
from pipeline.sources.babel import transition_text
from pipeline.validate.benchmark import benchmark_checks
from pipeline.validate.check import Check, judged
from pipeline.validate.frames import deep_checks


class Evidence:
    """A shard folder and its manifests, if it has any."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shards = ShardSet(folder, spans=False)
        self.motions, self.clips, self.pairs = self.shards.motions, self.shards.clips, self.shards.pairs

    @cached_property
    def manifests(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Table → id → row, in the order of the file."""
        files = sorted((self.folder / "manifests").glob("*.jsonl"))
        known = [file for file in files if file.stem in ROW_TYPES]
        return {f.stem: {str(row[ROW_TYPES[f.stem].KEY]): row for _, row in read_lines(f)} for f in known}

    def table(self, name: str) -> dict[str, dict[str, Any]]:
        """A manifest; empty when there is none."""
        return self.manifests.get(name, {})

    @property
    def lengths(self) -> np.ndarray:
        """Frames of each motion."""
        return np.asarray(self.motions["stop"] - self.motions["start"], dtype=np.int64)


def validate(
    folder: Path, *, deep: bool = False, against: Path | None = None, tolerance_m: float = TOLERANCE_M
) -> list[Check]:
    """Every invariant that applies, in the order in which a person would ask.

    Args:
        folder: a shard folder.
        deep: also look at the frames.
        against: another shard folder, or the content.jsonl of one, that should hold the same.
        tolerance_m: see `content.compare`.

    Raises:
        UserError: `folder` is not a shard folder, or `against` cannot be read.
    """
    try:
        evidence = Evidence(folder)
    except UserError as error:
        if not (folder / "index.json").is_file():
            raise
        return [judged("files", [error.message], "the index and every shard it lists can be read")]
    checks = [_checked(check, evidence) for check in SHALLOW]
    if evidence.shards.kind == "motion-text":
        checks += [_checked(check, evidence) for check in LABELLED]
        checks += [_checked(check, evidence) for check in (MANIFESTS if evidence.manifests else ())]
    if any(check.verdict == "broken" and check.name in ("references", "spans") for check in checks):
        return checks  # frames and videos cannot be found where spans lead astray
    if evidence.shards.kind != "motion-text":
        checks += benchmark_checks(evidence.shards, evidence.table("videos"))
    if deep:
        checks += deep_checks(evidence.shards, folder / "manifests" / "content.jsonl")
    if against is not None:
        checks.append(same_content(evidence.shards, against, tolerance_m))
    return checks


def _checked(check: Callable[[Evidence], Check], evidence: Evidence) -> Check:
    """The check's verdict; tables so strange that it cannot even be made are a verdict too."""
    try:
        return check(evidence)
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, UserError) as error:
        what = error.message if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        return judged(check.__name__, [what], "cannot be checked")


# --- index, files, tables ---------------------------------------------------------------------


def files(e: Evidence) -> Check:
    """Every shard is there with its size, its tables have the rows announced, and there are no other files."""
    listed = {row["file"] for row in e.shards.index["shards"]}
    strays = sorted(path.name for path in e.folder.glob("*.h5") if path.name not in listed)
    total = sum(row["bytes"] for row in e.shards.index["shards"])
    return judged("files", [f"{name} is not in the index" for name in strays], f"{len(listed)} files, {total:,} bytes")


def counts(e: Evidence) -> Check:
    """The summary counts what is there."""
    try:
        announced = e.shards.summary
    except UserError as error:
        return judged("counts", [error.message], "the index states its counts")
    labels = Counter(str(text) for text in e.pairs["text"])
    found = {
        "motions": len(e.motions["motion_id"]),
        "clips": len(e.clips["clip_id"]),
        "pairs": len(e.pairs["pair_id"]),
        "frames": int(e.lengths.sum()),
    }
    stated = {name: getattr(announced, name) for name in found}
    wrong = [
        f"{name}: index says {stated[name]}, there are {found[name]}" for name in stated if stated[name] != found[name]
    ]
    if announced.labels != labels:
        wrong.append("labels: the histogram of the index is not that of the pairs")
    if announced.kinds != Counter(map(str, e.pairs["kind"])):
        wrong.append("kinds: the counts of the index are not those of the pairs")
    return judged("counts", wrong, ", ".join(f"{n:,} {name}" for name, n in found.items()) + f", {len(labels):,} texts")


def ids(e: Evidence) -> Check:
    """Ids are unique; manifests are sorted by id."""
    wrong = []
    for table, column in ((e.motions, "motion_id"), (e.clips, "clip_id"), (e.pairs, "pair_id")):
        wrong += [f"{column} {key} twice" for key, n in Counter(map(str, table[column])).items() if n > 1]
    sorted_tables = 0
    for path in sorted((e.folder / "manifests").glob("*.jsonl")):
        if path.stem not in ROW_TYPES or path.stem in ("failures", "skipped"):
            continue  # those of all stages one after the other
        keys = [str(row[ROW_TYPES[path.stem].KEY]) for _, row in read_lines(path)]
        sorted_tables += 1
        wrong += [f"{path.name}: {b} after {a}" for a, b in pairwise(keys) if a >= b]
    number = sum(len(t[c]) for t, c in ((e.motions, "motion_id"), (e.clips, "clip_id"), (e.pairs, "pair_id")))
    return judged("ids", wrong, f"{number:,} ids unique, {sorted_tables} manifests sorted by id")


def references(e: Evidence) -> Check:
    """Pair → clip → motion leads somewhere, in the shards and in the manifests."""
    wrong = [f"pair {e.pairs['pair_id'][n]}: no clip {c}" for n, c in _outside(e.pairs["clip"], e.clips["clip_id"])]
    wrong += [f"clip {e.clips['clip_id'][n]}: no motion {m}" for n, m in _outside(e.clips["motion"], e.lengths)]
    links = len(e.pairs["clip"]) + len(e.clips["motion"])
    for table, column, target in (
        ("pairs", "clip_id", "clips"),
        ("clips", "motion_id", "motions"),
        ("keypoints", "motion_id", "motions"),
        ("views", "motion_id", "motions"),
    ):
        rows = e.table(table)
        links += len(rows)
        wrong += [f"{table} {k}: no {target} {r[column]}" for k, r in rows.items() if r[column] not in e.table(target)]
    return judged("references", wrong, f"{links:,} references lead somewhere")


def _outside(column: Any, target: Sized) -> list[tuple[int, int]]:
    return [(n, int(value)) for n, value in enumerate(column) if not 0 <= value < len(target)]


def spans(e: Evidence) -> Check:
    """Motions fill their shard without gaps; clips lie inside motions, their gaps inside clips."""
    wrong = []
    expected: dict[int, int] = defaultdict(int)
    for number, motion_id in enumerate(e.motions["motion_id"]):
        shard, start, stop = (int(e.motions[name][number]) for name in ("shard", "start", "stop"))
        if start != expected[shard] or stop <= start:
            wrong.append(f"motion {motion_id}: [{start}, {stop})")
        expected[shard] = stop
    for number, row in enumerate(e.shards.index["shards"]):
        if expected[number] != row["frames"]:
            wrong.append(f"{row['file']}: motions end at {expected[number]}, {row['frames']} frames")
    for number, clip_id in enumerate(e.clips["clip_id"]):
        start, stop, a, b, motion = (
            int(e.clips[name][number]) for name in ("start", "stop", "gap_start", "gap_stop", "motion")
        )
        length = int(e.lengths[motion]) if 0 <= motion < len(e.lengths) else 0
        if not 0 <= start < stop <= length:
            wrong.append(f"clip {clip_id}: [{start}, {stop}) of {length}")
        elif a != b and not 0 < a < b < stop - start:
            wrong.append(f"clip {clip_id}: gap [{a}, {b}) of {stop - start}")
    return judged("spans", wrong, f"{len(e.clips['clip_id']):,} clips inside {len(e.lengths):,} motions")


def splits(e: Evidence) -> Check:
    """Every motion is in the split of its shard, and in no other."""
    stated = {row["file"]: row["split"] for row in e.shards.index["shards"]}
    names = [row["file"] for row in e.shards.index["shards"]]
    wrong = [
        f"motion {motion_id}: {split} in {names[shard]}"
        for motion_id, split, shard in zip(e.motions["motion_id"], e.motions["split"], e.motions["shard"], strict=True)
        if stated[names[shard]] != split
    ]
    in_splits: dict[str, set[str]] = defaultdict(set)
    for clip in e.table("clips").values():
        in_splits[clip["motion_id"]].add(clip["split"])
    wrong += [f"motion {m}: clips in {' and '.join(sorted(s))}" for m, s in in_splits.items() if len(s) > 1]
    wrong += [
        f"pair {key}: {pair['split']}, its clip {e.table('clips')[pair['clip_id']]['split']}"
        for key, pair in e.table("pairs").items()
        if pair["split"] != e.table("clips").get(pair["clip_id"], pair)["split"]
    ]
    shares = Counter(map(str, e.motions["split"]))
    return judged("splits", wrong, ", ".join(f"{n:,} motions in {name}" for name, n in sorted(shares.items())))


def rates(e: Evidence) -> Check:
    """One rate for all, and a reason wherever the rate used is not the one stored."""
    wrong = [] if 1 <= e.shards.fps <= 240 else [f"index: {e.shards.fps:g} Hz"]
    wrong += [f"{k}: {row['fps']:g} Hz" for k, row in e.table("keypoints").items() if row["fps"] != e.shards.fps]
    for motion_id, stored, true in zip(
        e.motions["motion_id"], e.motions["fps_stored"], e.motions["fps_true"], strict=True
    ):
        note = e.table("motions").get(str(motion_id), {}).get("rate_note", "")
        unexplained = abs(true - stored) > 0.01 * stored and e.table("motions") and not note
        if not (stored > 0 and true > 0) or unexplained:
            wrong.append(f"motion {motion_id}: {stored:g} Hz used as {true:g} Hz without a reason")
    corrected = int(np.sum(np.abs(e.motions["fps_true"] - e.motions["fps_stored"]) > 0.01 * e.motions["fps_stored"]))
    return judged("rates", wrong, f"all {e.shards.fps:g} Hz; {corrected:,} stored rates corrected with a reason")


# --- labels -----------------------------------------------------------------------------------


def _pair_rows(e: Evidence) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, pair_id in enumerate(e.pairs["pair_id"]):
        yield str(pair_id), {name: column[number] for name, column in e.pairs.items()}


def texts(e: Evidence) -> Check:
    """No text is empty, none is a bare `transition`; a transition says its A and B, others have none."""
    wrong = []
    for key, pair in _pair_rows(e):
        text, a, b = pair["text"], pair["text_a"], pair["text_b"]
        is_transition = pair["kind"] == "transition"
        want = transition_text(a, b) if is_transition else text
        if not text.strip() or text == "transition" or text != want or bool(a or b) != is_transition:
            wrong.append(f"pair {key}: '{text}'")
    number = Counter(map(str, e.pairs["kind"]))["transition"]
    return judged("texts", wrong, f"{len(e.pairs['text']):,} texts, none a bare 'transition'; {number:,} name A and B")


def borders(e: Evidence) -> Check:
    """A transition ends A and starts B inside its clip; other kinds have no borders."""
    wrong = []
    for key, pair in _pair_rows(e):
        a, b = int(pair["border_a"]), int(pair["border_b"])
        if not 0 <= pair["clip"] < len(e.clips["clip_id"]):
            continue  # reported under references
        length = int(e.clips["stop"][pair["clip"]] - e.clips["start"][pair["clip"]])
        inside = 0 < a <= length and 0 <= b < length
        if not (inside if pair["kind"] == "transition" else a == b == 0):
            wrong.append(f"pair {key}: A ends at {a}, B starts at {b} of {length}")
    return judged("borders", wrong, "A ends and B starts inside every transition")


def concurrent(e: Evidence) -> Check:
    """No pair lists its own text as concurrent; a transition lists its A and B."""
    wrong = []
    for key, pair in _pair_rows(e):
        others = set(pair["concurrent"])
        missing = {pair["text_a"], pair["text_b"]} - {"", pair["text"]} - others
        if pair["text"] in others or missing or "" in others:
            wrong.append(f"pair {key}: '{pair['text']}' with {sorted(others)}")
    number = sum(bool(others) for others in e.pairs["concurrent"])
    return judged("concurrent", wrong, f"{number:,} pairs with texts of the same time, never their own")


def headings(e: Evidence) -> Check:
    """Headings are angles, the same in shards and manifests."""
    wrong = []
    for name, table, key in (("motion", e.motions, "motion_id"), ("clip", e.clips, "clip_id")):
        for row_id, heading in zip(table[key], table["heading"], strict=True):
            stated = e.table("views").get(str(row_id), {"heading": heading})["heading"]
            if not abs(heading) <= math.pi + 1e-6 or stated != heading:
                wrong.append(f"{name} {row_id}: {heading:g}, manifest {stated:g}")
    return judged("headings", wrong, f"{len(e.clips['heading']) + len(e.motions['heading']):,} headings are angles")


# --- shards and manifests agree ----------------------------------------------------------------


def agreement(e: Evidence) -> Check:
    """Every row of the shards is the row of the manifest."""
    wrong = []
    shared = {"clips": ("kind", "start", "stop", "gap_start", "gap_stop"), "motions": ("dataset", "subject", "source")}
    shared["pairs"] = ("kind", "text", "raw", "text_a", "text_b", "border_a", "border_b", "act_cat", "concurrent")
    for name, columns in shared.items():
        table, key = getattr(e, name), ROW_TYPES[name].KEY
        for number, row_id in enumerate(table[key]):
            row = e.table(name).get(str(row_id))
            differ = [c for c in columns if row is not None and row[c] != table[c][number]]
            if row is None or differ:
                wrong.append(f"{name} {row_id}: " + (", ".join(differ) or "not in the manifest"))
    total = sum(len(t) for t in (e.motions["motion_id"], e.clips["clip_id"], e.pairs["pair_id"]))
    return judged("agreement", wrong, f"{total:,} rows of the shards are those of the manifests")


def lengths(e: Evidence) -> Check:
    """Frames at the target rate are what the source's frames and rate make; seconds are frames over rate."""
    wrong = []
    number = {str(motion_id): n for n, motion_id in enumerate(e.motions["motion_id"])}
    for motion_id, row in e.table("motions").items():
        want = math.floor((row["frames"] - 1) / row["fps_true"] * e.shards.fps + 1e-6) + 1
        stated = e.table("keypoints").get(motion_id, {"frames": want})["frames"]
        have = int(e.lengths[number[motion_id]]) if motion_id in number else stated
        if not want == stated == have:
            wrong.append(f"motion {motion_id}: {have} frames, {row['frames']} at {row['fps_true']:g} Hz make {want}")
    for key, row in e.table("clips").items():
        if any(abs(row[f"{side}_s"] - row[side] / e.shards.fps) > 2e-6 for side in ("start", "stop")):
            wrong.append(f"clip {key}: seconds and frames disagree")
    return judged("lengths", wrong, f"{len(e.table('motions')):,} motions last as long as their source says")


def verdicts(e: Evidence) -> Check:
    """Every pair is in the shards or has a reason not to be; every rejection has its reason."""
    packed = set(map(str, e.pairs["pair_id"]))
    dropped = e.table("dropped")
    wrong = [f"pair {key}: in the shards, though dropped.jsonl says why it is not" for key in packed & dropped.keys()]
    for key, pair in e.table("pairs").items():
        motion = e.table("clips").get(pair["clip_id"], {}).get("motion_id", "")
        if key not in packed and motion in e.table("keypoints") and key not in dropped:
            wrong.append(f"pair {key}: not in the shards, and nothing says why")
    rejections = 0
    for table in ("dropped", "failures", "skipped", "transitions"):
        column = "verdict" if table == "transitions" else "reason"
        rejections += sum(row[column] != "kept" for row in e.table(table).values())
        wrong += [f"{table} {key}: no reason" for key, row in e.table(table).items() if not row[column]]
    return judged("verdicts", wrong, f"{len(packed):,} pairs kept, {rejections:,} rejections each with a reason")


def copies(e: Evidence) -> Check:
    """No take is in train and in val under two ids (a warning: BABEL's own split may do so)."""
    rows = [row for row in e.table("duplicates").values() if not row["dropped"]]
    wrong = [f"{row['duplicate_id']}" for row in rows if row["straddles"]]
    stated = f"no take is in train and in val; {len(rows):,} copies in all"
    if "duplicates" not in e.manifests:
        wrong, stated = known_copies(e), "no known pair of subjects is in train and in val"
    return judged("copies", wrong, stated, otherwise="warning")


def known_copies(e: Evidence) -> list[str]:
    """Pairs of subjects that manifests/amass.toml knows to be the same takes, in train and in val."""
    at: dict[tuple[str, str], set[str]] = defaultdict(set)
    for dataset, subject, split in zip(e.motions["dataset"], e.motions["subject"], e.motions["split"], strict=True):
        at[facts.canonical_dataset(str(dataset)), str(subject)].add(str(split))
    found = []
    for row in facts.table("amass")["same_takes"]:
        here = [at.get((facts.canonical_dataset(row["dataset"]), subject), set()) for subject in row["subjects"]]
        if all(here) and len(set().union(*here)) > 1:
            found.append(f"{row['dataset']} {' and '.join(row['subjects'])}: {row['reason']}")
    return found


SHALLOW: tuple[Callable[[Evidence], Check], ...] = (files, counts, ids, references, spans, splits, rates)
LABELLED: tuple[Callable[[Evidence], Check], ...] = (texts, borders, concurrent, headings, copies)
MANIFESTS: tuple[Callable[[Evidence], Check], ...] = (agreement, lengths, verdicts)


def same_content(shards: ShardSet, other: Path, tolerance_m: float = TOLERANCE_M) -> Check:
    """Whether another data set, or what its content.jsonl says of it, holds the same motions and labels."""
    found = compare(content_rows(shards), read_content(other), tolerance_m)
    wrong: Iterable[str] = [
        *(f"{motion}: {why}" for motion, why in found.differ.items()),
        *(f"{motion}: only here" for motion in found.only_a),
        *(f"{motion}: only there" for motion in found.only_b),
    ]
    return judged(
        "against",
        wrong,
        f"{found.same:,} motions the same within {tolerance_m * 1000:g} mm (largest {found.largest_m * 1000:.2g} mm), "
        "and so are their labels",
    )
