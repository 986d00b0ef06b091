"""The library on the data page: the list of all datasets, and one of them with all that is known of it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from sails import data, retention, system, training
from sails.data import Conversation, DatasetReport
from sails.models import DEFAULT_BASE_MODEL, Workspace
from sails.system import count, shorten
from sails.training import Lengths, plan
from sails.ui.data import text as data_words
from sails.ui.data.model_view import show_model_view
from sails.ui.data.pending import PendingUploads, show_dataset
from sails.ui.data.text import facts, histogram, how_measured, quality
from sails.ui.data.upload import MAX_CELL_LENGTH, ROW_COLUMN, TEXT_COLUMNS
from sails.ui.frame import go, link, show_error, show_errors
from sails.ui.text import code, moment, plain
from sails.ui.widgets import change_button, download_button

MAX_DATASETS = 20  # datasets shown at first
MAX_ROWS_SHOWN = 50  # rows

# --- all of them ----------------------------------------------------------------------------------


def dataset_list(workspace: Workspace) -> None:
    """Draw the datasets of the library, the newest first."""
    reports = data.reports(workspace)
    if not reports:
        st.markdown("There is none yet. Bring your own conversations, or begin with an example.")
        return
    wanted = ""
    if len(reports) > MAX_DATASETS:
        wanted = st.text_input("Find a dataset", key="data-find-dataset", icon=":material/search:")
    shown = [report for report in reports if wanted.casefold().strip() in report.name]
    for report in shown[:MAX_DATASETS]:
        with st.container(border=True, gap="xsmall"):
            link("Data", f"**{plain(report.name)}**", icon=":material/description:", dataset=report.name)
            st.markdown(_facts(report))
    if len(shown) > MAX_DATASETS:
        st.caption(f"The newest {MAX_DATASETS} of {len(shown):,}; search to find the others.")
    if not shown:
        st.markdown("No dataset has this in its name.")


def _facts(report: DatasetReport) -> str:
    return facts(report, lambda time: moment(time, st.context.timezone))


# --- one of them ----------------------------------------------------------------------------------


def dataset_heading(report: DatasetReport) -> None:
    """Draw the dataset's name and what it is, in a line."""
    st.header(plain(report.name), anchor=False)
    parts = ", ".join(map(code, report.combined))
    st.markdown(f"{_facts(report)}  \n{f'Made of {parts}' if parts else f'From {code(report.source)}'}")
    if report.understood:
        st.caption(plain(report.understood))


def dataset_actions(workspace: Workspace, uploads: PendingUploads, report: DatasetReport) -> None:
    """Draw what most people want to do with a dataset; the first is the next step."""
    with st.container(horizontal=True):
        if change_button("Teach this", "school", "data-teach", type="primary"):
            go("Train", dataset=report.name)
        download_button(
            "Download",
            lambda: data.rows_file(workspace, report.name).read_bytes(),
            f"{report.name}.jsonl",
            "application/jsonl",
            "data-download",
        )
        if change_button("Correct a copy", "edit", "data-copy"):
            with show_errors() as failed, st.spinner("Reading and checking …"):
                uploads.add(data.from_dataset(workspace, report.name))
                uploads.chosen = len(uploads.waiting) - 1
            if not failed:
                show_dataset(None)


def dataset_contents(workspace: Workspace, report: DatasetReport) -> None:
    """Draw all that is in a dataset: what a training would make of it, its quality, its lengths, its rows."""
    # The rows of a dataset never change, so its name and fingerprint say all.
    with st.spinner("Reading the rows …"):
        rows = _read(workspace, f"{workspace.root} {report.name} {report.fingerprint}", report.name)
    show_novelty(workspace, rows)
    st.header("Quality", anchor=False)
    lengths = measure_lengths(workspace, rows)
    if checked := report.assessment():
        st.markdown(quality(checked, len(lengths.refused)))
    else:
        st.markdown("Its check is not here any more. **Correct a copy** checks the rows anew.")
    if gone := report.left_out + report.refused:
        st.caption(f"{count(gone, 'row')} of the source {'was' if gone == 1 else 'were'} left out.")
    show_left_out(lengths)
    show_model_view(workspace, rows)
    show_lengths(lengths)
    st.header("The rows", anchor=False)
    _preview(rows)


# Shared and not copied, as `cache_data` would: `measure_lengths` knows the same rows by their identity.
# Few, for the rows of a large one take hundreds of megabytes.
@st.cache_resource(max_entries=2, show_spinner=False)
def _read(_workspace: Workspace, which: str, name: str) -> tuple[Conversation, ...]:  # noqa: ARG001
    return tuple(data.rows_of(_workspace, name))


def _preview(rows: Sequence[Conversation]) -> None:
    search = st.text_input("Find rows by their words", key="data-find", icon=":material/search:")
    wanted = search.casefold().strip()
    matching = [row for row in rows if not wanted or wanted in f"{row.input}\n{row.output}".casefold()]
    if not matching:
        st.markdown("No row fits.")
        return
    if len(matching) > MAX_ROWS_SHOWN:
        st.caption(f"The first {MAX_ROWS_SHOWN} of {len(matching):,} rows:")
    table = [
        (row.row, *(shorten(text, MAX_CELL_LENGTH, " …") for text in (row.input, row.output)))
        for row in matching[:MAX_ROWS_SHOWN]
    ]
    st.dataframe(
        pd.DataFrame(table, columns=["Row", "Question", "Answer"]),
        hide_index=True,
        column_config={**TEXT_COLUMNS, **ROW_COLUMN},
        alt="Rows of the dataset with question and answer",
    )


def rename_and_delete(workspace: Workspace, uploads: PendingUploads, report: DatasetReport) -> None:
    """Offer another name, and deleting, for which the name must be typed."""
    st.header("Name and removal", anchor=False)
    with st.expander("Rename this dataset", icon=":material/edit_note:", key="data-renaming"):
        _rename(workspace, uploads, report)
    with st.expander("Delete this dataset", icon=":material/delete:", key="data-deleting"):
        _delete(workspace, uploads, report)


def _rename(workspace: Workspace, uploads: PendingUploads, report: DatasetReport) -> None:
    key, longest = f"data-new-name-{report.name}", data.LONGEST_NAME
    name = st.text_input("New name", report.name, longest, key, disabled=system.view_only())
    if change_button("Rename", key="data-rename"):
        with show_errors() as failed:
            renamed = data.rename(workspace, report.name, name)
        if not failed:
            uploads.add_message("done", f"It is called {code(renamed.name)} now.")
            show_dataset(renamed.name)


def _delete(workspace: Workspace, uploads: PendingUploads, report: DatasetReport) -> None:
    st.markdown(
        f"This removes {count(report.rows, 'example')} and the file that they came from, for good. "
        "Models that were taught with them stay as they are."
    )
    typed = st.text_input(
        f"To confirm, type its name: {code(report.name)}",
        key=f"data-confirm-{report.name}",
        disabled=system.view_only(),
    )
    if not change_button("Delete for good", key="data-delete"):
        return
    if typed.strip() != report.name:
        show_error("The name does not match, so nothing was deleted.", f"Type {report.name} to delete it.")
        return
    with show_errors() as failed:
        data.delete(workspace, report.name)
    if not failed:
        uploads.add_message("done", f"{code(report.name)} is deleted.")
        show_dataset(None)


# --- figures, of a draft as well ------------------------------------------------------------------


def show_novelty(workspace: Workspace, rows: Sequence[Conversation]) -> None:
    """Draw how many of these rows are new, taught before and kept back at the next training."""
    current = workspace.situation().trained.fingerprint
    counts = data.novelty(workspace, rows, retention.taught_before(workspace, current))
    new, before, held = st.columns(3)
    new.metric("New to the model", f"{counts.new:,}", border=True)
    before.metric("Taught before", f"{counts.taught_before:,}", border=True)
    held.metric("Set aside for testing", f"{counts.held_out:,}", border=True)
    st.markdown(data_words.novelty(counts))
    base = workspace.situation().trained.base or DEFAULT_BASE_MODEL
    if said := plan.describe_foreign(base, data.foreign_rows(rows)):
        st.warning(plain(said), icon=":material/translate:")


def measure_lengths(workspace: Workspace, rows: Sequence[Conversation], draft: str = "") -> Lengths:
    """Return the lengths, measured once for the same rows; with a progress bar, as it may take seconds.

    While one row after another of a large `draft` is corrected, its sample is not drawn anew each time.
    """
    slot = st.empty()  # always: what stands below must not move when there is nothing left to count
    folder = training.tokenizer_folder(workspace)
    sampled_draft = draft if len(rows) > training.MOST_MEASURED else ""
    cached = st.session_state.get("data-lengths")
    same_rows = cached and (cached[1] is rows or (sampled_draft and cached[2] == sampled_draft))
    if cached is None or cached[0] != folder or not same_rows:
        counting = "Counting word pieces …"
        lengths = training.measure(rows, folder, lambda part: slot.progress(part, counting))
        slot.empty()
        cached = st.session_state["data-lengths"] = (folder, rows, sampled_draft, lengths)
    return cached[3]


def show_left_out(measured: Lengths) -> None:
    """Say which rows the model cannot be taught, and why."""
    for sentence in training.describe_left_out(measured.refused):
        st.markdown(plain(sentence))


def show_lengths(measured: Lengths) -> None:
    """Draw how long the examples are, as a sentence and a chart."""
    from sails.ui import charts  # plotly takes half a second, and most visits do not need it

    st.header("How long the examples are", anchor=False)
    sentence = data_words.lengths(measured)
    st.markdown(sentence)
    ranges, counts = histogram(measured)
    charts.draw(
        charts.bars(ranges, counts, "Word pieces in one example", "Examples", height=240),
        "data-lengths-chart",
        f"Bars: how many examples have how many word pieces. {sentence}",
    )
    st.caption(how_measured(measured))
