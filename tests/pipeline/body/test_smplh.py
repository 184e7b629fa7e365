import pickle
import re
import shlex
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

from actionpose.errors import UserError
from benchmarks.bodies import body_members, synthetic_body, write_body
from cli.data import main
from pipeline.body.smplh import (
    BODY_JOINT_NAMES,
    BODY_PARENTS,
    available_genders,
    find_body,
    load_body,
    normalise_gender,
)


@pytest.fixture(scope="module")
def model():
    return synthetic_body(320, gender="male")


@pytest.fixture
def members(model):
    return body_members(model)


def save(tmp_path, members, name="model.npz"):
    path = tmp_path / name
    np.savez(path, **members)
    return path


def test_a_file_reads_back_as_the_body_it_was_written_from(tmp_path, model):
    write_body(model, tmp_path / "smplh" / "male" / "model.npz")
    read = load_body(tmp_path, "male")
    for name in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights"):
        written = getattr(model, name)
        assert getattr(read, name).dtype == np.float64
        np.testing.assert_allclose(getattr(read, name), written, rtol=1e-6, atol=1e-9)
    assert read.parents.tolist() == list(BODY_PARENTS)
    assert read.gender == "male"
    assert read.sha256.startswith("sha256:")


def test_one_copy_per_process_until_the_file_changes(tmp_path, model):
    path = write_body(model, tmp_path / "male" / "model.npz")
    first = load_body(tmp_path, "male")
    assert load_body(path, b"male") is first
    write_body(synthetic_body(340, gender="male"), path)
    assert len(load_body(tmp_path, "male").v_template) == 340


def test_the_arrays_cannot_be_written_to(tmp_path, model):
    read = load_body(write_body(model, tmp_path / "model.npz"), "male")
    with pytest.raises(ValueError, match="read-only"):
        read.weights[0] = 0


def test_the_skeleton_is_smplh():
    assert len(BODY_JOINT_NAMES) == len(BODY_PARENTS) == 52
    assert all(parent < child for child, parent in enumerate(BODY_PARENTS))
    names = dict(zip(BODY_JOINT_NAMES, BODY_PARENTS, strict=True))
    for name, parent in names.items():
        mirror = name.replace("left_", "right_")
        expected = BODY_JOINT_NAMES[parent].replace("left_", "right_") if parent >= 0 else None
        if parent >= 0:
            assert BODY_JOINT_NAMES[names[mirror]] == expected
    assert BODY_JOINT_NAMES[22] == "left_index1"
    assert BODY_JOINT_NAMES[37] == "right_index1"
    assert BODY_JOINT_NAMES[51] == "right_thumb3"


@pytest.mark.parametrize(
    "layout",
    [
        "smplh/female/model.npz",
        "female/model.npz",
        "SMPLH_FEMALE.npz",
        "smplh/SMPLH_FEMALE.NPZ",
        "SMPLH/Female/Model.npz",
        "body_models/smplh/female/model.npz",
    ],
)
def test_every_usual_layout_is_found(tmp_path, layout):
    file = tmp_path / layout
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    assert find_body(tmp_path, "female").samefile(file)
    assert find_body(file, "female") == file
    assert available_genders(tmp_path) == ("female",)


def test_a_folder_of_one_gender_is_enough(tmp_path):
    file = tmp_path / "neutral" / "model.npz"
    file.parent.mkdir()
    file.touch()
    assert find_body(tmp_path / "neutral", "neutral") == file


def test_a_file_of_another_gender_is_not_used_in_silence(tmp_path):
    file = tmp_path / "male" / "model.npz"
    file.parent.mkdir()
    file.touch()
    with pytest.raises(UserError, match="is the male body, but the motion needs the female one"):
        find_body(file, "female")


def test_a_missing_body_says_where_it_looked_and_what_to_do(tmp_path):
    with pytest.raises(UserError) as error:
        load_body(tmp_path, "neutral")
    text = str(error.value)
    assert str(tmp_path / "smplh" / "neutral" / "model.npz") in text
    assert "--body DIR" in text
    assert "mano.is.tue.mpg.de" in text
    assert "ap-data demo --out DIR" in text


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere does not exist"):
        load_body(tmp_path / "nowhere", "male")


def test_pickles_in_the_folder_are_pointed_out(tmp_path):
    (tmp_path / "SMPLH_male.pkl").write_bytes(b"\x80\x02}.")
    with pytest.raises(UserError, match=r"it holds pickles \(SMPLH_male.pkl\)"):
        load_body(tmp_path, "male")


@pytest.mark.parametrize(
    "value",
    [
        "female",
        "Female ",
        b"female",
        "b'female'",
        'b"female"',
        np.array("female"),
        np.array(b"female"),
        np.array(["female"]),
        np.array([b"female"]),
        np.str_("FEMALE"),
        np.bytes_(b"female"),
    ],
)
def test_gender_in_every_form_of_the_files(value):
    assert normalise_gender(value) == "female"


NO_LETTERS = np.frombuffer(b"\x00\x00\x11\x00" * 4, dtype="<U4")


@pytest.mark.parametrize(
    "value",
    ["", "woman", None, np.array([]), np.array(["male", "female"]), b"\xff", 1, NO_LETTERS, [["male"], ["a", "b"]]],
)
def test_an_unknown_gender_is_refused(value):
    with pytest.raises(UserError, match="unknown gender"):
        normalise_gender(value)


@pytest.mark.parametrize(("width", "name"), [(207, r"SMPL \(24 joints"), (486, "SMPL-X"), (135, "a MANO hand")])
def test_other_body_models_are_recognised(tmp_path, members, width, name):
    members["posedirs"] = np.zeros((320, 3, width))
    with pytest.raises(UserError, match=f"is {name}.*not SMPL\\+H"):
        load_body(save(tmp_path, members), "male")


def test_smplx_is_recognised_by_its_vertices(tmp_path, members):
    members["v_template"] = np.zeros((10475, 3))
    with pytest.raises(UserError, match="SMPL-X"):
        load_body(save(tmp_path, members), "male")


def damage_ten_betas(m):
    m["shapedirs"] = m["shapedirs"][:, :, :10]


def damage_flat_posedirs(m):
    m["posedirs"] = m["posedirs"].reshape(-1, 459)


def damage_joint_count(m):
    m["J_regressor"] = m["J_regressor"][:24]


def damage_parents(m):
    m["kintree_table"][0, 20] = 19


def damage_finite(m):
    m["posedirs"][7, 1, 3] = np.nan


def damage_weights(m):
    m["weights"][5] *= 0.9


def damage_centimetres(m):
    m["v_template"] *= 100


def damage_faces(m):
    m["f"][0, 0] = 320


def damage_mirror(m):
    m["v_template"][:, 0] *= -1


def damage_joints(m):
    m["J_regressor"][15] *= 4


def damage_integers(m):
    m["weights"] = m["weights"].astype(np.int32)


def damage_objects(m):
    m["J_regressor"] = np.array([{"sparse": True}], dtype=object)


def damage_missing(m):
    del m["weights"], m["f"]


def damage_dmpl(m):
    m.clear()
    m["eigvec"] = np.zeros((320, 3, 8))


def damage_motion(m):
    m.clear()
    m |= {"poses": np.zeros((2, 156)), "trans": np.zeros((2, 3))}


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (damage_ten_betas, "has 10 shape coefficients; AMASS bodies have 16"),
        (damage_flat_posedirs, r"posedirs has shape \(960, 459\), expected \(320, 3, 459\)"),
        (damage_joint_count, r"J_regressor has shape \(24, 320\), expected \(52, 320\)"),
        (damage_parents, r"joint 20 \(left_wrist\) is attached to joint 19, expected 18"),
        (damage_finite, "posedirs has values that are not finite"),
        (damage_weights, "rows of weights do not sum to one"),
        (damage_centimetres, "metres tall"),
        (damage_faces, "faces point past the last vertex"),
        (damage_mirror, "left hip is not on the side of"),
        (damage_joints, "joints lie outside the body"),
        (damage_integers, "weights is int32"),
        (damage_objects, "Python objects, which are not loaded"),
        (damage_missing, "lacks weights, f"),
        (damage_dmpl, "DMPL soft-tissue directions, not the body"),
        (damage_motion, "is a motion, not a body model"),
    ],
)
def test_a_damaged_file_is_refused_with_the_reason_and_advice(tmp_path, members, damage, sentence):
    damage(members)
    path = save(tmp_path, members)
    with pytest.raises(UserError, match=sentence) as error:
        load_body(path, "male")
    assert str(path) in error.value.message
    assert error.value.hint


def test_wrong_downloads_are_recognised_by_content(tmp_path, model):
    good = write_body(model, tmp_path / "good.npz").read_bytes()
    zipped = tmp_path / "mano_v1_2.npz"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("models/SMPLH_male.pkl", b"")
    cases = {
        "page.npz": (b"\n<!DOCTYPE html><html>please log in</html>", "is a web page"),
        "cut.npz": (good[: len(good) // 2], "damaged or cut short"),
        "pointer.npz": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        "smplh.tar.xz": (b"\xfd7zXZ\x00rest", "packed archive"),
        "SMPLH_male.pkl": (pickle.dumps({"v_template": 1}, protocol=2), "Python pickle"),
        "renamed.npz": (pickle.dumps({"v_template": 1}, protocol=4), "Python pickle"),
        "empty.npz": (b"", "is empty"),
        "mano_v1_2.npz": (zipped.read_bytes(), "archive of pickles"),
        "damaged.npz": (good[:4000] + b"\xff" * 64 + good[4064:], "damaged|not finite|outside|metres"),
    }
    for name, (content, sentence) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=sentence) as error:
            load_body(tmp_path / name, "male")
        assert error.value.hint, name


def test_a_pickle_is_answered_with_the_command_that_looks_into_it(tmp_path):
    path = tmp_path / "my bodies" / "SMPLH_male.pkl"
    path.parent.mkdir()
    path.write_bytes(
        pickle.dumps({"v_template": np.zeros((6890, 3)), "posedirs": np.zeros((6890, 3, 207))}, protocol=2)
    )
    with pytest.raises(UserError, match="is a Python pickle") as error:
        load_body(path, "male")
    assert "10 shape coefficients where AMASS needs 16" in error.value.hint
    (typed,) = re.findall(r"ap-data (convert-model .*? --dry-run)", error.value.hint)
    done = CliRunner().invoke(main, shlex.split(typed))
    assert done.exit_code == 0, done.output
    assert f"{path} is SMPL (24 joints, no hands), not SMPL+H" in done.output


def test_a_single_array_is_not_a_body(tmp_path):
    np.save(tmp_path / "body.npy", np.zeros(3))
    with pytest.raises(UserError, match="single array"):
        load_body(tmp_path / "body.npy", "male")


def test_columns_padded_for_other_tools_do_no_harm(tmp_path, model, members):
    padded = np.zeros((320, 3, 300), np.float32)
    padded[:, :, :16] = members["shapedirs"]
    members["shapedirs"] = padded
    members["hands_meanl"] = np.ones(45)
    read = load_body(save(tmp_path, members), "male")
    np.testing.assert_allclose(read.shapedirs, model.shapedirs, rtol=1e-6)
