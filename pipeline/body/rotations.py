"""Rotations in their three forms (axis-angle vectors, matrices, quaternions) and the way between two of them.

`rotation_matrices`, where a build spends its time, keeps frames last, so that every step runs along memory.

Legend: J joints, N or T frames. Quaternions are (w, x, y, z); q and -q are one rotation.
"""

from __future__ import annotations

import numpy as np

from actionpose.arrays import Floats


def rotation_matrices(vectors: Floats, out: Floats | None = None) -> Floats:
    """Turn axis-angle vectors (J, 3, N), radians, into rotation matrices (J, 3, 3, N).

    Through the half-angle quaternion, scaled by √2 so that products need no doubling: exact at zero,
    at every angle, and without a division by a small number.
    """
    half, one = vectors.dtype.type(0.5), vectors.dtype.type(1)
    if out is None:
        out = np.empty((len(vectors), 3, 3, vectors.shape[-1]), vectors.dtype)
    angle = np.einsum("jcn,jcn->jn", vectors, vectors)
    angle += vectors.dtype.type(1e-30)
    np.sqrt(angle, out=angle)
    root2 = np.sqrt(vectors.dtype.type(2))
    halved = angle * half
    scale = np.sin(halved)
    scale *= root2
    scale /= angle
    w = np.cos(halved, out=halved)
    w *= root2
    x, y, z = vectors[:, 0] * scale, vectors[:, 1] * scale, vectors[:, 2] * scale
    xx, yy, zz = x * x, y * y, z * z
    for (r, c), first, second in (((0, 0), yy, zz), ((1, 1), xx, zz), ((2, 2), xx, yy)):
        entry = out[:, r, c]
        np.subtract(one, first, out=entry)
        entry -= second
    for (r, c), product, twist in (((1, 0), x * y, w * z), ((0, 2), x * z, w * y), ((2, 1), y * z, w * x)):
        np.add(product, twist, out=out[:, r, c])
        np.subtract(product, twist, out=out[:, c, r])
    return out


def rotations_about(axis: Floats, angles: Floats) -> Floats:
    """Rotation matrices (..., 3, 3) about one unit axis (3,) by angles (...), radians."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angle = np.asarray(angles, dtype=np.float64)[..., None, None]
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


# --- quaternions ------------------------------------------------------------------------------


def quaternions(matrices: Floats) -> Floats:
    """Unit quaternions (..., 4) of rotation matrices (..., 3, 3), with the largest component positive."""
    m = matrices
    trace = np.trace(m, axis1=-2, axis2=-1)
    diagonal = np.moveaxis(np.diagonal(m, axis1=-2, axis2=-1), -1, 0)
    squares = np.stack([1 + trace, *(1 - trace + 2 * diagonal)], axis=-1)
    skew = np.stack([m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]], -1)
    xy, xz, yz = (m[..., i, j] + m[..., j, i] for i, j in ((0, 1), (0, 2), (1, 2)))
    sx, sy, sz = np.moveaxis(skew, -1, 0)
    # Row i is 4 q_i times the quaternion; the row of the largest component divides best.
    rows = np.stack(
        [
            np.stack([squares[..., 0], sx, sy, sz], -1),
            np.stack([sx, squares[..., 1], xy, xz], -1),
            np.stack([sy, xy, squares[..., 2], yz], -1),
            np.stack([sz, xz, yz, squares[..., 3]], -1),
        ],
        axis=-2,
    )
    best = squares.argmax(-1)[..., None, None]
    chosen: Floats = np.take_along_axis(rows, best, axis=-2)[..., 0, :]
    return chosen / np.linalg.norm(chosen, axis=-1, keepdims=True)


def quaternion_matrices(turns: Floats) -> Floats:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4) of any length but zero."""
    turns = np.asarray(turns, dtype=np.float64)
    w, x, y, z = np.moveaxis(turns / np.linalg.norm(turns, axis=-1, keepdims=True), -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def quaternion_vectors(turns: Floats) -> Floats:
    """Axis-angle vectors (T, ..., 3), radians, of unit quaternions (T, ..., 4), continuous along the first axis.

    The first has an angle of at most pi; the others follow it, so that a norm may pass pi, as in AMASS.
    """
    flipped = (turns[1:] * turns[:-1]).sum(-1) < 0
    sign = np.where(np.cumsum(flipped, axis=0) % 2, -1.0, 1.0)
    start = np.where(turns[:1, ..., :1] < 0, -1.0, 1.0)
    q = turns * start
    q[1:] *= sign[..., None]
    length = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(length, q[..., :1])
    return q[..., 1:] * np.where(length < 1e-9, 2.0, angle / np.maximum(length, 1e-9))


def rotation_vectors(matrices: Floats) -> Floats:
    """Axis-angle vectors (T, ..., 3), radians, of rotation matrices (T, ..., 3, 3); continuous, see above."""
    return quaternion_vectors(quaternions(np.asarray(matrices, dtype=np.float64)))


# --- on the way from one to another -----------------------------------------------------------


def slerp(a: Floats, b: Floats, weight: Floats) -> Floats:
    """Unit quaternions (T, J, 4) on the shortest way from a to b, at weight (T,) in [0, 1]."""
    dot = (a * b).sum(-1, keepdims=True)
    b = np.where(dot < 0, -b, b)
    angle = np.arccos(np.clip(np.abs(dot), 0, 1))
    w = weight[:, None, None]
    small = angle < 1e-6
    sine = np.where(small, 1.0, np.sin(angle))
    mixed = np.where(small, (1 - w) * a + w * b, (np.sin((1 - w) * angle) * a + np.sin(w * angle) * b) / sine)
    return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)


def halfway(first: Floats, second: Floats) -> Floats:
    """The rotation matrices (..., 3, 3) in the middle of the shortest way from `first` to `second`."""
    between = quaternions(np.swapaxes(first, -1, -2) @ second)
    between = np.where(between[..., :1] < 0, -between, between)
    between[..., 0] += 1.0  # half the angle: the mean with the identity
    return first @ quaternion_matrices(between)


def shortest_rotation(start: Floats, end: Floats) -> Floats:
    """The rotation matrix (3, 3) by the smallest angle that takes direction `start` (3,) to direction `end` (3,).

    Opposite directions have no shortest way between them; the half turn is then about an axis across `start`.
    """
    a, b = np.asarray(start) / np.linalg.norm(start), np.asarray(end) / np.linalg.norm(end)
    axis, cosine = np.cross(a, b), float(a @ b)
    if cosine < -1 + 1e-12:
        across = np.cross(a, np.eye(3)[np.abs(a).argmin()])
        across /= np.linalg.norm(across)
        return 2 * np.outer(across, across) - np.eye(3)
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def slerp_vectors(first: Floats, second: Floats, share: Floats) -> Floats:
    """Go `share` (N, 1) of the shortest way between axis-angle vectors (N, J, 3), radians.

    The result keeps the number of whole turns of `first`. Accurate also where the two are nearly the same.
    """
    a, b = _components(first), _components(second)
    cosine = sum(p * q for p, q in zip(a, b, strict=True))
    sign = np.where(cosine < 0, -1.0, 1.0)  # q and -q are one rotation: take the nearer
    # The angle through its half chord: arccos loses half the digits where frames are close together.
    chord = sum((p - sign * q) ** 2 for p, q in zip(a, b, strict=True))
    angle = 2.0 * np.arcsin(np.minimum(np.sqrt(chord) / 2.0, 1.0))
    sine = np.sin(angle)
    still = sine < 1e-12
    sine = np.where(still, 1.0, sine)
    from_first = np.where(still, 1.0 - share, np.sin((1.0 - share) * angle) / sine)
    from_second = sign * np.where(still, share, np.sin(share * angle) / sine)
    w, x, y, z = (from_first * p + from_second * q for p, q in zip(a, b, strict=True))
    return _vectors_near(w, np.stack([x, y, z], axis=-1), near=first)


def _components(vectors: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """w, x, y and z, each (N, J), of axis-angle vectors (N, J, 3)."""
    angle = np.sqrt(np.einsum("njc,njc->nj", vectors, vectors) + 1e-60)
    scale = np.sin(0.5 * angle) / angle
    return np.cos(0.5 * angle), *(vectors[..., c] * scale for c in range(3))


def _vectors_near(w: Floats, xyz: Floats, near: Floats) -> Floats:
    """Return the axis-angle vector of a quaternion, with the number of whole turns nearest to `near`."""
    sine = np.sqrt(np.einsum("njc,njc->nj", xyz, xyz))
    tiny = sine < 1e-15
    axis = xyz / np.where(tiny, 1.0, sine)[..., None]
    angle = 2.0 * np.arctan2(sine, w)
    turns = np.rint((np.einsum("njc,njc->nj", axis, near) - angle) / (2.0 * np.pi))
    scaled = axis * (angle + 2.0 * np.pi * turns)[..., None]
    return np.where(tiny[..., None], 2.0 * xyz, scaled)
