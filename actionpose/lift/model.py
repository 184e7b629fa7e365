"""A trained model for Python: NumPy arrays in, NumPy arrays out.

    model = ap.load()                                                           # the shipped one, or ap.load(RUN)
    lifted = model.lift("keypoints.json", fps=25)                               # metres, with everything around them
    scores = model.embed_motion(clips) @ model.embed_text(["walk", "sit down"]).T       # cosines, (clips, 2)

Screen units are those of the shards and of training: x right, y down, the same unit for x, y and z; 1 unit is half
the picture's width for a camera, and `unit_mm` of a sample for projected motion.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from actionpose.arrays import Float32s
from actionpose.data.windows import window_starts
from actionpose.lift.actions import open_with_heads
from actionpose.lift.result import Lifted
from actionpose.lift.run import Keypoints, lift
from actionpose.lift.source import LiftModel, device_of, open_model
from actionpose.lift.windows import blend_weight, padded
from actionpose.model.action_pose import ActionPose
from actionpose.skeleton import JOINT_NAMES, N_JOINTS
from actionpose.version import toolkit_version

Clips = NDArray[Any] | Sequence[NDArray[Any]]

BATCH = 32


def load(path: str | os.PathLike[str] | None = None, *, device: str = "auto") -> Model:
    """A model to lift and embed with.

    Args:
        path: a run of `ap-train`, one of its checkpoint folders, a weights file in one, or a MotionBERT checkpoint;
            None: the shipped model.
        device: "auto" (the GPU if there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        UserError: none of these, damaged, or a device that is not there.
    """
    return Model(open_model(None if path is None else Path(path), device_of(device)))


class Model:
    """A pose lifter in evaluation mode, with its text branch if it was pretrained with one; made by `load`.

    Attributes:
        path: where it was found.
        frames: the longest window that it sees at once; longer clips are cut into overlapping windows.
        fps: rate of the motion it was trained on.
        joint_names: the 17 joints, in order.
    """

    joint_names = JOINT_NAMES

    def __init__(self, source: LiftModel) -> None:
        self._source = source
        self.path, self.frames, self.fps = source.path, source.frames, source.fps

    def __repr__(self) -> str:
        return f"<actionpose.Model {self._source.says}>"

    def lift(self, keypoints: Keypoints, **options: Any) -> Lifted:
        """3D poses from the 2D keypoints of any detector.

        Args:
            keypoints: a file, a folder of one file a frame, or an array (T, K, 2 or 3) or (T, P, K, 2 or 3) of pixels.
            options: fields of `lift.understand.LiftOptions`, such as `layout`, `fps`, `size`, `person`, `fill`.

        Returns:
            `poses_3d` (N, 17, 3) float32 metres, x right, y down, z away from the camera, relative to the pelvis, NaN
            where a joint is not seen; with confidence, masks, times and persons (`Lifted`).

        Raises:
            UserError: keypoints that cannot be used.
            TypeError: an option that does not exist.
        """
        return lift(keypoints, self._source, tool_version=toolkit_version(), **options)

    def lift_screen(self, pose2d: NDArray[Any]) -> Float32s:
        """What the network itself gives, without any change of scale or rate: for poses of shards and benchmarks.

        Args:
            pose2d: (T, 17, 2 or 3) or (B, T, 17, 2 or 3) x, y in screen units, and confidence (1 where it is left out).

        Returns:
            float32, as many clips and frames as given: (…, T, 17, 3) in screen units, relative to the pelvis as the
            model places it (joint 0 is near zero, not exactly zero).

        Raises:
            ValueError: another shape, or values that are not finite.
        """
        clips, single = _clips(pose2d)
        total = [np.zeros(clip.shape) for clip in clips]
        weight = [np.zeros((len(clip), 1, 1)) for clip in clips]
        for number, start, pose in self._windows(clips, self._source.model.lift):
            part, share = slice(start, start + len(pose)), blend_weight(len(pose))[:, None, None]
            total[number][part] += pose * share
            weight[number][part] += share
        lifted = np.stack([t / w for t, w in zip(total, weight, strict=True)]).astype(np.float32)
        return lifted[0] if single else lifted

    def embed_motion(self, pose2d: Clips) -> Float32s:
        """Clips in the space that they share with texts; the dot product with a text's embedding is their cosine.

        Args:
            pose2d: (T, 17, 2 or 3) in screen units, as for `lift_screen`; or several clips, (B, T, 17, 2 or 3) or a
                list of different lengths.

        Returns:
            (D,) for one clip, (B, D) for several, float32 of unit length. A clip longer than `frames` has the mean of
            its windows' embeddings, brought to unit length.

        Raises:
            UserError: the model has no text branch, or its text model is not on this machine.
            ValueError: another shape, or values that are not finite.
        """
        clips, single = _clips(pose2d)
        model = self._with_text
        total = np.zeros((len(clips), model.text_pool.mix.out_features if model.text_pool else 0))
        for number, _, vector in self._windows(clips, model.embed_pose):
            total[number] += vector
        unit = (total / np.linalg.norm(total, axis=-1, keepdims=True)).astype(np.float32)
        return unit[0] if single else unit

    def embed_text(self, texts: str | Sequence[str]) -> Float32s:
        """Texts in the space that they share with motion.

        Args:
            texts: one, or several.

        Returns:
            (D,) for one text, (N, D) for several, float32 of unit length.

        Raises:
            UserError: the model has no text branch, or its text model is not on this machine.
        """
        several = [texts] if isinstance(texts, str) else list(texts)
        if not several:
            raise ValueError("no text was given")
        with torch.inference_mode():
            rows = self._with_text.embed_text(several).float().cpu().numpy()
        return rows[0] if isinstance(texts, str) else rows

    @cached_property
    def _with_text(self) -> ActionPose:
        """The model with its text branch, which takes a while to read and is not needed for lifting."""
        return open_with_heads(self.path, str(self._device))[0].model

    @property
    def _device(self) -> torch.device:
        return next(self._source.model.parameters()).device

    def _windows(self, clips: Sequence[Float32s], run: Any) -> list[tuple[int, int, NDArray[np.float64]]]:
        """(clip, first frame, result) of every window, in batches; a result with frames is cut to the window's."""
        size = self.frames
        plan = [
            (number, start, min(size, len(clip)))
            for number, clip in enumerate(clips)
            for start in window_starts(len(clip), size, max(1, size // 2))
        ]
        plan.sort(key=lambda row: row[2])  # windows of similar length share a batch, so that little is padded
        results = []
        for first in range(0, len(plan), BATCH):
            some = plan[first : first + BATCH]
            cut = [clips[number][start : start + length] for number, start, length in some]
            with torch.inference_mode():
                rows = run(*padded(cut, self._device)).double().cpu().numpy()
            for (number, start, length), row in zip(some, rows, strict=True):
                results.append((number, start, row[:length] if row.ndim == 3 else row))
        return results


def _clips(pose2d: Clips) -> tuple[list[Float32s], bool]:
    """The clips, each (T, 17, 3) float32, and whether one was given alone."""
    single = isinstance(pose2d, np.ndarray) and pose2d.ndim == 3
    clips = [_with_confidence(np.asarray(clip, dtype=np.float32)) for clip in ([pose2d] if single else pose2d)]
    if not clips:
        raise ValueError("no clip was given")
    for number, clip in enumerate(clips):
        if clip.ndim != 3 or clip.shape[1:] != (N_JOINTS, 3) or not len(clip):
            raise ValueError(f"clip {number} has shape {clip.shape}, not (T, {N_JOINTS}, 2 or 3)")
        if not np.isfinite(clip).all():
            raise ValueError(f"clip {number} has values that are not finite; give hidden joints confidence 0 instead")
    return clips, single


def _with_confidence(clip: Float32s) -> Float32s:
    if clip.ndim != 3 or clip.shape[2] != 2:
        return clip
    return np.concatenate([clip, np.ones((*clip.shape[:2], 1), np.float32)], axis=-1)
