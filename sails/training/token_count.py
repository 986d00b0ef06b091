"""How long conversations are in tokens, the pieces of words that a model reads.

    lengths = measure(conversations, tokenizer_folder(workspace))

Counts what training counts: the model's chat template around the turns. Needs the model's `tokenizer.json`
and neither torch nor transformers; without one it estimates, and says so.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from sails import data, models
from sails.data import Conversation
from sails.models import Workspace
from sails.training.encoding import IGNORED, UNLIMITED, Encoded, encode_rows, encoder_in, within_context

if TYPE_CHECKING:
    from sails.onnx import ChatEncoder

MOST_MEASURED = 10_000  # more conversations are sampled, which takes at most a few seconds
TOGETHER = 500  # conversations tokenized between two reports of progress


@dataclass(frozen=True)
class Lengths:
    """Tokens of each measured conversation."""

    measured: tuple[int, ...]
    conversations: int  # in all, measured or not
    counted: bool  # by a tokenizer; else estimated from the number of characters
    rows: tuple[int, ...] = ()  # the number of each in its source
    starts: tuple[int, ...] = ()  # the tokens before its first answer
    refused: dict[int, str] = field(default_factory=dict, hash=False)  # rows that cannot be taught, and why

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

    def rows_without_answer(self, limit: int) -> list[int]:
        """List the numbers of those of whose answers nothing lies within so many tokens."""
        return [row for row, start in zip(self.rows, self.starts, strict=False) if start >= limit]


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
    starts: list[int] = []
    refused: dict[int, str] = {}
    for start in range(0, len(chosen), TOGETHER):
        part = [conversations[number] for number in chosen[start : start + TOGETHER]]
        if encoder:
            counts, reasons = _count(part, encoder)
            refused |= {part[number].row or number + 1: reason for number, reason in reasons.items()}
            lengths += [length for length, _ in counts]
            starts += [first for _, first in counts]
        else:
            lengths += map(data.estimated_tokens, part)
        progress(min(1.0, (start + TOGETHER) / len(chosen)))
    rows = tuple(conversations[number].row or number + 1 for number in chosen)
    return Lengths(tuple(lengths), len(conversations), encoder is not None, rows, tuple(starts), refused)


def preview(conversations: Sequence[Conversation], folder: Path | None, max_length: int) -> Encoded | None:
    """Return what a training would make of these conversations; None without a tokenizer to tell by.

    Only those that may not fit as they are get encoded, the longest 10,000 of them.
    """
    encoder = encoder_in(folder)
    if encoder is None or folder is None:
        return None
    max_length = within_context(folder, max_length)
    chosen = [n for n, row in enumerate(conversations) if _may_not_fit(row, max_length, encoder)]
    if len(chosen) > MOST_MEASURED:
        chosen.sort(key=lambda n: -data.estimated_tokens(conversations[n]))
        chosen = sorted(chosen[:MOST_MEASURED])
    found = encode_rows([conversations[number] for number in chosen], encoder, max_length)
    return found.renumbered(chosen)


def _may_not_fit(row: Conversation, max_length: int, encoder: ChatEncoder) -> bool:
    """Whether a row may be too long, or of a shape that some chat templates refuse or change."""
    roles = [turn.role for turn in row.turns]
    system = roles[:1] == ["system"]
    spoken = roles[system:]
    usual = spoken == ["user", "assistant"] * (len(spoken) // 2)
    if not usual or row.calls_tools or row.tools or (system and not encoder.takes_system):
        return True
    # A token is a byte at least; a template adds some to each turn, and a system message of its own to all.
    most = 64 + sum(len(turn.content.encode("utf-8", "replace")) + 16 for turn in row.turns)
    thoughts = any("</think>" in turn.content or not turn.content.strip() for turn in row.turns)
    return most > max_length or thoughts


def _count(
    conversations: Sequence[Conversation], encoder: ChatEncoder
) -> tuple[list[tuple[int, int]], dict[int, str]]:
    """The tokens of each, of its longest example where it has several, and those before its first answer.

    And those that cannot be taught at all, with the reason.
    """
    found = encode_rows(conversations, encoder, UNLIMITED)
    counts: dict[int, tuple[int, int]] = {}
    for number, example in zip(found.kept, found.examples, strict=True):
        first = next(place for place, label in enumerate(example.labels) if label != IGNORED)
        length, start = counts.get(number, (0, first))
        counts[number] = max(length, len(example)), start
    # One that the template refuses is about as long as it would be.
    estimated = map(data.estimated_tokens, conversations)
    return [counts.get(number, (about, 0)) for number, about in enumerate(estimated)], found.refused
