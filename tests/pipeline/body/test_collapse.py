"""The collapsed table equals skinning every vertex and then regressing."""

import numpy as np
import pytest
import threadpoolctl

from actionpose.errors import UserError
from benchmarks.bodies import (
    plain_vertices,
    random_motion,
    synthetic_body,
    synthetic_dmpls,
    synthetic_regressor,
)
from pipeline.body import collapse
from pipeline.body.collapse import BLOCK, KeypointTable

BETAS = np.random.default_rng(3).normal(size=16)
UNEVEN = np.random.default_rng(4).uniform(0.9, 1.1, 17)


def plain_keypoints(model, regressor, poses, betas, trans, dmpls=None, dmpl_dirs=None):
    vertices = plain_vertices(model, poses, betas, trans, dmpls, dmpl_dirs)
    return np.einsum("kv,tvc->tkc", regressor, vertices)


@pytest.mark.parametrize("correctives", ["none", "hands", "dense"])
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_plain_forward_pass(correctives, seed):
    model = synthetic_body(320, seed=seed, correctives=correctives)
    regressor = synthetic_regressor(model, seed=seed, row_sums=UNEVEN)
    poses, trans = random_motion(40, seed=seed)
    expected = plain_keypoints(model, regressor, poses, BETAS, trans)
    exact = KeypointTable.build(model, regressor, dtype=np.float64).at(BETAS).keypoints(poses, trans)
    np.testing.assert_allclose(exact, expected, atol=1e-12)
    fast = KeypointTable.build(model, regressor).at(BETAS).keypoints(poses, trans)
    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast, expected, atol=1e-5)


@pytest.mark.parametrize("correctives", ["none", "hands", "dense"])
def test_soft_tissue_moves_vertices_and_joints(correctives):
    model, dirs = synthetic_body(320, correctives=correctives), synthetic_dmpls(320)
    regressor = synthetic_regressor(model, row_sums=UNEVEN)
    poses, trans = random_motion(20)
    dmpls = np.random.default_rng(5).normal(size=(20, 8)) * 2
    subject = KeypointTable.build(model, regressor, dmpl_dirs=dirs, dtype=np.float64).at(BETAS)
    expected = plain_keypoints(model, regressor, poses, BETAS, trans, dmpls, dirs)
    np.testing.assert_allclose(subject.keypoints(poses, trans, dmpls), expected, atol=1e-12)
    without = plain_keypoints(model, regressor, poses, BETAS, trans)
    assert np.abs(expected - without).max() > 1e-3
    np.testing.assert_allclose(subject.keypoints(poses, trans), without, atol=1e-12)


def test_correctives_on_fingers_alone_are_not_lost():
    model = synthetic_body(320, correctives="hands")
    posedirs = model.posedirs.copy()
    posedirs[..., : 21 * 9] = 0
    model = type(model)(**{**vars(model), "posedirs": posedirs})
    regressor = synthetic_regressor(model)
    poses, trans = random_motion(10)
    got = KeypointTable.build(model, regressor, dtype=np.float64).at(BETAS).keypoints(poses, trans)
    np.testing.assert_allclose(got, plain_keypoints(model, regressor, poses, BETAS, trans), atol=1e-12)


def test_column_order_of_the_correctives_matters_and_is_right():
    model = synthetic_body(320, correctives="dense")
    turned = model.posedirs.reshape(320, 3, 51, 3, 3).swapaxes(-1, -2).reshape(320, 3, 459)
    other = type(model)(**{**vars(model), "posedirs": turned})
    regressor = synthetic_regressor(model)
    poses, trans = random_motion(10)
    right = KeypointTable.build(model, regressor).at(BETAS).keypoints(poses, trans)
    wrong = KeypointTable.build(other, regressor).at(BETAS).keypoints(poses, trans)
    assert np.abs(right - wrong).max() > 0.01


def test_a_keypoint_that_is_one_finger_vertex_needs_its_whole_chain():
    model = synthetic_body(320)
    regressor = np.zeros((1, 320))
    regressor[0, 319] = 1  # the tip of the right thumb
    poses, trans = random_motion(6)
    table = KeypointTable.build(model, regressor, dtype=np.float64)
    chain = set(table.joints[table.bones].tolist())
    assert {0, 3, 6, 9, 14, 17, 19, 21, 49} <= chain
    assert not chain & {1, 2, 4, 5, 12, 15, 16, 22}, "bones that carry nothing are skipped"
    expected = plain_vertices(model, poses, BETAS, trans)[:, 319:]
    np.testing.assert_allclose(table.at(BETAS).keypoints(poses, trans), expected, atol=1e-12)


def test_fingers_get_their_own_small_products_only_where_the_model_allows():
    def build(kind):
        model = synthetic_body(320, correctives=kind)
        return KeypointTable.build(model, synthetic_regressor(model)).products

    assert build("none") == ()
    body, left, right = build("hands")
    assert body.rows is None
    assert len(left.rows) + len(right.rows) < len(body.matrix) / 3
    (whole,) = build("dense")
    assert whole.matrix.shape[1] == 459


@pytest.mark.parametrize("n_frames", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
def test_blocks_leave_no_seam(n_frames):
    model = synthetic_body(320)
    subject = KeypointTable.build(model, synthetic_regressor(model)).at(BETAS)
    poses, trans = random_motion(2 * BLOCK + 7)
    whole = subject.keypoints(poses, trans)
    part = subject.keypoints(poses[:n_frames], trans[:n_frames])
    assert part.shape == (n_frames, 17, 3)
    np.testing.assert_allclose(part, whole[:n_frames], atol=2e-6)


def test_strided_and_narrow_input_is_taken_as_it_is():
    model = synthetic_body(320)
    subject = KeypointTable.build(model, synthetic_regressor(model)).at(BETAS)
    poses, trans = random_motion(50)
    expected = subject.keypoints(poses[::4].copy(), trans[::4].copy())
    np.testing.assert_array_equal(subject.keypoints(poses[::4], trans[::4]), expected)
    narrow = subject.keypoints(poses[::4].astype(np.float32), trans[::4].astype(np.float32))
    np.testing.assert_allclose(narrow, expected, atol=1e-6)


def test_all_sixteen_betas_count():
    model = synthetic_body(320)
    table = KeypointTable.build(model, synthetic_regressor(model))
    poses, trans = random_motion(2)
    still = table.at(np.zeros(16)).keypoints(poses, trans)
    for i in range(16):
        assert np.abs(table.at(np.eye(16)[i]).keypoints(poses, trans) - still).max() > 1e-4, i


@pytest.mark.parametrize("betas", [np.zeros(10), np.zeros(300), np.full(16, np.nan)])
def test_another_number_of_betas_is_refused(betas):
    model = synthetic_body(320, correctives="none")
    with pytest.raises(UserError, match="16 finite betas"):
        KeypointTable.build(model, synthetic_regressor(model)).at(betas)


def test_arrays_that_do_not_fit_are_refused():
    model = synthetic_body(320, correctives="none")
    subject = KeypointTable.build(model, synthetic_regressor(model)).at(BETAS)
    with pytest.raises(ValueError, match=r"expected \(T, 156\)"):
        subject.keypoints(np.zeros((3, 165)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="expected"):
        subject.keypoints(np.zeros((3, 156)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="dmpl_dirs"):
        subject.keypoints(np.zeros((3, 156)), np.zeros((3, 3)), np.zeros((3, 8)))


def test_blas_is_held_at_one_thread_and_let_go(monkeypatch):
    model = synthetic_body(320)
    subject = KeypointTable.build(model, synthetic_regressor(model)).at(BETAS)

    def threads():
        return [lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]

    seen = []
    original = collapse.rotation_matrices
    monkeypatch.setattr(collapse, "rotation_matrices", lambda *a, **k: (seen.append(threads()), original(*a, **k))[1])
    before = threads()
    subject.keypoints(*random_motion(4))
    assert seen
    assert set(seen[0]) == {1}
    assert threads() == before


def test_keypoints_turn_with_the_world():
    """A rotated root about the pelvis joint turns the keypoints rigidly."""
    model = synthetic_body(320)
    subject = KeypointTable.build(model, synthetic_regressor(model), dtype=np.float64).at(BETAS)
    poses, trans = random_motion(1)
    trans[:] = 0
    poses[:, :3] = 0
    upright = subject.keypoints(poses, trans)[0]
    poses[:, :3] = [0, np.pi / 2, 0]
    turned = subject.keypoints(poses, trans)[0]
    pelvis = model.J_regressor[0] @ (model.v_template + model.shapedirs @ BETAS)
    quarter = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    np.testing.assert_allclose(turned, (upright - pelvis) @ quarter.T + pelvis, atol=1e-12)
