"""`ap-data import` as a command: layout, labels, manifest, exit status, the same bytes, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from actionpose.shards import ShardSet
from cli.data import main
from pipeline.sources.amass import read_motion
from tests.makers.captured import jumper, write_asf_amc, write_bvh
from tests.makers.closed import close_folder
from tests.makers.worlds import World

LABELS = "file\tdescription\tstart\tend\n01_01\tjump, balance\n02_01\tstand\t0\t1\n02_01\tjump\t1\t1.5\n03_01\twave\n"


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people's takes, one of them as AMC, and files that are no motion."""
    folder = tmp_path_factory.mktemp("captured")
    person = jumper(2.0)
    for subject in ("01", "02"):
        write_bvh(folder / f"{subject}_01.bvh", person, "cgspeed")
    write_asf_amc(folder, jumper(2.0, fps=120.0), subject="03")
    (folder / "labels.tsv").write_text(LABELS)
    strangers = folder / "strangers"
    strangers.mkdir()
    (strangers / "dance.fbx").write_bytes(b"Kaydara FBX Binary  \0\x1a\0" + bytes(200))
    (strangers / "login.bvh").write_bytes(b"<!DOCTYPE html><html>")
    (strangers / "none.bvh").write_bytes(b"")
    (strangers / "cut.bvh").write_bytes((folder / "01_01.bvh").read_bytes()[:9000])
    (strangers / "zero.bvh").write_text((folder / "01_01.bvh").read_text().replace("0.01666667", "0"))
    return folder


def run(*words: object):
    return CliRunner().invoke(main, ["import", *map(str, words)])


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "import.jsonl").read_text().splitlines()]


def test_files_become_amass_and_babel(captured: Path, tmp_path: Path):
    done = run(captured, "--labels", captured / "labels.tsv", "--out", tmp_path / "o", "--format", "json")
    # The folder of strangers is inside: they are rejected, each with its reason, and the status says so.
    assert done.exit_code == 1, done.output
    result = json.loads(done.stdout)
    assert (result["imported"], result["rejected"], result["labelled"]) == (3, 4, 3)
    motion = read_motion(tmp_path / "o/amass/OpenCMU/03/03_01_poses.npz")
    assert motion.poses.shape == (240, 156)
    assert (motion.fps, motion.gender, motion.betas.any()) == (120.0, "neutral", False)
    labels = {**_babel(tmp_path / "o", "train"), **_babel(tmp_path / "o", "val")}
    texts = {Path(e["feat_p"]).name[:5]: [x["raw_label"] for x in e["seq_ann"]["labels"]] for e in labels.values()}
    assert texts == {"01_01": ["jump, balance"], "02_01": ["stand", "jump"], "03_01": ["wave"]}
    assert {len(_babel(tmp_path / "o", split)) for split in ("train", "val")} == {1, 2}
    assert "Next: " in done.stderr.splitlines()[-1]
    assert "ap-data build-babel --amass" in done.stderr.splitlines()[-1]


def _babel(out: Path, split: str) -> dict:
    return json.loads((out / "babel" / f"{split}.json").read_text())


def test_the_manifest_has_every_file_with_what_was_found_or_why_not(captured: Path, tmp_path: Path):
    files = [captured, captured / "strangers/dance.fbx"]
    run(*files, "--labels", captured / "labels.tsv", "--out", tmp_path / "o")
    found = {Path(row["file"]).name: row for row in rows(tmp_path / "o")}
    reasons = {name: row["reason"] for name, row in found.items() if row["status"] == "rejected"}
    assert reasons == {
        "dance.fbx": "FBX",
        "login.bvh": "a web page",
        "none.bvh": "empty",
        "cut.bvh": "cut short",
        "zero.bvh": "no frame rate",
    }
    good = found["01_01.bvh"]
    assert good["skeleton"] == "cgspeed"
    assert {check["check"] for check in good["checks"]} == {"motion", "path", "bones", "up", "sides", "feet", "gravity"}
    assert (good["fps"], good["fps_from"], good["label"]) == (60.0, "file", "jump, balance")
    assert good["sha256"].startswith("sha256:")
    assert "left_collar" in good["filled"]
    assert "Blender" in found["dance.fbx"]["message"]


def test_good_files_alone_end_with_status_0_and_the_same_bytes_every_time(captured: Path, tmp_path: Path):
    files = [captured / "01_01.bvh", captured / "02_01.bvh", captured / "03_01.amc"]
    for name, workers in (("a", 0), ("b", 2)):
        done = run(*files, "--labels", captured / "labels.tsv", "--out", tmp_path / name, "--workers", workers)
        assert done.exit_code == 0, done.output
    first = {p.relative_to(tmp_path / "a"): p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    second = {p.relative_to(tmp_path / "b"): p.read_bytes() for p in (tmp_path / "b").rglob("*") if p.is_file()}
    assert first == second
    assert len(first) == 6


def test_a_dry_run_says_the_same_and_writes_nothing(captured: Path, tmp_path: Path):
    wet = run(captured, "--labels", captured / "labels.tsv", "--out", tmp_path / "o", "--format", "json")
    dry = run(captured, "--labels", captured / "labels.tsv", "--dry-run", "--format", "json")
    both = [json.loads(done.stdout) for done in (wet, dry)]
    assert both[0].pop("out")
    assert both[0] == both[1]
    assert dry.exit_code == 1
    assert "Nothing was written" in dry.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o"]


def test_without_a_good_file_the_manifest_alone_is_left_and_may_be_replaced(captured: Path, tmp_path: Path):
    done = run(captured / "strangers", "--out", tmp_path / "o")
    assert done.exit_code == 1
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["import.jsonl"]
    assert all(row["reason"] and row["message"] for row in rows(tmp_path / "o"))
    assert run(captured / "01_01.bvh", "--out", tmp_path / "o").exit_code == 0


def test_what_is_there_is_never_replaced_unasked(captured: Path, tmp_path: Path):
    out = tmp_path / "o"
    assert run(captured / "01_01.bvh", "--out", out).exit_code == 0
    again = run(captured / "02_01.bvh", "--out", out)
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr
    assert run(captured / "02_01.bvh", "--out", out, "--overwrite").exit_code == 0
    assert [row["subject"] for row in rows(out)] == ["02"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    assert run(captured / "01_01.bvh", "--out", tmp_path / "mine", "--overwrite").exit_code == 1
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_an_import_into_the_folder_that_is_searched_does_not_find_itself(captured: Path, tmp_path: Path, monkeypatch):
    (tmp_path / "01_01.bvh").write_bytes((captured / "01_01.bvh").read_bytes())
    monkeypatch.chdir(tmp_path)
    for given, out in ((".", "out"), (tmp_path, "out"), (".", tmp_path / "out")):
        done = run(given, "--out", out, "--overwrite")
        assert done.exit_code == 0, done.output
        assert len(rows(tmp_path / "out")) == 1


def test_two_files_of_one_take_are_not_both_imported(captured: Path, tmp_path: Path):
    write_bvh(tmp_path / "again" / "01_01.bvh", jumper(2.0), "cgspeed")
    done = run(captured / "01_01.bvh", tmp_path / "again", "--out", tmp_path / "o", "--format", "json")
    (rejected,) = json.loads(done.stdout)["rejected_files"]
    assert rejected["reason"] == "same take twice"
    assert "again" in rejected["file"]
    assert done.exit_code == 1


def test_an_own_joint_map_and_names_of_folders_are_taken(captured: Path, tmp_path: Path):
    map_ = (Path(__file__).parents[3] / "pipeline/importers/skeletons/cgspeed.toml").read_text()
    (tmp_path / "map.toml").write_text(map_)
    done = run(
        captured / "01_01.bvh", "--joints", tmp_path / "map.toml", "--out", tmp_path / "o",
        "--dataset", "Ours", "--subject", "ann", "--fps", "60",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert (tmp_path / "o/amass/Ours/ann/01_01_poses.npz").is_file()
    assert rows(tmp_path / "o")[0]["skeleton"] == "map"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (('pelvis = "hip"', 'hips = "hip"'), "'hips' is not a joint of the body"),
        (('pelvis = "hip"\n', ""), "lacks pelvis"),
        (("lead_in = 7", "lead_out = 7"), "unknown key 'lead_out'"),
        (("hip = [0.0, -0.9950", "hip = [0.0, -0.1"), "direction of length one"),
        (("[joints]", "[joints"), "is not a joint map"),
        (("lead_in = 7", 'lead_in = 7\nfps = "30"'), "fps is '30', of another type"),
        (("lead_in = 7", 'lead_in = "7"'), "lead_in is '7', of another type"),
    ],
)
def test_errors_in_a_joint_map_are_named(captured: Path, tmp_path: Path, changed, sentence: str):
    text = (Path(__file__).parents[3] / "pipeline/importers/skeletons/cgspeed.toml").read_text()
    assert changed[0] in text
    (tmp_path / "map.toml").write_text(text.replace(*changed, 1))
    done = run(captured / "01_01.bvh", "--joints", tmp_path / "map.toml", "--dry-run")
    assert done.exit_code == 1
    assert sentence in done.stderr


@pytest.mark.parametrize(
    "words",
    [["a.bvh"], [], ["a.bvh", "--skeleton", "cyborg", "--dry-run"], ["a.bvh", "--fps", "0", "--dry-run"]],
)
def test_wrong_usage_ends_with_status_2(words: list[str]):
    assert run(*words).exit_code == 2


def test_names_with_a_path_stay_inside_the_folder(captured: Path, tmp_path: Path):
    table = tmp_path / "labels.csv"
    table.write_text("file,description,subject\n01_01,walk,../../../evil\n")
    done = run(captured / "01_01.bvh", "--labels", table, "--dataset", "../..", "--out", tmp_path / "a" / "o")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "a/o/amass/Imported/evil/01_01_poses.npz").is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "labels.csv"]


def test_names_that_cannot_be_written_and_pipes_are_refused(captured: Path, tmp_path: Path):
    content = (captured / "01_01.bvh").read_bytes()
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in" / "pipe.bvh")
    for name in (b"\xff", b"x" * 230, b"a\nb", b"a\x1b[31m", b"."):
        Path(os.fsdecode(bytes(tmp_path / "in") + b"/" + name + b".bvh")).write_bytes(content)
    (tmp_path / "in" / "loop.bvh").symlink_to("loop.bvh")
    (tmp_path / "in" / "folder.bvh").mkdir()  # a folder like others
    words = [tmp_path / "in", tmp_path / "in" / "loop.bvh", "--dry-run", "--format", "json"]
    result = json.loads(run(*words).stdout)
    assert result["reasons"] == {"cannot be read": 2, "odd name": 5}


def test_a_folder_that_may_not_be_read_has_its_row(captured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(captured, tmp_path / "in")
    (tmp_path / "in" / "closed").mkdir()
    close_folder(monkeypatch, tmp_path / "in" / "closed")
    assert run(tmp_path / "in", "--out", tmp_path / "out").exit_code == 1
    (refused,) = [row for row in rows(tmp_path / "out") if row["file"].endswith("/closed")]
    assert (refused["status"], refused["reason"]) == ("rejected", "cannot be read")


def test_text_that_no_reader_expects_is_named(captured: Path, tmp_path: Path):
    content = (captured / "01_01.bvh").read_text()
    odd = {"utf16": content.encode("utf-16"), "be": content.encode("utf-16-be"), "blank": b"\n \n"}
    odd["mac"] = content.replace("\n", "\r").encode()
    for name, data in odd.items():
        (tmp_path / f"{name}.bvh").write_bytes(data)
    result = json.loads(run(tmp_path, "--dry-run", "--format", "json").stdout)
    assert result["reasons"] == {"UTF-16": 2, "empty": 1, "line ends": 1}


def test_names_that_differ_in_case_alone_are_one_name(captured: Path, tmp_path: Path):
    for name in ("take", "Take"):
        (tmp_path / f"{name}.bvh").write_bytes((captured / "01_01.bvh").read_bytes())
    result = json.loads(run(tmp_path, "--dry-run", "--format", "json").stdout)
    assert result["reasons"] == {"same take twice": 1}


def test_no_file_or_device_is_replaced_by_the_import(captured: Path, tmp_path: Path):
    os.mkfifo(tmp_path / "o")
    done = run(captured / "01_01.bvh", "--out", tmp_path / "o", "--overwrite")
    assert (done.exit_code, done.stderr.splitlines()[0]) == (1, f"Error: {tmp_path}/o is there already")
    assert (tmp_path / "o").is_fifo()


def test_skeletons_among_the_files_are_no_failures(captured: Path, tmp_path: Path):
    done = run(captured / "03.asf", captured / "03_01.amc", "--out", tmp_path / "o")
    assert done.exit_code == 0, done.output
    assert [row["status"] for row in rows(tmp_path / "o")] == ["skeleton", "imported"]


def test_takes_of_one_person_leave_val_empty_and_the_last_line_says_how_to_go_on(captured: Path, tmp_path: Path):
    done = run(captured / "01_01.bvh", "--labels", captured / "labels.tsv", "--out", tmp_path / "o")
    assert 'pairs.splits=["train"]' in done.stderr.splitlines()[-1]
    assert _babel(tmp_path / "o", "val") == {}
    assert "2 takes of the table have no file" in done.stderr


def test_an_import_builds_into_shards(captured: Path, tmp_path: Path, world: World):
    files = [captured / "01_01.bvh", captured / "02_01.bvh", captured / "03_01.amc"]
    run(*files, "--labels", captured / "labels.tsv", "--out", tmp_path / "o")
    folders = ["--amass", tmp_path / "o/amass", "--babel", tmp_path / "o/babel"]
    body = ["--body", world.config.inputs.body, "--regressor", world.config.inputs.regressor]
    words = ["build-babel", *folders, *body, "--out", tmp_path / "shards"]
    built = CliRunner().invoke(main, [str(word) for word in words])
    assert built.exit_code == 0, built.output
    pairs = ShardSet(tmp_path / "shards").pairs
    # "jump" of the second take lasts half a second, 15 frames at 30 Hz: long enough for a pair.
    assert sorted(pairs["text"]) == ["jump", "jump balance", "stand", "wave"]


def test_imported_motion_is_finite_and_small(captured: Path, tmp_path: Path):
    run(captured / "01_01.bvh", "--out", tmp_path / "o")
    path = tmp_path / "o/amass/OpenCMU/01/01_01_poses.npz"
    motion = read_motion(path)
    assert np.isfinite(motion.poses).all()
    assert not motion.poses[:, 66:].any()
    assert path.stat().st_size < 200_000
