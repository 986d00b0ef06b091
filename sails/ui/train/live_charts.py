"""The charts of the page Train while it trains: a session's curves, live."""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass
from itertools import cycle

import plotly.graph_objects as go
import streamlit as st

from sails.sessions import Session, SessionMonitor
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
    known_at: int | None
    made: float  # seconds on the machine's own clock
    loss: go.Figure
    loss_alt: str
    small: dict[str, go.Figure]


# Goes with the monitor, so that a session nobody looks at any more keeps no memory.
_made: weakref.WeakKeyDictionary[SessionMonitor, _Figures] = weakref.WeakKeyDictionary()


def _figures(monitor: SessionMonitor, known_at: int | None, at_once: bool) -> _Figures:
    """The charts of a session as it is now, made once for all who look.

    While a session runs they may be a few seconds old: a chart that changes forgets where the mouse was.
    """
    version, now = monitor.version, time.monotonic()
    figures = _made.get(monitor)
    old = figures is None or (figures.version, figures.known_at) != (version, known_at)
    if figures is None or (old and (at_once or now - figures.made > CHART_SECONDS)):
        small = {}
        for name, (label, _) in SMALL.items():
            curve = monitor.curve(name, MAX_POINTS_DRAWN)
            small[name] = charts.lines([Series(label, curve.x, curve.y)], "Step", label, height=220)
        figures = _made[monitor] = _Figures(version, known_at, now, *_loss(monitor, known_at), small)
    return figures


def _loss(monitor: SessionMonitor, known_at: int | None) -> tuple[go.Figure, str]:
    held_out, repeated = (
        monitor.curve(name, MAX_POINTS_DRAWN) for name in ("held_out_loss", "repeated_loss")
    )
    name = "new_loss" if len(repeated) else "loss"
    steps = monitor.curve(name, MAX_STEPS_DRAWN)
    averaged = monitor.rows >= AVERAGE_FROM
    parts = max(1, min(60, monitor.rows // 5))
    lines = []
    if averaged or len(repeated):
        curve = monitor.average(name, parts) if averaged else steps
        label = "new examples" if len(repeated) else "average"
        lines.append(Series(label, curve.x, curve.y, width=4, number=0))
    if len(repeated):
        curve = monitor.average("repeated_loss", parts) if averaged else repeated
        lines.append(Series("repeated examples", curve.x, curve.y, width=3, number=3))
    else:
        lines.append(Series("each step", steps.x, steps.y, width=1, dash="solid", number=1))
    if len(held_out):
        kept = Series("examples set aside", held_out.x, held_out.y, points=True, dash="dot", number=2)
        lines.append(kept)
    alt = "No step has been made yet."
    if len(steps):
        alt = (
            f"Loss by step: {steps.y[0]:.2f} at step {steps.x[0]}, {steps.y[-1]:.2f} at step {steps.x[-1]}, "
            f"at its lowest {steps.y.min():.2f}."
        )
    if len(repeated):
        alt += f" On repeated examples: {repeated.y[0]:.2f} at first, {repeated.y[-1]:.2f} now."
    if len(held_out):
        alt += (
            f" On the examples set aside for testing: {held_out.y[0]:.2f} at first, {held_out.y[-1]:.2f} now."
        )
    figure = charts.lines(lines, "Step", "Loss")
    if known_at is not None:
        alt += f" The lesson was known at step {known_at}."
        figure.update_layout(**_mark(known_at))
    return figure, alt


def _mark(step: int) -> dict[str, object]:
    """Where the lesson was known: a line from top to bottom, and the word."""
    line = {"width": 2, "dash": "dot", "color": charts.GREY}
    ends = {"x0": step, "x1": step, "y0": 0, "y1": 1, "yref": "paper"}
    word = {"text": "known", "x": step, "y": 1, "yref": "paper", "yanchor": "bottom", "xanchor": "right"}
    font = {"color": charts.GREY, "size": 14}
    return {
        "shapes": [{"type": "line", **ends, "line": line}],
        "annotations": [{**word, "showarrow": False, "font": font}],
    }


def curves(session: Session, monitor: SessionMonitor, ended: bool) -> None:
    """Draw the loss, and folded away the learning rate and the speed; once it has `ended`, all is folded.

    `session` is the one that trained: of a replay the recorded one.
    """
    if not monitor.rows:
        return
    if ended:
        folded = lazy_expander(
            "How wrong it was, step by step (loss)", ":material/show_chart:", "live_loss_fold"
        )
        if folded.open:
            with folded:
                _curves(session, monitor, at_once=True)
        return
    st.subheader("How wrong it still is (loss)", anchor=False)
    _curves(session, monitor, at_once=False)


def _curves(session: Session, monitor: SessionMonitor, at_once: bool) -> None:
    """The charts; `at_once` even if they were made just before."""
    st.caption(
        "The lower, the better; it jumps from step to step. Where the dotted line (examples set aside for "
        "testing) rises while the others fall, it learns by heart instead of understanding."
    )
    if monitor.share_read < 1:
        st.caption(f"Reading what was written so far: {monitor.share_read:.0%}")
    figures = _figures(monitor, _known_at(session, monitor), at_once)
    charts.draw(figures.loss, "live_loss", figures.loss_alt)
    folded = lazy_expander("Learning rate and speed", ":material/speed:", "live_rates")
    if folded.open:
        for column, (name, (label, caption)) in zip(cycle(folded.columns(2)), SMALL.items(), strict=False):
            with column:
                st.caption(caption)
                last = monitor.last.values.get(name)
                charts.draw(figures.small[name], f"live_{name}", f"{label} by step, {last} at the last one.")


def _known_at(session: Session, monitor: SessionMonitor) -> int | None:
    """The step after which the lesson was known, once it has been reached."""
    results = session.status().results
    return results.steps if results.enough == "known" and monitor.last.step >= results.steps else None
