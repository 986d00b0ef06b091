"""Learning-rate advice on models of two layers: the rule, the measuring, its bounds, nothing left behind."""

from __future__ import annotations

import pytest
import torch

from sails.data import Conversation, Turn
from sails.sessions import Advice, Trial
from sails.sessions.reporter import Stopped
from sails.training.dataloader import Example, collate, encode, load_tokenizer
from sails.training.lr_range_test import (
    GRIDS,
    RATES,
    ROUNDS,
    ROWS,
    Mixture,
    advised,
    follows_the_rule,
    in_small,
    probe,
    spread,
)
from sails.training.model import Precision, load_model
from tests.support.tiny import make_tiny_model

FP32 = Precision("cpu", bf16=False)
OF_FIVE = Mixture(rows=5)  # and no old rows among them


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")
    return load_model(folder, "cpu"), load_tokenizer(folder)


def rows(tokenizer, question: str, answer: str, count: int = 20) -> list[Example]:
    pairs = [(question.format(n), answer.format(n * 7 % 31)) for n in range(count)]
    talks = [Conversation((Turn("user", asked), Turn("assistant", said))) for asked, said in pairs]
    return list(encode(talks, tokenizer, 128).examples)


def measure(tiny, *, new, old, mixture=OF_FIVE, seconds=60.0, said=None, check=lambda: None) -> Advice:
    def report(fraction, words):
        if said is not None:
            said.append((fraction, words))

    return probe(
        *tiny, new=new, old=old, mixture=mixture, precision=FP32, seconds=seconds, report=report, check=check
    )


def trial(rate: float, new: float, old: float) -> Trial:
    return Trial(learning_rate=rate, steps=8, new_loss=new, old_loss=old)


# --- the rule -------------------------------------------------------------------------------------


def test_the_highest_rate_that_learns_and_keeps_the_old_is_advised():
    trials = [trial(1e-5, 1.9, 1.0), trial(2e-5, 1.8, 1.01), trial(5e-5, 1.5, 1.03)]
    rate, reason = advised(trials, 2.0, 1.0)
    assert rate == 2e-5
    assert reason == (
        "At 2e-5 it learned most without forgetting: after 8 steps its error (loss) on the new examples "
        "fell by 10.0 %, on the earlier ones it rose by 1.0 %."
    )


def test_what_is_known_by_heart_may_rise_by_a_share_of_what_is_new():
    trials = [trial(1e-5, 5.0, 0.014), trial(5e-5, 2.0, 0.05), trial(2e-4, 0.5, 0.2)]
    assert advised(trials, 6.0, 0.0125)[0] == 5e-5


def test_no_rate_above_one_that_forgets_is_advised():
    trials = [trial(1e-5, 1.9, 1.0), trial(2e-5, 1.8, 1.1), trial(5e-5, 1.5, 0.9)]
    assert advised(trials, 2.0, 1.0)[0] == 1e-5


def test_a_rate_at_which_less_is_learned_than_below_it_is_not_advised():
    trials = [trial(1e-5, 1.9, 1.0), trial(2e-5, 1.5, 0.9), trial(5e-5, 1.7, 1.0)]
    assert advised(trials, 2.0, 1.0)[0] == 2e-5


def test_where_every_rate_forgets_or_none_learns_there_is_no_advice_and_a_reason():
    rate, reason = advised([trial(5e-6, 1.9, 1.05), trial(1e-5, 1.8, 1.2)], 2.0, 1.0)
    assert rate is None
    assert reason == (
        "Even at 5e-6, the lowest learning speed that was tried, it forgot: "
        "its error (loss) on the earlier examples rose by 5.0 %."
    )
    rate, reason = advised([trial(5e-6, 2.0, 1.0)], 2.0, 1.0)
    assert (rate, "did not get better at the new examples" in reason) == (None, True)
    assert advised([], 2.0, 1.0) == (None, "There was not enough time to try a single learning speed.")


def test_a_sample_comes_from_all_over_the_rows():
    assert spread(range(10), 5) == [0, 2, 4, 6, 8]  # type: ignore[comparison-overlap, arg-type]
    assert spread(range(3), ROWS) == [0, 1, 2]  # type: ignore[comparison-overlap, arg-type]


def test_a_session_in_small_mixes_new_and_old_rows_as_the_session_does(tiny):
    new = rows(tiny[1], "What is {}?", "It is {}.", 30)
    old = rows(tiny[1], "Where is {}?", "At {}.", 30)
    batches, (learned, kept) = in_small(new, old, Mixture(rows=4, each=1.0, repeated=1 / 3), steps=12)
    assert len(batches) == 12
    assert {len(batch) for batch in batches} == {4}
    taught = [id(row) for batch in batches for row in batch]
    assert len(learned) == 8
    assert all(taught.count(id(row)) == ROUNDS for row in learned)
    assert len(kept) == 24
    assert all(taught.count(id(row)) == 1 for row in kept)  # a third in each round, never the same
    batches, (learned, kept) = in_small(new, old, Mixture(rows=4), steps=12)
    assert len(kept) == ROWS
    assert not {id(row) for row in kept} & {id(row) for batch in batches for row in batch}


# --- measuring ------------------------------------------------------------------------------------


def test_a_lesson_that_disturbs_nothing_gets_the_rate_that_learns_most(tiny):
    new = rows(tiny[1], "Which hill is number {}?", "Hill {} it is.")
    old = rows(tiny[1], "Which hill is number {}?", "Hill {} it is.", 40)[20:]
    said: list[tuple[float, str]] = []
    advice = measure(tiny, new=new, old=old, said=said)
    assert advice.learning_rate == RATES[-1]
    assert [trial.learning_rate for trial in advice.trials] == list(RATES)
    assert {trial.steps for trial in advice.trials} == {12}  # three rounds of twenty rows
    assert advice.trials[-1].new_loss < advice.trials[0].new_loss < advice.new_loss
    assert said[0] == (0.0, f"trying 5e-6, 1 of {len(RATES)}")
    assert [fraction for fraction, _ in said] == sorted(fraction for fraction, _ in said)
    assert Advice.model_validate_json(advice.model_dump_json()) == advice


def test_a_lesson_that_contradicts_the_earlier_one_gets_a_rate_below_those_that_harm_it(tiny, monkeypatch):
    monkeypatch.setattr("sails.training.lr_range_test.GRIDS", ((1e-5, 5e-3, 2e-2),))
    model, tokenizer = tiny
    old = rows(tokenizer, "Which hill is number {}?", "Hill {} it is.")
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(60):
        few = old[step % 4 :: 4]
        loss = model(**collate(few, tokenizer.pad_token_id)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    new = rows(tokenizer, "Which hill is number {}?", "No, {} never.")
    advice = measure(tiny, new=new, old=old)
    model.load_state_dict(weights)
    broken = [
        trial for trial in advice.trials if not follows_the_rule(trial, advice.new_loss, advice.old_loss)
    ]
    assert broken
    assert advice.learning_rate is None or advice.learning_rate < broken[0].learning_rate


def test_the_weights_are_as_before_and_two_measurements_agree(tiny):
    new = rows(tiny[1], "What is {}?", "It is {}.")
    old = rows(tiny[1], "Where is {}?", "At {}.")
    before = {name: value.clone() for name, value in tiny[0].state_dict().items()}
    first, second = (measure(tiny, new=new, old=old) for _ in range(2))
    assert first.trials == second.trials
    assert all(torch.equal(value, before[name]) for name, value in tiny[0].state_dict().items())
    assert all(parameter.grad is None for parameter in tiny[0].parameters())


def test_it_stops_between_two_steps_when_asked_and_leaves_the_weights_as_before(tiny):
    new = rows(tiny[1], "What is {}?", "It is {}.")
    before = {name: value.clone() for name, value in tiny[0].state_dict().items()}
    asked = iter(range(12))

    def check() -> None:
        if next(asked) == 11:
            raise Stopped

    with pytest.raises(Stopped):
        measure(tiny, new=new, old=new, check=check)
    assert all(torch.equal(value, before[name]) for name, value in tiny[0].state_dict().items())


class Clock:
    """A clock on which only the looks for a stop take time: one before each step, two for scoring."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def check(self) -> None:
        self.now += 1.0


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("sails.training.lr_range_test.time", made)
    return made


def test_it_ends_when_its_time_is_over_and_says_what_it_did_not_try(tiny, clock):
    new = rows(tiny[1], "What is {}?", "It is {}.")
    advice = measure(tiny, new=new, old=new, seconds=18.0, check=clock.check)
    assert [trial.learning_rate for trial in advice.trials] == [5e-5]
    assert "There was no time to try 2e-4 and more." in advice.reason
    assert clock.now <= 20
    advice = measure(tiny, new=new, old=new, seconds=0.0, check=clock.check)
    assert (advice.learning_rate, advice.trials) == (None, ())


@pytest.mark.parametrize(
    ("seconds", "grid", "steps"), [(1000.0, 0, 12), (110.0, 0, 9), (80.0, 1, 9), (36.0, 2, 9)]
)
def test_little_time_tries_fewer_rates_rather_than_too_few_steps_at_each(tiny, clock, seconds, grid, steps):
    new = rows(tiny[1], "What is {}?", "It is {}.")
    advice = measure(tiny, new=new, old=new, seconds=seconds, check=clock.check)
    tried = GRIDS[grid] if grid < 2 else GRIDS[2][1:]  # of three, the middle one and the better half
    assert tuple(trial.learning_rate for trial in advice.trials) == tried
    assert {trial.steps for trial in advice.trials} == {steps}
    assert clock.now <= seconds


def test_a_rate_that_tears_the_model_apart_ends_the_search(tiny, monkeypatch):
    monkeypatch.setattr("sails.training.lr_range_test.GRIDS", ((1e-5, 1e30),))
    new = rows(tiny[1], "What is {}?", "It is {}.")
    advice = measure(tiny, new=new, old=new)
    assert advice.learning_rate == 1e-5
    assert advice.reason.endswith("At 1e30 its error was no number any more.")


def test_without_rows_of_both_kinds_there_is_nothing_to_compare(tiny):
    new = rows(tiny[1], "What is {}?", "It is {}.")
    with pytest.raises(ValueError, match="both kinds"):
        measure(tiny, new=new, old=[])
