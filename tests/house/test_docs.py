"""What the pages promise is there: every command, every option, every link, every make target."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
from functools import cache
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from actionpose.schema import COLUMNS, Summary
from actionpose.shards import write_index
from scripts import make_reference
from tests.house.test_layers import ARROWS
from tests.makers.places import ROOT

README = ROOT / "README.md"
MANIFESTS = ROOT / "manifests" / "README.md"
ELSEWHERE = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", MANIFESTS, ROOT / "benchmarks" / "README.md"]
PAGES = [*ELSEWHERE, *sorted((ROOT / "docs").glob("**/*.md"))]
GENERATED = {ROOT / "docs" / "cli.md", MANIFESTS}


@cache
def commands() -> dict[str, click.Command]:
    """`ap-data inspect` → command, the groups themselves included."""
    return {
        context.command_path: context.command
        for name, group in make_reference.programs().items()
        for context in make_reference.contexts(name, group)
    }


def shell_lines(page: Path) -> list[str]:
    """Lines of fenced blocks, continued lines joined, the prompt of a console dropped."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, flags=re.M | re.S)
    return [line.strip().removeprefix("$ ") for block in blocks for line in block.replace("\\\n", " ").splitlines()]


# --- commands ---------------------------------------------------------------------------------


def test_help_of_every_command_renders_and_says_something():
    assert {"ap-data", "ap-train"} <= set(commands())
    for path, command in commands().items():
        done = CliRunner().invoke(command, ["--help"], prog_name=path)
        assert done.exit_code == 0, f"{path}: {done.output}"
        assert "Usage:" in done.stdout
        assert command.help, f"{path} has no help"


def test_every_option_and_argument_is_explained():
    silent = [
        f"{path} {option.opts[-1]}"
        for path, command in commands().items()
        for option in command.params
        if isinstance(option, click.Option) and not (option.help or option.hidden)
    ]
    assert silent == []


def test_generated_pages_are_what_the_code_says():
    assert set(make_reference.PAGES) == GENERATED
    for path, make in make_reference.PAGES.items():
        assert path.read_text(encoding="utf-8") == make(), f"run `make docs` and commit {path.name}"


def test_every_command_appears_in_the_readme():
    text = README.read_text(encoding="utf-8")
    assert [path for path in commands() if not re.search(rf"\b{re.escape(path)}\b", text)] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page not in GENERATED], ids=lambda page: page.name)
def test_command_lines_on_a_page_could_be_typed(page: Path):
    for line in shell_lines(page):
        words = shlex.split(line, comments=True) if line.startswith("ap-") else []
        if not words:
            continue
        group = commands()[words[0]]
        if len(words) == 1 or words[1].startswith("-"):
            continue
        path = f"{words[0]} {words[1]}"
        assert path in commands(), f"{page.name}: {line}"
        known = {"-h", "--help", *(name for option in commands()[path].params for name in option.opts)}
        known |= {name for option in commands()[path].params for name in option.secondary_opts}
        used = {word.partition("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)}
        assert used <= known, f"{page.name}: {line}"
        assert isinstance(group, click.Group)


def test_commands_named_in_running_text_exist():
    for page in PAGES:
        for program, name in re.findall(r"`(ap-[a-z]+) ([a-z][a-z0-9-]*)[ `]", page.read_text(encoding="utf-8")):
            assert f"{program} {name}" in commands(), f"{page.name}: {program} {name}"


OURS = {"actionpose", "pipeline", "cli"}


def test_python_on_a_page_parses_and_imports_what_exists():
    for page in PAGES:
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS:
                    module = importlib.import_module(node.module)
                    assert [a.name for a in node.names if not hasattr(module, a.name)] == [], page.name


# --- make -------------------------------------------------------------------------------------


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))


def test_make_targets_named_on_a_page_exist():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = set(re.findall(r"`make ([a-z][a-z-]*)`", text))
        named |= {line.split()[1] for line in shell_lines(page) if re.match(r"make [a-z]", line)}
        assert named <= make_targets(), page.name


def test_make_alone_explains_every_target():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    explained = set(re.findall(r"^([a-z][a-z-]*):[^#\n]*## .", text, flags=re.M))
    assert {"install", "demo", "test", "check", "format", "bench", "docs", "clean"} <= explained
    assert make_targets() == explained


# --- pages ------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The heading anchors of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), f"{page.name} → {target}"
        assert not anchor or anchor in anchors(linked), f"{page.name} → {target}"


def test_the_formats_page_names_every_column_and_key_of_a_shard(tmp_path: Path):
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    index = write_index(
        tmp_path, kind="benchmark", fps=50, views=[], shards=[], summary=Summary(), provenance={}, licence=""
    )
    names = {*index, *(column for columns in COLUMNS.values() for column in columns)}
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


def test_the_design_page_draws_the_arrows_that_are_checked():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    for package, arrows in ARROWS.items():
        table = text.partition(f"| `{package}/` |")[2].partition("\n\n")[0]
        rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
        drawn = {cells[1].strip(" `"): set(re.findall(r"`(\w+)`", cells[3])) for cells in rows}
        assert {folder: uses for folder, uses in drawn.items() if uses} == {f: set(uses) for f, uses in arrows.items()}
        folders = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
        assert set(drawn) == folders, package


def test_every_page_is_reached_from_the_index():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert [p.name for p in (ROOT / "docs").glob("*.md") if p.name != "index.md" and f"({p.name})" not in index] == []


def test_nothing_names_the_machine_it_was_written_on():
    machine = re.compile(r"(?<![\w.~])/(?:home|root|Users|work|mnt|srv|opt)/\w|\.\./shared\b")
    places = [*PAGES, ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / "constraints.txt"]
    for folder in ("actionpose", "pipeline", "cli", "manifests", "scripts", "benchmarks", ".ci"):
        places += [p for p in (ROOT / folder).rglob("*") if p.suffix in {".py", ".toml", ".md", ".txt", ".json", ""}]
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in places
        if path.is_file()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if machine.search(line)
    ]
    assert found == []
