"""Did it work? The end of a session in words, for the page that trained it and for the history."""

from __future__ import annotations

import contextlib

import streamlit as st

from sails import retention
from sails.data import ENOUGH_TO_JUDGE
from sails.errors import SailsError
from sails.retention import Retention
from sails.sessions import AnsweredQuestion, SessionRecord, monitor_of
from sails.system import one_line
from sails.training import judge
from sails.ui.text import answer, plain

SIGNS = {"well": "✅", "partly": "🟡", "little": "⚠️", "nothing": "❌", "by heart": "⚠️", "forgot": "⚠️"}
ABOUT = {
    "taught": "It was taught this",
    "reworded": "The same question in other words, which it was not taught",
    "unrelated": "Nothing to do with the lesson: does it still know what it knew before?",
}
WHEN = {"before": "Before the lesson", "after": "After the lesson"}


def did_it_work(record: SessionRecord, measured: Retention | None = None) -> None:
    """Draw one sentence of verdict, the next step, and the answers before and after side by side.

    `measured` is what the session measured of earlier lessons, read here where it is not given.
    """
    monitor = monitor_of(record.session)
    monitor.wait()
    answers = monitor.answers
    if measured is None:
        with contextlib.suppress(SailsError):
            measured = retention.read_retention(record.session)
    judgement = judge(record.status, measured)
    if judgement is None and "after" not in answers:
        return
    st.header("Did it work?", anchor=False)
    if judgement:
        st.markdown(f"{SIGNS[judgement.outcome]} **{plain(judgement.sentence)}**")
        st.markdown(f"**What to do next:** {plain(judgement.next_step)}")
    _unseen(record)
    unrelated = [
        [one_line(item.answer) for item in answers.get(when, ()) if item.about == "unrelated"]
        for when in WHEN
    ]
    if all(unrelated) and unrelated[0] != unrelated[1]:
        st.markdown(
            "⚠️ It answers differently even where the lesson has nothing to do with it: see the last "
            "questions. Compare the answers; where a new one is wrong, the page Sessions leads back "
            "to the model before."
        )
    if answers.get("before") and answers.get("after"):
        st.markdown("The same questions, asked before and after. Read them: that is the real test.")
        for before, after in zip(answers["before"], answers["after"], strict=False):
            _question(before, after)


def _unseen(record: SessionRecord) -> None:
    before, after = record.status.results.held_out_before, record.status.results.held_out_after
    if before and after:
        direction = "better" if after.loss < before.loss else "no better"
        few = " That is too few to judge by." if after.rows < ENOUGH_TO_JUDGE else ""
        st.markdown(
            f"On {after.rows} questions that were kept back and never taught, it does {direction}: "
            f"{before.accuracy:.0%} → {after.accuracy:.0%} of the answers' word pieces right.{few}"
        )


def _question(before: AnsweredQuestion, after: AnsweredQuestion) -> None:
    with st.container(border=True, gap="xsmall"):
        st.caption(ABOUT.get(before.about, ""))
        st.markdown(f"**{plain(before.question)}**")
        texts = [(WHEN["before"], before.answer), (WHEN["after"], after.answer)]
        if before.expected:
            texts.append(("The answer that was taught", before.expected))
        for column, (title, text) in zip(st.columns(len(texts)), texts, strict=True):
            with column:
                st.caption(title)
                st.markdown(answer(text))
