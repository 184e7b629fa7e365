"""Version and commit of the toolkit, as runs and results record them."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path


def toolkit_version() -> str:
    """Version of the installed toolkit, `unknown` when it runs from a bare checkout."""
    try:
        return metadata.version("actionpose")
    except metadata.PackageNotFoundError:
        return "unknown"


def toolkit_commit() -> str:
    """Commit of the checkout that the toolkit runs from, with `-dirty` when files differ; empty when there is none."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        return ""
    command = ("git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
