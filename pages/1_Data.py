"""Data: bring conversations, look at them, correct them, and keep them as datasets that can be taught.

/Data               bring something, or go on with what waits to be saved; below it, the library
/Data?dataset=NAME  one dataset of the library
/Data?corrections=waiting   the review list of what people said about answers in the chat
"""

import streamlit as st

from sails.data import datasets as library
from sails.data.draft import Unmapped
from sails.ui.data import editor as correcting
from sails.ui.data import library as data
from sails.ui.data import review as reviewing
from sails.ui.data import upload as bringing
from sails.ui.data.pending import desk, news, way_back
from sails.ui.frame import link, page_frame, show_errors

with page_frame("Data") as workspace:
    brought = desk()
    news(brought)

    if name := st.query_params.get("dataset"):
        link("Data", "All datasets", icon=":material/arrow_back:")
        report = library.report_of(workspace, name)
        data.heading(report)
        data.actions(workspace, brought, report)
        with show_errors():
            data.contents(workspace, report)
        data.housekeeping(workspace, brought, report)

    elif standing := st.query_params.get("corrections"):
        link("Data", "All datasets", icon=":material/arrow_back:")
        reviewing.review_list(workspace, standing)

    elif brought.waiting:
        bringing.choose_waiting(brought)
        if isinstance(brought.current, Unmapped):
            bringing.ask_for_columns(brought, brought.current)
        else:
            kept = brought.draft.savable
            correcting.verdict(brought)
            lengths = data.measured(workspace, kept, brought.key("draft"))
            correcting.save(workspace, brought, lengths)
            correcting.rows(brought)
            if kept:
                st.header("What a training would make of it", anchor=False)
                data.novelty(workspace, kept)
                data.lengths(lengths)

    else:
        way_back(brought)
        st.markdown(
            "A model learns from examples: a question, and the answer that you would like to read. "
            "Bring them in whatever way is easiest."
        )
        bringing.bring(workspace, brought)
        bringing.how_many()
        st.header("Your datasets", anchor=False)
        data.shelf(workspace)
        reviewing.on_data_page(workspace)
