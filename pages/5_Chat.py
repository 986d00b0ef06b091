"""Chat: talk with the current model, an earlier version or the base model, alone or up to four side by side.

Everything answers as an ONNX model, so nothing here needs torch. `sails chat` does the same in the terminal.
"""

import streamlit as st

from sails.chat import chat_models
from sails.ui import chat, page_frame

with page_frame("Chat") as workspace:
    st.markdown("Ask your model what you taught it. It only knows what it learned, and it can be wrong.")
    state = chat.chat_state(workspace)
    chosen = chat.choose_models(state, workspace, chat_models(workspace))
    settings = chat.chat_settings(state, chosen)
    possible = chat.all_ready(workspace, chosen)
    marking = chat.mark_differences(state, len(chosen))

    chat.show_conversation(workspace, state.conversation, marking)
    chat.question_field(state, chosen, settings, possible)
    chat.save_or_clear(state)
    chat.saved_prompts_panel(workspace, state, chosen, settings, possible, marking)
