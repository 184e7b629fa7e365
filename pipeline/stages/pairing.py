"""One labelled sequence becomes clips and pairs, every dropped label with its reason."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.config import PairConfig
from pipeline.engine.manifest import ClipRow, DropRow, PairRow, TransitionRow
from pipeline.sources.babel import Label, LabelledSequence, after, before, transition_text

MOST_CANDIDATES = 50
"""Labels listed for a side of a transition."""

CONCURRENT_SHARE = 0.5
"""Two labels are concurrent when they share at least this much of the shorter one."""


@dataclass(frozen=True)
class Clock:
    """From BABEL's seconds to frames of the product.

    BABEL's annotators watched the motion at its stored rate; where that rate is known to be wrong, true time is
    `stretch` times theirs.
    """

    fps: float
    frames: int
    stretch: float = 1.0

    @classmethod
    def of_motion(cls, frames: int, fps_stored: float, fps_true: float, fps: float) -> Clock:
        """The clock of a motion of so many stored frames, resampled to `fps`."""
        resampled = math.floor((frames - 1) / fps_true * fps + 1e-6) + 1
        return cls(fps, resampled, stretch=fps_stored / fps_true)

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
    others = _Others(sequence.labels, config)
    for label in sequence.labels:
        if label.is_transition:
            draft = _transition(sequence, label, others, clock, config, plan)
        else:
            draft = _segment(sequence, label, clock, config, plan)
        if draft is not None:
            drafts.append(draft)
    if sequence.note:
        plan.dropped.append(_drop(sequence, "seq", "", 0.0, sequence.duration_s, sequence.note))
    active = _Active(sequence, drafts, clock)
    for draft in drafts:
        clip = _clip(draft, sequence, motion_id, clock, config)
        plan.clips.setdefault(clip.clip_id, clip)
        plan.pairs.append(_pair(draft, clip, sequence, active, config))
    return plan


def plan_entry(sequences: Sequence[LabelledSequence], motion_id: str, clock: Clock, config: PairConfig) -> Plan:
    """The plan of one entry of BABEL; of several annotators one pair for one (clip, text), since they often agree."""
    plans = [plan_sequence(sequence, motion_id, clock, config) for sequence in sequences]
    if len(plans) == 1:
        return plans[0]
    pairs: dict[tuple[str, str], PairRow] = {}
    for pair in (pair for plan in plans for pair in plan.pairs):
        pairs.setdefault((pair.clip_id, pair.text), pair)
    return Plan(
        clips={clip.clip_id: clip for plan in plans for clip in plan.clips.values()},
        pairs=list(pairs.values()),
        transitions=[row for plan in plans for row in plan.transitions],
        dropped=[row for plan in plans for row in plan.dropped],
    )


def _segment(sequence: LabelledSequence, label: Label, clock: Clock, config: PairConfig, plan: Plan) -> _Draft | None:
    start, stop = (0, clock.frames) if label.whole else clock.span(label.start_s, label.end_s)
    reason = _why_not(label, start, stop, config)
    if reason:
        text = label.raw if label.flaw else label.text
        plan.dropped.append(_drop(sequence, str(label.number), text, label.start_s, label.end_s, reason))
        return None
    kind = "sequence" if label.whole else "segment"
    return _Draft(str(label.number), kind, label.text, label.raw, label.act_cat, start, stop, (label.seg_id,))


def _why_not(label: Label, start: int, stop: int, config: PairConfig) -> str:
    if label.flaw:
        return label.flaw
    if not label.text:
        return "label is null or empty"
    if label.text in config.exclude_labels:
        return "label excluded"
    if stop - start < config.min_frames:
        return f"shorter than {config.min_frames} frames"
    return ""


class _Others:
    """The labels of a sequence that can stand beside a transition, found by their time."""

    def __init__(self, labels: Sequence[Label], config: PairConfig) -> None:
        self.tolerance_s = config.tolerance_s
        usable = (other for other in labels if other.text and other.text not in config.exclude_labels)
        self.usable = sorted(usable, key=lambda other: other.start_s)
        self.starts = [other.start_s for other in self.usable]
        self.longest_s = max((other.end_s - other.start_s for other in self.usable), default=0.0)
        self.first_s = min((other.start_s for other in labels), default=0.0)
        self.last_s = max((other.end_s for other in labels), default=0.0)

    def sides(self, label: Label) -> tuple[list[Label], list[Label]]:
        """What can be A and what can be B; looks only at labels that are near enough in time."""
        spare = self.tolerance_s + 1e-6
        near = bisect_left(self.starts, label.start_s - self.longest_s - spare)
        far = bisect_right(self.starts, label.end_s + spare)
        here = self.usable[near:far]
        return before(label, here, self.tolerance_s), after(label, here, self.tolerance_s)


def _transition(
    sequence: LabelledSequence, label: Label, others: _Others, clock: Clock, config: PairConfig, plan: Plan
) -> _Draft | None:
    a_side, b_side = others.sides(label)
    verdict, draft = _judge(others, label, a_side, b_side, clock, config)
    row = TransitionRow(
        transition_id=f"{sequence.sid}:{label.number:04d}",
        babel_sid=sequence.sid,
        start_s=label.start_s,
        stop_s=label.end_s,
        verdict=verdict,
        text=draft.text if draft else "",
        candidates_a=[other.text for other in a_side[:MOST_CANDIDATES]],
        candidates_b=[other.text for other in b_side[:MOST_CANDIDATES]],
    )
    plan.transitions.append(row)
    return draft


def _judge(
    others: _Others,
    label: Label,
    a_side: Sequence[Label],
    b_side: Sequence[Label],
    clock: Clock,
    config: PairConfig,
) -> tuple[str, _Draft | None]:
    if config.transition == "skip":
        return "transitions skipped", None
    if not a_side or not b_side:
        return _missing_side(others, label, bool(a_side), bool(b_side)), None
    a, b = a_side[0], b_side[0]
    if a.text.casefold() == b.text.casefold() and not config.same_label_transitions:
        return "one label on both sides", None
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


def _missing_side(others: _Others, label: Label, has_a: bool, has_b: bool) -> str:
    if not has_a and not has_b:
        return "no label before and none after"
    if not has_a:
        return "opens the sequence" if label.start_s <= others.first_s else "no label before"
    return "closes the sequence" if label.end_s >= others.last_s else "no label after"


class _Active:
    """All labels of the motion with their times: kept pairs, and labels too short to be pairs."""

    def __init__(self, sequence: LabelledSequence, drafts: Sequence[_Draft], clock: Clock) -> None:
        spans = {(d.text, d.start, d.stop) for d in drafts}
        for label in sequence.labels:
            if label.text and not label.is_transition and not label.whole:
                spans.add((label.text, *clock.span(label.start_s, label.end_s)))
        self.texts = [text for text, _, _ in spans]
        self.starts = np.array([start for _, start, _ in spans], dtype=np.int64)
        self.stops = np.array([stop for _, _, stop in spans], dtype=np.int64)

    def concurrent(self, draft: _Draft) -> set[str]:
        """Texts of the same time as a pair's, without its own."""
        shared = np.minimum(self.stops, draft.stop) - np.maximum(self.starts, draft.start)
        shorter = np.minimum(self.stops - self.starts, draft.stop - draft.start)
        found = np.flatnonzero((shared > 0) & (shared >= CONCURRENT_SHARE * shorter))
        return {self.texts[n] for n in found} - {draft.text}


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
    active: _Active,
    config: PairConfig,
) -> PairRow:
    concurrent = active.concurrent(draft) | {draft.text_a, draft.text_b} - {"", draft.text}
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
