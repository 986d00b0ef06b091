"""What a model knows, measured: rows of lessons scored one by one, and its drift from its base model.

    cells = score(model, tokenizer, rows, longest, precision)
    drift = general_drift(model, base_folder, tokenizer, precision)
    drift, cells = compare_with_base(model, base_folder, tokenizer, rows, longest, precision)

Not here: which rows (`sails.retention.lessons.sample_rows`), and what the figures mean (`sails.retention`).
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch.nn import functional

from sails import system
from sails.data import Conversation, Turn
from sails.errors import BadDataError
from sails.retention import (
    GENERAL,
    Cell,
    ClosedQuestion,
    Drift,
    Part,
    Sample,
    closed_questions,
    is_right,
    open_prompts,
)
from sails.system import read_json
from sails.training.dataloader import IGNORED, Example, collate, encode, spread
from sails.training.loss import AnswerLogits, RowScores, score_rows
from sails.training.model import Precision, answer_all, load_model
from sails.training.packing import Batch
from sails.training.rehearsal import answers_file

GENERAL_TOKENS = 24  # of each general answer
FIRST_TOKENS = 10  # within which most right answers have said it
DRAWS, TEMPERATURE = 3, 0.6  # answers of the base model to each question, to tell whether it surely knows it
MAX_CLOSED = 120  # questions with one right answer that are asked after each session
BATCH = 8  # general answers that are scored at once


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
    for (lesson, part), fingerprints, _ in encoded:
        figures: dict[
            str, list[RowScores]
        ] = {}  # a conversation may be several examples, one for each answer
        for row in fingerprints:
            figures.setdefault(row, []).append(next(scored))
        cell = Cell(
            lesson=lesson,
            part=part,
            rows=tuple(figures),
            tokens=tuple(sum(one.tokens for one in some) for some in figures.values()),
            right=tuple(sum(one.right for one in some) for some in figures.values()),
            loss=tuple(math.fsum(one.loss for one in some) for some in figures.values()),
        )
        cells.append(cell)
    return tuple(cells)


def general_drift(model: Any, base_folder: Path, tokenizer: Any, precision: Precision) -> Drift:
    """How far `model` is from the base model in `base_folder`, on prompts that no lesson is about."""
    return compare_with_base(model, base_folder, tokenizer, {}, 0, precision)[0]


def compare_with_base(
    model: Any, base_folder: Path, tokenizer: Any, rows: Sample, longest: int, precision: Precision
) -> tuple[Drift, tuple[Cell, ...]]:
    """Return the same, and what the base model scores on `rows`; it is loaded once for both."""
    base = load_model(base_folder, str(model.device))
    cells = score(base, tokenizer, rows, longest, precision)
    knowledge = base_knowledge(base, base_folder, tokenizer, precision)
    drift = _divergence(model, base, base_folder, tokenizer, knowledge.answers, precision)
    del base  # its memory: more is needed to answer
    known = still_right(model, tokenizer, knowledge.known, precision)
    return drift.model_copy(update={"known": known}), cells


@torch.inference_mode()
def _divergence(
    model: Any, base: Any, folder: Path, tokenizer: Any, answers: Sequence[str], precision: Precision
) -> Drift:
    """How far the model is from its base on the base's own `answers` to the open prompts."""
    rows = [
        Conversation((Turn("user", prompt), Turn("assistant", answer or "…")))  # as it rehearses them
        for prompt, answer in zip(open_prompts(), answers, strict=True)
    ]
    examples = sorted(encode(rows, tokenizer, 10_000).examples, key=len)
    batches = [
        {name: value.to(model.device) for name, value in collate(some, tokenizer.pad_token_id).items()}
        for some in (examples[start : start + BATCH] for start in range(0, len(examples), BATCH))
    ]
    was_training = model.training
    base.eval()
    model.eval()
    divergence, right, count = 0.0, 0, 0
    of_base, of_model = AnswerLogits.of(base), AnswerLogits.of(model)
    kept = _head_inputs(base, folder, batches, precision)
    for number, batch in enumerate(batches):
        with precision.autocast(reuse=False):
            before = base.get_output_embeddings()(kept[number]) if kept else of_base(base, batch)[0]
            after, targets = of_model(model, batch)
        a, b = functional.log_softmax(before.float(), -1), functional.log_softmax(after, -1)
        divergence += functional.kl_div(b, a, reduction="sum", log_target=True).item()
        right += int((after.argmax(-1) == targets).sum())
        count += len(targets)
    model.train(was_training)
    return Drift(divergence=max(0.0, divergence / count), agreement=right / count, prompts=len(examples))


def _head_inputs(
    base: Any, folder: Path, batches: Sequence[Batch], precision: Precision
) -> Sequence[torch.Tensor] | None:
    """What the base model's head makes its logits of, batch by batch; computed once, then it is kept.

    As precisely as the head takes it, so that the logits are the same. None where the head does not make them
    alone.
    """
    counts = [int((batch["labels"][:, 1:] != IGNORED).sum()) for batch in batches]
    made_of = [str(batch["input_ids"].tolist()) for batch in batches]
    kept = answers_file(folder, f"{precision.device}-{precision.name}.safetensors", made_of)
    with contextlib.suppress(OSError, SafetensorError, KeyError):
        read = load_file(kept, device=str(base.device))["states"]
        if len(read) == sum(counts):
            return read.split(counts)
    answer_logits, found = AnswerLogits.of(base), []
    for batch in batches:
        with precision.autocast(reuse=False):
            states = answer_logits.head_inputs(base, batch)
        if states is None:
            return None
        found.append(states.to(torch.bfloat16 if precision.bf16 else torch.float32))
    kept.parent.mkdir(parents=True, exist_ok=True)
    system.write_atomic(kept, save({"states": torch.cat(found).cpu()}))
    return found


def no_drift(base: Any, base_folder: Path, tokenizer: Any, precision: Precision) -> Drift:
    """What `general_drift` says of the base model itself."""
    known = base_knowledge(base, base_folder, tokenizer, precision).known
    cell = _known_cell(known, [1] * len(known))
    return Drift(divergence=0.0, agreement=1.0, prompts=len(open_prompts()), known=cell)


@dataclass(frozen=True)
class BaseKnowledge:
    """What a base model surely knows, and what it answers to `open_prompts()`."""

    known: tuple[ClosedQuestion, ...]
    answers: tuple[str, ...]


def base_knowledge(base: Any, folder: Path, tokenizer: Any, precision: Precision) -> BaseKnowledge:
    """Ask a base model all that measures general knowledge; once, then it is kept.

    It surely knows what it answers right greedily, and each time when `DRAWS` answers are drawn at
    `TEMPERATURE`. What is right by a hair's breadth says little: anything that moves the model turns that.
    """
    closed, prompts = closed_questions(), open_prompts()
    made_of = [f"{one.question} {one.accepted}" for one in closed] + [*prompts, str(tokenizer.chat_template)]
    kept = answers_file(folder, "measured.json", made_of)
    content = read_json(kept)
    if content is None:
        left = list(closed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for temperature in (None, *[TEMPERATURE] * DRAWS):
                asked = [one.question for one in left]
                said = answer_all(base, tokenizer, asked, GENERAL_TOKENS, precision, temperature=temperature)
                left = [one for one, answer in zip(left, said, strict=True) if is_right(one, answer)]
        answers = answer_all(base, tokenizer, prompts, GENERAL_TOKENS, precision)
        content = {"known": [one.question for one in left], "answers": answers}
        kept.parent.mkdir(parents=True, exist_ok=True)
        system.write_atomic(kept, json.dumps(content, indent=1, ensure_ascii=False))
    known = [one for one in closed if one.question in content["known"]]
    return BaseKnowledge(tuple(spread(known, MAX_CLOSED)), tuple(content["answers"]))


def still_right(
    model: Any, tokenizer: Any, questions: Sequence[ClosedQuestion], precision: Precision
) -> Cell | None:
    """Ask the model again: all for a few words, then for more where these were not the right ones."""
    right = [0] * len(questions)
    for words in (FIRST_TOKENS, GENERAL_TOKENS):
        left = [number for number, found in enumerate(right) if not found]
        asked = [questions[number].question for number in left]
        for number, answer in zip(left, answer_all(model, tokenizer, asked, words, precision), strict=True):
            right[number] = int(is_right(questions[number], answer))
    return _known_cell(questions, right)


def _known_cell(questions: Sequence[ClosedQuestion], right: Sequence[int]) -> Cell | None:
    if not questions:
        return None
    return Cell(
        lesson=GENERAL,
        part="recall",
        rows=tuple(question.question for question in questions),
        tokens=(1,) * len(questions),
        right=tuple(right),
        loss=(0.0,) * len(questions),
    )
