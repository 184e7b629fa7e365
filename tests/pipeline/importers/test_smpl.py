"""SMPL parameters in other shapes: the same motion from each of them; degrees, other widths and code are refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from pipeline.body.rotations import rotation_matrices, rotation_vectors
from pipeline.engine.item import ItemError
from pipeline.importers.figure import Z_UP, joint_places, load_figure
from pipeline.importers.smpl import read_smpl
from pipeline.importers.take import Options, import_file
from tests.makers.captured import jumper

FIGURE = load_figure(None)
PERSON = jumper()
PLACES = joint_places(FIGURE, PERSON.poses, PERSON.trans)


def matrices() -> np.ndarray:
    """(T, 22, 3, 3) of the person."""
    vectors = PERSON.poses.reshape(-1, 22, 3)
    return np.moveaxis(rotation_matrices(np.ascontiguousarray(np.moveaxis(vectors, 0, -1))), -1, 0)


def y_up() -> tuple[np.ndarray, np.ndarray]:
    """Poses (T, 72) and trans of the person in a world with y up."""
    poses = widened(72)
    poses[:, :3] = rotation_vectors(Z_UP.T @ matrices()[:, 0])
    return poses, PERSON.pelvis - FIGURE.joints[0]


def widened(width: int) -> np.ndarray:
    poses = np.zeros((len(PERSON.poses), width))
    poses[:, :66] = PERSON.poses
    return poses


def saved(path: Path, **arrays) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("width", [66, 72, 156, 165])
def test_every_width_is_the_same_motion(tmp_path: Path, width: int):
    path = saved(tmp_path / "a.npz", poses=widened(width), trans=PERSON.trans, mocap_framerate=60.0)
    take = import_file(path, FIGURE, Options())
    assert np.abs(joint_places(FIGURE, take.poses, take.trans) - PLACES).max() < 1e-9
    assert take.poses.shape == (240, 156)
    assert take.notes


@pytest.mark.parametrize("form", ["split", "joints", "matrices"])
def test_every_form_is_the_same_motion(tmp_path: Path, form: str):
    arrays = {
        "split": {"global_orient": PERSON.poses[:, :3], "body_pose": PERSON.poses[:, 3:], "transl": PERSON.trans},
        "joints": {"poses": widened(72).reshape(-1, 24, 3), "trans": PERSON.trans},
        "matrices": {"poses": matrices(), "trans": PERSON.trans},
    }[form]
    take = import_file(saved(tmp_path / "a.npz", **arrays, fps=60), FIGURE, Options())
    assert np.abs(joint_places(FIGURE, take.poses, take.trans) - PLACES).max() < 1e-9


def test_fingers_of_smplx_go_to_the_columns_of_smplh(tmp_path: Path):
    poses = np.zeros((5, 165))
    poses[:, 75:] = np.arange(90) / 100
    motion = read_smpl(saved(tmp_path / "a.npz", poses=poses, trans=np.zeros((5, 3)), fps=30), FIGURE, up="z")
    assert np.allclose(motion.poses[:, 66:], np.arange(90) / 100)


def test_fingers_in_arrays_of_their_own_are_taken_and_others_are_not_denied(tmp_path: Path):
    body = {"global_orient": PERSON.poses[:, :3], "body_pose": PERSON.poses[:, 3:], "trans": PERSON.trans, "fps": 60}
    hands = np.arange(240 * 90).reshape(240, 90) / 1e5
    two = {"left_hand_pose": hands[:, :45].reshape(-1, 15, 3), "right_hand_pose": hands[:, 45:]}
    for given in (two, {"pose_hand": hands}):
        take = import_file(saved(tmp_path / "a.npz", **body, **given), FIGURE, Options())
        assert np.allclose(take.poses[:, 66:], hands)
    few = import_file(saved(tmp_path / "b.npz", **body, pose_hand=hands[:, :24]), FIGURE, Options())
    assert any("hands that are not 15 joints" in note for note in few.notes)


def test_names_of_amass_do_not_lay_people_down_whose_vertical_is_y(tmp_path: Path):
    poses, trans = y_up()  # as BEAT2 has it
    path = saved(tmp_path / "a.npz", poses=poses, trans=trans, mocap_frame_rate=60)
    with pytest.raises(ItemError, match="say which axis is up, --up y or --up z"):
        import_file(path, FIGURE, Options())
    take = import_file(path, FIGURE, Options(up="y"))
    assert np.abs(joint_places(FIGURE, take.poses, take.trans) - PLACES).max() < 1e-6


def test_a_gender_that_cannot_be_read_is_said(tmp_path: Path):
    path = saved(tmp_path / "a.npz", poses=widened(156), trans=PERSON.trans, fps=60, gender=np.array(["?"]))
    take = import_file(path, FIGURE, Options())
    assert take.gender == "neutral"
    assert any("the gender is neither" in note for note in take.notes)


def test_a_shape_is_kept_where_the_body_is_the_same(tmp_path: Path):
    arrays = {"trans": PERSON.trans, "fps": 60.0, "betas": np.full(16, 0.5), "gender": "female"}
    same = import_file(saved(tmp_path / "a.npz", poses=widened(156), **arrays), FIGURE, Options())
    assert (same.gender, same.betas.tolist()) == ("female", [0.5] * 16)
    assert np.array_equal(same.trans, PERSON.trans)  # its soles are not the figure's: heights are kept
    other = import_file(saved(tmp_path / "b.npz", poses=widened(72), **arrays), FIGURE, Options())
    assert not other.betas.any()
    assert any("mean shape" in note for note in other.notes)


@pytest.mark.parametrize("shape", [(1, 10), (10, 1), (len(PERSON.poses), 10), (len(PERSON.poses), 1, 10)])
def test_a_shape_that_is_repeated_is_read_once_and_one_that_changes_is_refused(tmp_path: Path, shape: tuple[int, ...]):
    betas = np.broadcast_to(np.arange(10) / 10, shape if shape[-1] == 10 else (1, 10)).reshape(shape).copy()
    arrays = {"poses": widened(156), "trans": PERSON.trans, "fps": 60.0}
    take = import_file(saved(tmp_path / "a.npz", **arrays, betas=betas), FIGURE, Options())
    assert take.betas.tolist() == [*(np.arange(10) / 10), *[0.0] * 6]
    if len(betas) == len(PERSON.poses):
        betas[-1] += 0.5
        with pytest.raises(ItemError, match="betas change over the take"):
            import_file(saved(tmp_path / "b.npz", **arrays, betas=betas), FIGURE, Options())


def test_aist_pickles_are_scaled_and_turned(tmp_path: Path):
    poses, trans = y_up()
    path = tmp_path / "gBR_sBM_cAll_d04_mBR0_ch01.pkl"
    content = {"smpl_poses": poses, "smpl_trans": trans * 93.8, "smpl_scaling": np.array([93.8]), "smpl_loss": 0.1}
    path.write_bytes(pickle.dumps(content))
    take = import_file(path, FIGURE, Options())
    assert (take.kind, take.fps, take.subject, take.dataset) == ("AIST++", 60.0, "d04", "AISTpp")
    assert np.abs(joint_places(FIGURE, take.poses, take.trans) - PLACES).max() < 1e-6


def test_which_axis_is_up_is_found_or_given(tmp_path: Path):
    poses, trans = y_up()
    path = saved(tmp_path / "a.npz", poses=poses, trans=trans, fps=60)
    assert "y is up, found from the motion" in import_file(path, FIGURE, Options()).notes
    (finding,) = (f for f in import_file(path, FIGURE, Options(up="z")).checks if f.check == "up")
    assert finding.verdict == "warning"
    lying = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    poses[:, :3] = rotation_vectors(np.broadcast_to(lying, (len(poses), 3, 3)))
    with pytest.raises(ItemError, match="say which axis is up"):
        import_file(saved(tmp_path / "b.npz", poses=poses, trans=trans, fps=60), FIGURE, Options())


def test_a_zip_is_read_as_one_whatever_its_name(tmp_path: Path):
    path = saved(tmp_path / "a.npz", poses=widened(72), trans=PERSON.trans, fps=60.0).rename(tmp_path / "a.bvh")
    assert import_file(path, FIGURE, Options()).kind == "SMPL, 24 joints"


class Evil:
    def __reduce__(self):
        return os.system, ("false",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"smpl_poses": Evil(), "smpl_trans": np.zeros((2, 3))}, "refused pickle"),
        ([1, 2, 3], "no SMPL motion"),
        ({"something": 1}, "no SMPL motion"),
        ({"smpl_poses": [[1], [2, 3]], "smpl_trans": 0}, "malformed"),
        ({"smpl_poses": np.array([{}], dtype=object)}, "malformed"),
        ({"smpl_poses": np.zeros((4, 72)), "smpl_trans": np.zeros((4, 3)), "smpl_scaling": [0.0]}, "malformed"),
    ],
)
def test_pickles_of_strangers_are_read_without_running_them(tmp_path: Path, content, reason: str):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ItemError) as caught:
        import_file(tmp_path / "a.pkl", FIGURE, Options())
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"poses": np.rad2deg(widened(72))}, "angles look like degrees"),
        ({"poses": np.full((5, 72), np.nan)}, "not finite"),
        ({"poses": np.full((5, 72), 1e30)}, "huge numbers"),
        ({"poses": np.zeros((5, 75))}, "wrong width"),
        ({"poses": np.zeros((5, 70))}, "wrong width"),
        ({"poses": np.zeros((0, 72))}, "empty"),
        ({"poses": np.ones((5, 24, 3, 3))}, "malformed"),
        ({"trans": np.zeros((7, 3))}, "wrong width"),
        ({"trans": np.array(["a", "b"])}, "malformed"),
        ({"fps": np.array(0.0)}, "no frame rate"),
        ({"fps": np.array(1e5)}, "no frame rate"),
        ({"mocap_framerate": np.array(120.0)}, "two rates"),
    ],
)
def test_impossible_parameters_are_refused(tmp_path: Path, changed: dict, reason: str):
    arrays = {"poses": widened(72), "trans": PERSON.trans, "fps": 60.0} | changed
    with pytest.raises(ItemError) as caught:
        import_file(saved(tmp_path / "a.npz", **arrays), FIGURE, Options())
    assert caught.value.reason == reason


def test_a_cut_npz_is_refused(tmp_path: Path):
    path = saved(tmp_path / "a.npz", poses=widened(72), trans=PERSON.trans)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ItemError) as caught:
        import_file(path, FIGURE, Options())
    assert caught.value.reason == "damaged"


@pytest.mark.parametrize(
    ("poses", "trans"),
    [
        (widened(72)[None], PERSON.trans[None]),
        (widened(72), PERSON.trans[:, None]),
        (widened(72).reshape(-1, 24, 3), PERSON.trans),
    ],
)
def test_an_axis_of_length_one_does_not_matter(tmp_path: Path, poses: np.ndarray, trans: np.ndarray):
    take = import_file(saved(tmp_path / "a.npz", pose_aa=poses, transl=trans, fps=60), FIGURE, Options())
    assert np.abs(joint_places(FIGURE, take.poses, take.trans) - PLACES).max() < 1e-9


@pytest.mark.parametrize("unit", [100.0, 1000.0])
def test_a_path_that_is_not_in_metres_is_refused(tmp_path: Path, unit: float):
    path = saved(tmp_path / "a.npz", poses=widened(72), trans=PERSON.trans * unit, fps=60)
    with pytest.raises(ItemError, match="not in metres"):
        import_file(path, FIGURE, Options())


@pytest.mark.parametrize("names", [("Rh", "Th"), ("root_trans_offset",), ("trans_cam",)])
def test_a_path_of_another_meaning_is_not_dropped_in_silence(tmp_path: Path, names: tuple[str, ...]):
    others = {name: PERSON.trans for name in names}
    path = saved(tmp_path / "a.npz", poses=widened(72), fps=60, **others)
    with pytest.raises(ItemError, match="may be the path"):
        import_file(path, FIGURE, Options())


def test_a_scaling_that_changes_within_a_take_is_refused(tmp_path: Path):
    poses, trans = y_up()
    path = tmp_path / "a.pkl"
    content = {"smpl_poses": poses, "smpl_trans": trans, "smpl_scaling": np.linspace(90, 95, len(poses))}
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ItemError, match="90 to 95, not one positive number"):
        import_file(path, FIGURE, Options())
