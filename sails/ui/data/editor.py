"""A draft under the eyes of a person: its quality, its rows in a grid to correct, its name, and saving it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from sails import data, system
from sails.data import Draft
from sails.models import Workspace
from sails.system import count, shorten
from sails.training import Lengths
from sails.ui.data import text
from sails.ui.data.pending import PendingUploads, discard_button, show_dataset
from sails.ui.data.upload import MAX_CELL_LENGTH, ROW_COLUMN, TEXT_COLUMNS, choose_columns
from sails.ui.frame import show_errors, stop_on_error
from sails.ui.text import code, plain
from sails.ui.widgets import change_button, show_part

PART_LENGTH = 50  # rows of the grid at a time
MAX_REFUSED = 50  # refused rows that are listed
WHICH = {"problems": "Rows to look at", "all": "All rows"}


# --- quality --------------------------------------------------------------------------------------


def draft_quality(uploads: PendingUploads, lengths: Lengths) -> None:
    """Draw the quality of a draft in words, and one click to drop what is wrong."""
    draft = uploads.draft
    for note in filter(None, (draft.reading.understood, *draft.reading.notes)):
        st.caption(plain(note))
    with st.container(border=True):
        st.markdown(text.quality(draft.report, len(lengths.refused)))
        if draft.wrong:
            st.markdown("Rows with errors are not saved. Correct them in the grid below, or drop them here.")
        with st.container(horizontal=True):
            _drop(uploads, "errors", draft.wrong)
            _drop(uploads, "warnings", draft.doubtful)
            label = f"Put {count(len(draft.left_out), 'row')} back"
            if draft.left_out and st.button(label, icon=":material/undo:", key="data-restore"):
                uploads.replace_current(draft.restored())
                st.rerun()
    if draft.refused:
        _refused(draft)
    _columns_used(uploads)


def _drop(uploads: PendingUploads, what: str, rows: Collection[int]) -> None:
    label = f"Drop the {count(len(rows), 'row')} with {what}"
    if rows and st.button(label, icon=":material/delete_sweep:", key=f"data-drop-{what}"):
        uploads.replace_current(uploads.draft.dropped(rows))
        st.rerun()


def _refused(draft: Draft) -> None:
    label = f"Cannot be read: {count(len(draft.refused), 'row')}"
    with st.expander(label, icon=":material/error:", key="data-refused"):
        if len(draft.refused) > MAX_REFUSED:
            st.caption(f"The first {MAX_REFUSED} of {len(draft.refused):,}:")
        table = [(refusal.row, refusal.reason) for refusal in draft.refused[:MAX_REFUSED]]
        st.dataframe(
            pd.DataFrame(table, columns=["Row", "Why"]),
            hide_index=True,
            column_config=ROW_COLUMN,
            alt="The rows that cannot be read, and why",
        )
        st.markdown("Correct them in the file and bring it again, or go on without them.")


def _columns_used(uploads: PendingUploads) -> None:
    """Which columns were taken for question and answer, and a way to choose others."""
    draft = uploads.draft
    mapping = draft.reading.mapping
    if mapping is None:
        return
    label = f"The questions are in {code(mapping.input)}, the answers in {code(mapping.output)}"
    with st.expander(label, icon=":material/view_column:", key="data-columns"):
        wanted = choose_columns(uploads, draft.reading.columns, mapping)
        st.caption("Reading the file again forgets your corrections.")
        if st.button("Read it again with these columns", key="data-other-columns"):
            with show_errors() as failed, st.spinner("Reading and checking …"):
                uploads.replace_current(
                    data.mapped(draft.file, draft.content, wanted, first_row_taught=draft.first_row_taught)
                )
            if not failed:
                st.rerun()


# --- saving ---------------------------------------------------------------------------------------


def save_panel(workspace: Workspace, uploads: PendingUploads, lengths: Lengths) -> None:
    """Draw the field for its name, and the buttons that save it or discard it."""
    draft = uploads.draft
    typed = st.text_input(
        "Name in your library",
        value=draft.name,
        max_chars=data.LONGEST_NAME,
        key=uploads.key("name"),
        disabled=system.view_only(),
    )
    with st.container(horizontal=True):
        label = f"Save {count(len(draft.savable), 'example')}"
        if change_button(label, "save", "data-save", type="primary", disabled=not draft.savable):
            wanted = data.name_from_text(typed if typed.strip() else draft.name)
            with show_errors() as failed, st.spinner("Saving …"):
                counted = lengths.total if lengths.counted and not lengths.sampled else None
                report = replace(draft, name=wanted).save(workspace, tokens=counted)
            if not failed:
                taken = f" The name {code(wanted)} was taken." if report.name != wanted else ""
                saved = f"{code(report.name)} is in your library: {count(report.rows, 'example')}.{taken}"
                uploads.add_message("done", saved)
                uploads.remove()
                show_dataset(None if uploads.waiting else report.name)
        discard_button(uploads)
    if not draft.savable:
        st.markdown("There is no row that can be saved yet: correct one in the grid.")


# --- the rows -------------------------------------------------------------------------------------


def rows_grid(uploads: PendingUploads) -> None:
    """Draw the rows in a grid, to be read, corrected there, and left out; those with problems first."""
    draft = uploads.draft
    st.header("The rows", anchor=False)
    problems = (draft.wrong | draft.doubtful) & {row.row for row in draft.rows}  # others are not in the grid
    counts = {"problems": len(problems), "all": len(draft.rows)}
    which = st.segmented_control(
        "Which rows?",
        list(WHICH),
        format_func=lambda which: f"{WHICH[which]} ({counts[which]:,})",
        default="problems" if problems else "all",
        required=True,
        key=uploads.key("which"),
    )
    search = st.text_input("Find rows by their words", key=uploads.key("search"), icon=":material/search:")
    if uploads.grid is None or uploads.grid[0] != (which, search):
        among = draft.wrong | draft.doubtful if which == "problems" else {row.row for row in draft.rows}
        uploads.grid = ((which, search), draft.find(search, among))
    numbers = uploads.grid[1]  # they stay while the grid is worked in, also those that are right by now
    if not numbers:
        st.markdown("No row fits." if search else "✅ There is nothing to look at: no row has a problem.")
        return
    shown = show_part(numbers, PART_LENGTH, " rows", uploads.key("part"))
    _grid(uploads, shown, key=uploads.key(f"grid-{which}-{search}-{numbers.index(shown[0])}"))


def _grid(uploads: PendingUploads, shown: Sequence[int], key: str) -> None:
    table = pd.DataFrame([_line(uploads.draft, number) for number in shown])
    if not table["Before it"].any():
        table = table.drop(columns="Before it")
    st.data_editor(
        table,
        hide_index=True,
        key=key,
        on_change=_edited,
        args=(uploads, uploads.generation, list(shown), key),
        disabled=["Row", "Before it", "What the check says"],
        column_config={
            **TEXT_COLUMNS,
            **ROW_COLUMN,
            "Keep": st.column_config.CheckboxColumn("Keep", width=70),
            "What the check says": st.column_config.TextColumn(width=230),
        },
        alt="The rows with question and answer; both can be edited, and Keep can be unticked",
    )
    st.caption(
        "Double-click a question or an answer to correct it; it is checked again at once. "
        "Untick *Keep* to leave a row out."
    )


def _line(draft: Draft, number: int) -> dict[str, Any]:
    row = draft.row(number)
    assert row is not None
    signs = {"error": "❌", "warning": "⚠️"}
    problems = draft.findings.get(number, ())
    findings = [f"{signs[problem.severity]} {problem.reason}" for problem in problems]
    dropped = number in draft.left_out
    return {
        "Row": number,
        "Keep": not dropped,
        "What the check says": "– left out" if dropped else "; ".join(findings) or "✅ fine",
        "Question": shorten(row.input, MAX_CELL_LENGTH, " …"),
        "Answer": shorten(row.output, MAX_CELL_LENGTH, " …"),
        "Before it": f"{len(row.turns) - 2} turns" if len(row.turns) > 2 else "",
    }


def _edited(uploads: PendingUploads, generation: int, shown: Sequence[int], key: str) -> None:
    """Take over what was changed in the grid, which gives all changes since it was drawn first."""
    with stop_on_error():
        if generation != uploads.generation:  # a late word of a grid that is gone, after saving for example
            return
        system.require_changes()
        draft = uploads.draft
        for position, cells in st.session_state[key]["edited_rows"].items():
            number = shown[int(position)]
            row = draft.row(number)
            assert row is not None
            if "Keep" in cells:
                draft = draft.restored([number]) if cells["Keep"] else draft.dropped([number])
            texts = (cells.get("Question", row.input) or "", cells.get("Answer", row.output) or "")
            if texts == (row.input, row.output):
                continue
            if max(len(row.input), len(row.output)) > MAX_CELL_LENGTH:
                too_long = f"Row {number} is too long for the grid, so it stays as it was."
                uploads.add_message("failed", f"{too_long} Correct it in the file and bring that again.")
                continue
            draft = draft.corrected({number: texts})
        uploads.replace_current(draft, reset=False)
