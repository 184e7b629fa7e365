"""What the report shows of embeddings and of robustness: maps of labelled clips, and errors as the input gets worse."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np

from actionpose.arrays import Floats
from actionpose.report.svg import SERIES_CLASSES, Series, absent, html_table, legend, line_chart, scatter, text
from actionpose.runs.kept import Kept
from actionpose.runs.results import Run

FEWEST = 8
"""Clips that a map needs."""

AXES = {
    "joints": "share of joints hidden",
    "window": "frames hidden in a row",
    "frames": "share of frames missing",
    "noise": "joint noise, times the detector's",
    "confidence": "confidence",
    "rate": "frame rate, times the trained one",
}
"""Curve of `ap-train robustness` → label of its axis; body parts have no order to draw a line through, and a table."""


def embedding_section(runs: Sequence[Run]) -> str:
    """The paper's Figure 5: clip embeddings of every run in two dimensions, coloured by label."""
    known = [(run, run.kept) for run in runs if run.kept is not None and len(run.kept.features) >= FEWEST]
    if not known:
        return absent("No run kept embeddings: measure a run with a class token on shards with labels.")
    often = Counter(label for _, kept in known for label in kept.feature_label.tolist())
    names = [label for label, _ in often.most_common(SERIES_CLASSES)]
    figures = []
    for run, kept in known:
        points, how = flat_map(kept.features)
        chart = scatter(points, _colours(kept, names), kept.feature_label.tolist(), label=f"Embeddings of {run.name}")
        space = "aligned with text" if run.task == "pretrain" else "class token, no text"
        figures.append(f"<figure><h3>{text(run.name)} ({space}), {how}</h3>{chart}</figure>")
    return (
        f'<p class="note">Each dot is a held-out clip; clips that the model takes for alike lie together (Figure 5 of '
        f"the paper). Coloured: the {len(names)} most frequent categories.</p>"
        f'{legend(names)}<div class="charts">{"".join(figures)}</div>'
    )


def _colours(kept: Kept, names: Sequence[str]) -> list[int]:
    return [names.index(label) if label in names else -1 for label in kept.feature_label.tolist()]


def flat_map(features: Floats) -> tuple[Floats, str]:
    """Features (N, D) in two dimensions (N, 2): by t-SNE where scikit-learn is installed, else by PCA; and by which."""
    centred = features.astype(np.float64) - features.mean(axis=0)
    try:
        from sklearn.manifold import TSNE
    except ModuleNotFoundError:
        _, _, axes = np.linalg.svd(centred, full_matrices=False)
        points = centred @ axes[:2].T
        return np.pad(points, ((0, 0), (0, 2 - points.shape[1]))), "PCA"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about defaults of other versions
        perplexity = min(30.0, (len(features) - 1) / 3)
        found = TSNE(n_components=2, init="random", perplexity=perplexity, random_state=0).fit_transform(centred)
    return np.asarray(found, dtype=np.float64), "t-SNE"


def robustness_section(runs: Sequence[Run]) -> str:
    """Error against how much worse the input is, of every run that was measured so."""
    rows: dict[str, dict[str, list[tuple[float, float]]]] = {}
    parts: dict[str, dict[str, float]] = {}
    for run in runs:
        for row in run.robustness:
            if row["curve"] in AXES:
                point = (float(row["amount"]), float(row["mpjpe_mm"]))
                rows.setdefault(str(row["curve"]), {}).setdefault(run.name, []).append(point)
            elif row["curve"] == "part":
                parts.setdefault(str(row["level"]), {})[run.name] = float(row["mpjpe_mm"])
    if not rows and not parts:
        return absent("No run was measured on degraded input: `ap-train robustness RUN --data SHARDS` adds its curves.")
    names = list(
        dict.fromkeys(name for of_run in [*map(list, rows.values()), *map(list, parts.values())] for name in of_run)
    )
    figures = []
    for curve, of_run in rows.items():
        series = [_series(name, names.index(name), points) for name, points in of_run.items()]
        chart = line_chart(series, x_label=AXES[curve], label=f"MPJPE against {AXES[curve]}")
        figures.append(f"<figure><h3>MPJPE, mm: {text(AXES[curve])}</h3>{chart}</figure>")
    charts = f'{legend(names)}<div class="charts">{"".join(figures)}</div>' if figures else ""
    return charts + (_part_table(parts, names) if parts else "")


def _part_table(parts: dict[str, dict[str, float]], names: Sequence[str]) -> str:
    """Errors with a body part hidden, a row for each part."""
    head = ["MPJPE, mm, with this hidden", *map(text, names)]
    rows = [
        [
            "nothing" if part == "clean" else text(part),
            *(f"{of_run[name]:.1f}" if name in of_run else "" for name in names),
        ]
        for part, of_run in parts.items()
    ]
    return html_table(head, rows, numeric=range(1, len(head)))


def _series(name: str, colour: int, points: list[tuple[float, float]]) -> Series:
    points = sorted(points)
    return Series(name=name, colour=colour, steps=[x for x, _ in points], values=[y for _, y in points])
