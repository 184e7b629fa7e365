"""Metrics give the published code's numbers and keep their promises at the edges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actionpose import metrics

GOLDEN = Path(__file__).parent / "golden" / "metrics_h36m.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as file:
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


def test_frames_come_back_one_by_one_whatever_stands_in_front(golden):
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


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="cannot be compared"):
        metrics.mpjpe(np.zeros((2, 17, 3)), np.zeros((3, 17, 3)))
