"""What a browser keeps of its chat in one workspace, and fields that outlive other pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from sails import chat
from sails.chat import ChatHistory, ChatTurn, PromptTable
from sails.errors import SailsError, ViewOnlyError
from sails.models import Workspace
from sails.system import Stamp

FOLDED = ("chat_conversations", "chat_this_one", "chat_saved")  # the keys of what unfolds over the page
ADDRESS = "conversation"  # its name in the address
ONLY_HERE = "You may only look here, so this conversation is kept in this tab only: a reload ends it."


@dataclass
class ChatState:
    """What this browser keeps of its chat in one workspace, also while another page is open."""

    conversation: ChatHistory = field(default_factory=ChatHistory)
    identity: str = ""  # of the conversation; empty before its first question
    name: str = ""  # that a person gave it
    stamp: Stamp | None = None  # of its file, as it was read; None: it has none
    not_kept: str = ""  # why what was said last is in no file
    before: ChatState | None = None  # the conversation that "New conversation" put away
    chosen: dict[str, Any] = field(default_factory=dict)  # what the fields said last, by key
    table: PromptTable | None = None  # all saved questions, asked of all
    next_question: str = ""  # a saved question that is to be asked as if it had been typed
    asks_all: bool = False  # all saved questions are to be asked

    def begin_anew(self) -> None:
        """Begin a new conversation, and put the one so far away."""
        self.before = ChatState(self.conversation, self.identity, self.name, self.stamp, self.not_kept)
        self._become(ChatState())

    def bring_back(self) -> None:
        """Go on with the conversation that was put away."""
        if self.before:
            self._become(self.before)
            self.before = None

    def _become(self, other: ChatState) -> None:
        self.conversation, self.identity, self.name = other.conversation, other.identity, other.name
        self.stamp, self.not_kept = other.stamp, other.not_kept
        name_in_address(self.identity if self.stamp else "")

    def open(self, workspace: Workspace, identity: str) -> None:
        """Read a conversation, and go on with it. Raises `WorkspaceError` when it cannot be read."""
        stamp = chat.conversation_stamp(workspace, identity)
        kept = chat.read_conversation(workspace, identity)
        self._become(ChatState(kept.history, identity, kept.name, stamp))

    def keep(self, workspace: Workspace, turn: ChatTurn) -> None:
        """Keep a turn as it is now; where that cannot be, it stays in this tab, and why is noted."""
        first = not self.identity
        if first:
            self.identity = chat.new_conversation()
        elif not self.stamp:
            return  # its first question could not be kept
        try:
            chat.keep_turn(workspace, self.identity, turn, first=first)
        except ViewOnlyError:
            self.not_kept = ONLY_HERE
        except (SailsError, OSError) as error:
            self.not_kept = f"This is kept in this tab only. {error}"
        else:
            if first:
                self.stamp = chat.conversation_stamp(workspace, self.identity)
                name_in_address(self.identity)

    def ask_next(self, question: str) -> None:
        """Ask a saved question when the page is drawn next."""
        self.next_question = question
        fold_up()

    def ask_all_next(self) -> None:
        """Ask all saved questions when the page is drawn next."""
        self.asks_all = True
        fold_up()

    def clear_table(self) -> None:
        """Forget what was answered to all saved questions."""
        self.table = None


def fold_up() -> None:
    """Fold up what has unfolded over the conversation; to be called before the page is drawn."""
    for key in FOLDED:
        st.session_state[key] = False


def name_in_address(identity: str) -> None:
    """Write the open conversation into the address, so that a reload finds it; empty: none is open."""
    if identity:
        st.query_params[ADDRESS] = identity
    else:
        st.query_params.pop(ADDRESS, None)


def chat_state(workspace: Workspace) -> ChatState:
    """Return what this browser keeps of its chat in a workspace."""
    key = chat_state_key(workspace)
    if key not in st.session_state:
        st.session_state[key] = ChatState()
    return st.session_state[key]


def chat_state_key(workspace: Workspace) -> str:
    """Return the name under which this browser keeps its chat in a workspace."""
    return f"chat in {workspace.root} with {workspace.trained_model}"


def remembered(state: ChatState, key: str, usual: Any) -> str:
    """Return the key of a field that keeps its value over other pages, where Streamlit forgets it."""
    if key not in st.session_state:
        st.session_state[key] = state.chosen.get(key, usual)
    return key
