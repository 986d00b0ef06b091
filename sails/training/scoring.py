"""What a model knows, measured: rows of lessons scored one by one, and its drift from its base model.

    cells = score(model, tokenizer, rows, longest, precision)
    drift = general_drift(model, base_folder, tokenizer, precision)

Not here: which rows (`sails.retention.lessons.sample_rows`), and what the figures mean (`sails.retention`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from sails import models, system
from sails.data import Conversation, Turn
from sails.errors import BadDataError
from sails.models import inspect_model
from sails.retention import GENERAL_PROMPTS, Cell, Drift, Part, Sample
from sails.system import read_json
from sails.training.dataloader import Example, collate, encode
from sails.training.loss import AnswerLogits, score_rows
from sails.training.model import Precision, sample_answers

GENERAL_TOKENS = 32  # of each general answer
BATCH = 8  # of these answers


def score(model: Any, tokenizer: Any, rows: Sample, longest: int, precision: Precision) -> tuple[Cell, ...]:
    """The model's cells on those rows, which are cut to `longest` tokens; rows without an answer left go.

    Raises `DivergedError` when the loss is not finite.
    """
    encoded: list[tuple[tuple[str, Part], list[str], Sequence[Example]]] = []
    for key, some in rows.items():
        try:
            found = encode(some, tokenizer, longest)
        except BadDataError:  # none of them has an answer within so many tokens
            continue
        encoded.append((key, [some[number].fingerprint for number in found.kept], found.examples))
    examples = [example for _, _, encoded_rows in encoded for example in encoded_rows]
    scored = iter(score_rows(model, examples, tokenizer.pad_token_id, precision))
    cells = []
    for (lesson, part), fingerprints, encoded_rows in encoded:
        figures = [next(scored) for _ in encoded_rows]
        cell = Cell(
            lesson=lesson,
            part=part,
            rows=tuple(fingerprints),
            tokens=tuple(figure.tokens for figure in figures),
            right=tuple(figure.right for figure in figures),
            loss=tuple(figure.loss for figure in figures),
        )
        cells.append(cell)
    return tuple(cells)


def general_drift(model: Any, base: Any, base_folder: Path, tokenizer: Any, precision: Precision) -> Drift:
    """How far `model` is from `base`, which lies in `base_folder`, on prompts that no lesson is about."""
    rows = [
        Conversation((Turn("user", prompt), Turn("assistant", answer)))
        for prompt, answer in zip(GENERAL_PROMPTS, own_answers(base, base_folder, tokenizer), strict=True)
    ]
    examples = sorted(encode(rows, tokenizer, 10_000).examples, key=len)
    models = [(some, AnswerLogits(some)) for some in (base, model)]
    was_training = model.training
    base.eval()
    model.eval()
    divergence, right, count = 0.0, 0, 0
    with torch.inference_mode():
        for start in range(0, len(examples), BATCH):
            batch = collate(examples[start : start + BATCH], tokenizer.pad_token_id)
            batch = {key: value.to(model.device) for key, value in batch.items()}
            with precision.autocast():
                (before, targets), (after, _) = [logits(some, batch) for some, logits in models]
            a, b = functional.log_softmax(before, -1), functional.log_softmax(after, -1)
            divergence += functional.kl_div(b, a, reduction="sum", log_target=True).item()
            right += int((after.argmax(-1) == targets).sum())
            count += len(targets)
    model.train(was_training)
    return Drift(divergence=max(0.0, divergence / count), agreement=right / count, prompts=len(examples))


def own_answers(base: Any, folder: Path, tokenizer: Any) -> list[str]:
    """Return what a base model answers to `GENERAL_PROMPTS`; written once, then kept in the user's cache."""
    fingerprint = inspect_model(folder).fingerprint
    kept = models.cache_dir() / "general" / f"{fingerprint}.json"
    known = (read_json(kept) or {}) if fingerprint else {}
    if list(known) == list(GENERAL_PROMPTS):
        return [str(answer) for answer in known.values()]
    answers = sample_answers(base, tokenizer, GENERAL_PROMPTS, max_new_tokens=GENERAL_TOKENS)
    if fingerprint:
        kept.parent.mkdir(parents=True, exist_ok=True)
        system.write_atomic(kept, json.dumps(dict(zip(GENERAL_PROMPTS, answers, strict=True)), indent=1))
    return answers
