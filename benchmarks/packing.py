"""What a training step costs with its rows packed into one sequence, beside the same rows padded.

    .venv/bin/python -m benchmarks.packing [--rounds 7] [--threads 1]

The embedded model with the weights that a protected session trains, and batches in the shape of its default
ones: some short rows of a lesson and some answers that are rehearsed; longer rows; and one long row among
short ones. Printed are tokens as the model is given them, CPU seconds of forward and backward pass (the
median over the rounds, packed and padded by turns), and how far the two losses are apart. Not here: the
optimizer and the projection, which cost the same in both.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from benchmarks.small_lessons import SMALL_LESSONS
from sails import models, training
from sails.data import Conversation, Turn
from sails.models import DEFAULT_BASE_MODEL
from sails.retention import rehearsal_prompts
from sails.training import Precision
from sails.training.dataloader import Example, collate, encode
from sails.training.loss import AnswerLogits
from sails.training.projection import upper_layers
from sails.training.rehearsal import rehearsal_of


def batches(folder: Path, tokenizer: object, precision: Precision) -> dict[str, list[Example]]:
    """Return batches by what they are like."""
    rows = [
        Conversation((Turn("user", fact.question), Turn("assistant", fact.answer)))
        for facts in SMALL_LESSONS.values()
        for fact in facts
    ]
    short = encode(rows, tokenizer, 512).examples
    rehearsed = rehearsal_of(folder, tokenizer, precision, rehearsal_prompts()).examples
    answers = [fact.answer for facts in SMALL_LESSONS.values() for fact in facts]
    together = [
        Conversation((Turn("user", row.turns[0].content), Turn("assistant", " ".join(answers[n : n + 12]))))
        for n, row in enumerate(rows[:16])
    ]
    long = encode(together, tokenizer, 512).examples
    chance = random.Random(0)
    return {
        "5 short rows, 2 rehearsed": [*chance.sample(short, 5), *chance.sample(rehearsed, 2)],
        "10 short rows, 4 rehearsed": [*chance.sample(short, 10), *chance.sample(rehearsed, 4)],
        "4 long rows": list(long[:4]),
        "6 short rows, a long one": [*chance.sample(short, 6), long[5]],
    }


@dataclass
class Measured:
    """Of one batch, padded and packed: tokens, losses, and CPU seconds of each round."""

    tokens: dict[bool, int]
    losses: dict[bool, float]
    seconds: dict[bool, list[float]]


def measured(threads: int, rounds: int) -> dict[str, Measured]:
    """Return what each batch costs, by its name, padded (False) and packed (True) by turns."""
    torch.set_num_threads(threads)
    folder = models.ensure_base_model(DEFAULT_BASE_MODEL, lambda *_: None)
    tokenizer, model = training.load_tokenizer(folder), training.load_model(folder, "cpu")
    precision = Precision.of("cpu")
    trained = {id(layer.weight) for layer in upper_layers(model).values()}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in trained)
    found = {}
    for name, examples in batches(folder, tokenizer, precision).items():
        batch = collate(examples, tokenizer.pad_token_id)
        ways = {packs: AnswerLogits(model) for packs in (False, True)}
        figures = Measured({}, {}, {packs: [] for packs in ways})
        for packs, answer_logits in ways.items():
            answer_logits.inputs(model, batch)
            answer_logits.packs &= packs
            figures.tokens[packs] = answer_logits.inputs(model, batch).counts.numel()
        for number in range(rounds + 1):
            for packs, answer_logits in ways.items():
                began = time.process_time()
                with precision.autocast():
                    logits, targets = answer_logits(model, batch)
                loss = functional.cross_entropy(logits, targets)
                loss.backward()
                if number:  # the first one sets things up
                    figures.seconds[packs].append(time.process_time() - began)
                figures.losses[packs] = loss.item()
                model.zero_grad(set_to_none=False)
        found[name] = figures
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    wanted = parser.parse_args()
    print(f"| {'batch':<26} | tokens: padded | packed | seconds: padded | packed | times | losses apart |")
    print(f"|-{'-' * 26}-|----------------|--------|-----------------|--------|-------|--------------|")
    for name, found in measured(wanted.threads, wanted.rounds).items():
        was, now = (statistics.median(found.seconds[packs]) for packs in (False, True))
        apart = abs(found.losses[True] - found.losses[False]) / found.losses[False]
        print(
            f"| {name:<26} | {found.tokens[False]:14} | {found.tokens[True]:6} | {was:15.2f} | {now:6.2f} "
            f"| {was / now:5.2f} | {apart:12.2%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
