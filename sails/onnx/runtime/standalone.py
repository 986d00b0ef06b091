"""Talk with the model that lies in the folder `model` beside this file.

    python -m pip install -r requirements.txt      (once)
    python chat.py                                 (a conversation; `exit` ends it)
    python chat.py --prompt "What can you do?"     (one question)

A part of every model that is handed over (`sails.onnx.bundle`); it starts from there, not from MTN Sails. It
needs Python 3.11 or newer and what requirements.txt names, and no internet connection.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
UNPACK_AGAIN = "Unpack the zip file again; if that does not help, ask for another copy of it."


def main(arguments: list[str] | None = None) -> int:
    """Ask one question or hold a conversation; returns the exit code and never shows a stack trace."""
    for stream in (sys.stdout, sys.stderr, sys.stdin):  # a terminal may not speak UTF-8
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    options = _options(arguments)
    try:
        return _talk(options)
    except KeyboardInterrupt:
        return 1
    except BrokenPipeError:  # whoever read the answer went away
        sys.stderr.close()
        return 1
    except Exception as error:  # noqa: BLE001  the last resort: whoever got the zip must not meet a trace
        sys.stderr.write(f"{_in_words(error)}\n")
        return 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chat.py", description="Talk with the model in this folder.")
    parser.add_argument("--prompt", help="ask one question, print the answer and end")
    parser.add_argument("--system", default="", help="what the model is told before the conversation")
    parser.add_argument("--max-tokens", type=int, default=256, help="longest answer, in word pieces (256)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0: always the likeliest answer (0)")
    parser.add_argument("--top-p", type=float, default=1.0, help="choose among the likeliest words only (1)")
    parser.add_argument("--repetition-penalty", type=float, default=1.0, help="above 1 repeats less (1)")
    parser.add_argument("--seed", type=int, help="makes answers above temperature 0 repeatable")
    options = parser.parse_args(arguments)
    if options.prompt is not None and not options.prompt.strip():
        parser.error("--prompt is empty: write a question")
    return options


def _talk(options: argparse.Namespace) -> int:
    from sails.errors import RequestError
    from sails.onnx.runtime.generate import Generator

    generator = Generator.open(HERE / "model")
    messages = [{"role": "system", "content": options.system}] if options.system else []
    if options.prompt is not None:
        _answer(generator, [*messages, {"role": "user", "content": options.prompt}], options)
        return 0
    sys.stdout.write("Type a question and press Enter; `exit` ends the conversation.\n")
    while question := _question():
        asked = {"role": "user", "content": question}
        try:
            said = _answer(generator, [*messages, asked], options)
        except RequestError as error:  # too long, say: the conversation goes on without it
            sys.stdout.write(f"{error.sentence}\n")
        else:
            messages += [asked, {"role": "assistant", "content": said}]
    return 0


def _question() -> str:
    """The next question; empty when the person is done."""
    question = ""
    while not question:
        try:
            question = input("You: ").strip()
        except (EOFError, KeyboardInterrupt):
            sys.stdout.write("\n")
            return ""
    return "" if question.lower() in ("exit", "quit") else question


def _answer(generator: Any, messages: list[dict[str, str]], options: argparse.Namespace) -> str:
    """The answer, printed as it comes; in a conversation, Ctrl-C ends it where it is."""
    stream = generator.stream(
        messages,
        max_new_tokens=options.max_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        repetition_penalty=options.repetition_penalty,
        seed=options.seed,
    )
    try:
        for piece in stream:
            sys.stdout.write(piece)
            sys.stdout.flush()
    except KeyboardInterrupt:
        if options.prompt is not None:
            raise
    sys.stdout.write("\n")
    return stream.answer.text


def _in_words(error: Exception) -> str:
    """One sentence for what happened and one for what to do."""
    what = type(error).__name__
    if isinstance(error, ImportError) and error.name and not error.name.startswith("sails"):
        return f"{error.name} cannot be loaded ({what}). Run: python -m pip install -r requirements.txt"
    damaged = f"A file of this folder is missing or damaged ({what}). {UNPACK_AGAIN}"
    if isinstance(error, ImportError | SyntaxError):
        return damaged
    try:
        from sails.errors import ModelLoadError, UnknownError, classify
    except Exception:  # noqa: BLE001  that file is damaged too
        return damaged
    known = classify(error)
    if isinstance(known, UnknownError):
        return damaged
    # The remedy of a model that cannot be loaded is for who made it.
    return f"{known} {UNPACK_AGAIN}" if isinstance(known, ModelLoadError) else known.sentence


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036  whoever got the zip may have any Python
        sys.exit("This needs Python 3.11 or newer: https://www.python.org/downloads/")
    sys.exit(main())
