"""A look at the soft-tissue directions, when a build would use them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from actionpose.errors import UserError
from pipeline.body.dmpls import N_DMPLS, find_dmpls, load_dmpls
from pipeline.body.smplh import GENDERS, SmplhModel
from pipeline.doctor.body import FULL_SIZE
from pipeline.doctor.finding import Finding, from_error


def look_at_dmpls(folder: str, needed: Mapping[str, int] | None, model: SmplhModel | None) -> list[Finding]:
    """Load the directions of every gender that motions need.

    Args:
        folder: as given; empty when soft tissue is on and no folder was named.
        needed: gender → motions that need it; None when the motions are not known: then all that are there.
        model: a body they are for; without one, the full size is expected.

    Returns:
        Findings `dmpls.<gender>`, or `dmpls` when none is there.
    """
    place = Path(folder).expanduser() if folder else ""
    vertices = len(model.v_template) if model is not None else FULL_SIZE
    findings: list[Finding] = []
    absent: dict[str, UserError] = {}
    for gender in GENDERS:
        try:
            find_dmpls(place, gender)
        except UserError as error:
            absent[gender] = error
            if needed is not None and needed.get(gender):
                findings.append(from_error(f"dmpls.{gender}", error, "missing"))
            continue
        try:
            soft = load_dmpls(place, gender, vertices)
        except UserError as error:
            findings.append(from_error(f"dmpls.{gender}", error))
            continue
        message = f"{N_DMPLS} soft-tissue directions, {len(soft.dirs):,} vertices"
        details = {"path": str(soft.path), "sha256": soft.sha256, "vertices": len(soft.dirs)}
        findings.append(Finding(item=f"dmpls.{gender}", verdict="ok", message=message, details=details))
    if len(absent) == len(GENDERS):
        return [from_error("dmpls", next(iter(absent.values())), "missing")]
    return findings
