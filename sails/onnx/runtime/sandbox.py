"""A process of its own in which chat templates are rendered: with a deadline, and little memory.

    render(template, [{"messages": […]}])   # the texts
    check(template)                         # raises `UnreadableTemplateError`

A template is a program that came with a model. jinja2's sandbox keeps it from files and objects; this keeps
it from the processor and the memory of whoever asks. The process is started when it is first needed, serves
one request after another, and ends with the process that started it, at the latest after `SECONDS`. Where a
system cannot limit memory, only time is limited, and the length of the text.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, BinaryIO

SECONDS = 10.0  # for one text, of which a common template needs a thousandth
MEMORY = 1 << 29  # bytes that the process may use in all
LONGEST_TEXT = 20_000_000  # characters
TOGETHER = 1_000_000  # characters, beyond which no more texts are made at a time


class TemplateError(Exception):
    """The template refused, for the reason that it gives."""


class UnreadableTemplateError(TemplateError):
    """It is no template."""


class LimitError(TemplateError):
    """It takes longer, or more memory, than any chat needs."""


# --- who asks -------------------------------------------------------------------------------------

_process: subprocess.Popen[bytes] | None = None
_guard = threading.Lock()


def check(template: str) -> None:
    """Compile a template; raises `UnreadableTemplateError`, or `LimitError`."""
    for reply in _ask(template, []):
        if isinstance(reply, TemplateError):
            raise reply


def render(template: str, several: Sequence[Mapping[str, Any]]) -> list[str | TemplateError]:
    """Return what a template makes of each of several values: a text, or why there is none.

    Behind a `LimitError` it is asked for no more: all others have that error, too.
    """
    found: list[str | TemplateError] = []
    together = len(several)
    while len(found) < len(several):
        some = several[len(found) : len(found) + together]
        try:
            found += _ask(template, some)
        except LimitError as error:
            if len(some) > 1:  # which of them it was, is seen one by one
                together = 1
                continue
            found.append(error)
        except UnreadableTemplateError as error:
            found.append(error)
        if isinstance(found[-1], LimitError):
            found += [found[-1]] * (len(several) - len(found))
    return found


def _ask(template: str, several: Sequence[Mapping[str, Any]]) -> list[str | TemplateError]:
    """The texts of the first ones, at least of one."""
    global _process
    with _guard:
        if _process is None or _process.poll() is not None:
            _end()
            _process = _start()
        try:
            _send(_process.stdin, pickle.dumps((template, [dict(values) for values in several])))
            replies = json.loads(_receive(_process.stdout))
        except BaseException as error:  # also when a person interrupts: an answer may still be on its way
            _end()
            if isinstance(error, OSError | EOFError):  # it ended itself
                raise LimitError from error
            raise
    kinds = {"refused": TemplateError, "limit": LimitError}
    found: list[str | TemplateError] = []
    for reply in replies:
        [(kind, said)] = reply.items()
        if kind == "unreadable":
            raise UnreadableTemplateError(said)
        found.append(said if kind == "text" else kinds[kind](said))
    return found


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        # Ctrl-C is for whoever asks.
        process_group=None if sys.platform == "win32" else 0,
        creationflags=0x0200 | 0x08000000 if sys.platform == "win32" else 0,
    )


@atexit.register
def _end() -> None:
    global _process
    if _process is not None:
        _process.kill()
        with _process:
            pass
        _process = None


def _forget_in_child() -> None:
    """A forked child starts one of its own: two must not talk to the same."""
    global _process, _guard
    _guard = threading.Lock()
    if _process is not None:
        _process.stdin.close()  # type: ignore[union-attr]
        _process.stdout.close()  # type: ignore[union-attr]
        _process.returncode = 0  # it is none of its children
        _process = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


# --- what both say --------------------------------------------------------------------------------


def _send(stream: Any, content: bytes) -> None:
    view = memoryview(len(content).to_bytes(8, "big") + content)
    while view:
        view = view[stream.write(view) :]


def _receive(stream: Any) -> bytes:
    return _read(stream, int.from_bytes(_read(stream, 8), "big"))


def _read(stream: BinaryIO, size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


# --- the process ----------------------------------------------------------------------------------


def serve() -> None:
    """Answer requests from the standard input until it is closed."""
    import faulthandler

    requests, replies = open(0, "rb", 0, closefd=False), open(1, "wb", 0, closefd=False)  # noqa: SIM115
    nowhere = open(os.devnull, "w")  # noqa: SIM115
    _environment()  # what takes a while comes before there is a deadline
    _limit_memory()
    with contextlib.suppress(EOFError):
        while True:
            template, several = pickle.loads(_receive(requests))
            said: list[dict[str, str]] = []
            length = 0
            for values in several or [None]:
                # By a thread that needs no turn of the interpreter; it ends the process.
                faulthandler.dump_traceback_later(SECONDS, exit=True, file=nowhere)
                reply = _reply(template, values)
                if "limit" in reply and said:
                    break  # the others may have had the memory that it needs
                said.append(reply)
                length += len(reply.get("text", ""))
                if "limit" in reply or length > TOGETHER:
                    break
            faulthandler.cancel_dump_traceback_later()
            _send(replies, json.dumps(said).encode())


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has none, macOS not this one
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _reply(template: str, values: dict[str, Any] | None) -> dict[str, str]:
    """What comes of one request; without values, the template is only compiled."""
    import jinja2

    try:
        try:
            compiled = _compile(template)
        except jinja2.TemplateError as error:
            return {"unreadable": str(error)}
        pieces, length = [], 0
        for piece in compiled.generate(**values) if values is not None else ():
            pieces.append(piece)
            length += len(piece)
            if length > LONGEST_TEXT:
                return {"limit": "length"}
        return {"text": "".join(pieces)}
    except MemoryError:
        return {"limit": "memory"}
    except Exception as error:  # noqa: BLE001  it is a program, and may raise anything
        return {"refused": str(error)[:1000]}


@lru_cache(maxsize=8)
def _compile(template: str) -> Any:
    return _environment().from_string(template)


@lru_cache(maxsize=1)
def _environment() -> Any:
    """jinja2's sandbox, and the names, that Hugging Face chat templates are written for."""
    from datetime import datetime

    import jinja2
    import jinja2.ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class GenerationTag(jinja2.ext.Extension):
        """`{% generation %}` marks the answers for training; in a chat, what is inside counts as it is."""

        tags = {"generation"}  # noqa: RUF012  as jinja2 declares it

        def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def strftime_now(style: str) -> str:
        return datetime.now().strftime(style)

    def tojson(value: Any, ensure_ascii: bool = False, **style: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **style)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals |= {"raise_exception": raise_exception, "strftime_now": strftime_now}
    return environment


if __name__ == "__main__":
    serve()
