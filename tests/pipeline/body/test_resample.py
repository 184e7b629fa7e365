import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from actionpose.errors import UserError
from benchmarks.bodies import random_motion
from pipeline.body.resample import frame_times, resample_linear, resample_motion, snap_rate
from pipeline.body.rotations import rotation_matrices

SOURCE_RATES = [59.94, 59.9999885559082, 60, 100, 120, 120.00004577636719, 120.00005, 150, 250, 24, 25, 30]


def matrices(poses):
    return rotation_matrices(np.asarray(poses, np.float64).reshape(len(poses), -1, 3).transpose(1, 2, 0))


def steady(n_frames, fps, axis=(0.6, 0.0, 0.8), speed=2.0):
    """One joint at constant angular velocity: rotation vectors that pass pi without wrapping."""
    angle = speed * np.arange(n_frames) / fps
    return angle[:, None] * np.array(axis), np.outer(np.arange(n_frames) / fps, [1.0, -2.0, 0.5])


@pytest.mark.parametrize(
    ("stored", "snapped"),
    [
        (59.9999885559082, 60),
        (120.00004577636719, 120),
        (119.99995, 120),
        (120.00005, 120),
        (100, 100),
        (59.94, 59.94),
        (29.97, 29.97),
        (0.3, 0.3),
    ],
)
def test_clock_noise_is_rounded_away_and_nothing_else(stored, snapped):
    assert snap_rate(stored) == snapped


@pytest.mark.parametrize("fps", [0, -30, np.nan, np.inf, -np.inf, 1000.5, 1e9])
def test_absurd_rates_are_refused(fps):
    poses, trans = random_motion(4)
    with pytest.raises(UserError, match="frame rate"):
        snap_rate(fps)
    with pytest.raises(UserError, match="frame rate"):
        resample_motion(poses, trans, fps, 30)
    with pytest.raises(UserError, match="frame rate"):
        frame_times(4, 120, fps)


def test_a_motion_without_frames_is_refused():
    with pytest.raises(UserError, match="no frames"):
        resample_motion(np.zeros((0, 156)), np.zeros((0, 3)), 120, 30)


def test_the_known_count():
    assert len(frame_times(601, 120, 30)) == 151


@settings(max_examples=200, deadline=None)
@given(n=st.integers(1, 5000), fps=st.sampled_from(SOURCE_RATES), out=st.sampled_from([30, 25, 60, 20]))
def test_time_stamps_are_exact_and_reach_the_end(n, fps, out):
    times = frame_times(n, fps, out)
    np.testing.assert_array_equal(times, np.arange(len(times)) / out)
    last = (n - 1) / snap_rate(fps)
    assert times[-1] <= last + 1e-6
    assert last - times[-1] < 1 / out


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 300),
    fps=st.sampled_from(SOURCE_RATES),
    axis=st.tuples(*[st.floats(-1, 1)] * 3),
    speed=st.floats(0, 12),
)
def test_a_steady_turn_stays_one_at_any_rate(n, fps, axis, speed):
    length = np.linalg.norm(axis)
    assume(length > 0.1)
    true = snap_rate(fps)
    axis = np.array(axis) / length
    vectors, trans = steady(n, true, axis, speed)
    poses, places = resample_motion(vectors, trans, fps, 30)
    times = frame_times(n, fps, 30)
    times = np.minimum(times, (n - 1) / true)
    assert len(poses) == len(places) == len(times)
    np.testing.assert_allclose(matrices(poses), matrices(np.outer(speed * times, axis)), atol=1e-9)
    np.testing.assert_allclose(places, np.outer(times, [1.0, -2.0, 0.5]), atol=1e-9)
    # The vectors themselves are not wrapped either, where the source's are not.
    np.testing.assert_allclose(poses, np.outer(speed * times, axis), atol=1e-7)


@pytest.mark.parametrize(("fps", "stride"), [(60, 2), (120, 4), (120.00005, 4), (59.99999, 2), (150, 5)])
def test_integer_ratios_pick_frames_to_the_bit(fps, stride):
    poses, trans = random_motion(101)
    out, places = resample_motion(poses, trans, fps, 30)
    np.testing.assert_array_equal(out, poses[::stride])
    np.testing.assert_array_equal(places, trans[::stride])
    assert len(out) == len(frame_times(101, fps, 30))


def test_equal_rates_change_nothing():
    poses, trans = random_motion(7)
    out, places = resample_motion(poses, trans, 29.97, 29.97)
    np.testing.assert_array_equal(out, poses)
    np.testing.assert_array_equal(places, trans)


@pytest.mark.parametrize(("fps", "every", "source"), [(100, 3, 10), (250, 3, 25), (25, 6, 5)])
def test_frames_that_fall_on_a_source_frame_are_that_frame(fps, every, source):
    poses, trans = random_motion(121)
    out, places = resample_motion(poses, trans, fps, 30)
    np.testing.assert_array_equal(out[::every], poses[::source][: len(out[::every])])
    np.testing.assert_array_equal(places[::every], trans[::source][: len(out[::every])])


def test_between_frames_the_way_is_the_shortest_arc():
    """Checked against the rotation that, applied twice, leads from one frame to the next."""
    poses, trans = random_motion(40, seed=2)
    doubled, _ = resample_motion(poses, trans, 30, 60)
    full = matrices(poses)
    half = matrices(doubled)
    first, middle, last = full[..., :-1], half[..., 1::2], full[..., 1:]
    step = np.einsum("jkrn,jkcn->jrcn", first, middle)
    whole = np.einsum("jkrn,jkcn->jrcn", first, last)
    np.testing.assert_allclose(np.einsum("jrkn,jkcn->jrcn", step, step), whole, atol=1e-9)
    angle = np.arccos(np.clip((np.einsum("jrrn->jn", step) - 1) / 2, -1, 1))
    assert angle.max() <= np.pi / 2 + 1e-6


def test_rotation_vectors_longer_than_pi_stay_continuous():
    vectors, trans = steady(200, 100, speed=4.5 / 2)
    assert np.linalg.norm(vectors, axis=1).max() > 4.4
    out, _ = resample_motion(vectors, trans, 100, 30)
    assert np.linalg.norm(np.diff(out, axis=0), axis=1).max() < 0.08


def test_a_wrapped_neighbour_is_not_crossed_the_long_way():
    """Two vectors for nearly one rotation: linear interpolation would pass through no rotation at all."""
    poses = np.array([[3.1, 0, 0], [-3.1, 0, 0]])
    out, _ = resample_motion(poses, np.zeros((2, 3)), 30, 60)
    np.testing.assert_allclose(matrices(out)[0, :, :, 1], np.diag([1.0, -1, -1]), atol=1e-9)


def test_still_joints_and_still_frames_stay_to_the_bit():
    poses, trans = random_motion(50)
    poses[:, 66:] = poses[0, 66:]
    out, _ = resample_motion(poses, trans, 100, 30)
    np.testing.assert_array_equal(out[:, 66:], np.broadcast_to(poses[0, 66:], (len(out), 90)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fps", [30, 100, 120])
def test_type_is_kept_and_input_untouched(dtype, fps):
    poses, trans = (a.astype(dtype) for a in random_motion(30))
    before = poses.copy(), trans.copy()
    out, places = resample_motion(poses, trans, fps, 30)
    assert out.dtype == places.dtype == dtype
    np.testing.assert_array_equal(poses, before[0])
    np.testing.assert_array_equal(trans, before[1])


def test_one_frame_stays_one_frame():
    poses, trans = random_motion(1)
    for fps in SOURCE_RATES:
        out, places = resample_motion(poses, trans, fps, 30)
        np.testing.assert_array_equal(out, poses)
        np.testing.assert_array_equal(places, trans)


def test_blocks_leave_no_seam():
    poses, trans = random_motion(4000, seed=5)
    whole, _ = resample_motion(poses, trans, 100, 30)
    late, _ = resample_motion(poses[2000:], trans[2000:], 100, 30)
    np.testing.assert_allclose(whole[600:], late, atol=1e-10)


def test_other_quantities_go_linearly_on_the_same_times():
    values = np.outer(np.arange(11), np.ones(8))
    np.testing.assert_allclose(resample_linear(values, 100, 30)[:, 0], [0, 10 / 3, 20 / 3, 10])
    np.testing.assert_array_equal(resample_linear(values, 60, 30), values[::2])


def test_poses_and_places_of_different_length_are_refused():
    with pytest.raises(ValueError, match="3 poses and 2"):
        resample_motion(np.zeros((3, 156)), np.zeros((2, 3)), 120, 30)
