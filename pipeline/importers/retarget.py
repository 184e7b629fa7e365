"""A captured figure's motion on the body: rotations relative to the rest pose are carried over, the path is scaled.

Rotations are global and relative to how the figure stands at rest, so the axes of its bones never matter. The torso
takes them as they are. A limb's bone first turns by the shortest way from the body's direction at rest to the
figure's: from then on it points where the figure's points, whatever pose either one rests in.

Legend: T frames, N frames of a block, B = 22 body joints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from actionpose.arrays import Floats
from actionpose.geometry import unit
from pipeline.body.rotations import halfway, quaternion_vectors, quaternions, shortest_rotation
from pipeline.engine.item import ItemError
from pipeline.importers.figure import LIMB_NAMES, NUMBER, PARENTS, Z_UP, Figure, bone_end
from pipeline.importers.skeletons import BODY, SIDES, Correspondence
from pipeline.importers.source import Placed, Source, placed

_BLOCK = 4096
_AXES = {"x": 0, "y": 1, "z": 2}
_ARM = {"wrist": "elbow", "elbow": "shoulder"}
"""A joint of the arm → the one before."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Retargeted:
    """Motion on the body: poses (T, 66) radians and trans (T, 3) metres in a world with z up.

    Attributes:
        scale: metres of the body for one unit of the source's path.
        bone_angles: limb joint → mean angle in degrees between the source's bone, from joint to joint, and the body's.
        upright: mean over frames of how far the way from ankles to shoulders points along each world axis, -1 to 1.
    """

    poses: Floats
    trans: Floats
    scale: float
    bone_angles: dict[str, float]
    upright: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class RestPose:
    """A figure's rest pose.

    Attributes:
        turns: (J, 3, 3) global rotations of its joints, in the file's world.
        places: (J, 3) places of its joints, in the file's world and unit.
        axes: (3, 3) from the file's world to one with y up, the figure facing +z and its left at +x.
    """

    turns: Floats
    places: Floats
    axes: Floats


# --- the rest pose ----------------------------------------------------------------------------


def rest_pose(source: Source, mapping: Correspondence) -> RestPose:
    """The figure's rest pose: at zero angles, by the table's axes, or from the frame that the table names.

    Raises:
        ItemError: it is not a standing person, so rotations relative to it would be meaningless.
    """
    frame = mapping.table.rest_frame
    if frame is not None:
        if not 0 <= frame < source.frames:
            raise ItemError("no rest pose", f"rest_frame is {frame}, and there are {source.frames} frames")
        still = placed(source, range(len(source.joints)), slice(frame, frame + 1))
        turns = np.stack([still.turns[n][0] for n in range(len(source.joints))])
        places = np.stack([still.places[n][0] for n in range(len(source.joints))])
    else:
        turns, places = _resting(source, mapping)
    return RestPose(turns=turns, places=places, axes=_standing(places, mapping))


def _resting(source: Source, mapping: Correspondence) -> tuple[Floats, Floats]:
    axes = {number: _axes_matrix(text) for number, text in mapping.rest_axes.items()}
    turns, places = np.empty((len(source.joints), 3, 3)), np.empty((len(source.joints), 3))
    for number, joint in enumerate(source.joints):
        above = turns[joint.parent] if joint.parent >= 0 else np.eye(3)
        start = places[joint.parent] if joint.parent >= 0 else np.zeros(3)
        turns[number] = axes.get(number, above)
        places[number] = start + above @ np.asarray(joint.offset)
    return turns, places


def _axes_matrix(text: str) -> Floats:
    columns = [np.eye(3)[_AXES[axis[1]]] * (1 if axis[0] == "+" else -1) for axis in text.split()]
    return np.stack(columns, axis=1)


def _standing(places: Floats, mapping: Correspondence) -> Floats:
    """The file's axes as rows left, up, forward.

    Raises:
        ItemError: the figure at rest does not stand along an axis, legs down and toes ahead.
    """
    at = {name: places[number] for name, number in mapping.joints.items()}
    hips, ankles = _middle(at, "hip"), _middle(at, "ankle")
    up = _snapped(_middle(at, "shoulder") - hips, "its torso does not stand along an axis")
    if mapping.table.up and up[_AXES[mapping.table.up]] < 0.5:
        raise _not_standing(f"it does not stand along +{mapping.table.up}, which the table states")
    for side in SIDES:
        if unit(at[f"{side}_ankle"] - at[f"{side}_hip"]) @ up > -0.7:
            raise _not_standing("its legs do not point down from its hips")
    hip_line = at["left_hip"] - at["right_hip"]
    left = _snapped(hip_line - (hip_line @ up) * up, "its hips do not lie along an axis")
    ahead = np.cross(left, up)
    toes = [at[f"{side}_foot"] - at[f"{side}_ankle"] for side in SIDES if f"{side}_foot" in at]
    if toes and float(np.sum(toes, axis=0) @ ahead) < 0:
        raise ItemError(
            "sides swapped", "at rest the toes point backwards: left and right are named the wrong way round"
        )
    if (at["left_shoulder"] - at["right_shoulder"]) @ left < 0:
        raise ItemError("sides swapped", "left and right of the shoulders contradict those of the hips")
    if not np.linalg.norm(hips - ankles) > 0:
        raise _not_standing("its legs have no length")
    return np.stack([left, up, ahead])


def _not_standing(why: str) -> ItemError:
    return ItemError(
        "no rest pose",
        f"the rest pose is not that of a standing person: {why}; give `rest_axes` or `rest_frame` in "
        "a joint map (--joints)",
    )


def _middle(at: dict[str, Floats], joint: str) -> Floats:
    return (at[f"left_{joint}"] + at[f"right_{joint}"]) / 2


def _snapped(vector: Floats, why: str) -> Floats:
    """The coordinate axis nearest to a direction; a figure stands along one, give or take its build."""
    along = unit(vector)
    axis = int(np.abs(along).argmax())
    if abs(along[axis]) < 0.85:
        raise _not_standing(why)
    return np.eye(3)[axis] * np.sign(along[axis])


# --- the motion -------------------------------------------------------------------------------


def retarget(source: Source, mapping: Correspondence, rest: RestPose, figure: Figure) -> Retargeted:
    """Retarget a take to the body.

    Heights are those of the source, scaled; `floor.py` puts the feet on the floor.

    Raises:
        ItemError: legs without length, or limbs that are longer or shorter in the motion than at rest.
    """
    fixed = _fixed_turns(source, mapping, rest, figure)
    world = Z_UP @ rest.axes
    scale = figure.leg / _leg(rest.places, mapping)
    middle = (figure.joints[NUMBER["left_hip"]] + figure.joints[NUMBER["right_hip"]]) / 2 - figure.joints[0]
    turned = np.empty((source.frames, len(BODY), 4))
    trans = np.empty((source.frames, 3))
    angles: dict[str, float] = {}
    upright = np.zeros(3)
    for block, seen in _blocks(source, mapping):
        _check_lengths(seen, mapping, rest)
        turns = _body_turns(seen, mapping, fixed, world)
        hips = (seen.places[mapping.joints["left_hip"]] + seen.places[mapping.joints["right_hip"]]) / 2
        trans[block] = scale * hips @ world.T - turns[0] @ middle - figure.joints[0]
        for joint, parent in enumerate(PARENTS):
            turned[block, joint] = quaternions(
                turns[joint] if parent < 0 else turns[parent].swapaxes(1, 2) @ turns[joint]
            )
        _add_angles(angles, seen, turns, mapping, figure, world)
        upright += _add_upright(seen, mapping, world)
    poses = quaternion_vectors(turned).reshape(source.frames, 3 * len(BODY))
    return Retargeted(
        poses=poses,
        trans=trans,
        scale=scale,
        bone_angles={name: total / source.frames for name, total in angles.items()},
        upright=upright / source.frames,
    )


def _blocks(source: Source, mapping: Correspondence) -> Iterator[tuple[slice, Placed]]:
    wanted = {*mapping.joints.values(), *(n for pair in mapping.halfway.values() for n in pair)}
    chain = source.chain(wanted)
    for start in range(0, source.frames, _BLOCK):
        block = slice(start, start + _BLOCK)
        yield block, placed(source, chain, block)


def _leg(places: Floats, mapping: Correspondence) -> float:
    at = {name: places[number] for name, number in mapping.joints.items()}
    spans = [
        float(np.linalg.norm(at[f"{side}_{end}"] - at[f"{side}_{start}"]))
        for side in SIDES
        for start, end in (("hip", "knee"), ("knee", "ankle"))
    ]
    if min(spans) <= 1e-9:
        raise ItemError("no rest pose", "a thigh or shin has no length")
    return sum(spans) / 2


def _fixed_turns(
    source: Source, mapping: Correspondence, rest: RestPose, figure: Figure
) -> dict[int, dict[str, Floats]]:
    """For each source joint, the constant rotations to multiply its own by on the right, by body joint."""
    fixed: dict[int, dict[str, Floats]] = {}
    for name, number in mapping.joints.items():
        fixed.setdefault(number, {})[name] = (rest.axes @ rest.turns[number]).T @ _bent(
            name, source, mapping, rest, figure
        )
    for pair in mapping.halfway.values():
        for number in pair:
            fixed.setdefault(number, {})[""] = (rest.axes @ rest.turns[number]).T
    return fixed


def _bent(name: str, source: Source, mapping: Correspondence, rest: RestPose, figure: Figure) -> Floats:
    """From the body's direction of a bone at rest to the figure's; nothing for the torso.

    Where an arm ends, in hands without fingers, what lies beyond is taken to go on as the bone before does.
    """
    if name not in LIMB_NAMES or name in mapping.table.as_is:
        return np.eye(3)
    direction = _rest_direction(name, source, mapping, rest)
    if direction is not None:
        return shortest_rotation(figure.bone(name)[0], direction)
    side, _, joint = name.partition("_")
    before = f"{side}_{_ARM[joint]}" if joint in _ARM else ""
    return _bent(before, source, mapping, rest, figure) if before in mapping.joints else np.eye(3)


def _rest_direction(name: str, source: Source, mapping: Correspondence, rest: RestPose) -> Floats | None:
    """Direction of a limb's bone at rest, y up, facing +z; None when the figure ends there."""
    side, _, joint = name.partition("_")
    if joint in mapping.table.rest_directions:
        measured = np.array(mapping.table.rest_directions[joint])
        return measured * (1 if side == "left" else -1, 1, 1)
    number = mapping.joints[name]
    end = mapping.joints.get(bone_end(name))
    if end is None:
        end = _only_child(source, number)
    if end is None or np.linalg.norm(span := rest.places[end] - rest.places[number]) < 1e-9:
        return None
    return rest.axes @ unit(span)


def _only_child(source: Source, number: int) -> int | None:
    """The joint or end site below a hand or foot; of several fingers the middle one."""
    below = source.children(number)
    middle = [n for n in below if "mid" in source.joints[n].name.lower()]
    return middle[0] if middle else (below[0] if len(below) == 1 else None)


def _body_turns(
    seen: Placed, mapping: Correspondence, fixed: dict[int, dict[str, Floats]], world: Floats
) -> list[Floats]:
    """Global rotations (N, 3, 3) of the body's joints in a world with z up."""
    found: dict[str, Floats] = {
        name: world @ seen.turns[number] @ fixed[number][name] for name, number in mapping.joints.items()
    }
    for name, (first, second) in mapping.halfway.items():
        a, b = (world @ seen.turns[number] @ fixed[number][""] for number in (first, second))
        found[name] = halfway(a, b)
    for name, parent in zip(BODY, PARENTS, strict=True):
        if name not in found:
            found[name] = _filled(name, BODY[parent], found)
    return [found[name] for name in BODY]


def _filled(name: str, parent: str, found: dict[str, Floats]) -> Floats:
    """A joint that the source lacks follows its parent; in the spine it is half-way to the next one above."""
    above = next((n for n in ("spine1", "spine2", "spine3") if n > name and n in found), None)
    return halfway(found[parent], found[above]) if name.startswith("spine") and above else found[parent]


def _check_lengths(seen: Placed, mapping: Correspondence, rest: RestPose) -> None:
    for name in LIMB_NAMES:
        if name not in mapping.joints or bone_end(name) not in mapping.joints:
            continue
        start, end = mapping.joints[name], mapping.joints[bone_end(name)]
        resting = float(np.linalg.norm(rest.places[end] - rest.places[start]))
        moving = float(np.linalg.norm(seen.places[end] - seen.places[start], axis=1).mean())
        if not 0.5 * resting <= moving <= 2 * resting:
            raise ItemError(
                "bones change length",
                f"the bone at {name} is {resting:.3g} long at rest and {moving:.3g} in the motion: positions of joints "
                "are read in place of their offsets; export rotations alone",
            )


def _add_angles(
    angles: dict[str, float], seen: Placed, turns: list[Floats], mapping: Correspondence, figure: Figure, world: Floats
) -> None:
    for name in LIMB_NAMES:
        end = bone_end(name)
        if name not in mapping.joints or end not in mapping.joints:
            continue
        span = unit((seen.places[mapping.joints[end]] - seen.places[mapping.joints[name]]) @ world.T)
        cosine = np.clip((span * (turns[NUMBER[name]] @ figure.bone(name)[0])).sum(axis=1), -1, 1)
        angles[name] = angles.get(name, 0.0) + float(np.degrees(np.arccos(cosine)).sum())


def _add_upright(seen: Placed, mapping: Correspondence, world: Floats) -> Floats:
    at = {name: seen.places[mapping.joints[name]] for name in mapping.joints}
    total: Floats = unit((_middle(at, "shoulder") - _middle(at, "ankle")) @ world.T).sum(axis=0)
    return total
