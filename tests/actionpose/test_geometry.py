"""Frames of reference: every step has an exact way back, and a person's view does not depend on the room."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.geometry import (
    SCREEN_PER_METRE,
    camera_matrix,
    camera_to_screen,
    facing_directions,
    facing_heading,
    flip,
    pixel_to_screen,
    root_relative,
    rotation_z,
    screen_centre,
    to_camera,
    view_angles,
    view_matrix,
)
from actionpose.skeleton import FLIP_ORDER, JOINT_NAMES, LEFT, RIGHT
from tests.makers.screen import screen_to_camera, screen_to_pixel

seeds = st.integers(0, 2**32 - 1)
angles = st.floats(-10, 10)
sizes = st.integers(64, 4096)

# A standing person who faces -y: left is +x, up is +z. Metres, rough proportions.
_STANDING = {
    "pelvis": (0.0, 0.0, 0.95), "right_hip": (-0.13, 0.0, 0.93), "right_knee": (-0.13, 0.0, 0.5),
    "right_ankle": (-0.13, 0.05, 0.08), "left_hip": (0.13, 0.0, 0.93), "left_knee": (0.13, -0.02, 0.5),
    "left_ankle": (0.13, 0.05, 0.08), "spine": (0.0, 0.02, 1.2), "thorax": (0.0, 0.02, 1.45),
    "nose": (0.0, -0.1, 1.6), "head": (0.0, 0.0, 1.75), "left_shoulder": (0.18, 0.0, 1.42),
    "left_elbow": (0.3, 0.03, 1.2), "left_wrist": (0.35, -0.1, 1.0), "right_shoulder": (-0.18, 0.0, 1.42),
    "right_elbow": (-0.3, 0.03, 1.2), "right_wrist": (-0.4, 0.1, 1.1),
}  # fmt: skip
STANDING: Floats = np.array([_STANDING[name] for name in JOINT_NAMES])


def clip(seed: int, frames: int = 12, swing: float = 0.4) -> Floats:
    """A person who wobbles and walks; headings of the frames stay within `swing` radians of -y."""
    rng = np.random.default_rng(seed)
    turned = np.stack([STANDING @ rotation_z(angle).T for angle in rng.uniform(-swing, swing, frames)])
    path = np.cumsum(rng.normal(0, 0.05, (frames, 1, 3)), axis=0)
    return turned + rng.normal(0, 0.01, turned.shape) + path


def spinning(frames: int = 24) -> Floats:
    """A person who turns round once, so that the directions cancel out."""
    return np.stack([STANDING @ rotation_z(2 * math.pi * t / frames).T for t in range(frames)])


def rotate(pose: Floats, angle: float) -> Floats:
    return pose @ rotation_z(angle).T


# --- there and back ---------------------------------------------------------------------------


@given(seeds, sizes, sizes)
def test_pixels_to_screen_and_back_is_exact(seed: int, width: int, height: int):
    xy = np.random.default_rng(seed).uniform(-0.5, 1.5, (5, 17, 2)) * [width, height]
    assert_allclose(screen_to_pixel(pixel_to_screen(xy, width, height), width, height), xy, rtol=0, atol=1e-9)


def test_the_width_decides_the_scale_of_both_axes():
    corners = np.array([[0.0, 0.0], [1000.0, 0.0], [1000.0, 500.0], [500.0, 250.0]])
    assert_array_equal(pixel_to_screen(corners, 1000, 500), [[-1, -0.5], [1, -0.5], [1, 0.5], [0, 0]])


@given(seeds, st.floats(0.01, 5))
def test_camera_to_screen_and_back_is_exact(seed: int, scale: float):
    pose = clip(seed)
    centre = screen_centre(pose)
    assert_allclose(screen_to_camera(camera_to_screen(pose, centre, scale), centre, scale), pose, rtol=0, atol=1e-9)


def test_the_screen_is_centred_on_the_pelvis_and_keeps_depth_in_one_scale():
    screen = camera_to_screen(clip(0), screen_centre(clip(0)))
    assert_allclose(screen[:, 0].mean(axis=0), 0, atol=1e-12)
    thigh_m = np.linalg.norm(clip(0)[:, 2] - clip(0)[:, 1], axis=-1)
    assert_allclose(np.linalg.norm(screen[:, 2] - screen[:, 1], axis=-1), thigh_m * SCREEN_PER_METRE)


@given(seeds, st.sampled_from([2, 3]))
def test_flipping_twice_is_the_identity_bit_for_bit(seed: int, channels: int):
    pose = np.random.default_rng(seed).normal(size=(2, 7, 17, channels)).astype(np.float32)
    before = pose.copy()
    assert_array_equal(flip(flip(pose)), pose)
    assert_array_equal(pose, before)  # the input is left alone
    assert flip(pose).dtype == np.float32


def test_a_flip_mirrors_x_and_exchanges_the_sides():
    pose = clip(3)
    mirrored = flip(pose)
    assert_array_equal(mirrored[:, LEFT, 0], -pose[:, RIGHT, 0])
    assert_array_equal(mirrored[:, LEFT, 1:], pose[:, RIGHT, 1:])
    assert_array_equal(mirrored[:, [0, 7, 8, 9, 10], 1:], pose[:, [0, 7, 8, 9, 10], 1:])


def test_flipping_commutes_with_going_to_the_screen():
    # The image mirrors about its middle column; confidence, in the third channel, stays with its joint.
    pixels = np.random.default_rng(0).uniform(0, 1000, (4, 17, 2))
    in_pixels = pixels[:, FLIP_ORDER].copy()
    in_pixels[..., 0] = 1000 - in_pixels[..., 0]
    assert_allclose(pixel_to_screen(in_pixels, 1000, 800), flip(pixel_to_screen(pixels, 1000, 800)), atol=1e-12)


@given(seeds)
def test_root_relative_puts_the_pelvis_at_zero_and_keeps_every_bone(seed: int):
    pose = clip(seed)
    relative = root_relative(pose)
    assert_array_equal(relative[:, 0], 0)
    assert_allclose(np.diff(relative, axis=1), np.diff(pose, axis=1), atol=1e-12)
    assert_array_equal(root_relative(relative), relative)


# --- cameras ----------------------------------------------------------------------------------


def test_front_and_side_are_the_published_axis_exchanges():
    point = np.array([1.0, 2.0, 3.0])
    assert_array_equal(view_matrix("front") @ point, [1, -3, 2])  # (x, -z, y)
    assert_array_equal(view_matrix("side") @ point, [2, -3, -1])  # (y, -z, -x)
    assert_array_equal(view_matrix("back") @ point, [-1, -3, -2])


@given(st.sampled_from(["front", "side", "back", "yaw+45", "yaw-30pitch+15", "yaw+0pitch-20"]), angles)
def test_every_view_is_a_rotation_that_never_mirrors(view: str, heading: float):
    camera = camera_matrix(view, heading)
    assert np.linalg.det(camera) == pytest.approx(1.0, abs=1e-12)
    assert_allclose(camera @ camera.T, np.eye(3), atol=1e-12)


@given(seeds, angles)
def test_front_and_side_agree_on_the_shared_vertical_axis(seed: int, heading: float):
    pose = clip(seed).astype(np.float32)
    front = to_camera(pose, camera_matrix("front", heading))
    side = to_camera(pose, camera_matrix("side", heading))
    assert_array_equal(front[..., 1], side[..., 1])
    assert front.dtype == np.float32
    # What one view cannot see is what the other shows; to a float's precision, since each is rotated.
    assert_allclose(front[..., 2], side[..., 0], atol=2e-6)
    assert_allclose(front[..., 0], -side[..., 2], atol=2e-6)


def test_a_person_facing_the_front_camera_shows_left_on_the_right_head_up_and_nose_near():
    front = to_camera(STANDING[None], camera_matrix("front"))[0]
    named = dict(zip(JOINT_NAMES, front, strict=True))
    assert named["left_shoulder"][0] > 0 > named["right_shoulder"][0]
    assert named["head"][1] < named["pelvis"][1]  # y points down
    assert named["nose"][2] < named["thorax"][2]  # z points away


def test_the_side_camera_stands_on_the_persons_left_and_the_back_camera_behind():
    side = dict(zip(JOINT_NAMES, to_camera(STANDING[None], camera_matrix("side"))[0], strict=True))
    assert side["left_hip"][2] < side["right_hip"][2]
    back = dict(zip(JOINT_NAMES, to_camera(STANDING[None], camera_matrix("back"))[0], strict=True))
    assert back["nose"][2] > back["thorax"][2]


def test_named_views_and_their_angles_are_the_same_cameras():
    assert_array_equal(view_matrix("yaw+90"), view_matrix("side"))
    assert_array_equal(view_matrix("yaw+000"), view_matrix("front"))
    assert view_angles("yaw-30pitch+15") == (-30.0, 15.0)


def test_a_camera_that_looks_down_sees_the_head_nearer_than_the_feet():
    tilted = dict(zip(JOINT_NAMES, to_camera(STANDING[None], view_matrix("yaw+0pitch+30"))[0], strict=True))
    level = dict(zip(JOINT_NAMES, to_camera(STANDING[None], view_matrix("front"))[0], strict=True))
    nearer = {name: level[name][2] - tilted[name][2] for name in ("head", "left_ankle")}
    assert nearer["head"] > nearer["left_ankle"]


@pytest.mark.parametrize("view", ["top", "yaw", "yawx", "45", "yaw+10pitchy", ""])
def test_an_unknown_view_is_refused_with_the_ones_there_are(view: str):
    with pytest.raises(UserError, match="unknown view") as caught:
        view_angles(view)
    assert "front, side, back" in caught.value.hint


# --- which way a person faces -----------------------------------------------------------------


@pytest.mark.parametrize("angle", [0.0, 0.5, math.pi / 2, 3.0, -2.0])
def test_a_person_facing_minus_y_has_heading_zero_and_turning_adds_up(angle: float):
    heading, how = facing_heading(rotate(STANDING[None], angle))
    assert heading == pytest.approx(angle, abs=1e-12)
    assert how == "mean"


@given(seeds, st.floats(-math.pi, math.pi))
def test_the_front_view_does_not_depend_on_how_the_person_stood_in_the_room(seed: int, angle: float):
    there, turned = clip(seed), rotate(clip(seed), angle)
    (h0, how0), (h1, how1) = facing_heading(there), facing_heading(turned)
    assert how0 == how1 == "mean"
    for view in ("front", "side"):
        assert_allclose(
            to_camera(turned, camera_matrix(view, h1)), to_camera(there, camera_matrix(view, h0)), atol=1e-9
        )


@given(st.floats(-math.pi, math.pi))
def test_a_person_turning_round_is_seen_from_where_the_middle_frame_faces(angle: float):
    there, turned = spinning(), rotate(spinning(), angle)
    heading, how = facing_heading(turned)
    assert how == "level"
    front = to_camera(turned, camera_matrix("front", heading))
    assert_allclose(front, to_camera(there, camera_matrix("front", facing_heading(there)[0])), atol=1e-9)
    left_to_right = front[11, LEFT[0]] - front[11, RIGHT[0]]  # frames 11 and 12 are equally near; the earlier one
    assert_allclose(left_to_right[1:], 0, atol=1e-9)
    assert left_to_right[0] > 0


def test_a_frame_with_tilted_hips_does_not_decide():
    tumbling = spinning(24)
    lying = STANDING @ np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]).T  # on the side, hips upright
    tumbling[8:16] = lying
    heading, how = facing_heading(tumbling)
    assert how == "level"
    expected = facing_heading(tumbling[7:8])[0]  # the nearest level frame before the middle
    assert heading == pytest.approx(expected, abs=1e-12)


def test_a_person_lying_on_the_side_throughout_still_gets_one_finite_heading():
    lying = STANDING @ np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]).T
    heading, how = facing_heading(np.repeat(lying[None], 5, axis=0))
    assert math.isfinite(heading)
    assert how == "level"


def test_facing_is_a_unit_vector_only_where_the_hips_are_level():
    assert_allclose(np.linalg.norm(facing_directions(spinning()), axis=-1), 1, atol=1e-12)
    tilt = math.radians(60)
    rolled = (
        STANDING @ np.array([[math.cos(tilt), 0, -math.sin(tilt)], [0, 1, 0], [math.sin(tilt), 0, math.cos(tilt)]]).T
    )
    assert_allclose(np.linalg.norm(facing_directions(rolled[None]), axis=-1), math.cos(tilt), atol=1e-12)


def test_every_frame_weighs_the_same_in_the_facing_however_long_its_hips_look():
    # Half of the frames face -y with level hips, half face +x with hips tilted so that they look a third as wide.
    upright = np.zeros((10, 17, 3))
    upright[:5, 1], upright[:5, 4] = (-0.1, 0, 1), (0.1, 0, 1)
    upright[5:, 1], upright[5:, 4] = (0, -0.03, 0.9), (0, 0.03, 1.1)
    heading, how = facing_heading(upright)
    assert how == "mean"
    assert abs(heading) == pytest.approx(np.pi / 4, abs=1e-6)
