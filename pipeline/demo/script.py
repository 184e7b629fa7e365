"""Who acts what in the demo world: subjects, and for every sequence a script of actions, in AMASS's folders.

A scene also says what is odd about its labels, so that each oddity of BABEL occurs: see `ODDITIES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.demo.catalogue import ACTIONS
from pipeline.demo.motion import Cue
from pipeline.demo.pose import Style

NTSC = 60000 / 1001
VAL_SHARE = 0.2
SINGLE_EVERY = 4
"""One sequence in so many has no frame labels."""

ODDITIES: tuple[str, ...] = (
    "beside",  # a second action, performed at the same time as part of the first
    "opens",  # a transition begins the sequence
    "plain",
    "two_before",  # two labels end where a transition begins
    "tpose",  # calibration pose first
    "through",  # a label spans a whole transition and both its neighbours
    "closes",  # a transition ends the sequence
    "equal",  # two labels with exactly the same times
    "beyond",  # the last label ends 0.004 s after the file
    "tiny",  # a label shorter than a frame
    "overlap",  # actions reach into the transitions beside them
)


@dataclass(frozen=True)
class DemoSubject:
    """One person of the demo world.

    Attributes:
        folder: dataset folder.
        name: subject folder.
        gender: female, male or neutral.
        rates: frame rates this person was "captured" at.
        split: train or val; no person is in both.
    """

    folder: str
    name: str
    gender: str
    rates: tuple[float, ...]
    split: str


SUBJECTS = (
    DemoSubject("DemoCapture", "s01", "female", (120.0, 60.0), "train"),
    DemoSubject("Demo_Studio", "subject 1", "male", (100.0,), "train"),
    DemoSubject("DemoStage", "01", "male", (NTSC,), "train"),
    DemoSubject("DemoCapture", "s02", "male", (120.0, 60.0), "train"),
    DemoSubject("Demo_Studio", "subject 2", "female", (100.0,), "train"),
    DemoSubject("DemoStage", "02", "female", (NTSC,), "train"),
    DemoSubject("DemoCapture", "s03", "male", (60.0, 120.0), "train"),
    DemoSubject("Demo_Studio", "subject 3", "neutral", (100.0,), "train"),
    DemoSubject("DemoCapture", "s04", "female", (60.0, 120.0), "train"),
    DemoSubject("DemoCapture", "s05", "male", (120.0, 60.0), "val"),
    DemoSubject("Demo_Studio", "subject 4", "female", (100.0,), "val"),
    DemoSubject("DemoStage", "03", "female", (NTSC,), "val"),
)


@dataclass(frozen=True, kw_only=True)
class DemoSequence:
    """One sequence: what is performed, and where it is stored.

    Attributes:
        sid: BABEL's sequence id.
        subject: index into `SUBJECTS`.
        name: file name without `_poses.npz`.
        rate: frames per second.
        seconds: length.
        cues: labelled actions in order.
        beside: labelled arm actions performed at the same time.
        lead, tail: seconds of transition before the first and after the last action.
        oddity: one of `ODDITIES`, or `single`: no frame labels.
    """

    sid: int
    subject: int
    name: str
    rate: float
    seconds: float
    cues: tuple[Cue, ...]
    beside: tuple[Cue, ...] = ()
    lead: float = 0.0
    tail: float = 0.0
    oddity: str = "plain"

    @property
    def frames(self) -> int:
        """The number of frames in the file."""
        return int(np.ceil(self.seconds * self.rate - 1e-6))

    @property
    def folder(self) -> str:
        """The file's folder under the AMASS root."""
        return f"{SUBJECTS[self.subject].folder}/{SUBJECTS[self.subject].name}"

    @property
    def performed(self) -> tuple[Cue, ...]:
        """Everything the body does, unlabelled standing at both ends included."""
        before = (Cue(action="stand", start=-1.0, end=0.0),) if self.lead else ()
        after = (Cue(action="stand", start=self.seconds, end=self.seconds + 1.0),) if self.tail else ()
        return before + self.cues + after


STYLES = {
    "tempo": (0.86, 1.16), "size": (0.86, 1.14), "stoop": (-0.02, 0.12), "elbow": (8.0, 24.0),
    "stride": (0.70, 0.90), "half_width": (0.095, 0.15), "toe_out": (0.03, 0.24), "arm_swing": (15.0, 32.0),
}  # fmt: skip
"""Field of a `Style` → its range over people."""


def style_of(subject: int, seed: int) -> Style:
    """How a subject moves; the same in all of their sequences."""
    u = np.random.default_rng([seed, 11, subject]).uniform(size=len(STYLES))
    low, high = np.array(list(STYLES.values())).T
    return Style(**dict(zip(STYLES, (low + u * (high - low)).tolist(), strict=True)))


def write_scenes(minutes: float, seed: int) -> list[DemoSequence]:
    """The scenes of a world of about so many minutes, train before val, at least three of each."""
    scenes: list[DemoSequence] = []
    for split, share in (("train", 1 - VAL_SHARE), ("val", VAL_SHARE)):
        rng = np.random.default_rng([seed, 12, len(scenes)])
        deck = _deal(rng)
        subjects = [i for i, subject in enumerate(SUBJECTS) if subject.split == split]
        total, number = 0.0, 0
        while total < 60 * minutes * share or number < max(3, len(subjects)):
            scene = _scene(rng, deck, 1000 + 7 * len(scenes), subjects[number % len(subjects)], number)
            scenes.append(scene)
            total, number = total + scene.seconds, number + 1
    return scenes


_SITTING = ("sit down", "sit", "stand up")
_OFTEN = {"walk forward": 3, "stand": 2, "sit": 2}


def _deal(rng: np.random.Generator) -> Iterator[tuple[str, ...]]:
    """An endless sequence of actions, each equally often; sitting comes with sitting down and standing up."""
    alone = [label for label, action in ACTIONS.items() if not any(action.seated) and label != "tpose"]
    cards = [(label,) for label in alone for _ in range(_OFTEN.get(label, 1))] + [_SITTING] * _OFTEN["sit"]
    while True:
        for i in rng.permutation(len(cards)):
            yield cards[i]


def _scene(
    rng: np.random.Generator, deck: Iterator[tuple[str, ...]], sid: int, subject: int, number: int
) -> DemoSequence:
    rates = SUBJECTS[subject].rates
    rate = rates[number // 2 % len(rates)]
    if number % SINGLE_EVERY == SINGLE_EVERY - 1:
        return _single(rng, deck, sid, subject, rate)
    oddity = ODDITIES[(number - number // SINGLE_EVERY) % len(ODDITIES)]
    labels = _choose(rng, deck, oddity)
    lead = _seconds(rng, 0.5, 0.8) if oddity == "opens" else 0.0
    tail = _seconds(rng, 0.5, 0.8) if oddity == "closes" else 0.0
    cues = _lay_out(rng, labels, lead, shared=oddity in ("beside", "two_before", "through", "equal"), gaps=oddity)
    beside, seconds = _alongside(rng, cues, oddity), round(cues[-1].end + tail, 3)
    return DemoSequence(
        sid=sid, subject=subject, name=_name(sid, labels), rate=rate, seconds=seconds, cues=cues, beside=beside,
        lead=lead, tail=tail, oddity=oddity,
    )  # fmt: skip


def _single(
    rng: np.random.Generator, deck: Iterator[tuple[str, ...]], sid: int, subject: int, rate: float
) -> DemoSequence:
    label = next(card[len(card) // 2] for card in deck)
    seconds = round(float(rng.uniform(1.0, 1.5)) * ACTIONS[label].seconds[1], 3)
    cue = Cue(action=label, start=0.0, end=seconds)
    return DemoSequence(
        sid=sid, subject=subject, name=_name(sid, (label,)), rate=rate, seconds=seconds, cues=(cue,), oddity="single"
    )


def _choose(rng: np.random.Generator, deck: Iterator[tuple[str, ...]], oddity: str) -> tuple[str, ...]:
    """Two to six actions that can follow each other."""
    labels: list[str] = []
    if oddity in ("beside", "two_before", "equal"):
        labels += [("walk forward",), ("march on the spot",), ("stand",)][int(rng.integers(3))]
    if oddity == "through":
        labels += ["walk forward", "stand"]
    wanted = int(rng.integers(2, 6))
    while len(labels) < wanted:
        card = next(deck)
        if card[0] not in labels and len(labels) + len(card) <= 6:
            labels += card
    return ("tpose", *labels[:5]) if oddity == "tpose" and labels[4:5] != ["sit"] else tuple(labels)


def _lay_out(
    rng: np.random.Generator, labels: tuple[str, ...], start: float, *, shared: bool, gaps: str
) -> tuple[Cue, ...]:
    """Give every action its time; most are parted by a transition, some touch."""
    cues: list[Cue] = []
    for i, label in enumerate(labels):
        low, high = ACTIONS[label].seconds
        seconds = _seconds(rng, low, high) if not (shared and i == 0) else _seconds(rng, 3.6, 4.8)
        if cues:
            touching = _may_touch(labels[i - 1], label) and not shared and gaps != "tiny" and rng.uniform() < 0.4
            seated = ACTIONS[label].seated[0]
            start = cues[-1].end + (0.0 if touching or seated else _seconds(rng, 0.46, 0.8))
        cues.append(Cue(action=label, start=round(start, 3), end=round(start + seconds, 3)))
    return tuple(cues)


def _may_touch(before: str, label: str) -> bool:
    """Whether no step has to be made between two actions."""
    a, b = ACTIONS[before], ACTIONS[label]
    return a.steps is None and b.steps is None and a.stance == b.stance and not any(b.seated)


def _alongside(rng: np.random.Generator, cues: tuple[Cue, ...], oddity: str) -> tuple[Cue, ...]:
    arms = [label for label, action in ACTIONS.items() if action.arms]
    label = arms[int(rng.integers(len(arms)))]
    first, second = cues[0], cues[1]
    span = {
        "beside": (first.start + 0.8, first.end - 0.5),
        "two_before": (first.start + 1.0, first.end),
        "through": (first.start + 1.2, second.end - 0.3),
        "equal": (first.start, first.end),
    }.get(oddity)
    return (Cue(action=label, start=round(span[0], 3), end=round(span[1], 3)),) if span else ()


def _name(sid: int, labels: tuple[str, ...]) -> str:
    """A file name; every third has blanks and parentheses, as AMASS has."""
    words = [label.replace("with ", "").replace("the ", "") for label in (labels[0], labels[-1])]
    if sid % 3 == 0:
        return f"D{sid} - {words[0]} ({len(labels)})"
    return f"{sid:04d}_" + "_to_".join(dict.fromkeys(word.replace(" ", "_") for word in words))


def _seconds(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 3)
