"""What people think of the chat's answers, and what becomes of it: given, reviewed, put into a dataset.

    given = give(workspace, question="…", answer="…", kind="corrected", correction="…", origin=reply.origin)
    approve(workspace, given.id)
    report = as_dataset(workspace)        # the approved ones that nothing has been taught from yet

`corrections/feedback.jsonl` holds one event a line (given, edited, approved, rejected, reopened, withdrawn,
put into a dataset), and only ever grows; where a correction stands is what its events add up to. A line that
is damaged, or only half written, loses itself and nothing else. Whatever was given waits until a person
approves it. Not here: what a reviewer should know about a correction (`sails.reviewing`).
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from sails import access, library, locks, sessions
from sails.chatting import Origin
from sails.conversations import Conversation, Reading, Register, Turn, assess, read, write_jsonl
from sails.conversations.conversation import ANSWERS, ONLY_LAST
from sails.conversations.decoding import printable
from sails.errors import BadDataError, ConversationFileError, RequestError
from sails.library import DatasetReport
from sails.sessions import Record, TrainSpec
from sails.workspace import Workspace

Kind = Literal["good", "corrected", "never"]
State = Literal["waiting", "approved", "rejected"]

DATASET = "corrections"
REFUSAL = "I cannot help with that."  # proposed where an answer must never be said
SOMEBODY = "somebody"
LONGEST_TEXT = 20_000  # characters of a question or an answer
LONGEST_NAME = 80  # characters of who gave or reviewed it
CONTEXT_TOKENS = 300  # of earlier turns that are taught along; what is older is left out
USED = ("queued", "running", "succeeded")  # states of a session that has, or will have, taught its dataset


@dataclass(frozen=True)
class Correction:
    """One answer of a model and what a person thinks of it.

    `answer` is what the model said, `correction` what it should have said: empty while nobody has written
    that, and for a good answer. `context` is the conversation before the question, as messages with role and
    content. `title`, `fingerprint`, `session` and `variant` say which model it was.
    """

    id: str
    question: str
    answer: str
    kind: Kind
    correction: str
    who: str
    when: datetime
    title: str = ""
    fingerprint: str | None = None
    session: str | None = None
    variant: str | None = None
    context: tuple[Mapping[str, str], ...] = field(default=(), hash=False)
    state: State = "waiting"
    reviewer: str = ""
    confirmed: bool = False  # a person wrote the answer or looked at it, so it is no mere proposal
    dataset: str | None = None  # that it was put into

    @property
    def taught(self) -> str:
        """The answer that a training would teach; empty while there is none."""
        return self.answer if self.kind == "good" else self.correction

    @cached_property
    def asked(self) -> str:
        """The question with what was said before it, in plain words: the same for what asks the same."""
        return "\n".join(plain_words(t.content) for t in self.row.turns[:-1] if t.role != "system")

    @cached_property
    def row(self) -> Conversation:
        """As it would be taught: with the nearest turns of the conversation before it."""
        before = _nearest([Turn(message["role"], message["content"]) for message in self.context])
        turns = (*before, Turn("user", self.question), Turn("assistant", self.taught))
        extra: dict[str, Any] = {"correction": self.id, "who": self.who, "when": self.when.isoformat()}
        if self.fingerprint:
            extra["version"] = self.fingerprint
        if any(turn.role == "assistant" for turn in before):
            extra[ANSWERS] = ONLY_LAST  # what the model said before may have been wrong
        return Conversation(turns, extra)


def _nearest(turns: Sequence[Turn]) -> list[Turn]:
    """The system turn, and the latest questions and answers that are not too long to be taught along."""
    system = [turn for turn in turns[:1] if turn.role == "system"]
    spoken = turns[len(system) :]
    kept = len(spoken)
    while kept >= 2 and _tokens(spoken[kept - 2 :]) <= CONTEXT_TOKENS:
        kept -= 2
    return [*system, *spoken[kept:]]


def _tokens(turns: Sequence[Turn]) -> int:
    return library.estimated_tokens(Conversation(tuple(turns)))


# --- giving ---------------------------------------------------------------------------------------


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
    access.require_changes()
    if kind not in get_args(Kind):
        raise RequestError(
            f"There is no feedback of the kind {str(kind)[:40]!r}.", "Choose one that there is."
        )
    correction = _text(correction, "The correction")
    event = {
        "event": "given",
        "id": secrets.token_hex(8),
        "input": _text(question, "The question"),
        "output": _text(answer, "The answer"),
        "timestamp": _now(),
        "accepted": kind == "good",
        "kind": kind,
        "correction": "" if kind == "good" else correction or (REFUSAL if kind == "never" else ""),
        "who": _name(who),
        "version": {
            "title": origin.title if origin else "",
            "fingerprint": origin.fingerprint if origin else None,
            "session": origin.session if origin else None,
            "variant": getattr(origin, "variant", None),
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
    _append(workspace, [event])
    given = _given(event)
    assert given is not None
    return given


def withdraw(workspace: Workspace, identity: str) -> None:
    """Take a correction back, as if it had never been given. Raises `RequestError` when it was taught."""
    with _alone(workspace):
        correction = _open(workspace, identity)
        _write(workspace, [{"event": "withdrawn", "id": correction.id, "timestamp": _now()}])


def _text(text: str, what: str) -> str:
    text = printable(text).replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(text) > LONGEST_TEXT:
        raise RequestError(
            f"{what} has {len(text):,} characters.", f"Shorten it to {LONGEST_TEXT:,} at the most."
        )
    return text


def _name(name: str) -> str:
    return " ".join(printable(name).split())[:LONGEST_NAME] or SOMEBODY


def same_words(one: str, other: str) -> bool:
    """Whether two texts differ in case, spaces and punctuation at the most."""
    return plain_words(one) == plain_words(other)


def plain_words(text: str) -> str:
    """A text without case, punctuation and needless spaces; as it is where nothing else is in it."""
    words = "".join(c if c.isalnum() else " " for c in text.casefold()).split()
    return " ".join(words) or text.strip()


# --- reviewing ------------------------------------------------------------------------------------


def edit(
    workspace: Workspace,
    identity: str,
    *,
    question: str | None = None,
    answer: str | None = None,
    who: str = "",
) -> Correction:
    """Other words for the question, or for the answer that is taught; an approved one waits again.

    Raises `RequestError` for an unknown one, one that was taught, an empty question, and texts too long.
    """
    with _alone(workspace):
        known = _open(workspace, identity)
        question = known.question if question is None else _text(question, "The question")
        answer = known.taught if answer is None else _text(answer, "The answer")
        if not question:
            raise RequestError("The question is empty.", "Write a question, or reject the correction.")
        event = {"event": "edited", "id": identity, "input": question, "correction": answer}
        _write(workspace, [event | {"who": _name(who), "timestamp": _now()}])
    return find(workspace, identity)


def approve(workspace: Workspace, *identities: str, who: str = "") -> list[Correction]:
    """Let these be taught. Raises `RequestError`, and approves none, when one of them cannot be.

    That is one that has no answer, or the very answer that must never be said; one whose question belongs to
    an exam; and one with another answer than one that is approved already and not taught yet.
    """
    with _alone(workspace):
        wanted = [_open(workspace, identity) for identity in dict.fromkeys(identities)]
        ready = {one.asked: one for one in to_teach(workspace) if one.id not in identities}
        held = Register.load(workspace.register).held
        for one in wanted:
            if reason := why_not(one, held):
                raise RequestError(reason, "Edit it, or reject it.")
            other = ready.setdefault(one.asked, one)
            if not same_words(other.taught, one.taught):
                raise RequestError(
                    f"“{_short(one.question)}” has another approved answer: “{_short(other.taught)}”.",
                    "Only one can be taught: reject the other, or give both the same answer.",
                )
        _decide(workspace, "approved", wanted, who)
    return [find(workspace, one.id) for one in wanted]


def why_not(correction: Correction, held: Collection[str]) -> str:
    """Why it cannot be taught as it is, whatever others say; empty when it can.

    `held` are the fingerprints of the questions that are kept back (`Register.held`).
    """
    if not correction.taught:
        return "It has no answer yet: write what the model should have said."
    if correction.kind == "never" and same_words(correction.taught, correction.answer):
        return "This is the very answer that the model must never give."
    if correction.row.input_fingerprint in held:
        return "This question is kept back as an exam of an earlier lesson, so it is never taught."
    return ""


def reject(workspace: Workspace, *identities: str, who: str = "") -> None:
    """Never teach these; they stay in the list. Raises `RequestError` for one that was taught."""
    with _alone(workspace):
        wanted = [_open(workspace, identity) for identity in dict.fromkeys(identities)]
        _decide(workspace, "rejected", wanted, who)


def reopen(workspace: Workspace, *identities: str, who: str = "") -> None:
    """Let these wait for a review again. Raises `RequestError` for one that was taught."""
    with _alone(workspace):
        wanted = [_open(workspace, identity) for identity in dict.fromkeys(identities)]
        _decide(workspace, "reopened", wanted, who)


def _decide(workspace: Workspace, what: str, wanted: Iterable[Correction], who: str) -> None:
    _write(workspace, [{"event": what, "id": c.id, "who": _name(who), "timestamp": _now()} for c in wanted])


def _open(workspace: Workspace, identity: str) -> Correction:
    """A correction that nothing has been taught from; raises `RequestError`."""
    correction = find(workspace, identity)
    if correction.dataset in sessions_by_dataset(workspace):
        raise RequestError(
            f"“{_short(correction.question)}” was taught already, or is about to be.",
            "Correct the answer again in the chat, if it is still not right.",
        )
    return correction


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:60]}…"


# --- looking --------------------------------------------------------------------------------------


def corrections(workspace: Workspace) -> list[Correction]:
    """All that were given and not taken back, the oldest first."""
    return list(_known(workspace).values())


def find(workspace: Workspace, identity: str) -> Correction:
    """A correction by its id; raises `RequestError` when there is none."""
    found = _known(workspace).get(identity)
    if found is None:
        raise RequestError(
            f"There is no correction {identity[:40]!r} in {workspace.root}.", "See `sails corrections list`."
        )
    return found


def to_teach(workspace: Workspace) -> list[Correction]:
    """Those that are approved, and in no dataset whose session waits, runs or succeeded; the oldest first."""
    used = sessions_by_dataset(workspace)
    return [one for one in corrections(workspace) if one.state == "approved" and one.dataset not in used]


def sessions_by_dataset(workspace: Workspace) -> dict[str, Record]:
    """For each dataset of corrections that was taught or will be, the first session that did or will.

    A dataset that was combined with others counts as taught with them.
    """
    ours = {one.dataset for one in corrections(workspace) if one.dataset}
    if not ours:
        return {}
    parts = _parts(workspace)
    found: dict[str, Record] = {}
    for record in sessions.history(workspace):
        if isinstance(record.spec, TrainSpec) and record.status.state in USED:
            for name in parts.get(record.spec.dataset, {record.spec.dataset}):
                found.setdefault(name, record)
    return {name: found[name] for name in ours if name in found}


def _parts(workspace: Workspace) -> dict[str, set[str]]:
    """For each name that a dataset has or had, the names of all that is in it, its own ones included."""
    reports = {name: one for one in library.reports(workspace) for name in (one.name, *one.formerly)}

    def inside(name: str, seen: frozenset[str]) -> set[str]:
        report = reports.get(name)
        if report is None or report.name in seen:
            return {name}
        names = {report.name, *report.formerly}
        return names.union(*(inside(part, seen | {report.name}) for part in report.combined))

    return {name: inside(name, frozenset()) for name in reports}


@dataclass(frozen=True)
class Counts:
    """How many wait for a review, are approved and not taught, were rejected, and were taught."""

    waiting: int = 0
    approved: int = 0
    rejected: int = 0
    taught: int = 0


def counts(workspace: Workspace) -> Counts:
    """Where all corrections stand."""
    used = sessions_by_dataset(workspace)
    stands = [standing(one, used) for one in corrections(workspace)]
    return Counts(*(stands.count(name) for name in ("waiting", "approved", "rejected", "taught")))


Standing = Literal["waiting", "approved", "rejected", "taught"]


def standing(correction: Correction, used: Mapping[str, Record]) -> Standing:
    """Where one stands; `used` as `sessions_by_dataset` gives it. Taught: or about to be."""
    return "taught" if correction.dataset in used else correction.state


# --- teaching -------------------------------------------------------------------------------------


def as_dataset(workspace: Workspace) -> DatasetReport:
    """Put those that `to_teach` gives into the library, as `corrections`, `corrections-2` and so on.

    Raises `BadDataError` when there is none. Which of them went into it is noted, so that those of a session
    that failed may be put into another one.
    """
    access.require_changes()
    with _alone(workspace):
        chosen = to_teach(workspace)
        if not chosen:
            raise BadDataError("No approved correction waits to be taught.", "Review some first.")
        rows = tuple(replace(one.row, row=number) for number, one in enumerate(chosen, 1))
        report = _into_library(workspace, rows)
        # So that none is kept back as an exam: whoever approved it wants it to be learned.
        Register.load(workspace.register).record(
            held=(), taught=[row.input_fingerprint for row in rows], session=report.name
        )
        ids = [one.id for one in chosen if one.dataset != report.name]
        if ids:
            event = {"event": "dataset", "ids": ids, "dataset": report.name, "timestamp": _now()}
            _write(workspace, [event])
    return report


def _into_library(workspace: Workspace, rows: tuple[Conversation, ...]) -> DatasetReport:
    distinct = len({row.fingerprint for row in rows})
    reading = Reading(
        rows,
        refused=(),
        duplicates=len(rows) - distinct,
        columns=("input", "output"),
        encoding="utf-8",
        format="jsonl",
        mapping=None,
        notes=(),
    )
    with tempfile.TemporaryDirectory(prefix="sails-") as folder:
        source = Path(folder) / f"{DATASET}.jsonl"
        write_jsonl(source, rows)
        # A person approved each of them, whatever the quality check thinks.
        return library.add(workspace, source, reading, assess(rows), keep_all=True, name=DATASET)


# --- files ----------------------------------------------------------------------------------------


def import_file(workspace: Workspace, path: Path) -> int:
    """Take the judged answers of a file into the list, where they wait; returns how many had not been there.

    The file is what `sails chat` writes: `input`, `output`, `timestamp`, `accepted`, maybe `correction`,
    `kind` and `who`. Rows that nobody judged are passed over. Raises `ConversationFileError` when all are.
    """
    access.require_changes()
    reading = read(path)
    found = [event for row in reading.conversations if (event := _imported(row))]
    if not found:
        raise ConversationFileError(
            f"{path.name} holds no answer that somebody judged.",
            "Each row needs “accepted”: true for a good answer, false for one that is not.",
        )
    with _alone(workspace):
        known = {str(event.get("id")) for event in _events(workspace) if event.get("event") == "given"}
        fresh = {event["id"]: event for event in found if event["id"] not in known}
        _write(workspace, list(fresh.values()))
    return len(fresh)


def _imported(row: Conversation) -> dict[str, Any] | None:
    """A row of a file as an event; None when nobody judged it. The same row always gets the same id."""
    accepted = row.extra.get("accepted")
    if isinstance(accepted, str):
        accepted = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(
            accepted.strip().casefold()
        )
    if accepted not in (True, False):
        return None
    correction = _text(str(row.extra.get("correction") or ""), f"The correction in row {row.row}")
    kind = row.extra.get("kind")
    if accepted:
        kind, correction = "good", ""
    elif kind != "never":
        kind = "corrected"
    version = row.extra.get("version")
    context = [{"role": turn.role, "content": turn.content} for turn in row.turns[:-2]]
    content = {
        "input": _text(row.input, f"The question in row {row.row}"),
        "output": _text(row.output, f"The answer in row {row.row}"),
        "timestamp": str(row.extra.get("timestamp") or ""),
        "accepted": bool(accepted),
        "kind": kind,
        "correction": correction or (REFUSAL if kind == "never" else ""),
        "who": _name(str(row.extra.get("who") or "")),
        "context": context,
    }
    written = json.dumps(content, sort_keys=True).encode("utf-8", "surrogatepass")
    identity = str(row.extra.get("id") or "")
    if not (len(identity) == 16 and identity.isalnum()):
        identity = hashlib.sha256(written).hexdigest()[:16]
    return {
        "event": "given",
        "id": identity,
        **content,
        "version": version if isinstance(version, dict) else {},
        "confirmed": bool(correction),
    }


def as_json(correction: Correction, state: str) -> dict[str, Any]:
    """One correction as a line of a file that `import_file` reads again."""
    return {
        "id": correction.id,
        "input": correction.question,
        "output": correction.answer,
        "timestamp": correction.when.isoformat(),
        "accepted": correction.kind == "good",
        "kind": correction.kind,
        "correction": correction.correction,
        "who": correction.who,
        "state": state,
        "reviewer": correction.reviewer,
        "dataset": correction.dataset,
        "version": {
            "title": correction.title,
            "fingerprint": correction.fingerprint,
            "session": correction.session,
            "variant": correction.variant,
        },
        "context": [dict(message) for message in correction.context],
    }


# --- the log of events ----------------------------------------------------------------------------


def log_file(workspace: Workspace) -> Path:
    """Where the events lie."""
    return workspace.root / "corrections" / "feedback.jsonl"


def _alone(workspace: Workspace) -> Any:
    access.require_changes()
    return locks.short_lock(workspace.root / "corrections.lock")


def _append(workspace: Workspace, events: Sequence[Mapping[str, Any]]) -> None:
    with _alone(workspace):
        _write(workspace, events)


def _write(workspace: Workspace, events: Sequence[Mapping[str, Any]]) -> None:
    """Append events, whole or not at all as far as a reader can tell; the caller holds the lock."""
    if not events:
        return
    path = log_file(workspace)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    with open(path, "a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # of a writer that was killed; the next line must not be lost with it
                lines = "\n" + lines
        file.write(lines.encode("utf-8", "backslashreplace"))
        file.flush()
        os.fsync(file.fileno())


def _events(workspace: Workspace) -> list[dict[str, Any]]:
    try:
        content = log_file(workspace).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [event for line in content.split(b"\n") if line.strip() and (event := _parsed(line))]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _known(workspace: Workspace) -> Mapping[str, Correction]:
    path = log_file(workspace)
    try:
        state = path.stat()
    except OSError:
        return {}
    return _folded(workspace, (state.st_ino, state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=8)  # a log that did not grow is not read again
def _folded(workspace: Workspace, file: tuple[int, int, int]) -> Mapping[str, Correction]:  # noqa: ARG001
    """What the events add up to; one that makes no sense is passed over."""
    found: dict[str, Correction] = {}
    for event in _events(workspace):
        kind = event.get("event")
        if kind == "given":
            given = _given(event)
            if given is not None:
                found.setdefault(given.id, given)
        elif kind == "dataset":
            ids, name = event.get("ids"), event.get("dataset")
            for identity in ids if isinstance(ids, list) and isinstance(name, str) else ():
                if isinstance(identity, str) and identity in found:
                    found[identity] = replace(found[identity], dataset=name)
        elif isinstance(identity := event.get("id"), str) and identity in found:
            changed = _changed(found[identity], event)
            if changed is None:
                del found[identity]
            else:
                found[identity] = changed
    return found


def _given(event: Mapping[str, Any]) -> Correction | None:
    version = event.get("version")
    version = version if isinstance(version, dict) else {}
    texts = [event.get(name, "") for name in ("id", "input", "output", "kind", "correction", "who")]
    if not all(isinstance(text, str) for text in texts) or not texts[0] or texts[3] not in get_args(Kind):
        return None
    identity, question, answer, kind, correction, who = texts
    return Correction(
        id=identity,
        question=question,
        answer=answer,
        kind=kind,
        correction=correction,
        who=who or SOMEBODY,
        when=_moment(event.get("timestamp")),
        title=_word(version, "title") or "",
        fingerprint=_word(version, "fingerprint"),
        session=_word(version, "session"),
        variant=_word(version, "variant"),
        context=_messages(event.get("context")),
        confirmed=bool(event.get("confirmed")),
    )


def _changed(known: Correction, event: Mapping[str, Any]) -> Correction | None:
    """A correction after one more event; None when it was taken back."""
    who = event.get("who")
    who = who if isinstance(who, str) else ""
    match event.get("event"):
        case "withdrawn":
            return None
        case "approved":
            return replace(known, state="approved", reviewer=who, confirmed=True)
        case "rejected":
            return replace(known, state="rejected", reviewer=who)
        case "reopened":
            return replace(known, state="waiting", reviewer=who)
        case "edited":
            question, answer = event.get("input"), event.get("correction")
            if not isinstance(question, str) or not isinstance(answer, str):
                return known
            kind = known.kind
            if kind == "good" and answer != known.answer:
                kind = "corrected"
            return replace(
                known,
                question=question,
                correction="" if kind == "good" else answer,
                kind=kind,
                state="waiting",
                reviewer=who,
                confirmed=True,
                dataset=None,
            )
    return known


def _messages(value: Any) -> tuple[Mapping[str, str], ...]:
    """The turns of a context: an optional system turn, then whole pairs; anything else counts as none."""
    if not isinstance(value, list):
        return ()
    turns = [m for m in value if isinstance(m, dict) and isinstance(m.get("content"), str)]
    roles = [m.get("role") for m in turns]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if len(turns) != len(value) or spoken != ["user", "assistant"] * (len(spoken) // 2):
        return ()
    return tuple({"role": m["role"], "content": m["content"]} for m in turns)


def _word(version: Mapping[str, Any], name: str) -> str | None:
    value = version.get(name)
    return value if isinstance(value, str) else None


def _moment(text: Any) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return datetime(1970, 1, 1, tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
