"""`h36m_sh_conf_cam_source_final.pkl`, the file of MotionBERT and MotionAGFormer: stacked-hourglass 2D and 2.5D truth.

A dictionary with `train` and `test`; every field is indexed by frame over all videos one after the other, and `source`
says which video a frame is of. Circulating copies differ in spelling, types and whether confidences are there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.geometry import root_relative
from actionpose.schema import VideoFacts
from actionpose.skeleton import BONES, N_JOINTS
from actionpose.walk import written_name
from pipeline.h36m.cameras import Camera, camera_named
from pipeline.h36m.takes import action_names, screen_pose, skipped
from pipeline.pack.benchmark import SPLITS, BenchmarkMotion, Rejected
from pipeline.sources import facts
from pipeline.untrusted.pickles import load_pickle, numbers

LAYOUT = "motionbert-pickle"
PROTOCOL = "h36m-b"
WHERE = "get h36m_sh_conf_cam_source_final.pkl from the data page of MotionBERT or MotionAGFormer"

_SPELLINGS = {
    "joint_2d": ("joint2d", "joints2d"),
    "confidence": ("confidence", "confidences", "conf", "score"),
    "joint3d_image": ("joint3dimage", "joints3dimage"),
    "camera_name": ("cameraname", "camera", "cameras"),
    "source": ("source", "sources"),
    "action": ("action", "actions"),
    "2.5d_factor": ("25dfactor", "25dfactors", "factor"),
    "joints_2.5d_image": ("joints25dimage", "joint25dimage"),
}
_NEEDED = ("joint_2d", "joint3d_image", "camera_name", "source")
_SOURCE = re.compile(r"s_(\d+)_act_(\d+)_subact_(\d+)_ca_(\d+)$")
_LOOKED_AT = 2000  # frames, evenly over a split, that checks of the whole file read
_SAME_MM = 1.0  # how far `joint3d_image` times factor may be from the millimetres in the file


@dataclass(frozen=True, kw_only=True)
class Split:
    """Fields of one split, arrays as they are in the file; `videos` are (source, first frame, one past the last).

    mm_per_pixel (N,) is there for test; millimetres (N, 17, 3) is `joints_2.5d_image` where the file has it.
    """

    name: str
    joint_2d: Floats
    confidence: Floats | None
    image: Floats
    camera_names: Sequence[Any]
    actions: Sequence[Any] | None
    mm_per_pixel: Floats | None
    unit_from: str
    millimetres: Floats | None
    videos: tuple[tuple[str, int, int], ...]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.image)


@dataclass(frozen=True, kw_only=True)
class Content:
    """The whole file: its splits, and what is odd about it."""

    name: str
    splits: tuple[Split, ...]
    problems: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Frames and videos of each split."""
        return {
            f"{s.name}_{what}": n for s in self.splits for what, n in (("frames", s.frames), ("videos", len(s.videos)))
        }


# --- from the file ----------------------------------------------------------------------------


def read_content(path: Path) -> Content:
    """Read the file and look whether it holds together.

    Raises:
        UserError: refused or damaged, a field is missing or has another shape or length than the others.
    """
    loaded = load_pickle(path)
    parts = {str(key).lower(): value for key, value in loaded.items()} if isinstance(loaded, dict) else {}
    found = [name for name in SPLITS if isinstance(parts.get(name), dict)]
    if not found:
        raise UserError(f"{path} has neither train nor test in it", WHERE)
    problems = [f"it has no {name} part" for name in SPLITS if name not in found]
    splits = []
    for name in found:
        try:
            splits.append(_split(path, name, parts[name], problems))
            problems += _oddities(splits[-1])
        except (ValueError, TypeError, IndexError, AttributeError, ArithmeticError) as error:
            raise UserError(f"{path}: {name} is not laid out as in the published file: {error}", WHERE) from error
    return Content(name=written_name(path.name), splits=tuple(splits), problems=tuple(problems))


def fields_of(part: Mapping[Any, Any]) -> dict[str, Any]:
    """The fields of a split under the names of the published file, however this copy spells them."""
    plain = {re.sub(r"[^a-z0-9]", "", str(key).lower()): value for key, value in part.items()}
    return {
        name: next(plain[s] for s in spellings if s in plain)
        for name, spellings in _SPELLINGS.items()
        if any(s in plain for s in spellings)
    }


def _split(path: Path, name: str, part: Mapping[Any, Any], problems: list[str]) -> Split:
    fields = fields_of(part)
    missing = [field for field in _NEEDED if field not in fields]
    if missing == ["joint_2d"] or ("joint3d_image" in fields and missing == ["joint_2d", "camera_name", "source"]):
        raise UserError(
            f"{path}: {name} has no joint_2d; this looks like LCN's detections, where joint3d_image is 2D", WHERE
        )
    if missing:
        raise UserError(f"{path}: {name} lacks {', '.join(missing)}; it has {', '.join(map(str, part))}", WHERE)
    image = _array(path, name, "joint3d_image", fields["joint3d_image"], (N_JOINTS, 3))
    n = len(image)
    for field, value in fields.items():
        if len(value) != n:
            raise UserError(f"{path}: {name} has {n:,} frames of joint3d_image but {len(value):,} of {field}", WHERE)
    joint_2d, confidence = _detections(path, name, fields, problems)
    millimetres = None
    if "joints_2.5d_image" in fields:
        millimetres = _array(path, name, "joints_2.5d_image", fields["joints_2.5d_image"], (N_JOINTS, 3))
    scale, unit_from = _scale(fields.get("2.5d_factor"), image, millimetres, name, problems)
    return Split(
        name=name,
        joint_2d=joint_2d,
        confidence=confidence,
        image=image,
        camera_names=fields["camera_name"],
        actions=fields.get("action"),
        mm_per_pixel=scale,
        unit_from=unit_from,
        millimetres=millimetres,
        videos=tuple(runs(fields["source"])),
    )


def _array(path: Path, split: str, field: str, value: Any, shape: tuple[int, ...]) -> Floats:
    array = numbers(value)
    if array.shape[1:] != shape or not len(array):
        raise UserError(f"{path}: {split} {field} is {array.dtype} {array.shape}, expected (N, {str(shape)[1:]}", WHERE)
    return array


def _detections(path: Path, name: str, fields: Mapping[str, Any], problems: list[str]) -> tuple[Floats, Floats | None]:
    """2D (N, 17, 2) and confidence (N, 17), which may be a field, a third channel, or not there."""
    given = numbers(fields["joint_2d"])
    wide = given.ndim == 3 and given.shape[2] == 3
    joint_2d = _array(path, name, "joint_2d", given, (N_JOINTS, 3 if wide else 2))
    if "confidence" not in fields:
        if not wide:
            problems.append(f"{name} has no confidences: all count as 1")
        return joint_2d[..., :2], joint_2d[..., 2] if wide else None
    stored = numbers(fields["confidence"])
    stored = stored[..., 0] if stored.ndim == 3 and stored.shape[2] == 1 else stored
    return joint_2d[..., :2], _array(path, name, "confidence", stored, (N_JOINTS,))


def _looked_at(n: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, n - 1, min(n, _LOOKED_AT)).astype(np.int64))


def _scale(
    stored: Any, image: Floats, millimetres: Floats | None, name: str, problems: list[str]
) -> tuple[Floats | None, str]:
    """Mm per pixel of each frame: stored, turned round when it is its inverse, or fitted to the millimetres."""
    if stored is None:
        if millimetres is None:
            if name == "test":
                problems.append("test has no 2.5d_factor: nothing of it can be scored in millimetres")
            return None, "computed"
        problems.append(f"{name} has no 2.5d_factor: fitted to joints_2.5d_image")
        return _fitted(image, millimetres), "computed"
    factor = numbers(stored).astype(np.float64).reshape(len(image))
    known = facts.table("h36m")["image_scale"]
    middle = float(np.median(factor))
    if known["low_inverse"] <= middle <= known["high_inverse"]:
        problems.append(f"{name} 2.5d_factor is {middle:.3g} in the median, pixels per mm: its inverse is used")
        factor = 1 / factor
    elif not known["low"] <= middle <= known["high"]:
        problems.append(f"{name} 2.5d_factor is {middle:.3g} in the median, expected {known['low']} to {known['high']}")
    return factor, "stored"


def _fitted(image: Floats, millimetres: Floats, block: int = 10_000) -> Floats:
    """The factor of each frame that brings root-relative pixels nearest to root-relative millimetres, (N,)."""
    factor = np.empty(len(image))
    for start in range(0, len(image), block):
        part = slice(start, start + block)
        a, b = (root_relative(x[part].astype(np.float64)) for x in (image, millimetres))
        factor[part] = np.sum(a * b, axis=(1, 2)) / np.maximum(np.sum(a * a, axis=(1, 2)), 1e-12)
    return factor


def _oddities(split: Split) -> list[str]:
    """What does not fit together, judged from some frames of the whole split."""
    found = []
    at = _looked_at(split.frames)
    image = split.image[at].astype(np.float64)
    if split.millimetres is not None and split.mm_per_pixel is not None:
        made = root_relative(image * split.mm_per_pixel[at, None, None])
        off = float(np.abs(made - root_relative(split.millimetres[at].astype(np.float64))).max())
        if not off <= _SAME_MM:
            found.append(f"{split.name} joints_2.5d_image is not joint3d_image x 2.5d_factor: up to {off:.3g} mm apart")
    apart = float(np.median(np.linalg.norm(image[..., :2] - split.joint_2d[at], axis=-1)))
    limit = facts.table("h36m")["agreement"]["pixels"]
    if not apart <= limit:
        found.append(f"{split.name} detections are {apart:.0f} pixels from joint3d_image in the median")
    elif apart == 0:
        found.append(f"{split.name} joint_2d equals joint3d_image: its 2D is the ground truth, or both are detections")
    if split.confidence is not None and not (split.confidence[at].min() >= 0 and split.confidence[at].max() <= 1.5):
        found.append(f"{split.name} confidences are outside 0 to 1")
    expected = next(row for row in facts.table("h36m")["expected"] if row["layout"] == LAYOUT)[split.name]
    if split.frames != expected:
        found.append(f"{split.name} has {split.frames:,} frames, the published file {expected:,}")
    return found + _disagreements(split)


def _disagreements(split: Split) -> list[str]:
    """Where the names of videos contradict the other fields."""
    found = []
    named = [(parsed, start) for source, start, _ in split.videos if (parsed := _SOURCE.search(source))]
    if split.actions is not None:
        pairs = {(parsed[2], str(split.actions[start])) for parsed, start in named}
        if not len(pairs) == len({number for number, _ in pairs}) == len({label for _, label in pairs}):
            found.append(f"{split.name} action labels are not those of the videos' names: the names are used")
    seen = [(int(parsed[4]), camera_named(split.camera_names[start])) for parsed, start in named]
    if any(camera is not None and number != camera.number + 1 for number, camera in seen):
        found.append(f"{split.name} camera_name is not the camera of the videos' names: camera_name is used")
    return found


def runs(names: Sequence[Any]) -> Iterator[tuple[str, int, int]]:
    """(name, first, one past the last) of every stretch of equal names."""
    start = 0
    for name, group in groupby(names):
        stop = start + sum(1 for _ in group)
        yield name.decode("latin1") if isinstance(name, bytes) else str(name), start, stop
        start = stop


# --- to motions -------------------------------------------------------------------------------


def motions(content: Content) -> Iterator[BenchmarkMotion | Rejected]:
    """Each video of each split."""
    size = _body_size(content)
    for split in content.splits:
        for video in split.videos:
            yield _motion(content, split, video, size)


def _motion(
    content: Content, split: Split, video: tuple[str, int, int], size: float | None
) -> BenchmarkMotion | Rejected:
    source, start, stop = video
    motion_id = f"h36m/{source}"
    parsed = _SOURCE.search(source)
    names = {str(name) for name in split.camera_names[start:stop]}
    camera = camera_named(split.camera_names[start])
    reason = _unfit(parsed, names, camera, split)
    if reason is not None or parsed is None or camera is None:
        return Rejected(
            motion_id=motion_id, reason=reason or "", message=f"{source}, camera {', '.join(sorted(names))}"
        )
    subject, number = int(parsed[1]), int(parsed[2])
    unit_mm, unit_from = _unit(split, start, stop, camera, size)
    confidence = 1.0 if split.confidence is None else split.confidence[start:stop]
    skip = skipped(PROTOCOL, f"S{subject}", parsed[0].rpartition("_ca_")[0])
    return BenchmarkMotion(
        motion_id=motion_id,
        dataset="Human3.6M",
        subject=f"S{subject}",
        split=split.name,
        action=action_names()[number],
        source=content.name,
        fps_stored=facts.table("h36m")["fps"],
        fps_true=facts.table("h36m")["fps"],
        pose2d=screen_pose(split.joint_2d[start:stop], confidence, camera),
        pose3d=screen_pose(split.image[start:stop, :, :2], split.image[start:stop, :, 2] * 2.0 / camera.width, camera),
        facts=VideoFacts(
            width=camera.width,
            height=camera.height,
            camera=camera.id,
            target="image-2.5d",
            unit_mm=unit_mm,
            unit_from=unit_from,
            protocols=(PROTOCOL,),
            source_2d="sh",
            skip=skip,
        ),
    )


def _unfit(parsed: re.Match[str] | None, names: set[str], camera: Camera | None, split: Split) -> str | None:
    """Why a video cannot be used."""
    if parsed is None:
        return "unreadable name"
    if len(names) > 1:
        return "several cameras"
    if camera is None:
        return "unknown camera"
    subject, number = int(parsed[1]), int(parsed[2])
    if number not in action_names():
        return "unknown action"
    if f"S{subject}" not in facts.table("h36m")["split"][split.name]:
        return f"subject does not belong to {split.name}"
    if split.name == "test" and split.mm_per_pixel is None:
        return "no scale"
    return None


# --- millimetres per screen unit --------------------------------------------------------------


def _limbs(image: Floats) -> Floats:
    """Sum of the 16 bone lengths of each frame, (n,), in the unit of the pose."""
    parents, children = np.array(BONES).T
    return np.linalg.norm(image[:, children] - image[:, parents], axis=-1).sum(axis=-1)


def _body_size(content: Content) -> float | None:
    """Sum of the bone lengths in mm, median over the frames whose scale the file has."""
    for split in content.splits:
        if split.mm_per_pixel is not None:
            at = _looked_at(split.frames)
            return float(np.median(_limbs(split.image[at].astype(np.float64)) * split.mm_per_pixel[at]))
    return None


def _unit(split: Split, start: int, stop: int, camera: Camera, size: float | None) -> tuple[float | list[float], str]:
    """Stored for each frame, or for train one estimate a video: its limbs are as long as those of the test people."""
    half = camera.width / 2
    if split.mm_per_pixel is not None:
        return [round(float(mm) * half, 4) for mm in split.mm_per_pixel[start:stop]], split.unit_from
    if size is None:
        return float(facts.table("h36m")["camera_scale"]["unit_mm"]), "constant"
    limbs = float(np.median(_limbs(split.image[start:stop].astype(np.float64))))
    return round(size / limbs * half, 4) if limbs > 0 else float("nan"), "computed"  # of one point: rejected
