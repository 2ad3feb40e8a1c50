"""What an effect may look at and draw on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.ophsim.appearance import CaseAppearance
from benchmarks.datasets.ophsim.canvas import Canvas, Colour, Points, rotate
from benchmarks.datasets.ophsim.tools import Pose

PALETTE: Final[dict[str, Colour]] = {
    "amber": (206, 150, 72),
    "black": (18, 14, 16),
    "blood": (168, 16, 22),
    "blue": (36, 62, 196),
    "brown": (104, 62, 34),
    "burn": (112, 84, 62),
    "clear": (226, 240, 246),
    "conjunctiva": (214, 122, 118),
    "cyan": (120, 200, 226),
    "fluorescein": (146, 240, 40),
    "gel": (214, 236, 226),
    "glass": (176, 206, 220),
    "gold": (226, 190, 92),
    "grey": (150, 154, 160),
    "green": (60, 176, 84),
    "iris": (112, 76, 44),
    "orange": (244, 150, 40),
    "purple": (104, 36, 160),
    "red": (206, 40, 40),
    "steel": (200, 206, 214),
    "stroma": (196, 200, 206),
    "tissue": (232, 206, 178),
    "white": (246, 246, 244),
    "yellow": (240, 222, 90),
}


@dataclass
class Moment:
    """One frame being drawn. Positions are in eye units."""

    canvas: Canvas
    appearance: CaseAppearance
    progress: float  # of the clip, 0-1
    at: Points  # (2,) the effect's site
    tips: list[Pose]
    trail: Callable[[int, float, float], Points]  # tool, from, to progress -> (N, 2)
    random: NDArray[np.float64]  # (64,) in [0, 1): fixed over the clip, own to the effect
    pupil: float  # current radius

    def tip(self, hand: int = 0) -> Points:
        """(2,) a tool's tip; the site when there is no such tool."""
        if hand >= len(self.tips):
            return self.at
        return np.array([self.tips[hand].x, self.tips[hand].y])


def bearing(now: Moment) -> float:
    """Direction from the pupil's centre to the site, degrees."""
    return float(np.rad2deg(np.arctan2(now.at[1], now.at[0])))


def at_site(now: Moment, points: Points) -> Points:
    """Site frame to eye: +x points away from the pupil, +y along the limbus."""
    return rotate(points, bearing(now)) + now.at
