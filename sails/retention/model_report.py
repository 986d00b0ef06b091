"""What one model was measured to know, in words: the map of its lessons, and a sentence for each figure.

    memory = current_memory(workspace)
    for sentence in figure_sentences(memory): …

Page and command say the same. Each figure comes with one sentence on whether it is good. Draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from sails import sessions
from sails.data import ENOUGH_TO_JUDGE
from sails.models import Workspace
from sails.retention import lessons, schema
from sails.retention.gate import MAX_LOSS_POINTS
from sails.retention.matrix import BASE, Matrix, Model, retention_matrix
from sails.retention.metrics import Estimate, Measures, measure
from sails.retention.schema import Cell, Drift, Lesson, Part, Retention
from sails.retention.session_report import GOOD, NOTHING, numbered, points, spread
from sails.system import count, stamp_or_none

GENERAL, GENERAL_LINES = "General knowledge", ("General", "knowledge")
ENOUGH_KNOWN = 20  # general questions, to say more than a count
HALF = 50.0  # points: share of the answers' text right


@dataclass(frozen=True)
class Memory:
    """What one model was measured to know; `newest` is what the session that made it wrote down."""

    matrix: Matrix
    measures: Measures
    newest: Retention | None


def current_memory(workspace: Workspace) -> Memory:
    """Return the memory of the current model; in a demo, which holds no models, of the last published one."""
    fingerprint = workspace.situation().trained.fingerprint
    if fingerprint is None and sessions.is_demo(workspace):
        verdicts = {r.status.verdict: r.status.fingerprint for r in sessions.read_history(workspace)}
        fingerprint = verdicts.get("published")
    return memory_of(workspace, fingerprint)


def memory_of(workspace: Workspace, fingerprint: str | None) -> Memory:
    """Return what the model with this fingerprint was measured to know; cached until a file of it changes."""
    stamps: list[object] = []  # how the files look that a memory is made of
    for identity in lessons.taught_to(workspace, fingerprint):
        folder = workspace.sessions / identity
        for path in (folder / schema.RETENTION_FILE, folder / "data" / "train.jsonl"):
            stamps.append((path, stamp_or_none(path)))
    return _memory_of(workspace, fingerprint, tuple(stamps))


@lru_cache(maxsize=8)
def _memory_of(workspace: Workspace, fingerprint: str | None, _: tuple[object, ...]) -> Memory:
    matrix = retention_matrix(workspace, fingerprint)
    newest = None
    for record in sessions.ancestors(workspace, fingerprint)[-1:]:
        newest = schema.retention_if_readable(record.session)
    return Memory(matrix, measure(matrix), newest)


# --- the map --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MapSquare:
    """One square of the map: a share from 0 to 1, or None and why it is not known."""

    share: float | None
    said: str  # in words, with the number of examples

    @property
    def text(self) -> str:
        return NOTHING if self.share is None else f"{self.share:.0%}"


@dataclass(frozen=True)
class RetentionMap:
    """The R matrix for people: a row for each model, the base model first, and a column for each lesson.

    The last column is general knowledge. `squares` has a tuple for each row. `row_lines` and
    `column_lines` are what to call each where there is little room, in one line or two.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    row_lines: tuple[tuple[str, ...], ...]
    column_lines: tuple[tuple[str, ...], ...]
    squares: tuple[tuple[MapSquare, ...], ...]


def retention_map(matrix: Matrix, part: Part) -> RetentionMap:
    """Map each lesson's score after each lesson, on the examples it was taught or on those it never saw."""
    names = numbered(matrix.lessons)
    cells = matrix.recall if part == "recall" else matrix.held_out
    after = {lesson.session: name for lesson, name in zip(matrix.lessons, names, strict=True)}
    labels = [_row(model, after) for model in matrix.models]
    return RetentionMap(
        rows=tuple(label for label, _ in labels),
        columns=(*names, GENERAL),
        row_lines=tuple(lines for _, lines in labels),
        column_lines=(*((name,) for name in names), GENERAL_LINES),
        squares=tuple(
            (
                *(
                    _square(cell, lesson, part, taught_yet=row >= first)
                    for cell, lesson, first in zip(line, matrix.lessons, matrix.taught, strict=True)
                ),
                _general(drift),
            )
            for row, (line, drift) in enumerate(zip(cells, matrix.general, strict=True))
        ),
    )


def _row(model: Model, after: Mapping[str, str]) -> tuple[str, tuple[str, str]]:
    """What to call a model, in full and in two lines."""
    if model.name == BASE and model.session is None:
        return f"Before any lesson ({BASE})", ("Before", "any lesson")
    if model.session is None:
        return "At the start (a model from elsewhere)", ("At", "the start")
    lesson = after.get(model.session, model.name)
    return f"After {lesson}", ("After", lesson)


def _square(cell: Cell | None, lesson: Lesson, part: Part, *, taught_yet: bool) -> MapSquare:
    if cell is not None:
        examples = count(len(cell.rows), "example")
        if len(cell.rows) < ENOUGH_TO_JUDGE:
            examples += ", too few to judge by"
        return MapSquare(cell.accuracy, f"{cell.accuracy:.0%} right, {examples}")
    if lesson.missing:
        return MapSquare(None, f"Not measured. {lesson.missing}")
    if not taught_yet:
        return MapSquare(None, "Not taught yet, and not measured")
    if part == "held_out":
        return MapSquare(
            None, "Not measured: no example was set aside for testing, or its session measured nothing"
        )
    return MapSquare(None, "Not measured")


def _general(drift: Drift | None) -> MapSquare:
    if drift is None:
        return MapSquare(None, "Not measured: the base model is not known, or not here")
    same = f"{drift.agreement:.0%} of its words unchanged, drift {drift.divergence:.2f}"
    if drift.known is None:  # an earlier release asked no questions
        return MapSquare(drift.agreement, f"{same}, {drift.prompts} prompts; right answers were not counted")
    right = f"{sum(drift.known.right)} of {count(len(drift.known.rows), 'question')} still answered right"
    return MapSquare(drift.known.accuracy, f"{right}; {same}")


# --- the sentences --------------------------------------------------------------------------------


def describe_headline(memory: Memory) -> str:
    """Say in one sentence whether what the headline says is good, and what to do if it is not."""
    measures, bwt = memory.measures, memory.measures.bwt
    if measures.acc is None:
        return "Nothing was measured yet, so nobody can tell. The next training measures it."
    if measures.forgot_general:
        back = (
            "go back to the version before"
            if len(memory.matrix.models) > 2
            else "start over from the base model"
        )
        return (
            "That is not good: it forgot a part of what it knew before any lesson. Protect general knowledge "
            f"more next time, or {back}."
        )
    if bwt is None and len(memory.matrix.lessons) == 1:
        if measures.general and measures.general.high < 100:
            return "There is one lesson so far. It lost a little of what it knew before any lesson."
        return "There is one lesson so far, so there is nothing earlier that it could have forgotten."
    if bwt is None or _tells_nothing(bwt):
        return "Whether that is good cannot be told: too little of its earlier lessons could be measured."
    if bwt.value <= -MAX_LOSS_POINTS and bwt.high < 0:
        return "That is not good: it forgot a part of its earlier lessons. Repeat more of them next time."
    if bwt.high < 0:
        return "That is acceptable: it lost a little of its earlier lessons."
    if measures.learned is not None and measures.learned < MAX_LOSS_POINTS:
        return "It kept its earlier lessons, but learned little: who learns nothing forgets nothing."
    if measures.acc.value < GOOD:
        return "It learned, and kept its earlier lessons, but a part of the answers is not right yet."
    if measures.general is None:
        return "It learned, and kept its earlier lessons. What it knew before any lesson was not asked."
    if measures.general.high < 100:
        return "It learned, and kept its earlier lessons. It lost a little of what it knew before any lesson."
    return "That is good: it learned, and kept its earlier lessons."


def figure_sentences(memory: Memory) -> tuple[str, ...]:
    """Return a sentence for each figure about the whole model: ACC, BWT, general knowledge."""
    return (acc_sentence(memory.measures), bwt_sentence(memory.measures), general_sentence(memory))


def _tells_nothing(change: Estimate) -> bool:
    """Whether its interval holds both no loss and one that matters: too few examples."""
    return change.low < -MAX_LOSS_POINTS and change.high >= 0


def acc_sentence(measures: Measures) -> str:
    """Say how much it knows of all lessons together (ACC), and whether that is good."""
    acc = measures.acc
    if acc is None:
        return "How much it knows on average is not measured yet."
    share = f"{acc.value:.0f}% ({spread(acc.low, acc.high)})"
    said = f"On average over its lessons, {share} of the text of its answers is right."
    if acc.value >= GOOD:
        return f"{said} That is good."
    if acc.value >= HALF:
        return f"{said} That is a fair part; more rounds would teach it more."
    return f"{said} That is little; more rounds, or more examples, would teach it more."


def bwt_sentence(measures: Measures) -> str:
    """Say what happened to earlier lessons since each was taught (BWT), and whether that is good."""
    bwt = measures.bwt
    if bwt is None:
        return "What became of earlier lessons shows once two lessons are taught and measured."
    change = "lost" if bwt.value < 0 else "gained"
    average = f"{change} {points(bwt.value, bwt.low, bwt.high)}"
    if round(bwt.value) == 0:
        average = f"changed by less than a point ({spread(bwt.low, bwt.high)})"
    said = f"Since each was taught, the earlier lessons {average} on average."
    if _tells_nothing(bwt):
        return f"{said} From so few examples nobody can tell whether that is good."
    if bwt.low <= 0 <= bwt.high:
        return f"{said} That is good: it may as well be chance."
    if bwt.value > 0:
        return f"{said} That is good."
    if bwt.value > -MAX_LOSS_POINTS:
        return f"{said} That is acceptable."
    return f"{said} That is not good: repeat more of the earlier lessons."


def forgetting_sentences(memory: Memory) -> tuple[str, ...]:
    """Return a sentence for each measured earlier lesson on how far it is below its best; the worst first."""
    names = numbered(memory.matrix.lessons)
    forgotten = [pair for pair in zip(names, memory.measures.forgetting, strict=False) if pair[1] is not None]
    forgotten.sort(key=lambda pair: -pair[1].value if pair[1] else 0.0)
    return tuple(_forgotten(name, lost) for name, lost in forgotten if lost)


def _forgotten(name: str, lost: Estimate) -> str:
    if lost.value <= 0:
        return f"{name}: nothing is lost. That is good."
    said = f"{name}: {points(lost.value, lost.low, lost.high)} below its best."
    if lost.low <= 0:  # also where too few examples say nothing
        return f"{said} That may as well be chance."
    if lost.value <= MAX_LOSS_POINTS:
        return f"{said} That is acceptable."
    return f"{said} That is not good: teach it again, or repeat more of it."


def general_sentence(memory: Memory) -> str:
    """Say what it kept of what its base model knew: what it answers right, and how it sounds."""
    drift, general = memory.matrix.general[-1], memory.measures.general
    if drift is None:
        return f"{GENERAL} is not measured: the base model is not known, or not here."
    same = f"it would still choose {drift.agreement:.0%} of the text of the base model's answers"
    if drift.known is None or general is None:
        why = "its base model surely knows none of the questions, or an earlier release did not ask them"
        return f"{GENERAL}: {same}. Whether they are still right was not counted: {why}."
    asked = count(len(drift.known.rows), "question")
    said = (
        f"{GENERAL}: of {asked} that its base model surely knows, it still "
        f"answers {sum(drift.known.right)} right ({general.value:.0f}%, {spread(general.low, general.high)})"
    )
    if memory.measures.forgot_general:
        return f"{said}. That is not good: it forgot a part of what it knew before any lesson."
    if len(drift.known.rows) < ENOUGH_KNOWN:
        return f"{said}, and {same}. These are too few questions to tell."
    if general.high < 100:
        return f"{said}, and {same}. That is acceptable: it lost a little."
    return f"{said}, and {same}. That is good."
