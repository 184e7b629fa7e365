"""How published code cuts a video into windows to learn from or to score, as plain arithmetic on frame numbers.

A window is T frames long and made of `span` frames of its video from `start` on. Where span < T the video was too
short and its frames are repeated; where it reaches beyond an end of the video, the frame at that end is repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from actionpose.arrays import Ints

Window = tuple[int, int, int]
"""video, start, span."""


def window_starts(frames: int, size: int, stride: int, limit: int | None = None) -> list[int]:
    """First frames of the windows over `frames`; one at 0 when they fit into `size`.

    Every frame is covered as long as `limit` allows: the last window is aligned to the end.
    """
    if frames <= size:
        return [0]
    starts = [*range(0, frames - size, stride), frames - size]
    if limit is not None and len(starts) > limit:
        keep = (
            np.unique(np.round(np.linspace(0, len(starts) - 1, limit)).astype(int)) if limit > 1 else [len(starts) // 2]
        )
        starts = [starts[k] for k in keep]
    return starts


def transition_start(frames: int, size: int, border_a: int, border_b: int) -> int:
    """First frame of the one window of `size` that has the transition's middle nearest to its own."""
    middle = (border_a + border_b) // 2
    return int(min(max(middle - size // 2, 0), frames - size))


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


# --- windows to score -------------------------------------------------------------------------


class Scored(NamedTuple):
    """A window of `length` frames made of `span` frames from `start` on, of which [first, stop) count."""

    start: int
    span: int
    length: int
    first: int
    stop: int

    def counted(self, frames: int, valid: Ints) -> tuple[Ints, Ints]:
        """Frames of the video that count, and their places in the window, both (n,).

        Only valid frames do. Where stretching repeats a frame, its last place counts.

        Args:
            frames: in the video.
            valid: frames that may be scored, ascending.
        """
        source = source_frames(self.start, self.span, self.length, frames)
        places = np.arange(self.first, self.stop, dtype=np.int64)
        if self.span < self.length:
            places = places[np.append(np.diff(source[places]) > 0, True)]
        if len(valid) < frames:
            at = np.searchsorted(valid, source[places])
            places = places[np.append(valid, -1)[at] == source[places]]
        return source[places], places


def covering(frames: int, size: int, *, stretch: bool, drop_tail: bool) -> list[Scored]:
    """Windows side by side, each frame counted once; the last is aligned to the end, or left out with `drop_tail`."""
    if frames < size:
        length = size if stretch else frames
        return [Scored(0, frames, length, 0, length)] if frames else []
    windows = [Scored(start, size, size, 0, size) for start in range(0, frames - size + 1, size)]
    tail = frames % size
    if tail and not drop_tail:
        windows.append(Scored(frames - size, size, size, size - tail, size))
    return windows


def overlapping(frames: int, size: int) -> list[Scored]:
    """MixSTE's chunks: side by side, then the last `size` frames; what both hold counts twice.

    A shorter video is continued with its last frame, and its own frames count.
    """
    if frames < size:
        return [Scored(0, size, size, 0, frames)] if frames else []
    windows = [Scored(start, size, size, 0, size) for start in range(0, frames - size + 1, size)]
    return [*windows, Scored(frames - size, size, size, 0, size)] if frames % size else windows


def one_each(valid: Ints, size: int) -> list[Scored]:
    """A window around every valid frame, of which the middle one counts."""
    middle = size // 2
    return [Scored(frame - middle, size, size, middle, middle + 1) for frame in valid.tolist()]
