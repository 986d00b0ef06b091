"""What the models of the demo answered when they were recorded: they can be asked that again.

    for one in recordings(workspace):
        one.title, one.origin, one.answers["What is HTML?"]

Each training asked its model before and after the lesson. Whatever was asked of one model, by whichever
training, is what that model answered; nothing else is made up here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sails.chat.conversation import ChatHistory, ChatTurn, Origin
from sails.errors import RequestError
from sails.models import Workspace
from sails.retention import retention_if_readable
from sails.sessions import SessionRecord, is_demo, monitor_of, read_history, titles
from sails.system import one_line

NOT_ASKED = "This was not asked of it when it was recorded."


@dataclass(frozen=True)
class Recording:
    """A model of which there are answers; `answers` by question, `origin` as their origin."""

    origin: Origin
    answers: Mapping[str, str]

    @property
    def title(self) -> str:
        """What it is called: the base model, or the model after a lesson."""
        return self.origin.title


def recordings(workspace: Workspace) -> list[Recording]:
    """Return the models of a demo that answered: the base model, then one a training; empty elsewhere.

    The last one is that which was published last.
    """
    if not is_demo(workspace):
        return []
    answered: dict[str | None, dict[str, str]] = {}
    records = [record for record in read_history(workspace) if record.spec.kind == "train"]
    for record in records:
        status = record.status
        before, after = _answers(record)
        _add(answered.setdefault(status.replaces, {}), before)
        if status.fingerprint:
            _add(answered.setdefault(status.fingerprint, {}), after)
    models = [Recording(_base(records), answered[None])] if answered.get(None) else []
    made = [record for record in records if record.status.fingerprint]
    made.sort(
        key=lambda record: record.status.verdict == "published"
    )  # that which was published is asked first
    called = titles(records)
    return models + [
        Recording(_origin(record, called[record.session.id]), answered[record.status.fingerprint])
        for record in made
    ]


def recorded_questions(asked: Sequence[Recording]) -> list[str]:
    """Return the questions that at least one of these models answered; what most of them did comes first."""
    counts: dict[str, int] = {}
    for recording in asked:
        for question in recording.answers:
            counts[question] = counts.get(question, 0) + 1
    return sorted(counts, key=lambda question: -counts[question])


def ask_recording(conversation: ChatHistory, question: str, asked: Sequence[Recording]) -> ChatTurn:
    """Answer a question with what was recorded. Raises `RequestError` when none of these was asked it."""
    same = {one_line(known).casefold(): known for known in recorded_questions(asked)}
    known = same.get(one_line(question).casefold())
    if known is None:
        problem = "No answer to this was recorded, and the models themselves are not here."
        raise RequestError(problem, "Choose one of the recorded questions.")
    turn = conversation.ask(known, [recording.origin for recording in asked])
    for reply, recording in zip(turn.replies, asked, strict=True):
        reply.text = recording.answers.get(known, "")
        reply.stopped_by = "end"
        reply.problem = "" if reply.text else NOT_ASKED
    return turn


def _answers(record: SessionRecord) -> tuple[dict[str, str], dict[str, str]]:
    """What the model before the lesson and the one after it answered."""
    monitor = monitor_of(record.session)
    monitor.wait()
    retention = retention_if_readable(record.session)
    changed = retention.changed if retention else ()
    before = [(item.question, item.answer) for item in monitor.answers.get("before", ())]
    after = [(item.question, item.answer) for item in monitor.answers.get("after", ())]
    before += [(one.question, one.before) for one in changed]
    after += [(one.question, one.after) for one in changed]
    return _by_question(before), _by_question(after)


def _add(answers: dict[str, str], more: Mapping[str, str]) -> None:
    """Add answers; the first one to a question stays."""
    answers |= {question: answer for question, answer in more.items() if question not in answers}


def _by_question(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    answers: dict[str, str] = {}
    for question, answer in pairs:
        if answer:
            answers.setdefault(question, answer)
    return answers


def _base(records: Sequence[SessionRecord]) -> Origin:
    plan = next((record.status.plan for record in records if record.status.plan), None)
    return Origin(f"Base model {plan.base}" if plan else "Base model", recorded=True)


def _origin(record: SessionRecord, called: str) -> Origin:
    held = {"held": " (held back)", "discarded": " (discarded)"}.get(record.status.verdict or "", "")
    return Origin(f"After {called}{held}", record.status.fingerprint, record.spec.id, recorded=True)
