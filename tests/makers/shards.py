"""Small shards for the training tests: a swinging figure whose label says how it swings. No pipeline needed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from actionpose.geometry import facing_heading
from actionpose.schema import COLUMNS, Summary, VideoFacts
from actionpose.shards import ShardSet, write_index, write_shard

# A standing figure, metres, z up, facing -y: the person's left is +x.
REST = np.array(
    [
        [0, 0, 0.95], [-0.13, 0, 0.93], [-0.13, 0, 0.5], [-0.13, 0, 0.08], [0.13, 0, 0.93], [0.13, 0, 0.5],
        [0.13, 0, 0.08], [0, 0.02, 1.2], [0, 0, 1.45], [0, -0.08, 1.55], [0, -0.02, 1.68], [0.17, 0, 1.42],
        [0.2, 0, 1.15], [0.22, -0.02, 0.9], [-0.17, 0, 1.42], [-0.2, 0, 1.15], [-0.22, -0.02, 0.9],
    ]
)  # fmt: skip

# label → (joints that swing, direction, metres, turns a second)
ACTIONS = {
    "wave left hand": ((12, 13), (0.1, -0.2, 0.6), 1.0, 1.3),
    "wave right hand": ((15, 16), (-0.1, -0.2, 0.6), 1.0, 1.3),
    "walk": ((2, 3, 5, 6), (0, 0.3, 0.05), 0.8, 1.0),
    "bow": ((8, 9, 10, 11, 14), (0, -0.5, -0.3), 0.6, 0.4),
    "squat": ((0, 1, 4, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16), (0, 0.1, -0.4), 0.7, 0.5),
    "kick": ((2, 3), (0, -0.6, 0.4), 0.9, 0.7),
    "stretch": ((12, 13, 15, 16), (0, 0, 0.7), 1.0, 0.2),
    "nod": ((9, 10), (0, -0.1, -0.05), 1.0, 1.5),
}


def frames_of(label: str, frames: int, rng: np.random.Generator, turned: float = 0.0) -> np.ndarray:
    """(frames, 17, 3) float32 metres, world frame."""
    joints, direction, size, rate = ACTIONS[label]
    phase = np.sin(2 * np.pi * (rate * np.arange(frames) / 30 + rng.random()))
    pose = np.repeat(REST[None] * rng.uniform(0.9, 1.1), frames, axis=0)
    pose[:, joints] += 0.5 * size * (1 + phase)[:, None, None] * np.asarray(direction)
    pose += np.cumsum(rng.normal(0, 0.002, size=(frames, 1, 3)), axis=0)
    c, s = np.cos(turned), np.sin(turned)
    return (pose @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])).astype(np.float32)


def write_counted(folder: Path, rows: list[dict], **about: object) -> None:
    """Write the index of these shards, with the counts of their own tables as its summary."""
    about |= {"shards": rows, "provenance": {}, "licence": "none"}
    write_index(folder, summary=Summary(), **about)
    found = ShardSet(folder, spans=False)  # tests write slips too
    counts = Summary(
        motions=len(found.motions["start"]), clips=len(found.clips["start"]), pairs=len(found.pairs["text"]),
        frames=int((found.motions["stop"] - found.motions["start"]).sum()),
        labels=Counter(found.pairs["text"].tolist()), kinds=Counter(found.pairs["kind"].tolist()),
    )  # fmt: skip
    write_index(folder, summary=counts, **about)


def make_shards(
    folder: Path,
    lengths: tuple[int, ...] = (20, 33, 47, 60, 26, 41, 55, 18),
    *,
    repeats: int = 1,
    splits: tuple[str, ...] = ("train",),
    seed: int = 0,
) -> Path:
    """Write one shard for each split; each motion is one clip with one pair, subjects s0, s1, s2 in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [_one(folder, split, lengths, repeats, seed + number) for number, split in enumerate(splits)]
    write_counted(folder, rows, kind="motion-text", fps=30.0, views=("front", "side"))
    return folder


def _one(folder: Path, split: str, lengths: tuple[int, ...], repeats: int, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    tables = {name: {column: [] for column in columns} for name, columns in COLUMNS.items()}
    arrays, start = [], 0
    labels = list(ACTIONS)
    for number, length in enumerate(lengths * repeats):
        label = labels[number % len(labels)]
        pose = frames_of(label, length, rng, turned=rng.uniform(-3, 3))
        heading = facing_heading(pose.astype(np.float64))[0]
        motion = {
            "motion_id": f"{split}{number}", "dataset": "Swing", "subject": f"s{number % 3}", "split": split,
            "source": "made", "action": label, "fps_stored": 30.0, "fps_true": 30.0, "start": start,
            "stop": start + length, "heading": heading, "extra": {},
        }  # fmt: skip
        clip = {
            "clip_id": f"c{number}", "motion": number, "kind": "segment", "start": 0, "stop": length,
            "gap_start": 0, "gap_stop": 0, "heading": heading,
        }  # fmt: skip
        pair = {
            "pair_id": f"p{number}", "clip": number, "kind": "segment", "text": label, "raw": label, "text_a": "",
            "text_b": "", "border_a": 0, "border_b": 0, "act_cat": [label.split()[0]], "concurrent": [],
            "babel_sid": str(number), "seg_ids": [],
        }  # fmt: skip
        for name, row in (("motions", motion), ("clips", clip), ("pairs", pair)):
            for column, value in row.items():
                tables[name][column].append(value)
        arrays.append(pose)
        start += length
    return write_shard(folder / f"{split}-00000.h5", tables=tables, pose3d=arrays)


def edit(folder: Path, split: str = "train", **changes: object) -> Path:
    """Write the shard again with other table values: `table__column=[...]`."""
    import h5py

    from actionpose.shards import read_index

    index = read_index(folder)
    path = folder / f"{split}-00000.h5"
    with h5py.File(path) as file:
        tables = {}
        for name, columns in COLUMNS.items():
            tables[name] = {}
            for column, kind in columns.items():
                data = file[name][column]
                values = list(data[:]) if kind in (int, float) else list(data.asstr()[:])
                if kind in (list, dict):
                    import json

                    values = [json.loads(v) for v in values]
                tables[name][column] = values
        pose = file["pose3d"][:]
    for key, values in changes.items():
        table, _, column = key.partition("__")
        tables[table][column] = values
    parts = [pose[a:b] for a, b in zip(tables["motions"]["start"], tables["motions"]["stop"], strict=True)]
    row = write_shard(path, tables=tables, pose3d=parts)
    rows = [row if old["file"] == row["file"] else old for old in index["shards"]]
    write_counted(folder, rows, kind=index["kind"], fps=index["fps"], views=index["views"])
    return folder


# --- benchmarks -------------------------------------------------------------------------------

H36M_ACTIONS = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Posing", "Purchases", "Sitting", "SittingDown",
    "Smoking", "TakingPhoto", "Waiting", "Walking", "WalkingDog", "WalkTogether",
)  # fmt: skip

FACTS = VideoFacts(
    unit_mm=2000.0, unit_from="stored", protocols=("h36m-b",), target="image-2.5d", source_2d="sh", width=1000,
    height=1002, camera="54138969",
)  # fmt: skip
"""What a video states that has nothing special about it."""

BENCHMARKS = {
    "h36m-b": {"target": "image-2.5d", "source_2d": "sh", "unit_from": "stored", "width": 1000, "height": 1002},
    "h36m-a": {"target": "camera", "source_2d": "cpn", "unit_from": "constant", "width": 1000, "height": 1002},
    "3dhp": {"target": "universal", "source_2d": "gt", "unit_from": "constant", "width": 2048, "height": 2048},
}
"""Protocol → what its shards say of every video."""

VALID = {"TS1": [[3, 10], [20, 21]], "TS2": [[0, 5]], "TS5": [[30, 44]]}
"""Runs of frames to score in made-up test sequences of MPI-INF-3DHP."""


def benchmark_video(protocol: str, number: int, frames: int, split: str = "test") -> dict:
    """One made-up video as a benchmark's reader would hand it over."""
    about = dict(BENCHMARKS[protocol])
    unit: float | list[float] = 2250.0
    if protocol == "3dhp":
        name = f"TS{number + 1}"
        subject, action, dataset, fps = name, "", "MPI-INF-3DHP", 25.0
        unit = 1024.0
        about |= {"width": 1920, "height": 1080, "legacy_unit_mm": 960.0} if name in ("TS5", "TS6") else {}
        if name in VALID:
            about["valid"] = VALID[name]
    else:
        subject, dataset, fps = ("S9", "S11")[number // 15 % 2], "Human3.6M", 50.0
        action = H36M_ACTIONS[number % 15]
        name = f"s_{int(subject[1:]):02d}_act_{number % 15 + 2:02d}_subact_01_ca_01"
        if protocol == "h36m-b":
            unit = [2200.0 + number + 0.5 * k for k in range(frames)]
    if split == "train":
        subject, name = "S1", f"train_{name}"
    return {
        "motion_id": f"{'3dhp' if protocol == '3dhp' else 'h36m'}/{name}", "dataset": dataset, "subject": subject,
        "split": split, "source": "made", "action": action, "fps_stored": fps, "fps_true": fps, "heading": 0.0,
        "extra": {**about, "camera": "0", "unit_mm": unit, "protocols": [protocol]}, "frames": frames,
    }  # fmt: skip


def write_benchmark_shards(folder: Path, videos: list[dict], seed: int = 0) -> Path:
    """Shards of kind `benchmark` with these videos, one file for each split; 2D is the pose's own x and y."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rows = []
    for split in dict.fromkeys(video["split"] for video in videos):
        chosen = [video for video in videos if video["split"] == split]
        tables = {name: {column: [] for column in columns} for name, columns in COLUMNS.items()}
        pose3d, start = [], 0
        for number, video in enumerate(chosen):
            frames = video["frames"]
            metres = frames_of(list(ACTIONS)[number % len(ACTIONS)], frames, rng)
            unit = np.asarray(video["extra"]["unit_mm"])
            camera = np.stack([metres[..., 0], -metres[..., 2], metres[..., 1]], axis=-1) * 1000.0
            # Whole millimetres: with a unit of 1024 they and their sums are exact in float32.
            pose3d.append((np.rint(camera) / np.reshape(unit, (-1, 1, 1))).astype(np.float32))
            for column in COLUMNS["motions"]:
                place = {"start": start, "stop": start + frames}
                tables["motions"][column].append(place.get(column, video.get(column)))
            start += frames
        pose2d = [np.concatenate([p[..., :2], np.ones_like(p[..., :1])], axis=-1) for p in pose3d]
        rows.append(write_shard(folder / f"{split}-00000.h5", tables=tables, pose3d=pose3d, pose2d=pose2d))
    fps = videos[0]["fps_true"]
    write_counted(folder, rows, kind="benchmark", fps=fps, views=())
    return folder


def make_benchmark(
    folder: Path, protocol: str = "h36m-b", lengths: tuple[int, ...] | None = None, *, train: int = 0
) -> Path:
    """Made-up test videos of a benchmark, and `train` videos of 40 frames to learn from."""
    lengths = lengths or ((48, 40, 36, 33, 50, 34) if protocol == "3dhp" else (40, 33, 50, 32, 70) * 6)
    videos = [benchmark_video(protocol, number, frames) for number, frames in enumerate(lengths)]
    videos += [benchmark_video(protocol, number, 40, split="train") for number in range(train)]
    return write_benchmark_shards(folder, videos)


# --- settings ---------------------------------------------------------------------------------

TINY = (
    "pose.dim_feat=16", "pose.dim_rep=16", "pose.depth=2", "pose.heads=2", "pose.max_frames=32", "pose.middle=1",
    "data.clip_frames=32", "data.stride=16", "pooling.dim=16", "text.layers=1", "text.pooling=mean",
    "loss.negatives=4", "pretrain.batch=8", "finetune.batch=8", "run.log_every=1", "run.device=cpu",
)  # fmt: skip
"""Settings for a model that takes a step in milliseconds."""


def tiny(*more: str, text: Path | None = None) -> list[str]:
    """`-o` values for a tiny run; later ones win."""
    return [*TINY, *([f"text.model={text}"] if text else []), *more]


def options(values: list[str]) -> list[str]:
    """The same as command line arguments."""
    return [part for value in values for part in ("-o", value)]
