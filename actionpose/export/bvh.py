"""BVH: a skeleton of fixed bones in a fixed rest pose, and its rotations over time.

The rest pose has the arms out (T-pose), y up, facing +z; units are centimetres. Each bone is turned by a joint
of its own, so every bone has exactly the direction it was lifted with: pelvis and thorax, where three bones meet, have
a joint of length zero for each (`pelvis_left`, …). Bones have the median length over the clip; a lifted skeleton that
changes its lengths is made rigid, and how far that moves joints is measured.

Shape letters: T frames, N nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from actionpose.arrays import Floats
from actionpose.export.clip import Clip, complete
from actionpose.files import write_text
from actionpose.geometry import unit
from actionpose.skeleton import BONES, JOINT_NAMES, PARENTS

CENTIMETRES = 100.0
END_M = 0.08
"""Length of the end sites (hands, feet, crown), which the 17 joints do not tell."""

_REST: dict[str, tuple[float, float, float]] = {
    "right_hip": (-1, 0, 0),
    "right_knee": (0, -1, 0),
    "right_ankle": (0, -1, 0),
    "left_hip": (1, 0, 0),
    "left_knee": (0, -1, 0),
    "left_ankle": (0, -1, 0),
    "spine": (0, 1, 0),
    "thorax": (0, 1, 0),
    "nose": (0, 0.8, 0.6),
    "head": (0, 0.97, -0.243),
    "left_shoulder": (1, 0, 0),
    "left_elbow": (1, 0, 0),
    "left_wrist": (1, 0, 0),
    "right_shoulder": (-1, 0, 0),
    "right_elbow": (-1, 0, 0),
    "right_wrist": (-1, 0, 0),
}
"""Direction of each bone in the rest pose."""

REST = {name: np.asarray(d, np.float64) / np.linalg.norm(d) for name, d in _REST.items()}


@dataclass(frozen=True, kw_only=True)
class Node:
    """A joint of the hierarchy.

    Attributes:
        name: as written.
        parent: number of its parent; -1 for the root.
        at: joint of the skeleton where it lies.
        child: joint that its rotation aims at; None at the ends and where several bones meet.
    """

    name: str
    parent: int
    at: int
    child: int | None


def nodes() -> list[Node]:
    """The hierarchy, parents first, each branch in one piece."""
    return list(_below(0, -1, []))


def _below(joint: int, parent: int, before: list[Node]) -> Iterator[Node]:
    children = [c for p, c in BONES if p == joint]
    single = children[0] if len(children) == 1 else None
    here = len(before)
    node = Node(name=JOINT_NAMES[joint], parent=parent, at=joint, child=single)
    before.append(node)
    yield node
    for child in children:
        above = here
        if single is None:
            above = len(before)
            between = Node(name=f"{JOINT_NAMES[joint]}_to_{JOINT_NAMES[child]}", parent=here, at=joint, child=child)
            before.append(between)
            yield between
        yield from _below(child, above, before)


@dataclass(frozen=True, kw_only=True)
class Rigged:
    """A clip as rotations.

    Attributes:
        nodes: the hierarchy.
        lengths: (17,) metres of the bone that ends in each joint.
        root: (T, 3) metres.
        local: (T, N, 3, 3) rotation of each node in its parent's frame.
        moved_mm: mean and largest distance by which making bones rigid moved joints.
    """

    nodes: list[Node]
    lengths: Floats
    root: Floats
    local: Floats
    moved_mm: tuple[float, float]

    def positions(self) -> Floats:
        """(T, 17, 3) metres that the rotations give."""
        turned = np.empty_like(self.local)
        place = np.zeros((len(self.root), len(self.nodes), 3))
        out = np.zeros((len(self.root), 17, 3))
        for number, node in enumerate(self.nodes):
            if node.parent < 0:
                turned[:, number], place[:, number] = self.local[:, number], self.root
            else:
                turned[:, number] = turned[:, node.parent] @ self.local[:, number]
                place[:, number] = place[:, node.parent] + turned[:, node.parent] @ offset(self, node)
            out[:, node.at] = place[:, number]
        return out


def offset(rig: Rigged, node: Node) -> Floats:
    """(3,) metres from the parent node to a node in the rest pose."""
    if node.parent < 0 or rig.nodes[node.parent].at == node.at:
        return np.zeros(3)
    return rig.lengths[node.at] * REST[JOINT_NAMES[node.at]]


def rig(clip: Clip) -> Rigged:
    """Turn positions into rotations of fixed bones; every bone keeps its direction.

    Raises:
        UserError: joints are hidden.
    """
    poses = complete(clip).poses
    lengths = np.zeros(17)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            lengths[joint] = np.median(np.linalg.norm(poses[:, joint] - poses[:, parent], axis=-1))
    plan = nodes()
    turned = np.empty((len(poses), len(plan), 3, 3))
    local = np.empty_like(turned)
    for number, node in enumerate(plan):
        above = turned[:, node.parent] if node.parent >= 0 else np.broadcast_to(np.eye(3), (len(poses), 3, 3))
        if node.child is not None:
            turned[:, number] = _aimed(above, REST[JOINT_NAMES[node.child]], poses[:, node.child] - poses[:, node.at])
        elif node.at in (0, 8):
            turned[:, number] = _body_frame(poses, node.at)
        else:
            turned[:, number] = above
        local[:, number] = above.transpose(0, 2, 1) @ turned[:, number]
    made = Rigged(nodes=plan, lengths=lengths, root=poses[:, 0], local=local, moved_mm=(0.0, 0.0))
    away = 1000 * np.linalg.norm(made.positions() - poses, axis=-1)
    return Rigged(**{**made.__dict__, "moved_mm": (float(away.mean()), float(away.max()))})


def _aimed(above: Floats, rest: Floats, bone: Floats) -> Floats:
    """(T, 3, 3): the parent's rotation, turned by the least angle that brings the resting bone to its direction."""
    now: Floats = above @ rest
    length = np.linalg.norm(bone, axis=-1, keepdims=True)
    wanted = np.where(length > 1e-9, bone / np.maximum(length, 1e-9), now)
    axis: Floats = np.cross(now, wanted)
    sine, cosine = np.linalg.norm(axis, axis=-1), (now * wanted).sum(axis=-1)
    # Opposite directions have no least turn; any axis across will do.
    across = np.cross(now, np.where(np.abs(now[:, :1]) < 0.9, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]))
    axis = unit(np.where((sine < 1e-9)[:, None], across, axis))
    return Rotation.from_rotvec(axis * np.arctan2(sine, cosine)[:, None]).as_matrix() @ above


def _body_frame(poses: Floats, joint: int) -> Floats:
    """(T, 3, 3) of pelvis or thorax: x to the person's left, y along the spine, z forward."""
    names = ("left_hip", "right_hip") if joint == 0 else ("left_shoulder", "right_shoulder")
    left, right = (JOINT_NAMES.index(name) for name in names)
    below, above = (0, JOINT_NAMES.index("spine")) if joint == 0 else (JOINT_NAMES.index("spine"), joint)
    x: Floats = unit(poses[:, left] - poses[:, right])
    y: Floats = poses[:, above] - poses[:, below]
    y = unit(y - x * (x * y).sum(axis=-1, keepdims=True))
    return np.stack([x, y, np.cross(x, y)], axis=-1)


# --- the file ---------------------------------------------------------------------------------


def write_bvh(clip: Clip, path: Path) -> tuple[str, ...]:
    """Write a clip as BVH; what was done to it.

    Raises:
        UserError: joints are hidden, or the file cannot be written.
    """
    made = rig(clip)
    lines = ["HIERARCHY", *_hierarchy(made, 0, 0), "MOTION", f"Frames: {len(made.root)}"]
    lines += [f"Frame Time: {1.0 / clip.fps:.8f}", *_motion(made)]
    write_text(path, "\n".join(lines) + "\n")
    mean, most = made.moved_mm
    return (
        *clip.notes,
        f"bones have their median length: that moved joints by {mean:.1f} mm on average, {most:.0f} mm at most",
    )


def _hierarchy(made: Rigged, number: int, depth: int) -> Iterator[str]:
    node, pad = made.nodes[number], "  " * depth
    root = node.parent < 0
    yield f"{pad}{'ROOT' if root else 'JOINT'} {node.name}"
    yield f"{pad}{{"
    yield f"{pad}  OFFSET {_numbers(CENTIMETRES * offset(made, node))}"
    moving = "6 Xposition Yposition Zposition" if root else "3"
    yield f"{pad}  CHANNELS {moving} Zrotation Xrotation Yrotation"
    below = [n for n, other in enumerate(made.nodes) if other.parent == number]
    for child in below:
        yield from _hierarchy(made, child, depth + 1)
    if not below:
        end = CENTIMETRES * END_M * REST[JOINT_NAMES[node.at]]
        yield from (f"{pad}  End Site", f"{pad}  {{", f"{pad}    OFFSET {_numbers(end)}", f"{pad}  }}")
    yield f"{pad}}}"


def _motion(made: Rigged) -> Iterator[str]:
    shape = made.local.shape
    # Intrinsic: about z, then the turned x, then the turned y, as the channels are listed.
    angles = Rotation.from_matrix(made.local.reshape(-1, 3, 3)).as_euler("ZXY", degrees=True).reshape(shape[0], -1)
    for place, turns in zip(CENTIMETRES * made.root, angles, strict=True):
        yield _numbers(np.concatenate([place, turns]))


def _numbers(values: Floats) -> str:
    return " ".join(f"{value:.6f}" for value in values + 0.0)
