"""Scenes into a file whose suffix says what it becomes: a picture, a film or a page."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from actionpose.errors import UserError
from actionpose.extras import missing
from actionpose.picture.film import Bar, write_film
from actionpose.picture.player import write_page
from actionpose.picture.scene import Scene
from actionpose.picture.still import draw_still

SUFFIXES = (".html", ".mp4", ".gif", ".png")


NEEDS = {".png": ("matplotlib",), ".gif": ("matplotlib", "PIL"), ".mp4": ("matplotlib", "av")}
"""Packages that draw and encode a format."""


def check_suffix(out: Path, possible: Sequence[str] = SUFFIXES) -> str:
    """The suffix of a file to write, in small letters; refuses before long work what cannot be written.

    Raises:
        UserError: none that is known.
        MissingPackageError: what draws or encodes is not installed.
    """
    suffix = out.suffix.lower()
    if suffix not in possible:
        ending = f"'{out.suffix}' is not a format of pictures" if suffix else "its name has no ending"
        raise UserError(f"{out}: {ending}", f"give a name that ends in {', '.join(possible[:-1])} or {possible[-1]}")
    for package in NEEDS.get(suffix, ()):
        if find_spec(package) is None:
            raise missing(ModuleNotFoundError(name=package), f"a {suffix} file", "picture") or AssertionError(package)
    return suffix


def show(scenes: Sequence[Scene], out: Path, *, bar: Bar = iter) -> None:
    """Write scenes: a page holds all of them, the other formats the first.

    Args:
        scenes: at least one.
        out: the file; its suffix is the format.
        bar: shows the progress of a film.

    Raises:
        UserError: an unknown suffix, or the file cannot be written.
        MissingPackageError: what draws or encodes is not installed.
    """
    suffix = check_suffix(out)
    if suffix == ".html":
        write_page(scenes, out)
    elif suffix == ".png":
        draw_still(scenes[0], out)
    else:
        write_film(scenes[0], out, suffix.removeprefix("."), bar=bar)
