"""The result tables: made once as plain cells, then set as HTML for the page or as columns for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from actionpose.report.svg import absent, html_table, number, text
from actionpose.runs.results import RECALLS, Difference, ResultRow, RetrievalRow

CAVEAT = (
    "These numbers say nothing about the published ones. The demo world is small and synthetic, its model has a "
    "fraction of the size, and it was trained for minutes: it shows that every step works and what a result looks "
    "like. Human3.6M and MPI-INF-3DHP numbers need those data sets, the full model and the full schedule."
)
NONE = "–"


@dataclass(frozen=True, kw_only=True)
class Cells:
    """A table of plain text; the columns in `numeric` are set to the right."""

    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    numeric: frozenset[int]

    def html(self) -> str:
        """The table for the page, escaped."""
        return html_table(
            [text(h) for h in self.head], [[text(c) for c in row] for row in self.rows], numeric=self.numeric
        )

    def plain(self) -> str:
        """The table in columns as wide as their longest cell, a rule under the head."""
        widths = [max(len(row[k]) for row in (self.head, *self.rows)) for k in range(len(self.head))]
        lines = [
            "  ".join(
                cell.rjust(width) if k in self.numeric else cell.ljust(width)
                for k, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (self.head, tuple("-" * width for width in widths), *self.rows)
        ]
        return "\n".join(lines)


# --- cells ------------------------------------------------------------------------------------


def error_cells(rows: Sequence[ResultRow]) -> Cells:
    """Runs against errors; columns beyond MPJPE and P-MPJPE appear when a run has them."""
    extra = sorted({name for row in rows for name in row.extra})
    head = ("run", "trained by", "pretraining", "MPJPE mm", "P-MPJPE mm", *extra, "frames", "seed", "protocol")
    body = [
        (
            row.run,
            row.stage or NONE,
            {None: NONE, True: "with", False: "without"}[row.pretrained],
            _fixed(row.mpjpe_mm),
            _fixed(row.p_mpjpe_mm),
            *(_fixed(row.extra.get(name)) for name in extra),
            f"{row.frames:,}",
            NONE if row.seed is None else str(row.seed),
            row.protocol,
        )
        for row in rows
    ]
    return Cells(head=head, rows=body, numeric=frozenset(range(3, len(head) - 1)))


def rank_cells(rows: Sequence[RetrievalRow]) -> Cells:
    """Each search, and a random draw under it."""
    head = ("run", "search", *(f"R@{k} %" for k in RECALLS), "median rank", "among", "seed")
    body: list[tuple[str, ...]] = []
    for row in rows:
        search = ", ".join(part for part in (row.direction, row.split) if part)
        seed = NONE if row.seed is None else str(row.seed)
        body.append((row.run, search, *_recalls(row.recall), _rank(row.median_rank), f"{row.candidates:,}", seed))
        body.append(("", "  by chance", *_recalls(row.chance_recall), _rank(row.chance_median_rank), "", ""))
    return Cells(head=head, rows=body, numeric=frozenset(range(2, len(head))))


def action_cells(rows: Sequence[ResultRow]) -> Cells | None:
    """Actions against runs, MPJPE in millimetres; None where no motion has an action."""
    with_actions = [row for row in rows if row.actions]
    if not with_actions:
        return None
    names = sorted({name for row in with_actions for name in row.actions})
    body = [(name, *(_fixed(row.actions.get(name)) for row in with_actions)) for name in names]
    return Cells(
        head=("action", *(row.run for row in with_actions)),
        rows=body,
        numeric=frozenset(range(1, len(with_actions) + 1)),
    )


def _fixed(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f}"


def _rank(value: float | None) -> str:
    return NONE if value is None else number(value)


def _recalls(recall: Mapping[int, float]) -> list[str]:
    return [_fixed(recall.get(k)) for k in RECALLS]


def gain_sentence(gain: Difference) -> str:
    """What pretraining changed, in one sentence that also says how sure it is."""
    change, change_p = gain.change_mm, gain.with_p_mm - gain.without_p_mm
    share = f"{100 * change / gain.without_mm:+.1f}".replace("-", "−")
    return (
        f"With pretraining the MPJPE is {abs(change):.1f} mm {_lower(change)} "
        f"({gain.with_mm:.1f} against {gain.without_mm:.1f} mm, {share} %) and the P-MPJPE {abs(change_p):.1f} mm "
        f"{_lower(change_p)}. Protocol {gain.protocol}; {_how_sure(gain)}."
    )


def _how_sure(gain: Difference) -> str:
    if gain.paired.spread is not None:
        seeds, lower = len(gain.paired.seeds), gain.paired.lower
        return f"paired over {seeds} seeds, standard deviation {gain.paired.spread:.1f} mm, lower in {lower}"
    if gain.paired.seeds:
        return f"one pair of runs (seed {gain.paired.seeds[0]}), so the noise between seeds is not known"
    return f"means over {gain.runs_with} and {gain.runs_without} runs that share no seed, so nothing is paired"


def _lower(change: float) -> str:
    return "lower" if change < 0 else "higher"


def results_section(
    rows: Sequence[ResultRow], gains: Sequence[Difference], retrieval: Sequence[RetrievalRow], demo: bool
) -> str:
    """Errors, what pretraining changed, retrieval against chance, and errors by action, as HTML."""
    caveat = f'<div class="caveat"><p>{text(CAVEAT)}</p></div>' if demo else ""
    if not rows and not retrieval:
        return caveat + absent("No run was evaluated yet: `ap-train evaluate RUN --data SHARDS` adds its row here.")
    return caveat + "".join(_parts(rows, gains, retrieval))


def _parts(rows: Sequence[ResultRow], gains: Sequence[Difference], retrieval: Sequence[RetrievalRow]) -> Iterable[str]:
    yield "<h3>3D error in millimetres, lower is better</h3>"
    yield error_cells(rows).html() if rows else absent("No lifting result was recorded.")
    for gain in gains:
        yield f'<p class="gain{" worse" if gain.change_mm > 0 else ""}">{text(gain_sentence(gain))}</p>'
    if rows and not gains:
        yield absent(
            "No comparison of with and without pretraining: it needs both, on the same protocol, data and frames."
        )
    if actions := action_cells(rows):
        yield f"<details><summary>MPJPE for each action, mm</summary>{actions.html()}</details>"
    yield "<h3>Motion and text: is the right one found?</h3>"
    if retrieval:
        yield (
            '<p class="note">R@k: how often a right answer is among the first k. By chance: the same for a '
            "random draw.</p>"
        )
        yield rank_cells(retrieval).html()
    else:
        yield absent("No retrieval result was recorded for these runs.")
