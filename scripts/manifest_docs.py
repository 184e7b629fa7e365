"""`manifests/README.md` from the row types: every table, column, type and what it means."""

from __future__ import annotations

import dataclasses

from pipeline.engine.manifest import ROW_TYPES, Row
from pipeline.sources.facts import manifests_folder

OPENING = """# Manifests

Made by `make docs` from the row types in `pipeline/engine/manifest.py`; edit those, not this page.

Two kinds of files have this name. What is **known** about a dataset is in this folder, as tables that people
edit, each entry with its reason:

{tables}

What a build **found** is stored with its results: in the folder of each stage next to `meta.json`, and together in
`manifests/` of a shard folder. It carries the terms of the data it describes and is never committed.

A manifest is JSON Lines: one row a line, UTF-8, sorted by its id (**bold** below), so equal content is equal bytes.
Paths are relative, never absolute. To look into one: `ap-data inspect SHARDS --table pairs --where 'label~walk'`. In
pandas:

```python
from pathlib import Path
from pipeline.engine.manifest import frame

pairs = frame(Path("demo/world/shards/manifests/pairs.jsonl"))
```

Ids such as `00000007` stay text and labels such as `NA` or `null` stay labels. pandas' own readers guess types: the
JSON reader turns such ids into numbers unless given `dtype=False`, and the CSV reader also turns such labels into gaps.
"""


def page() -> str:
    """The whole of manifests/README.md."""
    return OPENING.format(tables=_known()) + "".join(f"\n{section(name, row)}" for name, row in ROW_TYPES.items())


def _known() -> str:
    """One line per table of this folder: its name and the first sentence of its opening comment."""
    lines = []
    for path in sorted(manifests_folder().glob("*.toml")):
        opening = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        lines.append(f"- [{path.name}]({path.name}): {opening}")
    return "\n".join(lines)


def section(name: str, row_type: type[Row]) -> str:
    """One table: its sentence and its columns."""
    about = (row_type.__doc__ or "").splitlines()[0]
    columns = "".join(
        f"| {_bold(field.name, row_type)} | {str(field.type).replace('|', 'or')} | {field.metadata['doc']} |\n"
        for field in dataclasses.fields(row_type)
    )
    return f"## {name}.jsonl\n\n{about}\n\n| column | type | meaning |\n| --- | --- | --- |\n{columns}"


def _bold(column: str, row_type: type[Row]) -> str:
    return f"**{column}**" if column == row_type.KEY else column
