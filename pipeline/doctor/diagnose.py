"""Checks of everything a build needs, by content and before anything is built: `ap-data doctor`."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import DataConfig
from pipeline.doctor.amass import AmassLook, look_at_amass
from pipeline.doctor.babel import BabelLook, look_at_babel
from pipeline.doctor.benchmarks import LOOKS
from pipeline.doctor.body import look_at_body, look_at_dmpls, look_at_regressor
from pipeline.doctor.datasets import missing_datasets
from pipeline.doctor.finding import Finding, closed_places
from pipeline.doctor.join import copies_between_splits, join, join_findings, known_datasets, wanted_datasets
from pipeline.stages.build import NEEDS

FRAME_BYTES = 17 * 3 * 4
PAIR_BYTES = 2_000
"""Clip, pair and transition rows of one pair, in manifests and shards; measured 1.4 kB."""

WHERE = {
    "amass": "AMASS, 'SMPL+H G', from amass.is.tue.mpg.de: --amass DIR",
    "babel": "babel_v1.0_release from babel.is.tue.mpg.de: --babel DIR",
    "body": "the 'Extended SMPL+H model' from mano.is.tue.mpg.de: --body DIR",
    "regressor": "J_regressor_h36m_correct.npy of Pose2Mesh or I2L-MeshNet: --regressor FILE",
}
"""Where each input comes from."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All findings, in the order of the inputs.

    `ready`: a build with these settings can run. `sound`: nothing that was given has to be fixed.
    """

    findings: tuple[Finding, ...]
    not_given: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Nothing that was given is wrong or missing."""
        return not any(finding.stops for finding in self.findings)

    @property
    def ready(self) -> bool:
        """All inputs are given, and sound."""
        return self.sound and not self.not_given

    def as_data(self) -> dict[str, Any]:
        """For `--format json`: {ready, sound, not_given, verdicts: {verdict: n}, items: [...]}."""
        items = [
            {"item": f.item, "verdict": f.verdict, "message": f.message, "action": f.action, "details": f.details}
            for f in self.findings
        ]
        verdicts = Counter(finding.verdict for finding in self.findings)
        return {
            "ready": self.ready,
            "sound": self.sound,
            "not_given": list(self.not_given),
            "verdicts": {name: verdicts[name] for name in ("ok", "warning", "wrong", "missing")},
            "items": items,
        }


def diagnose(config: DataConfig, *, out: Path, quick: bool = False, deep: bool = False) -> Diagnosis:
    """Look at every input that is given.

    Args:
        config: names the inputs, and the settings a build would have.
        out: where a build would write; free space is checked there.
        quick: read only the headers of some files per subject.
        deep: read every motion completely.
    """
    paths = {name: Path(value) for name in NEEDS["pack"] if (value := getattr(config.inputs, name))}
    findings: list[Finding] = []
    amass = babel = None
    if "amass" in paths:
        overrides = config.keypoints.rate_overrides
        with closed_places("amass", findings):
            amass = look_at_amass(paths["amass"], rate_overrides=overrides, quick=quick, deep=deep)
    if "babel" in paths:
        with closed_places("babel", findings):
            babel = look_at_babel(paths["babel"], config)
    if amass is not None:
        findings += amass.findings
        findings += _datasets(amass, babel)
    if babel is not None:
        findings += _labels(amass, babel, paths["babel"], config)
    model = None
    if "body" in paths:
        with closed_places("body", findings):
            bodies, model = look_at_body(paths["body"], _genders(amass, config))
            findings += bodies
    if "regressor" in paths:
        with closed_places("regressor", findings):
            findings.append(look_at_regressor(paths["regressor"], model))
    if config.inputs.dmpls or config.keypoints.dmpls:
        with closed_places("dmpls", findings):
            findings += look_at_dmpls(config.inputs.dmpls, _genders(amass, config), model)
    findings += _disk(amass, babel, findings, config, out)
    benchmarks = {name: Path(value) for name in LOOKS if (value := getattr(config.inputs, name))}
    for name, place in benchmarks.items():
        with closed_places(name.removeprefix("mpi_inf_"), findings):
            findings += LOOKS[name](place)
    absent = tuple(name for name in NEEDS["pack"] if name not in paths)
    if not findings:
        findings = [Finding(name, "missing", "not given", WHERE[name]) for name in absent]
    if benchmarks and not paths:
        absent = ()  # a benchmark needs no other input
    return Diagnosis(findings=tuple(findings), not_given=absent)


def _datasets(amass: AmassLook, babel: BabelLook | None) -> list[Finding]:
    if not amass.motions:
        return []
    wanted = wanted_datasets(babel.sequences) if babel is not None and babel.sequences else known_datasets()
    return [missing_datasets(amass.motions, amass.root, wanted)]


def _labels(amass: AmassLook | None, babel: BabelLook, folder: Path, config: DataConfig) -> list[Finding]:
    if amass is None or not amass.motions or not babel.usable:
        return babel.findings
    joined, drop = join(amass, babel, folder, config), config.pack.duplicates == "drop"
    # The plan from the motions that are here replaces the one from the labels alone.
    findings = [f for f in babel.findings if f.item not in ("babel.pairs", "babel.splits") or amass.unread]
    findings += join_findings(joined, amass, babel, drop=drop)
    copies = [ids for f in amass.findings if f.item == "amass.copies" for ids in f.details.get("copies", [])]
    return [*findings, *copies_between_splits(joined, copies, drop=drop)]


def _genders(amass: AmassLook | None, config: DataConfig) -> Counter[str] | None:
    """How many motions need which body; unknown when not all headers were read."""
    if amass is None or not amass.rows or amass.unread:
        return None
    genders = Counter(row.gender or config.keypoints.missing_gender for row in amass.rows)
    del genders["skip"]
    return genders


def _disk(
    amass: AmassLook | None, babel: BabelLook | None, findings: list[Finding], config: DataConfig, out: Path
) -> list[Finding]:
    """Space that stages and shards will need, and free space at their place."""
    hours = amass.hours if amass is not None and amass.motions else (babel.plan.get("hours", 0.0) if babel else 0.0)
    if not hours:
        return []
    pairs = next((f.details["pairs"] for f in findings if f.item == "babel.pairs"), 0)
    # Keypoints are stored once in their stage and once in the shards.
    need = int(2 * hours * 3600 * config.keypoints.fps * FRAME_BYTES + pairs * PAIR_BYTES)
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    message = f"a build needs about {_size(need)}, {_size(free)} are free at {place}"
    details = {"need_bytes": need, "free_bytes": free, "place": str(place)}
    if free >= 1.1 * need:
        return [Finding("disk", "ok", message, details=details)]
    action = "free some space, or build elsewhere: --out DIR on another disk"
    return [Finding("disk", "wrong", message, action, details=details)]


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"
