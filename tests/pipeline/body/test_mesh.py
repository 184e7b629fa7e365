"""smplx, the collapsed table and the plain pass are three independent ways to one answer."""

import numpy as np
import pytest

from actionpose.errors import UserError
from benchmarks.bodies import FULL_SIZE, plain_vertices, random_motion, synthetic_body, synthetic_regressor
from pipeline.body.collapse import KeypointTable
from pipeline.body.mesh import mesh_keypoints, mesh_vertices

BETAS = np.random.default_rng(6).normal(size=16)


@pytest.fixture(scope="module")
def full():
    return synthetic_body(FULL_SIZE, gender="female", correctives="hands")


def test_three_ways_agree_on_a_full_size_body(full):
    regressor = synthetic_regressor(full)
    poses, trans = random_motion(12)
    vertices = plain_vertices(full, poses[:3], BETAS, trans[:3])
    np.testing.assert_allclose(mesh_vertices(full, poses[:3], BETAS, trans[:3]), vertices, atol=1e-5)
    slow = mesh_keypoints(full, regressor, poses, BETAS, trans)
    fast = KeypointTable.build(full, regressor).at(BETAS).keypoints(poses, trans)
    np.testing.assert_allclose(fast, slow, atol=1e-5)
    expected = np.einsum("kv,tvc->tkc", regressor, vertices)
    np.testing.assert_allclose(slow[:3], expected, atol=1e-5)


@pytest.mark.parametrize("gender", ["male", "female", "neutral"])
def test_three_ways_agree_on_small_bodies(gender):
    seed = len(gender)
    model = synthetic_body(320, seed=seed, gender=gender, correctives="dense")
    regressor = synthetic_regressor(model, row_sums=np.linspace(0.9, 1.1, 17))
    poses, trans = random_motion(30, seed=seed)
    vertices = plain_vertices(model, poses, BETAS, trans)
    np.testing.assert_allclose(mesh_vertices(model, poses, BETAS, trans), vertices, atol=1e-5)
    slow = mesh_keypoints(model, regressor, poses, BETAS, trans)
    fast = KeypointTable.build(model, regressor).at(BETAS).keypoints(poses, trans)
    np.testing.assert_allclose(fast, slow, atol=1e-5)
    np.testing.assert_allclose(slow, np.einsum("kv,tvc->tkc", regressor, vertices), atol=1e-5)


def test_chunks_leave_no_seam_and_nothing_is_printed(capfd):
    model = synthetic_body(320, gender="male")
    poses, trans = random_motion(9)
    whole = mesh_vertices(model, poses, BETAS, trans)
    np.testing.assert_allclose(mesh_vertices(model, poses, BETAS, trans, chunk=4), whole, atol=1e-6)
    assert mesh_vertices(model, poses[:0], BETAS, trans[:0]).shape == (0, 320, 3)
    assert capfd.readouterr() == ("", "")


def test_the_hand_pose_is_taken_as_absolute():
    model = synthetic_body(320)
    zero, still = np.zeros((1, 156)), np.zeros((1, 3))
    shaped = model.v_template + model.shapedirs @ BETAS
    np.testing.assert_allclose(mesh_vertices(model, zero, BETAS, still)[0], shaped, atol=1e-6)


def test_ten_betas_are_refused_instead_of_being_another_person():
    model = synthetic_body(320, correctives="none")
    with pytest.raises(UserError, match="16 betas, got 10"):
        mesh_vertices(model, np.zeros((1, 156)), np.zeros(10), np.zeros((1, 3)))


def test_smplx_poses_are_refused():
    model = synthetic_body(320, correctives="none")
    with pytest.raises(ValueError, match=r"expected \(T, 156\)"):
        mesh_vertices(model, np.zeros((1, 165)), BETAS, np.zeros((1, 3)))
