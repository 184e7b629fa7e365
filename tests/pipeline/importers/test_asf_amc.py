"""Malformed ASF and AMC files: hierarchies that are not trees, missing frames, other skeletons."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.engine.item import ItemError
from pipeline.importers.asf_amc import read_amc, read_asf
from pipeline.importers.source import placed
from pipeline.importers.take import asf_beside

ASF = """:version 1.10
:units
  length 0.45
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name thigh
    direction 0 -1 0
    length 2
    axis 0 0 0 XYZ
    dof rx ry rz
  end
  begin
    id 2
    name shin
    direction 0 -1 0
    length 3
    axis 0 90 0 XYZ
    dof rx
  end
:hierarchy
  begin
    root thigh
    thigh shin
  end
"""
AMC = """#!made
:FULLY-SPECIFIED
:DEGREES
1
root 1 2 3 0 0 0
thigh 90 0 0
shin 0
2
root 1 2 3 0 0 0
thigh 0 0 0
shin 90
"""


def files(folder: Path, asf: str = ASF, amc: str = AMC) -> tuple[Path, Path]:
    (folder / "01.asf").write_text(asf)
    (folder / "01_02.amc").write_text(amc)
    return folder / "01.asf", folder / "01_02.amc"


def read(folder: Path, asf: str = ASF, amc: str = AMC, **given):
    skeleton, motion = files(folder, asf, amc)
    return read_amc(motion, read_asf(skeleton), **given)


def test_a_bone_turns_where_it_begins_about_its_own_axes(tmp_path: Path):
    take = read(tmp_path)
    number = take.names["shin:end"]
    ends = placed(take, take.chain([number]), slice(None)).places[number]
    # First the thigh is turned by 90 degrees about x: all lies along -z. Then the shin alone, whose own x axis is -z of
    # the figure: it swings sideways.
    assert np.allclose(ends[0], [1, 2, -2])
    assert np.allclose(np.abs(ends[1] - [1, 0, 3]), [3, 0, 0])
    assert take.fps is None


def test_the_first_channel_acts_first(tmp_path: Path):
    take = read(tmp_path, amc=AMC.replace("thigh 90 0 0", "thigh 90 0 90"))
    number = take.names["shin"]
    knee = placed(take, take.chain([number]), slice(0, 1)).places[number][0]
    assert np.allclose(knee, [1, 2, 1])  # from -y to -z about x, and about z it stays


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("thigh shin", "thigh shin\n    shin thigh", "has two parents, or is its own ancestor"),
        ("root thigh\n    thigh shin", "thigh shin\n    shin thigh", "unattached, or part of a cycle"),
        ("root thigh\n    thigh shin", "root thigh", "shin are not reached"),
        ("    thigh shin", "    thigh knee", "names 'knee', which is not a bone"),
        ("    thigh shin", "    thigh thigh", "its own ancestor"),
        ("name shin", "name thigh", "two bones called thigh"),
        ("direction 0 -1 0", "direction 0 0 0", "lacks a name or a direction"),
        ("direction 0 -1 0", "direction 0 x 0", "should be 3 numbers"),
        ("direction 0 -1 0", "direction 0 nan 0", "of ordinary size"),
        ("axis 0 90 0 XYZ", "axis 0 90 0 XXZ", "not an order of three axes"),
        ("dof rx\n", "dof rw\n", "are not channels"),
        (":bonedata", ":bones", "no :bonedata"),
        ("length 2", "length -2", "has the length -2"),
        ("orientation 0 0 0", "orientation 90 0 0", "export it with 0 0 0"),
        ("angle deg", "angle rad", "states radians, and the largest angle of its axes is 90.000"),
        ("axis 0 90 0", "axis 0 1.571 0", "states degrees, and the largest angle of its axes is 1.571"),
    ],
)
def test_errors_in_a_skeleton_are_named(tmp_path: Path, old: str, new: str, sentence: str):
    assert old in ASF
    with pytest.raises(ItemError) as caught:
        read(tmp_path, asf=ASF.replace(old, new, 1))
    assert sentence in caught.value.message


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("\n2\n", "\n4\n", "frame 4 found instead of frame 2"),
        ("\n2\n", "\n1\n", "frame 1 found instead of frame 2"),
        ("shin 0\n", "", "frame 1 lacks shin"),
        ("shin 0\n", "shin 0 1\n", "shin has 2 values, the ASF has 1"),
        ("shin 0\n", "shin 0\nshin 0\n", "occurs twice"),
        ("shin 0\n", "tail 0\n", "no bone 'tail'"),
        ("shin 0\n", "shin x\n", "are numbers"),
        ("shin 0\n", "shin nan\n", "frame 0 has nan"),
        ("root 1", "root 1e30", "1e+30"),
        ("1\nroot", "root", "no frame number before"),
        (AMC, ":DEGREES\n", "has no frames"),
        ("shin 90\n", "", "frame 2 lacks shin"),
    ],
)
def test_errors_in_a_motion_are_named(tmp_path: Path, old: str, new: str, sentence: str):
    assert old in AMC
    with pytest.raises(ItemError) as caught:
        read(tmp_path, amc=AMC.replace(old, new, 1))
    assert sentence in caught.value.message


def test_radians_are_believed_where_the_file_states_them_and_noticed_where_not(tmp_path: Path):
    radians = AMC.replace("90", "1.5708")
    with pytest.raises(ItemError, match="--angles radians"):
        read(tmp_path, amc=radians)
    stated = read(tmp_path, amc=radians.replace(":DEGREES", ":RADIANS"))
    assert np.allclose(stated.values, read(tmp_path).values, atol=1e-4)
    assert np.allclose(read(tmp_path, amc=radians, degrees=False).values, stated.values)


def test_the_user_decides_where_an_asf_contradicts_itself(tmp_path: Path):
    plain = read_asf(files(tmp_path)[0])
    wrong = read_asf(files(tmp_path, asf=ASF.replace("angle deg", "angle rad"))[0], degrees=True)
    assert np.allclose(wrong.joints[2].frame, plain.joints[2].frame)
    # The unit of the motion is another matter: an ASF in sound degrees stays in degrees.
    assert np.allclose(read_asf(files(tmp_path)[0], degrees=False).joints[2].frame, plain.joints[2].frame)


def test_a_byte_order_mark_does_not_matter(tmp_path: Path):
    assert np.array_equal(read(tmp_path, "\ufeff" + ASF, "\ufeff" + AMC).values, read(tmp_path).values)


def test_a_skeleton_that_is_no_file_is_refused_before_it_is_opened(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.asf")
    (tmp_path / "zero.asf").symlink_to("/dev/zero")
    for name, what in (("pipe", "a pipe"), ("zero", "a device"), ("none", "cannot read")):
        with pytest.raises(ItemError, match=rf"{what}.*--asf"):
            read_asf(tmp_path / f"{name}.asf")


def test_frames_may_begin_at_any_number(tmp_path: Path):
    later = AMC.replace("\n2\n", "\n18\n").replace("\n1\n", "\n17\n")
    assert read(tmp_path, amc=later).frames == 2


def test_too_many_bones_are_refused(tmp_path: Path):
    bone = "  begin\n    name b{0}\n    direction 0 1 0\n    length 1\n    axis 0 0 0 XYZ\n  end\n"
    many = ASF.replace(":bonedata\n", ":bonedata\n" + "".join(bone.format(n) for n in range(2_000)))
    with pytest.raises(ItemError, match="more than 1,000 bones"):
        read(tmp_path, asf=many)


def test_the_skeleton_is_found_beside_the_motion(tmp_path: Path):
    skeleton, motion = files(tmp_path)
    assert asf_beside(motion) == skeleton
    (tmp_path / "02.asf").write_text(ASF)
    assert asf_beside(motion) == skeleton
    skeleton.rename(tmp_path / "03.asf")
    with pytest.raises(ItemError, match="--asf"):
        asf_beside(motion)
