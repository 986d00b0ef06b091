"""Layers below the lowest one that is trained: what they make of a row is computed once, not in each round.

    frozen = FrozenStates.of(model, examples, batches, padding, precision)    # None where nothing is frozen
    inputs = answer_logits.inputs(model, batch)
    with frozen.given(batch, inputs):
        logits = answer_logits.of_inputs(model, inputs)     # goes on from where the frozen layers end

Such a layer makes the same of a row in each round. So each row goes through these layers once, together with
those that are in the same batch for the first time: a session that is resumed does that alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from sails.training.dataloader import Example, collate
from sails.training.loss import AnswerLogits, alike, kind_of
from sails.training.model import Precision, blocks
from sails.training.packing import Batch, Inputs

MOST_BYTES = 2**29  # that what is kept of all rows may take; of more rows nothing is kept


def frozen_blocks(model: Any) -> list[Any]:
    """Return the layers below the lowest one that is trained."""
    frozen = []
    embeddings = model.get_input_embeddings()
    for block in blocks(model):
        if any(weight.requires_grad for part in (embeddings, block) for weight in part.parameters()):
            break
        frozen.append(block)
    return frozen


class FrozenStates:
    """What the frozen layers of a model make of each row; see the module."""

    _alike: ClassVar[dict[tuple[Any, ...], bool]] = {}  # whether it computes the same, by kind of model

    def __init__(
        self,
        model: Any,
        examples: Sequence[Example],
        batches: Sequence[Sequence[int]],
        padding: int,
        precision: Precision,
    ) -> None:
        self._model, self._examples, self._padding, self._precision = model, examples, padding, precision
        self._layers = frozen_blocks(model)
        self._answer_logits = AnswerLogits.of(model)
        self._states: dict[int, torch.Tensor] = {}  # (tokens, width), by the row's number
        self._in_a_tuple = False  # whether a layer returns them so
        self._together: dict[int, list[int]] = {}  # for each row, those that it is computed with
        for batch in batches:
            new = [number for number in batch if number not in self._together]
            self._together.update(dict.fromkeys(new, new))

    @classmethod
    def of(
        cls,
        model: Any,
        examples: Sequence[Example],
        batches: Sequence[Sequence[int]],
        padding: int,
        precision: Precision,
    ) -> FrozenStates | None:
        """For the rows of these batches; None where nothing is frozen, or the model does not allow it."""
        new = cls(model, examples, batches, padding, precision)
        tokens = sum(len(examples[number]) for number in new._together)
        if not new._layers or not tokens or 4 * tokens * model.config.hidden_size > MOST_BYTES:
            return None
        kind = (*kind_of(model), len(new._layers))
        if kind not in cls._alike:
            cls._alike[kind] = new._computes_alike()
        return new if cls._alike[kind] else None

    @contextmanager
    def given(self, batch: Batch, inputs: Inputs) -> Iterator[None]:
        """Let the model begin behind its frozen layers inside; `inputs` are made of `batch`."""
        rows = []
        for number in batch["numbers"].tolist():
            if number not in self._states:
                together = self._together.get(number, [number])
                examples = [self._examples[one] for one in together]
                with self._precision.autocast(reuse=False):
                    self._states.update(zip(together, self._computed(examples), strict=True))
            rows.append(self._states[number])
        with self._beginning_with(rows, batch, inputs):
            yield

    @torch.no_grad()
    def _computed(self, examples: Sequence[Example]) -> list[torch.Tensor]:
        device = self._model.device
        batch = {key: value.to(device) for key, value in collate(examples, self._padding).items()}
        inputs = self._answer_logits.inputs(self._model, batch)
        rows, width = batch["input_ids"].shape
        was_training = self._model.training
        self._model.eval()
        found = self._run(inputs).flatten(0, 1)
        self._model.train(was_training)
        states = found.new_zeros(rows * width, found.shape[1])
        states[inputs.tokens] = found
        states = states.view(rows, width, -1)
        shared = int((inputs.counts == rows).sum()) if rows > 1 else 0
        states[:, :shared] = states[0, :shared].clone()  # what all begin with is computed once
        return [row[: len(example)].clone() for row, example in zip(states, examples, strict=True)]

    def _run(self, inputs: Inputs) -> torch.Tensor:
        def reached(_layer: Any, _given: Any, states: Any) -> None:
            self._in_a_tuple = isinstance(states, tuple)
            raise _Reached(states[0] if self._in_a_tuple else states)

        hook = self._layers[-1].register_forward_hook(reached)
        try:
            self._model(**inputs.tensors, use_cache=False)
        except _Reached as end:
            return end.states
        finally:
            hook.remove()
        raise RuntimeError("the model does not call its layers")

    @contextmanager
    def _beginning_with(self, rows: Sequence[torch.Tensor], batch: Batch, inputs: Inputs) -> Iterator[None]:
        """Let the frozen layers hand these states on instead of calculating."""
        ids = inputs.tensors["input_ids"]
        states = pad_sequence([*rows], batch_first=True)
        missing = batch["input_ids"].shape[1] - states.shape[1]  # the longest row is another process's
        states = nn.functional.pad(states, (0, 0, 0, missing))
        chosen = states.flatten(0, 1)[inputs.tokens].view(*ids.shape, -1)
        for layer in self._layers:
            layer.forward = lambda *_, **__: (chosen,) if self._in_a_tuple else chosen
        try:
            yield
        finally:
            for layer in self._layers:
                del layer.forward

    @torch.no_grad()
    def _computes_alike(self) -> bool:
        """Whether the model's answers to two rows are those that it computes as a whole, in fp32."""
        examples = [self._examples[number] for number in list(self._together)[:2]]
        batch = {key: value.to(self._model.device) for key, value in collate(examples, self._padding).items()}
        inputs = self._answer_logits.inputs(self._model, batch)
        was_training = self._model.training
        self._model.eval()
        with torch.autocast(self._model.device.type, enabled=False):
            whole = self._answer_logits.of_inputs(self._model, inputs)
            try:
                with self._beginning_with(self._computed(examples), batch, inputs):
                    return alike(self._answer_logits.of_inputs(self._model, inputs), whole)
            except (TypeError, ValueError, RuntimeError, AttributeError):
                return False
            finally:
                self._model.train(was_training)


class _Reached(Exception):
    """The frozen layers have calculated."""

    def __init__(self, states: torch.Tensor) -> None:
        super().__init__()
        self.states = states
