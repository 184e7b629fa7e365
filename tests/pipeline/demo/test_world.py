"""The demo world: whole, readable by the strict readers, with people on the floor, the same bytes every time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from actionpose.files import sha256_file
from pipeline.body.rotations import rotation_matrices
from pipeline.body.smplh import load_body
from pipeline.demo import world as demo
from pipeline.demo.rig import Rig
from pipeline.demo.script import NTSC, SUBJECTS, style_of, write_scenes
from pipeline.sources.amass import motion_files, read_motion
from tests.makers.kinematics import forward

MINUTES = 0.4


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    demo.make_world(folder, minutes=MINUTES)
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): sha256_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def entries(folder: Path) -> dict[str, dict]:
    return {
        sid: entry
        for split in ("train", "val")
        for sid, entry in json.loads((folder / "babel" / f"{split}.json").read_text()).items()
    }


def test_the_world_has_all_its_parts(world: Path) -> None:
    for gender in ("female", "male", "neutral"):
        assert (world / "smplh" / gender / "model.npz").is_file()
    assert (world / "J_regressor_h36m.npy").is_file()
    assert {p.name for p in (world / "amass").iterdir()} == {s.folder for s in SUBJECTS}
    assert list((world / "amass").rglob("LICENSE.txt"))
    assert list((world / "amass").rglob("shape.npz"))


def test_every_label_file_finds_its_motion_and_agrees_on_its_length(world: Path) -> None:
    found = {p.relative_to(world / "amass").as_posix() for p in motion_files(world / "amass")}
    motions = {name for name in found if name.endswith("_poses.npz")}
    named = {entry["feat_p"].split("/", 1)[1]: entry["dur"] for entry in entries(world).values()}
    assert set(named) == motions
    for name, duration in named.items():
        motion = read_motion(world / "amass" / name)
        assert abs(len(motion.poses) / motion.fps - duration) < 0.006


def test_files_are_those_of_legacy_amass(world: Path) -> None:
    genders, rates, dmpls = set(), set(), set()
    for path in (world / "amass").rglob("*_poses.npz"):
        with np.load(path, allow_pickle=False) as file:
            frames = len(file["poses"])
            assert file["poses"].shape == (frames, 156)
            assert file["trans"].shape == (frames, 3)
            assert file["betas"].shape == (16,)
            assert {file[key].dtype for key in ("poses", "trans", "betas", "mocap_framerate")} == {np.dtype("f8")}
            genders.add((file["gender"].dtype.kind, file["gender"].shape))
            rates.add(float(file["mocap_framerate"]))
            dmpls.add("dmpls" in file)
    assert genders == {("U", ()), ("S", ()), ("U", (1,))}
    assert rates <= {60.0, 100.0, 120.0, NTSC}
    assert dmpls == {True, False}


def test_people_of_every_shape_stand_on_their_soles(world: Path) -> None:
    by_name = {f"{s.folder}/{s.name}": s for s in write_scenes(MINUTES, 0)}
    for name, scene in by_name.items():
        subject = SUBJECTS[scene.subject]
        rig = Rig.of(load_body(world / "smplh", subject.gender), demo.betas_of(scene.subject, 0))
        with np.load(world / "amass" / f"{name}_poses.npz", allow_pickle=False) as file:
            vectors = file["poses"].reshape(-1, 52, 3)[:, :22]
            pelvis = file["trans"] + rig.joints[0]
        places, _ = forward(rig, rotation_matrices(vectors.transpose(1, 2, 0)).transpose(3, 0, 1, 2), pelvis)
        lowest = places[..., 2].min(axis=1)
        above_sole = rig.joints[:, 1].min() - rig.floor
        assert lowest.min() > above_sole - 0.02
        assert abs(np.median(lowest) - above_sole) < 0.02


def test_the_same_seed_gives_the_same_bytes_and_another_another_world(world: Path, tmp_path: Path) -> None:
    demo.make_world(tmp_path / "again", minutes=MINUTES)
    assert digests(tmp_path / "again") == digests(world)
    scenes = write_scenes(MINUTES, 1)
    assert [s.name for s in scenes] != [s.name for s in write_scenes(MINUTES, 0)]
    assert not np.array_equal(demo.betas_of(0, 0), demo.betas_of(0, 1))
    assert style_of(0, 0) != style_of(0, 1)
