"""The eye without surgery: drape, sclera with vessels, limbus, textured iris."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.ophsim.appearance import CaseAppearance
from benchmarks.datasets.ophsim.canvas import Canvas, Image, View, arc, polar, shade


def view_of(appearance: CaseAppearance, width: int, height: int) -> View:
    """The case's camera at a frame size in pixels."""
    return View(
        scale=appearance.limbus_px * height,
        angle=float(np.deg2rad(appearance.rotation)),
        centre_x=width / 2 + appearance.offset[0] * height,
        centre_y=height / 2 + appearance.offset[1] * height,
        mirror=appearance.mirror,
    )


@lru_cache(maxsize=8)
def eye(appearance: CaseAppearance, width: int, height: int) -> Image:
    """(2 * height, 2 * width, 3) uint8: the frame with a margin of half its size on every side,
    so that eye and microscope can move. Cached, since every clip of a case starts from it."""
    rng = np.random.default_rng([11, appearance.seed])
    image = np.empty((2 * height, 2 * width, 3), np.uint8)
    image[:] = appearance.drape
    canvas = Canvas(image, view_of(appearance, width, height).shifted(width / 2, height / 2))
    lids = np.concatenate([arc(2.0, 180, 360, 0.72), arc(2.0, 0, 180, 0.72)])
    canvas.polygon(lids * 1.06, shade(appearance.drape, 0.72))
    canvas.polygon(lids, appearance.sclera)
    _vessels(canvas, appearance, rng)
    canvas.disc((0, 0), 1.05, shade(appearance.sclera, 0.8), 0.6)
    canvas.disc((0, 0), 1.0, shade(appearance.iris, 0.6))
    canvas.disc((0, 0), 0.95, appearance.iris)
    _fibres(canvas, appearance, rng)
    image.setflags(write=False)
    return image


def _vessels(canvas: Canvas, appearance: CaseAppearance, rng: np.random.Generator) -> None:
    """Winding branches that run from the lids towards the limbus."""
    for _ in range(appearance.vessels):
        angle = float(rng.uniform(0, 360))
        radii = np.linspace(1.95, float(rng.uniform(1.08, 1.3)), 6)
        angles = angle + np.cumsum(rng.normal(0, 4, 6))
        alpha = appearance.redness * float(rng.uniform(0.4, 1.0))
        canvas.line(polar(radii, angles), (176, 62, 58), float(rng.uniform(0.02, 0.05)), alpha)
        branch = angles[2:] + np.linspace(0, float(rng.normal(0, 16)), 4)
        canvas.line(polar(radii[2:], branch), (176, 62, 58), 0.02, alpha * 0.7)


def _fibres(canvas: Canvas, appearance: CaseAppearance, rng: np.random.Generator) -> None:
    """Radial iris fibres and a collarette."""
    for angle in rng.uniform(0, 360, 40):
        inner, outer = float(rng.uniform(0.5, 0.7)), float(rng.uniform(0.75, 0.95))
        colour = shade(appearance.iris, float(rng.choice([0.62, 1.5])))
        ends = polar(np.array([inner, outer]), np.array([angle, angle + rng.normal(0, 4)]))
        canvas.line(ends, colour, 0.025, appearance.iris_texture * float(rng.uniform(0.3, 0.9)))
    canvas.ring((0, 0), 0.76, shade(appearance.iris, 1.3), 0.05, appearance.iris_texture * 0.5)


@lru_cache(maxsize=8)
def light_map(appearance: CaseAppearance, width: int, height: int) -> NDArray[np.float32]:
    """(height, width, 3) float32 gain: lamp, exposure and white balance."""
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] - np.float32(appearance.light[0])
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] - np.float32(appearance.light[1])
    gain = appearance.exposure * (1 - appearance.falloff * np.minimum((x**2 + y**2) * 0.5, 1.2))
    return np.asarray(gain[..., None] * np.array(appearance.cast, np.float32), dtype=np.float32)


def develop(
    image: Image, appearance: CaseAppearance, rng: np.random.Generator, noise: bool
) -> Image:
    """Light, lens and sensor: (H, W, 3) uint8 -> (H, W, 3) uint8."""
    height, width = image.shape[:2]
    if appearance.blur > 0:
        image = cv2.GaussianBlur(image, (0, 0), appearance.blur * height / 64)
    lit = image.astype(np.float32) * light_map(appearance, width, height)
    if appearance.contrast != 1.0:
        lit = (lit - 110) * np.float32(appearance.contrast) + 110
    if noise and appearance.noise > 0:
        lit += rng.standard_normal(lit.shape, dtype=np.float32) * np.float32(appearance.noise)
    return np.clip(lit, 0, 255).astype(np.uint8)
