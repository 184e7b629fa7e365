"""The skeleton under the demo's motion: rest joints, and limbs that reach.

Everything here lives in the body's own stage: metres, y up, a person at heading 0 faces +z and has
+x on the left. `motion` turns the finished motion into the z-up world of AMASS.

Legend: T frames, J = 22 body joints (SMPL+H order, fingers left out).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actionpose.arrays import Floats
from actionpose.geometry import unit
from pipeline.body.rotations import rotations_about
from pipeline.body.smplh import BODY_PARENTS, SmplhModel

N_JOINTS = 22
PARENTS: tuple[int, ...] = tuple(int(p) for p in BODY_PARENTS[:N_JOINTS])
PELVIS, L_HIP, R_HIP, SPINE1, L_KNEE, R_KNEE, SPINE2, L_ANKLE, R_ANKLE, SPINE3, L_FOOT, R_FOOT = range(12)
NECK, L_COLLAR, R_COLLAR, HEAD, L_SHOULDER, R_SHOULDER, L_ELBOW, R_ELBOW, L_WRIST, R_WRIST = range(12, 22)

X, Y, Z = np.eye(3)


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A subject's skeleton at rest.

    Attributes:
        joints: (22, 3) rest joints in metres, y up, as the body model puts them.
        floor: y of the soles in the same frame.
    """

    joints: Floats
    floor: float

    @classmethod
    def of(cls, model: SmplhModel, betas: Floats) -> Rig:
        """The rig of one body shape; betas (16,), fewer when the model has fewer."""
        shaped = model.v_template + model.shapedirs @ betas[: model.shapedirs.shape[-1]]
        return cls(joints=(model.J_regressor @ shaped)[:N_JOINTS], floor=float(shaped[:, 1].min()))

    @property
    def offsets(self) -> Floats:
        """Each joint relative to its parent (22, 3); the pelvis has zeros."""
        offsets = self.joints - self.joints[list(PARENTS)]
        offsets[0] = 0.0
        return offsets

    @property
    def leg(self) -> float:
        """The length of thigh and shin together in metres."""
        thigh, shin = self.offsets[[L_KNEE, L_ANKLE]]
        return float(np.linalg.norm(thigh) + np.linalg.norm(shin))

    @property
    def arm(self) -> float:
        """The length of upper arm and forearm together in metres."""
        upper, fore = self.offsets[[L_ELBOW, L_WRIST]]
        return float(np.linalg.norm(upper) + np.linalg.norm(fore))


def reach(
    first: Floats,
    second: Floats,
    hinge: Floats,
    target: Floats,
    pole: Floats,
    limits: tuple[float, float],
    soft: Floats | float = 0.0,
) -> tuple[Floats, Floats]:
    """Bend a limb of two bones so that its end meets a target (the law of cosines, with a true hinge).

    Args:
        first: (3,) rest offset of the bone next to the body.
        second: (3,) rest offset of the other bone.
        hinge: (3,) axis of the middle joint at rest; positive angles bend the limb.
        target: (T, 3) end relative to the limb's root, in the frame that carries the limb.
        pole: (T, 3) direction in which the middle joint should stand out.
        limits: smallest and largest bend in radians. A target out of reach is reached for.
        soft: metres before full length over which a limb stops lengthening, so that a joint does not snap straight.

    Returns:
        Rotation of the first bone (T, 3, 3) and the bend of the middle joint (T,).
    """
    along = (first @ hinge) * (second @ hinge)
    cosine, sine = first @ second - along, first @ np.cross(hinge, second)
    far = np.linalg.norm(target, axis=-1)
    edge = np.linalg.norm(first + rotations_about(hinge, np.array(limits[0])) @ second) - soft
    near_edge = edge + soft * (1 - np.exp(-np.maximum(far - edge, 0.0) / np.maximum(soft, 1e-6)))
    free = np.minimum(far, near_edge) ** 2 - first @ first - second @ second - 2 * along
    bend = np.arctan2(sine, cosine) + np.arccos(np.clip(free / (2 * np.hypot(sine, cosine)), -1, 1))
    bend = np.clip(bend, *limits)
    end = first + (rotations_about(hinge, bend) @ second)
    rest = _frame(end, np.broadcast_to(hinge, end.shape))
    wanted = _frame(target, np.cross(pole, target))
    return wanted @ rest.swapaxes(-1, -2), bend


def _frame(along: Floats, near: Floats) -> Floats:
    """Right-handed axes as columns (T, 3, 3): `along`, `near` made square to it, their product."""
    a = unit(along)
    b = unit(near - (near * a).sum(-1, keepdims=True) * a)
    return np.stack([a, b, np.cross(a, b)], axis=-1)


def lean(pitch_yaw_roll: Floats) -> Floats:
    """Rotations (..., 3, 3) for (..., 3) radians: bend forward, turn to the left, tip to the right."""
    pitch, yaw, roll = np.moveaxis(pitch_yaw_roll, -1, 0)
    return rotations_about(Y, yaw) @ rotations_about(X, pitch) @ rotations_about(Z, roll)
