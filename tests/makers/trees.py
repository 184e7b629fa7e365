"""Two folders are the same when these are equal."""

from __future__ import annotations

from pathlib import Path

from actionpose.files import sha256_file


def tree(folder: Path) -> dict[str, str]:
    """Relative path to SHA-256 of every file below a folder."""
    return {str(p.relative_to(folder)): sha256_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}
