"""Keypoints straight from pose parameters: skinning and regression collapsed into one small table.

A keypoint is a fixed sum of vertices, K_j = Σ_v R_jv v, and a skinned vertex is a sum over bones, so
the vertices can be summed out once and for all. With G_k the world rotation of bone k and f the
entries of the joint rotations, what is left is exact, not an approximation:

    K_j = base_j + S_j trans + Σ_k G_k (a_jk + P_jk f)

    C_jk = Σ_v R_jv w_vk                        how much bone k carries keypoint j
    P_jk = Σ_v R_jv w_vk posedirs_v             pose correctives, 3 x 459
    B_jk = Σ_v R_jv w_vk shaped_v               rest vertices, linear in the betas
    E_jk = C_jk + Σ_{children i of k} E_ji      what the whole branch below bone k carries
    a_jk = B_jk - P_jk I - C_jk J_k + Σ_{children i of k} E_ji (J_i - J_k)
    base_j = E_j0 J_0,  S_j = Σ_v R_jv

The chain of joint places never appears: the offset of each child is one more constant in the frame
of its parent. Only the pairs (j, k) with any R_jv w_vk ≠ 0 need a product with f.

Source: linear blend skinning as in SMPL (Loper et al. 2015) with the SMPL+H skeleton; the same idea
ships in the `body-models` package as `prepare_point_regressor`.

Legend: T frames, N frames of a block (always the last axis), J joints, B bones of the chain,
P pairs, K keypoints, L shape directions (1 template + 16 betas + 8 soft tissue).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from actionpose.arrays import Floats
from actionpose.errors import UserError
from pipeline.body.regressor import Regressor
from pipeline.body.rotations import rotation_matrices
from pipeline.body.smplh import BODY_PARENTS, N_BETAS, N_BODY_JOINTS, SmplhModel

BLOCK = 256
"""Frames per step: the arrays of a step stay in the second-level cache, the calls stay few."""

# Feature columns come in three groups; in SMPL+H the fingers' columns move hand vertices only.
_FEATURE_GROUPS = (range(1, 22), range(22, 37), range(37, 52))


@dataclass(frozen=True, kw_only=True, eq=False)
class PoseProduct:
    """One matrix product of pose features: some pairs, the rotations of some joints.

    Attributes:
        joints: slice of the table's joints, whose rotation entries are the columns.
        rows: the pairs it is added to; None for the first product, which writes them all.
        matrix: (3 * rows, 9 * joints).
    """

    joints: slice
    rows: NDArray[np.intp] | None
    matrix: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class KeypointTable:
    """All that keypoints need of one body and regressor; made once per model by `build`.

    Attributes:
        dtype: arithmetic of the per-frame part, float32 or float64.
        joints: (J,) the SMPL+H joints whose rotation is needed at all, ascending.
        bones: (B,) positions in `joints` of the bones in the chain, ordered by depth.
        levels: for each depth below the root: the slice of bones and the parents' bone positions.
        moments: (K, B, 3, L) a_jk of the module docstring for each shape direction, float64.
        bases: (K, 3, L) base_j for each shape direction, float64.
        row_sums: (K,) S_j.
        pair_keypoint: (P,) keypoint of each pair.
        pair_bone: (P,) bone position of each pair.
        products: the pose correctives, split by where they are zero; empty when there are none.
        soft: (3 P, 8) moments of soft-tissue coefficients, or None.
    """

    dtype: np.dtype[np.floating]
    joints: NDArray[np.intp]
    bones: NDArray[np.intp]
    levels: tuple[tuple[slice, NDArray[np.intp]], ...]
    moments: Floats
    bases: Floats
    row_sums: Floats
    pair_keypoint: NDArray[np.intp]
    pair_bone: NDArray[np.intp]
    products: tuple[PoseProduct, ...]
    soft: Floats | None

    @classmethod
    def build(
        cls,
        model: SmplhModel,
        regressor: Regressor | Floats,
        *,
        dmpl_dirs: Floats | None = None,
        dtype: type[np.float32] | type[np.float64] = np.float32,
    ) -> KeypointTable:
        """Collapse a body and a regressor (some milliseconds for 6890 vertices).

        Args:
            model: the body.
            regressor: keypoints from vertices (K, V); its rows need not sum to one.
            dmpl_dirs: soft-tissue directions (V, 3, 8), if `keypoints` is to be given DMPLs.
            dtype: float32, or float64 for checks.
        """
        matrix = regressor.matrix if isinstance(regressor, Regressor) else np.asarray(regressor, np.float64)
        shapes = _shape_directions(model, dmpl_dirs)
        carried, shaped, poses = _sum_out_vertices(model, matrix, shapes)
        moments, bases = _fold_chain(model, carried, shaped, poses, shapes)
        in_chain = _with_ancestors((carried != 0).any(axis=0))
        soft = moments[..., 1 + N_BETAS :]
        paired = (poses != 0).any(axis=(2, 3)) | (soft != 0).any(axis=(2, 3))
        keypoint, bone = np.nonzero(paired)
        features = (poses != 0).any(axis=(0, 1, 2)).reshape(-1, 9).any(axis=1)
        joints = np.flatnonzero(in_chain | np.concatenate([[True], features]))
        ordered, levels = _chain_order(in_chain)
        return cls(
            dtype=np.dtype(dtype),
            joints=joints,
            bones=np.searchsorted(joints, ordered),
            levels=levels,
            moments=moments[:, ordered],
            bases=bases,
            row_sums=matrix.sum(axis=1),
            pair_keypoint=keypoint,
            pair_bone=_positions(ordered)[bone],
            products=_split_products(poses[keypoint, bone], joints, np.dtype(dtype)),
            soft=None if dmpl_dirs is None else _rows(soft[keypoint, bone]).astype(dtype),
        )

    def at(self, betas: Floats) -> SubjectTable:
        """Fix the body shape: (16,) betas, the same for all frames of a subject.

        Raises:
            UserError: not 16 numbers. Fewer would quietly be another person.
        """
        betas = np.asarray(betas, np.float64).reshape(-1)
        if betas.shape != (N_BETAS,) or not np.isfinite(betas).all():
            raise UserError(
                f"a body shape needs {N_BETAS} finite betas, got {betas.shape[0]}",
                "AMASS 'SMPL+H G' files hold 16; other editions use another shape space",
            )
        mix = np.concatenate([[1.0], betas])
        constant = self.moments[..., : 1 + N_BETAS] @ mix
        return SubjectTable(
            table=self,
            constant=constant.reshape(len(constant), -1).astype(self.dtype),
            base=self.bases[..., : 1 + N_BETAS] @ mix,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class SubjectTable:
    """A `KeypointTable` at one body shape.

    Attributes:
        table: what does not depend on the shape.
        constant: (K, 3 B) the a_jk side by side.
        base: (K, 3) base_j in metres.
    """

    table: KeypointTable
    constant: Floats
    base: Floats

    def keypoints(self, poses: Floats, trans: Floats, dmpls: Floats | None = None) -> Floats:
        """Return keypoints (T, K, 3) in metres, in the frame of `trans` (AMASS: z up).

        Args:
            poses: (T, 156) axis-angle, radians, any strides and float type; hands absolute.
            trans: (T, 3) metres.
            dmpls: (T, 8) soft-tissue coefficients; needs a table built with their directions.

        Raises:
            ValueError: shapes do not fit, or DMPLs without directions. Values are not looked at: a
                pose that is not finite gives keypoints that are not.
        """
        n_frames = len(poses)
        if poses.shape != (n_frames, 3 * N_BODY_JOINTS) or trans.shape != (n_frames, 3):
            raise ValueError(f"poses {poses.shape} and trans {trans.shape}, expected (T, 156) and (T, 3)")
        if dmpls is not None and (self.table.soft is None or dmpls.shape != (n_frames, 8)):
            raise ValueError("DMPLs are (T, 8) and need a table built with dmpl_dirs")
        keypoints = np.empty((n_frames, len(self.base), 3), self.table.dtype)
        # A BLAS with threads of its own fights over these small products, and over the other workers.
        with _blas().limit(limits=1, user_api="blas"):
            scratch = None
            for start in range(0, n_frames, BLOCK):
                block = slice(start, min(start + BLOCK, n_frames))
                n = block.stop - block.start
                if scratch is None or scratch.n != n:
                    scratch = _Scratch(self, n)
                soft = None if dmpls is None else dmpls[block]
                scratch.run(poses[block], trans[block], soft, keypoints[block])
        return keypoints


class _Scratch:
    """The arrays of one block of N frames, frames last, and the steps that fill them."""

    def __init__(self, subject: SubjectTable, n: int) -> None:
        table, dtype = subject.table, subject.table.dtype
        n_bones, n_pairs, n_keypoints = len(table.bones), len(table.pair_bone), len(subject.base)
        self.n, self.subject, self.table = n, subject, table
        self.vectors = np.empty((len(table.joints), 3, n), dtype)
        self.rotations = np.empty((len(table.joints), 3, 3, n), dtype)
        self.world = np.empty((3, n_bones, 3, n), dtype)  # rows first, so that a row is one matrix
        self.moments = np.empty((n_pairs, 3, n), dtype)
        self.carriers = np.empty((3, n_pairs, 3, n), dtype)
        self.terms = np.empty((3, n_pairs, n), dtype)
        self.keypoints = np.empty((3, n_keypoints, n), dtype)
        self.gather = (np.arange(n_keypoints)[:, None] == table.pair_keypoint).astype(dtype)
        self.runs = _runs(table.joints)

    def run(self, poses: Floats, trans: Floats, dmpls: Floats | None, out: Floats) -> None:
        for here, there in self.runs:
            np.copyto(self.vectors[here].reshape(-1, self.n), poses[:, there].T, casting="same_kind")
        rotation_matrices(self.vectors, out=self.rotations)
        self._chain()
        np.matmul(self.subject.constant, self.world.reshape(3, -1, self.n), out=self.keypoints)
        if self.table.products or dmpls is not None:
            self._add_pairs(dmpls)
        self._add_offsets(trans, dmpls)
        np.copyto(out, self.keypoints.transpose(2, 1, 0))

    def _chain(self) -> None:
        """World rotation of each bone, a whole depth of the tree at a time."""
        bones = self.table.bones
        self.world[:, 0] = self.rotations[0]
        for level, parents in self.table.levels:
            np.einsum(
                "rjkn,jkcn->rjcn",
                self.world[:, parents],
                self.rotations[bones[level]],
                out=self.world[:, level],
            )

    def _add_pairs(self, dmpls: Floats | None) -> None:
        """Add G_k (P_jk f + D_jk dmpl) for the pairs that have any."""
        flat = self.moments.reshape(-1, self.n)
        if not self.table.products:
            flat[:] = 0
        for product in self.table.products:
            features = self.rotations[product.joints].reshape(-1, self.n)
            if product.rows is None:
                np.matmul(product.matrix, features, out=flat)
            else:
                self.moments[product.rows] += (product.matrix @ features).reshape(-1, 3, self.n)
        if dmpls is not None and self.table.soft is not None:
            flat += self.table.soft @ dmpls.T.astype(self.table.dtype)
        np.take(self.world, self.table.pair_bone, axis=1, out=self.carriers, mode="clip")
        np.einsum("rpcn,pcn->rpn", self.carriers, self.moments, out=self.terms)
        self.keypoints += self.gather @ self.terms

    def _add_offsets(self, trans: Floats, dmpls: Floats | None) -> None:
        """Add base_j + S_j trans; soft tissue moves the pelvis joint and so the base as well."""
        offset = self.subject.base.T[:, :, None] + self.table.row_sums[:, None] * trans.T[:, None, :]
        if dmpls is not None:
            offset += np.moveaxis(self.table.bases[..., 1 + N_BETAS :] @ dmpls.T, 1, 0)
        self.keypoints += offset.astype(self.table.dtype)


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    """Find the loaded BLAS libraries once; the search costs milliseconds."""
    return ThreadpoolController()


def _shape_directions(model: SmplhModel, dmpl_dirs: Floats | None) -> Floats:
    """Return (V, 3, L): the template, then betas, then soft tissue."""
    parts = [model.v_template[..., None], model.shapedirs]
    if dmpl_dirs is not None:
        parts.append(np.asarray(dmpl_dirs, np.float64))
    return np.concatenate(parts, axis=-1)


def _sum_out_vertices(model: SmplhModel, regressor: Floats, shapes: Floats) -> tuple[Floats, Floats, Floats]:
    """Return C (K, J), B (K, J, 3, L) and P (K, J, 3, 459), summed over each keypoint's vertices."""
    n_keypoints, n_features = len(regressor), model.posedirs.shape[-1]
    carried = np.zeros((n_keypoints, N_BODY_JOINTS))
    shaped = np.zeros((n_keypoints, N_BODY_JOINTS, 3, shapes.shape[-1]))
    poses = np.zeros((n_keypoints, N_BODY_JOINTS, 3, n_features))
    for j, row in enumerate(regressor):
        support = np.flatnonzero(row)
        share = (model.weights[support] * row[support, None]).T
        carried[j] = share.sum(axis=1)
        shaped[j] = np.tensordot(share, shapes[support], axes=1)
        poses[j] = np.tensordot(share, model.posedirs[support], axes=1)
    return carried, shaped, poses


def _fold_chain(
    model: SmplhModel, carried: Floats, shaped: Floats, poses: Floats, shapes: Floats
) -> tuple[Floats, Floats]:
    """Return a (K, J, 3, L) and base (K, 3, L) of the module docstring."""
    rest = np.tensordot(model.J_regressor, shapes, axes=1)  # (J, 3, L)
    branch = carried.copy()
    moments = shaped - carried[:, :, None, None] * rest
    identity = np.tile(np.eye(3).reshape(-1), N_BODY_JOINTS - 1)
    moments[..., 0] -= poses @ identity
    for child in range(N_BODY_JOINTS - 1, 0, -1):
        parent = BODY_PARENTS[child]
        branch[:, parent] += branch[:, child]
        moments[:, parent] += branch[:, child, None, None] * (rest[child] - rest[parent])
    return moments, branch[:, 0, None, None] * rest[0]


def _with_ancestors(used: NDArray[np.bool_]) -> NDArray[np.bool_]:
    marked = used.copy()
    for child in range(N_BODY_JOINTS - 1, 0, -1):
        marked[BODY_PARENTS[child]] |= marked[child]
    return marked


def _chain_order(
    in_chain: NDArray[np.bool_],
) -> tuple[NDArray[np.intp], tuple[tuple[slice, NDArray[np.intp]], ...]]:
    """Order the chain's bones by depth, so that each depth is one slice of the world rotations."""
    depth = np.zeros(N_BODY_JOINTS, np.intp)
    for child in range(1, N_BODY_JOINTS):
        depth[child] = depth[BODY_PARENTS[child]] + 1
    bones = np.flatnonzero(in_chain)
    bones = bones[np.argsort(depth[bones], kind="stable")]
    position = _positions(bones)
    levels = []
    for d in range(1, int(depth[bones].max(initial=0)) + 1):
        members = np.flatnonzero(depth[bones] == d)
        parents = position[[BODY_PARENTS[b] for b in bones[members]]]
        levels.append((slice(int(members[0]), int(members[-1]) + 1), parents))
    return bones, tuple(levels)


def _positions(bones: NDArray[np.intp]) -> NDArray[np.intp]:
    """Invert: body joint to its position among `bones` (-1 where absent)."""
    position = np.full(N_BODY_JOINTS, -1)
    position[bones] = np.arange(len(bones))
    return position


def _split_products(poses: Floats, joints: NDArray[np.intp], dtype: np.dtype[np.floating]) -> tuple[PoseProduct, ...]:
    """Split the correctives (P, 3, 459) into one product per group, over the pairs it really moves."""
    fingers = (poses[..., 9 * len(_FEATURE_GROUPS[0]) :] != 0).any(axis=(1, 2))
    # Worth splitting only where fingers move few pairs; a file is looked at, never assumed.
    split = 2 * np.count_nonzero(fingers) < len(fingers)
    groups = _FEATURE_GROUPS if split else (range(1, N_BODY_JOINTS),)
    products = []
    for number, group in enumerate(groups):
        members = np.flatnonzero(np.isin(joints, group))
        columns = (9 * (joints[members, None] - 1) + np.arange(9)).reshape(-1)
        block = poses[..., columns]
        moving = np.flatnonzero((block != 0).any(axis=(1, 2)))
        # The first product writes every row, so that the others may add to some.
        rows = None if number == 0 else moving
        if (number == 0 and poses.any()) or moving.size:
            products.append(
                PoseProduct(
                    joints=slice(int(members[0]), int(members[-1]) + 1) if members.size else slice(0, 0),
                    rows=rows,
                    matrix=_rows(block if rows is None else block[rows]).astype(dtype),
                )
            )
    return tuple(products)


def _rows(blocks: Floats) -> Floats:
    """(P, 3, F) to (3 P, F)."""
    return blocks.reshape(-1, blocks.shape[-1])


def _runs(joints: NDArray[np.intp]) -> list[tuple[slice, slice]]:
    """Cut the joints into contiguous runs: (slice of `joints`, slice of pose columns)."""
    breaks = np.flatnonzero(np.diff(joints) != 1) + 1
    runs = []
    for part in np.split(np.arange(len(joints)), breaks):
        first, last = int(part[0]), int(part[-1])
        runs.append((slice(first, last + 1), slice(3 * int(joints[first]), 3 * int(joints[last]) + 3)))
    return runs
