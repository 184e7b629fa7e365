"""The joints of SMPL+H and its T-pose, reached from the rest pose of MakeHuman's rig.

Coordinates: metres, y up, facing +z, the subject's left = +x. Only the left half of the body is posed;
the right half is its mirror image.
"""

from __future__ import annotations

import numpy as np

N_JOINTS = 52
FINGERS = ("index", "middle", "pinky", "ring", "thumb")
BODY = """
pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot
right_foot neck left_collar right_collar head left_shoulder right_shoulder left_elbow right_elbow
left_wrist right_wrist
"""
HANDS = tuple(f"{side}_{f}{k}" for side in ("left", "right") for f in FINGERS for k in (1, 2, 3))
JOINTS = (*BODY.split(), *HANDS)
PARENTS = (
    *(-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19),
    *(p for wrist, first in ((20, 22), (21, 37)) for f in range(0, 15, 3) for p in (wrist, first + f, first + f + 1)),
)
ID = {name: k for k, name in enumerate(JOINTS)}
MIRROR = np.array(
    [ID[n.replace("left", "right") if n.startswith("left") else n.replace("right", "left")] for n in JOINTS]
)
RIG = {  # SMPL+H name without its side -> the rig's name without its side
    **{"pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck", "head": "Head"},
    **{"hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase"},
    **{"collar": "Shoulder", "shoulder": "Arm", "elbow": "ForeArm", "wrist": "Hand"},
    **{f"{f}{k}": f"Hand{f.capitalize()}{k}" for f in FINGERS for k in (1, 2, 3)},
}

# Where an SMPL-style rest pose points, roughly: thighs and shins slightly spread and bent, arms level.
PELVIS = np.array([0.0, -0.24, 0.03])
THIGH, SHIN = (0.090, -1.0, -0.012), (-0.034, -1.0, -0.110)
UPPER_ARM, FOREARM, HAND = (1.0, -0.05, -0.10), (1.0, 0.035, 0.0), (1.0, 0.0, 0.0)
COLLAR_RAISE = np.radians(14)  # the collar-bone takes a share of raising the arm, as in life
FINGER_CURL_KEPT = 0.25


def unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float64)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def frame(along: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """Return (..., 3, 3) rotations whose columns are `along`, `beside` made perpendicular, and the third."""
    x = unit(along)
    y = unit(beside - (np.sum(beside * x, -1, keepdims=True)) * x)
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def shortest(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return (N, 3, 3): the smallest rotation taking directions (N, 3) to `target`."""
    a, b = unit(source), np.broadcast_to(unit(target), np.shape(source))
    axis, cosine = np.cross(a, b), np.sum(a * b, -1)[:, None, None]
    k = np.zeros((len(a), 3, 3))
    k[:, 0, 1], k[:, 0, 2], k[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    k -= k.transpose(0, 2, 1)
    return np.eye(3) + k + k @ k / (1 + cosine)


def about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Return (..., 3, 3) rotations by `angle` (...) about one unit `axis` (3,)."""
    x, y, z = unit(axis)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    s, c = np.sin(angle)[..., None, None], np.cos(angle)[..., None, None]
    return np.eye(3) + s * k + (1 - c) * (k @ k)


def t_pose_rotations(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return world rotations (N, 52, 3, 3) of the left and middle bones, and the forearm's twist (N,)."""
    at = {name: joints[:, k] for name, k in ID.items()}
    turn = {name: np.broadcast_to(np.eye(3), (len(joints), 3, 3)) for name in JOINTS}
    turn["left_hip"] = shortest(at["left_knee"] - at["left_hip"], THIGH)
    turn["left_knee"] = shortest(at["left_ankle"] - at["left_knee"], SHIN)
    turn["left_collar"] = about(np.array([0, 0, 1]), np.full(len(joints), COLLAR_RAISE))
    upper, lower = at["left_elbow"] - at["left_shoulder"], at["left_wrist"] - at["left_elbow"]
    down, bend = np.array([0.0, -1.0, 0.0]), np.cross(upper, lower)  # the elbow bends forward
    for name, bone, target in (("left_shoulder", upper, UPPER_ARM), ("left_elbow", lower, FOREARM)):
        turn[name] = frame(np.array(target), down) @ frame(bone, bend).swapaxes(-1, -2)
    palm = np.cross(at["left_pinky1"] - at["left_wrist"], at["left_index1"] - at["left_wrist"])
    hand = frame(at["left_middle1"] - at["left_wrist"], palm)
    turn["left_wrist"] = frame(np.array(HAND), down) @ hand.swapaxes(-1, -2)
    for finger in FINGERS:
        straighten_finger(turn, at, finger)
    relative = turn["left_wrist"] @ turn["left_elbow"].swapaxes(-1, -2)
    axis = unit(FOREARM)
    skew = np.stack([relative[:, i, j] - relative[:, j, i] for i, j in ((2, 1), (0, 2), (1, 0))], -1)
    twist = 2 * np.arctan2(skew @ axis / 2, 1 + np.trace(relative, axis1=1, axis2=2))
    return np.stack([turn[name] for name in JOINTS], axis=1), twist


def straighten_finger(turn: dict[str, np.ndarray], at: dict[str, np.ndarray], finger: str) -> None:
    """Take most of the curl out of one left finger; the thumb and the fan of the fingers stay."""
    names = [f"left_{finger}{k}" for k in (1, 2, 3)]
    for k, name in enumerate(names):
        turn[name] = turn["left_wrist"]
        if finger == "thumb":
            continue
        tail, head = (k, k + 1) if k < 2 else (k - 1, k)  # the last segment follows the one before
        bone = np.einsum("nij,nj->ni", turn["left_wrist"], at[names[head]] - at[names[tail]])
        turn[name] = shortest(bone, bone * [1, FINGER_CURL_KEPT, 1]) @ turn["left_wrist"]


def t_pose(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Skin the half (N, H, 3) and its joints (N, 52, 3) into the T-pose, the pelvis at its usual place."""
    turn, twist = t_pose_rotations(joints)
    flip = np.diag([-1.0, 1.0, 1.0])
    right = [name.startswith("right") for name in JOINTS]
    turn[:, right] = flip @ turn[:, MIRROR][:, right] @ flip
    posed = np.empty_like(joints)
    posed[:, 0] = PELVIS
    for k, parent in enumerate(PARENTS[1:], start=1):
        bone = joints[:, k] - joints[:, parent]
        posed[:, k] = posed[:, parent] + np.einsum("nij,nj->ni", turn[:, parent], bone)
    out = np.zeros_like(vertices)
    for k in range(N_JOINTS):
        rows = np.flatnonzero(weights[:, k])
        moved = np.einsum("nij,nvj->nvi", turn[:, k], vertices[:, rows] - joints[:, None, k])
        if k == ID["left_elbow"]:
            moved = spread_twist(moved, twist, posed, joints)
        out[:, rows] += weights[rows, k, None] * (moved + posed[:, None, k])
    return out, posed


def spread_twist(arm: np.ndarray, twist: np.ndarray, posed: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Turn the forearm (N, V, 3) about its own length, more and more from elbow to wrist: no wrung wrist."""
    length = np.linalg.norm(joints[:, ID["left_wrist"]] - joints[:, ID["left_elbow"]], axis=-1)
    share = np.clip(arm @ unit(FOREARM) / length[:, None], 0, 1)
    return np.einsum("nvij,nvj->nvi", about(np.array(FOREARM), share * twist[:, None]), arm)


# How far the left limbs bend when keypoints are fitted: one that is a joint must stay when that joint turns.
BENDS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "left_hip": ((-1.1, 0, 0), (0.4, 0, 0), (0, 0, 0.5)),
    "left_knee": ((1.3, 0, 0), (0.5, 0, 0)),
    "left_ankle": ((-0.4, 0, 0), (0.5, 0, 0)),
    "left_shoulder": ((0, 0, -1.0), (0, -1.0, 0), (0, 0, 0.5)),
    "left_elbow": ((0, -1.4, 0), (0, -0.6, 0)),
    "left_wrist": ((0, 0, -0.7), (0, 0, 0.7)),
}


def bend(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray, name: str) -> np.ndarray:
    """Turn one joint of a T-posed mesh (V, 3) in each of its ways: (P, V, 3), exact linear blend skinning."""
    share = weights[:, [k for k in range(N_JOINTS) if ID[name] in ancestors(k)]].sum(axis=1, keepdims=True)
    limb = vertices - joints[ID[name]]
    turns = [about(np.array(rotation), np.linalg.norm(rotation)) for rotation in BENDS[name]]
    return np.stack([vertices + share * (limb @ turn.T - limb) for turn in turns])


def ancestors(joint: int) -> list[int]:
    """Return the joint, its parent, and so on up to the pelvis."""
    return [] if joint < 0 else [joint, *ancestors(PARENTS[joint])]
