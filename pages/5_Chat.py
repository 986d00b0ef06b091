"""Chat: talk with the current model, an earlier version or the base model, alone or up to four side by side.

Everything answers as an ONNX model, so nothing here needs torch. `sails chat` does the same in the terminal.
"""

import streamlit as st

from sails.chat.models import chat_models
from sails.ui.chat import models as answerers
from sails.ui.chat import panel as chat
from sails.ui.chat import saved_prompts as saved_questions
from sails.ui.chat import settings as chat_settings
from sails.ui.chat import state as chat_room
from sails.ui.chat import transcript as said
from sails.ui.frame import page_frame

with page_frame("Chat") as workspace:
    st.markdown("Ask your model what you taught it. It only knows what it learned, and it can be wrong.")
    here = chat_room.room(workspace)
    chosen = answerers.choose(here, workspace, chat_models(workspace))
    settings = chat_settings.chat_settings(here, chosen)
    possible = answerers.ready(workspace, chosen)
    marking = chat.marking(here, len(chosen))

    said.said(workspace, here.conversation, marking)
    chat.ask(here, chosen, settings, possible)
    chat.keep(here)
    saved_questions.section(workspace, here, chosen, settings, possible, marking)
