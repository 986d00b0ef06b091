"""What a model still remembers: the map of its lessons, what it lost and gained, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st
from plotly.graph_objects import Figure

from sails import retention
from sails.models import Workspace
from sails.retention import Changed, Estimate, Memory, Part, Retention, RetentionMap
from sails.system import count, fit
from sails.ui import charts
from sails.ui.frame import link
from sails.ui.text import answer, plain
from sails.ui.widgets import table

RETENTION_TAB = "What it still remembers"
MAX_LESSONS = 10  # lessons in the picture; more have no room on a phone
MAX_CURVES = 5  # lessons in the chart of progress; of more, nobody can follow one
MAX_CURVE_NAME = 22  # characters of a lesson's name in its legend
SHARES = [0, 25, 50, 75, 100]  # percent, on an axis
PROGRESS_HEIGHT = 380  # pixels
MAX_ROOMY_LESSONS = 6  # that leave room for a label of two lines
MAX_SENTENCES = 5  # of a list; the others unfold
MAX_ANSWERS = 1  # lost, and gained, that stand open; the others unfold
MAX_LABEL_LENGTH = 14  # characters of a lesson's name beside the picture
PARTS: dict[Part, str] = {"recall": "What it was taught", "held_out": "What it never saw"}
ABOUT: dict[Part, str] = {
    "recall": "Examples that it was taught: they show what it remembers.",
    "held_out": "Examples that were set aside for testing and never taught: they show what it understood.",
}
HELP = (
    "Each figure of a lesson is the share of word pieces (tokens) of its answers that the model gets right; "
    "100% is best. "
    "A row is the model after a lesson, a column is a lesson: down a column, the figure should jump where "
    "the lesson is taught, and then stay.\n\n"
    "General knowledge: of the questions that the base model surely knows and no lesson is about, the share "
    "that this model still answers right; 100% is unchanged. Where these were not asked, the share of the "
    "base model's own answers that it would still give. Its drift is the mean divergence KL(base‖model) "
    "in nats for each word piece; 0 is unchanged."
)

# --- of the current model -------------------------------------------------------------------------


def retention_headline(workspace: Workspace) -> None:
    """Say on Home in a sentence or two what it remembers, with a link; nothing when nothing was measured."""
    memory = retention.current_memory(workspace)
    if memory.measures.acc is None:
        return
    # In a demo, whose models are not included, it is told of the one that was recorded.
    here = workspace.situation().trained.complete
    st.caption(RETENTION_TAB if here else "What the recorded model remembers")
    st.markdown(f"**{plain(memory.measures.headline)}** {plain(retention.describe_headline(memory))}")
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
    _progress(memory)
    _map(memory)
    _sentences(memory)
    _newest_answers(memory)


# --- over the sessions ----------------------------------------------------------------------------


def _progress(memory: Memory) -> None:
    """One chart over the sessions that led to the model; nothing where there is nothing to compare."""
    progress = retention.progress_of(memory.matrix)
    if not progress.is_measured:
        return
    st.header("Progress over the sessions", anchor=False)
    st.markdown(
        "What it got right after each session that led to this model. Lessons and all together: share "
        "of the answers' text right. General knowledge: share of the questions right that the base model "
        "surely knows."
    )
    lessons = progress.lessons[-MAX_CURVES:]
    shown = [progress.together, progress.general, *lessons]
    numbers = np.arange(len(progress.rows))
    curves = []
    for number, line in enumerate(shown):
        values = np.array([np.nan if point is None else point.value for point in line.points])
        looks: dict[str, Any] = {}
        if number < len(shown) - len(lessons):
            points = [point if point and np.isfinite(point.high) else None for point in line.points]
            looks["low"] = np.array([point.low if point else np.nan for point in points])
            looks["high"] = np.array([point.high if point else np.nan for point in points])
        if line is progress.together:
            looks |= {"width": 4, "dash": "solid"}
        if not np.isnan(values).all():
            name = charts.escape(fit(line.name, MAX_CURVE_NAME))
            curves.append(charts.Series(name, numbers, values, points=True, number=number, unit="%", **looks))
    figure = charts.lines(curves, "After lesson", "Share right", height=PROGRESS_HEIGHT)
    figure.update_xaxes(
        tickvals=numbers.tolist(),
        ticktext=[charts.escape(fit(tick, MAX_LABEL_LENGTH)) for tick in progress.ticks],
        range=[-0.3, len(numbers) - 0.7],
    )
    figure.update_yaxes(range=[-3, 103], tickvals=SHARES, ticktext=[f"{share}%" for share in SHARES])
    now = [f"{line.name} {_percent(line.points[-1])}" for line in shown]
    alt = f"Progress over {count(len(numbers) - 1, 'session')}. Now: {', '.join(now)}. The same stands below."
    charts.draw(figure, "progress", alt)
    missing = "A gap: it was not measured then. Bars: where the true share lies with 95% certainty."
    if len(progress.lessons) > len(lessons):
        missing = f"The last {len(lessons)} of {len(progress.lessons)} lessons. {missing}"
    st.caption(missing)
    with st.expander("The progress as a table", icon=":material/table:"):
        rows = [
            [plain(row), *(plain(_percent(line.points[number])) for line in shown)]
            for number, row in enumerate(progress.rows)
        ]
        table(["", *(plain(line.name) for line in shown)], rows, "What it got right after each session")


def _percent(point: Estimate | None) -> str:
    """A share with its interval where it has one."""
    if point is None:
        return "not measured"
    if point.low == point.high or not math.isfinite(point.high):
        return f"{point.value:.0f}%"
    return f"{point.value:.0f}% ({retention.spread(point.low, point.high)}%)"


# --- the map --------------------------------------------------------------------------------------


def _map(memory: Memory) -> None:
    st.header("Each lesson after each session", anchor=False)
    part = st.radio(
        "Show", list(PARTS), format_func=PARTS.__getitem__, key="remembered", horizontal=True, help=HELP
    )
    part = part or "recall"
    counted = all(drift is None or drift.known for drift in memory.matrix.general)
    general = "of general questions still answered right" if counted else "of general knowledge"
    st.markdown(
        f"{ABOUT[part]} The figures are the share of the answers' text right; in the last column, {general}."
    )
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
        about = f"{PARTS[part]}: what each lesson's answers, and general questions, scored after each lesson"
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
        help="On average over its lessons (ACC): the mean of their scores now. Since each was taught (BWT, "
        "backward transfer): the mean over earlier lessons of the score now minus the score just after it "
        "(Lopez-Paz and Ranzato, 2017). "
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
        _answers(lost, names, "No answer that was compared got much worse.")
    with right:
        st.subheader(f"↗ Gained ({len(gained)})", anchor=False)
        _answers(gained, names, "No answer that was compared got much better.")


def _answers(answers: Sequence[Changed], names: dict[str, str], none: str) -> None:
    if not answers:
        st.markdown(none)
    for changed in answers[:MAX_ANSWERS]:
        _answer(changed, names)
    if left := answers[MAX_ANSWERS:]:
        with st.expander(f"{count(len(left), 'more answer')}", icon=":material/quiz:"):
            for changed in left:
                _answer(changed, names)


def _answer(changed: Changed, names: dict[str, str]) -> None:
    with st.container(border=True, gap="xsmall"):
        said = retention.describe_answer(changed)
        st.caption(f"{plain(names.get(changed.lesson, changed.lesson))}: {plain(said)}")
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
    st.markdown(
        "Each lesson before this session and after it: the share of the answers' text right; for "
        "general knowledge, of the questions still answered right. Where it rests on only a few examples, "
        "that is too few to judge by."
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
