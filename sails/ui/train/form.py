"""The form of a training: what to teach, what it builds on, how long and how fast, and what that takes.

Draws widgets and gives back what was chosen; what it means is decided in `sails.training.plan.forecast`.
Every widget has a key, so that what a person chose survives a refresh and a look at another page's tab.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from sails import jobs, sessions, system
from sails.data import reports
from sails.models import Workspace
from sails.sessions import Settings, Start, checked_settings
from sails.training.plan import Choices, TimeEstimate, TrainingForecast, forecast_training
from sails.ui.frame import go, show_errors
from sails.ui.text import plain
from sails.ui.train import lr_advice
from sails.ui.train.fields import (
    advanced,
    datasets,
    export,
    learning_rate,
    method,
    name,
    preset,
    starting_point,
)
from sails.ui.widgets import change_button

# --- before the start -----------------------------------------------------------------------------


def start_button(workspace: Workspace, choices: Choices | None) -> None:
    """Draw the one button that starts; a second click while the first is at work starts nothing more."""
    running = sessions.running(workspace)
    label = "Start after the one that runs" if running else "Start the training"
    if jobs.running_measurement(workspace):
        label = "Start when the measuring is done"
    state: dict[str, Any] = st.session_state.setdefault("train_button", {"ready": True})
    clicked = change_button(label, "play_arrow", "train_go", type="primary", disabled=choices is None)
    if clicked and choices is not None and state.pop("ready", False):
        with show_errors() as failed:
            # Nothing of Streamlit in here, so that another click cannot come in between.
            state["started"] = jobs.start_training(workspace, choices).id
        if failed:
            state["ready"] = True
    if "started" in state:
        go("Train", session=state["started"])


def allow_next_start() -> None:
    """Let the form start another one: the session that it started is on the screen."""
    st.session_state.pop("train_button", None)


def _draw_forecast(forecast: TrainingForecast) -> None:
    """What will happen and what it takes, with the source of each figure."""
    st.markdown(f"**{plain(forecast.plan.reason)}.**")
    st.markdown(plain(_what_is_taught(forecast)))
    if forecast.need is None or forecast.time is None:
        st.markdown("How long it takes and what it needs is known when the model has been downloaded.")
        return
    with st.container(horizontal=True, gap="large"):
        # An estimate of hours is not good for minutes: from two hours on, half hours.
        low, high = (
            system.duration(round(seconds / 1800) * 1800 if seconds >= 7200 else seconds)
            for seconds in (forecast.time.low, forecast.time.high)
        )
        st.metric("Time", low if low == high else f"{low} to {high}", width="content")
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
    most = forecast.schedule.epochs
    rounds = "once" if most == 1 else f"{most} times"
    if forecast.schedule.until_known and most > 1:
        rounds = f"up to {most} times: it ends as soon as it knows them"
    taught = f"{forecast.taught:,} of the {forecast.rows:,} examples are taught, each {rounds}"
    if forecast.schedule.max_steps:
        taught += f", at most {forecast.schedule.max_steps:,} steps"
    if not forecast.held_out:
        taught += ". None is kept back, so what it learned is judged on what it was taught alone."
    else:
        taught += f"; {forecast.held_out:,} are kept back, to test it with questions that it never saw."
    return f"{taught} {lr_advice.describe_replay(forecast)}"


def _source(time: TimeEstimate) -> str:
    if time.sessions:
        before = "the last training" if time.sessions == 1 else f"the last {time.sessions} trainings"
        return f"The time is estimated from {before} with this base model on this machine."
    return (
        "The time is estimated from how fast this processor calculates right now; a graphics card is much "
        "faster. After the first training it is known better."
    )


# --- all of it ------------------------------------------------------------------------------------


def training_form(workspace: Workspace, dataset: str | None) -> None:
    """Draw everything that a person chooses, what it will do and take, and the button that starts it."""
    if not reports(workspace):
        st.markdown("There is nothing to teach yet: a training needs examples, questions with their answers.")
        if st.button("Add examples", type="primary", icon=":material/library_add:"):
            go("Data")
        return
    situation = workspace.situation()
    problems: list[str] = []
    st.header("What to teach", anchor=False)
    names = datasets(workspace, dataset)
    st.header("What it builds on", anchor=False)
    start, base, teach_again = "auto", None, False
    with show_errors(problems):
        start, base, teach_again = starting_point(workspace, situation, names)
    forecast = None  # before anything else is chosen: it says the automatic learning rate and the rows
    if not problems and names:
        first_choices = Choices(names, Settings(teach_again=teach_again), "", start, base)
        with show_errors(problems):
            forecast = forecast_training(workspace, first_choices)
    st.header("How long and how fast", anchor=False)
    choices = _how_long_and_how_fast(workspace, names, start, base, teach_again, forecast, problems)
    st.header("Before you start", anchor=False)
    if choices is not None:
        with show_errors(problems), st.spinner("Looking at the examples …"):
            _draw_forecast(forecast_training(workspace, choices))
    elif not names:
        st.markdown("Choose a dataset above; then you see here how long it takes.")
    start_button(workspace, None if problems else choices)


def _how_long_and_how_fast(
    workspace: Workspace,
    names: Sequence[str],
    start: Start,
    base: str | None,
    teach_again: bool,
    forecast: TrainingForecast | None,
    problems: list[str],
) -> Choices | None:
    taught = forecast.taught + (forecast.repeated if teach_again else 0) if forecast else 0
    left, right = st.columns(2, gap="large")
    with left:
        chosen = preset(taught)
        trained = method()
    rate = None
    with right:
        if forecast is not None:
            with show_errors(problems):
                rate = learning_rate(forecast.plan)
        title = name(" and ".join(names) or "the dataset's name")
    share = lr_advice.replay_share(forecast) if forecast is not None else None
    slot = st.container()  # drawn last, when all is chosen that matters to it
    settings: Settings | None = None
    others = (
        advanced(taught, chosen) | {"method": trained} | ({} if share is None else {"replay_share": share})
    )
    with show_errors(problems):
        settings = checked_settings(preset=chosen, learning_rate=rate, teach_again=teach_again, **others)
    exported = export()
    if settings is None or forecast is None:
        return None
    choices = Choices(tuple(names), settings, title, start, base, exported)
    with slot, show_errors(problems):
        return replace(choices, advice=lr_advice.lr_finder_panel(workspace, choices, forecast))
    return choices  # without advice: why not is on the page
