"""`ap-train` as a user types it: exit status, last line, what it writes and what it leaves alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from actionpose.progress import Progress
from actionpose.runs import folder as run_folder
from actionpose.runs.kept import load_kept
from cli.train import main
from tests.makers.places import ROOT
from tests.makers.shards import options, tiny


def test_options_that_do_not_go_together_are_refused():
    both = run("evaluate", "run", "--robustness", "--predictions", "poses.npz")
    assert (both.exit_code, "leave --predictions out" in both.stderr) == (2, True)


@pytest.fixture(scope="module")
def finetuned(shards, tmp_path_factory):
    """A run to look at; tests leave it as it is."""
    out = tmp_path_factory.mktemp("run") / "run"
    done = run("finetune", "--data", str(shards), "--out", str(out), *options(tiny("finetune.steps=2")))
    assert done.exit_code == 0, done.stderr
    return out


def run(*arguments: str):
    return CliRunner().invoke(main, list(arguments), prog_name="ap-train")


def last_line(result) -> str:
    return result.stderr.strip().splitlines()[-1]


# --- the whole way ----------------------------------------------------------------------------


def test_pretrain_finetune_evaluate_inspect(shards, bert, tmp_path):
    first, second = tmp_path / "pre", tmp_path / "tuned"
    done = run("pretrain", "--data", str(shards), "--out", str(first), *options(tiny("pretrain.steps=3", text=bert)))
    assert done.exit_code == 0, done.stderr
    assert f"ap-train finetune --data {shards} --init {first}" in last_line(done)
    assert sorted(p.name for p in first.iterdir()) == ["checkpoints", "config.json", "config.toml", "log.jsonl"]

    more = tiny("finetune.steps=3")
    done = run(
        "finetune",
        "--data",
        str(shards),
        "--init",
        str(first),
        "--out",
        str(second),
        "--format",
        "json",
        *options(more),
    )
    assert done.exit_code == 0, done.stderr
    made = json.loads(done.stdout)
    assert (made["command"], made["step"], made["finished"]) == ("finetune", 3, True)
    assert f"ap-train evaluate {second} --data {shards}" in last_line(done)

    done = run("evaluate", str(second), "--data", str(shards), "--format", "json")
    assert done.exit_code == 0, done.stderr
    row = json.loads(done.stdout)
    assert {"mpjpe_mm", "p_mpjpe_mm", "frames", "protocol", "fingerprint"} <= set(row)
    assert 0 < row["p_mpjpe_mm"] < row["mpjpe_mm"] < 2000
    assert row["pretrained"] is True
    assert row["frames"] == 2 * 300
    assert 0 < row["baselines"]["mean_pose"]["mpjpe_mm"] < 2000
    assert f"the mean pose of the training motions has MPJPE {row['baselines']['mean_pose']['mpjpe_mm']:.1f}" in (
        last_line(done)
    )

    kept = load_kept(second / "clips.npz")
    assert kept.about["fingerprint"] == row["fingerprint"]
    assert 0 < kept.errors(0).mean() < 2000
    assert kept.masked_clip == -1
    done = run("evaluate", str(first), "--data", str(shards), "--format", "json")
    assert done.exit_code == 0, done.stderr
    whole = load_kept(first / "clips.npz")
    assert np.array_equal(whole.clip, kept.clip)
    assert whole.masked.shape == (3, len(whole.errors(whole.masked_clip)), 17, 3)
    assert len(whole.features) == len(whole.feature_label) > 0

    done = run("inspect", str(second), "--format", "json")
    assert done.exit_code == 0, done.stderr
    about = json.loads(done.stdout)
    assert about["starts_from"] == str(first)
    assert about["state"]["step"] == 3
    assert about["results"]["1"]["mpjpe_mm"] == row["mpjpe_mm"]
    assert {"step", "mpjpe_mm", "clips_per_s", "weighted_losses"} == set(about["last"])


def test_no_part_of_training_and_measuring_is_silent(shards, bert, tmp_path, monkeypatch):
    """What comes before, between and after the steps says how far it is, and counts to its end."""
    works: list[Progress] = []
    enter = Progress.__enter__
    monkeypatch.setattr(Progress, "__enter__", lambda self: (works.append(self), enter(self))[1])
    given = options(tiny("pretrain.steps=2", "pretrain.eval_every=1", text=bert))
    done = run("pretrain", "--data", str(shards), "--out", str(tmp_path / "run"), *given)
    assert done.exit_code == 0, done.stderr
    assert done.stderr.startswith("loading torch\n")
    trained, works[:] = {work.what: (work.done, work.total) for work in works}, []
    done = run("evaluate", str(tmp_path / "run"), "--data", str(shards))
    assert done.exit_code == 0, done.stderr
    assert done.stderr.startswith("loading torch\n")
    measured = {work.what: (work.done, work.total) for work in works}
    assert {"comparing labels", "measuring on held-out motions", "embedding labels"} <= trained.keys()
    assert {"measuring", "measuring mean pose", "encoding labelled clips", "embedding labels"} <= measured.keys()
    assert all(made == total > 0 for made, total in (*trained.values(), *measured.values()))


def test_a_run_can_be_repeated_from_its_own_config(shards, finetuned, tmp_path):
    again = tmp_path / "again"
    done = run("finetune", "-c", str(finetuned / "config.toml"), "--data", str(shards), "--out", str(again))
    assert done.exit_code == 0, done.stderr
    names = [next(p.glob("checkpoints/step_000002/weights.safetensors")) for p in (finetuned, again)]
    assert names[0].read_bytes() == names[1].read_bytes()


def test_evaluation_changes_only_what_is_asked(shards, finetuned):
    plain = json.loads(run("evaluate", str(finetuned), "--data", str(shards), "--format", "json").stdout)
    train = json.loads(
        run("evaluate", str(finetuned), "--data", str(shards), "--split", "train", "--format", "json").stdout
    )
    clean = json.loads(
        run("evaluate", str(finetuned), "--data", str(shards), "-o", "data.detections=clean", "--format", "json").stdout
    )
    assert (plain["split"], train["split"]) == ("val", "train")
    assert plain["detections"] == "noise"
    assert clean["detections"] == "clean"
    assert clean["mpjpe_mm"] != plain["mpjpe_mm"]
    table = run("evaluate", str(finetuned), "--data", str(shards))
    assert table.stdout.split()[:4] == ["what", "mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm"]
    assert re.search(r"^protocol +orthographic$", table.stdout, flags=re.M)


def test_tables_have_no_empty_rows_and_few_digits(shards, tmp_path):
    done = run("finetune", "--data", str(shards), "--out", str(tmp_path / "run"), *options(tiny("finetune.steps=1")))
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["run", "steps", "time", "best"]
    assert all(len(line.split()) > 1 for line in done.stdout.splitlines())
    table = run("evaluate", str(tmp_path / "run"), "--data", str(shards)).stdout.split("\n\n")[0]
    assert re.search(r"^baseline: mean pose +\d", table, flags=re.M)
    assert re.search(r"\d\.\d\d", table) is None


# --- nothing happens unasked ------------------------------------------------------------------


def test_dry_run_touches_nothing(shards, tmp_path):
    done = run(
        "finetune",
        "--data",
        str(shards),
        "--out",
        str(tmp_path / "run"),
        "--dry-run",
        "--format",
        "json",
        *options(tiny()),
    )
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["samples"] > 0
    assert not (tmp_path / "run").exists()
    assert "nothing was made" in last_line(done)


def test_a_dry_run_says_what_it_would_need_that_is_not_there(shards, tmp_path):
    wanted = ("--init", "no/weights.bin", "-o", "text.model=no/bert", "-o", "loss.lambda_con=0.1")
    there = ("pretrain", "--data", str(shards), "--out", str(tmp_path / "run"), "--dry-run", "--format", "json")
    plan = json.loads(run(*there, *options(tiny()), *wanted).stdout)
    assert plan["starts_from"] == "no/weights.bin (not there)"
    assert plan["text_model"] == "no/bert (not there)"
    assert plan["longest"] <= 243


def test_show_config_needs_no_data_and_says_where_values_come_from():
    done = run("pretrain", "-c", "tiny", "-o", "run.seed=7", "--init", "x.bin", "--show-config")
    assert done.exit_code == 0, done.stderr
    assert "seed = 7  # -o" in done.stdout
    assert 'model = "minilm"  # tiny' in done.stdout
    assert 'pose = "x.bin"  # command line' in done.stdout
    assert "# the paper's 5e-4" not in done.stdout.splitlines()
    assert any(line.startswith("# passes over the samples") for line in done.stdout.splitlines())


def test_resume_of_nothing_starts_from_the_beginning(shards, tmp_path):
    done = run(
        "finetune",
        "--data",
        str(shards),
        "--out",
        str(tmp_path / "new"),
        "--resume",
        *options(tiny("finetune.steps=1")),
    )
    assert done.exit_code == 0, done.stderr


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["pretrain", "--out", "x"], 2, "--data"),
        (["finetune", "--data", "x"], 2, "--out"),
        (["evaluate"], 2, "RUN"),
        (["pretrian"], 2, "did you mean 'pretrain'"),
        (["pretrain", "--nonsense"], 2, "nonsense"),
        (["pretrain", "-c", "tinny", "--data", "x", "--out", "y"], 1, "shipped recipes: "),
        (["finetune", "--data", "/nowhere", "--out", "y"], 1, "there is no /nowhere"),
        (["finetune", "-o", "pose.dim=3", "--data", "x", "--out", "y"], 1, "did you mean 'pose.dim"),
        (["evaluate", "/nowhere", "--data", "x"], 1, "there is no /nowhere"),
        (["inspect", "/nowhere"], 1, "there is no /nowhere"),
        (["pretrain", "--data", "x", "--out", "y", "-o", "pretrain.steps=-5"], 1, "steps=-5 must be at least 0"),
        (["pretrain", "--data", "x", "--out", "y", "-o", "pretrain.decay=1.5"], 1, "decay=1.5 must be a share"),
        (["pretrain", "--data", "x", "--out", "y", "-o", "corrupt.share_part=2"], 1, "share_part=2.0 must be a share"),
    ],
)
def test_wrong_usage_is_2_and_wrong_input_is_1_and_both_say_what_to_do(arguments, code, says):
    done = run(*arguments)
    assert done.exit_code == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_shards_and_runs_in_each_others_place_are_named(shards, finetuned, tmp_path):
    done = run("evaluate", str(shards), "--data", str(shards))
    assert f"{shards} is a shard folder, not a run" in done.stderr
    done = run("finetune", "--data", str(shards), "--init", str(shards), "--out", str(tmp_path / "x"))
    assert f"{shards} is a shard folder, not a run" in done.stderr
    done = run("evaluate", str(finetuned), "--data", str(finetuned))
    assert f"{finetuned} is a run of ap-train, not a shard folder" in done.stderr


def test_a_training_that_cannot_start_leaves_no_folder(shards, tmp_path):
    out = tmp_path / "run"
    done = run("pretrain", "--data", str(shards), "--out", str(out), *options(tiny(text=tmp_path / "no-bert")))
    assert done.exit_code == 1
    assert "no-bert" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_predictions_for_shards_of_motion_are_refused_with_the_real_reason(shards, tmp_path):
    np.savez(tmp_path / "p.npz", TS1=np.zeros((4, 17, 3)))
    done = run("score", str(tmp_path / "p.npz"), "--data", str(shards))
    assert done.exit_code == 1
    assert "holds motion, not a benchmark's videos" in done.stderr
    assert "-o data.split" not in done.stderr


def test_ctrl_c_says_what_is_left(shards, finetuned, monkeypatch):
    from actionpose.runs import evaluate

    monkeypatch.setattr(evaluate, "load_model", lambda found, **how: (_ for _ in ()).throw(KeyboardInterrupt))
    done = run("evaluate", str(finetuned), "--data", str(shards))
    assert done.exit_code == 1
    assert last_line(done) == "Error: stopped by Ctrl-C; nothing was written"


def test_an_occupied_folder_is_refused_with_both_ways_out(shards, finetuned):
    done = run("finetune", "--data", str(shards), "--out", str(finetuned), *options(tiny()))
    assert done.exit_code == 1
    assert "--resume" in done.stderr
    assert "another folder" in done.stderr


def test_a_damaged_checkpoint_is_named(shards, finetuned, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(finetuned, copy)
    path = next(copy.glob("checkpoints/step_*/weights.safetensors"))
    path.write_bytes(path.read_bytes()[:-8])
    done = run("evaluate", str(copy), "--data", str(shards))
    assert done.exit_code == 1
    assert str(path) in done.stderr


def test_a_bug_asks_for_debug_and_debug_shows_where(shards, finetuned, monkeypatch):
    def broken(run):
        raise RuntimeError("no such luck")

    monkeypatch.setattr(run_folder, "inspect", broken)
    plain, loud = run("inspect", str(finetuned)), run("inspect", str(finetuned), "--debug")
    assert plain.exit_code == loud.exit_code == 1
    assert "--debug" in plain.stderr
    assert "Traceback" not in plain.stderr
    assert "Traceback" in loud.stderr


# --- help -------------------------------------------------------------------------------------


def test_help_names_every_command_and_loads_nothing_heavy():
    code = """
import sys
from click.testing import CliRunner
from cli.train import main
texts = [CliRunner().invoke(main, [*name, "-h"]).output for name in ([], ["pretrain"], ["evaluate"], ["inspect"])]
assert all(word in texts[0] for word in ("pretrain", "finetune", "evaluate", "inspect")), texts[0]
assert "--resume" in texts[1] and "tiny" in texts[1]
heavy = {"torch", "dask", "pandas", "transformers", "h5py"} & set(sys.modules)
sys.exit(", ".join(sorted(heavy)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
