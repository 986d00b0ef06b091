"""Chat: talk with the current model, an earlier version or the base model, alone or up to four side by side.

Everything answers as an ONNX model, so nothing here needs torch. `sails chat` does the same in the terminal.
"""

import streamlit as st

from sails.chat import chat_models
from sails.ui import chat, page_frame

with page_frame("Chat") as workspace:
    st.markdown("Ask your model what you taught it. It only knows what it learned, and it can be wrong.")
    here = chat.chat_state(workspace)
    chosen = chat.choose_models(here, workspace, chat_models(workspace))
    settings = chat.chat_settings(here, chosen)
    possible = chat.all_ready(workspace, chosen)
    marking = chat.mark_differences(here, len(chosen))

    chat.show_conversation(workspace, here.conversation, marking)
    chat.question_field(here, chosen, settings, possible)
    chat.save_or_clear(here)
    chat.saved_prompts_panel(workspace, here, chosen, settings, possible, marking)
