"""Did it work? The end of a session in words, for the page that trained it and for the history."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import streamlit as st

from sails import retention
from sails.data import ENOUGH_TO_JUDGE
from sails.retention import Retention
from sails.sessions import AnsweredQuestion, SessionRecord, TrainSpec, monitor_of
from sails.system import count, one_line
from sails.training import judge
from sails.ui.text import answer, plain

SIGNS = {
    "well": "✅",
    "partly": ":material/incomplete_circle:",
    "little": "⚠️",
    "nothing": "❌",
    "by heart": "⚠️",
    "forgot": "⚠️",
}
ABOUT = {
    "taught": "It was taught this",
    "reworded": "The same question in other words, which it was not taught",
    "unrelated": "Nothing to do with the lesson: does it still know what it knew before?",
}
AnswerPair = tuple[AnsweredQuestion, AnsweredQuestion]
WHEN = {"before": "Before the lesson", "after": "After the lesson"}


def did_it_work(record: SessionRecord, measured: Retention | None = None, *, is_over: bool = False) -> None:
    """Draw one sentence of verdict, the next step, and the answers before and after side by side.

    No step is next where it `is_over`: its model is neither the current one nor waits for a decision.
    `measured` is what the session measured of earlier lessons, read here where it is not given.
    """
    monitor = monitor_of(record.session)
    monitor.wait()
    answers = monitor.answers
    if measured is None:
        measured = retention.retention_if_readable(record.session)
    here = record.session.model.exists() or (
        isinstance(record.spec, TrainSpec)
        and record.status.verdict != "held"
        and record.spec.trained_model.exists()
    )
    judgement = judge(record.status, measured, model_is_here=here)
    if judgement is None and "after" not in answers:
        return
    st.header("Did it work?", anchor=False)
    if judgement:
        st.markdown(f"{SIGNS[judgement.outcome]} **{plain(judgement.sentence)}**")
        if not is_over:
            st.markdown(f"**What to do next:** {plain(judgement.next_step)}")
    _unseen(record)
    if forgotten := retention.no_longer_right(answers.get("before", ()), answers.get("after", ())):
        st.markdown(
            f"⚠️ It answers {count(len(forgotten), 'question')} wrong that the model before answered right, "
            "though the lesson has nothing to do with it: see below."
        )
    if answers.get("before") and answers.get("after"):
        st.markdown("The same questions, asked before and after. Read them: that is the real test.")
        pairs = list(zip(answers["before"], answers["after"], strict=False))
        first = _first_of_each(pairs, forgotten)
        for pair in first:
            _question(*pair)
        if left := [pair for pair in pairs if pair not in first]:
            with st.expander(f"{count(len(left), 'more question')}", icon=":material/quiz:"):
                for pair in left:
                    _question(*pair)


def _first_of_each(pairs: Sequence[AnswerPair], forgotten: Collection[str]) -> list[AnswerPair]:
    """One question of each kind, in the order of the kinds; one that it answers wrong now goes first."""
    wrong_first = sorted(pairs, key=lambda pair: pair[0].question not in forgotten)
    found = (next((pair for pair in wrong_first if pair[0].about == about), None) for about in ABOUT)
    return [pair for pair in found if pair]


def _unseen(record: SessionRecord) -> None:
    before, after = record.status.results.held_out_before, record.status.results.held_out_after
    if before and after:
        better = (after.loss < before.loss, after.accuracy > before.accuracy)
        direction = {2: "better", 1: "about as well", 0: "no better"}[sum(better)]
        few = " That is too few to judge by." if after.rows < ENOUGH_TO_JUDGE else ""
        st.markdown(
            f"On what was set aside for testing and never taught ({count(after.rows, 'question')}), it does "
            f"{direction}: {before.accuracy:.0%} → {after.accuracy:.0%} of the answers' text right.{few}"
        )


def _question(before: AnsweredQuestion, after: AnsweredQuestion) -> None:
    with st.container(border=True, gap="xsmall"):
        st.caption(ABOUT.get(before.about, ""))
        st.markdown(f"**{plain(before.question)}**")
        as_taught = before.expected is not None and one_line(after.answer) == one_line(before.expected)
        then = f"{WHEN['after']}, word for word as taught" if as_taught else WHEN["after"]
        texts = [(WHEN["before"], before.answer), (then, after.answer)]
        if before.expected and not as_taught:
            texts.append(("The answer that was taught", before.expected))
        for column, (title, text) in zip(st.columns(len(texts)), texts, strict=True):
            with column:
                st.caption(title)
                st.markdown(answer(text))
