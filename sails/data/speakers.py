"""Who speaks: the roles of chat templates, and the names in many languages that stand for them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sails.data import column_names

ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "customer", "client", "you", "you said"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "chatbot", "model", "ai"), "assistant"),
    **dict.fromkeys(("agent", "claude", "chatgpt said"), "assistant"),
    **dict.fromkeys(("tool", "tool_call", "tool_response", "tool_result"), "tool"),
    **dict.fromkeys(("function", "function_call", "observation", "ipython"), "tool"),
}


def role_of(name: Any) -> str | None:
    """Return `system`, `user`, `assistant` or `tool` for a known name of a speaker."""
    return ROLES.get(name.strip().casefold().rstrip(":")) if isinstance(name, str) else None


@lru_cache(4096)
def speaker_role(name: str, assistant: str | None = None) -> str | None:
    """Return the role of whoever speaks; None for a name that says nothing of it.

    `assistant` is the name of the assistant among people who speak under their own names.
    """
    known = role_of(name)
    if assistant is not None:
        is_named = name.strip().casefold() == assistant.strip().casefold()
        return "assistant" if is_named else known if known in ("system", "tool") else "user"
    words = frozenset(column_names.words_of(name))
    lists = {"assistant": column_names.ASSISTANTS, "user": column_names.USERS}
    called = (role for role, text in lists.items() if words and words <= column_names.names(text))
    return known or next(called, None)
