"""Malformed and hostile BVH files: each is refused with a sentence, quickly and in little memory."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.engine.item import ItemError
from pipeline.importers.bvh import rate_of, read_bvh
from pipeline.importers.source import placed

SMALL = """HIERARCHY
ROOT Hips
{
  OFFSET 0 90 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Spine
  {
    OFFSET 0 10 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 5 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0333333
1 2 3 90 0 0 0 90 0
1 2 3 0 0 0 0 0 90
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "a.bvh"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_joints_channels_and_rate_are_read(tmp_path: Path):
    take = read_bvh(written(tmp_path, SMALL))
    assert [joint.name for joint in take.joints] == ["Hips", "Spine", "Spine:end"]
    assert [joint.parent for joint in take.joints] == [-1, 0, 1]
    assert take.fps == 30.0
    assert take.values.shape == (2, 9)


def test_rotations_are_multiplied_in_the_order_of_their_channels(tmp_path: Path):
    take = read_bvh(written(tmp_path, SMALL))
    seen = placed(take, [0, 1, 2], slice(None))
    # The root turns by 90 degrees about z, the spine then by 90 degrees about its own x.
    assert np.allclose(seen.places[0], [[1, 2, 3]] * 2)
    assert np.allclose(seen.places[1][0], [-9, 2, 3])
    assert np.allclose(seen.places[2][0], [-9, 2, 8])


def test_line_ends_tabs_and_a_byte_order_mark_do_not_matter(tmp_path: Path):
    plain = read_bvh(written(tmp_path, SMALL))
    odd = "\ufeff" + SMALL.replace("  ", "\t").replace("Frames: 2", "Frames:\t2").replace("\n", "\r\n")
    assert np.array_equal(read_bvh(written(tmp_path, odd)).values, plain.values)


def test_frames_and_their_time_need_no_blank(tmp_path: Path):
    plain = read_bvh(written(tmp_path, SMALL))
    take = read_bvh(written(tmp_path, SMALL.replace("Frames: 2", "frames:2").replace("Frame Time: 0", "FRAME TIME:0")))
    assert (take.values.tolist(), take.fps) == (plain.values.tolist(), 30.0)


def test_a_joint_with_positions_of_its_own_moves_by_them(tmp_path: Path):
    six = SMALL.replace("CHANNELS 3 Z", "CHANNELS 6 Xposition Yposition Zposition Z")
    six = re.sub(r"(1 2 3 \S+ \S+ \S+)", r"\1 7 8 9", six)
    seen = placed(read_bvh(written(tmp_path, six)), [0, 1], slice(1, 2))
    assert np.allclose(seen.places[1], [[8, 10, 12]])


def test_a_brace_may_stand_in_the_line_of_its_joint(tmp_path: Path):
    plain = read_bvh(written(tmp_path, SMALL))
    braced = re.sub(r"(ROOT|JOINT|End) (\S+)\n\s*\{", r"\1 \2 {", SMALL)
    assert braced.count("\n") == SMALL.count("\n") - 3
    take = read_bvh(written(tmp_path, braced))
    assert (take.joints, take.values.tolist()) == (plain.joints, plain.values.tolist())


RATES = {
    **{"0.033367": 29.97003, "0.0334": 29.97003, "0.016683": 59.94006, "0.0417083": 23.976024, "0.0417": 24},
    **{"0.0333333": 30, "0.033": 30, "0.008333": 120, "0.0083": 120, "0.016667": 60, "0.04": 25},
    **{"0.0100000": 100, "0.0125": 80, "0": None, "0.0": None, "-1": None, "nan": None},
    **{"inf": None, "1e-30": None, "33.3": None, "fast": None},
}


@pytest.mark.parametrize(("text", "hz"), RATES.items())
def test_rates_come_from_times_written_with_few_digits(text: str, hz: float | None):
    assert rate_of(text) == (None if hz is None else pytest.approx(hz, rel=1e-6))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("HIERARCHY", "HELLO", "does not begin with HIERARCHY"),
        ("ROOT Hips", "JOINT Hips", "JOINT is in the wrong place"),
        ("JOINT Spine", "ROOT Spine", "ROOT is in the wrong place"),
        ("JOINT Spine", "JOINT Hips", "two joints called Hips"),
        ("  OFFSET 0 90 0", "  OFFSET 0 90", "has 2 numbers, not 3"),
        ("  OFFSET 0 90 0", "  OFFSET 0 nan 0", "not a plausible bone length"),
        ("  OFFSET 0 90 0", "  OFFSET 0 1e300 0", "not a plausible bone length"),
        ("CHANNELS 3", "CHANNELS 2", "CHANNELS of Spine"),
        ("CHANNELS 3", "CHANNELS three", "CHANNELS of Spine"),
        ("Yposition", "Qposition", "neither position nor rotation"),
        ("Zrotation Xrotation", "Zrotation Zrotation", "name an axis twice"),
        ("Frames: 2", "Frames: -2", "a whole number of at least 1"),
        ("Frames: 2", "Frames: 1000000000000", "announces 1,000,000,000,000 frames"),
        ("Frames: 2", "Frames: two", "instead of 'Frames: N'"),
        ("Frames: 2", "Frames: 0", "announces 0 frames"),
        ("Frames: 2", "Frames: 999999999999", "announces 999,999,999,999 frames"),
        ("Frames: 2", "Frames: 500000", "ends in frame 2"),
        ("Frames: 2", "Frames: 500001", "not 1 to 500,000; cut it into shorter takes"),
        ("Frames: 2", "Frames: 1", "holds more"),
        ("Frame Time:", "Time:", "instead of 'Frame Time"),
        ("0 90 0\n1 2 3", "0 90\n1 2 3", "frame 0 has 8 values, and the joints have 9 channels"),
        ("0 90 0\n1 2 3", "0 90 0 7\n2 3", "frame 0 has 10 values, and the joints have 9 channels"),
        ("0 0 90\n", "0 0\n", "ends in frame 1"),
        ("0 90 0\n1 2 3", "0 x 0\n1 2 3", "frame 0: 'x' is not a number"),
        ("1 2 3 0", "1,5 2 3 0", "decimals need a point"),
        ("1 2 3 0", "nan 2 3 0", "frame 1 has nan"),
        ("1 2 3 0", "inf 2 3 0", "frame 1 has inf"),
        ("1 2 3 0", "1e40 2 3 0", "1e+40"),
    ],
)
def test_errors_name_the_place(tmp_path: Path, old: str, new: str, sentence: str):
    assert old in SMALL
    with pytest.raises(ItemError) as caught:
        read_bvh(written(tmp_path, SMALL.replace(old, new, 1)))
    assert sentence in caught.value.message
    assert "a.bvh" in caught.value.message


def test_a_file_cut_anywhere_is_refused(tmp_path: Path):
    for length in range(0, len(SMALL) - 3, 3):
        with pytest.raises(ItemError):
            read_bvh(written(tmp_path, SMALL[:length]))


def test_angles_in_radians_are_noticed_and_can_be_imported(tmp_path: Path):
    radians = SMALL.replace("90 0 0 0 90 0", "1.5708 0 0 0 1.5708 0").replace("0 0 90", "0 0 1.5708")
    with pytest.raises(ItemError, match="--angles radians") as caught:
        read_bvh(written(tmp_path, radians))
    assert caught.value.reason == "angles look like radians"
    plain = read_bvh(written(tmp_path, SMALL)).values
    assert np.allclose(read_bvh(written(tmp_path, radians), degrees=False).values, plain, atol=1e-4)
    with pytest.raises(ItemError, match="whole turns"):
        read_bvh(written(tmp_path, SMALL), degrees=False)


def test_two_people_in_one_file_are_refused(tmp_path: Path):
    figure = SMALL[SMALL.index("ROOT") : SMALL.index("MOTION")]
    with pytest.raises(ItemError, match="more than one ROOT"):
        read_bvh(written(tmp_path, SMALL.replace("MOTION", figure.replace("Hips", "Hips2") + "MOTION", 1)))


def test_a_million_joints_are_refused_at_the_first_too_many(tmp_path: Path):
    joint = "JOINT j{0}\n{{\nOFFSET 0 1 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n"
    chain = "HIERARCHY\nROOT r\n{\nOFFSET 0 0 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n"
    deep = written(tmp_path, chain + "".join(joint.format(n) for n in range(2_000)))
    with pytest.raises(ItemError, match="inside each other more than 200 deep"):
        read_bvh(deep)
    wide = written(tmp_path, chain + "".join(joint.format(n) + "}\n" for n in range(1_000_000)))
    started = time.process_time()
    with pytest.raises(ItemError, match="more than 1,000 joints"):
        read_bvh(wide)
    assert time.process_time() - started < 1


def test_a_frame_may_be_wrapped_over_lines_or_share_one(tmp_path: Path):
    plain = read_bvh(written(tmp_path, SMALL)).values
    for odd in (SMALL.replace("3 90 0 0", "3\n90 0 0"), SMALL.replace("0 90 0\n1 2", "0 90 0 1 2")):
        assert np.array_equal(read_bvh(written(tmp_path, odd)).values, plain)


def test_positions_that_stay_at_zero_leave_a_joint_at_its_offset(tmp_path: Path):
    six = SMALL.replace("CHANNELS 3 Z", "CHANNELS 6 Xposition Yposition Zposition Z")
    six = re.sub(r"(1 2 3 \S+ \S+ \S+)", r"\1 0 0 0", six)
    take = read_bvh(written(tmp_path, six))
    assert np.allclose(placed(take, [0, 1], slice(1, 2)).places[1], [[1, 12, 3]])


def test_small_angles_are_believed_to_be_degrees_when_the_user_says_so(tmp_path: Path):
    still = SMALL.replace("90", "3")
    with pytest.raises(ItemError, match="else --angles degrees"):
        read_bvh(written(tmp_path, still))
    assert np.abs(read_bvh(written(tmp_path, still), degrees=True).values[:, 3:]).max() == pytest.approx(np.deg2rad(3))


@pytest.mark.parametrize(
    "junk", [b"\0" * 1000, b"HIERARCHY\n" + b"x" * 100_000, b"HIERARCHY\n" + bytes(range(256)) * 50]
)
def test_binary_content_is_refused(tmp_path: Path, junk: bytes):
    with pytest.raises(ItemError):
        read_bvh(written(tmp_path, junk))


def test_one_endless_word_is_refused(tmp_path: Path):
    with pytest.raises(ItemError):
        read_bvh(written(tmp_path, SMALL.replace("1 2 3 90", "1" * 3_000_000, 1)))
