"""The checks find what they are for: wrong rates by gravity, flips, floors, bones that point elsewhere, statues."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.engine.item import ItemError
from pipeline.importers.figure import NUMBER, joint_places, load_figure
from pipeline.importers.floor import find_floor
from pipeline.importers.take import Imported, Options, import_file
from pipeline.importers.verify import CheckedTake, clean_run, flights
from tests.makers.captured import Person, jumper, write_bvh

FIGURE = load_figure(None)


def imported(folder: Path, person: Person, **options) -> Imported:
    return import_file(write_bvh(folder / "a.bvh", person), FIGURE, Options(**options))


def found(take: Imported, check: str):
    return next(finding for finding in take.checks if finding.check == check)


def test_a_jump_falls_at_nine_point_eight(tmp_path: Path):
    gravity = found(imported(tmp_path, jumper()), "gravity")
    assert gravity.verdict == "ok"
    assert gravity.value == pytest.approx(9.8, abs=0.8)
    assert "2 flights" in gravity.sentence


@pytest.mark.parametrize(("fps", "hint"), [(30.0, "--fps 60"), (120.0, "--fps 60")])
def test_a_rate_that_gravity_contradicts_is_refused_with_the_likely_one(tmp_path: Path, fps: float, hint: str):
    with pytest.raises(ItemError, match="gravity") as caught:
        imported(tmp_path, jumper(), fps=fps)
    assert hint in caught.value.message


def test_one_flight_alone_only_warns(tmp_path: Path):
    person = jumper()
    short = replace(person, poses=person.poses[:130], trans=person.trans[:130])
    assert found(imported(tmp_path, short, fps=120), "gravity").verdict == "warning"


def test_a_person_who_stays_on_the_floor_proves_no_rate(tmp_path: Path):
    person = jumper()
    gravity = found(imported(tmp_path, replace(person, poses=person.poses[:55], trans=person.trans[:55])), "gravity")
    assert (gravity.verdict, gravity.value) == ("ok", None)


def test_swings_are_no_flights():
    person = jumper()
    time = np.arange(240) / 60
    trans = person.trans.copy()
    trans[:, 2] = -FIGURE.sole + 0.8 + 0.4 * np.sin(2 * np.pi * time * 1.3)
    places = joint_places(FIGURE, person.poses, trans)
    take = CheckedTake(
        places=places,
        fps=60,
        figure=FIGURE,
        floor=find_floor(places, 60, FIGURE),
        bone_angles={},
        upright=np.array([0, 0, 1.0]),
    )
    assert flights(take) == []


def test_lying_people_are_imported_where_the_vertical_is_known_and_asked_about_where_not(tmp_path: Path):
    person = jumper()
    poses = person.poses.copy()
    poses[:, :3] = [0, 0, 0]  # on the back
    lying = replace(person, poses=poses)
    with pytest.raises(ItemError, match="--up"):
        imported(tmp_path, lying)
    assert found(imported(tmp_path, lying, up="y"), "up").verdict == "warning"
    known = import_file(write_bvh(tmp_path / "01_01.bvh", lying, "cgspeed"), FIGURE, Options())
    assert found(known, "up").verdict == "warning"


def test_an_axis_that_is_given_must_be_the_figures(tmp_path: Path):
    with pytest.raises(ItemError, match="does not stand along"):
        imported(tmp_path, jumper(), up="z")


def test_a_statue_is_refused(tmp_path: Path):
    person = jumper()
    still = replace(person, poses=np.repeat(person.poses[20:21], 60, 0), trans=np.repeat(person.trans[20:21], 60, 0))
    with pytest.raises(ItemError, match="nothing moves"):
        imported(tmp_path, still)


@pytest.mark.parametrize("height", [-0.12, 0.0, 0.2])
def test_planted_feet_are_put_on_the_floor(tmp_path: Path, height: float):
    person = jumper()
    take = imported(tmp_path, replace(person, trans=person.trans + np.array([0, 0, height])))
    assert np.abs(take.trans - person.trans).max() < 1e-3
    assert found(take, "feet").value == pytest.approx(-height, abs=1e-3)


def test_a_far_floor_is_kept_with_a_warning_unless_asked_otherwise(tmp_path: Path):
    person = jumper()
    raised = replace(person, trans=person.trans + np.array([0, 0, 0.9]))
    kept = imported(tmp_path, raised)
    assert np.abs(kept.trans - raised.trans).max() < 1e-3
    assert found(kept, "feet").verdict == "warning"
    assert "0.90 m" in found(kept, "feet").sentence
    assert np.abs(imported(tmp_path, raised, floor="fit").trans - person.trans).max() < 1e-3
    assert np.abs(imported(tmp_path, raised, floor="keep").trans - raised.trans).max() < 1e-3


@pytest.mark.parametrize("height", [40.0, -40.0])
def test_a_person_who_hardly_travels_but_stands_far_from_the_floor_is_in_another_unit(tmp_path: Path, height: float):
    person = jumper()
    with pytest.raises(ItemError, match="the path is not in metres"):
        imported(tmp_path, replace(person, trans=person.trans + np.array([0, 0, height])))


def test_flips_cut_a_take_to_its_longest_run(tmp_path: Path):
    person = jumper()
    poses = person.poses.copy()
    poses[60:62, 3 * 16 + 1] += np.pi  # an arm on the other side for two frames
    take = imported(tmp_path, replace(person, poses=poses))
    assert (take.first, len(take.poses)) == (62, 178)
    assert any("limbs flip" in note for note in take.notes)


def test_a_take_that_flips_all_the_time_is_refused(tmp_path: Path):
    person = jumper()
    poses = person.poses.copy()
    poses[::20, 3 * 16 + 1] += np.pi
    with pytest.raises(ItemError, match="limbs flip in"):
        imported(tmp_path, replace(person, poses=poses))


def test_runs_without_flips_are_kept_whole():
    places = joint_places(FIGURE, jumper().poses, jumper().trans)
    assert clean_run(places, 60.0) == (slice(0, 240), "")


def test_no_rate_anywhere_asks_for_one(tmp_path: Path):
    path = write_bvh(tmp_path / "a.bvh", jumper(), frame_time="0")
    with pytest.raises(ItemError, match="--fps"):
        import_file(path, FIGURE, Options())
    assert import_file(path, FIGURE, Options(fps=60)).fps == 60
    assert import_file(path, FIGURE, Options(), fps=60.0).fps_from == "label table"


def test_a_rate_that_is_given_wins_over_the_tables_and_the_tables_over_the_files(tmp_path: Path):
    person = jumper()  # who stands: gravity says nothing of the rate
    standing = replace(person, poses=person.poses[:55], trans=person.trans[:55])
    path = write_bvh(tmp_path / "a.bvh", standing)
    taken = [
        import_file(path, FIGURE, Options(fps=given), fps=labelled)
        for given, labelled in ((50.0, 40.0), (None, 40.0), (None, None))
    ]
    assert [(take.fps, take.fps_from) for take in taken] == [(50.0, "--fps"), (40.0, "label table"), (60.0, "file")]


def test_a_person_whose_shoulders_face_backwards_is_refused(tmp_path: Path):
    poses = jumper().poses.copy()
    poses[:, 3 * NUMBER["spine1"] + 1] += np.pi
    np.savez(tmp_path / "a.npz", poses=poses, trans=jumper().trans, fps=60.0)
    with pytest.raises(ItemError, match="left hips and left shoulders are on different sides") as caught:
        import_file(tmp_path / "a.npz", FIGURE, Options(up="z"))
    assert caught.value.reason == "check sides"
