"""Which action, when: windows of 2D keypoints and action phrases compared in the shared space of a pretrained model.

Shape suffixes: W windows, U labels, D shared features, S steps of time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.files import atomic_path
from actionpose.lift.detections import Detections
from actionpose.lift.source import LiftModel, open_model
from actionpose.lift.understand import LiftOptions, Prepared, prepare
from actionpose.lift.windows import Window, blend_weight, plan_windows, window_batch
from actionpose.model.frozen_text import FrozenTextEncoder
from actionpose.progress import Progress
from actionpose.runs.evaluate import recipe_of
from actionpose.schema import TRANSITION_PREFIX
from actionpose.train import checkpoint

STRIDE = 4
"""Windows begin every fourth of their length."""

STEP_S = 0.2
"""Resolution of the table over time."""


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Windows of one clip in the shared space.

    Attributes:
        source: the clip.
        features: (W, D) of unit length.
        person: (W,) whose window.
        start_s: (W,) seconds.
        end_s: (W,) seconds.
        ready: what the windows were cut from.
    """

    source: str
    features: Floats
    person: NDArray[np.int64]
    start_s: Floats
    end_s: Floats
    ready: Prepared


def embed(found: Detections, source: LiftModel, options: LiftOptions) -> Embedded:
    """Embed overlapping windows of every person.

    Args:
        found: keypoints of one clip.
        source: a model with its text branch (`open_model(…, with_text=True)`).
        options: how the keypoints are understood; the batch.

    Raises:
        UserError: see `understand`; a model without a text branch.
    """
    if source.model.pose_pool is None:
        raise UserError(
            f"{source.path} has no text branch, so it knows no actions",
            "give a pretraining run (ap-train pretrain), or a run that was fine-tuned from one that is still there",
        )
    ready = prepare(found, source, options)
    plan = plan_windows(ready.grids, source.frames, max(1, source.frames // STRIDE))
    parts = []
    with torch.inference_mode(), Progress("encoding", total=len(plan), unit="window") as progress:
        for first in range(0, len(plan), options.batch):
            some = plan[first : first + options.batch]
            x_BTJ3, valid_BT = window_batch(some, ready.grids, ready.sizes, source)
            parts.append(source.model.embed_pose(x_BTJ3, valid_BT).double().cpu().numpy())
            progress.advance(len(some))
    order = sorted(range(len(plan)), key=lambda number: (plan[number].stretch, plan[number].start))
    windows = [plan[number] for number in order]
    return Embedded(
        source=found.source,
        features=np.concatenate(parts)[order],
        person=np.array([ready.stretches[w.stretch].track.person for w in windows], dtype=np.int64),
        start_s=np.array([ready.grids[w.stretch].seconds[w.start] for w in windows]),
        end_s=np.array([_end(ready, w) for w in windows]),
        ready=ready,
    )


def _end(ready: Prepared, window: Window) -> float:
    return float(ready.grids[window.stretch].seconds[window.start + window.length - 1] + 1.0 / ready.rate)


def known_labels(source: LiftModel) -> list[str]:
    """The actions that a model brings along.

    Raises:
        UserError: it brings none.
    """
    if not isinstance(source.model.text, FrozenTextEncoder):
        raise UserError(f"no labels are given, and {source.path} brings none", "--labels 'walk,sit down', or a file")
    return [text for text in source.model.text.texts if not text.startswith(TRANSITION_PREFIX)]


def read_labels(labels: str) -> list[str]:
    """Labels from a file (one a line) or from a text with commas between.

    Raises:
        UserError: fewer than two, or a file that cannot be read.
    """
    text = labels
    path = Path(labels)
    if "," not in labels and path.suffix and path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read {path}: {error}", "give a text file with a label on each line") from error
        found = [line.strip() for line in text.splitlines()]
    else:
        found = [part.strip() for part in text.split(",")]
    found = list(dict.fromkeys(label for label in found if label and not label.startswith("#")))
    if len(found) < 2:
        raise UserError(
            f"{labels!r} names {len(found)} labels, and a choice needs two",
            "give a file with a label on each line, or --labels 'walk,sit down'",
        )
    return found


# --- naming -----------------------------------------------------------------------------------


def name_actions(embedded: Embedded, source: LiftModel, labels: Sequence[str]) -> list[dict[str, Any]]:
    """The best label over time, one row for each stretch of time that has the same.

    Columns: person, start_s, end_s, label, score (mean cosine similarity), probability (softmax over the labels at the
    temperature of training) and above_chance: 0 where the probability is one in the number of labels, 1 where it is 1.

    Args:
        embedded: the windows.
        source: the model that embedded them.
        labels: at least two phrases.
    """
    text_UD = embed_texts(source, labels)
    rows: list[dict[str, Any]] = []
    for person in dict.fromkeys(embedded.person.tolist()):
        mine = embedded.person == person
        steps, cosine_SU = over_time(embedded, mine, embedded.features[mine] @ text_UD.T)
        share_SU = softmax(cosine_SU / source.temperature, axis=1)
        best = share_SU.argmax(axis=1)
        borders = np.flatnonzero((np.diff(best) != 0) | (np.diff(steps) > 1.5 * STEP_S)) + 1
        for part in np.split(np.arange(len(steps)), borders):
            label = int(best[part[0]])
            share = float(share_SU[part, label].mean())
            rows.append(
                {
                    "person": int(person),
                    "start_s": round(float(steps[part[0]]), 3),
                    "end_s": round(float(steps[part[-1]] + STEP_S), 3),
                    "label": labels[label],
                    "score": round(float(cosine_SU[part, label].mean()), 4),
                    "probability": round(share, 4),
                    "above_chance": round((share - 1 / len(labels)) / (1 - 1 / len(labels)), 4),
                }
            )
    return rows


def over_time(embedded: Embedded, mine: NDArray[np.bool_], values_WU: Floats) -> tuple[Floats, Floats]:
    """Values of windows at steps of time: the mean over the windows around each step, the middle of one weighs most.

    Returns:
        steps (S,) seconds; values (S, U).
    """
    start, end = embedded.start_s[mine], embedded.end_s[mine]
    steps = np.arange(start.min(), max(end.max() - STEP_S / 2, start.min() + 1e-9), STEP_S)
    middle = (steps + STEP_S / 2)[:, None]
    inside = (middle >= start) & (middle < end)
    place = np.clip((middle - start) / (end - start), 0.0, 0.999)
    weight = np.where(inside, blend_weight(1000)[(1000 * place).astype(int)], 0.0)
    total = weight.sum(axis=1)
    seen = total > 0
    return steps[seen], (weight[seen] @ values_WU) / total[seen, None]


def embed_texts(source: LiftModel, texts: Sequence[str]) -> Floats:
    """(U, D) of unit length."""
    with torch.inference_mode():
        return source.model.embed_text(list(texts)).double().cpu().numpy()


def search(clips: Iterable[Embedded], source: LiftModel, text: str, top: int) -> list[dict[str, Any]]:
    """The windows that match a phrase best, no two of which overlap in one clip and person.

    Columns: rank, clip, person, start_s, end_s, score (cosine similarity) and above_mean: deviations above the mean
    over all windows that were searched.

    Args:
        clips: what is searched.
        source: the model that embedded them.
        text: the phrase.
        top: how many.
    """
    everything = list(clips)
    text_D = embed_texts(source, [text])[0]
    scores = [clip.features @ text_D for clip in everything]
    every = np.concatenate(scores)
    mean, spread = float(every.mean()), float(max(every.std(), 1e-9))
    order = sorted(((-s, c, w) for c, of_clip in enumerate(scores) for w, s in enumerate(of_clip.tolist())))
    rows: list[dict[str, Any]] = []
    taken: list[tuple[int, int, float, float]] = []
    for negative, number, window in order:
        clip = everything[number]
        span = (number, int(clip.person[window]), float(clip.start_s[window]), float(clip.end_s[window]))
        if any(t[:2] == span[:2] and span[2] < t[3] and t[2] < span[3] for t in taken):
            continue
        taken.append(span)
        rows.append(
            {
                "rank": len(rows) + 1, "clip": clip.source, "person": span[1], "start_s": round(span[2], 3),
                "end_s": round(span[3], 3), "score": round(-negative, 4),
                "above_mean": round((-negative - mean) / spread, 3),
            }
        )  # fmt: skip
        if len(rows) == top:
            break
    return rows


def save_embeddings(clips: Sequence[Embedded], path: Path) -> None:
    """Write all windows: features (W, D), clip, person, start_s, end_s."""
    with atomic_path(path) as aside, open(aside, "wb") as handle:
        np.savez_compressed(
            handle,
            features=np.concatenate([clip.features for clip in clips]).astype(np.float32),
            clip=np.concatenate([np.full(len(clip.features), clip.source) for clip in clips]),
            person=np.concatenate([clip.person for clip in clips]),
            start_s=np.concatenate([clip.start_s for clip in clips]),
            end_s=np.concatenate([clip.end_s for clip in clips]),
        )


def open_with_heads(path: Path | None, device: str) -> tuple[LiftModel, str]:
    """A model with its text branch; a fine-tuned encoder takes the heads of the pretraining run it came from.

    Returns:
        the model; a sentence about where the heads come from.

    Raises:
        UserError: no text branch anywhere.
    """
    own = open_model(path, device, with_text=True)
    if isinstance(own.model.text, FrozenTextEncoder):
        return own, f"{len(own.model.text.texts)} phrases known without a text model"
    if own.model.pose_pool is not None:
        return own, "the run's own text branch"
    path = own.path
    if path.is_file() and path.name not in (checkpoint.WEIGHTS, checkpoint.META):
        raise UserError(f"{path} has no text branch, so it knows no actions", "give a run of ap-train pretrain")
    came_from = recipe_of(checkpoint.find(path)).init.pose
    origin = Path(came_from) if came_from else None
    if origin is None or not origin.is_dir():
        where = f"the run {came_from} it came from is not there" if came_from else "it did not come from one that has"
        raise UserError(f"{path} has no text branch, and {where}", "give the pretraining run itself")
    pretrained = open_model(origin, device, with_text=True)
    if pretrained.model.pose_pool is None:
        raise UserError(f"neither {path} nor {origin}, which it came from, has a text branch", "give a pretraining run")
    pretrained.model.pose.load_state_dict(own.model.pose.state_dict())
    combined = dataclasses.replace(own, model=pretrained.model, temperature=pretrained.temperature)
    return combined, f"the encoder is {path}'s; its text branch is that of {origin}, the pretraining run it came from"
