"""What a GLB holds, read by a library that did not write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
TYPES = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}


class Glb:
    """A file, opened."""

    def __init__(self, path: Path) -> None:
        self.content: Any = pytest.importorskip("pygltflib").GLTF2().load(str(path))
        self.blob: bytes = self.content.binary_blob()

    def values(self, accessor: int) -> NDArray[Any]:
        """(count, width) numbers."""
        about = self.content.accessors[accessor]
        start = (self.content.bufferViews[about.bufferView].byteOffset or 0) + (about.byteOffset or 0)
        width = WIDTHS[about.type]
        return np.frombuffer(self.blob, TYPES[about.componentType], about.count * width, start).reshape(-1, width)

    def tracks(self) -> dict[tuple[str, str], NDArray[Any]]:
        """(node, what moves) → its values over time."""
        animation = self.content.animations[0]
        return {
            (self.content.nodes[channel.target.node].name, channel.target.path): self.values(
                animation.samplers[channel.sampler].output
            )
            for channel in animation.channels
        }

    def mesh(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Vertices (V, 3) and faces (F, 3) of the first mesh."""
        part = self.content.meshes[0].primitives[0]
        return self.values(part.attributes.POSITION), self.values(part.indices).reshape(-1, 3)
