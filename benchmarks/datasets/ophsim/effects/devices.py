"""Implants and things laid on or in the eye: tubes, rings, expanders, contact and gonio lenses."""

import numpy as np

from benchmarks.datasets.ophsim.canvas import arc, polar, rotate, shade
from benchmarks.datasets.ophsim.effects.moment import PALETTE, Moment, at_site, bearing


def tube(
    now: Moment,
    v: float,
    *,
    outside: float = 0.9,
    inside: float = 0.7,
    bend: float = 0.25,
    colour: str = "cyan",
    width: float = 0.12,
) -> None:
    """A silicone tube from `outside` units behind the site; its front end advances over v."""
    if v < 0.05:
        return
    t = np.linspace(0, 1, 8)
    x = outside - (outside + inside) * v * t
    points = at_site(now, np.stack([x, bend * np.sin(np.pi * t)], axis=1))
    now.canvas.line(points, shade(PALETTE[colour], 0.6), width)
    now.canvas.line(points, PALETTE[colour], width * 0.55)


def plate(
    now: Moment, v: float, *, from_out: float = 0.0, size: float = 0.5, colour: str = "white"
) -> None:
    """A drainage plate with rounded end and two fixation holes, sliding in over v."""
    outline = np.concatenate([arc(size, -90, 90), arc(size * 0.8, 90, 270)])
    centre = np.array([from_out * (1 - v), 0.0])
    canvas = now.canvas
    canvas.polygon(at_site(now, outline + centre), shade(PALETTE[colour], 0.6))
    canvas.polygon(at_site(now, outline * 0.85 + centre), PALETTE[colour])
    for side in (-1, 1):
        hole = at_site(now, np.array([[-0.2, side * size * 0.5]]) + centre)[0]
        canvas.disc(hole, 0.08, (40, 40, 44))


def shunt(now: Moment, v: float, *, length: float = 0.5, colour: str = "gold") -> None:
    """A short stiff drainage implant that stays where the inserter left it."""
    if v < 0.05:
        return
    ends = np.array([[0.1, 0.0], [0.1 - length * v, 0.0]])
    now.canvas.line(at_site(now, ends), shade(PALETTE[colour], 0.5), 0.16)
    now.canvas.line(at_site(now, ends), PALETTE[colour], 0.09)


def metal_ring(
    now: Moment,
    v: float,
    *,
    radius: float = 1.2,
    width: float = 0.09,
    colour: str = "steel",
    from_x: float = 0.0,
    from_y: float = 0.0,
) -> None:
    """A ring laid around the limbus, sliding in from (from_x, from_y)."""
    centre = now.at + np.array([from_x, from_y]) * (1 - v)
    now.canvas.ring(centre, radius, shade(PALETTE[colour], 0.45), width * 1.5)
    now.canvas.ring(centre, radius, PALETTE[colour], width)


def expander(now: Moment, v: float, *, colour: str = "blue") -> None:
    """Malyugin-like square in the pupil: opens from a narrow diamond over v."""
    if v < 0.03:
        return
    half = 0.55
    square = np.array([[half, 0], [0, half * v], [-half, 0], [0, -half * v]]) * 1.05
    square = rotate(square, 20.0) + now.at
    now.canvas.line(square, PALETTE[colour], 0.09, closed=True)
    for corner in square:
        now.canvas.ring(corner, 0.09, shade(PALETTE[colour], 1.4), 0.05)


def contact_lens(
    now: Moment, v: float, *, radius: float = 1.12, from_x: float = 0.0, from_y: float = 0.0
) -> None:
    """A soft bandage lens: bluish disc with a bright edge, gliding in over v."""
    centre = now.at + np.array([from_x, from_y]) * (1 - v)
    now.canvas.disc(centre, radius, (140, 186, 236), 0.38)
    now.canvas.ring(centre, radius, (232, 244, 255), 0.07)
    now.canvas.ring(centre, radius * 0.8, (255, 255, 255), 0.07, 0.9, 200, 250)


def gonio_lens(
    now: Moment,
    v: float,
    *,
    radius: float = 0.92,
    from_x: float = 0.0,
    from_y: float = 0.0,
    angle_view: bool = False,
) -> None:
    """A goniolens on the cornea; with `angle_view` the mirrored angle's bands fill it, and the
    lens is turned to and fro."""
    tilt = 24 * float(np.sin(2 * np.pi * now.progress))
    centre = now.at + np.array([from_x, from_y]) * (1 - v)
    canvas = now.canvas
    canvas.disc(centre, radius * 1.08, (26, 26, 30))
    canvas.disc(centre, radius, (150, 176, 186))
    if angle_view:
        bands = (("iris", 0.0), ("brown", 0.3), ("grey", 0.46), ("white", 0.62), ("stroma", 0.76))
        for colour, low in bands:
            arch = np.concatenate([arc(radius * (1 - low), 185, 355), [[0.0, radius * 0.25]]])
            canvas.polygon(rotate(arch * 0.96, tilt) + centre, PALETTE[colour])
    else:
        canvas.disc(centre, radius * 0.5, (60, 40, 34), 0.7)
        for spoke in (30.0, 150.0, 270.0):
            ends = polar(np.array([radius * 0.5, radius]), np.array([spoke, spoke])) + centre
            canvas.line(ends, (230, 240, 246), 0.06)
    canvas.ring(centre, radius * 0.86, (255, 255, 255), 0.06, 0.9, 200, 255)


def mires(now: Moment, v: float, *, rings: int = 3, squash: float = 0.8, spots: int = 12) -> None:
    """A ring of lamps mirrored by the cornea; `squash` below 1 shows astigmatism."""
    for ring in range(rings):
        radius = (0.28 + 0.22 * ring) * (0.9 + 0.1 * v)
        for index in range(spots):
            spot = polar(radius, index * 360 / spots) * np.array([1.0, squash])
            now.canvas.disc(spot + now.at, 0.055, (255, 255, 236))


def loose_tube(now: Moment, v: float, *, cut: float = 0.0, colour: str = "cyan") -> None:
    """A drainage device outside the eye: plate on the left, tube to the right; `cut` units of
    the tube drop off as v grows."""
    canvas = now.canvas
    outline = np.concatenate([arc(0.5, 90, 270), arc(0.4, -90, 90)]) + np.array([-1.1, 0.0])
    canvas.polygon(outline, PALETTE["grey"])
    canvas.polygon((outline - [-1.1, 0.0]) * 0.85 + [-1.1, 0.0], PALETTE["white"])
    bend = 0.18 * np.sin(np.pi * np.linspace(0, 1, 8))
    kept = np.stack([np.linspace(-0.75, 0.85, 8), bend], axis=1)
    end = np.array([[0.85, 0.0], [1.35, 0.1]])
    for points in (kept, end + np.array([0.25, 1.0]) * cut * v):
        canvas.line(points, shade(PALETTE[colour], 0.5), 0.15)
        canvas.line(points, PALETTE[colour], 0.08)


def sponges(now: Moment, v: float) -> None:
    """Soaked sponge pieces laid on bare sclera one after the other."""
    for index in range(int(np.ceil(3 * v))):
        middle = np.array([-0.15, (index - 1) * 0.34])
        box = np.array([[-0.17, -0.15], [0.17, -0.15], [0.17, 0.15], [-0.17, 0.15]])
        points = at_site(now, rotate(box, 40 * now.random[index] - 20) + middle)
        now.canvas.polygon(points, PALETTE["yellow"])
        now.canvas.line(points, (150, 130, 40), 0.04, closed=True)


def speculum(now: Moment, v: float, *, away: float = 2.0, squeeze: float = 0.0) -> None:
    """Wire lid retractor: two bows and a handle on one side; leaves sideways as v grows."""
    shift = np.array([-away * v, 0.0])
    canvas = now.canvas
    for side in (-1, 1):
        height = 1.02 - squeeze * v
        bow = np.array(
            [
                [-2.4, 0.25],
                [-1.5, height],
                [-0.6, height + 0.12],
                [0.6, height + 0.12],
                [0.75, height - 0.18],
                [-0.7, height - 0.18],
            ]
        ) * np.array([1.0, side])
        canvas.line(bow + shift, (64, 68, 76), 0.16)
        canvas.line(bow + shift, PALETTE["steel"], 0.1)


def lids(now: Moment, v: float) -> None:
    """Eyelids that close in from above and below."""
    reach = 1.5 - 0.75 * v
    for side in (-1, 1):
        lid = arc(2.4, 180, 360) * np.array([1.0, 0.5])
        points = np.concatenate([[[-3, -3]], lid * [1, -0.4] + [0, -reach], [[3, -3]]])
        canvas_points = points * np.array([1.0, -side])
        now.canvas.polygon(canvas_points, shade(now.appearance.drape, 0.9))
        now.canvas.line(canvas_points[1:-1], shade(now.appearance.drape, 0.45), 0.07)


def suspension(now: Moment, v: float, *, colour: str = "blue", pull: float = 0.9) -> None:
    """A stay suture through the limbus at the site, drawn tight to the frame's edge over v."""
    outward = polar(1.0, bearing(now))
    side = np.array([-outward[1], outward[0]])
    if v < 0.05:
        return
    end = now.at + outward * (0.2 + pull * 2 * v)
    for sign in (-1, 1):
        now.canvas.line(
            np.array([now.at + side * sign * 0.16, end + side * sign * 0.05]),
            PALETTE[colour],
            0.06,
        )
    now.canvas.line(np.array([now.at - side * 0.16, now.at + side * 0.16]), PALETTE[colour], 0.07)


def ligature(now: Moment, v: float, *, colour: str = "blue") -> None:
    """A knot that is tightened around a tube at the site."""
    size = 0.3 - 0.18 * v
    now.canvas.ring(now.at, size, PALETTE[colour], 0.06)
    ends = np.array([[0.0, -0.6], [0.0, -size], [0.0, size], [0.0, 0.6]])
    now.canvas.line(at_site(now, ends[:2]), PALETTE[colour], 0.05)
    now.canvas.line(at_site(now, ends[2:]), PALETTE[colour], 0.05)


EFFECTS = (
    tube, plate, shunt, metal_ring, expander, contact_lens, gonio_lens, mires, speculum, lids,
    suspension, ligature, loose_tube, sponges,
)  # fmt: skip
