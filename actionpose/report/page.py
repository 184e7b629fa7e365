"""The report as one HTML page: each section is a function from facts to text, styles and script put inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources

from actionpose.geometry import SCREEN_PER_METRE
from actionpose.picture.player import clip_data, document, player
from actionpose.picture.scene import Scene
from actionpose.report.compare import Pairing, error_charts, masks_section, pairing, prediction_player
from actionpose.report.facts import WINDOW, ShardFacts
from actionpose.report.learned import embedding_section, robustness_section
from actionpose.report.svg import Bar, Series, absent, bar_rows, histogram, html_table, legend, line_chart, number, text
from actionpose.report.tables import gain_sentence, results_section
from actionpose.runs.results import Difference, ResultRow, RetrievalRow, Run
from actionpose.shards import ShardSet

TOP_LABELS = 30
MAX_CURVES = 11

CURVES = {
    "total": "total loss (weighted sum of the others)",
    "3d": "3D position loss, screen units",
    "v": "velocity loss, screen units a frame (weighted)",
    "con": "text alignment loss (weighted)",
    "validation MPJPE, mm": "validation MPJPE, mm",
    "lr": "learning rate",
}
"""Name in the log → heading, in the order of the page; other losses come before the learning rate."""

NEXT_COMMANDS = (
    "ap-data doctor --amass AMASS --babel BABEL --body SMPLH --regressor J_regressor_h36m.npy\n"
    "ap-data build-babel --amass AMASS --babel BABEL --body SMPLH --regressor J_regressor_h36m.npy --out SHARDS\n"
    "ap-train pretrain -c pretrain --data SHARDS --out runs/pretrain\n"
    "ap-train finetune -c finetune_h36m --data H36M_SHARDS --init runs/pretrain --out runs/finetune\n"
    "ap-train evaluate runs/finetune --data H36M_SHARDS"
)


def page(
    *,
    title: str,
    facts: ShardFacts,
    clips: Sequence[Scene],
    runs: Sequence[Run],
    results: Sequence[ResultRow],
    gains: Sequence[Difference],
    retrieval: Sequence[RetrievalRow],
    demo: bool,
) -> str:
    """The whole page; nothing in it is fetched from anywhere."""
    compared = pairing(runs)
    sections = [
        _section("results", "Results", results_section(results, gains, retrieval, demo)),
        _section("predictions", "Predictions against the truth", _predictions(compared)),
        _section("masks", "What masks do", masks_section(runs)),
        _section("embeddings", "What the embeddings know", embedding_section(runs)),
        _section("robustness", "Worse input", robustness_section(runs)),
        _section("training", "Training", _training(runs)),
        _section("data", "The data", _cards(facts) + _data(facts)),
        _section("clip", "One clip, in 3D and as a model sees it", _viewer(clips, facts.shards.kind)),
        _section("origin", "Where it comes from", _origin(facts.shards)),
        _section("read", "How to read this, and what to do next", _reading()),
    ]
    if not runs:  # a report about shards alone shows them at once
        sections = [absent("No run was given: --run FOLDER adds its results, predictions and curves."), *sections[6:]]
    return document(title, f"{_head(title, facts, gains, bool(runs))}\n{''.join(sections)}", _styles())


def _styles() -> str:
    return resources.files("actionpose.report").joinpath("assets", "report.css").read_text(encoding="utf-8")


def _section(anchor: str, title: str, body: str) -> str:
    return f'<section id="{anchor}">\n<h2>{text(title)}</h2>\n{body}\n</section>\n'


# --- headline ---------------------------------------------------------------------------------


def _head(title: str, facts: ShardFacts, gains: Sequence[Difference], with_runs: bool) -> str:
    shards, views = facts.shards, ", ".join(facts.shards.views)
    lead = (
        f"{number(facts.pairs)} text–motion pairs over {number(facts.clips)} clips of {number(facts.motions)} motions, "
        f"{_duration(facts.hours)} at {shards.fps:g} frames per second, "
        + (f"seen from: {views}." if views else "with their 2D detections stored.")
    )
    anchors = (("results", "Results"), ("predictions", "Predictions"), ("masks", "Masks"), ("embeddings", "Embeddings"),
               ("robustness", "Robustness"), ("training", "Training"), ("data", "Data"), ("clip", "A clip"),
               ("origin", "Origin"), ("read", "How to read it"))  # fmt: skip
    shown = anchors if with_runs else anchors[6:]
    nav = " ".join(f'<a href="#{anchor}">{name}</a>' for anchor, name in shown)
    verdict = "".join(f'<p class="lead"><b>{text(gain_sentence(gain))}</b></p>' for gain in gains[:1])
    return (
        f'<header>\n<h1>{text(title)}</h1>\n{verdict}<p class="lead">{text(lead)}</p>\n'
        f'<p class="note">Shards <span class="mono">{text(shards.folder.name)}</span>, fingerprint '
        f'<span class="mono">{text(shards.fingerprint)}</span></p>\n<nav>{nav}</nav>\n</header>\n'
    )


def _cards(facts: ShardFacts) -> str:
    shards, summary = facts.shards, facts.shards.summary
    dropped = sum(summary.transitions.dropped.values())
    cards = [
        _card(number(facts.motions), "motions"),
        _card(number(facts.clips), "clips"),
        _card(number(facts.pairs), "pairs", f"{len(facts.labels):,} different texts"),
        _card(number(facts.transitions), "transitions", f"{dropped:,} dropped, with reasons" if dropped else ""),
        _card(_duration(facts.hours), "of motion", f"{facts.frames:,} frames"),
        _card(f"{shards.fps:g}", "frames per second"),
        _card(number(len(shards.views)), "views", ", ".join(shards.views)),
        _card(number(summary.failed), "failures", css="bad" if summary.failed else "good"),
    ]
    return f'<div class="cards">{"".join(cards)}</div>'


def _predictions(compared: Pairing | None) -> str:
    if compared is None:
        return absent("No run kept predictions: `ap-train evaluate RUN --data SHARDS` keeps those of some clips.")
    return prediction_player(compared) + error_charts(compared)


def _card(value: str, name: str, small: str = "", css: str = "") -> str:
    more = f"<small>{text(small)}</small>" if small else ""
    return f'<div class="card {css}"><b>{text(value)}</b><span>{text(name)}</span>{more}</div>'


def _duration(hours: float) -> str:
    if hours >= 1:
        return f"{number(hours)} h"
    return f"{number(hours * 60)} min" if hours * 60 >= 1 else f"{number(hours * 3600)} s"


# --- data -------------------------------------------------------------------------------------


def _data(facts: ShardFacts) -> str:
    remarks = "".join(f'<p class="warn">Not in agreement: {text(r)}.</p>' for r in facts.remarks)
    return remarks + _labels(facts) + _shapes(facts) + _rejected(facts)


def _labels(facts: ShardFacts) -> str:
    if not facts.labels:
        return "<h3>Labels</h3>" + absent("These shards carry no text.")
    bars = [Bar(label=label, count=n, mark=mark) for label, n, mark in facts.labels[:TOP_LABELS]]
    rest = facts.labels[TOP_LABELS:]
    more = f" The other {len(rest):,} labels share {sum(n for _, n, _ in rest):,} pairs." if rest else ""
    return (
        f"<h3>The {len(bars)} most frequent of {len(facts.labels):,} labels, in pairs</h3>"
        '<p class="legend"><span class="key"><i class="swatch first"></i>an action</span>'
        '<span class="key"><i class="swatch second"></i>a transition between two actions</span></p>'
        f'<div class="two">{bar_rows(bars)}</div><p class="note">{text(more.strip())}</p>'
    )


def _shapes(facts: ShardFacts) -> str:
    figures = []
    if len(facts.lengths):
        long = int((facts.lengths > WINDOW).sum())
        note = f"median {int(sorted(facts.lengths)[len(facts.lengths) // 2])} frames; {long:,} longer than {WINDOW}"
        chart = histogram(
            facts.lengths, x_label="frames in a clip", label="Histogram of clip lengths",
            mark=WINDOW, mark_text=f"{WINDOW}: one window",
        )  # fmt: skip
        figures.append(f'<figure><h3>Clip lengths</h3>{chart}<p class="note">{note}</p></figure>')
    cells = (
        (("Source frame rates, in motions", facts.rates, " fps"), ("Motions by split", facts.splits, "")),
        (("Clips by kind", facts.kinds, ""), ("Motions by data set", facts.datasets[:12], "")),
    )
    figures += [f"<div>{''.join(_small_bars(*cell) for cell in pair)}</div>" for pair in cells]
    return f'<div class="charts">{"".join(figures)}</div>'


def _small_bars(title: str, rows: Sequence[tuple[str, int]], unit: str) -> str:
    bars = [Bar(label=f"{name or 'not named'}{unit}", count=n, mark="transit" in name) for name, n in rows]
    return f'<figure class="narrow"><h3>{text(title)}</h3>{bar_rows(bars)}</figure>' if bars else ""


def _rejected(facts: ShardFacts) -> str:
    summary = facts.shards.summary
    parts = ["<h3>What is not in here, and why</h3>"]
    if not summary.failures:
        parts.append("<p>No item failed in any stage.</p>")
    dropped = {reason: n for reason, n in summary.transitions.dropped.items() if n}
    left_out = ({"transitions": dropped}, facts.skipped)
    rows = [
        (text(stage), text(reason), verdict, number(n))
        for verdict, counts in (('<b class="warn">failed</b>', summary.failures), *(("left out", c) for c in left_out))
        for stage, reasons in counts.items()
        for reason, n in reasons.items()
    ]
    if rows:
        parts.append(html_table(("of", "reason", "verdict", "items"), rows, numeric=(3,)))
    if summary.transitions.found:
        parts.append(
            f'<p class="note">Transitions found in the labels: {number(summary.transitions.found)}; '
            f"pairs about a transition in the shards: {number(facts.transitions)} "
            "(a long one is cut into several windows).</p>"
        )
    return "".join(parts)


def _viewer(scenes: Sequence[Scene], kind: str) -> str:
    if not scenes:
        why = "benchmark shards hold screen units" if kind != "motion-text" else "no pair has two frames"
        return absent(f"No clip to show: {why}.")
    return (
        '<p class="note">Drag to turn, shift-scroll to come nearer, double-click to start over. The small pictures are '
        "the orthographic views that a model gets as input, in screen units; grid lines are 0.1 apart there and half a "
        "metre on the floor.</p>" + player([clip_data(scene) for scene in scenes], grid=SCREEN_PER_METRE)
    )


# --- training ---------------------------------------------------------------------------------


def _training(runs: Sequence[Run]) -> str:
    if not runs:
        return absent("No run was given: add them with --run FOLDER.")
    notes = "".join(f'<p class="note warn">{text(run.name)}: {text(note)}.</p>' for run in runs for note in run.notes)
    curves = [(run, found) for run in runs if (found := run.curves())]
    names = sorted({name for _, found in curves for name in found}, key=_curve_order)
    if not names:
        return notes + absent("No run has a training log yet.")
    figures = []
    for name in names[:MAX_CURVES] + (["lr"] if "lr" in names[MAX_CURVES:] else []):
        series = [
            Series(name=run.name, colour=k, steps=found[name][0], values=found[name][1])
            for k, (run, found) in enumerate(curves)
            if name in found
        ]
        title = CURVES.get(name, name)
        chart = line_chart(series, x_label="optimiser steps", label=f"{title} against step")
        figures.append(f"<figure><h3>{text(title)}</h3>{chart}</figure>")
    heading = f"{notes}{legend([run.name for run, _ in curves])}{_last_lines(runs)}"
    return f'{heading}<div class="charts">{"".join(figures)}</div>'


def _curve_order(name: str) -> tuple[float, str]:
    return (list(CURVES).index(name) if name in CURVES else len(CURVES) - 1.5), name


def _last_lines(runs: Sequence[Run]) -> str:
    rows = []
    for run in runs:
        steps = [row for row in run.log if "losses" in row]
        if not steps:
            continue
        last = steps[-1]
        shown = [number(float(last[key])) for key in ("step", "epoch", "clips_per_s")]
        rows.append((text(run.name), text(run.task or "–"), *shown))
    head = ("run", "task", "steps", "last epoch, counted from 0", "clips/s, last")
    return html_table(head, rows, numeric=(2, 3, 4)) if rows else ""


# --- origin and reading -----------------------------------------------------------------------


def _origin(shards: ShardSet) -> str:
    licence = text(shards.index["licence"] or "not recorded")
    rows = [(f'<span class="mono">{text(k)}</span>', text(v)) for k, v in flatten(shards.index["provenance"])]
    settings = (
        f"<details><summary>Provenance and settings ({len(rows)} entries)</summary>"
        f"{html_table(('entry', 'value'), rows, css='settings')}</details>"
        if rows
        else absent("The index records no provenance.")
    )
    return (
        f"<p><b>Licence of the content:</b> {licence}</p>"
        f'<p>Fingerprint <span class="mono">{text(shards.fingerprint)}</span>: it names the bytes of the shards; two '
        f"builds with the same fingerprint are the same data.</p>{settings}"
    )


def flatten(found: object, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, value) rows; lists of plain values stay on one line."""
    if isinstance(found, Mapping):
        inner = [row for k, v in found.items() for row in flatten(v, f"{prefix}.{k}" if prefix else str(k))]
        return inner or ([(prefix, "(empty)")] if prefix else [])
    if isinstance(found, list | tuple):
        if any(isinstance(v, Mapping | list | tuple) for v in found):
            return [row for k, v in enumerate(found) for row in flatten(v, f"{prefix}[{k}]")]
        return [(prefix, ", ".join(map(str, found)) or "(empty)")]
    return [(prefix, "–" if found is None else str(found))]


def _reading() -> str:
    return (
        "<p><b>MPJPE</b> is the mean distance between predicted and true joints after the pelvis of both is put in the "
        "same place; <b>P-MPJPE</b> also removes rotation and size first, so it judges the pose alone. Compare rows "
        "only where protocol and frames are the same.</p>"
        "<p><b>A pair</b> is a text for a span of motion. <b>A transition</b> runs from the start of one action to the "
        "end of the next; where it changes is the coloured band above the slider.</p>"
        "<p>With the real data:</p>"
        f"<pre>{text(NEXT_COMMANDS)}</pre>"
    )
