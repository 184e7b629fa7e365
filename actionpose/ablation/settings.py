"""Settings of an ablation: which rows, what each leaves out of pretraining, and who plays the target."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from actionpose.config import Resolved, check_key, from_dict, parse_override, section, setting, to_dict
from actionpose.errors import UserError
from actionpose.runs.recipe import Recipe

NO_TEXT = ("loss.lambda_con=0",)
NO_NOISE = ("corrupt.noise=false",)
NO_RANDOM = ("corrupt.share_random=0.0",)
NO_NEW_MASKS = ("corrupt.share_part=0.0", "corrupt.share_window=0.0")

ROWS: dict[str, dict[str, tuple[str, ...]]] = {
    "paper": {
        "mmm": (*NO_TEXT, *NO_NOISE, *NO_RANDOM),
        "map": NO_NEW_MASKS,
    },
    "factors": {
        "mmm": NO_TEXT,
        "map": (*NO_NOISE, *NO_RANDOM, *NO_NEW_MASKS),
    },
}
"""Reading → row → what it changes in the pretraining of `both`."""

CONTROLS: dict[str, tuple[str, ...]] = {
    "plain": (*NO_TEXT, *NO_NOISE, *NO_RANDOM, *NO_NEW_MASKS),
    "shuffled": ("data.shuffle_labels=true",),
}
"""Rows that are not in the paper. `plain`: the same motions, exact and whole, no texts. `shuffled`: as `both`, but each
clip has another clip's label."""

LABELS = {
    "baseline": "Baseline",
    "mmm": "+ MMM",
    "map": "+ MAP",
    "both": "+ MMM + MAP",
    "plain": "+ motions alone",
    "shuffled": "+ MMM + wrong labels",
}

_NAME = re.compile(r"[a-z0-9][a-z0-9_+.-]*")


@dataclass(frozen=True, kw_only=True)
class AblateConfig:
    """The grid of `ap-train ablate` (paper, Table 3)."""

    rows: tuple[str, ...] = setting(
        ("baseline", "mmm", "map", "both"),
        "rows of the table: the paper's four; the controls `plain` (pretraining on exact, whole poses without texts: "
        "what the motions alone add) and `shuffled` (as both, labels permuted: what any label would add); or "
        "names of ablate.own_rows",
    )
    own_rows: tuple[str, ...] = setting(
        (), "further rows, `name: section.key=value; section.key=value`: what they change in the pretraining of `both`"
    )
    seeds: tuple[int, ...] = setting((0, 1, 2), "run.seed of the cells, for both stages; the paper gives one number")
    reading: Literal["paper", "factors"] = setting(
        "paper",
        "what mmm and map omit from `both`. `paper`, by the text next to Table 3: mmm masks body parts and time "
        "windows, no random masks, noise or texts; map has texts, random masks and noise, not those two masks. "
        "`factors`: mmm has all of the corruption and no texts, map has texts on exact, whole poses",
    )
    target_subjects: tuple[str, ...] = setting(
        (),
        "these subjects are the target dataset: fine-tuning uses only them, pretraining on the same shards "
        "never sees them. eval.* chooses who is measured",
    )
    minutes: tuple[float, ...] = setting(
        (0.0,),
        "minutes of motion to fine-tune on (data.max_minutes), a table for each: what pretraining is worth where there "
        "is little data. They share the pretraining; 0: all",
    )
    pretrain: tuple[str, ...] = setting((), "settings for pretraining only, in all rows, `section.key=value`")
    finetune: tuple[str, ...] = setting((), "settings for fine-tuning only, in all rows, `section.key=value`")
    checkpoint: Literal["last", "best"] = setting(
        "last",
        "which checkpoint of fine-tuning is measured: the last, or the best by the split it is measured on, as in "
        "published numbers; that needs finetune.eval_every",
    )
    measure_pretraining: bool = setting(False, "also evaluate the pretraining runs, once each")

    def __post_init__(self) -> None:
        for name, values in (("rows", self.rows), ("seeds", self.seeds), ("minutes", self.minutes)):
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name} must not be empty, nor repeat themselves")
        if min(self.seeds) < 0 or min(self.minutes) < 0:
            raise ValueError("seeds and minutes start at 0")


@dataclass(frozen=True, kw_only=True)
class AblateRecipe(Recipe):
    """A recipe with the section `ablate`, which `ap-train ablate` alone reads."""

    ablate: AblateConfig = section(AblateConfig, "the ablation grid")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ablate.checkpoint == "best" and not self.finetune.eval_every:
            raise ValueError("ablate.checkpoint is 'best', but finetune.eval_every=0 lets nothing be chosen")


@dataclass(frozen=True, kw_only=True)
class AblationRow:
    """A row of the table: what it changes in pretraining; None: there is no pretraining."""

    name: str
    changes: tuple[str, ...] | None


def rows_of(config: AblateConfig) -> list[AblationRow]:
    """The rows asked for, in that order.

    Raises:
        UserError: a row that does not exist, or one of one's own that cannot be read.
    """
    known: dict[str, tuple[str, ...] | None] = {"baseline": None, **ROWS[config.reading], "both": (), **CONTROLS}
    for text in config.own_rows:
        name, changes = _own_row(text)
        if name in known:
            raise UserError(f"the row '{name}' exists already", "give it another name")
        known[name] = changes
    for name in config.rows:
        if name not in known:
            raise UserError(f"there is no row '{name}'", "known: " + ", ".join(known))
    return [AblationRow(name=name, changes=known[name]) for name in config.rows]


def _own_row(text: str) -> tuple[str, tuple[str, ...]]:
    name, colon, rest = text.partition(":")
    name, changes = name.strip(), tuple(part.strip() for part in rest.split(";") if part.strip())
    if not colon or not changes or not _NAME.fullmatch(name):
        raise UserError(
            f"the row '{text}' cannot be read", "write it as 'name: section.key=value; section.key=value', name in a-z"
        )
    for change in changes:
        key, _ = parse_override(change)
        check_key(Recipe, key)
        if key.startswith(("finetune.", "eval.", "run.", "init.")):
            raise UserError(
                f"the row '{name}' changes {key}, but rows differ in pretraining alone",
                "change it for all rows with -o, or start another grid",
            )
    return name, changes


WORDS = {
    "loss.lambda_con=0": "texts",
    "corrupt.noise=false": "noise",
    "corrupt.share_random=0.0": "random masks",
    "corrupt.share_part=0.0": "body-part masks",
    "corrupt.share_window=0.0": "time-window masks",
    "data.shuffle_labels=true": "which label is whose",
}


def leaves_out(row: AblationRow) -> str:
    """What a row's pretraining is without, in words; settings of rows of one's own as they are."""
    if row.changes is None:
        return "everything: no pretraining"
    return ", ".join(WORDS.get(change, change) for change in row.changes) or "nothing"


def differs_by(row: AblationRow) -> str:
    """What a row changes, as settings."""
    if row.changes is None:
        return "no pretraining"
    return "; ".join(row.changes) or "nothing"


def changed(resolved: Resolved[AblateRecipe], settings: Iterable[str]) -> Resolved[Recipe]:
    """The recipe without its `ablate` section and with some settings changed.

    Raises:
        UserError: a setting that does not exist or cannot have that value.
    """
    data = to_dict(resolved.value)
    del data["ablate"]
    origins = {key: origin for key, origin in resolved.origins.items() if not key.startswith("ablate.")}
    for text in settings:
        key, value = parse_override(text)
        check_key(Recipe, key)
        _put(data, key, value)
        origins[key] = "the grid"
    return Resolved(value=from_dict(Recipe, data, where="the grid's settings"), origins=origins)


def _put(data: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        data = data[part]
    data[last] = value
