"""The first conversations as the model will see them, with what it learns of them marked."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from sails import training
from sails.data import Conversation
from sails.models import Workspace
from sails.system import shorten
from sails.training import ConversationView, RowsView
from sails.ui.data.text import USUAL_LIMIT
from sails.ui.frame import lazy_expander, show_errors
from sails.ui.text import marked, plain

MAX_CONVERSATIONS = 3
MAX_EXAMPLES = 3  # of one conversation
MAX_BEYOND = 300  # characters of what is cut off
COLOR = "violet"


def show_model_view(workspace: Workspace, rows: Sequence[Conversation]) -> None:
    """Draw a fold with the first rows exactly as a training would give them to the model."""
    folded = lazy_expander(
        "What the model reads, and what it learns", ":material/visibility:", "data-model-view"
    )
    if not folded.open or not rows:
        return
    with folded, show_errors():
        view = training.view_rows(workspace, rows[:MAX_CONVERSATIONS], USUAL_LIMIT)
        if view.missing:
            st.markdown(plain(view.missing))
            return
        st.markdown(_legend(view))
        for row, conversation in zip(rows, view.conversations, strict=False):
            with st.container(border=True, gap="small"):
                _conversation(row, conversation, view.max_length)


def _legend(view: RowsView) -> str:
    one = len(view.conversations) == 1
    shown, them = ("conversation", "it") if one else (f"{len(view.conversations)} conversations", "them")
    learned = marked([("Marked in bold", True)], COLOR)
    return (
        f"The first {shown}, exactly as {plain(view.model)} will get {them}. {learned} is what it learns to "
        "say, up to the sign that ends its answer; everything else it only reads. Words that you did not "
        "write are the model's own marks: they tell it who speaks."
    )


def _conversation(row: Conversation, view: ConversationView, max_length: int) -> None:
    st.caption(f"Row {row.row:,}")
    for note in view.notes:
        st.markdown(plain(note))
    several = len(view.examples) > 1
    if several:
        st.markdown(f"It is taught in {len(view.examples)} parts: each answer behind what is asked for it.")
    for number, example in enumerate(view.examples[:MAX_EXAMPLES], 1):
        if several:
            st.caption(f"Part {number} of {len(view.examples)}")
        st.markdown(marked([(passage.text, passage.learned) for passage in example.passages], COLOR))
        if example.tokens_beyond:
            limit = f"{max_length:,} word pieces (tokens)"
            st.markdown(
                f":material/content_cut: It reads no further than {limit}. "
                f"The last {example.tokens_beyond:,} are cut off:"
            )
            st.caption(marked([(shorten(example.beyond, MAX_BEYOND, " …"), False)], COLOR))
