"""The model that is shipped: where it lies, and how a run becomes it (docs/model-card.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from actionpose.config import to_dict
from actionpose.errors import UserError
from actionpose.files import atomic_path, sha256_file
from actionpose.jsonl import write_json
from actionpose.runs.evaluate import load_model, recipe_of
from actionpose.train import checkpoint

FOLDER = Path(__file__).parent / "assets"
"""A checkpoint folder, with weights in half precision and `texts` in its `meta.json`."""

STATISTICS = ("mean", "variance")
"""Of the token; too small for half precision."""


def shipped() -> Path:
    """The folder of the shipped model.

    Raises:
        UserError: this copy of the toolkit has none.
    """
    if not (FOLDER / checkpoint.META).is_file():
        raise UserError(
            "no model is named, and this copy of actionpose has none of its own",
            "give a run of ap-train, e.g. --model demo/with after `make demo`, or a MotionBERT file",
        )
    return FOLDER


def pack(run: Path, folder: Path, texts: Sequence[str], about: Mapping[str, Any]) -> None:
    """Write a pretraining run's weights in half precision, without its text encoder, and its vectors of phrases.

    Args:
        run: a run or checkpoint folder.
        folder: to write to.
        texts: phrases that the model shall know without a text model.
        about: for `meta.json`: `name` and `licence`.

    Raises:
        UserError: the run has no text branch.
    """
    found = checkpoint.find(run, hold=True)
    recipe = recipe_of(found)
    model = load_model(found, with_text=True)
    if model.text is None:
        raise UserError(f"{run} has no text branch", "pack a run of ap-train pretrain")
    with torch.inference_mode():
        table = model.text(list(texts))
    weights = {name: value for name, value in found.weights().items() if not name.startswith("text.")}
    tensors = {name: _halved(name, value) for name, value in {**weights, "text.table_VE": table}.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / checkpoint.WEIGHTS) as aside:
        save_file(tensors, aside)
        aside.chmod(0o644)  # for every user of an installation
    plain = to_dict(recipe)
    plain["init"]["pose"] = ""  # a place on the machine that trained it
    meta = {
        "schema": checkpoint.SCHEMA, "version": checkpoint.VERSION, **about,
        "command": found.meta["command"], "state": {"step": found.step},
        "files": {checkpoint.WEIGHTS: sha256_file(folder / checkpoint.WEIGHTS)},
        "data": {key: found.meta["data"][key] for key in ("fingerprint", "kind", "fps")},
        "recipe": plain, "texts": list(texts),
    }  # fmt: skip
    write_json(folder / checkpoint.META, meta)


def _halved(name: str, value: Tensor) -> Tensor:
    keep = not value.is_floating_point() or name.rpartition(".")[2] in STATISTICS
    return value.contiguous() if keep else value.half().contiguous()
