"""The page Chat."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.ui.chat.models import all_ready, choose_models
    from sails.ui.chat.panel import mark_differences, question_field, save_or_clear
    from sails.ui.chat.saved_prompts import saved_prompts_panel
    from sails.ui.chat.settings import chat_settings
    from sails.ui.chat.state import chat_state
    from sails.ui.chat.transcript import show_conversation

__getattr__, __all__ = lazy_exports(__name__)
