"""Ridge regression from a clip's features to its text's vector: what retrieval gives without training a network.

The baseline that a trained pair of heads has to beat: closed form, float64, nothing drawn.

Shape suffixes: N clips to learn from, M clips to search with, U texts, F features, E text features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actionpose.arrays import Floats
from actionpose.geometry import unit

PENALTY = 100.0
"""On the squared weights, against the summed squared error; features have unit variance. Between the two values that
were tried on open motion (30 and 300), which differ little; not tuned."""


@dataclass(frozen=True, kw_only=True)
class Ridge:
    """A linear map (F,) to (E,) of standardised features.

    Attributes:
        shift: (F,) mean of the features.
        scale: (F,) their deviation; infinite for features that never change.
        weight: (F, E).
        centre: (E,) mean of the targets.
    """

    shift: Floats
    scale: Floats
    weight: Floats
    centre: Floats

    def predict(self, feature_MF: Floats) -> Floats:
        """Directions from the mean target, (M, E), of unit length."""
        return unit(((feature_MF - self.shift) / self.scale) @ self.weight)

    def directions(self, target_UE: Floats) -> Floats:
        """Targets seen from the mean one, of unit length: what predictions are compared with."""
        return unit(target_UE - self.centre)


def fit(feature_NF: Floats, target_NE: Floats, penalty: float = PENALTY) -> Ridge:
    """Least squares with penalty·|weight|² on standardised features and centred targets.

    With fewer clips than features the dual form is solved, so the cost is that of the smaller number.
    """
    shift, deviation = feature_NF.mean(axis=0), feature_NF.std(axis=0)
    scale = np.where(deviation > 1e-12, deviation, np.inf)
    x_NF, centre = (feature_NF - shift) / scale, target_NE.mean(axis=0)
    y_NE = target_NE - centre
    clips, features = x_NF.shape
    if features <= clips:
        weight = np.linalg.solve(x_NF.T @ x_NF + penalty * np.eye(features), x_NF.T @ y_NE)
    else:
        weight = x_NF.T @ np.linalg.solve(x_NF @ x_NF.T + penalty * np.eye(clips), y_NE)
    return Ridge(shift=shift, scale=scale, weight=weight, centre=centre)
