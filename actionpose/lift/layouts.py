"""Joint layouts of 2D detectors, as tables of joint names, and how each becomes the 17 joints of Human3.6M.

A layout is the list of its joints by name. Joints that Human3.6M and the layout share are copied; four are derived
where the layout lacks them, always by the same rules:

| joint | from | confidence |
| --- | --- | --- |
| pelvis | middle of the hips | the smaller of the two |
| thorax | middle of the shoulders | the smaller of the two |
| spine | middle of pelvis and thorax | the smaller of the two |
| head (top of the skull) | shoulders + `HEAD_REACH` · (ears - shoulders), middles of both | the smaller of the two |

Where no ear is seen the eyes stand in for them, then the nose. A joint whose sources are not all seen is hidden
(confidence 0), never guessed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from actionpose.arrays import Floats
from actionpose.skeleton import JOINT_NAMES, N_JOINTS

HEAD_REACH = 1.58
"""Height of the skull's top above the shoulders over that of the ears, on the licence-free body of the demo."""

COCO_17 = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee"),
    *("left_ankle", "right_ankle"),
)
COCO_18 = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
)
BODY_25 = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel"),
    *("right_big_toe", "right_small_toe", "right_heel"),
)
_FEET = ("big_toe", "small_toe", "heel")
HALPE_26 = (
    *COCO_17,
    *("head", "neck", "pelvis"),
    *(f"{side}_{part}" for part in _FEET for side in ("left", "right")),
)
_FACE = tuple(f"face_{i}" for i in range(68))
_HANDS = tuple(f"{side}_hand_{i}" for side in ("left", "right") for i in range(21))
HALPE_136 = (*HALPE_26, *_FACE, *_HANDS)
WHOLEBODY_133 = (*COCO_17, *(f"{side}_{part}" for side in ("left", "right") for part in _FEET), *_FACE, *_HANDS)
DWPOSE_134 = (*COCO_18, *(f"{side}_{part}" for side in ("left", "right") for part in _FEET), *_FACE, *_HANDS)
MEDIAPIPE_33 = (
    *("nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer"),
    *("left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index"),
    *("left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
    *("left_heel", "right_heel", "left_big_toe", "right_big_toe"),
)
POSETRACK_17 = ("nose", "neck", "head", *COCO_17[3:])


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A detector's joints by name.

    Attributes:
        name: as `--layout` spells it.
        joints: one name for each joint, in the order of the arrays.
        says: for people.
    """

    name: str
    joints: tuple[str, ...]
    says: str

    @property
    def count(self) -> int:
        """Joints of a person."""
        return len(self.joints)


LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        layout.name: layout
        for layout in (
            Layout(name="coco-17", joints=COCO_17, says="COCO, 17 joints"),
            Layout(name="h36m-17", joints=JOINT_NAMES, says="Human3.6M, 17 joints"),
            Layout(name="coco-18", joints=COCO_18, says="OpenPose's COCO model, 18 joints"),
            Layout(name="body-25", joints=BODY_25, says="OpenPose's BODY_25, 25 joints"),
            Layout(name="halpe-26", joints=HALPE_26, says="Halpe, 26 joints"),
            Layout(name="mediapipe-33", joints=MEDIAPIPE_33, says="MediaPipe (BlazePose), 33 landmarks"),
            Layout(name="wholebody-133", joints=WHOLEBODY_133, says="COCO-WholeBody, 133 joints"),
            Layout(name="dwpose-134", joints=DWPOSE_134, says="OpenPose's order of COCO-WholeBody, 134 joints"),
            Layout(name="halpe-136", joints=HALPE_136, says="Halpe full body, 136 joints"),
            Layout(name="posetrack-17", joints=POSETRACK_17, says="PoseTrack, 17 joints"),
        )
    }
)
"""Every layout that is known by name."""

_COUNTED = [layout for layout in LAYOUTS.values() if layout.name != "posetrack-17"]
BY_COUNT: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {one.count: tuple(other.name for other in _COUNTED if other.count == one.count) for one in _COUNTED}
)
"""Layouts that a number of joints can mean; PoseTrack's files carry names, so the count never has to mean it."""


def layout_of_names(names: Sequence[str], says: str) -> Layout:
    """A layout from the names in a file, spelled in any of the usual ways (`LWrist`, `left wrist`, `wrist_l`)."""
    return Layout(name="names", joints=joints_of_names(names), says=says)


def joints_of_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names in a file in our spelling; where no joint is called an ankle, the foot is one (MMPose's Human3.6M)."""
    ours = tuple(canonical(name) for name in names)
    if any(name.endswith("_ankle") for name in ours):
        return ours
    return tuple(f"{name.removesuffix('_foot')}_ankle" if name.endswith("_foot") else name for name in ours)


_SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}
_SAME = {
    "midhip": "pelvis",
    "hip": "pelvis",
    "root": "pelvis",
    "hips": "pelvis",
    "headbottom": "neck",
    "upperneck": "neck",
    "neckbase": "nose",
    "headtop": "head",
    "tophead": "head",
    "belly": "spine",
    "torso": "spine",
}
_SHORT = {"sho": "shoulder", "elb": "elbow", "wri": "wrist", "ank": "ankle", "kne": "knee"}


def canonical(name: str) -> str:
    """One spelling for a joint's name: `left_wrist`, `pelvis`, `neck`; unknown names come back in lower case."""
    spaced = "".join(f"_{c}" if c.isupper() and i and name[i - 1].islower() else c for i, c in enumerate(name))
    if len(name) > 2 and name[0] in "LR" and name[1].isupper() and name[2:].islower():
        spaced = f"{name[0]}_{name[1:]}"  # OpenPose's LWrist
    words = [w for w in spaced.lower().replace("-", "_").replace(" ", "_").replace(".", "_").split("_") if w]
    sides = [_SIDES[w] for w in words if w in _SIDES]
    rest = "_".join(w for w in words if w not in _SIDES)
    rest = _SHORT.get(rest, rest) if sides else _SAME.get(rest.replace("_", ""), rest)
    return f"{sides[0]}_{rest}" if len(sides) == 1 and rest else rest or name.lower()


# --- to the 17 joints -------------------------------------------------------------------------


def to_h36m(points: Floats, confidence: Floats, layout: Layout) -> tuple[Floats, Floats]:
    """The 17 joints of Human3.6M from a detector's joints.

    Args:
        points: (N, K, 2), any unit, in the order of `layout.joints`.
        confidence: (N, K); 0 for a joint that is not there.
        layout: names of the K joints.

    Returns:
        points (N, 17, 2) float64, zero where hidden; confidence (N, 17) float64.
    """
    body = _Body(np.asarray(points, np.float64), np.asarray(confidence, np.float64), layout.joints)
    shoulders = body.middle("left_shoulder", "right_shoulder")
    pelvis = body.first("pelvis") or body.middle("left_hip", "right_hip")
    thorax = body.first("thorax", "neck") or shoulders
    spine = body.first("spine") or _between(pelvis, thorax)
    head = body.first("head") or _skull(body, shoulders)
    derived = {"pelvis": pelvis, "thorax": thorax, "spine": spine, "head": head}
    joints = [derived.get(name) or body.first(name) or body.hidden for name in JOINT_NAMES]
    where = np.stack([place for place, _ in joints], axis=1)
    sure = np.stack([certainty for _, certainty in joints], axis=1)
    where[sure == 0] = 0.0
    return where, sure


Joint = tuple[Floats, Floats]
"""Places (N, 2) and confidences (N,) of one joint."""


class _Body:
    """Joints of N detections by name."""

    def __init__(self, points: Floats, confidence: Floats, joints: Sequence[str]) -> None:
        self.column = {name: number for number, name in enumerate(joints)}
        self.points, self.confidence = points, confidence
        self.hidden: Joint = (np.zeros((len(points), 2)), np.zeros(len(points)))

    def first(self, *names: str) -> Joint | None:
        """The first of these joints that the layout has."""
        for name in names:
            if name in self.column:
                return self.points[:, self.column[name]], self.confidence[:, self.column[name]]
        return None

    def middle(self, left: str, right: str) -> Joint:
        """The middle of two joints; hidden where one of them is."""
        return _between(self.first(left) or self.hidden, self.first(right) or self.hidden)

    def either(self, left: str, right: str) -> Joint:
        """The mean of two joints weighed by confidence: in profile, the one that is seen."""
        a, b = self.first(left) or self.hidden, self.first(right) or self.hidden
        weight = a[1] + b[1]
        share = a[1] / np.maximum(weight, 1e-12)
        return b[0] + (a[0] - b[0]) * share[:, None], np.maximum(a[1], b[1])


def _between(a: Joint, b: Joint) -> Joint:
    return (a[0] + b[0]) / 2, np.minimum(a[1], b[1])


def _skull(body: _Body, shoulders: Joint) -> Joint:
    """Top of the skull: beyond the ears as seen from the shoulders, or beyond the eyes or the nose without ears."""
    place, sure = body.either("left_ear", "right_ear")
    for other in (body.either("left_eye", "right_eye"), body.first("nose") or body.hidden):
        unseen = sure == 0
        place, sure = np.where(unseen[:, None], other[0], place), np.where(unseen, other[1], sure)
    return shoulders[0] + HEAD_REACH * (place - shoulders[0]), np.minimum(sure, shoulders[1])


def missing_joints(layout: Layout) -> tuple[str, ...]:
    """Joints of Human3.6M that nothing in the layout leads to; they are always hidden."""
    seen = np.ones((1, layout.count))
    _, sure = to_h36m(np.zeros((1, layout.count, 2)), seen, layout)
    return tuple(JOINT_NAMES[j] for j in range(N_JOINTS) if sure[0, j] == 0)
