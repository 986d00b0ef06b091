"""What a model reads: a conversation as its chat template writes it, cut to what it can keep in mind.

    reader = Reader.open(Path("workspace/onnx_model"))
    prompt = reader.fit(messages, room=reader.context_length - 256)
    prompt.token_ids, prompt.dropped

Reads only the small files of an ONNX folder, in a tenth of a second: the model itself is not needed.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from sails.errors import ModelLoadError
from sails.models import EXPORT_RECORD, ExportRecord
from sails.onnx.runtime.chat_encoder import ChatEncoder, EncodedPrompt, default_chat_template
from sails.onnx.runtime.chat_template import ChatTemplate, Messages, special_tokens

EXPORT_AGAIN = "Export the model again."
UNKNOWN_CONTEXT_LENGTH = 2048  # where nothing says how much a model can read
_LONG_SCALES = ("longrope", "su")
_CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")


@dataclass(frozen=True)
class TokenizedPrompt:
    """What the model is given: its text and tokens, and how many of the oldest messages gave way."""

    text: str
    token_ids: list[int]
    dropped: int


@dataclass(eq=False, repr=False)
class Reader:
    """Tokenizer, chat template and limits of one exported model; `open` one. Keeps nothing between calls."""

    _tokenizer: Tokenizer
    _template: ChatTemplate
    _encoder: ChatEncoder
    context_length: int
    eos_token_ids: frozenset[int]

    @classmethod
    def open(cls, folder: Path) -> Reader:
        """Read what `sails.onnx.export` wrote beside the model in `folder`; raises ModelLoadError."""
        tokenizer = _read_tokenizer(folder, read_record(folder))
        tokenizer_config = read_settings(folder)
        special = special_tokens(tokenizer_config)
        text = read_template(folder, tokenizer_config) or default_chat_template(tokenizer, special)
        template = ChatTemplate(text, special)
        config = read_json(folder / "config.json")
        generation_config = read_json(folder / "generation_config.json")
        ends = _integers(generation_config.get("eos_token_id")) | _integers(config.get("eos_token_id"))
        encoder = ChatEncoder(tokenizer, template, tokenizer.token_to_id(special.get("eos_token", "")))
        return cls(
            tokenizer,
            template,
            encoder,
            context_length=_context_length(config, tokenizer_config),
            eos_token_ids=ends | encoder.end_token_ids,
        )

    def render(self, messages: Messages) -> str:
        """The conversation as the model reads it, up to where its answer begins; a str is one message."""
        return self._template.render(messages)

    def encode(self, text: str) -> list[int]:
        """Token ids of a rendered prompt: nothing is added, a chat template brings its special tokens."""
        return self._encoder.encode(text)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of these tokens, special ones left out."""
        return self._tokenizer.decode(list(token_ids), skip_special_tokens=True)

    @property
    def takes_system(self) -> bool:
        """Whether a system message reaches the model: some chat templates leave it out or refuse it."""
        return self._encoder.takes_system

    @property
    def end_text(self) -> str:
        """What ends a turn in a template that has no token for it; mostly empty."""
        return self._encoder.end_text

    def ends_turn(self, behind: str) -> bool | None:
        """Tell whether `end_text` ends a turn with this behind it; None while it is too early to tell."""
        return self._encoder.ends_turn(behind)

    @cached_property
    def vocabulary_size(self) -> int:
        """One more than the largest token that can come out of a text."""
        words = self._tokenizer.get_vocab_size(with_added_tokens=False) - 1
        return max([words, *self._tokenizer.get_added_tokens_decoder()]) + 1

    def fit(self, messages: Sequence[Mapping[str, str]], room: int) -> TokenizedPrompt:
        """The prompt of at most `room` tokens where that is possible, without the oldest messages if need be.

        A leading system message and the last message always stay, so that what comes out may be longer.
        Raises `RequestError` when the template refuses the conversation.
        """
        system = 1 if messages[0]["role"] == "system" and len(messages) > 1 else 0

        def prompt(start: int) -> EncodedPrompt:
            return self._encoder.prompt([*messages[:system], *messages[start:]])

        def fits(start: int) -> bool:
            return len(prompt(start).token_ids) <= room

        # A conversation may begin at any message of the user; at the latest the last message is all of it.
        last = len(messages) - 1
        starts = [i for i in range(system + 1, last) if messages[i]["role"] == "user"]
        start = system if fits(system) else [*starts, last][bisect_left(starts, True, key=fits)]
        fitting = prompt(start)
        return TokenizedPrompt(fitting.text, fitting.token_ids, start - system)


def room_for_prompt(context: int, max_new_tokens: int) -> int:
    """Of so many tokens of context, those for the conversation: an answer gets at most half of them."""
    return context - min(max_new_tokens, context // 2)


def read_json(file: Path) -> dict[str, Any]:
    """Read what the file holds; empty when there is none."""
    text = _read_text(file)
    try:
        content = {} if text is None else json.loads(text)
        json.dumps(content, ensure_ascii=False).encode()  # half a character (\ud800) is none
    except (ValueError, RecursionError) as error:
        raise ModelLoadError(f"{file.name} is damaged.", EXPORT_AGAIN) from error
    if not isinstance(content, dict):
        raise ModelLoadError(f"{file.name} does not hold what it should.", EXPORT_AGAIN)
    return content


def read_settings(folder: Path) -> dict[str, Any]:
    """Read the settings of the tokenizer in `folder`, special tokens by name among them."""
    return read_json(folder / "special_tokens_map.json") | read_json(folder / "tokenizer_config.json")


def read_record(folder: Path) -> ExportRecord:
    """Read `export.json`, empty when there is none; raises ModelLoadError for one that is damaged."""
    return ExportRecord.parse(read_json(folder / EXPORT_RECORD))


def _read_text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelLoadError(f"{file.name} cannot be read.", EXPORT_AGAIN) from error


def _read_tokenizer(folder: Path, export: ExportRecord) -> Tokenizer:
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise ModelLoadError(f"{file.name} is missing in {folder.name}.", EXPORT_AGAIN)
    recorded, size = (export.files or {}).get(file.name), file.stat().st_size
    if recorded is not None and size != recorded:
        raise ModelLoadError(
            f"{file.name} is damaged, or that of another model: it has {size:,} of {recorded:,} bytes.",
            EXPORT_AGAIN,
        )
    expected = export.sha256.get(file.name)
    if expected is not None and hashlib.sha256(file.read_bytes()).hexdigest() != expected:
        raise ModelLoadError(f"{file.name} is damaged, or that of another model.", EXPORT_AGAIN)
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:
        raise ModelLoadError(f"{file.name} is damaged.", EXPORT_AGAIN) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def read_template(folder: Path, tokenizer_config: Mapping[str, Any]) -> str | None:
    """Read the chat template beside a tokenizer, the default one of several; None when there is none."""
    template = _read_text(folder / "chat_template.jinja") or tokenizer_config.get("chat_template")
    if isinstance(template, list):  # several, each with a name
        named = [entry for entry in template if isinstance(entry, dict)]
        template = next((entry.get("template") for entry in named if entry.get("name") == "default"), None)
    if template is not None and not isinstance(template, str):
        raise ModelLoadError("The model's chat template cannot be read.", EXPORT_AGAIN)
    return template


def _integers(value: Any) -> frozenset[int]:
    values = value if isinstance(value, list) else [value]
    return frozenset(number for number in values if isinstance(number, int))


def short_context(config: Mapping[str, Any]) -> int | None:
    """Return the longest text that an exported model reads as its original does, where that is shorter.

    Models that are scaled for long texts (LongRoPE, of phi3) turn positions otherwise once a text is long; a
    graph knows only how they do it for short ones.
    """
    scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if not isinstance(scaling, dict) or (scaling.get("rope_type") or scaling.get("type")) not in _LONG_SCALES:
        return None
    length = scaling.get("original_max_position_embeddings")
    length = length or config.get("original_max_position_embeddings")
    return length if isinstance(length, int) else None


def _context_length(config: Mapping[str, Any], tokenizer_config: Mapping[str, Any]) -> int:
    lengths = [config.get(name) for name in _CONTEXT_NAMES] + [tokenizer_config.get("model_max_length")]
    # A tokenizer without a limit says so with 10^30.
    known = (length for length in lengths if isinstance(length, int) and length < 10**9)
    return min(next(known, UNKNOWN_CONTEXT_LENGTH), short_context(config) or 10**9)
