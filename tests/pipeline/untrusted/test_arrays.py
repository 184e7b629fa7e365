"""Arrays out of pickles: what numpy writes comes out equal; states that numpy never wrote are refused, not believed."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionpose.errors import UserError
from pipeline.untrusted import arrays
from pipeline.untrusted.pickles import unpickle

ARRAYS = [
    np.arange(12, dtype=np.float32).reshape(3, 4),
    np.asfortranarray(np.arange(24, dtype=np.float64).reshape(2, 3, 4)),
    np.arange(6, dtype=">f4").reshape(2, 3),
    np.arange(5, dtype=">i8"),
    np.array([True, False]),
    np.array([1 + 2j]),
    np.array(["S1", "TS10"]),
    np.array([b"a", b"bcd"]),
    np.array([{"a": 1}, [2], "three", None], dtype=object),
    np.array({"a": (1, 2.5), "b": "c"}, dtype=object),
    np.zeros((0, 17, 3), dtype=np.float32),
    np.array(7.5),
    np.arange(20)[::3],
]


def written(path: Path, thing: Any, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(thing, protocol))
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype.str}{a.shape}")
def test_every_plain_array_comes_out_as_it_went_in(tmp_path: Path, array: np.ndarray, protocol: int):
    out = unpickle(written(tmp_path / "a.pkl", {"x": array}, protocol))["x"]
    assert out.dtype == pickle.loads(pickle.dumps(array, protocol)).dtype  # numpy makes some byte orders native
    assert out.shape == array.shape
    if array.dtype.hasobject:
        assert out.tolist() == array.tolist()
    else:
        np.testing.assert_array_equal(np.asarray(out), array)
    assert type(np.asarray(out)) is np.ndarray


@pytest.mark.parametrize("value", [np.float32(1.5), np.float64(-2), np.int64(7), np.bool_(True), np.str_("S9")])
def test_single_numbers_come_out_as_they_went_in(tmp_path: Path, value: Any):
    out = unpickle(written(tmp_path / "a.pkl", [value]))[0]
    assert out == value
    assert out.dtype == value.dtype


class Reduced:
    """Pickles as whatever is given: a call and a state."""

    def __init__(self, *how: Any) -> None:
        self.how = how

    def __reduce__(self) -> Any:
        return self.how


RECONSTRUCT, SCALAR = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
FROM_BUFFER = np.zeros(1).__reduce_ex__(5)[0]


def array_with(shape: Any, dtype: Any, data: Any, fortran: Any = False) -> Reduced:
    return Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, shape, dtype, fortran, data))


def dtype_with(code: str, *state: Any) -> Reduced:
    return Reduced(np.dtype, (code, False, True), (3, *state))


HOSTILE = {
    "a float that claims to hold references": array_with(
        (2,), dtype_with("f4", "<", None, None, None, -1, -1, 63), [1, 2]
    ),
    "a float of a thousand bytes": array_with((2,), dtype_with("f4", "<", None, None, None, 1000, 4, 0), bytes(7)),
    "records": array_with((1,), dtype_with("V8", "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 27), bytes(8)),
    "a sub-array": array_with((1,), dtype_with("f4", "|", (np.dtype("f4"), (9,)), None, None, 36, 4, 0), bytes(36)),
    "addresses as objects": array_with((1,), np.dtype("O"), b"\x41" * 8),
    "fewer bytes than the shape needs": array_with((1000, 1000), np.dtype("f8"), bytes(8)),
    "more bytes than the shape needs": array_with((1,), np.dtype("f4"), bytes(400)),
    "a negative length": array_with((-1, 4), np.dtype("f4"), bytes(4)),
    "lengths whose product overflows": array_with((1 << 33, 1 << 33), np.dtype("f4"), bytes(4)),
    "fewer objects than the shape needs": array_with((5,), np.dtype("O"), [1]),
    "no type": array_with((1,), None, bytes(4)),
    "a scalar that is an address": Reduced(SCALAR, (np.dtype("O"), bytes(8))),
    "a scalar cut short": Reduced(SCALAR, (np.dtype("f8"), bytes(3))),
    "a buffer of addresses": Reduced(FROM_BUFFER, (bytearray(8), np.dtype("O"), (1,), "C")),
    "a buffer cut short": Reduced(FROM_BUFFER, (bytearray(8), np.dtype("f8"), (100,), "C")),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_state_that_numpy_never_wrote_is_refused_by_the_files_name(tmp_path: Path, what: str):
    path = written(tmp_path / "hostile.pkl", {"x": HOSTILE[what]})
    with pytest.raises(UserError, match=r"hostile\.pkl"):
        unpickle(path)


def test_an_array_and_a_type_take_one_state_each():
    """A second one would free memory that a view made in between still shows."""
    array, code = arrays.reconstruct(), arrays.Dtype("f8")
    for thing, state in ((code, (3, "<", None, None, None, -1, -1, 0)), (array, (1, (2,), code, False, bytes(16)))):
        thing.__setstate__(state)
        with pytest.raises(ValueError, match="two states"):
            thing.__setstate__(state)


def test_calling_the_name_of_the_array_class_makes_no_array(tmp_path: Path):
    path = written(tmp_path / "a.pkl", [Reduced(np.ndarray, ((1 << 40,), "f8"))])
    with pytest.raises(UserError, match="damaged"):
        unpickle(path)


WHOLE = pickle.dumps(
    {
        "S1 Seq1": [
            {"0": {"data_3d": np.ones((2, 17, 3)), "names": np.array(["a", {"b": 1}], dtype=object)}},
            np.int64(25),
        ]
    },
    2,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_are_read_or_refused_and_never_crash(tmp_path_factory: pytest.TempPathFactory, changes: Any):
    data = bytearray(WHOLE)
    for at, value in changes:
        data[at] = value
    path = tmp_path_factory.getbasetemp() / "flipped.pkl"
    path.write_bytes(bytes(data))
    try:
        repr(unpickle(path))
    except UserError as error:
        assert "flipped.pkl" in error.message  # noqa: PT017
