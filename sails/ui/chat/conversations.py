"""The conversations that are kept: the open one, the others, a new one; rename, save, delete.

/Chat?conversation=ID    that conversation, also after a reload and a restart of the server
"""

from __future__ import annotations

from functools import partial

import streamlit as st

from sails import chat, system
from sails.chat import LONGEST_CONVERSATION_NAME, ConversationEntry
from sails.errors import WorkspaceError
from sails.models import Workspace
from sails.system import count, listed
from sails.ui import confirm
from sails.ui.chat.state import ADDRESS, ONLY_HERE, ChatState, fold_up, name_in_address
from sails.ui.frame import show_error, show_errors
from sails.ui.text import code, moment, plain
from sails.ui.widgets import change_button, download_button, show_part

SHOWN = 20  # conversations in the list at once


def open_conversation(workspace: Workspace, state: ChatState) -> None:
    """Open what the address names, or go on with the open one, with what another tab said in it since."""
    wanted = st.query_params.get(ADDRESS, "")
    stamp = chat.conversation_stamp(workspace, wanted or state.identity)
    is_read = state.identity == (wanted or state.identity) and (state.not_kept or state.stamp == stamp)
    if is_read:
        name_in_address(state.identity if state.stamp else "")
        return
    try:
        state.open(workspace, wanted or state.identity)
    except WorkspaceError as error:
        state.begin_anew()
        state.before = None
        show_error(str(error), error.remedy)


def conversation_bar(workspace: Workspace, state: ChatState) -> None:
    """Draw what can be done with conversations: a new one, the others, and the open one."""
    if state.conversation.turns:
        st.button("New conversation", icon=":material/add_comment:", on_click=state.begin_anew)
    elif state.before and state.before.conversation.turns:
        st.button("Bring back the last conversation", icon=":material/undo:", on_click=state.bring_back)
    everything = chat.conversations(workspace)
    others = [one for one in everything.kept if one.id != state.identity]
    if others or everything.damaged:
        with st.popover(
            "Conversations", icon=":material/forum:", key="chat_conversations", on_change="rerun"
        ):
            _others(others, everything.damaged)
    if state.conversation.turns:
        icon = ":material/more_horiz:"
        with (
            st.popover("This conversation", icon=icon, key="chat_this_one", on_change="rerun"),
            show_errors(),
        ):
            _this_one(workspace, state)


def say_where_it_is_kept(state: ChatState) -> None:
    """Say it where a conversation, or its last question, is lost with the tab."""
    if state.not_kept or system.view_only():
        st.caption(f":material/info: {plain(state.not_kept or ONLY_HERE)}")


def _others(others: list[ConversationEntry], damaged: tuple[str, ...]) -> None:
    words = st.text_input("Search", key="conversation-search", type="search", placeholder="A word of a title")
    wanted = (words or "").casefold().split()
    found = [one for one in others if all(word in one.title.casefold() for word in wanted)]
    if not found and others:
        st.caption("None has that in its title.")
    for one in show_part(found, SHOWN, " conversations", "conversation-part"):
        when = moment(one.changed, st.context.timezone)
        st.button(
            f"{plain(one.title)} · {when}",
            key=f"conversation-{one.id}",
            icon=":material/chat_bubble:",
            help=f"{count(one.questions, 'question')}, the last one then",
            type="tertiary",
            on_click=partial(_open, one.id),
        )
    if damaged:
        are = "is damaged and is" if len(damaged) == 1 else "are damaged and are"
        st.caption(f"⚠️ {listed([code(name) for name in damaged])} {are} left out.")


def _open(identity: str) -> None:
    name_in_address(identity)
    fold_up()


def _this_one(workspace: Workspace, state: ChatState) -> None:
    conversation, key = state.conversation, state.identity
    if state.stamp:
        with st.form(f"conversation-name-{key}", border=False):
            name = st.text_input(
                "Name",
                state.name,
                placeholder="The first question",
                max_chars=LONGEST_CONVERSATION_NAME,
                disabled=system.view_only(),
            )
            if change_button("Rename", "edit", f"conversation-rename-{key}", in_form=True):
                chat.rename_conversation(workspace, key, name)
                st.rerun()
    file = f"conversation-{key}"
    download_button("Save as text", conversation.as_text(), f"{file}.txt", "text/plain")
    download_button("Save as JSON", conversation.as_json(), f"{file}.json", "application/json")
    if examples := conversation.as_examples():
        about = "As one example to teach, which the page Data reads. Correct it there before you teach it."
        download_button("Save as an example", examples, f"example-{key}.json", "application/json", help=about)
    if state.stamp:
        confirm.ask_button("Delete", "delete", f"conversation-{key}")
        sentence = "**This deletes the conversation for good.** What you sent for review stays."
        if confirm.confirmed(f"conversation-{key}", [sentence], "Yes, delete it"):
            chat.delete_conversation(workspace, key)
            state.begin_anew()
            state.before = None
            st.rerun()
