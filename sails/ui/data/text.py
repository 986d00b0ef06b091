"""Words and figures of the data page: quality, length and novelty of conversations. Needs no streamlit."""

from __future__ import annotations

from collections.abc import Callable

from sails.data import ENOUGH_ROWS, ENOUGH_TO_JUDGE, DatasetReport, Novelty, QualityReport
from sails.system import count
from sails.training import Lengths, name_rows
from sails.ui.text import plain

USUAL_LIMIT = 512  # tokens; see `Settings.max_length`
MAX_BARS = 12  # in the chart of lengths
JUDGED = 10 * ENOUGH_TO_JUDGE  # new questions of which enough are held out, as one in ten is
GRADES = {"good": ("✅", "Good"), "acceptable": ("⚠️", "Acceptable"), "critical": ("❌", "Critical")}
CHECKED = {  # what each check found
    "empty": "the question or the answer is empty",
    "echo": "the answer only gives back the question",
    "repetitive": "the answer repeats itself",
    "gibberish": "not made of words",
    "too_short": "a very short answer",
    "cut_off": "the answer seems to break off",
    "markup": "signs of HTML in the text",
    "contradiction": "another answer to a question that an earlier row asks",
}


# --- quality --------------------------------------------------------------------------------------


def quality(report: QualityReport, not_taught: int = 0) -> str:
    """Say how good the rows are, in a sentence, and below it what was found how often.

    `not_taught` is how many good rows the model cannot be taught, whatever they are worth.
    """
    sign, grade = GRADES[report.grade]
    valid = max(0, report.valid - not_taught)
    lines = [f"{sign} **{grade}: {valid:,} of {count(report.total, 'row')} can be taught as they are.**"]
    if report.too_few:
        lines = [
            f"⚠️ **Too few to learn from: {count(report.valid, 'row')}.** See whether this is what you meant "
            "to teach; a model needs more examples."
        ]
    if report.grade == "critical":
        lines.append("A model takes over the faults of its examples: correct these rows, or leave them out.")
    findings = [
        f"- {count(number, 'row')}: {CHECKED[check]}" for check, number in report.counts.items() if number
    ]
    if unread := sum(problem.check == "refused" for problem in report.problems):
        findings.append(f"- {count(unread, 'row')}: cannot be read")
    if not_taught:
        findings.append(f"- {count(not_taught, 'row')}: cannot be taught to this model")
    if report.duplicates:
        findings.append(f"- {count(report.duplicates, 'row')}: the same as an earlier one; each is kept once")
    return "\n\n".join([*lines, "\n".join(findings)])


def facts(report: DatasetReport, moment: Callable[..., str]) -> str:
    """Describe a dataset in one line: examples, quality, tokens, and when it was saved."""
    sign, grade = GRADES.get(report.grade, ("–", "not checked"))
    parts = [count(report.rows, "example"), f"{sign} quality: {grade.lower()}"]
    if report.tokens_counted:
        parts.append(f"{report.tokens:,} word pieces")
    elif report.tokens:
        parts.append(f"about {_rounded(report.tokens):,} word pieces")
    if report.created:
        parts.append(moment(report.created))
    return " · ".join(parts)


def _rounded(number: int) -> int:
    """Two figures are all that an estimate is good for: 8,988,799 becomes 9,000,000."""
    return int(float(f"{number:.1e}"))


# --- novelty --------------------------------------------------------------------------------------


def novelty(counts: Novelty) -> str:
    """Say whether there is enough to learn and enough to judge by."""
    if not counts.new and not counts.taught_before:
        return "⚠️ Nothing is left to teach: every question here belongs to the exam. Bring more examples."
    if not counts.new:
        return "⚠️ The model was taught all of this before; once more refreshes what it may have forgotten."
    if not counts.held_out:
        return (
            f"⚠️ None is set aside for testing, which takes {ENOUGH_ROWS} new questions. The model can learn "
            "these, but nothing is left to test whether it can answer what it was not taught."
        )
    exam = count(counts.held_out, "question")
    if counts.held_out < ENOUGH_TO_JUDGE:
        return (
            f":material/thumb_up: Enough to begin. An exam of {exam} gives a first "
            f"impression; with {ENOUGH_TO_JUDGE} (about {JUDGED} examples) its result can be trusted."
        )
    return f"✅ With {exam} in the exam, its result can be trusted."


# --- lengths --------------------------------------------------------------------------------------


def lengths(measured: Lengths) -> str:
    """Say how long the examples are, and how many will be shortened."""
    exact = measured.counted and not measured.sampled
    about, total = ("", measured.total) if exact else ("about ", _rounded(measured.total))
    first = (
        f"Half of the examples have up to {measured.typical:,} word pieces (tokens), the longest has "
        f"{measured.longest:,}; together they have {about}{total:,}."
    )
    longer = measured.longer_than(USUAL_LIMIT)
    if not longer:
        return f"{first} ✅ None is longer than {USUAL_LIMIT}, so none is shortened."
    what = f"⚠️ {about.capitalize()}{count(longer, 'example')}"
    cut = "is longer {}, and its end" if longer == 1 else "are longer {}, and their ends"
    where = cut.format(f"than {USUAL_LIMIT}")
    said = f"{first} {what} {where} will be cut off, unless the training is told to read more."
    rows, beyond = measured.rows_longer_than(USUAL_LIMIT), measured.rows_without_answer(USUAL_LIMIT)
    if rows:
        said += f" That is {name_rows(rows)}."
    if beyond:
        said += f" Of {name_rows(beyond)} no answer is left, so nothing of it is taught."
    return said


def how_measured(measured: Lengths) -> str:
    """Say what a token is, and how far the figures are to be trusted."""
    notes = ["A word piece (token) is about four letters long."]
    if not measured.counted:
        notes.append("No model is on this machine yet, so these numbers are estimates.")
    if measured.sampled:
        notes.append(f"Measured on {len(measured.measured):,} examples, drawn by lot.")
    return " ".join(notes)


def histogram(measured: Lengths) -> tuple[list[str], list[int]]:
    """Return ranges of tokens, all equally wide, and how many of the measured examples lie in each."""
    round_numbers = (step * 10**power for power in range(12) for step in (1, 2, 5))
    width = next(number for number in round_numbers if number * MAX_BARS >= measured.longest)
    counts = [0] * max(1, -(-measured.longest // width))
    for length in measured.measured:
        counts[max(0, length - 1) // width] += 1
    return [f"{n * width + 1:,}–{(n + 1) * width:,}" for n in range(len(counts))], counts


def file_label(number: int, file: str) -> str:
    """Name one of several files in a list: 1. talks.csv."""
    return f"{number}. {plain(file)}"
