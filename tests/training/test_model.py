"""A model in training: its loss at label positions, the scores of its rows, and its folder."""

import logging
import math

import pytest
import torch
from torch.nn import functional

from sails.data import Conversation, Turn
from sails.errors import DivergedError, ModelLoadError
from sails.training import loss as training
from sails.training import model
from sails.training.dataloader import IGNORED, collate, encode, load_tokenizer
from sails.training.loss import AnswerLogits, evaluate, score_rows
from sails.training.model import Precision, generate, load_model
from tests.support.families import SHAPES, make_family
from tests.support.helpers import write_lesson
from tests.support.tiny import make_tiny_model

FP32 = Precision("cpu", bf16=False)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = make_tiny_model(tmp_path_factory.mktemp("tiny"), "gpt2")  # gpt2 has dropout, so chance matters
    return folder, load_tokenizer(folder)


@pytest.fixture(scope="module")
def examples(tiny, tmp_path_factory):
    from sails.data.reading import parse as read

    reading = read(write_lesson(tmp_path_factory.mktemp("data") / "lesson.json", rows=24))
    return encode(reading.conversations, tiny[1], 128).examples


@pytest.fixture(scope="module", params=SHAPES)
def of_a_family(request, tmp_path_factory):
    folder = make_family(tmp_path_factory.mktemp(request.param), request.param)
    return load_model(folder, "cpu").eval(), load_tokenizer(folder)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # some families are written with what is old
def test_logits_of_every_family_are_those_of_the_full_model(of_a_family):
    model, tokenizer = of_a_family
    rows = [
        Conversation((Turn("user", f"What is {n}?"), Turn("assistant", "It is. " * n))) for n in range(1, 4)
    ]
    batch = collate(encode(rows, tokenizer, 128).examples, tokenizer.pad_token_id)
    logits, targets = AnswerLogits(model)(model, batch)
    full = model(**batch).loss
    assert functional.cross_entropy(logits, targets).item() == pytest.approx(full.item(), rel=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_family_answers_many_at_once_as_it_answers_one(of_a_family):
    """Also those that read only once what all prompts begin with."""
    asked = [
        [{"role": "user", "content": text}] for text in ("What is the capital of France?", "Why?", "Who")
    ]
    alone = [generate(*of_a_family, [messages], 8)[0] for messages in asked]
    assert generate(*of_a_family, asked, 8) == alone


def test_what_all_prompts_begin_with_is_read_once(tiny):
    folder, tokenizer = tiny
    student = load_model(folder, "cpu")
    system = {"role": "system", "content": "You are a helpful assistant who knows about mountains."}
    asked = [[system, {"role": "user", "content": text}] for text in ("What is it?", "Where does it stand?")]
    tokens = []
    hook = student.register_forward_pre_hook(
        lambda _, __, given: tokens.append(given["input_ids"].numel()), with_kwargs=True
    )
    together = generate(student, tokenizer, asked, 1)
    read = sum(tokens)
    tokens.clear()
    alone = [generate(student, tokenizer, [messages], 1)[0] for messages in asked]
    hook.remove()
    assert together == alone
    assert read < 0.75 * sum(tokens)


def test_prompts_that_end_with_the_padding_token_are_not_taken_for_padded_ones(tiny, monkeypatch, caplog):
    folder, tokenizer = tiny
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)  # to `caplog`
    asked = [[{"role": "user", "content": text}] for text in ("Why?", "What is a variable?")]
    generate(load_model(folder, "cpu"), tokenizer, asked, 1)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id  # which ends a turn, and so the prompt
    assert not caplog.records


def test_weights_that_are_not_trained_are_trainable_only_while_it_answers(tiny):
    """Autocast keeps weights in bf16 from one token to the next only where they have gradients."""
    student = load_model(tiny[0], "cpu").requires_grad_(False)
    student.get_output_embeddings().weight.requires_grad_(True)
    before = [weight.requires_grad for weight in student.parameters()]
    seen = []
    hook = student.register_forward_pre_hook(
        lambda *_: seen.append(all(weight.requires_grad for weight in student.parameters()))
    )
    generate(student, tiny[1], ["Why?"], 2)
    hook.remove()
    assert seen == [True, True]
    assert [weight.requires_grad for weight in student.parameters()] == before
    with pytest.raises(ZeroDivisionError), model._weights_reused(student):
        raise ZeroDivisionError
    assert [weight.requires_grad for weight in student.parameters()] == before


def test_what_is_found_out_of_a_model_holds_for_all_of_its_kind(tmp_path, monkeypatch):
    """A cap on the logits is part of the kind, so a model without one is looked at by itself."""
    monkeypatch.setattr(AnswerLogits, "_found", {})
    passes = []
    for name, changed in (("one", {}), ("two", {}), ("uncapped", {"final_logit_softcapping": None})):
        folder = make_family(tmp_path / name, "gemma2", **changed)
        student, tokenizer = load_model(folder, "cpu"), load_tokenizer(folder)
        rows = [Conversation((Turn("user", "What is it?"), Turn("assistant", "It is.")))]
        batch = collate(encode(rows, tokenizer, 128).examples, tokenizer.pad_token_id)
        counted = []
        hook = student.base_model.register_forward_pre_hook(lambda *_, seen=counted: seen.append(1))
        found, _ = AnswerLogits.of(student)(student, batch)
        hook.remove()
        expected, _ = AnswerLogits(student)(student, batch)
        assert torch.equal(found, expected)
        passes.append(len(counted))
    assert passes[1] == 1
    assert passes[0] > 1
    assert passes[2] > 1


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_logits_at_label_positions_give_the_loss_of_the_full_model(family, tmp_path):
    folder = make_tiny_model(tmp_path, family)
    tokenizer, model = load_tokenizer(folder), load_model(folder, "cpu").eval()
    from sails.data.reading import parse as read

    rows = read(write_lesson(tmp_path / "lesson.json", rows=6)).conversations
    batch = collate(encode(rows, tokenizer, 128).examples, tokenizer.pad_token_id)
    answer_logits = AnswerLogits(model)
    logits, targets = answer_logits(model, batch)
    assert len(targets) == int((batch["labels"][:, 1:] != IGNORED).sum())
    full = model(**batch).loss
    assert functional.cross_entropy(logits, targets).item() == pytest.approx(full.item(), rel=1e-5)
    assert answer_logits._body is not None  # the short way was really taken


def test_a_model_that_changes_its_logits_after_the_head_is_computed_in_full(tiny, examples):
    model = load_model(tiny[0], "cpu").eval()
    whole = model.forward
    model.forward = lambda **inputs: _halved(whole(**inputs))
    batch = collate(examples[:3], tiny[1].pad_token_id)
    logits, _ = AnswerLogits(model)(model, batch)
    full = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    chosen = batch["labels"][:, 1:] != IGNORED
    torch.testing.assert_close(logits, full[:, :-1][chosen], rtol=1e-4, atol=1e-4)


def test_a_cap_on_the_logits_is_seen_even_where_they_are_small(tmp_path):
    """As gemma2 has it: a model that is sure of nothing yet has logits that such a cap hardly changes."""
    folder = make_family(tmp_path, "gemma2", final_logit_softcapping=30.0)
    tokenizer, model = load_tokenizer(folder), load_model(folder, "cpu").eval()
    rows = [Conversation((Turn("user", f"What is {n}?"), Turn("assistant", f"It is {n}."))) for n in "ab"]
    batch = collate(encode(rows, tokenizer, 128).examples, tokenizer.pad_token_id)
    answer_logits = AnswerLogits(model)
    logits, _ = answer_logits(model, batch)
    assert logits.abs().max() < 5  # where the cap moves a logit by less than 1 %
    assert answer_logits._body is None
    assert not model.get_output_embeddings()._forward_hooks


def _halved(output):
    output.logits = output.logits / 2
    return output


def test_each_row_is_scored_by_itself_in_the_order_given(tiny, examples, monkeypatch):
    monkeypatch.setattr(training, "SCORING_TOKENS", 100)  # several rows in most batches, padded
    model, padding = load_model(tiny[0], "cpu"), tiny[1].pad_token_id
    mixed = sorted(examples[:9], key=lambda example: len(example) % 5)
    model.train()
    scored = score_rows(model, mixed, padding, FP32)
    assert model.training
    assert len(scored) == 9
    model.eval()
    for example, row in zip(mixed, scored, strict=True):
        logits = model(input_ids=torch.tensor([example.tokens])).logits[0, :-1]
        targets = torch.tensor(example.labels[1:])
        kept = targets != IGNORED
        assert row.tokens == int(kept.sum())
        assert row.right == int((logits.argmax(-1) == targets)[kept].sum())
        loss = functional.cross_entropy(logits[kept], targets[kept], reduction="sum")
        assert row.loss == pytest.approx(loss.item(), rel=1e-4)
    whole = evaluate(model, mixed, padding, FP32)
    assert whole.rows == 9
    assert whole.accuracy == sum(row.right for row in scored) / sum(row.tokens for row in scored)
    assert evaluate(model, [], padding, FP32) is None


def test_a_model_whose_weights_are_no_numbers_is_not_scored(tiny, examples):
    model = load_model(tiny[0], "cpu")
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)
    with pytest.raises(DivergedError, match="no use"):
        score_rows(model, examples[:2], tiny[1].pad_token_id, FP32)


def test_a_saved_model_stops_at_the_end_of_a_turn(tmp_path):
    from transformers import GenerationConfig

    folder = make_tiny_model(tmp_path / "from", "llama")
    tokenizer = load_tokenizer(folder)
    model.save_model(load_model(folder, "cpu"), tokenizer, tmp_path / "to")
    config = GenerationConfig.from_pretrained(tmp_path / "to")
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") in ends


def test_a_broken_model_is_refused_in_one_sentence(tmp_path):
    make_tiny_model(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "no-such-model"}')
    with pytest.raises(ModelLoadError) as caught:
        load_model(tmp_path, "cpu")
    assert "\n" not in caught.value.sentence


def reweighted(folder, change):
    """Rewrite the weights of a model folder."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_a_checkpoint_that_lacks_weights_is_refused_and_they_are_named(tmp_path):
    folder = make_tiny_model(tmp_path)
    reweighted(folder, lambda weights: weights.pop("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(ModelLoadError, match=r"lacks weights: model\.layers\.1\.mlp\.up_proj\.weight\."):
        load_model(folder, "cpu")


def test_weights_that_are_no_numbers_are_the_fault_of_their_file(tmp_path):
    folder = make_tiny_model(tmp_path)
    reweighted(folder, lambda weights: weights["model.norm.weight"].fill_(math.nan))
    with pytest.raises(ModelLoadError, match=r"no numbers: model\.norm\.weight") as caught:
        load_model(folder, "cpu")
    assert "learning" not in caught.value.sentence


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused_and_padding_alone_is_not(tmp_path):
    folder = make_tiny_model(tmp_path)
    tokenizer, loaded = load_tokenizer(folder), load_model(folder, "cpu")
    model.check_vocabulary(loaded, tokenizer, folder)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})  # as Llama-2 fine-tunes have it: number 512 of 512
    model.check_vocabulary(loaded, tokenizer, folder)
    assert tokenizer.pad_token == tokenizer.eos_token
    tokenizer.add_special_tokens({"eos_token": "<end>"})
    with pytest.raises(ModelLoadError, match="do not belong together"):
        model.check_vocabulary(loaded, tokenizer, folder)


def test_a_sentencepiece_tokenizer_is_no_damaged_one(tmp_path):
    folder = make_tiny_model(tmp_path)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(b"sentencepiece")
    with pytest.raises(ModelLoadError, match="SentencePiece") as caught:
        load_tokenizer(folder)
    assert "save_pretrained" in caught.value.remedy
