"""Corruption depends only on (seed, epoch, sample id), and has the rates and spreads it promises."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from actionpose.data import rng
from actionpose.data.corrupt import (
    CONFIDENCE_MEAN,
    KEY_FRAME_SPACING,
    NOISE_MEAN,
    NOISE_STD,
    NOISE_WEIGHT,
    CorruptConfig,
    Mask,
    _draw,
    _masked,
    add_noise,
    corrupt,
    longest_window,
)
from actionpose.skeleton import BODY_PARTS, FLIP_ORDER, LEFT, RIGHT

ONLY_RANDOM = CorruptConfig(share_random=1.0, share_part=0.0, share_window=0.0)
ONLY_PART = CorruptConfig(share_random=0.0, share_part=1.0, share_window=0.0)
ONLY_WINDOW = CorruptConfig(share_random=0.0, share_part=0.0, share_window=1.0)


def draw_mask(valid_BT: torch.Tensor, key_B: torch.Tensor, config: CorruptConfig) -> tuple[torch.Tensor, torch.Tensor]:
    return _masked(valid_BT, _draw(key_B, valid_BT.shape[1], noise=False, mask=True), config)


def clean(B: int, T: int) -> torch.Tensor:
    pose = torch.rand(B, T, 17, 3, generator=torch.Generator().manual_seed(0)) + 0.5
    pose[..., 2] = 1
    return pose


def lengths_to_valid(lengths: list[int], T: int) -> torch.Tensor:
    return torch.arange(T) < torch.tensor(lengths)[:, None]


def run(pose, valid, ids, config=None, **where):
    return corrupt(pose, valid, torch.as_tensor(ids), config or CorruptConfig(), **({"seed": 3, "epoch": 5} | where))


# --- the generator -----------------------------------------------------------------------------


def test_the_generator_gives_the_published_sequence():
    # First outputs of SplitMix64 with seed 0 and with seed 1234567.
    words = rng._mix(torch.tensor([rng._GAMMA, 1234567 + rng._GAMMA]))
    assert [int(word) % 2**64 for word in words] == [0xE220A8397B1DCDAF, 6457827717110365317]


def test_draws_have_the_distributions_they_are_named_after():
    key = rng.keys(0, 0, torch.arange(400))
    uniform, normal = rng.uniform(key, 0, (500,)), rng.normal(key, 1, (500,))
    assert 0 <= uniform.min() < uniform.max() < 1
    assert uniform.dtype == normal.dtype == torch.float32
    histogram = torch.histc(uniform, 20, 0, 1) / uniform.numel()
    torch.testing.assert_close(histogram, torch.full((20,), 0.05), atol=0.002, rtol=0)
    assert normal.mean().item() == pytest.approx(0, abs=0.01)
    assert normal.std().item() == pytest.approx(1, abs=0.01)
    assert (normal.abs() < 1.959964).float().mean().item() == pytest.approx(0.95, abs=0.003)
    counts = rng.integer(rng.keys(0, 0, torch.arange(60_000)), 2, 6).bincount()
    assert counts.tolist() == pytest.approx([10_000] * 6, rel=0.05)


def test_seed_epoch_sample_stream_and_place_all_matter():
    ids = torch.arange(50)
    base = rng.uniform(rng.keys(1, 1, ids), 0, (20,))
    others = [
        rng.uniform(rng.keys(2, 1, ids), 0, (20,)),
        rng.uniform(rng.keys(1, 2, ids), 0, (20,)),
        rng.uniform(rng.keys(1, 1, ids + 50), 0, (20,)),
        rng.uniform(rng.keys(1, 1, ids), 1, (20,)),
    ]
    for other in others:
        assert abs(np.corrcoef(base.flatten(), other.flatten())[0, 1]) < 0.1
        assert not torch.isin(other, base).float().mean() > 0.01
    assert len(base.flatten().unique()) > 990


def test_integers_stay_below_their_bound():
    key = rng.keys(0, 0, torch.arange(5000))
    bound = torch.arange(1, 5001)
    drawn = rng.integer(key, 0, bound)
    assert (drawn >= 0).all()
    assert (drawn < bound).all()
    assert rng.integer(key, 0, 1).max() == 0


# --- keyed, not consumed -----------------------------------------------------------------------


def test_a_clip_is_corrupted_the_same_way_in_any_batch_and_with_any_padding():
    lengths, ids = [40, 25, 33, 12], [7, 123456789, 0, 42]
    pose, valid = clean(4, 40), lengths_to_valid(lengths, 40)
    together = run(pose, valid, ids)
    torch.rand(5)  # global random state does not matter
    order = [2, 0, 3, 1]
    shuffled = run(pose[order], valid[order], [ids[i] for i in order])
    assert torch.equal(shuffled.pose2d_BTJ3, together.pose2d_BTJ3[order])
    for row, (length, sample) in enumerate(zip(lengths, ids, strict=True)):
        alone = run(pose[row : row + 1, :length], valid[row : row + 1, :length], [sample])
        assert torch.equal(alone.pose2d_BTJ3[0], together.pose2d_BTJ3[row, :length])
        assert torch.equal(alone.masked_BTJ[0], together.masked_BTJ[row, :length])
        assert alone.mask_B[0] == together.mask_B[row]


def test_epochs_and_seeds_change_the_corruption():
    pose, valid = clean(3, 30), lengths_to_valid([30] * 3, 30)
    base = run(pose, valid, [1, 2, 3]).pose2d_BTJ3
    assert torch.equal(base, run(pose, valid, [1, 2, 3]).pose2d_BTJ3)
    for where in ({"epoch": 6}, {"seed": 4}):
        assert not torch.allclose(base, run(pose, valid, [1, 2, 3], **where).pose2d_BTJ3)


def test_clips_of_a_batch_share_no_noise_and_no_mask():
    pose, valid = clean(2, 200), lengths_to_valid([200] * 2, 200)
    moved = (add_noise(pose, rng.keys(0, 0, torch.tensor([1, 2])), CorruptConfig()) - pose)[..., :2]
    fast = moved.diff(dim=1).flatten(1)
    assert abs(np.corrcoef(fast)[0, 1]) < 0.1
    masked = run(pose, valid, [1, 2], ONLY_RANDOM).masked_BTJ.all(dim=-1)
    assert not torch.equal(masked[0], masked[1])


def test_the_input_is_left_as_it_is():
    pose, valid = clean(4, 30), lengths_to_valid([30, 20, 30, 5], 30)
    before = pose.clone()
    run(pose, valid, [1, 2, 3, 4])
    assert torch.equal(pose, before)


# --- confused sides ----------------------------------------------------------------------------


def swapped_frames(config: CorruptConfig, lengths: list[int], ids) -> tuple[torch.Tensor, torch.Tensor]:
    """Bool (B, T, J), where the input changed; and how far it then is from the other side's, else from its own."""
    pose, valid = clean(len(lengths), max(lengths)), lengths_to_valid(lengths, max(lengths))
    pose[..., 2] = torch.rand_like(pose[..., 2])
    made = run(pose, valid, ids, config).pose2d_BTJ3
    pose = pose.masked_fill(~valid[..., None, None], 0.0)
    other = pose[:, :, list(FLIP_ORDER)]
    moved = (made != pose).any(dim=-1)
    return moved, torch.where(moved[..., None], made - other, made - pose)


SWAPS = CorruptConfig(noise=False, share_random=0, share_part=0, share_window=0, swap_sides=0.5, swap_frames=12)


def test_sides_change_places_whole_for_one_run_of_frames_in_the_share_of_clips_asked_for():
    moved, rest = swapped_frames(SWAPS, [40] * 600, torch.arange(600))
    assert not rest.any()
    some = moved.any(dim=2).any(dim=1)
    assert some.float().mean() == pytest.approx(0.5, abs=0.07)
    sided, arms = set(LEFT + RIGHT), set(BODY_PARTS["arms"])
    groups = {frozenset(arms): 0, frozenset(sided - arms): 0, frozenset(sided): 0}
    sizes = []
    for clip in moved[some]:
        frames = clip.any(dim=1).nonzero().flatten()
        assert frames.diff().eq(1).all()
        (joints,) = {frozenset(frame.nonzero().flatten().tolist()) for frame in clip[frames]}
        groups[joints] += 1
        sizes.append(len(frames))
    assert min(groups.values()) > 70
    assert (min(sizes), max(sizes)) == (1, 12)


def test_at_most_half_of_the_valid_frames_are_confused():
    moved, rest = swapped_frames(dataclasses.replace(SWAPS, swap_sides=1.0), [40, 9, 2, 1] * 50, torch.arange(200))
    assert not rest.any()
    assert moved.any(dim=2).sum(dim=1).view(50, 4).amax(dim=0).tolist() == [12, 4, 1, 0]


def test_confused_sides_leave_every_other_draw_as_it_is():
    pose, valid = clean(6, 30), lengths_to_valid([30] * 6, 30)
    base = run(pose, valid, range(6))
    more = run(pose, valid, range(6), CorruptConfig(swap_sides=1.0))
    assert torch.equal(base.masked_BTJ, more.masked_BTJ)
    assert torch.equal(base.mask_B, more.mask_B)
    same = (base.pose2d_BTJ3 == more.pose2d_BTJ3).all(dim=-1)
    assert 0.3 < same.float().mean() < 1
    assert same[:, :, [0, 7, 8, 9, 10]].all()


# --- masks -------------------------------------------------------------------------------------


def test_masked_and_padded_entries_are_zero_and_the_rest_is_not():
    pose, valid = clean(200, 40), lengths_to_valid([40, 25] * 100, 40)
    quiet = CorruptConfig(noise=False)
    corrupted = run(pose, valid, range(200), quiet)
    assert not corrupted.pose2d_BTJ3[corrupted.masked_BTJ].any()
    assert torch.equal(corrupted.pose2d_BTJ3[~corrupted.masked_BTJ], pose[~corrupted.masked_BTJ])
    assert corrupted.masked_BTJ[~valid].all()
    assert not run(pose, valid, range(200)).pose2d_BTJ3[~valid].any()


def test_shares_and_rates_are_those_of_the_settings():
    T, B = 100, 4000
    kinds = draw_mask(torch.ones(B, T, dtype=torch.bool), rng.keys(0, 0, torch.arange(B)), CorruptConfig())[1]
    assert (kinds.bincount(minlength=4) / B).tolist() == pytest.approx([0.5, 0.25, 0.25, 0.0], abs=0.025)
    masked, _ = draw_mask(torch.ones(500, T, dtype=torch.bool), rng.keys(0, 0, torch.arange(500)), ONLY_RANDOM)
    frames = masked.all(dim=-1)
    assert frames.float().mean().item() == pytest.approx(0.15, abs=0.005)
    assert masked[~frames].float().mean().item() == pytest.approx(0.05, abs=0.002)
    rest = CorruptConfig(share_random=0.2, share_part=0.1, share_window=0.1)
    masked, kinds = draw_mask(torch.ones(B, 5, dtype=torch.bool), rng.keys(0, 0, torch.arange(B)), rest)
    assert (kinds == Mask.NONE).float().mean().item() == pytest.approx(0.6, abs=0.03)
    assert not masked[kinds == Mask.NONE].any()


def test_a_part_is_masked_in_all_frames_and_every_part_occurs():
    masked, kinds = draw_mask(torch.ones(600, 7, dtype=torch.bool), rng.keys(0, 0, torch.arange(600)), ONLY_PART)
    assert (kinds == Mask.PART).all()
    assert (masked == masked[:, :1]).all()
    sets = [tuple(torch.nonzero(row[0]).flatten().tolist()) for row in masked]
    assert set(sets) == set(BODY_PARTS.values())
    assert all(sets.count(part) == pytest.approx(100, abs=40) for part in BODY_PARTS.values())


def test_windows_are_one_run_of_30_to_80_frames_anywhere_in_the_clip():
    masked, _ = draw_mask(torch.ones(3000, 243, dtype=torch.bool), rng.keys(0, 0, torch.arange(3000)), ONLY_WINDOW)
    frames = masked.all(dim=-1)
    assert torch.equal(frames, masked.any(dim=-1))
    sizes, first = frames.sum(dim=1), frames.int().argmax(dim=1)
    assert (sizes.min(), sizes.max()) == (30, 80)
    assert sizes.float().mean().item() == pytest.approx(55, abs=1)
    assert (frames.int().diff(dim=1) == 1).sum(dim=1).max() == 1
    assert (first == 0).any()
    assert (first + sizes == 243).any()
    assert frames.float().mean(dim=0)[121].item() > frames.float().mean(dim=0)[0].item()


def test_windows_leave_a_frame_of_short_clips_and_stay_out_of_padding():
    lengths = [1, 2, 20, 31, 81] * 100
    valid = lengths_to_valid(lengths, 81)
    for config in (ONLY_WINDOW, dataclasses.replace(ONLY_WINDOW, window_of=0)):
        masked, _ = draw_mask(valid, rng.keys(0, 0, torch.arange(500)), config)
        frames = masked.all(dim=-1)
        assert not (frames & ~valid).any()
        assert ((valid & ~frames).sum(dim=1) >= 1).all()
    assert set(frames.sum(dim=1)[2::5].tolist()) == {19}


# --- noise -------------------------------------------------------------------------------------


def test_noise_matches_its_table_joint_by_joint():
    B, T = 6000, 11  # frame 0 is a key frame: no interpolation thins its spread
    pose = torch.zeros(B, T, 17, 3)
    still = CorruptConfig(jitter=0.0)
    moved = add_noise(pose, rng.keys(0, 0, torch.arange(B)), still)[:, 0, :, :2]
    weight = torch.tensor(NOISE_WEIGHT)[:, None]
    mean, std = torch.tensor(NOISE_MEAN), torch.tensor(NOISE_STD)
    uniform_var = 0.06**2 / 12
    expected_mean = weight * mean
    second = weight * (std**2 + mean**2) + (1 - weight) * uniform_var
    expected_std = (second - expected_mean**2).sqrt()
    torch.testing.assert_close(moved.mean(dim=0), expected_mean, atol=6e-4, rtol=0)
    torch.testing.assert_close(moved.std(dim=0), expected_std, atol=0, rtol=0.06)


def test_the_uniform_share_is_the_tables_and_one_choice_rules_x_and_y():
    B = 4000
    flat = CorruptConfig(jitter=0.0, noise_range=1e6)  # uniform draws are told by their size
    moved = add_noise(torch.zeros(B, 1, 17, 3), rng.keys(0, 0, torch.arange(B)), flat)[:, 0, :, :2].abs() > 1
    assert torch.equal(moved[..., 0], moved[..., 1])
    share = 1 - moved[..., 0].float().mean(dim=0)
    torch.testing.assert_close(share, torch.tensor(NOISE_WEIGHT), atol=0.03, rtol=0)


def test_noise_runs_in_straight_lines_between_key_frames_plus_jitter():
    key = rng.keys(0, 0, torch.arange(300))
    slow = add_noise(torch.zeros(300, 243, 17, 3), key, CorruptConfig(jitter=0.0))[..., :2]
    bends = slow.diff(n=2, dim=1).abs().amax(dim=(0, 2, 3)) > 1e-6
    knots = np.arange(1, 26) * KEY_FRAME_SPACING
    near = {f for k in knots for f in (int(np.floor(k)), int(np.ceil(k)))}
    assert set((torch.nonzero(bends).flatten() + 1).tolist()) <= near
    shaken = add_noise(torch.zeros(300, 243, 17, 3), key, CorruptConfig())[..., :2]
    assert (shaken - slow).std().item() == pytest.approx(0.002, rel=0.01)


def test_confidence_fits_the_displacement():
    B = 3000
    none = add_noise(torch.zeros(B, 1, 17, 3), rng.keys(0, 0, torch.arange(B)), CorruptConfig(noise_scale=0.0))
    drawn = none[..., 2]
    assert (drawn.min(), drawn.max()) >= (0, 1)
    # Not displaced, the mean is just below 1, and half of a normal spread is cut off above 1.
    half_cut = 1 + CONFIDENCE_MEAN / 2 - 0.1431057 / (2 * np.pi) ** 0.5
    assert drawn.mean().item() == pytest.approx(half_cut, abs=0.003)
    far = add_noise(torch.zeros(B, 1, 17, 3), rng.keys(0, 0, torch.arange(B)), CorruptConfig(noise_scale=10.0))
    assert far[..., 2].mean() < drawn.mean() - 0.2
    assert not none[..., :2].any()


@pytest.mark.parametrize("frames", [9, 27, 42, 60, 81, 162, 486])
def test_windows_hide_the_same_share_of_a_clip_of_any_length(frames):
    clips = 4000
    valid = torch.ones(clips, frames, dtype=torch.bool)
    masked, _ = draw_mask(valid, rng.keys(0, 0, torch.arange(clips)), ONLY_WINDOW)
    hidden = masked[..., 0].sum(dim=1).double()
    shortest, longest = (round(frames * share / 243) for share in (30, 80))
    assert (int(hidden.min()), int(hidden.max())) == (max(shortest, 1), longest)
    assert longest_window(ONLY_WINDOW, frames) == longest
    assert hidden.mean().item() / frames == pytest.approx(55 / 243, abs=0.02)


def test_windows_of_243_frames_are_the_papers_and_absolute_ones_stay_an_option():
    valid = torch.ones(2000, 243, dtype=torch.bool)
    key = rng.keys(3, 0, torch.arange(2000))
    absolute = dataclasses.replace(ONLY_WINDOW, window_of=0)
    assert torch.equal(draw_mask(valid, key, ONLY_WINDOW)[0], draw_mask(valid, key, absolute)[0])
    short = draw_mask(valid[:, :31], key, absolute)[0][..., 0].sum(dim=1)
    assert short.min() == short.max() == 30  # why it is not the default
    assert (longest_window(absolute, 31), longest_window(absolute, 243)) == (30, 80)


@pytest.mark.parametrize(
    "wrong",
    [
        {"share_random": 0.9},
        {"share_part": -0.1},
        {"joint_rate": 1.5},
        {"window_min": 90},
        {"window_min": -1},
        {"window_of": 60},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=r"share|rate|window"):
        CorruptConfig(**wrong)
