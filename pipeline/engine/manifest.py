"""Manifests a person can read: row types, JSON Lines, one verdict per item.

One line is one row, UTF-8 JSON; rows are sorted by their id, so equal content is equal bytes. Paths are
relative to the folder of the manifest (or to the AMASS root, for sources). Rows hold seconds and frames,
native and target rate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from actionpose.config import canonical_json, from_dict
from actionpose.errors import UserError
from actionpose.extras import needed_for
from actionpose.jsonl import placed_lines, write_lines
from pipeline.engine.rowsort import RowSorter

R = TypeVar("R", bound="Row")


def col(doc: str, **kwargs: Any) -> Any:
    """A column and the sentence that explains it."""
    return field(metadata={"doc": doc}, **kwargs)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Base of all rows; `KEY`, the first column, is what rows are sorted by and found by."""

    KEY: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.KEY = next(iter(cls.__annotations__))

    @property
    def key(self) -> str:
        """The row's id."""
        return str(getattr(self, self.KEY))


@dataclass(frozen=True, kw_only=True)
class MotionRow(Row):
    """One AMASS motion file, as found."""

    motion_id: str = col("dataset/subject/name, unique in a build")
    source: str = col("path relative to the AMASS root")
    dataset: str = col("folder of the sub-dataset, as on disk")
    subject: str = col("folder of the subject, as on disk")
    gender: str = col("male, female or neutral, as stored; empty when the file does not say")
    frames: int = col("frames at the stored rate")
    fps_stored: float = col("rate written in the file, Hz")
    fps_true: float = col("rate used: the stored one, snapped or overridden, Hz")
    rate_note: str = col("why the rate used is not the stored one")
    duration_s: float = col("(frames - 1) / fps_true, the time between the first and the last frame, seconds")
    betas: int = col("shape coefficients in the file")
    bytes: int = col("size of the file")
    checksum: str = col("BLAKE3 of the file")


@dataclass(frozen=True, kw_only=True)
class KeypointRow(Row):
    """One motion as 17 keypoints at the target rate."""

    motion_id: str = col("the motion")
    file: str = col("(T, 17, 3) float32 .npy, metres, world frame, z up; relative to the stage folder")
    frames: int = col("T")
    fps: float = col("target rate, Hz")
    body: str = col("gender of the body used")
    speed_max: float = col("fastest joint relative to the pelvis, m/s")
    bytes: int = col("size of the file")
    checksum: str = col("BLAKE3 of the file")
    soft_tissue: bool = col("whether DMPLs moved it: `keypoints.dmpls` is on and the file has them", default=False)


@dataclass(frozen=True, kw_only=True)
class ViewRow(Row):
    """The cameras of one clip, or of one whole motion."""

    id: str = col("clip_id, or motion_id for the whole motion")
    motion_id: str = col("the motion")
    heading: float = col("radians about the up axis, from the world's -y; taken out before the view is applied")
    heading_from: str = col("`mean` facing, one `level` frame, or `world` (not turned)")
    extent_m: list[float] = col("width and height of each view's 2D box, metres, in the order of the views")


@dataclass(frozen=True, kw_only=True)
class ClipRow(Row):
    """A span of one motion that at least one text describes."""

    clip_id: str = col("motion_id#start-stop, with the gap added when there is one")
    motion_id: str = col("the motion")
    split: str = col("train or val")
    kind: str = col("segment, sequence or transition")
    start: int = col("first frame at the target rate")
    stop: int = col("one past the last frame")
    gap_start: int = col("first frame left out (policy `cut`), else equal to gap_stop")
    gap_stop: int = col("one past the last frame left out")
    start_s: float = col("start in seconds, true time")
    stop_s: float = col("stop in seconds, true time")


@dataclass(frozen=True, kw_only=True)
class PairRow(Row):
    """One text for one clip."""

    pair_id: str = col("babel_sid and the label's number in it")
    clip_id: str = col("the clip")
    split: str = col("train or val")
    kind: str = col("segment, sequence or transition")
    text: str = col("the label used")
    raw: str = col("the label as typed by the annotator")
    act_cat: list[str] = col("BABEL's categories")
    text_a: str = col("label before, for transitions")
    text_b: str = col("label after, for transitions")
    border_a: int = col("end of A, frames from the clip's first; 0 for other kinds")
    border_b: int = col("start of B, frames from the clip's first; 0 for other kinds")
    concurrent: list[str] = col("texts active in the same time; no negative is drawn from them")
    babel_sid: str = col("BABEL's sequence id")
    seg_ids: list[str] = col("BABEL's label ids; A, transition and B for transitions")

    @property
    def motion_id(self) -> str:
        """The motion it is of, with which the id of its clip begins."""
        return self.clip_id.rpartition("#")[0]


@dataclass(frozen=True, kw_only=True)
class TransitionRow(Row):
    """One label `transition` and what became of it."""

    transition_id: str = col("babel_sid and the label's number in it")
    babel_sid: str = col("BABEL's sequence id")
    start_s: float = col("seconds, as labelled")
    stop_s: float = col("seconds, as labelled")
    verdict: str = col("`kept`, or why not")
    text: str = col("the new text, when kept")
    candidates_a: list[str] = col("labels that could be A, the chosen one first; 50 at most")
    candidates_b: list[str] = col("labels that could be B, the chosen one first; 50 at most")


@dataclass(frozen=True, kw_only=True)
class DropRow(Row):
    """One label that made no pair, and why."""

    drop_id: str = col("babel_sid and the label's number in it")
    babel_sid: str = col("BABEL's sequence id")
    text: str = col("the label")
    start_s: float = col("seconds, as labelled")
    stop_s: float = col("seconds, as labelled")
    reason: str = col("why, in a few words that can be counted")


@dataclass(frozen=True, kw_only=True)
class FailureRow(Row):
    """One item that could not be done (`failures.jsonl`) or is not for us (`skipped.jsonl`)."""

    id: str = col("the item")
    stage: str = col("the stage it failed in")
    reason: str = col("a few words that can be counted")
    message: str = col("what was wrong, with the value")


@dataclass(frozen=True, kw_only=True)
class ShardRow(Row):
    """One shard file, as its index lists it."""

    file: str = col("file name")
    split: str = col("train or val")
    frames: int = col("frames stored")
    motions: int = col("rows of the motions table")
    clips: int = col("rows of the clips table")
    pairs: int = col("rows of the pairs table")
    bytes: int = col("size of the file")
    sha256: str = col("checksum of the file")


@dataclass(frozen=True, kw_only=True)
class ContentRow(Row):
    """What one motion holds, in a form that two people can compare without showing it to each other."""

    motion_id: str = col("the motion")
    frames: int = col("frames at the target rate")
    fps: float = col("target rate, Hz")
    size_m: float = col("median length of thighs, shins and trunk together, metres: tells units and bodies apart")
    sketch: list[float] = col("four signed sums for each of five body parts, metres; see docs/validate.md")
    labels: str = col("first 16 hex digits of a SHA-256 over spans and texts")


@dataclass(frozen=True, kw_only=True)
class DuplicateRow(Row):
    """Two motions that are one take under two ids."""

    duplicate_id: str = col("motion_a = motion_b")
    motion_a: str = col("the one whose id sorts first")
    motion_b: str = col("the other")
    split_a: str = col("train or val")
    split_b: str = col("train or val")
    straddles: bool = col("whether training and validation share the take")
    known: bool = col("whether manifests/amass.toml lists the two subjects as the same takes")
    difference_m: float = col("RMS difference of joint heights over the common frames, metres on a body of 1.7 m")
    shift: int = col("frames of motion_b minus frames of motion_a at the same moment")
    overlap: float = col("common frames, as a share of the longer motion")
    dropped: str = col("the motion whose pairs were left out (`pack.duplicates`), if any")


@dataclass(frozen=True, kw_only=True)
class LabelRow(Row):
    """One text, how often it is used, and how often training should draw it."""

    text: str = col("the label")
    train: int = col("pairs in train")
    val: int = col("pairs in val")
    hours: float = col("length of its clips together, both splits")
    weight: float = col("weight of each of its pairs in train: count^-0.5, on average 1; 0 when train has none")


@dataclass(frozen=True, kw_only=True)
class VideoRow(Row):
    """One video of one camera of a benchmark."""

    motion_id: str = col("h36m/… or 3dhp/…, unique in a build")
    dataset: str = col("Human3.6M or MPI-INF-3DHP")
    subject: str = col("S9, TS1, …")
    split: str = col("train or test")
    action: str = col("name of the action; empty where there is none")
    camera: str = col("the camera's name in the dataset")
    frames: int = col("frames stored")
    frames_valid: int = col("frames the dataset says may be scored")
    fps: float = col("frames per second")
    width: int = col("image width, pixels: it scales x, y and z")
    height: int = col("image height, pixels")
    source_2d: str = col("where the 2D comes from: `sh`, `cpn`, `gt`, …")
    target: str = col("what the 3D is: `image-2.5d`, `camera`, `universal` or `metric`")
    unit_mm: float = col("millimetres per screen unit, on average over the frames")
    unit_from: str = col("`stored`, `computed` or `constant`")
    protocols: list[str] = col("protocols these frames permit")
    left_out: list[str] = col("protocols that leave this video out, each with the reason")


ROW_TYPES: dict[str, type[Row]] = {
    "motions": MotionRow,
    "keypoints": KeypointRow,
    "views": ViewRow,
    "clips": ClipRow,
    "pairs": PairRow,
    "transitions": TransitionRow,
    "dropped": DropRow,
    "failures": FailureRow,
    "skipped": FailureRow,
    "shards": ShardRow,
    "content": ContentRow,
    "duplicates": DuplicateRow,
    "labels": LabelRow,
    "videos": VideoRow,
}
"""Table name → row type: `<name>.jsonl`."""


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows sorted by id, whole or not at all; they are taken one at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with RowSorter(path.parent) as sorter:
        for row in rows:
            sorter.add(row.key, canonical_json(dataclasses.asdict(row)))
        write_lines(path, sorter.lines())


def read_rows(path: Path, row_type: type[R]) -> Iterator[R]:
    """Read rows one by one.

    Raises:
        UserError: a missing file, or a line that is not such a row, by number.
    """
    # A column with a default is younger than the others: older manifests are still read.
    needed = {column.name for column in dataclasses.fields(row_type) if column.default is dataclasses.MISSING}
    for number, data in read_lines(path):
        try:
            if missing := sorted(needed - data.keys()):
                raise UserError(f"{path}:{number}: the row lacks {', '.join(missing)}")
            yield from_dict(row_type, data, where=f"{path}:{number}")
        except UserError as error:
            raise UserError(error.message, "the manifest was changed or written by another version") from error


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of each line of a manifest.

    Raises:
        UserError: a missing file, or a line that is not a JSON object, by number.
    """
    return ((number, data) for number, _, data in placed_lines(path, hint="build the stage again"))


def frame(path: Path) -> Any:
    """A manifest as a pandas DataFrame: ids stay text, labels such as `NA` and `null` stay labels.

    pandas' own JSON and CSV readers guess types and turn such values into numbers and gaps. An empty manifest has
    its columns too.
    """
    with needed_for("a DataFrame"):
        import pandas as pd

    rows = [data for _, data in read_lines(path)]
    row_type = ROW_TYPES.get(path.stem)
    columns = [column.name for column in dataclasses.fields(row_type)] if row_type else None
    return pd.DataFrame.from_records(rows, columns=columns)
