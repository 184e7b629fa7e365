import numpy as np
import pytest

from actionpose.errors import UserError
from benchmarks.bodies import synthetic_body, synthetic_regressor
from pipeline.body.regressor import SPIN_ORDER, load_regressor


@pytest.fixture(scope="module")
def model():
    return synthetic_body(320, correctives="none")


@pytest.fixture(scope="module")
def matrix(model):
    return synthetic_regressor(model)


def save(tmp_path, matrix):
    path = tmp_path / "J_regressor_h36m.npy"
    np.save(path, matrix)
    return path


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray])
def test_the_right_order_is_kept(tmp_path, model, matrix, dtype, layout):
    read = load_regressor(save(tmp_path, layout(matrix.astype(dtype))), model)
    assert read.order == "h36m"
    assert read.matrix.dtype == np.float64
    np.testing.assert_allclose(read.matrix, matrix, rtol=1e-6)
    np.testing.assert_allclose(read.matrix.sum(axis=1), 1, atol=1e-12)


def test_its_spin_ordered_twin_becomes_the_same_and_says_so(tmp_path, model, matrix):
    read = load_regressor(save(tmp_path, np.asfortranarray(matrix[list(SPIN_ORDER)])), model)
    assert read.order == "spin"
    np.testing.assert_array_equal(read.matrix, load_regressor(save(tmp_path, matrix), model).matrix)
    assert any("legs were swapped" in note for note in read.notes)


def test_the_permutation_is_its_own_inverse():
    assert [SPIN_ORDER[i] for i in SPIN_ORDER] == list(range(17))


def test_rows_are_normalised_and_the_note_says_from_what(tmp_path, model, matrix):
    sums = np.linspace(0.9996, 1.0001, 17)
    read = load_regressor(save(tmp_path, matrix * sums[:, None]), model)
    np.testing.assert_allclose(read.matrix, matrix, atol=1e-12)
    assert read.notes == ("rows normalised (they summed to 0.99960 .. 1.00010)",)


def mirrored_arms(m):
    return m[[*range(11), 14, 15, 16, 11, 12, 13]]


def one_leg_wrong(m):
    return m[[0, 4, 2, 3, 1, *range(5, 17)]]


def lower_body_upside_down(m):
    return m[[0, 3, 2, 1, 6, 5, 4, *range(7, 17)]]


def pelvis_at_the_hand(m):
    return m[[13, *range(1, 17)]]


def chin_up(m):
    return m[[*range(9), 10, 9, *range(11, 17)]]


def not_finite(m):
    m[3, 3] = np.inf
    return m


def heavy_row(m):
    m[16] *= 1.02
    return m


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (mirrored_arms, r"left_shoulder is at x = -0\.\d+ m"),
        (one_leg_wrong, "right_hip is at"),
        (lower_body_upside_down, "lowest points are right_hip and left_hip"),
        (pelvis_at_the_hand, "pelvis is .* cm off the middle"),
        (chin_up, "highest point is the nose"),
        (not_finite, "not finite"),
        (heavy_row, r"row 16 \(right_wrist\) sums to 1.0200"),
        (lambda m: m.T, "has shape .*transposed"),
        (lambda m: m[:9], "SPIN extra points"),
        (lambda m: np.zeros((24, 320)), "SMPL's own joints"),
        (lambda m: m[:, :200], "made for another mesh"),
        (lambda m: m[None], r"has shape \(1, 17, 320\)"),
        (lambda m: (m > 0).astype(np.int64), "int64"),
        (lambda m: np.array([None, {}], dtype=object), "damaged or cut short|objects"),
    ],
)
def test_what_is_not_this_regressor_is_refused(tmp_path, model, matrix, damage, sentence):
    path = save(tmp_path, damage(matrix.copy()))
    with pytest.raises(UserError, match=f"(?s){sentence}") as error:
        load_regressor(path, model)
    assert str(path) in error.value.message
    assert error.value.hint


def test_damaged_downloads_are_refused(tmp_path, model, matrix):
    path = save(tmp_path, np.asfortranarray(np.pad(matrix, ((0, 0), (0, 6570)))))
    whole = path.read_bytes()
    assert len(whole) == 937_168
    cases = {
        whole[:262_144]: "262,144 bytes .a cut-off copy of this size is in circulation",
        whole[:1000]: "cut short",
        b"<html><body>404</body></html>": "web page",
        b"version https://git-lfs.github.com/spec/v1\noid": "LFS pointer",
        b"PK\x03\x04 and no more": "archive of arrays",
        b"": "is empty",
    }
    for content, sentence in cases.items():
        path.write_bytes(content)
        with pytest.raises(UserError, match=sentence):
            load_regressor(path, model)


def test_an_archive_is_refused(tmp_path, model, matrix):
    path = tmp_path / "J_regressor.npz"
    np.savez(path, matrix)
    with pytest.raises(UserError, match="archive of arrays"):
        load_regressor(path, model)


def test_a_missing_file_says_how_to_point_to_it(tmp_path, model):
    with pytest.raises(UserError, match="--regressor FILE"):
        load_regressor(tmp_path / "nothing.npy", model)


def test_any_two_joints_exchanged_are_found_but_for_the_nose(tmp_path, model, matrix):
    """The whole of both legs exchanged is SPIN's order; the nose has no order along a chain."""
    for a in range(17):
        for b in range(a + 1, 17):
            if 9 in (a, b):
                continue
            order = list(range(17))
            order[a], order[b] = b, a
            with pytest.raises(UserError, match=r"does not give Human3\.6M keypoints"):
                load_regressor(save(tmp_path, matrix[order]), model)
