"""One result: errors under a protocol, with what they cannot be compared without. A line of `results.jsonl` is one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Means = dict[str, Any]
"""Mean errors of some frames: `mpjpe_mm` and the like (float, None where nothing was scored), and `frames` (int)."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured, how, and on what; fields stand in the order of `results.jsonl`.

    The fields after `left_out` say where poses come from: the first group is of `ap-train evaluate`, the last of a file
    of predictions. What does not apply is None and is left out of the line.

    Attributes:
        mpjpe_mm: the protocol's headline, mm; the next ones are means of the same kind.
        velocity_mm: mm per frame; None where no two scored frames follow each other. So are the next two.
        pck: per cent nearer than 150 mm; of protocols that ask for it, as `auc`.
        frames: how many were scored.
        motions: how many of them had one.
        average: what the headline is a mean of, in words.
        frame_mpjpe_mm: mean over frames, whatever the headline is.
        ambiguous: where 2D does not tell depths apart (`ambiguous`): `mpjpe_mm`, `ordered` (per cent), `limbs`.
        fast: frames in which a wrist or ankle is faster than 2 m/s relative to the pelvis.
        actions: action → means; so are the other groups.
        sequence_mean: mean over sequences; of MPI-INF-3DHP, as `sequences` and `scenes`.
        source_2d: where the 2D comes from.
        target: which 3D; of a benchmark, as `unit_from`.
        clip_frames: T.
        windowing: how videos were cut; see `protocols`.
        skipped: takes that the protocol leaves out, id → reason.
        left_out: frames that may be scored and that no window counts.
        baselines: errors to compare with, name → `mpjpe_mm`, `p_mpjpe_mm`.
        fingerprint: of the shards.
        trained_by: pretrain or finetune.
        pretrained: whether that began from trained weights.
        seed: of the training.
        detections: `stored`, or what stands for a detector on projected 2D.
        retrieval: search both ways, and what the next three hold: `embeddings`.
        predictions: the file of poses.
        joints: order of the joints in it.
        doubt: what is odd about it, in words.
    """

    mpjpe_mm: float
    p_mpjpe_mm: float
    n_mpjpe_mm: float
    velocity_mm: float | None
    velocity_mm_s: float | None
    acceleration_mm: float | None
    pck: float | None = None
    auc: float | None = None
    frames: int
    motions: int
    protocol: str
    title: str
    average: str
    frame_mpjpe_mm: float
    frame_p_mpjpe_mm: float
    ambiguous: Means | None = None
    fast: Means | None = None
    actions: dict[str, Means]
    datasets: dict[str, Means]
    views: dict[str, Means]
    sequences: dict[str, Means] | None = None
    sequence_mean: Means | None = None
    scenes: dict[str, Means] | None = None
    source_2d: str | None = None
    target: str | None = None
    unit_from: str | None = None
    clip_frames: int | None = None
    windowing: str | None = None
    drop_tails: bool | None = None
    skipped: dict[str, str] | None = None
    left_out: int | None = None
    baselines: dict[str, dict[str, float]] | None = None
    fingerprint: str | None = None
    data: str | None = None
    split: str | None = None
    run: str | None = None
    checkpoint: str | None = None
    step: int | None = None
    command: str | None = None
    trained_by: str | None = None
    pretrained: bool | None = None
    seed: int | None = None
    flip_tta: bool | None = None
    legacy_ts56: bool | None = None
    detections: str | None = None
    version: str | None = None
    commit: str | None = None
    time: str | None = None
    retrieval: dict[str, Any] | None = None
    zero_shot: dict[str, Any] | None = None
    ridge: dict[str, Any] | None = None
    probe: dict[str, Any] | None = None
    predictions: str | None = None
    joints: str | None = None
    doubt: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The line, without what does not apply."""
        always = {"velocity_mm", "velocity_mm_s", "acceleration_mm", *(["commit"] if self.version is not None else [])}
        every = {column.name: getattr(self, column.name) for column in dataclasses.fields(self)}
        return {name: value for name, value in every.items() if value is not None or name in always}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Result:
        """The result of a line.

        Raises:
            ValueError: an entry that every line has is not there.
        """
        columns = dataclasses.fields(cls)
        lacking = [c.name for c in columns if c.default is dataclasses.MISSING and c.name not in found]
        if lacking:
            raise ValueError(f"it lacks {', '.join(lacking)}")
        return cls(**{column.name: found[column.name] for column in columns if column.name in found})
