"""Write the pages that are made from the code: docs/cli.md from `--help`, manifests/README.md from the row types.

python -m scripts.make_reference            # write them
python -m scripts.make_reference --check    # status 1 when one is out of date
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from scripts import manifest_docs

ROOT = Path(__file__).parent.parent
WIDTH = 110

COMMANDS_OPENING = """# The commands

Made by `make docs` from what `--help` prints; edit the help, not this page.

The same options mean the same everywhere: `--config/-c FILE`, `-o section.key=value`, `--show-config`, `--dry-run`,
`--format table|json|csv`, `--debug`, `-h`. Results go to stdout, everything else to stderr.
Exit status: 0 done, 1 failed or some items failed, 2 wrong usage.
"""


def programs() -> dict[str, click.Group]:
    """Name → group, for every command that an installation puts on the path."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    entries = {name: target.split(":") for name, target in project["scripts"].items()}
    return {name: getattr(importlib.import_module(module), group) for name, (module, group) in entries.items()}


def contexts(name: str, group: click.Group) -> Iterator[click.Context]:
    """The group itself, then each of its commands, as click sees them at a fixed width."""
    width: dict[str, Any] = {"terminal_width": WIDTH, "max_content_width": WIDTH, "resilient_parsing": True}
    top = group.make_context(name, [], **width)
    yield top
    for child in group.list_commands(top):
        command = group.get_command(top, child)
        assert command is not None
        yield command.make_context(child, [], parent=top, **width)


def commands_page() -> str:
    """The whole of docs/cli.md."""
    parts = [COMMANDS_OPENING]
    for name, group in programs().items():
        for number, context in enumerate(contexts(name, group)):
            heading = f"## {name}" if number == 0 else f"### {context.command_path}"
            text = "\n".join(line.rstrip() for line in context.get_help().splitlines())
            parts.append(f"{heading}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


PAGES = {ROOT / "docs" / "cli.md": commands_page, ROOT / "manifests" / "README.md": manifest_docs.page}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 when a page is out of date")
    check = parser.parse_args().check
    for path, make in PAGES.items():
        name = path.relative_to(ROOT)
        if not check:
            path.write_text(make(), encoding="utf-8")
            print(f"wrote {name}")
        elif not path.is_file() or path.read_text(encoding="utf-8") != make():
            sys.exit(f"{name} is out of date\n  → run `make docs` and commit the result")


if __name__ == "__main__":
    main()
