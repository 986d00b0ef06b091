"""The parts of the page Home, each drawn from what the workspace says; they decide nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from sails import sessions, system
from sails.jobs import freshness, launcher_for, to_refresh
from sails.models import FRESHNESS, FoundFile, ModelState, Situation, Workspace
from sails.sessions import Plan, Session, SessionRecord, describe_learning_rate, format_rate
from sails.training.plan import BASE_LEARNING_RATE, MATRIX, MatrixRow
from sails.ui import onnx_status, text
from sails.ui.bridge.next_step import NextStep
from sails.ui.frame import link, stop_on_error
from sails.ui.retention import retention_headline
from sails.ui.text import code, plain
from sails.ui.train import time_left_in_words, why_waiting
from sails.ui.widgets import table

REFRESH_SECONDS = 2
STATES = {
    "complete": "✅ complete",
    "present": "✅ present",
    "missing": ":material/radio_button_unchecked: missing",
    "incomplete": "⚠️ incomplete",
}

# --- where the model stands, and what happens next ------------------------------------------------

TRAINED = {
    "complete": "A trained model is here.",
    "missing": "No trained model is here yet.",
    "incomplete": "The trained model cannot be used: it is incomplete.",
}


def status_card(workspace: Workspace, situation: Situation, step: NextStep | None) -> bool:
    """Draw how the model stands, what it remembers, what runs now and the next step, if there is one.

    Returns whether the main button was clicked.
    """
    words = FRESHNESS[freshness(workspace, situation)]
    with st.container(border=True, gap="xsmall"):
        st.caption("Your model")
        st.markdown(f"**{TRAINED[situation.trained.state]}** {text.symbol(words.sign)} {words.headline()}.")
        retention_headline(workspace)
        running_now(workspace)
        if step is None:
            return False
        st.caption("Next step")
        return main_button(step)


def next_training(plan: Plan) -> None:
    """Draw what the next training will do, and how fast it will learn."""
    after = f" after {code(plan.after)} is done" if plan.after else ""
    with st.container(border=True, gap="xsmall"):
        st.caption(f"The next training{after}")
        st.markdown(f"**{MATRIX[plan.row - 1].headline}**")
        st.markdown(f"Learning speed (learning rate): {describe_learning_rate(plan)}.")
        for warning in plan.warnings:
            st.warning(plain(warning))


def how_decided(plan: Plan, situation: Situation) -> None:
    """Draw why the next training does what it does and how fast it learns, and the whole table."""
    row = MATRIX[plan.row - 1]
    how_fast = "Full speed: a new model holds nothing of yours yet that this could damage."
    if plan.start_from != "base":
        how_fast = (
            f"{format_rate(plan.learning_rate)} is lower than the {format_rate(BASE_LEARNING_RATE)} from "
            "base: it takes more rounds to learn, and forgets less of what it knows."
        )
    st.markdown(f"{_why(row, plan, situation.trained)} {how_fast}")
    st.markdown(
        "Two models decide what a training does: the trained model, which learns, and the ONNX model made "
        "from it, which answers in the chat. The marked line applies now."
    )


def _why(row: MatrixRow, plan: Plan, trained: ModelState) -> str:
    if plan.after and plan.start_from == "trained":
        return (
            "It builds on the model that is here then. If that turns out otherwise, because a training fails "
            "or is held back, the plan is made anew at its start."
        )
    base = f"the base model {code(plan.model)}, which can talk but knows nothing of your examples"
    if row.trained == "complete":
        return "A complete trained model is here, so the next training builds on it instead of starting over."
    if row.trained == "incomplete":
        return (
            f"The trained model cannot be used, because {plain(trained.reason)}. "
            f"So the next training starts from {base}."
        )
    if row.onnx == "present":
        return (
            "An ONNX model can answer but not learn, and the trained model behind it is not here. "
            f"So the next training starts from {base}."
        )
    return f"There is no trained model yet, so the first training starts from {base}."


BUTTONS = {
    "watch": ("Watch it learn", ":material/visibility:"),
    "wait": ("Look at what waits", ":material/hourglass_empty:"),
    "decide": ("Look at it and decide", ":material/balance:"),
    "resume": ("See where it stopped", ":material/play_circle:"),
    "example": ("Load an example", ":material/library_add:"),
    "train": ("Train", ":material/school:"),
    "export": ("Make the ONNX model", ":material/package_2:"),
    "exporting": ("See how far it is", ":material/visibility:"),
    "chat": ("Chat with it", ":material/chat:"),
}


def main_button(step: NextStep) -> bool:
    """Draw the one obvious thing to do now; returns whether it was clicked."""
    label, icon = BUTTONS[step.kind]
    if step.kind == "decide" and system.view_only():
        label = "Look at it"
    st.markdown(plain(step.reason))
    changes = step.kind in ("example", "export") and system.view_only()
    return st.button(label, type="primary", icon=icon, key="main_button", disabled=changes)


# --- the models on disk ---------------------------------------------------------------------------


def found_on_disk(workspace: Workspace, situation: Situation) -> None:
    """Draw both model folders side by side: state, age, origin and files."""
    left, right = (column.container(border=True, height="stretch") for column in st.columns(2))
    with left:
        _trained_model(situation.trained)
    with right:
        _onnx_model(workspace, situation)


def _trained_model(model: ModelState) -> None:
    st.subheader("Trained model", anchor=False)
    st.markdown(f"**{STATES[model.state]}**")
    st.markdown(
        {
            "complete": "It can be taught further and exported.",
            "missing": "Nothing is here yet; the first training makes it.",
            "incomplete": f"It cannot be used: {plain(model.reason)}.",
        }[model.state]
    )
    facts = [("Folder", code(model.path))]
    if model.state != "missing":
        facts.append(("Base model", code(model.base) if model.base else "not recorded"))
    if model.session:
        facts.append(("Made by session", code(model.session)))
    _facts(facts, model.fingerprint, model.modified)
    _files(model.files, "trained model")


def _onnx_model(workspace: Workspace, situation: Situation) -> None:
    model = situation.onnx
    st.subheader("ONNX model", anchor=False)
    st.markdown(f"**{STATES[model.state]}**")
    state = freshness(workspace, situation)
    origin = FRESHNESS[state].origin
    if state == "fresh" and to_refresh(situation.trained, onnx_status.variant_states(workspace, situation)):
        st.markdown("**Partly fresh:** not all of its sizes were made from the trained model beside it.")
    else:
        st.markdown(origin if state == "missing" else f"**{FRESHNESS[state].title}:** {origin}")
    for line in onnx_status.describe_variants(workspace, situation):
        st.markdown(line)
    onnx_status.offer_refresh(workspace, "bridge_onnx")
    _facts([("Folder", code(model.path))], model.fingerprint, model.modified)
    _files(model.files, "ONNX model")


def _facts(facts: Sequence[tuple[str, str]], fingerprint: str | None, modified: datetime | None) -> None:
    lines = list(facts)
    if fingerprint:
        lines.append(("Fingerprint", code(fingerprint)))
    if modified:
        lines.append(("Last changed", text.moment(modified, st.context.timezone)))
    st.markdown("  \n".join(f"{name}: {value}" for name, value in lines))


def _files(files: Sequence[FoundFile], what: str) -> None:
    if files:
        total = system.size(sum(file.size for file in files))
        with st.expander(f"{system.count(len(files), 'file')}, {total}", icon=":material/folder_open:"):
            rows = [(code(file.name), system.size(file.size)) for file in files]
            table(["File", "Size"], rows, f"The files of the {what}")


# --- sessions -------------------------------------------------------------------------------------


def running_now(workspace: Workspace) -> None:
    """Draw what trains, runs beside it and waits; refreshes itself only while there is any of that."""
    before = _at_work(workspace)
    st.fragment(_running_now, run_every=REFRESH_SECONDS if any(before) else None)(workspace, before)


def _at_work(workspace: Workspace) -> tuple[str | None, tuple[str, ...], tuple[str, ...]]:
    """The ids of the training that runs, of the jobs beside it, and of the trainings that wait."""
    training = sessions.running(workspace)
    beside = tuple(job.spec.id for job in _beside(workspace))
    return (
        training.spec.id if training else None,
        beside,
        tuple(entry.id for entry in sessions.waiting(workspace)),
    )


def _beside(workspace: Workspace) -> list[SessionRecord]:
    """Exports, replays and measurements; not one that waits and whose worker never came."""
    jobs = sessions.running_jobs(workspace)
    return [job for job in jobs if launcher_for(job.session).state(job.session) != "absent"]


def _running_now(workspace: Workspace, before: tuple[str | None, tuple[str, ...], tuple[str, ...]]) -> None:
    with stop_on_error():
        if _at_work(workspace) != before:
            st.rerun()  # everything else on the page may be different now
        training = sessions.running(workspace)
        jobs = _beside(workspace)
        waiting = [Session(workspace.sessions / identity) for identity in before[2]]
        with st.container(gap="xsmall"):
            if any(before):
                st.caption("Now")
            active = [*filter(None, [training]), *jobs]
            for record in active:
                status = record.status
                left = time_left_in_words(workspace, record)
                called = plain(sessions.title(workspace, record.session))
                st.markdown(f":material/play_circle: {KINDS[record.spec.kind].format(called)} {left}")
                st.progress(min(max(status.progress, 0.0), 1.0), plain(text.progress(status)))
            if waiting and not training:
                called = plain(sessions.title(workspace, waiting.pop(0)))
                st.markdown(f":material/hourglass_empty: **{called}** waits. {why_waiting(workspace)}")
            if waiting:
                more = (
                    "One more training waits" if len(waiting) == 1 else f"{len(waiting)} more trainings wait"
                )
                st.markdown(f"{more} behind it.")


KINDS = {
    "train": "**{}** is running.",
    "export": "**An ONNX model** is being made.",
    "baseline": "**The ONNX model of a base model** is being made.",
    "replay": "**{}** is being replayed; nothing is trained.",
    "probe": "**{}** is not taught yet: its best learning speed is being measured.",
}


def last_sessions(
    ended: Sequence[SessionRecord], records: Sequence[SessionRecord], trained: ModelState
) -> None:
    """Draw the ended sessions, newest first, each with how it ended in words; `records` are all there are."""
    called = sessions.titles(records)
    lines = st.container(gap="xsmall")
    for record in reversed(ended):
        sign, sentence = text.outcome(record)
        sentence = f"{sentence} {text.afterwards(record, trained, records)}".strip()
        when = text.moment(record.spec.created, st.context.timezone)
        took = f", took {system.duration(record.seconds)}" if record.seconds is not None else ""
        with lines, st.container(horizontal=True, vertical_alignment="center", wrap=False):
            what = f"{sign} **{plain(called[record.session.id])}** :small[{when}{took}]  \n{plain(sentence)}"
            st.markdown(what, width="stretch")
            link("Sessions", "Look at it", session=record.spec.id)
