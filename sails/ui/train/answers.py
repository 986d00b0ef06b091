"""Sample answers of a session, first and latest."""

from __future__ import annotations

import streamlit as st

from sails.sessions import Samples, SessionMonitor
from sails.ui.frame import lazy_expander
from sails.ui.text import answer, plain


def answers(monitor: SessionMonitor, ended: bool) -> None:
    """Draw what it answers to a few questions: at first and now, and folded away all in between."""
    samples = monitor.samples
    if not samples:
        return
    first, latest = samples[0], samples[-1]
    if "after" not in monitor.answers:  # else what it answers in the end stands above
        st.subheader("What it answered on the way" if ended else "What it answers meanwhile", anchor=False)
        _first_and_latest(first, latest, ended)
    if len(samples) > 2:
        folded = lazy_expander("All answers on the way", ":material/timeline:", "live_between")
        if folded.open:
            for number, question in enumerate(latest.prompts):
                folded.markdown(f"**{plain(question)}**")
                lines = (f"- Step {sample.step}: {plain(_text(sample, number))}" for sample in samples)
                folded.markdown("\n".join(lines))


def _first_and_latest(first: Samples, latest: Samples, ended: bool) -> None:
    for number, question in enumerate(latest.prompts):
        with st.container(border=True, gap="xsmall"):
            st.markdown(f"**{plain(question)}**")
            before, now = st.columns(2)
            with before:
                _answer("Before the lesson", first, number)
            with now:
                if latest is not first:
                    _answer(f"After step {latest.step}", latest, number)
                elif not ended:
                    st.caption("What it answers in between comes here after a while.")


def _answer(title: str, sample: Samples, number: int) -> None:
    st.caption(title)
    st.markdown(answer(_text(sample, number)))


def _text(sample: Samples, number: int) -> str:
    return sample.answers[number] if number < len(sample.answers) else ""
