"""Blending: of a change as little is kept as the lesson needs."""

import pytest
import torch

from sails.training.blend import MAX_LOSS, SHARES, blend_weights
from sails.training.dataloader import load_tokenizer
from sails.training.loss import score_rows
from sails.training.model import load_model
from tests.support.tiny import make_tiny_model
from tests.training.test_trainer import FP32, run_of, same, teach, weights


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")
    return folder, load_tokenizer(folder)


@pytest.fixture
def taught(tiny, lesson, tmp_path):
    """A model that knows nearly all of the lesson."""
    return teach(tiny, run_of(lesson, epochs=15), tmp_path)[0]


def right(model, tiny, examples):
    rows = score_rows(model, examples, tiny[1].pad_token_id, FP32)
    return sum(row.right for row in rows) / sum(row.tokens for row in rows)


def between(start, end, share):
    return {name: torch.lerp(value, end[name], share) for name, value in start.items()}


def test_the_least_share_is_kept_with_which_the_lesson_is_known_as_well(tiny, lesson, taught):
    start, end, known = weights(load_model(tiny[0], "cpu")), weights(taught), right(taught, tiny, lesson)
    share = blend_weights(taught, tiny[0], lesson, tiny[1].pad_token_id, FP32)
    assert share in (*SHARES, 1.0)
    assert right(taught, tiny, lesson) >= known - MAX_LOSS
    expected = between(start, end, share)
    assert all(torch.equal(value, expected[name]) for name, value in weights(taught).items())
    probe = load_model(tiny[0], "cpu")
    for less in (one for one in SHARES if one < share):
        probe.load_state_dict(between(start, end, less))
        assert right(probe, tiny, lesson) < known - MAX_LOSS


def test_where_nothing_is_lost_the_least_is_kept(tiny, lesson):
    untaught = load_model(tiny[0], "cpu")
    assert blend_weights(untaught, tiny[0], lesson, tiny[1].pad_token_id, FP32) == min(SHARES)
    assert same(weights(untaught), weights(load_model(tiny[0], "cpu")))


def test_where_all_of_the_change_is_needed_the_model_is_exactly_as_it_was(tiny, lesson, taught, monkeypatch):
    monkeypatch.setattr("sails.training.blend.MAX_LOSS", -1.0)  # no share makes it know so much more
    end = weights(taught)
    assert blend_weights(taught, tiny[0], lesson, tiny[1].pad_token_id, FP32) == 1.0
    assert same(weights(taught), end)
