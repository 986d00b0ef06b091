"""Sessions: what was trained, what came of it, the family tree of its models, and going back.

/Sessions                       the history, what is remembered, the family tree and the versions
/Sessions?session=ID            one session
/Sessions?compare=ID,ID         up to five side by side
"""

import streamlit as st

from sails import ui
from sails.sessions import read_history
from sails.ui import link, page_frame
from sails.ui.sessions import (
    audit_panel,
    compare_sessions,
    family_tree,
    find_session,
    history_table,
    keeps_audit,
    session_page,
    sessions_to_compare,
    versions_panel,
)

with page_frame("Sessions") as workspace:
    ui.tour_card(workspace, "Sessions")
    session, several = st.query_params.get("session"), st.query_params.get("compare")
    if session or several:
        link("Sessions", "All sessions", icon=":material/arrow_back:")
    ui.redraw_when_models_change(workspace)
    if session:
        session_page(workspace, find_session(workspace, session))
    elif several:
        compare_sessions(workspace, sessions_to_compare(workspace, several))
    else:
        st.markdown(
            "Each training is kept as a session: what was taught, what it learned, and which model it made."
        )
        records = read_history(workspace)
        views = ["History", ui.RETENTION_TAB, "Family tree", "Versions"]
        if keeps_audit(workspace):
            views.append("Who did what")
        table, remembered, tree, kept, *audit = st.tabs(views, key="view", bind="query-params")
        with table:
            if table.open:
                history_table(workspace, records)
        with remembered:
            if remembered.open:
                ui.current_model_retention(workspace)
        with tree:
            if tree.open:
                family_tree(workspace, records)
        with kept:
            if kept.open:
                versions_panel(workspace, records)
        for tab in audit:
            with tab:
                if tab.open:
                    audit_panel(workspace)
