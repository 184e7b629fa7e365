"""A cap leaves out pairs of train alone, always the same, each with its reason; everything else stays as it was."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from actionpose.balance import label_weights
from actionpose.shards import ShardSet
from cli.data import main
from pipeline.config import PackConfig, RunOptions
from pipeline.engine.manifest import ClipRow, PairRow, write_rows
from pipeline.engine.row_index import Lookup
from pipeline.engine.stage import StageResult
from pipeline.pack.selection import BEYOND_CAP, SAME_TAKE, LeftOut, beyond_cap, label_rows, left_out_rows
from pipeline.stages.build import Build
from pipeline.validate.tables import validate
from pipeline.view.summary import select
from tests.makers.trees import tree
from tests.makers.worlds import World, annotation, label, make_world, sequence, whole

CAP = 2


@pytest.fixture(scope="module")
def world3(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Three takes of the small world: in train nine motions of segments and a transition, three of one `jump` each."""
    return make_world(tmp_path_factory.mktemp("world3"), takes=3)


@pytest.fixture(scope="module")
def plain(world3: World, tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("plain")
    build = Build(world3.config, folder / "stages", folder / "shards")
    build.run()
    return build


def with_cap(build: Build, out: Path, **settings: int) -> Build:
    """The same stages, packed with a cap."""
    config = replace(build.config, pack=PackConfig(max_per_label=CAP, **settings))
    again = Build(config, build.work, out)
    again.run()
    return again


@pytest.fixture(scope="module")
def capped(plain: Build, tmp_path_factory: pytest.TempPathFactory) -> Build:
    return with_cap(plain, tmp_path_factory.mktemp("capped") / "shards")


def texts(shards: ShardSet, split: str) -> Counter[str]:
    splits = shards.motions["split"][shards.clips["motion"]][shards.pairs["clip"]]
    return Counter(str(t) for t, s in zip(shards.pairs["text"], splits, strict=True) if s == split)


def test_every_label_of_train_keeps_the_smaller_of_count_and_cap_and_val_keeps_all(plain: Build, capped: Build):
    before, after = ShardSet(plain.out), ShardSet(capped.out)
    counts = texts(before, "train")
    assert counts["transit from walk forward to sit"] == counts["sit"] == 9
    assert counts["jump"] == 3
    assert texts(after, "train") == Counter({text: min(n, CAP) for text, n in counts.items()})
    assert texts(after, "val") == texts(before, "val")
    assert max(texts(after, "val").values()) > CAP


def test_each_pair_left_out_has_its_reason_and_counts_show_it(plain: Build, capped: Build):
    before, after = (set(ShardSet(build.out).pairs["pair_id"].tolist()) for build in (plain, capped))
    rows = list(select(capped.out / "manifests/dropped.jsonl", (f"reason={BEYOND_CAP}",)))
    assert {row["drop_id"] for row in rows} == before - after
    assert after < before
    pairs = {row["pair_id"]: row for row in select(capped.out / "manifests/pairs.jsonl")}
    assert all(pairs[row["drop_id"]]["text"] == row["text"] and row["stop_s"] > row["start_s"] for row in rows)
    summary = ShardSet(capped.out).index["summary"]
    assert summary["dropped"][BEYOND_CAP] == len(before - after)
    assert summary["pairs"] == len(after)
    shown = CliRunner().invoke(main, ["inspect", str(capped.out)]).output
    assert f"{len(before - after)} x {BEYOND_CAP}" in shown
    report = CliRunner().invoke(
        main, ["report", "--shards", str(capped.out), "--out", str(capped.out.parent / "report.html")]
    )
    assert report.exit_code == 0, report.output
    assert BEYOND_CAP in (capped.out.parent / "report.html").read_text()


def test_clips_and_motions_without_pairs_go_with_them(plain: Build, capped: Build):
    before, after = ShardSet(plain.out), ShardSet(capped.out)
    jumps = [m for m in before.motions["motion_id"].tolist() if "jump" in m]
    assert len(jumps) == 3
    assert sum(m in after.motions["motion_id"] for m in jumps) == CAP  # the third had nothing else to say
    assert set(after.pairs["clip"].tolist()) == set(range(len(after.clips["clip_id"])))
    assert after.index["summary"]["unlabelled_motions"] == before.index["summary"]["unlabelled_motions"]
    number = {m: n for n, m in enumerate(before.motions["motion_id"].tolist())}
    for n, motion_id in enumerate(after.motions["motion_id"].tolist()):
        assert (after.motion_frames(n) == before.motion_frames(number[motion_id])).all()


def test_a_label_left_out_is_still_no_negative_of_its_neighbours(capped: Build):
    shards = ShardSet(capped.out)
    rows = {row["pair_id"]: row for row in select(capped.out / "manifests/pairs.jsonl")}
    for pair_id, concurrent in zip(shards.pairs["pair_id"], shards.pairs["concurrent"], strict=True):
        assert concurrent == rows[pair_id]["concurrent"]
    assert any("wave right hand" in others for others in shards.pairs["concurrent"])


def test_a_capped_build_is_valid_and_current(capped: Build):
    checks = validate(capped.out, deep=True)
    assert [check.line() for check in checks if check.verdict != "ok"] == []
    assert [row.state for row in Build(capped.config, capped.work, capped.out).status()] == ["current"] * 6


def test_a_pair_that_is_there_and_listed_as_left_out_is_broken(plain: Build, tmp_path: Path):
    build = with_cap(plain, tmp_path / "shards")
    path = build.out / "manifests/dropped.jsonl"
    kept = str(ShardSet(build.out).pairs["pair_id"][0])
    lines = path.read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if BEYOND_CAP in line)
    gone = next(iter(select(path, (f"reason={BEYOND_CAP}",))))["drop_id"]
    lines[number] = lines[number].replace(f'"{gone}"', f'"{kept}"')
    path.write_text("\n".join(sorted(lines)) + "\n")
    check = next(check for check in validate(build.out) if check.name == "verdicts")
    assert check.verdict == "broken"
    assert any(kept in who for who in check.offenders)
    assert any(gone in who for who in check.offenders)


def test_a_cap_gives_the_same_bytes_with_two_workers(world3: World, capped: Build, tmp_path: Path):
    build = Build(capped.config, tmp_path / "stages", tmp_path / "shards", RunOptions(workers=2))
    build.run()
    assert tree(build.out) == tree(capped.out)


def test_another_seed_keeps_other_pairs_and_a_cap_of_all_changes_no_shard(plain: Build, capped: Build, tmp_path: Path):
    other = ShardSet(with_cap(plain, tmp_path / "other", cap_seed=1).out)
    first = ShardSet(capped.out)
    assert texts(other, "train") == texts(first, "train")
    assert set(other.pairs["pair_id"].tolist()) != set(first.pairs["pair_id"].tolist())
    config = replace(plain.config, pack=PackConfig(max_per_label=1000))
    high = Build(config, plain.work, tmp_path / "high")
    high.run()
    assert ShardSet(high.out).fingerprint == ShardSet(plain.out).fingerprint


def test_copies_go_before_labels_are_counted(tmp_path: Path):
    """Or a copy would take the one place of a label and then go."""
    world = make_world(tmp_path)
    shutil.copytree(tmp_path / "amass/KIT/3", tmp_path / "amass/KIT/33")
    train = json.loads((tmp_path / "babel/train.json").read_text())
    numbers = range(8)
    for sid, subject in (("100", "3"), ("900", "33")):
        labels = annotation(*(label(f"move {n}", 0.4 * n, 0.4 * n + 0.8, n) for n in numbers))
        train[sid] = sequence(int(sid), f"KIT/KIT/{subject}/walk_01_poses.npz", 4.0, labels, whole("walk"))
    (tmp_path / "babel/train.json").write_text(json.dumps(train))
    config = replace(world.config, pack=PackConfig(max_per_label=1, duplicates="drop"))
    build = Build(config, tmp_path / "stages", tmp_path / "shards")
    build.run()
    shards = ShardSet(build.out)
    assert [texts(shards, "train")[f"move {n}"] for n in numbers] == [1] * len(numbers)
    assert "KIT/33/walk_01" not in shards.motions["motion_id"]
    dropped = shards.index["summary"]["dropped"]
    assert dropped[SAME_TAKE] == len(numbers)
    assert dropped[BEYOND_CAP] > 0
    assert [check.line() for check in validate(build.out) if check.verdict == "broken"] == []


def test_a_cap_below_nothing_is_refused():
    with pytest.raises(ValueError, match=r"pack\.max_per_label=-1"):
        PackConfig(max_per_label=-1)


# --- caps and weights --------------------------------------------------------------------------

WORDS = ["walk"] * 100 + ["sit"] * 25 + ["NA"]
LABELLED = [(f"{n}:0", text) for n, text in enumerate(WORDS)]


def test_a_label_a_hundred_times_as_frequent_is_drawn_ten_times_as_often():
    counts = Counter(WORDS)
    weights = label_weights(counts)
    assert counts["walk"] * weights["walk"] / weights["NA"] == pytest.approx(10)
    assert counts["sit"] * weights["sit"] / weights["NA"] == pytest.approx(5)
    assert sum(counts[text] * weight for text, weight in weights.items()) == pytest.approx(len(WORDS))


def test_no_pairs_no_weights():
    assert label_weights({}) == {}
    assert label_weights({"null": 0}) == {"null": 0.0}
    assert beyond_cap([], 3) == set()


def test_a_cap_keeps_that_many_of_each_label():
    gone = beyond_cap(LABELLED, 30)
    assert Counter(text for key, text in LABELLED if key not in gone) == {"walk": 30, "sit": 25, "NA": 1}


def test_what_a_cap_keeps_depends_on_the_pair_alone():
    gone = beyond_cap(LABELLED, 30)
    order = np.random.default_rng(0).permutation(len(LABELLED))
    assert beyond_cap([LABELLED[n] for n in order], 30) == gone
    assert beyond_cap(LABELLED[:60], 30) <= gone  # fewer pairs: those that stayed among more still stay
    assert beyond_cap(LABELLED, 30, seed=1) != gone


def test_a_cap_of_nothing_is_refused():
    with pytest.raises(ValueError, match="would keep nothing"):
        beyond_cap([("a", "walk")], 0)


def test_label_rows_add_up():
    pairs = [(text, "train", 90) for text in WORDS] + [("walk", "val", 30), ("null", "val", 60)]
    rows = {row.text: row for row in label_rows(pairs, 30.0)}
    assert list(rows) == sorted(rows)
    assert (rows["walk"].train, rows["walk"].val, rows["null"].train) == (100, 1, 0)
    assert rows["walk"].hours == pytest.approx((100 * 3 + 1) / 3600, abs=1e-6)
    weights = label_weights(Counter(WORDS))
    assert {text: rows[text].weight for text in weights} == pytest.approx(weights, abs=1e-6)
    assert rows["null"].weight == 0


def test_clips_of_a_motion_are_read_once_for_all_its_pairs_that_are_left_out(tmp_path: Path, monkeypatch):
    ids = [f"KIT/1/a#{start:06d}-{start + 30:06d}" for start in range(0, 3000, 30)]
    spans = {"split": "train", "kind": "segment", "gap_start": 0, "gap_stop": 0, "start_s": 0.0, "stop_s": 1.0}
    clips = [ClipRow(clip_id=name, motion_id="KIT/1/a", start=0, stop=30, **spans) for name in ids]
    words = dict.fromkeys(("raw", "text_a", "text_b", "babel_sid"), "") | {"split": "train", "kind": "segment"}
    more = {"border_a": 0, "border_b": 0, "act_cat": [], "concurrent": [], "seg_ids": []}
    pairs = [PairRow(pair_id=f"1:{n:04d}", clip_id=name, text="walk", **words, **more) for n, name in enumerate(ids)]
    write_rows(tmp_path / "clips.jsonl", clips)
    write_rows(tmp_path / "pairs.jsonl", pairs)
    read, asked = Lookup.rows, []
    monkeypatch.setattr(
        Lookup, "rows", lambda self, motion_id, kind: asked.append(motion_id) or read(self, motion_id, kind)
    )
    left = LeftOut(copies={"KIT/1/a": "KIT/2/a"})
    rows = list(left_out_rows(StageResult(folder=tmp_path, meta={}, fresh=True), left))
    assert [row.drop_id for row in rows] == [pair.pair_id for pair in pairs]
    assert asked == ["KIT/1/a"]
