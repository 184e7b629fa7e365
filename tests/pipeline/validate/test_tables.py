"""Every invariant catches the error it is for, names the offender, and lets sound data pass."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from actionpose.errors import UserError
from actionpose.files import sha256_file
from actionpose.geometry import facing_heading
from actionpose.shards import INDEX, read_index, summary_of, write_index
from cli.data import main
from pipeline.stages.build import Build
from pipeline.validate.frames import BONE_M
from pipeline.validate.tables import validate
from tests.makers.shards import edit, make_shards
from tests.makers.worlds import World


@pytest.fixture(scope="module")
def built(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    build = Build(world.config, folder / "stages", folder / "shards")
    build.run()
    return build.out


@pytest.fixture
def shards(built: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(built, tmp_path / "shards"))


def broken(folder: Path, **options: Any) -> dict[str, str]:
    """Check → its line, for those that are broken."""
    return {check.name: check.line() for check in validate(folder, **options) if check.verdict == "broken"}


def with_rows(folder: Path, table: str, change: Callable[[list[dict[str, Any]]], None]) -> None:
    path = folder / "manifests" / f"{table}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    change(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def with_frames(folder: Path, change: Callable[[np.ndarray], np.ndarray], *, turn: bool = True) -> Path:
    """Change every frame of every shard, with headings to match, and make the index true again."""
    index = read_index(folder)
    rows = []
    for row in index["shards"]:
        path = folder / row["file"]
        with h5py.File(path, "r+") as file:
            file["pose3d"][:] = frames = change(file["pose3d"][:]).astype(np.float32)
            starts = file["motions"]["start"][:]
            for number, (start, stop) in enumerate(zip(starts, file["motions"]["stop"][:], strict=True)):
                if turn:
                    file["motions"]["heading"][number] = facing_heading(frames[start:stop])[0]
            for number, motion in enumerate(file["clips"]["motion"][:]):
                span = frames[starts[motion] :][slice(*(file["clips"][n][number] for n in ("start", "stop")))]
                if turn:
                    file["clips"]["heading"][number] = facing_heading(span)[0]
        rows.append({**row, "sha256": sha256_file(path), "bytes": path.stat().st_size})
    named = {name: index[name] for name in ("kind", "fps", "views", "provenance", "licence")}
    write_index(folder, shards=rows, summary=summary_of(index, folder), **named)
    return folder


# --- sound data -------------------------------------------------------------------------------


def test_a_build_holds_every_invariant(built: Path):
    checks = validate(built, deep=True, against=built / "manifests/content.jsonl")
    assert [check.line() for check in checks if check.verdict != "ok" and check.name != "floor"] == []
    assert len(checks) == len({check.name for check in checks}) == 30
    assert all(any(c.isdigit() for c in check.proved) or check.name in ("borders",) for check in checks)


def test_shards_without_manifests_are_checked_as_far_as_they_go(tmp_path: Path):
    checks = validate(make_shards(tmp_path), deep=True)
    assert [check.line() for check in checks if check.verdict == "broken"] == []
    assert "agreement" not in {check.name for check in checks}


def test_a_content_manifest_of_another_version_is_reported(shards: Path):
    with_rows(shards, "content", lambda rows: rows[0].pop("sketch"))
    assert "lacks sketch" in broken(shards, deep=True)["content"]


def test_limits_of_bones_leave_room_for_a_child_and_a_giant():
    adult = {(1, 2): 0.42, (2, 3): 0.42, (11, 12): 0.28, (12, 13): 0.25, (0, 1): 0.13, (7, 8): 0.25}
    for bone, length in adult.items():
        low, high = BONE_M[bone]
        assert low < 0.6 * length < 1.25 * length < high
        assert length / 100 < low < high < 100 * length


# --- tables -----------------------------------------------------------------------------------


def test_a_shard_cut_short_is_one_broken_line(shards: Path):
    path = shards / "train-00000.h5"
    path.write_bytes(path.read_bytes()[:-100])
    (line,) = broken(shards).values()
    assert "train-00000.h5" in line


def test_a_folder_that_is_none_is_an_error_not_a_verdict(tmp_path: Path):
    with pytest.raises(UserError, match="not a shard folder"):
        validate(tmp_path)


def test_a_stray_shard_is_reported(shards: Path):
    shutil.copy(shards / "val-00000.h5", shards / "val-00001.h5")
    assert "val-00001.h5 is not in the index" in broken(shards)["files"]


def test_a_summary_that_miscounts_is_reported(shards: Path):
    index = json.loads((shards / INDEX).read_text())
    index["summary"]["pairs"] += 1
    (shards / INDEX).write_text(json.dumps(index))
    assert list(broken(shards)) == ["counts"]


EDITS: list[tuple[str, str, Callable[[list[Any]], list[Any]]]] = [
    ("ids", "pairs__pair_id", lambda v: [v[0], *v[:-1]]),
    ("references", "pairs__clip", lambda v: [999, *v[1:]]),
    ("references", "clips__motion", lambda v: [-1, *v[1:]]),
    ("spans", "clips__stop", lambda v: [v[0] + 1, *v[1:]]),
    ("spans", "clips__start", lambda v: [-3, *v[1:]]),
    ("spans", "clips__gap_stop", lambda v: [5, *v[1:]]),
    ("splits", "motions__split", lambda v: [v[0], "val", *v[2:]]),
    ("rates", "motions__fps_true", lambda v: [0.0, *v[1:]]),
    ("texts", "pairs__text", lambda v: ["transition", *v[1:]]),
    ("texts", "pairs__text", lambda v: ["  ", *v[1:]]),
    ("texts", "pairs__text_a", lambda v: ["sit", *v[1:]]),
    ("borders", "pairs__border_b", lambda v: [4, *v[1:]]),
    ("concurrent", "pairs__concurrent", lambda v: [["wave left hand", "sit"], *v[1:]]),
    ("headings", "clips__heading", lambda v: [180.0, *v[1:]]),
]


@pytest.mark.parametrize(("check", "column", "change"), EDITS, ids=[f"{c}-{n}" for n, (c, _, _) in enumerate(EDITS)])
def test_each_slip_in_a_table_breaks_its_check(check: str, column: str, change: Callable, tmp_path: Path):
    folder = make_shards(tmp_path)
    table, _, name = column.partition("__")
    with h5py.File(folder / "train-00000.h5") as file:
        data = file[table][name]
        values = data[:].tolist() if data.dtype.kind in "if" else data.asstr()[:].tolist()
    values = [json.loads(v) for v in values] if name == "concurrent" else values
    assert check in broken(edit(folder, **{column: change(values)}))


@pytest.mark.parametrize(("ends", "starts", "sound"), [(1, 0, True), (0, 3, False), (999, 3, False), (3, 999, False)])
def test_a_border_of_a_transition_lies_in_its_clip(ends: int, starts: int, sound: bool, tmp_path: Path):
    folder = make_shards(tmp_path)
    columns = {"kind": "transition", "border_a": ends, "border_b": starts}
    with h5py.File(folder / "train-00000.h5") as file:
        others = [
            values[1:] for values in (file["pairs/kind"].asstr()[:].tolist(), *[[0] * len(file["pairs/clip"])] * 2)
        ]
    changed = {f"pairs__{name}": [value, *rest] for (name, value), rest in zip(columns.items(), others, strict=True)}
    assert ("borders" in broken(edit(folder, **changed))) != sound


@pytest.mark.parametrize(
    ("check", "table", "column", "value"),
    [
        ("agreement", "pairs", "text", "stroll"),
        ("agreement", "clips", "stop", 11),
        ("references", "clips", "motion_id", "KIT/3/nobody"),
        ("splits", "clips", "split", "test"),
        ("rates", "keypoints", "fps", 25.0),
        ("lengths", "motions", "fps_true", 90.0),
        ("lengths", "clips", "stop_s", 0.5),
        ("headings", "views", "heading", 0.25),
        ("verdicts", "dropped", "reason", ""),
    ],
)
def test_manifests_that_tell_another_story_are_reported(check: str, table: str, column: str, value: Any, shards: Path):
    with_rows(shards, table, lambda rows: rows[0].update({column: value}))
    assert check in broken(shards)


def test_a_pair_that_vanished_without_a_reason_is_reported(shards: Path):
    with_rows(shards, "pairs", lambda rows: rows.append({**rows[-1], "pair_id": "zzz"}))
    assert "zzz: not in the shards" in broken(shards)["verdicts"]


def test_an_unsorted_manifest_is_reported(shards: Path):
    with_rows(shards, "clips", lambda rows: rows.reverse())
    assert list(broken(shards)) == ["ids"]


def test_known_copies_across_the_split_are_a_warning_without_a_look_at_frames(tmp_path: Path):
    folder = make_shards(tmp_path, lengths=(20,), splits=("train", "val"))
    for split, subject in (("train", "63"), ("val", "64")):
        edit(folder, split, motions__dataset=["CMU"], motions__subject=[subject])
    (check,) = (c for c in validate(folder) if c.name == "copies")
    assert check.verdict == "warning"
    assert "63 and 64" in check.line()


# --- frames -----------------------------------------------------------------------------------

SWAP_LEGS = [0, 4, 5, 6, 1, 2, 3, *range(7, 17)]


def mirrored(frames: np.ndarray) -> np.ndarray:
    return frames * np.array([-1, 1, 1])


def y_up(frames: np.ndarray) -> np.ndarray:
    return frames[..., [0, 2, 1]] * np.array([1, 1, -1])


def not_finite(frames: np.ndarray) -> np.ndarray:
    return np.where(np.arange(frames.size).reshape(frames.shape) == 50, np.nan, frames)


def one_leap(frames: np.ndarray) -> np.ndarray:
    frames[10, 16] += 5
    return frames


FRAMES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], set[str]]] = {
    "centimetres": (lambda f: 100 * f, {"bone lengths", "speeds"}),
    "millimetres": (lambda f: 1000 * f, {"bone lengths", "speeds"}),
    "legs swapped": (lambda f: f[:, SWAP_LEGS], {"left, right"}),
    "mirrored": (mirrored, {"mirror"}),
    "y up": (y_up, {"gravity"}),
    "one wild frame": (one_leap, {"rigid bones", "speeds"}),
    "not a number": (not_finite, {"finite"}),
}


@pytest.mark.parametrize("error", FRAMES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_each_classic_error_breaks_its_check(error: str, shards: Path):
    change, expected = FRAMES[error]
    found = broken(with_frames(shards, change), deep=True)
    assert expected <= set(found), found
    assert "content" in found


def test_frames_changed_behind_the_index_fail_the_checksum(shards: Path):
    with h5py.File(shards / "val-00000.h5", "r+") as file:
        file["pose3d"][0, 0, 0] += 1e-3
    assert list(broken(shards)) == []
    assert "val-00000.h5" in broken(shards, deep=True)["checksums"]


def test_headings_that_are_not_those_of_the_frames_are_reported(shards: Path):
    turned = with_frames(shards, lambda f: f[..., [1, 0, 2]] * np.array([-1, 1, 1]), turn=False)
    assert set(broken(turned, deep=True)) == {"turned", "content"}


def test_a_lifted_floor_is_a_warning(shards: Path):
    checks = {
        check.name: check for check in validate(with_frames(shards, lambda f: f + np.array([0, 0, 2.0])), deep=True)
    }
    assert checks["floor"].verdict == "warning"


def test_noise_of_another_machine_breaks_nothing(built: Path, shards: Path):
    rng = np.random.default_rng(0)
    other = with_frames(shards, lambda f: f + rng.normal(0, 3e-6, f.shape), turn=False)
    assert read_index(other)["fingerprint"] != read_index(built)["fingerprint"]
    assert broken(other, deep=True, against=built) == {}


# --- as typed ---------------------------------------------------------------------------------


def test_status_and_last_line_say_how_it_went(shards: Path):
    good = CliRunner().invoke(main, ["validate", str(shards)])
    assert good.exit_code == 0
    assert (
        good.stderr.splitlines()[-1] == f"15 of 15 invariants hold, 0 warnings. Next: ap-data validate {shards} --deep"
    )
    with_rows(shards, "clips", lambda rows: rows.reverse())
    bad = CliRunner().invoke(main, ["validate", str(shards), "--format", "json"])
    assert bad.exit_code == 1
    assert "1 broken: ids" in bad.stderr
    rows = {row["check"]: row for row in json.loads(bad.stdout)}
    assert rows["ids"]["verdict"] == "broken"
    assert rows["ids"]["offenders"]


def test_against_says_same_or_where_it_differs(built: Path, shards: Path):
    theirs = built / "manifests/content.jsonl"
    same = CliRunner().invoke(main, ["validate", str(shards), "--against", str(theirs)])
    assert same.exit_code == 0
    assert "5 motions the same within 0.1 mm" in same.stdout
    with_frames(shards, lambda f: f + np.float32(0.004) * (np.arange(17) == 9)[:, None], turn=False)
    other = CliRunner().invoke(main, ["validate", str(shards), "--against", str(theirs)])
    assert other.exit_code == 1
    assert "poses differ: trunk" in other.stdout
    loose = CliRunner().invoke(main, ["validate", str(shards), "--against", str(theirs), "--tolerance", "20"])
    assert loose.exit_code == 0


def test_tolerance_alone_is_wrong_usage(shards: Path):
    assert CliRunner().invoke(main, ["validate", str(shards), "--tolerance", "1"]).exit_code == 2


def test_labels_can_be_looked_at(built: Path):
    done = CliRunner().invoke(main, ["inspect", str(built), "--table", "labels", "--format", "json"])
    rows = json.loads(done.stdout)
    assert sum(row["train"] + row["val"] for row in rows) == read_index(built)["summary"]["pairs"]
