"""The charts of the page Train while it trains: a session's curves, live."""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass
from itertools import cycle

import plotly.graph_objects as go
import streamlit as st

from sails.sessions import SessionMonitor
from sails.ui import charts
from sails.ui.charts import Series
from sails.ui.frame import lazy_expander

CHART_SECONDS = 3.0
# Of the loss, and of the curves beside it: what a screen can show.
MAX_STEPS_DRAWN, MAX_POINTS_DRAWN = 700, 100
AVERAGE_FROM = 30  # steps, before an average says more than the steps themselves
# The small charts beside the loss, each of a curve of the session: its label, and what it shows.
SMALL = {
    "learning_rate": ("Learning rate", "The learning rate rises at first, then falls to a tenth."),
    "tokens_per_second": (
        "Word pieces a second",
        "How many word pieces (tokens) it goes through in a second.",
    ),
}


@dataclass(frozen=True)
class _Figures:
    version: int
    made: float  # seconds on the machine's own clock
    loss: go.Figure
    loss_alt: str
    small: dict[str, go.Figure]


# Goes with the monitor, so that a session nobody looks at any more keeps no memory.
_made: weakref.WeakKeyDictionary[SessionMonitor, _Figures] = weakref.WeakKeyDictionary()


def _figures(monitor: SessionMonitor, at_once: bool) -> _Figures:
    """The charts of a session as it is now, made once for all who look.

    While a session runs they may be a few seconds old: a chart that changes forgets where the mouse was.
    """
    version, now = monitor.version, time.monotonic()
    figures = _made.get(monitor)
    if figures is None or (figures.version != version and (at_once or now - figures.made > CHART_SECONDS)):
        small = {}
        for name, (label, _) in SMALL.items():
            curve = monitor.curve(name, MAX_POINTS_DRAWN)
            small[name] = charts.lines([Series(label, curve.x, curve.y)], "Step", label, height=220)
        figures = _made[monitor] = _Figures(version, now, *_loss(monitor), small)
    return figures


def _loss(monitor: SessionMonitor) -> tuple[go.Figure, str]:
    steps, held_out = monitor.curve("loss", MAX_STEPS_DRAWN), monitor.curve("held_out_loss", MAX_POINTS_DRAWN)
    lines = []
    if monitor.rows >= AVERAGE_FROM:
        average = monitor.average("loss", parts=min(60, monitor.rows // 5))
        lines.append(Series("average", average.x, average.y, width=4))
    lines.append(Series("each step", steps.x, steps.y, width=1, dash="solid"))
    if len(held_out):
        lines.append(Series("examples kept back", held_out.x, held_out.y, points=True, dash="dot"))
    alt = "No step has been made yet."
    if len(steps):
        alt = (
            f"Loss by step: {steps.y[0]:.2f} at step {steps.x[0]}, {steps.y[-1]:.2f} at step {steps.x[-1]}, "
            f"at its lowest {steps.y.min():.2f}."
        )
    if len(held_out):
        alt += f" On the examples kept back: {held_out.y[0]:.2f} at first, {held_out.y[-1]:.2f} now."
    return charts.lines(lines, "Step", "Loss"), alt


def curves(monitor: SessionMonitor, at_once: bool) -> None:
    """Draw the loss, and folded away the learning rate and the speed; `at_once` even if drawn just before."""
    if not monitor.rows:
        return
    st.subheader("How wrong it still is (loss)", anchor=False)
    st.caption(
        "The lower, the better. It jumps from step to step; what counts is where it goes. Where the dotted "
        "line (examples kept back) rises while the others fall, it learns by heart instead of understanding."
    )
    if monitor.share_read < 1:
        st.caption(f"Reading what was written so far: {monitor.share_read:.0%}")
    figures = _figures(monitor, at_once)
    charts.draw(figures.loss, "live_loss", figures.loss_alt)
    folded = lazy_expander("Learning rate and speed", ":material/speed:", "live_rates")
    if folded.open:
        for column, (name, (label, caption)) in zip(cycle(folded.columns(2)), SMALL.items(), strict=False):
            with column:
                st.caption(caption)
                last = monitor.last.values.get(name)
                charts.draw(figures.small[name], f"live_{name}", f"{label} by step, {last} at the last one.")
