"""Checkpoints of others load by name, and what does not fit is explained."""

from __future__ import annotations

import re

import pytest
import torch

from actionpose.errors import UserError
from actionpose.model.action_pose import ActionPose
from actionpose.model.pose_encoder import PoseConfig, PoseEncoder
from actionpose.model.pretrained import config_of, load_pose_weights, read_pose_state

SIZES = {"dim_feat": 16, "dim_rep": 12, "depth": 2, "heads": 2, "max_frames": 9, "middle": 1}


class Stranger:
    """Something a plain-tensor loader must not build."""


def encoder(seed: int = 0, **changes) -> PoseEncoder:
    torch.manual_seed(seed)
    return PoseEncoder(PoseConfig(**(SIZES | changes)))


@pytest.fixture
def published():
    """A state dict under MotionBERT's names."""
    return encoder(seed=7, class_token=False).state_dict()


def mmpose_names(state):
    """The renames a conversion to mmpose makes."""
    renamed = {}
    for name, tensor in state.items():
        if name.startswith("pre_logits."):
            name = "head." + name
        elif name.startswith("head."):
            name = name.replace("head.", "head.fc.")
        else:
            name = name.replace("pos_embed", "spat_embed").replace("ts_attn", "attn_regress")
            name = "backbone." + re.sub(r"(mlp_.)\.fc([12])", lambda m: f"{m[1]}.{2 * int(m[2]) - 2}", name)
        renamed[name] = tensor
    return renamed


LAYOUTS = {
    "bare": lambda s: s,
    "motionbert": lambda s: {"epoch": 3, "lr": 1e-4, "optimizer": None, "model_pos": s, "min_loss": 40.0},
    "motionbert on several GPUs": lambda s: {"model_pos": {"module." + n: t for n, t in s.items()}},
    "mmpose": lambda s: {"meta": {}, "state_dict": mmpose_names(s)},
    "our model": lambda s: {f"pose.{n}": t for n, t in s.items()} | {"text_pool.mix.bias": torch.zeros(3)},
    "our task": lambda s: {f"model.pose.{n}": t for n, t in s.items()} | {"similarity.x": torch.zeros(1)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("token", [True, False])
def test_every_known_layout_loads(published, layout, token, tmp_path):
    torch.save(LAYOUTS[layout](published), tmp_path / "weights.bin")
    target = encoder(class_token=token)
    token_before = target.class_token.clone() if token else None
    loaded = load_pose_weights(target, tmp_path / "weights.bin")
    assert loaded.tensors == len(published)
    assert loaded.fresh == (("class_token",) if token else ())
    for name, tensor in published.items():
        assert torch.equal(target.state_dict()[name], tensor), name
    if token:
        assert torch.equal(target.class_token, token_before)


def test_the_mmpose_layout_renames_every_kind_of_name(published):
    names = set(mmpose_names(published))
    assert {
        "backbone.spat_embed",
        "backbone.attn_regress.0.weight",
        "head.fc.bias",
        "head.pre_logits.fc.weight",
    } <= names
    assert {"backbone.blocks_st.1.mlp_t.0.weight", "backbone.blocks_ts.0.mlp_s.2.bias"} <= names


def test_our_own_weights_bring_their_token(tmp_path):
    source = ActionPose(PoseConfig(**SIZES))
    torch.save(source.state_dict(), tmp_path / "weights.pt")
    target = encoder(seed=9)
    assert load_pose_weights(target, tmp_path / "weights.pt").fresh == ()
    assert torch.equal(target.class_token, source.pose.class_token)
    load_pose_weights(encoder(class_token=False), tmp_path / "weights.pt")


def test_another_size_is_explained_with_the_settings_that_fit(published, tmp_path):
    torch.save(published, tmp_path / "w.bin")
    with pytest.raises(UserError) as caught:
        load_pose_weights(encoder(dim_feat=32, max_frames=27), tmp_path / "w.bin")
    assert "joints_embed.weight: (16, 3) in the file, (32, 3) here" in caught.value.message
    assert "more" in caught.value.message
    assert "-o pose.dim_feat=16" in caught.value.hint
    assert "-o pose.max_frames=9" in caught.value.hint
    assert config_of(published) == {k: SIZES[k] for k in ("dim_feat", "dim_rep", "depth", "max_frames")} | {
        "joints": 17,
        "mlp_ratio": 2.0,
    }


@pytest.mark.parametrize(("max_frames", "advice"), [(27, None), (9, "-o pose.max_frames=27")])
def test_the_length_that_fits_is_named_in_frames_and_not_in_every_third(published, tmp_path, max_frames, advice):
    torch.save(published, tmp_path / "w.bin")  # of 9 slots
    with pytest.raises(UserError) as caught:
        load_pose_weights(encoder(dim_feat=32, max_frames=max_frames, frame_step=3), tmp_path / "w.bin")
    assert advice in caught.value.hint if advice else "max_frames" not in caught.value.hint


def test_tensors_too_few_or_too_many_are_named(published, tmp_path):
    short = {n: t for n, t in published.items() if n != "norm.bias"} | {"extra.weight": torch.zeros(1)}
    torch.save(short, tmp_path / "w.bin")
    target = encoder()
    before = target.state_dict()["head.weight"].clone()
    with pytest.raises(UserError, match=r"norm\.bias \(16,\): not in the file[\s\S]*extra\.weight: only in the file"):
        load_pose_weights(target, tmp_path / "w.bin")
    assert torch.equal(target.state_dict()["head.weight"], before)


def test_files_that_are_something_else_are_refused(tmp_path):
    with pytest.raises(UserError, match="no checkpoint"):
        read_pose_state(tmp_path / "none.bin")
    (tmp_path / "page.bin").write_text("<html>quota exceeded</html>")
    with pytest.raises(UserError, match="is a web page"):
        read_pose_state(tmp_path / "page.bin")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.bin")
    with pytest.raises(UserError, match=r"no DSTformer weights \(found a\)"):
        read_pose_state(tmp_path / "other.bin")
    torch.save({"model": {"module.layers.0.att_spatial.norm1.weight": torch.zeros(1)}}, tmp_path / "agformer.bin")
    with pytest.raises(UserError, match="MotionAGFormer"):
        read_pose_state(tmp_path / "agformer.bin")


def test_pickles_with_other_objects_are_not_opened(tmp_path):
    torch.save({"model_pos": {}, "stranger": Stranger()}, tmp_path / "w.bin")
    with pytest.raises(UserError, match="plain tensors"):
        read_pose_state(tmp_path / "w.bin")
