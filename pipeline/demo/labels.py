"""The demo world's scripts as BABEL v1.0 JSON, with BABEL's oddities: unsorted, overlapping, too long, null.

Labels match the motion to the millisecond, since both come from one script.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.demo.catalogue import ACTIONS
from pipeline.demo.motion import Cue
from pipeline.demo.script import SUBJECTS, DemoSequence

Json = dict[str, Any]
OVERSHOOT = 0.004
"""Seconds by which a label may end after its file, as in BABEL."""
TINY = 0.01
"""Seconds of a label that no frame shows."""
REACH = 0.12
"""Seconds by which an action may reach into the transition beside it."""


def babel_json(scenes: Sequence[DemoSequence], split: str, seed: int) -> str:
    """The text of one split's file."""
    entries = {str(scene.sid): entry(scene, seed) for scene in scenes if SUBJECTS[scene.subject].split == split}
    return json.dumps(entries, indent=1) + "\n"


def entry(scene: DemoSequence, seed: int) -> Json:
    """One sequence's record."""
    rng = np.random.default_rng([seed, 13, scene.sid])
    first_part = SUBJECTS[scene.subject].folder.replace("_", "")
    single = scene.oddity == "single"
    return {
        "babel_sid": scene.sid,
        "url": f"https://example.org/demo-world/{scene.sid:06d}.mp4",
        "feat_p": f"{first_part}/{scene.folder}/{scene.name}_poses.npz",
        "dur": round(scene.frames / scene.rate, 2),
        "seq_ann": _annotation(rng, _sequence_labels(scene, rng), several=not single),
        "frame_ann": None if single else _annotation(rng, _frame_labels(scene, rng), several=True),
    }


def _sequence_labels(scene: DemoSequence, rng: np.random.Generator) -> list[Json]:
    """What happens at all, without times."""
    names = dict.fromkeys(cue.action for cue in (*scene.cues, *scene.beside))
    labels = [_label(rng, name) for name in names]
    if scene.oddity == "single" and scene.sid % 2:
        labels[0]["act_cat"] = None
    return labels


def _frame_labels(scene: DemoSequence, rng: np.random.Generator) -> list[Json]:
    """What happens when, in no order."""
    cues, length = _as_labelled(scene), scene.frames / scene.rate
    gaps = zip([0.0, *(c.end for c in scene.cues)], [*(c.start for c in scene.cues), scene.seconds], strict=True)
    between = [Cue(action="transition", start=a, end=b) for a, b in gaps if b - a > 1e-6]
    labels = [_timed(rng, cue) for cue in (*cues, *scene.beside, *between)]
    latest = max(labels, key=lambda label: label["end_t"])
    latest["end_t"] = _number(length)
    if scene.oddity == "beyond":
        latest["end_t"] = round(round(length, 2) + OVERSHOOT, 3)
    if scene.oddity == "tiny":
        start = scene.cues[0].end
        labels.append(_timed(rng, Cue(action="stand", start=start, end=start + TINY)))
    return [labels[i] for i in rng.permutation(len(labels))]


def _as_labelled(scene: DemoSequence) -> list[Cue]:
    """The actions with the times an annotator gives them."""
    if scene.oddity != "overlap":
        return list(scene.cues)
    last = len(scene.cues) - 1
    return [
        Cue(
            action=cue.action,
            start=cue.start - (REACH if i and cue.start - scene.cues[i - 1].end > 2 * REACH else 0.0),
            end=cue.end + (REACH if i < last and scene.cues[i + 1].start - cue.end > 2 * REACH else 0.0),
        )
        for i, cue in enumerate(scene.cues)
    ]


def _timed(rng: np.random.Generator, cue: Cue) -> Json:
    return {**_label(rng, cue.action), "start_t": _number(cue.start), "end_t": _number(cue.end)}


def _label(rng: np.random.Generator, name: str) -> Json:
    if name == "transition":
        raw, proc, categories = name, name, [name]
    else:
        action = ACTIONS[name]
        raw = action.spoken[int(rng.integers(len(action.spoken)))]
        proc, categories = action.label, list(action.categories)
    return {"raw_label": raw, "proc_label": proc, "seg_id": _uuid(rng), "act_cat": categories}


def _annotation(rng: np.random.Generator, labels: list[Json], *, several: bool) -> Json:
    return {"babel_lid": _uuid(rng), "anntr_id": _uuid(rng), "mul_act": several, "labels": labels}


def _uuid(rng: np.random.Generator) -> str:
    return str(uuid.UUID(bytes=rng.bytes(16), version=4))


def _number(seconds: float) -> float | int:
    """Seconds to the millisecond, whole ones as int: BABEL has both."""
    rounded = round(seconds, 3)
    return int(rounded) if rounded == int(rounded) else rounded
