"""Pose encoder weights from files: MotionBERT's checkpoints, mmpose's conversions of them, and our own.

Files are read with plain-tensor loading only; a checkpoint is a pickle, and pickles of strangers run code.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionpose import isolated
from actionpose.errors import UserError
from actionpose.model.pose_encoder import PoseConfig, PoseEncoder
from actionpose.sniff import refuse_no_data

State = dict[str, Tensor]

NESTS = ("model_pos", "state_dict", "model")
"""Where the weights lie in MotionBERT's, mmpose's and others' checkpoints; a bare state dict is fine too."""

TOKEN = ("class_token", "token_to_frames.weight", "token_to_frames.bias")
"""What checkpoints of networks without the token lack."""

_BRANCH = re.compile(r"^(module\.)*(model\.)?pose\.")
"""The pose part of a whole ActionPose or of a task around it; data-parallel training puts `module.` in front."""

_MMPOSE = (
    (r"^backbone\.spat_embed$", "pos_embed"),
    (r"^backbone\.attn_regress\.", "ts_attn."),
    (r"^backbone\.(blocks_\w+\.\d+\.mlp_\w)\.0\.", r"\1.fc1."),
    (r"^backbone\.(blocks_\w+\.\d+\.mlp_\w)\.2\.", r"\1.fc2."),
    (r"^backbone\.", ""),
    (r"^head\.pre_logits\.fc\.", "pre_logits.fc."),
    (r"^head\.fc\.", "head."),
)

SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class LoadedWeights:
    """What `load_pose_weights` did.

    Attributes:
        path: the file.
        tensors: how many were loaded.
        fresh: names that the file lacks and that keep their initial values (the class token at most).
    """

    path: Path
    tensors: int
    fresh: tuple[str, ...]


def load_pose_weights(encoder: PoseEncoder, path: str | os.PathLike[str]) -> LoadedWeights:
    """Load a checkpoint into the encoder: every tensor must fit, only the class token and its layer may be missing.

    Raises:
        UserError: the file cannot be read, is another network's, or differs in names or shapes; the message
            lists the differences and the settings that would make the encoder fit.
    """
    state = read_pose_state(path)
    wanted = encoder.state_dict()
    fresh = tuple(name for name in TOKEN if name in wanted and name not in state)
    if "class_token" not in wanted:
        state.pop("class_token", None)
    lines = weight_differences(state, {name: t for name, t in wanted.items() if name not in fresh})
    if lines:
        more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        raise UserError(
            f"{path} does not fit the pose encoder:\n  " + "\n  ".join(lines[:SHOWN] + more), _fitting(state, encoder)
        )
    for name, tensor in state.items():
        if not tensor.isfinite().all():
            raise UserError(f"{path}: {name} holds values that are not finite", "download it again")
    encoder.load_state_dict(state, strict=False)
    return LoadedWeights(path=Path(path), tensors=len(state), fresh=fresh)


def read_pose_state(path: str | os.PathLike[str]) -> State:
    """The pose encoder's tensors in a checkpoint, under MotionBERT's names.

    Raises:
        UserError: no such file, not a plain-tensor checkpoint, or no DSTformer inside.
    """
    names = rename(stored_state(Path(path)))
    if any(re.match(r"layers\.\d+\.(att|graph)_(spatial|temporal)\.", name) for name in names):
        raise UserError(
            f"{path} holds MotionAGFormer, which is a different network", "use a MotionBERT (DSTformer) checkpoint"
        )
    if "joints_embed.weight" not in names or not any(name.startswith("blocks_st.") for name in names):
        found = ", ".join(sorted(names)[:3]) or "no tensors"
        raise UserError(
            f"{path} holds no DSTformer weights (found {found})",
            "use a MotionBERT checkpoint such as pretrain/MB_release/latest_epoch.bin, or a run of this toolkit",
        )
    return names


def stored_state(path: Path) -> State:
    """The tensors of a torch file, read in a child process; floating point of 16 bits comes as 32.

    Raises:
        UserError: no such file, damaged, or with other objects than tensors in it.
    """
    if not path.exists():
        raise UserError(f"there is no checkpoint {path}", "check the path")
    arrays: Mapping[str, NDArray[Any]] = isolated.call("actionpose.model.pretrained:stored_tensors", path)
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def stored_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a torch file as arrays, by plain-tensor loading; called in a child process.

    Raises:
        UserError: damaged, or with other objects than tensors in it.
    """
    refuse_no_data(path, "from where the weights are published")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file raises nearly anything; nothing of it has run
        # Torch's own words tell how to load it unsafely.
        reason = "it is damaged, cut short, or holds other Python objects, which are not opened since that runs code"
        raise UserError(
            f"{path} is not a checkpoint of plain tensors: {reason} ({type(error).__name__})",
            "download it again, or save its state_dict() alone with torch.save",
        ) from error
    return {str(name): _plain(value) for name, value in _unnest(content).items() if isinstance(value, Tensor)}


def _plain(tensor: Tensor) -> NDArray[Any]:
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise UserError(f"a tensor of kind {tensor.layout} where weights should be", "save it as plain tensors")
    narrow = tensor.dtype in (torch.bfloat16, torch.float16)
    return (tensor.detach().float() if narrow else tensor.detach()).cpu().numpy()


def _unnest(content: Any) -> Mapping[str, Any]:
    for nest in NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
    return content if isinstance(content, Mapping) else {}


def rename(state: Mapping[str, Tensor]) -> State:
    """Strip wrappers' prefixes and undo mmpose's renames; keeps only the pose part of a whole ActionPose."""
    own = {_BRANCH.sub("", name): value for name, value in state.items() if _BRANCH.match(name)}
    state = own or {name.removeprefix("module."): value for name, value in state.items()}
    if not any(name.startswith("backbone.") for name in state):
        return dict(state)
    renamed: State = {}
    for name, value in state.items():
        for pattern, replacement in _MMPOSE:
            new, hits = re.subn(pattern, replacement, name)
            if hits:
                renamed[new] = value
                break
    return renamed


def weight_differences(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """One line per tensor that is missing, of another shape, or too many."""
    lines = []
    for name, tensor in wanted.items():
        if name not in state:
            lines.append(f"{name} {tuple(tensor.shape)}: not in the file")
        elif state[name].shape != tensor.shape:
            lines.append(f"{name}: {tuple(state[name].shape)} in the file, {tuple(tensor.shape)} here")
    lines += [f"{name}: only in the file" for name in state if name not in wanted]
    return lines


def config_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The `PoseConfig` values that a checkpoint's shapes tell: all but heads and how the token is used."""
    dim = state["joints_embed.weight"].shape[0]
    found: dict[str, Any] = {"dim_feat": dim}
    sources = {"max_frames": ("temp_embed", 1), "joints": ("pos_embed", 1), "dim_rep": ("pre_logits.fc.weight", 0)}
    found |= {key: state[name].shape[axis] for key, (name, axis) in sources.items() if name in state}
    found["depth"] = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks_st."))
    hidden = state.get("blocks_st.0.mlp_s.fc1.weight")
    if hidden is not None:
        found["mlp_ratio"] = hidden.shape[0] / dim
    return found


def _fitting(state: Mapping[str, Tensor], encoder: PoseEncoder) -> str:
    """The settings to change, or the plain truth that none would help."""
    have: PoseConfig = encoder.config
    try:
        made_with = config_of(state)
    except (IndexError, KeyError, ValueError, ZeroDivisionError):  # shapes that no encoder has
        made_with = {}
    if (slots := made_with.pop("max_frames", have.slots)) != have.slots:
        made_with["max_frames"] = slots * have.frame_step
    change = [f"-o pose.{key}={value:g}" for key, value in made_with.items() if value != getattr(have, key)]
    return "this file was made with: " + " ".join(change) if change else "the file is incomplete or of another version"
