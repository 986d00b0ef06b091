"""How long conversations are in tokens, the pieces of words that a model reads.

    lengths = measure(conversations, tokenizer_folder(workspace))

Counts what training counts: the model's chat template around the turns. Needs the model's `tokenizer.json`
and neither torch nor transformers; without one it estimates, and says so. Not here: what training does with
a conversation that is too long (`sails.training.dataloader`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from sails import data, models
from sails.data import Conversation
from sails.errors import RequestError
from sails.models import Workspace
from sails.onnx import DEFAULT_CHAT_TEMPLATE, ChatTemplate, special_tokens
from sails.system import read_json

MOST_MEASURED = 10_000  # more conversations are sampled, which takes at most a few seconds
TOGETHER = 500  # conversations tokenized between two reports of progress


@dataclass(frozen=True)
class Lengths:
    """Tokens of each measured conversation."""

    measured: tuple[int, ...]
    conversations: int  # in all, measured or not
    counted: bool  # by a tokenizer; else estimated from the number of characters

    @property
    def sampled(self) -> bool:
        return len(self.measured) < self.conversations

    @cached_property
    def total(self) -> int:
        """Tokens of all conversations; those that were not measured count as much as the others."""
        return round(sum(self.measured) * self.conversations / max(1, len(self.measured)))

    @cached_property
    def longest(self) -> int:
        return max(self.measured, default=0)

    @cached_property
    def typical(self) -> int:
        """The median length: half of the conversations are shorter, half are longer."""
        return round(median(self.measured)) if self.measured else 0

    def longer_than(self, limit: int) -> int:
        """Tell how many conversations have more tokens than `limit`; out of a sample, scaled to all."""
        found = sum(length > limit for length in self.measured)
        return round(found * self.conversations / max(1, len(self.measured)))


def tokenizer_folder(workspace: Workspace) -> Path | None:
    """Whose tokens to count: the trained model's, else the default base model's; None without both."""
    trained = workspace.situation().trained
    candidates = [trained.path if trained.complete else None]
    candidates.append(models.base_model_path(models.find_base_model(models.DEFAULT_BASE_MODEL)))
    return next((folder for folder in candidates if folder and (folder / "tokenizer.json").is_file()), None)


def measure(
    conversations: Sequence[Conversation],
    folder: Path | None,
    progress: Callable[[float], object] = lambda _: None,
) -> Lengths:
    """Count the tokens of up to 10,000 conversations; without a tokenizer, estimate them."""
    chosen = conversations
    if len(chosen) > MOST_MEASURED:  # drawn by lot: every fourth row may always be the short one
        chosen = random.Random(0).sample(chosen, MOST_MEASURED)
    count = _counter(folder)
    lengths: list[int] = []
    for start in range(0, len(chosen), TOGETHER):
        part = chosen[start : start + TOGETHER]
        lengths += count(part) if count else map(data.estimated_tokens, part)
        progress(min(1.0, (start + TOGETHER) / len(chosen)))
    return Lengths(tuple(lengths), len(conversations), counted=count is not None)


def _counter(folder: Path | None) -> Callable[[Sequence[Conversation]], list[int]] | None:
    """A function that counts with the tokenizer in `folder`; None when there is none that can be read."""
    if folder is None:
        return None
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        template = _template(folder)
    except Exception:  # noqa: BLE001 (tokenizers raises bare Exceptions; whatever is wrong, we estimate)
        return None
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def rendered(conversation: Conversation) -> str:
        try:
            return template.render(conversation.messages())
        except RequestError:  # a template that refuses a system turn, say; the length is about the same
            return "\n".join(turn.content for turn in conversation.turns)

    def count(conversations: Sequence[Conversation]) -> list[int]:
        texts = list(map(rendered, conversations))
        return [len(encoded) for encoded in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    return count


def _template(folder: Path) -> ChatTemplate:
    config = read_json(folder / "tokenizer_config.json") or {}
    file = folder / "chat_template.jinja"
    text: Any = file.read_text(encoding="utf-8") if file.is_file() else config.get("chat_template")
    # A conversation that is taught ends with its answer: no prompt for another one.
    values = {**special_tokens(config), "add_generation_prompt": ""}
    return ChatTemplate(text if isinstance(text, str) else DEFAULT_CHAT_TEMPLATE, values)
