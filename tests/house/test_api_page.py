"""The Python that docs/api.md and the notebook show runs as it stands, in a folder where the demo has run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.makers.places import ROOT
from tests.makers.pretrained import pretrained_demo

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    pretrained_demo(folder)
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


def test_the_page_runs_from_top_to_bottom(home: Path, monkeypatch):
    monkeypatch.chdir(home)
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S):
        exec(compile(block, "docs/api.md", "exec"), names)
    assert names["batch"]["pose2d"].shape == (8, names["dataset"].frames, 17, 3)
    assert names["lifted"].poses_3d.shape[1:] == (17, 3)
    assert names["scores"].shape == (3,)
    assert names["error_mm"] > 0


def test_the_notebook_runs_and_is_stored_without_outputs(home: Path, monkeypatch):
    pytest.importorskip("matplotlib").use("agg")
    monkeypatch.chdir(home)
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        assert set(cell) == {"cell_type", "id", "metadata", "source"} | (
            {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        )
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    names["plt"].close("all")
    assert names["lifted"].units == "metres"
