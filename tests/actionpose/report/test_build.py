"""The report says what the shards say, stands alone, and survives runs that are young, torn or gone."""

from __future__ import annotations

import base64
import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionpose.errors import UserError
from actionpose.evaluate.result import Result
from actionpose.geometry import camera_matrix
from actionpose.report.build import build_report, summary_text
from actionpose.report.facts import sample_clips, viewer_clip
from actionpose.report.svg import Axis, Bar, Series, bar_rows, histogram, line_chart, nice_ticks, number
from actionpose.report.tables import gain_sentence
from actionpose.runs.results import pretraining_gains, read_run
from actionpose.runs.seeds import Change
from actionpose.schema import Summary, Transitions
from actionpose.shards import ShardSet
from tests.makers.places import ROOT
from tests.makers.walker import make_shards

NASTY = 'wave <script>alert("1")</script> & sit'
SUMMARY = Summary(
    motions=3,
    transitions=Transitions(found=9, kept=1, dropped={"overlap": 5, "same text": 3}),
    failures={"keypoints": {"not a zip file": 2}, "index": {"no frames": 1}},
    skipped={"index": {"a calibration file": 4}},
    unlabelled_motions=7,
)
VOID = {"meta", "br", "input", "img", "hr", "link"}


class Page(HTMLParser):
    """Tags opened and closed in order, attributes that could fetch something, and text per element."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.fetches: list[str] = []
        self.cards: dict[str, str] = {}
        self.words: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.fetches += [f"{k}={v}" for k, v in attrs if k in ("src", "srcset", "data", "action", "xlink:href")]
        self.fetches += [f"{k}={v}" for k, v in attrs if k == "href" and not (v or "").startswith("#")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.open[-2:] == ["div", "b"]:
            self.words.append(data)
        elif self.open[-2:] == ["div", "span"] and self.words and data not in self.cards:
            self.cards.setdefault(data, self.words[-1])


def write_run(
    folder: Path, *, results: list[dict[str, Any]] | None = None, init: str = "", command: str = "finetune"
) -> Path:
    """A run folder of the trainer's layout, with a torn last line in its log."""
    folder.mkdir(parents=True)
    recipe = {"init": {"pose": init}, "run": {"seed": 3}}
    (folder / "config.json").write_text(json.dumps({"command": command, "recipe": recipe}))
    rows = [
        {"step": s, "epoch": 0, "lr": 1e-4 / (s + 1), "losses": {"total": 2.0 / (s + 1), "3d": 1 / (s + 1)}}
        | {"clips_per_s": 9.5}
        for s in range(40)
    ]
    rows.insert(20, {"event": "eval", "step": 20, "mpjpe_mm": 80.0})
    (folder / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows) + '{"step": 41, "los')
    if results is not None:
        trained = {"trained_by": command, "pretrained": bool(init)}
        lines = ({**trained, **line} for line in results)
        (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def result(mpjpe: float, **more: Any) -> dict[str, Any]:
    """A line of results.jsonl, less what `write_run` adds."""
    measured = Result(
        mpjpe_mm=mpjpe, p_mpjpe_mm=mpjpe - 10, n_mpjpe_mm=mpjpe - 5, velocity_mm=3.0, velocity_mm_s=150.0,
        acceleration_mm=None, frames=500, motions=3, protocol="h36m-b", title="made up", average="over frames",
        frame_mpjpe_mm=mpjpe, frame_p_mpjpe_mm=mpjpe - 10, actions={}, datasets={}, views={}, fingerprint="sha256:d",
        seed=3,
    )  # fmt: skip
    return replace(measured, **more).to_json()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shards(tmp_path_factory.mktemp("shards"), texts=("walk", NASTY, "stand"), summary=SUMMARY)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    search = {"r1": 25.0, "r5": 50.0, "r10": 75.0, "median_rank": 4, "candidates": 40, "queries": 7}
    retrieval = {"motion_to_text": {**search, "chance": {"r1": 2.5, "r5": 12.5, "r10": 25.0}}}
    first = result(99.0, retrieval=retrieval, trained_by="pretrain", pretrained=False)
    walk = {"Walk": {"mpjpe_mm": 55.5, "frames": 500}}
    return [
        write_run(root / "pretrain", results=[first], command="pretrain"),
        write_run(
            root / "tuned",
            results=[result(90.0), result(60.0, actions=walk)],
            init="runs/pretrain",
        ),
        write_run(root / "scratch", results=[result(72.0)], init=""),
        root / "gone",
    ]


@pytest.fixture(scope="module")
def report(shards: Path, runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str]:
    out = tmp_path_factory.mktemp("out") / "report.html"
    return build_report(shards, runs, out, "A <title>"), out.read_text(encoding="utf-8")


# --- the page ---------------------------------------------------------------------------------


def test_the_page_is_balanced_html(report: tuple[Any, str]) -> None:
    page = Page(report[1])
    assert page.open == []
    assert {"svg", "canvas", "table", "select", "details"} <= set(page.tags)


def test_the_page_fetches_nothing(report: tuple[Any, str]) -> None:
    source = report[1]
    assert Page(source).fetches == []
    assert not re.search(r"https?://|url\(|@import|\bfetch\(|XMLHttpRequest|\bimport\s*\(", source)


def test_every_number_of_the_headline_is_the_shards(report: tuple[Any, str], shards: Path) -> None:
    opened = ShardSet(shards)
    frames = sum(len(opened.motion_frames(k)) for k in range(3))
    cards = Page(report[1]).cards
    assert cards["motions"] == "3"
    assert cards["clips"] == str(len(opened.clips["clip_id"])) == "4"
    assert cards["pairs"] == str(len(opened.pairs["pair_id"])) == "4"
    assert cards["transitions"] == "1"
    assert cards["of motion"] == f"{frames / 30:g} s"
    assert cards["frames per second"] == "30"
    assert cards["views"] == "2"
    assert cards["failures"] == "3"
    assert f"{frames:,} frames" in report[1]
    assert opened.fingerprint in report[1]


def test_reasons_of_failures_and_dropped_transitions_are_reported(report: tuple[Any, str]) -> None:
    for reason in (
        "not a zip file",
        "no frames",
        "overlap",
        "same text",
        "a calibration file",
        "no label speaks of it",
    ):
        assert f"<td>{reason}</td>" in report[1]


def test_text_from_data_is_escaped(report: tuple[Any, str]) -> None:
    source = report[1]
    assert 'alert("1")' not in source
    assert html.escape(NASTY, quote=True) in source
    assert "<title>A &lt;title&gt;</title>" in source
    assert Page(source).tags.count("script") == 2  # the clips' data and the page's own script


def test_a_summary_that_contradicts_the_tables_is_pointed_out(tmp_path: Path) -> None:
    folder = make_shards(tmp_path / "s", summary=Summary(motions=99))
    summary = build_report(folder, [], tmp_path / "r.html", "t")
    assert summary.facts.motions == 3
    assert "the index announces 99 motions, the tables hold 3" in (tmp_path / "r.html").read_text()


def test_shards_of_which_nothing_was_rejected_say_so(tmp_path: Path) -> None:
    summary = build_report(make_shards(tmp_path / "s"), [], tmp_path / "r.html", "t")
    source = (tmp_path / "r.html").read_text()
    assert summary.facts.shards.summary.failed == 0
    assert Page(source).cards["failures"] == "0"
    assert "No item failed in any stage." in source
    assert "No run was given" in source


def test_benchmark_shards_have_no_moving_clip_and_say_so(tmp_path: Path) -> None:
    build_report(make_shards(tmp_path / "s", kind="benchmark"), [], tmp_path / "r.html", "t")
    source = (tmp_path / "r.html").read_text()
    assert "benchmark shards hold screen units" in source
    assert Page(source).open == []


def test_a_folder_that_holds_no_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a shard folder"):
        build_report(tmp_path, [], tmp_path / "r.html", "t")


def test_the_same_input_gives_the_same_page(
    report: tuple[Any, str], shards: Path, runs: list[Path], tmp_path: Path
) -> None:
    build_report(shards, runs, tmp_path / "again.html", "A <title>")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == report[1]


# --- the moving clip --------------------------------------------------------------------------


def embedded(source: str) -> list[dict[str, Any]]:
    """The clips of the page's players."""
    found = re.findall(r'<script type="application/json">(.*?)</script>', source, re.DOTALL)
    return [clip for text in found for clip in json.loads(text)["clips"]]


def test_embedded_frames_and_cameras_give_the_frames_back(report: tuple[Any, str], shards: Path) -> None:
    opened, clips = ShardSet(shards), embedded(report[1])
    assert clips[0]["title"].startswith("transit from walk to")
    assert {c["title"] for c in clips} == set(opened.pairs["text"])
    for clip in clips:
        (k,) = [n for n, name in enumerate(opened.clips["clip_id"].tolist()) if f" {name} ·" in clip["about"]]
        shown = np.frombuffer(base64.b64decode(clip["people"][0]["data"]), dtype="<i2").reshape(-1, 17, 3) / 1000
        true = opened.clip_frames(k)
        shift = (true - shown).reshape(-1, 3)
        np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1.01e-3)
        assert shift[0, 2] == pytest.approx(0, abs=1e-3)
        side = camera_matrix("side", opened.clips["heading"][k])
        np.testing.assert_allclose(clip["flats"][1]["camera"], side, atol=1e-6)
    assert [round(x["from"]) for x in clips[0]["labels"]] == [0, 25, 40]


def test_one_clip_a_label_and_no_more_than_asked(tmp_path: Path) -> None:
    opened = ShardSet(make_shards(tmp_path / "s", texts=[f"action {k}" for k in range(12)]))
    rows = sample_clips(opened, 8)
    texts = [opened.pairs["text"][r] for r in rows]
    assert len(set(texts)) == len(texts) == 8
    assert texts[0].startswith("transit from")


def test_a_long_clip_is_cut_and_says_of_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actionpose.report.facts.MAX_CLIP_FRAMES", 20)
    clip = viewer_clip(ShardSet(make_shards(tmp_path / "s")), 0)
    assert len(clip) == 20
    assert "20 frames (the first 20 of 60)" in clip.about


# --- runs -------------------------------------------------------------------------------------


def test_the_table_is_there_as_data(report: tuple[Any, str]) -> None:
    summary = report[0]
    assert [(r.run, r.pretrained, r.mpjpe_mm, r.p_mpjpe_mm, r.seed) for r in summary.results] == [
        ("pretrain", None, 99.0, 89.0, 3),
        ("tuned", True, 60.0, 50.0, 3),
        ("scratch", False, 72.0, 62.0, 3),
    ]
    (gain,) = summary.gains
    assert gain.change_mm == pytest.approx(-12.0)
    (found,) = summary.retrieval
    assert found.recall == {1: 25.0, 5: 50.0, 10: 75.0}
    assert found.chance_recall == {1: 2.5, 5: 12.5, 10: 25.0}
    assert found.chance_median_rank == 20.5


def test_the_plain_text_table_tells_both_errors_retrieval_chance_and_the_caveat(report: tuple[Any, str]) -> None:
    text = summary_text(report[0])
    assert re.search(r"tuned +finetune +with +60\.0 +50\.0 +500 +3 +h36m-b", text)
    assert re.search(r"scratch +finetune +without +72\.0 +62\.0 +500 +3 +h36m-b", text)
    assert "12.0 mm lower (60.0 against 72.0 mm, −16.7 %)" in text
    assert re.search(r"pretrain .* 25\.0 +50\.0 +75\.0 +4 +40 +3", text)
    assert re.search(r"by chance +2\.5 +12\.5 +25\.0 +20\.5", text)
    assert "say nothing about the published ones" in text


def test_the_caveat_can_be_left_out_for_real_data(shards: Path, runs: list[Path], tmp_path: Path) -> None:
    summary = build_report(shards, runs, tmp_path / "r.html", "t", demo=False)
    assert "say nothing about" not in (tmp_path / "r.html").read_text() + summary_text(summary)


def test_missing_files_are_reported_and_an_incomplete_last_line_is_not(
    runs: list[Path], report: tuple[Any, str]
) -> None:
    assert read_run(runs[1]).notes == ()
    assert any("gone: the run folder" in note for note in report[0].notes)
    assert "gone is not there" in report[1]


def test_a_young_run_and_an_empty_one_are_no_errors(tmp_path: Path, shards: Path) -> None:
    (tmp_path / "empty").mkdir()
    young = write_run(tmp_path / "young")
    summary = build_report(shards, [tmp_path / "empty", young], tmp_path / "r.html", "t")
    assert "young: not evaluated yet" in summary.notes
    assert "empty: log.jsonl is not there" in summary.notes
    assert "No run was evaluated yet" in summary_text(summary)


def test_damage_inside_a_log_is_named_and_what_comes_before_it_is_drawn(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", results=[])
    lines = (run / "log.jsonl").read_text().splitlines()
    (run / "log.jsonl").write_text("\n".join([lines[0], "{torn", *lines[1:]]))
    (note,) = read_run(run).notes
    assert "log.jsonl: line 2 is not JSON" in note
    assert note.endswith("what follows it is left out")
    assert set(read_run(run).curves()) == {"total", "3d", "lr"}


def test_a_result_that_lacks_something_is_named_and_the_others_are_shown(tmp_path: Path) -> None:
    short = result(50.0)
    del short["frames"]
    run = read_run(write_run(tmp_path / "r", results=[short, result(60.0)]))
    assert run.notes == ("results.jsonl: line 1 is left out: it lacks frames",)
    assert [row.mpjpe_mm for row in run.results] == [60.0]


def test_curves_hold_every_loss_and_a_gap_where_it_was_not_finite(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", results=[])
    with open(run / "log.jsonl", "w") as log:
        for step, loss in enumerate((2.0, None, 1.0)):
            log.write(json.dumps({"step": step, "lr": 0.1, "losses": {"total": loss}}) + "\n")
    curves = read_run(run).curves()
    assert set(curves) == {"total", "lr"}
    np.testing.assert_array_equal(curves["total"][1], [2.0, np.nan, 1.0])
    drawn = line_chart([Series(name="a", colour=0, steps=[0, 1, 2], values=curves["total"][1])], x_label="", label="")
    assert re.search(r'd="M[\d. ]+ M[\d. ]+"', drawn)


def test_the_validation_error_is_a_curve_of_its_own(tmp_path: Path) -> None:
    curves = read_run(write_run(tmp_path / "r", results=[])).curves()
    assert curves["validation MPJPE, mm"] == ([20.0], [80.0])
    assert set(curves) == {"validation MPJPE, mm", "total", "3d", "lr"}


def test_a_blind_draw_has_a_median_rank_only_where_one_item_is_right(tmp_path: Path) -> None:
    chance = {"r1": 9.0, "r5": 40.0, "r10": 60.0}
    several = {"r1": 30.0, "r5": 50.0, "r10": 70.0, "chance": chance, "median_rank": 2, "candidates": 40}
    lines = [result(60.0, retrieval={"text_to_motion": several})]
    (row,) = read_run(write_run(tmp_path / "r", results=lines)).retrieval
    assert (row.median_rank, row.chance_recall[1], row.chance_median_rank) == (2, 9.0, None)


def test_curves_stand_in_the_order_of_the_objective(report: tuple[Any, str]) -> None:
    titles = re.findall(r"<figure><h3>([^<]+)</h3><svg", report[1])
    assert [title.partition(",")[0].partition(" (")[0] for title in titles] == [
        "total loss", "3D position loss", "validation MPJPE", "learning rate", "Clip lengths",
    ]  # fmt: skip


def test_runs_on_other_data_or_protocols_are_never_compared(tmp_path: Path) -> None:
    same = read_run(write_run(tmp_path / "a", results=[result(50)], init="x")).results
    changes: tuple[dict[str, Any], ...] = (
        {"fingerprint": "other"}, {"protocol": "3dhp"}, {"frames": 7}, {"split": "test"},
        {"windowing": "chunks"}, {"clip_frames": 27}, {"source_2d": "gt"},
    )  # fmt: skip
    for k, change in enumerate(changes):
        other = read_run(write_run(tmp_path / f"b{k}", results=[result(70, **change)], init="")).results
        assert pretraining_gains([*same, *other]) == []


def test_a_pretraining_run_and_baselines_are_shown_but_not_compared(tmp_path: Path, shards: Path) -> None:
    baselines = {"mean_pose": {"mpjpe_mm": 130.0, "p_mpjpe_mm": 90.0}}
    runs = [
        write_run(tmp_path / "p", results=[result(40, pretrained=False, trained_by="pretrain")], command="pretrain"),
        write_run(tmp_path / "a", results=[result(60, pretrained=True, baselines=baselines)]),
        write_run(tmp_path / "b", results=[result(70, pretrained=False, baselines=baselines)]),
    ]
    summary = build_report(shards, runs, tmp_path / "r.html", "t")
    (gain,) = summary.gains
    assert (gain.with_mm, gain.without_mm) == (60, 70)
    assert [(r.run, r.stage, r.mpjpe_mm) for r in summary.results][2:] == [
        ("b", "finetune", 70.0),
        ("mean pose", "baseline", 130.0),
    ]


def seeds_of(tmp_path: Path, *runs: tuple[float, int, str]) -> list[Any]:
    rows = []
    for k, (mm, seed, init) in enumerate(runs):
        rows += read_run(write_run(tmp_path / str(k), results=[result(mm, seed=seed)], init=init)).results
    return rows


def test_runs_are_compared_seed_by_seed(tmp_path: Path) -> None:
    # Seed 2 is easy for both sides, and seed 9 has no partner.
    rows = seeds_of(tmp_path, (50, 1, "x"), (22, 2, "x"), (90, 9, "x"), (60, 1, ""), (30, 2, ""))
    (gain,) = pretraining_gains(rows)
    assert gain.paired == Change(
        seeds=(1, 2), mean=-9.0, spread=pytest.approx(2**0.5), margin=pytest.approx(12.706, abs=0.01), lower=2
    )
    assert (gain.with_mm, gain.without_mm, gain.change_mm) == (36, 45, -9)
    assert "paired over 2 seeds, standard deviation 1.4 mm, lower in 2" in gain_sentence(gain)


def test_runs_that_share_no_seed_are_averaged_and_reported_as_unpaired(tmp_path: Path) -> None:
    (gain,) = pretraining_gains(seeds_of(tmp_path, (50, 1, "x"), (54, 2, "x"), (70, 3, "")))
    assert (gain.with_mm, gain.without_mm, gain.runs_with, gain.runs_without) == (52, 70, 2, 1)
    assert gain.paired.seeds == ()
    assert "share no seed, so nothing is paired" in gain_sentence(gain)


# --- drawing ----------------------------------------------------------------------------------


def test_ticks_are_round_and_cover_the_range() -> None:
    assert nice_ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert nice_ticks(0, 0.037)[-1] >= 0.037
    wide = Axis(low=0.01, high=30, start=0, stop=10, log=True)
    assert wide.ticks() == pytest.approx([0.01, 0.1, 1.0, 10.0])
    assert wide(0.01) == 0
    assert wide(30) == pytest.approx(10)
    assert Axis(low=0, high=2, start=0, stop=1, whole=True).ticks() == [0, 1, 2]


@pytest.mark.parametrize(
    ("value", "word"),
    [(0, "0"), (1234567, "1,234,567"), (0.5, "0.5"), (12.345, "12.3"), (1234.5, "1,234"), (0.0123, "0.0123")],
)
def test_numbers_are_written_for_people(value: float, word: str) -> None:
    assert number(value) == word


def test_bars_are_as_long_as_their_share() -> None:
    drawn = bar_rows([Bar(label="a", count=4), Bar(label="b", count=1, mark=True)])
    assert 'class="bar" width="100.00%"' in drawn
    assert 'class="bar second" width="25.00%"' in drawn


def test_a_histogram_counts_every_clip_once() -> None:
    lengths = np.array([1, 15, 15, 243, 243, 243, 250])
    drawn = histogram(lengths, x_label="frames", label="lengths", mark=243, mark_text="243")
    assert sum(int(n) for n in re.findall(r"<title>[\d–]+: (\d+)</title>", drawn)) == len(lengths)
    assert "<title>240–249: 3</title>" in drawn


def test_long_curves_are_thinned_but_keep_their_mean() -> None:
    values = np.linspace(3, 1, 5000)
    drawn = line_chart([Series(name="a", colour=0, steps=range(5000), values=values)], x_label="s", label="l")
    assert drawn.count("L") <= 300


def test_no_run_has_the_colour_of_a_side_of_the_body():
    css = (ROOT / "actionpose" / "picture" / "assets" / "page.css").read_text(encoding="utf-8")
    found = re.findall(r"--(\w+): #(\w{6})", css)
    for theme in (found[: len(found) // 2], found[len(found) // 2 :]):  # light, dark
        colours = {name: np.array([int(code[k : k + 2], 16) for k in (0, 2, 4)]) for name, code in theme}
        runs = [name for name in colours if re.fullmatch(r"s\d", name)]
        assert len(runs) == 6
        for run in runs:
            for side in ("left", "right"):
                assert np.linalg.norm(colours[run] - colours[side]) > 60, (run, side)
