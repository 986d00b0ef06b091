"""One session in full: what came of it, what can be done with it, and everything that is known of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import pandas as pd
import streamlit as st

from sails import sessions, system
from sails.data import read_jsonl
from sails.errors import WorkspaceError
from sails.models import Workspace, describe_act, list_acts
from sails.retention import Retention, read_retention
from sails.sessions import SessionMonitor, SessionRecord, TrainSpec, describe_learning_rate, monitor_of
from sails.ui import charts, onnx_status, text
from sails.ui.frame import show_errors
from sails.ui.outcome import did_it_work
from sails.ui.retention import RETENTION_TAB, session_retention
from sails.ui.sessions import comparison
from sails.ui.sessions.actions import decide, next_actions, other_actions, own_workspace, start
from sails.ui.text import code, plain
from sails.ui.widgets import change_button, table

MAX_SAMPLES = 4  # answers to each question
MAX_ROWS = 500  # of the conversations
MAX_LINES = 300  # of the log


def find_session(workspace: Workspace, identity: str) -> SessionRecord:
    """Return the training session of exactly this id; raises `WorkspaceError` when there is none."""
    with contextlib.suppress(WorkspaceError):
        session = sessions.find(workspace, identity)
        if session.id == identity and session.folder.parent == workspace.sessions:
            return sessions.record(session)
    raise WorkspaceError(
        f"The session {identity[:100]!r} is not here, or its files are damaged.",
        "It may have been deleted; all that there are stand under All sessions.",
    )


def session_page(workspace: Workspace, record: SessionRecord) -> None:
    """Draw the whole page of one session: what came of it and what to decide first, figures last."""
    is_recorded = sessions.is_recorded_candidate(workspace, record.session)
    undecided = record.status.verdict == "held" and (is_recorded or record.session.model.exists())
    records = sessions.read_history(workspace)
    situation = own_workspace(workspace, record).situation()
    afterwards = text.afterwards(record, situation.trained, records)
    _head(record, records, undecided=undecided)
    if afterwards:
        st.markdown(plain(f"{afterwards} {_who_went_back(workspace, record, records)}".strip()))
    retained: Retention | None = None
    with show_errors():
        retained = read_retention(record.session)
    if undecided or is_recorded:
        with show_errors():
            decide(workspace, record, retained)
    next_actions(workspace, record)
    with st.spinner("Reading what was measured …"):
        monitor = monitor_of(record.session)
        monitor.wait()
    with show_errors():
        over = bool(afterwards) or (record.status.verdict in ("held", "discarded") and not undecided)
        did_it_work(record, retained, is_over=over)
    _how_it_was_made(workspace, record)
    with show_errors():
        _labels(record)
    parts: dict[str, Callable[[], None]] = {}
    if retained and retained.after:
        measured = retained
        parts[RETENTION_TAB] = lambda: session_retention(measured, decided=not undecided)
    parts |= {
        "Curves": lambda: _curves(monitor),
        "Sample answers": lambda: _samples(monitor),
        "Examples": lambda: _examples(record),
        "Log": lambda: _log(monitor),
        "Settings and results": lambda: _everything_asked(record),
    }
    with st.expander("More about this session", icon=":material/insights:"):
        tabs = st.tabs(list(parts), key="part", on_change="rerun")
        for tab, part in zip(tabs, parts.values(), strict=True):
            if tab.open:  # the others are drawn once somebody opens them
                with tab, show_errors():
                    part()
    with show_errors():
        other_actions(workspace, record)


# --- what came of it ------------------------------------------------------------------------------


def _head(record: SessionRecord, records: Sequence[SessionRecord], *, undecided: bool) -> None:
    """The name, how it ended, when and by whom; what is to be known of it; what somebody wrote beside it."""
    # Why it was held back stands where a person decides.
    status = record.status.model_copy(update={"verdict_reason": ""}) if undecided else record.status
    sign, sentence = text.outcome(replace(record, status=status))
    called = sessions.titles(records).get(record.session.id, record.spec.name)
    st.header(plain(called), anchor=False)
    st.markdown(f"{sign} **{plain(sentence)}**")
    facts = [text.moment(record.spec.created, st.context.timezone)]
    if record.seconds is not None:
        facts.append(f"{'took' if record.status.ended else 'so far'} {system.duration(record.seconds)}")
    facts += filter(None, [text.describe_people(record)])
    st.caption(plain(". ".join(f"{fact[0].upper()}{fact[1:]}" for fact in facts)))
    reason = record.status.verdict_reason
    for note in record.status.notes:
        if note.startswith("⚠️") and not (reason and reason in note):  # that stands above already
            st.markdown(f"- {plain(note)}")
    if record.labels.tags:
        st.markdown(" ".join(f":gray-badge[{plain(tag)}]" for tag in record.labels.tags))
    if record.labels.note:
        st.markdown(text.literal(record.labels.note))


def _who_went_back(workspace: Workspace, record: SessionRecord, records: Sequence[SessionRecord]) -> str:
    """The last roll back that left the session's model, if one did: Ann rolled back to rivers."""
    made = record.status.fingerprint
    for act in reversed(list_acts(workspace)):
        if act.act == "roll back" and made is not None and act.left == made:
            return f"{describe_act(act, sessions.titles(records).get(act.what, act.what))}."
    return ""


def _how_it_was_made(workspace: Workspace, record: SessionRecord) -> None:
    with st.expander("How it was made", icon=":material/build:"), show_errors():
        facts = []
        if isinstance(record.spec, TrainSpec):
            facts.append(f"Examples: {code(record.spec.dataset)}")
        if plan := record.status.plan:
            facts.append(f"Started from: {start(plan)}")
            facts.append(f"Learning speed (learning rate): {plain(describe_learning_rate(plan))}")
        facts.append(f"Folder: {code(record.session.id)}")
        st.markdown("  \n".join(facts))
        for note in record.status.notes:
            if not note.startswith("⚠️"):
                st.markdown(f"- {plain(note)}")
        _onnx(own_workspace(workspace, record), record)


def _labels(record: SessionRecord) -> None:
    """Where tags and a note are written."""
    labels = record.labels
    title = "Change tags and note" if labels != sessions.Labels() else "Add tags or a note"
    with (
        st.expander(title, icon=":material/sell:", key="labels"),
        st.form("labels-form", border=False),
        show_errors(),
    ):
        tags = st.text_input(
            "Tags",
            ", ".join(labels.tags),
            key="labels-tags",
            placeholder="baseline, kitchen",
            help=f"At most {sessions.MAX_TAGS}, with commas between them. They can be searched and filtered.",
        )
        note = st.text_area("Note", labels.note, max_chars=sessions.LONGEST_NOTE, key="labels-note")
        if change_button("Save", key="save-labels", in_form=True):
            sessions.label(record.session, tags=tags.split(","), note=note)
            st.rerun()


def _onnx(workspace: Workspace, record: SessionRecord) -> None:
    """How the ONNX model stands to the model of this session, as long as that is the current one."""
    situation = workspace.situation()
    made = record.status.fingerprint
    if record.status.verdict != "published" or made is None or made != situation.trained.fingerprint:
        return
    for line in onnx_status.describe_variants(workspace, situation):
        st.markdown(f"ONNX model, {line}")
    onnx_status.offer_refresh(workspace, "session_onnx")


# --- what is known --------------------------------------------------------------------------------

CURVES = (
    (
        "How wrong it is (loss)",
        "Loss",
        {"loss": "on the examples that it learns", "held_out_loss": "on examples set aside for testing"},
    ),
    (
        "Share right on examples set aside for testing",
        "Share right",
        {"held_out_accuracy": "set aside for testing"},
    ),
    ("Learning speed (learning rate)", "Learning rate", {"learning_rate": "learning rate"}),
    ("Speed of computing", "Word pieces (tokens) a second", {"tokens_per_second": "tokens a second"}),
)


def _curves(monitor: SessionMonitor) -> None:
    if not monitor.rows:
        st.markdown("Nothing was measured: the session ended before its first step.")
        return
    st.markdown(
        "The loss should fall. Where it rises on the examples set aside for testing, it learns by heart."
    )
    for title, axis, names in CURVES:
        lines = [
            charts.Series(label, curve.x, curve.y, points=name.startswith("held_out"))
            for name, label in names.items()
            if len(curve := monitor.curve(name))
        ]
        if lines:
            st.subheader(title, anchor=False)
            summary = "; ".join(f"{line.name}: from {line.y[0]:.3g} to {line.y[-1]:.3g}" for line in lines)
            charts.draw(charts.lines(lines, "Step", axis), f"curve-{axis}", f"{title}. {summary}.")


def _samples(monitor: SessionMonitor) -> None:
    samples = list(monitor.samples)
    if not samples:
        st.markdown("No sample answers were written down.")
        return
    if len(samples) > MAX_SAMPLES:  # the first, the last, and some in between at even distances
        step = (len(samples) - 1) / (MAX_SAMPLES - 1)
        samples = [samples[round(number * step)] for number in range(MAX_SAMPLES)]
    st.markdown("The same questions, asked again and again while it learned.")
    for number, prompt in enumerate(samples[0].prompts):
        with st.container(border=True, gap="xsmall"):
            st.markdown(f"**{plain(prompt)}**")
            for sample in samples:
                st.caption("Before the first step" if sample.step == 0 else f"After step {sample.step:,}")
                st.markdown(text.answer(sample.answers[number] if number < len(sample.answers) else ""))


FILES = {
    "train.jsonl": "taught",
    "heldout.jsonl": "set aside for testing",
    "replay.jsonl": "repeated from before",
}


def _examples(record: SessionRecord) -> None:
    rows: dict[str, list[tuple[str, str]]] = {}
    for name, use in FILES.items():
        path = record.session.data / name
        rows[use] = [(row.input, row.output) for row in read_jsonl(path)] if path.exists() else []
    if not any(rows.values()):
        st.markdown("It ended before its examples were sorted into taught and set aside for testing.")
        return
    counts = [f"**{len(rows_used):,}** {use}" for use, rows_used in rows.items() if rows_used]
    st.markdown(
        f"Examples: {', '.join(counts)}. What is set aside is never taught, so it shows what was understood."
    )
    shown = [(use, *pair) for use, rows_used in rows.items() for pair in rows_used[:MAX_ROWS]]
    st.dataframe(
        pd.DataFrame(shown, columns=["Used", "Question", "Answer"]),
        hide_index=True,
        height="auto" if len(shown) <= 10 else 400,
        alt=f"{system.count(len(shown), 'example')} from the beginning, with how they were used",
    )
    if any(len(rows_used) > MAX_ROWS for rows_used in rows.values()):
        st.caption(f"The first {MAX_ROWS} of each; the download holds all of them.")


def _log(monitor: SessionMonitor) -> None:
    if not monitor.log:
        st.markdown("Nothing was written to the log.")
        return
    text = st.text_input("Search the log", key="log-search", type="search", placeholder="A word")
    details = st.toggle("With technical details", key="log-details")
    lines = list(monitor.log) if details else without_details(monitor.log)
    matching = [line for line in lines if text.casefold() in line.casefold()] if text else lines
    if not matching:
        st.markdown("No line of the log holds that.")
        return
    height: Literal["content"] | int = 400 if len(matching) > 15 else "content"
    st.code("\n".join(matching[-MAX_LINES:]), language=None, wrap_lines=True, height=height)
    if len(matching) > MAX_LINES:
        st.caption(f"The last {MAX_LINES} of {len(matching):,} lines.")


def without_details(lines: Sequence[str]) -> list[str]:
    """Return the log without what only a programmer reads: where in the program an error came up."""
    kept, inside = [], False
    for line in lines:
        if line.startswith("Traceback (most recent call last)"):
            inside = True
        elif inside and line[:4].isdigit():  # the next entry, which begins with its time
            inside = False
        if not inside:
            kept.append(line)
    return kept


def _everything_asked(record: SessionRecord) -> None:
    asked = [*comparison.compare_settings([record]), *comparison.compare_scores([record])]
    table(
        ["What", "Value"],
        [(line.label, plain(line.values[0])) for line in asked],
        "What was asked of the session, and what was measured",
    )
    if record.status.results.seconds:
        took = record.status.results.seconds.items()
        st.markdown("Time: " + ", ".join(f"{plain(phase)} {system.duration(s)}" for phase, s in took))
    with st.expander("As the program keeps it"):
        st.json(record.full(), expanded=1)
