"""Optional packages, grouped by purpose: which `pip install` line brings a package that is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from actionpose.errors import UserError

EXTRAS: dict[str, tuple[str, ...]] = {
    "train": ("torch", "safetensors", "transformers", "scipy", "tqdm"),
    "lift": ("torch", "safetensors", "scipy", "tqdm"),
    "data": ("blake3", "deflate", "threadpoolctl", "tqdm"),
    "mesh": ("smplx", "trimesh", "torch"),
    "cluster": ("dask", "distributed"),
    "export": ("ezc3d", "onnx", "onnxruntime", "onnxscript", "trimesh"),
    "picture": ("matplotlib", "PIL", "av", "sklearn"),
    "pandas": ("pandas",),
}
"""Extra of pyproject.toml → what it brings, by import name. The first extra with a package is the one advised."""


class MissingPackageError(UserError, ImportError):
    """An optional package is not installed; the hint is the line that installs it."""


def missing(error: ModuleNotFoundError, purpose: str, extra: str = "") -> MissingPackageError | None:
    """The sentence for a package that is not installed; None when it is none of ours.

    Args:
        error: from the import.
        purpose: what needs the package, such as "`ap-train pretrain`".
        extra: the extra to advise if it brings the package.
    """
    package = (error.name or "").partition(".")[0]
    bringing = [name for name, packages in EXTRAS.items() if package in packages]
    if not bringing:
        return None
    chosen = extra if extra in bringing else bringing[0]
    return MissingPackageError(
        f"{purpose} needs the package '{package}', which is not installed", f"pip install 'actionpose[{chosen}]'"
    )


def require(extra: str, purpose: str) -> None:
    """Refuse before long work what would fail in its middle.

    Raises:
        MissingPackageError: a package of the extra is not installed.
    """
    for package in EXTRAS[extra]:
        if find_spec(package) is None:
            raise missing(ModuleNotFoundError(name=package), purpose, extra) or AssertionError(package)


@contextmanager
def needed_for(purpose: str, extra: str = "") -> Iterator[None]:
    """Around the import of an optional package, or of a module of ours that imports one.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if found := missing(error, purpose, extra):
            raise found from error
        raise
