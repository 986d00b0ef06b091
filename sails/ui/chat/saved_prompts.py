"""The saved questions: the list, one asked at a click, and all of them asked of all models."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from functools import partial

import streamlit as st

from sails import chat
from sails.chat import ChatModel, GenerationSettings, PromptRow, PromptTable, SavedPrompt
from sails.errors import SailsError
from sails.models import Workspace
from sails.system import count
from sails.ui.chat import transcript
from sails.ui.chat.state import ChatState
from sails.ui.frame import show_error, show_errors
from sails.ui.text import literal, plain
from sails.ui.widgets import change_button, download_button

REDRAWN_SECONDS = 0.2  # the table while it grows
NEW = "prompt-new"  # the fields of a question that is not saved yet


def saved_prompts_menu(
    workspace: Workspace, state: ChatState, chosen: Sequence[ChatModel], possible: bool
) -> None:
    """Draw the list, folded: to ask one at a click, all of them, and to change them."""
    icon = ":material/bookmarks:"
    with st.popover("Saved questions", icon=icon, key="chat_saved", on_change="rerun"), show_errors():
        prompts = chat.prompts(workspace)
        about = "There are none yet. Keep the questions that you ask again and again here."
        if prompts:
            again = "that you ask again and again, to show a model or to compare two."
            about = f"{count(len(prompts), 'question')} {again}"
        st.markdown(about)
        for index, prompt in enumerate(prompts):
            _entry(workspace, state, prompt, possible, first=index == 0, last=index == len(prompts) - 1)
        if prompts:
            whom = {1: "", 2: "both models "}.get(len(chosen), f"all {len(chosen)} models ")
            st.button(
                f"Ask {whom}all of these",
                key="prompt-all",
                icon=":material/playlist_play:",
                disabled=not possible,
                on_click=state.ask_all_next,
            )
        _add(workspace, state, prompts)


def prompt_table(
    workspace: Workspace,
    state: ChatState,
    chosen: Sequence[ChatModel],
    settings: GenerationSettings,
    marking: bool,
) -> None:
    """Ask all saved questions, where that is wanted, and draw the table of what was answered."""
    asks_all, state.asks_all = state.asks_all, False
    if asks_all:
        state.table = PromptTable([model.origin for model in chosen], settings)
        with show_errors() as failed:
            _fill(state.table, chat.prompts(workspace), chosen)
        if not failed:
            st.rerun()
    if state.table and state.table.rows:
        _shown(state, state.table, marking)


# --- the list -------------------------------------------------------------------------------------


def _entry(
    workspace: Workspace, state: ChatState, prompt: SavedPrompt, possible: bool, *, first: bool, last: bool
) -> None:
    editing = f"prompt-editing-{prompt.id}"
    if st.session_state.get(editing):
        _edit(workspace, prompt, editing, first=first, last=last)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{plain(prompt.title)}**" if prompt.name else plain(prompt.title), width="stretch")
        st.button(
            "Ask",
            key=f"prompt-ask-{prompt.id}",
            icon=":material/send:",
            type="tertiary",
            disabled=not possible,
            on_click=partial(state.ask_next, prompt.question),
        )
        change = partial(_set, editing, True)
        change_button(
            "Change", "edit", f"prompt-change-{prompt.id}", type="tertiary", on_click=change, by_name=False
        )


def _set(key: str, value: bool) -> None:
    st.session_state[key] = value


def _edit(workspace: Workspace, prompt: SavedPrompt, editing: str, *, first: bool, last: bool) -> None:
    with st.container(border=True):
        name, question = _fields(f"prompt-{prompt.id}", prompt.name, prompt.question)
        with st.container(horizontal=True):
            if change_button("Save", key=f"prompt-save-{prompt.id}", type="primary"):
                with show_errors() as failed:
                    chat.change(workspace, prompt.id, question=question, name=name)
                if not failed:
                    _set(editing, False)
                    st.rerun()
            st.button("Cancel", key=f"prompt-cancel-{prompt.id}", on_click=partial(_set, editing, False))
            up = partial(_quietly, partial(chat.move, workspace, prompt.id, -1))
            down = partial(_quietly, partial(chat.move, workspace, prompt.id, 1))
            delete = partial(_quietly, partial(chat.delete, workspace, prompt.id))
            change_button("Up", "arrow_upward", f"prompt-Up-{prompt.id}", on_click=up, disabled=first)
            change_button("Down", "arrow_downward", f"prompt-Down-{prompt.id}", on_click=down, disabled=last)
            change_button("Delete", "delete", f"prompt-delete-{prompt.id}", on_click=delete)


def _fields(key: str, name: str, question: str) -> tuple[str, str]:
    return (
        st.text_input("Name (may stay empty)", value=name, key=f"{key}-name", max_chars=chat.LONGEST_NAME),
        st.text_area("Question", value=question, key=f"{key}-question", max_chars=chat.LONGEST_QUESTION),
    )


def _add_written(workspace: Workspace) -> None:
    """Add what stands in the fields of a new question, and empty them; not before it is added."""
    name, question = f"{NEW}-name", f"{NEW}-question"
    chat.add(workspace, st.session_state[question], st.session_state[name])
    st.session_state[name] = st.session_state[question] = ""


def _quietly(change: Callable[[], object]) -> None:
    """Carry out a change before the page is drawn; what went wrong is told at the next field."""
    try:
        change()
    except SailsError as error:
        st.session_state["prompt-problem"] = error.sentence


def _add(workspace: Workspace, state: ChatState, prompts: Sequence[SavedPrompt]) -> None:
    asked = [turn.question.strip() for turn in state.conversation.turns]
    if asked and asked[-1] not in {prompt.question for prompt in prompts}:
        change_button(
            "Save the last question",
            "bookmark_add",
            on_click=partial(_quietly, lambda: chat.add(workspace, asked[-1])),
        )
    with st.form("prompt-add", border=False):
        _fields(NEW, "", "")
        add = partial(_quietly, partial(_add_written, workspace))
        change_button("Add it to the list", "add", in_form=True, on_click=add)
    if problem := st.session_state.pop("prompt-problem", ""):
        show_error(problem)


# --- all of them, asked of all --------------------------------------------------------------------


def _fill(table: PromptTable, prompts: Sequence[SavedPrompt], chosen: Sequence[ChatModel]) -> None:
    """Draws the table as it grows. Left early, by Stop or another page, what was answered stays."""
    bar = st.progress(0.0)
    st.button("Stop", key="prompt-stop", icon=":material/stop_circle:")  # whatever is pressed ends it
    slot = st.empty()
    drawn = 0.0
    with closing(chat.ask_all(table, prompts, [model.answering for model in chosen])) as growing:
        for row in growing:
            if time.monotonic() - drawn > REDRAWN_SECONDS:
                done = len(table.rows)
                bar.progress((done - 1) / len(prompts), f"Question {done} of {len(prompts)}")
                with slot.container():
                    _row(table, row, marking=False)
                drawn = time.monotonic()


def _shown(state: ChatState, table: PromptTable, marking: bool) -> None:
    missing = ""
    if len(table.rows) < table.wanted:
        missing = f" The rest of the {table.wanted} was not asked: it was stopped."
    st.subheader("Asked all at once", anchor=False)
    asked = count(len(table.rows), "question")
    st.markdown(f"{asked} answered by {plain(', '.join(table.names))}.{missing}")
    if marking and len(table.origins) > 1:
        st.caption(f"Where an answer differs from the first in some words: {transcript.LEGEND}")
    name = f"questions-{datetime.now():%Y%m%d-%H%M}"
    with st.container(horizontal=True):
        download_button("Save the table as CSV", chat.as_csv(table), f"{name}.csv", "text/csv")
        download_button("Save the table as JSON", chat.as_json(table), f"{name}.json", "application/json")
        st.button("Clear the table", icon=":material/close:", on_click=state.clear_table)
    for row in table.rows:
        _row(table, row, marking)


def _row(table: PromptTable, row: PromptRow, marking: bool) -> None:
    """A question and its answers side by side, on a phone one below the other."""
    with st.container(border=True, gap="xsmall"):
        named = f"**{plain(row.prompt.name)}:** " if row.prompt.name else ""
        st.markdown(named + literal(row.turn.question))
        columns = st.columns(len(row.turn.replies))
        for index, (column, name, reply) in enumerate(
            zip(columns, table.names, row.turn.replies, strict=True)
        ):
            with column:
                st.caption(plain(name))
                if reply.problem:
                    show_error(reply.problem)
                elif reply.text:
                    first = row.turn.replies[0].text
                    mark = marking and index and first
                    st.markdown(transcript.mark_words(first, reply.text) if mark else literal(reply.text))
                notes = [*filter(None, [chat.describe_likeness(row, index)]), *chat.notes(reply)]
                if notes:
                    st.caption(plain(" ".join(notes)))
