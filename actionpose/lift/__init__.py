"""2D keypoints of any detector to 3D poses. The package can be called: `ap.lift(…)` is `actionpose.lift.run.lift`."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """Lets the function that users call and the folder that holds it share a name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Lift 2D keypoints to 3D; see `actionpose.lift.run.lift`."""
        from actionpose.extras import needed_for

        with needed_for("actionpose.lift", "lift"):
            from actionpose.lift.run import lift
        return lift(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
