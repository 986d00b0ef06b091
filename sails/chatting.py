"""Conversations with one or two models: what was said, the answers as they come, and the models in memory.

    conversation = Conversation()
    conversation.ask("What is a variable?", [Origin("Current model")])
    with closing(answers(conversation, [Path("workspace/onnx_model")])) as growing:
        for place in growing:
            ...

Needs no torch and knows nothing of pages. Whoever stops reading ends the answers; what was said so far stays.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Generator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sails import locks
from sails.errors import ModelLoadError, OutOfMemoryError, RequestError, SailsError
from sails.workspace import resolve

if TYPE_CHECKING:  # a second to import, and not needed to show what was said
    from sails.onnx.generate import Generator as Model
    from sails.onnx.generate import Stream

IN_MEMORY = 2  # models at most
LOADED_MEMORY = 2.0  # times the size of its file, while a model is being loaded
_Identity = tuple[tuple[str, int, int, int], ...]  # name, inode, bytes and time of change in ns of each file

# --- what was said --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Origin:
    """Which model an answer came from. `stale`: whether its trained model is newer; None: nobody knows."""

    title: str
    fingerprint: str | None = None
    session: str | None = None
    stale: bool | None = False


@dataclass
class Reply:
    """One model's answer. `stopped_by` as in `sails.onnx.generate.Answer`; `problem`: why there is none."""

    origin: Origin
    text: str = ""
    stopped_by: str = "interrupted"
    tokens: int = 0
    seconds: float = 0.0
    dropped_messages: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Settings:
    """How to answer, as `sails.onnx.sampling.Sampling` means it."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 42
    system: str = ""

    def sampling(self) -> dict[str, Any]:
        """The settings that `Generator.stream` takes."""
        return {name: value for name, value in asdict(self).items() if name != "system"}


@dataclass
class Turn:
    """A question, how it was to be answered, and the answers; `asked` is UTC in ISO form."""

    question: str
    settings: Settings
    replies: list[Reply]
    asked: str


@dataclass
class Conversation:
    """What a person asked and the models answered, each answerer with a conversation of its own."""

    turns: list[Turn] = field(default_factory=list)

    def ask(self, question: str, origins: list[Origin], settings: Settings | None = None) -> Turn:
        """A new turn with answers still to come. Raises `RequestError` for an empty question."""
        if not question.strip():
            raise RequestError("There is nothing to answer: the question is empty.", "Write a question.")
        asked = datetime.now(UTC).isoformat(timespec="seconds")
        turn = Turn(question, settings or Settings(), [Reply(origin) for origin in origins], asked)
        self.turns.append(turn)
        return turn

    def messages(self, place: int) -> list[dict[str, str]]:
        """The conversation as the answerer at `place` (0 left, 1 right) sees it, up to the newest question.

        Where only one model had been asked, its answer is what both remember. A question that got no answer
        is left out: models expect question and answer to take turns.
        """
        newest = self.turns[-1]
        system = newest.settings.system
        messages = [{"role": "system", "content": system}] if system.strip() else []
        for turn in self.turns[:-1]:
            reply = turn.replies[min(place, len(turn.replies) - 1)]
            if reply.text:
                messages.append({"role": "user", "content": turn.question})
                messages.append({"role": "assistant", "content": reply.text})
        return [*messages, {"role": "user", "content": newest.question}]

    def as_json(self) -> str:
        """The whole conversation with how and by which model each answer was made, for programs."""
        return json.dumps([asdict(turn) for turn in self.turns], indent=2, ensure_ascii=False) + "\n"

    def as_text(self) -> str:
        """The whole conversation for people."""
        lines = []
        for turn in self.turns:
            lines += [f"You: {turn.question}", ""]
            for reply in turn.replies:
                lines += [f"{describe(reply.origin)}: {reply.text or reply.problem}"]
                lines += [f"[{note}]" for note in notes(reply)] + [""]
        return "\n".join(lines)


def describe(origin: Origin) -> str:
    """Which model it was, in one line: Current model (session 2026…, fingerprint 1a2b…, out of date)."""
    known = details(origin)
    return f"{origin.title} ({known})" if known else origin.title


def details(origin: Origin) -> str:
    """What is known of a model besides its title."""
    facts = [
        f"session {origin.session}" if origin.session else "",
        f"fingerprint {origin.fingerprint}" if origin.fingerprint else "",
        {True: "out of date", None: "unknown whether up to date", False: ""}[origin.stale],
    ]
    return ", ".join(filter(None, facts))


def notes(reply: Reply) -> list[str]:
    """What a person should know about an answer besides its text."""
    said = {
        "interrupted": "Stopped here.",
        "length": "Cut off at the longest answer that the settings allow.",
        "context": "Cut off: the model cannot keep more of this conversation in mind.",
    }
    found = [] if reply.problem else [said[reply.stopped_by]] if reply.stopped_by in said else []
    if reply.dropped_messages:
        count = reply.dropped_messages
        what = "oldest message" if count == 1 else f"{count} oldest messages"
        found.append(f"The conversation is long: the {what} could not be kept in mind.")
    if not reply.problem and not reply.text and reply.stopped_by == "end":
        found.append("The model answered nothing.")
    return found


# --- models in memory -----------------------------------------------------------------------------


class Models:
    """Models in memory, shared by everybody who chats; the one that was not used for longest goes first.

    A model is known by its folder and by its files' identity, so one that was published anew is loaded anew.
    Thread safe: two who ask for one model at a time load it once.
    """

    def __init__(self, at_most: int = IN_MEMORY) -> None:
        self._at_most = at_most
        self._loaded: OrderedDict[tuple[Path, _Identity], Model] = OrderedDict()
        self._guard = threading.Lock()
        self._loading = threading.Lock()  # one at a time: loading takes the most memory

    def holds(self, folder: Path) -> bool:
        """Whether the model in `folder` would answer at once."""
        with self._guard:
            return (folder, _identity(folder)) in self._loaded

    def get(self, folder: Path) -> Model:
        """The model in an ONNX folder; takes seconds the first time.

        Raises `ModelLoadError` or `OutOfMemoryError`.
        """
        for _ in range(3):  # it may be replaced while it is loaded
            key = (folder, _identity(folder))
            if found := self._known(key):
                return found
            with self._loading:
                if found := self._known(key):  # somebody else was faster
                    return found
                generator = self._load(folder)
                if _identity(folder) == key[1]:
                    with self._guard:
                        self._loaded[key] = generator
                    return generator
        raise ModelLoadError("The ONNX model changes all the time.", "Wait until it is at rest.")

    def _known(self, key: tuple[Path, _Identity]) -> Model | None:
        with self._guard:
            if key in self._loaded:
                self._loaded.move_to_end(key)
            return self._loaded.get(key)

    def _load(self, folder: Path) -> Model:
        from sails.onnx.generate import Generator as Model

        needed = sum(file.stat().st_size for file in resolve(folder).glob("*.onnx*")) * LOADED_MEMORY
        with self._guard:
            for key in [key for key in self._loaded if key[0] == folder]:  # what lay there before
                del self._loaded[key]
            while len(self._loaded) >= self._at_most:
                self._loaded.popitem(last=False)
            if needed > locks.available_memory():
                self._loaded.clear()
        locks.give_back_memory()
        if needed > (free := locks.available_memory()):
            raise OutOfMemoryError(
                f"The model takes {needed / 1e6:,.0f} MB of memory, and {free / 1e6:,.0f} MB are free.",
                "Close other programs, or wait until a training has ended.",
            )
        model = Model.open(resolve(folder))
        locks.give_back_memory()
        return model


def _identity(folder: Path) -> _Identity:
    """Which files lie in an ONNX folder now; empty when there are none."""
    found = []
    try:
        for path in sorted(resolve(folder).iterdir()):
            state = path.stat()
            found.append((path.name, state.st_ino, state.st_size, state.st_mtime_ns))
    except OSError:
        return ()
    return tuple(found)


MODELS = Models()  # those of this process

# --- answering ------------------------------------------------------------------------------------


def answers(
    conversation: Conversation, onnx: list[Path], models: Models = MODELS
) -> Generator[int, None, None]:
    """Answer the newest question with the models in these folders, one for each reply of its turn.

    Fills the replies piece by piece, one after the other in turns, and yields the place of each that has
    grown or ended. A model that fails leaves its reason in its reply; the other goes on. To stop, close it.
    """
    turn = conversation.turns[-1]
    streams: dict[int, Stream] = {}
    try:
        for place, (folder, reply) in enumerate(zip(onnx, turn.replies, strict=True)):
            try:
                model = models.get(folder)
                if model.fingerprint != reply.origin.fingerprint:  # another one than was seen a moment ago
                    reply.origin = replace(reply.origin, fingerprint=model.fingerprint, session=None)
                streams[place] = model.stream(conversation.messages(place), **turn.settings.sampling())
            except SailsError as error:
                reply.problem = error.sentence
            yield place
        going_on = dict(streams)
        while going_on:
            for place, stream in list(going_on.items()):
                if not _continue(stream, turn.replies[place]):
                    del going_on[place]
                yield place
    finally:
        for place, stream in streams.items():
            stream.close()
            _take(stream, turn.replies[place])


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
