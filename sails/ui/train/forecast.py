"""What a training will do and take, before it starts."""

from __future__ import annotations

import streamlit as st

from sails import system
from sails.training.plan import TimeEstimate, TrainingForecast
from sails.ui.text import plain
from sails.ui.train import lr_advice


def draw_forecast(forecast: TrainingForecast) -> None:
    """Draw what will happen and what it takes, with the source of each figure."""
    st.markdown(f"**{plain(forecast.plan.reason)}.**")
    st.markdown(plain(_what_is_taught(forecast)))
    if forecast.need is None or forecast.time is None:
        st.markdown("How long it takes and what it needs is known when the model has been downloaded.")
        return
    with st.container(horizontal=True, gap="large"):
        st.metric("Time", _range(forecast.time), width="content")
        st.metric("Memory", system.gigabytes(forecast.need.memory), width="content")
        st.metric("Disk, for a while", system.gigabytes(forecast.need.disk), width="content")
    st.caption(_source(forecast.time))
    if not forecast.warnings:
        st.markdown("✅ This machine has room for it, in memory and on the disk.")
    for warning in forecast.warnings:
        st.warning(
            plain(f"{warning} As it is now, the training would stop at once."), icon=":material/memory:"
        )


def _what_is_taught(forecast: TrainingForecast) -> str:
    rounds = "once" if forecast.pace.epochs == 1 else f"{forecast.pace.epochs} times"
    taught = f"{forecast.taught:,} of the {forecast.rows:,} examples are taught, each {rounds}"
    if forecast.pace.max_steps:
        taught += f", at most {forecast.pace.max_steps:,} steps"
    if not forecast.held_out:
        taught += ". None is kept back, so what it learned is judged on what it was taught alone."
    else:
        taught += f"; {forecast.held_out:,} are kept back, to test it with questions that it never saw."
    return f"{taught} {lr_advice.describe_replay(forecast)}"


def _range(time: TimeEstimate) -> str:
    # An estimate of hours is not good for minutes: from two hours on, half hours
    low, high = (
        system.duration(round(seconds / 1800) * 1800 if seconds >= 7200 else seconds)
        for seconds in (time.low, time.high)
    )
    return low if low == high else f"{low} to {high}"


def _source(time: TimeEstimate) -> str:
    if time.sessions:
        before = "the last training" if time.sessions == 1 else f"the last {time.sessions} trainings"
        return f"The time is estimated from {before} with this base model on this machine."
    return (
        "The time is estimated from how fast this processor calculates right now; a graphics card is much "
        "faster. After the first training it is known better."
    )
