"""Run folders: what one holds, when it can be resumed, and how it is described.

RUN/config.json, config.toml   the command, its data and every setting, for programs and for people
log.jsonl                  a line per logged interval, evaluations, starts and ends
checkpoints/               `checkpoint`
results.jsonl              a line per evaluation
clips.npz                  what the last evaluation keeps of some clips, for reports (`kept`)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actionpose.config import differences, flat, to_toml
from actionpose.errors import UserError
from actionpose.files import locked_beside, write_text
from actionpose.jsonl import read_lines, write_json
from actionpose.places import not_a_run

if TYPE_CHECKING:
    from actionpose.train.checkpoint import Checkpoint

CONFIG, CONFIG_TOML, LOG, RESULTS = "config.json", "config.toml", "log.jsonl", "results.jsonl"

LENGTH = tuple(f"{stage}.{key}" for stage in ("pretrain", "finetune") for key in ("epochs", "steps"))
FREE = (
    *("eval.", "run.", "init."),
    *LENGTH,
    *(f"{stage}.eval_every" for stage in ("pretrain", "finetune")),
)
"""Settings that may change when a run is resumed: they leave the steps already made, and to be made, as they are. A
run's length is one of them unless something depends on the share of it that is done."""


def claimed(out: Path, mark: str, what: str, *, resume: bool) -> bool:
    """Whether `out` holds what is to be resumed; if it is free, it is made.

    Args:
        out: the folder that was given.
        mark: the file that a folder of this kind has.
        what: its kind, such as `run`.
        resume: whether one that is there may be continued.

    Raises:
        UserError: a file, something else, or a folder of this kind that was not to be continued.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file", "give another folder to --out")
    used = out.is_dir() and any(out.iterdir())
    if used and not (out / mark).is_file():
        raise UserError(f"{out} holds files but no {what}", "give a new or an empty folder to --out")
    if used and not resume:
        raise UserError(f"{out} already holds a {what}", "continue it with --resume, or give another folder to --out")
    out.mkdir(parents=True, exist_ok=True)
    return used


def open_run(out: Path, about: Mapping[str, Any], *, resume: bool, defaults: Mapping[str, Any]) -> Checkpoint | None:
    """Make the run folder, or find the checkpoint to resume from; None means: from the start.

    Args:
        out: the run folder.
        about: command, data and recipe of what is asked for now.
        resume: whether a run that is there may be continued.
        defaults: a recipe of default values: what settings that are newer than a run had in it.

    Raises:
        UserError: the folder is in use, or was made from other data or settings.
    """
    from actionpose.train import checkpoint  # here: who only reads a folder does not wait for torch

    if not claimed(out, CONFIG, "run", resume=resume):
        return None
    _same_run(out, read_config(out), about, defaults)
    return checkpoint.latest(out)


@contextmanager
def held_run(out: Path) -> Iterator[None]:
    """Keep the run folder for this process: two that train into one would mix their rows and checkpoints.

    The lock goes with the process, however it ends; reading a run needs none. A folder that nothing was written to
    before a failure goes again.

    Raises:
        UserError: another process trains into it.
    """
    with locked_beside(out, UserError(f"another training writes {out}", "wait for it, or choose another --out")):
        try:
            yield
        except BaseException:
            with suppress(OSError):
                out.rmdir()  # which only takes an empty one
            raise


def _same_run(out: Path, old: Mapping[str, Any], new: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    if old["command"] != new["command"]:
        raise UserError(f"{out} is a {old['command']} run, not {new['command']}", "give another folder to --out")
    if old["data"]["fingerprint"] != new["data"]["fingerprint"]:
        raise UserError(
            f"{out} was trained on other data: {old['data']['folder']} ({old['data']['fingerprint'][:15]}…), "
            f"now {new['data']['folder']} ({new['data']['fingerprint'][:15]}…)",
            "resume with the same shards, or start a new run in another folder",
        )
    before, after = {**flat(defaults), **flat(old["recipe"])}, flat(new["recipe"])
    stage, other = ("pretrain.", "finetune.") if new["command"] == "pretrain" else ("finetune.", "pretrain.")
    late = stage == "pretrain." and (after["corrupt.masks_from"] > 0 or after["loss.con_from"] > 0)
    by_share = late or after[f"{stage}schedule"] == "cosine"
    free = (*(key for key in FREE if not (key in LENGTH and by_share)), other)
    keep = [k for k in before.keys() | after.keys() if k == "run.seed" or not k.startswith(free)]
    lines = differences({k: before.get(k) for k in keep}, {k: after.get(k) for k in keep})
    if lines:
        raise UserError(
            f"{out} was trained with other settings:\n  " + "\n  ".join(lines),
            f"resume with -c {out / CONFIG_TOML}, or start a new run in another folder",
        )


def write_config(out: Path, about: Mapping[str, Any], recipe: Any, origins: Mapping[str, str]) -> None:
    """Record what the run is, for programs and for people."""
    write_json(out / CONFIG, {**about, "origins": dict(origins)})
    write_text(out / CONFIG_TOML, to_toml(recipe, origins, explain=True))


def read_config(run: Path) -> dict[str, Any]:
    """The run folder's `config.json`.

    Raises:
        UserError: not a run folder, or damaged.
    """
    try:
        found = json.loads((run / CONFIG).read_text(encoding="utf-8"))
        if not isinstance(found, dict) or not {"command", "recipe"} <= found.keys():
            raise ValueError("it states no command or no recipe")
        return found
    except FileNotFoundError as error:
        raise not_a_run(run) from error
    except OSError as error:
        raise UserError(f"cannot read {run / CONFIG}: {error.strerror}", "check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{run / CONFIG} is damaged: {error}", "evaluate one of its checkpoints by its folder"
        ) from error


def _of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A log line as training prints it, and its weighted losses."""
    from actionpose.train.log import seen

    return {"step": row["step"], **seen(row), "clips_per_s": row["clips_per_s"], "weighted_losses": row["losses"]}


def inspect(run: Path) -> dict[str, Any]:
    """What is in a run folder: command, data, progress, losses, checkpoints, results."""
    from actionpose.train import checkpoint

    config = read_config(run)
    rows = read_lines(run / LOG)
    steps = [row for row in rows if "losses" in row]
    found = checkpoint.latest(run)
    best = checkpoint.find(run) if found else None
    results = read_lines(run / RESULTS)
    keep = ("protocol", "mpjpe_mm", "p_mpjpe_mm", "frames", "split", "checkpoint")
    return {
        "run": str(run),
        "command": config["command"],
        "data": config["data"],
        "starts_from": config["recipe"]["init"]["pose"] or "random weights",
        "seed": config["recipe"]["run"]["seed"],
        "versions": config["versions"],
        "state": found.meta["state"] if found else {},
        "checkpoint": {"latest": found.path.name, "best": best.path.name} if found and best else {},
        "first": _of(steps[0]) if steps else {},
        "last": _of(steps[-1]) if steps else {},
        "results": {str(n): {k: row.get(k) for k in keep} for n, row in enumerate(results, 1)},
    }
