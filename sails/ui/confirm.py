"""Asking before something happens that cannot simply be taken back.

    confirm.ask_button("Delete", "delete", "delete-x")       # opens the question
    if confirm.confirmed("delete-x", ["This deletes …"], "Yes, delete it"):
        …                                                    # the person said yes

With `again` a second question follows the first. The question stands on the page and not in a dialog, so
that what takes long can show its progress below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from sails.ui.widgets import change_button


def ask_button(label: str, icon: str, key: str, *, disabled: bool = False) -> None:
    """Draw the button that opens the question."""
    change_button(label, icon, f"ask-{key}", on_click=partial(_ask, key), disabled=disabled)


def confirmed(key: str, sentences: Sequence[str], yes: str, *, again: str | None = None) -> bool:
    """Draw the question if it is open; returns True in the run in which a person said yes, to `again` too.

    `sentences` are Markdown: what will happen. `again` is the second question, for what is gone for good.
    """
    stage = st.session_state.get(_state(key), 0)
    if not stage:
        return False
    with st.container(border=True):
        for sentence in sentences:
            st.markdown(sentence)
        if stage == 2 and again:
            st.markdown(f"**{again}**")
        with st.container(horizontal=True):
            said_yes = False
            # Each stage has a button of its own, so that a double click does not answer both questions.
            if again is None or stage == 2:
                said_yes = st.button(yes, key=f"yes-{key}-{stage}", type="secondary" if again else "primary")
            else:
                st.button("Go on", key=f"yes-{key}-{stage}", on_click=partial(_ask, key, 2))
            st.button("No, leave it as it is", key=f"no-{key}", on_click=partial(close, key))
    if said_yes:
        close(key)
    return said_yes


def close(key: str) -> None:
    """Close the question without an answer."""
    st.session_state.pop(_state(key), None)


def _ask(key: str, stage: int = 1) -> None:
    st.session_state[_state(key)] = stage


def _state(key: str) -> str:
    return f"asked-{key}"
