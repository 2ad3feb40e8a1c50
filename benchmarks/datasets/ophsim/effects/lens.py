"""Inside the pupil: capsule, nucleus, cortex, intraocular lens, iris."""

import numpy as np

from benchmarks.datasets.ophsim.canvas import Colour, arc, polar, rotate, shade
from benchmarks.datasets.ophsim.effects.moment import PALETTE, Moment


def pupil(now: Moment, v: float, *, start: float = 0.0, stop: float = 0.0) -> None:
    """Pupil with red reflex; radius goes from `start` to `stop` (0 = the case's own)."""
    own = now.appearance.pupil
    radius = (start or own) + ((stop or own) - (start or own)) * v
    now.pupil = radius
    now.canvas.disc((0, 0), radius, shade(now.appearance.reflex, 0.55))
    now.canvas.disc((0, 0), radius * 0.93, now.appearance.reflex)


def _lens_colour(now: Moment, colour: str) -> Colour:
    """ "amber" stands for the case's own lens."""
    return now.appearance.lens if colour == "amber" else PALETTE[colour]


def opacity(
    now: Moment, v: float, *, colour: str = "amber", alpha: float = 0.6, share: float = 0.96
) -> None:
    """A clouded lens that fills `share` of the pupil; alpha grows with v."""
    now.canvas.disc((0, 0), now.pupil * share, _lens_colour(now, colour), alpha * v)


def nucleus(
    now: Moment,
    v: float,
    *,
    pieces: int = 1,
    radius: float = 0.5,
    grooves: int = 0,
    spin: float = 0.0,
    gap: float = 0.0,
    shift_x: float = 0.0,
    shift_y: float = 0.0,
    vanish: int = 0,
    colour: str = "amber",
) -> None:
    """The lens nucleus. Over v: grooves deepen, `spin` degrees turn, pieces part by `gap`,
    the whole shifts, and the last `vanish` pieces shrink away one after the other."""
    canvas, centre = now.canvas, now.at + np.array([shift_x, shift_y]) * v
    base = _lens_colour(now, colour)
    turn = now.random[0] * 50 - 25 + spin * v
    for index in range(pieces):
        left = 1.0
        if vanish and index >= pieces - vanish:
            left = float(np.clip((pieces - index) - v * vanish, 0.0, 1.0))
        if left < 0.08:
            continue
        start, span = turn + index * 360 / pieces, 360 / pieces
        middle = polar(gap * v if gap else 0.0, start + span / 2)
        edge = arc(radius * left, start, start + span)
        wedge = edge if pieces == 1 else np.concatenate([edge, [[0.0, 0.0]]])
        if left < 1.0:  # being eaten: it is drawn to the tip
            middle = middle * left + (now.tip() - centre) * (1 - left) * 0.6
        canvas.polygon(wedge + centre + middle, shade(base, 0.5))
        inset = wedge.mean(axis=0)
        canvas.polygon((wedge - inset) * 0.84 + inset + centre + middle, base)
    if spin:
        for spoke in (0.0, 90.0):
            canvas.line(
                polar(radius * 0.85, np.array([0.0, 180.0]) + turn + spoke) + centre,
                shade(base, 0.55),
                0.05,
            )
    for groove in range(grooves):
        depth = float(np.clip(v * grooves - groove, 0.0, 1.0))
        if depth > 0.05:
            ends = np.array([[-radius * 0.85, 0.0], [radius * 0.85 * (2 * depth - 1), 0.0]])
            canvas.line(rotate(ends, turn + 90 * groove) + centre, (70, 34, 22), 0.11)


def bowl(now: Moment, v: float, *, colour: str = "tissue") -> None:
    """Epinuclear shell: a thick crescent that is pulled in and shrinks as v grows."""
    left = 1.0 - v
    span = 60 + 240 * left
    start = 100.0 + now.random[0] * 40
    now.canvas.ring(
        polar(0.15 * v, 200.0), 0.44 * (0.6 + 0.4 * left), PALETTE[colour], 0.22, 0.85,
        start, start + span,
    )  # fmt: skip


def cortex(now: Moment, v: float, *, strands: int = 14, colour: str = "white") -> None:
    """Soft radial strands under the capsule's rim; they go one by one, clockwise."""
    base = PALETTE[colour]
    for index in range(strands):
        left = float(np.clip(strands * (1 - v) - index, 0.0, 1.0))
        if left <= 0:
            continue
        angle = index * 360 / strands + now.random[index] * 14
        inner = 0.22 + 0.12 * now.random[index + 20]
        ends = polar(np.array([now.pupil * 0.95, inner]), np.array([angle, angle + 8]))
        now.canvas.line(ends, base, 0.1, 0.6 * left)


def capsule_rim(now: Moment, v: float, *, radius: float = 0.42, colour: str = "gold") -> None:
    """The edge of an open anterior capsule."""
    now.canvas.ring(now.at, radius, PALETTE[colour], 0.035, 0.7 * v)


def tear(now: Moment, v: float, *, radius: float = 0.42, colour: str = "white") -> None:
    """Capsulorhexis: a round tear that opens behind the forceps, its flap folded over."""
    start, stop = -60.0, -60.0 + 350.0 * v
    canvas = now.canvas
    if v > 0.1:
        canvas.polygon(np.concatenate([arc(radius, start, stop), [[0.0, 0.0]]]), (196, 84, 52), 0.5)
    canvas.ring((0, 0), radius, PALETTE[colour], 0.05, 1.0, start, stop)
    edge = polar(radius, stop)
    flap = np.array([edge, polar(radius * 0.2, stop - 30), polar(radius * 0.8, stop - 60)])
    canvas.polygon(flap, PALETTE[colour], 0.65)


def punctures(now: Moment, v: float, *, count: int = 10, radius: float = 0.42) -> None:
    """Can-opener capsulotomy: separate short radial cuts on a circle."""
    for index in range(round(count * v)):
        angle = -120.0 + index * 360 / count
        ends = polar(np.array([radius - 0.08, radius + 0.08]), np.array([angle, angle + 6]))
        now.canvas.line(ends, (250, 244, 226), 0.06)


def iol(
    now: Moment,
    v: float,
    *,
    from_x: float = 0.0,
    from_y: float = 0.0,
    fold: float = 0.0,
    spin: float = 0.0,
    radius: float = 0.4,
) -> None:
    """Intraocular lens: optic and two haptics. Over v it travels from (from_x, from_y) to its
    site, unfolds from a width share of 1 - `fold`, and turns by `spin` degrees."""
    canvas = now.canvas
    centre = now.at + np.array([from_x, from_y]) * (1 - v)
    width = 1.0 - fold * (1 - v)
    turn = 35.0 + spin * v

    def place(points: np.ndarray) -> np.ndarray:
        return rotate(points * np.array([1.0, width]), turn) + centre

    for side in (0.0, 180.0):
        haptic = rotate(arc(0.3, 190, 330) + np.array([0.0, -radius * 0.82]), side)
        canvas.line(place(haptic), now.appearance.haptic, 0.06)
    optic = place(arc(radius, 0, 348))
    canvas.polygon(optic, (196, 214, 226), 0.35)
    canvas.line(optic, (236, 244, 250), 0.05, closed=True)


def iris_hole(now: Moment, v: float, *, size: float = 0.26) -> None:
    """Peripheral iridectomy: a dark triangle in the iris at the site."""
    outward = now.at / max(float(np.hypot(*now.at)), 1e-6)
    side = np.array([-outward[1], outward[0]])
    tip = now.at - outward * size * v
    base = now.at + outward * 0.05
    points = np.array([tip, base + side * size * 0.75 * v, base - side * size * 0.75 * v])
    now.canvas.polygon(points, (14, 8, 8))


def prolapse(now: Moment, v: float, *, size: float = 0.34) -> None:
    """Iris that bulges out of the wound; v = 1 is fully out."""
    colour = shade(now.appearance.iris, 0.75)
    now.canvas.disc(now.at * 0.92, size * 0.8, (20, 10, 10), 0.5 * v)
    now.canvas.disc(now.at * (0.85 + 0.25 * v), size * (0.25 + 0.75 * v), colour)
    now.canvas.disc(now.at * (0.88 + 0.25 * v), size * 0.5 * v, shade(colour, 1.5))


EFFECTS = (
    pupil, opacity, nucleus, bowl, cortex, capsule_rim, tear, punctures, iol, iris_hole, prolapse,
)  # fmt: skip
