"""Two builds are told the same when they are, on any machine, and apart when one of the classic errors is in one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionpose.errors import UserError
from actionpose.shards import ShardSet
from benchmarks.bodies import synthetic_body, synthetic_regressor
from pipeline.engine.manifest import ContentRow, write_rows
from pipeline.pack.content import (
    PARTS,
    SUMS,
    body_size,
    compare,
    content_rows,
    difference,
    part_distances,
    read_content,
    signs,
    sketch,
)
from tests.makers.shards import REST, make_shards


def moving(frames: int = 120, seed: int = 0) -> np.ndarray:
    """A standing figure whose every joint sways by centimetres, (T, 17, 3) float32."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None, None] / 30
    sway = 0.03 * np.sin(2 * np.pi * rng.uniform(0.2, 1.0, (17, 3)) * t + rng.uniform(0, 6.28, (17, 3)))
    return (REST + sway).astype(np.float32)


def row(frames: np.ndarray, **changes) -> ContentRow:
    made = ContentRow(
        motion_id="KIT/3/walk",
        frames=len(frames),
        fps=30.0,
        size_m=round(body_size(frames), 3),
        sketch=sketch(frames),
        labels="0" * 16,
    )
    return replace(made, **changes)


def why(a: np.ndarray, b: np.ndarray) -> str:
    return difference(row(a), row(b))[0]


# --- the same ---------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [1e-7, 1e-6, 1e-5])
@pytest.mark.parametrize("kind", ["random", "all one way", "last bits"])
def test_rounding_noise_is_not_a_difference(noise: float, kind: str):
    frames = moving()
    rng = np.random.default_rng(1)
    off = {
        "random": rng.normal(0, noise, frames.shape),
        "all one way": np.full(frames.shape, noise),
        "last bits": noise * np.sign(rng.normal(size=frames.shape)),
    }[kind]
    assert why(frames, (frames + off).astype(np.float32)) == ""


def test_sketches_do_not_depend_on_the_order_of_summation():
    # The same numbers through another memory layout, hence another order of BLAS: bit for bit the same.
    frames = moving(4001) * 7
    assert sketch(np.asfortranarray(frames)) == sketch(frames) == sketch(frames.astype(np.float64))


def test_signs_are_the_published_splitmix64():
    # First outputs of SplitMix64 from state 0, as in its reference code.
    words = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    want = [[1 - 2 * ((word >> bit) & 1) for bit in range(SUMS)] for word in words]
    np.testing.assert_array_equal(signs(1)[0, 0], want)
    assert abs(signs(200).mean()) < 0.02


def test_a_longer_motion_starts_with_the_same_signs():
    np.testing.assert_array_equal(signs(300)[:7], signs(7))


def test_every_joint_is_in_one_part():
    assert sorted(joint for joints in PARTS.values() for joint in joints) == list(range(17))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.floats(1e-3, 1.0))
def test_the_distance_of_sketches_is_that_of_motions(seed: int, size: float):
    """Over all 20 sums within a factor of two, whatever the difference looks like."""
    rng = np.random.default_rng(seed)
    frames = moving(30)
    off = rng.normal(0, size, frames.shape) * rng.random(frames.shape)
    true = np.sqrt(np.square(off).mean())
    found = np.sqrt(np.mean(np.square(list(part_distances(sketch(frames), sketch(frames + off)).values()))))
    assert true / 2.5 < found < 2.5 * true


# --- not the same -----------------------------------------------------------------------------


def test_another_source_rate_is_reported():
    frames = moving(120)
    assert "120 frames here, 60 there" in why(frames, frames[::2])


def test_a_rate_wrong_by_less_than_a_frame_in_all_is_reported_by_the_poses():
    """Half a per cent off: as many frames, each a little too late."""
    fine = moving(1000)
    late = np.stack([fine[int(i * 1.01)] for i in range(900)])
    assert why(fine[:900], late).startswith("poses differ")


def test_swapped_legs_are_reported_and_located():
    frames = moving()
    swapped = frames[:, [0, 4, 5, 6, 1, 2, 3, *range(7, 17)]]
    assert "right leg" in why(frames, swapped)
    assert "left leg" in why(frames, swapped)
    assert "arm" not in why(frames, swapped)


@pytest.mark.parametrize("shift", [1, -1])
def test_one_frame_of_shift_is_reported_even_of_someone_who_hardly_moves(shift: int):
    calm = (REST + (moving(121) - REST) / 30).astype(np.float32)  # a millimetre to and fro
    assert why(calm[:-1], np.roll(calm, shift, axis=0)[:-1]).startswith("poses differ")


@pytest.mark.parametrize(("unit", "wording"), [(100, "100 times"), (1000, "1e+03 times"), (0.0254, "0.025")])
def test_other_units_are_reported_as_such(unit: float, wording: str):
    frames = moving()
    assert wording in why(frames, frames * np.float32(unit))


def test_another_regressor_is_reported():
    model = synthetic_body(320)
    vertices = model.v_template[None] + moving(60)[:, :1].astype(np.float64)
    a, b = (np.einsum("kv,tvc->tkc", synthetic_regressor(model, seed=seed), vertices) for seed in (0, 1))
    assert np.sqrt(np.square(a - b).mean()) < 0.01  # a few millimetres: too little to be seen in a picture
    assert why(a, b) != ""
    assert why(a, a + 0.0) == ""


def test_other_labels_are_distinguished_from_other_motion():
    frames = moving()
    assert difference(row(frames), row(frames, labels="1" * 16))[0] == "the labels differ, the motion does not"


def test_values_that_are_no_numbers_are_a_difference():
    frames = moving()
    frames[5, 3, 1] = np.nan
    assert "right leg" in why(moving(), frames) or "times" in why(moving(), frames)


def test_another_target_rate_is_reported():
    assert difference(row(moving()), row(moving(), fps=25.0))[0] == "30 Hz here, 25 Hz there"


# --- whole data sets --------------------------------------------------------------------------


def test_ids_of_both_generations_of_folder_names_meet():
    frames = moving()
    ours = [row(frames, motion_id="BioMotionLab_NTroje/rub001/0001_turn (left)")]
    theirs = [row(frames, motion_id="BMLrub/rub001/0001_turn_(left)")]
    same = compare(ours, theirs)
    assert (same.differ, same.only_a, same.only_b) == ({}, [], [])


def test_missing_motions_are_named_on_the_side_where_they_are():
    a, b = row(moving(), motion_id="KIT/3/a"), row(moving(), motion_id="KIT/3/b")
    found = compare([a], [a, b])
    assert (found.same, found.only_a, found.only_b) == (1, [], ["KIT/3/b"])


def test_rows_of_a_folder_survive_the_file_and_say_the_same(tmp_path: Path):
    shards = make_shards(tmp_path / "shards", splits=("train", "val"))
    rows = content_rows(ShardSet(shards))
    write_rows(tmp_path / "content.jsonl", rows)
    assert read_content(tmp_path / "content.jsonl") == rows == read_content(shards)
    assert (tmp_path / "content.jsonl").stat().st_size < 500 * len(rows)


def test_a_row_cannot_hold_a_pose():
    assert len(sketch(moving(1))) == 20 < 51


def test_nothing_to_compare_with_is_reported(tmp_path: Path):
    with pytest.raises(UserError, match="there is no"):
        read_content(tmp_path / "content.jsonl")
