"""Rehearsal: a model's own answers to general prompts, mixed into each batch so that it keeps giving them.

    rehearsal = rehearsal_of(folder, tokenizer, precision, prompts)     # of a base model, mostly from a file
    batches   = with_rehearsal(batches, first=len(examples), count=len(rehearsal), share=0.25, seed=42)

A base model answers the prompts of `retention.rehearsal_prompts` once, greedily. Kept are its answers and,
for each of their tokens, the `TOP` likeliest ones with their log probabilities: in a file by the model's
fingerprint. In training the loss on them is KL(base‖model), with all other tokens taken as one (`soft_loss`):
distillation from the model before the lesson (Li & Hoiem, "Learning without Forgetting", 2016), on prompts of
its own instead of the lesson's.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from sails import models, system
from sails.data import Conversation, Turn
from sails.errors import DivergedError
from sails.models import inspect_model
from sails.training.dataloader import IGNORED, Example, collate, encode
from sails.training.loss import AnswerLogits
from sails.training.model import Precision, answer_all, load_model
from sails.training.plan import rehearsed_rows

TOP = 16  # tokens whose probabilities are kept; 64 keep no more knowledge
ANSWER_TOKENS = 32  # of each answer
BATCH = 8  # answers that are scored at once
SHIPPED = Path(__file__).with_name("base_answers")


@dataclass(frozen=True)
class Rehearsal:
    """Examples, and for the answer tokens of each the likeliest tokens: `log_probs`, `tokens`: (n, TOP)."""

    examples: tuple[Example, ...]
    log_probs: tuple[torch.Tensor, ...]
    tokens: tuple[torch.Tensor, ...]

    def __len__(self) -> int:
        return len(self.examples)


def rehearsal_of(folder: Path, tokenizer: Any, precision: Precision, prompts: Sequence[str]) -> Rehearsal:
    """Return the rehearsal of the model in `folder`; it is asked where no file says what it answers."""
    kept = answers_file(folder, "rehearsed.npz", [*prompts, str(tokenizer.chat_template), str(TOP)])
    if not kept.exists():
        rehearsal = ask(load_model(folder, precision.device), tokenizer, precision, prompts)
        kept.parent.mkdir(parents=True, exist_ok=True)
        system.write_atomic(kept, as_bytes(rehearsal))
    return _read(kept)


def answers_file(folder: Path, name: str, made_of: Sequence[str]) -> Path:
    """Return where the answers of the model in `folder` lie: in the user's cache, or shipped beside this.

    `made_of` is all that they depend on beside the weights.
    """
    asked = hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:8]
    file = f"{inspect_model(folder).fingerprint}-{asked}-{name}"
    shipped = SHIPPED / file
    return shipped if shipped.exists() else models.cache_dir() / "general" / file


@torch.inference_mode()
def ask(model: Any, tokenizer: Any, precision: Precision, prompts: Sequence[str]) -> Rehearsal:
    """Let the model answer, and keep what it would have said with which probability.

    Raises `DivergedError` where these are no numbers.
    """
    was_training = model.training
    model.eval()
    answers = answer_all(model, tokenizer, prompts, ANSWER_TOKENS, precision)
    rows = [
        Conversation((Turn("user", prompt), Turn("assistant", answer or "…")))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    examples = sorted(encode(rows, tokenizer, 10_000).examples, key=len)
    log_probs: list[torch.Tensor] = []
    tokens: list[torch.Tensor] = []
    for logits, counts in _answers(model, examples, tokenizer.pad_token_id, precision):
        top = functional.log_softmax(logits, -1).topk(min(TOP, logits.shape[-1]), -1)
        log_probs += [part.cpu().clone() for part in top.values.split(counts)]
        tokens += [part.cpu().clone() for part in top.indices.split(counts)]
    model.train(was_training)
    if not all(part.isfinite().all() for part in log_probs):
        raise DivergedError("The model's answers are no numbers.", "Choose another base model.")
    return Rehearsal(tuple(examples), tuple(log_probs), tuple(tokens))


@torch.inference_mode()
def divergence(model: Any, rehearsal: Rehearsal, padding: int, precision: Precision) -> float:
    """KL(base‖model) in nats, its mean over the answer tokens: how far `model` is from saying the same."""
    was_training = model.training
    model.eval()
    total, rows = 0.0, zip(rehearsal.log_probs, rehearsal.tokens, strict=True)
    for logits, counts in _answers(model, rehearsal.examples, padding, precision):
        batch = [next(rows) for _ in counts]
        log_probs, tokens = (torch.cat(parts).to(logits.device) for parts in zip(*batch, strict=True))
        total += soft_loss(logits, log_probs, tokens).item()
    model.train(was_training)
    return total / sum(map(len, rehearsal.tokens))


def _answers(
    model: Any, examples: Sequence[Example], padding: int, precision: Precision
) -> Iterator[tuple[torch.Tensor, list[int]]]:
    """Logits of some answers at once, (tokens, vocabulary), and how many tokens each of them has."""
    answer_logits = AnswerLogits.of(model)
    for start in range(0, len(examples), BATCH):
        batch = collate(examples[start : start + BATCH], padding)
        batch = {key: value.to(model.device) for key, value in batch.items()}
        with precision.autocast(reuse=False):
            logits, _ = answer_logits(model, batch)
        yield logits, (batch["labels"][:, 1:] != IGNORED).sum(1).tolist()


def soft_loss(logits: torch.Tensor, log_probs: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """KL(base‖model) in nats, summed over tokens; all but the kept tokens count as one.

    `logits`: (n, vocabulary) of the model, `log_probs` and `tokens`: (n, TOP) of its base.
    """
    ours = functional.log_softmax(logits, -1).gather(1, tokens)
    rest = (1 - log_probs.exp().sum(-1)).clamp_min(1e-6)
    our_rest = (1 - ours.exp().sum(-1)).clamp_min(1e-6)
    kept = (log_probs.exp() * (log_probs - ours)).sum(-1)
    return (kept + rest * (rest.log() - our_rest.log())).sum()


def with_rehearsal(
    batches: Sequence[Sequence[Sequence[int]]], *, first: int, count: int, share: float, seed: int
) -> list[list[list[int]]]:
    """Add to the batches so many of the `count` rows from number `first` on that they are their `share`.

    All of them in turn, shuffled anew each time; where the share of a small batch is less than a row, not
    every batch gets one. A pure function of its arguments.
    """
    chance = random.Random(f"{seed}/rehearsal")
    left: list[int] = []
    owed = 0.0
    epochs = []
    for epoch in batches:
        mixed = []
        for batch in epoch:
            owed += rehearsed_rows(len(batch), share)
            wanted = int(owed)
            owed -= wanted
            while len(left) < wanted:
                left += chance.sample(range(first, first + count), count)
            mixed.append([*batch, *left[:wanted]])
            del left[:wanted]
        epochs.append(mixed)
    return epochs


# --- the file -------------------------------------------------------------------------------------


def as_bytes(rehearsal: Rehearsal) -> bytes:
    """Return the file's content: flat arrays, with the lengths to cut them by."""
    small = np.uint16 if max(int(part.max()) for part in rehearsal.tokens) < 2**16 else np.uint32
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        lengths=np.array([len(example) for example in rehearsal.examples], np.uint32),
        input_ids=np.array([t for example in rehearsal.examples for t in example.tokens], np.uint32),
        learned=np.array([n != IGNORED for example in rehearsal.examples for n in example.labels]),
        log_probs=torch.cat(rehearsal.log_probs).numpy().astype(np.float16),
        tokens=torch.cat(rehearsal.tokens).numpy().astype(small),
    )
    return buffer.getvalue()


def _read(file: Path) -> Rehearsal:
    with np.load(file, allow_pickle=False) as kept:
        ends = np.cumsum(kept["lengths"])[:-1]
        rows = zip(np.split(kept["input_ids"], ends), np.split(kept["learned"], ends), strict=True)
        examples = tuple(
            Example(ids.tolist(), np.where(learned, ids.astype(np.int64), IGNORED).tolist())
            for ids, learned in rows
        )
        counts = [sum(label != IGNORED for label in example.labels[1:]) for example in examples]
        log_probs = torch.from_numpy(kept["log_probs"].astype(np.float32)).split(counts)
        tokens = torch.from_numpy(kept["tokens"].astype(np.int64)).split(counts)
    return Rehearsal(examples, tuple(log_probs), tuple(tokens))
