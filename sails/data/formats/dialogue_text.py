"""Plain text and Markdown with questions and answers in it: `Q:` and `A:`, `User:` and `Assistant:`,
questions as headings, tables of Markdown, and the signs of chat templates.

Rows are numbered by their first line.
"""

from __future__ import annotations

import re
import textwrap
from bisect import bisect, bisect_left
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
from typing import Any

from sails.data import markup
from sails.data.formats import messengers
from sails.data.formats.source import Record, Refusal, Source, header_row, listed_names, source_of_table
from sails.data.speakers import role_of
from sails.system import listed

_NEW_CHAT = re.compile(
    r"^[^\S\n]*(?:[-=*_~#]{3,}|<\|endoftext\|>)[^\S\n]*$|\n[^\S\n]*\n[^\S\n]*\n", re.MULTILINE
)
_TEMPLATE_BEGINS = re.compile(r"(?=<s>|<bos>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>)|<\|endoftext\|>")
_HEADING = re.compile(r"^(#{1,6})[^\S\n]+(.+?)[^\S\n]*#*[^\S\n]*$", re.MULTILINE)
_BOLD_QUESTION = re.compile(r"^(?:\d+[.)][^\S\n]+)?(\*\*|__)(.+?[?？])\1[^\S\n]*$", re.MULTILINE)
_SECOND_CHOICE = re.compile(
    r"[^\n]*\n\s*(?:[-*+]\s+)?\(?B\)?[:：.)]\s", re.IGNORECASE
)  # behind what follows an “A:”
_RIGHT_CHOICE = re.compile(
    r"\n[^\S\n]*(?:the )?(?:correct|right|richtige?|korrekte?|lösung|solution|correct[ao]|corrett[ao]|bonne)"
    r"(?: (?:answer|choice|option|antwort|respuesta|resposta|risposta|réponse))?[^\S\n]*[:：]\s*(.+)\s*\Z",
    re.IGNORECASE,
)
_TABLE_RULE = re.compile(r"\|?[\s:|-]*-[\s:|-]*\|?")


def read_dialogue(text: str, name: str) -> Source | None:
    """Return the conversations in a text; None where it shows none."""
    return (
        messengers.whatsapp(text)
        or _of_template(text)
        or _of_names(text)
        or _of_headings(text)
        or _of_table(text, name)
        or messengers.transcript(text)
    )


def _of_template(text: str) -> Source | None:
    """A text with the signs of a chat template; each system turn begins a new chat."""
    chats: list[Record] = []
    position, ends = 0, _line_ends(text)
    for piece in _TEMPLATE_BEGINS.split(text):
        position = text.find(piece, position) if piece else position
        first = piece.lstrip()[:1]
        turns = markup.turns_in(piece) if first in ("<", "[") else None
        if turns is None:
            if piece.strip():
                return None
            continue
        row = _line(ends, position)
        begins = [n for n, turn in enumerate(turns) if role_of(turn["role"]) == "system"] or [0]
        for start, end in zip([0, *begins[1:]], [*begins[1:], len(turns)], strict=True):
            chats.append((row + len(chats), {"messages": turns[start:end]}))
    return Source("text", chats) if chats else None


def _of_names(text: str) -> Source | None:
    names = markup.names_in(text) or markup.names_in(text, dotted=True)
    if names is None:
        return None
    found = markup.find_marks(names, text)
    rows: list[Record | Refusal]
    if names.is_chat:
        rows = list(_chats(text, names))
        note = "Names before a colon tell who speaks; a ruler or two empty lines begin a new conversation."
    else:
        rows = list(_questions(text, names, found))
        note = "Each question with its answer was read as a conversation of its own."
    before = " ".join(text[: found[0].start()].split())
    left_out = (f"The text before the first question was left out: “{before[:60]}”.",) if before else ()
    starts = {mark.start() for mark in found}
    ends = _line_ends(text)
    quoted = [_line(ends, m.start()) for m in markup.marks(names).finditer(text) if m.start() not in starts]
    lines = f"line{'' if len(quoted) == 1 else 's'} {listed([str(line) for line in quoted[:10]])}"
    within = (f"Names that are indented or in code were read as what is said, in {lines}.",) if quoted else ()
    return Source("text", rows, notes=(note, *left_out, *within))


def _questions(text: str, names: Any, found: list[re.Match[str]]) -> Iterator[Record | Refusal]:
    turns: list[dict[str, Any]] = []
    row, choices, ends = 0, False, _line_ends(text)
    for number, mark in enumerate(found):
        role = markup.speaker(names, mark)
        if role == "user" and any(turn["role"] == "assistant" for turn in turns):
            yield _question(row, turns, choices)
            turns = []
        if not turns:
            row = _line(ends, mark.start())
            choices = False
        until = found[number + 1].start() if number + 1 < len(found) else len(text)
        turns.append({"role": role, "content": _body(markup.said_between(mark, text, until))})
        if mark.groupdict().get("name", "").casefold() == "a" and _SECOND_CHOICE.match(turns[-1]["content"]):
            choices = True
    yield _question(row, turns, choices)


def _question(row: int, turns: list[dict[str, Any]], has_choices: bool) -> Record | Refusal:
    """A question with its answer; of one with choices, `A:` is the first of them and no answer."""
    if not has_choices:
        return row, {"messages": turns}
    at = next(n for n, turn in enumerate(turns) if turn["role"] == "assistant")
    choices, right = turns[at]["content"].strip(), turns[at + 1 :]
    if right == [] and (said := _RIGHT_CHOICE.search(choices)):
        choices, right = choices[: said.start()].rstrip(), [{"role": "assistant", "content": said[1]}]
    if not right:
        return Refusal(row, "lists choices (A, B, …) and does not say which one is right")
    asked = "\n".join(turn["content"].strip() for turn in turns[:at])
    return row, {"messages": [{"role": "user", "content": f"{asked}\n\nA: {choices}"}, *right]}


def _chats(text: str, names: Any) -> Iterator[Record]:
    """Chats with a ruler or two empty lines between them, each beginning with a question or instructions."""
    start, ends = 0, _line_ends(text)
    pattern, every = markup.marks(names), markup.find_marks(names, text)
    starts = [mark.start() for mark in every]
    breaks = [match.end() for match in _NEW_CHAT.finditer(text)]
    for end in [*breaks, len(text)]:
        follows = pattern.match(text[end:].lstrip())
        if end < len(text) and not (follows and markup.speaker(names, follows) in ("user", "system")):
            continue  # space within an answer
        marks = every[bisect_left(starts, start) : bisect_left(starts, end)]
        turns = []
        for number, mark in enumerate(marks):
            until = marks[number + 1].start() if number + 1 < len(marks) else end
            body = _body(markup.said_between(mark, text, until))
            if body.strip():
                turns.append({"role": markup.speaker(names, mark), "content": body})
        if turns:
            yield _line(ends, marks[0].start()), {"messages": turns}
        start = end


def _body(text: str) -> str:
    """What was said, without a ruler at its end."""
    lines = text.rstrip().split("\n")
    while lines and (not lines[-1].strip() or re.fullmatch(r"\s*[-=*_~]{3,}\s*", lines[-1])):
        lines.pop()
    return "\n".join(lines)


def _of_headings(text: str) -> Source | None:
    """Headings that ask, and what stands below each up to the next heading of its kind."""
    for pattern in (_HEADING, _BOLD_QUESTION):
        fences = [match.start() for match in re.finditer("```", text)]
        # Between the signs that open and close code, a line that begins with # is a comment.
        found = [match for match in pattern.finditer(text) if bisect(fences, match.start()) % 2 == 0]
        asks = [match[2].rstrip("*_ ").endswith(("?", "？", "؟")) for match in found]
        levels = {len(match[1]) for match, ask in zip(found, asks, strict=True) if ask}
        if sum(asks) < 2 or 2 * sum(asks) < sum(len(match[1]) in levels for match in found):
            continue
        rows: list[Record] = []
        ends, answered, left_out = _line_ends(text), 0, list[str]()
        for number, question in enumerate(found):
            level = len(question[1])
            if not asks[number]:
                until = found[number + 1].start() if number + 1 < len(found) else len(text)
                if question.start() >= answered and text[question.end() : until].strip():
                    left_out.append(question[2])
                continue
            after = next((match for match in found[number + 1 :] if len(match[1]) <= level), None)
            answered = after.start() if after else len(text)
            body = text[question.end() : answered].strip("\n")
            if question[0][:1].isdigit():  # the text of an item of a list stands below its number
                body = textwrap.dedent(body)
            fields = {"input": question[2].strip("*_ "), "output": _body(body)}
            rows.append((_line(ends, question.start()), fields))
        note = "Each heading that asks was read as a question, and the text below it as its answer."
        apart = f"What stands below headings that ask nothing was left out: {listed_names(left_out)}."
        return Source("text", rows, notes=(note, apart) if left_out else (note,))
    return None


def _line_ends(text: str) -> list[int]:
    return [match.start() for match in re.finditer("\n", text)]


def _line(ends: list[int], position: int) -> int:
    """The number of the line at a position."""
    return bisect_left(ends, position) + 1


def _of_table(text: str, name: str) -> Source | None:
    """The tables of a Markdown text that have the names of the first one that has known names."""
    lines = text.split("\n")
    tables: list[list[list[str]]] = []
    for number, line in enumerate(lines[1:], 1):
        if "|" in line and _TABLE_RULE.fullmatch(line.strip()) and "|" in lines[number - 1]:
            rows = takewhile(lambda row: "|" in row, lines[number + 1 :])
            tables.append([_cells(lines[number - 1]), *map(_cells, rows)])
    if not tables:
        return None
    names = next((table[0] for table in tables if header_row(table[:1]) is not None), tables[0][0])
    same = [table for table in tables if table[0] == names]
    source = source_of_table("text", [names, *(row for table in same for row in table[1:])], name)
    notes = []
    if len(same) < len(tables):
        notes.append(f"Tables with other names than {listed_names(names)} were not read.")
    if any(line.strip() and "|" not in line and not line.startswith("#") for line in lines):
        notes.append("The text beside the table was not read.")
    return replace(source, notes=(*source.notes, *notes))


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
    return [re.sub(r"<br\s*/?>", "\n", cell.strip()).replace("\\|", "|") for cell in cells]
