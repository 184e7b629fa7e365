"""`ap-data doctor` over label files, and labels against motions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.makers.doctor import ONLY_TRAIN, WEB_PAGE, babel, copied, doctor, replace
from tests.makers.worlds import World, annotation, label, sequence, whole, write_motion


@pytest.fixture
def own(world: World, tmp_path: Path) -> Path:
    """A copy of the world that a test may damage."""
    return copied(world, tmp_path / "own")


# --- BABEL ------------------------------------------------------------------------------------


def test_everything_odd_in_labels_is_counted_and_none_of_it_stops_a_build(tmp_path):
    odd = annotation(
        label("sit", 4, 9, 0),  # not in order, whole numbers among the times
        label("walk", 0, 3, 1),
        label("wave", 1, 3, 2),  # another candidate for A, and it overlaps
        label("transition", 3, 4, 3),
        label("transition", 0, 0.5, 4),  # opens the sequence
        label("transition", 9, 10.004, 5),  # closes it, ends after the motion
        label("clap", 5, 5.01, 6, act_cat=None),  # under one frame
        label("nod", 1, 3, 7),  # the times of another
    )
    train = {
        "1": sequence(1, "KIT/KIT/3/a_poses.npz", 10, odd, whole("walk")),
        "2": sequence(2, "KIT/KIT/3/b_poses.npz", 5, None, whole("jump")),
        "3": sequence(3, "KIT/KIT/3/c_poses.npz", 5, None, annotation(label("a", 0, 1), label("b", 1, 2))),
    }
    val = {"9": sequence(9, "KIT/KIT/3/z_poses.npz", 5, None, whole("run"))}
    folder = babel(tmp_path / "b", train=train, val=val)
    (folder / "test.json").write_text(json.dumps({}))
    report = doctor("--babel", folder)
    counts = report.expect("babel.labels", "ok", "1 of 4 sequences have frame labels")
    expected = {
        "transitions": 3,
        "sequences not in order of time": 1,
        "sequences with overlapping labels": 1,
        "labels ending after the motion": 1,
        "labels under one frame at 30 Hz": 1,
        "labels with the times of another": 1,
        "labels without category": 1,
        "sequences without a usable label": 1,
    }
    assert {name: counts[name] for name in expected} == expected
    report.expect("babel.unused", "ok", "test.json")
    plan = report.expect("babel.pairs", "ok", "1 of 3 transitions have A and B")
    assert plan["transitions"]["dropped"] == {"closes the sequence": 1, "opens the sequence": 1}
    assert report.status == 0


def test_test_labels_are_recognised_under_any_name(tmp_path):
    null = annotation(label("", 0, 1, raw_label=None, proc_label=None, act_cat=None))
    entries = {"1": sequence(1, "KIT/KIT/3/a_poses.npz", 1, null, null)}
    folder = babel(tmp_path, train=entries, val={"2": sequence(2, "KIT/KIT/3/b_poses.npz", 5, None, whole("run"))})
    doctor("--babel", folder).expect("babel.train", "wrong", "are null", "test labels are withheld")
    asked = doctor("--babel", folder, "-o", 'pairs.splits=["train","test"]')
    asked.expect("babel", "wrong", "withholds the labels", "use train and val")


def test_wrong_places_and_wrong_files_of_babel(world, own):
    assert doctor("--babel", own).expect("babel", "wrong", "babel/ in it does", f"--babel {own / 'babel'}") == {}
    doctor("--babel", own / "babel" / "train.json").expect("babel", "wrong", "is a file", f"--babel {own / 'babel'}")
    doctor("--babel", own / "amass").expect("babel", "missing", "there is no", "babel_v1.0_release")
    replace(own / "babel" / "val.json", WEB_PAGE)
    doctor("--babel", own / "babel").expect("babel.val", "wrong", "a web page", "BABEL site")
    replace(own / "babel" / "val.json", '{"1": {"feat_p": "KIT/KIT/3/a_poses.npz", "dur": "long"}}')
    report = doctor("--babel", own / "babel")
    assert "dur" in (own / "babel" / "val.json").read_text()
    assert report.expect("babel.val", "wrong", "1 sequence of 1 cannot be read", "again")["broken"]
    shutil.rmtree(own / "babel")
    (own / "babel").mkdir()
    (own / "babel" / "babel_v1.0_release.zip").write_bytes(b"PK\3\4")
    doctor("--babel", own / "babel").expect("babel", "wrong", "not unpacked", "unzip")


def test_extra_files_have_to_be_there_when_asked_for(world):
    report = doctor("--babel", world.root / "babel", "-o", "pairs.extra=true")
    report.expect("babel", "missing", "extra_train.json", "babel_v1.0_release")


@pytest.mark.parametrize("layout", ["verbatim", "legacy", "underscores", "canonical"])
def test_labels_find_their_motions_under_every_generation_of_names(tmp_path, layout):
    places = {
        "verbatim": "BMLrub/BioMotionLab_NTroje/rub 1/0001 turn (left)_poses.npz",
        "legacy": "BioMotionLab_NTroje/rub 1/0001 turn (left)_poses.npz",
        "underscores": "BioMotionLab_NTroje/rub_1/0001_turn_(left)_poses.npz",
        "canonical": "BMLrub/rub 1/0001 turn (left)_poses.npz",
    }
    write_motion(tmp_path / "a" / places[layout], fps=120, seconds=3)
    entry = sequence(1, places["verbatim"], 3, None, whole("turn left"))
    folder = babel(tmp_path / "b", train={"1": entry})
    report = doctor("--amass", tmp_path / "a", "--babel", folder, *ONLY_TRAIN)
    details = report.expect("babel.motions", "ok", "1 of 1")
    assert details["under_another_name"] == (layout in ("underscores", "canonical"))
    assert report.expect("babel.pairs", "ok", "1 pairs")["pairs"] == 1


def test_labels_and_motions_that_have_nothing_in_common(world, tmp_path):
    entry = sequence(1, "CMU/CMU/01/01_01_poses.npz", 3, None, whole("climb"))
    report = doctor("--amass", world.root / "amass", "--babel", babel(tmp_path, train={"1": entry}), *ONLY_TRAIN)
    report.expect("babel.motions", "wrong", "0 of 1", "belong together")


def test_lengths_that_disagree_say_another_edition(own):
    train = json.loads((own / "babel" / "train.json").read_text())
    for entry in train.values():
        entry["dur"] *= 2
    replace(own / "babel" / "train.json", json.dumps(train))
    report = doctor("--amass", own / "amass", "--babel", own / "babel")
    details = report.expect("babel.lengths", "wrong", "4 of 5 motions disagree", "'SMPL+H G'")
    assert "BABEL says 8.00 s" in details["files"][0]


def test_one_motion_in_both_splits_is_wrong(own):
    train = json.loads((own / "babel" / "train.json").read_text())
    val = json.loads((own / "babel" / "val.json").read_text())
    val["999"] = {**next(iter(train.values())), "babel_sid": 999}
    replace(own / "babel" / "val.json", json.dumps(val))
    report = doctor("--amass", own / "amass", "--babel", own / "babel")
    report.expect("babel.splits", "wrong", "motion in two splits", "one edition")


def test_known_copies_of_subjects_that_straddle_the_splits(tmp_path):
    sides = {"train": {}, "val": {}}
    for number, (subject, split) in enumerate([("78", "train"), ("102", "val"), ("63", "train"), ("64", "train")]):
        name = f"{subject}/{subject}_01_poses.npz"
        write_motion(tmp_path / "a" / "CMU" / name, fps=120, seconds=2, seed=number // 2)
        sides[split][str(number)] = sequence(number, f"CMU/CMU/{name}", 2, None, whole("play basketball"))
    given = ["--amass", tmp_path / "a", "--babel", babel(tmp_path / "b", **sides)]
    report = doctor(*given)
    details = report.expect(
        "babel.repeats", "warning", "1 take of equal length in both train and val", "pack.duplicates=drop"
    )
    assert [row["subjects"] for row in details["pairs"]] == [["78", "102"]]
    doctor(*given, "-o", "pack.duplicates=drop").expect("babel.repeats", "ok", "are dropped")
