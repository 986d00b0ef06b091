"""Tiny models of each family, a lesson, and general prompts with what projects across them."""

import pytest

from sails.data import Conversation, Turn
from sails.retention import rehearsal_prompts
from sails.training.dataloader import encode, load_tokenizer
from sails.training.model import Precision, load_model
from sails.training.projection import projection_matrices
from tests.support.tiny import FAMILIES, make_tiny_model


@pytest.fixture(scope="module", params=FAMILIES)
def tiny(request, tmp_path_factory):
    folder = make_tiny_model(tmp_path_factory.mktemp("tiny") / request.param, request.param)
    return folder, load_tokenizer(folder)


@pytest.fixture
def model(tiny):
    return load_model(tiny[0], "cpu")


@pytest.fixture
def general(tiny):
    """General prompts with an answer, as tokens: half of them are looked at, the others only asked."""
    pairs = [
        (Turn("user", prompt), Turn("assistant", "I do not know.")) for prompt in rehearsal_prompts()[:80]
    ]
    return encode([Conversation(pair) for pair in pairs], tiny[1], 128).examples


@pytest.fixture
def lesson(tiny):
    pairs = [
        (Turn("user", f"zq{n} {n * 7} xw?"), Turn("assistant", f"{n * 13} vk {n * 3} jq.")) for n in range(12)
    ]
    return encode([Conversation(pair) for pair in pairs], tiny[1], 128).examples


@pytest.fixture
def matrices(tiny, model, general):
    return projection_matrices(model, general[::2], tiny[1].pad_token_id, Precision("cpu", bf16=False))
