"""Frozen layers: what they make of a row is computed once, and all else is as if it were each time."""

import pytest
import torch

from sails.training.dataloader import Example, collate
from sails.training.frozen import FrozenStates
from sails.training.loss import AnswerLogits
from sails.training.model import Precision, blocks
from tests.training.test_packing import DO_NOT, PACK, ROWS, SHARED, model_of

FP32 = Precision("cpu", False)
EXAMPLES = [Example([*SHARED, *row], [-100] * (len(SHARED) + len(row) - 2) + row[-2:]) for row in ROWS]
BATCHES = ((0, 1), (1, 2, 3), (3, 0))


def frozen_below(model, count):
    """Train only the blocks from that number on."""
    model.requires_grad_(False)
    for block in blocks(model)[count:]:
        block.requires_grad_(True)
    return model


def batch_of(numbers):
    return {
        **collate([EXAMPLES[number] for number in numbers], 0),
        "numbers": torch.tensor(numbers),
    }


def gradients_of(model, numbers, frozen):
    batch, answer_logits = batch_of(numbers), AnswerLogits.of(model)
    inputs = answer_logits.inputs(model, batch)
    model.zero_grad()
    if frozen:
        with frozen.given(batch, inputs):
            logits = answer_logits.of_inputs(model, inputs)
    else:
        logits = answer_logits.of_inputs(model, inputs)
    logits.logsumexp(-1).sum().backward()
    return logits.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", [*PACK, *DO_NOT])
def test_logits_and_gradients_are_those_of_the_whole_model(family):
    model = frozen_below(model_of(family), 1)
    frozen = FrozenStates.of(model, EXAMPLES, BATCHES, 0, FP32)
    assert frozen
    calls = []
    blocks(model)[0].register_forward_pre_hook(lambda *_: calls.append(1))
    for numbers in BATCHES:
        expected = gradients_of(model, numbers, None)
        calls.clear()
        found = gradients_of(model, numbers, frozen)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert expected[1]
    assert len(calls) == 1  # all of the last batch were in one before
