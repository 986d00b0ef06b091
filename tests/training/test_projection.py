"""Projection: what general prompts rest on stays, whatever else moves."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from sails.sessions import Session
from sails.training.dataloader import collate
from sails.training.model import blocks
from sails.training.projection import (
    MAX_STRETCH,
    USUAL_RATE,
    USUAL_STRETCH,
    WINDOW,
    Projection,
    load_matrices,
    projection_matrices,
    save_matrices,
    stretch,
    upper_layers,
)
from sails.training.run import Before
from tests.training.test_trainer import FP32, Notebook, run_of, same, teach, weights


def logits(model, tiny, examples):
    batch = collate(examples, tiny[1].pad_token_id)
    with torch.no_grad():
        out = model.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return out[batch["attention_mask"].bool()]


def shake(model, tiny, matrices, examples, rate=1e-2):
    """How far a random movement, projected or not, moved the model's answers, and its weights."""
    before, start = logits(model, tiny, examples), weights(model)
    projection = Projection(model, matrices, rate, FP32) if matrices else None
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in upper_layers(model).values():
            layer.weight += 1e-2 * torch.randn(layer.weight.shape, generator=generator)
    if projection:
        projection.finish()
    moved = sum((value - start[name]).norm() ** 2 for name, value in weights(model).items()) ** 0.5
    change = (logits(model, tiny, examples) - before).norm().item()
    model.load_state_dict(start)
    return change, moved.item()


def test_a_projected_movement_is_as_long_and_changes_general_answers_less(tiny, model, matrices, general):
    for asked in (general[::2], general[1::2]):
        change, length = shake(model, tiny, None, asked)
        projected, same_length = shake(model, tiny, matrices, asked)
        assert same_length == pytest.approx(length, rel=1e-3)
        assert projected < 0.5 * change


@pytest.mark.parametrize(
    ("rate", "times"),
    [
        (1e-3, 1.101),
        (5e-2, 1),
        (1e-4, 2.968),
        (USUAL_RATE, USUAL_STRETCH),
        (1e-5, MAX_STRETCH),
        (1e-9, MAX_STRETCH),
    ],
)
def test_a_movement_at_a_low_learning_rate_is_made_longer(rate, times, tiny, model, matrices, general):
    _, length = shake(model, tiny, None, general)
    _, longer = shake(model, tiny, matrices, general, rate)
    assert longer == pytest.approx(times * length, rel=1e-3)


def test_a_higher_learning_rate_always_moves_the_weights_further():
    rates = [1e-6, 1e-5, 2e-5, 3e-5, 5e-5, 1e-4, 1.5e-4, 3e-4, 1e-3]
    moved = [rate * stretch(rate) for rate in rates]
    assert moved == sorted(moved)
    assert all(later > 1.2 * before for before, later in pairwise(moved))


def test_only_layers_whose_inputs_are_hidden_states_move(tiny, model, matrices, lesson, tmp_path):
    before = weights(model)
    taught, _, _ = teach(tiny, replace(run_of(lesson, epochs=2), matrices=matrices), tmp_path)
    moved = {name for name, value in weights(taught).items() if not torch.equal(value, before[name])}
    assert moved == {f"{name}.weight" for name in matrices}
    assert not any("embed" in name or "lm_head" in name or "norm" in name for name in moved)


def test_the_lower_half_of_the_layers_stays_as_it_is(model, matrices):
    below, above = (
        {id(part) for block in some for part in block.modules()}
        for some in (blocks(model)[:1], blocks(model)[1:])
    )
    assert len(blocks(model)) == 2
    assert not {id(model.get_submodule(name)) for name in matrices} & below
    assert {id(model.get_submodule(name)) for name in matrices} <= above


def test_a_lesson_is_learned_and_general_answers_change_less(
    tiny, model, matrices, general, lesson, tmp_path
):
    asked = general[1::2]
    before = logits(model, tiny, asked)
    changes, losses = [], []
    for number, projected_by in enumerate((None, matrices)):
        run = replace(run_of(lesson, epochs=12), matrices=projected_by)
        taught, _, notes = teach(tiny, run, tmp_path / str(number))
        changes.append((logits(taught, tiny, asked) - before).norm().item())
        losses.append([step["loss"] for step in notes.of("step")])
    assert losses[1][-1] < 0.7 * losses[1][0]
    assert changes[1] < 0.5 * changes[0]


def test_a_run_that_was_stopped_goes_on_as_an_uninterrupted_one(tiny, matrices, lesson, tmp_path):
    """It stops only where all that moved is projected, since nothing else is saved."""
    run = replace(run_of(lesson, epochs=8), matrices=matrices)
    whole, _, _ = teach(tiny, run, tmp_path / "whole")
    session = Session(tmp_path / "parts")
    _, stopped, notes = teach(tiny, run, session.folder, Notebook(stop_after=WINDOW + 2))
    assert stopped.stopped
    assert stopped.steps == 2 * WINDOW
    again = replace(run, matrices=load_matrices(session.projection), before=Before(steps=notes.of("step")))
    resumed, ended, _ = teach(tiny, again, session.folder)
    assert ended.steps == 24
    assert same(weights(whole), weights(resumed))


def test_matrices_are_read_as_they_were_written_and_layers_share_theirs(matrices, tmp_path):
    save_matrices(matrices, tmp_path / "projection.safetensors")
    read = load_matrices(tmp_path / "projection.safetensors")
    assert read.keys() == matrices.keys()
    assert all(torch.equal(read[name], matrices[name]) for name in matrices)
    stored = sum(matrix.nbytes for matrix in {id(matrix): matrix for matrix in matrices.values()}.values())
    assert (tmp_path / "projection.safetensors").stat().st_size == pytest.approx(stored, rel=0.1)


def test_padding_counts_for_nothing(tiny, model, general):
    longest = max(general, key=len)
    alone = projection_matrices(model, [longest, *general[:1]], tiny[1].pad_token_id, FP32)
    swapped = projection_matrices(model, [*general[:1], longest], tiny[1].pad_token_id, FP32)
    for name, matrix in alone.items():
        assert torch.allclose(matrix, swapped[name], atol=1e-3)
