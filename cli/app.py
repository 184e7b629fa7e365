"""What all commands share: error messages, `--debug`, and a suggestion for a mistyped name.

A command body is: build settings, import what is heavy, call, print. Results go to stdout, everything else to
stderr. Exit status: 0 done, 1 failed or some items failed, 2 wrong usage.
"""

from __future__ import annotations

import difflib
import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import IO, Any, TypeVar

import click

from actionpose import extras
from actionpose.characters import printable, shell_word
from actionpose.errors import UserError
from actionpose.files import HINTS

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
DEBUG = "actionpose.debug"
_RUN = ("pretrain", "finetune", "evaluate", "ablate", "robustness")
_STAGES = {"pretrain": "pretrain", "finetune": "finetune", "ablate": "pretrain"}
_MEASURED = dict.fromkeys(("evaluate", "robustness"), "eval.batch")
SETTINGS: dict[str, dict[str, str]] = {
    **{
        f"--{word}": dict.fromkeys(_RUN, f"run.{key}")
        for word, key in {
            "device": "device",
            "gpus": "device",
            "threads": "threads",
            "workers": "workers",
            "num-workers": "workers",
            "precision": "precision",
        }.items()
    },
    "--seed": {
        "pretrain": "run.seed",
        "finetune": "run.seed",
        "evaluate": "run.seed",
        "ablate": "ablate.seeds",
        "robustness": "robust.seed",
    },
    **{
        f"--{word}": {command: f"{section}.{key}" for command, section in _STAGES.items()}
        | (_MEASURED if key == "batch" else {})
        for word, key in {
            "epochs": "epochs",
            "steps": "steps",
            "lr": "lr",
            "learning-rate": "lr",
            "batch": "batch",
            "batch-size": "batch",
        }.items()
    },
}
"""Option of other toolkits → command → the setting that it is here."""
_KEPT = "every number is in OUT/log.jsonl, and in OUT/tensorboard where TensorBoard is installed"
LOGS = {
    "--log-file": f"what is printed goes to stderr: add `2> FILE`; {_KEPT}",
    **dict.fromkeys(("--wandb", "--tensorboard", "--logger"), _KEPT),
}
"""Option of other toolkits about logs → where they are here."""


def coloured(text: str, colour: str) -> str:
    """Text in a colour on terminals, unless NO_COLOR asks for none; elsewhere click takes the colour out."""
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=colour)


class _Error(click.ClickException):
    """An error whose first word is red on a terminal."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it."""
        click.echo(f"{coloured('Error:', 'red')} {self.format_message()}", file=file, err=file is None)


class Failure(_Error):
    """A `UserError` on its way to stderr: what is wrong, then the next move. Exit status 1."""

    def __init__(self, error: UserError) -> None:
        super().__init__(printable(str(error)))


class Bug(_Error):
    """Anything else that went wrong. Exit status 1."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"{type(error).__name__}: {printable(str(error))}\n"
            "  → this is a bug: run the same command again with --debug and report what it prints"
        )


class Command(click.Command):
    """A command with `--debug` that otherwise prints error messages instead of tracebacks.

    Args:
        kept: what is left of its work after Ctrl-C, in words.
    """

    def __init__(self, *args: Any, kept: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kept = kept
        self.params.append(
            click.Option(
                ["--debug"],
                is_flag=True,
                expose_value=False,
                is_eager=True,
                callback=_remember_debug,
                help="Print the traceback when something fails.",
            )
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Options and arguments; an option that is a setting here is a usage error that names the setting."""
        given = tuple(args)  # click takes its list apart
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if (advice := _advice(error.option_name, self.name or "", ctx)) is None:
                raise
            raise click.UsageError(f"No such option: {error.option_name}; {advice}", ctx) from None
        except click.MissingParameter as error:
            if (file := _file_after_o(given)) is None or error.param is None or error.param.name != "out":
                raise
            advice = f"-o changes a setting, SECTION.KEY=VALUE; where to write is --out {shell_word(file)}"
            raise click.UsageError(f"Missing option '--out'; {advice}", ctx) from None

    def get_short_help_str(self, limit: int = 45) -> str:
        """The first sentence, whole: a list of commands wraps it, where click would cut it off."""
        return super().get_short_help_str(1000)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the body; failures leave as click errors."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            raise click.ClickException("; ".join(filter(None, ["stopped by Ctrl-C", self.kept]))) from None
        except Exception as error:
            if ctx.meta.get(DEBUG):
                traceback.print_exc()
            if isinstance(error, ModuleNotFoundError):
                extra = getattr(ctx.find_root().command, "extra", "")
                error = extras.missing(error, f"`{ctx.command_path}`", extra) or error
            error = _outside(error) or error
            raise Failure(error) if isinstance(error, UserError) else Bug(error) from error


def _advice(option: str, command: str, ctx: click.Context) -> str | None:
    """Where an option of other toolkits went; None for one that nobody knows, or of a program without such settings."""
    homes = SETTINGS.get(option)
    if getattr(ctx.find_root().command, "extra", "") != "train":
        return None
    if option in LOGS:
        return LOGS[option]
    if homes is None:
        return None
    if command in homes:
        return f"it is a setting: -o {homes[command]}=VALUE (all of them: --show-config)"
    return f"{command} has no such setting; it is one of {', '.join(homes)}"


def _file_after_o(args: Sequence[str]) -> str | None:
    """What follows `-o` and is no setting, as of programs whose -o names the output."""
    after = (word for flag, word in pairwise(args) if flag == "-o")
    return next((word for word in after if "=" not in word), None)


def _outside(error: Exception) -> UserError | None:
    """What is wrong outside the code, of errors that only the machine brings about; None for others."""
    if isinstance(error, MemoryError):
        return UserError("there is not enough memory for this", "close other programs, or use a machine with more")
    if not isinstance(error, OSError):
        return None
    if error.errno is None and "requested and" in str(error):  # numpy's words for a write that was cut short
        return UserError(f"a file could not be written whole: {error}", HINTS[errno.ENOSPC])
    if error.errno is None:
        return None
    place = printable(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else "the output"
    closed = error.errno in (errno.EACCES, errno.EPERM)  # where we write, `atomic_path` has said so
    hint = "check its permissions" if closed else HINTS.get(error.errno, "check the path and the disk")
    return UserError(f"{place}: {error.strerror or error}", hint)


def _remember_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[DEBUG] = bool(value)


def debugging() -> bool:
    """Whether the running command was given `--debug`."""
    return bool(click.get_current_context().meta.get(DEBUG))


class Group(click.Group):
    """Commands in the order of definition, with a suggestion for a mistyped one.

    Args:
        extra: the extra of pyproject.toml that brings what the commands need.
    """

    command_class = Command

    def __init__(self, *args: Any, extra: str = "", **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", CONTEXT)
        super().__init__(*args, **kwargs)
        self.extra = extra

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of definition."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Look the command up; an unknown one is a usage error that suggests the closest name."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.commands, n=1, cutoff=0.5)
            advice = f"did you mean '{near[0]}'?" if near else "commands: " + ", ".join(self.commands)
            raise click.UsageError(f"there is no command '{args[0]}'; {advice}", ctx)
        return super().resolve_command(ctx, args)


def version_option() -> Callable[[F], F]:
    """`--version` of the installed toolkit."""
    return click.version_option(package_name="actionpose", message="%(version)s")


def given(value: T | None, name: str) -> T:
    """A required option, unless the command only shows its settings."""
    if value is None:
        raise click.UsageError(f"Missing option '{name}'.")
    return value


def typed(program: str) -> list[str]:
    """The command as it was typed, word by word, quoted where a shell would need it."""
    return [shell_word(part) for part in (program, *sys.argv[1:])]
