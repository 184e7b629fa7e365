"""One person written as many makers' figures is imported as the same motion; unusable figures are refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actionpose.errors import UserError
from pipeline.body.rotations import rotations_about
from pipeline.engine.item import ItemError
from pipeline.importers.bvh import read_bvh
from pipeline.importers.figure import NUMBER, joint_places, load_figure
from pipeline.importers.skeletons import BODY, read_table, tables
from pipeline.importers.take import Options, import_file
from tests.makers.captured import Build, Person, build_of, bvh_text, jumper, write_asf_amc, write_bvh

FIGURE = load_figure(None)
HAS_ALL = ("mixamo", "lafan1", "xsens", "generic")


def distances(take, person: Person) -> np.ndarray:
    """Millimetres (B,) between joints, mean over the frames that were kept, heights and all."""
    places = joint_places(FIGURE, take.poses, take.trans)
    wanted = joint_places(FIGURE, person.poses, person.trans)[take.first : take.first + len(places)]
    return np.linalg.norm(places - wanted, axis=2).mean(axis=0) * 1000


@pytest.mark.parametrize("order", ["ZXY", "ZYX", "YXZ", "XYZ"])
def test_motion_is_recovered_for_every_order_of_angles(tmp_path: Path, order: str):
    person = jumper()
    take = import_file(write_bvh(tmp_path / "a.bvh", person, order=order), FIGURE, Options())
    assert distances(take, person).max() < 0.5
    assert take.fps == 60


def test_the_rate_of_a_database_is_doubted_where_the_file_has_another_name(tmp_path: Path):
    person = jumper(1.0, fps=120.0)
    for subject, doubted in (("05", []), ("walker", ["rate"])):
        take = import_file(write_asf_amc(tmp_path / subject, person, subject=subject), FIGURE, Options())
        assert (take.fps, take.dataset) == (120, "Imported" if doubted else "OpenCMU")
        assert [check.check for check in take.checks if check.verdict == "warning"] == doubted


@pytest.mark.parametrize("name", HAS_ALL)
def test_motion_is_recovered_from_each_makers_figure(tmp_path: Path, name: str):
    person = jumper()
    path = write_bvh(tmp_path / "a.bvh", person, name, unit={"xsens": 100.0}.get(name, 1.0))
    take = import_file(path, FIGURE, Options(table=tables()[name]))
    assert take.skeleton == name
    assert distances(take, person).max() < 0.5
    assert max(f.value or 0 for f in take.checks if f.check == "bones") < 0.1


def test_motion_is_recovered_from_the_cgspeed_figure_up_to_joints_it_lacks(tmp_path: Path):
    # Its spine1, collars and toes do not turn by themselves, so neither may the person's.
    person = jumper()
    vectors = person.poses.reshape(-1, 22, 3).copy()
    vectors[:, [NUMBER[n] for n in ("spine1", "left_collar", "right_collar", "left_foot")]] = 0
    person = replace(person, poses=vectors.reshape(len(vectors), -1))
    take = import_file(write_bvh(tmp_path / "05_01.bvh", person, "cgspeed"), FIGURE, Options())
    assert (take.skeleton, take.dataset, take.subject) == ("cgspeed", "OpenCMU", "05")
    assert set(take.filled) == {"spine1", "left_collar", "right_collar", "left_foot", "right_foot"}
    assert distances(take, person).max() < 0.5


def test_motion_is_recovered_from_asf_and_amc_with_their_own_axes(tmp_path: Path):
    person = jumper(fps=120.0)
    vectors = person.poses.reshape(-1, 22, 3).copy()
    vectors[:, NUMBER["neck"]] = 0  # half-way between two joints of the ASF, which the maker leaves out
    person = replace(person, poses=vectors.reshape(len(vectors), -1))
    take = import_file(write_asf_amc(tmp_path, person), FIGURE, Options())
    assert (take.kind, take.skeleton, take.fps, take.fps_from) == ("ASF/AMC", "cmu_asf", 120.0, "table cmu_asf")
    assert distances(take, person).max() < 0.5


PUBLISHED = {
    # name of the table: order of the angles, frame time, and whether its names need --skeleton
    "lafan1": ("ZYX", "0.033333", False),
    "xsens": ("YXZ", "0.016667", False),
    "100style": ("YXZ", "0.016667", True),
    "cmu_motionbuilder": ("ZYX", "0.008333", False),
    "mixamo": ("ZYX", "0.033333", False),
    "bandai": ("ZXY", "0.0333333", False),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_motion_is_recovered_in_the_conventions_of_published_files(tmp_path: Path, name: str):
    order, frame_time, named = PUBLISHED[name]
    person = jumper(fps=1 / float(frame_time))
    vectors = person.poses.reshape(-1, 22, 3).copy()
    if name == "cmu_motionbuilder":
        vectors[:, NUMBER["neck"]] = 0  # half-way between two joints, which the maker leaves out
    if name == "bandai":
        vectors[:, [NUMBER["spine1"], NUMBER["spine2"]]] = 0  # one joint fewer in the spine
    person = replace(person, poses=vectors.reshape(len(vectors), -1))
    path = write_bvh(tmp_path / "05_01.bvh", person, name, order=order, frame_time=frame_time)
    take = import_file(path, FIGURE, Options(table=tables()[name] if named else None))
    assert take.skeleton == name
    assert distances(take, person).max() < 0.5


SIDED = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
_UNREAL = "thigh calf foot ball clavicle upperarm lowerarm hand"
EXPORTERS = {
    # Names of the spine from spine1 up, of neck and head, and of the left side's joints in the order of SIDED.
    "rokoko": ("Spine1 Spine2 Spine4 Neck Head", "Thigh Shin Foot Toe Shoulder Arm ForeArm Hand", "Left{}"),
    "unreal": ("Spine_01 Spine_02 Spine_05 Neck_01 Head", _UNREAL, "{}_l"),
    "soma": ("Spine1 Spine2 Chest Neck1 Head", "Leg Shin Foot ToeBase Shoulder Arm ForeArm Hand", "Left{}"),
    "biped": ("Spine Spine1 Spine2 Neck Head", "Thigh Calf Foot Toe0 Clavicle UpperArm Forearm Hand", "L {}"),
    # SMPL's ankle is followed by a foot, its wrist by a hand; in the second, `Torso` is below `Spine`.
    "smpl": ("Spine1 Spine2 Spine3 Neck Head", "Hip Knee Ankle Foot Collar Shoulder Elbow Wrist", "L_{}"),
    "smpl in words": ("spine1 spine2 spine3 neck head", "hip knee ankle foot collar shoulder elbow wrist", "Left_{}"),
    "smpl in MuJoCo": ("Torso Spine Chest Neck Head", "Hip Knee Ankle Toe Thorax Shoulder Elbow Wrist", "L_{}"),
    "beat": ("Spine Spine1 Spine3 Neck Head", "UpLeg Leg Foot ToeBase Shoulder Arm Arm1 Hand", "L{}"),
    "motive": ("LowerBack Ab Chest Neck Head", "Thigh Shin Foot Toe Shoulder UArm FArm Hand", "L{}"),
}
HANDS = ("L_Hand", "R_Hand")


@pytest.mark.parametrize("name", EXPORTERS)
def test_names_of_common_exporters_need_no_joint_map(tmp_path: Path, name: str):
    middle, left, form = EXPORTERS[name]
    names = dict(zip(("pelvis", "spine1", "spine2", "spine3", "neck", "head"), ["Hips", *middle.split()], strict=True))
    right = form.replace("Left", "Right").replace("_l", "_r").replace("L", "R")
    for side, spelled in (("left", form), ("right", right)):
        sided = (spelled.format(word) for word in left.split())
        names |= dict(zip((f"{side}_{joint}" for joint in SIDED), sided, strict=True))
    person = jumper(1.0)
    others = HANDS if name.startswith("smpl") else ()
    (tmp_path / "a.bvh").write_text(bvh_text(person, Build(names=names, others=others)))
    take = import_file(tmp_path / "a.bvh", FIGURE, Options())
    assert (take.skeleton, take.unmapped, take.filled) == ("generic", others, ())
    assert distances(take, person).max() < 0.5


@pytest.mark.parametrize("prefix", ["mixamorig1:", "mixamorig_", "Armature|mixamorig:", "Actor01_"])
def test_namespaces_of_any_exporter_do_not_matter(tmp_path: Path, prefix: str):
    person = jumper(1.0)
    take = import_file(write_bvh(tmp_path / "a.bvh", person, prefix=prefix), FIGURE, Options())
    assert take.skeleton == "mixamo"
    assert distances(take, person).max() < 0.5


def test_a_root_without_the_prefix_of_the_others_does_not_matter(tmp_path: Path):
    person = jumper(1.0)
    text = bvh_text(person, build_of(tables()["mixamo"], prefix="Actor01_"))
    scene = "ROOT Scene\n{\nOFFSET 0 0 0\nCHANNELS 0\nJOINT"
    (tmp_path / "a.bvh").write_text(text.replace("ROOT", scene, 1).replace("MOTION", "}\nMOTION"))
    take = import_file(tmp_path / "a.bvh", FIGURE, Options())
    assert (take.skeleton, take.unmapped) == ("mixamo", ("Scene",))
    assert distances(take, person).max() < 0.5


def test_what_was_measured_on_one_figure_is_not_used_for_others_with_its_names(tmp_path: Path):
    # Second Life's figure has the names of the CMU database's Daz edition and stands in a plain T-pose.
    person = jumper(1.0)
    names = {body: names[0] for body, names in tables()["cgspeed"].joints.items()}
    (tmp_path / "a.bvh").write_text(bvh_text(person, Build(names=names)))
    take = import_file(tmp_path / "a.bvh", FIGURE, Options())
    assert (take.skeleton, take.dataset) == ("generic", "Imported")
    assert max(f.value or 0 for f in take.checks if f.check == "bones") < 0.1


def test_end_sites_may_be_missing(tmp_path: Path):
    person = jumper(1.0)
    text = bvh_text(person, build_of(tables()["mixamo"]))
    (tmp_path / "a.bvh").write_text(re.sub(r"\s*End Site\s*\{[^}]*\}", "", text))
    assert distances(import_file(tmp_path / "a.bvh", FIGURE, Options()), person).max() < 0.5


def test_figures_with_the_same_names_are_distinguished_by_their_rest_pose(tmp_path: Path):
    person = jumper(seconds=1.0)
    for name in ("mixamo", "lafan1", "cgspeed", "xsens"):
        assert import_file(write_bvh(tmp_path / f"{name}.bvh", person, name), FIGURE, Options()).skeleton == name


@pytest.mark.parametrize("prefix", ["mixamorig:", "Character1_", "Bip01 "])
def test_prefixes_of_names_do_not_matter(tmp_path: Path, prefix: str):
    take = import_file(write_bvh(tmp_path / "a.bvh", jumper(1.0), prefix=prefix), FIGURE, Options())
    assert take.skeleton == "mixamo"


def resting(degrees_by_limb: dict[str, tuple[int, float]]) -> Build:
    """Mixamo's figure with limbs that rest turned by an angle about an axis, mirrored on the right."""
    build = build_of(tables()["mixamo"])
    for side, sign in (("left", 1), ("right", -1)):
        for limb, (axis, degrees) in degrees_by_limb.items():
            bone = FIGURE.bone(f"{side}_{limb}")[0]
            about = np.eye(3)[axis] - bone * bone[axis]  # across the bone: a turn about the bone itself shows nowhere
            angle = np.deg2rad(degrees if axis == 0 else sign * degrees)
            build.bends[f"{side}_{limb}"] = rotations_about(about / np.linalg.norm(about), angle)
        if f"{side}_elbow" in build.bends:
            build.bends[f"{side}_wrist"] = build.bends[f"{side}_elbow"]
    return build


RESTS = {
    "a-pose": {"shoulder": (2, -45.0), "elbow": (2, -45.0)},
    "arms down": {"shoulder": (2, -85.0), "elbow": (2, -85.0)},
    "arms ahead": {"shoulder": (1, -80.0), "elbow": (1, -80.0)},
    "legs apart": {"hip": (2, 20.0), "knee": (2, 20.0), "ankle": (0, 15.0)},
    "half crouched": {"hip": (0, -30.0), "knee": (0, 25.0), "elbow": (1, -40.0)},
}


@pytest.mark.parametrize("name", RESTS)
def test_the_same_motion_is_found_whatever_pose_the_figure_rests_in(tmp_path: Path, name: str):
    person = jumper(1.0)
    takes = []
    for which, build in (("t-pose", resting({})), (name, resting(RESTS[name]))):
        path = tmp_path / f"{which}.bvh"
        path.write_text(bvh_text(person, build))
        takes.append(import_file(path, FIGURE, Options()))
        assert distances(takes[-1], person).max() < 0.5
    # Not places alone: the rotations, twists of the limbs included.
    assert np.abs(takes[0].poses - takes[1].poses).max() < 1e-3


@pytest.mark.parametrize("turned", ["+z +y -x", "-x +y -z", "+y +z +x", "+x -z +y"])
def test_a_figure_may_face_anywhere_and_have_any_axis_up(tmp_path: Path, turned: str):
    # The whole world of the file is turned: figure, path and rest pose.
    columns = [np.eye(3)["xyz".index(a[1])] * (1 if a[0] == "+" else -1) for a in turned.split()]
    world = np.stack(columns, axis=1)
    person = jumper()
    take = import_file(_turned_file(tmp_path / "a.bvh", person, world), FIGURE, Options())
    places, wanted = joint_places(FIGURE, take.poses, take.trans), joint_places(FIGURE, person.poses, person.trans)
    assert np.abs(places[..., 2] - wanted[..., 2]).max() < 1e-3
    assert np.abs(
        np.linalg.norm(places - places[:, :1], axis=2) - np.linalg.norm(wanted - wanted[:, :1], axis=2)
    ).max() < (1e-3)


def _turned_file(path: Path, person: Person, world: np.ndarray) -> Path:
    """The person in another world: offsets, path and global rotations all turned by one rotation."""

    class Turned(Person):
        @property
        def turns(self) -> np.ndarray:
            return world @ person.turns @ world.T

        @property
        def pelvis(self) -> np.ndarray:
            return person.pelvis @ world.T

    figure = replace(person.figure, joints=person.figure.joints @ world.T)
    path.write_text(bvh_text(Turned(figure, person.poses, person.trans, person.fps), build_of(tables()["mixamo"])))
    return path


def test_a_rest_frame_stands_in_for_a_rest_pose(tmp_path: Path):
    # Bones along odd axes: only the first frame, in which the person stands in a T-pose, says how they lie.
    person = jumper()
    poses = person.poses.copy()
    poses[0, 3:] = 0
    person = replace(person, poses=poses)
    rng = np.random.default_rng(3)
    odd = {body: np.linalg.qr(rng.normal(size=(3, 3)))[0] for body in BODY}
    odd = {body: axes * np.sign(np.linalg.det(axes)) for body, axes in odd.items()}
    build = Build(names={body: f"bone_{body}" for body in BODY}, axes=odd)
    (tmp_path / "a.bvh").write_text(bvh_text(person, build))
    map_ = "rest_frame = 0\n[joints]\n" + "".join(f'{body} = "bone_{body}"\n' for body in BODY)
    (tmp_path / "map.toml").write_text(map_)
    table = read_table(tmp_path / "map.toml")
    take = import_file(tmp_path / "a.bvh", FIGURE, Options(table=table))
    assert distances(take, person).max() < 0.5
    with pytest.raises(ItemError, match="is not that of a standing person"):
        import_file(tmp_path / "a.bvh", FIGURE, Options(table=replace(table, rest_frame=None)))


def test_left_and_right_named_the_wrong_way_round_is_refused(tmp_path: Path):
    text = bvh_text(jumper(1.0), build_of(tables()["mixamo"]))
    swapped = text.replace("Left", "\0").replace("Right", "Left").replace("\0", "Right")
    (tmp_path / "a.bvh").write_text(swapped)
    with pytest.raises(ItemError, match=r"a\.bvh: .*left and right") as caught:
        import_file(tmp_path / "a.bvh", FIGURE, Options())
    assert caught.value.reason == "sides swapped"


def test_limbs_that_are_longer_in_the_motion_than_at_rest_are_refused(tmp_path: Path):
    text = bvh_text(jumper(1.0), build_of(tables()["mixamo"]))
    head, motion = text.split("MOTION\n")
    place = head.index("CHANNELS", head.index("LeftForeArm"))
    head = head[:place] + head[place:].replace("CHANNELS 3 ", "CHANNELS 4 Xposition ", 1)
    column = head[: head.index("Xposition", place)].count("rotation") + 3
    rows = [row.split() for row in motion.splitlines()[2:]]
    longer = "\n".join(" ".join([*row[:column], "90", *row[column:]]) for row in rows)
    (tmp_path / "a.bvh").write_text(f"{head}MOTION\nFrames: {len(rows)}\nFrame Time: 0.0166667\n{longer}\n")
    with pytest.raises(ItemError, match="positions of joints") as caught:
        import_file(tmp_path / "a.bvh", FIGURE, Options())
    assert caught.value.reason == "bones change length"


def test_joints_that_cannot_be_named_are_listed(tmp_path: Path):
    build = Build(names={body: f"bone{number}" for number, body in enumerate(BODY)})
    (tmp_path / "a.bvh").write_text(bvh_text(jumper(1.0), build))
    with pytest.raises(ItemError, match=r"pelvis, left_hip.*bone0, bone1.*--joints"):
        import_file(tmp_path / "a.bvh", FIGURE, Options())


def test_unmapped_and_filled_joints_are_listed(tmp_path: Path):
    names = {b: n[0] for b, n in tables()["mixamo"].joints.items() if b not in ("left_collar", "head")}
    (tmp_path / "a.bvh").write_text(bvh_text(jumper(1.0), Build(names=names)).replace("RightShoulder", "Tail"))
    take = import_file(tmp_path / "a.bvh", FIGURE, Options())
    assert take.unmapped == ("Tail",)
    assert set(take.filled) == {"left_collar", "right_collar", "head"}


def test_a_lead_in_from_the_rest_pose_is_left_out(tmp_path: Path):
    person = jumper()
    poses = person.poses.copy()
    poses[:7, 3:] *= np.linspace(0, 1, 7)[:, None]
    take = import_file(write_bvh(tmp_path / "05_01.bvh", replace(person, poses=poses), "cgspeed"), FIGURE, Options())
    assert (take.first, len(take.poses), take.source_frames) == (7, 233, 240)


def test_a_take_that_begins_in_motion_keeps_its_first_frames(tmp_path: Path):
    person = jumper()
    moving = replace(person, poses=person.poses[30:], trans=person.trans[30:])
    take = import_file(write_bvh(tmp_path / "05_01.bvh", moving, "cgspeed"), FIGURE, Options())
    assert (take.first, len(take.poses), take.source_frames) == (0, 210, 210)


def test_every_shipped_table_names_what_a_body_needs():
    for table in tables().values():
        assert table.about
        assert set(table.joints) <= set(BODY)
    assert {"cgspeed", "cmu_asf", "mixamo", "lafan1", "100style", "xsens"} <= set(tables())


@pytest.mark.parametrize("axes", ["+x +y -z", "+x +x +z", "x y z", "+x +y"])
def test_axes_that_mirror_the_figure_are_refused(tmp_path: Path, axes: str):
    joints = "".join(f'{body} = "{body}"\n' for body in BODY)
    (tmp_path / "map.toml").write_text(f'[joints]\n{joints}[rest_axes]\npelvis = "{axes}"\n')
    with pytest.raises(UserError, match="right-handed"):
        read_table(tmp_path / "map.toml")


def test_the_path_is_scaled_by_the_legs(tmp_path: Path):
    person = jumper()
    for unit in (1.0, 100.0, 39.37):
        source = write_bvh(tmp_path / f"{unit}.bvh", person, unit=unit)
        assert import_file(source, FIGURE, Options()).scale == pytest.approx(1 / unit, rel=1e-4)
    assert read_bvh(source).frames == 240
