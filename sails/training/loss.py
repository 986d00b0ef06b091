"""Loss and scores on the answer tokens of conversations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from sails.errors import DivergedError
from sails.sessions import Scores
from sails.training.dataloader import IGNORED, Example, collate
from sails.training.model import Precision

START_AGAIN = "Choose a lower learning rate, or start over from base; the model that you had is untouched."
SCORING_TOKENS = 1024  # in a batch that is scored; 2048 are 4 % faster, with logits of twice the memory


class AnswerLogits:
    """Logits at label positions only, where the model's head allows it; checked against the full logits.

    Some models do more after the last hidden state than multiply by the head (they cap or scale the
    logits); on those the first batch differs and all logits are computed.
    """

    def __init__(self, model: Any) -> None:
        self._body = model.base_model if model.base_model is not model else None
        self._head = model.get_output_embeddings()
        self._checked = False

    def __call__(self, model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """(logits, targets) of shape (labels, vocabulary) and (labels,), in the order of the batch."""
        if not self._checked:
            self._check(model, batch)
        inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        targets = batch["labels"][:, 1:]
        chosen = targets != IGNORED
        if self._body is None or self._head is None:
            logits = model(**inputs, use_cache=False).logits[:, :-1][chosen]
        else:
            hidden = self._body(**inputs, use_cache=False).last_hidden_state
            logits = self._head(hidden[:, :-1][chosen])
        return logits.float(), targets[chosen]

    @torch.no_grad()
    def _check(self, model: Any, batch: dict[str, torch.Tensor]) -> None:
        self._checked = True
        if self._body is None or self._head is None:
            return
        was_training = model.training
        model.eval()
        row = {key: value[:1] for key, value in batch.items()}
        short, _ = self(model, row)
        self._body, body = None, self._body
        full, _ = self(model, row)
        if torch.allclose(short, full, rtol=1e-3, atol=1e-3):
            self._body = body
        model.train(was_training)


@dataclass(frozen=True)
class RowScores:
    """What a model scores on the answer of one example."""

    tokens: int  # of the answer
    right: int  # of these, predicted right when all tokens before are given
    loss: float  # nats, summed over the answer's tokens


@torch.inference_mode()
def score_rows(
    model: Any, examples: Sequence[Example], padding: int, precision: Precision
) -> list[RowScores]:
    """Return the scores of each example, in their order. Raises `DivergedError` when a loss is not finite."""
    was_training = model.training
    model.eval()
    answer_logits = AnswerLogits(model)
    scores: dict[int, RowScores] = {}
    for numbers in _scoring_batches([len(example) for example in examples]):
        batch = collate([examples[number] for number in numbers], padding)
        batch = {key: value.to(model.device) for key, value in batch.items()}
        with precision.autocast():
            logits, targets = answer_logits(model, batch)
        counts = (batch["labels"][:, 1:] != IGNORED).sum(1).tolist()
        losses = functional.cross_entropy(logits, targets, reduction="none").split(counts)
        rights = (logits.argmax(-1) == targets).split(counts)
        for number, count, loss, right in zip(numbers, counts, losses, rights, strict=True):
            scores[number] = RowScores(count, int(right.sum()), loss.double().sum().item())
    model.train(was_training)
    if not all(math.isfinite(row.loss) for row in scores.values()):
        problem = "The model's loss is not a finite number: its weights are of no use."
        raise DivergedError(problem, START_AGAIN)
    return [scores[number] for number in range(len(examples))]


def _scoring_batches(lengths: Sequence[int]) -> list[list[int]]:
    """All example numbers, in batches of similar length that hold about `SCORING_TOKENS` when padded."""
    batches: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lambda n: lengths[n]):
        if not batches or (len(batches[-1]) + 1) * lengths[number] > SCORING_TOKENS:
            batches.append([])
        batches[-1].append(number)
    return batches


def evaluate(model: Any, examples: Sequence[Example], padding: int, precision: Precision) -> Scores | None:
    """Mean loss (nats an answer token) and share of answer tokens predicted right; None without examples.

    Raises `DivergedError` when the loss is not finite.
    """
    if not examples:
        return None
    rows = score_rows(model, examples, padding, precision)
    count, loss = sum(row.tokens for row in rows), math.fsum(row.loss for row in rows)
    return Scores(loss=loss / count, accuracy=sum(row.right for row in rows) / count, rows=len(rows))
