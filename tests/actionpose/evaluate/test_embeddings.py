"""What pretraining learned is measured as a plain loop would, over clips that count once, beside what chance gives."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from actionpose.config import resolve
from actionpose.data.batches import Assembler
from actionpose.data.samples import pair_samples
from actionpose.errors import UserError
from actionpose.evaluate import embeddings
from actionpose.evaluate.probe import fit, linear_probe
from actionpose.evaluate.retrieval import naming, truth, zero_shot
from actionpose.jsonl import read_lines
from actionpose.model.action_pose import ActionPose
from actionpose.runs import evaluate as evaluation
from actionpose.runs import train as training
from actionpose.runs.recipe import Recipe
from actionpose.shards import ShardSet
from actionpose.train.runtime import Runtime
from tests.makers.shards import ACTIONS, edit, make_shards, tiny

CPU = Runtime(device=torch.device("cpu"), bf16=False)


def recipe(*more, text=None):
    return resolve(Recipe, overrides=tiny(*more, text=text))


def train(resolved, shards, out, **given):
    return training.train("pretrain", resolved, shards, out, resume=False, argv=[], version="0", **given)


# --- naming -----------------------------------------------------------------------------------


def test_naming_equals_a_plain_count():
    rng = np.random.default_rng(0)
    pose, label = rng.normal(size=(40, 5)), rng.normal(size=(9, 5))
    true = rng.random((40, 9)) < 0.2
    true[np.arange(40), rng.integers(0, 9, 40)] = True
    found = zero_shot(pose, label, true)
    for k in (1, 5):
        answers = [np.argsort(-(label @ p))[:k] for p in pose]
        hits = [any(t[a] for a in some) for t, some in zip(true, answers, strict=True)]
        assert found.top[k] == pytest.approx(100 * np.mean(hits))
        by_label = [np.mean([u in answers[n] for n in range(40) if true[n, u]]) for u in range(9) if true[:, u].any()]
        assert found.balanced[k] == pytest.approx(100 * np.mean(by_label))
        drawn = [true[n, rng.permutation(9)[:k]].any() for n in range(40) for _ in range(500)]
        assert found.chance[k] == pytest.approx(100 * np.mean(drawn), abs=1.5)
    assert (found.labels, found.clips) == (9, 40)


def test_always_answering_the_frequent_label_is_no_better_than_the_baseline_says():
    true = truth([["walk"]] * 7 + [["sit"]] * 2 + [["jump"]], ["jump", "sit", "walk"])
    constant = zero_shot(np.ones((10, 1)), np.array([[0.0], [0.1], [1.0]]), true)
    assert constant.top[1] == constant.frequent[1] == 70
    assert constant.balanced[1] == constant.frequent_balanced[1] == pytest.approx(100 / 3)
    assert constant.chance[1] == pytest.approx(100 / 3)


def test_balanced_asks_for_each_label_itself():
    true = truth([["walk", "turn"]] * 3 + [["walk"]], ["turn", "walk"])
    always_walk = zero_shot(np.ones((4, 1)), np.array([[0.0], [1.0]]), true)
    assert always_walk.top[1] == 100
    assert always_walk.balanced[1] == always_walk.frequent_balanced[1] == 50


def test_labels_that_are_all_equal_name_nothing():
    assert zero_shot(np.ones((6, 2)), np.ones((6, 2)), np.eye(6, dtype=bool)).top == {1: 0.0, 5: 0.0}


def test_a_clip_without_a_true_label_cannot_be_named():
    with pytest.raises(ValueError, match="true label"):
        naming(np.ones((2, 2)), np.array([[True, False], [False, False]]))


# --- probe ------------------------------------------------------------------------------------


def test_the_probe_reads_what_is_linear_and_only_that():
    rng = np.random.default_rng(1)
    kind = rng.integers(0, 4, 400)
    true = np.eye(4, dtype=bool)[kind]
    features = rng.normal(size=(400, 6)) * 0.3
    features[np.arange(400), kind] += 3
    both = np.hstack([features * [1e3, 1, 1, 1, 1, 1e-3], np.ones((400, 1))])  # neither units nor constants matter
    assert linear_probe(both[:200], true[:200], both[200:], true[200:]).top[1] > 97
    noise = rng.normal(size=(400, 6))
    assert abs(linear_probe(noise[:200], true[:200], noise[200:], true[200:]).top[1] - 25) < 12


def test_the_probe_finds_the_optimum_and_the_same_one_each_time():
    rng = np.random.default_rng(2)
    x = torch.from_numpy(rng.normal(size=(60, 5)))
    target = torch.from_numpy(np.eye(3)[rng.integers(0, 3, 60)])
    weight, bias = fit(x, target, 0.1)
    error = torch.softmax(x @ weight + bias, dim=1) - target
    assert torch.allclose(x.T @ error / 60 + 0.1 * weight, torch.zeros_like(weight), atol=1e-5)
    assert torch.allclose(error.mean(dim=0), torch.zeros(3, dtype=torch.float64), atol=1e-5)
    assert torch.equal(weight, fit(x, target, 0.1)[0])


def test_a_clip_of_two_categories_teaches_each_a_half():
    x = torch.ones(1, 1, dtype=torch.float64)
    weight, bias = fit(x, torch.tensor([[0.5, 0.5, 0.0]], dtype=torch.float64), 0.1)
    share = torch.softmax(x @ weight + bias, dim=1)[0]
    assert share[0] == pytest.approx(float(share[1]))
    assert share[2] < 0.01


# --- clips ------------------------------------------------------------------------------------


def test_a_clip_counts_once_with_all_its_texts_and_its_windows_averaged(tmp_path):
    folder = make_shards(tmp_path / "s")
    # Pairs 0 and 1 name the same clip; clip 1 is left without a text.
    edit(folder, pairs__clip=[0, 0, 2, 3, 4, 5, 6, 7])
    chosen, shards = recipe().value, ShardSet(folder)
    clips = embeddings.labelled_clips(shards, chosen.data)
    assert len(clips) == 7
    assert clips.texts[0] == ["wave left hand", "wave right hand"]
    assert clips.categories[0] == ["wave"]
    windows = np.bincount(clips.clip)
    assert windows[0] == 2  # 20 frames, two views, once
    assert windows.max() > 2
    summed = {"sum": lambda pose2d, valid: (pose2d * valid[..., None, None]).sum(dim=(1, 3))}
    found = embeddings.clip_features(summed, clips, chosen, CPU)["sum"]
    assemble = Assembler(table=clips.table, detect=embeddings.detector(chosen.data), augment=False)
    for number in range(len(clips)):
        mine = [assemble(np.array([i]), 0) for i in np.flatnonzero(clips.clip == number)]
        expected = np.mean([summed["sum"](b["pose2d"], b["valid"])[0].numpy() for b in mine], axis=0)
        np.testing.assert_allclose(found[number], expected, rtol=1e-4, atol=1e-4)


def test_a_limit_keeps_the_same_clips_each_time(folder):
    shards, data = ShardSet(folder), recipe().value.data
    few = embeddings.labelled_clips(shards, data, limit=3)
    assert len(few) == 3
    assert few.texts == embeddings.labelled_clips(shards, data, limit=3).texts
    more = embeddings.labelled_clips(shards, data, limit=5)
    assert {t[0] for t in few.texts} < {t[0] for t in more.texts}
    assert set(few.clip.tolist()) == {0, 1, 2}


def test_a_run_whose_labels_were_shuffled_is_measured_on_the_true_ones(folder):
    shards = ShardSet(folder)
    plain, shuffled = (
        embeddings.labelled_clips(shards, recipe(f"data.shuffle_labels={s}").value.data) for s in ("false", "true")
    )
    assert shuffled.texts == plain.texts == [[text] for text in shards.pairs["text"][: len(plain)]]


def test_statistics_of_a_padded_clip_are_those_of_the_bare_one(folder):
    table = pair_samples(ShardSet(folder), recipe().value.data)
    assemble = Assembler(table=table, augment=False)
    short = int(table.length.argmin())
    both = assemble(np.array([short, int(table.length.argmax())]), 0)
    bare = assemble(np.array([short]), 0)
    wide = embeddings.pose_statistics(both["pose2d"], both["valid"])[0]
    assert bare["pose2d"].shape[1] < both["pose2d"].shape[1]
    torch.testing.assert_close(wide, embeddings.pose_statistics(bare["pose2d"], bare["valid"])[0])
    assert wide.shape == (17 * 6,)


# --- the whole --------------------------------------------------------------------------------


def test_a_model_that_knows_scores_everything_and_one_that_does_not_stays_at_chance(folder, bert):
    """Embeddings replaced by the truth: through cutting, averaging and counting it must come out perfect."""
    chosen, shards = recipe(text=bert).value, ShardSet(folder)
    clips = embeddings.held_out_clips(chosen, shards)
    names = sorted(ACTIONS)

    class Knowing(ActionPose):
        def embed_pose(self, pose2d, valid=None):
            return torch.stack([torch.eye(len(names))[self.order.pop(0)] for _ in pose2d])

        def embed_text(self, texts):
            return torch.stack([torch.eye(len(names))[names.index(t)] if t in names else torch.zeros(8) for t in texts])

    model = Knowing(chosen.pose, chosen.text, chosen.pooling).eval()
    order = clips.table.length.argsort(kind="stable")
    model.order = [names.index(clips.texts[clips.clip[i]][0]) for i in order]
    found = embeddings.aligned(model, clips, chosen, CPU)
    for way in found["retrieval"].values():
        assert (way["r1"], way["median_rank"], way["candidates"]) == (100, 1, 8)
        assert way["chance"]["r1"] == pytest.approx(12.5)
    assert found["zero_shot"]["texts"]["top1"] == 100
    assert found["zero_shot"]["categories"]["labels"] == 7  # both waves are one category
    assert "R@5 100.0 % (chance 62.5)" in embeddings.in_words(found)
    assert embeddings.mean_recall(found) == 100


def test_the_mean_over_joints_is_that_of_the_token_that_was_computed(folder):
    chosen = recipe().value
    model = ActionPose(chosen.pose).eval()
    clips = embeddings.labelled_clips(ShardSet(folder), chosen.data)
    encoders = {"token": embeddings.token(model), "mean": embeddings.token(model, mean=True)}
    found = embeddings._with_mean(embeddings.clip_features(encoders, clips, chosen, CPU), chosen.pose.joints)
    np.testing.assert_allclose(found["token_mean"], found["mean"], atol=1e-6)


def test_measuring_a_pretrained_run_reports_search_naming_and_probe_with_baselines(folder, bert, tmp_path):
    more = ("pretrain.steps=4", "eval.baselines=true")
    resolved = recipe(*more, text=bert)
    train(resolved, folder, tmp_path / "run")
    row = evaluation.evaluate(tmp_path / "run", folder, resolved.value, argv=[], version="0").to_json()
    assert {"retrieval", "zero_shot", "probe"} <= set(row)
    assert set(row["probe"]) == {"token", "token_mean", "untrained", "statistics", "learned_from"}
    assert row["probe"]["learned_from"] == 8
    assert row["probe"]["token"]["labels"] == 7
    assert row["probe"]["statistics"]["top1"] > 40  # the figures' labels are visible without any network
    assert row["zero_shot"]["texts"]["top1"] == row["retrieval"]["motion_to_text"]["r1"]
    assert read_lines(tmp_path / "run/results.jsonl")[0]["probe"] == row["probe"]
    lines = {line["learned"]: line for line in embeddings.table_rows(row)}
    assert lines["text to motion R@5"]["asked"] == "8 among 8"
    # The bar for a trained pair of heads is what closed-form regression reads from the same clips.
    assert set(row["ridge"]) == {"statistics", "token"}
    assert lines["ridge on statistics, text to motion R@10"]["asked"] == "8 among 8"
    assert row["ridge"]["statistics"]["motion_to_text"]["r1"] > 40
    assert lines["probe untrained top1"]["chance"] == f"{100 / 7:.1f}"
    assert lines["zero-shot categories top1"]["most_frequent"] == "25.0"  # two of eight clips wave
    assert embeddings.table_rows({"mpjpe_mm": 1.0}) == []
    again = evaluation.evaluate(tmp_path / "run", folder, resolved.value, argv=[], version="0").to_json()
    assert [again[k] for k in ("retrieval", "zero_shot", "probe")] == [
        row[k] for k in ("retrieval", "zero_shot", "probe")
    ]
    off = dataclasses.replace(resolved.value.eval, probe_categories=0)
    bare = evaluation.evaluate(
        tmp_path / "run", folder, dataclasses.replace(resolved.value, eval=off), argv=[], version="0"
    )
    assert bare.probe is None


def test_pretraining_without_text_is_probed_too(folder, tmp_path):
    resolved = recipe("pretrain.steps=1", "loss.lambda_con=0.0")
    train(resolved, folder, tmp_path / "run")
    row = evaluation.evaluate(tmp_path / "run", folder, resolved.value, argv=[], version="0").to_json()
    assert "probe" in row
    assert "retrieval" not in row


def test_pretraining_reports_search_and_naming_each_epoch(folder, bert, tmp_path, capsys):
    more = ("pretrain.epochs=2", "pretrain.eval_every=1", "eval.retrieval_clips=5")
    train(recipe(*more, text=bert), folder, tmp_path / "run")
    rows = [row for row in read_lines(tmp_path / "run/log.jsonl") if row.get("event") == "eval"]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(row["retrieval"]["text_to_motion"]["candidates"] == 5 for row in rows)
    assert all("categories" in row["zero_shot"] and row["mpjpe_mm"] > 0 for row in rows)
    lines = [line for line in capsys.readouterr().err.splitlines() if "held out:" in line]
    assert len(lines) == 2
    assert all("motion→text R@5" in line and "chance" in line and "MPJPE" in line for line in lines)


def test_evaluating_during_training_changes_nothing_that_is_learned(folder, bert, tmp_path):
    same = ("pretrain.epochs=3",)
    train(recipe(*same, text=bert), folder, tmp_path / "blind")
    train(recipe(*same, "pretrain.eval_every=1", text=bert), folder, tmp_path / "looking")
    blind, looking = ([r["losses"] for r in read_lines(tmp_path / d / "log.jsonl") if "losses" in r]
                      for d in ("blind", "looking"))  # fmt: skip
    assert blind == looking


def test_the_best_checkpoint_can_be_the_one_that_finds_most(folder, bert, tmp_path, monkeypatch):
    scores = iter([10.0, 30.0, 20.0])
    monkeypatch.setattr(training, "mean_recall", lambda found: next(scores))
    more = ("pretrain.epochs=3", "pretrain.eval_every=1", "pretrain.best_by=retrieval", "run.keep=1")
    made = train(recipe(*more, text=bert), folder, tmp_path / "run")
    evaluated = [r["step"] for r in read_lines(tmp_path / "run/log.jsonl") if r.get("event") == "eval"]
    assert made["best_step"] == evaluated[1]
    assert training.checkpoint.find(tmp_path / "run").step == evaluated[1]
    assert made["best_mpjpe_mm"] is None
    with pytest.raises(UserError, match="aligned with text"):
        train(recipe("pretrain.best_by=retrieval", "loss.lambda_con=0.0"), folder, tmp_path / "no")


def test_labels_that_look_the_same_are_noted_before_training(folder, tmp_path, capsys, bert, monkeypatch):
    train(recipe("pretrain.steps=1", text=bert), folder, tmp_path / "healthy")
    assert "nearly the same vector" not in capsys.readouterr().err
    row = next(r for r in read_lines(tmp_path / "healthy/log.jsonl") if r.get("event") == "labels")
    assert row["count"] == len(ACTIONS)
    assert row["spread"] > 0.01
    monkeypatch.setattr(
        "actionpose.model.text_encoder.TextEncoder.forward", lambda self, texts: torch.ones(len(texts), self.dim)
    )
    train(recipe("pretrain.steps=1", text=bert), folder, tmp_path / "flat")
    assert "note: the text encoder gives nearly the same vector for every label" in capsys.readouterr().err
