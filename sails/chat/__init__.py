"""Talking with a model: conversations, who answers, saved prompts, differences."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.chat.conversation import (
        MAX_MODELS,
        ChatHistory,
        ChatTurn,
        GenerationSettings,
        Origin,
        Reply,
        answers,
        context_usage,
        describe,
        describe_ids,
        details,
        notes,
    )
    from sails.chat.diff import SENTENCES, likeness, pieces
    from sails.chat.kept import (
        CONVERSATIONS,
        LONGEST_CONVERSATION_NAME,
        ConversationEntry,
        KeptConversation,
        KeptConversations,
        conversation_name,
        conversation_stamp,
        conversations,
        delete_conversation,
        find_conversation,
        keep_turn,
        new_conversation,
        read_conversation,
        rename_conversation,
    )
    from sails.chat.model_cache import MODEL_CACHE
    from sails.chat.models import (
        BASE,
        CURRENT,
        ChatModel,
        chat_model_in,
        chat_models,
        current_chat_model,
        describe_variant,
        find_chat_model,
        previous_chat_model,
    )
    from sails.chat.prompt_runs import (
        PromptRow,
        PromptTable,
        answer_text,
        answerer_names,
        as_csv,
        as_json,
        ask_all,
        describe_likeness,
    )
    from sails.chat.recorded import Recording, ask_recording, recorded_questions, recordings
    from sails.chat.saved_prompts import (
        LONGEST_NAME,
        LONGEST_QUESTION,
        PROMPTS,
        SavedPrompt,
        add,
        change,
        delete,
        move,
        prompts,
    )
    from sails.chat.transcript import LOG, append

__getattr__, __all__ = lazy_exports(__name__)
