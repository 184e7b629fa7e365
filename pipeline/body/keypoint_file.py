"""The file of keypoints that `ap-data keypoints FILE` writes, read back for views and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from actionpose.arrays import Float32s
from actionpose.errors import UserError
from actionpose.plain_npz import read_plain_npz
from actionpose.skeleton import N_JOINTS

_MAKE = (
    "make one with `ap-data keypoints MOTION.npz … --output FILE.npz`, or from an array (T, 17, 3) in metres, in "
    "Human3.6M's order: numpy.savez(FILE, keypoints=array, fps=30)"
)


def read_keypoints(path: Path) -> tuple[Float32s, float]:
    """Keypoints (T, 17, 3) float32 and fps of a file that `ap-data keypoints` wrote.

    Raises:
        UserError: missing, damaged, or something else.
    """
    arrays = read_plain_npz(path, wants="3D keypoints", make=_MAKE)
    if "poses" in arrays and "keypoints" not in arrays:
        raise UserError(
            f"{path} is a motion of body poses, not of keypoints", "give the body too: --body DIR --regressor FILE"
        )
    if lacks := {"keypoints", "fps"} - set(arrays):
        raise UserError(f"{path} is not a file of keypoints: it lacks {' and '.join(sorted(lacks))}", _MAKE)
    try:
        frames, fps = np.asarray(arrays["keypoints"], dtype=np.float32), float(arrays["fps"])
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} is not a file of keypoints: {error}", _MAKE) from error
    if frames.ndim != 3 or frames.shape[1:] != (N_JOINTS, 3) or not len(frames):
        raise UserError(f"{path}: keypoints has shape {frames.shape}, not (T, {N_JOINTS}, 3)")
    return frames, fps
