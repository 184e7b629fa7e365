"""From detections to what can be lifted: joints named, picture and rate known, people found, time laid on grids."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from actionpose.arrays import Floats
from actionpose.data.place import sizes_of
from actionpose.errors import UserError
from actionpose.lift import sanity
from actionpose.lift.complete import Stretch, lay_out
from actionpose.lift.detections import UNKNOWN, Detections
from actionpose.lift.jointmap import read_joint_map
from actionpose.lift.people import find_people, own_ids, prominence
from actionpose.lift.recognise import Named, Picture, name_joints, recognise_picture
from actionpose.lift.source import LiftModel
from actionpose.lift.timeline import TimeGrid, Track, make_track, rate_for

MANY_REPEATS = 0.3
"""Of all detections: so many of people already detected in that frame mean that frames are mixed up."""

FEW, MANY_HIDDEN = 0.005, 0.3
"""Shares of joints below the least confidence that are reported, and warned of."""

SHORTEST_S = 0.25
"""People who were followed by likeness and seen for less are left out: most are false detections."""


@dataclass(frozen=True, kw_only=True)
class LiftOptions:
    """How keypoints are understood and what is wanted; `lift` takes each as an argument.

    Attributes:
        layout: a layout by name; None: recognised.
        joint_map: a TOML file that maps joints to ours.
        fps: frames a second of the film; None: what the file says, else the model's own rate.
        size: width and height of the picture in pixels; None: what the file says.
        units: "auto", "pixels", "normalised" or "screen".
        y: "auto", "down" or "up".
        person: an id, "all", or None for the most prominent person.
        min_confidence: joints below it count as hidden.
        max_gap: seconds without a person after which the film is split; None: what the model can bridge.
        fill: write poses for hidden joints and missing frames.
        predict: seconds after the last frame to write poses for.
        flip: average with the mirrored input's answer; twice the time.
        batch: windows lifted at once.
        height_m: the person's height in metres.
        bone: two joints and their distance in metres, "left_hip-left_knee=0.43".
        up: turn the poses into a world whose z is up.
        progress: a bar on a terminal.
    """

    layout: str | None = None
    joint_map: str | os.PathLike[str] | None = None
    fps: float | None = None
    size: tuple[float, float] | None = None
    units: str = "auto"
    y: str = "auto"
    person: int | Literal["all"] | None = None
    min_confidence: float = 0.1
    max_gap: float | None = None
    fill: bool = False
    predict: float = 0.0
    flip: bool = True
    batch: int = 32
    height_m: float | None = None
    bone: str | None = None
    up: bool = False
    progress: bool = False

    def __post_init__(self) -> None:
        if self.fps is not None and not 0.1 <= self.fps <= 10_000:
            raise UserError(f"{self.fps:g} frames a second", "give the film's rate, such as 29.97")
        if self.size is not None and min(self.size) <= 0:
            raise UserError(f"a picture of {self.size[0]:g} x {self.size[1]:g}", "give width and height in pixels")
        if self.predict < 0 or self.batch < 1 or not 0 <= self.min_confidence < 1:
            raise UserError("predict must not be negative, batch at least 1, min_confidence in [0, 1)", "change it")


@dataclass(kw_only=True)
class Understood:
    """Keypoints with everything that was found out about them.

    Attributes:
        named: joints in our order.
        picture: unit and direction of the coordinates.
        fps: frames a second.
        tracks: the people to lift.
        verdicts: what was found out, for people.
        warnings: what looks wrong.
    """

    named: Named
    picture: Picture
    fps: float
    tracks: list[Track]
    verdicts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def understand(found: Detections, options: LiftOptions, model_fps: float) -> Understood:
    """Name joints, find unit, rate and people.

    Raises:
        UserError: something does not fit, or nobody is left.
    """
    joint_map = read_joint_map(Path(options.joint_map)) if options.joint_map is not None else None
    named = name_joints(found, options.layout, joint_map)
    doubted = (named.confidence[named.confidence > 0] < options.min_confidence).mean()
    named = dataclasses.replace(
        named, confidence=np.where(named.confidence >= options.min_confidence, named.confidence, 0)
    )
    if not (named.confidence > 0).any():
        raise UserError(
            f"{found.source}: no joint has a confidence of {options.min_confidence:g} or more", "lower --min-confidence"
        )
    frames = len(np.unique(found.frame))
    verdicts = [f"{found.kind}, {frames} frames: {named.verdict}", *found.notes]
    if doubted >= FEW:
        verdicts.append(
            f"{doubted:.0%} of joints have a confidence below {options.min_confidence:g} and are hidden: "
            "--min-confidence"
        )
    size = options.size or found.size
    picture = recognise_picture(
        named.points, named.confidence, units=options.units, y=options.y, size=size,
        known_units=found.units if options.layout is None and options.joint_map is None else None,
    )  # fmt: skip
    verdicts += picture.verdicts
    fps, how = _rate(found, options, model_fps)
    verdicts.append(f"{fps:g} frames a second: {how}")
    known = Understood(named=named, picture=picture, fps=fps, tracks=[], verdicts=verdicts)
    if doubted >= MANY_HIDDEN:
        known.warnings.append(
            f"{doubted:.0%} of joints are hidden because their confidence is below {options.min_confidence:g}. Some "
            "detectors' confidences are small (Detectron2 draws joints from 0.05): give a lower --min-confidence"
        )
    _people(found, known, options)
    return known


def _rate(found: Detections, options: LiftOptions, model_fps: float) -> tuple[float, str]:
    if options.fps is not None:
        return float(options.fps), "as asked" + ("" if found.seconds is None else ", not by the times in the file")
    if found.fps is not None:
        return found.fps, "the file says so"
    if found.seconds is not None and len(np.unique(found.frame)) > 1:
        frames, first = np.unique(found.frame, return_index=True)
        rate = np.diff(frames) / np.maximum(np.diff(found.seconds[first]), 1e-9)
        return float(np.median(rate)), "from the times in the file"
    return model_fps, "assumed, the model's own; give --fps if the film has another rate"


def _people(found: Detections, known: Understood, options: LiftOptions) -> None:
    points = known.picture.to_picture(known.named.points)
    confidence = known.named.confidence
    ids = own_ids(found.frame, points, confidence, found.track)
    if ids is None and found.track is not None:
        known.verdicts.append("the file gives several people of a frame the same id, so its ids are not used")
    people = find_people(found.frame, points, confidence, ids, known.fps)
    ranks = prominence(found.frame, points, confidence, people.track)
    known.verdicts += [people.verdict, *people.notes]
    repeated = int(((people.track == UNKNOWN) & (ids is None or ids != UNKNOWN)).sum())
    if repeated > MANY_REPEATS * len(found):
        known.warnings.append(
            f"{repeated} of {len(found)} detections repeat a person of their frame. If the film has more than "
            f"{len(np.unique(found.frame))} frames, its frames are not numbered; in arrays of several people frames "
            "come first: (frames, people, joints, 3)"
        )
    chosen = _choose(ranks, options, known, followed=ids is None)
    seconds = found.frame / known.fps if found.seconds is None or options.fps is not None else found.seconds
    for person in chosen:
        mine = people.track == person
        track, notes = make_track(person, found.frame[mine], seconds[mine], points[mine], confidence[mine])
        known.verdicts += notes
        if len(track.frame):
            known.tracks.append(track)
    if not known.tracks:
        raise UserError(f"{found.source}: nobody is seen in any frame", "look at the detector's own output first")


def _choose(
    ranks: list[tuple[int, int, float]], options: LiftOptions, known: Understood, *, followed: bool
) -> list[int]:
    ids = [person for person, _, _ in ranks]
    if options.person is None:
        if len(ids) > 1:
            others = ", ".join(str(i) for i in ids[1:6]) + (", …" if len(ids) > 6 else "")
            known.verdicts.append(
                f"person {ids[0]} is lifted, the most prominent; --all or --person for others ({others})"
            )
        return ids[:1]
    if options.person != "all":
        if options.person not in ids:
            raise UserError(
                f"there is no person {options.person}; there are {', '.join(map(str, sorted(ids)[:20])) or 'none'}",
                "choose one of these, or --all",
            )
        return [options.person]
    long = [person for person, frames, _ in ranks if not followed or frames >= SHORTEST_S * known.fps]
    if long and len(long) < len(ids):
        known.verdicts.append(f"{len(ids) - len(long)} people who were seen for less than {SHORTEST_S} s are left out")
    return sorted(long or ids)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """People laid on grids at the rate of lifting.

    Attributes:
        known: what was found out.
        stretches: of all people.
        sizes: (T,) `place.sizes_of` of each stretch.
        rate: frames a second of the grids.
    """

    known: Understood
    stretches: list[Stretch]
    sizes: list[Floats]
    rate: float

    @property
    def grids(self) -> list[TimeGrid]:
        """The grid of each stretch."""
        return [stretch.grid for stretch in self.stretches]


def prepare(found: Detections, source: LiftModel, options: LiftOptions) -> Prepared:
    """Understand detections and lay them on grids for a model.

    Raises:
        UserError: see `understand`.
    """
    known = understand(found, options, source.fps)
    rate = rate_for(known.fps, source.fps)
    if rate != known.fps:
        known.verdicts.append(f"resampled to the model's {rate:g} frames a second and back")
    longest_gap = source.longest_gap if options.max_gap is None else options.max_gap
    stretches: list[Stretch] = []
    for track in known.tracks:
        parts, gaps = lay_out(
            track, fps=known.fps, rate=rate, longest_gap=longest_gap, fill=options.fill, predict=options.predict
        )
        if gaps:
            known.verdicts.append(f"person {track.person}: split at {gaps} gaps of more than {longest_gap:.2g} s")
        stretches += parts
    known.warnings += sanity.check_input(found, known.named, known.picture, known.tracks)
    sizes = [sizes_of(s.grid.points, s.grid.confidence, rate) for s in stretches]
    return Prepared(known=known, stretches=stretches, sizes=sizes, rate=rate)
