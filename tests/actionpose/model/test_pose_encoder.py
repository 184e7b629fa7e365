"""The pose encoder is MotionBERT's network where it should be, and padding and batching change nothing."""

from __future__ import annotations

import ast
import json

import numpy as np
import pytest
import torch

from actionpose.model import pose_encoder as pose_module
from actionpose.model.pose_encoder import PoseConfig, PoseEncoder, _three
from tests.makers.places import GOLDEN

SMALL = {"dim_feat": 16, "dim_rep": 12, "depth": 3, "heads": 2, "max_frames": 24, "middle": 2}


def small(seed: int = 0, **changes) -> PoseEncoder:
    """A small encoder whose every weight is random, so that nothing cancels by its initial value."""
    torch.manual_seed(seed)
    encoder = PoseEncoder(PoseConfig(**(SMALL | changes))).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_(std=0.3)
    return encoder


def clips(B: int, T: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(B, T, 17, 3, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def published():
    """Random weights with input and output of the published network."""
    with np.load(GOLDEN / "motionbert_dstformer.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    shape = ast.literal_eval(str(arrays["config"]))
    sizes = {
        "dim_feat": shape["dim_feat"],
        "dim_rep": shape["dim_rep"],
        "depth": shape["depth"],
        "heads": shape["num_heads"],
        "mlp_ratio": float(shape["mlp_ratio"]),
        "max_frames": shape["maxlen"],
    }
    state = {n.removeprefix("weights/"): torch.from_numpy(a) for n, a in arrays.items() if n.startswith("weights/")}
    return arrays, sizes, state


# --- the published network ---------------------------------------------------------------------


@pytest.mark.parametrize(("variant", "dim_feat", "mlp_ratio"), [("base", 512, 2.0), ("lite", 256, 4.0)])
def test_names_shapes_and_parameters_are_those_of_the_published_checkpoint(variant, dim_feat, mlp_ratio):
    listed = json.loads((GOLDEN / "motionbert-state-dict.json").read_text())
    with torch.device("meta"):
        encoder = PoseEncoder(PoseConfig(dim_feat=dim_feat, mlp_ratio=mlp_ratio, class_token=False))
    shapes = {name: list(tensor.shape) for name, tensor in encoder.state_dict().items()}
    assert shapes == listed[variant]
    assert len(shapes) == 260
    assert sum(p.numel() for p in encoder.parameters()) == {"base": 42_466_317, "lite": 16_001_549}[variant]


def test_output_and_representation_equal_the_published_code(published):
    arrays, sizes, state = published
    encoder = PoseEncoder(PoseConfig(class_token=False, **sizes))
    encoder.load_state_dict(state)
    with torch.no_grad():
        got = encoder(torch.from_numpy(arrays["input"]))
        first = encoder(torch.from_numpy(arrays["input"])[:, :11])
    assert got.token_mid_BJC is None
    np.testing.assert_allclose(got.pose3d_BTJ3, arrays["output"], atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(got.rep_BTJR, arrays["representation"], atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(first.pose3d_BTJ3, arrays["output_first_11_frames"], atol=1e-5, rtol=1e-5)


def test_a_token_that_only_reads_leaves_the_published_output_as_it_is(published):
    arrays, sizes, state = published
    inputs = torch.from_numpy(arrays["input"])
    outputs = {}
    for read_only in (True, False):
        encoder = PoseEncoder(PoseConfig(token_read_only=read_only, **sizes))
        assert encoder.load_state_dict(state, strict=False).missing_keys == ["class_token"]
        with torch.no_grad():
            outputs[read_only] = encoder(inputs)
    np.testing.assert_allclose(outputs[True].pose3d_BTJ3, arrays["output"], atol=1e-5, rtol=1e-5)
    assert np.abs(outputs[False].pose3d_BTJ3.numpy() - arrays["output"]).max() > 1e-4
    assert outputs[True].token_mid_BJC.shape == (len(inputs), 17, sizes["dim_feat"])


def test_input_std_widens_the_start_of_x_and_y_and_nothing_else():
    def start(**changes):
        torch.manual_seed(0)
        return PoseEncoder(PoseConfig(**(SMALL | changes))).state_dict()

    usual, wide = start(), start(input_std=1.0)
    changed = {name for name in usual if not torch.equal(usual[name], wide[name])}
    assert changed == {"joints_embed.weight"}
    torch.testing.assert_close(wide["joints_embed.weight"][:, :2], 50 * usual["joints_embed.weight"][:, :2])
    assert torch.equal(wide["joints_embed.weight"][:, 2], usual["joints_embed.weight"][:, 2])


def test_joint_std_widens_the_start_of_the_joint_embedding_and_nothing_else():
    def start(**changes):
        torch.manual_seed(0)
        return PoseEncoder(PoseConfig(**(SMALL | changes))).state_dict()

    usual, wide = start(), start(joint_std=0.3)
    assert {name for name in usual if not torch.equal(usual[name], wide[name])} == {"pos_embed"}
    torch.testing.assert_close(wide["pos_embed"], 15 * usual["pos_embed"])


def test_a_new_encoder_averages_its_streams():
    encoder = PoseEncoder(PoseConfig(**SMALL))
    st, ts = clips(2, 5, seed=2), clips(2, 5, seed=3)
    features = torch.randn(2, 4, 17, 16), torch.randn(2, 4, 17, 16)
    assert st.shape == ts.shape
    for fusion in encoder.ts_attn:
        assert not fusion.weight.any()
        assert (fusion.bias == 0.5).all()
        torch.testing.assert_close(fusion(*features), (features[0] + features[1]) / 2)


def test_fusion_is_the_softmax_over_the_concatenation():
    torch.manual_seed(0)
    fusion = pose_module.Fusion(8)
    st, ts = torch.randn(3, 8), torch.randn(3, 8)
    share = torch.nn.functional.linear(torch.cat([st, ts], -1), fusion.weight, fusion.bias).softmax(-1)
    torch.testing.assert_close(fusion(st, ts), share[:, :1] * st + share[:, 1:] * ts)


# --- time, padding, batch ----------------------------------------------------------------------


@pytest.mark.parametrize("token", [True, False])
def test_short_clips_use_the_first_temporal_slots_only(token):
    encoder, inputs = small(class_token=token), clips(1, 10)
    with torch.no_grad():
        before = encoder(inputs).pose3d_BTJ3.clone()
        encoder.temp_embed[:, 10:] += 1
        assert torch.equal(encoder(inputs).pose3d_BTJ3, before)
        encoder.temp_embed[:, 9] += 1
        assert not torch.allclose(encoder(inputs).pose3d_BTJ3, before)


@pytest.mark.parametrize("changes", [{}, {"class_token": False}, {"token_read_only": True}])
def test_a_padded_batch_equals_its_clips_one_by_one(changes):
    encoder, lengths = small(**changes), [20, 7, 1, 12]
    inputs = clips(len(lengths), 20)
    valid = torch.arange(20) < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        padded = encoder(inputs, valid)
        for row, length in enumerate(lengths):
            alone = encoder(inputs[row : row + 1, :length])
            torch.testing.assert_close(padded.pose3d_BTJ3[row, :length], alone.pose3d_BTJ3[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(padded.rep_BTJR[row, :length], alone.rep_BTJR[0], atol=1e-5, rtol=1e-5)
            if padded.token_mid_BJC is not None:
                torch.testing.assert_close(padded.token_mid_BJC[row], alone.token_mid_BJC[0], atol=1e-5, rtol=1e-5)


def test_what_stands_in_padding_does_not_matter():
    encoder, inputs = small(), clips(2, 12)
    valid = torch.arange(12) < torch.tensor([12, 5])[:, None]
    other = inputs.clone()
    other[1, 5:] = 1e3
    with torch.no_grad():
        torch.testing.assert_close(
            encoder(inputs, valid).pose3d_BTJ3[1, :5], encoder(other, valid).pose3d_BTJ3[1, :5], atol=1e-5, rtol=1e-5
        )


def test_a_clip_does_not_depend_on_the_rest_of_its_batch():
    encoder, inputs = small(), clips(3, 8)
    other = inputs.clone()
    other[1] += 5
    with torch.no_grad():
        before, after = encoder(inputs), encoder(other)
    for one, two in zip(before, after, strict=True):
        assert torch.equal(one[[0, 2]], two[[0, 2]])
        assert not torch.allclose(one[1], two[1])


def test_groups_of_clips_give_what_the_whole_batch_gives(monkeypatch):
    encoder, inputs = small(), clips(5, 9)
    valid = torch.arange(9) < torch.tensor([9, 3, 8, 5, 9])[:, None]

    def run(tokens: int):
        monkeypatch.setattr(pose_module, "CPU_TOKENS", tokens)
        encoder.zero_grad()
        out = encoder(inputs, valid)
        out.pose3d_BTJ3.square().sum().backward()
        return [*out, encoder.joints_embed.weight.grad.clone()]

    for whole, grouped in zip(run(10**9), run(2 * 9 * 17), strict=True):
        torch.testing.assert_close(grouped, whole, atol=1e-4, rtol=1e-4)


def test_inference_gives_what_the_pass_with_gradients_gives(monkeypatch):
    encoder, inputs = small(), clips(3, 16)
    valid = torch.arange(16) < torch.tensor([16, 9, 12])[:, None]
    slow = encoder(inputs, valid)
    with torch.no_grad():
        fast = encoder(inputs, valid)
        monkeypatch.setattr(pose_module, "_HAS_ONEDNN", False)
        plain = encoder(inputs, valid)
    for one, two, three in zip(slow, fast, plain, strict=True):
        torch.testing.assert_close(two, one, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(two, three, atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(not pose_module._HAS_ONEDNN, reason="this torch has no oneDNN")
def test_inference_on_a_cpu_takes_the_faster_product_and_exported_graphs_do_not():
    encoder, inputs = small(depth=1, middle=1), clips(1, 16)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile, torch.no_grad():
        encoder(inputs)
    assert any("mkldnn::_linear_pointwise" in event.key for event in profile.key_averages())
    with torch.no_grad():
        graph = torch.export.export(encoder, (inputs,)).graph
    called = {str(node.target) for node in graph.nodes}
    assert any("linear" in name for name in called)
    assert not any("mkldnn" in name for name in called)


def test_the_token_alone_equals_the_token_of_a_whole_pass():
    encoder, inputs = small(), clips(2, 6)
    valid = torch.arange(6) < torch.tensor([6, 4])[:, None]
    with torch.no_grad():
        assert torch.equal(encoder.token(inputs, valid), encoder(inputs, valid).token_mid_BJC)


def test_a_token_added_to_the_frames_changes_nothing_at_first_and_is_learned_from_them():
    plain, inputs = small(), clips(2, 8)
    adding = PoseEncoder(PoseConfig(**SMALL, token_to_frames=True)).eval()
    adding.load_state_dict(plain.state_dict(), strict=False)
    out = adding(inputs)
    assert torch.equal(out.pose3d_BTJ3, plain(inputs).pose3d_BTJ3)
    out.pose3d_BTJ3.square().sum().backward()
    assert adding.token_to_frames.weight.grad.abs().max() > 0
    with torch.no_grad():
        adding.token_to_frames.weight.normal_()
    assert not torch.allclose(adding(inputs).pose3d_BTJ3, out.pose3d_BTJ3, atol=1e-3)
    assert torch.equal(adding(inputs).token_mid_BJC, out.token_mid_BJC)


def test_layers_above_the_middle_do_not_touch_the_token():
    encoder, inputs = small(), clips(1, 6)
    with torch.no_grad():
        before = encoder(inputs)
        encoder.blocks_st[2].mlp_t.fc2.weight.normal_()
        after = encoder(inputs)
    assert torch.equal(before.token_mid_BJC, after.token_mid_BJC)
    assert not torch.allclose(before.pose3d_BTJ3, after.pose3d_BTJ3)


def test_every_parameter_learns():
    encoder = small().train()
    out = encoder(clips(2, 6))
    (out.pose3d_BTJ3.square().sum() + out.token_mid_BJC.square().sum()).backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None] == []


# --- precision and refusals --------------------------------------------------------------------


def test_regression_stays_in_float32_under_autocast():
    encoder, inputs = small(), clips(2, 8)
    with torch.no_grad():
        full = encoder(inputs).pose3d_BTJ3
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = encoder(inputs)
    assert mixed.pose3d_BTJ3.dtype == mixed.rep_BTJR.dtype == torch.float32
    # Rounded to bfloat16, neighbouring outputs would collapse onto its coarse grid.
    assert not torch.equal(mixed.pose3d_BTJ3, mixed.pose3d_BTJ3.bfloat16().float())
    torch.testing.assert_close(mixed.pose3d_BTJ3, full, atol=0.1, rtol=0.1)


def test_a_bf16_stream_is_half_as_wide_between_blocks_and_close_at_the_end():
    encoder, inputs = small(), clips(2, 8)
    valid = torch.arange(8) < torch.tensor([[8], [5]])
    with torch.no_grad():
        full = encoder(inputs, valid)
    between = []
    for block in (*encoder.blocks_st, *encoder.blocks_ts):
        block.register_forward_hook(lambda _, given, out: between.append((given[0].dtype, out.dtype)))
    encoder.bf16_stream = True
    assert torch.equal(encoder(inputs, valid).pose3d_BTJ3, full.pose3d_BTJ3)  # nothing is rounded without autocast
    between.clear()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = encoder(inputs, valid)
    assert set(between) == {(torch.bfloat16, torch.bfloat16)}
    for one, other in zip(mixed, full, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, atol=0.1, rtol=0.1)
    sum(part.square().sum() for part in mixed).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


def test_three_products_at_once_are_those_of_the_packed_layer():
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(8, 24), torch.rand(2, 5, 17, 8)
    for one, other in zip(_three(x, layer), layer(x).chunk(3, dim=-1), strict=True):
        torch.testing.assert_close(one, other)
        assert one.is_contiguous()


def test_clips_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="25 frames"):
        small()(clips(1, 25))
    with pytest.raises(ValueError, match="16 joints"):
        small()(torch.zeros(1, 4, 16, 3))
    with pytest.raises(ValueError, match="no class token"):
        small(class_token=False).token(clips(1, 4))


@pytest.mark.parametrize(
    "wrong",
    [{"heads": 3}, {"middle": 4}, {"middle": 0}, {"mlp_ratio": 0.0}, {"token_to_frames": True, "class_token": False}],
)
def test_settings_that_make_no_network_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PoseConfig(**(SMALL | wrong))
