"""Conversations ─► token batches: chat template, answer-only labels, length grouping.

    examples = encode(conversations, tokenizer, max_length=512)
    batches  = schedule(lengths, [range(80)] * 3, seed=42, token_budget=512)

Only answers are learned: every token of an assistant turn and the end-of-turn token behind it has a
label, everything else has `IGNORED`; an answer that is marked as read only has none either. Batches
hold conversations of similar length, padded on the right to the longest of the batch. Their order is a
pure function of (seed, epoch), so a resumed session sees the batches that an uninterrupted one would have
seen. Does not cover packing several conversations into one row: grouping keeps every conversation's
meaning exact and costs little.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any, TypeVar

import torch

from sails.data import Conversation
from sails.errors import BadDataError, ModelLoadError
from sails.onnx import DEFAULT_CHAT_TEMPLATE

IGNORED = -100  # the label that torch's cross entropy leaves out
GROUPED_BATCHES = 50  # how many batches are sorted by length together

Some = TypeVar("Some")

# --- the tokenizer --------------------------------------------------------------------------------


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer in a model folder, with a chat template and a padding token in any case.

    A tokenizer without a template gets `DEFAULT_CHAT_TEMPLATE`, which is saved with the model. Raises
    `ModelLoadError`.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # tokenizers raises bare Exceptions for a damaged file
        first = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise ModelLoadError(
            f"The tokenizer in {folder} cannot be loaded: {first}.",
            "Copy the tokenizer files of the base model into the folder, or start over from base.",
        ) from error
    if not tokenizer.is_fast:
        problem = f"The tokenizer in {folder} has no tokenizer.json."
        raise ModelLoadError(problem, "Choose a base model with a fast tokenizer.")
    if tokenizer.eos_token_id is None:
        problem = f"The tokenizer in {folder} has no end-of-text token."
        raise ModelLoadError(problem, "Choose another base model.")
    if not tokenizer.chat_template:
        tokenizer.chat_template = DEFAULT_CHAT_TEMPLATE
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer


# --- conversations to tokens ----------------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    """One conversation as tokens; `labels` is as long as `tokens`, `IGNORED` where nothing is learned."""

    tokens: list[int]
    labels: list[int]

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Encoded:
    examples: tuple[Example, ...]
    kept: tuple[int, ...]  # for each example, the number of its conversation
    shortened: int  # conversations that were cut to `max_length` tokens
    left_out: int  # conversations whose answer lies wholly beyond `max_length`

    @property
    def lengths(self) -> list[int]:
        return [len(example) for example in self.examples]


def encode(conversations: Sequence[Conversation], tokenizer: Any, max_length: int) -> Encoded:
    """Tokenize conversations of at most `max_length` tokens; longer ones are cut at their end.

    Raises `BadDataError` when nothing is left to learn from.
    """
    examples, kept, shortened, left_out = [], [], 0, 0
    for number, conversation in enumerate(conversations):
        example = _encode_one(conversation.messages(), tokenizer, conversation.learned)
        if len(example) > max_length:
            shortened += 1
            example = Example(example.tokens[:max_length], example.labels[:max_length])
        # The first token is never predicted, so its label teaches nothing.
        if any(label != IGNORED for label in example.labels[1:]):
            examples.append(example)
            kept.append(number)
        else:
            left_out += 1
    if conversations and not examples:
        raise BadDataError(
            f"None of the {len(conversations)} conversations has an answer within {max_length} tokens.",
            "Shorten the questions, or allow longer conversations.",
        )
    return Encoded(tuple(examples), tuple(kept), shortened, left_out)


def _encode_one(messages: list[dict[str, str]], tokenizer: Any, learned: Sequence[bool]) -> Example:
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    spans = list(compress(_answer_spans(messages, text, tokenizer), learned))
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    tokens, offsets = encoding["input_ids"], encoding["offset_mapping"]
    labels = [IGNORED] * len(tokens)
    for start, end in spans:
        inside = [i for i, (a, b) in enumerate(offsets) if b > start and a < end and b > a]
        last = max((i for i in inside if tokens[i] in tokenizer.all_special_ids), default=None)
        for i in inside:
            if last is None or i <= last:  # a template's line break after the end of turn is not learned
                labels[i] = tokens[i]
    if not tokens or tokens[-1] == labels[-1] != tokenizer.eos_token_id:
        # The template marks no end of turn, so a model taught by it would never stop.
        tokens, labels = [*tokens, tokenizer.eos_token_id], [*labels, tokenizer.eos_token_id]
    return Example(tokens, labels)


def _answer_spans(messages: list[dict[str, str]], text: str, tokenizer: Any) -> list[tuple[int, int]]:
    """Where in the rendered `text` the assistant's turns lie, as (start, end) in characters.

    Rendering the conversation up to an answer, with the prompt for that answer, gives its start. Some
    templates render earlier turns differently (a trimmed thought, say); then the words are looked up.
    """
    spans, searched = [], 0
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = tokenizer.apply_chat_template(messages[:number], tokenize=False, add_generation_prompt=True)
        after = tokenizer.apply_chat_template(messages[: number + 1], tokenize=False)
        if after.startswith(before) and text.startswith(after):
            start, end = len(before), len(after)
        else:
            start = text.find(message["content"].strip(), searched)
            if start < 0:
                problem = "The chat template of this model drops an answer."
                raise BadDataError(problem, "Choose another base model.")
            end = start + len(message["content"].strip())
        spans.append((start, end))
        searched = end
    return spans


def spread(rows: Sequence[Some], count: int) -> list[Some]:
    """At most `count` of the rows, from all over them."""
    step = max(1.0, len(rows) / max(1, count))
    return [rows[int(n * step)] for n in range(min(count, len(rows)))]


# --- batches --------------------------------------------------------------------------------------


def schedule(
    lengths: Sequence[int],
    rounds: Sequence[Sequence[int]],
    *,
    seed: int,
    token_budget: int | None = None,
    batch_size: int | None = None,
) -> list[list[list[int]]]:
    """Return the batches of every epoch, as lists of example numbers: `schedule(...)[epoch][step]`.

    `rounds` names the examples of each epoch.
    """
    if (token_budget is None) == (batch_size is None):
        raise ValueError("give either a token budget or a batch size")
    return [
        epoch_batches(lengths, rows, seed=seed, epoch=epoch, token_budget=token_budget, batch_size=batch_size)
        for epoch, rows in enumerate(rounds)
    ]


def epoch_batches(
    lengths: Sequence[int],
    numbers: Sequence[int],
    *,
    seed: int,
    epoch: int,
    token_budget: int | None = None,
    batch_size: int | None = None,
) -> list[list[int]]:
    """Each of the examples `numbers` once, in batches of similar length; a pure function of its arguments.

    With `batch_size`, that many rows a batch; with `token_budget`, as many rows as fit into that many
    tokens when padded to the longest (one row at least).
    """
    chance = random.Random(f"{seed}/{epoch}")
    order = list(numbers)
    chance.shuffle(order)
    total = sum(lengths[number] for number in order)
    rows = batch_size or max(1, (token_budget or 0) * len(order) // max(1, total))
    window = rows * GROUPED_BATCHES
    batches: list[list[int]] = []
    for begin in range(0, len(order), window):
        group = sorted(order[begin : begin + window], key=lambda i: lengths[i])
        batches += _cut(group, lengths, token_budget, batch_size)
    chance.shuffle(batches)
    return batches


def _cut(
    group: list[int], lengths: Sequence[int], token_budget: int | None, batch_size: int | None
) -> list[list[int]]:
    """Cut examples sorted by length into batches."""
    batches: list[list[int]] = []
    for i in group:
        rows = len(batches[-1]) if batches else 0
        full = rows >= batch_size if batch_size else (rows + 1) * lengths[i] > (token_budget or 0)
        if full or not batches:
            batches.append([])
        batches[-1].append(i)
    return batches


def collate(examples: Sequence[Example], padding: int) -> dict[str, torch.Tensor]:
    """`input_ids`, `attention_mask` and `labels`, each int64 of shape (rows, longest).

    Padding is masked by position, never by token id: in many models the padding token is the end of turn.
    """
    longest = max(len(example) for example in examples)
    input_ids = torch.full((len(examples), longest), padding)
    labels = torch.full((len(examples), longest), IGNORED)
    attention_mask = torch.zeros((len(examples), longest), dtype=torch.int64)
    for row, example in enumerate(examples):
        input_ids[row, : len(example)] = torch.tensor(example.tokens)
        labels[row, : len(example)] = torch.tensor(example.labels)
        attention_mask[row, : len(example)] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}
