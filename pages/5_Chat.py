"""Chat: talk with the current model, an earlier version or the base model, alone or two side by side.

Everything answers as an ONNX model, so nothing here needs torch. `sails chat` does the same in the terminal.
"""

import streamlit as st

from sails.speakers import speakers
from sails.ui import chat
from sails.ui.frame import frame

with frame("Chat") as workspace:
    st.markdown("Ask your model what you taught it. It only knows what it learned, and it can be wrong.")
    here = chat.room(workspace)
    chosen = chat.choose(here, speakers(workspace))
    settings = chat.settings(here)
    possible = chat.ready(workspace, chosen)

    chat.said(workspace, here.conversation)
    chat.ask(here, chosen, settings, possible)
    chat.keep(here)
