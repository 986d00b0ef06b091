"""All saved questions asked of several models: a table of question × answerer, to look at and to take.

    table = PromptTable(origins, settings)
    with closing(ask_all(table, prompts(workspace), folders)) as growing:
        for row in growing:
            ...
    as_csv(table)

Each question is asked by itself, so no answer depends on the questions before it. Whoever stops reading ends
it; what was answered so far stays in the table.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sails.chat import diff
from sails.chat.conversation import (
    ChatHistory,
    ChatTurn,
    GenerationSettings,
    Origin,
    answers,
    describe,
    notes,
)
from sails.chat.model_cache import MODEL_CACHE, ModelCache
from sails.chat.saved_prompts import SavedPrompt

_FORMULA = ("=", "+", "-", "@")  # with one of them, also behind white space, a cell would compute


@dataclass
class PromptRow:
    """One question and what each model answered, as a turn of a conversation of its own."""

    prompt: SavedPrompt
    turn: ChatTurn


@dataclass
class PromptTable:
    """Who is asked, how, and what was answered so far; `wanted`: how many questions there are to be."""

    origins: list[Origin]
    settings: GenerationSettings
    rows: list[PromptRow] = field(default_factory=list)
    wanted: int = 0

    @property
    def names(self) -> list[str]:
        """A heading for each answerer; two sizes of one model are told apart."""
        return answerer_names(self.origins)


def answerer_names(origins: Sequence[Origin]) -> list[str]:
    """Return the titles of answerers, with the size where a title alone would be the same for two."""
    titles = [origin.title for origin in origins]
    named = []
    for origin in origins:
        title = origin.title
        if titles.count(title) > 1 and origin.variant:
            title = describe(Origin(title, variant=origin.variant, certified=True))
        named.append(title)
    return [
        name if named.count(name) == 1 else f"{name}, {named[:index].count(name) + 1}"
        for index, name in enumerate(named)
    ]


def ask_all(
    table: PromptTable, asked: Sequence[SavedPrompt], onnx: Sequence[Path], models: ModelCache = MODEL_CACHE
) -> Generator[PromptRow, None, None]:
    """Ask every question of the models in these folders; yields the row in which something came."""
    table.wanted = len(asked)
    for prompt in asked:
        conversation = ChatHistory()
        turn = conversation.ask(prompt.question, list(table.origins), table.settings)
        row = PromptRow(prompt, turn)
        table.rows.append(row)
        with closing(answers(conversation, onnx, models)) as growing:
            for _ in growing:
                yield row


def answer_text(row: PromptRow, index: int) -> str:
    """Return the answer of the model at `index`, or why there is none."""
    reply = row.turn.replies[index]
    return reply.text or reply.problem


def describe_likeness(row: PromptRow, index: int) -> str:
    """Say how an answer stands to the first one; empty for the first and where one is lacking."""
    first, other = row.turn.replies[0], row.turn.replies[index]
    if index == 0 or first.problem or other.problem or not (first.text and other.text):
        return ""
    return diff.SENTENCES[diff.likeness(first.text, other.text)]


def as_csv(table: PromptTable) -> str:
    """Write one row for each question, for a spreadsheet: no cell of it is taken for a formula."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    headings = ["name", "question"]
    for index, name in enumerate(table.names):
        headings += [name] + ([f"{name}: against {table.names[0]}"] if index else [])
        headings += [f"{name}: notes", f"{name}: model"]
    writer.writerow(map(_harmless, headings))
    for row in table.rows:
        cells = [row.prompt.name, row.prompt.question]
        for index, reply in enumerate(row.turn.replies):
            cells += [answer_text(row, index)] + ([describe_likeness(row, index)] if index else [])
            cells += [" ".join(notes(reply)), describe(reply.origin)]
        writer.writerow(map(_harmless, cells))
    return "\ufeff" + written.getvalue()  # by this mark a spreadsheet knows UTF-8


def _harmless(cell: str) -> str:
    """A text that a spreadsheet takes for a text; what is put before it, it does not show."""
    return f"'{cell}" if cell.lstrip().startswith(_FORMULA) else cell


def as_json(table: PromptTable) -> str:
    """Write the table with how it was asked, for programs."""
    rows: list[dict[str, Any]] = [
        {
            "name": row.prompt.name,
            "question": row.prompt.question,
            "asked": row.turn.asked,
            "replies": [
                {**asdict(reply), "against_first": describe_likeness(row, index)}
                for index, reply in enumerate(row.turn.replies)
            ],
        }
        for row in table.rows
    ]
    content = {"answerers": table.names, "settings": asdict(table.settings), "rows": rows}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
