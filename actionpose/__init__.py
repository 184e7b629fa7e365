"""ActionPose from Python: shards, text/motion pairs, models that lift and embed, and the published errors.

    import actionpose as ap

    shards = ap.open_shards("demo/world/shards")            # tables and mapped frames
    dataset = ap.pairs(shards, clip_frames=81)              # a torch Dataset, ready for a DataLoader
    model = ap.load("demo/pretrain")                        # a run, a checkpoint, or a MotionBERT file
    lifted = model.lift("keypoints.json", fps=25)           # lifted.poses_3d: (N, 17, 3) metres
    lifted = ap.lift("keypoints.json", "demo/pretrain", fps=25)     # the same in one line
    ap.metrics.mpjpe(predicted, truth)                      # (T,) per frame, in the unit of the poses

`import actionpose` loads nothing else; each name loads what it needs when it is first used (PEP 562). Shards and
metrics need numpy and h5py alone. A package that is missing is a `MissingPackageError` with the line that installs it;
whatever a user can fix is a `UserError`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    # torch's OpenMP reads it when it is loaded. Threads that wait for each other spin for a bounded time, then sleep:
    # as fast on a quiet machine, and twice as fast where other jobs hold the cores (docs/performance.md).
    os.environ["GOMP_SPINCOUNT"] = "100000"

if TYPE_CHECKING:
    from actionpose.data.pairs import TextMotionPairs, pairs
    from actionpose.errors import UserError
    from actionpose.evaluate import metrics
    from actionpose.extras import MissingPackageError
    from actionpose.lift.model import Model, load
    from actionpose.lift.run import lift
    from actionpose.shards import ShardSet
    from actionpose.shards import ShardSet as open_shards

    __version__: str

_HOMES = {
    "open_shards": ("actionpose.shards", "ShardSet"),
    "ShardSet": ("actionpose.shards", "ShardSet"),
    "pairs": ("actionpose.data.pairs", "pairs"),
    "TextMotionPairs": ("actionpose.data.pairs", "TextMotionPairs"),
    "load": ("actionpose.lift.model", "load"),
    "Model": ("actionpose.lift.model", "Model"),
    "lift": ("actionpose.lift", ""),
    "metrics": ("actionpose.evaluate.metrics", ""),
    "UserError": ("actionpose.errors", "UserError"),
    "MissingPackageError": ("actionpose.extras", "MissingPackageError"),
}
"""Name → the module that it lives in, and its name there; empty for the module itself."""

__all__ = [
    "MissingPackageError",
    "Model",
    "ShardSet",
    "TextMotionPairs",
    "UserError",
    "lift",
    "load",
    "metrics",
    "open_shards",
    "pairs",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from actionpose.version import toolkit_version

        return toolkit_version()
    if name not in _HOMES:
        raise AttributeError(f"module 'actionpose' has no attribute '{name}'{_nearest(name)}", name=name)
    import importlib

    from actionpose.extras import needed_for

    module, inside = _HOMES[name]
    with needed_for(f"actionpose.{name}", "lift" if module.startswith("actionpose.lift") else "train"):
        home = importlib.import_module(module)
    value = getattr(home, inside) if inside else home
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "__version__"})


def _nearest(name: str) -> str:
    if name.startswith("_"):
        return ""
    import difflib

    near = difflib.get_close_matches(name, _HOMES, n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else "; it has: " + ", ".join(sorted(_HOMES))
