"""Loss and scores on the answer tokens of conversations."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.nn import functional

from sails.errors import DivergedError
from sails.sessions import Scores
from sails.training.attention import implementation
from sails.training.dataloader import IGNORED, Example, collate
from sails.training.model import Precision
from sails.training.packing import Batch, Inputs, packed, padded

START_AGAIN = "Choose a lower learning rate, or start over from base; the model that you had is untouched."
TOLERANCE = 1e-4  # of the largest logit, between ways to compute it in fp32
LOUD = 100.0  # see `AnswerLogits`
MASKED_BY_PLACE = {"gpt_neo"}  # kinds of models that mask by a token's place in the sequence, not in its row
SCORING_TOKENS = 1024  # in a batch that is scored; 2048 are 4 % faster, with logits of twice the memory


class AnswerLogits:
    """Logits at label positions only, of rows packed into one sequence, where the model allows either.

    Some models do more after the last hidden state than multiply by the head (they cap or scale the logits);
    for those all logits are computed. Some do not compute the same for packed rows; theirs are padded. Both
    are found out with two rows made of the first one. For the former, logits are made `LOUD` times as large
    as they are, for a cap hardly shows in the small ones of a model that is sure of nothing yet.
    """

    _found: ClassVar[dict[tuple[Any, ...], tuple[bool, bool]]] = {}  # head alone and packing, by kind

    def __init__(self, model: Any) -> None:
        self._body = model.base_model if model.base_model is not model else None
        self._head = model.get_output_embeddings()
        self.packs = model.config.model_type not in MASKED_BY_PLACE
        self._checked = False
        self._kind: tuple[Any, ...] | None = None

    @classmethod
    def of(cls, model: Any) -> AnswerLogits:
        """Return the same, with what was found out of a model of the same class and configuration before.

        To find it out takes as long as scoring some ten rows.
        """
        new = cls(model)
        new._kind = kind_of(model)
        if known := cls._found.get(new._kind):
            new._checked = True
            alone, new.packs = known
            new._body = new._body if alone else None
        return new

    def __call__(self, model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """(logits, targets) of shape (labels, vocabulary) and (labels,), in the order of the batch."""
        return self.of_inputs(model, self.inputs(model, batch)), targets_of(batch)

    def of_inputs(self, model: Any, inputs: Inputs) -> torch.Tensor:
        """Return the logits alone, of what `inputs` returned."""
        return self._logits(model, inputs).float()

    def inputs(self, model: Any, batch: Batch) -> Inputs:
        """Return the batch in the form in which the model has least to do."""
        if not self._checked:
            self._check(model, batch)
        window = getattr(model.config, "sliding_window", None) or math.inf
        as_it_is = padded(batch)
        if self.packs and batch["input_ids"].shape[1] <= window:
            in_one = _packed(model, batch)
            if in_one.saves_work(as_it_is, model.config.hidden_size):
                return in_one
        return as_it_is

    def head_inputs(self, model: Any, batch: Batch) -> torch.Tensor | None:
        """Return what the head makes logits of, (labels, width); None where more than it makes them."""
        return self._head_inputs(self.inputs(model, batch))

    def _logits(self, model: Any, inputs: Inputs) -> torch.Tensor:
        chosen: torch.Tensor
        if (states := self._head_inputs(inputs)) is not None:
            chosen = self._head(states)
        else:
            chosen = model(**inputs.tensors, use_cache=False).logits.flatten(0, 1)[inputs.places]
        return chosen

    def _head_inputs(self, inputs: Inputs) -> torch.Tensor | None:
        if self._body is None or self._head is None:
            return None
        states: torch.Tensor = self._body(**inputs.tensors, use_cache=False).last_hidden_state
        return states.flatten(0, 1)[inputs.places]

    @torch.no_grad()
    def _check(self, model: Any, batch: Batch) -> None:
        self._checked = True
        rows = _two_rows(batch)
        was_training = model.training
        model.eval()
        with torch.autocast(rows["input_ids"].device.type, enabled=False), warnings.catch_warnings():
            if self._head is not None and self._body is not None:
                self._check_the_head(model, padded(rows))
            try:
                warnings.simplefilter("ignore")  # of models that ignore the numbers of positions
                alone = self._logits(model, padded(rows))
                self.packs = self.packs and alike(self._logits(model, _packed(model, rows)), alone)
            except (TypeError, ValueError, RuntimeError, AttributeError):
                self.packs = False
        model.train(was_training)
        if self._kind:
            self._found[self._kind] = self._body is not None, self.packs

    def _check_the_head(self, model: Any, inputs: Inputs) -> None:
        louder = self._head.register_forward_hook(lambda _head, _inputs, logits: logits * LOUD)
        try:
            short = self._logits(model, inputs)
            self._body, body = None, self._body
            if alike(short, self._logits(model, inputs)):
                self._body = body
        finally:
            louder.remove()


def _two_rows(batch: Batch) -> Batch:
    """Two rows that begin alike and go on differently, one shorter, made of the first row of the batch."""
    row = batch["input_ids"][0][batch["attention_mask"][0].bool()]
    half = len(row) // 2
    other = torch.cat([row[:half], row[half + 1 :].flip(0), row[:1]])
    ids, mask = torch.stack([row, other]), torch.ones(2, len(row), dtype=torch.long, device=row.device)
    mask[1, -1] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, IGNORED)}


def _packed(model: Any, batch: Batch) -> Inputs:
    inputs = packed(batch)
    if implementation(model) != "sdpa":  # others add their mask
        seen = inputs.tensors["attention_mask"]
        lowest = torch.finfo(torch.float32).min
        inputs.tensors["attention_mask"] = torch.zeros_like(seen, dtype=torch.float32).masked_fill(
            ~seen, lowest
        )
    return inputs


def targets_of(batch: Batch) -> torch.Tensor:
    """Return the tokens to predict, (labels,), in the order of the batch."""
    labels = batch["labels"][:, 1:]
    return labels[labels != IGNORED]


def kind_of(model: Any) -> tuple[Any, ...]:
    """Return what models have in common that compute in the same way: class and configuration."""
    config = {**model.config.to_dict(), "_name_or_path": ""}
    return type(model), str(config), implementation(model)


def alike(logits: torch.Tensor, others: torch.Tensor) -> bool:
    """Whether they differ by no more than the ways to compute them."""
    return bool((logits - others).abs().max() <= TOLERANCE * others.abs().max())


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
    answer_logits = AnswerLogits.of(model)
    scores: dict[int, RowScores] = {}
    for numbers in _scoring_batches([len(example) for example in examples]):
        batch = collate([examples[number] for number in numbers], padding)
        batch = {key: value.to(model.device) for key, value in batch.items()}
        with precision.autocast(reuse=False):
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
