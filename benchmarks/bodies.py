"""Synthetic SMPL+H bodies, regressors and motions, and the forward pass written out plainly.

For tests and benchmarks, here and in code that builds on this package: nothing is read from disk,
nothing is licensed, and unlike the demo body these bodies do have pose correctives, so that a wrong
feature order or a forgotten column shows.

Legend: V vertices, T frames, J = 52 joints, K = 17 keypoints.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Float64s
from pipeline.body.smplh import BODY_JOINT_NAMES, BODY_PARENTS, N_BETAS, N_BODY_JOINTS, N_POSE_FEATURES, SmplhModel

Correctives = Literal["none", "hands", "dense"]
FULL_SIZE = 6890

# Rest joints of a made-up adult in T-pose: metres, y up, facing +z, left = +x. Right ones mirror these.
_REST_JOINTS: dict[str, tuple[float, float, float]] = {
    "pelvis": (0.0, -0.23, 0.02),
    "left_hip": (0.065, -0.32, 0.0),
    "spine1": (0.0, -0.11, -0.01),
    "left_knee": (0.11, -0.70, 0.0),
    "spine2": (0.0, 0.03, 0.0),
    "left_ankle": (0.09, -1.10, -0.04),
    "spine3": (0.0, 0.09, 0.02),
    "left_foot": (0.12, -1.16, 0.08),
    "neck": (0.0, 0.30, -0.02),
    "left_collar": (0.08, 0.20, -0.01),
    "head": (0.0, 0.42, 0.02),
    "left_shoulder": (0.18, 0.23, -0.02),
    "left_elbow": (0.44, 0.22, -0.04),
    "left_wrist": (0.69, 0.22, -0.03),
}
_FINGER_BASE = {
    "index": (0.10, 0.0, 0.03),
    "middle": (0.10, 0.0, 0.005),
    "pinky": (0.085, 0.0, -0.04),
    "ring": (0.095, 0.0, -0.02),
    "thumb": (0.03, -0.01, 0.05),
}
# Which body joints a Human3.6M keypoint lies near, and how many vertices it is regressed from. The
# counts (107 in all) are those of the regressor in circulation, so benchmarks carry a true load.
_KEYPOINT_SOURCES: tuple[tuple[tuple[str, int], ...], ...] = (
    (("pelvis", 8),),
    (("right_hip", 5),),
    (("right_knee", 7),),
    (("right_ankle", 4),),
    (("left_hip", 6),),
    (("left_knee", 6),),
    (("left_ankle", 5),),
    (("spine2", 3), ("spine3", 3)),
    (("neck", 6), ("left_collar", 1), ("right_collar", 1)),
    (("head", 8),),
    (("head", 6),),
    (("left_shoulder", 8),),
    (("left_elbow", 5),),
    (("left_wrist", 4), ("left_thumb1", 2)),
    (("right_shoulder", 9),),
    (("right_elbow", 6),),
    (("right_wrist", 3), ("right_thumb1", 1)),
)


def rest_joints() -> Float64s:
    """Return the joints (52, 3) the synthetic bodies are built around, in metres."""
    places = []
    for name in BODY_JOINT_NAMES:
        left = name.replace("right_", "left_")
        stem, segment = left.removeprefix("left_")[:-1], left[-1]
        if stem in _FINGER_BASE:
            step = (0.02, 0.0, 0.02) if stem == "thumb" else (0.025, 0.0, 0.0)
            wrist, base = np.array(_REST_JOINTS["left_wrist"]), np.array(_FINGER_BASE[stem])
            place = wrist + base + (int(segment) - 1) * np.array(step)
        else:
            place = np.array(_REST_JOINTS[left])
        places.append(place * ([-1, 1, 1] if name.startswith("right_") else [1, 1, 1]))
    return np.stack(places)


def synthetic_body(
    n_vertices: int = 320, *, seed: int = 0, gender: str = "neutral", correctives: Correctives = "hands"
) -> SmplhModel:
    """Make a body in SMPL+H form: a cloud of vertices around each joint of a T-pose.

    Args:
        n_vertices: even, at least 320; 6890 gives the real model's size (85 MB of float64).
        seed: everything random follows from it.
        gender: only a name here.
        correctives: pose blend shapes: `none`; `hands` (finger features move hand vertices only, as
            in SMPL+H); `dense` (every feature moves every vertex).
    """
    rng = np.random.default_rng(seed)
    owner = _vertex_owners(n_vertices)
    joints = rest_joints()
    radius = np.array([_radius(name) for name in BODY_JOINT_NAMES])[owner]
    offsets = rng.normal(size=(n_vertices // 2, 3))
    offsets *= rng.uniform(0.5, 1.0, (n_vertices // 2, 1)) / np.linalg.norm(offsets, axis=1, keepdims=True)
    # Vertices come in opposite pairs, so the mean of a cloud is its joint.
    paired = np.stack([offsets, -offsets], axis=1).reshape(n_vertices, 3)
    belongs = owner[None, :] == np.arange(N_BODY_JOINTS)[:, None]
    fade = 0.01 / np.sqrt(1 + np.arange(N_BETAS))
    return SmplhModel(
        v_template=joints[owner] + paired * radius[:, None],
        shapedirs=rng.normal(size=(n_vertices, 3, N_BETAS)) * fade,
        posedirs=_pose_correctives(rng, owner, correctives),
        J_regressor=belongs / belongs.sum(axis=1, keepdims=True),
        weights=_skinning_weights(rng, owner),
        parents=np.array(BODY_PARENTS),
        faces=(np.arange(n_vertices)[:, None] + np.array([0, 1, 2])) % n_vertices,
        gender=gender,
        sha256=f"sha256:synthetic-{n_vertices}-{seed}-{gender}-{correctives}",
        path=Path(f"synthetic/{gender}"),
    )


def synthetic_regressor(model: SmplhModel, *, seed: int = 0, row_sums: Float64s | None = None) -> Float64s:
    """Make a (17, V) regressor in Human3.6M order with 107 positive entries.

    Args:
        model: a body of `synthetic_body`.
        seed: chooses the weights.
        row_sums: (17,) sums to give the rows instead of one.
    """
    rng = np.random.default_rng(seed)
    owner = _vertex_owners(len(model.v_template))
    matrix = np.zeros((len(_KEYPOINT_SOURCES), len(owner)))
    for row, sources in enumerate(_KEYPOINT_SOURCES):
        for joint, count in sources:
            cloud = np.flatnonzero(owner == BODY_JOINT_NAMES.index(joint))
            if row in (9, 10):  # the nose is in front, the crown on top
                cloud = cloud[np.argsort(-model.v_template[cloud, 2 if row == 9 else 1])]
            matrix[row, cloud[:count]] = rng.uniform(0.8, 1.2, len(cloud[:count]))
    matrix /= matrix.sum(axis=1, keepdims=True)
    return matrix if row_sums is None else matrix * np.asarray(row_sums)[:, None]


def synthetic_dmpls(n_vertices: int, *, seed: int = 0) -> Float64s:
    """Make soft-tissue directions (V, 3, 8) of a few millimetres."""
    return np.random.default_rng(seed).normal(size=(n_vertices, 3, 8)) * 0.003


def random_motion(n_frames: int, *, seed: int = 0, scale: float = 0.6) -> tuple[Float64s, Float64s]:
    """Return unrelated random frames: axis-angle poses (T, 156) in radians and trans (T, 3) in metres.

    The root turns anywhere, with vectors longer than pi among them as in real files.
    """
    rng = np.random.default_rng(seed)
    poses = rng.normal(size=(n_frames, 3 * N_BODY_JOINTS)) * scale
    poses[:, :3] = rng.uniform(-2.6, 2.6, size=(n_frames, 3))
    return poses, rng.uniform(-3.0, 3.0, size=(n_frames, 3))


def write_body(model: SmplhModel, path: str | Path) -> Path:
    """Write the body as an extended SMPL+H `model.npz`, float32, and return the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **body_members(model))
    return path


def body_members(model: SmplhModel) -> dict[str, NDArray[np.generic]]:
    """Return the seven arrays of an extended SMPL+H file, for tests that damage one of them."""
    ids = np.arange(N_BODY_JOINTS)
    return {
        "v_template": model.v_template.astype(np.float32),
        "shapedirs": model.shapedirs.astype(np.float32),
        "posedirs": model.posedirs.astype(np.float32),
        "J_regressor": model.J_regressor.astype(np.float32),
        "weights": model.weights.astype(np.float32),
        "kintree_table": np.stack([model.parents, ids]).astype(np.uint32),  # the root becomes 2^32 - 1
        "f": model.faces.astype(np.uint32),
    }


def plain_vertices(
    model: SmplhModel,
    poses: Float64s,
    betas: Float64s,
    trans: Float64s,
    dmpls: Float64s | None = None,
    dmpl_dirs: Float64s | None = None,
) -> Float64s:
    """Skin the body frame by frame in float64, in the order of the SMPL paper: the oracle.

    Args:
        model: the body.
        poses: (T, 156) axis-angle, radians.
        betas: (16,).
        trans: (T, 3), metres.
        dmpls: (T, 8) soft-tissue coefficients, with `dmpl_dirs` (V, 3, 8).
        dmpl_dirs: their directions.

    Returns:
        Vertices (T, V, 3) in metres, in the frame of `trans`.
    """
    frames = []
    for t in range(len(poses)):
        shaped = model.v_template + model.shapedirs @ betas
        if dmpls is not None and dmpl_dirs is not None:
            shaped = shaped + dmpl_dirs @ dmpls[t]
        joints = model.J_regressor @ shaped
        rotations = np.stack([_plain_rotation(v) for v in np.asarray(poses[t], np.float64).reshape(-1, 3)])
        feature = (rotations[1:] - np.eye(3)).reshape(-1)
        posed = shaped + model.posedirs @ feature
        world, place = _plain_chain(rotations, joints, model.parents)
        moved = np.einsum("krc,vc->vkr", world, posed) + (place - np.einsum("krc,kc->kr", world, joints))
        frames.append(np.einsum("vk,vkr->vr", model.weights, moved) + trans[t])
    return np.stack(frames)


def _plain_rotation(vector: Float64s) -> Float64s:
    """Rodrigues' formula for one axis-angle vector."""
    angle = float(np.linalg.norm(vector))
    if angle == 0.0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


def _plain_chain(rotations: Float64s, joints: Float64s, parents: NDArray[np.integer]) -> tuple[Float64s, Float64s]:
    """Return world rotations (J, 3, 3) and joint places (J, 3), parents before children."""
    world, place = [rotations[0]], [joints[0]]
    for j in range(1, len(parents)):
        parent = parents[j]
        world.append(world[parent] @ rotations[j])
        place.append(place[parent] + world[parent] @ (joints[j] - joints[parent]))
    return np.stack(world), np.stack(place)


def _vertex_owners(n_vertices: int) -> NDArray[np.intp]:
    """Say which joint's cloud each vertex is in; fingers get few, the head what is left over."""
    if n_vertices < 320 or n_vertices % 2:
        raise ValueError("a synthetic body needs an even number of at least 320 vertices")
    finger = 2 if n_vertices < 1000 else 40
    body = (n_vertices - 30 * finger) // 22 // 2 * 2
    counts = np.array([body] * 22 + [finger] * 30)
    counts[BODY_JOINT_NAMES.index("head")] += n_vertices - counts.sum()
    return np.repeat(np.arange(N_BODY_JOINTS), counts)


def _radius(name: str) -> float:
    if name[-1] in "123" and "spine" not in name:
        return 0.008
    part = name.split("_")[-1]
    return {"head": 0.11, "wrist": 0.025, "ankle": 0.03, "foot": 0.03, "collar": 0.04}.get(part, 0.05)


def _skinning_weights(rng: np.random.Generator, owner: NDArray[np.intp]) -> Float64s:
    """Give each vertex one to four bones: its own most, then its neighbours in the tree."""
    children = [np.flatnonzero(np.array(BODY_PARENTS) == j) for j in range(N_BODY_JOINTS)]
    weights = np.zeros((len(owner), N_BODY_JOINTS))
    for v, j in enumerate(owner):
        neighbours = [k for k in (BODY_PARENTS[j], *children[j]) if k >= 0]
        near = rng.permutation(neighbours)[: rng.integers(1, 4)]
        weights[v, j] = 1.0
        weights[v, near] = rng.uniform(0.05, 0.5, len(near))
    return weights / weights.sum(axis=1, keepdims=True)


def _pose_correctives(rng: np.random.Generator, owner: NDArray[np.intp], kind: Correctives) -> Float64s:
    shape = (len(owner), 3, N_POSE_FEATURES)
    if kind == "none":
        return np.zeros(shape)
    # Centimetres at ordinary poses: large enough that a column in the wrong place cannot hide.
    blend = (rng.standard_normal(shape, dtype=np.float32) * np.float32(0.002)).astype(np.float64)
    if kind == "hands":
        blend[owner < 20, :, 21 * 9 :] = 0.0
        blend[np.isin(owner, [20, *range(22, 37)]), :, 36 * 9 :] = 0.0
        blend[np.isin(owner, [21, *range(37, 52)]), :, 21 * 9 : 36 * 9] = 0.0
    return blend
