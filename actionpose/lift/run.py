"""From keypoints to a result: reading, naming, people, time, lifting, metres, checks; in this order.

from actionpose.lift.run import lift
lifted = lift("keypoints.json", "demo/with", fps=25)
lifted.poses_3d                      # (N, 17, 3) metres, relative to the pelvis
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from actionpose.errors import UserError
from actionpose.lift import sanity
from actionpose.lift.complete import NOT_SEEN, Stretch, lay_out, root_in_picture
from actionpose.lift.detections import Detections
from actionpose.lift.jointmap import read_joint_map
from actionpose.lift.people import find_people, prominence
from actionpose.lift.place import sizes_of
from actionpose.lift.read import read_keypoints
from actionpose.lift.read_arrays import Objects, from_array
from actionpose.lift.recognise import Named, Picture, name_joints, recognise_picture
from actionpose.lift.result import CAMERA, Lifted
from actionpose.lift.scale import estimate_up, known_length
from actionpose.lift.source import LiftModel, open_model
from actionpose.lift.timeline import Track, make_track, rate_for
from actionpose.lift.windows import lift_grids
from actionpose.skeleton import ROOT

Floats = NDArray[np.floating]
Keypoints = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | NDArray[Any]

SHORTEST_S = 0.25
"""People who were followed by likeness and seen for less are left out: most are false detections."""


@dataclass(frozen=True, kw_only=True)
class LiftOptions:
    """How keypoints are understood and what is wanted; `lift` takes each as an argument.

    Attributes:
        layout: a layout by name; None: recognised.
        joint_map: a TOML file that says which joints stand for ours.
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


def lift(
    keypoints: Keypoints,
    model: str | os.PathLike[str] | LiftModel,
    *,
    device: str = "auto",
    objects: Objects | None = None,
    tool_version: str = "",
    **options: Any,
) -> Lifted:
    """Lift 2D keypoints to 3D.

    Args:
        keypoints: a file, a folder of one file a frame, the files of such a folder, or an array
            (T, K, 2 or 3) or (T, P, K, 2 or 3) with P people.
        model: a run, a checkpoint, a MotionBERT file, or a model that `open_model` loaded.
        device: "auto", "cpu", "cuda" or "cuda:N"; not used for a model that is loaded.
        objects: opens VideoPose3D's files (`read_arrays.read_npz`).
        tool_version: written into the result.
        options: fields of `LiftOptions`.

    Raises:
        UserError: keypoints or model that cannot be used; the message names the file, the value and the next move.
        TypeError: an option that does not exist.
    """
    chosen = LiftOptions(**options)
    if isinstance(keypoints, np.ndarray):
        found = from_array(keypoints, "the array")
    elif isinstance(keypoints, str | os.PathLike):
        found = read_keypoints([Path(keypoints)], objects)
    else:
        found = read_keypoints([Path(path) for path in keypoints], objects)
    source = model if isinstance(model, LiftModel) else open_model(Path(model), device_of(device))
    return lift_detections(found, source, chosen, tool_version)


def device_of(asked: str) -> str:
    """The device to compute on.

    Raises:
        UserError: one that is not there.
    """
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(asked)
    except RuntimeError as error:
        raise UserError(f"--device {asked} is no device", "use auto, cpu, cuda or cuda:0") from error
    if device.type == "cuda" and (device.index or 0) >= (torch.cuda.device_count() if torch.cuda.is_available() else 0):
        raise UserError(f"--device {asked}: there are {torch.cuda.device_count()} CUDA devices", "use auto or cpu")
    return asked


# --- step by step -----------------------------------------------------------------------------


@dataclass(kw_only=True)
class Understood:
    """Keypoints with everything that was found out about them.

    Attributes:
        named: joints in our order.
        picture: unit and direction of the coordinates.
        fps: frames a second.
        tracks: the people to lift.
        followed: whether people were followed by likeness.
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
    named = dataclasses.replace(
        named, confidence=np.where(named.confidence >= options.min_confidence, named.confidence, 0)
    )
    if not (named.confidence > 0).any():
        raise UserError(
            f"{found.source}: no joint has a confidence of {options.min_confidence:g} or more", "lower --min-confidence"
        )
    frames = len(np.unique(found.frame))
    verdicts = [f"{found.kind}, {frames} frames: {named.verdict}", *found.notes]
    size = options.size or found.size
    picture = recognise_picture(
        named.points, named.confidence, units=options.units, y=options.y, size=size,
        known_units=found.units if options.layout is None and options.joint_map is None else None,
    )  # fmt: skip
    verdicts += picture.verdicts
    fps, how = _rate(found, options, model_fps)
    verdicts.append(f"{fps:g} frames a second: {how}")
    known = Understood(named=named, picture=picture, fps=fps, tracks=[], verdicts=verdicts)
    _people(found, known, options)
    return known


def _rate(found: Detections, options: LiftOptions, model_fps: float) -> tuple[float, str]:
    if options.fps is not None:
        return float(options.fps), "as asked"
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
    people = find_people(found.frame, points, confidence, found.track, known.fps)
    ranks = prominence(found.frame, points, confidence, people.track)
    known.verdicts += [people.verdict, *people.notes]
    chosen = _choose(ranks, options, known, followed=found.track is None)
    seconds = found.seconds if found.seconds is not None else found.frame / known.fps
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


def lift_detections(found: Detections, source: LiftModel, options: LiftOptions, tool_version: str = "") -> Lifted:
    """Lift what was read; see `lift`."""
    known = understand(found, options, source.fps)
    _check_prediction(options, source)
    rate = rate_for(known.fps, source.fps)
    if rate != known.fps:
        known.verdicts.append(f"resampled to the model's {rate:g} frames a second and back")
    length, scale_source = known_length(options.height_m, options.bone)
    longest_gap = source.longest_gap if options.max_gap is None else options.max_gap
    stretches: list[Stretch] = []
    for track in known.tracks:
        parts, gaps = lay_out(
            track, fps=known.fps, rate=rate, longest_gap=longest_gap, fill=options.fill, predict=options.predict
        )
        if gaps:
            known.verdicts.append(f"person {track.person}: split at {gaps} gaps of more than {longest_gap:.2g} s")
        stretches += parts
    sizes = [sizes_of(s.grid.points, s.grid.confidence, rate) for s in stretches]
    main = sizes[int(np.argmax([len(s.frame) for s in stretches]))]
    known.warnings += sanity.check_input(found, known.named, known.picture, known.tracks, float(np.median(main)))
    grids = [stretch.grid for stretch in stretches]
    poses = lift_grids(grids, source, rate, flip=options.flip, batch=options.batch, progress=options.progress)
    rows = [_rows(s, pose, size) for s, pose, size in zip(stretches, poses, sizes, strict=True)]
    columns = {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}
    return _finish(columns, known, source, options, length, scale_source, tool_version)


def _check_prediction(options: LiftOptions, source: LiftModel) -> None:
    furthest = source.frames / 2 / source.fps
    if options.predict > furthest:
        raise UserError(
            f"--predict {options.predict:g}: this model sees {source.frames} frames at once, so it can look "
            f"{furthest:.2g} s ahead",
            f"give at most {furthest:.2g}, or a model of longer windows",
        )


def _rows(stretch: Stretch, pose: Floats, sizes: Floats) -> dict[str, Any]:
    """The rows of a stretch, before metres and masks."""
    seen = stretch.row != NOT_SEEN
    confidence = np.where(seen[:, None], stretch.track.confidence[stretch.row], 0.0)
    points = np.where(confidence[..., None] > 0, stretch.track.points[stretch.row], np.nan)
    return {
        "poses_3d": stretch.at_rows(pose),
        "poses_2d": points,
        "confidence": confidence,
        "valid": confidence > 0,
        "predicted": stretch.predicted,
        "frame_index": stretch.frame,
        "timestamps": stretch.seconds,
        "track_id": np.full(len(stretch.frame), stretch.track.person),
        "root_2d": root_in_picture(stretch),
        "scale_2d": stretch.at_rows(sizes),
    }


def _finish(
    columns: dict[str, Any], known: Understood, source: LiftModel, options: LiftOptions, length: Any, scale_source: str,
    tool_version: str,
) -> Lifted:  # fmt: skip
    """Metres, world, masks and the facts."""
    poses, valid = columns["poses_3d"], columns["valid"]
    completed = np.isfinite(poses).all(axis=-1)
    axes = CAMERA
    for person in np.unique(columns["track_id"]):
        mine = columns["track_id"] == person
        judged = mine & valid.any(axis=1)
        factor = length.factor(poses[judged])
        poses[mine] *= factor
        columns["scale_2d"][mine] /= factor
        known.warnings += sanity.check_result(int(person), columns["timestamps"][mine], poses[mine], valid[mine])
    if options.up:
        up = estimate_up(poses[valid.any(axis=1)])
        poses, axes = poses @ up.rotation.T, f"world: x right, y away from the camera, z up; {up.says}"
        known.verdicts.append(up.says)
    filled = completed & ~valid & (options.fill | columns["predicted"][:, None])
    shown = valid | filled
    shown[:, ROOT] = completed[:, ROOT]  # the origin
    columns["poses_3d"] = np.where(shown[..., None], poses, np.nan)
    columns["filled"] = filled
    floats = ("poses_3d", "poses_2d", "confidence", "root_2d", "scale_2d")
    columns |= {name: columns[name].astype(np.float32) for name in floats}
    return Lifted(
        **columns,
        fps=known.fps,
        coordinate_system=axes,
        scale_source=scale_source,
        model=source.facts,
        tool_version=tool_version,
        verdicts=tuple(known.verdicts),
        warnings=tuple(known.warnings),
        picture={"units": known.picture.units, "width": known.picture.width, "height": known.picture.height,
                 "y_up_in_file": known.picture.y_up},
    )  # fmt: skip
