"""Shards: what is written is what is read, and anything less than whole is refused with advice."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from actionpose.errors import UserError
from actionpose.schema import COLUMNS, SCHEMA, VERSION, Summary
from actionpose.shards import INDEX, ShardSet, read_index, write_index, write_shard

Tables = dict[str, dict[str, list[Any]]]

# Texts that tables, spreadsheets and data frames like to turn into something else.
AWKWARD = [
    "NA",
    "null",
    "None",
    "nan",
    "",
    " ",
    "00000007",
    "1e5",
    "true",
    "größer — 走",
    "a,b",
    'say "hi"',
    "\t",
    "🤸",
]
LISTS: list[list[str]] = [[], ["walk"], ["walk", "run"], ["turn", "jump"], ["NA", ""], ["ü"]]  # equally long ones too


def random_frames(seed: int, lengths: list[int]) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, 17, 3)).astype(np.float32) for n in lengths]


def make_tables(lengths: list[int], texts: list[str], lists: list[list[str]], tag: str = "m") -> Tables:
    """One clip and one pair a motion; texts and lists are distributed over the columns in turn."""
    stops = np.cumsum(lengths).tolist()
    values: dict[tuple[str, str], list[Any]] = {
        ("motions", "start"): [0, *stops[:-1]][: len(lengths)],
        ("motions", "stop"): stops,
        ("motions", "motion_id"): [f"{tag}{i}" for i in range(len(lengths))],
        ("motions", "split"): ["train"] * len(lengths),
        ("motions", "fps_stored"): [120.00004577636719] * len(lengths),
        ("motions", "extra"): [{"w": 1000, "who": texts[i % len(texts)], "none": None} for i in range(len(lengths))],
        ("clips", "motion"): list(range(len(lengths))),
        ("clips", "start"): [0] * len(lengths),
        ("clips", "stop"): list(lengths),
        ("clips", "gap_start"): [0] * len(lengths),
        ("clips", "gap_stop"): [0] * len(lengths),
        ("pairs", "clip"): list(range(len(lengths))),
    }
    fillers: dict[type, Any] = {
        str: lambda i: texts[i % len(texts)],
        int: lambda i: i - 1,
        float: lambda i: i / 7,
        list: lambda i: lists[i % len(lists)],
        dict: lambda i: {},
    }
    return {
        table: {
            column: values.get((table, column), [fillers[kind](i + offset) for i in range(len(lengths))])
            for offset, (column, kind) in enumerate(columns.items())
        }
        for table, columns in COLUMNS.items()
    }


def build(folder: Path, *parts: tuple[list[int], int], kind: str = "motion-text") -> Path:
    """Write a shard folder of one shard per (lengths, seed)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        write_shard(
            folder / f"train-{number:05d}.h5",
            tables=make_tables(lengths, AWKWARD, LISTS, tag=f"{number}-"),
            pose3d=random_frames(seed, lengths),
        )
        for number, (lengths, seed) in enumerate(parts)
    ]
    write_index(
        folder,
        kind=kind,
        fps=30.0,
        views=["front", "side"],
        shards=rows,
        summary=Summary(clips=sum(len(lengths) for lengths, _ in parts)),
        provenance={"made": "by a test"},
        licence="none",
    )
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return build(tmp_path / "shards", ([40, 7, 100], 1), ([12], 2))


# --- there and back ---------------------------------------------------------------------------


def test_every_column_comes_back_as_it_went_in(tmp_path: Path):
    lengths = [3, 1, 20, 5, 9, 2, 4, 4, 8, 6, 7, 11, 10, 12, 2]
    build(tmp_path, (lengths, 5))
    tables = make_tables(lengths, AWKWARD, LISTS, tag="0-")
    found = ShardSet(tmp_path)
    for name, columns in COLUMNS.items():
        table = getattr(found, name)
        for column in columns:
            assert table[column].tolist() == tables[name][column], f"{name}.{column}"
    frames = random_frames(5, lengths)
    for motion, expected in enumerate(frames):
        assert_array_equal(found.motion_frames(motion), expected)
        assert_array_equal(found.clip_frames(motion), expected)


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=5),
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1, max_size=4),
    st.lists(st.lists(st.text(max_size=5), max_size=3), min_size=1, max_size=4),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_and_any_list_comes_back(tmp_path: Path, lengths: list[int], texts: list[str], lists: list[list[str]]):
    tables = make_tables(lengths, texts, lists)
    row = write_shard(tmp_path / "s.h5", tables=tables, pose3d=random_frames(0, lengths))
    write_index(
        tmp_path, kind="motion-text", fps=30, views=[], shards=[row], summary=Summary(), provenance={}, licence=""
    )
    found = ShardSet(tmp_path)
    assert found.pairs["raw"].tolist() == tables["pairs"]["raw"]
    assert found.pairs["act_cat"].tolist() == tables["pairs"]["act_cat"]
    assert found.motions["extra"].tolist() == tables["motions"]["extra"]


def test_equally_long_lists_stay_lists(tmp_path: Path):
    build(tmp_path, ([2, 2, 2], 0))
    tables = make_tables([2, 2, 2], ["x"], [["a", "b"]])
    row = write_shard(tmp_path / "train-00000.h5", tables=tables, pose3d=random_frames(0, [2, 2, 2]))
    write_index(
        tmp_path, kind="motion-text", fps=30, views=[], shards=[row], summary=Summary(), provenance={}, licence=""
    )
    column = ShardSet(tmp_path).pairs["act_cat"]
    assert column.shape == (3,)
    assert column[1] == ["a", "b"]


def test_references_count_over_all_shards(folder: Path):
    found = ShardSet(folder)
    assert found.motions["motion_id"].tolist() == ["0-0", "0-1", "0-2", "1-0"]
    assert found.motions["shard"].tolist() == [0, 0, 0, 1]
    assert found.clips["motion"].tolist() == found.pairs["clip"].tolist() == [0, 1, 2, 3]
    assert_array_equal(found.clip_frames(3), random_frames(2, [12])[0])
    assert found.clip_lengths().tolist() == [40, 7, 100, 12]
    assert found.views == ("front", "side")
    assert not found.has_pose2d


def test_a_folder_of_empty_shards_reads_as_empty(tmp_path: Path):
    build(tmp_path, ([], 0))
    found = ShardSet(tmp_path)
    assert len(found.motions["motion_id"]) == len(found.pairs["text"]) == 0
    assert found.clip_lengths().shape == (0,)
    found.verify()


def test_detected_2d_is_stored_beside_the_3d(tmp_path: Path):
    lengths = [4, 6]
    detected = random_frames(9, lengths)
    row = write_shard(
        tmp_path / "test-00000.h5",
        tables=make_tables(lengths, ["x"], [[]]),
        pose3d=random_frames(1, lengths),
        pose2d=iter(detected),
    )
    index = write_index(
        tmp_path, kind="benchmark", fps=50.0, views=[], shards=[row], summary=Summary(), provenance={}, licence=""
    )
    found = ShardSet(tmp_path)
    assert found.has_pose2d
    assert index["unit"] == "screen"
    assert_array_equal(found.motion_frames(1, "pose2d"), detected[1])
    assert_array_equal(found.motion_frames(1), random_frames(1, lengths)[1])


def test_a_gap_is_left_out_of_its_clip(tmp_path: Path):
    tables = make_tables([5, 30], ["x"], [[]])
    tables["clips"]["start"][1], tables["clips"]["stop"][1] = 2, 22
    tables["clips"]["gap_start"][1], tables["clips"]["gap_stop"][1] = 10, 15
    frames = random_frames(3, [5, 30])
    row = write_shard(tmp_path / "s.h5", tables=tables, pose3d=frames)
    write_index(
        tmp_path, kind="motion-text", fps=30, views=[], shards=[row], summary=Summary(), provenance={}, licence=""
    )
    found = ShardSet(tmp_path)
    assert_array_equal(found.clip_frames(1), np.concatenate([frames[1][2:12], frames[1][17:22]]))
    assert found.clip_lengths().tolist() == [5, 15]
    assert len(found.clip_frames(1)) == found.clip_lengths()[1]


# --- the bytes --------------------------------------------------------------------------------


def test_writing_the_same_again_later_gives_the_same_bytes(tmp_path: Path):
    build(tmp_path / "one", ([40, 7], 1))
    time.sleep(1.1)  # HDF5 counts time in seconds
    build(tmp_path / "two", ([40, 7], 1))
    for name in ("train-00000.h5", INDEX):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_fingerprint_names_the_content_and_not_its_story(tmp_path: Path):
    one = ShardSet(build(tmp_path / "one", ([40], 1)))
    other = ShardSet(build(tmp_path / "other", ([40], 2)))
    assert one.fingerprint != other.fingerprint
    keep = {key: one.index[key] for key in ("kind", "fps", "views", "shards")}
    write_index(one.folder, **keep, summary=Summary(), provenance={"made": "elsewhere"}, licence="other")
    assert ShardSet(one.folder).fingerprint == one.fingerprint


def test_frames_are_mapped_aligned_and_read_only(folder: Path):
    frames = ShardSet(folder).mapped(0)
    assert isinstance(frames.base, np.memmap)
    assert frames.ctypes.data % 64 == 0
    assert frames.flags.c_contiguous
    assert frames.dtype == np.dtype("<f4")
    assert not frames.flags.writeable
    clip = ShardSet(folder).clip_frames(2)
    assert clip.base is not None  # a view: cutting a clip copies nothing


def test_wrong_or_infinite_frames_never_reach_the_disk(tmp_path: Path):
    tables = make_tables([4, 4], ["x"], [[]])
    short = random_frames(0, [4, 3])
    with pytest.raises(UserError, match="m1: pose3d has shape"):
        write_shard(tmp_path / "s.h5", tables=tables, pose3d=short)
    broken = random_frames(0, [4, 4])
    broken[0][2, 5, 1] = np.nan
    with pytest.raises(UserError, match="m0: pose3d holds values that are not finite"):
        write_shard(tmp_path / "s.h5", tables=tables, pose3d=broken)
    assert list(tmp_path.iterdir()) == []


# --- processes --------------------------------------------------------------------------------


def _sum_of_clip(found: ShardSet, clip: int) -> float:
    return float(found.clip_frames(clip).sum(dtype=np.float64))


def test_a_pickled_set_reads_the_same_and_carries_no_frames(folder: Path):
    found = ShardSet(folder)
    before = len(pickle.dumps(found))
    found.mapped(0)
    packed = pickle.dumps(found)
    assert len(packed) == before
    again = pickle.loads(packed)
    for clip in range(4):
        assert_array_equal(again.clip_frames(clip), found.clip_frames(clip))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # Python 3.12, for BLAS threads
def test_a_forked_process_reads_the_same(folder: Path):
    found = ShardSet(folder)
    expected = [_sum_of_clip(found, clip) for clip in range(4)]  # mapped before the fork
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.starmap(_sum_of_clip, [(found, clip) for clip in range(4)]) == expected


# --- what is refused --------------------------------------------------------------------------


def refused(folder: Path, message: str, advice: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        ShardSet(folder)
    assert advice in caught.value.hint


def edit_index(folder: Path, **changes: Any) -> None:
    index = json.loads((folder / INDEX).read_text())
    (folder / INDEX).write_text(json.dumps({**index, **changes}))


def test_a_folder_without_an_index_is_half_written_and_refused(folder: Path):
    (folder / INDEX).unlink()
    refused(folder, "it has no index.json", "it continues where it stopped")
    refused(folder / "nowhere", "there is no", "")


def test_a_newer_version_is_refused_with_the_way_out(folder: Path):
    edit_index(folder, version=VERSION + 1)
    refused(folder, rf"schema version {VERSION + 1}; this program reads up to {VERSION}", "update actionpose")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": "other"}', "\udcff"])
def test_an_index_that_is_not_one_is_refused(folder: Path, text: str):
    (folder / INDEX).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"index\.json"):
        read_index(folder)


@pytest.mark.parametrize("change", [{"fps": 25.0}, {"kind": "benchmark"}, {"views": ["side"]}, {"shards": []}])
def test_an_index_changed_by_hand_or_by_a_bad_disk_is_refused(folder: Path, change: dict[str, Any]):
    edit_index(folder, **change)
    refused(folder, "does not have the fingerprint it states", "build it again")


def test_a_missing_shard_is_named(folder: Path):
    (folder / "train-00001.h5").unlink()
    refused(folder, r"train-00001\.h5 is missing", "copy the folder again")


@pytest.mark.parametrize("keep", [0, 100, 0.5, -1])
def test_a_shard_cut_short_is_refused(folder: Path, keep: float):
    shard = folder / "train-00000.h5"
    content = shard.read_bytes()
    shard.write_bytes(content[: int(len(content) * keep) if 0 < keep < 1 else int(keep)])
    refused(folder, r"train-00000\.h5 is damaged", "build it again")


def test_a_shard_of_right_size_and_wrong_bytes_is_refused_on_opening(folder: Path):
    shard = folder / "train-00000.h5"
    shard.write_bytes(bytes(shard.stat().st_size))
    refused(folder, r"train-00000\.h5 is damaged", "build it again")


def test_one_flipped_bit_anywhere_is_found_by_verify(folder: Path):
    found = ShardSet(folder)
    found.verify()
    shard = folder / "train-00001.h5"
    content = bytearray(shard.read_bytes())
    for position in (0, len(content) // 2, len(content) - 1):
        damaged = bytearray(content)
        damaged[position] ^= 1
        shard.write_bytes(damaged)
        with pytest.raises(UserError, match=r"train-00001\.h5 does not have the checksum"):
            found.verify()


def test_damaged_book_keeping_is_refused_and_never_a_traceback(folder: Path):
    # Bytes of the file's own structure, each of which h5py reports in another way when it is wrong.
    shard = folder / "train-00001.h5"
    content = shard.read_bytes()
    for position in [0, 8, *range(100, 320, 20), *range(620, 680, 20)]:
        shard.write_bytes(content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :])
        refused(folder, r"train-00001\.h5 is damaged", "build it again")


def test_a_damaged_text_is_refused_and_never_a_traceback(folder: Path):
    shard = folder / "train-00001.h5"
    content = shard.read_bytes()
    for damage in (b"\xffurn", b'tu"n'):  # neither UTF-8 nor JSON any more
        assert content.count(b"turn") > 0
        shard.write_bytes(content.replace(b"turn", damage))
        refused(folder, r"train-00001\.h5 is damaged", "build it again")


def test_an_index_says_what_it_is_in_words(folder: Path):
    index = read_index(folder)
    assert (index["schema"], index["version"], index["unit"]) == (SCHEMA, 1, "m")
    assert index["joints"][0] == "pelvis"
    assert [row["file"] for row in index["shards"]] == ["train-00000.h5", "train-00001.h5"]
    assert index["shards"][0]["sha256"].startswith("sha256:")
    assert sum(row["frames"] for row in index["shards"]) == 159


def test_a_shard_that_may_not_be_read_is_not_called_damaged(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def closed(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Unable to synchronously open file")  # h5py's words

    monkeypatch.setattr(h5py, "File", closed)
    with pytest.raises(UserError, match=r"cannot read .*\.h5: Permission denied") as error:
        ShardSet(folder)
    assert error.value.hint == "check its permissions"  # and nobody deletes what is whole
