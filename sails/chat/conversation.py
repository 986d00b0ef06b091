"""Conversations with up to four models: what was said, the answers as they come, what they keep in mind.

    conversation = Conversation()
    conversation.ask("What is a variable?", [Origin("Current model")])
    with closing(answers(conversation, [Path("workspace/onnx_model")])) as growing:
        for index in growing:
            ...

Needs no torch and knows nothing of pages. Whoever stops reading ends the answers; what was said so far stays.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sails import system
from sails.chat.model_cache import MODEL_CACHE, ModelCache
from sails.errors import RequestError, SailsError
from sails.models import CERTIFIED, FRESHNESS, VARIANT_TITLES, Variant
from sails.onnx import SamplingOptions

if TYPE_CHECKING:  # half a second to import, and not needed to show what was said
    from sails.onnx import Stream

MAX_MODELS = 4  # models that answer side by side
Messages = list[dict[str, str]]

# --- what was said --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Origin:
    """Which model an answer came from. `stale`: whether another one answered for it; None: nobody knows.

    `certified`: whether its certificate was passed; None: there is none, or nobody knows the `variant`.
    """

    title: str
    fingerprint: str | None = None
    session: str | None = None
    stale: bool | None = False
    variant: Variant | None = None
    certified: bool | None = None
    lesson: str = ""  # the name of the session that made it, as it was called then
    recorded: bool = False  # it did not answer now: this is what it answered when it was recorded


@dataclass
class Reply:
    """One model's answer. `stopped_by` as in `runtime.generate.Answer`; `problem`: why there is none."""

    origin: Origin
    text: str = ""
    stopped_by: str = "interrupted"
    tokens: int = 0
    seconds: float = 0.0
    dropped_messages: int = 0
    problem: str = ""
    system_in_question: bool = False  # the model's chat template has no place of its own for a system message
    correction: str = ""  # the id of what a person said about it


@dataclass(frozen=True)
class GenerationSettings(SamplingOptions):
    """How to answer; what is out of its range is refused when an answer begins."""

    seed: int | None = 42  # None: another one each time
    system: str = ""

    def sampling(self) -> dict[str, Any]:
        """Return the settings that `Generator.stream` takes."""
        return {name: value for name, value in asdict(self).items() if name != "system"}


@dataclass
class ChatTurn:
    """A question, how it was to be answered, and the answers; `asked` is UTC in ISO form."""

    question: str
    settings: GenerationSettings
    replies: list[Reply]
    asked: str
    id: str = field(default_factory=lambda: secrets.token_hex(6))


@dataclass
class ChatHistory:
    """What a person asked and the models answered, each answerer with a conversation of its own."""

    turns: list[ChatTurn] = field(default_factory=list)

    def ask(
        self, question: str, origins: list[Origin], settings: GenerationSettings | None = None
    ) -> ChatTurn:
        """Add a turn with answers still to come. Raises `RequestError` for none, or one too many."""
        if not question.strip():
            raise RequestError("There is nothing to answer: the question is empty.", "Write a question.")
        system.check_questions(len(self.turns))
        asked = datetime.now(UTC).isoformat(timespec="seconds")
        replies = [Reply(origin) for origin in origins]
        turn = ChatTurn(question, settings or GenerationSettings(), replies, asked)
        self.turns.append(turn)
        return turn

    def messages(self, index: int) -> Messages:
        """The conversation as the answerer at `index` (0 is the first) sees it, up to the newest question.

        Where only one model had been asked, its answer is what both remember. A question that got no answer
        is left out: models expect question and answer to take turns.
        """
        newest = self.turns[-1]
        system = newest.settings.system
        messages = [{"role": "system", "content": system}] if system.strip() else []
        spoken = _spoken(self.turns[:-1], index)
        return [*messages, *spoken, {"role": "user", "content": newest.question}]

    def remembered(self, index: int) -> Messages:
        """Return the messages that the answerer at `index` would be given before the next question."""
        return _spoken(self.turns, index)

    def as_json(self) -> str:
        """Write the whole conversation with how and by which model each answer was made, for programs."""
        return json.dumps([asdict(turn) for turn in self.turns], indent=2, ensure_ascii=False) + "\n"

    def as_examples(self) -> str:
        """Write what was asked and answered as JSON that the page Data reads, as one conversation to teach.

        Where several answered, it is that of the first. Empty where nothing was answered.
        """
        messages = _spoken(self.turns, 0)
        return json.dumps([{"messages": messages}], indent=2, ensure_ascii=False) + "\n" if messages else ""

    def as_text(self) -> str:
        """Write the whole conversation for people."""
        lines = []
        for turn in self.turns:
            lines += [f"You: {turn.question}", ""]
            for reply in turn.replies:
                lines += [f"{describe(reply.origin)}: {reply.text or reply.problem}"]
                lines += [f"[{note}]" for note in notes(reply)] + [""]
        return "\n".join(lines)


def _spoken(turns: Sequence[ChatTurn], index: int) -> Messages:
    messages = []
    for turn in turns:
        reply = turn.replies[min(index, len(turn.replies) - 1)]
        if reply.text:
            messages.append({"role": "user", "content": turn.question})
            messages.append({"role": "assistant", "content": reply.text})
    return messages


def describe(origin: Origin, *, ids: bool = True) -> str:
    """Say which model it was, in one line: Current model (8-bit, session 2026…, made from another model)."""
    facts = details(origin, ids=ids)
    return f"{origin.title} ({facts})" if facts else origin.title


def details(origin: Origin, *, ids: bool = True) -> str:
    """Say what is known of a model besides its title; with `ids`, also what only a programmer asks for."""
    lesson = "" if origin.title.endswith(f" {origin.lesson}") else origin.lesson
    facts = [
        VARIANT_TITLES[origin.variant] if origin.variant else "",
        CERTIFIED[origin.certified].doubt if origin.variant else "",
        f"after {lesson}" if lesson else "",
        describe_ids(origin) if ids else "",
        {True: FRESHNESS["stale"], None: FRESHNESS["unknown"], False: FRESHNESS["fresh"]}[origin.stale].fact,
        "recorded" if origin.recorded else "",
    ]
    return ", ".join(filter(None, facts))


def describe_ids(origin: Origin) -> str:
    """Say exactly which model it was: session 2026…, fingerprint 1a2b…; empty where nobody knows."""
    known = {"session": origin.session, "fingerprint": origin.fingerprint}
    return ", ".join(f"{name} {value}" for name, value in known.items() if value)


def notes(reply: Reply) -> list[str]:
    """List what a person should know about an answer besides its text."""
    said = {
        "interrupted": "Stopped here.",
        "length": "Cut off at the longest answer that the settings allow.",
        "context": "Cut off: the model cannot keep more of this conversation in mind.",
    }
    sentences = [] if reply.problem else [said[reply.stopped_by]] if reply.stopped_by in said else []
    if count := reply.dropped_messages:
        what = "oldest message" if count == 1 else f"{count} oldest messages"
        sentences.append(f"The conversation is long: the {what} could not be kept in mind.")
    if reply.system_in_question:
        sentences.append(
            "This model takes no system message, so it stood in the first question, as in its training."
        )
    if not reply.problem and not reply.text and reply.stopped_by == "end":
        sentences.append("The model answered nothing.")
    return sentences


# --- what a model keeps in mind -------------------------------------------------------------------


@dataclass(frozen=True)
class ContextUsage:
    """How many word pieces (tokens) a model keeps in mind, how many of them the conversation takes so far.

    `dropped`: so many of the oldest messages will give way to the next question and its answer.
    """

    context: int
    used: int
    dropped: int

    def describe(self, who: str = "This model") -> str:
        """Say how much of its context is used, as a person reads it."""
        used = f"{self.used:,} {'is' if self.used == 1 else 'are'} used" if self.used else "none is used yet"
        said = f"{who} keeps about {self.context:,} word pieces in mind; {used}."
        if self.dropped:
            what = "message" if self.dropped == 1 else f"{self.dropped} messages"
            said += f" It no longer reads the oldest {what}."
        return said


def context_usage(
    conversation: ChatHistory,
    index: int,
    folder: Path,
    settings: GenerationSettings,
    models: ModelCache = MODEL_CACHE,
) -> ContextUsage | None:
    """Measure what the answerer at `index` has in mind before the next question; None when nobody can tell.

    Reads only its small files, not the model.
    """
    from sails.onnx import room_for_prompt

    try:
        reader = models.reader(folder)
        messages = conversation.remembered(index)
        if not messages:
            return ContextUsage(reader.context_length, 0, 0)
        if settings.system.strip():
            messages = [{"role": "system", "content": settings.system}, *messages]
        room = room_for_prompt(reader.context_length, settings.max_new_tokens)
        prompt = reader.fit(messages, room)
    except SailsError:
        return None
    return ContextUsage(reader.context_length, len(prompt.token_ids), prompt.dropped)


# --- answering ------------------------------------------------------------------------------------


def answers(
    conversation: ChatHistory,
    onnx: Sequence[Path],
    models: ModelCache = MODEL_CACHE,
    *,
    together: bool = True,
    max_length: int | None = None,
) -> Generator[int, None, None]:
    """Answer the newest question with the models in these folders, one for each reply of its turn.

    Fills the replies piece by piece and yields the place of each that has grown or ended, `together` in turns
    or else one after the other. A model that fails leaves its reason in its reply; the others go on. To stop,
    close it. `max_length` is the longest conversation that a model is shown, in tokens.
    """
    turn = conversation.turns[-1]
    streams: dict[int, Stream] = {}
    try:
        for index, folder in enumerate(onnx):
            try:
                streams[index] = _begin(conversation, index, folder, models, max_length)
            except SailsError as error:
                turn.replies[index].problem = error.sentence
            yield index
        going_on = dict(streams)
        while going_on:
            # One after the other, only the first of those that still go on has its turn.
            for index, stream in list(going_on.items())[: None if together else 1]:
                if not _continue(stream, turn.replies[index]):
                    del going_on[index]
                yield index
    finally:
        for index, stream in streams.items():
            stream.close()
            _take(stream, turn.replies[index])


def _begin(
    conversation: ChatHistory, index: int, folder: Path, models: ModelCache, max_length: int | None
) -> Stream:
    turn = conversation.turns[-1]
    reply, messages = turn.replies[index], conversation.messages(index)
    model = models.get(folder)
    if model.fingerprint != reply.origin.fingerprint:  # another one than was seen a moment ago
        reply.origin = replace(reply.origin, fingerprint=model.fingerprint, session=None)
    reply.system_in_question = messages[0]["role"] == "system" and not model.reader.takes_system
    return model.stream(messages, **turn.settings.sampling(), max_length=max_length)


def _continue(stream: Stream, reply: Reply) -> bool:
    """Take one more piece; False when there is none."""
    try:
        piece = next(stream, None)
    except SailsError as error:
        reply.problem, piece = error.sentence, None
    _take(stream, reply)
    return piece is not None


def _take(stream: Stream, reply: Reply) -> None:
    """What the stream has found so far."""
    answer = stream.answer
    reply.text, reply.stopped_by = answer.text, answer.stopped_by
    reply.tokens, reply.seconds = len(answer.token_ids), answer.seconds
    reply.dropped_messages = answer.dropped_messages
