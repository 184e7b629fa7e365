"""Model pickles read without running them: arrays come out, nothing else can come in.

The `.pkl` files of the SMPL, SMPL+H and MANO sites are Python 2 pickles that name classes of `chumpy`, which no
longer installs, and of `scipy.sparse`. Unpickling calls whatever a file names, so the names allowed here are few:
numpy's array reconstruction, plain builtins, and empty holders in place of chumpy's classes and scipy's matrices,
whose contents are put together afterwards. Any other name is refused before it is looked up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from actionpose import isolated
from actionpose.characters import shell_word
from actionpose.errors import UserError
from actionpose.files import atomic_path, require_file
from pipeline.body.smplh import DOWNLOAD, N_BETAS, load_body, model_kind, normalise_gender
from pipeline.untrusted.holders import Holder, as_array
from pipeline.untrusted.pickles import Restricted, array_names, unpickle

MAX_BYTES = 2_000_000_000
"""The largest of these models is under 400 MB."""

MEMBERS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
"""What a body file needs (reference formats, section 2.1)."""

_SPARSE = {"scipy.sparse.csc", "scipy.sparse._csc", "scipy.sparse"}


def _reconstructor(cls: Any, base: Any, state: Any) -> Any:
    """Python 2's way of making an object of a class; here only ever a holder."""
    return Holder()


def _model_names() -> dict[tuple[str, str], Any]:
    names = array_names()
    for module in ("copy_reg", "copyreg"):
        names[module, "_reconstructor"] = _reconstructor
    for module in ("__builtin__", "builtins"):
        names[module, "object"] = Holder  # the base that is handed to `_reconstructor`
    for module in _SPARSE:
        names.update({(module, name): Holder for name in ("csc_matrix", "csc_array")})
    return names


class _Reader(Restricted):
    """What plain data need, and holders for chumpy and scipy."""

    table: ClassVar[dict[tuple[str, str], Any]] = _model_names()

    def find_class(self, module: str, name: str) -> Any:
        return Holder if module.partition(".")[0] == "chumpy" else super().find_class(module, name)


def read_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a pickle, chumpy and sparse members as `Holder`; see `as_array`.

    For `model_members`, which runs in a child process.

    Raises:
        UserError: not there, damaged, no dictionary, or it names something that models do not need.
    """
    size = require_file(path).st_size
    if size > MAX_BYTES:
        raise UserError(f"{path} has {size:,} bytes: no body model is that large", DOWNLOAD)
    loaded = unpickle(path, _Reader, what="body models", source=DOWNLOAD)
    if not isinstance(loaded, dict):
        raise UserError(f"{path} holds a {type(loaded).__name__}, not the members of a model", DOWNLOAD)
    return {str(key): value for key, value in loaded.items()}


def model_members(path: Path) -> dict[str, NDArray[Any]]:
    """Those of `MEMBERS` that a pickle has, as arrays; called in a child process.

    Raises:
        UserError: see `read_pickle`; a member that cannot be made an array.
    """
    members = read_pickle(path)
    arrays = {}
    for name in MEMBERS:
        if name in members:
            try:
                arrays[name] = as_array(members[name])
            except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
                raise UserError(f"{path}: {name} cannot be read: {error}", f"download it again: {DOWNLOAD}") from error
    return arrays


# --- what it is, and what can be made of it ---------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """What a model pickle holds: `kind` as `body.model_kind` names it, its sizes, and whether AMASS can use it."""

    kind: str
    vertices: int
    betas: int
    sentence: str
    convertible: bool
    arrays: dict[str, NDArray[Any]]


def recognise(path: Path) -> Recognised:
    """Look into a model pickle.

    Raises:
        UserError: see `read_pickle`.
    """
    require_file(path)
    with open(path, "rb") as handle:
        if handle.read(4) == b"PK\x03\x04":
            raise UserError(
                f"{path} is an .npz already: there is nothing to convert",
                f"see whether a build can use it: ap-data doctor --body {shell_word(str(path.parent))}",
            )
    arrays = isolated.call("pipeline.body.convert:model_members", path)
    sizes = {name: array.shape[-1] for name, array in arrays.items() if array.ndim == 3}
    vertices = len(arrays["v_template"]) if "v_template" in arrays else 0
    kind, betas = model_kind(sizes.get("posedirs", 0), vertices), sizes.get("shapedirs", 0)
    missing = [name for name in MEMBERS if name not in arrays]
    if kind != "SMPL+H":
        sentence = f"{kind or 'no body model we know'}, not SMPL+H ({vertices:,} vertices)"
    elif missing:
        sentence = f"SMPL+H without {', '.join(missing)}"
    elif betas < N_BETAS:
        sentence = (
            f"SMPL+H with {betas} shape coefficients, as on the MANO site; AMASS bodies have {N_BETAS}, and the "
            f"first {betas} alone would be another person"
        )
    else:
        sentence = f"SMPL+H with {betas} shape coefficients"
    good = kind == "SMPL+H" and not missing and betas >= N_BETAS
    return Recognised(
        kind=kind, vertices=vertices, betas=betas, sentence=sentence, convertible=good, arrays=arrays if good else {}
    )


def convert(source: Path, target: Path, gender: str) -> Recognised:
    """Write a SMPL+H pickle as `model.npz` in the layout that `load_body` reads, checked by `load_body`.

    Args:
        source: the pickle.
        target: the `.npz` to write; appears whole or not at all.
        gender: female, male or neutral; a name only, for the check.

    Raises:
        UserError: another model, too few shape coefficients, or not a sound body.
    """
    found = recognise(source)
    if not found.convertible:
        raise UserError(f"{source} is {found.sentence}", DOWNLOAD)
    gender = normalise_gender(gender)
    # If the name states no gender, load_body assumes the gender it was asked for.
    with atomic_path(target) as aside:
        np.savez(aside, **found.arrays)  # type: ignore[arg-type]
        try:
            load_body(aside, gender)
        except UserError as error:
            raise UserError(error.message.replace(str(aside), str(source)), error.hint) from error
    return found
