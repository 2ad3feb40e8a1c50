"""What belongs to a case and not to an operation: eye, microscope, camera and codec.

Drawn once per case, so that a classifier which sees few cases over-fits to them; this is the
domain gap that real operating theatres show. One number, `nuisance`, scales how much cases differ.
Source of every range: our choice, by eye.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.datasets.ophsim.canvas import Colour

# Iris base colours: browns are the most frequent, as in OphNet's mostly East Asian cases.
_IRISES: tuple[Colour, ...] = (
    (92, 58, 36), (70, 45, 32), (112, 76, 44), (128, 98, 54), (96, 112, 84),
    (84, 112, 138), (122, 140, 150), (60, 84, 112),
)  # fmt: skip
_IRIS_SHARES: Final = (0.22, 0.2, 0.18, 0.1, 0.08, 0.09, 0.06, 0.07)
_LENSES: tuple[Colour, ...] = (
    (206, 150, 72), (160, 98, 46), (222, 202, 132), (188, 182, 170), (196, 122, 84),
)  # fmt: skip
_HAPTICS: tuple[Colour, ...] = ((70, 110, 214), (206, 222, 232), (96, 84, 150), (60, 150, 190))
_DRAPES: tuple[Colour, ...] = ((168, 118, 98), (196, 150, 128), (74, 122, 142), (80, 132, 108))

NUISANCE: Final = 0.25  # of a case, unless a configuration says otherwise
_FULL_EYES: Final = 0.25  # from this nuisance on, eyes differ as much as they ever do


@dataclass(frozen=True)
class CaseAppearance:
    """Per-case nuisance. Angles in degrees, lengths in eye units (limbus radius = 1)."""

    seed: int  # of textures: vessels, iris fibres, drift
    iris: Colour
    iris_texture: float  # contrast of the iris fibres, 0-1
    sclera: Colour
    vessels: int  # how many vessel trees
    redness: float  # strength of the vessels, 0-1
    drape: Colour
    pupil: float  # radius
    reflex: Colour  # red reflex inside the pupil
    limbus_px: float  # limbus radius as a share of the frame height (zoom)
    rotation: float
    mirror: bool  # left or right eye
    offset: tuple[float, float]  # eye's centre from the frame's centre, in frame heights
    cast: tuple[float, float, float]  # RGB gain: white balance of the camera
    exposure: float
    contrast: float
    light: tuple[float, float]  # microscope's lamp on the frame, -1 to 1
    falloff: float  # darkening away from the lamp, 0-1
    glints: tuple[tuple[float, float, float], ...]  # corneal reflections: x, y, radius
    haze: float  # corneal clouding over iris and pupil, 0-1
    lens: Colour  # of the natural lens, by the cataract's density
    haptic: Colour  # of the implanted lens's arms
    metal: float  # brightness of instruments
    tool_scale: float
    drift: float  # amplitude of eye and microscope movement
    tremor: float  # amplitude of hand tremor
    blur: float  # sigma in pixels at 64 rows
    noise: float  # sensor noise, sigma in grey levels
    crf: int  # H.264 quality (lower is better)
    hand: float  # how much strokes differ from clip to clip, 0-1

    @classmethod
    def draw(cls, seed: int, nuisance: float = NUISANCE) -> "CaseAppearance":
        """One case's appearance.

        Args: nuisance: 0-1. 0: every case is the same brown eye under a fixed camera. Eyes differ
        in full from 0.25 on; what the microscope, the camera and the hand add grows up to 1.
        """
        rng = np.random.default_rng([7_301, seed])
        between = _scaled(rng, min(nuisance / _FULL_EYES, 1.0))
        colour = _coloured(rng, min(nuisance / _FULL_EYES, 1.0))
        glint_x, glint_y = between(-0.3, 0.3, 0.01), between(-0.4, 0.2, -0.2)
        gap, size = between(0.12, 0.3, 0.26), between(0.04, 0.1, 0.06)
        glints = [(glint_x - gap / 2, glint_y, size), (glint_x + gap / 2, glint_y, size)]
        if rng.random() < 0.4 * min(nuisance / _FULL_EYES, 1.0):
            glints.append((glint_x, glint_y + gap, size * 0.7))
        yellow = between(0, 30, 12)
        eye = {
            "iris": colour(_IRISES, 2, 14, _IRIS_SHARES),
            "iris_texture": between(0.15, 0.9, 0.4),
            "sclera": colour(((226, int(214 - yellow * 0.3), int(206 - yellow)),), 0, 14),
            "vessels": round(between(3, 14, 6)),
            "redness": between(0.1, 0.8, 0.3),
            "drape": colour(_DRAPES, 0, 20),
            "pupil": between(0.54, 0.76, 0.66),
            "reflex": colour(((150, 62, 40),), 0, 36),
            "lens": colour(_LENSES, 0, 16),
            "haptic": colour(_HAPTICS, 0, 20),
        }
        between = _scaled(rng, nuisance)
        return cls(
            seed=seed if nuisance else 0,
            **eye,  # type: ignore[arg-type]
            glints=tuple(glints),
            limbus_px=between(0.33, 0.50, 0.42),
            rotation=between(-32, 32, 0),
            mirror=bool(rng.random() < nuisance - 0.5),
            offset=(between(-0.16, 0.16, 0), between(-0.10, 0.10, 0)),
            cast=(between(0.82, 1.16, 1), between(0.86, 1.1, 1), between(0.78, 1.2, 1)),
            exposure=between(0.68, 1.22, 1),
            contrast=between(0.75, 1.2, 1),
            light=(between(-0.7, 0.7, 0), between(-0.7, 0.7, 0)),
            falloff=between(0.05, 0.5, 0.12),
            haze=max(between(-0.2, 0.42, 0), 0.0),
            metal=between(0.62, 1.15, 1),
            tool_scale=between(0.8, 1.2, 1),
            drift=between(0.0, 0.09, 0),
            tremor=between(0.005, 0.03, 0),
            blur=between(0.0, 0.85, 0),
            noise=between(1.0, 7.0, 0),
            crf=round(between(16, 29, 15)),
            hand=nuisance,
        )


def _scaled(rng: np.random.Generator, share: float) -> Callable[[float, float, float], float]:
    """Draw uniformly between two ends that lie the `share` of their way from a usual value."""

    def between(low: float, high: float, usual: float) -> float:
        return usual + share * (float(rng.uniform(low, high)) - usual)

    return between


def _coloured(rng: np.random.Generator, share: float) -> Callable[..., Colour]:
    """Draw one of several colours and change it a little; at a small share it is the usual one."""

    def draw(
        colours: tuple[Colour, ...],
        usual: int,
        amount: int,
        shares: tuple[float, ...] | None = None,
    ) -> Colour:
        chosen = colours[int(rng.choice(len(colours), p=shares))]
        red, green, blue = (
            int(np.clip(u + share * (c + rng.integers(-amount, amount + 1) - u), 10, 250))
            for u, c in zip(colours[usual], chosen, strict=True)
        )
        return red, green, blue

    return draw
