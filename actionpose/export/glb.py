"""GLB: the skeleton as a figure of joints and bones that moves, through trimesh; any glTF viewer plays it.

trimesh makes the meshes and the scene, one node for each joint and bone; the animation is added to the file's tree,
since trimesh itself writes none.

Shape letters: T frames.
"""

from __future__ import annotations

import json
import struct
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
_FLOAT, _MAGIC, _JSON, _BIN = 5126, 0x46546C67, 0x4E4F534A, 0x004E4942


def write_glb(clip: Clip, path: Path) -> tuple[str, ...]:
    """Write a clip as an animated figure, metres, y up.

    Raises:
        UserError: joints are hidden.
        MissingPackageError: trimesh is not installed.
    """
    poses = complete(clip).poses
    tracks = {f"joint_{name}": {"translation": poses[:, j]} for j, name in enumerate(JOINT_NAMES)}
    tracks |= {f"bone_{JOINT_NAMES[child]}": _bone_track(poses, parent, child) for parent, child in BONES}
    content = animated(_scene(tracks), clip.seconds, tracks)
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


# --- the animation ----------------------------------------------------------------------------


def animated(scene: Any, seconds: Floats, tracks: dict[str, Track]) -> bytes:
    """A scene's GLB with tracks added to the nodes of their names."""
    tree, binary = _unpacked(scene.export(file_type="glb"))
    number = {node.get("name"): place for place, node in enumerate(tree["nodes"])}
    data = _Data(tree, binary)
    times = data.add(seconds[:, None], "SCALAR", bounds=True)
    channels: list[dict[str, Any]] = []
    samplers: list[dict[str, Any]] = []
    for name, track in tracks.items():
        node = tree["nodes"][number[name]]
        node.pop("matrix", None)  # a node that is animated may not have one
        for path, values in track.items():
            node[path] = [float(v) for v in values[0]]
            channels.append({"sampler": len(samplers), "target": {"node": number[name], "path": path}})
            kind = "VEC4" if path == "rotation" else "VEC3"
            samplers.append({"input": times, "output": data.add(values, kind), "interpolation": "LINEAR"})
    tree["animations"] = [{"name": "lifted", "channels": channels, "samplers": samplers}]
    return _packed(tree, data.binary)


class _Data:
    """Arrays appended to a GLB's binary part."""

    def __init__(self, tree: dict[str, Any], binary: bytes) -> None:
        self.tree, self.binary = tree, bytearray(binary)

    def add(self, values: Floats, kind: str, *, bounds: bool = False) -> int:
        """Append an array of float32; the number of its accessor."""
        self.binary += b"\0" * (-len(self.binary) % 4)
        raw = np.ascontiguousarray(values, dtype="<f4")
        self.tree["bufferViews"].append({"buffer": 0, "byteOffset": len(self.binary), "byteLength": raw.nbytes})
        self.binary += raw.tobytes()
        accessor: dict[str, Any] = {"bufferView": len(self.tree["bufferViews"]) - 1, "componentType": _FLOAT,
                                    "count": len(raw), "type": kind}  # fmt: skip
        if bounds:
            accessor |= {"min": [float(raw.min())], "max": [float(raw.max())]}
        self.tree["accessors"].append(accessor)
        return len(self.tree["accessors"]) - 1


def _unpacked(content: bytes) -> tuple[dict[str, Any], bytes]:
    length = struct.unpack_from("<I", content, 12)[0]
    tree = json.loads(content[20 : 20 + length])
    size = struct.unpack_from("<I", content, 20 + length)[0]
    return tree, content[28 + length : 28 + length + size]


def _packed(tree: dict[str, Any], binary: bytearray) -> bytes:
    binary += b"\0" * (-len(binary) % 4)
    tree["buffers"][0]["byteLength"] = len(binary)
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    head = struct.pack("<III", _MAGIC, 2, total) + struct.pack("<II", len(text), _JSON)
    return head + text + struct.pack("<II", len(binary), _BIN) + bytes(binary)
