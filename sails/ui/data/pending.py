"""The desk: what a person brought and has not saved yet, kept for this browser tab.

Not here: how it is brought (`bringing`) and corrected (`correcting`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from sails.data import Draft, Unmapped
from sails.ui.text import plain


@dataclass
class PendingUploads:
    """What waits to be saved, and what there is to tell."""

    waiting: list[Draft | Unmapped] = field(default_factory=list)
    chosen: int = 0
    thrown_away: Draft | Unmapped | None = None  # the last one, to bring it back
    sentences: list[tuple[str, str]] = field(default_factory=list)  # done or failed, and Markdown
    generation: int = 0  # part of the keys of what must begin afresh, as an uploader after an upload
    grid: tuple[Any, list[int]] | None = None  # what was asked of the grid, and the rows that it shows

    @property
    def current(self) -> Draft | Unmapped:
        self.chosen = min(self.chosen, len(self.waiting) - 1)
        return self.waiting[self.chosen]

    @property
    def draft(self) -> Draft:
        assert isinstance(self.current, Draft)
        return self.current

    def put(self, changed: Draft, *, afresh: bool = True) -> None:
        """In place of the current one. `afresh` also draws a new grid, without its former edits."""
        self.waiting[self.chosen] = changed
        if afresh:
            self.begin_afresh()

    def take(self, brought: Draft | Unmapped) -> None:
        """Lay it on the desk, before the eyes of the person when nothing else waits."""
        self.waiting.append(brought)
        self.begin_afresh()

    def remove(self) -> Draft | Unmapped:
        removed = self.waiting.pop(self.chosen)
        self.begin_afresh()
        return removed

    def begin_afresh(self) -> None:
        self.generation += 1
        self.grid = None

    def say(self, kind: str, sentence: str) -> None:
        """Shown when the page is drawn next; `sentence` is Markdown."""
        self.sentences.append((kind, sentence))

    def key(self, name: str) -> str:
        """A widget's key, which is another one after the desk began afresh."""
        return f"data-{name}-{self.generation}"


def pending_uploads() -> PendingUploads:
    """The desk of this browser tab."""
    return st.session_state.setdefault("data-desk", PendingUploads())


def show_messages(desk: PendingUploads) -> None:
    """What the last action did, once."""
    for kind, sentence in desk.sentences:
        if kind == "done":
            st.success(sentence, icon=":material/check_circle:")
        else:
            st.error(sentence, icon=":material/error:")
    desk.sentences = []


def offer_undo(desk: PendingUploads) -> None:
    """Bring back what was thrown away last."""
    if desk.thrown_away:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"{plain(desk.thrown_away.file)} was thrown away.", width="content")
            if st.button("Bring it back", icon=":material/undo:", key="data-undo"):
                desk.take(desk.thrown_away)
                desk.chosen = len(desk.waiting) - 1
                desk.thrown_away = None
                st.rerun()


def discard_button(desk: PendingUploads) -> None:
    """The button that takes the current file off the desk."""
    if st.button("Throw away", icon=":material/close:", key="data-throw-away"):
        desk.thrown_away = desk.remove()
        st.rerun()


def show_dataset(name: str | None) -> None:
    """Draw the page anew for one dataset of the library, or for all of it."""
    if name is None:
        st.query_params.pop("dataset", None)
    else:
        st.query_params["dataset"] = name
    st.rerun()
