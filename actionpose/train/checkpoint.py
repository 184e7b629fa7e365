"""Checkpoints: weights, optimizer and a readable `meta.json` in one folder, written aside and renamed.

    RUN/checkpoints/step_000400/weights.safetensors     enough to use the model
                                optimizer.safetensors   what resuming needs besides
                                meta.json               how to build the model, where training stood
    RUN/checkpoints/latest, best                        one line each: the folder's name

No file is a pickle. A kill at any point leaves the previous checkpoint in place and loadable.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save_file
from torch import Tensor, nn

from actionpose.errors import UserError
from actionpose.files import atomic_folder, sha256_file, write_text
from actionpose.jsonl import write_json
from actionpose.places import not_a_run
from actionpose.walk import written_name

SCHEMA = "actionpose-checkpoint"
VERSION = 1
FOLDER, WEIGHTS, OPTIMIZER, META = "checkpoints", "weights.safetensors", "optimizer.safetensors", "meta.json"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One checkpoint on disk; `meta` is the content of its `meta.json`, `held` its weights where they are in memory."""

    path: Path
    meta: dict[str, Any]
    held: dict[str, Tensor] | None = field(default=None, repr=False, compare=False)

    @property
    def step(self) -> int:
        """Optimizer steps that made it."""
        return int(self.meta["state"]["step"])

    def weights(self) -> dict[str, Tensor]:
        """All weights, on the CPU.

        Raises:
            UserError: the file is damaged.
        """
        return dict(self.held) if self.held is not None else _load(self.path / WEIGHTS, self.meta)

    def restore_optimizer(self, optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
        """Put the saved state back; it must belong to the same parameters.

        Raises:
            UserError: the file is damaged, or of another model.
        """
        saved = _load(self.path / OPTIMIZER, self.meta)
        names = _optimized(optimizer, model)
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in saved.items():
            name, _, entry = key.rpartition("/")
            if name not in names:
                raise UserError(f"{self.path}: its optimizer knows '{name}', the model does not", "start a new run")
            state.setdefault(names.index(name), {})[entry] = tensor
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})


# --- writing ----------------------------------------------------------------------------------


def save(
    run: Path,
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    about: Mapping[str, Any],
    keep: int,
    best: bool = False,
) -> Path:
    """Write a checkpoint, point `latest` (and `best`) at it, remove old ones; return its folder.

    Args:
        run: the run folder.
        model: whose weights are saved.
        optimizer: of the model's parameters.
        state: counters that resuming starts from; `step` names the folder.
        about: recipe, data and versions; goes into `meta.json` as it is.
        keep: newest checkpoints that stay; `best` always stays.
        best: whether this is the best so far.
    """
    root = run / FOLDER
    final = root / f"step_{state['step']:06d}"
    with atomic_folder(final) as aside:
        _store(aside / WEIGHTS, model.state_dict())
        _store(aside / OPTIMIZER, _optimizer_tensors(optimizer, model))
        files = {name: sha256_file(aside / name) for name in (WEIGHTS, OPTIMIZER)}
        meta = {"schema": SCHEMA, "version": VERSION, "state": dict(state), "files": files, **about}
        write_json(aside / META, meta)
    write_text(root / "latest", final.name + "\n")
    if best:
        write_text(root / "best", final.name + "\n")
    _prune(root, keep)
    return final


def _store(path: Path, tensors: Mapping[str, Tensor]) -> None:
    # Clones, since tied or viewed tensors share memory, which the format refuses.
    save_file({k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}, path)
    path.chmod(path.parent.stat().st_mode & 0o666)  # safetensors lets nobody else read; a run is shared like its folder
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())


def _optimized(optimizer: torch.optim.Optimizer, model: nn.Module) -> list[str]:
    """Names of the parameters in the optimizer's own order."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]


def _optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    names = _optimized(optimizer, model)
    state = optimizer.state_dict()["state"]
    return {f"{names[i]}/{entry}": value for i, values in state.items() for entry, value in values.items()}


def _prune(root: Path, keep: int) -> None:
    named = {_pointer(root, name) for name in ("latest", "best")}
    for path in _by_step(root)[:-keep]:
        if path.name not in named:
            shutil.rmtree(path)


# --- reading ----------------------------------------------------------------------------------


_NAME = re.compile(r"step_\d{1,18}")


def _by_step(root: Path) -> list[Path]:
    """The checkpoint folders, oldest first; a million steps have a digit more than others, so names do not sort."""
    folders = (path for path in root.glob("step_*") if _NAME.fullmatch(path.name) and path.is_dir())
    return sorted(folders, key=lambda path: int(path.name.removeprefix("step_")))


def _pointer(root: Path, name: str) -> str | None:
    """The folder that `latest` or `best` names: one in `root`, nothing else, whatever stands in the file."""
    try:
        text = (root / name).read_bytes()[:100].decode("ascii").strip() if (root / name).is_file() else ""
    except (OSError, UnicodeDecodeError):
        return None
    return text if _NAME.fullmatch(text) else None


def latest(run: Path) -> Checkpoint | None:
    """The checkpoint to resume from; None if the run has none yet."""
    root = run / FOLDER
    named = _pointer(root, "latest")
    if named and (root / named / META).is_file():
        return read(root / named)
    # A copied run may lack the pointer.
    folders = [path for path in _by_step(root) if (path / META).is_file()]
    return read(folders[-1]) if folders else None


def find(path: Path, *, hold: bool = False) -> Checkpoint:
    """The checkpoint that a run folder (its best, else its latest) or a checkpoint folder refers to.

    Args:
        path: a run folder, one of its checkpoints, or a file in one.
        hold: read the weights at once. A run that is still training replaces its checkpoints; one that goes while it is
            read makes room for the next that is found.

    Raises:
        UserError: neither; with `hold`, weights that are damaged.
    """
    for wait_s in (0.0, 0.2, 1.0, 3.0):
        time.sleep(wait_s)
        found = _find(path)
        if not hold:
            return found
        try:
            return replace(found, held=found.weights())
        except UserError as error:
            trouble = error
            if _intact(found):
                break
    raise trouble


def _intact(found: Checkpoint) -> bool:
    """Whether a checkpoint is still the one that was found."""
    try:
        return read(found.path).meta == found.meta and (found.path / WEIGHTS).is_file()
    except UserError:
        return False


def _find(path: Path) -> Checkpoint:
    if path.name in (WEIGHTS, META) and path.is_file():
        path = path.parent
    if (path / META).is_file() and not (path / "index.json").is_file():
        return read(path)
    best = _pointer(path / FOLDER, "best")
    if best and (path / FOLDER / best / META).is_file():
        return read(path / FOLDER / best)
    found = latest(path)
    if found is None:
        raise not_a_run(path)
    return found


def read(path: Path) -> Checkpoint:
    """Read a checkpoint folder's `meta.json`.

    Raises:
        UserError: damaged, or written by a newer version.
    """
    file = path / META
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is damaged: {error}", "use another checkpoint of the run") from error
    if not isinstance(meta, dict) or meta.get("schema") != SCHEMA:
        if not (path / WEIGHTS).is_file():
            raise not_a_run(path)
        raise UserError(f"{file} does not describe an ActionPose checkpoint", f"its schema should be '{SCHEMA}'")
    if not isinstance(meta.get("version"), int) or meta["version"] > VERSION:
        raise UserError(
            f"{file} has version {meta.get('version')}; this program reads up to {VERSION}", "update actionpose"
        )
    state, files, recipe, data = (meta.get(key) for key in ("state", "files", "recipe", "data"))
    sound = isinstance(state, dict) and isinstance(state.get("step"), int)
    sound = sound and isinstance(recipe, dict | None) and isinstance(data, dict | None)
    if not sound or not isinstance(files, dict) or WEIGHTS not in files:
        raise UserError(f"{file} is damaged: it lacks the state or the files", "use another checkpoint of the run")
    return Checkpoint(path=path, meta=meta)


def _load(path: Path, meta: Mapping[str, Any]) -> dict[str, Tensor]:
    advice = "use another checkpoint of the run"
    if not path.is_file():
        raise UserError(f"{path} is missing", advice)
    if sha256_file(path) != meta["files"].get(path.name):
        raise UserError(f"{path} is damaged: its checksum differs from the one in {META}", advice)
    try:
        # The library opens no file whose name is not UTF-8.
        tensors = load_file(path) if written_name(path) == str(path) else load(path.read_bytes())
    except SafetensorError as error:
        raise UserError(f"{path} is damaged: {error}", advice) from error
    check_finite(path, tensors)
    return tensors


def check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights of which every prediction would be NaN.

    Raises:
        UserError: a value is not finite.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(f"{path}: {name} holds values that are not finite", "use weights of before they diverged")
