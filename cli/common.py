"""What both commands share: error translation, settings options, tables, and the last line.

A command body is: build settings, import what is heavy, call, print. Results go to stdout, everything else to
stderr. Exit status: 0 done, 1 failed or some items failed, 2 wrong usage.
"""

from __future__ import annotations

import csv
import difflib
import functools
import io
import json
import math
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from actionpose.config import Resolved, flat, resolve, to_toml
from actionpose.errors import UserError

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
DEBUG = "actionpose.debug"
FORMATS = ("table", "json", "csv")

CONFIG_HELP = "A TOML file, or a shipped recipe by name ({shipped}). Repeated: later files win."
SHOW_HELP = "Print every setting, what it means and where it came from; do nothing else."


# --- commands that speak plainly when something is wrong ---------------------------------------


class Failure(click.ClickException):
    """A `UserError` on its way to stderr: what is wrong, then the next move. Exit status 1."""

    def __init__(self, error: UserError) -> None:
        super().__init__(str(error))


class Bug(click.ClickException):
    """Anything else that went wrong. Exit status 1."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"{type(error).__name__}: {error}\n"
            "  → this is a bug: run the same command again with --debug and report what it prints"
        )


class Command(click.Command):
    """A command with `--debug` that prints sentences instead of tracebacks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
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

    def invoke(self, ctx: click.Context) -> Any:
        """Run the body; failures leave as click errors."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.meta.get(DEBUG):
                traceback.print_exc()
            raise Failure(error) if isinstance(error, UserError) else Bug(error) from error


def _remember_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[DEBUG] = bool(value)


def debugging() -> bool:
    """Whether the running command was given `--debug`."""
    return bool(click.get_current_context().meta.get(DEBUG))


class Group(click.Group):
    """Commands in the order they are written, with the nearest name offered for a mistyped one."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", CONTEXT)
        super().__init__(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of definition."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Look the command up; an unknown one is a usage error that names the nearest."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.commands, n=1, cutoff=0.5)
            advice = f"did you mean '{near[0]}'?" if near else "there is: " + ", ".join(self.commands)
            raise click.UsageError(f"there is no command '{args[0]}'; {advice}", ctx)
        return super().resolve_command(ctx, args)


def version_option() -> Callable[[F], F]:
    """`--version` of the installed toolkit."""
    return click.version_option(package_name="actionpose", message="%(version)s")


def given(value: T | None, name: str) -> T:
    """An option that a command cannot do without, unless it only shows its settings."""
    if value is None:
        raise click.UsageError(f"Missing option '{name}'.")
    return value


def typed(program: str) -> list[str]:
    """The command as it was typed, word by word, quoted where a shell would need it."""
    return [shlex.quote(part) for part in (program, *sys.argv[1:])]


def toolkit_version() -> str:
    """Version of the installed toolkit, `unknown` when it runs from a bare checkout."""
    try:
        return metadata.version("actionpose")
    except metadata.PackageNotFoundError:
        return "unknown"


def toolkit_commit() -> str:
    """Commit of the checkout that the toolkit runs from, with `-dirty` when files differ; empty when there is none."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        return ""
    command = ("git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


# --- settings ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the user gave with `-c`, `-o` and `--show-config`, not yet read."""

    files: tuple[str, ...]
    overrides: tuple[str, ...]
    show: bool
    package: str

    def resolve(
        self, cls: type[T], options: Mapping[str, Any] | None = None, *, base: tuple[str, T] | None = None
    ) -> Resolved[T]:
        """Defaults (or a named base), then files, then `-o`, then options of their own (`{"inputs.amass": "DIR"}`).

        An option that is None was not given. With `--show-config` the result is printed and the command ends.

        Raises:
            UserError: see `actionpose.config.resolve`; a recipe that is not shipped.
        """
        paths = {str(recipe_path(name, self.package)): name for name in self.files}
        given = {key: value for key, value in (options or {}).items() if value is not None}
        extra = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given.items()]
        with tempfile.TemporaryDirectory() as folder:
            if base:
                file = Path(folder) / "base.toml"
                file.write_text(to_toml(base[1]), encoding="utf-8")
                paths = {str(file): base[0], **paths}
            resolved = resolve(cls, list(paths), [*self.overrides, *extra])
        origins = {key: paths.get(origin, origin) for key, origin in resolved.origins.items()}
        origins.update({key: "command line" for key in given if key in origins})
        resolved = Resolved(value=resolved.value, origins=origins)
        if self.show:
            click.echo(to_toml(resolved.value, origins, explain=True), nl=False)
            click.get_current_context().exit(0)
        return resolved


def recipe_names(package: str) -> list[str]:
    """Names of the recipes shipped with a package."""
    folder = Path(str(resources.files(package))) / "recipes"
    return sorted(path.stem for path in folder.glob("*.toml"))


def recipe_path(name: str, package: str) -> Path:
    """The file behind `-c NAME`: a path as given, or the shipped recipe of that bare name.

    Raises:
        UserError: neither a file nor a shipped recipe.
    """
    path = Path(name)
    bare = path.name == name and path.suffix != ".toml"
    if path.is_file() or not bare:
        return path
    shipped = Path(str(resources.files(package))) / "recipes" / f"{name}.toml"
    if shipped.is_file():
        return shipped
    raise UserError(
        f"there is no recipe '{name}' and no such file",
        "shipped recipes: " + (", ".join(recipe_names(package)) or "none") + "; or give the path of a .toml file",
    )


def config_options(package: str) -> Callable[[F], F]:
    """`-c`, `-o`, `--show-config`; the body gets one argument, `settings`.

    Args:
        package: whose `recipes/` folder bare names refer to.
    """
    shipped = ", ".join(recipe_names(package)) or "none"

    def decorate(body: F) -> F:
        @functools.wraps(body)
        def with_settings(*args: Any, **kwargs: Any) -> Any:
            files, overrides = kwargs.pop("config"), kwargs.pop("override")
            show = kwargs.pop("show_config")
            settings = Settings(files=files, overrides=overrides, show=show, package=package)
            return body(*args, settings=settings, **kwargs)

        show = click.option("--show-config", is_flag=True, help=SHOW_HELP)
        override = click.option(
            "-o", "override", multiple=True, metavar="SECTION.KEY=VALUE", help="Change one setting; may be repeated."
        )
        config = click.option(
            "--config", "-c", multiple=True, metavar="RECIPE", help=CONFIG_HELP.format(shipped=shipped)
        )
        return config(override(show(with_settings)))  # type: ignore[return-value]

    return decorate


def dry_run_option(body: F) -> F:
    """`--dry-run`: say what would be done and touch nothing."""
    return click.option("--dry-run", is_flag=True, help="Say what would be done; touch nothing.")(body)


# --- results ----------------------------------------------------------------------------------


def format_option(body: F) -> F:
    """`--format table|json|csv`; the body gets `format`."""
    choice = click.Choice(FORMATS)
    return click.option("--format", type=choice, default="table", show_default=True, help="Form of the result.")(body)


def emit(result: Mapping[str, Any] | Sequence[Mapping[str, Any]], format: str) -> None:
    """Print a result on stdout: one object, or rows with the same keys.

    JSON keeps the structure; a table or CSV of one object has a row per dotted key. Numbers that are not finite
    have no JSON form and become null.
    """
    if format == "json":
        click.echo(json.dumps(_finite(result), indent=1, ensure_ascii=False, default=str))
        return
    if isinstance(result, Mapping):
        rows: list[Mapping[str, Any]] = [{"key": key, "value": value} for key, value in flat(result).items()]
    else:
        rows = list(result)
    click.echo(_csv(rows) if format == "csv" else table(rows, header=not isinstance(result, Mapping)))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _columns(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value, digits=9) for key, value in row.items()} for row in rows)
    return text.getvalue().rstrip("\n")


def table(rows: Sequence[Mapping[str, Any]], *, header: bool = True) -> str:
    """Rows as aligned text; numbers stand right, text left."""
    columns = _columns(rows)
    cells = [[_cell(row.get(column, "")) for column in columns] for row in rows]
    right = [all(isinstance(row.get(c, 0), int | float) for row in rows) for c in columns]
    lines = ([columns] if header else []) + cells
    if not lines:
        return ""
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    text = []
    for line in lines:
        padded = (v.rjust(w) if r else v.ljust(w) for v, w, r in zip(line, widths, right, strict=True))
        text.append("  ".join(padded).rstrip())
    if header:
        text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text)


def _cell(value: Any, digits: int = 5) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item, digits) for item in value)
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, default=str)
    return "" if value is None else str(value)


# --- everything else: stderr ------------------------------------------------------------------


def note(text: str) -> None:
    """A line about what is going on."""
    click.echo(text, err=True)


def next_step(text: str) -> None:
    """The last line of a command: what was made, where, and what to type next."""
    sys.stdout.flush()
    click.echo(text, err=True)


def some_failed() -> NoReturn:
    """End with status 1 after everything was printed: the work is done, but not all items went well."""
    raise click.exceptions.Exit(1)
