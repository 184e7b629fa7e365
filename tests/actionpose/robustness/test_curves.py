"""Perturbed input is the same for every run, harsher levels are harsher, and what was hidden is scored alone."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from actionpose import charts
from actionpose.config import resolve
from actionpose.data import rng
from actionpose.data.batches import Assembler, detector
from actionpose.data.samples import DataConfig
from actionpose.evaluate.lifting import EvalConfig, score, summarise
from actionpose.robustness.curves import measure_robustness, robust_table
from actionpose.robustness.perturb import (
    RobustnessConfig,
    hide_confidence,
    hide_frames,
    hide_joints,
    hide_part,
    hide_window,
    levels,
    resample,
    resampled_counts,
    shake,
)
from actionpose.robustness.report import COLUMNS, averaged
from actionpose.runs import evaluate as evaluation
from actionpose.runs.recipe import Recipe
from actionpose.shards import ShardSet
from actionpose.skeleton import BODY_PARTS
from actionpose.train.runtime import Runtime
from cli.train import main
from tests.makers.shards import options, tiny

CPU = Runtime(device=torch.device("cpu"), bf16=False)
DATA = DataConfig(clip_frames=32, stride=16)
EVAL = EvalConfig(flip_tta=False)
RECIPE = dataclasses.replace(Recipe(), data=DATA, eval=EVAL)


@pytest.fixture(scope="module")
def table(folder):
    return robust_table(ShardSet(folder), DATA, EVAL)


@pytest.fixture(scope="module")
def runs(folder, tmp_path_factory):
    """Two fine-tuned runs of one step that differ in their seed."""
    made = []
    for seed in (0, 1):
        out = tmp_path_factory.mktemp("runs") / f"run{seed}"
        settings = tiny("finetune.steps=1", "finetune.eval_every=0", f"run.seed={seed}", "eval.flip_tta=false")
        assert run("finetune", "--data", str(folder), "--out", str(out), *options(settings)).exit_code == 0
        made.append(out)
    return made


def run(*arguments: str):
    return CliRunner().invoke(main, list(arguments), prog_name="ap-train")


def flat_lift(pose2d, valid):
    """A lifter that believes what it sees: x and y as given, no depth."""
    return torch.cat([pose2d[..., :2], torch.zeros_like(pose2d[..., 2:])], dim=-1)


def answers(table):
    """A lifter that knows the depth of every clip, by whatever it still sees of it, and believes x and y."""
    batch = Assembler(table=table, augment=False)(np.arange(len(table)), 0)

    def lift(pose2d, valid):
        out = []
        for clip in pose2d:
            alike = (batch["pose2d"][:, : len(clip)] == clip).sum(dim=(1, 2, 3))
            pose = torch.cat([clip[..., :2], batch["pose3d"][alike.argmax(), : len(clip), :, 2:]], dim=-1)
            out.append(pose - pose[:, :1])  # joint 0 is the origin, as of every prediction that is scored
        return torch.stack(out)

    return lift


def by_level(rows, curve):
    return {row["level"]: row for row in rows if row["curve"] == curve}


def clips(seed: int, frames: int = 24, lengths: tuple[int, ...] = (24, 17, 9, 1)):
    pose2d = torch.rand(len(lengths), frames, 17, 3, generator=torch.Generator().manual_seed(seed)) + 0.1
    valid = torch.arange(frames) < torch.tensor(lengths)[:, None]
    return pose2d, valid, rng.keys(seed, 0, torch.arange(len(lengths)))


# --- the perturbations ------------------------------------------------------------------------


@pytest.mark.parametrize("part", BODY_PARTS)
def test_a_hidden_part_is_masked_in_all_frames_and_the_rest_is_unchanged(part):
    pose2d, valid, key = clips(0)
    perturbed, hidden = hide_part(part)(pose2d, valid, key)
    members = list(BODY_PARTS[part])
    assert hidden[..., members][valid].all()
    assert hidden.sum() == valid.sum() * len(members)
    assert (perturbed[hidden] == 0).all()
    assert torch.equal(perturbed[~hidden], pose2d[~hidden])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), mild=st.floats(0.05, 1), severe=st.floats(0.05, 1))
def test_what_a_mild_level_hides_a_severe_one_hides_too(seed, mild, severe):
    mild, severe = sorted((mild, severe))
    pose2d, valid, key = clips(seed % 7)
    key = key + seed
    for way, size in ((hide_joints, 1), (hide_frames, 1), (hide_window, 30)):
        few, many = (
            way(max(1, amount * size) if size > 1 else amount)(pose2d, valid, key)[1] for amount in (mild, severe)
        )
        assert (few & ~many).sum() == 0, way.__name__
        assert not (many & ~valid[..., None]).any()


def test_amounts_are_kept():
    pose2d, valid, key = clips(1, frames=200, lengths=(200, 150, 90, 60))
    _, hidden = hide_joints(0.5)(pose2d, valid, key)
    assert {int(row[0].sum()) for row in hidden} == {round(0.5 * 17)}
    assert (hidden[:, :1] == hidden[:, :50]).all()  # the same joints in all frames
    _, hidden = hide_window(40)(pose2d, valid, key)
    frames = hidden.all(dim=2)
    assert frames.sum(dim=1).tolist() == [40] * 4
    assert ((frames[:, 1:] & ~frames[:, :-1]).sum(dim=1) + frames[:, 0]).tolist() == [1] * 4  # in a row
    _, hidden = hide_frames(0.25)(pose2d, valid, key)
    assert abs(float(hidden.all(dim=2)[valid].float().mean()) - 0.25) < 0.08


def test_a_window_longer_than_the_clip_leaves_one_frame():
    pose2d, valid, key = clips(2)
    _, hidden = hide_window(500)(pose2d, valid, key)
    assert (valid & ~hidden.any(dim=2)).sum(dim=1).tolist() == [1, 1, 1, 1]


def test_lost_confidence_leaves_places_and_hides_nothing():
    pose2d, valid, key = clips(3)
    perturbed, hidden = hide_confidence(1.0)(pose2d, valid, key)
    assert torch.equal(perturbed[..., :2], pose2d[..., :2])
    assert (perturbed[..., 2] == 0).all()
    assert not hidden.any()


def test_a_clip_is_perturbed_the_same_way_in_any_batch():
    pose2d, valid, key = clips(4)
    for way in (hide_joints(0.3), hide_window(7), hide_frames(0.4), hide_confidence(0.5)):
        whole = way(pose2d, valid, key)
        for row in range(len(key)):
            alone = way(pose2d[row : row + 1], valid[row : row + 1], key[row : row + 1])
            assert torch.equal(whole[0][row], alone[0][0])
            assert torch.equal(whole[1][row], alone[1][0])


def test_noise_of_one_is_the_detector_that_evaluation_uses():
    pose2d, _, _ = clips(5)
    ids = torch.arange(4)
    assert torch.equal(shake(pose2d, ids, 1.0, seed=0), detector(DATA)(pose2d, ids))
    assert torch.equal(shake(pose2d, ids, 0.0, seed=0), pose2d)


@pytest.mark.parametrize("rate", [0.25, 0.5, 2.0, 3.0])
def test_resampling_keeps_straight_motion_straight(rate):
    line = torch.arange(21.0)[None, :, None, None].expand(2, 21, 17, 3)
    played = resample(line, rate)
    assert played.shape[1] == int(20 * rate) + 1
    assert torch.allclose(played[0, :, 0, 0], torch.arange(played.shape[1]) / rate)
    assert resampled_counts(torch.tensor([21, 1, 5]), rate).tolist() == [played.shape[1], 1, int(4 * rate) + 1]


# --- the curves -------------------------------------------------------------------------------


def test_every_curve_starts_clean_and_clean_is_what_evaluation_says(table):
    detect = detector(DATA)
    plain = summarise(score(flat_lift, table, EVAL, CPU, detect=detect), table).to_json()
    rows = measure_robustness(flat_lift, table, RECIPE, RobustnessConfig(), CPU)
    assert {row["curve"] for row in rows if row["level"] == "clean"} == set(RobustnessConfig().curves)
    for curve in RobustnessConfig().curves:
        level = "1" if curve == "noise" else "clean"
        row = by_level(rows, curve)[level]
        assert row["frames"] == plain["frames"]
        assert row["mpjpe_mm"] == pytest.approx(plain["mpjpe_mm"], rel=1e-9)
        assert row["p_mpjpe_mm"] == pytest.approx(plain["p_mpjpe_mm"], rel=1e-9)
        assert by_level(rows, curve)["clean"]["hidden_mm"] is None


def test_a_lifter_that_believes_what_it_sees_loses_more_the_more_is_hidden(folder):
    clean = dataclasses.replace(DATA, detections="clean")
    recipe = dataclasses.replace(RECIPE, data=clean)
    table = robust_table(ShardSet(folder), clean, EVAL)
    config = RobustnessConfig(
        curves=("joints", "window", "frames", "noise"),
        joints=(0.2, 0.5, 1.0), window=(4, 12, 500), frames=(0.3, 0.7, 1.0), noise=(1.0, 4.0, 16.0),
    )  # fmt: skip
    rows = measure_robustness(flat_lift, table, recipe, config, CPU)
    for curve in config.curves:
        errors = [row["mpjpe_mm"] for row in rows if row["curve"] == curve]
        assert errors[-1] > 1.3 * errors[0], curve
        assert errors[0] == min(errors), curve
    for row in rows:
        if row["hidden_mm"] is not None:
            assert row["hidden_mm"] > row["hidden_clean_mm"]
    # All joints of all frames: the lifter says that everything is at the pelvis.
    everything = by_level(rows, "frames")["1"]
    assert everything["hidden_share"] == 1.0
    assert everything["hidden_mm"] == pytest.approx(everything["mpjpe_mm"] * 17 / 16)  # joint 0 is the origin
    assert everything["mpjpe_mm"] == pytest.approx(by_level(rows, "joints")["1"]["mpjpe_mm"])


@pytest.mark.parametrize("rate", [0.5, 2.0, 3.0])
def test_another_rate_costs_nothing_to_a_lifter_that_has_no_sense_of_time(folder, rate):
    clean = dataclasses.replace(DATA, detections="clean")
    table = robust_table(ShardSet(folder), clean, EVAL)
    recipe = dataclasses.replace(RECIPE, data=clean)
    rows = by_level(
        measure_robustness(flat_lift, table, recipe, RobustnessConfig(curves=("rate",), rate=(rate,)), CPU), "rate"
    )
    played, plain = rows[f"{rate:g}"], rows["clean"]
    # The target is resampled with the input, so only the choice of moments differs.
    assert played["mpjpe_mm"] == pytest.approx(plain["mpjpe_mm"], rel=0.03)
    assert played["frames"] == pytest.approx(rate * plain["frames"], rel=0.1)


def test_hidden_joints_are_scored_apart_from_the_rest(folder):
    clean = dataclasses.replace(DATA, detections="clean")
    table = robust_table(ShardSet(folder), clean, EVAL)
    recipe = dataclasses.replace(RECIPE, data=clean)
    config = RobustnessConfig(curves=("part",))
    rows = by_level(measure_robustness(answers(table), table, recipe, config, CPU), "part")
    assert rows["clean"]["mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert rows["head"]["hidden_share"] == pytest.approx(2 / 16)
    # All error of the whole pose is in the two joints of the head, which the lifter puts at x = y = 0.
    assert rows["head"]["mpjpe_mm"] * 17 == pytest.approx(rows["head"]["hidden_mm"] * 2, rel=1e-6)
    assert rows["head"]["hidden_clean_mm"] == pytest.approx(0, abs=1e-3)


def test_batches_and_repeats_do_not_change_a_number(table):
    config = RobustnessConfig(
        joints=(0.25,), window=(8,), frames=(0.5,), noise=(2.0,), confidence=(0.5,), rate=(0.5, 2.0)
    )
    small = dataclasses.replace(RECIPE, eval=dataclasses.replace(EVAL, batch=3))
    first, again = (measure_robustness(flat_lift, table, recipe, config, CPU) for recipe in (RECIPE, small))
    for a, b in zip(first, again, strict=True):
        assert a["frames"] == b["frames"]
        assert a["mpjpe_mm"] == pytest.approx(b["mpjpe_mm"], rel=1e-6), a
    other = measure_robustness(flat_lift, table, RECIPE, dataclasses.replace(config, seed=1), CPU)
    assert by_level(other, "frames")["0.5"]["mpjpe_mm"] != by_level(first, "frames")["0.5"]["mpjpe_mm"]


def test_levels_are_refused_by_name_when_they_make_no_sense():
    for wrong in ({"curves": ("parts",)}, {"parts": ("tail",)}, {"joints": (1.5,)}, {"window": (0,)}, {"rate": (0.0,)}):
        with pytest.raises(ValueError, match=r"."):
            RobustnessConfig(**wrong)
    names = [(level.curve, level.label) for level in levels(RobustnessConfig())]
    assert len(set(names)) == len(names)


# --- the command ------------------------------------------------------------------------------

QUICK = [
    *options(['robust.parts=["head"]', "robust.joints=[0.5]", "robust.window=[8]", "robust.frames=[0.5]"]),
    *options(["robust.noise=[2.0]", "robust.confidence=[1.0]", "robust.rate=[0.5]"]),
]


def test_the_command_writes_table_curves_and_picture_and_evaluate_leads_there(runs, folder):
    done = run("robustness", str(runs[0]), "--data", str(folder), "--format", "json", *QUICK)
    assert done.exit_code == 0, done.stderr
    whole = json.loads(done.stdout)
    out = runs[0] / "robustness"
    assert json.loads((out / "robustness.json").read_text())["rows"] == whole["rows"]
    with open(out / "robustness.csv") as file:
        lines = list(csv.DictReader(file))
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) == len(whole["rows"]) == 2 * 7 + 1
    assert [float(line["mpjpe_mm"]) for line in lines] == [row["mpjpe_mm"] for row in whole["rows"]]
    assert (out / "robustness.png").read_bytes()[:4] == b"\x89PNG"
    assert not list(runs[0].glob(".robustness*"))
    plain = json.loads(run("evaluate", str(runs[0]), "--data", str(folder), "--format", "json").stdout)
    assert plain["mpjpe_mm"] == pytest.approx(whole["rows"][0]["mpjpe_mm"])

    again = run("evaluate", str(runs[0]), "--data", str(folder), "--robustness", "--format", "json", *QUICK)
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout)["rows"] == whole["rows"]


def test_several_runs_meet_the_same_input_and_one_label_is_averaged(runs, folder, tmp_path):
    out = tmp_path / "both"
    named = [f"a={runs[0]}", f"a={runs[1]}", f"b={runs[1]}"]
    done = run("robustness", *named, "--data", str(folder), "--out", str(out), "--format", "json", *QUICK)
    assert done.exit_code == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    each = len(rows) // 3
    assert [r["mpjpe_mm"] for r in rows[each : 2 * each]] == [r["mpjpe_mm"] for r in rows[2 * each :]]
    mean = averaged(rows)
    assert [line["runs"] for line in mean] == [2] * each + [1] * each
    for line, first, second in zip(mean[:each], rows[:each], rows[each : 2 * each], strict=True):
        assert line["mpjpe_mm"] == pytest.approx((first["mpjpe_mm"] + second["mpjpe_mm"]) / 2)
    assert (out / "robustness.png").is_file()


@pytest.mark.parametrize("other", [("data.clip_frames=16", "data.stride=8"), ("data.camera.random=true",)])
def test_runs_that_were_shown_other_input_are_not_compared(runs, folder, tmp_path, other):
    settings = tiny("finetune.steps=1", "finetune.eval_every=0", *other)
    assert run("finetune", "--data", str(folder), "--out", str(tmp_path / "other"), *options(settings)).exit_code == 0
    two = [str(runs[0]), str(tmp_path / "other")]
    done = run("robustness", *two, "--data", str(folder), "--out", str(tmp_path / "x"), *QUICK)
    assert done.exit_code == 1
    assert other[0].partition("=")[0] in done.stderr


def test_a_folder_that_holds_something_else_is_refused(runs, folder, tmp_path):
    two = [str(path) for path in runs]
    assert run("robustness", *two, "--data", str(folder)).exit_code == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    done = run("robustness", two[0], "--data", str(folder), "--out", str(tmp_path / "mine"), *QUICK)
    assert done.exit_code == 1
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years"


def test_without_matplotlib_the_numbers_are_there_and_the_lack_is_reported(runs, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(charts, "can_draw", lambda: False)
    out = tmp_path / "plain"
    done = run("robustness", str(runs[0]), "--data", str(folder), "--out", str(out), *QUICK)
    assert done.exit_code == 0, done.stderr
    assert "matplotlib is not installed" in done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["robustness.csv", "robustness.json"]


def test_a_dry_run_writes_nothing(runs, folder, tmp_path):
    done = run("robustness", str(runs[0]), "--data", str(folder), "--out", str(tmp_path / "x"), "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert not (tmp_path / "x").exists()


def test_the_recipe_of_a_run_takes_robust_settings_on_top(runs):
    from actionpose.robustness.curves import RobustRecipe
    from actionpose.train import checkpoint

    found = checkpoint.find(runs[0])
    assert evaluation.recipe_of(found).data.clip_frames == 32
    assert resolve(RobustRecipe, (), ["robust.seed=3"]).value.robust.seed == 3
