"""The page Chat."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.ui.chat.feedback import WHO
    from sails.ui.chat.models import choose, ready
    from sails.ui.chat.panel import ask, keep, marking
    from sails.ui.chat.saved_prompts import section
    from sails.ui.chat.settings import chat_settings
    from sails.ui.chat.state import room
    from sails.ui.chat.transcript import said

__getattr__, __all__ = lazy_exports(__name__)
