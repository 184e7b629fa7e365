"""What the tests of `ap-data doctor` share: the command as a report, and worlds that may be damaged."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from cli.data import main
from tests.makers.worlds import World

WEB_PAGE = "<!DOCTYPE html><html><body>Please sign in</body></html>"


@dataclass(frozen=True)
class Report:
    """What the command said."""

    status: int
    data: dict[str, Any]
    last: str

    def item(self, name: str) -> dict[str, Any]:
        found = [item for item in self.data["items"] if item["item"] == name]
        assert len(found) == 1, f"{name}: {[item['item'] for item in self.data['items']]}"
        return found[0]

    def expect(self, name: str, verdict: str, text: str, action: str = "") -> dict[str, Any]:
        item = self.item(name)
        assert item["verdict"] == verdict, item
        assert text in item["message"]
        assert action in item["action"]
        assert bool(item["action"]) == (verdict != "ok"), "every trouble has one action, and nothing else has"
        return item["details"]

    @property
    def names(self) -> set[str]:
        return {item["item"] for item in self.data["items"]}


def doctor(*args: object) -> Report:
    done = CliRunner().invoke(main, ["doctor", *map(str, args), "--format", "json"])
    assert done.exit_code in (0, 1), done.output
    report = Report(done.exit_code, json.loads(done.stdout), done.stderr.splitlines()[-1])
    stops = any(item["verdict"] in ("wrong", "missing") for item in report.data["items"])
    assert (report.status == 1) == stops, "the exit status is the verdicts in short"
    return report


def screen(*args: object) -> str:
    return CliRunner().invoke(main, ["doctor", *map(str, args)]).output


def copied(world: World, folder: Path) -> Path:
    """A copy of the world that a test may damage; files that stay intact are linked."""
    shutil.copytree(world.root, folder, copy_function=os.link)
    return folder


def inputs(root: Path) -> list[object]:
    named = {"amass": "amass", "babel": "babel", "body": "body", "regressor": "regressor.npy"}
    return [word for name, place in named.items() for word in (f"--{name}", root / place)]


def replace(path: Path, content: bytes | str) -> None:
    path.unlink(missing_ok=True)  # the file is a link to one that others need
    path.write_bytes(content.encode() if isinstance(content, str) else content)


ONLY_TRAIN = ["-o", 'pairs.splits=["train"]']


def babel(folder: Path, **entries: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "val"):
        (folder / f"{split}.json").write_text(json.dumps(entries.get(split, {})))
    return folder
