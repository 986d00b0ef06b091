"""What a browser keeps of its chat in one workspace, and fields that outlive other pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from sails.chat import ChatHistory, PromptTable
from sails.models import Workspace


@dataclass
class ChatState:
    """What this browser keeps of its chat in one workspace, also while another page is open."""

    conversation: ChatHistory = field(default_factory=ChatHistory)
    before: ChatHistory | None = None  # the one that "New conversation" put away
    chosen: dict[str, Any] = field(default_factory=dict)  # what the fields said last, by key
    table: PromptTable | None = None  # all saved questions, asked of all
    next_question: str = ""  # a saved question that is to be asked as if it had been typed

    def begin_anew(self) -> None:
        """Begin a new conversation, and put the one so far away."""
        self.before, self.conversation = self.conversation, ChatHistory()

    def bring_back(self) -> None:
        """Go on with the conversation that was put away."""
        if self.before:
            self.conversation, self.before = self.before, None

    def ask_next(self, question: str) -> None:
        """Ask a saved question when the page is drawn next."""
        self.next_question = question

    def clear_table(self) -> None:
        """Forget what was answered to all saved questions."""
        self.table = None


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
