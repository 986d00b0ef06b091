"""Rows in one sequence: the same logits and gradients as for padded rows, or the padded rows."""

import pytest
import torch
import transformers

from sails.training.dataloader import Example, collate
from sails.training.loss import AnswerLogits
from sails.training.packing import packed, padded

SHARED = [3, 4, 5, 6, 7, 8]
ROWS = ([9, 10, 11, 12], [9, 13], [14, 15, 16], [17, 18, 19, 20, 21, 22, 23, 24])
SIZE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "initializer_range": 0.3,  # so that it matters what a token looks at
}
PACK = {
    "Llama": SIZE,
    "Mistral": {**SIZE, "sliding_window": 64},
    "Qwen2": SIZE,
    "Qwen3": {**SIZE, "head_dim": 8},
    "Gemma2": {**SIZE, "head_dim": 8, "final_logit_softcapping": 3.0},
    "Phi3": {**SIZE, "pad_token_id": 0},
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64, "initializer_range": 0.3},
    "GPTNeoX": SIZE,
}
DO_NOT = {
    "GPTNeo": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 16,  # more than the two rows have that are tried, and less than all
        "vocab_size": 64,
        "initializer_range": 0.3,
    },
    "Bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64, "initializer_range": 0.3},
    "Mamba": {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 64, "state_size": 8},
}


def model_of(family, **changed):
    config = getattr(transformers, f"{family}Config")(**{**(PACK | DO_NOT)[family], **changed})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return transformers.AutoModelForCausalLM.from_config(config).eval()


def batch_of(rows=ROWS, shared=SHARED, learned=2):
    examples = [
        Example([*shared, *row], [-100] * (len(shared) + len(row) - learned) + row[-learned:]) for row in rows
    ]
    return collate(examples, 0)


def answers(model, batch, *, packs):
    answer_logits = AnswerLogits(model)
    answer_logits.inputs(model, batch)
    if not packs:
        answer_logits.packs = False
    logits, targets = answer_logits(model, batch)
    model.zero_grad()
    torch.nn.functional.cross_entropy(logits, targets).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return answer_logits.packs, logits.detach(), gradients


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", PACK)
def test_packed_rows_have_the_logits_and_gradients_of_padded_ones(family, attention):
    model, batch = model_of(family), batch_of()
    model.set_attn_implementation(attention)
    was_packed, logits, gradients = answers(model, batch, packs=True)
    _, expected, expected_gradients = answers(model, batch, packs=False)
    assert was_packed
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", DO_NOT)
def test_a_model_that_computes_something_else_for_packed_rows_gets_them_padded(family):
    model, batch = model_of(family), batch_of()
    answer_logits = AnswerLogits(model)
    logits, _ = answer_logits(model, batch)
    assert not answer_logits.packs
    whole = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    torch.testing.assert_close(logits, whole[:, :-1][batch["labels"][:, 1:] != -100], rtol=1e-4, atol=1e-4)


def test_rows_longer_than_what_a_model_looks_at_are_padded():
    model = model_of("Mistral", sliding_window=4)
    batch = batch_of()
    logits, _ = AnswerLogits(model)(model, batch)
    whole = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    torch.testing.assert_close(logits, whole[:, :-1][batch["labels"][:, 1:] != -100], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("rows", "shared"),
    [
        (ROWS, []),  # nothing in common
        ([[9], [9, 9], [9, 9, 9]], []),  # all of the shortest one
        ([[9, 10], [9, 10]], SHARED),  # the same row twice: labels in what all begin with
        ([[9, 10, 11]], SHARED),
    ],
)
def test_each_label_is_predicted_by_the_token_before_it_in_its_own_row(rows, shared):
    batch = batch_of(rows, shared, learned=1)
    inputs = packed(batch)
    ids, places = inputs.tensors["input_ids"][0], inputs.places.tolist()
    whole = [[*shared, *row] for row in rows]
    predicting = [(number, len(row) - 2) for number, row in enumerate(whole) if len(row) > 1]
    assert len(places) == len(predicting)
    mask, positions = inputs.tensors["attention_mask"][0, 0], inputs.tensors["position_ids"][0]
    for place, (row, column) in zip(places, predicting, strict=True):
        assert ids[mask[place]].tolist() == whole[row][: column + 1]
        assert positions[mask[place]].tolist() == list(range(column + 1))
    assert inputs.counts.sum() == padded(batch).counts.sum() == sum(map(len, whole))


def test_what_has_less_to_do_is_chosen():
    batch = batch_of()
    assert packed(batch).saves_work(padded(batch), 32)
    one = batch_of([list(range(9, 40))])
    assert not packed(one).saves_work(padded(one), 32)
    different = batch_of(
        [list(range(n, n + 50)) for n in range(9, 17)], []
    )  # each would look past the others
    assert not packed(different).saves_work(padded(different), 8)
