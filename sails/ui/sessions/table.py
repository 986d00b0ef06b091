"""The history of sessions as a table that is searched, filtered and marked.

The table is kept: of thousands of sessions, only those that changed since are put into words again.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from sails import sessions
from sails.models import Workspace
from sails.sessions import SessionRecord, State, TrainSpec
from sails.system import count, name_of, one_line, shorten
from sails.ui import text
from sails.ui.frame import go, link
from sails.ui.sessions import comparison

MAX_OFFERED = 50  # sessions in the list to choose from; of more, nobody finds one there
CLICKED = "clicked-in-history"  # in the session state: the cells of a click that nobody has followed yet
MAX_HEIGHT = 400  # pixels of a table of many rows, which scrolls inside

STATES: dict[State, str] = {
    "queued": "Waiting",
    "running": "Running",
    "succeeded": "✅ Finished",
    "failed": "❌ Failed",
    "stopped": "⏹️ Stopped",
    "interrupted": "⚠️ Interrupted",
}
VERDICTS = {"published": "Was current", "held": "✋ Held back", "discarded": "Discarded"}
CURRENT = "★ Current"
CHOSEN_BY = {"automatic": "automatic", "person": "chosen", "advice": "measured"}

# --- the table ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HistoryRow:
    """One session in the words of the table; `searched` is what the search looks through."""

    record: SessionRecord
    identity: str
    title: str
    current: bool
    cells: tuple[object, ...]
    searched: str


COLUMNS = {
    "Name": st.column_config.TextColumn(help="A click on a name opens its session.", pinned=True),
    "Begun": st.column_config.DatetimeColumn(help="When it was asked for.", format="D MMM YYYY, HH:mm"),
    "State": st.column_config.TextColumn(help="How the session ended, or what it does now."),
    "Verdict": st.column_config.TextColumn(
        help="What became of the new model. ★ is current now; others were once, are held back, or discarded."
    ),
    "Examples": st.column_config.TextColumn(help="The dataset that was taught."),
    "From": st.column_config.TextColumn(help="The base model, or the model trained before."),
    "Learning rate": st.column_config.NumberColumn(help="The learning speed.", format="%e"),
    "Set by": st.column_config.TextColumn(
        help="Whether the learning rate was automatic or chosen by a person."
    ),
    "Loss before": st.column_config.NumberColumn(
        help="How wrong the answers to the taught questions were before; 0 would be perfect.", format="%.2f"
    ),
    "Loss after": st.column_config.NumberColumn(
        help="The same after the lesson: lower than before is good.", format="%.2f"
    ),
    "Minutes": st.column_config.NumberColumn(help="How long it took.", format="%.1f"),
    "By": st.column_config.TextColumn(help="Who started it, as far as it was noted."),
    "Tags": st.column_config.ListColumn(help="Given on the session's page.", width="small"),
    "Note": st.column_config.TextColumn(help="The beginning of what is written on the session's page."),
}
MAX_NOTE = 80  # characters of a note in the table

# What matters most first: on a narrow screen the rest is scrolled to.
ORDER = (
    *("Name", "State", "Verdict", "Tags", "By", "Begun", "Loss before", "Loss after"),
    *("Note", "Examples", "From", "Learning rate", "Set by", "Minutes"),
)


class _Table:
    """The table of one workspace, newest first, kept from one look to the next."""

    def __init__(self) -> None:
        # Each browser's page is drawn in a thread of its own, and all of them share this table.
        self._guard = threading.Lock()
        self._rows: list[HistoryRow] = []
        self._data = pd.DataFrame(columns=list(COLUMNS))

    def update(
        self, records: Sequence[SessionRecord], current: str | None
    ) -> tuple[list[HistoryRow], pd.DataFrame]:
        """Return the rows and the data frame of all records, which are given oldest first.

        `current` is the id of the session that made the current model.
        """
        with self._guard:
            former = {id(row.record): row for row in self._rows}
            called = sessions.titles(records)
            rows = [
                _row(record, called[record.session.id], current, former.get(id(record)))
                for record in reversed(records)
            ]
            if len(rows) != len(self._rows) or any(a is not b for a, b in zip(rows, self._rows, strict=True)):
                self._rows, self._data = rows, _data(rows)
            return self._rows, self._data


@lru_cache(maxsize=8)
def _table(sessions: Path) -> _Table:  # noqa: ARG001 (one for each folder of sessions)
    return _Table()


def _row(record: SessionRecord, title: str, current: str | None, former: HistoryRow | None) -> HistoryRow:
    is_current = record.spec.id == current
    if (
        former is not None
        and former.record is record
        and (former.title, former.current) == (title, is_current)
    ):
        return former
    plan, results = record.status.plan, record.status.results
    verdict = CURRENT if is_current else VERDICTS.get(record.status.verdict or "", "")
    dataset = record.spec.dataset if isinstance(record.spec, TrainSpec) else ""
    labels, by = record.labels, name_of(record.spec.started_by)
    cells = (
        title,
        record.spec.created.timestamp(),
        STATES[record.status.state],
        verdict,
        dataset,
        plan.start_from if plan else "",
        plan.learning_rate if plan else None,
        CHOSEN_BY[plan.learning_rate_chosen_by] if plan else "",
        results.taught_before.loss if results.taught_before else None,
        results.taught_after.loss if results.taught_after else None,
        record.seconds / 60 if record.seconds is not None else None,
        by,
        list(labels.tags),
        shorten(one_line(labels.note), MAX_NOTE),
    )
    words = (title, *cells[2:6], cells[7], record.session.id, record.status.verdict_reason)
    searched = " ".join(map(str, (*words, by, *labels.tags, labels.note))).casefold()
    return HistoryRow(record, record.session.id, title, is_current, cells, searched)


def _data(rows: Sequence[HistoryRow]) -> pd.DataFrame:
    columns = dict(zip(COLUMNS, zip(*(row.cells for row in rows), strict=True), strict=True)) if rows else {}
    numbers = ("Learning rate", "Loss before", "Loss after", "Minutes")
    table: dict[str, Any] = {
        name: np.array(values, float) if name in numbers else values for name, values in columns.items()
    }
    if rows:
        table["Begun"] = pd.to_datetime(np.array(columns["Begun"], float), unit="s", utc=True)
    return pd.DataFrame(table, columns=list(COLUMNS))


def matching(
    rows: Sequence[HistoryRow], text: str, states: Sequence[str], tags: Sequence[str] = ()
) -> list[int]:
    """Return the indices of the rows that hold every word of the text.

    They are in one of the states and have one of the tags; where none is given, any.
    """
    wanted, tagged = text.casefold().split(), set(tags)
    return [
        index
        for index, row in enumerate(rows)
        if (not states or STATES[row.record.status.state] in states)
        and (not tagged or tagged.intersection(row.record.labels.tags))
        and all(word in row.searched for word in wanted)
    ]


# --- the history ----------------------------------------------------------------------------------


def history_table(workspace: Workspace, records: Sequence[SessionRecord]) -> None:
    """Draw the search, the filters, the table, and what can be done with the sessions that are marked."""
    if not records:
        st.markdown("There has been no training yet. Each one will stand here, with what came of it.")
        link("Train", "Teach the model something")
        return
    current = sessions.maker_of(workspace.situation().trained, records)
    rows, data = _table(workspace.sessions).update(records, current)
    with st.container(horizontal=True):
        hint = "A name, a dataset, a word"
        search = st.text_input(
            "Search", key="search", bind="query-params", type="search", placeholder=hint, width=300
        )
        states = st.multiselect(
            "State", list(STATES.values()), key="state", bind="query-params", placeholder="Any", width=300
        )
        used = sorted({tag for row in rows for tag in row.record.labels.tags}, key=str.casefold)
        tags = []
        if used:
            tags = st.multiselect("Tag", used, key="tag", placeholder="Any", width=200)
    positions = matching(rows, search or "", states, tags)
    if len(positions) < len(rows):
        data = data.iloc[positions]
    shown = [rows[index] for index in positions]
    st.caption(_how_many(len(shown), len(rows)))
    if shown:
        _choose([shown[index] for index in _draw(data, shown)], shown)


def _how_many(shown: int, total: int) -> str:
    if not shown:
        return "No session is like that. Take a word, a state or a tag away."
    of = f" of {total:,}" if shown < total else ""
    if total == 1:
        return "1 session. A click on its name opens it."
    return (
        f"{shown:,}{of} sessions, newest first. A click on a session's name opens it, one on a column's name "
        "sorts by it."
    )


def _draw(data: pd.DataFrame, shown: Sequence[HistoryRow]) -> list[int]:
    """The table; returns the indices of the rows that are marked."""
    # A mark is an index into the table, so it must not outlive a change of what stands there.
    same = hash(tuple(row.identity for row in shown))
    key = f"history-{same}"

    def note_click() -> None:
        st.session_state[CLICKED] = st.session_state[key].selection.cells

    event = st.dataframe(
        data,
        key=key,
        hide_index=True,
        column_config={
            **COLUMNS,
            "Begun": st.column_config.DatetimeColumn(
                help="When it was asked for.", format="D MMM YYYY, HH:mm", timezone=st.context.timezone
            ),
        },
        column_order=ORDER,
        on_select=note_click,
        selection_mode=["multi-row", "single-cell"],
        placeholder="",
        height="auto" if len(data) <= 10 else MAX_HEIGHT,
        alt=f"{count(len(data), 'session')}, newest first: state, verdict, examples, rate, loss and time",
    )
    # Only a click opens. The table may still hold the mark of the last one for who comes back from a session.
    for index, column in st.session_state.pop(CLICKED, []):
        if column == "Name" and index < len(shown):
            go("Sessions", session=shown[index].identity)
    return [index for index in event.selection.rows if index < len(shown)]


def _choose(marked: Sequence[HistoryRow], shown: Sequence[HistoryRow]) -> None:
    """Open one session or compare several: those marked in the table, or chosen from the list."""
    offered = {row.identity: row.record for row in shown[:MAX_OFFERED]}
    offered |= {row.identity: row.record for row in marked}
    titles = {row.identity: row.title for row in (*shown, *marked)}

    def title(identity: str) -> str:  # 22 Nov 2025, 13:07 · databases · ✅ Finished
        record = offered[identity]
        when = text.moment(record.spec.created, st.context.timezone)
        return f"{when} · {titles[identity]} · {STATES[record.status.state]}"

    picked = st.multiselect(
        "Open one session, or compare up to five",
        list(offered),
        format_func=title,
        key="chosen",
        placeholder="Choose here, or mark rows in the table",
        help=f"The {MAX_OFFERED} newest ones that are shown above.",
        max_selections=comparison.MAX_COMPARED,
    )
    chosen = list(dict.fromkeys([*(row.identity for row in marked), *picked]))
    several = len(chosen) > 1
    label = f"Compare {len(chosen)} sessions" if several else "Open the session"
    too_many = len(chosen) > comparison.MAX_COMPARED
    if too_many:
        st.markdown(
            f"{len(chosen)} sessions are marked; more than {comparison.MAX_COMPARED} cannot be told apart."
        )
    if st.button(label, type="primary", key="open", disabled=not chosen or too_many):
        go("Sessions", **({"compare": ",".join(chosen)} if several else {"session": chosen[0]}))
