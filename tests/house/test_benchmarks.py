"""What the benchmarks of the model rest on: the peer is the same function, costs are counted, clips are the same."""

from __future__ import annotations

import ast
import importlib
import json
import sys
from collections import Counter

import numpy as np
import pytest
import torch

from actionpose.data.batches import Assembler, epoch_batches
from actionpose.data.corrupt import CorruptConfig
from actionpose.data.samples import DataConfig, pair_samples
from actionpose.model.action_pose import ActionPose
from actionpose.model.pose_encoder import PoseConfig, PoseEncoder
from actionpose.shards import ShardSet
from actionpose.train.losses import LossConfig
from actionpose.train.tasks import PretrainTask
from tests.makers.places import ROOT

FOLDER = ROOT / "benchmarks"
SMALL = {"dim_feat": 16, "dim_rep": 12, "depth": 3, "heads": 2, "max_frames": 24, "middle": 2}


@pytest.fixture
def bench(monkeypatch):
    """Import a module of benchmarks/, which is a folder of scripts and no package."""
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # the scripts set them; here they must not outlive the test
    return importlib.import_module


@pytest.mark.parametrize("token", [True, False])
def test_the_textbook_form_is_the_same_function_with_the_same_weights(bench, token):
    config = PoseConfig(**SMALL, class_token=token)
    torch.manual_seed(0)
    ours = PoseEncoder(config)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(std=0.3)
    textbook = bench("textbook").TextbookEncoder(config)
    textbook.load_state_dict(ours.state_dict())
    inputs = torch.randn(3, 20, 17, 3)
    for one, two in zip(ours(inputs), textbook(inputs), strict=True):
        if one is None:
            assert two is None
        else:
            torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


def test_the_textbook_form_gives_what_motionberts_own_code_gave(bench):
    with np.load(ROOT / "tests" / "golden" / "motionbert_dstformer.npz", allow_pickle=False) as file:
        arrays = dict(file.items())
    theirs = ast.literal_eval(str(arrays["config"]))
    same = {
        "heads": "num_heads",
        "max_frames": "maxlen",
        **{n: n for n in ("dim_feat", "dim_rep", "depth", "mlp_ratio")},
    }
    config = PoseConfig(**{ours: type(PoseConfig.__dataclass_fields__[ours].default)(theirs[name])
                           for ours, name in same.items()}, class_token=False)  # fmt: skip
    textbook = bench("textbook").TextbookEncoder(config)
    weights = {n.removeprefix("weights/"): torch.from_numpy(a) for n, a in arrays.items() if n.startswith("weights/")}
    textbook.load_state_dict(weights)
    with torch.no_grad():
        _, poses, rep = textbook(torch.from_numpy(arrays["input"]))
    np.testing.assert_allclose(poses, arrays["output"], atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(rep, arrays["representation"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "frames", "billions"),
    [({}, 243, 185.4), ({}, 81, 59.5), ({"dim_feat": 256, "mlp_ratio": 4.0}, 243, 71.0)],
)
def test_multiply_adds_are_those_published(bench, size, frames, billions):
    config = PoseConfig(class_token=False, **size)
    assert bench("costs").encoder_macs(config, 1, frames) / 1e9 == pytest.approx(billions, abs=0.05)


def test_multiply_adds_are_those_that_torch_counts(bench):
    from torch.utils.flop_counter import FlopCounterMode

    config = PoseConfig(**SMALL)
    textbook = bench("textbook").TextbookEncoder(config)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        textbook(torch.zeros(2, 20, 17, 3))
    assert 2 * bench("costs").encoder_macs(config, 2, 20) == counter.get_total_flops()


def test_lengths_are_those_of_babel(bench):
    lengths = bench("bench_pretrain_lengths").babel_lengths(4000)
    assert lengths.mean() == pytest.approx(123, abs=1)
    assert (lengths.min(), np.median(lengths), lengths.max()) == (15, 94, 243)


def test_bucketed_batches_train_on_the_same_losses_as_clips_padded_to_the_longest(bench, tmp_path):
    lengths = bench("bench_pretrain_lengths")
    shards = bench("swinging").write_shards(tmp_path / "shards", lengths.babel_lengths(32).tolist())
    table = pair_samples(ShardSet(shards), DataConfig())
    torch.manual_seed(0)
    model = ActionPose(PoseConfig(**(SMALL | {"max_frames": 243, "depth": 1, "middle": 1})))
    task = PretrainTask(model, CorruptConfig(), LossConfig(lambda_con=0.0), seed=0)
    assemble, seen = Assembler(table=table), 0
    for ids in epoch_batches(table.length, 4, seed=0, epoch=0)[:4]:
        batch = assemble(ids, 0)
        wide = lengths.padded(batch)
        assert wide["pose2d"].shape[1] == 243
        assert (wide["valid"].sum(dim=1) == batch["valid"].sum(dim=1)).all()
        slopes = []
        for form in (batch, wide):
            model.zero_grad()
            terms = task(form)[0]
            sum(terms.values()).backward()
            slopes.append((terms, [p.grad.clone() for p in model.parameters() if p.grad is not None]))
        for name in slopes[0][0]:
            torch.testing.assert_close(slopes[0][0][name], slopes[1][0][name], atol=1e-6, rtol=1e-5)
        for one, two in zip(slopes[0][1], slopes[1][1], strict=True):
            torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)
        seen += int(batch["valid"].shape[1] < 243)
    assert seen > 0


def test_shards_and_pickles_give_the_same_clips(bench, tmp_path):
    loader = bench("bench_train_loader")
    table = loader.samples(bench("swinging").write_shards(tmp_path / "shards", [324, 405]))
    plan = epoch_batches(table.length, 2, seed=0, epoch=0)
    folder = loader.write_pickles(table, tmp_path / "pickles", with_input=True)
    loader.check(table, plan, folder)
    wrong = sorted(folder.iterdir())
    wrong[0].write_bytes(wrong[-1].read_bytes())
    with pytest.raises(SystemExit, match="same clips"):
        loader.check(table, list(np.arange(len(table))[:, None]), folder)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's own, while it traces
def test_every_section_of_the_gpu_benchmark_gives_finite_numbers(bench, tmp_path):
    bench("bench_gpu").main(["--tiny", "--out", str(tmp_path / "gpu.json")])
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["missing"] == []
    numbers = [(row["what"], value) for row in found["rows"] for value in row.values() if isinstance(value, float)]
    assert [what for what, value in numbers if not (np.isfinite(value) and value >= 0)] == []
    rows = Counter(row["section"] for row in found["rows"])
    assert rows == {"ceilings": 2, "encoder": 5, "step": 12, "lengths": 3, "loader": 2}


def test_what_the_gpu_benchmark_has_no_time_for_or_cannot_do_is_named(bench, tmp_path, monkeypatch):
    gpu = bench("bench_gpu")
    monkeypatch.setattr(gpu, "one_kind", lambda *given: 1 / 0)
    gpu.main(["--tiny", "--only", "step", "--out", str(tmp_path / "gpu.json")])
    missing = json.loads((tmp_path / "gpu.json").read_text())["missing"]
    assert len(missing) == 6
    assert all("ZeroDivisionError" in line for line in missing)
    gpu.main(["--tiny", "--minutes", "0", "--only", "loader,encoder", "--out", str(tmp_path / "gpu.json")])
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert {row["section"] for row in found["rows"]} == {"ceilings"}
    assert [line.partition(":")[0] for line in found["missing"]] == [
        "loader, 0 workers",
        "loader, 1 workers",
        "encoder, base 2 x 9",
    ]
