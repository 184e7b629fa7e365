"""Inputs that once gave a wrong answer give the right one; skipped where they are not at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases.case import CASES
from tests.cases.run_cases import cases_folder


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_case_gives_the_right_answer(name: str, tmp_path: Path):
    folder = cases_folder() / name
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}; set ACTIONPOSE_SHARED to the folder that holds cases/")
    assert CASES[name](folder, tmp_path) == ""
