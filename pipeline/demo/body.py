"""The demo body: a licence-free person in SMPL+H format, and a Human3.6M regressor that belongs to it.

Made from MakeHuman's CC0 data by `scripts/make_demo_body.py`; `assets/PROVENANCE.md` tells how. It has SMPL+H's
vertices, faces, joints and shape components in number and in layout, but it is not SMPL: another template, another
shape space, no pose correctives.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.files import atomic_path
from actionpose.skeleton import N_JOINTS
from pipeline.body.smplh import BODY_PARENTS, GENDERS, N_BETAS, N_BODY_JOINTS, N_POSE_FEATURES

ASSET = Path(__file__).parent / "assets" / "demo_body.npz"
N_VERTICES = 6890
ROOT_PARENT = 2**32 - 1
"""How SMPL+H files write "no parent": -1 as an unsigned 32-bit number."""


@cache
def _asset() -> dict[str, NDArray[Any]]:
    with np.load(ASSET, allow_pickle=False) as archive:
        return dict(archive)


def _dense(name: str, rows: int) -> NDArray[np.float64]:
    """A sparse matrix of the asset, written out; its rows sum to one exactly."""
    asset = _asset()
    matrix = np.zeros((rows, N_VERTICES))
    matrix[asset[f"{name}_row"], asset[f"{name}_column"]] = asset[f"{name}_value"]
    return matrix / matrix.sum(axis=1, keepdims=True)


def body_arrays(gender: str) -> dict[str, NDArray[Any]]:
    """The seven arrays of an extended SMPL+H `model.npz`, in its shapes and dtypes.

    v_template (6890, 3), shapedirs (6890, 3, 16), posedirs (6890, 3, 459) zeros, J_regressor (52, 6890), weights
    (6890, 52), all float64, metres, y up, facing +z, left = +x; kintree_table (2, 52); f (13776, 3) uint32.
    """
    asset = _asset()
    weights = np.zeros((N_VERTICES, N_BODY_JOINTS))
    np.put_along_axis(weights, asset["weight_joint"].astype(np.intp), asset["weight_value"].astype(np.float64), axis=1)
    parents = np.array([ROOT_PARENT, *BODY_PARENTS[1:]], dtype=np.int64)
    return {
        "v_template": asset[f"{gender}_template"].astype(np.float64),
        "shapedirs": asset[f"{gender}_shapes"].astype(np.float64).reshape(N_VERTICES, 3, N_BETAS),
        "posedirs": np.zeros((N_VERTICES, 3, N_POSE_FEATURES)),
        "J_regressor": _dense(f"{gender}_joints", N_BODY_JOINTS),
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "kintree_table": np.stack([parents, np.arange(N_BODY_JOINTS)]),
        "f": asset["faces"].astype(np.uint32),
    }


def demo_regressor() -> NDArray[np.float64]:
    """The (17, 6890) regressor of the demo body, Human3.6M order, as sparse as the published one."""
    return _dense("h36m", N_JOINTS)


def write_demo_body(folder: Path) -> None:
    """Write `smplh/{female,male,neutral}/model.npz` and `J_regressor_h36m.npy`; the same bytes every time.

    Raises:
        UserError: the folder cannot be written to.
    """
    for gender in GENDERS:
        with atomic_path(folder / "smplh" / gender / "model.npz") as aside, open(aside, "wb") as handle:
            np.savez_compressed(handle, **body_arrays(gender))  # type: ignore[arg-type]
    with atomic_path(folder / "J_regressor_h36m.npy") as aside:
        np.save(aside, demo_regressor())
