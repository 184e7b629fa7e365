"""Settings of random cameras; apart from `cameras`, so that settings can be read without torch."""

from __future__ import annotations

from dataclasses import dataclass

from actionpose.config import at_least, setting, shares


@dataclass(frozen=True, kw_only=True)
class CameraConfig:
    """Random cameras in place of the views, for a model of any film. Not in the paper."""

    random: bool = setting(
        False,
        "film every clip of projected 2D with a camera of its own, from any side, in place of the orthographic views, "
        "and bring it to size and place as `ap-lift` does; a clip gets another one in each epoch",
    )
    pitch: tuple[float, ...] = setting((-30.0, 40.0), "lowest and highest camera: degrees above the person's level")
    roll: float = setting(4.0, "deviation of the camera's roll, degrees")
    orthographic: float = setting(0.2, "share of clips without perspective")
    distance: tuple[float, ...] = setting((2.0, 12.0), "nearest and farthest camera, metres; near ones are as frequent")
    aside: float = setting(4.0, "deviation of the person's direction from the picture's middle, degrees")
    proportions: float = setting(0.06, "deviation of the logarithm of bone lengths; both sides of a body are alike")
    definitions: bool = setting(True, "joints as the layouts of common detectors define them, one layout for a clip")
    offset: float = setting(0.012, "deviation of those joints' constant offsets, metres; more at hips and shoulders")
    size_error: float = setting(0.06, "deviation of the logarithm of further errors of the person's size")
    place_error: float = setting(0.03, "deviation of further errors of the person's place, metres")

    def __post_init__(self) -> None:
        if len(self.pitch) != 2 or not -90 <= self.pitch[0] <= self.pitch[1] <= 90:
            raise ValueError(f"pitch {list(self.pitch)} is not two angles from -90 to 90 degrees")
        if len(self.distance) != 2 or not 0 < self.distance[0] <= self.distance[1]:
            raise ValueError(f"distance {list(self.distance)} is not two positive distances")
        shares(self, "orthographic")
        at_least(self, 0, "roll", "aside", "proportions", "offset", "size_error", "place_error")
