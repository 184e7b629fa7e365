"""Options that several commands share, and what they turn into."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actionpose.extras import require
from cli.app import F, debugging
from cli.settings import Settings

if TYPE_CHECKING:
    from pipeline.config import DataConfig, RunOptions
    from pipeline.stages.build import Build


class _Place(click.Path):
    """A path with `~` expanded, as shells do not after `=`; with `named`, of `.` and `..` what they stand for."""

    def __init__(self, *, named: bool = False) -> None:
        super().__init__()
        self.named = named

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(os.path.expanduser(os.fsdecode(super().convert(value, param, ctx))))
        return path.resolve() if self.named and path.name in ("", "..") else path


PathLike = _Place()
OutFolder = _Place(named=True)
"""A folder that is made beside itself first, and so needs a name."""
DATA_HELP = "Shard folder: the --out of `ap-data build-…`."

INPUT_HELP = {
    "amass": "Folder of AMASS motions (SMPL+H G): DATASET/SUBJECT/NAME_poses.npz.",
    "babel": "Folder with BABEL's train.json and val.json.",
    "body": "Folder with the SMPL+H body: smplh/{male,female,neutral}/model.npz.",
    "regressor": "The 17 x 6890 Human3.6M joint regressor (.npy).",
    "dmpls": "Folder with dmpls/{male,female,neutral}/model.npz, to add soft-tissue motion [default: none].",
    "h36m": "Human3.6M as converted by others: a file, or the folder of the files.",
    "mpi_inf_3dhp": "MPI-INF-3DHP as converted by P-STMO: folder with data_train_3dhp.npz and data_test_3dhp.npz.",
}


def option_group(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator; help shows them in this order."""
    return lambda body: functools.reduce(lambda inner, option: option(inner), reversed(decorators), body)


def input_options(*names: str) -> Callable[[F], F]:
    """`--amass`, `--babel`, `--mpi-inf-3dhp`, …: also keys `inputs.…` of a settings file."""
    return option_group(*(click.option(f"--{n.replace('_', '-')}", metavar="PATH", help=INPUT_HELP[n]) for n in names))


workers_option = click.option(
    "--workers", type=click.IntRange(0), default=0, show_default=True, help="Local Dask processes."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Print what would be done; write nothing.")
budget_option = click.option(
    "--budget-minutes",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Save and stop after this many minutes; the same command with --resume continues.",
)
work_option = click.option(
    "--work", type=PathLike, help="Where stages keep their results [default: OUT with .stages added]."
)


def run_options(body: F) -> F:
    """How a build is run; none of these options changes a byte. The body gets one argument, `run`."""

    @functools.wraps(body)
    def with_run(
        *args: Any, workers: int, scheduler: str, retry_failed: bool, max_failures: float, **kwargs: Any
    ) -> Any:
        from pipeline.config import RunOptions

        run = RunOptions(
            workers=workers,
            scheduler=scheduler,
            retry_failed=retry_failed,
            max_failure_share=max_failures,
            debug=debugging(),
        )
        return body(*args, run=run, **kwargs)

    decorated = option_group(
        workers_option,
        click.option(
            "--scheduler", default="", metavar="ADDRESS", help="A running Dask scheduler, e.g. tcp://host:8786."
        ),
        click.option("--retry-failed", is_flag=True, help="Retry only the failed items of finished stages."),
        click.option(
            "--max-failures",
            type=click.FloatRange(0, 1),
            default=0.5,
            show_default=True,
            metavar="SHARE",
            help="Stop when more than this share of items fails.",
        ),
    )(with_run)
    return decorated  # type: ignore[return-value]


def data_config(settings: Settings, **options: Any) -> DataConfig:
    """Settings files, `-o`, then these options: inputs by name (`amass=…`), others by key (`keypoints.fps`)."""
    from pipeline.config import DataConfig

    inputs = {f"inputs.{name}": options.pop(name) for name in tuple(options) if name in INPUT_HELP}
    if inputs.get("inputs.dmpls"):
        options["keypoints.dmpls"] = True  # giving --dmpls means using them
    return settings.resolve(DataConfig, {**inputs, **options}).value


def build_for(config: DataConfig, out: Path, work: Path | None, run: RunOptions | None = None) -> Build:
    """The build of a shard folder, with its stages in `OUT.stages` unless `work` is given.

    Raises:
        UserError: packages that it needs are not installed.
    """
    if run and (run.workers or run.scheduler):
        require("cluster", "work in parallel (--workers, --scheduler)")
    require("data", "preparing data")
    if config.keypoints.method == "mesh":
        require("mesh", "--method mesh")
    from pipeline.stages.build import Build

    return Build(config, work or out.with_name(out.name + ".stages"), out, run)


OUTPUT_HELP = "The file to write, for one FILE."
_OVERRIDE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+=")


def split_output(settings: Settings, output: Path | None) -> tuple[Settings, Path | None]:
    """Tell `-o OUT.npz` from `-o section.key=value`: only the latter has a dotted key before `=`."""
    files = [text for text in settings.overrides if not _OVERRIDE.match(text)]
    if len(files) + (output is not None) > 1:
        raise click.UsageError("more than one output file given")
    kept = tuple(text for text in settings.overrides if _OVERRIDE.match(text))
    return replace(settings, overrides=kept), Path(files[0]) if files else output
