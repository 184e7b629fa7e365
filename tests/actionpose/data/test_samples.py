"""Order, windows, views and texts depend on (seed, epoch, sample id) only; negatives are never true of the clip."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from actionpose.data.batches import Assembler, Loader, detector, epoch_batches, slice_rank
from actionpose.data.samples import DataConfig, motion_samples, pair_samples
from actionpose.data.selection import select_motions
from actionpose.data.texts import Texts, mirror_words
from actionpose.data.windows import transition_start, window_starts
from actionpose.errors import UserError
from actionpose.evaluate.lifting import EvalConfig, held_out
from actionpose.geometry import camera_matrix, camera_to_screen, flip, root_relative, screen_centre, to_camera
from actionpose.report.facts import read_shards
from actionpose.schema import Summary
from actionpose.shards import ShardSet, write_index, write_shard
from actionpose.skeleton import FLIP_ORDER
from tests.makers.places import ROOT
from tests.makers.shards import ACTIONS, FACTS, benchmark_video, edit, make_shards, write_benchmark_shards

SMALL = DataConfig(clip_frames=32, stride=10, flip=False)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return ShardSet(make_shards(tmp_path_factory.mktemp("data") / "shards", splits=("train", "val")))


# --- windows ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "starts"), [(5, [0]), (32, [0]), (33, [0, 1]), (52, [0, 10, 20]), (55, [0, 10, 20, 23])]
)
def test_windows_cover_every_frame_and_the_last_is_aligned_to_the_end(frames, starts):
    assert window_starts(frames, 32, 10) == starts


def test_a_limit_keeps_first_and_last_window_and_spreads_the_rest():
    starts = window_starts(10_000, 243, 81, limit=8)
    assert len(starts) == 8
    assert starts[0] == 0
    assert starts[-1] == 10_000 - 243
    assert np.ptp(np.diff(starts)) <= 162


def test_a_long_transition_gets_one_window_around_its_middle(shards, tmp_path):
    assert transition_start(100, 32, 60, 70) == 65 - 16
    assert transition_start(100, 32, 0, 4) == 0
    assert transition_start(100, 32, 98, 100) == 68
    folder = make_shards(tmp_path / "t", lengths=(90,) * 8)
    edit(folder, pairs__kind=["transition"] * 8, pairs__border_a=[60] * 8, pairs__border_b=[70] * 8)
    table = pair_samples(ShardSet(folder), SMALL)
    assert len(table) == 16
    assert set(table.offset) == {65 - 16}
    many = pair_samples(ShardSet(folder), dataclasses.replace(SMALL, transitions="windows"))
    assert len(many) == 2 * 8 * len(window_starts(90, 32, 10, 8))


def test_a_clip_with_a_gap_is_the_frames_on_both_sides(tmp_path):
    folder = make_shards(tmp_path / "g", lengths=(60,) * 8)
    edit(folder, clips__start=[4] * 8, clips__gap_start=[20] * 8, clips__gap_stop=[35] * 8)
    shards = ShardSet(folder)
    table = pair_samples(shards, SMALL)
    for sample in range(len(table)):
        batch = Assembler(table=table)(np.array([sample]), 0)
        whole = shards.clip_frames(int(shards.pairs["clip"][table.pair[sample]]))
        # Which window of the gapless clip is it? Counted by its rank among the clip's windows.
        same = np.flatnonzero((table.pair == table.pair[sample]) & (table.view == table.view[sample]))
        at = window_starts(41, 32, 10)[int(np.flatnonzero(same == sample)[0])]
        expected = _slow(whole[at : at + 32], table, sample)[1]
        np.testing.assert_allclose(batch["pose3d"][0].numpy(), expected, atol=1e-6)


# --- one batch --------------------------------------------------------------------------------


def _slow(frames, table, sample):
    """2D and 3D of one sample, frame by frame through `geometry` in float64."""
    camera = camera_matrix(table.views[table.view[sample]], table.heading[sample])
    cam = to_camera(frames.astype(np.float64), camera)
    screen = camera_to_screen(cam, screen_centre(cam), table.config.scale)
    return screen[..., :2], root_relative(screen)


def test_a_batch_equals_the_plain_path_through_geometry(shards):
    table = pair_samples(shards, SMALL)
    ids = np.arange(len(table))
    batch = Assembler(table=table)(ids, 0)
    assert {k: v.dtype for k, v in batch.items() if isinstance(v, torch.Tensor)} == {
        "pose2d": torch.float32, "pose3d": torch.float32, "valid": torch.bool, "sample_id": torch.int64,
        "unit_mm": torch.float32,
    }  # fmt: skip
    for sample in ids:
        clip = shards.clip_frames(int(shards.pairs["clip"][table.pair[sample]]))
        start, length = table.offset[sample], table.length[sample]
        xy, pose3d = _slow(clip[start : start + length], table, sample)
        np.testing.assert_allclose(batch["pose2d"][sample, :length, :, :2], xy, atol=1e-6)
        np.testing.assert_allclose(batch["pose3d"][sample, :length], pose3d, atol=1e-6)
        assert (batch["pose2d"][sample, ..., 2] == 1).all()
        assert batch["valid"][sample].sum() == length
        last = batch["pose3d"][sample, length - 1]
        assert (batch["pose3d"][sample, length:] == last).all()  # padding repeats the last frame
    assert (batch["pose3d"][:, :, 0] == 0).all()
    assert batch["unit_mm"][0] == pytest.approx(1000 / 0.298)


def test_one_sample_is_the_same_alone_and_in_any_batch(shards):
    table = pair_samples(shards, dataclasses.replace(SMALL, flip=True, zoom=(0.8, 1.2)))
    assemble = Assembler(table=table, seed=3, texts=Texts(table, 4))
    whole = assemble(np.arange(len(table)), 5)
    for sample in (0, 7, len(table) - 1):
        alone = assemble(np.array([sample]), 5)
        length = table.length[sample]
        torch.testing.assert_close(alone["pose2d"][0], whole["pose2d"][sample, :length])
        torch.testing.assert_close(alone["pose3d"][0], whole["pose3d"][sample, :length])
        assert alone["text"] == [whole["text"][sample]]
        assert alone["negatives"] == [whole["negatives"][sample]]


def test_a_flip_mirrors_2d_3d_and_words_together(shards):
    plain = pair_samples(shards, SMALL)
    table = pair_samples(shards, dataclasses.replace(SMALL, flip=True))
    ids = np.arange(len(table))
    straight = Assembler(table=plain, texts=Texts(plain, 4))(ids, 1)
    mixed = Assembler(table=table, texts=Texts(table, 4))(ids, 1)
    flipped = [i for i in ids if not torch.equal(straight["pose3d"][i], mixed["pose3d"][i])]
    assert 0.25 < len(flipped) / len(ids) < 0.75
    for i in flipped:
        np.testing.assert_array_equal(mixed["pose3d"][i], flip(straight["pose3d"][i].numpy()))
        np.testing.assert_array_equal(mixed["pose2d"][i], flip(straight["pose2d"][i].numpy()))
        assert mixed["text"][i] == mirror_words(straight["text"][i])
        assert mixed["negatives"][i] == [mirror_words(t) for t in straight["negatives"][i]]
    assert any("left" in straight["text"][i] and "right" in mixed["text"][i] for i in flipped)


MIRRORED = [
    ("wave left hand", "wave right hand"),
    ("Right, then LEFT", "Left, then RIGHT"),
    ("bright upright lefty", "bright upright lefty"),
    ("turn rightwards", "turn leftwards"),
    ("turn lefts", "turn rights"),
    ("leftmost foot, righthand", "rightmost foot, lefthand"),
    ("walk clockwise", "walk counterclockwise"),
    ("Clockwise, then COUNTERCLOCKWISE", "Counterclockwise, then CLOCKWISE"),
    ("spin ccw", "spin cw"),
    ("raise right_hand, turn_cw", "raise left_hand, turn_ccw"),
    ("left_to_right, left2right", "right_to_left, right2left"),
    ("leftarm up, rightknee", "rightarm up, leftknee"),
    ("leftover, rightful, outright, alright, copyright", "leftover, rightful, outright, alright, copyright"),
]


@pytest.mark.parametrize(("text", "mirrored"), MIRRORED)
def test_only_the_words_left_and_right_are_mirrored(text, mirrored):
    assert mirror_words(text) == mirrored
    assert mirror_words(mirrored) == text


@pytest.mark.parametrize("joint", ["", " ", "-", "  ", "_"])
@pytest.mark.parametrize("word", ["clockwise", "clock-wise", "clock wise"])
@pytest.mark.parametrize("prefix", ["counter", "anti"])
def test_every_spelling_of_counterclockwise_is_mirrored(prefix, joint, word):
    assert mirror_words(f"turn {prefix}{joint}{word} twice") == "turn clockwise twice"


def test_a_size_factor_leaves_millimetres_alone(shards):
    plain, zoomed = pair_samples(shards, SMALL), pair_samples(shards, dataclasses.replace(SMALL, zoom=(0.5, 2.0)))
    a, b = (Assembler(table=t)(np.arange(8), 0) for t in (plain, zoomed))
    mm = [batch["pose3d"] * batch["unit_mm"][:, None, None, None] for batch in (a, b)]
    torch.testing.assert_close(*mm)
    factor = a["unit_mm"] / b["unit_mm"]
    assert factor.std() > 0.05
    torch.testing.assert_close(b["pose2d"][..., :2], a["pose2d"][..., :2] * factor[:, None, None, None])


def test_stored_detections_are_used_as_they_are(tmp_path):
    source = ShardSet(make_shards(tmp_path / "m"))
    rng = np.random.default_rng(0)
    tables = {
        "motions": {k: v for k, v in source.motions.items() if k != "shard"},
        "clips": source.clips,
        "pairs": source.pairs,
    }
    tables["motions"]["extra"] = [dataclasses.replace(FACTS, unit_mm=500.0).to_json()] * len(source.motions["start"])
    pose3d = [source.motion_frames(i).copy() for i in range(8)]
    pose2d = [rng.normal(size=p.shape).astype(np.float32) for p in pose3d]
    row = write_shard(tmp_path / "train-00000.h5", tables=tables, pose3d=pose3d, pose2d=pose2d)
    write_index(
        tmp_path, kind="benchmark", fps=50.0, views=(), shards=[row], summary=Summary(), provenance={}, licence=""
    )
    table = motion_samples(ShardSet(tmp_path), SMALL)
    batch = Assembler(table=table)(np.arange(len(table)), 0)
    motion, start, length = table.motion[3], table.offset[3], table.length[3]
    np.testing.assert_array_equal(batch["pose2d"][3, :length], pose2d[motion][start : start + length])
    np.testing.assert_array_equal(batch["pose3d"][3, :length], root_relative(pose3d[motion][start : start + length]))
    assert (batch["unit_mm"] == 500).all()
    with pytest.raises(UserError, match="nothing to align"):
        pair_samples(ShardSet(tmp_path), SMALL)


# --- order ------------------------------------------------------------------------------------


def test_order_depends_on_seed_and_epoch_only(shards):
    lengths = pair_samples(shards, SMALL).length
    first = epoch_batches(lengths, 4, seed=1, epoch=2)
    np.random.seed(123)
    torch.manual_seed(5)
    again = epoch_batches(lengths, 4, seed=1, epoch=2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for other in (epoch_batches(lengths, 4, seed=2, epoch=2), epoch_batches(lengths, 4, seed=1, epoch=3)):
        assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("bucket", [True, False])
def test_an_epoch_has_every_sample_at_most_once_and_only_full_batches(bucket):
    lengths = np.random.default_rng(0).integers(1, 244, size=203)
    batches = epoch_batches(lengths, 16, seed=0, epoch=0, bucket=bucket)
    seen = np.concatenate(batches)
    assert len(seen) == len(set(seen.tolist())) == 203 // 16 * 16
    assert {len(b) for b in batches} == {16}


def test_buckets_leave_little_padding_and_still_mix():
    # BABEL-like lengths: half of all frames would be padding if everything were padded to 243.
    lengths = np.minimum(np.random.default_rng(0).lognormal(4.5, 0.8, 4000).astype(np.int64) + 5, 243)

    def padded(batches):
        return sum(len(b) * lengths[b].max() for b in batches) / sum(lengths[b].sum() for b in batches)

    assert padded(epoch_batches(lengths, 16, seed=0, epoch=0)) < 1.06
    assert padded(epoch_batches(lengths, 16, seed=0, epoch=0, bucket=False)) > 1.5
    together = [{frozenset(b.tolist()) for b in epoch_batches(lengths, 16, seed=0, epoch=e)} for e in (0, 1)]
    assert len(together[0] & together[1]) < 5  # other neighbours in every epoch
    order = [lengths[b].max() for b in epoch_batches(lengths, 16, seed=0, epoch=0)]
    assert np.abs(np.corrcoef(order, np.arange(len(order)))[0, 1]) < 0.3  # not from short to long


def test_weights_decide_how_often_and_seed_and_epoch_alone_which(shards):
    lengths = np.random.default_rng(0).integers(1, 244, size=400)
    weights = np.where(np.arange(400) < 40, 4.0, 0.5)
    epochs = [epoch_batches(lengths, 16, seed=3, epoch=e, weights=weights) for e in range(50)]
    drawn = np.bincount(np.concatenate([ids for batches in epochs for ids in batches]), minlength=400)
    assert drawn.sum() == 50 * 400
    assert drawn[:40].sum() / drawn.sum() == pytest.approx(160 / 340, abs=0.01)
    assert {len(ids) for batches in epochs for ids in batches} == {16}
    spans = [np.ptp(lengths[ids]) for ids in epochs[0]]
    assert np.median(spans) < 24  # in buckets as ever
    np.random.seed(9)
    again = epoch_batches(lengths, 16, seed=3, epoch=0, weights=10 * weights)  # their scale says nothing
    assert all(np.array_equal(a, b) for a, b in zip(epochs[0], again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(epochs[0], epochs[1], strict=True))


def test_the_order_without_weights_is_what_it_was():
    lengths = np.random.default_rng(1).integers(1, 244, size=37)
    rng = np.random.default_rng((5, 2, 103))
    order = rng.permutation(37)[:36]
    order = order[np.argsort(lengths[order] // 8, kind="stable")].reshape(-1, 4)
    expected = order[rng.permutation(9)]
    assert np.array_equal(np.stack(epoch_batches(lengths, 4, seed=5, epoch=2)), expected)


def test_balanced_samples_have_the_weights_of_the_manifest(world, tmp_path):
    """From the shards alone what `ap-data` writes to labels.jsonl, windows and views notwithstanding."""
    from pipeline.stages.build import Build

    build = Build(world.config, tmp_path / "stages", tmp_path / "shards")
    build.run()
    rows = map(json.loads, (build.out / "manifests/labels.jsonl").read_text().splitlines())
    stated = {row["text"]: row["weight"] for row in rows}
    table = pair_samples(ShardSet(build.out), DataConfig(balance="label", clip_frames=32, stride=8))
    texts = table.shards.pairs["text"][table.pair]
    ratio = table.weights / [stated[text] for text in texts]
    assert len(table) > 2 * len(set(table.pair.tolist()))
    assert len({stated[text] for text in texts}) > 1
    assert ratio == pytest.approx(np.full(len(table), ratio[0]), rel=1e-5)
    assert table.weights.mean() == pytest.approx(1)


def test_only_pretraining_with_the_setting_is_balanced(shards):
    assert pair_samples(shards, SMALL).weights is None
    balanced = dataclasses.replace(SMALL, balance="label")
    assert pair_samples(shards, balanced).weights is not None
    assert motion_samples(shards, balanced).weights is None


def test_ranks_share_a_batch_without_overlap():
    ids = np.arange(16)
    parts = [slice_rank(ids, rank, 4) for rank in range(4)]
    assert sorted(np.concatenate(parts).tolist()) == ids.tolist()
    assert {len(p) for p in parts} == {4}


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 on fork with threads
def test_worker_processes_give_the_same_batches(shards, start):
    table = pair_samples(shards, dataclasses.replace(SMALL, flip=True))
    assemble = Assembler(table=table, seed=1, texts=Texts(table, 4))
    plan = epoch_batches(table.length, 8, seed=1, epoch=0)[:3]
    loaders = (Loader(assemble), Loader(assemble, workers=1, start=start))
    here, there = ([assemble.finish(raw) for raw in loader(0, plan)] for loader in loaders)
    assert len(here) == len(there) == 3
    for a, b in zip(here, there, strict=True):
        assert a["text"] == b["text"]
        assert a["negatives"] == b["negatives"]
        assert all(torch.equal(a[k], b[k]) for k in ("pose2d", "pose3d", "valid", "sample_id"))


# --- texts ------------------------------------------------------------------------------------


def test_negatives_are_different_and_never_true_of_the_clip(tmp_path):
    folder = make_shards(tmp_path / "n", repeats=3)
    labels = list(ACTIONS)
    concurrent = [[labels[(i + 1) % 8], labels[(i + 2) % 8].upper()] for i in range(24)]
    edit(folder, pairs__concurrent=concurrent, pairs__text_a=["bow"] + [""] * 23)
    shards = ShardSet(folder)
    table = pair_samples(shards, SMALL)
    texts = Texts(table, 4)
    for sample in range(len(table)):
        pair = table.pair[sample]
        wrong = {str(shards.pairs["text"][pair]), *(c.lower() for c in concurrent[pair])} | (
            {"bow"} if pair == 0 else set()
        )
        for epoch in range(5):
            text, negatives = texts.draw(sample, 0, epoch)
            assert text == shards.pairs["text"][pair]
            assert len(negatives) == len(set(negatives)) == 4
            assert not wrong & set(negatives)
    drawn = {frozenset(texts.draw(20, 0, epoch)[1]) for epoch in range(20)}
    assert len(drawn) > 1
    assert texts.draw(3, 0, 7) == texts.draw(3, 0, 7)


def test_negatives_by_frequency_come_as_often_as_clips_carry_them(tmp_path):
    folder = make_shards(tmp_path / "often", repeats=4)
    labels = [label if i % 8 else "walk" for i, label in enumerate(ShardSet(folder).pairs["text"])]
    edit(folder, pairs__text=["jog" if i % 3 else label for i, label in enumerate(labels)])
    table = pair_samples(ShardSet(folder), SMALL)
    even, often = Texts(table, 2), Texts(table, 2, by_frequency=True)
    other = next(n for n in range(len(table)) if table.shards.pairs["text"][table.pair[n]] != "jog")
    counts = [sum("jog" in texts.draw(other, 0, epoch)[1] for epoch in range(200)) for texts in (even, often)]
    assert counts[1] > 1.3 * counts[0] > 0


def test_a_second_label_of_the_same_clip_is_no_negative(tmp_path):
    folder = make_shards(tmp_path / "two")
    edit(folder, pairs__clip=[0, 0, 2, 3, 4, 5, 6, 7])
    texts = Texts(pair_samples(ShardSet(folder), SMALL), 4)
    assert all("wave right hand" not in texts.draw(0, 0, epoch)[1] for epoch in range(20))


def test_too_few_labels_say_how_many_negatives_fit(shards):
    table = pair_samples(shards, SMALL)
    with pytest.raises(UserError, match=r"loss\.negatives=7"):
        Texts(table, 16)
    assert len(Texts(table, 7).draw(0, 0, 0)[1]) == 7


# --- filters ----------------------------------------------------------------------------------


def test_a_few_subjects_can_play_the_target_dataset(shards):
    def subjects(**filters):
        table = motion_samples(shards, dataclasses.replace(SMALL, **filters))
        return set(shards.motions["subject"][table.motion]), set(shards.motions["split"][table.motion])

    assert subjects(subjects_include=("s0",)) == ({"s0"}, {"train"})
    assert subjects(subjects_exclude=("Swing/s0",), split="val") == ({"s1", "s2"}, {"val"})
    assert subjects(split="") == ({"s0", "s1", "s2"}, {"train", "val"})


def test_minutes_are_those_of_each_video_where_a_benchmark_has_several_rates(tmp_path):
    videos = [benchmark_video("3dhp", number, 300, split="train") for number in range(2)]
    videos[1]["fps_true"] = videos[1]["fps_stored"] = 50.0  # 12 seconds at 25 a second, and 6 at 50
    shards = ShardSet(write_benchmark_shards(tmp_path, videos))
    chosen = select_motions(shards, DataConfig(max_minutes=18.5 / 60))
    assert chosen.tolist() == [True, True]
    assert read_shards(shards).hours == pytest.approx(18 / 3600)


def test_a_limit_of_minutes_is_kept_and_smaller_ones_hold_motions_of_larger_ones(shards):
    motions = shards.motions
    frames = motions["stop"] - motions["start"]

    def within(minutes):
        chosen = np.unique(motion_samples(shards, dataclasses.replace(SMALL, max_minutes=minutes)).motion)
        return set(chosen.tolist()), float(frames[chosen].sum() / shards.fps / 60)

    everyone, total = within(0.0)
    held: set[int] = set()
    for share in (0.3, 0.6, 0.9):
        few, lasting = within(share * total)
        assert held < few < everyone
        assert 0 < lasting <= share * total
        held = few
    assert within(total)[0] == everyone
    whole = held_out(shards, dataclasses.replace(SMALL, max_minutes=0.3 * total), EvalConfig(split="train"))
    assert set(np.unique(whole.motion).tolist()) == everyone  # measuring has a limit of its own
    part = held_out(shards, SMALL, EvalConfig(split="train", max_minutes=0.3 * total))
    assert set(np.unique(part.motion).tolist()) == within(0.3 * total)[0]
    with pytest.raises(UserError, match="max_minutes=1e-06 is less than the first motion"):
        within(1e-6)


def test_filters_that_match_no_subject_are_refused_with_the_known_names(shards):
    with pytest.raises(UserError, match=r"no motion has the subject 's9'(.|\n)*known: s"):
        motion_samples(shards, dataclasses.replace(SMALL, subjects_include=("s9",)))
    with pytest.raises(UserError, match=r"no motions of split 'test'(.|\n)*train \(8 motions\), val \(8 motions\)"):
        motion_samples(shards, dataclasses.replace(SMALL, split="test"))
    with pytest.raises(UserError, match="leave no motion"):
        motion_samples(shards, dataclasses.replace(SMALL, subjects_exclude=("s0", "s1", "s2")))


@pytest.mark.parametrize(("frames", "stride"), [(243, 81), (60, 20), (2, 1)])
def test_windows_advance_by_a_third_of_their_length_unless_a_stride_is_given(frames, stride):
    assert DataConfig(clip_frames=frames).stride == stride
    assert DataConfig(clip_frames=frames, stride=2).stride == 2


def test_windows_over_whole_motions_hold_every_frame(shards):
    table = motion_samples(shards, SMALL)
    for motion in np.unique(table.motion):
        rows = np.flatnonzero((table.motion == motion) & (table.view == 0))
        held = {f for r in rows for f in range(table.offset[r], table.offset[r] + table.length[r])}
        frames = shards.motions["stop"][motion] - shards.motions["start"][motion]
        assert held == set(range(frames))


@pytest.mark.parametrize(
    "wrong", [{"stride": -1}, {"stride": 500}, {"windows_per_clip": 0}, {"zoom": (2.0, 1.0)}, {"scale": 0.0}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DataConfig(**wrong)


def test_the_mirror_swaps_each_pair_of_joints():
    assert sorted(FLIP_ORDER) == list(range(17))


def test_reading_shards_needs_no_transformers():
    code = "import sys, actionpose.data.batches; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_a_simulated_detector_errs_by_as_much_whatever_the_size_of_the_person(shards):
    plain, zoomed = pair_samples(shards, SMALL), pair_samples(shards, dataclasses.replace(SMALL, zoom=(0.5, 2.0)))
    ids = np.arange(8)
    errors = []
    for table in (plain, zoomed):
        seen = Assembler(table=table, detect=detector(DataConfig()))(ids, 0)["pose2d"]
        errors.append(seen[..., :2] - Assembler(table=table)(ids, 0)["pose2d"][..., :2])
    torch.testing.assert_close(errors[0], errors[1], atol=1e-6, rtol=0)
