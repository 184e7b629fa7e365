"""Where things stand in the repository, for tests at any depth."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
SHARED = Path(os.environ.get("ACTIONPOSE_SHARED") or ROOT.parent / "shared")
"""Motion and cases that are no part of the project; tests that need them are skipped where it is not there."""
