"""What pretraining taught a model about actions: search, naming and a linear probe over labelled clips.

The unit is a clip. Its windows and views are encoded separately, and their vectors averaged (embeddings to unit
length again), so that a long clip counts once and a gallery holds no near copies. Retrieval, naming and probe of a
split share one pass over it.

Shape suffixes: N clips, U texts, D shared features, F features, B windows, T frames, J joints, C pose features.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionpose.arrays import Floats
from actionpose.data.batches import Assembler, detector
from actionpose.data.rng import keys, uniform
from actionpose.data.samples import DataConfig, SampleTable, pair_samples
from actionpose.errors import UserError
from actionpose.evaluate.lifting import EvalConfig, to_measure
from actionpose.evaluate.probe import linear_probe
from actionpose.evaluate.retrieval import Naming, Retrieval, text_motion_retrieval, truth, zero_shot
from actionpose.evaluate.ridge import fit as fit_ridge
from actionpose.geometry import unit
from actionpose.model.action_pose import ActionPose
from actionpose.model.pose_encoder import PoseConfig
from actionpose.model.text_encoder import in_parts
from actionpose.progress import Progress
from actionpose.shards import ShardSet
from actionpose.train.runtime import RunConfig, Runtime, seed_all

Encode = Callable[[Tensor, Tensor], Tensor]
"""(pose2d (B, T, J, 3), valid (B, T)) → one row of features each, (B, F)."""


class MeasureSettings(Protocol):
    """What of a recipe decides how a model is measured."""

    @property
    def data(self) -> DataConfig:
        """Which clips there are, and how they are shown."""

    @property
    def eval(self) -> EvalConfig:
        """The split, sizes and limits."""

    @property
    def pose(self) -> PoseConfig:
        """The pose encoder, for the same one before any training."""

    @property
    def run(self) -> RunConfig:
        """The seed of that one."""


@dataclass(frozen=True, kw_only=True)
class LabelledClips:
    """Clips of one split, N of them, in the order of the shards.

    Attributes:
        table: their windows and views; each clip once, whatever the number of its texts.
        clip: (samples,) which of the N clips a sample belongs to.
        texts: all texts of each clip.
        categories: all BABEL categories (`act_cat`) of each clip; may be empty.
    """

    table: SampleTable
    clip: NDArray[np.int64]
    texts: list[list[str]]
    categories: list[list[str]]

    def __len__(self) -> int:
        return len(self.texts)


def labelled_clips(shards: ShardSet, config: DataConfig, *, limit: int = 0) -> LabelledClips:
    """The labelled clips that the filters leave; at most `limit` of them (0: all), the same ones every time.

    Raises:
        UserError: no such clips.
    """
    table = pair_samples(shards, dataclasses.replace(config, shuffle_labels=False, balance="none"))
    pairs = shards.pairs
    used = np.unique(table.pair)
    clip_of = pairs["clip"][used]
    clips = np.unique(clip_of)
    if limit and len(clips) > limit:
        # Keyed on the clip's row, not on what else is there.
        priority = uniform(keys(0, 0, torch.from_numpy(clips.astype(np.int64))), 0).numpy()
        clips = np.sort(clips[np.argsort(priority, kind="stable")[:limit]])
    texts: dict[int, dict[str, None]] = {int(clip): {} for clip in clips}
    categories: dict[int, dict[str, None]] = {int(clip): {} for clip in clips}
    first_pair: dict[int, int] = {}  # the pair whose windows represent the clip
    for clip, pair in sorted(zip(clip_of.tolist(), used.tolist(), strict=True)):
        if clip in texts:
            texts[clip][str(pairs["text"][pair])] = None
            categories[clip] |= dict.fromkeys(map(str, pairs["act_cat"][pair]))
            first_pair.setdefault(clip, pair)
    chosen = np.flatnonzero(np.isin(table.pair, list(first_pair.values())))
    number = {clip: place for place, clip in enumerate(texts)}
    of_sample = np.array([number[clip] for clip in pairs["clip"][table.pair[chosen]].tolist()], dtype=np.int64)
    return LabelledClips(
        table=_rows(table, chosen),
        clip=of_sample,
        texts=[list(of_clip) for of_clip in texts.values()],
        categories=[list(of_clip) for of_clip in categories.values()],
    )


def _rows(table: SampleTable, chosen: NDArray[np.int64]) -> SampleTable:
    columns = {field.name: getattr(table, field.name) for field in dataclasses.fields(SampleTable)}
    picked: dict[str, Any] = {name: c[chosen] for name, c in columns.items() if isinstance(c, np.ndarray)}
    return dataclasses.replace(table, **picked)


def held_out_clips(recipe: MeasureSettings, shards: ShardSet, *, limit: int = 0) -> LabelledClips:
    """Labelled clips of the split to measure on."""
    return labelled_clips(shards, to_measure(shards, recipe.data, recipe.eval), limit=limit)


# --- features ---------------------------------------------------------------------------------


def clip_features(
    encoders: Mapping[str, Encode], clips: LabelledClips, recipe: MeasureSettings, runtime: Runtime
) -> dict[str, Floats]:
    """Features (N, F) float64 of each clip under each encoder: the mean over its windows and views."""
    table = clips.table
    assemble = Assembler(table=table, detect=detector(recipe.data), augment=False)
    order = table.length.argsort(kind="stable")
    count = np.bincount(clips.clip, minlength=len(clips))[:, None]
    total: dict[str, Floats] = {}
    progress = Progress("encoding labelled clips", total=len(order), unit="window")
    with torch.inference_mode(), runtime.exact(), progress:
        for at in range(0, len(order), recipe.eval.batch):
            ids = order[at : at + recipe.eval.batch]
            progress.advance(len(ids))
            batch = runtime.move(assemble(ids, 0))
            for name, encode in encoders.items():
                rows = encode(batch["pose2d"], batch["valid"]).double().cpu().numpy()
                np.add.at(total.setdefault(name, np.zeros((len(clips), rows.shape[1]))), clips.clip[ids], rows)
    return {name: summed / count for name, summed in total.items()}


def token(model: ActionPose, *, mean: bool = False) -> Encode:
    """The frozen encoder's class token at the middle, joint by joint, as `pose_pool` reads it: (B, J·C).

    With `mean` averaged over its joints, (B, C).
    """

    def encode(pose2d_BTJ3: Tensor, valid_BT: Tensor) -> Tensor:
        read = model.pose.token(pose2d_BTJ3, valid_BT)
        return read.mean(dim=1) if mean else read.flatten(1)

    return encode


def pose_statistics(pose2d_BTJ3: Tensor, valid_BT: Tensor) -> Tensor:
    """What can be had without a network: mean, spread and mean speed of every 2D coordinate, (B, 6 J)."""
    pose = (pose2d_BTJ3[..., :2] - pose2d_BTJ3[:, :, :1, :2]).flatten(2)
    pose[:, :, :2] = pose2d_BTJ3[:, :, 0, :2]  # the root itself stays in the screen
    seen = valid_BT.unsqueeze(-1).to(pose.dtype)
    frames = seen.sum(dim=1).clamp(min=1)
    mean = (pose * seen).sum(dim=1) / frames
    spread = (((pose - mean.unsqueeze(1)) * seen).square().sum(dim=1) / frames).sqrt()
    both = seen[:, 1:] * seen[:, :-1]
    speed = (pose.diff(dim=1).abs() * both).sum(dim=1) / both.sum(dim=1).clamp(min=1)
    return torch.cat([mean, spread, speed], dim=1)


def _encoded(encode: Callable[[Sequence[str]], Tensor], texts: Sequence[str], runtime: Runtime) -> Floats:
    """Rows for distinct texts, (U, D); by `model.embed_text`, or by `model.text` in front of its head."""
    with torch.inference_mode(), runtime.exact():
        return torch.cat([encode(part) for part in in_parts(texts)]).double().cpu().numpy()


# --- what is reported -------------------------------------------------------------------------


def what_it_learned(model: ActionPose, recipe: MeasureSettings, shards: ShardSet, runtime: Runtime) -> dict[str, Any]:
    """Everything there is to say after training.

    `retrieval` and `zero_shot` (models with text), `ridge` (the same search without training a network; where there
    are clips to learn it from) and `probe`.

    Args:
        model: in evaluation mode.
        recipe: whose `eval` and `data` say what is measured.
        shards: with texts.
        runtime: where to compute.
    """
    clips = held_out_clips(recipe, shards)
    found = aligned(model, clips, recipe, runtime) if model.text is not None else {}
    probing = bool(recipe.eval.probe_categories and recipe.pose.class_token)
    if model.text is None and not probing:
        return found
    try:
        train = labelled_clips(shards, recipe.data, limit=recipe.eval.probe_clips)
    except UserError:  # shards of held-out clips alone: nothing to learn from
        return found
    encoders = probed_encoders(model, recipe, runtime)
    known, asked = (
        _with_mean(clip_features(encoders, some, recipe, runtime), recipe.pose.joints) for some in (train, clips)
    )
    if model.text is not None:
        names = [name for name in ("statistics", "token") if name in encoders]
        found["ridge"] = {
            name: ridge_retrieval(model, (known[name], train.texts), (asked[name], clips.texts), runtime)
            for name in names
        }
    if probing:
        probed = probes(train, clips, known, asked, recipe)
        found |= {"probe": probed} if probed else {}
    return found


def probed_encoders(model: ActionPose, recipe: MeasureSettings, runtime: Runtime) -> dict[str, Encode]:
    """What straight lines are fitted to: the token, and what can be had without it."""
    encoders: dict[str, Encode] = {"statistics": pose_statistics}
    if recipe.pose.class_token:
        encoders["token"] = token(model)
    if recipe.pose.class_token and recipe.eval.baselines:
        seed_all(recipe.run.seed)
        encoders["untrained"] = token(ActionPose(recipe.pose).eval().to(runtime.device))
    return encoders


def _with_mean(features: Mapping[str, Floats], joints: int) -> dict[str, Floats]:
    """With the token averaged over its joints beside the token: a mean of what is there, not another pass."""
    found: dict[str, Floats] = {}
    for name, rows in features.items():
        found[name] = rows
        if name == "token":
            found["token_mean"] = rows.reshape(len(rows), joints, -1).mean(axis=1)
    return found


Known = tuple[Floats, Sequence[Sequence[str]]]
"""Features of clips (N, F), and the texts of each."""


def ridge_retrieval(model: ActionPose, known: Known, asked: Known, runtime: Runtime) -> dict[str, Any]:
    """Search both ways by ridge regression from features to the text encoder's own vectors; no head takes part.

    Args:
        model: whose text encoder is used.
        known: the training split's clips, to learn from; a clip with several texts has the mean of their vectors.
        asked: held-out clips, which the search is among.
        runtime: where texts are encoded.
    """
    vocabulary = sorted({text for texts in asked[1] for text in texts})
    every = sorted({*vocabulary, *(text for texts in known[1] for text in texts)})
    row = {text: number for number, text in enumerate(every)}
    assert model.text is not None
    vector = _encoded(model.text, every, runtime)
    target = np.stack([vector[[row[text] for text in texts]].mean(axis=0) for texts in known[1]])
    ridge = fit_ridge(known[0], target)
    text_UE = ridge.directions(vector[[row[text] for text in vocabulary]])
    both = text_motion_retrieval(ridge.predict(asked[0]), text_UE, truth(asked[1], vocabulary))
    return {way: retrieval_row(found) for way, found in both.items()}


def aligned(model: ActionPose, clips: LabelledClips, recipe: MeasureSettings, runtime: Runtime) -> dict[str, Any]:
    """Retrieval both ways, and zero-shot naming over the texts and over the categories of these clips."""
    pose = clip_features({"": model.embed_pose}, clips, recipe, runtime)[""]
    pose = unit(pose)
    vocabulary = sorted({text for texts in clips.texts for text in texts})
    names = sorted({name for of_clip in clips.categories for name in of_clip})
    together = sorted({*vocabulary, *names})
    row = {text: number for number, text in enumerate(together)}
    words = _encoded(model.embed_text, together, runtime)
    text_UD = words[[row[text] for text in vocabulary]]
    true_NU = truth(clips.texts, vocabulary)
    both = text_motion_retrieval(pose, text_UD, true_NU)
    naming = {"texts": naming_row(zero_shot(pose, text_UD, true_NU))}
    if names:
        of_category = truth(clips.categories, names)
        has = of_category.any(axis=1)
        found = zero_shot(pose[has], words[[row[name] for name in names]], of_category[has])
        naming["categories"] = naming_row(found)
    return {"retrieval": {way: retrieval_row(found) for way, found in both.items()}, "zero_shot": naming}


def probes(
    train: LabelledClips,
    clips: LabelledClips,
    known: Mapping[str, Floats],
    asked: Mapping[str, Floats],
    recipe: MeasureSettings,
) -> dict[str, Any]:
    """Linear probes of each kind of feature, from the training split's clips to the held-out ones.

    Empty when there are no categories.
    """
    names = frequent(train, recipe.eval.probe_categories)
    learn_true, ask_true = truth(train.categories, names), truth(clips.categories, names)
    learn, ask = learn_true.any(axis=1), ask_true.any(axis=1)
    if len(names) < 2 or not ask.any():
        return {}
    rows: dict[str, Any] = {
        name: naming_row(linear_probe(known[name][learn], learn_true[learn], asked[name][ask], ask_true[ask]))
        for name in known
    }
    return {**rows, "learned_from": int(learn.sum())}


def frequent(clips: LabelledClips, count: int) -> list[str]:
    """The most frequent categories; those equally frequent by name."""
    seen = Counter(name for of_clip in clips.categories for name in of_clip)
    return sorted(sorted(seen, key=lambda name: (-seen[name], name))[:count])


def retrieval_row(found: Retrieval) -> dict[str, Any]:
    """One direction of search in the form of results and logs."""
    return {
        **{f"r{k}": value for k, value in found.recall.items()},
        "median_rank": found.median_rank,
        "candidates": found.gallery,
        "queries": found.queries,
        "chance": {f"r{k}": value for k, value in found.chance.items()},
    }


def naming_row(found: Naming) -> dict[str, Any]:
    """Zero-shot or probe accuracies in the form of results and logs."""
    return {
        **{f"top{k}": value for k, value in found.top.items()},
        **{f"balanced_top{k}": value for k, value in found.balanced.items()},
        "labels": found.labels,
        "clips": found.clips,
        "chance": {f"top{k}": value for k, value in found.chance.items()},
        "most_frequent": {
            **{f"top{k}": value for k, value in found.frequent.items()},
            **{f"balanced_top{k}": value for k, value in found.frequent_balanced.items()},
        },
    }


def mean_recall(found: Mapping[str, Any]) -> float:
    """One number for a search both ways: the mean of R@1, R@5 and R@10 over both directions, per cent."""
    return float(np.mean([way[key] for way in found["retrieval"].values() for key in ("r1", "r5", "r10")]))


def in_words(found: Mapping[str, Any]) -> str:
    """The headline for a log line, each number with its chance level."""
    short = {"text_to_motion": "text→motion", "motion_to_text": "motion→text"}
    parts = [
        f"{short[way]} R@5 {row['r5']:.1f} % (chance {row['chance']['r5']:.1f})"
        for way, row in found["retrieval"].items()
    ]
    named = found["zero_shot"].get("categories")
    if named:
        parts.append(f"category {named['top1']:.1f} % (most frequent {named['most_frequent']['top1']:.1f})")
    return ", ".join(parts)


def table_rows(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """A result's search, naming and probes as one table: each number, what knowing nothing gives, out of how many."""
    rows = []
    searches = {"": row.get("retrieval", {})}
    searches |= {f"ridge on {feature}, ": ways for feature, ways in row.get("ridge", {}).items()}
    for by, ways in searches.items():
        for way, found in ways.items():
            name, size = by + way.replace("_", " "), f"{found['queries']} among {found['candidates']}"
            for k in ("r1", "r5", "r10"):
                rows.append(_line(f"{name} R@{k[1:]}", found[k], found["chance"][k], None, size))
            rows.append(_line(f"{name} median rank", found["median_rank"], None, None, size))
    namings = {f"zero-shot {name}": found for name, found in row.get("zero_shot", {}).items()}
    namings |= {f"probe {n}": found for n, found in row.get("probe", {}).items() if isinstance(found, Mapping)}
    for name, found in namings.items():
        size = f"{found['clips']} among {found['labels']} names"
        for key in ("top1", "top5", "balanced_top1"):
            blind = found["chance"].get(key)
            rows.append(_line(f"{name} {key.replace('_', ' ')}", found[key], blind, found["most_frequent"][key], size))
    return rows


def _line(name: str, value: float, by_chance: float | None, most: float | None, size: str) -> dict[str, str]:
    shown = ["" if number is None else f"{number:.1f}" for number in (value, by_chance, most)]
    return dict(zip(("learned", "found", "chance", "most_frequent", "asked"), (name, *shown, size), strict=True))
