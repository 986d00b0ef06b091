"""Chat with an exported model: onnxruntime, tokenizers, jinja2 and numpy, no torch.

    generator = Generator.open(Path("workspace/onnx_model"))
    for piece in generator.stream("What is a variable?"):
        ...

One Generator may answer many people at once: it keeps nothing between two calls, each answer carries its
own cache of keys and values. A conversation that is longer than the model can read loses its oldest turns
(never the leading system message, never the last message); a last message that is too long alone is refused.

Not here: batches of several prompts, beam search, graphs exported without past keys and values.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Generator as Pieces
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sails.errors import ModelLoadError, RequestError
from sails.models import ExportRecord
from sails.onnx.runtime.chat_template import DEFAULT_CHAT_TEMPLATE, Messages, as_messages
from sails.onnx.runtime.decoder import Decoder
from sails.onnx.runtime.options import Sampling
from sails.onnx.runtime.sampling import choose, next_scores
from sails.onnx.runtime.thoughts import ThoughtFilter, is_open
from sails.onnx.runtime.tokenizer import EXPORT_AGAIN, Reader, read_record, room_for_prompt

__all__ = ["DEFAULT_CHAT_TEMPLATE", "Answer", "Generator", "Messages", "Stream"]

# A longer prompt goes through the model in parts: the logits of 512 tokens over a vocabulary of 49,152 are
# 100 MB.
PREFILL_TOKENS = 512
HALF_CHARACTER = "\ufffd"
MIN_VOCABULARY_SHARE = 0.5  # of the model's vocabulary that its own tokenizer knows; the rest may be padding


@dataclass(frozen=True)
class Answer:
    """One answer. `token_ids` are those the model chose, an end-of-turn token included; times in seconds.

    `stopped_by` is "end" (the model ended its turn), "stop" (a stop string), "length" (`max_new_tokens`),
    "context" (the model cannot read more) or "interrupted" (the reader of the stream went away).
    """

    text: str
    token_ids: tuple[int, ...]
    prompt_tokens: int
    seconds_to_first_token: float
    seconds: float
    stopped_by: str
    dropped_messages: int = 0


class Generator:
    """An exported model that answers. `open` one; `fingerprint` is that of the model it was exported from."""

    def __init__(self, decoder: Decoder, reader: Reader, *, fingerprint: str | None) -> None:
        self.decoder = decoder
        self.reader = reader
        self.fingerprint = fingerprint
        self.context_length = reader.context_length
        self.eos_token_ids = reader.eos_token_ids

    @classmethod
    def open(cls, folder: Path, *, threads: int | None = None) -> Generator:
        """Load what `sails.onnx.export` wrote into `folder`; raises ModelLoadError or OutOfMemoryError.

        `threads` are those of one answer; None leaves the choice to onnxruntime (all cores).
        """
        export = read_record(folder)
        file = _onnx_file(folder, export)
        with ThreadPoolExecutor(1) as pool:  # both take their time, and neither needs the other
            loading = pool.submit(Decoder, file, threads)
            reader = Reader.open(folder)
            decoder = loading.result()
        _check_vocabulary(reader, decoder)
        return cls(decoder, reader, fingerprint=export.fingerprint)

    def render(self, messages: Messages) -> str:
        """The conversation as the model reads it, up to where its answer begins; a str is one message."""
        return self.reader.render(messages)

    def encode(self, text: str) -> list[int]:
        """Token ids of a rendered prompt: nothing is added, a chat template brings its special tokens."""
        return self.reader.encode(text)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of these tokens, special ones left out."""
        return self.reader.decode(token_ids)

    def logits(self, token_ids: Sequence[int]) -> np.ndarray:
        """Logits [tokens, vocabulary] of the whole text in one pass, for comparing with another model."""
        return self.decoder.step(token_ids, self.decoder.empty_past(), 0)[0].astype(np.float32)

    def stream(self, messages: Messages, **settings: Any) -> Stream:
        """Return the answer piece by piece; `settings` are the fields of `Sampling`.

        Raises RequestError at once when settings or messages cannot be used.
        """
        return Stream(self, as_messages(messages), Sampling(**settings))

    def answer(self, messages: Messages, **settings: Any) -> Answer:
        """Return the whole answer; `settings` as in `stream`."""
        stream = self.stream(messages, **settings)
        for _ in stream:
            pass
        return stream.answer


class Stream(Iterator[str]):
    """The pieces of one answer as they are found: never empty, never half a character.

    `answer` is what has come so far, and the whole answer once the stream has ended.
    """

    def __init__(self, generator: Generator, messages: list[dict[str, str]], sampling: Sampling) -> None:
        self._started = self._ended = time.perf_counter()
        self._generator = generator
        self._sampling = sampling
        self._context = min(generator.context_length, sampling.max_length or generator.context_length)
        prompt = generator.reader.fit(messages, room_for_prompt(self._context, sampling.max_new_tokens))
        self._prompt_ids, self._dropped = prompt.token_ids, prompt.dropped
        if not prompt.token_ids:
            raise RequestError("There is nothing to answer: the message is empty.", "Write a question.")
        if len(prompt.token_ids) >= self._context:
            raise RequestError(
                f"The message has {len(prompt.token_ids):,} tokens, "
                f"and together with its answer {self._context:,} fit.",
                "Shorten it, or ask about one part at a time.",
            )
        # After "Assistant:" the first space of an answer belongs to the layout, not to the answer.
        self._skip_space = not prompt.text[-1:].isspace()
        self._in_thought = is_open(prompt.text)
        self._text = ""
        self._token_ids: list[int] = []
        self._stopped_by = "interrupted"
        self._first: float | None = None
        self._pieces = self._run()

    def __next__(self) -> str:
        return next(self._pieces)

    def close(self) -> None:
        """End the answer here; nothing more is computed."""
        self._pieces.close()

    @property
    def answer(self) -> Answer:
        return Answer(
            text=self._text,
            token_ids=tuple(self._token_ids),
            prompt_tokens=len(self._prompt_ids),
            seconds_to_first_token=self._first or 0.0,
            seconds=self._ended - self._started,
            stopped_by=self._stopped_by,
            dropped_messages=self._dropped,
        )

    def _run(self) -> Pieces[str, None, None]:
        reader = self._generator.reader
        end = reader.end_text
        words, stops = _Words(self._generator.decode), _Stops(self._sampling.stop, end, reader.ends_turn)
        thoughts = ThoughtFilter(self._in_thought)
        for token in self._tokens():
            text, stopped = stops.add(thoughts.add(words.add(token)))
            yield from self._show(text)
            if stopped:
                self._stopped_by = "end" if stopped == end else "stop"
                return
        text = thoughts.add(words.end()) + thoughts.end(by_itself=self._stopped_by == "end")
        text, stopped = stops.add(text)
        held, is_end = stops.end()
        if stopped or is_end:
            self._stopped_by = "end" if is_end or stopped == end else "stop"
        yield from self._show(text if stopped else text + held)

    def _show(self, text: str) -> Iterator[str]:
        if text and self._skip_space:
            self._skip_space = False
            text = text.removeprefix(" ")
        if text:
            self._text += text
            yield text

    def _tokens(self) -> Iterator[int]:
        """The answer's tokens one by one, without the one that ends the turn."""
        decoder, sampling, prompt = self._generator.decoder, self._sampling, self._prompt_ids
        random = np.random.default_rng(sampling.seed)
        limit = min(sampling.max_new_tokens, self._context - len(prompt))
        seen = np.empty(len(prompt) + limit, np.int64)  # for the repetition penalty: all tokens so far
        seen[: len(prompt)] = prompt
        past, position, waiting = decoder.empty_past(), 0, prompt
        while True:
            while waiting:
                part, waiting = waiting[:PREFILL_TOKENS], waiting[PREFILL_TOKENS:]
                logits, past = decoder.step(part, past, position)
                position += len(part)
            token = choose(next_scores(logits[-1], seen[:position], sampling), sampling, random)
            seen[position] = token
            self._token_ids.append(token)
            self._ended = time.perf_counter()
            if self._first is None:
                self._first = self._ended - self._started
            if token in self._generator.eos_token_ids:
                self._stopped_by = "end"
                return
            yield token
            if len(self._token_ids) == limit:
                self._stopped_by = "length" if limit == sampling.max_new_tokens else "context"
                return
            waiting = [token]


class _Words:
    """Turns tokens into text as they come, holding a character back until its last byte is there."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._shown: list[int] = []  # the tokens of the last piece: some decoders look at the neighbour
        self._waiting: list[int] = []

    def add(self, token: int) -> str:
        self._waiting.append(token)
        text = self._new_text()
        if not text or text.endswith(HALF_CHARACTER):
            return ""
        self._shown, self._waiting = self._waiting, []
        return text

    def end(self) -> str:
        """Return what was held back, without the half character at its end."""
        return self._new_text().rstrip(HALF_CHARACTER)

    def _new_text(self) -> str:
        return self._decode(self._shown + self._waiting)[len(self._decode(self._shown)) :]


class _Stops:
    """Finds stop strings that are split over pieces: holds back what could be the beginning of one.

    `end` ends a turn where `ends_turn` says so of what stands behind it; else it is a part of the answer.
    """

    def __init__(self, stops: Sequence[str], end: str, ends_turn: Callable[[str], bool | None]) -> None:
        self._stops, self._end, self._ends_turn = stops, end, ends_turn
        self._held = ""
        self._may_have_ended = False

    def add(self, piece: str) -> tuple[str, str]:
        """Return the text that may be shown now, and the stop string that was found, else an empty text."""
        text = self._held + piece
        found = [(text.index(stop), stop) for stop in self._stops if stop in text]
        place, has_ended = self._find_end(text)
        if has_ended:
            found.append((place, self._end))
        self._may_have_ended = place >= 0 and not found
        if found:
            self._held = ""
            place, stop = min(found)
            return text[:place], stop
        if not self._may_have_ended:
            every = (*self._stops, self._end)
            starts = [stop[:length] for stop in every for length in range(1, len(stop))]
            place = len(text) - max((len(start) for start in starts if text.endswith(start)), default=0)
        self._held = text[place:]
        return text[:place], ""

    def end(self) -> tuple[str, bool]:
        """Return what was held back and may be shown, and whether it ended the turn."""
        return ("", True) if self._may_have_ended else (self._held, False)

    def _find_end(self, text: str) -> tuple[int, bool]:
        """Where a turn ends or may end, and whether it does; -1 where it goes on."""
        place = text.find(self._end) if self._end else -1
        while place >= 0:
            verdict = self._ends_turn(text[place + len(self._end) :])
            if verdict is not False:
                return place, bool(verdict)
            place = text.find(self._end, place + len(self._end))
        return -1, False


def _onnx_file(folder: Path, export: ExportRecord) -> Path:
    """The graph; it and, for a large model, its `.onnx_data` must be as long as they were when exported."""
    files = sorted(folder.glob("*.onnx"))
    file = files[0] if len(files) == 1 else folder / "model.onnx"
    if not file.is_file():
        raise ModelLoadError(f"There is no ONNX model in {folder.name}.", "Export the model first.")
    if file.stat().st_size == 0:
        raise ModelLoadError(f"{file.name} is empty.", EXPORT_AGAIN)
    for name, expected in (export.files or {}).items():
        if expected is None or not name.startswith(file.name):
            continue
        size = (folder / name).stat().st_size if (folder / name).is_file() else 0
        if size != expected:
            raise ModelLoadError(f"{name} is damaged: it has {size:,} of {expected:,} bytes.", EXPORT_AGAIN)
    return file


def _check_vocabulary(reader: Reader, decoder: Decoder) -> None:
    """A token without a row in the graph would end a chat; many rows without a token are wrong as well."""
    size = reader.vocabulary_size
    if size > decoder.vocabulary_size or size < decoder.vocabulary_size * MIN_VOCABULARY_SHARE:
        raise ModelLoadError(
            f"The tokenizer has {size:,} tokens and the ONNX model {decoder.vocabulary_size:,}:"
            " they do not belong together.",
            EXPORT_AGAIN,
        )
