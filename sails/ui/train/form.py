"""The form of a training in three steps: what to teach, how, and what that takes.

Draws widgets and gives back what was chosen; what it means is decided in `sails.training.plan.forecast`.
Every widget has a key, so that what a person chose survives a refresh and a look at another page's tab.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from sails import jobs, sessions, system
from sails.data import reports
from sails.models import Workspace
from sails.sessions import Settings, checked_settings, describe_plan
from sails.training.plan import (
    Choices,
    Expected,
    TimeEstimate,
    TrainingForecast,
    expect,
    forecast_training,
)
from sails.ui.frame import go, show_errors
from sails.ui.text import code, plain
from sails.ui.train import lr_advice
from sails.ui.train.fields import advanced, datasets, export, name, preset, starting_point
from sails.ui.widgets import change_button

# --- before the start -----------------------------------------------------------------------------


def start_button(workspace: Workspace, choices: Choices | None, wrong: DeltaGenerator) -> None:
    """Draw the one button that starts; a second click while the first is at work starts nothing more.

    Why it cannot start is said in `wrong`.
    """
    running = sessions.running(workspace)
    label = "Start after the one that runs" if running else "Start the training"
    if jobs.running_measurement(workspace):
        label = "Start when the measuring is done"
    state: dict[str, Any] = st.session_state.setdefault("train_button", {"ready": True})
    clicked = change_button(label, "play_arrow", "train_go", type="primary", disabled=choices is None)
    if clicked and choices is not None and state.pop("ready", False):
        with wrong, show_errors() as failed:
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
    st.markdown(f"**{plain(describe_plan(forecast.plan))}.**")
    if forecast.plan.after:
        st.markdown(
            f"It waits for {code(forecast.plan.after)}, and this is planned for the model that it will find "
            "then. If that turns out otherwise, because a training fails or is held back, the plan is made "
            "anew at its start, and what changed is noted with it."
        )
    if forecast.language:
        st.warning(plain(forecast.language), icon=":material/translate:")
    st.markdown(plain(what_is_taught(forecast)))
    if forecast.need is None or forecast.time is None:
        st.markdown("How long it takes and what it needs is known when the model has been downloaded.")
        return
    with st.container(horizontal=True, gap="large"):
        st.metric("Time", _range(forecast.time), width="content")
        st.metric("Memory", system.gigabytes(forecast.need.memory), width="content")
        st.metric("Disk, for a while", system.size(forecast.need.disk), width="content")
    st.caption(_source(forecast.time))
    if not forecast.warnings:
        st.markdown(":material/check: This machine has room for it, in memory and on the disk.")
    for warning in forecast.warnings:
        st.warning(
            plain(f"{warning} As it is now, the training would stop at once."), icon=":material/memory:"
        )


def what_is_taught(forecast: TrainingForecast) -> str:
    """Say how many examples are taught, how often, and how many are not."""
    most = forecast.schedule.epochs
    rounds = "once" if most == 1 else f"{most} times"
    if forecast.schedule.until_known and most > 1:
        rounds = f"up to {most} times: it ends as soon as it knows them"
    are = "is" if forecast.taught == 1 else "are"
    examples = system.count(forecast.rows, "example")
    taught = f"{forecast.taught:,} of the {examples} {are} taught, each {rounds}"
    if forecast.left_out:
        taught = f"{system.count(forecast.left_out, 'example')} cannot be taught to this model. {taught}"
    if forecast.schedule.max_steps:
        taught += f", at most {system.count(forecast.schedule.max_steps, 'step')}"
    if not forecast.held_out:
        taught += ". None is set aside for testing, so what it learned is judged on what it was taught alone."
    else:
        kept = "is" if forecast.held_out == 1 else "are"
        taught += f"; {forecast.held_out:,} {kept} set aside, to test it with questions that it never saw."
    return f"{taught} {lr_advice.describe_replay(forecast)}"


def _range(time: TimeEstimate, slowdown: float = 1.0) -> str:
    """Its least and largest time in words, divided by how much slower the machine is."""
    # An estimate of hours is not good for minutes: from two hours on, half hours.
    low, high = (
        round(seconds / 1800) * 1800 if seconds >= 7200 else seconds
        for seconds in (time.low / slowdown, time.high / slowdown)
    )
    return system.duration_range(low, high)


def _source(time: TimeEstimate) -> str:
    busy = ""
    if time.slowdown > 1:
        busy = f" The machine is busy now; alone it would take {_range(time, time.slowdown)}."
    if time.sessions:
        before = "the last training" if time.sessions == 1 else f"the last {time.sessions} trainings"
        return f"The time is estimated from {before} with this base model on this machine.{busy}"
    return (
        "The time is estimated from how fast this processor calculates right now; a graphics card is much "
        "faster. After the first training it is known better." + busy
    )


# --- all of it ------------------------------------------------------------------------------------


def training_form(workspace: Workspace, dataset: str | None) -> None:
    """Draw everything that a person chooses, what it will do and take, and the button that starts it."""
    if not reports(workspace):
        st.markdown("There is nothing to teach yet: a training needs examples, questions with their answers.")
        if st.button("Add examples", type="primary", icon=":material/library_add:"):
            go("Data")
        return
    expected = expect(workspace)
    problems: list[str] = []
    st.header("1. What to teach", anchor=False)
    names = datasets(workspace, dataset)
    st.header("2. How", anchor=False)
    choices = _how(workspace, names, expected, problems)
    st.header("3. Check and start", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        title = name(" and ".join(names) or "the dataset's name")
        exported = export()
    forecast = None
    if choices is not None:
        choices = replace(choices, name=title, export=exported)
        with show_errors(problems), st.spinner("Looking at the examples …"):
            forecast = forecast_training(workspace, choices, expected)
            _draw_forecast(forecast)
    elif not names:
        st.markdown("Choose a dataset above; then you see here how long it takes.")
    _start_bar(workspace, None if problems else choices, forecast)


def _how(
    workspace: Workspace, names: Sequence[str], expected: Expected, problems: list[str]
) -> Choices | None:
    """Ask for all but the name and the export; None where something cannot be, as `problems` then says."""
    start, base, teach_again = "auto", None, False
    with show_errors(problems):
        start, base, teach_again = starting_point(workspace, expected, names)
    forecast = None  # before anything else is chosen: it says the automatic learning rate and the rows
    if not problems and names:
        first_choices = Choices(tuple(names), Settings(teach_again=teach_again), "", start, base)
        with show_errors(problems):
            forecast = forecast_training(workspace, first_choices, expected)
    taught = forecast.taught + (forecast.repeated if teach_again else 0) if forecast else 0
    left, right = st.columns(2, gap="large")
    with left:
        chosen = preset(taught)
    slot = right.container()  # drawn last, when all is chosen that a measured rate depends on
    share = lr_advice.replay_share(forecast) if forecast is not None else None
    others = advanced(taught, chosen) | ({} if share is None else {"replay_share": share})
    if forecast is None:
        return None
    with slot, show_errors(problems):
        settings = checked_settings(preset=chosen, teach_again=teach_again, **others)
        choices = Choices(tuple(names), settings, "", start, base)
        return lr_advice.learning_rate(workspace, choices, forecast, expected)
    return None


def _start_bar(workspace: Workspace, choices: Choices | None, forecast: TrainingForecast | None) -> None:
    """Draw how long it takes beside the button that starts it; both stay in view while one scrolls."""
    with st.container(key="start_bar", gap="xsmall"):
        wrong = st.container()
        with st.container(key="start_line", horizontal=True, vertical_alignment="center"):
            st.markdown(_in_short(choices, forecast), width="stretch")
            start_button(workspace, choices, wrong)


def _in_short(choices: Choices | None, forecast: TrainingForecast | None) -> str:
    if choices is None or forecast is None:
        return "Something above is missing or cannot be."
    if forecast.need is None or forecast.time is None:
        return "The time is known when the model has been downloaded."
    if forecast.warnings:
        return ":material/memory: **No room for it now**, see above."
    busy = ", the machine is busy" if forecast.time.slowdown > 1 else ""
    memory = system.gigabytes(forecast.need.memory)
    return f"**{_range(forecast.time)}**  \n:small[{memory} of memory{busy}]"
