"""Names for the array types that signatures repeat; docstrings give the shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.floating]
"""Of whichever precision the caller has."""
Float32s = NDArray[np.float32]
"""Frames as they are stored."""
Float64s = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
