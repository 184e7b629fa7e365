"""Heads fitted to a settled token find their clips and texts, and leave all else alone."""

from __future__ import annotations

import math

import pytest
import torch

from actionpose.config import resolve
from actionpose.errors import UserError
from actionpose.model.action_pose import PoolingConfig, PosePool, TextPool
from actionpose.runs import train as training
from actionpose.runs.recipe import Recipe
from actionpose.train import checkpoint
from actionpose.train.heads import HeadsConfig, Settled, contrast, fit_heads
from tests.makers.bert import write_tiny_bert
from tests.makers.shards import make_shards, tiny

CLIPS, TEXTS = 64, 8


def settled(*, noise: float = 0.3) -> Settled:
    """Clips of eight texts whose tokens are their text's, a little off."""
    draw = torch.Generator().manual_seed(0)
    kind_UJC, own_N = torch.randn(TEXTS, 17, 4, generator=draw), torch.arange(CLIPS) % TEXTS
    token_NJC = kind_UJC[own_N] + noise * torch.randn(CLIPS, 17, 4, generator=draw)
    true_NU = torch.nn.functional.one_hot(own_N, TEXTS).bool()
    return Settled(token_NJC=token_NJC, text_UE=torch.randn(TEXTS, 6, generator=draw), own_N=own_N, true_NU=true_NU)


def heads() -> tuple[PosePool, TextPool]:
    torch.manual_seed(0)
    pooling = PoolingConfig(dim=16, dropout=0.0)
    return PosePool(4, 17, pooling), TextPool(6, pooling)


def found(pose_pool: PosePool, text_pool: TextPool, given: Settled) -> float:
    with torch.no_grad():
        best = (pose_pool(given.token_NJC) @ text_pool(given.text_UE).T).argmax(dim=1)
    return float((best == given.own_N).float().mean())


def test_clips_find_their_texts_after_fitting():
    given, (pose_pool, text_pool) = settled(), heads()
    before = found(pose_pool, text_pool, given)
    losses = fit_heads(pose_pool, text_pool, given, HeadsConfig(steps=60, batch=32, lr=5e-3), 0.1, seed=0)
    assert before < 0.6
    assert found(pose_pool, text_pool, given) > 0.95
    assert len(losses) == 60
    assert losses[-1] < 0.2 * losses[0]


def test_the_settled_statistics_of_the_token_are_used_and_kept():
    given = settled()
    torch.manual_seed(0)
    pooling = PoolingConfig(dim=16, dropout=0.0, standardise=True)
    pose_pool, text_pool = PosePool(4, 17, pooling), TextPool(6, pooling)
    assert pose_pool.standardise is not None
    pose_pool.standardise.keep([given.token_NJC])
    before = {name: value.clone() for name, value in pose_pool.standardise.state_dict().items()}
    fit_heads(pose_pool, text_pool, given, HeadsConfig(steps=60, batch=32, lr=5e-3), 0.1, seed=0)
    assert all(torch.equal(value, before[name]) for name, value in pose_pool.standardise.state_dict().items())
    assert found(pose_pool, text_pool, given) > 0.95


@pytest.mark.parametrize("fresh", [True, False])
def test_both_heads_start_anew_where_that_is_asked_for_and_else_as_they_were(fresh):
    """One step that hardly moves the weights, so that what they start from is what there is afterwards."""
    both = heads()
    for head in both:
        for weight in head.parameters():
            torch.nn.init.constant_(weight, 0.3)
    fit_heads(*both, settled(), HeadsConfig(steps=1, batch=16, lr=1e-9, weight_decay=0, fresh=fresh), 0.1, seed=3)
    for head in both:
        kept = [torch.allclose(weight, torch.tensor(0.3), atol=1e-6) for weight in head.parameters()]
        assert not any(kept) if fresh else all(kept)


def test_fitting_repeats_itself_and_leaves_random_state_alone():
    one, two = heads(), heads()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    fit_heads(*one, settled(), HeadsConfig(steps=5, batch=16), 0.1, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(9)
    fit_heads(*two, settled(), HeadsConfig(steps=5, batch=16), 0.1, seed=3)
    for a, b in zip(one[0].state_dict().values(), two[0].state_dict().values(), strict=True):
        assert torch.equal(a, b)


def loss(parts: tuple[PosePool, TextPool], given: Settled, *clips: int) -> float:
    with torch.no_grad():
        return float(contrast(*parts, given, torch.tensor(clips), 0.1))


def test_a_text_that_is_also_true_is_not_counted_as_wrong():
    given, parts = settled(), heads()
    both = given.true_NU.clone()
    both[0, 1] = both[1, 0] = True
    lenient = Settled(token_NJC=given.token_NJC, text_UE=given.text_UE, own_N=given.own_N, true_NU=both)
    assert loss(parts, given, 0, 1) > 0.1
    assert loss(parts, lenient, 0, 1) == pytest.approx(0.0, abs=1e-6)  # nothing left to confuse them with


def test_clips_of_one_text_share_being_right():
    assert loss(heads(), settled(), 0, TEXTS, 2 * TEXTS) == pytest.approx(0.0, abs=1e-6)  # three clips, one text


def test_with_heads_all_equal_the_loss_is_that_of_guessing():
    given, (pose_pool, text_pool) = settled(), heads()
    torch.nn.init.zeros_(pose_pool.mix.weight)
    torch.nn.init.ones_(pose_pool.mix.bias)
    clips = torch.arange(TEXTS)
    # Clips are alike, so a text cannot tell its clip from the others; texts still differ.
    with torch.no_grad():
        text_way = -math.log(1 / TEXTS)
        logits = pose_pool(given.token_NJC[clips]) @ text_pool(given.text_UE).T / 0.1
        clip_way = torch.nn.functional.cross_entropy(logits, given.own_N[clips])
    expected = 0.5 * (text_way + float(clip_way))
    assert loss((pose_pool, text_pool), given, *range(TEXTS)) == pytest.approx(expected, rel=1e-5)


def test_a_run_ends_with_fitted_heads_and_the_encoder_it_had(tmp_path):
    shards, bert = make_shards(tmp_path / "shards"), write_tiny_bert(tmp_path / "bert")
    weights = {}
    for name, more in (("plain", ()), ("fitted", ("heads.steps=3", "heads.batch=8", "heads.clips=16"))):
        same = ("pretrain.steps=2", "pretrain.eval_every=0", "pooling.standardise=true")
        chosen = resolve(Recipe, overrides=tiny(*same, *more, text=bert))
        training.train("pretrain", chosen, shards, tmp_path / name, resume=False, argv=["test"], version="test")
        saved = checkpoint.latest(tmp_path / name)
        assert saved is not None
        weights[name] = saved.weights()
    changed = {key for key, value in weights["plain"].items() if not torch.equal(value, weights["fitted"][key])}
    assert changed
    assert all(key.startswith(("pose_pool.", "text_pool.")) for key in changed)
    assert not any("standardise" in key for key in changed)


def test_impossible_settings_are_refused():
    for wrong in ("heads.steps=-1", "heads.batch=1", "heads.lr=0.0"):
        with pytest.raises(UserError):
            resolve(Recipe, overrides=tiny(wrong))
