"""A clip is found by the label that was meant, and which one was chosen from how many is said."""

from __future__ import annotations

import pytest

from pipeline.view.find import _matching, find_clip
from tests.makers.shards import make_shards

TEXTS = ["transit from throw to walk forward", "sidewalk", "slow walk", "walk forward", "walking", "walk", "Walk"]


@pytest.mark.parametrize(
    ("label", "found"),
    [
        ("walk", ["walk", "Walk"]),  # exactly this, in whatever case
        ("walk f", ["transit from throw to walk forward", "walk forward"]),
        ("walk forward", ["walk forward"]),
        ("slow", ["slow walk"]),
        ("throw", ["transit from throw to walk forward"]),
        ("side", ["sidewalk"]),
        ("a.k", []),  # not a pattern
    ],
)
def test_exact_labels_come_before_beginnings_words_and_parts(label, found):
    assert [TEXTS[n] for n in _matching(TEXTS, label)] == found


def test_the_choice_is_said(tmp_path, capsys):
    shards = make_shards(tmp_path / "shards")
    assert find_clip(shards, label="wave").title == "wave left hand"
    assert capsys.readouterr().err == "'wave left hand', the first of 2 clips whose label begins with 'wave'\n"
