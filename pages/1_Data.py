"""Data: bring conversations, look at them, correct them, and keep them as datasets that can be taught.

/Data               bring something, or go on with what waits to be saved; below it, the library
/Data?dataset=NAME  one dataset of the library
/Data?corrections=waiting   the review list of what people said about answers in the chat
"""

import streamlit as st

from sails.data import Unmapped, report_of
from sails.ui import data, link, page_frame, show_errors
from sails.ui.data import (
    actions,
    ask_for_columns,
    bring,
    choose_waiting,
    contents,
    heading,
    housekeeping,
    how_many,
    measured,
    news,
    novelty,
    offer_undo,
    on_data_page,
    pending_uploads,
    review_list,
    rows,
    save,
    shelf,
    verdict,
)

with page_frame("Data") as workspace:
    brought = pending_uploads()
    news(brought)

    if name := st.query_params.get("dataset"):
        link("Data", "All datasets", icon=":material/arrow_back:")
        report = report_of(workspace, name)
        heading(report)
        actions(workspace, brought, report)
        with show_errors():
            contents(workspace, report)
        housekeeping(workspace, brought, report)

    elif standing := st.query_params.get("corrections"):
        link("Data", "All datasets", icon=":material/arrow_back:")
        review_list(workspace, standing)

    elif brought.waiting:
        choose_waiting(brought)
        if isinstance(brought.current, Unmapped):
            ask_for_columns(brought, brought.current)
        else:
            kept = brought.draft.savable
            verdict(brought)
            lengths = measured(workspace, kept, brought.key("draft"))
            save(workspace, brought, lengths)
            rows(brought)
            if kept:
                st.header("What a training would make of it", anchor=False)
                novelty(workspace, kept)
                data.lengths(lengths)

    else:
        offer_undo(brought)
        st.markdown(
            "A model learns from examples: a question, and the answer that you would like to read. "
            "Bring them in whatever way is easiest."
        )
        bring(workspace, brought)
        how_many()
        st.header("Your datasets", anchor=False)
        shelf(workspace)
        on_data_page(workspace)
