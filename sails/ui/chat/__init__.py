"""The page Chat."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.ui.chat.conversations import conversation_bar, open_conversation, say_where_it_is_kept
    from sails.ui.chat.models import all_ready, choose_models
    from sails.ui.chat.panel import mark_differences, question_field
    from sails.ui.chat.recorded import ask_recorded, choose_recorded, wants_recorded
    from sails.ui.chat.saved_prompts import prompt_table, saved_prompts_menu
    from sails.ui.chat.settings import chat_settings, show_context_usage
    from sails.ui.chat.state import chat_state
    from sails.ui.chat.transcript import show_conversation

__getattr__, __all__ = lazy_exports(__name__)
