"""Which action, when: over time, among labels, and in search; and where the text branch comes from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from actionpose.errors import UserError
from actionpose.lift.actions import Embedded, embed, name_actions, open_with_heads, read_labels, search
from actionpose.lift.compare import compare
from actionpose.lift.run import read
from actionpose.lift.source import open_model
from actionpose.lift.understand import LiftOptions
from benchmarks import detector_files as files
from cli.lift import main
from tests.makers.bert import write_tiny_bert
from tests.makers.filmed import camera_pose, filmed, untrained_run

LABELS = ["walk", "sit down", "wave"]


class Texts(SimpleNamespace):
    """A stand-in for a model whose labels are the axes of the shared space."""

    temperature = 0.1

    @property
    def model(self) -> SimpleNamespace:
        return SimpleNamespace(embed_text=lambda texts: torch.eye(3)[[LABELS.index(t) for t in texts]])


def clip(labels: list[int], *, person: int = 0, name: str = "a.npz") -> Embedded:
    """Windows of two seconds, one beginning every half second, each of which shows one label."""
    start = 0.5 * np.arange(len(labels))
    return Embedded(source=name, features=np.eye(3)[labels], person=np.full(len(labels), person), start_s=start,
                    end_s=start + 2.0, ready=None)  # type: ignore[arg-type]  # fmt: skip


def test_actions_are_named_over_time():
    rows = name_actions(clip([0] * 9 + [2] * 9), Texts(), LABELS)
    assert [row["label"] for row in rows] == ["walk", "wave"]
    assert rows[0]["start_s"] == 0
    assert rows[0]["end_s"] == rows[1]["start_s"] == pytest.approx(5.25, abs=0.4)
    assert rows[1]["end_s"] == pytest.approx(10.5, abs=0.2)
    assert min(row["above_chance"] for row in rows) > 0.9


def test_above_chance_is_0_for_what_fits_no_better_than_the_rest_and_1_for_certainty():
    nothing = clip([0])
    nothing.features[:] = 1 / np.sqrt(3)
    assert name_actions(nothing, Texts(), LABELS)[0]["above_chance"] == pytest.approx(0.0, abs=1e-3)
    assert name_actions(clip([1]), Texts(), LABELS)[0]["above_chance"] == pytest.approx(1.0, abs=1e-3)


def test_people_are_named_each_by_themselves():
    both = clip([0, 0, 2, 2])
    both.person[2:] = 7
    both.start_s[2:], both.end_s[2:] = both.start_s[:2], both.end_s[:2]
    assert [(row["person"], row["label"]) for row in name_actions(both, Texts(), LABELS)] == [(0, "walk"), (7, "wave")]


def test_search_lists_moments_that_do_not_overlap_best_first():
    rows = search([clip([0, 0, 0, 0, 0, 2]), clip([1, 1, 2], name="b.npz")], Texts(), "wave", 3)
    assert [(row["rank"], row["clip"]) for row in rows[:2]] == [(1, "a.npz"), (2, "b.npz")]
    assert rows[0]["above_mean"] > 1 > rows[2]["above_mean"]
    assert all(row["score"] == 1.0 for row in rows[:2])


def test_labels_come_from_a_list_or_a_file(tmp_path: Path):
    (tmp_path / "labels.txt").write_text("walk\n# a remark\n\nsit down\n")
    assert read_labels("walk, sit down") == read_labels(str(tmp_path / "labels.txt")) == ["walk", "sit down"]
    with pytest.raises(UserError, match="a choice needs two"):
        read_labels("walk")


# --- with a model -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("pretrained")
    return untrained_run(home / "run", text=write_tiny_bert(home / "bert"))


@pytest.fixture
def keypoints(tmp_path: Path) -> Path:
    (tmp_path / "k.json").write_text(json.dumps(files.coco_results(filmed(camera_pose(60, wave=True), "coco-17"))))
    return tmp_path / "k.json"


def test_embeddings_do_not_depend_on_size_and_place(pretrained: Path):
    source = open_model(pretrained, with_text=True)
    poses = camera_pose(40, wave=True)
    one, other = (
        embed(read(filmed(poses, "coco-17", scale=s, at=at)), source, LiftOptions(fps=30, units="pixels"))
        for s, at in ((250, (640, 400)), (120, (90, 800)))
    )
    assert one.features == pytest.approx(other.features, abs=1e-3)
    assert np.linalg.norm(one.features, axis=1) == pytest.approx(np.ones(len(one.features)))


def test_the_commands_answer_in_rows(pretrained: Path, keypoints: Path, tmp_path: Path):
    done = CliRunner().invoke(main, ["actions", str(keypoints), "--model", str(pretrained), "--fps", "30",
                                     "--labels", "walk,sit down", "--format", "json"])  # fmt: skip
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert {"start_s", "end_s", "label", "score", "above_chance"} <= set(rows[0])
    assert rows[0]["start_s"] == 0.0
    assert rows[-1]["end_s"] == pytest.approx(2.0, abs=0.21)
    done = CliRunner().invoke(main, ["search", "wave", str(keypoints), "--model", str(pretrained), "--format", "json",
                                     "--embeddings", str(tmp_path / "e.npz")])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)[0]["rank"] == 1
    with np.load(tmp_path / "e.npz", allow_pickle=False) as file:
        assert len(file["features"]) == len(file["start_s"]) == len(file["clip"])


def test_a_result_knows_the_model_it_was_made_with(pretrained: Path, keypoints: Path, tmp_path: Path):
    out = tmp_path / "clip.npz"
    assert CliRunner().invoke(main, ["run", str(keypoints), "--model", str(pretrained), "-o", str(out)]).exit_code == 0
    done = CliRunner().invoke(main, ["actions", str(out), "--labels", "walk,sit down"])
    assert done.exit_code == 0, done.output
    words = ["view", str(out), "--labels", "walk,sit down", "-o", str(tmp_path / "clip.html")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    (text,) = re.findall(r'<script type="application/json">(.*?)</script>', (tmp_path / "clip.html").read_text())
    labels = json.loads(text)["clips"][0]["labels"]
    assert {label["text"] for label in labels} <= {"walk", "sit down"}
    assert (labels[0]["from"], labels[-1]["to"]) == pytest.approx((0, 60), abs=6.1)
    words = ["run", str(keypoints), "--model", str(pretrained), "-o", str(tmp_path / "again.npz")]
    done = CliRunner().invoke(main, [*words, "--labels", "walk,sit down", "--view", str(tmp_path / "at-once.html")])
    assert done.exit_code == 0, done.output
    (text,) = re.findall(r'<script type="application/json">(.*?)</script>', (tmp_path / "at-once.html").read_text())
    assert json.loads(text)["clips"][0]["labels"] == labels
    assert CliRunner().invoke(main, [*words, "--labels", "walk,sit down"]).exit_code == 2


def test_labels_are_compared_over_whole_clips():
    rows = compare([clip([0] * 6 + [2] * 2), clip([1] * 4, name="b.npz")], Texts(), LABELS)
    assert [(row["clip"], row["label"]) for row in rows] == [(name, x) for name in ("a.npz", "b.npz") for x in LABELS]
    assert [row["score"] for row in rows] == [0.75, 0.0, 0.25, 0.0, 1.0, 0.0]
    assert sum(row["probability"] for row in rows[:3]) == pytest.approx(1.0, abs=1e-3)


def test_a_comparison_is_a_picture_or_a_table(pretrained: Path, keypoints: Path, tmp_path: Path):
    words = ["actions", str(keypoints), str(keypoints), "--model", str(pretrained), "--fps", "30"]
    words += ["--labels", "walk,sit down"]
    for name in ("compared.png", "compared.csv"):
        done = CliRunner().invoke(main, [*words, "--compare", "-o", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
    assert (tmp_path / "compared.png").read_bytes()[:4] == b"\x89PNG"
    lines = (tmp_path / "compared.csv").read_text().splitlines()
    assert lines[0] == "clip,person,label,score,probability"
    assert len(lines) == 5
    assert CliRunner().invoke(main, [*words, "--compare", "-o", str(tmp_path / "c.mp4")]).exit_code == 1
    assert CliRunner().invoke(main, [*words, "-o", str(tmp_path / "c.png")]).exit_code == 2


def test_a_finetuned_encoder_takes_the_heads_of_the_run_it_came_from(pretrained: Path, tmp_path: Path):
    tuned = untrained_run(tmp_path / "tuned", seed=1, init=str(pretrained))
    source, says = open_with_heads(tuned, "cpu")
    assert str(pretrained) in says
    own = open_model(tuned).model.pose.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in source.model.pose.state_dict().items())
    assert source.model.pose_pool is not None
    lost = untrained_run(tmp_path / "lost", init="nowhere")
    with pytest.raises(UserError, match="the run nowhere it came from is not there"):
        open_with_heads(lost, "cpu")
    with pytest.raises(UserError, match="did not come from one that has"):
        open_with_heads(untrained_run(tmp_path / "alone"), "cpu")
