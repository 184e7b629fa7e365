"""The pose encoder for other runtimes: ONNX and torch.export, with free batch and length, checked against the model.

Inputs `pose2d` (B, T, 17, 3) float32 (x, y in the model's screen units, confidence) and `valid` (B, T) bool (False on
padding); output `pose3d` (B, T, 17, 3) float32, root-relative screen units. How keypoints become screen units is
`data/place.py`'s rule; the factor of the model lies in the file's metadata.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from actionpose.errors import UserError
from actionpose.extras import needed_for
from actionpose.files import atomic_path
from actionpose.lift.source import LiftModel
from actionpose.model.pose_encoder import PoseEncoder

WORST_MM = 0.1
"""An exported model that differs by more is not written."""

MOST_CLIPS = 4096


class Lifter(nn.Module):
    """The encoder with a tensor in and a tensor out."""

    def __init__(self, encoder: PoseEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pose2d: Tensor, valid: Tensor) -> Tensor:
        """(B, T, 17, 3) and (B, T) in, (B, T, 17, 3) out."""
        return self.encoder(pose2d, valid).pose3d_BTJ3


def trace(source: LiftModel) -> torch.export.ExportedProgram:
    """The encoder as a graph of free batch and length."""
    encoder = source.model.pose
    batch = torch.export.Dim("batch", min=1, max=MOST_CLIPS)
    frames = torch.export.Dim("frames", min=2, max=encoder.config.max_frames)
    shapes = {"pose2d": {0: batch, 1: frames}, "valid": {0: batch, 1: frames}}
    pose2d, valid = _sample(2, min(20, encoder.config.max_frames), seed=0)
    with torch.no_grad():
        return torch.export.export(Lifter(encoder).eval().cpu(), (pose2d, valid), dynamic_shapes=shapes)


def _sample(clips: int, frames: int, seed: int) -> tuple[Tensor, Tensor]:
    """Poses of the usual size, the last clip shorter than the others."""
    generator = torch.Generator().manual_seed(seed)
    pose2d = 0.2 * torch.randn(clips, frames, 17, 3, generator=generator)
    pose2d[..., 2] = torch.rand(clips, frames, 17, generator=generator)
    valid = torch.ones(clips, frames, dtype=torch.bool)
    valid[-1, max(1, frames - 3) :] = False
    return pose2d, valid


def write_pt2(source: LiftModel, path: Path) -> tuple[str, ...]:
    """Write torch.export's archive, after checking that it gives what the model gives.

    Raises:
        UserError: it does not, or the file cannot be written.
    """
    program = trace(source)
    module = program.module()
    worst = _worst(source, module)
    with atomic_path(path) as aside:
        torch.export.save(program, aside, extra_files={"actionpose.json": json.dumps(_facts(source, worst))})
    return (f"largest difference to the model: {worst:.2g} mm",)


def write_onnx(source: LiftModel, path: Path) -> tuple[str, ...]:
    """Write ONNX, after checking it in onnxruntime; the largest difference is stored in the file's metadata.

    Raises:
        MissingPackageError: onnx, onnxscript or onnxruntime is not installed.
        UserError: the two differ; the file cannot be written.
    """
    with needed_for("an ONNX file", "export"):
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  torch's exporter needs it

    with _quiet():
        made = torch.onnx.export(trace(source), input_names=["pose2d", "valid"], output_names=["pose3d"], dynamo=True)
    assert made is not None
    model = made.model_proto
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    worst = _worst(source, lambda pose2d, valid: torch.from_numpy(
        session.run(None, {"pose2d": pose2d.numpy(), "valid": valid.numpy()})[0]))  # fmt: skip
    for key, value in _facts(source, worst).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, str(value)
    with atomic_path(path) as aside:
        onnx.save(model, str(aside))
    return (f"largest difference to the model in onnxruntime: {worst:.2g} mm",)


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch's exporter tells what it does on every path there is."""
    level = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)


def _worst(source: LiftModel, other: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Largest distance of a joint, mm, over clips of several numbers and lengths.

    Raises:
        UserError: it is more than `WORST_MM`.
    """
    longest = source.model.pose.config.max_frames
    worst = 0.0
    for seed, (clips, frames) in enumerate(((1, longest), (3, max(2, longest // 3)), (2, min(7, longest)))):
        pose2d, valid = _sample(clips, frames, seed)
        with torch.inference_mode():
            expected = source.model.cpu().lift(pose2d, valid)
            found = other(pose2d, valid)
        away = torch.linalg.vector_norm(found - expected, dim=-1)[valid]
        worst = max(worst, 1000.0 * float(away.max()) / source.unit)
    if not worst <= WORST_MM:
        raise UserError(f"the exported model differs from {source.path} by {worst:.2g} mm", "report this with --debug")
    return worst


def _facts(source: LiftModel, worst_mm: float) -> dict[str, object]:
    return {
        "actionpose.screen_units_per_metre": source.unit,
        "actionpose.fps": source.fps,
        "actionpose.frames": source.frames,
        "actionpose.largest_difference_mm": float(np.format_float_scientific(worst_mm, precision=3)),
        "actionpose.model": json.dumps(dict(source.facts)),
    }
