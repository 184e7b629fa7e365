"""Settings of a command: `-c` files and recipes, `-o section.key=value`, `--show-config`."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import click

from actionpose.config import Resolved, resolve, to_toml
from actionpose.errors import UserError
from cli.app import F, T

CONFIG_HELP = "A TOML file, or a shipped recipe by name ({shipped}). Repeated: later files win."
SHOW_HELP = "Print every setting, what it means and where it came from; do nothing else."


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
        """Defaults (or a named base), then files, then `-o`, then dedicated options (`{"inputs.amass": "DIR"}`).

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
