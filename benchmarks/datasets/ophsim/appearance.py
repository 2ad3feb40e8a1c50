"""What belongs to a case and not to an operation: eye, microscope, camera and codec.

Drawn once per case, so that a classifier which sees few cases over-fits to them; this is the
domain gap that real operating theatres show. One number, `nuisance`, scales how much cases differ.
Source of every range: our choice, by eye.
"""

from dataclasses import dataclass, fields, replace
from typing import Final, TypeVar

import numpy as np

from benchmarks.datasets.ophsim.canvas import Colour

# Iris base colours: browns are the most frequent, as in OphNet's mostly East Asian cases.
_IRISES: tuple[Colour, ...] = (
    (92, 58, 36), (70, 45, 32), (112, 76, 44), (128, 98, 54), (96, 112, 84),
    (84, 112, 138), (122, 140, 150), (60, 84, 112),
)  # fmt: skip
_IRIS_SHARES = (0.22, 0.2, 0.18, 0.1, 0.08, 0.09, 0.06, 0.07)
_LENSES: tuple[Colour, ...] = (
    (206, 150, 72), (160, 98, 46), (222, 202, 132), (188, 182, 170), (196, 122, 84),
)  # fmt: skip
_HAPTICS: tuple[Colour, ...] = ((70, 110, 214), (206, 222, 232), (96, 84, 150), (60, 150, 190))
_DRAPES: tuple[Colour, ...] = ((168, 118, 98), (196, 150, 128), (74, 122, 142), (80, 132, 108))

NUISANCE: Final = 1.0  # of a case, unless a configuration says otherwise
_PLAIN: Final = 0.25  # instruments are plain to see; eyes and lights differ in full from here on
_THICKER: Final = 0.75  # share by which thin instruments are thickened where they are plain
_EYE: Final = (
    "iris", "iris_texture", "sclera", "vessels", "redness", "drape", "pupil", "reflex", "glints",
    "lens", "haptic",
)  # fmt: skip
_LIGHT: Final = ("cast", "exposure", "contrast", "light", "falloff")
_INSTRUMENTS: Final = ("tool_hue", "tool_saturation")

T = TypeVar("T", int, float, tuple[int, ...], tuple[float, ...])


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
    tool_hue: float  # degrees: makers colour hubs and handles differently
    tool_saturation: float
    tool_scale: float
    drift: float  # amplitude of eye and microscope movement
    tremor: float  # amplitude of hand tremor
    blur: float  # sigma in pixels at 64 rows
    noise: float  # sensor noise, sigma in grey levels
    crf: int  # H.264 quality (lower is better)
    thicker: float = 0.0  # share by which thin instruments are wider than life
    hand: float = 1.0  # how much strokes differ from clip to clip, 0-1

    @classmethod
    def standard(cls) -> "CaseAppearance":
        """The same brown eye, centred, sharp and noise-free: every case at nuisance 0."""
        return cls(
            seed=0,
            iris=(112, 76, 44),
            iris_texture=0.4,
            sclera=(226, 212, 204),
            vessels=6,
            redness=0.3,
            drape=(168, 118, 98),
            pupil=0.66,
            reflex=(150, 62, 40),
            limbus_px=0.40,
            rotation=0.0,
            mirror=False,
            offset=(0.0, 0.0),
            cast=(1.0, 1.0, 1.0),
            exposure=1.0,
            contrast=1.0,
            light=(0.0, 0.0),
            falloff=0.12,
            glints=((-0.12, -0.2, 0.06), (0.14, -0.2, 0.06)),
            haze=0.0,
            lens=_LENSES[0],
            haptic=_HAPTICS[0],
            metal=1.0,
            tool_hue=0.0,
            tool_saturation=1.0,
            tool_scale=1.0,
            drift=0.0,
            tremor=0.0,
            blur=0.0,
            noise=0.0,
            crf=14,
            thicker=_THICKER,
            hand=0.0,
        )

    @classmethod
    def draw(cls, seed: int, nuisance: float = NUISANCE) -> "CaseAppearance":
        """One case's appearance.

        Args: nuisance: 0-1. 0: every case is `standard`. Up to 0.25 eyes and light come to differ
        in full, while instruments keep their colours and are drawn thick; beyond it, what
        microscope, camera, hand and instrument makers add goes on growing.
        """
        case = cls._unlike_others(seed)
        return case if nuisance >= 1.0 else case._calmed(nuisance)

    def _calmed(self, nuisance: float) -> "CaseAppearance":
        """This case, `nuisance` of the way from the standard one."""
        usual = self.standard()
        of_sight = min(nuisance / _PLAIN, 1.0)
        of_tools = max(nuisance - _PLAIN, 0.0) / (1.0 - _PLAIN)
        found = {}
        for field in fields(self):
            share = nuisance
            if field.name in (*_EYE, *_LIGHT, "seed"):
                share = of_sight
            elif field.name in _INSTRUMENTS:
                share = of_tools
            own, other = getattr(self, field.name), getattr(usual, field.name)
            found[field.name] = own if share == 1.0 else _between(other, own, share)
        return replace(
            self,
            **found
            | {
                "thicker": _THICKER * (1.0 - of_tools),
                "mirror": self.mirror and nuisance > 0.5,
                "hand": nuisance,
            },
        )

    @classmethod
    def _unlike_others(cls, seed: int) -> "CaseAppearance":
        """A case at full nuisance."""
        rng = np.random.default_rng([7_301, seed])

        def between(low: float, high: float) -> float:
            return float(rng.uniform(low, high))

        def jitter(colour: Colour, amount: int) -> Colour:
            red, green, blue = (
                int(np.clip(c + rng.integers(-amount, amount + 1), 10, 250)) for c in colour
            )
            return red, green, blue

        glint_x, glint_y = between(-0.3, 0.3), between(-0.4, 0.2)
        gap, size = between(0.12, 0.3), between(0.04, 0.1)
        glints = [(glint_x - gap / 2, glint_y, size), (glint_x + gap / 2, glint_y, size)]
        if rng.random() < 0.4:
            glints.append((glint_x, glint_y + gap, size * 0.7))
        yellow = between(0, 30)
        return cls(
            seed=seed,
            iris=jitter(_IRISES[int(rng.choice(8, p=_IRIS_SHARES))], 14),
            iris_texture=between(0.15, 0.9),
            sclera=jitter((226, int(214 - yellow * 0.3), int(206 - yellow)), 14),
            vessels=int(rng.integers(3, 14)),
            redness=between(0.1, 0.8),
            drape=jitter(_DRAPES[int(rng.integers(len(_DRAPES)))], 20),
            pupil=between(0.54, 0.76),
            reflex=jitter((150, 62, 40), 36),
            limbus_px=between(0.33, 0.50),
            rotation=between(-32, 32),
            mirror=bool(rng.random() < 0.5),
            offset=(between(-0.16, 0.16), between(-0.10, 0.10)),
            cast=(between(0.82, 1.16), between(0.86, 1.1), between(0.78, 1.2)),
            exposure=between(0.68, 1.22),
            contrast=between(0.75, 1.2),
            light=(between(-0.7, 0.7), between(-0.7, 0.7)),
            falloff=between(0.05, 0.5),
            glints=tuple(glints),
            haze=max(between(-0.2, 0.42), 0.0),
            lens=jitter(_LENSES[int(rng.integers(len(_LENSES)))], 16),
            haptic=jitter(_HAPTICS[int(rng.integers(len(_HAPTICS)))], 20),
            metal=between(0.62, 1.15),
            tool_hue=between(-180, 180),
            tool_saturation=between(0.15, 1.0),
            tool_scale=between(0.8, 1.2),
            drift=between(0.0, 0.09),
            tremor=between(0.005, 0.03),
            blur=between(0.0, 0.85),
            noise=between(1.0, 7.0),
            crf=int(rng.integers(16, 30)),
        )


def _between(usual: T, drawn: T, share: float) -> T:
    """`share` of the way from one value to another; whole numbers stay whole."""
    if isinstance(usual, tuple):
        pairs = zip(usual, drawn, strict=False)  # a third glint is drawn at full share alone
        return tuple(_between(u, d, share) for u, d in pairs)
    value = usual + share * (drawn - usual)
    return round(value) if isinstance(usual, int) else value
