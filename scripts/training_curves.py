"""Draw what pretraining runs logged, one line a run: `python scripts/training_curves.py OUT.png RUN…`.

From each run's `log.jsonl`: reconstruction error on corrupted training clips (points: on held-out motions, whole),
alignment loss, how often a clip's own text came first among its candidates, and R@10 on held-out clips, from motion to
text (squares) and from text to motion (circles), with chance levels.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from actionpose.charts import COLOURS, SOFT, figure, tidy
from actionpose.jsonl import read_lines

PANELS = (
    ("mpjpe_mm", 1.0, "Reconstruction, training clips", "MPJPE, mm"),
    ("con", 1.0, "Alignment", "loss"),
    ("own_text_first", 100.0, "Own text before 16 others", "% of training clips"),
)


def draw(out: Path, runs: list[Path]) -> None:
    """Write the figure; runs may be unfinished."""
    with figure(out, (10.4, 2.9)) as drawn:
        axes = drawn.subplots(1, len(PANELS) + 1)
        for colour, run in zip(COLOURS, runs, strict=False):
            rows = read_lines(run / "log.jsonl")
            steps = [row for row in rows if "losses" in row]
            for axis, (name, factor, _, _) in zip(axes, PANELS, strict=False):
                axis.plot(
                    [row["step"] for row in steps],
                    [factor * row["report"][name] for row in steps],
                    color=colour, lw=1.2, label=run.name,
                )  # fmt: skip
            _held_out(axes, [row for row in rows if row.get("event") == "eval"], colour)
        for axis, (_, _, title, unit) in zip(axes, PANELS, strict=False):
            tidy(axis, x="step", y=unit, title=title)
            axis.set_ylim(bottom=0)
        tidy(axes[-1], x="step", y="%", title="R@10 on held-out clips")
        axes[-1].set_ylim(bottom=0)
        axes[-1].set_xlim(left=0)
        axes[0].legend(frameon=False, fontsize=8, labelcolor=SOFT)


def _held_out(axes: Any, rows: list[dict[str, Any]], colour: str) -> None:
    """Points at the end of each epoch: error and that of training, retrieval both ways and its chance level."""
    steps = [row["step"] for row in rows]
    axes[0].plot(steps, [row["mpjpe_mm"] for row in rows], color=colour, marker="o", lw=0)
    found = [(row["step"], row["retrieval"]) for row in rows if row.get("retrieval")]
    for way, marker in (("motion_to_text", "s"), ("text_to_motion", "o")):
        axes[-1].plot([s for s, _ in found], [r[way]["r10"] for _, r in found], color=colour, marker=marker, lw=1.2)
        axes[-1].plot([s for s, _ in found], [r[way]["chance"]["r10"] for _, r in found], color=SOFT, lw=1, ls=":")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    draw(Path(sys.argv[1]), [Path(run) for run in sys.argv[2:]])
