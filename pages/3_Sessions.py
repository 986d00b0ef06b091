"""Sessions: what was trained, what came of it, which model came from which, and going back.

/Sessions                       the history, what is remembered, the family tree and the versions
/Sessions?session=ID            one session
/Sessions?compare=ID,ID         up to five side by side
"""

import streamlit as st

from sails import sessions
from sails.ui import retention as remembering
from sails.ui.frame import link, page_frame
from sails.ui.sessions import compare as comparison
from sails.ui.sessions import detail as session
from sails.ui.sessions import table as history
from sails.ui.sessions import versions

with page_frame("Sessions") as workspace:
    one, several = st.query_params.get("session"), st.query_params.get("compare")
    if one or several:
        link("Sessions", "All sessions", icon=":material/arrow_back:")
    if one:
        session.everything(workspace, session.named(workspace, one))
    elif several:
        comparison.side_by_side(comparison.chosen(workspace, several))
    else:
        st.markdown(
            "Each training is kept as a session: what was taught, what it learned, and which model it made."
        )
        records = sessions.read_history(workspace)
        views = ["History", remembering.TAB, "Which came from which", "Versions"]
        table, remembered, tree, kept = st.tabs(views, key="view", bind="query-params")
        with table:
            if table.open:
                history.history_table(workspace, records)
        with remembered:
            if remembered.open:
                remembering.of_the_current_model(workspace)
        with tree:
            if tree.open:
                versions.family_tree(workspace, records)
        with kept:
            if kept.open:
                versions.versions_panel(workspace, records)
