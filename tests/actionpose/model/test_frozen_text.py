"""A frozen text encoder: each phrase is encoded once, the vectors stand for the encoder, and another one is noticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from actionpose.errors import UserError
from actionpose.model.action_pose import ActionPose, PoolingConfig
from actionpose.model.frozen_text import FrozenTextEncoder
from actionpose.model.pose_encoder import PoseConfig
from actionpose.model.text_encoder import TextConfig, load_text_encoder
from tests.makers.bert import write_tiny_bert

PHRASES = ["walk", "sit down slowly", "wave left hand"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("bert"))


def config(folder: Path) -> TextConfig:
    return TextConfig(model=str(folder), layers=2, pooling="mean", frozen=True)


def saved(frozen: FrozenTextEncoder) -> FrozenTextEncoder:
    return FrozenTextEncoder(frozen.config, frozen.texts, frozen.table_VE.half())


def test_it_gives_what_the_encoder_gives_and_asks_it_once(folder: Path) -> None:
    frozen, learning = FrozenTextEncoder(config(folder)), load_text_encoder(config(folder)).eval()
    calls: list[int] = []
    frozen.live().bert.register_forward_hook(lambda *_: calls.append(1))
    texts = ["walk", "sit down slowly", "walk"]
    torch.testing.assert_close(frozen(texts), learning(texts), atol=1e-5, rtol=1e-5)
    frozen(["sit down slowly"])
    assert len(calls) == 2
    assert frozen.texts == ("walk", "sit down slowly")


def test_it_neither_learns_nor_drops_and_no_weight_of_the_encoder_is_saved(folder: Path) -> None:
    frozen = FrozenTextEncoder(config(folder)).train()
    assert torch.equal(frozen(PHRASES), FrozenTextEncoder(config(folder))(PHRASES))
    assert list(frozen.parameters()) == []
    assert list(frozen.state_dict()) == ["table_VE"]
    assert not any(p.requires_grad for p in frozen.live().parameters())


def test_the_digits_in_training_in_bf16_are_those_of_evaluation(folder: Path) -> None:
    plain = FrozenTextEncoder(config(folder))(PHRASES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        in_training = FrozenTextEncoder(config(folder))(PHRASES)
    assert torch.equal(plain, in_training)


def test_saved_vectors_need_no_text_model_and_a_new_phrase_reads_it(folder: Path) -> None:
    whole = FrozenTextEncoder(config(folder))
    vectors = whole([*PHRASES, "jump"])
    gone = FrozenTextEncoder(config(folder / "moved away"), PHRASES, vectors[:3])
    assert torch.equal(gone(PHRASES[::-1]), vectors[:3].flip(0))
    with pytest.raises(UserError, match=r"'sit dawn' is not among the 3 phrases .*sit down slowly.*no folder"):
        gone(["walk", "sit dawn"])
    assert gone.texts == tuple(PHRASES)
    there = FrozenTextEncoder(config(folder), PHRASES, vectors[:3].half())
    torch.testing.assert_close(there(["jump"]), vectors[3:])


def test_capitals_are_the_same_to_the_small_model_alone(folder: Path) -> None:
    vectors = torch.eye(2)
    minilm = FrozenTextEncoder(TextConfig(model="minilm", frozen=True), ["walk", "Sit Down"], vectors)
    assert torch.equal(minilm(["WALK", " sit down"]), vectors)
    other = FrozenTextEncoder(config(folder / "nowhere"), ["walk"], vectors[:1])
    with pytest.raises(UserError, match="'WALK' is not among"):
        other(["WALK"])


def test_another_text_model_in_the_place_of_the_first_is_noticed(folder: Path, tmp_path: Path) -> None:
    place = shutil.copytree(folder, tmp_path / "bert")
    first = FrozenTextEncoder(config(place))
    first(PHRASES)
    shutil.rmtree(place)
    write_tiny_bert(place, seed=1)
    later = saved(first)
    later(PHRASES)
    with pytest.raises(UserError, match=r"is not the one that this model learned from: .* for 'walk'"):
        later(["jump"])
    resumed = FrozenTextEncoder(config(place))
    resumed(PHRASES)
    with pytest.raises(UserError, match="is not the one that this run began with"):
        resumed.load_state_dict(first.state_dict())


def test_a_resumed_run_may_know_fewer_or_more_phrases(folder: Path) -> None:
    first, fewer, more = (FrozenTextEncoder(config(folder)) for _ in range(3))
    first(PHRASES)
    fewer(PHRASES[:1])
    more([*PHRASES, "jump"])
    for other in (fewer, more):
        known = other.texts
        other.load_state_dict(first.state_dict())
        assert other.texts == known
        torch.testing.assert_close(other(PHRASES), first(PHRASES))


def test_weights_that_still_hold_the_encoder_itself_are_read(folder: Path, tmp_path: Path) -> None:
    pose = PoseConfig(dim_feat=16, dim_rep=16, depth=2, heads=2, middle=1, max_frames=8)
    before = FrozenTextEncoder(config(folder))
    whole = ActionPose(pose, None, PoolingConfig(dim=8), before).eval()
    encoder = {f"text.bert.{name}": value for name, value in before.live().bert.state_dict().items()}
    old = {name: value for name, value in whole.state_dict().items() if name != "text.table_VE"} | encoder
    exchanged = config(write_tiny_bert(tmp_path / "bert", seed=1))
    again = ActionPose(pose, exchanged, PoolingConfig(dim=8)).eval()
    again.load_state_dict(old)
    torch.testing.assert_close(again.embed_text(PHRASES), whole.embed_text(PHRASES))
