"""The curves of a session, live."""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass

import plotly.graph_objects as go
import streamlit as st

from sails.sessions import SessionMonitor
from sails.ui import charts
from sails.ui.charts import Series
from sails.ui.frame import lazy_expander

CHART_SECONDS = 3.0


LOSS_POINTS, SMALL_POINTS = 700, 100  # of the loss, and of the curves beside it: what a screen can show


AVERAGE_FROM = 30  # steps, before an average says more than the steps themselves


@dataclass(frozen=True)
class _Figures:
    version: int
    made: float  # seconds on the machine's own clock
    loss: go.Figure
    loss_alt: str
    rate: go.Figure
    speed: go.Figure


_made: weakref.WeakKeyDictionary[SessionMonitor, _Figures] = weakref.WeakKeyDictionary()


def _figures(feed: SessionMonitor, at_once: bool) -> _Figures:
    """The charts of a feed as it is now, made once for all who look.

    While a session runs they may be a few seconds old: a chart that changes forgets where the mouse was.
    """
    version, now = feed.version, time.monotonic()
    made = _made.get(feed)
    if made is None or (made.version != version and (at_once or now - made.made > CHART_SECONDS)):
        small = [_small(feed, name) for name in ("learning_rate", "tokens_per_second")]
        made = _Figures(version, now, *_loss(feed), *small)
        _made[feed] = made
    return made


def _loss(feed: SessionMonitor) -> tuple[go.Figure, str]:
    steps, held_out = feed.curve("loss", LOSS_POINTS), feed.curve("held_out_loss", SMALL_POINTS)
    lines = []
    if feed.rows >= AVERAGE_FROM:
        average = feed.average("loss", parts=min(60, feed.rows // 5))
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


def _small(feed: SessionMonitor, name: str) -> go.Figure:
    curve = feed.curve(name, SMALL_POINTS)
    label = {"learning_rate": "Learning rate", "tokens_per_second": "Word pieces a second"}[name]
    return charts.lines([Series(label, curve.x, curve.y)], "Step", label, height=220)


def curves(feed: SessionMonitor, at_once: bool) -> None:
    if not feed.rows:
        return
    st.subheader("How wrong it still is (loss)", anchor=False)
    st.caption(
        "The lower, the better. It jumps from step to step; what counts is where it goes. Where the dotted "
        "line (examples kept back) rises while the others fall, it learns by heart instead of understanding."
    )
    if feed.share_read < 1:
        st.caption(f"Reading what was written so far: {feed.share_read:.0%}")
    figures = _figures(feed, at_once)
    charts.draw(figures.loss, "live_loss", figures.loss_alt)
    folded = lazy_expander("Learning rate and speed", ":material/speed:", "live_rates")
    if folded.open:
        left, right = folded.columns(2)
        rate, speed = feed.last.learning_rate, feed.last.tokens_per_second
        with left:
            st.caption("The learning rate rises at first, then falls to a tenth.")
            charts.draw(figures.rate, "live_rate", f"Learning rate by step, {rate} at the last one.")
        with right:
            st.caption("How many word pieces (tokens) it goes through in a second.")
            charts.draw(
                figures.speed, "live_speed", f"Word pieces a second by step, {speed} at the last one."
            )
