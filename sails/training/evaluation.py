"""What a session measures: the model before it, the model after it, and what the gate says of the two.

    examination = Examination(workspace, session, reporter, lesson, student)
    examination.before()       # the scores of the model that it starts from, stored ones where there are any
    examination.after()        # the candidate's, those of the base model, and what the gate says
    examination.compare_answers(answers)      # the candidate's to `examination.changed`, with the former ones

All is written into the session's retention.json. Not here: the figures made of it (`sails.retention`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sails import models, retention, sessions
from sails.data import Conversation
from sails.errors import RequestError, SailsError
from sails.models import Workspace, inspect_model
from sails.retention import Cell, Changed, Decision, Drift, Measured, Retention, Sample
from sails.sessions import Reporter, Session, SessionRecord
from sails.training import scoring
from sails.training.dataloader import encoder_of
from sails.training.mixture import TrainingMixture
from sails.training.model import Precision, generate, load_model, sample_answers

SHOWN = 3  # answers that got worse, and as many that got better
MUCH = 0.2  # change of the share of an answer's tokens predicted right
ANSWER_TOKENS = 48  # of each answer before and after the lesson
ASKED_TO_END = 3  # answers of which one must end by itself
LONGEST = 500  # characters of a question that is still asked
UNKNOWN = "What the model knew before could not be read, so nobody can tell what it lost."
STARTED_OVER = "It starts over, so it was not compared with what the model before was taught."


@dataclass(frozen=True)
class Student:
    """The model that is taught, in place, and what it takes to examine it."""

    model: Any
    tokenizer: Any
    longest: int  # tokens of one conversation
    precision: Precision


@dataclass(frozen=True)
class Examination:
    """Of one session; see the module."""

    workspace: Workspace
    session: Session
    reporter: Reporter
    lesson: TrainingMixture
    student: Student

    @cached_property
    def sample(self) -> Sample:
        """The rows that are measured: of this lesson and of all that the model was taught before."""
        earlier = retention.all_lesson_rows(self.workspace, self._earlier, self.lesson.train)
        own = retention.in_sample_order(self.lesson.train, self.lesson.held_out)
        rows = {**earlier, self.session.id: own}
        found = {name: some for name, some in rows.items() if some.taught or some.held_out}
        return retention.sample_rows(found)

    @property
    def _earlier(self) -> tuple[str, ...]:
        return self.reporter.status.lessons or ()

    def before(self) -> None:
        """Measure the model before its first step; what its own session measured already is taken over."""
        began = time.monotonic()
        parent = self.reporter.status.parent
        stored = stored_row(self.workspace, parent)
        known: dict[tuple[str, str], Cell] = {}
        for (name, part), rows in self.sample.items():
            cell = stored.cell(name, part) if stored and name != self.session.id else None
            cell = cell.only([row.fingerprint for row in rows]) if cell else None
            if cell and len(cell.rows) == len(rows):
                known[name, part] = cell
        scored = self._score({key: rows for key, rows in self.sample.items() if key not in known})
        known |= {(cell.lesson, cell.part): cell for cell in scored}
        cells = tuple(known[key] for key in self.sample if key in known)
        general = stored.general if stored else None
        with self.reporter.unless_it_fails("What it knows in general could not be measured"):
            if not general or not general.known:
                general = self._general()
        before = Measured(fingerprint=parent, cells=cells, general=general)
        found = Retention(lessons=self._lessons(), before=before, seconds=time.monotonic() - began)
        retention.write_retention(self.session, found)
        self._tell("before", cells)

    @property
    def general_questions(self) -> tuple[str, ...]:
        """The general questions that its base model answers right; empty where nobody knows."""
        general = self._found().before.general
        return general.known.rows if general and general.known else ()

    def after(self) -> None:
        """Measure the candidate, the base model on the new lesson, and decide whether it may be published."""
        began = time.monotonic()
        found = self._found()
        cells = self._score(self.sample)
        self._tell("after", cells)
        self.reporter.progress(0.4, "comparing it with its base model")
        base, general = None, None
        with self.reporter.unless_it_fails("It could not be compared with its base model"):
            base, general = self._compare_with_base()
        after = Measured(cells=cells, general=general)
        decision = self._decide(found, after)
        seconds = found.seconds + time.monotonic() - began
        done = {"base": base, "after": after, "decision": decision, "seconds": seconds}
        retention.write_retention(self.session, found.model_copy(update=done))

    def _found(self) -> Retention:
        """What was measured before; nothing where the file is gone or damaged by now."""
        if known := retention.retention_if_readable(self.session):
            return known
        before = Measured(fingerprint=self.reporter.status.parent)
        return Retention(lessons=self._lessons(), before=before)

    def _lessons(self) -> tuple[retention.Lesson, ...]:
        return retention.lessons_of(self.workspace, (*self._earlier, self.session.id))

    def _decide(self, found: Retention, after: Measured) -> Decision:
        status = self.reporter.status
        if self._earlier and not found.before.cells:
            return Decision(held=True, reason=UNKNOWN)
        line = _measured(sessions.ancestors(self.workspace, status.replaces))
        # The published model: the one that this session may replace.
        published = found.before
        if status.parent != status.replaces:
            published = stored_row(self.workspace, status.replaces) or Measured()
        if status.parent is None:  # it grew from a base model, and is to keep what that one knew
            published = published.model_copy(update={"general": found.before.general})
        decision = retention.decide(published, after, line, found.lessons[:-1])
        if self._earlier or status.replaces is None:
            return decision
        reason = STARTED_OVER if status.parent is None else retention.ELSEWHERE
        if decision.held:
            reason = f"{decision.reason} {reason}"
        return decision.model_copy(update={"reason": reason})

    def _score(self, rows: Sample) -> tuple[Cell, ...]:
        student = self.student
        return scoring.score(student.model, student.tokenizer, rows, student.longest, student.precision)

    def _tell(self, when: str, cells: Sequence[Cell]) -> None:
        own = {cell.part: cell.scores for cell in cells if cell.lesson == self.session.id}
        self.reporter.result(**{f"taught_{when}": own.get("recall"), f"held_out_{when}": own.get("held_out")})

    @cached_property
    def base_folder(self) -> Path | None:
        """Where the base model lies that the student grew from; None where it is not known, or not here."""
        plan = self.reporter.status.plan
        return base_folder(plan.base if plan else None)

    def _general(self) -> Drift | None:
        """How far the student is from its base model before the lesson."""
        student, folder = self.student, self.base_folder
        if folder is None:
            return None
        measured = scoring.no_drift if self.reporter.status.parent is None else scoring.general_drift
        return measured(student.model, folder, student.tokenizer, student.precision)

    def _compare_with_base(self) -> tuple[Measured | None, Drift | None]:
        """The base model's scores on the new lesson, and how far the candidate is from it."""
        folder, student = self.base_folder, self.student
        if folder is None:
            self.reporter.note("Its base model is not here, so its general knowledge is not measured.")
            return None, None
        from_base = self.reporter.status.parent is None  # then what it started from was scored before
        own = {key: rows for key, rows in self.sample.items() if key[0] == self.session.id}
        general, cells = scoring.compare_with_base(
            student.model,
            folder,
            student.tokenizer,
            {} if from_base else own,
            student.longest,
            student.precision,
        )
        return None if from_base else Measured(cells=cells), general

    # --- answers that changed ---------------------------------------------------------------------

    @cached_property
    def _most_changed(self) -> list[tuple[str, Conversation, float, float]]:
        """Lesson, row, and its share of tokens right before and after: what changed most, worst first."""
        found = self._found()
        return self._moved(found.before, found.after) if found.after else []

    @property
    def changed(self) -> list[str]:
        """The questions whose answers changed most, as far as their tokens tell."""
        return [row.input for _, row, _, _ in self._most_changed]

    @property
    def start_folder(self) -> Path | None:
        """Where the model lies that the session started from; None where it is not there any more."""
        parent, current = self.reporter.status.parent, self.workspace.trained_model
        if parent is None:
            return self.base_folder
        return current if inspect_model(current).fingerprint == parent else None

    def compare_answers(self, answers: Mapping[str, str]) -> None:
        """Write down what the candidate answers to `changed`, beside what the model before it does."""
        found, folder = self._found(), self.start_folder
        if not self.changed or folder is None:
            return
        began = time.monotonic()
        old: dict[str, str] = {}
        with self.reporter.unless_it_fails("The model before could not be asked"):
            model = load_model(folder, str(self.student.model.device))
            old = answer(replace(self.student, model=model), self.changed)
        changed = tuple(
            Changed(
                lesson=name,
                question=row.input,
                expected=row.output,
                before=old[row.input],
                after=answers[row.input],
                share_before=was,
                share_after=now,
            )
            for name, row, was, now in self._most_changed
            if row.input in old
        )
        done = {"changed": changed, "seconds": found.seconds + time.monotonic() - began}
        retention.write_retention(self.session, found.model_copy(update=done))

    def _moved(self, before: Measured, after: Measured) -> list[tuple[str, Conversation, float, float]]:
        """Lesson, row and its share of tokens right before and now, of the rows that changed most."""
        found = []
        for (name, part), rows in self.sample.items():
            old, new = before.cell(name, part), after.cell(name, part)
            if part != "recall" or old is None or new is None:
                continue
            was, now = _shares(old), _shares(new)
            found += [
                (name, row, was[row.fingerprint], now[row.fingerprint])
                for row in rows
                if row.fingerprint in was.keys() & now.keys()
                and [turn.role for turn in row.turns] == ["user", "assistant"]
                and len(row.input) <= LONGEST
            ]
        found.sort(key=lambda moved: moved[3] - moved[2])
        lost = [moved for moved in found[:SHOWN] if moved[3] - moved[2] <= -MUCH]
        return lost + [moved for moved in found[-SHOWN:] if moved[3] - moved[2] >= MUCH]


def base_folder(base: str | None) -> Path | None:
    """Where the base model of that name lies; None where there is no name, or the model is not here."""
    with contextlib.suppress(SailsError):
        return models.base_model_path(models.find_base_model(base)) if base else None
    return None


def answer(student: Student, questions: Sequence[str]) -> dict[str, str]:
    """Return a model's answers by question, all generated as one batch: many cost hardly more than one."""
    once = list(dict.fromkeys(questions))
    with student.precision.autocast():
        said = sample_answers(student.model, student.tokenizer, once, ANSWER_TOKENS) if once else []
    return dict(zip(once, said, strict=True))


def ends_by_itself(student: Student, rows: Sequence[Conversation]) -> bool | None:
    """Ask the taught questions with the shortest answers as a chat will; tell whether any answer ends.

    Each may be about twice as long as what was taught. None where nothing can be asked.
    """
    asked, rooms = [], [0]
    encoder = encoder_of(student.tokenizer)
    without_tools = (row for row in rows if not row.calls_tools and not row.tools)
    for row in sorted(without_tools, key=lambda row: len(row.output))[:ASKED_TO_END]:
        with contextlib.suppress(RequestError):
            messages = row.until_answer().messages()
            taught = encoder.taught(messages)
            rooms.append(min(2 * len(taught.answer) + 16, student.longest - len(taught.prompt)))
            asked.append(messages[:-1])
    if not asked or max(rooms) <= 0:
        return None
    with student.precision.autocast():
        answers = generate(student.model, student.tokenizer, asked, max(rooms))
    return any(answer.ended for answer in answers)


def _shares(cell: Cell) -> dict[str, float]:
    figures = zip(cell.rows, cell.right, cell.tokens, strict=True)
    return {row: right / tokens for row, right, tokens in figures}


def stored_row(workspace: Workspace, fingerprint: str | None) -> Measured | None:
    """Return what the session that made the model with this fingerprint measured of it, if it did."""
    return next(iter(_measured(sessions.ancestors(workspace, fingerprint)[-1:])), None)


def _measured(records: Sequence[SessionRecord]) -> list[Measured]:
    """The scores of the models that these sessions made, in their order, where measured."""
    found = []
    for record in records:
        known = retention.retention_if_readable(record.session)
        if known and known.after:
            found.append(known.after.model_copy(update={"fingerprint": record.status.fingerprint}))
    return found
