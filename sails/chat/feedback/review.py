"""What a reviewer should know about a correction before it may train: what repeats, contradicts or lacks.

    review = look(workspace)
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
from sails.chat.feedback.correction import Correction, plain_words, same_words
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
class Taught:
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
    taught: Mapping[str, Taught]  # by the question in plain words
    held: frozenset[str]  # fingerprints of the questions that are kept back

    def standing(self, correction: Correction) -> Standing:
        return dataset.standing(correction, self.used)

    def at(self, standing: Standing) -> list[Correction]:
        """Those that stand there, the newest first."""
        return [one for one in reversed(self.corrections) if self.standing(one) == standing]

    def session_of(self, correction: Correction) -> SessionRecord | None:
        """The session that taught it or will; None when none has."""
        return self.used.get(correction.dataset or "")

    def troubles(self, correction: Correction) -> tuple[Trouble, ...]:
        """What to know about one that waits or is approved; nothing about the others."""
        standing = self.standing(correction)
        if standing not in ("waiting", "approved"):
            return ()
        found = []
        if reason := actions.why_not(correction, self.held):
            found.append(Trouble("unanswered", reason, stops=True))
        elif correction.kind == "never" and not correction.confirmed:
            sentence = "This answer is only a proposal. Write a better one, or approve it as it is."
            found.append(Trouble("confirm", sentence))
        if correction.taught:
            found += self._others(correction, standing)
            found += self._earlier(correction)
            found += [
                Trouble("quality", f"{problem.reason[:1].upper()}{problem.reason[1:]}.")
                for problem in problems_of(correction.row)
                if problem.check != "empty"
            ]
        return tuple(found)

    def without_findings(self) -> list[Correction]:
        """Those that wait and of which there is nothing to say."""
        return [one for one in self.at("waiting") if not self.troubles(one)]

    @cached_property
    def _by_question(self) -> Mapping[str, list[Correction]]:
        """Those that wait or are approved, by what they ask, the oldest first."""
        found = defaultdict(list)
        for one in self.corrections:
            if one.taught and self.standing(one) in ("waiting", "approved"):
                found[one.asked].append(one)
        return found

    def _others(self, correction: Correction, standing: Standing) -> list[Trouble]:
        """What others that wait or are approved answer to the same question."""
        group = self._by_question[correction.asked]
        other = [one for one in group if not same_words(one.taught, correction.taught)]
        found = []
        if other:
            first = next((one for one in other if one.state == "approved"), other[0])
            state = "is approved" if first.state == "approved" else "waits as well"
            sentence = (
                f"{first.who} gave another answer to this question, which {state}: “{_short(first.taught)}” "
                "Only one can be taught: reject one, or give both the same answer."
            )
            stops = standing == "waiting" and first.state == "approved"
            found.append(Trouble("conflict", sentence, stops))
        first = next(one for one in group if same_words(one.taught, correction.taught))
        if first.id != correction.id:
            state = "is approved" if first.state == "approved" else "waits as well"
            sentence = f"{first.who} gave the same before, and that {state}. One of them is enough."
            found.append(Trouble("duplicate", sentence))
        return found

    def _earlier(self, correction: Correction) -> list[Trouble]:
        known = self.taught.get(correction.asked)
        if known is None:
            return []
        if same_words(known.answer, correction.taught):
            sentence = f"The lesson “{known.lesson}” taught this already; once more refreshes it."
            return [Trouble("known", sentence)]
        sentence = f"The lesson “{known.lesson}” taught another answer: “{_short(known.answer)}” "
        if known.fingerprint == correction.row.input_fingerprint:
            sentence += "This one will replace it: the old answer is not repeated any more."
        else:
            sentence += (
                f"There the question is “{_short(known.question)}” Write it in the same way here, "
                "so that this answer replaces the old one."
            )
        return [Trouble("replaces", sentence)]


def _short(text: str) -> str:
    return shorten(one_line(text), 120)


def look(workspace: Workspace) -> Review:
    """The corrections of a workspace with all that is needed to review them."""
    found = tuple(events.corrections(workspace))
    used = dataset.sessions_by_dataset(workspace)
    taught = dict(_taught(_taught_files(workspace)))
    for one in found:
        record = used.get(one.dataset or "")
        if record and record.status.state in ("queued", "running"):
            taught[one.asked] = _taught_row(one.row, record.spec.name)
    return Review(found, used, taught, frozenset(Register.load(workspace.register).held))


def troubles(workspace: Workspace) -> dict[str, tuple[Trouble, ...]]:
    """What to know about each correction, by its id."""
    review = look(workspace)
    return {one.id: review.troubles(one) for one in review.corrections}


def as_lines(review: Review, chosen: Iterable[Correction]) -> str:
    """Corrections as JSON Lines, one object a line, as `corrections.import_file` reads them."""
    found = (exchange.as_json(one, review.standing(one)) for one in chosen)
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in found)


# --- what was taught before -----------------------------------------------------------------------

_File = tuple[Path, Stamp, str]  # a lesson's rows, and its name


def _taught_files(workspace: Workspace) -> tuple[_File, ...]:
    """The taught rows of each lesson of the current model, oldest first."""
    made_by = retention.taught_to(workspace, workspace.situation().trained.fingerprint)
    found = []
    for lesson in retention.lessons_of(workspace, made_by):
        path = sessions.Session(workspace.sessions / lesson.session).data / "train.jsonl"
        if now := stamp_or_none(path):  # else its examples were deleted
            found.append((path, now, lesson.name))
    return tuple(found)


@lru_cache(maxsize=8)
def _taught(files: tuple[_File, ...]) -> Mapping[str, Taught]:
    """The latest answer that was taught to each question."""
    found = {}
    for path, _, name in files:
        try:
            rows = read_jsonl(path)
        except SailsError:
            continue
        for row in rows:
            asked = "\n".join(plain_words(turn.content) for turn in row.turns[:-1] if turn.role != "system")
            found[asked] = _taught_row(row, name)
    return found


def _taught_row(row: Conversation, lesson: str) -> Taught:
    return Taught(row.input, row.input_fingerprint, row.output, lesson)
