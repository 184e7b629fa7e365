"""A file of MPI-INF-3DHP against the published ones: sequences, cameras, frames, rates, frames to score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.mpi3dhp.files import OFFICIAL_TEST, Contents
from pipeline.sources.facts import table


def published(split: str) -> dict[str, dict[str, Any]]:
    """Video name → what is known of it: frames, and rate or valid frames."""
    return {row["name"]: row for row in table("mpi_inf_3dhp")[split]["video"]}


def differences_from_published(contents: Contents) -> Iterator[str]:
    """Where counts and rates differ from the published files; one sentence for each kind of difference."""
    known, split = published(contents.split), contents.split
    frames: dict[str, str] = {}
    rates: dict[str, str] = {}
    valid: dict[str, str] = {}
    for video in contents.videos:
        row, n = known.get(video.name), len(video.pose3d)
        if row is None:
            frames[video.name] = f"{video.name} is not one of the published sequences"
            continue
        if n != row["frames"]:
            frames.setdefault(video.name, f"{video.name} {n:,} instead of {row['frames']:,}")
        if split == "train" and video.fps and abs(video.fps - row["fps"]) > 0.01:
            rates.setdefault(video.name, f"{video.name} {video.fps:g} instead of {row['fps']:g}")
        if split == "test" and (count := int(video.scored.sum())) != row["valid"]:
            valid[video.name] = f"{video.name} {count} instead of {row['valid']}"
    yield from _difference("frames differ from the published files", frames)
    yield from _difference("rates (Hz) differ from the published files", rates)
    yield from _difference("valid frames differ from the published files", valid)
    missing = [name for name in known if name not in {video.name for video in contents.videos}]
    if missing and contents.layout != OFFICIAL_TEST:
        yield f"{len(missing)} of {len(known)} sequences are missing: {', '.join(missing)}"
    yield from _cameras(contents)


def _difference(what: str, found: dict[str, str]) -> Iterator[str]:
    if found:
        shown = list(found.values())
        yield f"{what}: {'; '.join(shown[:6])}{f'; … ({len(shown)})' if len(shown) > 6 else ''}"


def _cameras(contents: Contents) -> Iterator[str]:
    if contents.split == "test":
        return
    usual = set(table("mpi_inf_3dhp")["train"]["cameras"])
    names = sorted({video.name for video in contents.videos})
    of = {name: {video.camera for video in contents.videos if video.name == name} for name in names}
    odd = {name: ", ".join(sorted(cameras)) for name, cameras in of.items() if cameras != usual}
    if odd:
        first, cameras = next(iter(odd.items()))
        where = f"in {len(odd)} of {len(of)} sequences; {first} has {cameras}"
        yield f"cameras differ from {', '.join(sorted(usual))} {where}"
