"""The whole model: one shared space, texts encoded once, and no text branch where none is wanted."""

from __future__ import annotations

import pytest
import torch

from actionpose.model.action_pose import ActionPose, PoolingConfig, PosePool, Standardise
from actionpose.model.pose_encoder import PoseConfig
from actionpose.model.text_encoder import TextConfig, load_text_encoder
from tests.makers.bert import write_tiny_bert

torch.set_num_threads(1)  # small tensors: a second thread would only wait
POSE = PoseConfig(dim_feat=16, dim_rep=12, depth=3, heads=2, max_frames=24, middle=2)


@pytest.fixture(scope="module")
def text_config(tmp_path_factory):
    return TextConfig(model=str(write_tiny_bert(tmp_path_factory.mktemp("bert"))), layers=2)


@pytest.fixture
def model(text_config):
    torch.manual_seed(0)
    return ActionPose(POSE, text_config, PoolingConfig(dim=20)).eval()


def test_both_embeddings_have_unit_length_in_one_space(model):
    with torch.no_grad():
        pose3d, clip = model.forward_both(torch.randn(3, 6, 17, 3))
        text = model.embed_text(["walk", "sit down"])
    assert (pose3d.shape, clip.shape, text.shape) == ((3, 6, 17, 3), (3, 20), (2, 20))
    for vectors in (clip, text):
        torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(len(vectors)))
    assert (clip[0] - clip[1]).abs().max() > 1e-4


def test_each_distinct_text_is_encoded_once_and_comes_back_in_order(model, monkeypatch):
    seen: list[list[str]] = []
    tokenizer = model.text.tokenizer
    monkeypatch.setattr(model.text, "tokenizer", lambda texts, **how: (seen.append(texts), tokenizer(texts, **how))[1])
    with torch.no_grad():
        got = model.embed_text(["walk", "sit", "walk", "run", "sit"])
    assert seen == [["walk", "sit", "run"]]
    assert torch.equal(got[0], got[2])
    assert torch.equal(got[1], got[4])
    assert not torch.allclose(got[0], got[1])
    monkeypatch.undo()
    with torch.no_grad():
        torch.testing.assert_close(got[3:4], model.embed_text(["run"]), atol=1e-5, rtol=1e-5)


def test_the_pieces_agree_with_the_whole(model):
    pose2d = torch.randn(2, 8, 17, 3)
    valid = torch.arange(8) < torch.tensor([8, 5])[:, None]
    with torch.no_grad():
        pose3d, clip = model.forward_both(pose2d, valid)
        assert torch.equal(model.lift(pose2d, valid), pose3d)
        torch.testing.assert_close(model.embed_pose(pose2d, valid), clip)
        torch.testing.assert_close(model.embed_pose(pose2d[1:, :5]), clip[1:], atol=1e-5, rtol=1e-5)


def test_pooling_is_the_drawn_chain(model):
    token = torch.randn(4, 17, 16)
    pool = model.pose_pool
    linear, gelu, norm, dropout = pool.project
    features = dropout(norm(gelu(linear(token)))).transpose(1, 2) @ pool.joint_weight
    expected = torch.nn.functional.normalize(pool.mix(features), dim=-1)
    torch.testing.assert_close(pool(token), expected)


def test_embeddings_and_poses_are_float32_under_autocast(model):
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        pose3d, clip = model.forward_both(torch.randn(2, 6, 17, 3))
        text = model.embed_text(["walk"])
    assert {pose3d.dtype, clip.dtype, text.dtype} == {torch.float32}


def test_without_a_text_model_only_the_pose_encoder_is_built(text_config):
    plain = ActionPose(POSE)
    assert plain.text is plain.pose_pool is plain.text_pool is None
    assert all(name.startswith("pose.") for name in plain.state_dict())
    assert plain.lift(torch.randn(1, 4, 17, 3)).shape == (1, 4, 17, 3)
    for call in (lambda: plain.embed_text(["a"]), lambda: plain.embed_pose(torch.randn(1, 4, 17, 3))):
        with pytest.raises(ValueError, match="without a text branch"):
            call()
    assert ActionPose(POSE, TextConfig()).text is None
    with pytest.raises(ValueError, match="class_token"):
        ActionPose(PoseConfig(class_token=False, dim_feat=16, heads=2), text_config)


def test_the_pose_encoder_starts_the_same_way_with_and_without_text(text_config):
    torch.manual_seed(5)
    plain = ActionPose(POSE).pose.state_dict()
    torch.manual_seed(5)
    for name, tensor in ActionPose(POSE, text_config).pose.state_dict().items():
        assert torch.equal(tensor, plain[name])


def test_a_given_text_encoder_is_used(text_config):
    encoder = load_text_encoder(text_config)
    assert ActionPose(POSE, text_encoder=encoder).text is encoder


def test_weights_of_a_whole_model_go_around(model, text_config):
    torch.manual_seed(1)
    other = ActionPose(POSE, text_config, PoolingConfig(dim=20)).eval()
    other.load_state_dict(model.state_dict())
    pose2d = torch.randn(1, 5, 17, 3)
    with torch.no_grad():
        for one, two in zip(model.forward_both(pose2d), other.forward_both(pose2d), strict=True):
            assert torch.equal(one, two)


class TestStandardisedToken:
    """`pooling.standardise`: what all clips share is taken out before the head."""

    @staticmethod
    def tokens(count, seed=0):
        return 3.0 + 0.01 * torch.randn(count, 17, 16, generator=torch.Generator().manual_seed(seed))

    def test_clips_that_are_nearly_equal_come_out_apart(self):
        plain, ours = (PosePool(16, 17, PoolingConfig(dim=20, dropout=0, standardise=on)) for on in (False, True))
        token = self.tokens(32)
        cosine = [(pool(token) @ pool(token).T).mean().item() for pool in (plain, ours)]
        assert cosine[0] > 0.999
        assert cosine[1] < 0.5

    def test_statistics_come_from_training_alone_and_travel_with_the_weights(self):
        ours = Standardise(17, 16)
        fresh = ours.eval()(self.tokens(8))
        torch.testing.assert_close(fresh, self.tokens(8))
        for seed in range(60):
            ours.train()(self.tokens(64, seed))
        out = ours.eval()(self.tokens(1000, 99))
        torch.testing.assert_close(out.mean(dim=0), torch.zeros(17, 16), atol=0.4, rtol=0)
        assert (out.std(dim=0).mean() - 1).abs() < 0.05
        before = {k: v.clone() for k, v in ours.state_dict().items()}
        again = Standardise(17, 16).eval()
        again.load_state_dict(before)
        torch.testing.assert_close(again(self.tokens(3)), ours(self.tokens(3)))
        torch.testing.assert_close(ours.state_dict(), before)

    def test_evaluation_uses_what_was_kept_last(self):
        ours = Standardise(17, 16)
        ours.train()(self.tokens(64) + 5.0)
        whole = self.tokens(100)
        ours.keep(whole.split(30))
        out = ours.eval()(whole)
        torch.testing.assert_close(out.mean(dim=0), torch.zeros(17, 16), atol=1e-2, rtol=0)
        torch.testing.assert_close(out.std(dim=0, correction=0), torch.ones(17, 16), atol=1e-2, rtol=0)

    def test_a_batch_is_standardised_by_itself_as_batch_normalisation_does(self):
        ours, theirs = Standardise(17, 16), torch.nn.BatchNorm1d(17 * 16, affine=False, eps=Standardise.FLOOR)
        mine, other = (self.tokens(64).requires_grad_() for _ in range(2))
        weight = torch.randn(64, 17, 16)
        (ours(mine) * weight).sum().backward()
        (theirs(other.flatten(1)).view_as(weight) * weight).sum().backward()
        torch.testing.assert_close(ours(mine), theirs(other.flatten(1)).view_as(weight), atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(mine.grad, other.grad, atol=0.05, rtol=1e-3)
