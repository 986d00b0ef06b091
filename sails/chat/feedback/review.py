"""What a reviewer should know about a correction before it may train: what repeats, contradicts or lacks.

    review = load_review(workspace)
    for correction in review.waiting:
        for trouble in review.troubles(correction):
            print(trouble.sentence)

Changes nothing; what a person decides goes to `sails.chat.feedback`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

from sails import retention, sessions
from sails.chat.feedback import actions, dataset, events, exchange
from sails.chat.feedback.correction import Correction, asked_in, same_words
from sails.chat.feedback.dataset import Standing
from sails.data import Conversation, Register, problems_of, read_jsonl
from sails.errors import SailsError
from sails.models import Workspace
from sails.sessions import SessionRecord
from sails.system import Stamp, one_line, shorten, stamp_or_none

Finding = Literal["unanswered", "confirm", "conflict", "duplicate", "replaces", "known", "quality"]


@dataclass(frozen=True)
class Trouble:
    """One thing to know about a correction. `stops`: it cannot be approved as it is."""

    finding: Finding
    sentence: str
    stops: bool = False


@dataclass(frozen=True)
class TaughtAnswer:
    """A row of a lesson that the current model was taught, or is about to be."""

    question: str
    fingerprint: str  # of the question as it is written
    answer: str
    lesson: str  # its name


@dataclass(frozen=True)
class Review:
    """All corrections, where each stands, and what they say against each other and earlier lessons."""

    corrections: tuple[Correction, ...]
    used: Mapping[str, SessionRecord]  # by dataset, as `corrections.sessions_by_dataset` gives it
    taught: Mapping[str, TaughtAnswer]  # by the question in plain words
    held: frozenset[str]  # fingerprints of the questions that are kept back

    def standing(self, correction: Correction) -> Standing:
        """Tell where a correction stands."""
        return dataset.standing(correction, self.used)

    def at(self, standing: Standing) -> list[Correction]:
        """Return the corrections that stand there, the newest first."""
        return [one for one in reversed(self.corrections) if self.standing(one) == standing]

    def session_of(self, correction: Correction) -> SessionRecord | None:
        """Return the session that taught it or will; None when none has."""
        return self.used.get(correction.dataset or "")

    def troubles(self, correction: Correction) -> tuple[Trouble, ...]:
        """Say what to know about one that waits or is approved; nothing about the others."""
        standing = self.standing(correction)
        if standing not in ("waiting", "approved"):
            return ()
        troubles = []
        if reason := actions.why_not_teachable(correction, self.held):
            troubles.append(Trouble("unanswered", reason, stops=True))
        elif correction.kind == "never" and not correction.confirmed:
            sentence = "This answer is only a proposal. Write a better one, or approve it as it is."
            troubles.append(Trouble("confirm", sentence))
        if correction.taught:
            troubles += self._others(correction, standing)
            troubles += self._earlier(correction)
            troubles += [
                Trouble("quality", f"{problem.reason[:1].upper()}{problem.reason[1:]}.")
                for problem in problems_of(correction.row)
                if problem.check != "empty"
            ]
        return tuple(troubles)

    def without_findings(self) -> list[Correction]:
        """Return the corrections that wait and of which there is nothing to say."""
        return [correction for correction in self.at("waiting") if not self.troubles(correction)]

    @cached_property
    def _by_question(self) -> Mapping[str, list[Correction]]:
        """Those that wait or are approved, by what they ask, the oldest first."""
        by_question = defaultdict(list)
        for correction in self.corrections:
            if correction.taught and self.standing(correction) in ("waiting", "approved"):
                by_question[correction.asked].append(correction)
        return by_question

    def _others(self, correction: Correction, standing: Standing) -> list[Trouble]:
        """What others that wait or are approved answer to the same question."""
        group = self._by_question[correction.asked]
        other = [given for given in group if not same_words(given.taught, correction.taught)]
        troubles = []
        if other:
            first = next((given for given in other if given.state == "approved"), other[0])
            state = "is approved" if first.state == "approved" else "waits as well"
            sentence = (
                f"{first.who} gave another answer to this question, which {state}: “{_short(first.taught)}” "
                "Only one can be taught: reject one, or give both the same answer."
            )
            stops = standing == "waiting" and first.state == "approved"
            troubles.append(Trouble("conflict", sentence, stops))
        first = next(given for given in group if same_words(given.taught, correction.taught))
        if first.id != correction.id:
            state = "is approved" if first.state == "approved" else "waits as well"
            sentence = f"{first.who} gave the same before, and that {state}. One of them is enough."
            troubles.append(Trouble("duplicate", sentence))
        return troubles

    def _earlier(self, correction: Correction) -> list[Trouble]:
        taught = self.taught.get(correction.asked)
        if taught is None:
            return []
        if same_words(taught.answer, correction.taught):
            sentence = f"The lesson “{taught.lesson}” taught this already; once more refreshes it."
            return [Trouble("known", sentence)]
        sentence = f"The lesson “{taught.lesson}” taught another answer: “{_short(taught.answer)}” "
        if taught.fingerprint == correction.row.input_fingerprint:
            sentence += "This one will replace it: the old answer is not repeated any more."
        else:
            sentence += (
                f"There the question is “{_short(taught.question)}” Write it in the same way here, "
                "so that this answer replaces the old one."
            )
        return [Trouble("replaces", sentence)]


def _short(text: str) -> str:
    return shorten(one_line(text), 120)


def load_review(workspace: Workspace) -> Review:
    """Load the corrections of a workspace with all that is needed to review them."""
    corrections = tuple(events.corrections(workspace))
    used = dataset.sessions_by_dataset(workspace)
    taught = dict(_taught(_taught_files(workspace)))
    for correction in corrections:
        record = used.get(correction.dataset or "")
        if record and record.status.state in ("queued", "running"):
            taught[correction.asked] = _taught_row(correction.row, record.spec.name)
    return Review(corrections, used, taught, frozenset(Register.load(workspace.register).held))


def as_json_lines(review: Review, chosen: Iterable[Correction]) -> str:
    """Write corrections as JSON Lines, one object a line, as `corrections.import_file` reads them."""
    rows = (exchange.as_json(correction, review.standing(correction)) for correction in chosen)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


_File = tuple[Path, Stamp, str]  # a lesson's rows, and its name


def _taught_files(workspace: Workspace) -> tuple[_File, ...]:
    """The taught rows of each lesson of the current model, oldest first."""
    made_by = retention.taught_to(workspace, workspace.situation().trained.fingerprint)
    files = []
    for lesson in retention.lessons_of(workspace, made_by):
        path = sessions.Session(workspace.sessions / lesson.session).data / "train.jsonl"
        if now := stamp_or_none(path):  # else its examples were deleted
            files.append((path, now, lesson.name))
    return tuple(files)


@lru_cache(maxsize=8)
def _taught(files: tuple[_File, ...]) -> Mapping[str, TaughtAnswer]:
    """The latest answer that was taught to each question."""
    taught = {}
    for path, _, name in files:
        try:
            rows = read_jsonl(path)
        except SailsError:
            continue
        for row in rows:
            taught[asked_in(row)] = _taught_row(row, name)
    return taught


def _taught_row(row: Conversation, lesson: str) -> TaughtAnswer:
    return TaughtAnswer(row.input, row.input_fingerprint, row.output, lesson)
