"""Every way between vectors, matrices and quaternions gives the same rotation, at every angle."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.body.rotations import (
    halfway,
    quaternion_matrices,
    quaternion_vectors,
    quaternions,
    rotation_matrices,
    rotation_vectors,
    rotations_about,
    shortest_rotation,
    slerp,
    slerp_vectors,
)

UP = np.array([0.0, 0.0, 1.0])


vectors = st.lists(st.floats(-20, 20), min_size=3, max_size=3).map(np.array)


@settings(max_examples=200, deadline=None)
@given(vectors)
def test_rotations_follow_rodrigues_at_every_angle(vector):
    x, y, z = vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.linalg.norm(vector)
    a = np.sinc(angle / np.pi)
    b = 0.5 * np.sinc(angle / 2 / np.pi) ** 2
    expected = np.eye(3) + a * cross + b * cross @ cross
    got = rotation_matrices(vector.reshape(1, 3, 1))[0, :, :, 0]
    np.testing.assert_allclose(got, expected, atol=1e-12)
    narrow = rotation_matrices(vector.astype(np.float32).reshape(1, 3, 1))[0, :, :, 0]
    np.testing.assert_allclose(narrow, expected, atol=1e-5)


def test_no_rotation_is_the_identity_to_the_bit():
    np.testing.assert_array_equal(rotation_matrices(np.zeros((1, 3, 1), np.float32))[0, :, :, 0], np.eye(3))


def test_turns_survive_the_way_to_quaternions_and_back():
    angles = np.linspace(0, 3 * np.pi, 200)
    axis = np.array([0.3, -0.5, 0.8]) / np.linalg.norm([0.3, -0.5, 0.8])
    matrices = rotations_about(axis, angles)[:, None]
    vectors = quaternion_vectors(quaternions(matrices))
    back = rotation_matrices(vectors.transpose(1, 2, 0)).transpose(3, 0, 1, 2)
    np.testing.assert_allclose(back, matrices, atol=1e-9)
    # Beyond pi the vector grows on, up to a full turn.
    np.testing.assert_allclose(vectors[:130, 0] @ axis, angles[:130], atol=1e-9)


def test_slerp_halves_the_angle():
    a, b = (quaternions(rotations_about(UP, np.array([[angle]]))) for angle in (0.2, 1.4))
    half = slerp(a, -b, np.array([0.5]))
    np.testing.assert_allclose(np.abs(half), np.abs(quaternions(rotations_about(UP, np.array([[0.8]])))), atol=1e-12)


def test_a_quaternion_turns_as_a_rotation_about_its_axis():
    half = math.radians(40) / 2
    turned = quaternion_matrices(np.array([math.cos(half), 0, 0, math.sin(half)]))
    c, s = math.cos(2 * half), math.sin(2 * half)
    assert turned == pytest.approx(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]))
    assert quaternion_matrices(7 * np.array([0.1, 0.2, -0.3, 0.4])) == pytest.approx(
        quaternion_matrices(np.array([0.1, 0.2, -0.3, 0.4]))
    )


def test_quaternions_of_matrices_are_the_matrices_again():
    vectors = np.random.default_rng(0).normal(0, 2, (1, 3, 500))
    matrices = rotation_matrices(vectors)[0].transpose(2, 0, 1)
    turns = quaternions(matrices)
    assert (turns.max(axis=1) == np.abs(turns).max(axis=1)).all()
    np.testing.assert_allclose(quaternion_matrices(turns), matrices, atol=1e-12)


def test_both_ways_of_slerp_agree():
    rng = np.random.default_rng(1)
    first, second = rng.normal(0, 1.5, (2, 40, 4, 3))
    share = rng.uniform(0, 1, 40)

    def turned(vectors):
        return rotation_matrices(vectors.transpose(1, 2, 0)).transpose(3, 0, 1, 2)

    between = slerp(quaternions(turned(first)), quaternions(turned(second)), share)
    np.testing.assert_allclose(
        turned(slerp_vectors(first, second, share[:, None])), quaternion_matrices(between), atol=1e-9
    )


def random_matrices(n: int, seed: int) -> np.ndarray:
    turned = np.random.default_rng(seed).normal(size=(n, 4))
    return quaternion_matrices(turned)


def test_vectors_come_back_from_matrices():
    matrices = random_matrices(300, 5)
    alone = np.concatenate([rotation_vectors(matrix[None]) for matrix in matrices])
    assert np.linalg.norm(alone, axis=1).max() <= np.pi + 1e-9
    back = np.moveaxis(rotation_matrices(np.ascontiguousarray(alone.T[None]))[0], -1, 0)
    np.testing.assert_allclose(back, matrices, atol=1e-12)


def test_the_shortest_rotation_meets_its_end_with_no_twist():
    for a, b in np.random.default_rng(6).normal(size=(50, 2, 3)):
        turn = shortest_rotation(a, b)
        np.testing.assert_allclose(turn @ a / np.linalg.norm(a), b / np.linalg.norm(b), atol=1e-12)
        assert abs(rotation_vectors(turn[None])[0] @ a) < 1e-9  # the axis stands across both


def test_opposite_directions_are_half_a_turn_apart():
    turn = shortest_rotation(np.array([0.0, 1, 0]), np.array([0.0, -1, 0]))
    np.testing.assert_allclose(turn @ [0, 1, 0], [0, -1, 0], atol=1e-12)
    assert np.isclose(np.linalg.det(turn), 1)


def test_halfway_twice_is_the_whole_way():
    first, second = random_matrices(100, 7), random_matrices(100, 8)
    middle = halfway(first, second)
    np.testing.assert_allclose(middle @ np.swapaxes(first, -1, -2) @ middle, second, atol=1e-9)
