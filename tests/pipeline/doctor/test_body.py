"""`ap-data doctor` over look-alikes of the body and the regressor."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.bodies import body_members, synthetic_body
from pipeline.body.regressor import SPIN_ORDER
from tests.makers.doctor import WEB_PAGE, copied, doctor, replace
from tests.makers.worlds import World


@pytest.fixture
def own(world: World, tmp_path: Path) -> Path:
    """A copy of the world that a test may damage."""
    return copied(world, tmp_path / "own")


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
    changes, reason = LOOKALIKES[kind]
    body_file(tmp_path, **changes)
    doctor("--body", tmp_path).expect("body.female", "wrong", reason, "Extended SMPL+H model")


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


def test_leg_order_is_found_by_geometry_and_reported(own):
    matrix = np.load(own / "regressor.npy")
    np.save(own / "spin.npy", np.asfortranarray(matrix[list(SPIN_ORDER)]))
    report = doctor("--body", own / "body", "--regressor", own / "spin.npy")
    assert report.expect("regressor", "ok", "left leg first")["order"] == "spin"
    assert "swapped" in report.item("regressor")["message"]


def wrong_regressor(kind: str, matrix: np.ndarray) -> np.ndarray:
    out = matrix.copy()
    if kind == "nan":
        out[3, 5] = np.nan
    elif kind == "sums":
        out[2] *= 0.9
    elif kind == "order":
        out = out[::-1]
    return {"transposed": out.T, "extra": out[:9]}.get(kind, out)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("nan", "not finite"),
        ("sums", "sums to 0.9"),
        ("order", ""),
        ("transposed", "has shape (320, 17)"),
        ("extra", "SPIN extra points"),
    ],
)
def test_wrong_regressors_are_refused(own, kind, reason):
    np.save(own / "r.npy", wrong_regressor(kind, np.load(own / "regressor.npy")))
    doctor("--body", own / "body", "--regressor", own / "r.npy").expect("regressor", "wrong", reason)


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
