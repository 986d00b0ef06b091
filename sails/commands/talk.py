"""`sails chat`: talk with models in a terminal or a pipe, side by side too, and judge what they say.

Only answers go to standard output; who answers, notes and problems go to standard error. Loads nothing that
a chat does not need, so that the first word comes soon.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sails import access, chatting, differing, logbook, speakers
from sails.chatting import AT_MOST, Conversation, Reply, Settings
from sails.commands.output import EXIT_FAILED, say, say_json, warn
from sails.errors import RequestError, SailsError, WorkspaceError
from sails.loaded import MODELS
from sails.speakers import CURRENT, Speaker
from sails.variants import TITLES, Variant
from sails.workspace import Workspace

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace", help="Folder that holds everything. Default: $SAILS_WORKSPACE, else ./workspace."
    ),
]
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


def chat(
    model_path: Annotated[Path | None, typer.Option(help="The ONNX model. Default: the workspace's.")] = None,
    workspace: WorkspaceOption = None,
    prompt: Annotated[str | None, typer.Option(help="Ask one question, print the answer and end.")] = None,
    variant: Annotated[
        Variant | None,
        typer.Option(
            help="fp32 (full precision) or int8 (8-bit). Default: 8-bit once it is certified, else full "
            "precision."
        ),
    ] = None,
    version: Annotated[
        str, typer.Option("--version", help="Who answers: current, base, or the id of a version.")
    ] = CURRENT,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            help="Answer side by side; once for each model, up to four: current, base, a version's id, "
            "each maybe with @fp32 or @int8 behind it."
        ),
    ] = None,
    ask_all: Annotated[bool, typer.Option("--ask-all", help="Ask all saved questions and end.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="With --ask-all: write the table to this .csv or .json file.")
    ] = None,
    prompts: Annotated[bool, typer.Option("--prompts", help="List the saved questions and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --prompts: print JSON.")] = False,
    make_ready: Annotated[
        bool, typer.Option("--make-ready", help="Make the ONNX model of a version or base where it lacks.")
    ] = False,
    system: Annotated[
        str | None, typer.Option(help="What the model is told before the conversation.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 256,
    max_length: Annotated[
        int | None,
        typer.Option(help="Longest conversation the model is shown, in tokens. Default: all it can take."),
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 always gives the likeliest answer.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0.01, max=1.0, help="Choose among the likeliest words.")] = 1.0,
    repetition_penalty: Annotated[float, typer.Option(min=0.1, help="Above 1 avoids repeating.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Makes random answers repeatable.")] = None,
    log_conversations: Annotated[
        bool, typer.Option("--log-conversations", help="Append every question and answer to the log file.")
    ] = False,
    log_file: Annotated[
        Path | None,
        typer.Option(
            help=f"JSON Lines file of --log-conversations. Default: {logbook.LOG} in the workspace."
        ),
    ] = None,
    feedback_file: Annotated[
        Path | None, typer.Option(help="JSON Lines file to which /good, /bad and /never are appended too.")
    ] = None,
    device: Annotated[Literal["cpu"], typer.Option(help="Chat runs on the processor.")] = "cpu",  # noqa: ARG001
) -> None:
    """Talk with the ONNX model. Needs neither torch nor a GPU; `exit` ends it, /help lists what it knows."""
    place = Workspace.open(workspace)
    if prompts:
        _list_prompts(place, as_json)
        return
    how = Settings(max_tokens, temperature, top_p, repetition_penalty, seed, system or "")
    chosen = _who(place, model_path, version, variant, compare or [], make_ready)
    log = log_file or place.root / logbook.LOG if log_conversations or log_file else None
    talk = Talk(place, chosen, how, max_length, log, feedback_file)
    talk.begin()
    if ask_all:
        _ask_all(talk, output)
    elif prompt is not None:
        talk.ask(prompt)
        talk.raise_problem()
        if talk.interrupted:
            raise typer.Exit(EXIT_FAILED)
    else:
        talk.go_on()


def answer_once(onnx: Path, prompt: str, max_tokens: int) -> None:
    """Ask the best variant in an ONNX folder one question."""
    say(f"You: {prompt}")
    talk = Talk(Workspace.open(None), [_in_folder(onnx)], Settings(max_new_tokens=max_tokens))
    talk.ask(prompt)
    talk.raise_problem()


# --- who answers ----------------------------------------------------------------------------------


def _who(
    place: Workspace,
    model_path: Path | None,
    version: str,
    variant: Variant | None,
    compare: Sequence[str],
    make_ready: bool,
) -> list[Speaker]:
    if model_path is not None:
        found = _in_folder(model_path.expanduser().resolve())
        return [found.sized(variant) if variant else found]
    keys = [key.strip() for text in compare for key in text.split(",") if key.strip()] or [version]
    if len(keys) > AT_MOST:
        raise RequestError(f"{len(keys)} models cannot answer side by side.", f"Name up to {AT_MOST}.")
    if all(key.partition("@")[0] == CURRENT for key in keys):
        everybody = [speakers.current(place)]  # the others take longer to find
    else:
        everybody = speakers.speakers(place)
    chosen = [speakers.find(everybody, key) for key in keys]
    if variant:
        chosen = [one if one.wanted else one.sized(variant) for one in chosen]
    return [_ready(place, one, make_ready) for one in chosen]


def _in_folder(folder: Path) -> Speaker:
    found = speakers.in_folder(folder)
    if not found.answers:
        raise RequestError(f"There is no ONNX model in {folder}.", "Make one first: sails convert")
    return found


def _ready(place: Workspace, speaker: Speaker, make_ready: bool) -> Speaker:
    """The speaker, made ready where that was asked for; raises `RequestError` when it cannot answer."""
    if speaker.answers:
        return speaker
    size = f" in {TITLES[speaker.wanted]}" if speaker.wanted else ""
    if speaker.wanted in speaker.apart:
        raise RequestError(
            f"{speaker.title}{size} failed its certificate, so it is kept apart.",
            "Leave out --variant, or decide about it on the page ONNX export.",
        )
    if speaker.readiness == "impossible" and not speaker.key.startswith(CURRENT):
        raise RequestError(f"{speaker.title} is not complete, so it cannot answer.", "Choose another one.")
    if make_ready:
        from sails import exporting
        from sails.commands.terminal import follow

        follow(exporting.export_for(place, speaker.sized(None)))
        found = speakers.find(speakers.speakers(place), speaker.key)
        if found.answers:
            return found
    if speaker.key.startswith(CURRENT):
        raise RequestError(
            f"There is no ONNX model{size} in {speaker.onnx}.", "Make one first: sails convert"
        )
    raise RequestError(f"{speaker.title} has no ONNX model{size} yet.", "Make it with --make-ready")


# --- talking --------------------------------------------------------------------------------------


@dataclass
class Talk:
    """A conversation in a terminal or a pipe with one model, or with several side by side."""

    place: Workspace
    chosen: list[Speaker]
    how: Settings
    max_length: int | None = None
    log: Path | None = None
    feedback: Path | None = None
    conversation: Conversation = field(default_factory=Conversation)
    interrupted: bool = False

    @property
    def alone(self) -> bool:
        return len(self.chosen) == 1

    def begin(self) -> None:
        """Load the models and say who answers. Raises `ModelLoadError`, or `RequestError` for a setting."""
        from sails.onnx.sampling import Sampling

        Sampling(**self.how.sampling(), max_length=self.max_length)
        for speaker in self.chosen:
            reader = MODELS.get(speaker.answering).reader
            warn(f"Answering: {chatting.describe(speaker.origin)}")
            if speaker.readiness == "stale":
                warn("⚠️ The ONNX model is older than the trained model; refresh it with: sails convert")
            if speaker.certified is False:
                warn("⚠️ It failed its certificate: it does not answer like the original.")
            if self.how.system and not reader.takes_system:
                warn("⚠️ It is not told the system message: its chat template has no place for one.")

    def ask(self, question: str) -> None:
        """Ask all and print each answer as it comes; Ctrl-C ends the answers where they are."""
        self.interrupted = False
        turn = self.conversation.ask(question, [one.origin for one in self.chosen], self.how)
        folders = [one.answering for one in self.chosen]
        shown = [0] * len(folders)
        begun: set[int] = set()
        growing = chatting.answers(self.conversation, folders, together=False, max_length=self.max_length)
        try:
            with closing(growing):
                for place in growing:
                    reply = turn.replies[place]
                    if len(reply.text) > shown[place] or reply.problem:
                        self._heading(place, reply, begun)
                        _print(reply.text[shown[place] :])
                        shown[place] = len(reply.text)
        except KeyboardInterrupt:
            self.interrupted = True
        for place, reply in enumerate(turn.replies):
            self._end(place, reply, begun)
        if not self.alone:
            self._differences(turn.replies)
        if self.log:
            for reply in turn.replies:
                if reply.text:
                    logbook.append(self.log, question, reply.text)

    def _heading(self, place: int, reply: Reply, begun: set[int]) -> None:
        if place in begun:
            return
        if begun:
            say()
        begun.add(place)
        if not self.alone:
            say(f"--- {place + 1}. {chatting.describe(reply.origin)}")

    def _end(self, place: int, reply: Reply, begun: set[int]) -> None:
        """Close the last line of the last answer, and say what else there is to know."""
        if place == max(begun, default=place):
            say()
        for note in [reply.problem] * (not self.alone and bool(reply.problem)) + chatting.notes(reply):
            warn(f"({note})" if self.alone else f"({place + 1}: {note})")

    def _differences(self, replies: Sequence[Reply]) -> None:
        """How each answer stands to the first one, with the words that differ."""
        first = replies[0].text
        for number, reply in enumerate(replies[1:], 2):
            if not first or not reply.text:
                continue
            likeness = differing.likeness(first, reply.text)
            say(f"--- {number} against 1: {differing.SENTENCES[likeness]}")
            if likeness == "similar":
                say(marked(first, reply.text))

    def raise_problem(self) -> None:
        """Raises `RequestError` when the last question of one model got no answer."""
        reply = self.conversation.turns[-1].replies[0]
        if self.alone and reply.problem:
            raise RequestError(reply.problem)

    # --- a conversation ---

    def go_on(self) -> None:
        """Question after question, from a person or from a pipe, until there is no more."""
        if sys.stdin.isatty():
            warn("Type a question and press Enter; /help lists what else you can do, `exit` ends it.")
        for line in _lines():
            try:
                if command := re.fullmatch(r"/([a-z]+)(?:\s+(.*))?", line, re.DOTALL):
                    self._carry_out(command[1], (command[2] or "").strip())
                else:
                    self.ask(line)
                    if self.alone and self.conversation.turns[-1].replies[0].problem:
                        warn(self.conversation.turns[-1].replies[0].problem)
            except SailsError as error:
                warn(error.sentence)

    def _carry_out(self, name: str, rest: str) -> None:
        commands: dict[str, Callable[[str], None]] = {
            "good": lambda rest: self._judge("good", rest),
            "bad": lambda rest: self._judge("corrected", rest),
            "never": lambda rest: self._judge("never", rest),
            "new": self._new,
            "prompts": lambda _: _list_prompts(self.place, as_json=False),
            "ask": self._ask_saved,
            "save": self._save,
            "help": lambda _: warn(HELP),
        }
        if name not in commands:
            raise RequestError(f"There is no command /{name}.", "/help lists those that there are.")
        commands[name](rest)

    def _new(self, _: str) -> None:
        self.conversation = Conversation()
        warn("A new conversation begins.")

    def _ask_saved(self, rest: str) -> None:
        from sails.prompts import prompts

        listed = prompts(self.place)
        if not rest.isdecimal() or not 1 <= int(rest) <= len(listed):
            raise RequestError(f"There are {len(listed)} saved questions.", "Name one: /ask 1")
        warn(listed[int(rest) - 1].question)
        self.ask(listed[int(rest) - 1].question)

    def _save(self, name: str) -> None:
        from sails.prompts import add

        if not self.conversation.turns:
            raise RequestError("There is no question yet.", "Ask something first.")
        add(self.place, self.conversation.turns[-1].question, name)
        warn("It is saved. /prompts lists all saved questions.")

    def _judge(self, kind: Literal["good", "corrected", "never"], rest: str) -> None:
        """Note what a person thinks of the last answer, for review and, where wanted, in a file."""
        place, rest = self._whose(rest)
        if not self.conversation.turns or not self.conversation.turns[-1].replies[place].text:
            raise RequestError("There is no answer to judge yet.", "Ask something first.")
        from sails import corrections

        turn = self.conversation.turns[-1]
        reply = turn.replies[place]
        text = "" if kind == "good" else rest
        corrections.give(
            self.place,
            question=turn.question,
            answer=reply.text,
            kind=kind,
            correction=text,
            origin=reply.origin,
            context=self.conversation.messages(place)[:-1],
        )
        if self.feedback:
            more = {} if kind == "good" else {"kind": kind, "correction": text}
            logbook.append(self.feedback, turn.question, reply.text, kind == "good", **more)
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


def marked(first: str, other: str) -> str:
    """`other` with its own words between {+ and +}, and those of `first` alone between [- and -]."""
    signs = {"same": ("", ""), "added": ("{+", "+}"), "gone": ("[-", "-]")}
    found = []
    for piece in differing.pieces(first, other):
        words = piece.text.strip() if piece.kind != "same" else piece.text
        before, after = signs[piece.kind]
        blank = " " if piece.kind != "same" and piece.text[:1].isspace() else ""
        found.append(f"{blank}{before}{words}{after}")
    return "".join(found)


def _print(text: str) -> None:
    print(text, end="", flush=True)


def _lines() -> Iterator[str]:
    """What a person types or a pipe brings, without empty lines, until `exit` or the end."""
    interrupts = 0
    asking = sys.stdin.isatty()
    if asking:
        _with_line_editing()
    while True:
        try:
            line = _line() if asking else sys.stdin.readline()
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


def _line() -> str:
    if sys.stdout.isatty():
        return input("You: ")
    print("You: ", end="", file=sys.stderr, flush=True)  # standard output is for answers alone
    return input()


def _with_line_editing() -> None:
    with suppress(ImportError):  # not on Windows, whose terminal does it itself
        import readline  # noqa: F401  arrow keys, from here on


# --- saved questions ------------------------------------------------------------------------------


def _list_prompts(place: Workspace, as_json: bool) -> None:
    from dataclasses import asdict

    from sails.prompts import prompts

    listed = prompts(place)
    if as_json:
        say_json([asdict(prompt) for prompt in listed])
    elif not listed:
        warn("There are no saved questions yet. Add some on the page Chat, or with /save in sails chat.")
    for number, prompt in enumerate(listed if not as_json else (), 1):
        named = f"{prompt.name}: " if prompt.name else ""
        say(f"{number}. {named}{' '.join(prompt.question.split())}")


def _ask_all(talk: Talk, output: Path | None) -> None:
    """Ask all saved questions of all who answer; ended early, what was answered so far is kept."""
    from sails import questioning
    from sails.prompts import prompts

    listed = prompts(talk.place)
    if not listed:
        raise RequestError("There are no saved questions.", "Add some on the page Chat, or with /save.")
    ways: dict[str, Callable[[Any], str]] = {".csv": questioning.as_csv, ".json": questioning.as_json}
    if output and output.suffix.lower() not in ways:
        raise RequestError(f"{output.name} is neither .csv nor .json.", "Choose one of the two endings.")
    table = questioning.Table([one.origin for one in talk.chosen], talk.how)
    folders = [one.answering for one in talk.chosen]
    begun, stopped = 0, False
    try:
        with closing(questioning.ask_all(table, listed, folders)) as growing:
            for row in growing:
                if len(table.rows) > begun:
                    begun = len(table.rows)
                    warn(f"Question {begun} of {len(listed)}: {row.prompt.title}")
    except KeyboardInterrupt:
        stopped = True
    if output:
        _write(output, ways[output.suffix.lower()](table))
        warn(f"✅ {len(table.rows)} of {len(listed)} questions and their answers are in {output}")
    else:
        _print_table(table)
    if stopped:
        raise typer.Exit(EXIT_FAILED)


def _write(path: Path, text: str) -> None:
    access.require_changes()
    try:
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise WorkspaceError(
            f"{path} cannot be written: {error.strerror}.", "Choose another file."
        ) from error


def _print_table(table: Any) -> None:
    from sails import questioning

    for number, row in enumerate(table.rows, 1):
        say(f"=== {number}. {' '.join(row.prompt.question.split())}")
        for place, name in enumerate(table.names):
            likeness = questioning.likeness(row, place)
            say(f"--- {name}" + (f" ({likeness})" if likeness else ""))
            say(questioning.said(row, place))
        say()
