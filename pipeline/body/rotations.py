"""Axis-angle vectors to rotation matrices, fast: frames last, so that every step runs along memory.

Legend: J joints, N frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


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
