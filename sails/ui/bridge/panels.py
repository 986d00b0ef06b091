"""The parts of the bridge, each drawn from what the workspace says; they decide nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from sails import sessions, system
from sails.jobs import freshness, to_refresh
from sails.models import FRESHNESS, FoundFile, ModelState, Situation, Workspace
from sails.sessions import Plan, SessionRecord, describe_learning_rate, format_rate
from sails.training.plan import BASE_LEARNING_RATE, MATRIX, MatrixRow
from sails.ui import onnx_status, text
from sails.ui.bridge.next_step import NextStep
from sails.ui.frame import link, stop_on_error
from sails.ui.text import code, plain
from sails.ui.widgets import table

REFRESH_SECONDS = 2
STATES = {
    "complete": "✅ complete",
    "present": "✅ present",
    "missing": "◻️ missing",
    "incomplete": "⚠️ incomplete",
}

# --- what happens next ----------------------------------------------------------------------------


def next_training(plan: Plan, situation: Situation) -> None:
    """Draw what the next training will do, why, and how fast it will learn."""
    row = MATRIX[plan.row - 1]
    with st.container(border=True, gap="xsmall"):
        st.caption("What the next training will do")
        st.header(row.headline, anchor=False)
        st.markdown(_why(row, plan, situation.trained))
        how_fast = "Full speed: a new model holds nothing of yours yet that this could damage."
        if plan.start_from != "base":
            how_fast = (
                f"Lower than the {format_rate(BASE_LEARNING_RATE)} from base: it takes more rounds to learn, "
                "and forgets less of what it knows."
            )
        st.markdown(f"**Learning speed (learning rate): {describe_learning_rate(plan)}.** {how_fast}")
        for warning in plan.warnings:
            st.warning(plain(warning))


def _why(row: MatrixRow, plan: Plan, trained: ModelState) -> str:
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
    "decide": ("Look at it and decide", ":material/balance:"),
    "resume": ("See where it stopped", ":material/play_circle:"),
    "example": ("Load an example", ":material/library_add:"),
    "train": ("Train", ":material/school:"),
    "export": ("Make the ONNX model", ":material/package_2:"),
    "chat": ("Chat with it", ":material/chat:"),
}


def main_button(step: NextStep) -> bool:
    """Draw the one obvious thing to do now; returns whether it was clicked."""
    label, icon = BUTTONS[step.kind]
    st.markdown(plain(step.reason))
    changes = step.kind in ("example", "export") and system.view_only()
    return st.button(label, type="primary", icon=icon, key="main_button", disabled=changes)


# --- the behavior matrix --------------------------------------------------------------------------


def behavior_matrix(current: int) -> None:
    """Draw all six rows of the behavior matrix; a sign and words mark the one that applies."""
    columns = ["Trained model", "ONNX model", "Training starts from", "Learning rate"]
    rows = []
    for row in MATRIX:
        start = "base model" if row.start_from == "base" else "trained model"
        cells = [row.trained, row.onnx, start, sessions.format_rate(row.learning_rate)]
        if row.number == current:
            cells = [f"**{cell}**" for cell in cells]
            # In the first column, which no screen is too narrow for.
            cells[0] += " :primary-badge[◀\u00a0this\u00a0one]"
        rows.append(cells)
    table(
        columns,
        rows,
        f"The behavior matrix: six situations and what training does in each. Row {current} applies now.",
    )


# --- what was found on disk -----------------------------------------------------------------------


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
    state = freshness(situation)
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
    """Draw what trains and runs beside it, with progress; refreshes itself only while anything runs."""
    active = sessions.running(workspace) is not None or bool(sessions.running_jobs(workspace))
    st.fragment(_running_now, run_every=REFRESH_SECONDS if active else None)(workspace, active)


def _running_now(workspace: Workspace, was_active: bool) -> None:
    with stop_on_error():
        training = sessions.running(workspace)
        jobs = sessions.running_jobs(workspace)
        queued = len(sessions.waiting(workspace))
        if was_active and not training and not jobs:
            st.rerun()  # it has ended: everything else on the page may be different now
        for record in [*filter(None, [training]), *jobs]:
            status = record.status
            st.markdown(f"▶️ **{plain(record.spec.name)}** {KINDS[record.spec.kind]}.")
            st.progress(min(max(status.progress, 0.0), 1.0), plain(text.progress(status)))
        if not training and not jobs:
            st.markdown("Nothing is running.")
        if queued:
            st.markdown("One more session waits." if queued == 1 else f"{queued} more sessions wait.")


KINDS = {
    "train": "is running",
    "export": "is being made into an ONNX model",
    "baseline": "is being made into an ONNX model, untrained",
    "replay": "is being replayed; nothing is trained",
    "probe": "is not taught yet: its best learning speed is being measured",
}


def last_sessions(records: Sequence[SessionRecord]) -> None:
    """Draw the given sessions, newest first, each with how it ended in words."""
    if not records:
        st.markdown("There has been no training yet.")
    for record in reversed(records):
        sign, sentence = text.outcome(record)
        when = text.moment(record.spec.created, st.context.timezone)
        details = ", ".join(filter(None, [when, plain(text.describe_learning(record))]))
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            what = f"**{plain(record.spec.name)}**  \n{sign} {plain(sentence)}  \n:small[{details}]"
            st.markdown(what, width="stretch")
            link("Sessions", "Look at it", session=record.spec.id)
