"""Counting tokens without torch: the numbers are those of training, and an estimate says that it is one."""

import json
import subprocess
import sys

import pytest

from sails.data import Conversation, Turn, datasets
from sails.models.workspace import Workspace
from sails.training import token_count
from tests.conftest import REPOSITORY
from tests.support.folders import make_model
from tests.support.tiny import FAMILIES, make_tiny_model

SYSTEM = Turn("system", "Answer in one sentence.")


def pair(question: str, answer: str) -> Conversation:
    return Conversation((Turn("user", question), Turn("assistant", answer)))


ROWS = [
    pair("What is a variable?", "A variable is a name that stands for a value."),
    pair("Why is the sky blue? 🦜", "Because the air scatters\nblue light."),
    Conversation((SYSTEM, *pair("How many days?", "There are 7 days in a week.").turns)),
    Conversation((*pair("Hi", "Hello").turns, *pair("Who are you?", "A small model.").turns)),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("chat_template", [True, False])
def test_a_conversation_is_as_long_as_in_training(tmp_path, family, chat_template):
    from sails.training import dataloader

    folder = make_tiny_model(tmp_path / "model", family, chat_template=chat_template)
    trained = dataloader.encode(ROWS, dataloader.load_tokenizer(folder), 10_000)
    lengths = token_count.measure(ROWS, folder)
    assert lengths.counted
    assert list(lengths.measured) == trained.lengths


def test_without_a_tokenizer_four_characters_count_as_a_token_and_it_says_so(tmp_path):
    rows = [pair("a" * 4, "b" * 4), pair("a" * 5, "b" * 4)]
    for folder in (None, tmp_path):
        lengths = token_count.measure(rows, folder)
        assert lengths.measured == (22, 23)
        assert not lengths.counted


@pytest.mark.parametrize("content", ["", "{}", "not json", json.dumps({"model": {"type": "unheard of"}})])
def test_a_damaged_tokenizer_is_as_good_as_none(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    lengths = token_count.measure(ROWS, tmp_path)
    assert not lengths.counted
    assert len(lengths.measured) == len(ROWS)


def test_many_conversations_are_sampled_and_their_figures_scaled_to_all():
    many = [pair("a" * 40, "b" * (40 if n % 2 else 4000)) for n in range(30_001)]
    reported: list[float] = []
    lengths = token_count.measure(many, None, reported.append)
    assert lengths.sampled
    assert len(lengths.measured) <= token_count.MOST_MEASURED
    exact = sum(map(datasets.estimated_tokens, many))
    assert lengths.total == pytest.approx(exact, rel=0.03)
    assert lengths.longer_than(512) == pytest.approx(15_000, rel=0.03)
    assert reported == sorted(reported)
    assert reported[-1] == 1.0


def test_the_figures_of_a_few_lengths():
    lengths = token_count.Lengths((10, 20, 600), conversations=3, counted=True)
    assert (lengths.total, lengths.longest, lengths.typical) == (630, 600, 20)
    assert (lengths.longer_than(512), lengths.longer_than(600)) == (1, 0)
    assert not lengths.sampled


def test_no_conversations_have_no_length():
    lengths = token_count.measure([], None)
    assert (lengths.total, lengths.longest, lengths.typical, lengths.longer_than(1)) == (0, 0, 0, 0)


def test_the_tokens_are_the_trained_models_and_else_there_are_none(tmp_path):
    workspace = Workspace.open(tmp_path / "workspace")
    assert token_count.tokenizer_folder(workspace) is None  # the cache of base models is empty in tests
    make_model(workspace.trained_model)
    (workspace.trained_model / "tokenizer.json").write_text("{}")
    assert token_count.tokenizer_folder(workspace) == workspace.trained_model


def test_counting_loads_neither_torch_nor_transformers(tmp_path):
    folder = make_tiny_model(tmp_path / "model")
    script = (
        "import sys; from pathlib import Path; from sails import training\n"
        "from sails.data import Conversation, Turn\n"
        "rows = [Conversation((Turn('user', 'Hi'), Turn('assistant', 'Hello')))]\n"
        f"assert training.measure(rows, Path({str(folder)!r})).counted\n"
        "print([m for m in ('torch', 'transformers', 'optimum', 'datasets') if m in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
