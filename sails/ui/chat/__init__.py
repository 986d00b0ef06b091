"""The page Chat."""

from sails.ui.chat.feedback import WHO
from sails.ui.chat.models import choose, ready
from sails.ui.chat.panel import ask, keep, marking
from sails.ui.chat.saved_prompts import section
from sails.ui.chat.settings import chat_settings
from sails.ui.chat.state import room
from sails.ui.chat.transcript import said

__all__ = [
    "WHO",
    "ask",
    "chat_settings",
    "choose",
    "keep",
    "marking",
    "ready",
    "room",
    "said",
    "section",
]
