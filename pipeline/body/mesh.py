"""The whole mesh through `smplx`: for pictures, and as the independent check of the fast keypoints.

The only module that names smplx (which is non-commercial, and brings torch along); both are imported
when first used. smplx 0.1.28 needs workarounds for AMASS bodies: it cuts SMPL+H to 10 betas unless its
shape space is declared as 16, requires hand keys that the extended model does not have, and adds the
mean hand pose a second time unless `flat_hand_mean` is set.

Legend: V vertices, T frames, K keypoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from actionpose.arrays import Float32s, Floats
from actionpose.errors import UserError
from actionpose.extras import needed_for
from pipeline.body.dmpls import N_DMPLS, SoftTissue
from pipeline.body.regressor import Regressor
from pipeline.body.smplh import N_BETAS, N_BODY_JOINTS, SmplhModel

CHUNK = 64
"""Frames a forward pass; smplx keeps a 4 x 4 matrix for every vertex of every frame (28 MB at 64)."""


def mesh_vertices(model: SmplhModel, poses: Floats, betas: Floats, trans: Floats, *, chunk: int = CHUNK) -> Floats:
    """Return all vertices (T, V, 3) float32, in metres, in the frame of `trans` (AMASS: z up).

    Args:
        model: the body.
        poses: (T, 156) axis-angle, radians, hands absolute.
        betas: (16,).
        trans: (T, 3), metres.
        chunk: frames a forward pass.

    Raises:
        UserError: smplx is not installed, or betas are not 16.
    """
    vertices = np.empty((len(poses), len(model.v_template), 3), np.float32)
    for start, part in _chunks(model, poses, betas, trans, None, None, chunk):
        vertices[start : start + len(part)] = part
    return vertices


def mesh_keypoints(
    model: SmplhModel,
    regressor: Regressor | Floats,
    poses: Floats,
    betas: Floats,
    trans: Floats,
    *,
    dmpls: Floats | None = None,
    soft: SoftTissue | None = None,
    chunk: int = CHUNK,
) -> Floats:
    """Return keypoints (T, K, 3) float32 by regressing from the full mesh, a chunk of frames at a time.

    Arguments and errors as for `mesh_vertices`; `regressor` is (K, V) and need not sum to one. Soft tissue, `dmpls`
    (T, 8) with their directions `soft`, goes in as eight more shape coefficients, which change by the frame.
    """
    matrix = regressor.matrix if isinstance(regressor, Regressor) else np.asarray(regressor)
    support = np.flatnonzero(matrix.any(axis=0))
    rows = np.ascontiguousarray(matrix[:, support])
    keypoints = np.empty((len(poses), len(matrix), 3), np.float32)
    for start, part in _chunks(model, poses, betas, trans, dmpls, soft, chunk):
        keypoints[start : start + len(part)] = rows @ part[:, support]
    return keypoints


def _chunks(
    model: SmplhModel,
    poses: Floats,
    betas: Floats,
    trans: Floats,
    dmpls: Floats | None,
    soft: SoftTissue | None,
    chunk: int,
) -> Iterator[tuple[int, Float32s]]:
    with needed_for("a mesh (--method mesh)", "mesh"):
        import torch

    betas = np.asarray(betas).reshape(-1)
    if betas.shape != (N_BETAS,):
        raise UserError(f"a body shape needs {N_BETAS} betas, got {len(betas)}", "use an AMASS 'SMPL+H G' file")
    if poses.shape[1:] != (3 * N_BODY_JOINTS,) or trans.shape != (len(poses), 3):
        raise ValueError(f"poses {poses.shape} and trans {trans.shape}, expected (T, 156) and (T, 3)")
    if dmpls is not None and (soft is None or dmpls.shape != (len(poses), N_DMPLS)):
        raise ValueError("DMPLs are (T, 8) and need their directions")
    body = _smplx_body(model, None if dmpls is None else soft)
    shapes = np.broadcast_to(betas, (len(poses), N_BETAS))
    shapes = shapes if dmpls is None else np.concatenate([shapes, dmpls], axis=1)

    def tensor(array: Floats) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))

    for start in range(0, len(poses), chunk):
        pose = poses[start : start + chunk]
        with torch.no_grad():
            # Everything is given: what is left out comes from stored defaults of another batch size.
            result = body(
                betas=tensor(shapes[start : start + chunk]),
                global_orient=tensor(pose[:, :3]),
                body_pose=tensor(pose[:, 3:66]),
                left_hand_pose=tensor(pose[:, 66:111]),
                right_hand_pose=tensor(pose[:, 111:156]),
                transl=tensor(trans[start : start + chunk]),
            )
        yield start, result.vertices.numpy()


@lru_cache(maxsize=2)
def _smplx_body(model: SmplhModel, soft: SoftTissue | None) -> Any:
    """Build the smplx module for one body, in float32; soft tissue as shape directions after the betas."""
    with needed_for("a mesh (--method mesh)", "mesh"):
        import smplx
        from smplx.vertex_ids import vertex_ids

    shapes = model.shapedirs if soft is None else np.concatenate([model.shapedirs, soft.dirs], axis=-1)

    class ExtendedSmplh(smplx.SMPLH):
        SHAPE_SPACE_DIM = shapes.shape[-1]

    n_vertices = len(model.v_template)
    # Smaller test bodies lack the landmark vertices that smplx appends to the joints; they are never read.
    landmarks = {name: i if i < n_vertices else 0 for name, i in vertex_ids["smplh"].items()}
    data = SimpleNamespace(
        v_template=model.v_template,
        shapedirs=shapes,
        posedirs=model.posedirs,
        J_regressor=model.J_regressor,
        weights=model.weights,
        kintree_table=np.stack([model.parents, np.arange(N_BODY_JOINTS)]),
        f=model.faces,
        **{f"hands_components{side}": np.zeros((45, 45)) for side in "lr"},
        **{f"hands_mean{side}": np.zeros(45) for side in "lr"},
    )
    return ExtendedSmplh(
        model_path="",
        data_struct=data,
        vertex_ids=landmarks,
        gender=model.gender,
        num_betas=shapes.shape[-1],
        use_pca=False,
        flat_hand_mean=True,
        **{f"create_{name}": False for name in ("betas", "global_orient", "body_pose", "transl")},
        create_left_hand_pose=False,
        create_right_hand_pose=False,
    )
