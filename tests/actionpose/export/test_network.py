"""Exported models give what the model gives, for any number of clips and any length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from actionpose.export.network import write_onnx, write_pt2
from actionpose.lift.source import LiftModel, open_model
from tests.makers.filmed import untrained_run


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> LiftModel:
    return open_model(untrained_run(tmp_path_factory.mktemp("run") / "run"))


def clips(count: int, frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    valid = torch.ones(count, frames, dtype=torch.bool)
    valid[-1, max(1, frames - 4) :] = False
    return 0.2 * torch.randn(count, frames, 17, 3, generator=torch.Generator().manual_seed(frames)), valid


SIZES = [(1, 2), (4, 27), (3, 11)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_onnx_gives_the_same_within_a_tenth_of_a_millimetre(source: LiftModel, tmp_path: Path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    (said,) = write_onnx(source, tmp_path / "m.onnx")
    assert "largest difference" in said
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    for count, frames in SIZES:
        pose2d, valid = clips(count, frames)
        with torch.inference_mode():
            expected = source.model.lift(pose2d, valid)[valid].numpy()
        (found,) = session.run(None, {"pose2d": pose2d.numpy(), "valid": valid.numpy()})
        assert 1000 * np.abs(found[valid.numpy()] - expected).max() / source.unit < 0.1
    facts = session.get_modelmeta().custom_metadata_map
    assert float(facts["actionpose.largest_difference_mm"]) < 0.1
    assert float(facts["actionpose.screen_units_per_metre"]) == source.unit


def test_torch_export_gives_the_same(source: LiftModel, tmp_path: Path):
    write_pt2(source, tmp_path / "m.pt2")
    module = torch.export.load(tmp_path / "m.pt2").module()
    for count, frames in SIZES:
        pose2d, valid = clips(count, frames)
        with torch.inference_mode():
            expected = source.model.lift(pose2d, valid)[valid]
            assert torch.allclose(module(pose2d, valid)[valid], expected, atol=1e-5)
