"""How good a file of conversations is: which rows to leave out, one score, and what to do about it.

score = 1 − (rows with an error + 0.1 · rows with warnings only) / rows

so that warnings alone never cost a file its good grade. Rows that could not even be read count as
rows with an error when they are given too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sails.data.checks import CHECKS, CONTRADICTION, Severity, findings
from sails.data.conversation import Conversation
from sails.data.formats.source import Refusal
from sails.data.split import ENOUGH_ROWS
from sails.system import count

GOOD, ACCEPTABLE = 0.7, 0.5
WARNING_COST = 0.1
TOO_FEW = 5  # rows that can be taught; a page of a workbook that is no conversation has about so many
MANY = 0.1  # a share of rows with the same warning that is worth a recommendation


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One thing that is wrong with one row."""

    row: int
    check: str  # one of CHECKS, or `refused` for a row that could not be read
    severity: Severity
    reason: str


@dataclass(frozen=True)
class QualityReport:
    """The quality of a file: its score, its problems and what to do about them."""

    total: int
    valid: int  # rows without an error
    score: float  # from 0 to 1; see the module
    grade: Literal["good", "acceptable", "critical"]  # good from 0.7, acceptable from 0.5
    counts: dict[str, int]  # rows that each of CHECKS found fault with, errors and warnings together
    duplicates: int  # rows that repeat an earlier one
    problems: tuple[RowProblem, ...]  # in the order of the rows
    recommendations: tuple[str, ...]  # what a person can do, the most useful first

    @property
    def too_few(self) -> bool:
        """Whether there is too little to learn from, however good it is."""
        return self.grade != "critical" and self.valid < TOO_FEW

    @property
    def errors(self) -> tuple[RowProblem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[RowProblem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "warning")


def assess(conversations: Sequence[Conversation], refused: Sequence[Refusal] = ()) -> QualityReport:
    """Check every conversation; `refused` are the rows that reading refused, to count them in."""
    problems = [problem for conversation in conversations for problem in problems_of(conversation)]
    return summarise(conversations, refused, problems)


def summarise(
    conversations: Sequence[Conversation], refused: Sequence[Refusal], row_problems: Iterable[RowProblem]
) -> QualityReport:
    """The report that `assess` gives, when the problems are known already, as when one row was corrected."""
    problems = [RowProblem(refusal.row, "refused", "error", refusal.reason) for refusal in refused]
    problems += (problem for problem in row_problems if problem.check != CONTRADICTION)  # found anew
    problems = sorted([*problems, *_contradictions(conversations)], key=lambda problem: problem.row)
    wrong = {problem.row for problem in problems if problem.severity == "error"}
    doubtful = {problem.row for problem in problems} - wrong
    total = len(conversations) + len(refused)
    score = max(0.0, 1 - (len(wrong) + WARNING_COST * len(doubtful)) / total) if total else 0.0
    counts = Counter(problem.check for problem in problems)
    report = QualityReport(
        total=total,
        valid=total - len(wrong),
        score=score,
        grade="good" if score >= GOOD else "acceptable" if score >= ACCEPTABLE else "critical",
        counts={check: counts[check] for check in CHECKS},
        duplicates=len(conversations) - len({conversation.identity for conversation in conversations}),
        problems=tuple(problems),
        recommendations=(),
    )
    return replace(report, recommendations=tuple(_recommendations(report)))


def problems_of(conversation: Conversation) -> list[RowProblem]:
    """List what is wrong with one conversation."""
    pairs, asked = [], ""
    answers = iter(conversation.learned)
    for turn in conversation.turns:
        if turn.role == "user":
            asked = turn.content
        elif turn.role == "assistant" and next(answers) and not turn.calls:
            pairs.append((asked, turn.content))
    if not pairs and conversation.calls_tools:
        return []  # a call is no text to judge
    return [RowProblem(conversation.row, *finding) for finding in findings(pairs)]


def _contradictions(conversations: Iterable[Conversation]) -> Iterator[RowProblem]:
    """Rows that ask what an earlier one asks, and answer otherwise."""
    first: dict[tuple[str, str], Conversation] = {}
    for row in conversations:
        system = row.turns[0].content if row.turns and row.turns[0].role == "system" else ""
        earlier = first.setdefault((row.input_fingerprint, system), row)
        if earlier.output != row.output:
            reason = f"the same question has another answer in row {earlier.row}; both cannot be learned"
            yield RowProblem(row.row, CONTRADICTION, "warning", reason)


def clean(conversations: Iterable[Conversation], report: QualityReport) -> tuple[Conversation, ...]:
    """Return the conversations without those that have an error, and each of them once."""
    wrong = {problem.row for problem in report.errors}
    kept: dict[tuple[str, ...], Conversation] = {}
    for conversation in conversations:
        if conversation.row not in wrong:
            kept.setdefault(conversation.identity, conversation)
    return tuple(kept.values())


def _recommendations(report: QualityReport) -> Iterator[str]:
    if report.total > report.valid:
        wrong = count(report.total - report.valid, "row")
        them = "it is: correct it" if report.total - report.valid == 1 else "they are: correct them"
        yield f"{wrong} should not be taught as {them}, or use the clean file."
    if report.valid < ENOUGH_ROWS:
        yield (
            f"Add conversations until there are {ENOUGH_ROWS} or more; with fewer, none can be set aside "
            "to test the model with."
        )
    if report.duplicates:
        repeat = "repeats" if report.duplicates == 1 else "repeat"
        yield f"{count(report.duplicates, 'row')} {repeat} an earlier one; the clean file holds each once."
    advice = {
        "too_short": "answer in a whole sentence where you can, a model learns more from it.",
        "cut_off": "see whether the end of the answer got lost.",
        "echo": "see whether the answer really answers.",
        "markup": "see whether signs of HTML belong to the text.",
        CONTRADICTION: "decide which answer is right; of two, a model learns neither well.",
    }
    warned = Counter(problem.check for problem in report.warnings)
    for check, what in advice.items():
        if warned[check] > report.total * MANY:
            yield f"{count(warned[check], 'row')}: {what}"
