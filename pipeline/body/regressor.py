"""The Human3.6M joint regressor: vertices to 17 keypoints, its leg order found by looking at the body.

Two files circulate under nearly the same name. One has the right leg first (Human3.6M order), the
other, from SPIN and VIBE, the left. Mixing them up crashes nothing and mirrors the legs, so the order
is never taken from a name: the regressor is applied to the rest pose, where left is +x.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from actionpose.errors import UserError
from actionpose.files import sha256_file
from actionpose.plain_npz import NotPlain, npy_array
from actionpose.skeleton import JOINT_NAMES, N_JOINTS
from actionpose.sniff import refuse_wrong_content
from pipeline.body.smplh import SmplhModel, load_body

SPIN_ORDER: tuple[int, ...] = (0, 4, 5, 6, 1, 2, 3, *range(7, 17))
"""Swaps the two legs: SPIN order to Human3.6M order and back."""

ROW_SUM_TOLERANCE = 0.01
"""Rows of the published file sum to 0.9996 .. 1.00005; further off it is another matrix."""

SOURCE = (
    "the 17-row file is J_regressor_h36m_correct.npy (937,168 bytes), in data/Human36M/ of "
    "github.com/hongsukchoi/Pose2Mesh_RELEASE; for the demo body use the J_regressor_h36m.npy next to it"
)
_TRUNCATED_COPY = 262_144


@dataclass(frozen=True, kw_only=True, eq=False)
class Regressor:
    """A regressor ready for use with one body.

    Attributes:
        matrix: (17, V) float64, rows in Human3.6M order, each summing to one.
        order: the row order found in the file, `h36m` or `spin`.
        notes: what was changed while reading, one sentence each.
        sha256: digest of the file, `sha256:<hex>`.
    """

    matrix: NDArray[np.float64]
    order: Literal["h36m", "spin"]
    notes: tuple[str, ...]
    sha256: str


def load_regressor(path: str | Path, model: SmplhModel) -> Regressor:
    """Read a (17, V) regressor, check it on the model's rest pose, and put it in Human3.6M order.

    Args:
        path: a `.npy` file, C or Fortran order, any floating type.
        model: the body it will be applied to.

    Raises:
        UserError: missing, damaged, another matrix, or one that does not give a T-pose on this body.
    """
    path = Path(path)
    matrix = read_matrix(path, len(model.v_template))
    sums = matrix.sum(axis=1)
    notes = []
    if np.abs(sums - 1.0).max() > 1e-9:
        notes.append(f"rows normalised (they summed to {sums.min():.5f} .. {sums.max():.5f})")
    matrix = matrix / sums[:, None]
    order = leg_order(path, matrix @ model.v_template)
    if order == "spin":
        matrix = matrix[list(SPIN_ORDER)]
        notes.append("left leg came first (SPIN order): the two legs were swapped to Human3.6M order")
    matrix.setflags(write=False)
    return Regressor(matrix=matrix, order=order, notes=tuple(notes), sha256=sha256_file(path))


@lru_cache(maxsize=8)
def _regressor(path: str, body: str, gender: str, stamp: int) -> Regressor:
    return load_regressor(path, load_body(body, gender))


def regressor_for(path: str, body: str, gender: str) -> Regressor:
    """The regressor, checked on this body; kept per process as long as the file does not change.

    Raises:
        UserError: see `load_regressor`.
    """
    file = Path(path)
    stamp = file.stat().st_mtime_ns if file.is_file() else 0
    return _regressor(path, body, gender, stamp)


def leg_order(path: Path, joints: NDArray[np.floating]) -> Literal["h36m", "spin"]:
    """Tell the row order from the 17 keypoints of the rest pose.

    Args:
        path: named in the error.
        joints: (17, 3) metres, y up, left = +x, the body in T-pose.

    Raises:
        UserError: the points are not a T-pose in either order.
    """
    spin = bool((joints[1:4, 0] > 0).all() and (joints[4:7, 0] < 0).all())
    wrong = _not_a_t_pose(joints[list(SPIN_ORDER)] if spin else joints)
    if wrong:
        raise UserError(
            f"{path} does not give Human3.6M keypoints on this body: {'; '.join(wrong)}",
            f"the regressor and the body model may not belong together; {SOURCE}",
        )
    return "spin" if spin else "h36m"


def _not_a_t_pose(joints: NDArray[np.floating]) -> list[str]:
    """Return what is wrong with the 17 points, in words; empty if they are in a plausible arrangement."""
    x, y = joints[:, 0], joints[:, 1]
    side = {-1: (1, 2, 3, 14, 15, 16), 1: (4, 5, 6, 11, 12, 13)}
    wrong = [
        f"{JOINT_NAMES[j]} is at x = {x[j]:+.2f} m"
        for sign, members in side.items()
        for j in members
        if sign * x[j] <= 0
    ]
    # Out along the stretched arms, and up along legs and trunk, every joint is beyond the one before it.
    arms = [(trunk, *arm) for trunk in (7, 8) for arm in ((11, 12, 13), (14, 15, 16))]
    chains: list[tuple[NDArray[np.floating], tuple[int, ...]]] = [(np.abs(x), arm) for arm in arms]
    chains += [(y, (0, 7, 8, 10)), (y, (3, 2, 1, 7, 11)), (y, (6, 5, 4, 7, 14))]
    wrong += dict.fromkeys(
        f"the {JOINT_NAMES[b]} is not beyond the {JOINT_NAMES[a]} along the T-pose"
        for along, chain in chains
        for a, b in pairwise(chain)
        if along[b] <= along[a]
    )
    if abs(x[0]) > 0.05:
        wrong.append(f"the pelvis is {100 * abs(x[0]):.0f} cm off the middle")
    if int(np.argmax(y)) != 10:
        wrong.append(f"the highest point is the {JOINT_NAMES[int(np.argmax(y))]}, not the head")
    if set(np.argsort(y)[:2].tolist()) != {3, 6}:
        low = " and ".join(JOINT_NAMES[j] for j in sorted(np.argsort(y)[:2].tolist()))
        wrong.append(f"the lowest points are {low}, not the ankles")
    return wrong


def read_matrix(path: Path, n_vertices: int) -> NDArray[np.float64]:
    """The (17, V) matrix as stored in the file: shape, finiteness and row sums checked, order not.

    Raises:
        UserError: missing, damaged, or another matrix.
    """
    matrix = _read(path, n_vertices)
    _check_matrix(path, matrix)
    return matrix


def _read(path: Path, n_vertices: int) -> NDArray[np.float64]:
    if not path.is_file():
        raise UserError(f"no joint regressor at {path}", f"point to it with --regressor FILE; {SOURCE}")
    refuse_wrong_content(path, SOURCE)
    try:
        loaded = npy_array(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    except NotPlain as error:
        size = path.stat().st_size
        known = " (a cut-off copy of this size is in circulation)" if size == _TRUNCATED_COPY else ""
        raise UserError(
            f"{path} is not one regressor matrix: {error}; {size:,} bytes{known}", f"download it again: {SOURCE}"
        ) from error
    if not np.issubdtype(loaded.dtype, np.floating):
        raise UserError(f"{path} holds {loaded.dtype}, expected floating-point numbers", SOURCE)
    if loaded.shape != (N_JOINTS, n_vertices):
        raise _wrong_shape(path, loaded.shape, n_vertices)
    return np.array(loaded, dtype=np.float64, order="C")


def _check_matrix(path: Path, matrix: NDArray[np.float64]) -> None:
    if not np.isfinite(matrix).all():
        raise UserError(f"{path} has values that are not finite", f"download it again: {SOURCE}")
    sums = matrix.sum(axis=1)
    worst = int(np.argmax(np.abs(sums - 1.0)))
    if abs(sums[worst] - 1.0) > ROW_SUM_TOLERANCE:
        raise UserError(f"{path}: row {worst} ({JOINT_NAMES[worst]}) sums to {sums[worst]:.4f}, not to one", SOURCE)


def _wrong_shape(path: Path, shape: tuple[int, ...], n_vertices: int) -> UserError:
    expected = (N_JOINTS, n_vertices)
    message = f"{path} has shape {shape}, this body needs {expected}"
    if shape == expected[::-1]:
        return UserError(message, "it is transposed: np.save(FILE, np.load(FILE).T)")
    rows = {9: "the SPIN extra points", 14: "the LSP joints", 24: "SMPL's own joints", 52: "SMPL+H's own joints"}
    if len(shape) == 2 and shape[0] in rows:
        return UserError(f"{message}: these are {rows[shape[0]]}", SOURCE)
    if len(shape) == 2 and shape[0] == N_JOINTS:
        return UserError(f"{message}: it was made for another mesh", SOURCE)
    return UserError(message, SOURCE)
