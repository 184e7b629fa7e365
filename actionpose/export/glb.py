"""GLB: the skeleton as a figure of joints and bones that moves, through trimesh; any glTF viewer plays it.

trimesh makes the meshes and the scene, one node for each joint and bone; the animation is added before it writes
the file, since trimesh itself makes none.

Shape letters: T frames.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from actionpose.arrays import Floats
from actionpose.export.clip import Clip, complete
from actionpose.extras import needed_for
from actionpose.files import atomic_path
from actionpose.skeleton import BONES, JOINT_NAMES, LEFT, RIGHT

JOINT_RADIUS_M, BONE_RADIUS_M = 0.028, 0.018
COLOURS = {"left": (224, 99, 43, 255), "right": (35, 104, 196, 255), "middle": (86, 97, 108, 255)}
_FLOAT = 5126  # glTF's number of a type


def write_glb(clip: Clip, path: Path) -> tuple[str, ...]:
    """Write a clip as an animated figure, metres, y up.

    Raises:
        UserError: joints are hidden.
        MissingPackageError: trimesh is not installed.
    """
    poses = complete(clip).poses
    tracks = {f"joint_{name}": {"translation": poses[:, j]} for j, name in enumerate(JOINT_NAMES)}
    tracks |= {f"bone_{JOINT_NAMES[child]}": _bone_track(poses, parent, child) for parent, child in BONES}
    animate = partial(_animate, seconds=clip.seconds, tracks=tracks)
    content = _scene(tracks).export(file_type="glb", buffer_postprocessor=animate)
    with atomic_path(path) as aside:
        aside.write_bytes(content)
    return clip.notes


Track = dict[str, Floats]
"""glTF's paths: translation (T, 3), rotation (T, 4) as x, y, z, w, scale (T, 3); those that move."""


def _bone_track(poses: Floats, parent: int, child: int) -> Track:
    """A unit cylinder along z from the origin becomes the bone."""
    bone = poses[:, child] - poses[:, parent]
    length = np.linalg.norm(bone, axis=-1)
    along = bone / np.maximum(length, 1e-9)[:, None]
    # The least turn from z to the bone: half way between them lies the axis of half a turn.
    half = along + np.array([0.0, 0.0, 1.0])
    size = np.linalg.norm(half, axis=-1, keepdims=True)
    half = np.where(size > 1e-6, half / np.maximum(size, 1e-6), (1.0, 0.0, 0.0))
    half_turn, flip = Rotation.from_rotvec(np.pi * half), Rotation.from_rotvec([0.0, 0.0, np.pi])
    scale = np.stack([np.ones_like(length), np.ones_like(length), length], axis=1)
    return {"translation": poses[:, parent], "rotation": (half_turn * flip).as_quat(), "scale": scale}


def _scene(tracks: dict[str, Track]) -> Any:
    """The scene, by trimesh, of the first frame, a node for each track."""
    with needed_for("a GLB file", "export"):
        import trimesh

    scene = trimesh.Scene()
    for name, track in tracks.items():
        if name.startswith("joint_"):
            mesh = trimesh.creation.icosphere(subdivisions=2, radius=JOINT_RADIUS_M)
        else:
            mesh = trimesh.creation.cylinder(radius=BONE_RADIUS_M, height=1.0, sections=16)
            mesh.apply_translation([0, 0, 0.5])
        mesh.visual.face_colors = COLOURS[_side(name)]
        scene.add_geometry(mesh, node_name=name, geom_name=name, transform=_first(track))
    return scene


def _side(name: str) -> str:
    joint = JOINT_NAMES.index(name.partition("_")[2])
    return "left" if joint in LEFT else "right" if joint in RIGHT else "middle"


def _first(track: Track) -> Floats:
    matrix = np.eye(4)
    if "rotation" in track:
        matrix[:3, :3] = Rotation.from_quat(track["rotation"][0]).as_matrix() * track["scale"][0]
    matrix[:3, 3] = track["translation"][0]
    return matrix


def _animate(buffer: Any, tree: dict[str, Any], seconds: Floats, tracks: dict[str, Track]) -> None:
    """Add tracks to the nodes of their names; called by trimesh while accessors and buffers are still by name."""

    def added(values: Floats, kind: str, **more: Any) -> int:
        raw, name = np.ascontiguousarray(values, dtype="<f4"), f"animation {len(buffer)}"
        buffer[name] = raw.tobytes()
        tree["accessors"][name] = {
            "bufferView": len(buffer) - 1, "componentType": _FLOAT, "count": len(raw), "type": kind, **more
        }  # fmt: skip
        return len(tree["accessors"]) - 1

    number = {node.get("name"): place for place, node in enumerate(tree["nodes"])}
    times = np.asarray(seconds, np.float32)
    at = added(times, "SCALAR", min=[float(times.min())], max=[float(times.max())])
    channels: list[dict[str, Any]] = []
    samplers: list[dict[str, Any]] = []
    for name, track in tracks.items():
        node = tree["nodes"][number[name]]
        node.pop("matrix", None)  # a node that is animated may not have one
        for path, values in track.items():
            node[path] = [float(v) for v in values[0]]
            channels.append({"sampler": len(samplers), "target": {"node": number[name], "path": path}})
            kind = "VEC4" if path == "rotation" else "VEC3"
            samplers.append({"input": at, "output": added(values, kind), "interpolation": "LINEAR"})
    tree["animations"] = [{"name": "lifted", "channels": channels, "samplers": samplers}]
