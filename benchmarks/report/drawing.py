"""One style for every figure and page: colour-blind safe; equal input gives equal bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

# Colour-blind safe.  Source: Okabe & Ito 2008, "Color universal design".
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
# From nothing to all, of a figure that shades.
SHADES = LinearSegmentedColormap.from_list("shades", ["#f4f7f9", PALETTE[0], "#001e30"])
# Nobody's choice of colours, so that a page can put its own in their place: see `inline`.
INK, PAPER = "#0a0b0c", "#fdfefd"
_INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")


def draw(title: str, size: tuple[float, float], paint: Callable[[Any], None]) -> str:
    """A figure of one pair of axes as a standalone SVG, black on transparent.

    Args: title: unlike that of any other figure on the page, as ids are derived from it; size:
    width and height in inches; paint: draws into matplotlib's Axes.
    """
    with matplotlib.rc_context(style(title)):
        figure = Figure(figsize=size, layout="constrained")
        paint(plain_axes(figure.add_subplot(title=title)))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return re.sub(r"\s*<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)


def style(title: str) -> dict[str, Any]:
    """Settings of matplotlib for a figure. title: as in `draw`."""
    return {
        "svg.hashsalt": title,
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.size": 9,
        "font.family": "sans-serif",
        **dict.fromkeys(_INKED, INK),
    }


def plain_axes(axes: Any) -> Any:
    """The same axes of matplotlib without a box, with a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    return axes


def inline(svg: str) -> str:
    """The same figure for a page: in the page's own colours, which follow light and dark."""
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor").replace(PAPER, "var(--card)")
    for number, colour in enumerate(PALETTE):
        svg = svg.replace(colour.lower(), f"var(--series-{number})")
    # matplotlib names its groups alike in every figure; an id must be unique on the page.
    return re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", svg)


def page(template: Path, **values: Any) -> str:
    """A page as HTML, from a template and those beside it; every value in it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(**values)
