"""The body that motion is brought to: rest joints, bone directions, soles, and its forward kinematics.

Legend: T frames. Rest frame of SMPL+H: metres, y up, facing +z, left = +x. World: z up, floor at z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actionpose.arrays import Floats
from pipeline.body.rotations import rotation_matrices
from pipeline.body.smplh import BODY_JOINT_NAMES, BODY_PARENTS, available_genders, load_body
from pipeline.demo.body import body_arrays
from pipeline.importers.skeletons import BODY, LIMBS, SIDES

Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""From a world with y up to one with z up; what faced +z faces -y."""

NUMBER = {name: number for number, name in enumerate(BODY_JOINT_NAMES)}
PARENTS = BODY_PARENTS[: len(BODY)]
_BLOCK = 4096
_BONE_END = {
    **{"hip": "knee", "knee": "ankle", "ankle": "foot"},
    **{"shoulder": "elbow", "elbow": "wrist", "wrist": "middle1"},
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Figure:
    """A body at rest: joints (52, 3) in metres, the height of its soles, and which gender's file it is."""

    joints: Floats
    sole: float
    gender: str

    @property
    def leg(self) -> float:
        """Length of thigh and shin in metres, mean of both sides."""
        return float(np.mean([self.bone(f"{side}_{bone}")[1] for side in SIDES for bone in ("hip", "knee")]) * 2)

    def bone(self, name: str) -> tuple[Floats, float]:
        """Direction (3,) at rest and length in metres of the bone that begins at a limb's joint."""
        span = self.joints[NUMBER[bone_end(name)]] - self.joints[NUMBER[name]]
        length = float(np.linalg.norm(span))
        return span / length, length


def bone_end(name: str) -> str:
    """The joint at the far end of a limb's bone: `left_knee` for `left_hip`."""
    side, _, joint = name.partition("_")
    return f"{side}_{_BONE_END[joint]}"


LIMB_NAMES = tuple(f"{side}_{joint}" for side in SIDES for joint in LIMBS)


def load_figure(body: Path | None) -> Figure:
    """The neutral body of a folder in mean shape, or the demo body when none is given.

    Where the folder has no neutral body, its first one is taken, and the imported files say so.

    Raises:
        UserError: see `load_body`.
    """
    if body is None:
        arrays = body_arrays("neutral")
        return _figure(arrays["J_regressor"], arrays["v_template"], "neutral")
    genders = available_genders(body)
    gender = "neutral" if "neutral" in genders or not genders else genders[0]
    model = load_body(body, gender)
    return _figure(model.J_regressor, model.v_template, gender)


def _figure(regressor: Floats, vertices: Floats, gender: str) -> Figure:
    return Figure(joints=regressor @ vertices, sole=float(vertices[:, 1].min()), gender=gender)


def joint_places(figure: Figure, poses: Floats, trans: Floats) -> Floats:
    """World places (T, 22, 3), metres, of the body's joints.

    Args:
        figure: the body.
        poses: (T, 66 or more) axis-angle, radians, columns as in AMASS.
        trans: (T, 3) metres.
    """
    out = np.empty((len(poses), len(BODY), 3))
    for start in range(0, len(poses), _BLOCK):
        block = slice(start, start + _BLOCK)
        vectors = poses[block, : 3 * len(BODY)].reshape(-1, len(BODY), 3)
        local = np.moveaxis(rotation_matrices(np.ascontiguousarray(np.moveaxis(vectors, 0, -1))), -1, 0)
        turns = [local[:, 0]]
        out[block, 0] = figure.joints[0] + trans[block]
        for joint, parent in enumerate(PARENTS[1:], start=1):
            turns.append(turns[parent] @ local[:, joint])
            out[block, joint] = out[block, parent] + turns[parent] @ (figure.joints[joint] - figure.joints[parent])
    return out
