"""Lines to type next survive a shell; options of other toolkits lead to settings."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from actionpose.ablation.settings import AblateRecipe
from actionpose.characters import printable
from actionpose.config import check_key
from actionpose.robustness.curves import RobustRecipe
from actionpose.runs.recipe import Recipe
from cli.app import LOGS, SETTINGS
from cli.data import main as ap_data
from cli.lift import main as ap_lift
from cli.output import command_line
from cli.train import main as ap_train
from pipeline.view import summary
from tests.makers.places import ROOT
from tests.makers.shards import make_shards


def test_a_command_line_comes_back_word_by_word():
    words = ["ap-data", "inspect", "my demo/ü 'x'", "--out", "a;b"]
    assert shlex.split(command_line(*words)) == words


def test_a_shell_gives_back_the_bytes_of_a_name_that_is_no_text(tmp_path: Path):
    for name in (b"caf\xe9 's", b"a\x1b[31m\nb", "\u202eé".encode(), b"plain"):
        line = command_line("printf", "%s", os.fsdecode(name))
        assert printable(line) == line
        assert subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout == name


@pytest.mark.parametrize("command", ["inspect", "validate"])
def test_the_next_line_can_be_typed_for_a_path_with_spaces(tmp_path: Path, command: str):
    shards = make_shards(tmp_path / "my shards")
    last = CliRunner().invoke(ap_data, [command, str(shards)]).stderr.splitlines()[-1]
    assert str(shards) in shlex.split(re.split("Next: |violations: ", last)[1])


def test_no_command_puts_a_bare_path_into_a_line_to_type():
    bare = re.compile(r"\bap-(?:data|train|lift) [^\"'`]*\{(?!command_line|where\b|folder\b)")
    found = [
        f"{path.name}:{number}"
        for path in sorted((ROOT / "cli").glob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if bare.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("command", "option", "setting"),
    [
        ("pretrain", "--device", "run.device"),
        ("finetune", "--seed", "run.seed"),
        ("finetune", "--epochs", "finetune.epochs"),
        ("pretrain", "--lr", "pretrain.lr"),
        ("evaluate", "--device", "run.device"),
        ("evaluate", "--batch", "eval.batch"),
        ("robustness", "--seed", "robust.seed"),
        ("ablate", "--epochs", "pretrain.epochs"),
        ("pretrain", "--num-workers", "run.workers"),
    ],
)
def test_an_option_of_other_toolkits_names_the_setting(command: str, option: str, setting: str):
    done = CliRunner().invoke(ap_train, [command, option, "1"])
    assert done.exit_code == 2
    assert f"No such option: {option}; it is a setting: -o {setting}=VALUE" in done.stderr


def test_an_option_about_logs_says_where_they_are():
    for option in LOGS:
        done = CliRunner().invoke(ap_train, ["pretrain", option, "x"])
        assert done.exit_code == 2
        assert "log.jsonl" in done.stderr


def test_errors_are_red_on_a_terminal_that_does_not_refuse_colour(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    wrong = ["inspect", "/nowhere"]
    assert "\x1b[31mError:\x1b[0m there is no /nowhere" in CliRunner().invoke(ap_train, wrong, color=True).stderr
    assert "\x1b" not in CliRunner().invoke(ap_train, wrong).stderr
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in CliRunner().invoke(ap_train, wrong, color=True).stderr


@pytest.mark.parametrize("program", [ap_data, ap_train, ap_lift])
def test_no_list_of_commands_cuts_a_sentence_off(program):
    done = CliRunner().invoke(program, ["--help"], terminal_width=80)
    assert done.exit_code == 0
    assert "..." not in done.stdout.partition("Commands:")[2]


def test_the_settings_named_exist():
    recipes = {"ablate": AblateRecipe, "robustness": RobustRecipe}
    for commands in SETTINGS.values():
        for command, key in commands.items():
            check_key(recipes.get(command, Recipe), key)


def test_an_option_of_other_commands_says_whose_it_is():
    done = CliRunner().invoke(ap_train, ["score", "--lr", "1"])
    assert "score has no such setting; it is one of pretrain, finetune, ablate" in done.stderr


def test_an_output_after_o_leads_to_the_option_for_it():
    done = CliRunner().invoke(ap_data, ["build-babel", "--amass", "x", "-o", "my shards"])
    assert done.exit_code == 2
    assert "where to write is --out 'my shards'" in done.stderr


@pytest.mark.parametrize(("hours", "recipe"), [(0.2, "tiny"), (7.5, "small"), (43.0, "pretrain")])
def test_the_next_line_suits_the_size_of_the_data(tmp_path: Path, monkeypatch, hours: float, recipe: str):
    honest = summary.summary_of
    monkeypatch.setattr(summary, "summary_of", lambda *given: dataclasses.replace(honest(*given), hours=hours))
    last = CliRunner().invoke(ap_data, ["inspect", str(make_shards(tmp_path / "shards"))]).stderr.splitlines()[-1]
    assert f"ap-train pretrain -c {recipe} " in last
    assert ("-o text.model=FOLDER" in last) == (recipe == "pretrain")


def test_a_mistyped_option_still_gets_the_nearest():
    done = CliRunner().invoke(ap_train, ["pretrain", "--dat", "x"])
    assert "--data" in done.stderr
