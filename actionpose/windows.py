"""How published code cuts a video into windows, as plain arithmetic on frame numbers.

A window is T frames long and made of `span` frames of its video from `start` on. Where span < T the video was too
short and its frames are repeated; where it reaches beyond an end of the video, the frame at that end is repeated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

Window = tuple[int, int, int]
"""video, start, span."""


def split_clips(lengths: Sequence[int], size: int, stride: int) -> list[Window]:
    """MotionBERT's clips of Human3.6M: full windows every `stride` frames, and nothing else.

    What is left at the end of a video is dropped. A video shorter than `size` becomes one stretched window, unless
    it is the very last one: then it is dropped too, as in the published code.
    """
    windows: list[Window] = []
    for video, frames in enumerate(lengths):
        if frames >= size:
            windows += [(video, start, size) for start in range(0, frames - size + 1, stride)]
        elif frames and video + 1 < len(lengths):
            windows.append((video, 0, frames))
    return windows


def every_start(lengths: Sequence[int], size: int, stride: int) -> list[Window]:
    """P-STMO's and MotionAGFormer's training clips of MPI-INF-3DHP: one at every multiple of `stride`.

    The last ones of a video are shorter than `size` and are stretched; the very last may be one frame, repeated.
    """
    return [
        (video, start, min(size, frames - start))
        for video, frames in enumerate(lengths)
        for start in range(0, frames, stride)
    ]


def source_frames(start: int, span: int, size: int, frames: int) -> Ints:
    """Frame of the video behind each frame of a window, (size,): floor(k · span / size) from `start`, edges repeated.

    MotionBERT rounds each of these numbers up or down by chance when it stretches; here they are always rounded
    down, as the code for MPI-INF-3DHP does, so that a window is the same whenever it is cut.
    """
    return np.clip(start + np.arange(size, dtype=np.int64) * span // size, 0, frames - 1)
