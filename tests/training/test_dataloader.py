"""Only answers are learned, in batches whose order is a pure function of seed and epoch."""

import random

import pytest
import torch

from sails.data import Conversation, Turn
from sails.data.conversation import ANSWERS, ONLY_LAST
from sails.errors import BadDataError, ModelLoadError
from sails.onnx.runtime.chat_template import DEFAULT_CHAT_TEMPLATE
from sails.training.dataloader import (
    IGNORED,
    Example,
    collate,
    encode,
    epoch_batches,
    load_tokenizer,
    schedule,
    usual_labels,
)
from tests.support.tiny import make_tiny_model

TALK = Conversation(
    turns=(
        Turn("system", "Be short."),
        Turn("user", "What is 2 + 2?"),
        Turn("assistant", "It is 4."),
        Turn("user", "And 3 + 3?"),
        Turn("assistant", "That is 6."),
    ),
    extra={},
    row=1,
)
PAIR = Conversation((Turn("user", "Where does the sun rise?"), Turn("assistant", "In the east.")), {}, 1)


@pytest.fixture(scope="module", params=["llama", "gpt2", "no template"])
def tokenizer(request, tmp_path_factory):
    family = "llama" if request.param == "no template" else request.param
    folder = tmp_path_factory.mktemp("model")
    make_tiny_model(folder, family, chat_template=request.param != "no template")
    return load_tokenizer(folder)


def learned(tokenizer, conversation, max_length=512):
    (example,) = encode([conversation], tokenizer, max_length).examples
    assert len(example.tokens) == len(example.labels)
    for token, label in zip(example.tokens, example.labels, strict=True):
        assert label in (IGNORED, token)
    return tokenizer.decode([label for label in example.labels if label != IGNORED])


def test_only_the_answer_and_its_end_of_turn_are_learned(tokenizer):
    text = learned(tokenizer, PAIR)
    assert text.strip().startswith("In the east.")
    assert "sun" not in text
    rest = text.strip().removeprefix("In the east.")
    assert rest in tokenizer.all_special_tokens


def test_every_answer_of_a_longer_talk_is_learned_and_no_question(tokenizer):
    text = learned(tokenizer, TALK)
    assert "It is 4." in text
    assert "That is 6." in text
    assert "2 + 2" not in text
    assert "Be short" not in text


def test_where_a_conversation_says_so_only_its_last_answer_is_learned(tokenizer):
    text = learned(tokenizer, Conversation(TALK.turns, {ANSWERS: ONLY_LAST}))
    assert "That is 6." in text
    assert "It is 4." not in text


def test_an_answer_that_is_only_read_is_not_learned(tokenizer):
    turns = [*TALK.turns]
    turns[2] = Turn("assistant", "It is 4.", learned=False)
    text = learned(tokenizer, Conversation(tuple(turns)))
    assert "That is 6." in text
    assert "It is 4." not in text


def test_a_model_without_a_template_gets_ours_and_a_padding_token(tmp_path):
    tokenizer = load_tokenizer(make_tiny_model(tmp_path, "gpt2", chat_template=False))
    assert tokenizer.chat_template == DEFAULT_CHAT_TEMPLATE
    assert tokenizer.pad_token_id is not None
    text = tokenizer.apply_chat_template(PAIR.messages(), tokenize=False)
    assert text.startswith("User: Where does the sun rise?\nAssistant: In the east.")


def test_a_conversation_that_is_too_long_is_cut_and_counted(tokenizer):
    long = Conversation((Turn("user", "Why?"), Turn("assistant", "Because " * 200)), {}, 1)
    encoded = encode([long, PAIR], tokenizer, 64)
    assert encoded.shortened == 1
    assert [len(example) <= 64 for example in encoded.examples] == [True, True]


def test_a_conversation_whose_answer_lies_beyond_the_limit_is_left_out(tokenizer):
    late = Conversation((Turn("user", "Why? " * 200), Turn("assistant", "So.")), {}, 1)
    encoded = encode([late, PAIR], tokenizer, 64)
    assert encoded.left_out == 1
    assert len(encoded.examples) == 1
    with pytest.raises(BadDataError, match="No conversation has an answer within 64 tokens"):
        encode([late], tokenizer, 64)
    with pytest.raises(BadDataError, match="None of the 2 conversations has"):
        encode([late, late], tokenizer, 64)


def test_padding_is_masked_by_position_even_where_padding_is_the_end_of_turn():
    examples = [Example([5, 6, 7, 2], [IGNORED, 6, 7, 2]), Example([5, 2], [IGNORED, 2])]
    batch = collate(examples, padding=2)
    assert batch["labels"].tolist() == [[IGNORED, 6, 7, 2], [IGNORED, 2, IGNORED, IGNORED]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch["input_ids"].dtype == torch.int64


LENGTHS = [random.Random(7).randint(5, 90) for _ in range(400)]


def test_an_epoch_holds_every_row_once():
    batches = epoch_batches(LENGTHS, range(len(LENGTHS)), seed=1, epoch=0, token_budget=256)
    assert sorted(i for batch in batches for i in batch) == list(range(400))


def test_batches_keep_to_the_token_budget_and_waste_little_on_padding():
    batches = epoch_batches(LENGTHS, range(len(LENGTHS)), seed=1, epoch=0, token_budget=256)
    padded = [len(batch) * max(LENGTHS[i] for i in batch) for batch in batches]
    assert max(padded) <= 256
    assert sum(LENGTHS) / sum(padded) > 0.9


def test_a_row_longer_than_the_budget_has_a_batch_of_its_own():
    assert epoch_batches([900], [0], seed=1, epoch=0, token_budget=256) == [[0]]


def test_a_batch_size_fixes_the_rows():
    batches = epoch_batches(LENGTHS, range(len(LENGTHS)), seed=1, epoch=0, batch_size=8)
    assert {len(batch) for batch in batches} == {8}


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else():
    random.seed(1)
    first = schedule(LENGTHS, [range(len(LENGTHS))] * 3, seed=5, token_budget=256)
    random.seed(2)
    torch.manual_seed(2)
    assert schedule(LENGTHS, [range(len(LENGTHS))] * 3, seed=5, token_budget=256) == first
    assert schedule(LENGTHS, [range(len(LENGTHS))] * 2, seed=5, token_budget=256) == first[:2]
    assert first[0] != first[1]
    assert schedule(LENGTHS, [range(len(LENGTHS))] * 1, seed=6, token_budget=256)[0] != first[0]


def test_a_folder_without_a_tokenizer_is_refused_in_one_sentence(tmp_path):
    make_tiny_model(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (tmp_path / name).unlink()
    with pytest.raises(ModelLoadError, match="tokenizer") as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in caught.value.sentence


@pytest.mark.parametrize("choice", [{"batch_size": 8}, {"token_budget": 256}])
@pytest.mark.parametrize("count", [2, 9, 17, 33, 64, 200, 399])
def test_rows_meet_other_rows_in_each_round(choice, count):
    rounds = schedule(LENGTHS, [range(count)] * 4, seed=3, **choice)
    partitions = [{frozenset(batch) for batch in epoch} for epoch in rounds]
    if len(rounds[0]) > 1:
        alone = [max(epoch, key=lambda batch: max(LENGTHS[i] for i in batch)) for epoch in rounds]
        assert len({frozenset(batch) for batch in alone}) > 1 or count == 2  # not with the longest, always
        assert all(partitions[0] != other for other in partitions[1:]) or count == 2
    for epoch in rounds:
        assert sorted(i for batch in epoch for i in batch) == list(range(count))


@pytest.mark.parametrize("count", [9, 17, 33, 100, 399, 1001])
def test_with_a_batch_size_what_does_not_come_out_even_is_spread(count):
    lengths = [random.Random(n).randint(5, 90) for n in range(count)]
    batches = epoch_batches(lengths, range(count), seed=1, epoch=0, batch_size=8)
    sizes = [len(batch) for batch in batches]
    assert len(sizes) == -(-count // 8)
    assert max(sizes) - min(sizes) <= 1


def test_with_a_token_budget_no_batch_is_a_mere_remnant():
    for seed in range(20):
        batches = epoch_batches([60] * 41, range(41), seed=seed, epoch=0, token_budget=512)
        sizes = sorted(len(batch) for batch in batches)
        assert (sizes[0] >= 5, sizes[-1] <= 8) == (True, True)


def test_a_usual_batch_of_each_epoch_leaves_those_without_labels_aside():
    epochs = [[[0, 1], [2]], [[2, 3], [3]], []]
    assert usual_labels([4, 2, 6, 0], epochs) == [6.0, 6.0, 6.0, 6.0]
    assert usual_labels([0, 0, 0, 0], epochs) == [0.0, 0.0, 0.0, 0.0]
