"""What a model still remembers: the map of its lessons, what it lost and gained, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from plotly.graph_objects import Figure

from sails import retention
from sails.models import Workspace
from sails.retention import Changed, Memory, Part, Retention, RetentionMap
from sails.system import fit
from sails.ui import charts
from sails.ui.frame import link
from sails.ui.text import answer, plain
from sails.ui.widgets import table

RETENTION_TAB = "What it still remembers"
MAX_LESSONS = 10  # lessons in the picture; more have no room on a phone
MAX_ROOMY_LESSONS = 6  # that leave room for a label of two lines
MAX_SENTENCES = 5  # of a list; the others unfold
MAX_LABEL_LENGTH = 14  # characters of a lesson's name beside the picture
PARTS: dict[Part, str] = {"recall": "What it was taught", "held_out": "What it never saw"}
ABOUT: dict[Part, str] = {
    "recall": "Examples that it was taught: they show what it remembers.",
    "held_out": "Examples that were kept back and never taught: they show what it understood.",
}
HELP = (
    "Each figure is the share of word pieces (tokens) of the answers that it gets right; 100% is best. "
    "A row is the model after a lesson, a column is a lesson: down a column, the figure should jump where "
    "the lesson is taught, and then stay.\n\n"
    "General knowledge: what the base model answers to questions that no lesson is about, and how much of "
    "that this model would still answer; 100% is unchanged. Its drift is the mean divergence KL(base‖model) "
    "in nats for each word piece; 0 is unchanged."
)

# --- of the current model -------------------------------------------------------------------------


def retention_headline(workspace: Workspace) -> None:
    """Draw one line for the bridge, with a link to the rest; nothing when nothing was measured."""
    memory = retention.current_memory(workspace)
    if memory.measures.acc is None:
        return
    with st.container(border=True, gap="xsmall"):
        st.caption(RETENTION_TAB)
        st.markdown(f"**{plain(memory.measures.headline)}**")
        st.markdown(plain(retention.describe_headline(memory)))
        link("Sessions", "See what it still remembers", view=RETENTION_TAB)


def current_model_retention(workspace: Workspace) -> None:
    """Draw the whole tab: the map of the lessons, how good that is, and the answers that changed."""
    with st.spinner("Reading what was measured …"):
        memory = retention.current_memory(workspace)
    if not memory.matrix.lessons:
        st.markdown(
            "The current model was taught nothing here yet, so there is nothing that it could remember. "
            "After each lesson, this page shows what became of all lessons."
        )
        link("Train", "Teach the model something")
        return
    st.header(plain(memory.measures.headline), anchor=False)
    st.markdown(f"**{plain(retention.describe_headline(memory))}**")
    _map(memory)
    _sentences(memory)
    _newest_answers(memory)


# --- the map --------------------------------------------------------------------------------------


def _map(memory: Memory) -> None:
    part = st.radio(
        "Show", list(PARTS), format_func=PARTS.__getitem__, key="remembered", horizontal=True, help=HELP
    )
    part = part or "recall"
    st.markdown(f"{ABOUT[part]} The figures are the share of the answers' word pieces right.")
    whole = retention.retention_map(memory.matrix, part)
    shown = _newest(whole)
    now = ", ".join(f"{c} {s.text}" for c, s in zip(shown.columns, shown.squares[-1], strict=True))
    alt = (
        f"A map of {len(shown.rows)} rows and {len(shown.columns)} columns: {PARTS[part].lower()}, "
        f"after each lesson. Now: {now}. The same stands below as a table."
    )
    charts.draw(_figure(shown), f"map-{part}", alt)
    if shown != whole:
        st.caption(f"The last {MAX_LESSONS} of {len(whole.columns) - 1} lessons; the table has all of them.")
    st.markdown(":small[– not measured. Point at a field to see how many examples it rests on, or why.]")
    _list(memory.matrix.notes, "more that could not be measured")
    with st.expander("The same as a table", icon=":material/table:"):
        lines = zip(whole.rows, whole.squares, strict=True)
        rows = [[plain(row), *(plain(square.said) for square in line)] for row, line in lines]
        about = f"{PARTS[part]}: the share of the answers' word pieces right after each lesson"
        table(["", *map(plain, whole.columns)], rows, about)


def _newest(whole: RetentionMap) -> RetentionMap:
    """The last lessons alone, and what was before them."""
    first = max(0, len(whole.columns) - 1 - MAX_LESSONS)
    return RetentionMap(
        rows=whole.rows[-MAX_LESSONS - 1 :],
        columns=whole.columns[first:],
        row_lines=whole.row_lines[-MAX_LESSONS - 1 :],
        column_lines=whole.column_lines[first:],
        squares=tuple(line[first:] for line in whole.squares[-MAX_LESSONS - 1 :]),
    )


def _figure(lesson_map: RetentionMap) -> Figure:
    tiles = [
        [
            charts.Tile(square.share, square.text, charts.escape(f"{column}. {row}: {square.said}"))
            for column, square in zip(lesson_map.columns, line, strict=True)
        ]
        for row, line in zip(lesson_map.rows, lesson_map.squares, strict=True)
    ]
    *lessons, general = lesson_map.column_lines
    if len(lessons) > MAX_ROOMY_LESSONS:
        general = general[:1]
    columns = [_label(lines) for lines in (*lessons, general)]
    return charts.heat_map([_label(lines) for lines in lesson_map.row_lines], columns, tiles, apart=1)


def _label(lines: Sequence[str]) -> str:
    """The lines of a label, each cut where it is long."""
    return "<br>".join(charts.escape(fit(line, MAX_LABEL_LENGTH)) for line in lines)


# --- in sentences ---------------------------------------------------------------------------------


def _sentences(memory: Memory) -> None:
    st.header("How good that is", anchor=False)
    _list(retention.figure_sentences(memory))
    if forgotten := retention.forgetting_sentences(memory):
        st.subheader("Lesson by lesson", anchor=False)
        _list(forgotten, "more, which lost less")
    st.caption(
        "In brackets: where the true figure lies with 95% certainty, as far as the examples are typical.",
        help="ACC: the mean over all lessons of the score now. BWT (backward transfer): the mean over "
        "earlier lessons of the score now minus the score just after it (Lopez-Paz and Ranzato, 2017). "
        "Forgetting: the best score after any lesson minus the score now (Chaudhry and others, 2018). "
        "The intervals are a paired bootstrap over the examples.",
    )


def _list(sentences: Sequence[str], more: str = "more") -> None:
    """The sentences in a list; of many, only the first stand open."""
    lines = [f"- {plain(sentence)}" for sentence in sentences]
    if lines:
        st.markdown("\n".join(lines[:MAX_SENTENCES]))
    if len(lines) > MAX_SENTENCES:
        with st.expander(f"{len(lines) - MAX_SENTENCES} {more}"):
            st.markdown("\n".join(lines[MAX_SENTENCES:]))


# --- answers --------------------------------------------------------------------------------------


def _newest_answers(memory: Memory) -> None:
    st.header("Answers lost and answers gained", anchor=False)
    if memory.newest is None or not memory.newest.changed:
        st.markdown("In the last lesson, no answer changed much, or none was compared.")
        return
    st.markdown("What changed most in the last lesson: the same question, asked before and after it.")
    changed_answers(memory.newest)


def changed_answers(retained: Retention) -> None:
    """Draw the answers that got worse and those that got better, beside each other."""
    lost, gained = retention.lost_answers(retained), retention.gained_answers(retained)
    names = {lesson.session: lesson.name for lesson in retained.lessons}
    left, right = st.columns(2)
    with left:
        st.subheader(f"↘ Lost ({len(lost)})", anchor=False)
        _answers(lost, names, "No answer got much worse. That is good.")
    with right:
        st.subheader(f"↗ Gained ({len(gained)})", anchor=False)
        _answers(gained, names, "No answer got much better.")


def _answers(answers: Sequence[Changed], names: dict[str, str], none: str) -> None:
    if not answers:
        st.markdown(none)
    for changed in answers:
        with st.container(border=True, gap="xsmall"):
            shares = f"{changed.share_before:.0%} → {changed.share_after:.0%} of its word pieces right"
            st.caption(f"{plain(names.get(changed.lesson, changed.lesson))}: {shares}")
            st.markdown(f"**{plain(changed.question)}**")
            texts = {"Expected": changed.expected, "Before": changed.before, "After": changed.after}
            for title, text in texts.items():
                st.caption(title)
                st.markdown(answer(text))


# --- of one session -------------------------------------------------------------------------------


def session_retention(retained: Retention, *, decided: bool = True) -> None:
    """Draw what one session did to each lesson, what the gate found, and the answers that changed.

    The last two are left out before it is `decided`, because they stand where a person decides.
    """
    st.header(RETENTION_TAB, anchor=False)
    st.markdown(
        "Each lesson before this session and after it: the share of the answers' word pieces right. Where "
        "it rests on only a few examples, that is too few to judge by."
    )
    lines = retention.before_and_after(retained)
    table(
        ["Lesson", PARTS["recall"], PARTS["held_out"], "In short"],
        [[plain(cell) for cell in line] for line in lines],
        "For each lesson, what it scored before and after this session",
    )
    if decided:
        if retained.decision:
            sign = "✋" if retained.decision.held else "✅"
            st.markdown(f"{sign} **{plain(retained.decision.reason)}**")
            findings(retained)
        if retained.changed:
            with st.expander("Answers lost and answers gained", icon=":material/compare_arrows:"):
                changed_answers(retained)


def findings(retained: Retention) -> None:
    """List each earlier lesson, compared with the current model."""
    signs = {True: "⚠️", False: "✓"}
    lines = [
        f"- {signs[finding.lost]} {plain(retention.describe_finding(retained, finding))}"
        for finding in retention.findings(retained)
    ]
    if lines:
        st.markdown("\n".join(lines))
