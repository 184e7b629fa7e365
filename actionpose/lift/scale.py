"""Metres and a world: how large the person really is, and which way is up.

A picture does not tell a child near by from an adult far away, so a length must come from the user; without one the
person is taken for an adult of `ASSUMED_HEIGHT` metres, and the result says so.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import numpy as np

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.skeleton import JOINT_NAMES

ASSUMED_HEIGHT = 1.70

STATURE = 1.045
"""Height over the chain head, thorax, spine, pelvis, hip, knee, ankle (without the hip's sideways step): the feet and
the scalp are not in it. Measured on the licence-free body of the demo."""

_CHAIN = (("head", "thorax"), ("thorax", "spine"), ("spine", "pelvis"))
_LEG = (("hip", "knee"), ("knee", "ankle"))


def bone_length(poses: Floats, a: str, b: str) -> float:
    """Median distance of two joints over frames (N, 17, 3)."""
    return float(np.nanmedian(np.linalg.norm(poses[:, _joint(a)] - poses[:, _joint(b)], axis=-1)))


def stature(poses: Floats) -> float:
    """The height of a person who stands straight, from the bones of (N, 17, 3), in the poses' unit."""
    trunk = sum(bone_length(poses, a, b) for a, b in _CHAIN)
    legs = [bone_length(poses, f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in _LEG]
    return STATURE * (trunk + sum(legs) / 2)


def _joint(name: str) -> int:
    if name not in JOINT_NAMES:
        near = difflib.get_close_matches(name, JOINT_NAMES, n=1, cutoff=0.4)
        raise UserError(
            f"there is no joint '{name}'", f"did you mean '{near[0]}'?" if near else "joints: " + ", ".join(JOINT_NAMES)
        )
    return JOINT_NAMES.index(name)


@dataclass(frozen=True, kw_only=True)
class Known:
    """A length that the user knows: the height, or the distance of two joints."""

    metres: float
    joints: tuple[str, str] | None = None

    def factor(self, poses: Floats) -> float:
        """What to multiply poses (N, 17, 3) with so that the length is right."""
        length = stature(poses) if self.joints is None else bone_length(poses, *self.joints)
        return self.metres / length if np.isfinite(length) and length > 0 else 1.0

    @property
    def says(self) -> str:
        """For the result's `scale_source`."""
        if self.joints is not None:
            return f"given: {self.joints[0]} to {self.joints[1]} is {self.metres:g} m"
        return f"given: height {self.metres:g} m"


def known_length(height_m: float | None, bone: str | None) -> tuple[Known, str]:
    """The length to scale by, and `scale_source`.

    Args:
        height_m: the person's height.
        bone: two joints and their distance, as `left_hip-left_knee=0.43`.

    Raises:
        UserError: both, or a bone that cannot be read.
    """
    if height_m is not None and bone is not None:
        raise UserError("a height and a bone are both given", "give one of --height-m and --bone")
    if height_m is not None:
        if not 0.3 <= height_m <= 3.0:
            raise UserError(f"a height of {height_m:g} m", "give metres, such as 1.75")
        known = Known(metres=height_m)
        return known, known.says
    if bone is None:
        says = f"assumed: an adult of {ASSUMED_HEIGHT:g} m; give the height for true metres"
        return Known(metres=ASSUMED_HEIGHT), says
    ends, _, length = bone.partition("=")
    a, dash, b = ends.strip().partition("-")
    try:
        metres = float(length)
    except ValueError:
        metres = 0.0
    if not dash or not 0.02 <= metres <= 2.0:
        raise UserError(f"--bone {bone}", "write two joints and metres: left_hip-left_knee=0.43")
    _joint(a), _joint(b)
    known = Known(metres=metres, joints=(a, b))
    return known, known.says


# --- up ---------------------------------------------------------------------------------------

STRAIGHT_KNEE = np.cos(np.radians(150))
UPRIGHT_TRUNK = np.cos(np.radians(25))
MIN_UPRIGHT = 10


@dataclass(frozen=True, kw_only=True)
class Up:
    """Gravity as it was estimated.

    Attributes:
        rotation: (3, 3), camera frame to world: x right, y away from the camera, z up.
        says: how, for the result's `coordinate_system`.
    """

    rotation: Floats
    says: str


def estimate_up(poses: Floats) -> Up:
    """Which way is up, from frames in which people stand or walk upright: straight knees, trunk over the legs.

    Where there are too few of them the camera is taken to be level.

    Args:
        poses: (N, 17, 3), camera frame: x right, y down, z away. NaN rows are left out.
    """
    poses = poses[np.isfinite(poses).all(axis=(1, 2))]
    hips, knees, ankles = (_middle(poses, part) for part in ("hip", "knee", "ankle"))
    thorax = poses[:, JOINT_NAMES.index("thorax")]
    straight = _cosine(hips - knees, ankles - knees) < STRAIGHT_KNEE
    over = _cosine(thorax - hips, hips - ankles) > UPRIGHT_TRUNK
    upright = straight & over
    if upright.sum() < MIN_UPRIGHT:
        return Up(rotation=_rotation(np.array([0.0, -1.0, 0.0])), says="up is the camera's: nobody stands upright")
    lines = thorax[upright] - ankles[upright]
    up = np.median(lines / np.linalg.norm(lines, axis=-1, keepdims=True), axis=0)
    up /= np.linalg.norm(up)
    tilt = float(np.degrees(np.arccos(np.clip(-up[1], -1, 1))))
    return Up(
        rotation=_rotation(up),
        says=f"up is estimated from {upright.sum()} frames in which people stand upright; "
        f"the camera is tilted by {tilt:.0f} degrees against it",
    )


def _middle(poses: Floats, part: str) -> Floats:
    return (poses[:, JOINT_NAMES.index(f"left_{part}")] + poses[:, JOINT_NAMES.index(f"right_{part}")]) / 2


def _cosine(a: Floats, b: Floats) -> Floats:
    return (a * b).sum(axis=-1) / np.maximum(np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1), 1e-12)


def _rotation(up: Floats) -> Floats:
    """Rows are the world's axes in the camera's frame: z is up, y the camera's view along the floor."""
    away = np.array([0.0, 0.0, 1.0])
    away = away - up * (away @ up)
    if np.linalg.norm(away) < 1e-3:  # the camera looks straight down or up: its own y then points along the floor
        away = np.array([0.0, -1.0, 0.0]) - up * (up @ np.array([0.0, -1.0, 0.0]))
    away /= np.linalg.norm(away)
    return np.stack([np.cross(away, up), away, up])
