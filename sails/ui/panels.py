"""The parts of the bridge, each drawn from what the workspace says; they decide nothing."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd
import streamlit as st

from sails import behavior, sessions
from sails.behavior import MATRIX, Plan, Row
from sails.sessions import Record
from sails.ui import words
from sails.ui.frame import in_words
from sails.ui.words import code, plain
from sails.workspace import FoundFile, ModelState, OnnxState, Situation, Workspace

CHECKOUT = Path(__file__).resolve().parents[2]
REFRESH_SECONDS = 2
STATES = {
    "complete": "✅ complete",
    "present": "✅ present",
    "missing": "– missing",
    "incomplete": "⚠️ incomplete",
}
MARK = ":primary-badge[◀\u00a0this\u00a0one]"

# --- what happens next ----------------------------------------------------------------------------


def next_training(plan: Plan, situation: Situation) -> None:
    """What the next training will do, why, and how fast it will learn."""
    row = MATRIX[plan.row - 1]
    with st.container(border=True, gap="xsmall"):
        st.caption("What the next training will do")
        st.header(row.headline, anchor=False)
        st.markdown(_why(row, plan, situation.trained))
        st.markdown(
            f"**Learning speed (learning rate): {behavior.describe_learning_rate(plan)}.** {_how_fast(plan)}"
        )
        for warning in plan.warnings:
            st.warning(plain(warning))


def _why(row: Row, plan: Plan, trained: ModelState) -> str:
    base = f"the base model {code(plan.model)}, which can talk but knows nothing of your conversations"
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


def _how_fast(plan: Plan) -> str:
    times = f"{behavior.BASE_LEARNING_RATE / behavior.CONTINUE_LEARNING_RATE:g}"
    if plan.start_from == "base":
        return "Full speed: a new model holds nothing of yours yet that this could damage."
    return f"{times} times gentler than from base: it learns more slowly and damages less of what it knows."


def how_to_train(workspace: Workspace, expanded: bool = False) -> None:
    """The commands for the terminal, until there are pages for them."""
    elsewhere = workspace.root != CHECKOUT / "workspace"
    option = f" --workspace {shlex.quote(str(workspace.root))}" if elsewhere else ""
    with st.expander(
        "How to train, for now from the terminal", icon=":material/terminal:", expanded=expanded
    ):
        st.markdown(f"Open a terminal in the folder {code(CHECKOUT)}. Teach the model an example:")
        st.code(
            f"sails train --data-file examples/programming_basics.json{option}",
            language=None,
            wrap_lines=True,
        )
        st.markdown("Then turn what it learned into an ONNX model, and talk with it:")
        st.code(f"sails convert{option}\nsails chat{option}", language=None, wrap_lines=True)
        st.caption(
            "If the terminal does not know `sails`, write `.venv/bin/sails` instead "
            "(on Windows `.venv\\Scripts\\sails`). While it trains, this page shows how far it is."
        )


# --- the behavior matrix --------------------------------------------------------------------------


def matrix(current: int) -> None:
    """All six rows of the behavior matrix; the one that applies is marked by a sign and by words."""
    columns = ["Trained model", "ONNX model", "Training starts from", "Learning rate"]
    rows = [_matrix_row(row, row.number == current) for row in MATRIX]
    st.table(
        pd.DataFrame(rows, columns=columns),
        border="horizontal",
        hide_index=True,
        alt=f"The behavior matrix: six situations and what training does in each. Row {current} applies now.",
    )


def _matrix_row(row: Row, applies: bool) -> list[str]:
    start = "base model" if row.start_from == "base" else "trained model"
    cells = [row.trained, row.onnx, start, behavior.format_rate(row.learning_rate)]
    if not applies:
        return cells
    first, *others = (f"**{cell}**" for cell in cells)
    return [f"{first} {MARK}", *others]  # in the first column, which no screen is too narrow for


# --- what was found on disk -----------------------------------------------------------------------


def found_on_disk(situation: Situation) -> None:
    """Both model folders side by side: state, age, origin and files."""
    left, right = st.columns(2)
    with left, st.container(border=True, height="stretch"):
        _trained_model(situation.trained)
    with right, st.container(border=True, height="stretch"):
        _onnx_model(situation.onnx, situation.trained)


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


def _onnx_model(model: OnnxState, trained: ModelState) -> None:
    st.subheader("ONNX model", anchor=False)
    st.markdown(f"**{STATES[model.state]}**")
    st.markdown(_freshness(model, trained))
    _facts([("Folder", code(model.path))], model.fingerprint, model.modified)
    _files(model.files, "ONNX model")


def _freshness(model: OnnxState, trained: ModelState) -> str:
    if not model.present:
        return "Nothing to chat with yet; `sails convert` makes it from the trained model."
    if model.stale is None:
        return "**Unknown whether fresh:** nobody noted which trained model it was made from."
    if not model.stale:
        return "**Fresh:** it was made from the trained model beside it."
    if trained.complete:
        return "**Out of date:** it was made from an earlier model; `sails convert` makes it anew."
    return "**Orphaned:** it was made from a trained model that is no longer here."


def _facts(facts: Sequence[tuple[str, str]], fingerprint: str | None, modified: datetime | None) -> None:
    lines = [*facts]
    if fingerprint:
        lines.append(("Fingerprint", code(fingerprint)))
    if modified:
        lines.append(("Last changed", words.moment(modified, st.context.timezone)))
    st.markdown("  \n".join(f"{name}: {value}" for name, value in lines))


def _files(files: Sequence[FoundFile], what: str) -> None:
    if files:
        total = words.size(sum(file.size for file in files))
        count = f"{len(files)} files" if len(files) > 1 else "1 file"
        with st.expander(f"{count}, {total}", icon=":material/folder_open:"):
            rows = [(code(file.name), words.size(file.size)) for file in files]
            st.table(
                pd.DataFrame(rows, columns=["File", "Size"]),
                border="horizontal",
                hide_index=True,
                alt=f"The files of the {what}",
            )


# --- sessions -------------------------------------------------------------------------------------


def running_now(workspace: Workspace) -> None:
    """The session that runs, with its progress; refreshes itself only as long as one runs."""
    running = sessions.running(workspace)
    refresh = REFRESH_SECONDS if running else None
    st.fragment(_running_now, run_every=refresh)(workspace, running is not None)


def _running_now(workspace: Workspace, was_running: bool) -> None:
    with in_words():
        record = sessions.running(workspace)
        queued = len(sessions.waiting(workspace))
        if was_running and not record:
            st.rerun()  # it has ended: everything else on the page may be different now
        if record:
            status = record.status
            st.markdown(f"▶️ {code(record.spec.name)} is running.")
            st.progress(min(max(status.progress, 0.0), 1.0), plain(words.progress(status)))
        else:
            st.markdown("Nothing is running.")
        if queued:
            st.markdown("One more session waits." if queued == 1 else f"{queued} more sessions wait.")


def last_sessions(records: Sequence[Record]) -> None:
    """The given sessions, newest first, each with how it ended in words."""
    if not records:
        st.markdown("There has been no training yet.")
    for record in reversed(records):
        sign, sentence = words.outcome(record)
        when = words.moment(record.spec.created, st.context.timezone)
        details = [when, *filter(None, [plain(words.learned(record))])]
        st.markdown(f"{sign} {code(record.spec.name)} {plain(sentence)}  \n:small[{', '.join(details)}]")
