"""What a person uploaded and has not saved yet, kept for this browser tab.

Not here: how it is uploaded (`upload`) and corrected (`editor`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from sails.data import Draft, Unassigned, Unmapped
from sails.ui.text import plain


@dataclass
class PendingUploads:
    """What waits to be saved, and what there is to tell."""

    waiting: list[Draft | Unmapped | Unassigned] = field(default_factory=list)
    chosen: int = 0  # which of those that wait is looked at
    discarded: Draft | Unmapped | Unassigned | None = None  # the last one, to bring it back
    messages: list[tuple[str, str]] = field(default_factory=list)  # done or failed, and Markdown
    generation: int = 0  # part of the keys of what must begin afresh, as an uploader after an upload
    grid: tuple[Any, list[int]] | None = None  # what was asked of the grid, and the rows that it shows

    @property
    def current(self) -> Draft | Unmapped | Unassigned:
        """The one that is looked at."""
        self.chosen = min(self.chosen, len(self.waiting) - 1)
        return self.waiting[self.chosen]

    @property
    def draft(self) -> Draft:
        """The one that is looked at, whose columns are known."""
        assert isinstance(self.current, Draft)
        return self.current

    def replace_current(self, changed: Draft, *, reset: bool = True) -> None:
        """Put `changed` in place of the current one; `reset` draws a new grid, without its former edits."""
        self.waiting[self.chosen] = changed
        if reset:
            self.reset_widgets()

    def add(self, upload: Draft | Unmapped | Unassigned) -> None:
        """Let one more wait; it is looked at when nothing else waits."""
        self.waiting.append(upload)
        self.reset_widgets()

    def remove(self) -> Draft | Unmapped | Unassigned:
        """Take the current one away."""
        removed = self.waiting.pop(self.chosen)
        self.reset_widgets()
        return removed

    def reset_widgets(self) -> None:
        """Give all fields and grids other keys, so that they begin afresh."""
        self.generation += 1
        self.grid = None

    def add_message(self, kind: str, sentence: str) -> None:
        """Show `sentence`, which is Markdown, when the page is drawn next; `kind` is done or failed."""
        self.messages.append((kind, sentence))

    def key(self, name: str) -> str:
        """Return a widget's key, which is another one after `reset_widgets`."""
        return f"data-{name}-{self.generation}"


def pending_uploads() -> PendingUploads:
    """Return what waits in this browser tab."""
    return st.session_state.setdefault("data-uploads", PendingUploads())


def show_messages(uploads: PendingUploads) -> None:
    """Draw what the last action did, once."""
    draw_messages(uploads.messages)
    uploads.messages = []


def draw_messages(messages: Iterable[tuple[str, str]]) -> None:
    """Draw what was done and what failed, each a sentence in Markdown."""
    for kind, sentence in messages:
        if kind == "done":
            st.success(sentence, icon=":material/check_circle:")
        else:
            st.error(sentence, icon=":material/error:")


def offer_undo(uploads: PendingUploads) -> None:
    """Bring back what was discarded last."""
    if uploads.discarded:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"{plain(uploads.discarded.file)} was discarded.", width="content")
            if st.button("Bring it back", icon=":material/undo:", key="data-undo"):
                uploads.add(uploads.discarded)
                uploads.chosen = len(uploads.waiting) - 1
                uploads.discarded = None
                st.rerun()


def discard_button(uploads: PendingUploads) -> None:
    """Draw the button that discards the current file."""
    if st.button("Discard", icon=":material/close:", key="data-throw-away"):
        uploads.discarded = uploads.remove()
        st.rerun()


def show_dataset(name: str | None) -> None:
    """Draw the page anew for one dataset of the library, or for all of it."""
    if name is None:
        st.query_params.pop("dataset", None)
    else:
        st.query_params["dataset"] = name
    st.rerun()
