"""The rules of the house: who may import whom, and what a light import costs.

Arrows run one way: cli → pipeline → the ground files of actionpose, which are the files directly in that folder.
Within a package, rooms (folders) are entered along the table `ARROWS` and in no other way. Someone who only has shards
needs neither dask nor smplx, and `--help` does not wait for torch.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest

from tests.makers.places import ROOT

PACKAGES = ("actionpose", "cli", "pipeline")
GROUND = sorted(path.stem for path in (ROOT / "actionpose").glob("*.py") if path.stem != "__init__")
HEAVY = {"torch", "dask", "distributed", "pandas", "matplotlib", "transformers", "smplx", "trimesh", "scipy"}
HOMES = {
    "dask": "pipeline.engine.runner",
    "distributed": "pipeline.engine.runner",
    "smplx": "pipeline.body.mesh",
    "transformers": "actionpose.model.text_encoder",
}
"""Package → the one module that may name it."""

ARROWS: dict[str, dict[str, tuple[str, ...]]] = {
    "actionpose": {
        "train": ("data", "model"),
        "evaluate": ("data", "model", "train"),
        "runs": ("data", "evaluate", "model", "train"),
        "ablation": ("data", "evaluate", "runs", "train"),
        "robustness": ("data", "evaluate", "runs", "train"),
        "report": ("picture", "runs"),
        "lift": ("data", "model", "picture", "runs", "train"),
        "export": ("lift", "model"),
    },
    "pipeline": {
        "body": ("untrusted",),
        "sources": ("body", "engine", "untrusted"),
        "stages": ("body", "engine", "pack", "sources"),
        "pack": ("engine", "sources"),
        "h36m": ("body", "pack", "sources", "untrusted"),
        "mpi3dhp": ("pack", "sources", "untrusted"),
        "validate": ("engine", "pack", "sources"),
        "view": ("body", "engine", "sources"),
        "doctor": ("body", "engine", "h36m", "mpi3dhp", "pack", "sources", "stages"),
        "demo": ("body", "h36m", "mpi3dhp", "sources"),
        "importers": ("body", "demo", "engine", "untrusted"),
    },
}
"""Package → room → the other rooms it may import from; every package's own files (the ground) are open to all."""

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


def imported_names(path: Path) -> set[str]:
    """Every dotted name a file imports, inside functions too, `import_module("…")` included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            names |= {str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant)}
    return names


DOOR = "actionpose.__init__"
"""`import actionpose as ap` names what is in the rooms and loads it when it is used, so it stands outside the graph."""

IMPORTS = {module: imported_names(path) if module != DOOR else set() for module, path in FILES.items()}
GRAPH = {
    module: {other for other in FILES if other != module and any(f"{n}.".startswith(f"{other}.") for n in names)}
    for module, names in IMPORTS.items()
}
"""Module → our own modules that it imports."""


def users_of(package: str) -> set[str]:
    return {module for module, names in IMPORTS.items() if package in {name.partition(".")[0] for name in names}}


def fresh(code: str, cwd: Path = ROOT) -> str:
    """Run code in a new process that knows nothing of this one, and return what it prints."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV"))}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- who imports whom -------------------------------------------------------------------------


def test_actionpose_imports_neither_pipeline_nor_cli():
    outside = {module: GRAPH[module] for module in GRAPH if module.startswith("actionpose")}
    assert {m: uses for m, uses in outside.items() if any(u.startswith(("pipeline", "cli")) for u in uses)} == {}


def test_pipeline_imports_ground_files_of_actionpose_and_no_room_of_it():
    allowed = {"actionpose", *(f"actionpose.{name}" for name in GROUND)}
    too_much = {
        module: {use for use in uses if use.startswith("actionpose")} - allowed
        for module, uses in GRAPH.items()
        if module.startswith("pipeline")
    }
    assert {module: uses for module, uses in too_much.items() if uses} == {}


def test_ground_files_lean_on_each_other_only():
    allowed = {"actionpose", *(f"actionpose.{name}" for name in GROUND)}
    assert {
        name: GRAPH[f"actionpose.{name}"] - allowed for name in GROUND if GRAPH[f"actionpose.{name}"] - allowed
    } == {}


def room_of(module: str) -> str:
    """Room (folder below its package) of a module; the package's own files are its ground."""
    parts = module.split(".")
    return parts[1] if len(parts) > 2 or (FILES[module].name == "__init__.py" and len(parts) > 1) else "ground"


@pytest.mark.parametrize("package", sorted(ARROWS))
def test_rooms_are_entered_along_the_table_only(package: str):
    seen: dict[str, set[str]] = {}
    for module, uses in GRAPH.items():
        if module.startswith(f"{package}."):
            inside = {room_of(use) for use in uses if use.startswith(f"{package}.")} - {"ground", room_of(module)}
            seen.setdefault(room_of(module), set()).update(inside)
    assert {room: sorted(uses) for room, uses in seen.items() if uses} == {
        room: sorted(uses) for room, uses in ARROWS[package].items() if uses
    }


@pytest.mark.parametrize("package", sorted(ARROWS))
def test_the_table_of_rooms_is_acyclic(package: str):
    order = list(TopologicalSorter(ARROWS[package]).static_order())  # raises CycleError, which names the rooms
    assert set(ARROWS[package]) <= set(order)


def test_nothing_below_the_commands_imports_them():
    assert {m for m, uses in GRAPH.items() if not m.startswith("cli") and any(u.startswith("cli") for u in uses)} == (
        set()
    )


@pytest.mark.parametrize(("package", "home"), HOMES.items())
def test_each_heavy_package_has_one_home(package: str, home: str):
    assert users_of(package) == {home}


def test_data_preparation_names_torch_only_beside_smplx():
    assert {module for module in users_of("torch") if module.startswith("pipeline")} <= {"pipeline.body.mesh"}


def test_no_stage_uses_the_shell_of_another():
    # A stage may use another's readers (keypoints reads motions as amass does), never its run.
    shells = {
        f"{module}.{node.name}": module
        for module, path in FILES.items()
        if module.startswith("pipeline") and module != "pipeline.engine.stage"
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.endswith("_stage")
    }
    assert len(shells) == 6
    users = {module for module, names in IMPORTS.items() if names & set(shells) and module.startswith("pipeline")}
    assert users == {"pipeline.stages.build"}


def test_imports_are_acyclic():
    order = list(TopologicalSorter(GRAPH).static_order())  # raises CycleError, which names the cycle
    assert set(order) == set(FILES)


def test_packages_do_nothing_on_import():
    # But for the door, and for the package that can be called: `ap.lift(…)`.
    written = {module for module, path in FILES.items() if path.name == "__init__.py" and path.read_text().strip()}
    assert written == {DOOR, "actionpose.lift.__init__"}


def test_the_door_loads_nothing_until_it_is_used():
    code = "import sys, typing; before = set(sys.modules); import actionpose; print(*set(sys.modules) - before)"
    assert set(fresh(code).split()) <= {"actionpose", "__future__"}


@pytest.mark.parametrize("use", ["open_shards", "metrics.mpjpe", "UserError", "__dir__()", "__version__", "lift"])
def test_what_needs_no_torch_does_not_load_it(use: str):
    assert set(fresh(f"import sys, actionpose as ap; ap.{use}; print(*sys.modules)").split()) & HEAVY == set()


def test_every_module_says_in_its_first_line_what_it_is():
    for module, path in FILES.items():
        if path.name != "__init__.py":
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            assert docstring, module
            assert docstring.splitlines()[0].strip(), module


# --- what an import costs ---------------------------------------------------------------------


@pytest.mark.parametrize("module", [f"actionpose.{name}" for name in GROUND])
def test_a_light_module_stays_light(module: str):
    loaded = set(fresh(f"import sys, {module}; print(*sys.modules)").split())
    assert module in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("command", ["cli.data", "cli.train", "cli.lift"])
def test_help_does_not_wait_for_what_only_work_needs(command: str):
    code = f"""
import sys
from {command} import main
try:
    main(["--help"])
except SystemExit as ended:
    assert not ended.code
print("LOADED", *sys.modules)
"""
    text, _, loaded = fresh(code).partition("LOADED")
    assert "Usage:" in text
    assert set(loaded.split()) & HEAVY == set()


def test_no_command_waits_for_a_compiler_that_it_does_not_use():
    # torch's compiler takes longer to import than everything else together.
    code = """
import sys
import actionpose.lift.actions, actionpose.runs.evaluate, actionpose.train.runtime
with actionpose.train.runtime.start(actionpose.train.runtime.RunConfig()):
    print(*sys.modules)
"""
    assert {"torch._dynamo", "torch._inductor", "transformers", "scipy.ndimage"} & set(fresh(code).split()) == set()


# --- names that others could claim ------------------------------------------------------------


def test_exactly_three_packages_are_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert sorted(found) == [f"{package}*" for package in sorted(PACKAGES)]
    installed = {name for name, owners in metadata.packages_distributions().items() if "actionpose" in owners}
    assert {name for name in installed if not name.startswith("__editable__")} == set(PACKAGES)


def test_pipeline_and_cli_are_ours_wherever_one_stands(tmp_path: Path):
    # Both names are generic; a folder of that name where the user stands must not win over ours.
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "__init__.py").write_text("")
    code = "import actionpose, cli, pipeline; print(actionpose.__file__, cli.__file__, pipeline.__file__, sep='\\n')"
    for folder in (ROOT, tmp_path):
        homes = {Path(line).parent.parent.resolve() for line in fresh(code, cwd=folder).split("\n") if line}
        assert homes == {ROOT.resolve()}
