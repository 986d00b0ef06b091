"""How long conversations are in tokens, the pieces of words that a model reads.

    lengths = measure(conversations, tokenizer_folder(workspace))

Counts what training counts: the model's chat template around the turns. Needs the model's `tokenizer.json`
and neither torch nor transformers; without one it estimates, and says so.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from sails import data, models
from sails.data import Conversation
from sails.models import Workspace
from sails.training.encoding import Encoded, encode_rows, encoder_in

if TYPE_CHECKING:
    from sails.onnx import ChatEncoder

MOST_MEASURED = 10_000  # more conversations are sampled, which takes at most a few seconds
UNLIMITED = 10**9  # tokens
TOGETHER = 500  # conversations tokenized between two reports of progress


@dataclass(frozen=True)
class Lengths:
    """Tokens of each measured conversation."""

    measured: tuple[int, ...]
    conversations: int  # in all, measured or not
    counted: bool  # by a tokenizer; else estimated from the number of characters
    rows: tuple[int, ...] = ()  # the number of each in its source

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

    def rows_longer_than(self, limit: int) -> list[int]:
        """List the numbers of the measured conversations that have more tokens than `limit`."""
        return [row for row, length in zip(self.rows, self.measured, strict=False) if length > limit]


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
    chosen = list(range(len(conversations)))
    if len(chosen) > MOST_MEASURED:  # drawn by lot: every fourth row may always be the short one
        chosen = sorted(random.Random(0).sample(chosen, MOST_MEASURED))
    encoder = encoder_in(folder)
    lengths: list[int] = []
    for start in range(0, len(chosen), TOGETHER):
        part = [conversations[number] for number in chosen[start : start + TOGETHER]]
        lengths += _count(part, encoder) if encoder else map(data.estimated_tokens, part)
        progress(min(1.0, (start + TOGETHER) / len(chosen)))
    rows = tuple(conversations[number].row or number + 1 for number in chosen)
    return Lengths(tuple(lengths), len(conversations), counted=encoder is not None, rows=rows)


def preview(conversations: Sequence[Conversation], folder: Path | None, max_length: int) -> Encoded | None:
    """Return what a training would make of these conversations; None without a tokenizer to tell by.

    Of more than 10,000 only the longest can be told in time: all others are taken as fitting.
    """
    encoder = encoder_in(folder)
    if encoder is None:
        return None
    by_length = sorted(range(len(conversations)), key=lambda n: -data.estimated_tokens(conversations[n]))
    chosen = sorted(by_length[:MOST_MEASURED])
    found = encode_rows([conversations[number] for number in chosen], encoder, max_length)
    return found.renumbered(chosen)


def _count(conversations: Sequence[Conversation], encoder: ChatEncoder) -> list[int]:
    """The tokens of each, of its longest example where it has several."""
    found = encode_rows(conversations, encoder, UNLIMITED)
    lengths = dict.fromkeys(range(len(conversations)), 0)
    for number, example in zip(found.kept, found.examples, strict=True):
        lengths[number] = max(lengths[number], len(example))
    # One that the template refuses is about as long as it would be.
    return [length or data.estimated_tokens(conversations[number]) for number, length in lengths.items()]
