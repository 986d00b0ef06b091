"""Charts for all pages: curves over steps, bars, and heat maps; told apart without colour.

    charts.draw(charts.lines([Line("loss", curve.x, curve.y)], "Step", "Loss"), "loss", "The loss fell …")

A figure is cheap to build, cheaper to draw again, and small on the wire: arrays travel as packed numbers and
not as text, and the theme's own long template is left to the browser. `alt` is what a person hears who does
not see the chart: say what it shows, with the figures that matter.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
import streamlit as st

HEIGHT = 300  # pixels
SMALL = 0.01  # an axis whose numbers are all smaller has exponents
COLOURS = [f"#00000{n}" for n in range(1, 7)]  # the theme's own, which Streamlit puts in for these
GREY = COLOURS[-1]
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SIGNS = ("circle", "diamond", "square", "x", "triangle-up")
# From nothing to all: close to the page at first, and ever further from it, in lightness and in hue.
COLOUR_STOPS = {
    "light": ((0.0, (247, 240, 222)), (0.5, (99, 176, 165)), (1.0, (11, 85, 104))),
    "dark": ((0.0, (36, 44, 47)), (0.5, (32, 108, 118)), (1.0, (122, 224, 226))),
}
Theme = Literal["light", "dark"]
DARK, LIGHT = "#000000", "#ffffff"  # what is written on a shade, whichever can be read better
UNKNOWN = "rgba(128, 140, 145, 0.28)"
ROW_HEIGHT = 46  # pixels, of a heat map
# Nothing to press but the chart itself, and a page that scrolls under the mouse.
CONFIG = {"displayModeBar": False, "scrollZoom": False, "doubleClick": "reset"}


@dataclass(frozen=True)
class Series:
    """One curve: `x` and `y` of one length; `points` marks each point, for curves of few.

    `number` decides over its colour, and over its dashes and sign unless they are given: a curve that others
    may join later has its own, so that it looks the same then.
    """

    name: str
    x: Any
    y: Any
    points: bool = False
    width: float = 2  # pixels
    dash: str = ""  # Plotly's word for it; empty: another one for each curve
    number: int | None = None  # None: its place among those that are drawn
    low: Any = None  # the ends of an interval for each point, drawn as bars; NaN where there is none
    high: Any = None
    unit: str = ""  # behind each value


def lines(curves: Sequence[Series], x_label: str, y_label: str, *, height: int = HEIGHT) -> go.Figure:
    """Draw curves on one pair of axes, each line of its own kind; a legend names them when there are two."""
    traces = [
        _trace(curve, place if curve.number is None else curve.number) for place, curve in enumerate(curves)
    ]
    layout = {**_layout(x_label, y_label, height), "showlegend": len(curves) > 1}
    highest = max((float(np.nanmax(np.abs(c.y))) for c in curves if np.isfinite(c.y).any()), default=0.0)
    if highest < SMALL:  # 5e-5, as everywhere, and not 50µ; what is larger is written out
        layout["yaxis"]["exponentformat"] = "e"
    return go.Figure({"data": traces, "layout": layout})


def bars(
    labels: Sequence[str], counts: Any, x_label: str, y_label: str, *, height: int = HEIGHT
) -> go.Figure:
    """Draw one bar for each label."""
    trace = {
        "type": "bar",
        "x": list(labels),
        "y": pack(counts),
        "hovertemplate": "%{x}: %{y}<extra></extra>",
    }
    return go.Figure({"data": [trace], "layout": {**_layout(x_label, y_label, height), "bargap": 0.1}})


@dataclass(frozen=True)
class Tile:
    """One field of a heat map: a share from 0 to 1 (None: grey), what is written in it, and what hovers."""

    share: float | None
    text: str
    hover: str


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    tiles: Sequence[Sequence[Tile]],
    *,
    apart: int = 0,
    row_height: int = ROW_HEIGHT,
) -> go.Figure:
    """Draw one tile for each row and column, the first row on top; a line parts off the last `apart` columns.

    Labels may hold `<br>`; what a person wrote in them goes through `escape` first.
    """
    cells = [(x, y, tile) for y, line in enumerate(tiles) for x, tile in enumerate(line)]
    shape = (len(rows), len(columns))
    theme = current_theme()
    shares = np.array([[np.nan if t.share is None else t.share for t in line] for line in tiles], float)
    traces = [
        _tiles(
            shares.reshape(shape), [[stop, f"rgb{colour}"] for stop, colour in COLOUR_STOPS[theme]], tiles
        ),
        _tiles(np.where(np.isnan(shares), 0.0, np.nan).reshape(shape), [[0, UNKNOWN], [1, UNKNOWN]], tiles),
    ]
    for colour in (DARK, LIGHT, GREY):
        written = [(x, y, t.text) for x, y, t in cells if _ink(t.share, theme) == colour]
        traces.append(_writing(written, colour, 13 if len(columns) <= 7 else 10))
    axis = {
        "fixedrange": True,
        "automargin": True,
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
        "tickfont": {"color": GREY},  # the theme's own for axes is too pale to be read by everybody
    }
    line = len(columns) - apart - 0.5
    between = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": line, "x1": line}
    layout = {
        "height": row_height * len(rows) + 90,
        "margin": {"l": 4, "r": 4, "t": 4, "b": 4},
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {
            **axis,
            "side": "top",
            "tickvals": list(range(len(columns))),
            "ticktext": list(columns),
            "range": [-0.5, len(columns) - 0.5],
            "autotickangles": [0, -90],
        },
        "yaxis": {
            **axis,
            "tickvals": list(range(len(rows))),
            "ticktext": list(rows),
            "range": [len(rows) - 0.5, -0.5],
        },
        "shapes": [{**between, "line": {"width": 3, "color": "#808c91"}}] if apart else [],
    }
    return go.Figure({"data": traces, "layout": layout})


def escape(text: str) -> str:
    """Write any text so that a chart shows exactly that text: Plotly takes some of HTML for what it means."""
    return html.escape(text, quote=False)


def current_theme() -> Theme:
    """Return the theme that this browser shows, as far as it has said so."""
    return "dark" if st.context.theme.type == "dark" else "light"


def colour_of(share: float, theme: Theme) -> tuple[int, int, int]:
    """Return the colour of a share from 0 to 1, as red, green and blue from 0 to 255."""
    scale = COLOUR_STOPS[theme]
    stops = [stop for stop, _ in scale]
    red, green, blue = (
        round(float(np.interp(share, stops, [colour[n] for _, colour in scale]))) for n in range(3)
    )
    return red, green, blue


def luminance(colour: tuple[int, int, int]) -> float:
    """Return the relative luminance, 0 to 1, from which the contrast of text is reckoned (WCAG 2)."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (n / 255 for n in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _ink(share: float | None, theme: Theme) -> str:
    """The colour in which something is written on a tile: the one with more contrast."""
    if share is None:
        return GREY
    light = luminance(colour_of(share, theme)) + 0.05
    return LIGHT if 1.05 / light > light / 0.05 else DARK


def _tiles(shares: Any, scale: Sequence[Any], tiles: Sequence[Sequence[Tile]]) -> dict[str, Any]:
    return {
        "type": "heatmap",
        "z": shares.tolist(),
        "zmin": 0,
        "zmax": 1,
        "colorscale": list(scale),
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "hoverongaps": False,
        "text": [[tile.hover for tile in line] for line in tiles],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _writing(written: Sequence[tuple[int, int, str]], colour: str, size: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "text",
        "x": [x for x, _, _ in written],
        "y": [y for _, y, _ in written],
        "text": [text for _, _, text in written],
        "textfont": {"size": size, "color": colour},
        "hoverinfo": "skip",
    }


def draw(figure: go.Figure, key: str, alt: str, *, on_select: Callable[[], None] | None = None) -> None:
    """Put a figure on the page, as wide as there is room; `on_select` hears of a click on a point."""
    if on_select is None:
        st.plotly_chart(figure, key=key, alt=alt, config=CONFIG, width="stretch")
        return
    st.plotly_chart(
        figure,
        key=key,
        alt=alt,
        config=CONFIG,
        width="stretch",
        on_select=on_select,
        selection_mode="points",
    )


def pack(values: Any) -> dict[str, str]:
    """Turn numbers into Plotly's packed array: a third of the bytes, and nothing to convert again."""
    array = np.asarray(values)
    # Plotly unpacks no integers of 64 bits, which numpy makes of Python's.
    if array.dtype.kind in "iu" and array.size and abs(array).max() < 2**31:
        array = array.astype(np.int32)
    elif array.dtype != np.float32:
        array = array.astype(np.float64)
    kind = f"{array.dtype.kind}{array.dtype.itemsize}"
    # Whatever the order of bytes on this machine is: a browser's is this one.
    little = array.astype(array.dtype.newbyteorder("<"))
    return {"dtype": kind, "bdata": base64.b64encode(little.tobytes()).decode()}


def _trace(curve: Series, number: int) -> dict[str, Any]:
    bars = {}
    if curve.low is not None and curve.high is not None:
        y = np.asarray(curve.y, float)
        ends = {
            "array": pack(np.asarray(curve.high, float) - y),
            "arrayminus": pack(y - np.asarray(curve.low)),
        }
        bars = {"error_y": {"type": "data", "symmetric": False, "thickness": 1.5, "width": 5, **ends}}
    return {
        **bars,
        "type": "scatter",
        "name": curve.name,
        "mode": "lines+markers" if curve.points or len(curve.x) == 1 else "lines",
        "x": pack(curve.x),
        "y": pack(curve.y),
        "line": {
            "width": curve.width,
            "dash": curve.dash or DASHES[number % len(DASHES)],
            "color": COLOURS[number % len(COLOURS)],
        },
        "marker": {"size": 8, "symbol": SIGNS[number % len(SIGNS)]},
        "hovertemplate": f"%{{y:.4g}}{curve.unit}",
    }


def _layout(x_label: str, y_label: str, height: int) -> dict[str, Any]:
    return {
        "template": {"layout": {"colorway": COLOURS}},
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 28, "b": 8},
        "xaxis": {"title": {"text": x_label}, "automargin": True, "fixedrange": True},
        "yaxis": {
            "title": {"text": y_label},
            "automargin": True,
            "fixedrange": True,
            "exponentformat": "none",
            "separatethousands": True,
        },
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        "hovermode": "x unified",
    }
