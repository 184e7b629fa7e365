"""Make a pretraining run the model that is shipped: `python scripts/pack_model.py RUN [SHARDS]`.

Writes weights in half precision, the settings and vectors of the phrases in `shipped_actions.txt` to
actionpose/lift/assets. With SHARDS it also says by how much half precision moves the joints of held-out motion.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from actionpose.data.batches import Assembler
from actionpose.data.samples import motion_samples
from actionpose.lift.shipped import FOLDER, pack
from actionpose.lift.source import open_model
from actionpose.runs.evaluate import recipe_of
from actionpose.shards import ShardSet
from actionpose.train import checkpoint

ABOUT = {
    "name": "the shipped model",
    "licence": "trained on motion of the CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu), free for all "
    "uses; the database was created with funding from NSF EIA-0196217",
}
LARGEST = 12 << 20
CLIPS = 64


def half_precision_mm(run: Path, shards: Path) -> tuple[float, float, float, float]:
    """What half precision costs on held-out clips, in millimetres.

    Returns:
        How far joints of the packed model are from the run's, mean and largest; MPJPE of both.
    """
    recipe, whole, packed = recipe_of(checkpoint.find(run)), open_model(run), open_model(FOLDER)
    table = motion_samples(ShardSet(shards), recipe.data.__class__(**{**recipe.data.__dict__, "split": "val"}))
    ids = np.unique(np.linspace(0, len(table) - 1, CLIPS).astype(np.int64))
    batch = Assembler(table=table, augment=False)(ids, 0)
    with torch.inference_mode():
        one, other = (source.model.lift(batch["pose2d"], batch["valid"]) for source in (whole, packed))

    def apart(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return 1000.0 * torch.linalg.vector_norm(first - second, dim=-1)[batch["valid"]] / whole.unit

    truth = batch["pose3d"]
    away, errors = apart(one, other), [apart(pose, truth) for pose in (one, other)]
    return float(away.mean()), float(away.max()), float(errors[0].mean()), float(errors[1].mean())


def main() -> None:
    run = Path(sys.argv[1])
    texts = (Path(__file__).parent / "shipped_actions.txt").read_text(encoding="utf-8").split("\n")
    pack(run, FOLDER, [text for text in texts if text], ABOUT)
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    print(f"{FOLDER}: {size / 2**20:.2f} MB")
    if size > LARGEST:
        sys.exit("more than 12 MB")
    if len(sys.argv) > 2:
        mean, worst, before, after = half_precision_mm(run, Path(sys.argv[2]))
        print(f"half precision moves joints by {mean:.4f} mm on average, at most {worst:.3f} mm")
        print(f"MPJPE {before:.3f} mm in single precision, {after:.3f} mm in half")


if __name__ == "__main__":
    main()
