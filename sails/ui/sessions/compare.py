"""Up to five sessions side by side: curves, settings, scores and answers."""

from __future__ import annotations

import string
from collections.abc import Sequence

import streamlit as st

from sails import sessions
from sails.errors import RequestError
from sails.models import Workspace
from sails.sessions import SessionMonitor, SessionRecord, monitor_of
from sails.ui import charts, text
from sails.ui.frame import link
from sails.ui.sessions import comparison
from sails.ui.sessions.comparison import ComparedLine, ComparedQuestion
from sails.ui.sessions.detail import find_session
from sails.ui.text import plain
from sails.ui.widgets import table

DIFFERS = "≠ **Different**"
CURVES = {
    "loss": "How wrong it is on what it learns (loss)",
    "held_out_loss": "How wrong it is on examples set aside for testing (loss)",
}


def sessions_to_compare(workspace: Workspace, wanted: str) -> list[SessionRecord]:
    """Return the sessions whose ids stand in the address; raises `RequestError` unless two to five."""
    ids = list(dict.fromkeys(filter(None, wanted.split(","))))
    if not 2 <= len(ids) <= comparison.MAX_COMPARED:
        raise RequestError(
            f"{len(ids)} sessions cannot be compared.",
            f"Choose two to {comparison.MAX_COMPARED} of them in the history.",
        )
    return [find_session(workspace, identity) for identity in ids]


def compare_sessions(workspace: Workspace, records: Sequence[SessionRecord]) -> None:
    """Draw everything in which the sessions may differ."""
    called = sessions.titles(sessions.read_history(workspace))
    letters = string.ascii_uppercase[: len(records)]
    st.header(f"{len(records)} sessions side by side", anchor=False)
    for letter, record in zip(letters, records, strict=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{letter}**", width="content")
            when = text.moment(record.spec.created, st.context.timezone)
            link("Sessions", f"{plain(called[record.session.id])}, {when}", session=record.session.id)
    with st.spinner("Reading what was measured …"):
        monitors = [monitor_of(record.session) for record in records]
        for monitor in monitors:
            monitor.wait()
    _curves(letters, monitors)
    st.header("How each was set up", anchor=False)
    _settings(letters, comparison.compare_settings(records))
    st.header("How well each did", anchor=False)
    st.markdown(
        "Loss, how wrong the answers are: lower is better. Share of the answers right: higher is better. "
        "★ marks the best of those that were taught the same examples and are not held back."
    )
    _table(letters, comparison.compare_scores(records), "What each session measured")
    st.header("What each answers", anchor=False)
    answered, taught = [*map(comparison.last_answers, monitors)], comparison.taught_answers(monitors)
    _answers(letters, comparison.same_questions(answered, taught))


def _curves(letters: str, monitors: Sequence[SessionMonitor]) -> None:
    st.header("How each learned", anchor=False)
    drawn = False
    for name, title in CURVES.items():
        lines = [
            charts.Series(letter, curve.x, curve.y, points=name == "held_out_loss")
            for letter, monitor in zip(letters, monitors, strict=True)
            if len(curve := monitor.curve(name))
        ]
        if lines:
            drawn = True
            st.subheader(title, anchor=False)
            summary = "; ".join(f"{line.name} from {line.y[0]:.3g} to {line.y[-1]:.3g}" for line in lines)
            charts.draw(charts.lines(lines, "Step", "Loss"), f"compare-{name}", f"{title}. {summary}.")
    if not drawn:
        st.markdown("None of them was measured.")


def _settings(letters: str, lines: Sequence[ComparedLine]) -> None:
    different = [line for line in lines if line.differs]
    same = [line for line in lines if not line.differs]
    if different:
        st.markdown(f"{DIFFERS} in {len(different)} of {len(lines)}:")
        _table(letters, different, "The settings in which the sessions differ")
    else:
        st.markdown("All have the same settings.")
    if same:
        with st.expander(f"The same in all of them ({len(same)})", icon=":material/equal:"):
            _table(letters, same, "The settings that are the same in all sessions")


def _table(letters: str, lines: Sequence[ComparedLine], alt: str) -> None:
    rows = [[plain(cell) for cell in (line.label, *line.values)] for line in lines]
    columns = ["", *letters]
    table(columns, rows, alt)


def _answers(letters: str, questions: Sequence[ComparedQuestion]) -> None:
    if not questions:
        st.markdown("No question was asked in all of them.")
        return
    st.markdown("The same questions, each answered after the lesson.")
    for question in questions:
        with st.container(border=True, gap="xsmall"):
            st.markdown(f"**{plain(question.text)}**")
            if question.expected:
                st.caption("The answer that was taught")
                st.markdown(text.answer(question.expected))
            for letter, column, answer in zip(
                letters, st.columns(len(letters)), question.answers, strict=True
            ):
                with column:
                    st.caption(letter)
                    st.markdown("*(was not asked)*" if answer is None else text.answer(answer))
