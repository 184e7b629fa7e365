"""Checks of the AMASS folder: which edition, which datasets under which names, which files cannot be used and why."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from actionpose.errors import UserError
from actionpose.progress import track
from pipeline.doctor.datasets import archives_in, folder_names, overrides, rates, too_deep
from pipeline.doctor.finding import Finding, counted, from_error, listed, some
from pipeline.engine.item import Item, ItemError, Outcome, Rows
from pipeline.engine.manifest import MotionRow
from pipeline.engine.runner import attempt
from pipeline.sources import facts
from pipeline.sources.amass import read_motion
from pipeline.stages.index import index_items, motion_row

QUICK_PER_FOLDER = 2
"""Files of a subject whose headers `--quick` reads."""

_THREADS = 8  # most of the time is spent waiting for a disk

_SITE = "the AMASS site"
_AGAIN = "download {datasets} again as 'SMPL+H G' from " + _SITE + " and unpack it over the old files"
_REASONS: dict[str, tuple[str, str, str]] = {
    "SMPL-X edition": (
        "edition",
        "of the SMPL-X edition (*_stageii.npz, 165 pose columns)",
        "download 'SMPL+H G' of {datasets} from " + _SITE + ": the regressor needs the 6,890 vertices of SMPL+H, and "
        "the two editions store different rates",
    ),
    "damaged": ("damaged", "cut short or not an npz", _AGAIN),
    "not supported": ("packed", "encrypted or packed in another way than numpy does", _AGAIN),
    "a web page": ("web-pages", "a web page saved as .npz: the download needed a login", "log in, then " + _AGAIN),
    "cannot be read": ("unreadable", "not readable", "check the permissions and names of these"),
    "absurd value": ("values", "with positions, turns or shapes that no person has", _AGAIN),
    "wrong width": ("width", "not 156 pose columns wide (SMPL+H: 52 joints x 3)", _AGAIN),
    "not in a dataset folder": (
        "layout",
        "not inside DATASET/SUBJECT/",
        "move the files to DATASET/SUBJECT/NAME_poses.npz under --amass",
    ),
    "same motion twice": (
        "twice",
        "the same dataset, subject and name as another file",
        "delete one of the two copies",
    ),
    "not finite": ("values", "with values that are not finite", _AGAIN),
}
"""Why the index refuses a file → the item, in words, and the next action."""


@dataclass(kw_only=True)
class AmassLook:
    """What was seen of an AMASS folder.

    Attributes:
        root: the folder.
        rows: motions whose headers were read.
        unread: motions known by name only (`--quick`); their frames are 0.
        failures: why files cannot be used → messages that name them.
        skipped: why files are not motions → how many.
        findings: what there is to say.
    """

    root: Path
    rows: list[MotionRow] = field(default_factory=list)
    unread: list[MotionRow] = field(default_factory=list)
    failures: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    skipped: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    @property
    def motions(self) -> list[MotionRow]:
        """All motions, read or not."""
        return [*self.rows, *self.unread]

    @property
    def hours(self) -> float:
        """Length of all motions; of unread ones by their size."""
        read = sum(row.duration_s for row in self.rows) / 3600
        size = sum(row.bytes for row in self.rows)
        return read * (1 + sum(row.bytes for row in self.unread) / size) if size else 0.0


def look_at_amass(root: Path, *, rate_overrides: bool, quick: bool = False, deep: bool = False) -> AmassLook:
    """Read the headers of all files (`quick`: of a few per subject; `deep`: the motions whole).

    Returns:
        What was seen, with its findings: `amass` and `amass.…`.
    """
    look = AmassLook(root=root)
    try:
        if root.is_file():
            raise UserError(f"{root} is a file, not a folder", "give the folder into which the archives were unpacked")
        items = index_items(root)
    except UserError as error:
        look.findings.append(_nothing_there(root, error))
        return look
    chosen, unread = _sample(items) if quick else (items, [])
    look.unread = [_unread_row(item) for item in unread]
    for outcome in _outcomes(root, chosen, rate_overrides):
        if outcome.failure:
            look.failures[outcome.failure[0]].append(outcome.failure[1])
        elif outcome.skip:
            look.skipped[outcome.skip[0]] += 1
        else:
            look.rows.append(MotionRow(**outcome.rows["motions"][0]))
    if deep:
        look.findings += _deep(look)
    failures = [_failure(look, reason, messages) for reason, messages in sorted(look.failures.items())]
    look.findings = [*_summary(look, items), *failures, *look.findings]
    if look.rows:
        look.findings += [*too_deep(look.motions), *folder_names(look.motions)]
        look.findings += [rates(look.rows), *overrides(look.rows, rate_overrides)]
    return look


def _outcomes(root: Path, items: list[Item], rate_overrides: bool) -> Iterator[Outcome]:
    def work(item: Item, context: Any, folder: Path) -> Rows:
        return {"motions": [motion_row(item, root, rate_overrides=rate_overrides)]}

    with ThreadPoolExecutor(_THREADS) as pool:
        looks = pool.map(lambda item: attempt(work, item, None, root), items)
        yield from track(looks, "amass", total=len(items), unit="file")


def _sample(items: list[Item]) -> tuple[list[Item], list[Item]]:
    """The first motions of each folder and all that is no motion, by name or for the listing; and the rest, unread."""
    seen: Counter[str] = Counter()
    chosen: list[Item] = []
    rest: list[Item] = []
    for item in items:
        folder, _, name = item.data["source"].rpartition("/")
        known = facts.not_a_motion(name) or not item.data.keys().isdisjoint(("unreadable", "repeats"))
        seen[folder] += not known
        (chosen if known or seen[folder] <= QUICK_PER_FOLDER or "_stageii" in name else rest).append(item)
    return chosen, rest


def _unread_row(item: Item) -> MotionRow:
    parts = ("", "", *item.data["source"].split("/"))
    return MotionRow(
        motion_id=item.id,
        source=item.data["source"],
        dataset=parts[-3],
        subject=parts[-2],
        gender="",
        frames=0,
        fps_stored=0.0,
        fps_true=0.0,
        rate_note="",
        duration_s=0.0,
        betas=0,
        bytes=item.data["bytes"],
        checksum="",
    )


def _nothing_there(root: Path, error: UserError) -> Finding:
    if not root.exists():
        return from_error("amass", error, "missing")
    if (root / "train.json").is_file():
        return Finding("amass", "wrong", f"{root} holds BABEL's labels, not AMASS motions", f"--babel {root}")
    packed = archives_in(root)
    if packed:
        command = f"cd {root} && for a in {' '.join(path.name for path in packed[:3])}; do tar -xf $a; done"
        names = listed([path.name for path in packed])
        return Finding("amass", "wrong", f"{root} holds only packed archives: {names}", f"unpack them: {command}")
    return from_error("amass", error)


def _summary(look: AmassLook, items: list[Item]) -> list[Finding]:
    passed_over = sum(look.skipped.values())
    others = f"; {counted(passed_over, 'other file')} ignored (shape.npz and the like)" if passed_over else ""
    if not look.rows:
        if not look.failures:
            message = f"none of {counted(len(items), '.npz file')} under {look.root} is a motion{others}"
            action = f"download 'SMPL+H G' from {_SITE} and unpack it there: DATASET/SUBJECT/NAME_poses.npz"
            return [Finding("amass", "wrong", message, action)]
        return []
    datasets = Counter(row.dataset for row in look.motions)
    unread = f", {len(look.unread):,} of them by name only (--quick)" if look.unread else ""
    length = f"{look.hours:.1f} h" if look.hours >= 1 else f"{60 * look.hours:.1f} min"
    message = (
        f"{counted(len(look.motions), 'motion')}{unread} in {counted(len(datasets), 'dataset')}, "
        f"{length}, SMPL+H G{others}"
    )
    if unknown := sum(not row.gender for row in look.rows):
        message += f"; {counted(unknown, 'motion')} of no known gender, which keypoints.missing_gender decides on"
    details = {
        "motions": len(look.motions),
        "read": len(look.rows),
        "hours": round(look.hours, 3),
        "datasets": dict(sorted(datasets.items())),
        "genders": dict(Counter(row.gender or "unknown" for row in look.rows)),
        "skipped": dict(look.skipped),
        "edition": "SMPL+H G",
    }
    return [Finding("amass", "ok", message, details=details)]


# --- files that cannot be used ----------------------------------------------------------------


def _failure(look: AmassLook, reason: str, messages: list[str]) -> Finding:
    slug, words, action = _REASONS.get(reason, (reason.lower().replace(" ", "-"), f"refused: {reason}", _AGAIN))
    short = [message.replace(f"{look.root}/", "") for message in messages]
    total = len(look.rows) + sum(map(len, look.failures.values()))
    words = f"{counted(len(messages), 'file')} of {total:,} {'is' if len(messages) == 1 else 'are'} {words}"
    if reason == "not in a dataset folder" and not look.rows:
        parent, what = _better_root(look.root, short)
        words += f": {look.root} is itself {what}"
        action = f"give the folder above it: --amass {parent}"
    if reason == "SMPL-X edition":
        words += f", {_smplx_edition(look.root)}"
    datasets = listed(sorted({text.partition("/")[0] for text in short if "/" in text}) or ["the archive"])
    lines = some((text.partition("; ")[0] for text in short), 3)
    details = {"reason": reason, "files": short}
    return Finding(f"amass.{slug}", "wrong", words, action.format(datasets=datasets), lines, details)


def _better_root(root: Path, messages: list[str]) -> tuple[Path, str]:
    """The folder that should have been given, if no file in it is deep enough."""
    place = root.resolve()
    if any("/" in message.partition(" should stand")[0] for message in messages):
        return place.parent, f"a dataset ({place.name})"
    return place.parent.parent, f"a subject ({place.name})"


def _smplx_edition(root: Path) -> str:
    """G or N, by the bodies next to the motions: those of N are all neutral."""
    genders = {path.name.partition("_")[0] for path in root.glob("*/*/*_stagei.npz")}
    if not genders:
        return "SMPL-X G or N"
    return "SMPL-X N (neutral bodies)" if genders == {"neutral"} else "SMPL-X G (gendered bodies)"


def _deep(look: AmassLook) -> list[Finding]:
    """Read every motion whole: values that are not finite, and copies."""
    copies = defaultdict(list)
    sound = []
    with ThreadPoolExecutor(_THREADS) as pool:
        digests = pool.map(partial(_digest, look.root), look.rows)
        watched = track(digests, "amass, whole", total=len(look.rows), unit="file")
        for row, digest in zip(look.rows, watched, strict=True):
            if isinstance(digest, ItemError):
                look.failures[digest.reason].append(digest.message)
                continue
            copies[digest].append(row.motion_id)
            sound.append(row)
    look.rows = sound
    groups = sorted(ids for ids in copies.values() if len(ids) > 1)
    if not groups:
        return [Finding("amass.copies", "ok", "no two motions have the same poses")]
    message = f"{counted(len(groups), 'take')} are here more than once, with bit-identical poses"
    action = f"keep one copy of each, for example delete {groups[0][-1]}"
    lines = some(" = ".join(ids) for ids in groups)
    return [Finding("amass.copies", "warning", message, action, lines, {"copies": groups})]


def _digest(root: Path, row: MotionRow) -> str | ItemError:
    try:
        return hashlib.sha256(read_motion(root / row.source).poses.tobytes()).hexdigest()
    except ItemError as error:
        return error
