"""How often a model names the action of people it has not seen: the table of the model card.

    python -m benchmarks.naming SHARDS [RUN] [--clips 300] [--split val]

Labelled stretches are filmed as `benchmarks.any_camera` does it, 2.7 seconds from the middle of each, and named among
all phrases that the model brings along, and among those that occur as labels. A phrase is right if it is, word for
word, the text of the stretch or one of its categories; stretches that no phrase is right for are left out. Without RUN:
the shipped model.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from actionpose.lift.actions import embed, embed_texts, known_labels, open_with_heads
from actionpose.lift.run import read
from actionpose.lift.source import LiftModel
from actionpose.lift.understand import LiftOptions
from actionpose.shards import ShardSet
from benchmarks.any_camera import FPS, FRAMES, USUAL, asked_for, film

Named = tuple[np.ndarray, set[str]]
"""(T, 17, 3) world frames, and the phrases that are right."""


def named_clips(shards: ShardSet, split: str, labels: list[str], count: int) -> list[Named]:
    """At most `count` stretches, evenly from all of the split that are long enough and have a right phrase."""
    phrases = set(labels)
    right: dict[int, set[str]] = {}
    pairs = shards.pairs
    for clip, text, categories in zip(pairs["clip"].tolist(), pairs["text"], pairs["act_cat"], strict=True):
        if found := phrases & {str(text), *map(str, categories)}:
            right.setdefault(clip, set()).update(found)
    clips = shards.clips
    fits = [
        clip
        for clip in sorted(right)
        if shards.motions["split"][clips["motion"][clip]] == split
        and clips["stop"][clip] - clips["start"][clip] >= FRAMES
    ]
    chosen = np.unique(np.linspace(0, len(fits) - 1, min(count, len(fits))).astype(int))
    out = []
    for clip in (fits[number] for number in chosen):
        frames = np.asarray(shards.clip_frames(clip), np.float64)
        start = (len(frames) - FRAMES) // 2
        out.append((frames[start : start + FRAMES], right[clip]))
    return out


def features_of(clips: list[Named], source: LiftModel) -> np.ndarray:
    """(N, D) of unit length, one row for each clip."""
    rows = []
    for number, (world, _) in enumerate(clips):
        _, keypoints = film(world, USUAL, np.random.default_rng((1, number)))
        options = LiftOptions(fps=FPS, layout=USUAL.layout, units="pixels", y="down", size=(1920, 1080))
        mean = embed(read(keypoints), source, options).features.mean(axis=0)
        rows.append(mean / np.linalg.norm(mean))
    return np.stack(rows)


def row(name: str, features: np.ndarray, clips: list[Named], labels: list[str], source: LiftModel) -> str:
    """One row of the table, per cent: right at first and among the first five, beside chance and one answer for all."""
    order = np.argsort(-(features @ embed_texts(source, labels).T), axis=1)
    right = np.array(
        [[labels[label] in texts for label in best] for best, (_, texts) in zip(order, clips, strict=True)]
    )
    first = right[:, 0]
    of_phrase = [first[[phrase in texts for _, texts in clips]].mean() for phrase in occurring(clips)]
    chance = np.mean([len(texts) for _, texts in clips]) / len(labels)
    frequent = occurring(clips).most_common(1)[0][1] / len(clips)
    share = (first.mean(), right[:, :5].any(axis=1).mean(), chance, frequent, np.mean(of_phrase))
    return f"| {name} ({len(labels)}) | " + " | ".join(f"{100 * value:.1f}" for value in share) + " |"


def occurring(clips: list[Named]) -> Counter[str]:
    """How often each phrase is right."""
    return Counter(text for _, texts in clips for text in sorted(texts))


def main() -> None:
    asked = asked_for(__doc__, "clips", 300)
    torch.set_num_threads(1)
    source, _ = open_with_heads(asked.run, "cpu")
    labels = known_labels(source)
    clips = named_clips(ShardSet(asked.shards), asked.split, labels, asked.clips)
    features = features_of(clips, source)
    counted = occurring(clips)
    print(f"{source.says}\n{len(clips)} clips of split {asked.split}; {counted.most_common(6)}\n")
    print("| named among | right | right among five | chance | always the most frequent | right, mean over actions |")
    print("| --- | --- | --- | --- | --- | --- |")
    print(row("all phrases", features, clips, labels, source))
    print(row("those that occur", features, clips, sorted(counted), source))


if __name__ == "__main__":
    main()
