"""What people do with corrections: give and take back, edit, approve and reject."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import get_args

from sails import system
from sails.chat.conversation import Origin
from sails.chat.feedback.correction import (
    LONGEST_TEXT,
    REFUSAL,
    Correction,
    Kind,
    checked_name,
    checked_text,
    same_words,
)
from sails.chat.feedback.dataset import sessions_by_dataset, to_teach
from sails.chat.feedback.events import find, log_lock, utc_now, write
from sails.data import Register, printable
from sails.errors import RequestError
from sails.models import Workspace
from sails.system import one_line, shorten


@system.changes("judge an answer")
def give(
    workspace: Workspace,
    *,
    question: str,
    answer: str,
    kind: Kind,
    correction: str = "",
    who: str = "",
    origin: Origin | None = None,
    context: Sequence[Mapping[str, str]] = (),
) -> Correction:
    """Note what a person thinks of an answer; it waits until somebody approves it.

    *good*: right as it was. *corrected*: `correction` is what it should have said; without one, a reviewer
    must write it. *never*: it must never say this; `correction` is what to say instead, a plain refusal when
    empty. Raises `RequestError` for texts that are empty or too long, and for one that changes nothing.
    """
    if kind not in get_args(Kind):
        problem = f"There is no feedback of the kind {str(kind)[:40]!r}."
        raise RequestError(problem, "Choose one that there is.")
    correction = checked_text(correction, "The correction")
    origin = origin or Origin("")
    identity = secrets.token_hex(8)
    event = {
        "event": "given",
        "id": identity,
        "input": checked_text(question, "The question"),
        "output": checked_text(answer if kind == "good" else answer[:LONGEST_TEXT], "The answer"),
        "timestamp": utc_now(),
        "accepted": kind == "good",
        "kind": kind,
        "correction": "" if kind == "good" else correction or (REFUSAL if kind == "never" else ""),
        "who": checked_name(who or system.actor()),
        "version": {
            "title": origin.title,
            "fingerprint": origin.fingerprint,
            "session": origin.session,
            "variant": origin.variant,
        },
        "context": [{"role": m["role"], "content": printable(m["content"])} for m in context],
        "confirmed": bool(correction),
    }
    if not event["input"]:
        raise RequestError("The question is empty.", "Write a question.")
    if kind == "good" and not event["output"]:
        raise RequestError("There is no answer that could be called good.", "Correct it instead.")
    if kind != "good" and correction and same_words(correction, answer):
        raise RequestError("The correction is what the model said.", "Change it, or call the answer good.")
    with log_lock(workspace):
        write(workspace, [event])
    return find(workspace, identity)


@system.changes("withdraw a correction", what="identity")
def withdraw(workspace: Workspace, identity: str) -> None:
    """Take a correction back, as if it had never been given. Raises `RequestError` when it was taught."""
    with log_lock(workspace):
        correction = _open(workspace, identity)
        said = {"who": checked_name(system.actor()), "timestamp": utc_now()}
        write(workspace, [{"event": "withdrawn", "id": correction.id, **said}])


@system.changes("edit a correction", what="identity")
def edit(
    workspace: Workspace,
    identity: str,
    *,
    question: str | None = None,
    answer: str | None = None,
    who: str = "",
) -> Correction:
    """Write other words for the question, or for the answer that is taught; an approved one waits again.

    Raises `RequestError` for an unknown one, one that was taught, an empty question, and texts too long.
    """
    with log_lock(workspace):
        correction = _open(workspace, identity)
        question = correction.question if question is None else checked_text(question, "The question")
        answer = correction.taught if answer is None else checked_text(answer, "The answer")
        if not question:
            raise RequestError("The question is empty.", "Write a question, or reject the correction.")
        event = {"event": "edited", "id": identity, "input": question, "correction": answer}
        write(workspace, [event | {"who": checked_name(who or system.actor()), "timestamp": utc_now()}])
    return find(workspace, identity)


@system.changes("approve corrections", what="identities")
def approve(workspace: Workspace, *identities: str, who: str = "") -> list[Correction]:
    """Let these be taught. Raises `RequestError`, and approves none, when one of them cannot be.

    That is one that has no answer, or the very answer that must never be said; one whose question belongs to
    an exam; and one with another answer than one that is approved already and not taught yet.
    """
    with log_lock(workspace):
        wanted = _open_all(workspace, identities)
        ready = {other.asked: other for other in to_teach(workspace) if other.id not in identities}
        held = Register.load(workspace.register).held
        for correction in wanted:
            if reason := why_not_teachable(correction, held):
                raise RequestError(reason, "Edit it, or reject it.")
            other = ready.setdefault(correction.asked, correction)
            if not same_words(other.taught, correction.taught):
                raise RequestError(
                    f"“{_short(correction.question)}” has another approved answer: “{_short(other.taught)}”.",
                    "Only one can be taught: reject the other, or give both the same answer.",
                )
        _decide(workspace, "approved", wanted, who)
    return [find(workspace, correction.id) for correction in wanted]


def why_not_teachable(correction: Correction, held: Collection[str]) -> str:
    """Say why it cannot be taught as it is, whatever others say; empty when it can.

    `held` are the fingerprints of the questions that are kept back (`Register.held`).
    """
    if not correction.taught:
        return "It has no answer yet: write what the model should have said."
    if correction.kind == "never" and same_words(correction.taught, correction.answer):
        return "This is the very answer that the model must never give."
    if correction.row.input_fingerprint in held:
        return "This question is set aside for testing an earlier lesson, so it is never taught."
    return ""


@system.changes("reject corrections", what="identities")
def reject(workspace: Workspace, *identities: str, who: str = "") -> None:
    """Never teach these; they stay in the list. Raises `RequestError` for one that was taught."""
    with log_lock(workspace):
        _decide(workspace, "rejected", _open_all(workspace, identities), who)


@system.changes("reopen corrections", what="identities")
def reopen(workspace: Workspace, *identities: str, who: str = "") -> None:
    """Let these wait for a review again. Raises `RequestError` for one that was taught."""
    with log_lock(workspace):
        _decide(workspace, "reopened", _open_all(workspace, identities), who)


def _decide(workspace: Workspace, what: str, wanted: Iterable[Correction], who: str) -> None:
    said = {"who": checked_name(who or system.actor()), "timestamp": utc_now()}
    write(workspace, [{"event": what, "id": correction.id, **said} for correction in wanted])


def _open_all(workspace: Workspace, identities: Iterable[str]) -> list[Correction]:
    return [_open(workspace, identity) for identity in dict.fromkeys(identities)]


def _open(workspace: Workspace, identity: str) -> Correction:
    """A correction that nothing has been taught from; raises `RequestError`."""
    correction = find(workspace, identity)
    record = sessions_by_dataset(workspace).get(correction.dataset or "")
    if record and record.status.resumable and not record.status.verdict:
        raise RequestError(
            f"“{_short(correction.question)}” is in session {record.spec.id}, which can still be resumed.",
            "Resume that session, or delete it to decide anew.",
        )
    if record:
        raise RequestError(
            f"“{_short(correction.question)}” was taught already, or is about to be.",
            "Correct the answer again in the chat, if it is still not right.",
        )
    return correction


def _short(text: str) -> str:
    return shorten(one_line(text), 60)
