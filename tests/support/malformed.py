"""Malformed files made of whole ones, the same each time: cut short, with other bytes, with odd values.

    for name, content in malformed(b'{"id": "a"}', 0): ...

Of a JSON file, or one of JSON lines, every value is also replaced by ones that nobody expects there.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**30,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "\0",
    "../../../etc/passwd",
    "\ud800",
    "9" * 5000,
    "x" * 300_000,
    [],
    {},
    [[]],
    {"": {}},
    [None] * 1000,
)
DOCUMENTS = {
    "empty": b"",
    "blank": b" \n\n ",
    "zeros": b"\0" * 4096,
    "null": b"null",
    "number": b"5",
    "text": b'"text"',
    "list": b"[]",
    "object": b"{}",
    "deep list": b"[" * 200_000,
    "deep object": b'{"a":' * 100_000,
    "deep and whole": b"[" * 50_000 + b"]" * 50_000,
    "long number": b"[" + b"9" * 100_000 + b"]",
    "not UTF-8": b"\xff\xfe\xfa{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "with a mark": b"\xef\xbb\xbf{}",
    "many names": b"{" + b",".join(b'"a%d":1' % n for n in range(30_000)) + b"}",
    "the same name": b'{"a":1,"a":[]}',
    "not a number": b'{"a": NaN, "b": -Infinity}',
    "one long line": b"a" * 1_000_000,
    "random": random.Random(0).randbytes(20_000),
}


def malformed(content: bytes, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield what was done and the file that came of it, some sixty to several hundred times."""
    chance = random.Random(seed)
    yield from DOCUMENTS.items()
    for share in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        yield f"cut at {share}", content[: int(len(content) * share)]
    yield "cut before its last byte", content[:-1]
    yield "twice", content * 2
    for number in range(12):
        changed = bytearray(content)
        for _ in range(number + 1):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        yield f"{number + 1} other bytes", bytes(changed)
    for number in range(6):
        at, length = chance.randrange(len(content)), chance.randrange(1, 200)
        yield f"hole {number}", content[:at] + content[at + length :]
        yield f"zeros {number}", content[:at] + b"\0" * length + content[at + length :]
        yield f"random {number}", content[:at] + chance.randbytes(length) + content[at:]
    yield from _with_odd_values(content)


def _with_odd_values(content: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        documents = [json.loads(line) for line in content.splitlines()]
        joined = "\n"
    except ValueError:
        try:
            documents, joined = [json.loads(content)], ""
        except ValueError:
            return
    for number, document in enumerate(documents[:2]):
        for path in _paths(document):
            for odd, value in enumerate(ODD_VALUES):
                changed = [*documents]
                changed[number] = _replaced(document, path, value)
                lines = joined.join(json.dumps(one) + joined for one in changed)
                yield f"{'.'.join(map(str, path))} is odd value {odd}", lines.encode()
            if path and isinstance(path[-1], str):
                changed = [*documents]
                changed[number] = _replaced(document, path, ...)
                yield f"without {path}", joined.join(json.dumps(one) for one in changed).encode()


def _paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield before
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(inside)[:30]:
        yield from _paths(item, (*before, key))


def _replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The document with another value at `path`; `...` takes the name away."""
    if not path:
        return None if value is ... else value
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return changed
