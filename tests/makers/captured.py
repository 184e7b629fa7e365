"""A made-up person's motion on the demo body, written as captured figures of many makers: BVH and ASF/AMC.

Whatever the figure rests in, its file shows the very same bones in space, so an importer must find the same motion.

Legend: T frames, B = 22 body joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.body.rotations import rotation_matrices, rotation_vectors, rotations_about
from pipeline.importers.figure import NUMBER, PARENTS, Z_UP, Figure, load_figure
from pipeline.importers.skeletons import BODY, Table, tables

ORDERS = {"ZXY": (2, 0, 1), "ZYX": (2, 1, 0), "YXZ": (1, 0, 2), "XYZ": (0, 1, 2)}
FPS = 60.0


@dataclass(frozen=True)
class Person:
    """Motion of the demo body: poses (T, 66) radians, trans (T, 3) metres, world with z up, at `fps`."""

    figure: Figure
    poses: np.ndarray
    trans: np.ndarray
    fps: float = FPS

    @property
    def turns(self) -> np.ndarray:
        """Global rotations (T, B, 3, 3) in a world with y up."""
        vectors = self.poses.reshape(len(self.poses), len(BODY), 3)
        local = np.moveaxis(rotation_matrices(np.ascontiguousarray(np.moveaxis(vectors, 0, -1))), -1, 0)
        turns = [Z_UP.T @ local[:, 0]]
        for joint, parent in enumerate(PARENTS[1:], start=1):
            turns.append(turns[parent] @ local[:, joint])
        return np.stack(turns, axis=1)

    @property
    def pelvis(self) -> np.ndarray:
        """Places (T, 3) of the pelvis in a world with y up."""
        return (self.figure.joints[0] + self.trans) @ Z_UP


def jumper(seconds: float = 4.0, fps: float = FPS, gravity: float = 9.81, flight: float = 0.44) -> Person:
    """Somebody who stands, waves, leans, jumps twice, and turns a little; planted feet stay where they are.

    Legs keep straight and the root upright, so that feet move with the pelvis alone.
    """
    figure = load_figure(None)
    time = np.arange(round(seconds * fps)) / fps
    swing = np.sin(2 * np.pi * time / 1.6)
    vectors = np.zeros((len(time), len(BODY), 3))
    for name, axis, size in (
        ("left_shoulder", 2, -0.9), ("right_shoulder", 2, 0.7), ("left_elbow", 1, -0.8), ("right_elbow", 1, 0.9),
        ("spine1", 0, 0.15), ("spine3", 1, 0.2), ("neck", 1, 0.3), ("head", 0, 0.2), ("left_collar", 2, 0.1),
        ("left_wrist", 0, 0.4), ("right_wrist", 1, 0.3), ("left_foot", 0, 0.0),
    ):  # fmt: skip
        vectors[:, NUMBER[name], axis] = size * (swing if "left" in name else swing**2)
    vectors[:, 0] = rotation_vectors(np.broadcast_to(Z_UP, (len(time), 3, 3)))
    height = np.zeros(len(time))
    for start in (1.0, 2.4):
        since = time - start
        up = (since >= 0) & (since <= flight)
        height[up] = 0.5 * gravity * since[up] * (flight - since[up])
        # Knees and hips bend a little while nobody stands on them.
        bend = np.where(up, np.sin(np.pi * np.clip(since / flight, 0, 1)) ** 2, 0)
        for side in ("left", "right"):
            vectors[:, NUMBER[f"{side}_hip"], 0] -= 0.15 * bend
            vectors[:, NUMBER[f"{side}_knee"], 0] += 0.3 * bend
    standing = figure.joints[0, 1] - figure.sole - figure.joints[0, 2]
    trans = np.stack([0.5 + 0 * time, -0.3 + 0 * time, standing + height], axis=1)
    return Person(figure, vectors.reshape(len(time), -1), trans, fps)


@dataclass(frozen=True)
class Build:
    """How a figure is put together: names of its joints, rest axes, directions its limbs have at rest, its unit."""

    names: Mapping[str, str]
    axes: Mapping[str, np.ndarray] = field(default_factory=dict)
    bends: Mapping[str, np.ndarray] = field(default_factory=dict)
    unit: float = 100.0
    prefix: str = ""
    others: tuple[str, ...] = ()
    """Joints below the root that never move and are nobody's."""


def build_of(table: Table, unit: float = 100.0, prefix: str = "") -> Build:
    """The figure that a table describes, with the body's proportions."""
    from pipeline.body.rotations import shortest_rotation
    from pipeline.importers.figure import LIMB_NAMES

    names = {body: names[0] for body, names in table.joints.items()}
    axes = {}
    for body, name in names.items():
        if text := table.rest_axes.get(name):
            columns = [np.eye(3)["xyz".index(a[1])] * (1 if a[0] == "+" else -1) for a in text.split()]
            axes[body] = np.stack(columns, axis=1)
    figure = load_figure(None)
    bends = {}
    for body in LIMB_NAMES:
        side, _, joint = body.partition("_")
        if joint in table.rest_directions:
            direction = np.array(table.rest_directions[joint]) * (1 if side == "left" else -1, 1, 1)
            bends[body] = shortest_rotation(figure.bone(body)[0], direction)
    return Build(names=names, axes=axes, bends=bends, unit=unit, prefix=prefix, others=table.needs)


def angles_of(matrices: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """Degrees (..., 3) whose rotations, multiplied in that order of axes, make the matrices."""
    i, j, k = order
    even = 1.0 if (j - i) % 3 == 1 else -1.0
    second = np.arcsin(np.clip(even * matrices[..., i, k], -1, 1))
    first = np.arctan2(-even * matrices[..., j, k], matrices[..., k, k])
    third = np.arctan2(-even * matrices[..., i, j], matrices[..., i, i])
    # Where the second is a right angle, only the sum of the others counts.
    locked = np.abs(matrices[..., i, k]) > 1 - 1e-9
    first = np.where(locked, np.arctan2(even * matrices[..., k, j], matrices[..., j, j]), first)
    third = np.where(locked, 0.0, third)
    return np.degrees(np.stack([first, second, third], axis=-1))


def tree(build: Build) -> list[tuple[str, str]]:
    """(body joint, nearest ancestor that the figure has), parents first."""
    out = []
    for body in BODY:
        if body in build.names:
            above = PARENTS[NUMBER[body]]
            while above >= 0 and BODY[above] not in build.names:
                above = PARENTS[above]
            out.append((body, BODY[above] if above >= 0 else ""))
    return out


def figure_motion(person: Person, build: Build) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Local rotations (T, 3, 3) and offsets (3,) in metres of each joint that the figure has."""
    turns = person.turns
    world = {
        body: turns[:, NUMBER[body]] @ build.bends.get(body, np.eye(3)).T @ build.axes.get(body, np.eye(3))
        for body in build.names
    }
    local, offsets = {}, {}
    for body, above in tree(build):
        local[body] = world[above].swapaxes(1, 2) @ world[body] if above else world[body]
        span = person.figure.joints[NUMBER[body]] - (person.figure.joints[NUMBER[above]] if above else 0)
        # In the parent's own axes, the bone is where the body's is.
        own = build.axes.get(above, np.eye(3)).T @ build.bends.get(above, np.eye(3)) if above else np.eye(3)
        offsets[body] = own @ span if above else np.zeros(3)
    return local, offsets


def bvh_text(person: Person, build: Build, order: str = "ZXY", frame_time: str | None = None) -> str:
    """A BVH file of the person."""
    local, offsets = figure_motion(person, build)
    below: dict[str, list[str]] = {}
    for body, above in tree(build):
        below.setdefault(above, []).append(body)
    lines, columns = ["HIERARCHY"], []
    _joint_lines("pelvis", 0, build, below, offsets, order, lines, columns)
    blocks = [person.pelvis * build.unit]
    blocks += [angles_of(local[body], ORDERS[order]) for body in columns]
    rows = np.concatenate(blocks, axis=1)
    lines += ["MOTION", f"Frames: {len(rows)}", f"Frame Time: {frame_time or f'{1 / person.fps:.8f}'}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in rows]
    return "\n".join(lines) + "\n"


def _joint_lines(body, depth, build, below, offsets, order, lines, columns) -> None:
    pad = "\t" * depth
    rotations = " ".join(f"{axis}rotation" for axis in order)
    lines.append(f"{pad}{'JOINT' if depth else 'ROOT'} {build.prefix}{build.names[body]}")
    lines.append(pad + "{")
    lines.append(f"{pad}\tOFFSET " + " ".join(f"{n * build.unit:.6f}" for n in offsets[body]))
    places = "" if depth else "Xposition Yposition Zposition "
    lines.append(f"{pad}\tCHANNELS {3 if depth else 6} {places}{rotations}")
    columns.append(body)
    for other in () if depth else build.others:
        lines.append(f"\tJOINT {build.prefix}{other} {{\n\t\tOFFSET 0 0 0\n\t\tCHANNELS 0\n\t}}")
    for child in below.get(body, []):
        _joint_lines(child, depth + 1, build, below, offsets, order, lines, columns)
    if body not in below:
        lines.append(f"{pad}\tEnd Site")
        lines.append(pad + "\t{")
        lines.append(f"{pad}\t\tOFFSET 0 0 0")
        lines.append(pad + "\t}")
    lines.append(pad + "}")


def write_bvh(path: Path, person: Person, table: str = "mixamo", **given) -> Path:
    """Write the person as the figure of a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    build = build_of(tables()[table], **{k: given.pop(k) for k in ("unit", "prefix") if k in given})
    path.write_text(bvh_text(person, build, **given))
    return path


# --- ASF/AMC ----------------------------------------------------------------------------------

AXIS = np.array([20.0, -30.0, 90.0])
"""Degrees about x, y, z of the axes in which every bone's angles are given."""


def write_asf_amc(folder: Path, person: Person, subject: str = "05", take: str = "01") -> Path:
    """Write `SUBJECT.asf` and `SUBJECT_TAKE.amc` with the names of the CMU database; return the AMC.

    A bone of an ASF begins at its joint, so each body joint's bone reaches to the joint below, and joints with several
    below them get bones without channels that lead there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = tables()["cmu_asf"]
    build = build_of(table)
    local, offsets = figure_motion(person, build)
    axes = np.eye(3)
    for axis in range(3):
        axes = rotations_about(np.eye(3)[axis], np.deg2rad(AXIS[axis])) @ axes
    bones, hierarchy = [], {}
    for body, above in tree(build):
        if not above:
            continue
        # A bone of no channels carries the joint to its place; the joint's own bone begins there.
        carrier, name = f"to_{build.names[body]}", build.names[body]
        bones.append((carrier, offsets[body], ""))
        ends = [offsets[b] for b, a in tree(build) if a == body]
        bones.append((name, 1e-9 * (ends[0] if ends else np.array([0.0, 1, 0])), "rx ry rz"))
        hierarchy.setdefault(build.names[above], []).append(carrier)
        hierarchy.setdefault(carrier, []).append(name)
    text = [":version 1.10", ":name made", ":units", "  mass 1.0", "  length 0.45", "  angle deg", ":root"]
    text += ["  order TX TY TZ RX RY RZ", "  axis XYZ", "  position 0 0 0", "  orientation 0 0 0", ":bonedata"]
    unit = 17.7165
    for number, (name, span, channels) in enumerate(bones, start=1):
        length = np.linalg.norm(span)
        text += ["  begin", f"    id {number}", f"    name {name}"]
        text += [f"    direction {' '.join(f'{n:.9f}' for n in span / length)}", f"    length {length * unit:.9f}"]
        text += [f"    axis {' '.join(map(str, AXIS))}  XYZ"] + ([f"    dof {channels}"] if channels else [])
        text += ["  end"]
    text += [":hierarchy", "  begin"]
    text += [f"    {above} {' '.join(children)}" for above, children in hierarchy.items()] + ["  end"]
    (folder / f"{subject}.asf").write_text("\n".join(text) + "\n")
    own = {body: axes.T @ turn @ axes for body, turn in local.items() if body != "pelvis"}
    angles = {build.names[body]: angles_of(turn, (2, 1, 0))[:, ::-1] for body, turn in own.items()}
    root = np.concatenate([person.pelvis * unit, angles_of(local["pelvis"], (2, 1, 0))[:, ::-1]], axis=1)
    lines = ["#!made by a test", ":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(len(person.poses)):
        lines += [str(frame + 1), "root " + " ".join(f"{n:.6f}" for n in root[frame])]
        lines += [f"{name} " + " ".join(f"{n:.6f}" for n in rows[frame]) for name, rows in angles.items()]
    path = folder / f"{subject}_{take}.amc"
    path.write_text("\n".join(lines) + "\n")
    return path
