"""What comes out of an archive is what numpy.load gives, bit for bit; all else in the file is one kind of error."""

from __future__ import annotations

import io
import struct
import tempfile
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.untrusted.npz import Npz, NpzError, open_npz

METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def npy_header(descr: str, shape: object, fortran: bool = False, version: int = 1) -> bytes:
    text = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text


def write_zip(path: Path, members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a name that comes twice
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in members:
                archive.writestr(name, content)
    return path


def read_all(path: Path) -> dict[str, np.ndarray]:
    with open_npz(path) as archive:
        return {name: archive.read(name) for name in sorted(archive.names)}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["<f8", "<f4", ">f8", "<f2", "<i4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_method_type_and_order_is_read_as_numpy_reads_it(tmp_path, method, dtype, order):
    rng = np.random.default_rng(0)
    large = np.asarray((rng.normal(size=(400, 40)) * 50).astype(dtype), order=order)
    members = {
        "large": large,
        "cube": large[:24].reshape(4, 6, 40),
        "scalar": large[0, 0],
        "text": np.array(["a", "ß"]),
    }
    members |= {
        "none": large[:0],
        "bytes": np.array(b"female"),
        "flags": np.array([True, False]),
        "empty": np.array(""),
    }
    path = write_zip(
        tmp_path / "a.npz", [(f"{name}.npy", npy(array)) for name, array in members.items()], METHODS[method]
    )
    with np.load(path, allow_pickle=False) as expected:
        for name, found in read_all(path).items():
            assert (found.dtype, found.shape) == (expected[name].dtype, expected[name].shape)
            assert found.flags.f_contiguous == expected[name].flags.f_contiguous
            assert found.tobytes() == expected[name].tobytes()
            assert found.flags.writeable


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(0, 40), max_size=3),
    method=st.sampled_from(sorted(METHODS)),
    order=st.sampled_from("CF"),
    step=st.integers(1, 400),
)
def test_any_shape_comes_through_in_steps_of_any_size(shape, method, order, step):
    array = np.asarray(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), order=order)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.untrusted.npz._STEP", step)
        found = read_all(write_zip(Path(folder) / "a.npz", [("a.npy", npy(array))], METHODS[method]))["a"]
    np.testing.assert_array_equal(found, array)


def test_what_savez_and_its_compressed_sister_write_is_read(tmp_path):
    array = np.random.default_rng(0).normal(size=(300, 156))
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", poses=array)
        assert read_all(tmp_path / "a.npz")["poses"].tobytes() == array.tobytes()


def test_headers_of_other_versions_and_writers_are_read(tmp_path):
    data = np.arange(6.0).tobytes()
    for version in (1, 2, 3):
        path = write_zip(tmp_path / "a.npz", [("a.npy", npy_header("<f8", "(2, 3)", version=version) + data)])
        assert read_all(path)["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    old = npy_header("<f8", "(2L, 3L)")  # Python 2 on Windows
    assert read_all(write_zip(tmp_path / "a.npz", [("a.npy", old + data)]))["a"].shape == (2, 3)


def test_of_two_members_of_one_name_the_last_counts(tmp_path):
    path = write_zip(tmp_path / "a.npz", [("a.npy", npy(np.zeros(3))), ("a.npy", npy(np.ones(3)))])
    assert read_all(path)["a"].tolist() == [1, 1, 1]
    with np.load(path) as numpys:
        assert numpys["a"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("method", METHODS)
def test_a_flipped_bit_in_packed_data_is_noticed_by_zips_checksum(tmp_path, method):
    array = np.random.default_rng(0).normal(size=4000)
    path = write_zip(tmp_path / "a.npz", [("a.npy", npy(array))], METHODS[method])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    if method == "stored":  # said in docs/data.md: read in place, unproved
        assert (read_all(path)["a"] != array).sum() == 1
    else:
        with pytest.raises(NpzError):
            read_all(path)


HOSTILE = {
    "objects": npy_header("|O", "(2,)") + b"\x80\x04.",
    "records": npy_header("[('a', '<f8')]", "(2,)").replace(b'"', b"") + bytes(16),
    "an expression": npy_header("<f8", "(2, __import__('os'))") + bytes(16),
    "a negative length": npy_header("<f8", "(-2, 3)") + bytes(48),
    "more than is there": npy_header("<f8", "(1000000000, 156)") + bytes(48),
    "a product past 64 bits": npy_header("<f8", "(4294967296, 4294967296)") + bytes(48),
    "text of a gigabyte a letter": npy_header("<U999999999", "(1,)") + bytes(48),
    "a type that is none": npy_header("<f5", "(1,)") + bytes(48),
    "a unit that is none": npy_header("<M8[eons]", "(1,)") + bytes(48),
    "a header longer than the file": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(48),
    "half a header": b"\x93NUMPY\x01\x00\x76",
    "version 9": b"\x93NUMPY\x09\x00\x00\x00" + bytes(48),
    "nothing": b"",
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_member_is_refused_without_the_memory_it_asks_for(tmp_path, what, method):
    path = write_zip(tmp_path / "a.npz", [("a.npy", HOSTILE[what])], METHODS[method])
    tracemalloc.start()
    try:
        with pytest.raises(NpzError):
            read_all(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def changed_directory(path: Path, at: int, value: bytes) -> None:
    """Write into the first record of the central directory, whose bytes are what zipfile believes."""
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02") + at
    content[place : place + len(value)] = value
    path.write_bytes(content)


def test_a_size_that_header_and_directory_agree_on_takes_no_memory_that_the_packed_bytes_cannot_fill(tmp_path):
    head = npy_header("<f8", "(100000000,)")
    path = write_zip(tmp_path / "a.npz", [("a.npy", head + bytes(4000))], zipfile.ZIP_DEFLATED)
    changed_directory(path, 24, struct.pack("<I", len(head) + 800_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(NpzError, match="cut short"):
            read_all(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("what", "at", "value"),
    [
        ("another size", 24, struct.pack("<I", 1 << 31)),
        ("both sizes", 20, struct.pack("<II", 1 << 31, 1 << 31)),
        ("another place", 42, struct.pack("<I", 7)),
        ("a place outside", 42, struct.pack("<I", 1 << 30)),
        ("encrypted", 8, struct.pack("<H", 1)),
        ("method 99", 10, struct.pack("<H", 99)),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_a_zip_directory_that_contradicts_the_file_is_refused(tmp_path, what, at, value, method):
    path = write_zip(tmp_path / "a.npz", [("a.npy", npy(np.zeros(2000)))], METHODS[method])
    changed_directory(path, at, value)
    with pytest.raises((NpzError, OSError)):
        read_all(path)


def test_an_lzma_dictionary_of_gigabytes_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.npz", [("a.npy", npy(np.zeros(9)))], zipfile.ZIP_LZMA)
    content = bytearray(path.read_bytes())
    place = 30 + len("a.npy") + 5
    content[place : place + 4] = b"\xff" * 4
    path.write_bytes(content)
    with pytest.raises(NpzError, match="dictionary"):
        read_all(path)


def test_members_that_point_at_each_other_are_found_out(tmp_path):
    path = write_zip(tmp_path / "a.npz", [("a.npy", npy(np.zeros(9))), ("b.npy", npy(np.ones(9)))])
    with zipfile.ZipFile(path) as archive:
        second = archive.getinfo("b.npy").header_offset
    changed_directory(path, 42, struct.pack("<I", second))
    with open_npz(path) as archive, pytest.raises(NpzError, match="directory"):
        archive.read("a")


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "empty"), (npy(np.zeros(3)), "one bare array"), (b"\x80\x04.", "not an npz"), (b"PK\x03\x04junk", "zip")],
)
def test_what_is_no_archive_is_named(tmp_path, content, says):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(NpzError, match=says):
        read_all(path)


def test_a_missing_member_is_a_key_error(tmp_path):
    with open_npz(write_zip(tmp_path / "a.npz", [("a.npy", npy(np.zeros(3)))])) as archive:
        assert isinstance(archive, Npz)
        with pytest.raises(KeyError):
            archive.read("b")


# --- any bytes --------------------------------------------------------------------------------


def sound_archive(method: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        array = np.random.default_rng(0).normal(size=(12, 5))
        members = [("a.npy", npy(array)), ("s.npy", npy(np.array("female"))), ("o.npy", npy(np.asfortranarray(array)))]
        return write_zip(Path(folder) / "a.npz", members, method).read_bytes()


SOUND = {name: sound_archive(method) for name, method in METHODS.items()}


def survives(content: bytes) -> None:
    """Either arrays of a sane size or one of the two errors; anything else fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npz"
        path.write_bytes(content)
        try:
            with open_npz(path) as archive:
                for name in archive.names:
                    try:
                        found = archive.read(name)
                    except (KeyError, NpzError):
                        continue
                    assert found.nbytes <= 1100 * max(1000, len(content))
        except (NpzError, OSError):
            return


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(sorted(METHODS)),
    flips=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(1, 255)), max_size=6),
    cut=st.none() | st.integers(0, 1 << 16),
)
@example(kind="stored", flips=[], cut=1)
def test_flipped_and_cut_archives_are_read_or_refused(kind, flips, cut):
    content = bytearray(SOUND[kind])
    for place, mask in flips:
        content[place % len(content)] ^= mask
    survives(bytes(content if cut is None else content[: cut % len(content)]))


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=400), begins=st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY"]))
def test_arbitrary_bytes_are_refused(content, begins):
    survives(begins + content)


@settings(max_examples=120, deadline=None)
@given(
    header=st.text(max_size=120)
    | st.text(alphabet="{}()[],:'\"<f8descrfortran_ordershapeTrueFalse0123456789L ", max_size=120)
)
def test_arbitrary_headers_are_refused(header):
    text = header.encode("utf-8")
    member = b"\x93NUMPY\x03\x00" + struct.pack("<I", len(text)) + text + bytes(64)
    with tempfile.TemporaryDirectory() as folder:
        survives(write_zip(Path(folder) / "h.npz", [("a.npy", member)]).read_bytes())
