"""`ap-data doctor` over every AMASS download that goes wrong: the verdict, the next action, the exit status."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cli.data import main
from tests.makers.closed import close_folder
from tests.makers.doctor import WEB_PAGE, copied, doctor, inputs, replace, screen
from tests.makers.worlds import World, smooth_motion, write_motion


@pytest.fixture
def own(world: World, tmp_path: Path) -> Path:
    """A copy of the world that a test may damage."""
    return copied(world, tmp_path / "own")


# --- a world that is right --------------------------------------------------------------------


def test_a_sound_world_is_ready_and_the_next_command_is_given(world, tmp_path):
    report = doctor(*inputs(world.root), "--out", tmp_path / "shards", "-o", "pairs.transition=cut")
    assert report.status == 0
    assert report.data["ready"]
    assert report.last.startswith("Ready. Next: ap-data build-babel --amass ")
    assert report.last.endswith(f" -o pairs.transition=cut --out {tmp_path / 'shards'}")
    details = report.expect("amass", "ok", "6 motions in 4 datasets")
    assert details["skipped"] == {"not a motion": 1}
    assert details["genders"] == {"female": 3, "male": 2, "neutral": 1}  # text, bytes, an array, "b'female'"
    report.expect("amass.folders", "ok", "BioMotionLab_NTroje = BMLrub")
    report.expect("babel.lengths", "ok", "5 motions agree")
    report.expect("regressor", "ok", "right leg first")
    report.expect("body.male", "ok", "320 vertices")
    report.expect("body.genders", "warning", "are the same file")


def test_what_is_promised_is_what_a_build_makes(world, tmp_path):
    plan = doctor(*inputs(world.root)).item("babel.pairs")["details"]
    out = tmp_path / "shards"
    assert CliRunner().invoke(main, ["build-babel", *map(str, inputs(world.root)), "--out", str(out)]).exit_code == 0
    made = json.loads(CliRunner().invoke(main, ["inspect", str(out), "--format", "json"]).stdout)
    for name in ("pairs", "clips", "labels", "kinds"):
        expected = made[name] if name != "labels" else len(made["label_counts"])
        assert plan[name] == expected, name
    assert plan["transitions"]["kept"] == made["transitions"]


def test_any_subset_can_be_looked_at_and_nothing_given_says_where_things_are(world):
    report = doctor("--body", world.root / "body")
    assert report.status == 0
    assert report.data["not_given"] == ["amass", "babel", "regressor"]
    assert report.last == "These inputs can be used. A build also needs --amass, --babel, --regressor."
    nothing = doctor()
    assert nothing.status == 1
    assert nothing.names == {"amass", "babel", "body", "regressor"}
    assert "mano.is.tue.mpg.de" in nothing.item("body")["action"]


def test_settings_files_name_inputs_too(world, tmp_path):
    settings = tmp_path / "mine.toml"
    settings.write_text(f'[inputs]\namass = "{world.root / "amass"}"\nbabel = "{world.root / "nowhere"}"\n')
    report = doctor("-c", settings)
    report.expect("amass", "ok", "6 motions")
    report.expect("babel", "missing", "nowhere", "--babel DIR")


def test_the_screen_is_short_and_names_each_action_once(world):
    text = screen(*inputs(world.root))
    # The paths in it are as long as this machine makes them, and wrap: counted as if they were short.
    assert len(text.replace(str(world.root), "W").splitlines()) - text.count(str(world.root)) < 40
    assert "ok       regressor        17 x 320" in text
    nowhere = screen("--body", world.root / "amass")
    assert nowhere.count("Extended SMPL+H model") == 1


# --- AMASS ------------------------------------------------------------------------------------


def test_every_rate_is_counted_and_the_known_wrong_one_is_corrected(tmp_path):
    rates = (60, 100, 120, 120.00004577636719, 59.9999885559082, 150, 250)
    for fps in rates:
        write_motion(tmp_path / "MyLab" / "s1" / f"at {fps} (x)_poses.npz", fps=fps, seconds=0.5)
    write_motion(tmp_path / "SSM_synced" / "20160930_50032" / "a_poses.npz", fps=120.00004577636719, seconds=0.5)
    report = doctor("--amass", tmp_path)
    histogram = report.expect("amass.rates", "ok", "120 Hz x 3")["rates"]
    assert histogram == {"60": 2, "100": 1, "120": 3, "150": 1, "250": 1}
    details = report.expect("amass.overrides", "ok", "2 motions will be corrected")
    assert details["overrides"][0]["true"] == 60
    assert "gravity" in details["overrides"][0]["reason"]
    off = doctor("--amass", tmp_path, "-o", "keypoints.rate_overrides=false")
    off.expect("amass.overrides", "warning", "rate_overrides is off", "leave keypoints.rate_overrides on")


def test_a_rate_its_dataset_does_not_have_is_pointed_out(tmp_path):
    write_motion(tmp_path / "KIT" / "3" / "a_poses.npz", fps=30, seconds=1)
    report = doctor("--amass", tmp_path)
    assert report.expect("amass.rates", "warning", "rate that its dataset does not have", "fresh download")["unusual"]


def smplx_file(path: Path) -> None:
    poses, trans = smooth_motion(20, 120)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        poses=np.concatenate([poses, poses[:, :9]], axis=1),
        trans=trans,
        betas=np.zeros(16),
        gender="neutral",
        surface_model_type="smplx",
        mocap_frame_rate=120.0,
        markers_latent_vids=np.array({"LFHD": 1}, dtype=object),
    )
    np.savez(path.with_name("neutral_stagei.npz"), gender="neutral", betas=np.zeros(16))


def test_the_smplx_edition_is_named_and_the_right_download_too(tmp_path):
    smplx_file(tmp_path / "KIT" / "3" / "General_A1_stageii.npz")
    report = doctor("--amass", tmp_path)
    report.expect("amass.edition", "wrong", "SMPL-X N (neutral bodies)", "download 'SMPL+H G' of KIT")
    assert "amass" not in report.names


def damaged(path: Path) -> str:
    write_motion(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return "amass.damaged"


def web_page(path: Path) -> str:
    path.write_text(WEB_PAGE)
    return "amass.web-pages"


def narrow(path: Path) -> str:
    poses, _ = smooth_motion(20, 120)
    write_motion(path, seconds=20 / 120, poses=poses[:, :72])
    return "amass.width"


@pytest.mark.parametrize("damage", [damaged, web_page, narrow])
def test_files_that_cannot_be_used_are_counted_by_reason_and_named(own, damage: Callable[[Path], str]):
    item = damage(own / "amass" / "KIT" / "3" / "damaged_poses.npz")
    report = doctor("--amass", own / "amass", "--babel", own / "babel")
    details = report.expect(item, "wrong", "1 file of 7 is", "download KIT again as 'SMPL+H G'")
    assert "damaged_poses.npz" in details["files"][0]
    report.expect("amass", "ok", "6 motions")
    report.expect("babel.motions", "ok", "5 of 5")


@pytest.mark.parametrize("inside", ["KIT", "KIT/3"])
def test_a_folder_given_too_low_is_answered_with_the_right_one(own, inside):
    report = doctor("--amass", own / "amass" / inside)
    report.expect("amass.layout", "wrong", "is itself a", f"--amass {(own / 'amass').resolve()}")


def test_a_dataset_of_our_own_given_too_low_is_answered_too(tmp_path):
    write_motion(tmp_path / "MyLab" / "s1" / "a_poses.npz", seconds=0.5)
    report = doctor("--amass", tmp_path / "MyLab")
    report.expect("amass.layout", "wrong", "is itself a dataset (MyLab)", f"--amass {tmp_path.resolve()}")


def test_a_folder_given_too_high_works(own):
    report = doctor("--amass", own)
    report.expect("amass", "ok", "6 motions in 4 datasets")
    assert report.status == 0


def test_a_folder_between_dataset_and_subject_is_found(tmp_path):
    write_motion(tmp_path / "KIT" / "unpacked" / "3" / "x" / "a_poses.npz", seconds=0.5)
    report = doctor("--amass", tmp_path)
    report.expect("amass.layout", "wrong", "are too deep", "remove the folder level in between")


def test_nothing_there_packed_and_missing_are_three_things(tmp_path):
    doctor("--amass", tmp_path).expect("amass", "wrong", "no .npz file", "unpack the AMASS archives")
    (tmp_path / "KIT.tar.bz2").write_bytes(b"BZh9")
    doctor("--amass", tmp_path).expect("amass", "wrong", "only packed archives: KIT.tar.bz2", "tar -xf")
    doctor("--amass", tmp_path / "no").expect("amass", "missing", "there is no AMASS folder")
    doctor("--amass", tmp_path / "KIT.tar.bz2").expect("amass", "wrong", "is a file", "unpacked")
    np.savez(tmp_path / "shape.npz", betas=np.zeros(16))
    doctor("--amass", tmp_path).expect("amass", "wrong", "none of 1 .npz file", "download 'SMPL+H G'")


def test_missing_datasets_are_named_with_what_they_would_bring(world, own):
    missing = doctor("--amass", world.root / "amass").expect("amass.datasets", "warning", "13 datasets", "download")
    assert missing["missing"]["CMU"] == {"train": 995, "val": 386}
    shutil.rmtree(own / "amass" / "DFaust_67")
    (own / "amass" / "DFaust_67.tar.bz2").write_bytes(b"BZh9")
    here = doctor("--amass", own / "amass", "--babel", own / "babel")
    here.expect("amass.datasets", "warning", "1 dataset", "unpack DFaust_67.tar.bz2, which is there")
    assert here.item("amass.datasets")["details"]["missing"] == {"DFaust": {"train": 1, "val": 0}}
    assert here.expect("babel.motions", "warning", "4 of 5")["unresolved"] == [
        "DFaust67/DFaust_67/50002/50002_jump_poses.npz"
    ]
    assert here.status == 0  # a build passes these labels over


def test_a_dataset_under_both_of_its_names_is_pointed_out(own):
    shutil.copytree(own / "amass" / "DFaust_67", own / "amass" / "DFaust")
    report = doctor("--amass", own / "amass")
    details = report.expect("amass.folders", "warning", "more than one of their folders: 1 take", "keep the others")
    assert details["twice"] == {"DFaust": ["DFaust", "DFaust_67"]}


def test_datasets_whose_folders_complete_each_other_are_named_and_kept(tmp_path):
    for folder in ("BMLrub/s1", "BioMotionLab_NTroje/s2", "DFaust67/50002", "DFaust_67/50004"):
        write_motion(tmp_path / folder / f"{folder[-2:]}_poses.npz", seconds=0.5)
    details = doctor("--amass", tmp_path).expect("amass.folders", "ok", "BMLrub, DFaust", "")
    assert set(details["twice"]) == {"BMLrub", "DFaust"}
    assert set(details["takes_in_both"].values()) == {0}


def test_quick_reads_two_files_of_each_subject_and_believes_the_rest(tmp_path):
    for number in range(5):
        write_motion(tmp_path / "KIT" / "3" / f"a{number}_poses.npz", fps=100, seconds=1)
    replace(tmp_path / "KIT" / "3" / "a4_poses.npz", WEB_PAGE)
    np.savez(tmp_path / "KIT" / "3" / "shape.npz", betas=np.zeros(16))
    quick = doctor("--amass", tmp_path, "--quick")
    assert quick.expect("amass", "ok", "3 of them by name only")["read"] == 2
    assert quick.status == 0
    assert doctor("--amass", tmp_path).status == 1


def test_deep_finds_copies_across_splits_and_values_that_are_not_finite(own):
    source = own / "amass" / "KIT" / "3" / "walk_01_poses.npz"
    target = own / "amass" / "KIT" / "4" / "sit down 02_poses.npz"
    shutil.copy(source, own / "copy.npz")
    os.replace(own / "copy.npz", target)
    val = json.loads((own / "babel" / "val.json").read_text())
    for entry in val.values():
        entry["dur"] = 4.0
    replace(own / "babel" / "val.json", json.dumps(val))
    poses, _ = smooth_motion(100, 100)
    poses[7, 3] = np.nan
    write_motion(own / "amass" / "KIT" / "9" / "nan_poses.npz", seconds=1, fps=100, poses=poses)
    report = doctor("--amass", own / "amass", "--babel", own / "babel", "--deep")
    copies = report.expect(
        "babel.copies", "warning", "1 take with the same poses in train and in val", "pack.duplicates=drop"
    )
    assert copies["copies"] == [["KIT/3/walk_01", "KIT/4/sit down 02"]]
    report.expect("amass.values", "wrong", "not finite", "download KIT again")


# --- disk, and the form of the answer ---------------------------------------------------------


def test_too_little_disk_is_wrong_before_a_build_starts(world, monkeypatch, tmp_path):
    report = doctor("--amass", world.root / "amass", "--out", tmp_path / "deep" / "shards")
    assert report.expect("disk", "ok", f"free at {tmp_path}")["need_bytes"] > 2 * 6 * 4 * 30 * 204 * 0.9
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("pipeline.doctor.diagnose.shutil.disk_usage", lambda place: usage)
    doctor("--amass", world.root / "amass").expect("disk", "wrong", "1 kB are free", "--out DIR")


def test_csv_has_one_row_per_item(world):
    done = CliRunner().invoke(main, ["doctor", "--body", str(world.root / "body"), "--format", "csv"])
    lines = done.stdout.splitlines()
    assert lines[0] == "item,verdict,message,action"
    assert len(lines) == 5


def test_quick_and_deep_exclude_each_other(world):
    done = CliRunner().invoke(main, ["doctor", "--amass", str(world.root), "--quick", "--deep"])
    assert done.exit_code == 2


def test_nothing_is_written(own):
    before = sorted(own.rglob("*"))
    doctor(*inputs(own), "--out", own / "shards")
    assert sorted(own.rglob("*")) == before


def test_real_motion_is_found_sound(open_mocap):
    report = doctor("--amass", open_mocap, "--babel", open_mocap / "babel", "--quick")
    assert report.status == 0
    report.expect("babel.motions", "ok", "labelled motions are here")


@pytest.mark.parametrize(
    ("closed", "item"),
    [("babel", "babel"), ("body/smplh", "body"), ("h36m", "h36m"), ("amass/SSM_synced", "amass.unreadable")],
)
def test_a_folder_that_may_not_be_read_is_a_finding_beside_all_others(own, monkeypatch, closed, item):
    (own / "h36m").mkdir()
    close_folder(monkeypatch, own / closed)
    report = doctor(*inputs(own), "--h36m", own / "h36m")
    assert report.status == 1
    found = report.item(item)
    assert (found["verdict"], found["action"][:21]) == (
        "wrong",
        "check the permissions" if "amass" in item else "check its permissions",
    )
    assert report.item("amass")["verdict"] == "ok"
    assert report.item("regressor")["item"] == "regressor"


def test_a_closed_folder_beside_what_is_no_body_is_named(tmp_path, monkeypatch):
    (tmp_path / "body" / "mine").mkdir(parents=True)
    close_folder(monkeypatch, tmp_path / "body" / "mine")
    (found,) = [row for row in doctor("--body", tmp_path / "body").data["items"] if row["item"] == "body"]
    assert "Permission denied" in found["details"]["files"][str(tmp_path / "body" / "mine")]
