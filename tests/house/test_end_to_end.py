"""The README's first screen, run as written: only the world is shorter and the training a few steps."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.makers.places import ROOT

SMALLER = {
    "ap-data demo": ["--minutes", "1.5"],
    "ap-train pretrain": ["-o", "pretrain.steps=3", "-o", "loss.negatives=4"],
    "ap-train finetune": ["-o", "finetune.steps=3"],
}


def first_screen() -> list[str]:
    """The commands of the README's block that begins with `ap-data demo`."""
    blocks = re.findall(r"^```\n(ap-data demo.*?)^```", (ROOT / "README.md").read_text("utf-8"), flags=re.M | re.S)
    return blocks[0].splitlines()


def make_demo() -> list[str]:
    """The commands of `make demo`, variables filled in."""
    text = (ROOT / "Makefile").read_text("utf-8").replace("$(DEMO_SHARDS)", "demo/world/shards")
    return re.findall(r"^\t(ap-.*)$", text, flags=re.M)


def test_make_demo_runs_what_the_readme_shows():
    shown = [shlex.split(line) for line in first_screen()]
    made = [[word for word in shlex.split(line) if word != "--resume"] for line in make_demo()]
    for line in shown:
        assert line in made or line[:2] == ["ap-data", "report"]  # make demo reports one more run
    assert shown[-1] == made[-1]


@pytest.mark.slow
def test_the_first_screen_of_the_readme_works(tmp_path):
    tools = Path(sys.executable).parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    for line in first_screen():
        words = shlex.split(line)
        more = SMALLER.get(" ".join(words[:2]), [])
        done = subprocess.run(
            [str(tools / words[0]), *words[1:], *more], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    demo = tmp_path / "demo"
    for gender in ("male", "female", "neutral"):
        assert (demo / "world/smplh" / gender / "model.npz").is_file()
    assert (demo / "world/J_regressor_h36m.npy").is_file()
    assert {path.name for path in (demo / "world/babel").iterdir()} == {"train.json", "val.json"}
    result = json.loads((demo / "with/results.jsonl").read_text().splitlines()[-1])
    assert {"mpjpe_mm", "p_mpjpe_mm", "frames", "protocol", "fingerprint"} <= set(result)
    assert "MPJPE" in (demo / "report.html").read_text("utf-8")
    assert "2D input" in (demo / "film.html").read_text("utf-8")
