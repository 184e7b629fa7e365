"""The contract of a shard folder: its tables, the counts in its index, and what a benchmark's videos state.

`shards` writes and reads the files; docs/formats.md describes them for people.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from actionpose.arrays import Float64s, Ints
from actionpose.errors import UserError

SCHEMA = "actionpose-shards"
VERSION = 1

# --- tables -----------------------------------------------------------------------------------

COLUMNS: dict[str, dict[str, type]] = {
    "motions": {
        "motion_id": str,
        "dataset": str,
        "subject": str,
        "split": str,
        "source": str,
        "action": str,
        "fps_stored": float,
        "fps_true": float,
        "start": int,
        "stop": int,
        "heading": float,
        "extra": dict,
    },
    "clips": {
        "clip_id": str,
        "motion": int,
        "kind": str,
        "start": int,
        "stop": int,
        "gap_start": int,
        "gap_stop": int,
        "heading": float,
    },
    "pairs": {
        "pair_id": str,
        "clip": int,
        "kind": str,
        "text": str,
        "raw": str,
        "text_a": str,
        "text_b": str,
        "border_a": int,
        "border_b": int,
        "act_cat": list,
        "concurrent": list,
        "babel_sid": str,
        "seg_ids": list,
    },
}
"""Table → column → type. `list` and `dict` columns are stored as JSON text.

`motions.start/stop` are rows of `pose3d`; `clips.start/stop` count from the motion's first frame, and the
frames [gap_start, gap_stop), counted from the clip's first, are left out (equal when nothing is).
`pairs.border_a/border_b` are the frames, counted from the clip's first, where A ends and B starts. Headings are radians
(`geometry`).
"""

TRANSITION_PREFIX = "transit from "
"""What texts of transitions begin with: `transit from A to B`."""


Counts = dict[str, int]
"""Name → how many."""
Reasons = dict[str, Counts]
"""Stage → reason → how many."""


@dataclass(frozen=True, kw_only=True)
class Transitions:
    """Of BABEL's transitions: how many there were, how many became pairs, and why the others did not."""

    found: int = 0
    kept: int = 0
    dropped: Counts = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What is in the shards, and what was left out of them and why. Both kinds have the first seven of these.

    Attributes:
        motions: source files or videos.
        clips: spans of them that have a text.
        pairs: texts for clips.
        frames: over all motions.
        hours: the same in time, to four digits.
        splits: split → its motions, frames, and where there are texts also clips and pairs.
        failures: what could not be used.
        kinds: kind of pair → pairs.
        transitions: see there.
        labels: text → pairs, the most frequent first.
        rates: frames a second as used, in words where they were corrected → motions, slowest first.
        dropped: reason → pairs left out.
        skipped: items that settings leave out.
        unlabelled_motions: not packed, since no label speaks of them.
        pairs_without_motion: not packed, since their motion has no keypoints.
        protocols: of a benchmark: what its videos permit.
        left_out: of a benchmark: protocol and reason → videos that it leaves out.
        source: of a benchmark: the files it was made from (file, layout, sha256).
        source_2d: of a benchmark: where the 2D comes from → videos.
    """

    motions: int = 0
    clips: int = 0
    pairs: int = 0
    kinds: Counts = field(default_factory=dict)
    transitions: Transitions = field(default_factory=Transitions)
    frames: int = 0
    hours: float = 0.0
    labels: Counts = field(default_factory=dict)
    rates: Counts = field(default_factory=dict)
    splits: Reasons = field(default_factory=dict)
    dropped: Counts = field(default_factory=dict)
    protocols: list[str] = field(default_factory=list)
    left_out: Counts = field(default_factory=dict)
    source: list[dict[str, str]] = field(default_factory=list)
    source_2d: Counts = field(default_factory=dict)
    failures: Reasons = field(default_factory=dict)
    skipped: Reasons = field(default_factory=dict)
    unlabelled_motions: int = 0
    pairs_without_motion: int = 0

    @property
    def failed(self) -> int:
        """Items that could not be used, over all stages."""
        return sum(sum(reasons.values()) for reasons in self.failures.values())

    def to_json(self, kind: str) -> dict[str, Any]:
        """The entries that an index of this kind has, in its order."""
        every = {column.name: getattr(self, column.name) for column in dataclasses.fields(self)}
        every["transitions"] = dataclasses.asdict(self.transitions)
        return {name: value for name, value in every.items() if name in KEYS[kind]}

    @classmethod
    def from_json(cls, kind: str, found: Mapping[str, Any], *, where: str) -> Summary:
        """The summary of an index.

        Raises:
            UserError: an entry is not there.
        """
        if lacking := sorted(KEYS[kind] - found.keys()):
            raise UserError(f"{where}: its summary lacks {', '.join(lacking)}", "build the shards again")
        values = {name: found[name] for name in KEYS[kind]}
        if "transitions" in values:
            values["transitions"] = Transitions(**values["transitions"])
        return cls(**values)


_BOTH = frozenset({"motions", "clips", "pairs", "frames", "hours", "splits", "failures"})
KEYS: dict[str, frozenset[str]] = {
    "motion-text": _BOTH
    | {"kinds", "transitions", "labels", "rates", "dropped", "skipped", "unlabelled_motions", "pairs_without_motion"},
    "benchmark": _BOTH | {"protocols", "left_out", "source", "source_2d"},
}
"""Kind of shards → entries of its summary."""


TARGETS = ("image-2.5d", "camera", "universal", "metric")
"""Which 3D a video holds: picture coordinates with depth in the same unit (MotionBERT's files), millimetres of the
camera, and of MPI-INF-3DHP the universal (`univ_annot3`) or the metric skeleton (`annot3`)."""


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """One video of one camera.

    Attributes:
        unit_mm: millimetres per screen unit: one number, or one for each frame.
        unit_from: where that is from: `stored` in the files, `computed` from them, or a `constant`.
        protocols: names of the protocols that may score it.
        target: one of `TARGETS`, or `unknown`.
        source_2d: whose 2D it holds: `gt`, or a detector's name.
        width: of the picture, pixels.
        height: of the picture, pixels.
        camera: its name.
        take: the file's own name of the take, where there is one.
        valid: runs [first, stop) of frames that may be scored; None: all.
        skip: protocol → why it leaves this video out.
        legacy_unit_mm: of MPI-INF-3DHP's outdoor sequences: what older code multiplies predictions by.
    """

    unit_mm: float | list[float]
    unit_from: str
    protocols: tuple[str, ...]
    target: str
    source_2d: str
    width: int
    height: int
    camera: str
    take: str = ""
    valid: tuple[tuple[int, int], ...] | None = None
    skip: Mapping[str, str] = field(default_factory=dict)
    legacy_unit_mm: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As `motions.extra` holds it: what does not apply to a video is left out."""
        absent: dict[str, Any] = {"take": "", "valid": None, "skip": {}, "legacy_unit_mm": None}
        every = {column.name: getattr(self, column.name) for column in dataclasses.fields(self)}
        return {name: value for name, value in every.items() if name not in absent or value != absent[name]}

    @classmethod
    def from_json(cls, found: Mapping[str, Any], *, where: str) -> VideoFacts:
        """The facts of one video.

        Args:
            found: its `motions.extra`.
            where: folder and id, for messages.

        Raises:
            UserError: one is missing.
        """
        columns = dataclasses.fields(cls)
        lacking = [c.name for c in columns if c.default is c.default_factory is dataclasses.MISSING]
        if lacking := [name for name in lacking if name not in found]:
            raise UserError(f"{where} does not state {', '.join(lacking)}", "build the shards again with `ap-data`")
        values = {column.name: found[column.name] for column in columns if column.name in found}
        values["protocols"] = tuple(values["protocols"])
        if values.get("valid") is not None:
            values["valid"] = tuple((int(first), int(stop)) for first, stop in values["valid"])
        return cls(**values)

    @property
    def mean_unit_mm(self) -> float:
        """Millimetres per screen unit, mean over frames."""
        return float(np.mean(self.unit_mm))

    def units(self, frames_n: Ints) -> Float64s:
        """Millimetres per screen unit of these frames: (1, 1, 1), or (n, 1, 1) where every frame has its own."""
        unit = np.asarray(self.unit_mm, dtype=np.float64)
        return (unit if unit.ndim == 0 else unit[frames_n]).reshape(-1, 1, 1)

    def valid_frames(self, frames: int) -> Ints:
        """Frames that may be scored, ascending, (n,); `frames` is how many the video has."""
        if self.valid is None:
            return np.arange(frames, dtype=np.int64)
        return np.concatenate([np.empty(0, dtype=np.int64), *(np.arange(first, stop) for first, stop in self.valid)])

    def skip_reason(self, protocol: str) -> str:
        """Why a protocol leaves the video out; empty when it does not."""
        return self.skip.get(protocol, "")
