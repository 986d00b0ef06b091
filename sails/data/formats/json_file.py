"""JSON and JSON Lines; also with comments and trailing commas, and objects that follow each other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import PurePath
from typing import Any

from sails.data.formats.json_document import several, source_of_document
from sails.data.formats.source import MAX_ROWS, Record, Refusal, Source, text_lines, too_many_rows
from sails.errors import ConversationFileError

_LONGEST_JSON5 = 300_000  # characters; its parser takes about 3 seconds for as many
_BETWEEN = re.compile(r"[\s,\x1e]*")


class _NameTwice(ValueError):
    """An object gives two different values for one name."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        for name, value in pairs:
            if value != found[name]:
                raise _NameTwice(f"“{name[:40]}” stands twice in one object, with different values")
    return found


# A raw line break inside a text is common, and clear.
_JSON = json.JSONDecoder(strict=False, object_pairs_hook=_object)


def read_json_text(text: str, name: str) -> Source:
    try:
        document = _JSON.decode(text)
    except _NameTwice as error:
        if source := _lines(text, name):
            return source
        raise ConversationFileError(f"In {name}, {error}.", "Keep one of them.") from error
    except (ValueError, RecursionError) as error:
        if (source := _lines(text, name) or _objects(text)) is not None:
            return source
        document = _lenient(text)
        if document is None:
            line = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
            raise ConversationFileError(
                f"{name} is cut short, or has a mistake in its JSON{line}.",
                "Export or copy it again, or save it as JSON Lines, where a broken line costs only itself.",
            ) from error
    is_lines = PurePath(name).suffix.lower() in (".jsonl", ".ndjson") and "\n" not in text.strip()
    return source_of_document("json", document, name, is_row=is_lines)


def is_json(text: str) -> bool:
    """Tell whether a text begins with a whole record, or a list of them."""
    text = text.lstrip()
    try:
        first: Any = _JSON.raw_decode(text)[0] if text[:1] in ("[", "{") else {}
    except (ValueError, RecursionError):
        return False
    return bool(first) and (isinstance(first, dict) or any(isinstance(one, dict | list) for one in first))


def _lines(text: str, name: str) -> Source | None:
    """JSON Lines: at least half of the first lines are each a whole object or list."""
    first = list(islice(_json_lines(text), 20))
    whole = sum(not isinstance(one, Refusal) and isinstance(one[1], dict | list) for one in first)
    if len(first) < 2 or 2 * whole < len(first):
        return None
    size = text.count("\n")
    if size > MAX_ROWS and sum(not line.isspace() for line in text_lines(text)) > MAX_ROWS:
        raise too_many_rows(name)  # at once, not when so many were read
    return Source("jsonl", _json_lines(text), size=size)


def _objects(text: str) -> Source | None:
    """Objects after each other, over several lines each or all in one."""
    documents, position = [], _BETWEEN.match(text).end()  # type: ignore[union-attr]  # it fits anywhere
    while position < len(text):
        try:
            document, position = _JSON.raw_decode(text, position)
        except (ValueError, RecursionError):
            return None
        if not isinstance(document, dict | list):
            return None
        documents.append(document)
        position = _BETWEEN.match(text, position).end()  # type: ignore[union-attr]
    return several("json", documents) if len(documents) > 1 else None


def _lenient(text: str) -> Any:
    """A document with comments, trailing commas or names without quotation marks; None for no document."""
    if len(text) > _LONGEST_JSON5:
        return None
    import json5

    try:
        document = json5.loads(text)
    except (ValueError, RecursionError, ArithmeticError):
        return None
    return document if isinstance(document, dict | list) else None


def _json_lines(text: str) -> Iterator[Record | Refusal]:
    for number, line in enumerate(text_lines(text), 1):
        if line.isspace():
            continue
        try:
            yield number, _JSON.decode(line)
        except json.JSONDecodeError as error:
            try:  # the comma of a list that the lines were cut from
                yield number, _JSON.decode(line.rstrip().removesuffix(","))
            except ValueError:
                yield Refusal(number, f"the line is not whole JSON (see character {error.colno})")
        except _NameTwice as error:
            yield Refusal(number, str(error))
        except (ValueError, RecursionError):
            yield Refusal(number, "the line is not JSON that can be read")
