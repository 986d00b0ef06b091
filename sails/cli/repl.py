"""A conversation in a terminal or a pipe: question after question, answers as they come, and judgements.

Only answers go to standard output; who answers, notes and problems go to standard error. Ctrl-C ends an
answer, not the conversation.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from sails import chat, jobs, system
from sails.chat import MODEL_CACHE, ChatHistory, ChatModel, ChatTurn, GenerationSettings, Reply
from sails.cli.output import say, say_json, warn
from sails.errors import RequestError, SailsError
from sails.models import Workspace, refresh_advice
from sails.system import count

HELP = """  /good               the last answer is right as it is
  /bad CORRECTION     the last answer is wrong, and this is what it should have said
  /never              it must never say this
  /new                begin a new conversation
  /prompts            the saved questions
  /ask NUMBER         ask one of them
  /save NAME          keep the last question among them
  /help               this list
  exit                end (Ctrl-D as well); Ctrl-C stops an answer
With several models, say whose answer you judge: /good 2, /bad 2 CORRECTION, /never 2"""


@dataclass
class ChatRepl:
    """A conversation in a terminal or a pipe with one model, or with several side by side."""

    workspace: Workspace
    chosen: list[ChatModel]
    how: GenerationSettings
    max_length: int | None = None
    log: Path | None = None
    feedback: Path | None = None
    conversation: ChatHistory = field(default_factory=ChatHistory)
    interrupted: bool = False
    kept: str = ""  # the id under which the conversation is kept; empty: it is not
    name: str = ""  # that it is begun under

    @property
    def alone(self) -> bool:
        """Whether one model answers, with none to compare it with."""
        return len(self.chosen) == 1

    def begin(self) -> None:
        """Load the models and say who answers. Raises `ModelLoadError`, or `RequestError` for a setting."""
        from sails.onnx import Sampling

        Sampling(**self.how.sampling(), max_length=self.max_length)
        for model in self.chosen:
            reader = MODEL_CACHE.get(model.answering).reader
            warn(f"Answering: {chat.describe(model.origin)}")
            if model.readiness == "stale":
                warn(refresh_advice(jobs.answering_freshness(self.workspace, model)))
            if model.certified is False:
                warn("⚠️ It failed its certificate: it does not answer like the original.")
            if self.how.system and not reader.takes_system:
                warn("It takes no system message, so that stands in the first question, as in its training.")

    def go_on_with(self, wanted: str) -> None:
        """Go on with a kept conversation, or begin it under that name; each question is kept from now on."""
        system.require_changes()
        if found := chat.find_conversation(self.workspace, wanted):
            self.kept, self.conversation = found.entry.id, found.history
            warn(f"Going on with “{found.entry.title}”: {count(found.entry.questions, 'question')} so far.")
        else:
            self.kept, self.name = chat.new_conversation(), chat.conversation_name(wanted)
            warn("A new conversation begins, and is kept.")

    def _keep(self, turn: ChatTurn) -> None:
        if self.kept:
            first = self.conversation.turns == [turn]
            chat.keep_turn(self.workspace, self.kept, turn, first=first, name=self.name)

    def ask(self, question: str) -> None:
        """Ask all and print each answer as it comes; Ctrl-C ends the answers where they are."""
        self.interrupted = False
        turn = self.conversation.ask(question, [model.origin for model in self.chosen], self.how)
        folders = [model.answering for model in self.chosen]
        shown = [0] * len(folders)
        begun: set[int] = set()
        growing = chat.answers(self.conversation, folders, together=False, max_length=self.max_length)
        try:
            with closing(growing):
                for index in growing:
                    reply = turn.replies[index]
                    if len(reply.text) > shown[index] or reply.problem:
                        self._heading(index, reply, begun)
                        print(reply.text[shown[index] :], end="", flush=True)
                        shown[index] = len(reply.text)
        except KeyboardInterrupt:
            self.interrupted = True
        for index, reply in enumerate(turn.replies):
            self._end(index, reply, begun)
        if not self.alone:
            self._differences(turn.replies)
        self._keep(turn)
        if self.log:
            for reply in turn.replies:
                if reply.text:
                    chat.append(self.log, question, reply.text)

    def _heading(self, index: int, reply: Reply, begun: set[int]) -> None:
        if index in begun:
            return
        if begun:
            say()
        begun.add(index)
        if not self.alone:
            say(f"--- {index + 1}. {chat.describe(reply.origin)}")

    def _end(self, index: int, reply: Reply, begun: set[int]) -> None:
        """Close the last line of the last answer, and say what else there is to know."""
        if index == max(begun, default=index):
            say()
        for note in [reply.problem] * (not self.alone and bool(reply.problem)) + chat.notes(reply):
            warn(f"({note})" if self.alone else f"({index + 1}: {note})")

    def _differences(self, replies: Sequence[Reply]) -> None:
        """How each answer stands to the first one, with the words that differ."""
        first = replies[0].text
        for number, reply in enumerate(replies[1:], 2):
            if not first or not reply.text:
                continue
            likeness = chat.likeness(first, reply.text)
            say(f"--- {number} against 1: {chat.SENTENCES[likeness]}")
            if likeness == "similar":
                say(mark_differences(first, reply.text))

    def raise_problem(self) -> None:
        """Raise `RequestError` when the last question of one model got no answer."""
        reply = self.conversation.turns[-1].replies[0]
        if self.alone and reply.problem:
            raise RequestError(reply.problem)

    # --- a conversation ---

    def go_on(self) -> None:
        """Answer question after question, from a person or from a pipe, until there is no more."""
        if sys.stdin.isatty():
            warn("Type a question and press Enter; /help lists what else you can do, `exit` ends it.")
        for line in _lines():
            try:
                if command := re.fullmatch(r"/([a-z]+)(?:\s+(.*))?", line, re.DOTALL):
                    self._carry_out(command[1], (command[2] or "").strip())
                else:
                    self.ask(line)
                    self.raise_problem()
            except SailsError as error:
                warn(error.sentence)

    def _carry_out(self, name: str, rest: str) -> None:
        match name:
            case "good":
                self._judge("good", rest)
            case "bad":
                self._judge("corrected", rest)
            case "never":
                self._judge("never", rest)
            case "new":
                self.conversation = ChatHistory()
                self.kept, self.name = chat.new_conversation() if self.kept else "", ""
                warn("A new conversation begins.")
            case "prompts":
                list_prompts(self.workspace, as_json=False)
            case "ask":
                listed = chat.prompts(self.workspace)
                if not rest.isdecimal() or not 1 <= int(rest) <= len(listed):
                    raise RequestError(f"There are {len(listed)} saved questions.", "Name one: /ask 1")
                warn(listed[int(rest) - 1].question)
                self.ask(listed[int(rest) - 1].question)
            case "save":
                if not self.conversation.turns:
                    raise RequestError("There is no question yet.", "Ask something first.")
                chat.add(self.workspace, self.conversation.turns[-1].question, rest)
                warn("It is saved. /prompts lists all saved questions.")
            case "help":
                warn(HELP)
            case _:
                raise RequestError(f"There is no command /{name}.", "/help lists those that there are.")

    def _judge(self, kind: Literal["good", "corrected", "never"], rest: str) -> None:
        """Note what a person thinks of the last answer, for review and, where wanted, in a file."""
        index, rest = self._whose(rest)
        if not self.conversation.turns or not self.conversation.turns[-1].replies[index].text:
            raise RequestError("There is no answer to judge yet.", "Ask something first.")
        from sails.chat import feedback

        turn = self.conversation.turns[-1]
        reply = turn.replies[index]
        text = "" if kind == "good" else rest
        given = feedback.give(
            self.workspace,
            question=turn.question,
            answer=reply.text,
            kind=kind,
            correction=text,
            origin=reply.origin,
            context=self.conversation.messages(index)[:-1],
        )
        reply.correction = given.id
        if self.kept:
            chat.keep_turn(self.workspace, self.kept, turn)
        if self.feedback:
            more = {} if kind == "good" else {"kind": kind, "correction": text}
            chat.append(self.feedback, turn.question, reply.text, kind == "good", **more)
        warn("Noted. It is taught once somebody has approved it: on the page Data, or with sails corrections")

    def _whose(self, rest: str) -> tuple[int, str]:
        """The place of the answer that is judged, and what stands behind its number."""
        if self.alone:
            return 0, rest
        number, _, rest = rest.partition(" ")
        if not number.isdecimal() or not 1 <= int(number) <= len(self.chosen):
            raise RequestError(
                "Say whose answer you judge.", f"A number from 1 to {len(self.chosen)}: /good 1"
            )
        return int(number) - 1, rest.strip()


def mark_differences(first: str, other: str) -> str:
    """Return `other` with its own words between {+ and +}, and those of `first` alone between [- and -]."""
    signs = {"same": ("", ""), "added": ("{+", "+}"), "gone": ("[-", "-]")}
    marked = []
    for piece in chat.pieces(first, other):
        words = piece.text.strip() if piece.kind != "same" else piece.text
        before, after = signs[piece.kind]
        blank = " " if piece.kind != "same" and piece.text[:1].isspace() else ""
        marked.append(f"{blank}{before}{words}{after}")
    return "".join(marked)


def _lines() -> Iterator[str]:
    """What a person types or a pipe brings, without empty lines, until `exit` or the end."""
    interrupts = 0
    asking = sys.stdin.isatty()
    if asking:
        with suppress(ImportError):  # not on Windows, whose terminal does it itself
            import readline  # noqa: F401  arrow keys, from here on
    while True:
        try:
            if asking and not sys.stdout.isatty():  # standard output is for answers alone
                print("You: ", end="", file=sys.stderr, flush=True)
            line = input("You: " if sys.stdout.isatty() else "") if asking else sys.stdin.readline()
        except EOFError:
            say()
            return
        except KeyboardInterrupt:
            interrupts += 1
            if interrupts > 1 or not asking:
                say()
                return
            warn("\nType `exit` or press Ctrl-C once more to end.")
            continue
        interrupts = 0
        if not asking and not line:
            return
        if line.strip().lower() in ("exit", "quit"):
            return
        if line.strip():
            yield line.strip()


def list_prompts(workspace: Workspace, as_json: bool) -> None:
    """Print the saved questions, numbered, or as JSON."""
    listed = chat.prompts(workspace)
    if as_json:
        say_json([asdict(prompt) for prompt in listed])
        return
    if not listed:
        warn("There are no saved questions yet. Add some on the page Chat, or with /save in sails chat.")
    for number, prompt in enumerate(listed, 1):
        named = f"{prompt.name}: " if prompt.name else ""
        say(f"{number}. {named}{' '.join(prompt.question.split())}")


def list_conversations(workspace: Workspace, as_json: bool) -> None:
    """Print the conversations that are kept, the one that was asked last first, or as JSON."""
    found = chat.conversations(workspace)
    if as_json:
        say_json([{**asdict(one), "changed": one.changed.isoformat()} for one in found.kept])
    else:
        for one in found.kept:
            say(f"{one.title}  ({count(one.questions, 'question')}, {one.id})")
        if not found.kept:
            warn("No conversation is kept yet. Those on the page Chat are, and any with --conversation NAME.")
    for name in found.damaged:
        warn(f"⚠️ {name} is damaged and is left out.")
