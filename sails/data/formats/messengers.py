"""Chats that people export: WhatsApp, Telegram, Discord and Slack.

    messages ─► whoever is the assistant, named by the person ─► conversations

What one person writes in a row is one turn. A chat of many days becomes one conversation a day, but never
between a question and its answer. What the program says itself, and pictures and recordings, is left out.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

from sails.data.formats.source import Record, Source, text_lines
from sails.data.speakers import speaker_role
from sails.errors import AssistantNeededError, ConversationFileError
from sails.system import count, listed


class Message(NamedTuple):
    row: int  # of its line, or its position
    speaker: str
    text: str
    day: str
    thread: str = ""  # messages of one belong together


_MAX_NAMED = 8  # people in a sentence
_WHATSAPP = re.compile(
    r"[\u200e\u200f]?\[?(?P<day>\d{1,4}(?:[./-]|년) ?\d{1,2}(?:[./-]|월) ?\d{1,4}일?)(?: г\.)?[,.،]?\s"
    r"(?:(?:à|às|kl\.|klo|um|at)\s)?(?:(?:오전|오후|上午|下午|午前|午後)\s?)?\d{1,2}[:.]\d{2}(?:[:.]\d{2})?"
    r"(?:\s?(?:[AaPp]\.?\s?[Mm]\.?|[صم]|Uhr))?(?:\]|\s[-–]|,(?=[^:\n]{1,60} : ))\s(?P<rest>.*)",
    re.DOTALL,
)
_NAMED = re.compile(r"([^:\n\"“”]{1,60}):\s(.*)", re.DOTALL)
_LEFT_OUT = re.compile(
    r"\u200e.*|<[^<>\n]{3,40}>|(?:image|video|audio|sticker|GIF|document|Contact card) omitted"
    r"|.{0,80}\((?:file attached|Datei angehängt|archivo adjunto|fichier joint|arquivo anexado"
    r"|file allegato)\).*|null|Messages and calls are end-to-end encrypted.*"
    r"|(?:This message was deleted|You deleted this message|Diese Nachricht wurde gelöscht"
    r"|Se eliminó este mensaje|Ce message a été supprimé)\.?",
    re.DOTALL,
)
_SAID = re.compile(
    r"\s*(?:[\[(]?\d{1,2}:\d{2}(?::\d{2})?(?:\s?[AaPp][Mm])?[\])]?\s*[-–]?\s*)?"
    r"\*{0,2}(?P<name>[^\W\d_][^:\n{}\[\]\"<>=,;]{0,39}?)\*{0,2}:\*{0,2}\s+(?P<text>\S.*)"
)
_EDITED = re.compile(r"\s*\u200e?<This message was edited>\s*\Z")
_SLACK_LINK = re.compile(r"<(?:(https?://|mailto:)([^|>]*))(?:\|([^>]*))?>")
_SLACK_NAME = re.compile(r"<@([A-Z0-9]+)(?:\|([^>]*))?>")
_SLACK_OTHER = re.compile(r"<[#!]([^|>]*)(?:\|([^>]*))?>")


# --- who speaks -----------------------------------------------------------------------------------


def conversations(source: Source, assistant: str | None, name: str) -> Iterator[Record]:
    """Yield the conversations of a chat in which `assistant` gives the answers.

    Raises AssistantNeededError where nobody said who that is, and for a name that does not speak in it.
    """
    messages = source.messages
    said = Counter(message.speaker for message in messages)
    people = tuple(speaker for speaker, _ in said.most_common())
    wanted = (assistant or "").strip().casefold()
    if wanted not in {person.casefold() for person in people}:
        raise assistant_needed(name, people, assistant)
    by_thread: dict[str, list[Message]] = {}
    for message in messages:
        by_thread.setdefault(message.thread, []).append(message)
    for thread in by_thread.values():
        turns: list[tuple[str, list[Message]]] = []
        for is_answer, group in groupby(thread, lambda message: message.speaker.casefold() == wanted):
            said_in_a_row = list(group)
            role = "assistant" if is_answer else "user"
            if turns and role == "user" and said_in_a_row[0].day != turns[-1][1][-1].day:
                yield _conversation(turns)
                turns = []
            turns.append((role, said_in_a_row))
        yield _conversation(turns)


def known_assistant(source: Source) -> str | None:
    """Return who gives the answers where everybody is called by what they do: “Customer” and “Support”."""
    roles = {message.speaker: speaker_role(message.speaker) for message in source.messages}
    answering = [speaker for speaker, role in roles.items() if role == "assistant"]
    return answering[0] if len(answering) == 1 and set(roles.values()) == {"user", "assistant"} else None


def _conversation(turns: list[tuple[str, list[Message]]]) -> Record:
    spoken = [{"role": role, "content": "\n".join(message.text for message in said)} for role, said in turns]
    return turns[0][1][0].row, {"messages": spoken}


def assistant_needed(name: str, people: Sequence[str], assistant: str | None) -> AssistantNeededError:
    """Return the error that names the people who speak in a file."""
    shown = [f"“{person[:40]}”" for person in people[:_MAX_NAMED]]
    if len(people) > _MAX_NAMED:
        shown.append(f"{len(people) - _MAX_NAMED} more")
    told = f"{listed(shown)} speak in {name}"
    problem = f"{told}, but no “{assistant[:40]}”." if assistant else f"{told}; which one is the assistant?"
    remedy = "Choose the assistant on the page Data, or name it: --assistant NAME."
    return AssistantNeededError(problem, remedy, tuple(people))


def _source(kind: str, title: str, found: Iterable[Message | None]) -> Source:
    """A source of messages; None stands for each that is no text of a person."""
    everything = list(found)
    messages = tuple(message for message in everything if message is not None)
    left_out = len(everything) - len(messages)
    notes = [f"A chat of {title}. Messages of one person that follow each other are one turn."]
    notes.append("Each day is a conversation of its own, except where an answer came later.")
    if left_out:
        notes.append(
            f"Left out: {count(left_out, 'message')} without a person's text (pictures, joins, deleted ones)."
        )
    return Source(kind, (), notes=tuple(notes), messages=messages)


# --- WhatsApp -------------------------------------------------------------------------------------


def whatsapp(text: str) -> Source | None:
    """Return the messages of an exported WhatsApp chat; None for any other text."""
    first = next((line for line in text_lines(text) if line.strip()), "")
    if not _WHATSAPP.match(first.lstrip("\ufeff")):
        return None
    entries: list[tuple[int, str, str]] = []
    for number, line in enumerate(text_lines(text), 1):
        if match := _WHATSAPP.match(line.lstrip("\ufeff")):
            entries.append((number, match["day"], match["rest"]))
        elif entries:
            row, day, before = entries.pop()
            entries.append((row, day, before + line))
    source = _source("whatsapp", "WhatsApp", (_whatsapp_message(*entry) for entry in entries))
    return source if source.messages else None


def _whatsapp_message(row: int, day: str, text: str) -> Message | None:
    named = _NAMED.fullmatch(text.rstrip())
    if not named:
        return None
    said = _EDITED.sub("", named[2])
    if not said.strip() or _LEFT_OUT.fullmatch(said.strip()):
        return None
    return Message(row, named[1].strip("\u200e\u202a\u202c ~\u202f"), said, day)


# --- a transcript with names ----------------------------------------------------------------------


def transcript(text: str) -> Source | None:
    """Return the messages of a text in which each line begins with a name; None for any other text."""
    found: list[tuple[int, str, str]] = []
    lines = 0
    for number, line in enumerate(text_lines(text), 1):
        if not line.strip():
            continue
        lines += 1
        if match := _SAID.match(line):
            found.append((number, match["name"].strip("* "), match["text"]))
        elif found:
            row, name, said = found.pop()
            found.append((row, name, f"{said}\n{line.rstrip()}"))
        else:
            return None
    names = Counter(name for _, name, _ in found)
    few = 2 <= len(names) <= _MAX_NAMED and 2 * len(names) <= len(found)
    if not few or 2 * len(found) < lines:
        return None
    note = "Names before a colon tell who speaks. What one says in a row is one turn."
    messages = tuple(Message(row, name, said, "") for row, name, said in found if said.strip())
    return Source("text", (), notes=(note,), messages=messages)


# --- Telegram, Discord, Slack and Messenger -------------------------------------------------------


def source_of(document: Any) -> Source | None:
    """Return the messages of an exported chat; None for any other document."""
    if isinstance(document, dict):
        chats = document.get("chats")
        if isinstance(chats, dict) and isinstance(chats.get("list"), list):
            chats = [chat for chat in chats["list"] if isinstance(chat, dict)]
            if chats and all(_is_telegram(chat) for chat in chats):
                return _source("telegram", "Telegram", _telegram(chats))
        if _is_telegram(document):
            return _source("telegram", "Telegram", _telegram([document]))
        messages = document.get("messages")
        if isinstance(document.get("channel"), dict) and isinstance(messages, list) and "guild" in document:
            return _source("discord", "Discord", _discord(messages))
        if isinstance(document.get("participants"), list) and isinstance(messages, list):
            return _source("messenger", "Messenger or Instagram", _messenger(messages))
    if isinstance(document, list) and is_slack(document):
        return slack({"": document}, {})
    return None


def _is_telegram(chat: dict[str, Any]) -> bool:
    messages = chat.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else None
    return isinstance(first, dict) and first.get("type") in ("message", "service") and "date" in first


def _telegram(chats: list[dict[str, Any]]) -> Iterator[Message | None]:
    row = 0
    for number, chat in enumerate(chats):
        for message in chat["messages"]:
            row += 1
            if not isinstance(message, dict) or message.get("type") != "message":
                yield None
                continue
            text = message.get("text", "")
            pieces = text if isinstance(text, list) else [text]
            texts = [piece.get("text", "") if isinstance(piece, dict) else piece for piece in pieces]
            said = "".join(piece for piece in texts if isinstance(piece, str))
            speaker = str(message.get("from") or "Deleted account")
            day = str(message.get("date", ""))[:10]
            yield Message(row, speaker, said, day, str(number)) if said.strip() else None


def _discord(messages: list[Any]) -> Iterator[Message | None]:
    for row, message in enumerate(messages, 1):
        message = _dict(message)
        author, said = message.get("author"), message.get("content")
        usual = message.get("type", "Default") in ("Default", "Reply", 0, 19)
        if usual and isinstance(author, dict) and isinstance(said, str) and said.strip():
            speaker = str(author.get("nickname") or author.get("name") or author.get("id") or "?")
            yield Message(row, speaker, said, str(message.get("timestamp", ""))[:10])
        else:
            yield None


def _messenger(messages: list[Any]) -> Iterator[Message | None]:
    """Facebook writes the latest message first, and each byte of UTF-8 as a character of its own."""
    for row, entry in sorted(enumerate(messages, 1), key=lambda pair: _milliseconds(pair[1])):
        message = _dict(entry)
        said, speaker = message.get("content"), message.get("sender_name")
        if isinstance(said, str) and isinstance(speaker, str) and said.strip():
            day = datetime.fromtimestamp(_milliseconds(entry) / 1000, UTC).strftime("%Y-%m-%d")
            yield Message(row, _repaired(speaker), _repaired(said), day)
        else:
            yield None


def _milliseconds(message: Any) -> float:
    moment = _dict(message).get("timestamp_ms")
    return 1000 * _seconds(moment / 1000 if isinstance(moment, int | float) and moment < 4e12 else None)


def _repaired(text: str) -> str:
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def is_slack(document: Any) -> bool:
    """Tell whether a document is one day of a Slack channel."""
    return (
        isinstance(document, list)
        and bool(document)
        and all(isinstance(m, dict) and m.get("type") == "message" and "ts" in m for m in document)
    )


def slack(channels: dict[str, list[Any]], names: dict[str, str]) -> Source:
    """Return the messages of Slack channels; `names` are those of the people, by their ids."""
    return _source("slack", "Slack", _slack(channels, names))


def _slack(channels: dict[str, list[Any]], names: dict[str, str]) -> Iterator[Message | None]:
    row = 0
    for channel, messages in channels.items():
        for message in sorted(messages, key=_slack_time):
            row += 1
            said = message.get("text")
            is_person = message.get("subtype") in (None, "bot_message", "thread_broadcast")
            if not is_person or not isinstance(said, str) or not said.strip():
                yield None
                continue
            profile: dict[str, Any] = _dict(message.get("user_profile"))
            person = str(message.get("user") or message.get("bot_id") or "?")
            shown = names.get(person) or profile.get("display_name") or profile.get("real_name")
            day = datetime.fromtimestamp(_slack_time(message), UTC).strftime("%Y-%m-%d")
            thread = message.get("thread_ts")
            speaker = str(shown or message.get("username") or person)
            yield Message(
                row, speaker, _slack_text(said, names), "" if thread else day, f"{channel}/{thread or ''}"
            )


def _slack_time(message: dict[str, Any]) -> float:
    return _seconds(message.get("ts"))


def _seconds(moment: Any) -> float:
    """A moment that a calendar has; the beginning of time for any other value."""
    try:
        seconds = float(moment)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return seconds if 0 <= seconds < 4e9 else 0.0


def _slack_text(text: str, names: dict[str, str]) -> str:
    text = _SLACK_NAME.sub(lambda match: "@" + (match[2] or names.get(match[1], match[1])), text)
    text = _SLACK_LINK.sub(
        lambda match: match[3] or (match[1] if match[1] != "mailto:" else "") + match[2], text
    )
    return html.unescape(_SLACK_OTHER.sub(lambda match: match[2] or match[1], text))


def slack_names(users: Any) -> dict[str, str]:
    """Return the names of the people in Slack's `users.json`, by their ids."""
    names = {}
    for user in users if isinstance(users, list) else ():
        if isinstance(user, dict) and isinstance(user.get("id"), str):
            profile = _dict(user.get("profile"))
            name = (
                profile.get("display_name")
                or profile.get("real_name")
                or user.get("real_name")
                or user.get("name")
            )
            names[user["id"]] = str(name or user["id"])
    return names


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def check_messages(source: Source, name: str) -> None:
    """Raise ConversationFileError for a chat in which fewer than two people write."""
    if len({message.speaker for message in source.messages}) < 2:
        raise ConversationFileError(
            f"In {name} only one person writes.", "Choose a chat in which somebody asks and somebody answers."
        )
