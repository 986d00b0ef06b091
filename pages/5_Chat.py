"""Chat: talk with the current model, an earlier version or the base model, alone or up to four side by side.

/Chat                    a new conversation, or the one that this tab was in
/Chat?conversation=ID    one that is kept in the workspace
/Chat?speaker=KEY        with that model at first

Everything answers as an ONNX model, so nothing here needs torch. `sails chat` does the same in the terminal.
"""

import streamlit as st

from sails.chat import chat_models, recordings
from sails.ui import chat, page_frame, redraw_when_models_change, tour_card

with page_frame("Chat") as workspace:
    tour_card(workspace, "Chat")
    redraw_when_models_change(workspace)
    state = chat.chat_state(workspace)
    chat.open_conversation(workspace, state)
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    recorded = chat.wants_recorded(workspace, state, known := recordings(workspace), row)
    if recorded:
        several = len(recording := chat.choose_recorded(state, known, row))
    else:
        chosen = chat.choose_models(state, workspace, chat_models(workspace), row)
        several = len(chosen)
        with row:
            settings = chat.chat_settings(state, chosen)
        possible = chat.all_ready(workspace, chosen)
    with st.container(horizontal=True, gap="small"):
        chat.conversation_bar(workspace, state)
        if not recorded:
            chat.saved_prompts_menu(workspace, state, chosen, possible)
    marking = chat.mark_differences(state, several)

    if not (state.conversation.turns or recorded):
        st.markdown("Ask your model what you taught it. It only knows what it learned, and it can be wrong.")
    chat.show_conversation(workspace, state, marking)
    growing = st.container()
    chat.say_where_it_is_kept(state)
    if not recorded:
        chat.show_context_usage(state.conversation, chosen, settings)
        chat.prompt_table(workspace, state, chosen, settings, marking)

# Outside of all containers, so that the field stays at the bottom of the window.
if recorded:
    chat.ask_recorded(workspace, state, recording, growing)
else:
    chat.question_field(workspace, state, chosen, settings, possible, growing)
