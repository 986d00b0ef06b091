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
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

import torch

from sails.data import Conversation
from sails.errors import ModelLoadError, RequestError
from sails.onnx import ChatEncoder, ChatTemplate, default_chat_template, with_whole_prompt
from sails.training.encoding import IGNORED as IGNORED
from sails.training.encoding import Encoded as Encoded
from sails.training.encoding import Example as Example
from sails.training.encoding import encode_rows, nothing_left
from sails.training.token_cache import TokenCache

GROUPED_BATCHES = 50  # at most so many batches are sorted by length together, and at most half of all
# Fewer batches are not sorted: the same rows would be together in each round. Fewer than many are all sorted
# together, by lengths that chance moves by up to that share: parts of them would not fill their last batches.
FEW_BATCHES, MANY_BATCHES, CHANCE = 4, 8, 0.15

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
        if not (folder / "tokenizer.json").exists() and any(folder.glob("*.model")):
            raise ModelLoadError(
                f"The tokenizer in {folder} is a SentencePiece file, which must be converted once.",
                "Where transformers and sentencepiece are installed, run "
                "AutoTokenizer.from_pretrained(folder).save_pretrained(folder); that writes tokenizer.json.",
            ) from error
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
    tokenizer.chat_template = _chat_template(tokenizer, folder)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer


def _chat_template(tokenizer: Any, folder: Path) -> str:
    """The template to teach by, whose prompt reaches up to the answer. Raises `ModelLoadError`."""
    template = tokenizer.chat_template
    if isinstance(template, dict):  # several, each with a name
        if "default" not in template:
            names = ", ".join(template)
            problem = (
                f"The tokenizer in {folder} has several chat templates ({names}), and none is the default."
            )
            raise ModelLoadError(problem, "Rename the one to use to “default”, or choose another base model.")
        template = template["default"]
    special = tokenizer.special_tokens_map
    if not template:
        return default_chat_template(tokenizer.backend_tokenizer, special)
    try:
        return with_whole_prompt(template, special)
    except (RequestError, ModelLoadError) as error:
        reason = str(error).rstrip(".")
        problem = f"The chat template in {folder} cannot be used: {reason}."
        raise ModelLoadError(problem, "Choose another base model, or mend its chat_template.") from error


# --- conversations to tokens ----------------------------------------------------------------------


def encoder_of(tokenizer: Any) -> ChatEncoder:
    """Return what encodes conversations with this tokenizer and its template, as every chat will."""
    template = ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens_map)
    return ChatEncoder(tokenizer.backend_tokenizer, template, tokenizer.eos_token_id)


def encode(
    conversations: Sequence[Conversation],
    tokenizer: Any,
    max_length: int,
    tokens: Path | None = None,
    progress: Callable[[float], object] = lambda _: None,
) -> Encoded:
    """Tokenize conversations of at most `max_length` tokens; longer ones are cut at their end.

    `tokens` is a folder in which they are kept for the next time. Raises `BadDataError` when
    nothing is left to learn from.
    """
    encoder = encoder_of(tokenizer)
    with TokenCache(tokens, encoder) if tokens else nullcontext() as cache:
        encoded = encode_rows(conversations, encoder, max_length, cache, progress)
    if conversations and not encoded.examples:
        raise nothing_left(conversations, encoded)
    return encoded


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

    With `batch_size`, at most that many rows a batch; with `token_budget`, as many rows as fit into that many
    tokens when padded to the longest (one row at least). What does not come out even is spread over the
    batches. Lengths are sorted among some rows drawn by lot, so that each round brings other rows together.
    """
    chance = random.Random(f"{seed}/{epoch}")
    order = list(numbers)
    chance.shuffle(order)
    if not order:
        return []
    total = sum(lengths[number] for number in order)
    count = -(-len(order) // batch_size) if batch_size else max(1, -(-total // (token_budget or 1)))
    windows = max(2, -(-count // GROUPED_BATCHES)) if count >= MANY_BATCHES or batch_size else 1
    windows = windows if count >= FEW_BATCHES else 1
    sizes = _shares(len(order), count) if batch_size else []
    in_window = [sizes[part] for part in _cuts(_shares(len(sizes), windows))] if batch_size else []
    rows = [sum(some) for some in in_window] or _shares(len(order), windows)
    if count >= FEW_BATCHES:
        # Where there are few batches, lengths are taken with a pinch of chance instead of some rows by lot.
        pinch = CHANCE if windows == 1 else 0.0
        weight = {number: lengths[number] * chance.uniform(1 - pinch, 1 + pinch) for number in order}
        order = [number for part in _cuts(rows) for number in sorted(order[part], key=weight.__getitem__)]
    batches: list[list[int]] = []
    for number, part in enumerate(_cuts(rows)):
        group = order[part]
        if batch_size:
            batches += [group[batch] for batch in _cuts(in_window[number])]
        else:
            batches += _cut_evenly(group, lengths, token_budget or 1)
    chance.shuffle(batches)
    return batches


def _shares(total: int, parts: int) -> list[int]:
    """Divide a number into parts that differ by at most one; none of them is empty."""
    parts = min(total, parts)
    return [total // parts + (part < total % parts) for part in range(parts)]


def _cuts(sizes: Sequence[int]) -> list[slice]:
    """Slices of these sizes, one behind the other."""
    return [slice(end - size, end) for size, end in zip(sizes, accumulate(sizes), strict=True)]


def _cut_evenly(group: list[int], lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Cut examples into as few batches as the budget allows, and these as even as they can be.

    That is by the smallest budget that needs no more batches.
    """
    fewest = len(_cut(group, lengths, token_budget))
    low, high = max(lengths[i] for i in group), token_budget
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(_cut(group, lengths, middle)) <= fewest else (middle + 1, high)
    return _cut(group, lengths, max(low, high))


def _cut(group: list[int], lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    batches: list[list[int]] = []
    longest = 0
    for i in group:
        longest = max(longest, lengths[i])
        if not batches or (len(batches[-1]) + 1) * longest > token_budget:
            batches.append([])
            longest = lengths[i]
        batches[-1].append(i)
    return batches


def usual_labels(labels: Sequence[int], epochs: Sequence[Sequence[Sequence[int]]]) -> list[float]:
    """Return for each batch how many labels a batch of its epoch has on average, those without any aside.

    `labels` says how many each example has. A loss that is summed over a batch and divided by this weighs
    each label the same, whether its batch is full or not.
    """
    usual: list[float] = []
    for epoch in epochs:
        counts = [sum(labels[number] for number in batch) for batch in epoch]
        filled = [count for count in counts if count]
        usual += [sum(filled) / max(1, len(filled))] * len(epoch)
    return usual


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
