"""Fluids, gels, dyes, gas and blood."""

import numpy as np

from benchmarks.datasets.ophsim.canvas import arc, polar, shade
from benchmarks.datasets.ophsim.effects.moment import PALETTE, Moment


def pool(
    now: Moment,
    v: float,
    *,
    radius: float = 0.4,
    colour: str = "blood",
    alpha: float = 0.8,
    ragged: float = 0.25,
    squash: float = 1.0,
) -> None:
    """An irregular blot at the site that grows with v."""
    if v <= 0.02:
        return
    points = arc(1.0, 0, 345)
    wobble = 1 + ragged * (now.random[np.arange(len(points)) % 16] * 2 - 1)
    grown = radius * np.sqrt(v)
    shape = points * wobble[:, None] * np.array([grown, grown * squash])
    now.canvas.polygon(shape + now.at, PALETTE[colour], alpha)


def gel(now: Moment, v: float, *, radius: float = 0.62, bubbles: int = 5) -> None:
    """Viscoelastic: a glossy clear mass with a bright rim and trapped air bubbles."""
    grown = radius * float(np.sqrt(v))
    if grown < 0.06:
        return
    canvas = now.canvas
    canvas.disc(now.at, grown, PALETTE["gel"], 0.42)
    canvas.ring(now.at, grown, (246, 252, 250), 0.06, 0.85)
    canvas.ring(now.at, grown * 0.7, (250, 254, 252), 0.06, 0.8, 190, 260)
    for index in range(bubbles):
        spot = now.at + polar(grown * 0.75 * now.random[index], 360 * now.random[index + 20])
        canvas.ring(spot, 0.06, (255, 255, 255), 0.03)


def gas(now: Moment, v: float, *, radius: float = 0.8) -> None:
    """One large gas bubble: dark broad edge, silver inside, bright crescent."""
    grown = radius * float(np.sqrt(v))
    if grown < 0.06:
        return
    canvas = now.canvas
    canvas.disc(now.at, grown, (30, 32, 38), 0.75)
    canvas.disc(now.at, grown * 0.82, (214, 220, 226), 0.75)
    canvas.disc(now.at - grown * 0.25, grown * 0.3, (255, 255, 255), 0.9)


def froth(
    now: Moment, v: float, *, count: int = 18, radius: float = 0.75, colour: str = "white"
) -> None:
    """White micro-bubbles that fill a tissue layer until it is opaque."""
    canvas = now.canvas
    canvas.disc(now.at, radius * v, PALETTE[colour], 0.55 * v)
    for index in range(int(count * v)):
        spot = polar(radius * float(np.sqrt(now.random[index])), 360 * now.random[index + 32])
        canvas.disc(spot * v + now.at, 0.05 + 0.07 * now.random[index + 5], (252, 252, 252))


def wave(
    now: Moment, v: float, *, radius: float = 0.7, repeats: int = 2, colour: str = "clear"
) -> None:
    """A bright front that runs from the site across the pupil, `repeats` times."""
    part = (v * repeats) % 1.0
    if v >= 1.0 or part < 0.05:
        return
    canvas = now.canvas
    canvas.ring(now.at, 2 * radius * part, PALETTE[colour], 0.12, 0.85 * (1 - 0.5 * part))
    canvas.disc(now.at, 2 * radius * part, PALETTE[colour], 0.2)


def jet(
    now: Moment,
    v: float,
    *,
    colour: str = "clear",
    length: float = 0.6,
    spread: float = 26.0,
    hand: int = 0,
    streams: int = 5,
) -> None:
    """Fluid that leaves a tool's opening, flickering; v only switches it on."""
    if v <= 0.0 or hand >= len(now.tips) or not now.tips[hand].visible:
        return
    forward = now.tips[hand].angle + 180.0
    for index in range(streams):
        beat = (now.progress * 9 + now.random[index]) % 1.0
        angle = forward + spread * (2 * index / max(streams - 1, 1) - 1)
        ends = now.tip(hand) + np.stack(
            [polar(length * beat * 0.4, angle), polar(length * (0.4 + 0.6 * beat), angle)]
        )
        now.canvas.line(ends, PALETTE[colour], 0.06, 0.9)


def inflow(now: Moment, v: float, *, colour: str = "white", hand: int = 0) -> None:
    """Material that streams into a tool's port; v only switches it on."""
    if v <= 0.0 or hand >= len(now.tips) or not now.tips[hand].visible:
        return
    for index in range(7):
        beat = 1.0 - (now.progress * 6 + now.random[index]) % 1.0
        spot = now.tip(hand) + polar(0.45 * beat, 360 * now.random[index + 8])
        now.canvas.disc(spot, 0.03 + 0.05 * beat, PALETTE[colour], 0.8)


def sheet(now: Moment, v: float, *, colour: str = "cyan", alpha: float = 0.3) -> None:
    """Water that runs over the whole ocular surface: a film with moving bright crests."""
    if v <= 0.02:
        return
    canvas = now.canvas
    canvas.disc((0, 0), 1.5, PALETTE[colour], alpha * v, 0.8)
    x = np.linspace(-1.6, 1.6, 9)
    for index in range(6):
        y = -1.1 + ((index / 6 + now.progress * 1.3) % 1.0) * 2.2
        crest = np.stack([x, y + 0.1 * np.sin(4 * x + index + 9 * now.progress)], axis=1)
        canvas.line(crest, (250, 253, 255), 0.05, 0.8 * v)


def layer(
    now: Moment, v: float, *, radius: float = 0.95, colour: str = "gel", alpha: float = 0.5
) -> None:
    """A viscous coat that spreads over the cornea, with a thick shiny edge."""
    grown = radius * v
    if grown < 0.05:
        return
    points = arc(1.0, 0, 345)
    wobble = 1 + 0.1 * (now.random[np.arange(len(points)) % 16] * 2 - 1)
    shape = points * wobble[:, None] * grown + now.at * (1 - v)
    now.canvas.polygon(shape, PALETTE[colour], alpha)
    now.canvas.line(shape, (255, 255, 255), 0.09, 0.9, closed=True)


def bleb(now: Moment, v: float, *, radius: float = 0.5, colour: str = "white") -> None:
    """Fluid under the conjunctiva: a dome with a shadowed foot and a highlight."""
    grown = radius * float(np.sqrt(v))
    if grown < 0.06:
        return
    canvas = now.canvas
    canvas.disc(now.at + 0.06, grown, (120, 70, 66), 0.5)
    canvas.disc(now.at, grown, shade(PALETTE[colour], 0.92), 0.9)
    canvas.disc(now.at - grown * 0.3, grown * 0.35, (255, 255, 255), 0.9)


def sparks(now: Moment, v: float, *, hand: int = 0) -> None:
    """Coagulation: a flickering white spot with smoke at the tip."""
    if not 0.0 < v < 1.0 or hand >= len(now.tips) or not now.tips[hand].visible:
        return
    tip = now.tip(hand)
    flicker = 0.6 + 0.4 * float(np.sin(now.progress * 60))
    now.canvas.disc(tip, 0.16 * flicker, (255, 250, 214), 0.95)
    for index in range(3):
        rise = (now.progress * 5 + index / 3) % 1.0
        now.canvas.disc(
            tip + np.array([0.1 * index - 0.1, -0.5 * rise]),
            0.1 + 0.1 * rise,
            (222, 222, 222),
            0.5 * (1 - rise),
        )


def spray(now: Moment, v: float, *, colour: str = "clear", length: float = 0.8) -> None:
    """Drops that leave a device's end at the site, away from the frame's centre."""
    if not 0.0 < v < 1.0:
        return
    bearing = float(np.rad2deg(np.arctan2(now.at[1], now.at[0])))
    for index in range(9):
        beat = (now.progress * 7 + now.random[index]) % 1.0
        angle = bearing - 35 + 60 * (now.random[index + 10] - 0.5)
        spot = now.at + polar(length * beat, angle)
        now.canvas.disc(spot, 0.05 + 0.04 * beat, PALETTE[colour], 0.9)


def vitreous(now: Moment, v: float, *, strands: int = 5) -> None:
    """Clear gel strands that hang from the wound into the pupil and are cut short over v."""
    left = 1.0 - v
    for index in range(strands):
        sway = 0.25 * float(np.sin(6 * now.progress + 6 * now.random[index]))
        end = polar(0.62, 35.0 + 150 * (now.random[index + 8] - 0.5) + 180)
        t = np.linspace(0, left, 6)[:, None]
        start = polar(0.95, 35.0)
        side = np.array([-(end - start)[1], (end - start)[0]])
        curve = start * (1 - t) + end * t + side * sway * 4 * t * (1 - t)
        now.canvas.line(curve, PALETTE["clear"], 0.09, 0.75)


EFFECTS = (pool, gel, gas, froth, wave, jet, inflow, sheet, layer, bleb, sparks, spray, vitreous)
