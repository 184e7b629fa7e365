"""Texts for a batch: the label of each clip and K labels that do not belong to it."""

from __future__ import annotations

import re
from collections import defaultdict

import numpy as np

from actionpose.data.samples import SampleTable
from actionpose.errors import UserError

_SIDE = re.compile(
    r"(?<![^\W\d_])(?:"  # letters end a word, digits and underscores do not: right_hand
    r"(?P<side>left|right)(?=s?(?![^\W\d_])|ward|hand|foot|side|most|arm|leg|knee|elbow|shoulder|hip)"
    r"|(?:(?P<against>(?:counter|anti)[\s_-]*clock[\s_-]*wise|ccw)|(?P<with>clock[\s_-]*wise|cw))(?![^\W\d_]))",
    re.IGNORECASE,
)
_OTHER = {"left": "right", "right": "left", "cw": "ccw", "ccw": "cw"}


def mirror_words(text: str) -> str:
    """Swap left and right, clockwise and counterclockwise: what a mirrored clip shows.

    Its own inverse but for the spelling of counterclockwise, which comes back in one word. `right` in the sense of
    `correct` is swapped too; action labels hardly use it that way.
    """

    def other(match: re.Match[str]) -> str:
        word = match.group()
        turned = "counterclockwise" if match["with"] else "clockwise"
        swapped = _OTHER.get(word.lower(), turned)
        return swapped.upper() if word.isupper() else swapped.capitalize() if word[0].isupper() else swapped

    return _SIDE.sub(other, text)


class Texts:
    """Labels of the samples of a table, and keyed draws of negatives from all labels the table has.

    A negative is never the clip's own text, nor any text known to be true of the clip: labels of other pairs of the
    same clip, labels active at the same time, and the A and B of a transition. With `by_frequency` a label is drawn
    as often as samples carry it; otherwise all labels are equally likely.

    Raises:
        UserError: fewer labels than a clip needs.
    """

    def __init__(self, table: SampleTable, count: int, *, by_frequency: bool = False) -> None:
        pairs = table.shards.pairs
        used = np.unique(table.pair)
        self.table, self.count = table, count
        self.vocabulary: list[str] = list(
            {pairs["text"][p].strip().casefold(): pairs["text"][p] for p in used}.values()
        )
        self._index = {text.strip().casefold(): i for i, text in enumerate(self.vocabulary)}
        self._of_clip: dict[int, set[int]] = defaultdict(set)
        for pair in used.tolist():
            self._of_clip[int(pairs["clip"][pair])].add(self.number(pair))
        counts = np.bincount([self.number(pair) for pair in table.pair], minlength=len(self.vocabulary))
        self._share = counts / counts.sum() if by_frequency else None
        most = max(len(self.excluded(pair)) for pair in used.tolist())
        if len(self.vocabulary) < most + count:
            raise UserError(
                f"{table.shards.folder}: {len(self.vocabulary)} different labels are too few for {count} negatives: "
                f"up to {most} are true of one clip",
                f"use fewer: -o loss.negatives={max(1, len(self.vocabulary) - most)}",
            )

    def spellings(self) -> list[str]:
        """Every text that a batch can hold: as labels spell them, and what mirrored clips show."""
        own = [self.table.shards.pairs["text"][pair] for pair in np.unique(self.table.pair)]
        texts = list(dict.fromkeys([*self.vocabulary, *map(str, own)]))
        config = self.table.config
        mirrored = map(mirror_words, texts) if config.flip and config.flip_words else ()
        return list(dict.fromkeys([*texts, *mirrored]))

    def number(self, pair: int) -> int:
        """Vocabulary number of a pair's own text, whatever its spelling."""
        return self._index[self.table.shards.pairs["text"][pair].strip().casefold()]

    def excluded(self, pair: int) -> set[int]:
        """Vocabulary numbers of everything true of the pair's clip."""
        pairs = self.table.shards.pairs
        texts = [*pairs["concurrent"][pair], pairs["text_a"][pair], pairs["text_b"][pair]]
        known = {self._index.get(text.strip().casefold(), -1) for text in texts if text}
        return (known | self._of_clip[int(pairs["clip"][pair])]) - {-1}

    def draw(self, sample: int, seed: int, epoch: int) -> tuple[str, list[str]]:
        """A sample's text and its negatives, all different; the draw depends on (seed, epoch, sample) alone."""
        pair = int(self.table.pair[sample])
        excluded = self.excluded(pair)
        rng = np.random.default_rng((seed, epoch, sample))
        size = min(len(self.vocabulary), self.count + len(excluded))
        drawn = rng.choice(len(self.vocabulary), size=size, replace=False, p=self._share)
        free = [self.vocabulary[i] for i in drawn.tolist() if i not in excluded]
        return str(self.table.shards.pairs["text"][pair]), free[: self.count]
