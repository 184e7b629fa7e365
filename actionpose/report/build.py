"""One self-contained HTML report about shards and runs, and its result table as data and as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from actionpose.files import write_text
from actionpose.report.facts import ShardFacts, read_shards, sample_clips, viewer_clip
from actionpose.report.page import page
from actionpose.report.tables import CAVEAT, error_cells, gain_sentence, rank_cells
from actionpose.runs.results import Difference, ResultRow, RetrievalRow, Run, pretraining_gains, read_run
from actionpose.shards import ShardSet


@dataclass(frozen=True, kw_only=True)
class ReportSummary:
    """What the report says, for programs: counts of the shards, the result rows, and notes on what was missing."""

    facts: ShardFacts
    results: tuple[ResultRow, ...]
    gains: tuple[Difference, ...]
    retrieval: tuple[RetrievalRow, ...]
    notes: tuple[str, ...]
    demo: bool


def build_report(shards: Path, runs: Sequence[Path], out: Path, title: str, *, demo: bool = True) -> ReportSummary:
    """Write the report as one HTML file that needs no network.

    Args:
        shards: a shard folder; every count shown is counted from its tables.
        runs: run folders, in the order of the curves; what is missing in them becomes a note on the page.
        out: the HTML file; it appears whole or not at all.
        title: the page's heading.
        demo: whether to note that demo results cannot be compared with published ones.

    Raises:
        UserError: the shards cannot be read (see `read_index`), or the file cannot be written.
    """
    opened = ShardSet(shards)
    facts = read_shards(opened)
    read = [_fitting(read_run(Path(run)), opened.fingerprint) for run in runs]
    results = _once(row for run in read for row in run.results)
    retrieval = tuple(row for run in read for row in run.retrieval)
    gains = tuple(pretraining_gains(results))
    clips = [viewer_clip(opened, pair) for pair in sample_clips(opened)]
    html = page(
        title=title, facts=facts, clips=clips, runs=read, results=results, gains=gains, retrieval=retrieval, demo=demo
    )  # fmt: skip
    write_text(out, html)
    notes = (*facts.remarks, *(f"{run.name}: {note}" for run in read for note in run.notes))
    return ReportSummary(facts=facts, results=results, gains=gains, retrieval=retrieval, notes=notes, demo=demo)


def _fitting(run: Run, fingerprint: str) -> Run:
    """The run with a note for every result that was measured on other shards than those of the page."""
    other = sorted({row.data for row in run.results if row.data and row.data != fingerprint})
    notes = tuple(f"it was measured on other shards than these ({data[:15]}…)" for data in other)
    return replace(run, notes=(*run.notes, *notes))


def _once(rows: Iterable[ResultRow]) -> tuple[ResultRow, ...]:
    """All rows of runs, and at the end each baseline once, though several runs may have measured it."""
    every = list(rows)
    baselines = {(r.run, r.protocol, r.data, r.frames): r for r in every if r.stage == "baseline"}
    return (*(r for r in every if r.stage != "baseline"), *baselines.values())


def summary_text(summary: ReportSummary) -> str:
    """The result tables as plain text for a terminal, ending with what they do not say."""
    facts = summary.facts
    parts = [
        f"{facts.motions:,} motions, {facts.clips:,} clips, {facts.pairs:,} pairs "
        f"({facts.transitions:,} transitions), {facts.hours:.2f} h"
    ]
    parts += [error_cells(summary.results).plain()] if summary.results else ["No run was evaluated yet."]
    parts += [gain_sentence(gain) for gain in summary.gains]
    if summary.retrieval:
        parts.append(rank_cells(summary.retrieval).plain())
    if summary.demo:
        parts.append(CAVEAT)
    return "\n\n".join(parts) + "\n"
