"""The grid: rows differ in pretraining alone, stopping changes nothing, and the table's arithmetic is right."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from actionpose import charts
from actionpose.ablation import grid as ablation
from actionpose.ablation.folder import cells_of
from actionpose.ablation.settings import ROWS, AblateConfig, AblateRecipe, rows_of
from actionpose.ablation.table import common_conditions, markdown, over_seeds, terminal_rows
from actionpose.config import flat, resolve, to_dict
from actionpose.data.samples import DataConfig, pair_samples
from actionpose.errors import UserError
from actionpose.jsonl import read_lines
from actionpose.runs import evaluate as evaluation
from actionpose.runs import train as training
from actionpose.shards import ShardSet
from actionpose.train import checkpoint
from cli.train import main
from tests.makers.places import ROOT
from tests.makers.shards import edit, make_shards, options, tiny

LENGTHS = (20, 33, 24, 30, 26, 21, 28, 18)
STEPS = ("pretrain.steps=2", "finetune.steps=3", "eval.flip_tta=false")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("ablate") / "shards", LENGTHS, splits=("train", "val"))


@pytest.fixture(scope="module")
def arguments(shards, bert):
    return ["--data", str(shards), "--seeds", "0,1", *options(tiny(*STEPS, text=bert))]


@pytest.fixture(scope="module")
def done(arguments, tmp_path_factory):
    """A whole grid of four rows and two seeds; tests leave it as it is."""
    out = tmp_path_factory.mktemp("grid") / "grid"
    result = run("ablate", *arguments, "--out", str(out), "--format", "json")
    assert result.exit_code == 0, result.stderr
    return out, json.loads(result.stdout), result


def run(*arguments: str):
    return CliRunner().invoke(main, list(arguments), prog_name="ap-train")


def last_line(result) -> str:
    return result.stderr.strip().splitlines()[-1]


def weights(out: Path) -> dict[str, str]:
    """Run → checksum of its last weights."""
    found = {str(p.parent.relative_to(out)): checkpoint.latest(p.parent) for p in out.glob("*-seed*/*/checkpoints")}
    return {name: one.meta["files"][checkpoint.WEIGHTS] for name, one in found.items() if one is not None}


def recipes(out: Path, stage: str) -> dict[str, dict]:
    return {
        p.parent.parent.name: flat(json.loads(p.read_text())["recipe"])
        for p in out.glob(f"*-seed*/{stage}/config.json")
    }


# --- what a grid is ---------------------------------------------------------------------------


def test_four_rows_by_two_seeds_make_a_table_a_page_and_a_picture(done):
    out, content, result = done
    assert {p.name for p in out.iterdir() if p.is_dir()} == {
        f"{row}-seed{seed}" for row in ("baseline", "mmm", "map", "both") for seed in (0, 1)
    }
    assert not (out / "baseline-seed0" / "pretrain").exists()
    assert content["missing"] == []
    assert [line["row"] for line in content["table"]] == ["baseline", "mmm", "map", "both"]
    assert json.loads((out / "table.json").read_text()) == content
    assert (out / "ablation.png").read_bytes()[:4] == b"\x89PNG"
    page = (out / "table.md").read_text()
    assert "| + MMM | texts, noise, random masks | 2 |" in page
    assert "(2 pairs)" in page
    assert "all 8 cells are done" in last_line(result)
    for line in content["table"]:
        mine = [cell["mpjpe_mm"] for cell in content["cells"] if cell["row"] == line["row"]]
        assert line["mpjpe_mm"] == pytest.approx(statistics.fmean(mine))


def test_the_numbers_are_those_of_the_evaluate_command(done, shards, tmp_path):
    out, content = shutil.copytree(done[0], tmp_path / "grid"), done[1]
    for cell in content["cells"][:3]:
        folder = out / f"{cell['row']}-seed{cell['seed']}" / "finetune"
        alone = run("evaluate", str(folder), "--data", str(shards), "--format", "json")
        assert alone.exit_code == 0, alone.stderr
        assert json.loads(alone.stdout)["mpjpe_mm"] == cell["mpjpe_mm"]


def test_rows_differ_in_pretraining_and_in_nothing_else(done):
    out, _, _ = done
    tuned = recipes(out, "finetune")
    for seed in (0, 1):
        rows = [tuned[f"{row}-seed{seed}"] for row in ("baseline", "mmm", "map", "both")]
        assert all(row["run.seed"] == seed for row in rows)
        for row in rows[1:]:
            assert {key for key in row if row[key] != rows[0][key]} == {"init.pose"}
    before = recipes(out, "pretrain")
    changed = {
        row: {k for k in before["both-seed0"] if before[f"{row}-seed0"][k] != before["both-seed0"][k]}
        for row in ("mmm", "map")
    }
    assert changed == {
        "mmm": {"loss.lambda_con", "corrupt.noise", "corrupt.share_random"},
        "map": {"corrupt.share_part", "corrupt.share_window"},
    }
    assert len(set(weights(out).values())) == 14  # six pretraining runs and eight fine-tuned ones, all different


def test_fine_tuning_starts_from_the_last_step_of_its_own_pretraining(done):
    out, _, _ = done
    for name, recipe in recipes(out, "finetune").items():
        start = Path(recipe["init.pose"])
        if name.startswith("baseline"):
            assert recipe["init.pose"] == ""
        else:
            assert start.parent.parent == out / name / "pretrain"
            assert checkpoint.find(start).meta["state"]["finished"]


def test_nothing_is_measured_more_than_once(done):
    out, _, _ = done
    for folder in out.glob("*-seed*"):
        assert len(read_lines(folder / "finetune" / "results.jsonl")) == 1
        for log in folder.glob("*/log.jsonl"):
            assert [row for row in read_lines(log) if row.get("event") == "eval"] == []


# --- stopping and going on --------------------------------------------------------------------


def test_stopped_by_the_budget_again_and_again_it_ends_in_the_same_weights_and_table(done, arguments, tmp_path):
    whole, content, _ = done
    out, calls = tmp_path / "grid", 0
    few = [
        *arguments,
        "--rows",
        "both",
        "--seeds",
        "1",
        "--out",
        str(out),
        "--budget-minutes",
        "1e-5",
        "--format",
        "json",
    ]
    for calls in range(1, 40):
        result = run("ablate", *few, *(["--resume"] if calls > 1 else []))
        assert result.exit_code == 0, result.stderr
        now = json.loads(result.stdout)
        if now["reason"] == "done":
            break
        assert "--resume" in last_line(result)
        assert now["missing"][0] in last_line(result)
        assert json.loads((out / "table.json").read_text())["missing"] == now["missing"]
        assert f"Not measured yet: {now['missing'][0]}" in (out / "table.md").read_text()
    assert now["reason"] == "done"
    assert calls >= 6  # a step or an evaluation at a time
    same = {name: value for name, value in weights(whole).items() if name.startswith("both-seed1")}
    assert weights(out) == same
    assert now["cells"] == [cell for cell in content["cells"] if (cell["row"], cell["seed"]) == ("both", 1)]


def test_killed_in_the_middle_it_ends_in_the_same_numbers(done, arguments, tmp_path):
    out = tmp_path / "grid"
    few = ["ablate", *arguments, "--rows", "both", "--seeds", "1", "--out", str(out)]
    code = "import sys, torch; torch.set_num_threads(1); from cli.train import main; main(sys.argv[1:])"
    running = subprocess.Popen([sys.executable, "-c", code, *few], cwd=ROOT, stderr=subprocess.DEVNULL)
    log, until = out / "both-seed1" / "finetune" / "log.jsonl", time.monotonic() + 120
    while not log.exists() and running.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    running.kill()
    running.wait()
    assert log.exists()
    result = run(*few, "--resume", "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert weights(out) == {name: value for name, value in weights(done[0]).items() if name.startswith("both-seed1")}
    assert json.loads(result.stdout)["cells"] == [done[1]["cells"][-1]]


def test_a_signal_saves_says_so_and_ends_with_status_1(arguments, tmp_path, monkeypatch):
    out, real, seen = tmp_path / "grid", training.train, []

    def train(stage, resolved, *more, **named):
        made = real(stage, resolved, *more, **named)
        seen.append(stage)
        return {**made, "finished": False, "reason": "SIGTERM"} if len(seen) == 3 else made

    monkeypatch.setattr(training, "train", train)
    result = run("ablate", *arguments, "--out", str(out), "--format", "json")
    assert result.exit_code == 1
    assert "SIGTERM" in last_line(result)
    assert "1 of 8 cells done" in last_line(result)
    assert [c["row"] for c in json.loads(result.stdout)["cells"]] == ["baseline"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_while_measuring_ends_the_measurement_and_leaves_a_table(done, arguments, tmp_path, monkeypatch, name):
    out = shutil.copytree(done[0], tmp_path / "grid")
    (out / "both-seed1" / "result.json").unlink()
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patched:
        patched.setattr(evaluation, "evaluate", lambda *more, **named: os.kill(os.getpid(), signal.Signals[name]))
        result = run("ablate", *arguments, "--out", str(out), "--resume")
    assert result.exit_code == 1
    assert f"stopped by {name} with 7 of 8 cells done, all saved; missing: both-seed1" in last_line(result)
    assert json.loads((out / "table.json").read_text())["missing"] == ["both-seed1"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_is_finished_is_left_alone_and_rows_and_seeds_can_be_added(done, arguments, tmp_path, monkeypatch):
    out = tmp_path / "grid"
    shutil.copytree(done[0], out)
    trained = []
    real = training.train

    def train(stage, resolved, data, folder, **named):
        trained.append(f"{folder.parent.name}/{stage}")
        return real(stage, resolved, data, folder, **named)

    monkeypatch.setattr(training, "train", train)
    more = ["--rows", "baseline,plain,shuffled", "--row", "still: corrupt.jitter=0.0", "--seeds", "0"]
    result = run("ablate", *arguments, *more, "--out", str(out), "--resume", "--format", "json")
    assert result.exit_code == 0, result.stderr
    added = ("plain", "shuffled", "still")
    assert trained == [f"{row}-seed0/{stage}" for row in added for stage in ("pretrain", "finetune")]
    content = json.loads(result.stdout)
    assert [line["row"] for line in content["table"]] == ["baseline", *added]
    assert content["cells"][0] == done[1]["cells"][0]
    assert set(json.loads((out / "grid.json").read_text())["rows"]) == {
        "baseline", "mmm", "map", "both", *added,
    }  # fmt: skip


def test_another_way_of_measuring_measures_again_and_trains_nothing(done, arguments, tmp_path, monkeypatch):
    out = tmp_path / "grid"
    shutil.copytree(done[0], out)
    monkeypatch.setattr(training, "train", None)
    result = run("ablate", *arguments, "-o", "eval.flip_tta=true", "--out", str(out), "--resume", "--format", "json")
    assert result.exit_code == 0, result.stderr
    cells = json.loads(result.stdout)["cells"]
    assert all(new["mpjpe_mm"] != old["mpjpe_mm"] for new, old in zip(cells, done[1]["cells"], strict=True))


def test_a_run_killed_before_its_config_was_written_starts_again(done, arguments, tmp_path):
    out = tmp_path / "grid"
    shutil.copytree(done[0], out)
    broken = out / "both-seed1" / "finetune"
    shutil.rmtree(broken)
    broken.mkdir()
    (broken / ".config.1.partial.json").write_text("{")
    (out / "both-seed1" / "result.json").write_text('{"mpjpe')
    result = run("ablate", *arguments, "--out", str(out), "--resume", "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["cells"] == done[1]["cells"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["-o", "finetune.lr=0.1"], "finetune.lr: was 0.0002, now 0.1"),
        (["-o", "finetune.steps=9"], "finetune.steps: was 3, now 9"),
        (["-o", "ablate.reading=factors"], "ablate.reading"),
        (["-o", "ablate.target_subjects=['s0']"], "ablate.target_subjects"),
    ],
)
def test_another_grid_in_the_same_folder_is_refused_by_name(done, arguments, change, says):
    result = run("ablate", *arguments, *change, "--out", str(done[0]), "--resume")
    assert result.exit_code == 1
    assert says in result.stderr


def test_a_grid_of_before_a_setting_was_added_had_its_default(done, arguments, tmp_path):
    out = shutil.copytree(done[0], tmp_path / "grid")
    grid = json.loads((out / "grid.json").read_text())
    del grid["settings"]["pose"]["token_to_frames"]
    (out / "grid.json").write_text(json.dumps(grid))
    assert run("ablate", *arguments, "--out", str(out), "--resume").exit_code == 0
    (out / "grid.json").write_text(json.dumps(grid))
    result = run("ablate", *arguments, "-o", "pose.token_to_frames=true", "--out", str(out), "--resume")
    assert (result.exit_code, "pose.token_to_frames: was false, now true" in result.stderr) == (1, True)


def test_other_shards_are_refused(done, arguments, tmp_path):
    other = make_shards(tmp_path / "other", LENGTHS, splits=("train", "val"), seed=9)
    result = run("ablate", *arguments, "--data", str(other), "--out", str(done[0]), "--resume")
    assert result.exit_code == 1
    assert "shards" in result.stderr


def test_a_used_folder_is_refused(done, arguments, tmp_path):
    result = run("ablate", *arguments, "--out", str(done[0]))
    assert result.exit_code == 1
    assert "--resume" in result.stderr
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("dear")
    assert run("ablate", *arguments, "--out", str(tmp_path / "letters"), "--resume").exit_code == 1


# --- how much data ----------------------------------------------------------------------------


STAGES = ("finetune-0.03min", "finetune")


def test_amounts_of_data_share_their_pretraining_and_have_a_table_each(shards, bert, tmp_path):
    out = tmp_path / "grid"
    given = ["--data", str(shards), "--rows", "mmm,both", "--seeds", "0", "--out", str(out)]
    minutes = ["-o", "ablate.minutes=[0.03, 0]", "--format", "json"]
    result = run("ablate", *given, *options(tiny(*STEPS, text=bert)), *minutes)
    assert result.exit_code == 0, result.stderr
    folder = out / "both-seed0"
    assert {"pretrain", "finetune", "finetune-0.03min", "result-0.03min.json"} <= {p.name for p in folder.iterdir()}
    little, whole = (flat(json.loads((folder / name / "config.json").read_text())["recipe"]) for name in STAGES)
    assert {key for key in little if little[key] != whole[key]} == {"data.max_minutes"}
    content = json.loads(result.stdout)
    assert [(line["minutes"], line["row"], line["n"]) for line in content["table"]] == [
        (0.03, "mmm", 1), (0.03, "both", 1), (0.0, "mmm", 1), (0.0, "both", 1),
    ]  # fmt: skip
    errors = {(cell["minutes"], cell["row"]): cell["mpjpe_mm"] for cell in content["cells"]}
    assert {(line["minutes"], line["row"]): line["mpjpe_mm"] for line in content["table"]} == errors
    assert len(set(errors.values())) == 4
    page = (out / "table.md").read_text()
    assert "## Fine-tuned on 0.03 minutes" in page
    assert "## Fine-tuned on all motion" in page
    assert (out / "ablation.png").is_file()
    assert (out / "ablation-0.03min.png").is_file()
    assert [row["minutes"] for row in terminal_rows(content["table"])] == [0.03, 0.03, "all", "all"]
    assert [run for _, run in cells_of(out)] == [out / f"{row}-seed0" / "finetune" for row in ("mmm", "both")]


# --- whose motions ----------------------------------------------------------------------------


def test_subjects_that_play_the_target_are_never_seen_in_pretraining(shards, bert, tmp_path):
    given = [*tiny(*STEPS, text=bert), 'ablate.target_subjects=["s1"]', "ablate.finetune=['data.stride=8']"]
    grid = ablation.Grid(resolve(AblateRecipe, (), given), shards, None, tmp_path / "grid")
    row = grid.rows[-1]
    first, second = (grid.recipe(stage, row, 0) for stage in ("pretrain", "finetune"))
    assert (first.data.subjects_exclude, first.data.subjects_include) == (("s1",), ())
    assert (second.data.subjects_exclude, second.data.subjects_include) == ((), ("s1",))
    assert (first.data.stride, second.data.stride) == (16, 8)
    tables = [training.samples(s, r, grid.shards[s]) for s, r in (("pretrain", first), ("finetune", second))]
    subjects = [set(t.shards.motions["subject"][t.motion].tolist()) for t in tables]
    assert subjects == [{"s0", "s2"}, {"s1"}]


def test_another_target_is_fine_tuned_and_measured_on(shards, bert, tmp_path):
    target = make_shards(tmp_path / "target", LENGTHS, splits=("train", "val"), seed=5)
    edit(target, "train", motions__motion_id=[f"target-train{n}" for n in range(8)])
    edit(target, "val", motions__motion_id=[f"target-val{n}" for n in range(8)])
    out = tmp_path / "grid"
    given = ["--rows", "both", "--seeds", "3", *options(tiny(*STEPS, text=bert))]
    done = run("ablate", "--data", str(shards), "--target", str(target), "--out", str(out), *given)
    assert done.exit_code == 0, done.stderr
    folders = [
        json.loads((out / "both-seed3" / s / "config.json").read_text())["data"] for s in ("pretrain", "finetune")
    ]
    assert [f["folder"] for f in folders] == [str(shards.resolve()), str(target.resolve())]


@pytest.mark.parametrize("setting", ["eval.split=train", "data.split=''"])
def test_pretraining_on_what_is_measured_is_refused(arguments, tmp_path, setting):
    result = run("ablate", *arguments, "-o", setting, "--out", str(tmp_path / "grid"))
    assert result.exit_code == 1
    assert "would see" in result.stderr
    assert not (tmp_path / "grid").exists()


def test_a_dry_run_says_what_each_row_does_and_writes_nothing(arguments, tmp_path):
    result = run("ablate", *arguments, "--out", str(tmp_path / "grid"), "--dry-run", "--format", "json")
    assert result.exit_code == 0, result.stderr
    plan = json.loads(result.stdout)
    assert plan[0]["pretraining"] == "none"
    assert plan[1]["pretraining"].startswith("2 steps of 8")
    assert plan[1]["pretraining"].endswith("frames")
    assert not (tmp_path / "grid").exists()


# --- rows -------------------------------------------------------------------------------------


def test_the_paper_and_the_factors_read_the_table_as_documented():
    base = to_dict(AblateRecipe())
    for reading in ROWS:
        names = [row.name for row in rows_of(AblateConfig(reading=reading))]
        assert names == ["baseline", "mmm", "map", "both"]
    for rows in ROWS.values():
        for changes in rows.values():
            for change in changes:
                key, _, value = change.partition("=")
                assert str(flat(base)[key]).lower() != value.lower(), f"{change} changes nothing"


def test_shuffled_labels_are_the_same_labels_on_other_clips(shards):
    plain, control = (
        pair_samples(ShardSet(shards), DataConfig(clip_frames=32, stride=16, shuffle_labels=on)) for on in (False, True)
    )
    old, new = (table.shards.pairs["text"] for table in (plain, control))
    train = plain.shards.motions["split"][plain.shards.clips["motion"][plain.shards.pairs["clip"]]] == "train"
    assert sorted(old[train]) == sorted(new[train])
    assert (old[train] != new[train]).any()
    assert (old[~train] == new[~train]).all()  # labels of other splits stay where they are
    for column in ("shard", "first", "length", "pair", "view"):
        assert (getattr(plain, column) == getattr(control, column)).all()
    again = pair_samples(ShardSet(shards), control.config)
    assert (again.shards.pairs["text"] == new).all()
    # What else is known of a label goes with it, so no negative is true of the clip as it is now labelled.
    category = dict(zip(old.tolist(), plain.shards.pairs["act_cat"].tolist(), strict=True))
    assert [category[text] for text in new.tolist()] == control.shards.pairs["act_cat"].tolist()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--rows", "baseline,mnm"], "there is no row 'mnm'"),
        (["--row", "nonsense"], "cannot be read"),
        (["--row", "x: loss.lamda_con=1"], "loss.lambda_con"),
        (["--row", "x: finetune.lr=1"], "pretraining alone"),
        (["--row", "both: loss.gamma=0"], "exists already"),
        (["-o", "ablate.checkpoint=best", "-o", "finetune.eval_every=0"], "best"),
        (["--seeds", "1,1"], "repeat"),
    ],
)
def test_rows_that_make_no_sense_are_refused_before_anything_is_made(arguments, tmp_path, given, says):
    result = run("ablate", *arguments, *given, "--out", str(tmp_path / "grid"))
    assert result.exit_code == 1
    assert says in result.stderr
    assert not (tmp_path / "grid").exists()


def test_wrong_usage_is_2(arguments, tmp_path):
    assert run("ablate", "--out", str(tmp_path)).exit_code == 2
    assert run("ablate", *arguments, "--seeds", "a", "--out", str(tmp_path)).exit_code == 2
    assert run("ablate", *arguments, "--budget-minutes", "0", "--out", str(tmp_path)).exit_code == 2


def test_the_best_checkpoint_is_measured_when_asked_for(shards, bert, tmp_path):
    out = tmp_path / "grid"
    given = tiny(*STEPS, "ablate.checkpoint=best", "finetune.steps=6", "ablate.measure_pretraining=true", text=bert)
    done = run("ablate", "--data", str(shards), "--rows", "both", "--seeds", "0", "--out", str(out), *options(given))
    assert done.exit_code == 0, done.stderr
    cell = out / "both-seed0"
    row = json.loads((cell / "result.json").read_text())
    best = checkpoint.find(cell / "finetune")
    assert row["checkpoint"] == best.path.name
    assert row["mpjpe_mm"] == pytest.approx(best.meta["state"]["best"])
    assert len(read_lines(cell / "pretrain" / "results.jsonl")) == 1


def test_without_matplotlib_there_is_a_table_and_the_lack_is_reported(done, arguments, tmp_path, monkeypatch):
    out = tmp_path / "grid"
    shutil.copytree(done[0], out)
    (out / "ablation.png").unlink()
    monkeypatch.setattr(charts, "can_draw", lambda: False)
    result = run("ablate", *arguments, "--out", str(out), "--resume")
    assert result.exit_code == 0, result.stderr
    assert "matplotlib is not installed" in result.stderr
    assert not (out / "ablation.png").exists()
    assert result.stdout.splitlines()[0].split()[:3] == ["row", "n", "mpjpe_mm"]


def test_a_grid_is_not_for_several_processes(arguments, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = run("ablate", *arguments, "--out", str(tmp_path / "grid"))
    assert result.exit_code == 1
    assert "without torchrun" in result.stderr


def test_robustness_takes_a_grid_by_its_rows(done, shards, tmp_path):
    quick = options(['robust.curves=["frames"]', "robust.frames=[0.5]"])
    out = tmp_path / "curves"
    result = run("robustness", str(done[0]), "--data", str(shards), "--out", str(out), "--format", "json", *quick)
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)["rows"]
    assert [row["label"] for row in rows[::2]] == ["baseline"] * 2 + ["mmm"] * 2 + ["map"] * 2 + ["both"] * 2
    assert [row["seed"] for row in rows[::2]] == [0, 1] * 4
    for row in rows[::2]:
        cell = next(c for c in done[1]["cells"] if (c["row"], c["seed"]) == (row["label"], row["seed"]))
        assert row["mpjpe_mm"] == pytest.approx(cell["mpjpe_mm"])


# --- the budget of single runs ----------------------------------------------------------------


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_a_budget_on_the_command_line_is_the_setting(shards, bert, tmp_path, command):
    given = options(tiny("pretrain.steps=50", "finetune.steps=50", "finetune.eval_every=0", text=bert))
    out = ["--data", str(shards), "--out", str(tmp_path / "run")]
    result = run(command, *out, *given, "--budget-minutes", "1e-5", "--format", "json")
    assert result.exit_code == 0, result.stderr
    made = json.loads(result.stdout)
    assert (made["reason"], made["finished"]) == ("budget", False)
    assert "--resume" in last_line(result)
    shown = run(command, *given, "--budget-minutes", "2.5", "--show-config")
    assert "budget_minutes = 2.5  # command line" in shown.stdout


# --- arithmetic -------------------------------------------------------------------------------

NUMBERS = st.floats(1, 500, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(
    base=st.lists(NUMBERS, min_size=1, max_size=6),
    noise=st.data(),
)
def test_what_a_seed_does_to_all_rows_falls_out_of_the_paired_difference(base, noise):
    seeds = list(range(len(base)))
    effect = noise.draw(st.lists(st.floats(-20, 20), min_size=len(base), max_size=len(base)))
    shift = noise.draw(st.lists(st.floats(-100, 100), min_size=len(base), max_size=len(base)))

    def table(moved):
        cells = [{"row": "baseline", "seed": s, "mpjpe_mm": base[s] + moved[s]} for s in seeds]
        cells += [{"row": "both", "seed": s, "mpjpe_mm": base[s] + effect[s] + moved[s]} for s in seeds]
        return {line["row"]: line for line in over_seeds(cells, ["baseline", "both"], seeds)}

    still, moved = table([0.0] * len(base)), table(shift)
    assert still["both"]["mpjpe_mm_change"] == pytest.approx(statistics.fmean(effect), abs=1e-6)
    assert moved["both"]["mpjpe_mm_change"] == pytest.approx(still["both"]["mpjpe_mm_change"], abs=1e-6)
    if len(base) > 1:
        assert moved["both"]["mpjpe_mm_change_sd"] == pytest.approx(statistics.stdev(effect), abs=1e-5)
        assert still["baseline"]["mpjpe_mm_sd"] == pytest.approx(statistics.stdev(base), abs=1e-6)
    else:
        assert still["both"]["mpjpe_mm_sd"] is still["both"]["mpjpe_mm_change_sd"] is None
    assert still["baseline"]["mpjpe_mm_change"] is None
    assert still["both"]["pairs"] == len(base)


@settings(max_examples=60, deadline=None)
@given(there=st.sets(st.tuples(st.sampled_from(["baseline", "mmm", "both"]), st.integers(0, 3))))
def test_a_part_of_a_grid_gives_a_part_of_the_table_with_the_rest_named(there):
    rows, seeds = ["baseline", "mmm", "both"], [0, 1, 2, 3]
    cells = [{"row": r, "seed": s, "mpjpe_mm": 100.0 + s + len(r)} for r, s in sorted(there)]
    table = over_seeds(cells, rows, seeds)
    assert [line["row"] for line in table] == rows
    for line in table:
        assert sorted(line["seeds"] + line["missing"]) == seeds
        assert {(line["row"], s) for s in line["seeds"]} == {one for one in there if one[0] == line["row"]}
        both = {s for r, s in there if r == line["row"]} & {s for r, s in there if r == "baseline"}
        assert line["pairs"] == (0 if line["row"] == "baseline" else len(both))
        if line["pairs"]:
            assert line["mpjpe_mm_change"] == pytest.approx(len(line["row"]) - len("baseline"))
            assert line["mpjpe_mm_change_sd"] in (None, pytest.approx(0.0, abs=1e-9))
    about = {"rows": {}, "against": "baseline", "conditions": {}, "missing": ["x"]}
    assert markdown(table, about).count("\n| ") == 1 + 1 + len(rows)
    assert len(terminal_rows(table)) == len(rows)


def test_a_metric_that_not_all_cells_have_is_left_out():
    cells = [
        {"row": "baseline", "seed": 0, "mpjpe_mm": 1.0, "p_mpjpe_mm": 0.5},
        {"row": "both", "seed": 0, "mpjpe_mm": 2.0},
    ]
    table = over_seeds(cells, ["baseline", "both"], [0])
    assert "p_mpjpe_mm" not in table[0]
    assert table[1]["mpjpe_mm_change"] == 1.0
    assert table[1]["mpjpe_mm_lower"] == 0


def test_conditions_that_differ_between_cells_are_listed_as_they_are():
    cells = [{"split": "val", "frames": 90}, {"split": "val", "frames": 120}, {"split": "val", "frames": 90}]
    assert common_conditions(cells) == {"split": "val", "frames": [90, 120]}


def test_cells_of_a_folder_that_is_no_grid_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"is not a grid"):
        cells_of(tmp_path)
