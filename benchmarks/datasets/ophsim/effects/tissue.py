"""Cuts, flaps, grafts, sutures and marks on cornea, conjunctiva and sclera."""

import numpy as np

from benchmarks.datasets.ophsim.canvas import arc, polar, rotate, shade
from benchmarks.datasets.ophsim.effects.moment import PALETTE, Moment, at_site, bearing


def cut(
    now: Moment,
    v: float,
    *,
    length: float = 0.5,
    width: float = 0.07,
    colour: str = "blood",
    radial: bool = False,
    curve: float = 0.0,
) -> None:
    """An incision at the site that lengthens with v: along the limbus, or across it."""
    if v <= 0.03:
        return
    t = np.linspace(-0.5, -0.5 + v, 6)
    points = np.stack([curve * (0.25 - t**2), t * length], axis=1)
    now.canvas.line(at_site(now, points[:, ::-1] if radial else points), PALETTE[colour], width)


def trail(
    now: Moment,
    v: float,
    *,
    colour: str = "blood",
    width: float = 0.06,
    alpha: float = 1.0,
    hand: int = 0,
    start: float = 0.15,
    stop: float = 0.85,
) -> None:
    """What the tip leaves behind: its path from progress `start` to `stop`, or to now."""
    end = min(now.progress, stop)
    if end <= start or hand >= len(now.tips):
        return
    now.canvas.line(now.trail(hand, start, end), PALETTE[colour], width, alpha * min(v * 4, 1))


def circle_cut(
    now: Moment,
    v: float,
    *,
    radius: float = 0.72,
    width: float = 0.06,
    colour: str = "blood",
    begin: float = -90.0,
    span: float = 360.0,
) -> None:
    """A circular cut that runs from `begin` over `span` degrees."""
    now.canvas.ring(now.at, radius, PALETTE[colour], width, 1.0, begin, begin + span * v)


def bed(
    now: Moment,
    v: float,
    *,
    radius: float = 0.72,
    colour: str = "stroma",
    alpha: float = 0.6,
    rim: str = "burn",
) -> None:
    """A corneal graft bed: hazy disc with a cut rim; its haze grows with v."""
    now.canvas.disc(now.at, radius, PALETTE[colour], alpha * v)
    if v > 0.05:
        now.canvas.ring(now.at, radius, PALETTE[rim], 0.05)


def peel(now: Moment, v: float, *, radius: float = 0.72, colour: str = "white") -> None:
    """A lamella lifted off the graft bed from the right edge: the folded sheet moves left."""
    edge = radius * (1 - 1.7 * v)
    sheet = arc(radius, 0, 348)
    sheet = sheet[sheet[:, 0] <= edge]
    canvas = now.canvas
    if len(sheet) > 2:
        canvas.polygon(sheet, PALETTE[colour], 0.55)
    half = float(np.sqrt(max(radius**2 - edge**2, 0.01)))
    fold = np.array(
        [[edge, -half], [edge - 0.45 * v, -half * 0.6], [edge - 0.45 * v, half * 0.6], [edge, half]]
    )
    canvas.polygon(fold, (250, 250, 246), 0.9)
    canvas.line(fold[[0, 3]], (120, 110, 110), 0.05)


def graft(
    now: Moment,
    v: float,
    *,
    radius: float = 0.7,
    from_x: float = 0.0,
    from_y: float = 0.0,
    alpha: float = 0.45,
) -> None:
    """A donor button that slides from (from_x, from_y) onto its site over v."""
    centre = now.at + np.array([from_x, from_y]) * (1 - v)
    now.canvas.disc(centre + 0.05, radius, (60, 40, 40), 0.35)
    now.canvas.disc(centre, radius, (206, 222, 230), alpha)
    now.canvas.ring(centre, radius, (244, 250, 252), 0.06)


def stitches(
    now: Moment,
    v: float,
    *,
    radius: float = 0.72,
    count: int = 8,
    placed: int = 0,
    begin: float = 40.0,
    length: float = 0.3,
    colour: str = "black",
) -> None:
    """Interrupted radial sutures on a circle: `placed` from the start, the rest over v."""
    shown = placed + round((count - placed) * v)
    for index in range(shown):
        angle = begin + index * 360 / count
        inner, outer = radius - length / 2, radius + length / 2
        now.canvas.line(
            polar(np.array([inner, outer]), np.array([angle, angle])) + now.at,
            PALETTE[colour],
            0.05,
        )
        now.canvas.disc(polar(outer, angle) + now.at, 0.04, PALETTE[colour])


def local_stitches(
    now: Moment, v: float, *, count: int = 3, length: float = 0.3, gap: float = 0.2,
    colour: str = "black", across: bool = True,
) -> None:  # fmt: skip
    """Short parallel sutures over a wound at the site, one after the other."""
    for index in range(round(count * v)):
        offset = (index - (count - 1) / 2) * gap
        ends = np.array([[-length / 2, offset], [length / 2, offset]])
        if not across:
            ends = ends[:, ::-1]
        now.canvas.line(at_site(now, ends), PALETTE[colour], 0.05)
        now.canvas.disc(at_site(now, ends[1:])[0], 0.04, PALETTE[colour])


def thread(
    now: Moment, v: float, *, colour: str = "black", sag: float = 0.3, hand: int = 0
) -> None:
    """A suture between the site and a tool's tip."""
    if v <= 0.0 or hand >= len(now.tips) or not now.tips[hand].visible:
        return
    tip = now.tip(hand)
    side = np.array([-(tip - now.at)[1], (tip - now.at)[0]])
    t = np.linspace(0, 1, 8)[:, None]
    curve = now.at * (1 - t) + tip * t + side * sag * 4 * t * (1 - t)
    now.canvas.line(curve, PALETTE[colour], 0.04)


def flap(
    now: Moment,
    v: float,
    *,
    width: float = 0.6,
    depth: float = 0.55,
    colour: str = "tissue",
    lift: float = 1.0,
) -> None:
    """A rectangular scleral flap hinged at the limbus; v * `lift` = 1 is folded over it."""
    box = np.array([[0.0, -width / 2], [depth, -width / 2], [depth, width / 2], [0.0, width / 2]])
    canvas = now.canvas
    canvas.polygon(at_site(now, box), (186, 112, 92))
    canvas.line(at_site(now, box), PALETTE["blood"], 0.06, closed=True)
    fold = float(np.cos(np.pi * v * lift))
    shown = box * np.array([fold, 1.0])
    canvas.polygon(at_site(now, shown), PALETTE[colour])
    canvas.line(at_site(now, shown), shade(PALETTE[colour], 0.6), 0.04, closed=True)


def flap_outline(now: Moment, v: float, *, width: float = 0.6, depth: float = 0.55) -> None:
    """The three cuts that outline a scleral flap, drawn one after the other."""
    path = np.array(
        [[0.02, -width / 2], [depth, -width / 2], [depth, width / 2], [0.02, width / 2]]
    )
    done = v * 3
    for index in range(3):
        share = float(np.clip(done - index, 0.0, 1.0))
        if share > 0.05:
            ends = np.stack([path[index], path[index] + (path[index + 1] - path[index]) * share])
            now.canvas.line(at_site(now, ends), PALETTE["blood"], 0.08)


def deep_window(now: Moment, v: float, *, width: float = 0.4, depth: float = 0.42) -> None:
    """A second, smaller bed cut under the folded flap: dark blue-grey, nearly through."""
    box = np.array(
        [
            [0.06, -width / 2],
            [0.06 + depth * v, -width / 2],
            [0.06 + depth * v, width / 2],
            [0.06, width / 2],
        ]
    )
    now.canvas.polygon(at_site(now, box), (62, 66, 92))
    now.canvas.line(at_site(now, box), (250, 232, 214), 0.05, closed=True)


def window(now: Moment, v: float, *, size: float = 0.3) -> None:
    """Trabeculectomy: a block is cut at the limbus and lifted out, aqueous and blood follow."""
    hole = np.array(
        [[-0.08, -size / 2], [size * 0.7, -size / 2], [size * 0.7, size / 2], [-0.08, size / 2]]
    )
    canvas = now.canvas
    if v > 0.35:
        canvas.polygon(at_site(now, hole), (12, 6, 8))
        canvas.disc(now.at, 0.5 * (v - 0.35), PALETTE["blood"], 0.5)
    canvas.line(at_site(now, hole), PALETTE["blood"], 0.06, closed=True)


def patch(
    now: Moment,
    v: float,
    *,
    width: float = 0.5,
    height: float = 0.4,
    colour: str = "white",
    alpha: float = 0.9,
    from_out: float = 0.0,
    border: str = "grey",
    turn: float = 0.0,
) -> None:
    """A flat piece laid at the site; it slides in from `from_out` further outside."""
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array([height, width]) / 2
    points = at_site(now, rotate(half, turn) + np.array([from_out * (1 - v), 0.0]))
    now.canvas.polygon(points, PALETTE[colour], alpha)
    now.canvas.line(points, PALETTE[border], 0.04, closed=True)


def bare(
    now: Moment, v: float, *, span: float = 80.0, depth: float = 0.4, colour: str = "white"
) -> None:
    """Conjunctiva cut along the limbus and rolled back: bare sclera grows behind the edge."""
    if v <= 0.03:
        return
    middle = bearing(now)
    start, stop = middle - span * v / 2, middle + span * v / 2
    outer = arc(1.06 + depth * v, start, stop)
    canvas = now.canvas
    canvas.polygon(np.concatenate([arc(1.04, stop, start), outer]), PALETTE[colour])
    canvas.line(outer, PALETTE["conjunctiva"], 0.14)
    canvas.line(outer, PALETTE["blood"], 0.05)


def groove(
    now: Moment, v: float, *, radius: float = 1.2, span: float = 50.0, width: float = 0.08,
    colour: str = "blood",
) -> None:  # fmt: skip
    """A cut parallel to the limbus, growing from one end."""
    begin = bearing(now) - span / 2
    now.canvas.ring((0, 0), radius, PALETTE[colour], width, 1.0, begin, begin + span * v)


def tunnel(now: Moment, v: float, *, width: float = 0.5, depth: float = 0.5) -> None:
    """A pocket dissected towards the cornea from the site: its roof shows as a pale shadow."""
    box = np.array(
        [[0.0, -width / 2], [-depth * v, -width / 2], [-depth * v, width / 2], [0.0, width / 2]]
    )
    now.canvas.polygon(at_site(now, box), (240, 214, 150), 0.75)
    now.canvas.line(at_site(now, box[[0, 3]]), PALETTE["blood"], 0.07)


def dots(
    now: Moment, v: float, *, radius: float = 1.0, count: int = 6, size: float = 0.09,
    colour: str = "purple", begin: float = 0.0,
) -> None:  # fmt: skip
    """Marks on a circle around the pupil, one after the other."""
    for index in range(round(count * v)):
        now.canvas.disc(polar(radius, begin + index * 360 / count), size, PALETTE[colour])


def burns(
    now: Moment, v: float, *, count: int = 5, size: float = 0.08, colour: str = "burn",
    gap: float = 0.2,
) -> None:  # fmt: skip
    """Cautery spots along the limbus at the site."""
    for index in range(round(count * v)):
        spot = at_site(
            now, np.array([[0.1 * (now.random[index] - 0.5), (index - (count - 1) / 2) * gap]])
        )[0]
        now.canvas.disc(spot, size, PALETTE[colour])


def muscle(now: Moment, v: float, *, width: float = 0.5) -> None:
    """A rectus muscle: striated red band from the site outwards, lifted as v grows."""
    for index in range(6):
        y = (index / 5 - 0.5) * width
        line = np.array([[-0.1, y], [0.3, y * (1 - 0.35 * v)], [1.0, y]])
        now.canvas.line(at_site(now, line), shade((188, 52, 50), 0.8 + 0.25 * (index % 2)), 0.1)


EFFECTS = (
    cut, trail, circle_cut, bed, peel, graft, stitches, local_stitches, thread, flap, patch, bare,
    groove, tunnel, flap_outline, deep_window, window, dots, burns, muscle,
)  # fmt: skip
