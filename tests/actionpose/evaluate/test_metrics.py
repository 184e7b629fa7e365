"""Metrics give the published code's numbers and keep their promises at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from actionpose.evaluate import metrics
from tests.makers.places import GOLDEN

GOLDEN_METRICS = GOLDEN / "metrics_h36m.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN_METRICS, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def turn(rng) -> np.ndarray:
    """A random proper rotation."""
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def test_mpjpe_and_p_mpjpe_equal_the_published_code(golden):
    p, g = golden["predicted_mm"], golden["target_mm"]
    np.testing.assert_allclose(metrics.mpjpe(p, g), golden["mpjpe_mm"], rtol=1e-10)
    np.testing.assert_allclose(metrics.p_mpjpe(p, g), golden["p_mpjpe_mm"], rtol=1e-8, atol=1e-9)


def test_position_and_velocity_means_equal_the_published_losses(golden):
    p, g = golden["predicted_mm"], golden["target_mm"]
    assert metrics.mpjpe(p, g).mean() == pytest.approx(float(golden["loss_position_mean"]), rel=1e-6)
    assert metrics.mpjve(p, g).mean() == pytest.approx(float(golden["loss_velocity_mean"]), rel=1e-6)


def test_frames_are_found_one_by_one_whatever_precedes_their_number(golden):
    p, g = (golden[name].reshape(4, 10, 17, 3) for name in ("predicted_mm", "target_mm"))
    for metric in (metrics.mpjpe, metrics.p_mpjpe, metrics.n_mpjpe, metrics.pck, metrics.auc):
        flat = metric(p.reshape(-1, 17, 3), g.reshape(-1, 17, 3))
        np.testing.assert_allclose(metric(p, g), flat.reshape(4, 10))
    assert metrics.mpjve(p, g).shape == (4, 9)
    assert metrics.acceleration_error(p, g).shape == (4, 8)


def test_copies_have_no_error(rng):
    g = rng.normal(size=(5, 17, 3))
    for metric in (metrics.mpjpe, metrics.n_mpjpe, metrics.p_mpjpe, metrics.mpjve, metrics.acceleration_error):
        np.testing.assert_allclose(metric(g, g), 0, atol=1e-12)


def test_procrustes_forgives_similarities_but_no_reflection(rng):
    g = rng.normal(size=(6, 17, 3))
    np.testing.assert_allclose(metrics.p_mpjpe(1.7 * g @ turn(rng) + rng.normal(size=3), g), 0, atol=1e-10)
    assert (metrics.p_mpjpe(g * [-1, 1, 1], g) > 0.1).all()
    assert (metrics.p_mpjpe(g + rng.normal(size=g.shape), g) <= metrics.mpjpe(g + 5, g)).all()


def test_procrustes_survives_a_collapsed_prediction(rng):
    g = rng.normal(size=(2, 17, 3))
    centre = np.linalg.norm(g - g.mean(axis=1, keepdims=True), axis=-1).mean(axis=-1)
    np.testing.assert_allclose(metrics.p_mpjpe(np.zeros_like(g), g), centre)
    np.testing.assert_allclose(metrics.n_mpjpe(np.zeros_like(g), g), np.linalg.norm(g, axis=-1).mean(axis=-1))


def test_n_mpjpe_forgives_scale_alone(rng):
    g = rng.normal(size=(4, 17, 3))
    np.testing.assert_allclose(metrics.n_mpjpe(0.2 * g, g), 0, atol=1e-12)
    assert (metrics.n_mpjpe(g + 1, g) > 0.1).all()


def test_velocity_and_acceleration_by_hand():
    g = np.zeros((4, 17, 3))
    p = g.copy()
    p[:, :, 0] = np.array([0.0, 1.0, 4.0, 9.0])[:, None]
    np.testing.assert_allclose(metrics.mpjve(p, g), [1, 3, 5])
    np.testing.assert_allclose(metrics.acceleration_error(p, g), [2, 2])


def test_pck_is_strict_and_counts_fourteen_joints():
    g, p = np.zeros((1, 17, 3)), np.zeros((1, 17, 3))
    p[..., 0] = 150.0
    assert metrics.pck(p, g) == 0
    assert metrics.pck(np.nextafter(p, 0), g) == 100
    left_out = [j for j in range(17) if j not in metrics.PCK_JOINTS]
    assert left_out == [0, 7, 9]
    p[:, metrics.PCK_JOINTS, 0] = 0.0
    assert metrics.pck(p, g) == 100


def test_auc_of_a_copy_is_its_ceiling_and_equals_the_mean_of_pck(rng):
    g = rng.normal(size=(7, 17, 3)) * 100
    np.testing.assert_allclose(metrics.auc(g, g), 100 * 30 / 31)
    p = g + rng.normal(size=g.shape) * 60
    p[0] = g[0] + np.array([75.0, 0, 0])  # exactly on a threshold
    plain = np.mean([metrics.pck(p, g, threshold) for threshold in metrics.AUC_THRESHOLDS_MM], axis=0)
    np.testing.assert_allclose(metrics.auc(p, g), plain)
    assert len(metrics.AUC_THRESHOLDS_MM) == 31


def test_float32_input_is_summed_in_float64():
    g = np.zeros((200_000, 17, 3), dtype=np.float32)
    p = g + np.float32(0.1)
    assert metrics.mpjpe(p, g).dtype == np.float64
    assert metrics.mpjpe(p, g).mean() == pytest.approx(float(np.float32(0.1)) * 3**0.5, rel=1e-12)


def test_frame_weights_reproduce_a_published_benchmark_mean():
    frames = [603, 540, 505, 553, 276, 452]
    means = [21.8611, 35.8336, 29.3702, 34.5674, 36.7592, 38.9681]
    errors = np.concatenate([np.full(n, m) for n, m in zip(frames, means, strict=True)])
    p, g = np.zeros((len(errors), 17, 3)), np.zeros((len(errors), 17, 3))
    p[..., 1] = errors[:, None]
    assert metrics.mpjpe(p, g).mean() == pytest.approx(32.1745, abs=1e-4)


# --- against plain code -----------------------------------------------------------------------


def plain_p_mpjpe(p: np.ndarray, g: np.ndarray) -> float:
    """One frame, by the formula as papers write it: unit Frobenius norms, H = gᵀp, R = V Uᵀ without reflection."""
    p_mean, g_mean = p.mean(axis=0), g.mean(axis=0)
    p_norm, g_norm = np.linalg.norm(p - p_mean), np.linalg.norm(g - g_mean)
    u, s, vt = np.linalg.svd(((g - g_mean) / g_norm).T @ ((p - p_mean) / p_norm))
    v = vt.T
    if np.linalg.det(v @ u.T) < 0:
        v[:, -1] *= -1
        s[-1] *= -1
    r, a = v @ u.T, s.sum() * g_norm / p_norm
    return float(np.linalg.norm(a * p @ r + (g_mean - a * p_mean @ r) - g, axis=1).mean())


def plain_mpi_inf_3dhp(p: np.ndarray, g: np.ndarray) -> tuple[float, float, float]:
    """One sequence in MPI-INF-3DHP's order, a frame, joint and threshold at a time."""
    errors = [
        [float(np.sqrt(sum((p[t, j] - p[t, 14] - g[t, j] + g[t, 14]) ** 2))) for j in range(17)] for t in range(len(p))
    ]
    used = [e for frame in errors for e in frame[:14]]

    def share(threshold: float) -> float:
        return 100 * sum(e < threshold for e in used) / len(used)

    return float(np.mean(errors)), share(150), sum(share(t) for t in range(0, 151, 5)) / 31


def test_p_mpjpe_equals_the_formula_one_frame_at_a_time(rng):
    g = rng.normal(size=(50, 17, 3)) * 300
    p = g @ turn(rng) + rng.normal(size=g.shape) * 200
    p[:10, :, 0] *= -1  # mirrored: the reflection has to be undone
    np.testing.assert_allclose(metrics.p_mpjpe(p, g), [plain_p_mpjpe(a, b) for a, b in zip(p, g, strict=True)])


def test_n_mpjpe_uses_the_factor_that_fits_best_in_the_least_squares_sense(rng):
    g = rng.normal(size=(6, 17, 3))
    p = 0.7 * g + rng.normal(size=g.shape) * 0.2
    for frame in range(6):
        factor = float(np.linalg.lstsq(p[frame].reshape(-1, 1), g[frame].reshape(-1), rcond=None)[0][0])
        assert metrics.n_mpjpe(p, g)[frame] == pytest.approx(
            np.linalg.norm(factor * p[frame] - g[frame], axis=-1).mean()
        )


def test_errors_do_not_depend_on_where_the_axes_point_or_who_comes_first(rng):
    g = rng.normal(size=(5, 17, 3))
    p, r = g + rng.normal(size=g.shape), turn(rng)
    for metric in (metrics.mpjpe, metrics.n_mpjpe, metrics.p_mpjpe, metrics.mpjve, metrics.acceleration_error):
        np.testing.assert_allclose(metric(p @ r, g @ r), metric(p, g), atol=1e-12)
    for metric in (metrics.mpjpe, metrics.mpjve, metrics.acceleration_error):
        np.testing.assert_allclose(metric(g, p), metric(p, g))
    np.testing.assert_allclose(metrics.mpjve(p + 5, g), metrics.mpjve(p, g))  # a constant error does not move


# --- MPI-INF-3DHP's score -----------------------------------------------------------------------


def test_3dhp_scores_equal_plain_loops_in_both_joint_orders(rng):
    target = {name: rng.normal(size=(n, 17, 3)) * 300 for name, n in (("TS1", 3), ("TS2", 8))}
    predicted = {name: pose + rng.normal(size=pose.shape) * 70 for name, pose in target.items()}
    got = metrics.mpi_inf_3dhp(predicted, target)
    for name, pose in target.items():
        sequence = got["sequences"][name]
        expected = plain_mpi_inf_3dhp(predicted[name], pose)
        assert (sequence["mpjpe_mm"], sequence["pck"], sequence["auc"]) == pytest.approx(expected)
    ours = [{name: metrics.human36m_order(pose, "3dhp") for name, pose in side.items()} for side in (predicted, target)]
    again = metrics.mpi_inf_3dhp(*ours, joints="h36m")
    assert (again["pck"], again["auc"]) == (got["pck"], got["auc"])
    assert again["mpjpe_mm"] == pytest.approx(got["mpjpe_mm"])
    assert got["pck"] == pytest.approx((3 * got["sequences"]["TS1"]["pck"] + 8 * got["sequences"]["TS2"]["pck"]) / 11)
    assert got["sequence_mean"]["pck"] == pytest.approx(np.mean([s["pck"] for s in got["sequences"].values()]))


def test_3dhp_weighs_sequences_by_their_frames_as_published():
    names, frames = [f"TS{k}" for k in range(1, 7)], (603, 540, 505, 553, 276, 452)
    means = (21.8611, 35.8336, 29.3702, 34.5674, 36.7592, 38.9681)
    target = {name: np.zeros((n, 17, 3)) for name, n in zip(names, frames, strict=True)}
    predicted = {name: pose.copy() for name, pose in target.items()}
    for pose, mean in zip(predicted.values(), means, strict=True):
        pose[:, :14, 1] = mean * 17 / 14  # the mean is over 17 joints
    got = metrics.mpi_inf_3dhp(predicted, target)
    assert got["frames"] == 2929
    assert got["mpjpe_mm"] == pytest.approx(32.1745, abs=1e-4)
    assert got["sequence_mean"]["mpjpe_mm"] == pytest.approx(np.mean(means))


def test_3dhp_forgives_a_shift_of_the_whole_person_but_no_size(rng):
    target = {"TS1": rng.normal(size=(4, 17, 3)) * 300}
    perfect = metrics.mpi_inf_3dhp({"TS1": target["TS1"] + 1000}, target)
    assert perfect["mpjpe_mm"] == pytest.approx(0, abs=1e-9)
    assert (perfect["pck"], perfect["auc"]) == (100, pytest.approx(96.774, abs=1e-3))
    assert metrics.mpi_inf_3dhp({"TS1": target["TS1"] * 1.2}, target)["mpjpe_mm"] > 50


def test_3dhp_refuses_what_it_cannot_score():
    pose = np.zeros((2, 17, 3))
    for predicted, target, says in (
        ({}, {}, "sequences"),
        ({"TS1": pose}, {"TS2": pose}, "TS2"),
        ({"TS1": pose[:1]}, {"TS1": pose}, "cannot be compared"),
        ({"TS1": pose * np.nan}, {"TS1": pose}, "not finite"),
    ):
        with pytest.raises(ValueError, match=says):
            metrics.mpi_inf_3dhp(predicted, target)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="cannot be compared"):
        metrics.mpjpe(np.zeros((2, 17, 3)), np.zeros((3, 17, 3)))
