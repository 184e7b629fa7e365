"""The demo body: exactly the official layout, a plausible symmetric human, a regressor that knows its joints."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from actionpose.errors import UserError
from actionpose.files import sha256_file
from actionpose.skeleton import FLIP_ORDER, JOINT_NAMES
from benchmarks.bodies import plain_vertices, random_motion
from pipeline.body.mesh import mesh_vertices
from pipeline.body.regressor import load_regressor
from pipeline.body.smplh import BODY_JOINT_NAMES, BODY_PARENTS, load_body
from pipeline.demo.body import ASSET, body_arrays, demo_regressor, write_demo_body

GENDERS = ("male", "female", "neutral")
JOINT = {name: k for k, name in enumerate(BODY_JOINT_NAMES)}
POINT = {name: k for k, name in enumerate(JOINT_NAMES)}
LAYOUT = {
    "v_template": ((6890, 3), "f8"),
    "shapedirs": ((6890, 3, 16), "f8"),
    "posedirs": ((6890, 3, 459), "f8"),
    "J_regressor": ((52, 6890), "f8"),
    "weights": ((6890, 52), "f8"),
    "kintree_table": ((2, 52), "i8"),
    "f": ((13776, 3), "u4"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("body")
    write_demo_body(folder)
    return folder


@pytest.fixture(scope="module")
def bodies() -> dict[str, dict[str, np.ndarray]]:
    return {gender: body_arrays(gender) for gender in GENDERS}


def shaped(body: dict[str, np.ndarray], betas: np.ndarray) -> np.ndarray:
    return body["v_template"] + body["shapedirs"] @ betas


def some_betas(count: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 16))


# --- files


def test_files_have_the_official_keys_shapes_and_dtypes(folder: Path) -> None:
    for gender in GENDERS:
        with np.load(folder / "smplh" / gender / "model.npz", allow_pickle=False) as file:
            assert {key: (file[key].shape, file[key].dtype.str[1:]) for key in file.files} == LAYOUT
    regressor = np.load(folder / "J_regressor_h36m.npy", allow_pickle=False)
    assert (regressor.shape, regressor.dtype) == ((17, 6890), np.float64)
    assert regressor.flags.c_contiguous


def test_the_same_bytes_are_written_on_every_call(folder: Path, tmp_path: Path) -> None:
    write_demo_body(tmp_path)
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert len(files) == 4
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()) == files
    assert [sha256_file(folder / p) for p in files] == [sha256_file(tmp_path / p) for p in files]


def test_a_folder_that_cannot_be_made_is_reported_for_the_user_to_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError):
        write_demo_body(tmp_path / "file")


def test_the_shipped_file_is_the_one_its_provenance_names() -> None:
    provenance = ASSET.with_name("PROVENANCE.md").read_text(encoding="utf-8")
    assert hashlib.sha256(ASSET.read_bytes()).hexdigest() in provenance
    assert "CC0 1.0 Universal" in ASSET.with_name("LICENSE-CC0.md").read_text(encoding="utf-8")
    assert ASSET.stat().st_size < 3e6


# --- mesh, tree, weights


def test_joints_have_the_parents_of_smplh(bodies: dict) -> None:
    for body in bodies.values():
        parents, ids = body["kintree_table"]
        assert parents[0] == 4294967295
        np.testing.assert_array_equal(parents[1:], BODY_PARENTS[1:])
        np.testing.assert_array_equal(ids, np.arange(52))


def test_the_mesh_is_one_closed_surface_facing_outwards(bodies: dict) -> None:
    faces = bodies["male"]["f"].astype(np.int64)
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    directed = {tuple(edge) for edge in edges.tolist()}
    assert len(directed) == len(edges), "an edge is walked twice in one direction"
    assert all((b, a) in directed for a, b in directed), "an edge has one face only"
    assert len(faces) == 2 * 6890 - 4
    assert np.array_equal(np.unique(faces), np.arange(6890))
    assert count_pieces(edges, 6890) == 1
    for body in bodies.values():
        np.testing.assert_array_equal(body["f"], faces)
        a, b, c = (body["v_template"][faces[:, k]] for k in range(3))
        litres = 1000 * np.einsum("fi,fi->", a, np.cross(b, c)) / 6
        assert 40 < litres < 110


def count_pieces(edges: np.ndarray, count: int) -> int:
    label = np.arange(count)
    while True:
        smallest = label.copy()
        np.minimum.at(smallest, edges[:, 0], label[edges[:, 1]])
        if np.array_equal(smallest, label):
            return len(np.unique(label))
        label = smallest


def test_rows_of_weights_and_regressors_are_sparse_means(bodies: dict) -> None:
    for body in bodies.values():
        assert (np.count_nonzero(body["weights"], axis=1) <= 4).all()
        assert (np.count_nonzero(body["J_regressor"], axis=1) <= 12).all()
        for matrix in (body["weights"], body["J_regressor"]):
            assert (matrix >= 0).all()
            np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    h36m = demo_regressor()
    entries = np.count_nonzero(h36m, axis=1)
    assert ((entries >= 3) & (entries <= 12)).all()
    assert 80 <= entries.sum() <= 130
    assert (h36m >= 0).all()
    np.testing.assert_allclose(h36m.sum(axis=1), 1, atol=1e-12)


def test_every_bone_moves_some_skin_and_none_moves_the_other_side(bodies: dict) -> None:
    body = bodies["neutral"]
    assert (body["weights"].max(axis=0) > 0.4).all()
    x = body["v_template"][:, 0]
    for name, k in JOINT.items():
        if name.startswith(("left", "right")):
            far = x[body["weights"][:, k] > 0.05] * (1 if name.startswith("left") else -1)
            assert far.min() > -0.03, name


# --- shape


def test_the_template_stands_in_a_t_pose_facing_z_with_its_left_at_positive_x(bodies: dict) -> None:
    for body in bodies.values():
        v = body["v_template"]
        joints = body["J_regressor"] @ v
        assert 1.5 < np.ptp(v[:, 1]) < 2.0
        assert 0.9 < np.ptp(v[:, 0]) / np.ptp(v[:, 1]) < 1.15, "arm span is about the height"
        np.testing.assert_allclose(joints[0], [0, -0.24, 0.03], atol=1e-3)
        for side, sign in (("left", 1), ("right", -1)):
            arm = joints[[JOINT[f"{side}_{part}"] for part in ("shoulder", "elbow", "wrist", "middle1")]]
            leg = joints[[JOINT[f"{side}_{part}"] for part in ("hip", "knee", "ankle", "foot")]]
            assert (np.diff(sign * arm[:, 0]) > 0.05).all()
            assert np.ptp(arm[:, 1]) < 0.06, "arms are level"
            assert (np.diff(leg[:, 1]) < -0.02).all()
            assert (sign * leg[:, 0] > 0.04).all()
            assert leg[3, 2] - leg[2, 2] > 0.08, "toes point forward"
        spine = joints[[JOINT[n] for n in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")], 1]
        assert (np.diff(spine) > 0.03).all()


def test_left_and_right_are_mirror_images(bodies: dict) -> None:
    mirror = [JOINT[n] for n in map(other_side, BODY_JOINT_NAMES)]
    for body in bodies.values():
        v = body["v_template"]
        middle = int((v[:, 0] == 0).sum())
        left = (6890 - middle) // 2
        assert (v[:left, 0] > 0).all(), "vertices are numbered left, middle, right"
        ids = np.arange(6890)
        twin = np.concatenate([ids[left + middle :], ids[left : left + middle], ids[:left]])
        np.testing.assert_array_equal(v[twin] * [-1, 1, 1], v)
        np.testing.assert_array_equal(body["shapedirs"][twin] * [[-1], [1], [1]], body["shapedirs"])
        np.testing.assert_allclose(body["weights"][twin][:, mirror], body["weights"], atol=1e-6)
        np.testing.assert_allclose(body["J_regressor"][mirror][:, twin], body["J_regressor"], atol=1e-6)
        np.testing.assert_allclose(demo_regressor()[list(FLIP_ORDER)][:, twin], demo_regressor(), atol=1e-6)


def other_side(name: str) -> str:
    side, _, part = name.partition("_")
    return {"left": f"right_{part}", "right": f"left_{part}"}.get(side, name)


def test_betas_are_standard_deviations_of_a_plausible_crowd(bodies: dict) -> None:
    means = {}
    for gender, body in bodies.items():
        spread = np.sqrt((body["shapedirs"] ** 2).sum(axis=1).mean(axis=0))
        assert (np.diff(spread) < 0).all(), "components come in falling order"
        assert spread[0] > 0.02
        for betas in (*(2 * np.eye(16)), *(-2 * np.eye(16)), *(2 * np.sign(some_betas(20)))):
            assert 1.3 < np.ptp(shaped(body, betas)[:, 1]) < 2.2
        heights = [np.ptp(shaped(body, betas)[:, 1]) for betas in some_betas(60)]
        assert 0.04 < np.std(heights) < 0.1
        means[gender] = np.mean(heights)
        assert np.ptp(shaped(body, 2 * np.eye(16)[0])[:, 1]) > means[gender] + 0.05, "a positive first beta is tall"
    assert means["female"] < means["neutral"] < means["male"]


# --- keypoints


def test_the_regressor_names_the_right_places_whatever_the_shape(bodies: dict) -> None:
    for body in bodies.values():
        for betas in (np.zeros(16), *some_betas(25)):
            v = shaped(body, betas)
            points, joints = demo_regressor() @ v, body["J_regressor"] @ v
            assert (points[[1, 2, 3, 14, 15, 16], 0] < -0.03).all()
            assert (points[[4, 5, 6, 11, 12, 13], 0] > 0.03).all()
            assert points[:, 1].argmax() == POINT["head"]
            assert set(points[:, 1].argsort()[:2]) == {POINT["right_ankle"], POINT["left_ankle"]}
            np.testing.assert_allclose(points[[0, 7, 8, 9, 10], 0], 0, atol=1e-6)
            column = points[[POINT[n] for n in ("pelvis", "spine", "thorax", "nose", "head")], 1]
            assert (np.diff(column) > 0.05).all()
            assert np.ptp(v[:, 1]) * 0.98 < points[10, 1] - v[:, 1].min(), "the head is at the crown"
            assert points[POINT["nose"], 2] - points[POINT["head"], 2] > 0.01, "the nose is in front"
            assert joints[JOINT["spine2"], 1] < points[POINT["spine"], 1] < joints[JOINT["spine3"], 1]


def test_limb_keypoints_stay_at_the_joint_centres_when_the_joint_bends(folder: Path) -> None:
    bends = {
        **{"left_hip": (-0.9, 0, 0), "left_knee": (1.2, 0, 0), "left_ankle": (-0.4, 0, 0)},
        **{"left_shoulder": (0, 0, -0.9), "left_elbow": (0, -1.2, 0), "left_wrist": (0, 0, -0.7)},
    }
    for gender in GENDERS:
        model = load_body(folder / "smplh", gender)
        joints = model.J_regressor @ model.v_template
        poses = np.zeros((1 + len(bends), 52, 3))
        for frame, (name, rotation) in enumerate(bends.items(), start=1):
            poses[frame, JOINT[name]] = rotation
        vertices = plain_vertices(model, poses.reshape(-1, 156), np.zeros(16), np.zeros((len(poses), 3)))
        points = demo_regressor() @ vertices
        for frame, name in enumerate(bends, start=1):
            gap = np.linalg.norm(points[[0, frame], POINT[name]] - joints[JOINT[name]], axis=-1)
            assert gap[0] < 0.009
            assert gap[1] < 0.015, name


def test_strict_readers_take_the_files(folder: Path) -> None:
    for gender in GENDERS:
        model = load_body(folder / "smplh", gender)
        assert load_regressor(folder / "J_regressor_h36m.npy", model).matrix.shape == (17, 6890)


def test_smplx_takes_the_body_and_poses_it_as_written(folder: Path) -> None:
    poses, trans = random_motion(2)
    betas = some_betas(1)[0]
    model = load_body(folder / "smplh", "female")
    expected = plain_vertices(model, poses, betas, trans)
    np.testing.assert_allclose(mesh_vertices(model, poses, betas, trans), expected, atol=1e-5)
    assert np.ptp(expected, axis=1).max() < 2.3, "no vertex is left behind"
