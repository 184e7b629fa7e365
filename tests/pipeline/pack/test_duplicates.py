"""A take under two ids is found by content, other takes are not; dropping one keeps validation whole."""

from __future__ import annotations

import numpy as np
import pytest

from actionpose.geometry import rotation_z
from pipeline.engine.manifest import DuplicateRow
from pipeline.pack.duplicates import LazyMotion, copies_to_drop, find_duplicates, heights, known_copy, same_take
from tests.makers.shards import REST


def action(frames: int = 150, seed: int = 0) -> np.ndarray:
    """Someone who moves all the time and never the same way twice, (T, 17, 3)."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None, None] / 30
    pose = np.repeat(REST[None], frames, axis=0)
    for _ in range(3):
        pose = pose + 0.1 * np.sin(2 * np.pi * rng.uniform(0.1, 0.6, (17, 3)) * t + rng.uniform(0, 6.28, (17, 3)))
    return pose


def take(frames: np.ndarray, motion_id: str = "CMU/63/63_01", split: str = "train") -> LazyMotion:
    dataset, subject, _ = motion_id.split("/")
    return LazyMotion(motion_id=motion_id, dataset=dataset, subject=subject, split=split, frames=lambda: frames)


def found(*takes: LazyMotion) -> list[DuplicateRow]:
    return find_duplicates(takes)


# --- finding ----------------------------------------------------------------------------------


def test_the_same_take_elsewhere_and_facing_elsewhere_is_found():
    a = action()
    b = a @ rotation_z(2.0).T + np.array([3.0, -1.0, 0.2])
    (row,) = found(take(a), take(b, "CMU/64/64_01", "val"))
    assert (row.motion_a, row.motion_b, row.shift, row.overlap) == ("CMU/63/63_01", "CMU/64/64_01", 0, 1.0)
    assert row.straddles
    assert row.known
    assert row.difference_m < 1e-5


def test_a_body_fitted_twice_and_rounded_is_found():
    a = action()
    b = np.round(1.06 * a + np.random.default_rng(1).normal(0, 0.003, a.shape), 3)
    (row,) = found(take(a), take(b, "CMU/64/64_01"))
    assert 0.001 < row.difference_m < 0.01


@pytest.mark.parametrize(("start", "stop"), [(0, 140), (10, 150), (5, 146), (3, 150)])
def test_a_trimmed_copy_is_found_with_its_shift(start: int, stop: int):
    a = action()
    (row,) = found(take(a), take(a[start:stop], "CMU/64/64_01"))
    assert row.shift == -start
    assert row.overlap == pytest.approx((stop - start) / 150, abs=1e-3)


def test_other_takes_are_not_copies():
    assert found(*(take(action(seed=n), f"KIT/3/take{n}") for n in range(30))) == []


def test_two_people_who_stand_still_are_not_one_take():
    rng = np.random.default_rng(0)
    still = [np.repeat(REST[None], 120, axis=0) + rng.normal(0, 0.004, (120, 17, 3)) for _ in range(2)]
    assert found(take(still[0]), take(still[1], "CMU/64/64_01")) == []


def test_a_mirrored_or_slowed_take_is_another():
    a = heights(action())
    assert same_take(a, heights(np.repeat(action()[:75], 2, axis=0))) is None
    assert same_take(a, heights(action()[::-1])) is None


def test_order_and_block_size_do_not_matter():
    a = action()
    takes = [take(action(seed=n), f"KIT/3/take{n}") for n in range(1, 6)] + [take(a), take(a, "CMU/64/64_01")]
    assert found(*takes) == found(*reversed(takes))
    assert len(found(*takes)) == 1


def test_known_pairs_come_from_the_table():
    a = action()
    assert known_copy(take(a, "CMU/78/78_01"), take(a, "CMU/102/102_01"))
    assert not known_copy(take(a, "CMU/78/78_01"), take(a, "CMU/64/64_01"))
    assert not known_copy(take(a, "KIT/63/x"), take(a, "KIT/64/x"))


# --- dropping ---------------------------------------------------------------------------------


def copy(a: str, b: str, split_a: str = "train", split_b: str = "train") -> DuplicateRow:
    return DuplicateRow(
        duplicate_id=f"{a} = {b}", motion_a=a, motion_b=b, split_a=split_a, split_b=split_b,
        straddles=split_a != split_b, known=False, difference_m=0.0, shift=0, overlap=1.0, dropped="",
    )  # fmt: skip


def test_validation_stays_whole_and_else_the_earlier_id_stays():
    assert copies_to_drop([copy("a", "b")]) == {"b": "a"}
    assert copies_to_drop([copy("a", "b", "train", "val")]) == {"a": "b"}
    assert copies_to_drop([copy("a", "b", "val", "train")]) == {"b": "a"}


def test_of_three_copies_one_is_left():
    rows = [copy("a", "b"), copy("a", "c", "train", "val"), copy("b", "c", "train", "val")]
    assert copies_to_drop(rows) == {"a": "c", "b": "c"}
    assert copies_to_drop([copy("a", "b"), copy("a", "c"), copy("b", "c")]).keys() == {"b", "c"}
