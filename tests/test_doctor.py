"""`ap-data doctor` over every download that goes wrong: the verdict, the next action, the exit status."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from worlds import World, annotation, label, sequence, smooth_motion, whole, write_motion

from cli.data import main
from pipeline.regressor import SPIN_ORDER
from pipeline.testing import body_members, synthetic_body

WEB_PAGE = "<!DOCTYPE html><html><body>Please sign in</body></html>"


@dataclass(frozen=True)
class Report:
    """What the command said."""

    status: int
    data: dict[str, Any]
    last: str

    def item(self, name: str) -> dict[str, Any]:
        found = [item for item in self.data["items"] if item["item"] == name]
        assert len(found) == 1, f"{name}: {[item['item'] for item in self.data['items']]}"
        return found[0]

    def expect(self, name: str, verdict: str, said: str, action: str = "") -> dict[str, Any]:
        item = self.item(name)
        assert item["verdict"] == verdict, item
        assert said in item["message"]
        assert action in item["action"]
        assert bool(item["action"]) == (verdict != "ok"), "every trouble has one action, and nothing else has"
        return item["details"]

    @property
    def names(self) -> set[str]:
        return {item["item"] for item in self.data["items"]}


def doctor(*args: object) -> Report:
    done = CliRunner().invoke(main, ["doctor", *map(str, args), "--format", "json"])
    assert done.exit_code in (0, 1), done.output
    report = Report(done.exit_code, json.loads(done.stdout), done.stderr.splitlines()[-1])
    stops = any(item["verdict"] in ("wrong", "missing") for item in report.data["items"])
    assert (report.status == 1) == stops, "the exit status is the verdicts in short"
    return report


def screen(*args: object) -> str:
    return CliRunner().invoke(main, ["doctor", *map(str, args)]).output


@pytest.fixture
def own(world: World, tmp_path: Path) -> Path:
    """A copy of the world that a test may spoil; what is not spoilt is linked."""
    shutil.copytree(world.root, tmp_path / "own", copy_function=os.link)
    return tmp_path / "own"


def inputs(root: Path) -> list[object]:
    named = {"amass": "amass", "babel": "babel", "body": "body", "regressor": "regressor.npy"}
    return [word for name, place in named.items() for word in (f"--{name}", root / place)]


def replace(path: Path, content: bytes | str) -> None:
    path.unlink(missing_ok=True)  # the file is a link to one that others need
    path.write_bytes(content.encode() if isinstance(content, str) else content)


# --- a world that is right --------------------------------------------------------------------


def test_a_sound_world_is_ready_and_the_next_command_is_given(world, tmp_path):
    report = doctor(*inputs(world.root), "--out", tmp_path / "shards")
    assert report.status == 0
    assert report.data["ready"]
    assert report.last.startswith("Ready. Next: ap-data build-babel --amass ")
    assert report.last.endswith(f"--out {tmp_path / 'shards'}")
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
    assert report.last == "What was given can be used. A build also needs --amass, --babel, --regressor."
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
    assert len(text.splitlines()) < 40
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
    details = report.expect("amass.overrides", "ok", "1 motion will be corrected")
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


@pytest.mark.parametrize("spoil", [damaged, web_page, narrow])
def test_files_that_cannot_be_used_are_counted_by_reason_and_named(own, spoil: Callable[[Path], str]):
    item = spoil(own / "amass" / "KIT" / "3" / "spoilt_poses.npz")
    report = doctor("--amass", own / "amass", "--babel", own / "babel")
    details = report.expect(item, "wrong", "1 file of 7 is", "download KIT again as 'SMPL+H G'")
    assert "spoilt_poses.npz" in details["files"][0]
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
    report.expect("amass.layout", "wrong", "stand too deep", "take out the folder in between")


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
    report.expect("amass.folders", "warning", "DFaust stands here under 2 names", "keep one")


def test_quick_reads_two_files_of_each_subject_and_believes_the_rest(tmp_path):
    for number in range(5):
        write_motion(tmp_path / "KIT" / "3" / f"a{number}_poses.npz", fps=100, seconds=1)
    replace(tmp_path / "KIT" / "3" / "a4_poses.npz", WEB_PAGE)
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


# --- the body ---------------------------------------------------------------------------------


def body_file(folder: Path, gender: str = "female", **changes: Any) -> Path:
    path = folder / "smplh" / gender / "model.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    members: dict[str, Any] = {**body_members(synthetic_body(320)), **changes}
    np.savez(path, **{name: value for name, value in members.items() if value is not None})
    return path


LOOKALIKES = {
    "SMPL": ({"posedirs": np.zeros((320, 3, 207), np.float32)}, "is SMPL (24 joints"),
    "SMPL-X": ({"posedirs": np.zeros((320, 3, 486), np.float32)}, "is SMPL-X"),
    "MANO": ({"posedirs": np.zeros((320, 3, 135), np.float32)}, "is a MANO hand"),
    "10 betas": ({"shapedirs": np.zeros((320, 3, 10), np.float32)}, "10 shape coefficients"),
    "no weights": ({"weights": None}, "lacks weights"),
    "DMPL": (
        {name: None for name in body_members(synthetic_body(320))} | {"eigvec": np.zeros((320, 3, 8))},
        "DMPL soft-tissue",
    ),
}


@pytest.mark.parametrize("kind", LOOKALIKES)
def test_every_lookalike_of_the_body_is_called_by_its_name(tmp_path, kind):
    changes, said = LOOKALIKES[kind]
    body_file(tmp_path, **changes)
    doctor("--body", tmp_path).expect("body.female", "wrong", said, "Extended SMPL+H model")


def test_hand_keys_are_welcome_and_an_odd_height_is_not(tmp_path):
    body_file(tmp_path, hands_meanl=np.zeros(45), hands_componentsl=np.zeros((45, 45)))
    doctor("--body", tmp_path).expect("body.female", "ok", "MANO hand keys")
    shutil.rmtree(tmp_path / "smplh")
    small = body_members(synthetic_body(320))["v_template"] * 0.6
    body_file(tmp_path, v_template=small)
    doctor("--body", tmp_path).expect("body.female", "warning", "not the height of a person", "original file")


def test_a_folder_with_other_models_lists_what_they_are(tmp_path):
    (tmp_path / "smplx").mkdir()
    members = body_members(synthetic_body(320)) | {"posedirs": np.zeros((320, 3, 486), np.float32)}
    np.savez(tmp_path / "smplx" / "SMPLX_MALE.npz", **members)
    (tmp_path / "smplh.tar.xz").write_bytes(b"\xfd7zXZ")
    details = doctor("--body", tmp_path).expect("body", "wrong", "SMPLX_MALE.npz", "Extended SMPL+H model")
    assert sorted(what.split(",")[0] for what in details["files"].values()) == ["SMPL-X", "a packed archive"]
    doctor("--body", tmp_path / "no").expect("body", "missing", "does not exist", "--body DIR")


def test_a_gender_matters_when_motions_need_it(own):
    shutil.rmtree(own / "body" / "smplh" / "neutral")
    doctor("--body", own / "body").expect("body.neutral", "warning", "motions of that gender would fail")
    report = doctor("--body", own / "body", "--amass", own / "amass")
    report.expect("body.neutral", "missing", "1 motion would fail", "missing_gender")
    replace(own / "amass" / "DFaust_67" / "50002" / "50002_jump_poses.npz", b"")
    (own / "amass" / "DFaust_67" / "50002" / "50002_jump_poses.npz").unlink()
    assert "body.neutral" not in doctor("--body", own / "body", "--amass", own / "amass").names


# --- the regressor ----------------------------------------------------------------------------


def test_leg_order_is_found_by_geometry_and_said(own):
    matrix = np.load(own / "regressor.npy")
    np.save(own / "spin.npy", np.asfortranarray(matrix[list(SPIN_ORDER)]))
    report = doctor("--body", own / "body", "--regressor", own / "spin.npy")
    assert report.expect("regressor", "ok", "left leg first")["order"] == "spin"
    assert "swapped" in report.item("regressor")["message"]


def spoilt_regressor(kind: str, matrix: np.ndarray) -> np.ndarray:
    out = matrix.copy()
    if kind == "nan":
        out[3, 5] = np.nan
    elif kind == "sums":
        out[2] *= 0.9
    elif kind == "order":
        out = out[::-1]
    return {"transposed": out.T, "extra": out[:9]}.get(kind, out)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("nan", "not finite"),
        ("sums", "sums to 0.9"),
        ("order", ""),
        ("transposed", "has shape (320, 17)"),
        ("extra", "SPIN extra points"),
    ],
)
def test_wrong_regressors_are_refused(own, kind, said):
    np.save(own / "r.npy", spoilt_regressor(kind, np.load(own / "regressor.npy")))
    doctor("--body", own / "body", "--regressor", own / "r.npy").expect("regressor", "wrong", said)


def test_cut_short_web_pages_folders_and_no_body(own):
    content = (own / "regressor.npy").read_bytes()
    (own / "cut.npy").write_bytes(content[: len(content) // 2])
    (own / "page.npy").write_text(WEB_PAGE)
    body = ["--body", own / "body"]
    doctor(*body, "--regressor", own / "cut.npy").expect("regressor", "wrong", "cut short", "download it again")
    doctor(*body, "--regressor", own / "page.npy").expect("regressor", "wrong", "web page")
    doctor(*body, "--regressor", own).expect("regressor", "wrong", "is a folder", f"--regressor {own}")
    doctor("--regressor", own / "no.npy").expect("regressor", "missing", "no joint regressor", "Pose2Mesh")
    full = np.zeros((17, 6890))
    full[:, 0] = 1
    np.save(own / "full.npy", full)
    doctor("--regressor", own / "full.npy").expect("regressor", "warning", "only on a body", "--body DIR")


# --- BABEL ------------------------------------------------------------------------------------


ONLY_TRAIN = ["-o", 'pairs.splits=["train"]']


def babel(folder: Path, **entries: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "val"):
        (folder / f"{split}.json").write_text(json.dumps(entries.get(split, {})))
    return folder


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
    doctor(*given, "-o", "pack.duplicates=drop").expect("babel.repeats", "ok", "left out")


# --- disk, and the form of the answer ---------------------------------------------------------


def test_too_little_disk_is_wrong_before_a_build_starts(world, monkeypatch, tmp_path):
    report = doctor("--amass", world.root / "amass", "--out", tmp_path / "deep" / "shards")
    assert report.expect("disk", "ok", f"free at {tmp_path}")["need_bytes"] > 2 * 6 * 4 * 30 * 204 * 0.9
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("pipeline.doctor.shutil.disk_usage", lambda place: usage)
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
