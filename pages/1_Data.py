"""Data: bring conversations, look at them, correct them, and keep them as datasets that can be taught.

/Data               bring something, or go on with what waits to be saved; below it, the library
/Data?dataset=NAME  one dataset of the library
/Data?corrections=waiting   the review list of what people said about answers in the chat
"""

import streamlit as st

from sails.data import Unassigned, Unmapped, report_of
from sails.ui import data, link, page_frame, show_errors, tour_card
from sails.ui.data import (
    ask_for_assistant,
    ask_for_columns,
    choose_waiting,
    corrections_on_data_page,
    dataset_actions,
    dataset_contents,
    dataset_heading,
    dataset_list,
    draft_quality,
    how_many_examples,
    measure_lengths,
    offer_undo,
    pending_uploads,
    rename_and_delete,
    review_list,
    rows_grid,
    save_panel,
    show_messages,
    show_model_view,
    show_novelty,
    upload_panel,
)

with page_frame("Data") as workspace:
    tour_card(workspace, "Data")
    uploads = pending_uploads()
    show_messages(uploads)

    if name := st.query_params.get("dataset"):
        link("Data", "All datasets", icon=":material/arrow_back:")
        report = report_of(workspace, name)
        dataset_heading(report)
        dataset_actions(workspace, uploads, report)
        with show_errors():
            dataset_contents(workspace, report)
        rename_and_delete(workspace, uploads, report)

    elif standing := st.query_params.get("corrections"):
        link("Data", "All datasets", icon=":material/arrow_back:")
        review_list(workspace, standing)

    elif uploads.waiting:
        choose_waiting(uploads)
        if isinstance(uploads.current, Unmapped):
            ask_for_columns(uploads, uploads.current)
        elif isinstance(uploads.current, Unassigned):
            ask_for_assistant(uploads, uploads.current)
        else:
            kept = uploads.draft.savable
            lengths = measure_lengths(workspace, kept, uploads.key("draft"))
            draft_quality(uploads, lengths)
            data.show_left_out(lengths)
            show_model_view(workspace, kept)
            save_panel(workspace, uploads, lengths)
            rows_grid(uploads)
            if kept:
                st.header("What a training would make of it", anchor=False)
                show_novelty(workspace, kept)
                data.show_lengths(lengths)

    else:
        offer_undo(uploads)
        st.markdown(
            "A model learns from examples: a question, and the answer that you would like to read. "
            "Bring them in whatever way is easiest."
        )
        upload_panel(workspace, uploads)
        how_many_examples()
        st.header("Your datasets", anchor=False)
        dataset_list(workspace)
        corrections_on_data_page(workspace)
