"""The stages in order and who feeds whom: build up to a target, or say what is current and why not."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from actionpose.files import PARTIAL, write_text
from actionpose.shards import check_place
from pipeline.config import DataConfig, RunOptions
from pipeline.engine.item import Item
from pipeline.engine.journal import locked
from pipeline.engine.manifest import KeypointRow, MotionRow, read_rows
from pipeline.engine.runner import Runner
from pipeline.engine.stage import Stage, StageResult, published, run_stage, why_stale
from pipeline.pack.motions import finish_folder, pack_items, pack_stage
from pipeline.stages.copies import copies_items, copies_stage
from pipeline.stages.index import index_items, index_stage, still_the_same, times_of
from pipeline.stages.inputs import check_inputs, open_inputs
from pipeline.stages.keypoints import keypoint_items, keypoints_stage
from pipeline.stages.pairs import pair_items, pairs_stage
from pipeline.stages.project import project_items, project_stage

log = logging.getLogger("ap-data")

STAGES = ("index", "keypoints", "pairs", "project-2d", "copies", "pack")

NEEDS: dict[str, tuple[str, ...]] = {
    "index": ("amass",),
    "keypoints": ("amass", "body", "regressor"),
    "pairs": ("amass", "babel"),
    "project-2d": ("amass", "babel", "body", "regressor"),
    "copies": ("amass", "babel", "body", "regressor"),
    "pack": ("amass", "babel", "body", "regressor"),
}
"""Target → the inputs it needs."""

FEEDS: dict[str, tuple[str, ...]] = {
    "index": (),
    "keypoints": ("index",),
    "pairs": ("index",),
    "project-2d": ("index", "keypoints", "pairs"),
    "copies": ("index", "keypoints", "pairs"),
    "pack": ("index", "keypoints", "pairs", "project-2d", "copies"),
}
"""Target → the stages before it."""


@dataclass(frozen=True, kw_only=True)
class StageStatus:
    """What `ap-data status` says of one stage."""

    stage: str
    state: str
    folder: Path
    why: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)


class Build:
    """One build: settings, the folder of the stages (`work`) and of the shards (`out`)."""

    def __init__(self, config: DataConfig, work: Path, out: Path, options: RunOptions | None = None) -> None:
        self.config, self.work, self.out = config, work, out
        self.options = options or RunOptions()
        self.results: dict[str, StageResult] = {}

    # --- doing it -----------------------------------------------------------------------------

    def run(self, target: str = "pack") -> dict[str, StageResult]:
        """Bring the target and everything before it up to date.

        Raises:
            UserError: an input is missing, the place of the shards holds something else, a stage gives up.
        """
        self.open_inputs(target)
        with Runner(self.options) as runner:
            for name in (*FEEDS[target], target):
                self.results[name] = self._run_stage(name, runner)
        return self.results

    def open_inputs(self, target: str = "pack") -> None:
        """Look into the inputs that the target needs, and at the place of the shards, before any long work.

        Raises:
            UserError: one is missing or cannot be used, or the place holds something else.
        """
        check_inputs(self.config, NEEDS[target], target)
        open_inputs(self.config, NEEDS[target])
        if target == "pack":
            check_place(self.out)

    def _run_stage(self, name: str, runner: Runner) -> StageResult:
        """Run one stage; the memory it needed is free when this returns."""
        stage, items, context = self._prepared(name)
        if name == "index":
            self._look_again(stage, items)
        place: dict[str, Any] = {}
        if name == "pack":
            place = {"final": self.out, "finish": partial(finish_folder, stages=self.results, config=self.config)}
        return run_stage(stage, items, context, self.work, runner, **place)

    def _look_again(self, stage: Stage, items: list[Item]) -> None:
        """Start the index afresh where files changed that have the size they had.

        Fingerprints know no times: a copy of a folder is current. So where times differ from those of the last build,
        contents are compared.
        """
        folder = stage.folder(self.work)
        seen, now = self.work / f".{folder.name}.seen", times_of(items)
        if seen.is_file() and seen.read_text(encoding="utf-8") != now:
            result = published(stage, folder)
            if result is None or not still_the_same(items, result, Path(self.config.inputs.amass)):
                unfinished = folder.with_name(folder.name + PARTIAL)
                with locked(unfinished):
                    shutil.rmtree(folder, ignore_errors=True)
                    shutil.rmtree(unfinished, ignore_errors=True)
        write_text(seen, now)

    def status(self) -> list[StageStatus]:
        """Each stage: `current`, `stale`, `half done` or `missing`, and why. Touches nothing.

        A stage whose input is not current is `waiting`: what it would be cannot be known yet.
        """
        check_inputs(self.config, NEEDS["pack"], "build-babel")
        rows: list[StageStatus] = []
        for name in STAGES:
            if any(before not in self.results for before in FEEDS[name]):
                rows.append(StageStatus(stage=name, state="waiting", folder=self.work, why=["an earlier stage first"]))
                continue
            rows.append(self._status_of(name))
        return rows

    def _status_of(self, name: str) -> StageStatus:
        stage, _, _ = self._prepared(name)
        place = self.out if name == "pack" else None
        folder = place or stage.folder(self.work)
        result = published(stage, folder)
        if result is not None:
            self.results[name] = result
            rows = {table: entry["rows"] for table, entry in result.meta["tables"].items()}
            return StageStatus(stage=name, state="current", folder=folder, rows=rows)
        why = why_stale(stage, self.work, place)
        state = {"not built yet": "missing"}.get(why[0], "half done" if why[0].startswith("half") else "stale")
        return StageStatus(stage=name, state=state, folder=folder, why=why)

    # --- how each stage is prepared -----------------------------------------------------------

    def _prepared(self, name: str) -> tuple[Stage, list[Item], Any]:
        """The stage, its items and its context, from the results of the stages before it."""
        config = self.config
        if name == "index":
            items = index_items(Path(config.inputs.amass))
            stage, context = index_stage(config, items)
            return stage, items, context
        index = self.results["index"]
        if name == "keypoints":
            stage, context = keypoints_stage(config, read_rows(index.table("motions"), MotionRow), index.content)
            return stage, keypoint_items(read_rows(index.table("motions"), MotionRow)), context
        if name == "pairs":
            items = pair_items(Path(config.inputs.babel), config)
            stage, context = pairs_stage(config, items, read_rows(index.table("motions"), MotionRow), index.content)
            return stage, items, context
        if name == "project-2d":
            keypoints, labels = self.results["keypoints"], self.results["pairs"]
            clips = labels.table("clips")
            stage, context = project_stage(config, keypoints.folder, keypoints.content, clips, labels.content)
            return stage, project_items(read_rows(keypoints.table("keypoints"), KeypointRow)), context
        if name == "copies":
            stage, context = copies_stage(index, self.results["keypoints"], self.results["pairs"])
            return stage, copies_items(), context
        stage, context = pack_stage(config, self.results)
        return stage, pack_items(self.results, config), context

    @property
    def failures(self) -> dict[str, dict[str, int]]:
        """Stage → reason → number of items, for stages that had failures."""
        return {name: result.failures for name, result in self.results.items() if result.failures}
