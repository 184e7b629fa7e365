"""Labels and motions become clips and pairs, every dropped label with its reason. Stage *pairs*."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from actionpose.files import sha256_file
from pipeline import tables
from pipeline.babel import (
    Label,
    LabelledSequence,
    after,
    babel_files,
    before,
    entry_places,
    parse_sequence,
    read_entry,
    read_file,
    transition_text,
)
from pipeline.config import DataConfig, PairConfig
from pipeline.manifest import ClipRow, DropRow, MotionRow, PairRow, TransitionRow
from pipeline.stage import Item, ItemError, Rows, Skip, Stage

CONCURRENT_SHARE = 0.5
"""Two labels are concurrent when they share at least this much of the shorter one."""


# --- from feat_p to a motion ------------------------------------------------------------------


def path_key(path: str) -> tuple[str, str, str]:
    """(dataset, subject, name) of a path in a form in which both generations of names agree.

    Measured by the reference on all 12,660 paths that BABEL knows: no two collide.
    """
    parts = path.split("/")
    dataset, subject, name = parts[-3:] if len(parts) >= 3 else ("", "", parts[-1])
    stem = name.removesuffix(".npz").removesuffix("_poses").removesuffix("_stageii")
    return tables.canonical_dataset(dataset), subject.lower().replace(" ", "_"), stem.lower().replace(" ", "_")


@dataclass(frozen=True, slots=True)
class Timing:
    """What labels need to know of a motion; columns of `MotionRow`. Held for every motion, so kept small."""

    motion_id: str
    source: str
    frames: int
    fps_stored: float
    fps_true: float


class HasSource(Protocol):
    """Anything that knows its path under the AMASS root."""

    @property
    def source(self) -> str:
        """Relative path, with slashes."""


M = TypeVar("M", bound=HasSource)


class Resolver(Generic[M]):
    """Finds the motion that a BABEL `feat_p` means: verbatim, without its first part, or by `path_key`."""

    def __init__(self, motions: Iterable[M]) -> None:
        self._by_source: dict[str, M] = {}
        self._by_key: dict[str, M] = {}
        for row in motions:
            self._by_source[row.source] = row
            self._by_key.setdefault("/".join(path_key(row.source)), row)

    def find(self, feat_p: str) -> M | None:
        """The motion, or None."""
        for path in (feat_p, feat_p.partition("/")[2]):
            if path in self._by_source:
                return self._by_source[path]
        return self._by_key.get("/".join(path_key(feat_p)))


# --- one sequence -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Clock:
    """From BABEL's seconds to frames of the product.

    BABEL's annotators watched the motion at its stored rate; where that rate is known to be wrong, true time is
    `stretch` times theirs.
    """

    fps: float
    frames: int
    stretch: float = 1.0

    def span(self, start_s: float, end_s: float) -> tuple[int, int]:
        """[start, stop) in frames: both ends rounded, clamped to the motion."""
        start = min(max(round(start_s * self.stretch * self.fps), 0), self.frames)
        stop = min(max(round(end_s * self.stretch * self.fps), 0), self.frames)
        return start, stop


@dataclass
class Plan:
    """What one or many sequences become."""

    clips: dict[str, ClipRow] = field(default_factory=dict)
    pairs: list[PairRow] = field(default_factory=list)
    transitions: list[TransitionRow] = field(default_factory=list)
    dropped: list[DropRow] = field(default_factory=list)


@dataclass(frozen=True)
class _Draft:
    """A pair before it knows its neighbours."""

    number: str
    kind: str
    text: str
    raw: str
    act_cat: tuple[str, ...]
    start: int
    stop: int
    seg_ids: tuple[str, ...]
    text_a: str = ""
    text_b: str = ""
    end_a: int = 0
    start_b: int = 0


def plan_sequence(sequence: LabelledSequence, motion_id: str, clock: Clock, config: PairConfig) -> Plan:
    """Clips, pairs, transitions and dropped labels of one sequence."""
    plan = Plan()
    drafts = []
    for label in sequence.labels:
        if label.is_transition:
            draft = _transition(sequence, label, clock, config, plan)
        else:
            draft = _segment(sequence, label, clock, config, plan)
        if draft is not None:
            drafts.append(draft)
    if sequence.note:
        plan.dropped.append(_drop(sequence, "seq", "", 0.0, sequence.duration_s, sequence.note))
    active = _active(sequence, drafts, clock)
    for draft in drafts:
        clip = _clip(draft, sequence, motion_id, clock, config)
        plan.clips.setdefault(clip.clip_id, clip)
        plan.pairs.append(_pair(draft, clip, sequence, active, config))
    return plan


def _segment(sequence: LabelledSequence, label: Label, clock: Clock, config: PairConfig, plan: Plan) -> _Draft | None:
    start, stop = (0, clock.frames) if label.whole else clock.span(label.start_s, label.end_s)
    reason = _why_not(label, start, stop, config)
    if reason:
        plan.dropped.append(_drop(sequence, str(label.number), label.text, label.start_s, label.end_s, reason))
        return None
    kind = "sequence" if label.whole else "segment"
    return _Draft(str(label.number), kind, label.text, label.raw, label.act_cat, start, stop, (label.seg_id,))


def _why_not(label: Label, start: int, stop: int, config: PairConfig) -> str:
    if not label.text:
        return "label is null or empty"
    if label.text in config.exclude_labels:
        return "label excluded"
    if stop - start < config.min_frames:
        return f"shorter than {config.min_frames} frames"
    return ""


def _transition(
    sequence: LabelledSequence, label: Label, clock: Clock, config: PairConfig, plan: Plan
) -> _Draft | None:
    usable = [other for other in sequence.labels if other.text and other.text not in config.exclude_labels]
    a_side, b_side = before(label, usable, config.tolerance_s), after(label, usable, config.tolerance_s)
    verdict, draft = _judge(sequence, label, a_side, b_side, clock, config)
    row = TransitionRow(
        transition_id=f"{sequence.sid}:{label.number:04d}",
        babel_sid=sequence.sid,
        start_s=label.start_s,
        stop_s=label.end_s,
        verdict=verdict,
        text=draft.text if draft else "",
        candidates_a=[other.text for other in a_side],
        candidates_b=[other.text for other in b_side],
    )
    plan.transitions.append(row)
    return draft


def _judge(
    sequence: LabelledSequence,
    label: Label,
    a_side: Sequence[Label],
    b_side: Sequence[Label],
    clock: Clock,
    config: PairConfig,
) -> tuple[str, _Draft | None]:
    if config.transition == "skip":
        return "transitions skipped", None
    if not a_side or not b_side:
        return _missing_side(sequence, label, bool(a_side), bool(b_side)), None
    a, b = a_side[0], b_side[0]
    spans = clock.span(a.start_s, a.end_s), clock.span(b.start_s, b.end_s)
    if min(stop - start for start, stop in spans) < config.min_side_frames:
        return f"a side under {config.min_side_frames} frames", None
    (start, end_a), (start_b, stop) = spans
    if stop - start < config.min_frames:
        return f"shorter than {config.min_frames} frames", None
    draft = _Draft(
        number=f"{label.number:04d}",
        kind="transition",
        text=transition_text(a.text, b.text),
        raw=label.raw,
        act_cat=tuple(dict.fromkeys((*a.act_cat, *b.act_cat))),
        start=start,
        stop=stop,
        seg_ids=(a.seg_id, label.seg_id, b.seg_id),
        text_a=a.text,
        text_b=b.text,
        end_a=end_a,
        start_b=start_b,
    )
    return "kept", draft


def _missing_side(sequence: LabelledSequence, label: Label, has_a: bool, has_b: bool) -> str:
    first = min(other.start_s for other in sequence.labels)
    last = max(other.end_s for other in sequence.labels)
    if not has_a and not has_b:
        return "no label before and none after"
    if not has_a:
        return "opens the sequence" if label.start_s <= first else "no label before"
    return "closes the sequence" if label.end_s >= last else "no label after"


def _active(sequence: LabelledSequence, drafts: Sequence[_Draft], clock: Clock) -> list[tuple[str, int, int]]:
    """Everything that is said about the motion and when: kept pairs, and labels too short to be pairs."""
    spans = {(d.text, d.start, d.stop) for d in drafts}
    for label in sequence.labels:
        if label.text and not label.is_transition and not label.whole:
            spans.add((label.text, *clock.span(label.start_s, label.end_s)))
    return sorted(spans)


def _clip(draft: _Draft, sequence: LabelledSequence, motion_id: str, clock: Clock, config: PairConfig) -> ClipRow:
    cut = config.transition == "cut" and draft.kind == "transition" and draft.start_b > draft.end_a
    gap = (draft.end_a, draft.start_b) if cut else (draft.start, draft.start)
    name = f"{motion_id}#{draft.start:06d}-{draft.stop:06d}"
    return ClipRow(
        clip_id=f"{name}-without-{gap[0]:06d}-{gap[1]:06d}" if cut else name,
        motion_id=motion_id,
        split=sequence.split,
        kind=draft.kind,
        start=draft.start,
        stop=draft.stop,
        gap_start=gap[0] - draft.start,
        gap_stop=gap[1] - draft.start,
        start_s=round(draft.start / clock.fps, 6),
        stop_s=round(draft.stop / clock.fps, 6),
    )


def _pair(
    draft: _Draft,
    clip: ClipRow,
    sequence: LabelledSequence,
    active: Sequence[tuple[str, int, int]],
    config: PairConfig,
) -> PairRow:
    length = draft.stop - draft.start
    concurrent = set()
    for text, start, stop in active:
        shared = min(stop, draft.stop) - max(start, draft.start)
        if text != draft.text and shared > 0 and shared >= CONCURRENT_SHARE * min(length, stop - start):
            concurrent.add(text)
    concurrent |= {draft.text_a, draft.text_b} - {"", draft.text}
    border_a, border_b = (draft.end_a - draft.start, draft.start_b - draft.start) if draft.text_a else (0, 0)
    return PairRow(
        pair_id=f"{sequence.sid}:{draft.kind[0]}{draft.number:0>4}",
        clip_id=clip.clip_id,
        split=sequence.split,
        kind=draft.kind,
        text=draft.text,
        raw=draft.raw,
        act_cat=list(draft.act_cat),
        text_a=draft.text_a,
        text_b=draft.text_b,
        border_a=border_a,
        border_b=border_b,
        concurrent=sorted(concurrent),
        babel_sid=sequence.sid,
        seg_ids=list(draft.seg_ids),
    )


def _drop(sequence: LabelledSequence, number: str, text: str, start_s: float, stop_s: float, reason: str) -> DropRow:
    return DropRow(
        drop_id=f"{sequence.sid}:{number:0>4}",
        babel_sid=sequence.sid,
        text=text,
        start_s=start_s,
        stop_s=stop_s,
        reason=reason,
    )


# --- the plan alone, from the JSON ------------------------------------------------------------


def plan_from_json(folder: Path, config: DataConfig) -> dict[str, Any]:
    """What the labels would become if every motion were there: counts per split and in all.

    Needs no AMASS. Lengths are `floor(dur x fps)`, at BABEL's own clock.

    Returns:
        {sequences, segments, sequence_labels, pairs, clips, labels, transitions: {found, kept, dropped: {reason: n}},
        dropped: {reason: n}, kinds, hours, splits: {split: the same}, top_labels}.
    """
    splits: dict[str, dict[str, Any]] = {}
    everything: list[tuple[LabelledSequence, Plan]] = []
    for split, path in babel_files(folder, config.pairs):
        planned = []
        for sid, entry in read_file(path).items():
            for sequence in parse_sequence(sid, split, entry, config.pairs):
                clock = Clock(config.keypoints.fps, math.floor(sequence.duration_s * config.keypoints.fps))
                planned.append((sequence, plan_sequence(sequence, sequence.feat_p, clock, config.pairs)))
        everything += planned
        splits[split] = _summary(planned)
    total = _summary(everything)
    texts = Counter(pair.text for _, plan in everything for pair in plan.pairs)
    return {**total, "splits": splits, "top_labels": dict(texts.most_common(30))}


def _summary(planned: Sequence[tuple[LabelledSequence, Plan]]) -> dict[str, Any]:
    plans = [plan for _, plan in planned]
    kinds = Counter(pair.kind for plan in plans for pair in plan.pairs)
    verdicts = Counter(row.verdict for plan in plans for row in plan.transitions)
    kept = verdicts.pop("kept", 0)
    clips = {clip.clip_id for plan in plans for clip in plan.clips.values()}
    return {
        "sequences": len({sequence.sid for sequence, _ in planned}),
        "segments": kinds["segment"],
        "sequence_labels": kinds["sequence"],
        "pairs": kinds.total(),
        "clips": len(clips),
        "labels": len({pair.text for plan in plans for pair in plan.pairs}),
        "transitions": {"found": kept + verdicts.total(), "kept": kept, "dropped": dict(sorted(verdicts.items()))},
        "dropped": dict(sorted(Counter(row.reason for plan in plans for row in plan.dropped).items())),
        "hours": round(sum(sequence.duration_s for sequence, _ in planned) / 3600, 4),
    }


# --- stage pairs ------------------------------------------------------------------------------


def pair_items(folder: Path, config: DataConfig) -> list[Item]:
    """One item per BABEL sequence: where it stands in its file, not what it says."""
    items = []
    for split, path in babel_files(folder, config.pairs):
        file = str(path)
        for sid, place in entry_places(path).items():
            items.append(Item(f"{split}/{path.stem}/{sid}", {"split": split, "sid": sid, "file": file, "place": place}))
    return items


def entry_of(item: Item) -> dict[str, Any]:
    """The annotation that an item is about."""
    return read_entry(Path(item.data["file"]), item.data["place"])


def pairs_one(item: Item, context: dict[str, Any], folder: Path) -> Rows:
    """Plan one sequence with the true length of its motion."""
    config: PairConfig = context["config"]
    sequences = list(parse_sequence(item.data["sid"], item.data["split"], entry_of(item), config))
    feat_p = sequences[0].feat_p
    motion: Timing | None = context["resolver"].find(feat_p)
    if motion is None:
        raise Skip("motion not found", f"{feat_p} is not in the index: its dataset is not unpacked, or was refused")
    if context["owner"].setdefault(motion.motion_id, item.data["split"]) != item.data["split"]:
        raise ItemError(
            "motion in two splits", f"{motion.motion_id} is already in {context['owner'][motion.motion_id]}"
        )
    stored_s = motion.frames / motion.fps_stored
    if abs(stored_s - sequences[0].duration_s) > config.duration_tolerance_s:
        raise ItemError(
            "length disagrees with BABEL",
            f"{motion.motion_id}: {motion.frames} frames at {motion.fps_stored:g} Hz are {stored_s:.2f} s, "
            f"BABEL says {sequences[0].duration_s:.2f} s: another edition, or a wrong rate",
        )
    fps = context["fps"]
    frames = math.floor((motion.frames - 1) / motion.fps_true * fps + 1e-6) + 1
    clock = Clock(fps, frames, stretch=motion.fps_stored / motion.fps_true)
    plans = [plan_sequence(sequence, motion.motion_id, clock, config) for sequence in sequences]
    return {
        "clips": list({clip.clip_id: clip for plan in plans for clip in plan.clips.values()}.values()),
        "pairs": _distinct([pair for plan in plans for pair in plan.pairs], several=len(plans) > 1),
        "transitions": [row for plan in plans for row in plan.transitions],
        "dropped": [row for plan in plans for row in plan.dropped],
    }


def _distinct(pairs: list[PairRow], *, several: bool) -> list[PairRow]:
    """With several annotators one pair for one (clip, text), since they often say the same."""
    if not several:
        return pairs
    first: dict[tuple[str, str], PairRow] = {}
    for pair in pairs:
        first.setdefault((pair.clip_id, pair.text), pair)
    return list(first.values())


def pairs_stage(
    config: DataConfig, motions: Iterable[MotionRow], index_content: str
) -> tuple[Stage, Mapping[str, Any]]:
    """The stage and what its work needs; it runs in one process, since it takes seconds."""
    folder = Path(config.inputs.babel)
    files = {path.name: sha256_file(path) for _, path in babel_files(folder, config.pairs)}
    payload = {
        "pairs": {key: value for key, value in asdict(config.pairs).items()},
        "fps": config.keypoints.fps,
        "babel": files,
        "normalise": tables.table("babel")["normalise"],
        "index": index_content,
    }
    stage = Stage(
        name="pairs",
        version=1,
        tables=("clips", "pairs", "transitions", "dropped"),
        work=pairs_one,
        payload=payload,
        parallel=False,
    )
    return stage, pairs_context(config, motions)


def pairs_context(config: DataConfig, motions: Iterable[MotionRow]) -> dict[str, Any]:
    """What `pairs_one` needs beside its item; one context serves all items, since it remembers whose split is whose."""
    known = (Timing(m.motion_id, m.source, m.frames, m.fps_stored, m.fps_true) for m in motions)
    return {"config": config.pairs, "resolver": Resolver(known), "owner": {}, "fps": config.keypoints.fps}
