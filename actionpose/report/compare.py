"""What the report shows of predictions: beside their truth, over time, by joint, against another run, under masks.

From the clips that evaluations keep (`runs.kept`). Shape letters: T frames of one clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from actionpose.arrays import Floats
from actionpose.picture.player import clip_data, player
from actionpose.picture.scene import Label, Person, Scene, Seen
from actionpose.report.svg import Bar, Series, absent, bar_rows, html_table, legend, line_chart, number, text
from actionpose.runs.kept import Kept
from actionpose.runs.results import Run
from actionpose.skeleton import JOINT_NAMES, ROOT

SHOWN = 3
"""Clips from each end of the order that can be played."""

ASIDE_M = 0.75
"""Where two runs are compared, each figure stands this far from the middle."""

BINS = 24
MASK_NAMES = ("the beginning is hidden", "the middle is hidden", "the end is hidden")


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """The runs whose clips are compared.

    Attributes:
        first: the run in question.
        kept: its clips.
        other: another run that was measured on the same windows of the same shards; None without one.
        other_kept: its clips.
        apart: names of runs that kept clips and cannot be compared with the first.
    """

    first: Run
    kept: Kept
    other: Run | None = None
    other_kept: Kept | None = None
    apart: tuple[str, ...] = ()

    def means(self) -> tuple[Floats, Floats | None]:
        """MPJPE of every clip for both runs, millimetres."""
        mine, theirs = (
            None if kept is None else np.array([kept.errors(k).mean() for k in range(len(kept))])
            for kept in (self.kept, self.other_kept)
        )
        assert mine is not None
        return mine, theirs

    def order(self) -> list[int]:
        """Clips from where the first run does best, against the other or by itself, to where it does worst."""
        mine, theirs = self.means()
        return np.argsort(mine if theirs is None else mine - theirs, kind="stable").tolist()


def pairing(runs: Sequence[Run]) -> Pairing | None:
    """The runs to compare: the last one that kept clips, pretrained ones first, and one without pretraining."""
    kept = [(run, run.kept) for run in runs if run.kept is not None and len(run.kept)]
    if not kept:
        return None
    best = [one for one in kept if any(row.pretrained for row in one[0].results)] or kept
    first, clips = best[-1]
    for run, others in reversed(kept):
        if run is not first and run.task == first.task and _same(clips, others):
            return Pairing(first=first, kept=clips, other=run, other_kept=others)
    return Pairing(first=first, kept=clips, apart=tuple(run.name for run, _ in kept if run is not first))


def _same(a: Kept, b: Kept) -> bool:
    same_windows = np.array_equal(a.clip, b.clip) and np.array_equal(a.first, b.first)
    return same_windows and a.about.get("fingerprint") == b.about.get("fingerprint")


# --- the player -------------------------------------------------------------------------------


def prediction_player(runs: Pairing) -> str:
    """Predictions on their truth, best and worst clips first."""
    order = runs.order()
    picked = order if len(order) <= 2 * SHOWN else [*order[:SHOWN], *order[-SHOWN:]]
    scenes = [clip_data(_scene(runs, clip)) for clip in picked]
    against = f" The second figure is {runs.other.name}'s prediction for the same input." if runs.other else ""
    if runs.apart:
        against = f" Not compared with {', '.join(runs.apart)}: another kind of training, or other clips were kept."
    what = "where it is best and worst against the other run" if runs.other else "its best and its worst"
    return (
        f'<p class="note">Predictions of {text(runs.first.name)} in colour on the true poses in grey: {what}, of '
        f"{len(order)} clips that its evaluation kept.{text(against)} The curve below is the mean error of each frame; "
        "drag to turn.</p>" + player(scenes)
    )


def _scene(runs: Pairing, clip: int) -> Scene:
    kept, part = runs.kept, runs.kept.part(clip)
    truth = _upright(kept.target[part], kept.target[part])
    errors = {runs.first.name: kept.errors(clip).mean(axis=1)}
    found = [(runs.first.name, kept.predicted[part])]
    if runs.other is not None and runs.other_kept is not None:
        errors[runs.other.name] = runs.other_kept.errors(clip).mean(axis=1)
        found.append((runs.other.name, runs.other_kept.predicted[part]))
    people: list[Person] = []
    for place, (name, predicted) in enumerate(found):
        aside = np.array([(2 * place - 1) * ASIDE_M if len(found) > 1 else 0.0, 0.0, 0.0])
        people.append(Person(points=_upright(predicted, kept.target[part]) + aside, name=name))
        people.append(Person(points=truth + aside, name="truth", ghost=True))
    means = ", ".join(f"{name} {values.mean():.0f} mm" for name, values in errors.items())
    seen = kept.seen[part].astype(np.float64) / 1000
    return Scene(
        title=f"{kept.label[clip] or 'no label'}: {means}",
        about=str(kept.clip[clip]),
        people=tuple(people),
        seen=Seen(points=seen - seen[:, ROOT : ROOT + 1]),
        fps=float(kept.about.get("fps", 30.0)),
        views=() if runs.other else ("side",),
        errors_mm=errors,
    )


def _upright(poses: Floats, target: Floats) -> Floats:
    """(T, 17, 3) metres, z up, of root-relative millimetres in a camera's frame; the true lowest joint stands at 0."""
    x, y, z = np.moveaxis(poses.astype(np.float64) / 1000, -1, 0)
    lowest = (target[..., 1].astype(np.float64) / 1000).max(axis=1)
    return np.stack([x, z, lowest[:, None] - y], axis=-1)


# --- numbers ----------------------------------------------------------------------------------


def error_charts(runs: Pairing) -> str:
    """Errors by joint and over the frames of a window, and the clips in order."""
    sides = [(run.name, kept) for run, kept in ((runs.first, runs.kept), (runs.other, runs.other_kept)) if run and kept]
    by_joint = {name: np.mean(np.concatenate([k.errors(c) for c in range(len(k))]), axis=0) for name, k in sides}
    charts = [_joints(by_joint), _over_time(sides)]
    return f'{legend([name for name, _ in sides])}<div class="charts">{"".join(charts)}</div>{_clips(runs)}'


def _joints(by_joint: Mapping[str, Floats]) -> str:
    first, *others = by_joint.values()
    order = [j for j in np.argsort(-first).tolist() if j != ROOT]
    bars = [Bar(label=JOINT_NAMES[j].replace("_", " "), count=round(float(first[j]), 1)) for j in order]
    change = ""
    if others:
        widest = max(order, key=lambda j: abs(float(others[0][j] - first[j])))
        change = (
            f'<p class="note">The largest difference: {text(JOINT_NAMES[widest].replace("_", " "))}, '
            f"{first[widest]:.0f} against {others[0][widest]:.0f} mm.</p>"
        )
    name = next(iter(by_joint))
    return f"<figure><h3>Error by joint, {text(name)}, mm</h3>{bar_rows(bars)}{change}</figure>"


def _over_time(sides: Sequence[tuple[str, Kept]]) -> str:
    series = []
    for colour, (name, kept) in enumerate(sides):
        total, count = np.zeros(BINS), np.zeros(BINS)
        for clip in range(len(kept)):
            values = kept.errors(clip).mean(axis=1)
            place = np.minimum((np.arange(len(values)) * BINS) // max(len(values), 1), BINS - 1)
            np.add.at(total, place, values)
            np.add.at(count, place, 1)
        steps = 100 * (np.flatnonzero(count) + 0.5) / BINS
        series.append(Series(name=name, colour=colour, steps=steps.tolist(),
                             values=(total[count > 0] / count[count > 0]).tolist()))  # fmt: skip
    chart = line_chart(series, x_label="place in the window, %", label="Error over the frames of a window")
    return f"<figure><h3>Error over the frames of a window, mm</h3>{chart}</figure>"


def _clips(runs: Pairing) -> str:
    mine, theirs = runs.means()
    head = ["clip", "label", f"{text(runs.first.name)}, mm"]
    if runs.other and theirs is not None:
        head += [f"{text(runs.other.name)}, mm", "difference"]
    rows = []
    for clip in runs.order():
        row = [f'<span class="mono">{text(runs.kept.clip[clip])}</span>', text(runs.kept.label[clip] or "–")]
        row.append(number(round(float(mine[clip]), 1)))
        if theirs is not None:
            row += [number(round(float(theirs[clip]), 1)), f"{mine[clip] - theirs[clip]:+.1f}".replace("-", "−")]
        rows.append(row)
    return (
        f"<details><summary>All {len(rows)} kept clips, best first</summary>"
        f"{html_table(head, rows, numeric=range(2, len(head)))}</details>"
    )


def masks_section(runs: Sequence[Run]) -> str:
    """The paper's Figure 4: one clip with its beginning, its middle or its end hidden."""
    with_masks = [(run, run.kept) for run in runs if run.kept is not None and run.kept.masked_clip >= 0]
    if not with_masks:
        return absent("No pretraining run was evaluated: masks are shown of models that have learned to fill them.")
    run, kept = with_masks[-1]
    part = kept.part(kept.masked_clip)
    truth, fps = kept.target[part], float(kept.about.get("fps", 30.0))
    plain = kept.errors(kept.masked_clip).mean(axis=1)
    scenes = []
    for name, (start, stop), poses in zip(MASK_NAMES, kept.masked_frames.tolist(), kept.masked, strict=False):
        hidden = np.zeros((len(truth), len(JOINT_NAMES)), dtype=bool)
        hidden[start:stop] = True
        error = np.linalg.norm(poses.astype(np.float64) - truth.astype(np.float64), axis=-1).mean(axis=1)
        scenes.append(
            Scene(
                title=f"{name}: {error[start:stop].mean():.0f} mm there, {plain[start:stop].mean():.0f} mm when seen",
                about=f"{kept.label[kept.masked_clip]} · {kept.clip[kept.masked_clip]} · {run.name}",
                people=(
                    Person(points=_upright(poses, truth), filled=hidden, name=run.name),
                    Person(points=_upright(truth, truth), name="truth", ghost=True),
                ),
                fps=fps,
                views=("front", "side"),
                labels=(Label(start_s=start / fps, end_s=stop / fps, text="hidden"),),
                errors_mm={"hidden": error, "whole input": plain},
            )
        )
    return (
        '<p class="note">A third of a clip is hidden from the model, which completes it (hollow); the truth is grey. '
        "At the beginning or the end it knows one side only, in the middle both (Figure 4 of the paper).</p>"
        + player([clip_data(scene) for scene in scenes])
    )
