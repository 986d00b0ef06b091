"""A model rehearses what its base answers: which rows, the loss on them, the file, and that it helps."""

from collections import Counter
from dataclasses import replace
from itertools import chain

import pytest
import torch
from torch.nn import functional

from sails.retention import closed_questions, open_prompts, rehearsal_prompts
from sails.sessions import Session
from sails.system import read_json
from sails.training import rehearsal as rehearsals
from sails.training.dataloader import IGNORED, collate, encode, load_tokenizer, schedule
from sails.training.loss import AnswerLogits
from sails.training.model import load_model
from sails.training.rehearsal import (
    SHIPPED,
    TOP,
    answers_file,
    ask,
    divergence,
    rehearsal_of,
    soft_loss,
    with_rehearsal,
)
from sails.training.scoring import general_drift
from sails.training.trainer import train
from tests.support.helpers import write_lesson
from tests.support.tiny import make_tiny_model
from tests.training.test_trainer import FP32, Notebook, run_of

PROMPTS = ("What is a cloud?", "Name two birds.", "Say good night.", "Why is grass green?", "Count to three.")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = make_tiny_model(tmp_path_factory.mktemp("tiny"), "llama")
    return folder, load_tokenizer(folder)


@pytest.fixture(scope="module")
def answered(tiny):
    return ask(load_model(tiny[0], "cpu"), tiny[1], FP32, PROMPTS)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache in which nothing was answered yet."""
    monkeypatch.setenv("SAILS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "general"


def test_how_far_a_model_is_from_saying_the_same_is_the_mean_over_all_tokens(tiny, answered, tmp_path):
    padding = tiny[1].pad_token_id
    assert divergence(load_model(tiny[0], "cpu"), answered, padding, FP32) == pytest.approx(0, abs=1e-5)
    other = load_model(make_tiny_model(tmp_path / "other", "llama", seed=5), "cpu").train()
    total = 0.0
    with torch.no_grad():
        for example, log_probs, tokens in zip(*vars(answered).values(), strict=True):
            batch = collate([example], padding)
            logits = other(**batch).logits[:, :-1][batch["labels"][:, 1:] != IGNORED]
            total += float(soft_loss(logits, log_probs, tokens))
    mean = total / sum(map(len, answered.tokens))
    assert divergence(other, answered, padding, FP32) == pytest.approx(mean, rel=1e-4)
    assert mean > 0.1
    assert other.training  # it is left as it was


# --- which rows -----------------------------------------------------------------------------------

LESSON = schedule([9] * 30, [range(30)] * 3, seed=3, batch_size=6)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.4, 0.5])
def test_the_batches_get_their_share_and_keep_their_own_rows(share):
    mixed = with_rehearsal(LESSON, first=30, count=50, share=share, seed=3)
    rehearsed, rows = 0, 0
    for before, after in zip(chain(*LESSON), chain(*mixed), strict=True):
        assert after[: len(before)] == before
        added = after[len(before) :]
        assert all(30 <= number < 80 for number in added)
        rehearsed, rows = rehearsed + len(added), rows + len(before)
        assert rehearsed == pytest.approx(rows * share / (1 - share), abs=1)  # at any time
    assert [len(epoch) for epoch in mixed] == [len(epoch) for epoch in LESSON]


def test_all_are_rehearsed_in_turn_before_one_comes_again():
    added = [
        number
        for epoch in with_rehearsal(LESSON, first=30, count=7, share=0.25, seed=3)
        for batch in epoch
        for number in batch
        if number >= 30
    ]
    assert len(added) == 30
    turns = [added[begin : begin + 7] for begin in range(0, 28, 7)]
    assert all(sorted(turn) == list(range(30, 37)) for turn in turns)
    assert len({tuple(turn) for turn in turns}) > 1  # in another order each time
    assert max(Counter(added).values()) - min(Counter(added).values()) <= 1


def test_the_same_arguments_give_the_same_batches_and_another_seed_does_not():
    def mixed(seed):
        return with_rehearsal(LESSON, first=30, count=50, share=0.25, seed=seed)

    before = [[list(batch) for batch in epoch] for epoch in LESSON]
    assert mixed(3) == mixed(3) != mixed(4)
    assert before == LESSON  # what it was given is as it was


# --- the loss on them -----------------------------------------------------------------------------


def logits(seed, rows=12, vocabulary=40):
    return 2 * torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed))


def likeliest(of, count):
    """The `count` likeliest tokens of each row, with their log probabilities."""
    top = functional.log_softmax(of, -1).topk(count, -1)
    return top.values, top.indices


def test_with_the_whole_vocabulary_it_is_the_kullback_leibler_divergence():
    base, ours = logits(1), logits(2)
    whole = functional.kl_div(
        functional.log_softmax(ours, -1), functional.log_softmax(base, -1), reduction="sum", log_target=True
    )
    assert soft_loss(ours, *likeliest(base, 40)).item() == pytest.approx(whole.item(), rel=1e-4)


def test_of_a_few_tokens_it_is_less_than_of_all_and_never_negative():
    base, ours = logits(1), logits(2)
    found = [soft_loss(ours, *likeliest(base, count)).item() for count in (1, 4, 16, 40)]
    assert found == sorted(found)
    assert found[0] > 0


@pytest.mark.parametrize("count", [1, 16, 40])
def test_for_the_model_itself_it_is_zero_and_pulls_nowhere(count):
    base = logits(1)
    ours = base.clone().requires_grad_()
    loss = soft_loss(ours, *likeliest(base, count))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-4)
    assert ours.grad.abs().max() < 1e-5


def test_it_pulls_a_model_back_to_its_base():
    base, ours = logits(1), logits(2).requires_grad_()
    kept = likeliest(base, 16)
    optimizer = torch.optim.Adam([ours], lr=0.1)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = soft_loss(ours, *kept)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 50


# --- what the base answers, and the file of it ----------------------------------------------------


def test_each_prompt_is_answered_once_with_what_the_model_would_have_said(tiny, answered):
    assert len(answered) == len(PROMPTS)
    texts = [tiny[1].decode(example.tokens) for example in answered.examples]
    assert all(any(prompt in text for text in texts) for prompt in PROMPTS)
    model = load_model(tiny[0], "cpu")
    for example, log_probs, tokens in zip(
        answered.examples, answered.log_probs, answered.tokens, strict=True
    ):
        places = [place for place, label in enumerate(example.labels[1:]) if label != IGNORED]
        with torch.inference_mode():
            logits = model(torch.tensor([example.tokens])).logits[0, places]
        torch.testing.assert_close(log_probs, likeliest(logits, TOP)[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(functional.log_softmax(logits, -1).gather(1, tokens), log_probs)


def test_asking_leaves_the_model_as_it_was(tiny):
    model = load_model(tiny[0], "cpu").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ask(model, tiny[1], FP32, PROMPTS[:1])
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_file_is_read_back_as_it_was_written(tiny, answered, own_cache):
    first = rehearsal_of(tiny[0], tiny[1], FP32, PROMPTS)
    again = rehearsal_of(tiny[0], tiny[1], FP32, PROMPTS)
    for read in (first, again):
        assert read.examples == answered.examples
        for one, other in zip(read.tokens, answered.tokens, strict=True):
            assert torch.equal(one, other)
        for one, other in zip(read.log_probs, answered.log_probs, strict=True):
            assert one.dtype == torch.float32
            torch.testing.assert_close(one, other, atol=0.01, rtol=0.001)  # kept with half the bits
    assert len(list(own_cache.iterdir())) == 1


def test_a_model_is_asked_once_and_anew_for_other_prompts_or_another_template(tiny, own_cache, monkeypatch):
    asked = []

    def counted(model, tokenizer, precision, prompts):
        asked.append(len(prompts))
        return ask(model, tokenizer, precision, prompts)

    monkeypatch.setattr(rehearsals, "ask", counted)
    for _ in range(2):
        rehearsal_of(tiny[0], tiny[1], FP32, PROMPTS)
    assert asked == [5]
    rehearsal_of(tiny[0], tiny[1], FP32, PROMPTS[:3])
    rehearsal_of(tiny[0], tiny[1], FP32, ("What is a cloud", *PROMPTS[1:]))
    assert asked == [5, 3, 5]
    other = load_tokenizer(tiny[0])
    other.chat_template = other.chat_template.replace("<|im_start|>assistant", "<|im_start|>helper")
    rehearsal_of(tiny[0], other, FP32, PROMPTS)
    assert asked == [5, 3, 5, 5]
    assert len(list(own_cache.iterdir())) == 4


def test_another_model_has_another_file(tiny, tmp_path, own_cache):
    other = make_tiny_model(tmp_path / "other", "llama", seed=1)
    one, two = (answers_file(folder, "rehearsed.npz", PROMPTS) for folder in (tiny[0], other))
    assert one != two
    assert one.parent == two.parent == own_cache


def test_what_is_shipped_answers_what_is_asked_today():
    (rehearsed,) = SHIPPED.glob("*-rehearsed.npz")
    (measured,) = SHIPPED.glob("*-measured.json")
    assert len(rehearsals._read(rehearsed)) == len(rehearsal_prompts())
    content = read_json(measured)
    assert len(content["answers"]) == len(open_prompts())
    known = {*content["known"]}
    assert known < {asked.question for asked in closed_questions()}
    assert len(known) >= 60


# --- and it helps ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lesson(tiny, tmp_path_factory):
    from sails.data.reading import parse as read

    rows = read(write_lesson(tmp_path_factory.mktemp("data") / "lesson.json", rows=24)).conversations
    return encode(rows, tiny[1], 128).examples


def rehearsing(lesson, rehearsal, share, epochs=8):
    run = run_of(lesson, epochs=epochs)
    batches = with_rehearsal(
        run.batches, first=len(lesson), count=len(rehearsal), share=share, seed=run.settings.seed
    )
    return replace(run, batches=batches, rehearsal=rehearsal)


def teach(tiny, run, folder):
    model, notes = load_model(tiny[0], "cpu"), Notebook()
    outcome = train(model, tiny[1], run, FP32, Session(folder), notes)
    return model, outcome, notes


def drift_of(model, tokenizer, rehearsal):
    """What a step that rehearses all would write down as its drift."""
    batch = collate(rehearsal.examples, tokenizer.pad_token_id)
    with torch.inference_mode():
        logits, targets = AnswerLogits(model)(model.eval(), batch)
    return soft_loss(logits, torch.cat(rehearsal.log_probs), torch.cat(rehearsal.tokens)).item() / len(
        targets
    )


def test_a_model_that_rehearses_learns_its_lesson_and_drifts_less(tiny, answered, lesson, tmp_path):
    plain, _, without = teach(tiny, run_of(lesson, epochs=8), tmp_path / "plain")
    kept, _, notes = teach(tiny, rehearsing(lesson, answered, 0.5), tmp_path / "kept")
    assert not any("drift" in step for step in without.of("step"))
    drifts = [step["drift"] for step in notes.of("step")]
    assert drifts[0] == pytest.approx(0, abs=1e-4)  # before the first step it is its base
    assert drifts[-1] > 0
    assert drift_of(kept, tiny[1], answered) < drift_of(plain, tiny[1], answered) / 5
    # Also on other prompts than those that it rehearsed.
    far, near = (general_drift(model, tiny[0], tiny[1], FP32).divergence for model in (plain, kept))
    assert near < 0.7 * far
    losses = [[step["loss"] for step in heard.of("step")] for heard in (without, notes)]
    assert all(steps[-1] < steps[0] / 3 for steps in losses)


def test_what_is_rehearsed_is_not_counted_as_the_lesson(tiny, answered, lesson, tmp_path):
    _, _, without = teach(tiny, run_of(lesson, epochs=1), tmp_path / "plain")
    _, _, notes = teach(tiny, rehearsing(lesson, answered, 0.5, epochs=1), tmp_path / "kept")
    first, kept = without.of("step")[0], notes.of("step")[0]
    for name in ("loss", "taught_loss", "taught_tokens", "taught_right"):
        assert kept[name] == pytest.approx(first[name], rel=1e-4), name
    assert kept["tokens"] > first["tokens"]
    steps = zip(without.of("step"), notes.of("step"), strict=True)
    assert all(one["taught_tokens"] == other["taught_tokens"] for one, other in steps)


def test_a_resumed_run_rehearses_on_where_it_was(tiny, answered, lesson, tmp_path):
    run = rehearsing(lesson, answered, 0.25, epochs=2)
    whole, _, whole_notes = teach(tiny, run, tmp_path / "whole")
    model = load_model(tiny[0], "cpu")
    train(model, tiny[1], run, FP32, Session(tmp_path / "parts"), Notebook(stop_after=5))
    resumed, _, rest = teach(tiny, run, tmp_path / "parts")
    drifts = [step["drift"] for step in whole_notes.of("step")]
    assert [step["drift"] for step in rest.of("step")] == drifts[5:]
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())
