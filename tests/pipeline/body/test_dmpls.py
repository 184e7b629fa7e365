"""Soft tissue: off unless asked for, right when it is, and every file given in its place is named."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from actionpose.errors import UserError
from benchmarks.bodies import plain_vertices, synthetic_dmpls
from cli.data import main
from pipeline.body.dmpls import find_dmpls, load_dmpls
from pipeline.body.regressor import load_regressor
from pipeline.body.smplh import load_body
from pipeline.config import KeypointConfig
from pipeline.engine.item import ItemError
from pipeline.sources.amass import read_motion
from pipeline.stages.build import Build
from pipeline.stages.keypoints import keypoints_file, motion_keypoints
from tests.makers.worlds import World, write_motion

DIRS = synthetic_dmpls(320, seed=3)


@pytest.fixture(scope="module")
def dmpls(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("soft")
    for gender in ("female", "male", "neutral"):
        (folder / "dmpls" / gender).mkdir(parents=True)
        np.savez(folder / "dmpls" / gender / "model.npz", eigvec=DIRS, other=np.array("ignored"))
    return folder


def with_soft_tissue(world: World, folder: Path | str, **keypoints):
    config = world.config
    keypoints = KeypointConfig(dmpls=True, **keypoints)
    return replace(config, inputs=replace(config.inputs, dmpls=str(folder)), keypoints=keypoints)


def jelly(frames: int, width: int = 8) -> np.ndarray:
    return np.random.default_rng(4).normal(size=(frames, width)).cumsum(axis=0)


def plain(world: World, path: Path, at: list[int]) -> np.ndarray:
    """Keypoints at these stored frames, in float64 from the formula."""
    with np.load(path) as file:
        model = load_body(world.config.inputs.body, "female")
        matrix = load_regressor(world.config.inputs.regressor, model).matrix
        vertices = plain_vertices(model, file["poses"][at], file["betas"], file["trans"][at], file["dmpls"][at], DIRS)
    return np.einsum("jv,tvc->tjc", matrix, vertices)


@pytest.mark.parametrize("method", ["fast", "mesh"])
def test_both_methods_equal_the_plainly_written_body(world, dmpls, tmp_path, method):
    path = tmp_path / "a_poses.npz"
    frames = write_motion(path, seconds=0.5, dmpls=jelly(60))
    found = keypoints_file(path, tmp_path / "out.npz", with_soft_tissue(world, dmpls, method=method))
    still = keypoints_file(path, tmp_path / "still.npz", replace(world.config, keypoints=KeypointConfig(method=method)))
    np.testing.assert_allclose(found.keypoints, plain(world, path, list(range(0, frames, 4))), atol=1e-5)
    assert np.abs(found.keypoints - still.keypoints).max() > 1e-3
    with np.load(tmp_path / "out.npz") as written, np.load(tmp_path / "still.npz") as other:
        assert (bool(written["soft_tissue"]), bool(other["soft_tissue"])) == (True, False)


def test_coefficients_are_interpolated_in_time_where_rates_do_not_divide(world, dmpls, tmp_path):
    path = tmp_path / "a_poses.npz"
    frames = write_motion(path, seconds=0.4, fps=100.0, dmpls=jelly(40))
    poses, trans = np.zeros((frames, 156)), np.zeros((frames, 3))  # the body itself rests
    write_motion(path, seconds=0.4, fps=100.0, dmpls=jelly(40), poses=poses, trans=trans)
    found = keypoints_file(path, tmp_path / "out.npz", with_soft_tissue(world, dmpls)).keypoints
    k = 4  # 13.333 stored frames in
    before, behind = plain(world, path, [13, 14])
    np.testing.assert_allclose(found[k], before + (behind - before) / 3, atol=1e-5)


def test_a_motion_without_coefficients_is_still_and_the_row_says_so(world, dmpls, tmp_path):
    shutil.copytree(world.root / "amass", tmp_path / "amass")
    path = tmp_path / "amass/KIT/3/walk_01_poses.npz"
    write_motion(path, fps=100.0, seed=0, dmpls=None)
    config = with_soft_tissue(world, dmpls)
    config = replace(config, inputs=replace(config.inputs, amass=str(tmp_path / "amass")))
    build = Build(config, tmp_path / "stages", tmp_path / "shards")
    result = build.run("keypoints")["keypoints"]
    rows = {row["motion_id"]: row for row in map(json.loads, result.table("keypoints").read_text().splitlines())}
    assert not rows.pop("KIT/3/walk_01")["soft_tissue"]
    assert len(rows) == 5
    assert all(row["soft_tissue"] for row in rows.values())
    off = replace(config, keypoints=KeypointConfig())
    without = Build(off, tmp_path / "stages", tmp_path / "shards").run("keypoints")["keypoints"]
    files = [r.folder / "files/KIT/3/walk_01.npy" for r in (result, without)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_another_dmpl_file_makes_the_stage_stale_and_says_so(world, dmpls, tmp_path):
    folder = tmp_path / "soft"
    shutil.copytree(dmpls, folder)
    config = with_soft_tissue(world, folder)
    Build(config, tmp_path / "stages", tmp_path / "shards").run("keypoints")
    np.savez(folder / "dmpls/male/model.npz", eigvec=2 * DIRS)
    status = {row.stage: row for row in Build(config, tmp_path / "stages", tmp_path / "shards").status()}
    assert status["keypoints"].state == "stale"
    assert "dmpls.male" in status["keypoints"].why[0]


def test_by_default_nothing_of_it_is_looked_at(world, tmp_path):
    path = tmp_path / "a_poses.npz"
    write_motion(path, seconds=0.1, dmpls=np.full((12, 8), np.nan))
    assert keypoints_file(path, tmp_path / "out.npz", world.config).soft_tissue is False
    assert read_motion(path).dmpls is None


@pytest.mark.parametrize(
    ("stored", "reason"),
    [(jelly(12, 7), "wrong width"), (jelly(11), "wrong width"), (np.full((12, 8), np.inf), "not finite")],
)
def test_coefficients_that_cannot_be_are_refused(tmp_path, stored, reason):
    path = tmp_path / "a_poses.npz"
    write_motion(path, seconds=0.1, dmpls=stored)
    with pytest.raises(ItemError, match="dmpls") as error:
        read_motion(path, dmpls=True)
    assert error.value.reason == reason


def test_thinned_reading_gives_the_same_keypoints_as_reading_all(world, dmpls, tmp_path):
    path = tmp_path / "a_poses.npz"
    write_motion(path, seconds=0.6, dmpls=jelly(72))
    config = with_soft_tissue(world, dmpls)
    inputs = {name: getattr(config.inputs, name) for name in ("body", "regressor", "dmpls")}
    whole, thin = (
        motion_keypoints(read_motion(path, every=every, dmpls=True), 120.0, inputs, config.keypoints)
        for every in (1, 4)
    )
    assert whole.keypoints.tobytes() == thin.keypoints.tobytes()
    assert whole.times.tolist() == thin.times.tolist()


# --- files given in its place -----------------------------------------------------------------

WRONG = {
    "not DMPL": ({"poses": np.zeros((3, 156)), "trans": np.zeros((3, 3))}, "is a motion"),
    "nothing of it": ({"a": np.zeros(3)}, "lacks eigvec"),
    "too few": ({"eigvec": np.zeros((320, 3, 5))}, "5 directions"),
    "flat": ({"eigvec": np.zeros((960, 8))}, r"expected float \(V, 3, 8\)"),
    "another body": ({"eigvec": np.zeros((6890, 3, 8))}, "6890 vertices, the body has 320"),
    "broken": ({"eigvec": np.full((320, 3, 8), np.nan)}, "not finite"),
    "objects": ({"eigvec": np.array([None])}, "expected float"),
}


@pytest.mark.parametrize("what", WRONG)
def test_every_wrong_file_is_named_with_the_one_to_get(tmp_path, what):
    members, says = WRONG[what]
    np.savez(tmp_path / "model.npz", **members)
    with pytest.raises(UserError, match=says) as error:
        load_dmpls(tmp_path / "model.npz", "female", 320)
    assert "smpl.is.tue.mpg.de" in error.value.hint


def test_the_body_itself_given_as_dmpls_is_recognised(world):
    with pytest.raises(UserError, match=r"SMPL\+H model itself.*--body") as error:
        load_dmpls(Path(world.config.inputs.body) / "smplh", "female", 320)
    assert "DMPLs compatible with SMPL" in error.value.hint


def test_web_pages_pickles_and_halves_are_named(tmp_path, dmpls):
    path = tmp_path / "model.npz"
    whole = find_dmpls(dmpls, "female").read_bytes()
    for content, says in ((b"<html>log in", "web page"), (b"\x80\x04.", "pickle"), (whole[:999], "cut short")):
        path.write_bytes(content)
        with pytest.raises(UserError, match=says):
            load_dmpls(path, "female", 320)


def test_more_than_eight_directions_are_cut_to_the_eight_of_amass(tmp_path):
    np.savez(tmp_path / "model.npz", eigvec=np.concatenate([DIRS, DIRS], axis=-1))
    np.testing.assert_array_equal(load_dmpls(tmp_path / "model.npz", "female", 320).dirs, DIRS)


def test_asked_for_without_files_says_what_to_get(world, tmp_path):
    with pytest.raises(UserError, match="no DMPL files are given") as error:
        Build(with_soft_tissue(world, ""), tmp_path / "stages", tmp_path / "shards").run("keypoints")
    assert "--dmpls" in error.value.hint
    with pytest.raises(UserError, match="no female DMPL file"):
        find_dmpls(tmp_path, "female")


def test_the_option_alone_turns_it_on(world, dmpls, tmp_path):
    path = tmp_path / "a_poses.npz"
    write_motion(path, seconds=0.2, dmpls=jelly(24))
    inputs = ["--body", world.config.inputs.body, "--regressor", world.config.inputs.regressor]
    command = ["keypoints", str(path), *inputs, "--dmpls", str(dmpls), "-o", str(tmp_path / "out.npz")]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    with np.load(tmp_path / "out.npz") as written:
        assert bool(written["soft_tissue"])
