"""Write what a grid says about texts and corruption into docs/results.md: paired differences in words and numbers.

    python scripts/grid_results.py runs/grid runs/grid-robustness docs/results.md --ideas runs/ideas

The first folder is of `ap-train ablate` with the rows plain, map, mmm, both and shuffled (examples/grid.toml), the
second of `ap-train robustness` over it, the third of `ap-train ablate` with rows that are tried in addition
(examples/ideas.toml). The text between the two markers in the page is replaced.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from actionpose.runs.seeds import Change, mean_and_spread, paired

BEGIN, END = "<!-- grid: made by scripts/grid_results.py -->", "<!-- grid: end -->"

CONTRASTS = (
    ("texts, poses exact and whole", "map", "plain"),
    ("texts, poses corrupted", "both", "mmm"),
    ("the right texts instead of wrong ones, poses corrupted", "both", "shuffled"),
    ("corruption, no texts", "mmm", "plain"),
    ("corruption, with texts", "both", "map"),
)
"""What is added, the row with it, the row without."""

METRICS = {
    "mpjpe_mm": "all frames",
    "ambiguous_mm": "wrists and ankles that overlap in 2D, 15 cm apart in depth",
    "fast_mm": "frames with a fast hand or foot",
}

LEVELS = {
    ("part", "arms"): "arms hidden",
    ("part", "legs"): "legs hidden",
    ("part", "upper"): "upper body hidden",
    ("window", "10"): "10 frames in a row hidden",
    ("window", "30"): "30 frames in a row hidden",
    ("frames", "0.5"): "half of the frames missing",
}

AGAINST = (("both", "the method as it is"), ("mmm", "no texts"))
"""Rows of the grid that further rows are held against."""

Numbers = Mapping[str, Mapping[int, float]]
"""Row → seed → number."""


def by_row(cells: Sequence[Mapping[str, Any]], row: str, number: str) -> dict[str, dict[int, float]]:
    """The numbers of the cells, by what they call their row."""
    found: dict[str, dict[int, float]] = {}
    for cell in cells:
        found.setdefault(cell[row], {})[int(cell["seed"])] = float(cell[number])
    return found


def difference(numbers: Numbers, more: str, less: str) -> Change:
    """What the first row has over the second, seed by seed."""
    return paired(numbers.get(more, {}), numbers.get(less, {}))


def certain(change: Change) -> bool:
    """Whether the 95 % interval leaves out 0."""
    return change.mean is not None and change.margin is not None and abs(change.mean) > change.margin


def shown(change: Change) -> str:
    """A difference for a table, in bold where it is certain."""
    if change.mean is None:
        return "–"
    text = f"{change.mean:+.2f}" + (f" ± {change.margin:.2f}" if change.margin is not None else "")
    return f"**{text}**" if certain(change) else text


def sentence(what: str, change: Change, where: str) -> str:
    """A difference in words."""
    if change.mean is None or change.margin is None:
        return f"{what}: not measured in enough seeds."
    numbers = f"{change.mean:+.1f} ± {change.margin:.1f} mm, lower in {change.lower} of {len(change.seeds)} seeds"
    verdict = ("helps" if change.mean < 0 else "harms") if certain(change) else "no effect can be shown"
    return f"**{what}**, {where}: {verdict} ({numbers})."


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table."""
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"
    yield ""


def section(
    grid: Mapping[str, Any],
    settings: Mapping[str, Any],
    robust: Mapping[str, Any],
    ideas: Sequence[Mapping[str, Any]],
    learned: Mapping[str, Numbers],
) -> Iterator[str]:
    """The lines between the markers; `ideas` are the cells of further rows, `learned` is what `pretraining` read."""
    cells, config = grid["cells"], settings["settings"]
    seeds = config["ablate"]["seeds"]
    yield (
        f"Pretraining {config['pretrain']['steps']} steps, fine-tuning {config['finetune']['steps']} steps of "
        f"{config['finetune']['batch']} clips, {len(seeds)} seeds, measured on the same "
        f"{grid['conditions']['frames']:,} frames of held-out people, at the last step. A difference is seed by seed, "
        "in mm, with its 95 % interval; bold where that leaves out 0. Less is better."
    )
    yield ""
    if grid["missing"]:
        yield f"Not finished: {len(grid['missing'])} of {len(grid['missing']) + len(cells)} cells are missing."
        yield ""
    yield from words(cells, robust["rows"])
    for minutes in config["ablate"]["minutes"]:
        mine = [cell for cell in cells if cell["minutes"] == minutes]
        yield f"Fine-tuned on {f'{minutes:g} minutes' if minutes else 'all minutes'}:"
        yield ""
        numbers = {name: by_row(mine, "row", name) for name in METRICS}
        yield from table(
            ["row", *METRICS.values()],
            [[row, *(_mean(numbers[name].get(row, {})) for name in METRICS)] for row in config["ablate"]["rows"]],
        )
        yield from table(
            ["what is added", *METRICS.values()],
            [[what, *(shown(difference(numbers[n], more, less)) for n in METRICS)] for what, more, less in CONTRASTS],
        )
    yield "With hidden 2D (MPJPE of whole poses; fine-tuned on all minutes):"
    yield ""
    yield from hidden(robust["rows"])
    if ideas:
        yield "Further rows (fine-tuned on all minutes), and their differences:"
        yield ""
        yield from further(cells, ideas)
    yield f"While pretraining, MPJPE of the clips it is shown, in mm, over {config['run']['log_every']} steps before:"
    yield ""
    points = list(learned)
    rows = list(dict.fromkeys(row for numbers in learned.values() for row in numbers))
    yield from table(
        ["row", *points], [[row, *(_mean(learned[point].get(row, {})) for point in points)] for row in rows]
    )


def words(cells: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The answer in sentences: for each thing added, everywhere it was measured."""
    for what, more, less in CONTRASTS:
        parts = []
        for minutes in dict.fromkeys(cell["minutes"] for cell in cells):
            mine = [cell for cell in cells if cell["minutes"] == minutes]
            amount = f"{minutes:g} minutes" if minutes else "all minutes"
            parts += [
                (difference(by_row(mine, "row", name), more, less), f"{where} after {amount}")
                for name, where in METRICS.items()
            ]
        for (curve, level), where in LEVELS.items():
            at = [row for row in rows if (row["curve"], row["level"]) == (curve, level)]
            parts.append((difference(by_row(at, "label", "mpjpe_mm"), more, less), where))
        measured = [(change, where) for change, where in parts if change.margin is not None]
        better = [where for change, where in measured if certain(change) and (change.mean or 0) < 0]
        worse = [where for change, where in measured if certain(change) and (change.mean or 0) > 0]
        first = difference(by_row([c for c in cells if not c["minutes"]], "row", "mpjpe_mm"), more, less)
        yield "- " + sentence(what, first, "all frames, all minutes")
        yield (
            f"  Of {len(measured)} comparisons {len(better)} are certainly better"
            + (f" ({'; '.join(better)})" if better else "")
            + f" and {len(worse)} certainly worse"
            + (f" ({'; '.join(worse)})" if worse else "")
            + f"; {len(measured) / 20:.1f} would be called certain by chance."
        )
    yield ""


def hidden(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Differences where parts of the input are missing."""
    numbers = {}
    for (curve, level), where in LEVELS.items():
        at = [row for row in rows if (row["curve"], row["level"]) == (curve, level)]
        if at:
            numbers[where] = by_row(at, "label", "mpjpe_mm")
    names = list(dict.fromkeys(row["label"] for row in rows))
    yield from table(["2D", *names], [[w, *(_mean(n.get(name, {})) for name in names)] for w, n in numbers.items()])
    yield from table(
        ["2D", *(what for what, _, _ in CONTRASTS)],
        [[w, *(shown(difference(n, more, less)) for _, more, less in CONTRASTS)] for w, n in numbers.items()],
    )


def pretraining(folders: Sequence[Path], steps: int, every: int) -> Mapping[str, Numbers]:
    """MPJPE in training at thirds of pretraining, from logs with a line `every` few steps: point → row → seed → mm."""
    points = [steps // 3 // every * every, 2 * steps // 3 // every * every, steps]
    found: dict[str, dict[str, dict[int, float]]] = {f"step {point}": {} for point in points}
    for log in sorted(path for folder in folders for path in folder.glob("*-seed*/pretrain/log.jsonl")):
        row, _, seed = log.parent.parent.name.rpartition("-seed")
        for line in map(json.loads, log.read_text().splitlines()):
            if line.get("step") in points and "report" in line:
                found[f"step {line['step']}"].setdefault(row, {})[int(seed)] = line["report"]["mpjpe_mm"]
    return found


def further(cells: Sequence[Mapping[str, Any]], ideas: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Means of further rows, and their differences from rows of the grid."""
    names = list(dict.fromkeys(cell["row"] for cell in ideas))
    whole = [cell for cell in (*cells, *ideas) if not cell["minutes"]]
    numbers = {metric: by_row(whole, "row", metric) for metric in METRICS}
    yield from table(
        ["row", *METRICS.values()],
        [[name, *(_mean(numbers[metric][name]) for metric in METRICS)] for name in names],
    )
    yield from table(
        ["row", "against", *METRICS.values()],
        [
            [name, f"`{row}`, {what}", *(shown(difference(numbers[metric], name, row)) for metric in METRICS)]
            for name in names
            for row, what in AGAINST
        ],
    )


def _mean(values: Mapping[int, float]) -> str:
    mean, spread = mean_and_spread(list(values.values()))
    return "–" if mean is None else f"{mean:.1f}" + (f" ± {spread:.1f}" if spread is not None else "")


def main() -> None:
    """Replace the part of the page that the grid speaks of."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("grid", "robustness", "page"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--ideas", type=Path, help="a grid of further rows")
    given = parser.parse_args()
    ideas = json.loads((given.ideas / "table.json").read_text())["cells"] if given.ideas else []
    grid, settings = (json.loads((given.grid / name).read_text()) for name in ("table.json", "grid.json"))
    robust = json.loads((given.robustness / "robustness.json").read_text())
    folders = [folder for folder in (given.grid, given.ideas) if folder]
    config = settings["settings"]
    learned = pretraining(folders, config["pretrain"]["steps"], config["run"]["log_every"])
    text = given.page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = "\n".join(section(grid, settings, robust, ideas, learned)).strip()
    given.page.write_text(f"{before}{BEGIN}\n\n{lines}\n\n{END}{after}")


if __name__ == "__main__":
    main()
