"""Charts for all pages: curves over steps, and bars; in the colours of the theme, told apart without colour.

    charts.draw(charts.lines([Line("loss", curve.x, curve.y)], "Step", "Loss"), "loss", "The loss fell …")

A figure is cheap to build, cheaper to draw again, and small on the wire: arrays travel as packed numbers and
not as text, and the theme's own long template is left to the browser. `alt` is what a person hears who does
not see the chart: say what it shows, with the figures that matter.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

HEIGHT = 300  # pixels
COLOURS = [f"#00000{n}" for n in range(1, 7)]  # the theme's own, which Streamlit puts in for these
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SIGNS = ("circle", "diamond", "square", "x", "triangle-up")
# Nothing to press but the chart itself, and a page that scrolls under the mouse.
CONFIG = {"displayModeBar": False, "scrollZoom": False, "doubleClick": "reset"}


@dataclass(frozen=True)
class Line:
    """One curve: `x` and `y` of one length; `points` marks each point, for curves of few."""

    name: str
    x: Any
    y: Any
    points: bool = False
    width: float = 2  # pixels
    dash: str = ""  # Plotly's word for it; empty: another one for each curve


def lines(curves: Sequence[Line], x_label: str, y_label: str, *, height: int = HEIGHT) -> go.Figure:
    """Curves on one pair of axes; each has a line of its own kind, named in the legend when there are two."""
    traces = [_trace(curve, number) for number, curve in enumerate(curves)]
    layout = _layout(x_label, y_label, height)
    layout["showlegend"] = len(curves) > 1
    return go.Figure({"data": traces, "layout": layout})


def bars(
    labels: Sequence[str], counts: Any, x_label: str, y_label: str, *, height: int = HEIGHT
) -> go.Figure:
    """One bar for each label."""
    trace = {
        "type": "bar",
        "x": list(labels),
        "y": packed(counts),
        "hovertemplate": "%{x}: %{y}<extra></extra>",
    }
    return go.Figure({"data": [trace], "layout": {**_layout(x_label, y_label, height), "bargap": 0.1}})


def draw(figure: go.Figure, key: str, alt: str) -> None:
    """Put a figure on the page, as wide as there is room."""
    st.plotly_chart(figure, key=key, alt=alt, config=CONFIG, width="stretch")


def packed(values: Any) -> dict[str, str]:
    """Numbers as Plotly's packed array: a third of the bytes, and nothing to convert when drawn again."""
    array = np.asarray(values)
    if array.dtype.kind in "iu" and array.size and abs(array).max() < 2**31:
        array = array.astype(np.int32)
    elif array.dtype != np.float32:
        array = array.astype(np.float64)
    kind = f"{array.dtype.kind}{array.dtype.itemsize}"
    little = array.astype(array.dtype.newbyteorder("<"))
    return {"dtype": kind, "bdata": base64.b64encode(little.tobytes()).decode()}


def _trace(curve: Line, number: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": curve.name,
        "mode": "lines+markers" if curve.points or len(curve.x) == 1 else "lines",
        "x": packed(curve.x),
        "y": packed(curve.y),
        "line": {"width": curve.width, "dash": curve.dash or DASHES[number % len(DASHES)]},
        "marker": {"size": 8, "symbol": SIGNS[number % len(SIGNS)]},
        "hovertemplate": "%{y:.4g}",
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
            "exponentformat": "e",  # 5e-5, as everywhere, and not 50µ
        },
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        "hovermode": "x unified",
    }
