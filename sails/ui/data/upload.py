"""Bringing conversations: upload, paste, type or an example; and, when a file does not say it, its columns.

Whatever comes of it waits to be saved; an example goes into the library at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from sails import data, system
from sails.data import ENOUGH_ROWS, ENOUGH_TO_JUDGE, NO_COLUMN, ColumnMapping, Draft, Unassigned, Unmapped
from sails.models import Workspace
from sails.sessions import DEFAULT_PRESET, PRESET_ROWS, PRESETS
from sails.system import Progress, count
from sails.ui.data.pending import PendingUploads, discard_button, show_dataset
from sails.ui.data.text import JUDGED, file_label
from sails.ui.frame import show_errors
from sails.ui.text import code, plain
from sails.ui.widgets import change_button

WAYS = {
    "upload": ":material/upload_file: Upload files",
    "paste": ":material/content_paste: Paste a table",
    "type": ":material/edit: Type them",
    "example": ":material/lightbulb: Use an example",
}
TEXT_COLUMNS = {
    "Question": st.column_config.TextColumn("Question", width=250),
    "Answer": st.column_config.TextColumn("Answer", width=380),
}
NOTHING = "(none)"
MAX_CELL_LENGTH = 4_000  # characters that a grid shows of a question or an answer
ROW_COLUMN = {"Row": st.column_config.NumberColumn("Row", width=60)}


def upload_panel(workspace: Workspace, uploads: PendingUploads) -> None:
    """Offer four ways to bring conversations."""
    way = st.segmented_control(
        "How would you like to bring them?",
        list(WAYS),
        format_func=WAYS.__getitem__,
        default="upload",
        required=True,
        key="data-way",
    )
    with st.container(border=True):
        match way:
            case "paste":
                _paste(uploads)
            case "type":
                _type(uploads)
            case "example":
                _example(workspace)
            case _:
                _upload(uploads)


def _upload(uploads: PendingUploads) -> None:
    files = st.file_uploader(
        f"Drop your files here: {data.FORMAT_TITLES}",
        accept_multiple_files=True,
        key=uploads.key("upload"),
        disabled=system.view_only(),
    )
    st.caption(
        "One row is one example, with a column for the question and one for the answer. "
        "The files stay on this machine."
    )
    if files:
        # A field that is switched off is no lock: a browser can be made to send a file all the same.
        system.require_changes()
        for file in files:
            name, content = file.name, file.getvalue()
            with reading(code(data.file_name(name))) as progress:
                _add(uploads, data.from_file, name, content, progress=progress)
        uploads.reset_widgets()
        st.rerun()


@contextmanager
def reading(file: str = "") -> Iterator[Progress]:
    """Show that a file is read, and how far it is once that takes a while; `file` is Markdown."""
    with st.spinner(f"Reading and checking {file} …" if file else "Reading and checking …"):
        place = st.empty()

        def report(fraction: float, *words: str) -> None:
            place.progress(fraction, " ".join(words).capitalize())

        yield report
        place.empty()


def _paste(uploads: PendingUploads) -> None:
    text = st.text_area(
        "Paste a table here, with the names of its columns in the first line",
        height=200,
        placeholder="question\tanswer\nHow do I reset my password?\tChoose “Forgot password”.",
        key=uploads.key("paste"),
        disabled=system.view_only(),
    )
    st.caption("Copied from Excel or another spreadsheet, as CSV, or as JSON.")
    if change_button("Check the table", key="data-check-paste", type="primary"):
        with reading() as progress:
            _add(uploads, data.from_text, text, progress=progress)
        st.rerun()


def _type(uploads: PendingUploads) -> None:
    # Streamlit forgets a grid when another page is visited: it begins with what was typed before.
    if uploads.key("typed") not in st.session_state:
        empty = pd.DataFrame({"Question": [""] * 3, "Answer": [""] * 3}, dtype="string")
        st.session_state["data-typed-first"] = st.session_state.get("data-typed", empty)
    grid = st.data_editor(
        st.session_state["data-typed-first"],
        num_rows="dynamic",
        hide_index=True,
        key=uploads.key("typed"),
        disabled=system.view_only(),
        column_config=TEXT_COLUMNS,
        alt="A grid to type questions and answers into, one pair in each row",
    )
    st.session_state["data-typed"] = grid
    pairs = [(_cell(question), _cell(answer)) for question, answer in grid.to_numpy().tolist()]
    whole = count(sum(bool(question and answer) for question, answer in pairs), "example")
    st.caption(f"Click a cell and type. The last line of the grid adds another row. So far: {whole}.")
    if change_button("Check the examples", key="data-check-typed", type="primary"):
        if _add(uploads, data.from_pairs, pairs):
            del st.session_state["data-typed"]
        st.rerun()


def _cell(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _example(workspace: Workspace) -> None:
    st.markdown("Three small lessons of 90 examples each, to see how it works before you bring your own.")
    for example in data.EXAMPLES:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{example.title}**  \n{example.teaches}", width=560)
            use = change_button(f"Use “{example.title}”", key=f"data-example-{example.file}")
        if use:
            show_dataset(data.add_example(workspace, example).name)


def _add(
    uploads: PendingUploads,
    make: Callable[..., Draft | Unmapped | Unassigned],
    *arguments: Any,
    **options: Any,
) -> bool:
    """Let what `make` gives wait to be saved, or else the sentence of why it cannot be used."""
    uploads.discarded = None
    with show_errors() as failed:
        uploads.add(make(*arguments, **options))
    for sentence in failed:
        uploads.add_message("failed", plain(sentence))
    return not failed


# --- how many -------------------------------------------------------------------------------------


def how_many_examples() -> None:
    """Say how many examples a person needs."""
    rounds = PRESETS[DEFAULT_PRESET].rounds
    repeated = "once" if rounds[-1] == 1 else f"{rounds[-1]} times"
    with st.expander("How many examples do I need?", icon=":material/help:", key="data-how-many"):
        st.markdown(
            f"""
Begin with what you have: you can teach more at any time, and the model builds on what it knows.

- **Fewer than {ENOUGH_ROWS}** are enough to see that it works. All of them are taught, so none is left
  to test whether the model can also answer what it was not taught.
- **From {ENOUGH_ROWS} new questions on**, one in ten, at least {data.MIN_HELD_OUT}, is set aside for
  testing. The model never learns from those; they are its exam.
- **From about {JUDGED}**, at least {ENOUGH_TO_JUDGE} are set aside for testing, and the result of the exam
  can be trusted.
- **Thousands** make it better still, as long as they are good. Never more than {data.MAX_HELD_OUT} are set
  aside.

Good examples help more than many: answer in whole sentences, in the tone that you would like to read, and
ask the same thing in several ways. Few examples are repeated more often: up to {PRESET_ROWS[0].rows} are gone
through {rounds[0]} times, more than {PRESET_ROWS[-2].rows:,} {repeated}.
"""
        )


# --- the files that wait --------------------------------------------------------------------------


def choose_waiting(uploads: PendingUploads) -> None:
    """Ask which of the files that wait is looked at; they are saved one after another."""
    labels = [file_label(number, waiting.file) for number, waiting in enumerate(uploads.waiting, 1)]
    if len(labels) > 1:
        st.radio(
            f"{len(labels)} files wait to be saved. Which one would you like to look at?",
            range(len(labels)),
            format_func=labels.__getitem__,
            index=min(uploads.chosen, len(labels) - 1),
            key=uploads.key("chosen"),
            on_change=_choose,
            args=(uploads, uploads.generation, uploads.key("chosen")),
        )
    st.header(plain(uploads.current.file), anchor=False)


def _choose(uploads: PendingUploads, generation: int, key: str) -> None:
    if generation == uploads.generation:  # else a late word of a list that is gone
        uploads.chosen = st.session_state[key]
        uploads.reset_widgets()


# --- its columns ----------------------------------------------------------------------------------


def ask_for_columns(uploads: PendingUploads, unmapped: Unmapped) -> None:
    """Ask which column asks and which one answers, beside the first rows of the file."""
    st.markdown(
        "The columns of this file have names that I do not know. **Which one holds the questions, "
        "and which one the answers?**"
    )
    if unmapped.first_rows:
        st.dataframe(
            pd.DataFrame(list(unmapped.first_rows), columns=list(unmapped.columns)),
            hide_index=True,
            alt="The first rows of the file, to see what each column holds",
        )
    first, second, *_ = unmapped.columns
    mapping = choose_columns(uploads, unmapped.columns, ColumnMapping(first, second))
    no_names = unmapped.table and st.checkbox(
        "The first line is not a line of names: it is an example itself",
        key=uploads.key("first-row"),
        help="Tick this when the names of the columns above are really a question and an answer.",
    )
    with st.container(horizontal=True):
        if change_button("Use these columns", key="data-use-columns", type="primary"):
            with show_errors() as failed, reading() as progress:
                chosen = unmapped.mapped(mapping, first_row_taught=no_names, progress=progress)
                uploads.replace_current(chosen)
            if not failed:
                st.rerun()
        discard_button(uploads)


def ask_for_assistant(uploads: PendingUploads, unassigned: Unassigned) -> None:
    """Ask who of the people in a chat is the assistant, whose answers are taught."""
    st.markdown(
        "In this chat people speak under their own names. **Whose messages are the answers** that the model "
        "is to learn? Everybody else asks."
    )
    assistant = st.selectbox(
        "The assistant is",
        unassigned.people,
        index=None,
        placeholder="Choose a name",
        key=uploads.key("assistant"),
    )
    with st.container(horizontal=True):
        if change_button(
            "Read the chat", key="data-use-assistant", type="primary", disabled=assistant is None
        ):
            with show_errors() as failed, reading() as progress:
                uploads.replace_current(unassigned.assigned(assistant or "", progress=progress))
            if not failed:
                st.rerun()
        discard_button(uploads)


def choose_columns(uploads: PendingUploads, columns: Sequence[str], chosen: ColumnMapping) -> ColumnMapping:
    """Ask for the columns of the question, the answer and, if any, of what belongs to them."""

    def ask(place: DeltaGenerator, label: str, role: str, wanted: str | None, about: str = "") -> str:
        offered = [NOTHING, *columns] if about else list(columns)
        index = offered.index(wanted) if wanted in offered else 0
        return place.selectbox(label, offered, index, key=uploads.key(f"{role}-column"), help=about or None)

    asks, answers = st.columns(2)
    question = ask(asks, "Column of the question", "question", chosen.input)
    answer = ask(answers, "Column of the answer", "answer", chosen.output)
    before, behind, instructs = st.columns(3)
    about = "Optional: for example a task that the question is material for. It is put before the question."
    instruction = ask(before, "Stands before the question", "instruction", chosen.instruction, about)
    about = "Optional: for example a passage that the question is about. It is put behind the question."
    context = ask(behind, "Belongs to the question", "context", chosen.context, about)
    about = "Optional: how the assistant should behave in this row."
    system = ask(instructs, "Instructions to the assistant", "system", chosen.system, about)
    named = {
        role: column
        for role, column in (("instruction", instruction), ("context", context))
        if column != NOTHING
    }
    system = NO_COLUMN if system == NOTHING else system
    return ColumnMapping(question, answer, **named, system=system, history=chosen.history or NO_COLUMN)
