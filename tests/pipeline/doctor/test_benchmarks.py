"""`ap-data doctor` over files of Human3.6M and MPI-INF-3DHP, and over soft-tissue directions."""

from __future__ import annotations

import json
import pickle
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from actionpose.shards import ShardSet
from benchmarks.bodies import body_members, synthetic_body, synthetic_dmpls
from cli.data import main
from pipeline.demo.h36m import write_demo_h36m
from pipeline.demo.mpi3dhp import write_demo_3dhp
from tests.makers.worlds import World

WEB_PAGE = b"<!DOCTYPE html><html><title>Please log in</title></html>"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["doctor", *(str(a) for a in arguments)])


def report(*arguments: object) -> tuple[dict[str, dict[str, Any]], dict[str, Any], int]:
    """Items by name, the whole report, and the exit status."""
    result = run(*arguments, "--format", "json")
    data = json.loads(result.stdout)
    return {row["item"]: row for row in data["items"]}, data, result.exit_code


@pytest.fixture(scope="module")
def tdhp(filmed: ShardSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("3dhp")
    write_demo_3dhp(folder, filmed)
    return folder


@pytest.fixture(scope="module")
def h36m(filmed: ShardSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("h36m")
    write_demo_h36m(folder, filmed)
    return folder


# --- both ---------------------------------------------------------------------------------------


def test_benchmarks_alone_are_a_whole_thing_with_the_commands_to_build_them(tdhp: Path, h36m: Path):
    pickle = h36m / "h36m_sh_conf_cam_source_final.pkl"
    items, data, status = report("--mpi-inf-3dhp", tdhp, "--h36m", pickle)
    assert status == 0
    assert data["ready"]
    assert data["not_given"] == []
    assert set(items) == {"3dhp.train", "3dhp.test", "h36m.motionbert-pickle"}
    printed = run("--mpi-inf-3dhp", tdhp, "--h36m", pickle)
    assert f"ap-data build-h36m --h36m {pickle} --out" in printed.stderr
    assert f"ap-data build-3dhp --mpi-inf-3dhp {tdhp} --out" in printed.stderr


def test_a_folder_of_several_builds_gets_a_command_for_each_that_runs(h36m: Path):
    printed = run("--h36m", h36m).stderr
    commands = [part.strip() for part in printed[printed.index("ap-data") :].split(" ; ")]
    assert len(commands) == 3  # the pickle, and the positions with either of two sets of detections
    assert len({command.split("--out")[1] for command in commands}) == 3
    for command in commands:
        done = CliRunner().invoke(main, [*shlex.split(command)[1:], "--dry-run"])
        assert done.exit_code == 0, done.output


def test_paths_may_stand_in_a_settings_file(tdhp: Path, tmp_path: Path):
    (tmp_path / "my.toml").write_text(f'[inputs]\nmpi_inf_3dhp = "{tdhp}"\n')
    items, _, status = report("-c", tmp_path / "my.toml")
    assert set(items) == {"3dhp.train", "3dhp.test"}
    assert status == 0


def test_every_finding_that_is_not_ok_says_what_to_do(tdhp: Path, h36m: Path, tmp_path: Path):
    (tmp_path / "data_test_3dhp.npz").write_bytes(WEB_PAGE)
    for place in (tdhp, tmp_path, tmp_path / "nowhere"):
        items, _, _ = report("--mpi-inf-3dhp", place)
        assert all(row["action"] for row in items.values() if row["verdict"] != "ok")
    for place in (h36m, tmp_path, tmp_path / "nowhere"):
        items, _, _ = report("--h36m", place)
        assert all(row["action"] for row in items.values() if row["verdict"] != "ok")


# --- MPI-INF-3DHP -------------------------------------------------------------------------------


def test_3dhp_files_are_recognised_by_content_with_protocol_counts_and_checksum(tdhp: Path, tmp_path: Path):
    shutil.copy(tdhp / "data_train_3dhp.npz", tmp_path / "one.npz")
    shutil.copy(tdhp / "data_test_3dhp.npz", tmp_path / "other.npz")
    items, _, _ = report("--mpi-inf-3dhp", tmp_path)
    assert items["3dhp.train"]["details"]["path"].endswith("one.npz")
    assert items["3dhp.test"]["details"]["path"].endswith("other.npz")
    assert "permits 3dhp" in items["3dhp.test"]["message"]
    assert items["3dhp.train"]["details"]["counts"]["videos"] == 18
    assert items["3dhp.train"]["details"]["sha256"].startswith("sha256:")
    # Small look-alikes differ from the published files, which is worth a warning and stops nothing.
    assert items["3dhp.test"]["verdict"] == "warning"
    assert any("instead of 603" in problem for problem in items["3dhp.test"]["details"]["problems"])


def test_annot3_is_named_with_what_to_get_for_the_published_protocol(filmed: ShardSet, tmp_path: Path):
    write_demo_3dhp(tmp_path, filmed, annotation="metric")
    items, _, status = report("--mpi-inf-3dhp", tmp_path)
    assert status == 0
    assert "annot3: the 3D projects onto the 2D as it is" in items["3dhp.test"]["message"]
    assert "univ_annot3" in items["3dhp.test"]["action"]


def test_a_broken_download_stops_where_a_split_is_missing_and_warns_where_it_is_not(tdhp: Path, tmp_path: Path):
    shutil.copytree(tdhp, tmp_path / "f")
    (tmp_path / "f" / "old.npz").write_bytes(WEB_PAGE)
    items, _, status = report("--mpi-inf-3dhp", tmp_path / "f")
    assert (items["3dhp.files"]["verdict"], status) == ("warning", 0)
    (tmp_path / "f" / "data_test_3dhp.npz").unlink()
    items, _, status = report("--mpi-inf-3dhp", tmp_path / "f")
    assert (items["3dhp.files"]["verdict"], status) == ("wrong", 1)
    assert "old.npz is a web page" in items["3dhp.files"]["message"]
    assert "nothing to evaluate on" in items["3dhp.test"]["message"]


def test_the_official_training_tree_is_one_finding_not_sixteen(tmp_path: Path):
    for subject in range(1, 9):
        for take in (1, 2):
            path = tmp_path / f"S{subject}" / f"Seq{take}" / "annot.mat"
            path.parent.mkdir(parents=True)
            path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(600))
    items, data, status = report("--mpi-inf-3dhp", tmp_path)
    assert status == 1
    assert len(data["items"]) == 1
    assert "16 files" in items["3dhp.files"]["message"]
    assert "P-STMO" in items["3dhp.files"]["action"]


def test_two_copies_of_a_split_are_wrong(tdhp: Path, tmp_path: Path):
    shutil.copytree(tdhp, tmp_path / "f")
    shutil.copy(tdhp / "data_test_3dhp.npz", tmp_path / "f" / "copy.npz")
    items, _, status = report("--mpi-inf-3dhp", tmp_path / "f")
    assert status == 1
    assert "both hold 3dhp/TS1" in items["3dhp"]["message"]


# --- Human3.6M ----------------------------------------------------------------------------------


def test_every_human36m_build_of_a_folder_is_named_with_its_protocol(h36m: Path):
    _, data, status = report("--h36m", h36m)
    assert status == 0
    protocols = {name for row in data["items"] for name in row["details"].get("protocols", ())}
    assert {"h36m-a", "h36m-b"} <= protocols
    paths = {Path(row["details"]["path"]).name for row in data["items"]}
    assert {"data_2d_h36m_gt.npz", "data_2d_h36m_cpn_ft_h36m_dbb.npz", "data_3d_h36m.npz"} <= paths
    assert len(data["items"]) == len(paths), "no file is told twice"


def test_a_broken_human36m_file_is_wrong_and_named(h36m: Path, tmp_path: Path):
    whole = (h36m / "data_3d_h36m.npz").read_bytes()
    (tmp_path / "data_3d_h36m.npz").write_bytes(whole[: len(whole) // 2])
    items, _, status = report("--h36m", tmp_path)
    assert status == 1
    assert any("data_3d_h36m.npz" in row["message"] for row in items.values() if row["verdict"] == "wrong")
    (tmp_path / "data_3d_h36m.npz").write_bytes(WEB_PAGE)
    items, _, status = report("--h36m", tmp_path)
    assert status == 1
    assert "web page" in items["h36m.files"]["message"]


def test_3dhp_given_as_human36m_is_sent_to_its_own_command(tdhp: Path):
    items, _, status = report("--h36m", tdhp / "data_test_3dhp.npz")
    assert status == 1
    assert "build-3dhp" in items["h36m"]["action"]


# --- soft tissue --------------------------------------------------------------------------------


def soft_tissue(folder: Path, genders: tuple[str, ...] = ("female", "male", "neutral"), vertices: int = 320) -> Path:
    for gender in genders:
        (folder / "dmpls" / gender).mkdir(parents=True)
        np.savez(folder / "dmpls" / gender / "model.npz", eigvec=synthetic_dmpls(vertices, seed=3))
    return folder


def test_soft_tissue_is_looked_at_when_it_is_given_and_only_then(world: World, tmp_path: Path):
    items, _, status = report(*world.options, "--dmpls", soft_tissue(tmp_path))
    assert status == 0
    assert {name for name in items if name.startswith("dmpls")} == {"dmpls.female", "dmpls.male", "dmpls.neutral"}
    assert "8 soft-tissue directions, 320 vertices" in items["dmpls.female"]["message"]
    items, _, _ = report(*world.options)
    assert not [name for name in items if name.startswith("dmpls")]


def test_soft_tissue_for_another_body_or_the_body_itself_is_wrong(world: World, tmp_path: Path):
    soft_tissue(tmp_path / "a", ("female",), vertices=300)
    items, _, status = report(*world.options, "--dmpls", tmp_path / "a")
    assert status == 1
    assert "is for 300 vertices, the body has 320" in items["dmpls.female"]["message"]
    path = tmp_path / "b" / "dmpls" / "female" / "model.npz"
    path.parent.mkdir(parents=True)
    np.savez(path, **body_members(synthetic_body(320)))
    items, _, status = report(*world.options, "--dmpls", tmp_path / "b")
    assert "goes to --body" in items["dmpls.female"]["message"]


def test_soft_tissue_switched_on_without_files_is_missing(world: World):
    items, _, status = report(*world.options, "-o", "keypoints.dmpls=true")
    assert status == 1
    assert items["dmpls"]["verdict"] == "missing"
    assert "keypoints.dmpls=false" in items["dmpls"]["action"]


# --- 2D that is not that of the 3D ----------------------------------------------------------------


def _pickle(h36m: Path, folder: Path, split: str, change: Callable[[Any], Any]) -> list[str]:
    path = h36m / "h36m_sh_conf_cam_source_final.pkl"
    with open(path, "rb") as handle:
        data = pickle.load(handle)
    data[split]["joint_2d"] = change(np.asarray(data[split]["joint_2d"]))
    (folder / path.name).write_bytes(pickle.dumps(data))
    return ["--h36m", str(folder / path.name)]


def _world(h36m: Path, folder: Path, change: Callable[[Any], Any]) -> list[str]:
    name = "data_2d_h36m_cpn_ft_h36m_dbb.npz"
    for other in ("data_3d_h36m.npz", "metadata.xml"):
        shutil.copy(h36m / other, folder)
    with np.load(h36m / name, allow_pickle=True) as archive:
        members = {key: archive[key].item() for key in archive.files}
    for takes in members["positions_2d"].values():
        for take, views in takes.items():
            takes[take] = [change(np.asarray(view)) for view in views]
    np.savez(folder / name, **{key: np.array(value, dtype=object) for key, value in members.items()})
    return ["--h36m", str(folder)]


def _3dhp(tdhp: Path, folder: Path, change: Callable[[Any], Any]) -> list[str]:
    with np.load(tdhp / "data_test_3dhp.npz", allow_pickle=True) as archive:
        data = archive["data"].item()
    changed = {name: {**video, "data_2d": change(np.asarray(video["data_2d"]))} for name, video in data.items()}
    np.savez(folder / "data_test_3dhp.npz", data=np.array(changed, dtype=object))
    return ["--mpi-inf-3dhp", str(folder)]


LEGS = [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
ARMS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13]
ARMS_3DHP = [0, 1, 5, 6, 7, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16]
MISFITS: dict[str, tuple[Callable[[Path, Path, Path], list[str]], str]] = {
    "h36m-b, legs of test": (lambda h, t, f: _pickle(h, f, "test", lambda x: x[:, LEGS]), "of test"),
    "h36m-b, a thousandth": (lambda h, t, f: _pickle(h, f, "test", lambda x: x / 1000), "times the size"),
    "h36m-a, arms": (lambda h, t, f: _world(h, f, lambda x: x[:, ARMS]), "arm exchanged"),
    "3dhp, arms": (lambda h, t, f: _3dhp(t, f, lambda x: x[:, ARMS_3DHP]), "arm exchanged"),
    "3dhp, normalised": (lambda h, t, f: _3dhp(t, f, lambda x: x / 1024 - 1), "times the size"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_2d_that_a_build_refuses_is_refused_by_its_dry_run_and_wrong_to_the_doctor(
    name: str, h36m: Path, tdhp: Path, tmp_path: Path
):
    change, words = MISFITS[name]
    given = change(h36m, tdhp, tmp_path)
    looked = run(*given)
    assert looked.exit_code == 1
    assert words in " ".join(looked.stdout.split())
    build = "build-3dhp" if "3dhp" in name else "build-h36m"
    for dry in ((), ("--dry-run",)):
        built = CliRunner().invoke(main, [build, *given, "--out", str(tmp_path / "out"), *dry])
        assert built.exit_code == 1, dry
        assert words in built.stderr
        assert not (tmp_path / "out").exists()
