"""JSON and JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from sails.data.formats.source import Record, Refusal, Source, text_lines
from sails.data.formats.text_encoding import printable
from sails.errors import ConversationFileError

_LISTS = ("data", "conversations", "examples", "rows", "items", "records", "dataset", "pairs", "train")
_JSON = json.JSONDecoder(strict=False)  # a raw line break inside a text is common, and clear


def read_json_text(text: str, name: str) -> Source:
    try:
        document = _JSON.decode(text)
    except (ValueError, RecursionError) as error:
        # At least half of the first lines are each a whole JSON object or list.
        first = list(islice(_json_lines(text), 20))
        whole = sum(not isinstance(one, Refusal) and isinstance(one[1], dict | list) for one in first)
        if len(first) > 1 and 2 * whole >= len(first):
            return Source("jsonl", _json_lines(text))
        line = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ConversationFileError(
            f"{name} is cut short, or has a mistake in its JSON{line}.",
            "Export or copy it again, or save it as JSON Lines, where a broken line costs only itself.",
        ) from error
    if isinstance(document, dict):
        key, rows = _list_inside(document)
        notes = (f"The conversations were taken from the list “{printable(key)}”.",) if key else ()
        return Source("json", enumerate(rows, 1), notes=notes)
    if isinstance(document, list):
        one_chat = document and all(map(_is_turn, document))
        return Source("json", enumerate([document] if one_chat else document, 1))
    raise ConversationFileError(
        f"{name} holds a single value, not a list of conversations.",
        'Write it as a list of {"input": "…", "output": "…"}.',
    )


def _list_inside(document: dict[str, Any]) -> tuple[str, list[Any]]:
    """The list of rows in an object, after the key where it stands; or the object as the only row."""
    lists = {
        key: value
        for key, value in document.items()
        if isinstance(value, list) and value and isinstance(value[0], dict | list) and not _is_turn(value[0])
    }
    usual = [key for key in lists if key.lower() in _LISTS]
    if usual or len(lists) == 1:
        key = next(iter(usual or lists))
        return key, lists[key]
    return "", [document]


def _is_turn(item: Any) -> bool:
    return isinstance(item, dict) and ("role" in item or "from" in item)


def _json_lines(text: str) -> Iterator[Record | Refusal]:
    for number, line in enumerate(text_lines(text), 1):
        if line.isspace():
            continue
        try:
            yield number, _JSON.decode(line)
        except json.JSONDecodeError as error:
            yield Refusal(number, f"the line is not whole JSON (see character {error.colno})")
        except (ValueError, RecursionError):
            yield Refusal(number, "the line is not JSON that can be read")
