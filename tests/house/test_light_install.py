"""`pip install actionpose` without extras: shards are read, and what needs more says what to install."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.makers.shards import make_shards
from tests.makers.wheel import environment_with, run

CORE = ("click", "h5py", "numpy")


@pytest.fixture(scope="module")
def core(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment with the wheel and what it requires without extras, nothing else."""
    return environment_with(wheel, tmp_path_factory.mktemp("core"), only=CORE) / "bin"


def test_it_requires_the_core_alone(core: Path, tmp_path: Path):
    code = "from importlib import metadata; print(*[r for r in metadata.requires('actionpose') if 'extra ==' not in r])"
    required = run(core / "python", "-c", code, cwd=tmp_path).stdout.split()
    assert {name.partition(">")[0] for name in required} == set(CORE)
    missing = "import importlib.util as u; print([n for n in ('torch', 'tqdm', 'dask', 'scipy') if u.find_spec(n)])"
    assert run(core / "python", "-c", missing, cwd=tmp_path).stdout.strip() == "[]"


def test_it_reads_shards(core: Path, tmp_path: Path):
    shards = make_shards(tmp_path / "shards")
    code = """
import sys
import actionpose as ap
shards = ap.open_shards(sys.argv[1])
shards.verify()
frames = shards.clip_frames(0)
print(frames.shape, len(shards.pairs["text"]), ap.metrics.mpjpe(frames, 0 * frames).shape)
"""
    assert run(core / "python", "-c", code, shards, cwd=tmp_path).stdout == "(20, 17, 3) 8 (20,)\n"
    shown = run(core / "ap-data", "inspect", shards, "--format", "json", cwd=tmp_path).stdout
    assert json.loads(shown)["fingerprint"].startswith("sha256:")


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("ap-train", "pretrain", "--data", "shards", "--out", "run"), "train"),
        (("ap-lift", "run", "keypoints.json", "-o", "out.npz"), "lift"),
        (("ap-data", "demo", "--out", "demo"), "data"),
        (("ap-data", "build-babel", "--out", "shards", "--work", "work", "--workers", "2"), "cluster"),
    ],
)
def test_a_command_that_needs_more_is_one_sentence(core: Path, tmp_path: Path, command: tuple[str, ...], extra: str):
    printed = run(core / command[0], *command[1:], cwd=tmp_path, status=1).stderr
    sentence = r"Error: .* needs? the package '\w+', which is not installed\n  → pip install 'actionpose\[(\w+)\]'\n"
    found = re.fullmatch(sentence, printed)
    assert found, printed
    assert found[1] == extra
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("use", "extra"), [("load('run')", "lift"), ("pairs('shards')", "train"), ("lift(1)", "lift")])
def test_so_is_a_name_of_the_python_door(core: Path, tmp_path: Path, use: str, extra: str):
    code = f"import actionpose as ap\ntry: ap.{use}\nexcept ImportError as error: print(error)"
    printed = run(core / "python", "-c", code, cwd=tmp_path).stdout
    assert printed.startswith(f"actionpose.{use.partition('(')[0]} needs the package '")
    assert printed.endswith(f"pip install 'actionpose[{extra}]'\n")
