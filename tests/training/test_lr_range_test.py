"""Learning-rate advice on models of two layers: the rule, the measuring, its bounds, nothing left behind."""

from __future__ import annotations

import pytest
import torch

from sails.data import Conversation, Turn
from sails.retention import open_prompts, rehearsal_prompts
from sails.sessions import Advice, Settings, Trial, format_rate
from sails.sessions.reporter import Stopped
from sails.training import lr_range_test, trainer
from sails.training.dataloader import Example, collate, encode, load_tokenizer
from sails.training.lr_range_test import (
    GRIDS,
    PATIENCE,
    RATES,
    ROUNDS,
    ROWS,
    Mixture,
    advised,
    follows_the_rule,
    in_small,
    probe,
    spread,
    still_to_try,
)
from sails.training.model import Precision, load_model
from sails.training.projection import projection_matrices
from sails.training.rehearsal import ask
from tests.support.tiny import make_tiny_model

FP32 = Precision("cpu", bf16=False)
OF_FIVE = Mixture(rows=5)  # and no old rows among them
UNPROTECTED = Settings(protect=0.0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")
    return load_model(folder, "cpu"), load_tokenizer(folder)


def rows(tokenizer, question: str, answer: str, count: int = 20) -> list[Example]:
    pairs = [(question.format(n), answer.format(n * 7 % 31)) for n in range(count)]
    talks = [Conversation((Turn("user", asked), Turn("assistant", said))) for asked, said in pairs]
    return list(encode(talks, tokenizer, 128).examples)


@pytest.fixture(scope="module")
def general(tiny):
    """What the untaught model answers to some general prompts."""
    return ask(*tiny, FP32, open_prompts()[:8])


@pytest.fixture(scope="module")
def protected(tiny):
    """Half of each batch is rehearsed, and movements are projected."""
    rehearsal = ask(*tiny, FP32, rehearsal_prompts()[::8])
    matrices = projection_matrices(tiny[0], rehearsal.examples, tiny[1].pad_token_id, FP32)
    return Mixture(rows=5, rehearsal=rehearsal, matrices=matrices)


@pytest.fixture
def measure(tiny, general):
    """Advice for new rows, without a word of it being waited for."""

    def measured(
        *,
        new,
        old=(),
        mixture=OF_FIVE,
        settings=UNPROTECTED,
        seconds=60.0,
        said=None,
        check=lambda: None,
    ) -> Advice:
        def report(fraction, words):
            if said is not None:
                said.append((fraction, words))

        return probe(
            *tiny,
            new=new,
            old=old,
            general=general,
            mixture=mixture,
            settings=settings,
            precision=FP32,
            seconds=seconds,
            report=report,
            check=check,
        )

    return measured


def trial(rate: float, new: float, old: float | None, general: float | None = None) -> Trial:
    return Trial(learning_rate=rate, steps=8, new_loss=new, old_loss=old, general_loss=general)


BEFORE = trial(0.0, 2.0, 1.0)


# --- the rule -------------------------------------------------------------------------------------


def test_the_highest_rate_that_learns_and_keeps_the_old_is_advised():
    trials = [trial(1e-5, 1.9, 1.0), trial(2e-5, 1.8, 1.01), trial(5e-5, 1.5, 1.03)]
    rate, reason = advised(trials, BEFORE)
    assert rate == 2e-5
    assert reason == (
        "At 2e-5 it learned most without forgetting: after 8 steps its error (loss) on the new examples "
        "fell by 10.0 % and on the earlier ones it rose by 1.0 %. "
        "At 5e-5 it forgot: its error (loss) on the earlier examples rose by 3.0 %."
    )


def test_a_rate_that_harms_general_knowledge_but_no_lesson_is_not_advised():
    before = trial(0.0, 2.0, 1.0, 0.01)
    trials = [trial(1e-5, 1.9, 1.0, 0.012), trial(2e-5, 1.8, 0.9, 0.029), trial(5e-5, 1.5, 0.8, 0.032)]
    rate, reason = advised(trials, before)
    assert rate == 2e-5
    assert reason.endswith(
        "fell by 10.0 %, on the earlier ones it fell by 10.0 % and its answers to general questions hardly "
        "changed (KL divergence 0.010 → 0.029). At 5e-5 it forgot: its answers to general questions changed "
        "too much (KL divergence 0.010 → 0.032)."
    )


def test_before_a_first_lesson_only_general_knowledge_can_be_lost():
    before = trial(0.0, 3.0, None, 0.0)
    trials = [trial(1e-5, 2.5, None, 0.01), trial(2e-5, 2.0, None, 0.03), trial(5e-5, 1.0, None, 0.031)]
    rate, reason = advised(trials, before)
    assert rate == 2e-5
    assert "earlier" not in reason
    rate, reason = advised(trials[2:], before)
    assert rate is None
    assert reason == (
        "Even at 5e-5, the lowest learning speed that was tried, it forgot: its answers to general "
        "questions changed too much (KL divergence 0.000 → 0.031)."
    )


def test_what_is_known_by_heart_may_rise_by_a_share_of_what_is_new():
    trials = [trial(1e-5, 5.0, 0.014), trial(5e-5, 2.0, 0.05), trial(2e-4, 0.5, 0.2)]
    assert advised(trials, trial(0.0, 6.0, 0.0125))[0] == 5e-5


def test_no_rate_above_one_that_forgets_is_advised():
    trials = [trial(1e-5, 1.9, 1.0), trial(2e-5, 1.8, 1.1), trial(5e-5, 1.5, 0.9)]
    assert advised(trials, BEFORE)[0] == 1e-5


def test_a_rate_at_which_less_is_learned_than_below_it_is_not_advised():
    trials = [trial(1e-5, 1.9, 1.0), trial(2e-5, 1.5, 0.9), trial(5e-5, 1.7, 1.0)]
    assert advised(trials, BEFORE)[0] == 2e-5


def test_where_every_rate_forgets_or_none_learns_there_is_no_advice_and_a_reason():
    rate, reason = advised([trial(5e-6, 1.9, 1.05), trial(1e-5, 1.8, 1.2)], BEFORE)
    assert rate is None
    assert reason == (
        "Even at 5e-6, the lowest learning speed that was tried, it forgot: "
        "its error (loss) on the earlier examples rose by 5.0 %."
    )
    rate, reason = advised([trial(5e-6, 2.0, 1.0)], BEFORE)
    assert (rate, "did not get better at the new examples" in reason) == (None, True)


def test_a_sample_comes_from_all_over_the_rows():
    assert spread(range(10), 5) == [0, 2, 4, 6, 8]  # type: ignore[comparison-overlap, arg-type]
    assert spread(range(3), ROWS) == [0, 1, 2]  # type: ignore[comparison-overlap, arg-type]


def test_a_session_in_small_mixes_new_and_old_rows_as_the_session_does(tiny):
    new = rows(tiny[1], "What is {}?", "It is {}.", 30)
    old = rows(tiny[1], "Where is {}?", "At {}.", 30)
    small = in_small(new, old, Mixture(rows=4, each=1.0, repeated=1 / 3), steps=12)
    assert [len(batches) for batches in small.batches] == [4] * ROUNDS
    taught = [number for batches in small.batches for batch in batches for number in batch]
    assert len(taught) == 12 * 4
    assert len(small.learned) == 8
    assert all(taught.count(number) == ROUNDS for number in range(8))
    assert len(small.kept) == 24
    # A third in each round, never the same.
    assert all(taught.count(number) == 1 for number in range(8, len(small.examples)))
    small = in_small(new, old, Mixture(rows=4), steps=12)
    assert len(small.kept) == ROWS
    assert {number for batches in small.batches for batch in batches for number in batch} == {*range(16)}
    assert not in_small(new, [], Mixture(rows=4, each=1.0), steps=12).kept


@pytest.fixture
def two_rates(monkeypatch) -> tuple[float, float]:
    """What is tried, where nothing depends on how much."""
    rates = (RATES[1], RATES[-1])
    monkeypatch.setattr("sails.training.lr_range_test.GRIDS", (rates, *GRIDS))
    return rates


# --- what is tried --------------------------------------------------------------------------------


def test_rates_are_tried_from_the_lowest_until_two_in_a_row_break_the_rule():
    assert still_to_try(RATES, {}) == RATES
    assert still_to_try(RATES, {5e-6: True, 1e-5: False}) == RATES[2:]
    assert still_to_try(RATES, {5e-6: False, 1e-5: False}) == ()
    assert still_to_try(RATES, dict.fromkeys(RATES, True)) == ()


def test_with_little_time_the_middle_rate_is_tried_and_the_half_that_may_hold_a_better_one():
    low, middle, high = GRIDS[-1]
    assert still_to_try(GRIDS[-1], {}) == (middle, low, high)
    assert still_to_try(GRIDS[-1], {middle: True}) == (high,)
    assert still_to_try(GRIDS[-1], {middle: False}) == (low,)
    assert still_to_try(GRIDS[-1], {middle: False, low: True}) == ()


# --- measuring ------------------------------------------------------------------------------------


def test_a_lesson_that_disturbs_nothing_gets_the_rate_that_learns_most(tiny, measure):
    new = rows(tiny[1], "Which hill is number {}?", "Hill {} it is.")
    old = rows(tiny[1], "Which hill is number {}?", "Hill {} it is.", 40)[20:]
    said: list[tuple[float, str]] = []
    advice = measure(new=new, old=old, said=said)
    assert advice.learning_rate == RATES[-1]
    assert [trial.learning_rate for trial in advice.trials] == list(RATES)
    assert {trial.steps for trial in advice.trials} == {12}  # three rounds of twenty rows
    assert advice.trials[-1].new_loss < advice.trials[0].new_loss < advice.new_loss
    assert said[0] == (0.0, f"trying 5e-6, 1 of {len(RATES)}")
    assert [fraction for fraction, _ in said] == sorted(fraction for fraction, _ in said)
    assert Advice.model_validate_json(advice.model_dump_json()) == advice


def test_a_lesson_that_contradicts_the_earlier_one_gets_a_rate_below_those_that_harm_it(
    tiny, measure, monkeypatch
):
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
    advice = measure(new=new, old=old)
    model.load_state_dict(weights)
    before = trial(0.0, advice.new_loss, advice.old_loss)  # whatever became of general knowledge
    broken = [trial for trial in advice.trials if not follows_the_rule(trial, before)]
    assert broken
    assert advice.learning_rate is None or advice.learning_rate < broken[0].learning_rate


def test_a_rate_that_harms_general_answers_and_no_lesson_is_not_advised(tiny, measure, monkeypatch):
    monkeypatch.setattr("sails.training.lr_range_test.GRIDS", ((1e-5, 1e-4, 1e-2),))
    new = rows(tiny[1], "Which hill is number {}?", "Hill {} it is.")
    advice = measure(new=new)
    assert (advice.old_loss, advice.general_loss) == (None, pytest.approx(0.0, abs=1e-4))
    harmful = advice.trials[-1]
    assert (harmful.learning_rate, harmful.old_loss) == (1e-2, None)
    assert harmful.new_loss < min(trial.new_loss for trial in advice.trials[:-1])  # it learns most
    assert advice.learning_rate == 1e-4
    assert "At 1e-2 it forgot: its answers to general questions changed too much" in advice.reason


@pytest.mark.usefixtures("two_rates")
def test_the_weights_are_as_before_and_two_measurements_agree(tiny, measure, protected):
    new = rows(tiny[1], "What is {}?", "It is {}.")
    old = rows(tiny[1], "Where is {}?", "At {}.")
    before = {name: value.clone() for name, value in tiny[0].state_dict().items()}
    for mixture, settings in ((OF_FIVE, UNPROTECTED), (protected, Settings())):
        first, second = (measure(new=new, old=old, mixture=mixture, settings=settings) for _ in range(2))
        assert first.trials == second.trials
        assert all(torch.equal(value, before[name]) for name, value in tiny[0].state_dict().items())
        assert all(parameter.grad is None for parameter in tiny[0].parameters())
        assert all(parameter.requires_grad for parameter in tiny[0].parameters())


# --- the session's own steps ----------------------------------------------------------------------


@pytest.fixture
def trained(monkeypatch):
    """Each run that was tried: what it was made of, its learning rates by step, and the weights it left."""
    runs = []

    def seen(model, tokenizer, run, precision, session, watcher):
        rates = []
        heard = watcher.metric
        watcher.metric = lambda kind, **said: (rates.append(said.get("learning_rate")), heard(kind, **said))
        trainer.train(model, tokenizer, run, precision, session, watcher)
        runs.append((run, rates, {name: value.clone() for name, value in model.state_dict().items()}))

    monkeypatch.setattr(lr_range_test, "train", seen)
    return runs


def test_trials_are_protected_as_the_session_is(tiny, measure, protected, trained, two_rates):
    new = rows(tiny[1], "What is {}?", "It is {}.")
    before = {name: value.clone() for name, value in tiny[0].state_dict().items()}
    measure(new=new, mixture=protected, settings=Settings(protect=0.5))
    assert len(trained) == 1 + len(two_rates)  # the first one to see how long it takes
    for run, _, after in trained:
        moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
        assert moved == {f"{name}.weight" for name in protected.matrices}
        for batch in run.flat:
            assert sum(number >= len(run.examples) for number in batch) == len(batch) / 2
    trained.clear()
    measure(new=new)
    assert all(run.rehearsal is run.matrices is None for run, _, _ in trained)
    assert all(not torch.equal(trained[0][2][name], before[name]) for name in before)


@pytest.mark.usefixtures("two_rates")
def test_a_lesson_learned_under_protection_disturbs_general_answers_less(tiny, measure, protected):
    new = rows(tiny[1], "What is {}?", "It is {}.")
    plain = measure(new=new).trials[-1]
    gentle = measure(new=new, mixture=protected, settings=Settings()).trials[-1]
    assert plain.learning_rate == gentle.learning_rate
    assert gentle.general_loss < 0.5 * plain.general_loss


@pytest.mark.usefixtures("two_rates")
def test_the_rate_stays_the_same_until_known_and_falls_where_the_rounds_are_exact(tiny, measure, trained):
    new = rows(tiny[1], "What is {}?", "It is {}.", 40)
    measure(new=new)
    _, rates, _ = trained[-1]
    assert len(rates) == 24
    assert rates[2:] == [RATES[-1]] * 22
    assert rates[0] < rates[1] <= RATES[-1]
    trained.clear()
    measure(new=new, settings=Settings(protect=0.0, epochs=3))
    _, rates, _ = trained[-1]
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] < 0.2 * RATES[-1]


def test_it_stops_between_two_steps_when_asked_and_leaves_the_weights_as_before(tiny, measure, protected):
    new = rows(tiny[1], "What is {}?", "It is {}.")
    before = {name: value.clone() for name, value in tiny[0].state_dict().items()}
    asked = iter(range(14))

    def check() -> None:
        if next(asked) == 13:
            raise Stopped

    with pytest.raises(Stopped):
        measure(new=new, old=new, mixture=protected, settings=Settings(), check=check)
    assert all(torch.equal(value, before[name]) for name, value in tiny[0].state_dict().items())


# --- its time -------------------------------------------------------------------------------------


class Clock:
    """A clock on which only the looks for a stop take time: one after each step, three for scoring.

    All of it is computed; by the clock on the wall it takes `busy` times as long.
    """

    def __init__(self) -> None:
        self.now, self.busy = 0.0, 1.0

    def process_time(self) -> float:
        return self.now * torch.get_num_threads()

    def monotonic(self) -> float:
        return self.now * self.busy

    def check(self) -> None:
        self.now += 1.0


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("sails.training.lr_range_test.time", made)
    return made


def test_a_busy_machine_gives_the_same_trials(tiny, measure, clock):
    new = rows(tiny[1], "What is {}?", "It is {}.")
    idle = measure(new=new, seconds=90.0, check=clock.check)
    clock.busy = 0.9 * PATIENCE
    busy = measure(new=new, seconds=90.0, check=clock.check)
    assert len(idle.trials) == len(GRIDS[1])
    assert (busy.trials, busy.learning_rate, busy.reason) == (idle.trials, idle.learning_rate, idle.reason)
    assert busy.seconds > 3 * idle.seconds


@pytest.mark.parametrize(
    ("seconds", "busy", "tried", "untried"),
    [
        (90.0, 2.0 * PATIENCE, (1e-5, 2e-5, 5e-5), (1e-4, 2e-4)),
        (90.0, 9.0 * PATIENCE, (), GRIDS[1]),
        (21.0, 1.0, (5e-5,), (2e-4,)),
        (12.0, 1.0, (), GRIDS[-1]),
        (0.0, 1.0, (), RATES),
    ],
)
def test_where_time_ends_before_it_is_tried_it_could_not_be_measured(
    tiny, measure, clock, seconds, busy, tried, untried
):
    new = rows(tiny[1], "What is {}?", "It is {}.")
    clock.busy = busy
    advice = measure(new=new, seconds=seconds, check=clock.check)
    assert tuple(trial.learning_rate for trial in advice.trials) == tried
    assert (advice.learning_rate, advice.untried) == (None, untried)
    assert advice.reason.startswith("It could not be measured: there was not enough time to try ")
    assert advice.reason.endswith("This computer is busy, or slow. Measure again when it has less to do.")
    assert all(format_rate(rate) in advice.reason for rate in untried)


def test_time_that_ends_above_a_rate_that_breaks_the_rule_leaves_nothing_open(
    tiny, measure, clock, monkeypatch
):
    monkeypatch.setattr("sails.training.lr_range_test.GRIDS", ((1e-5, 2e-2, 3e-2), *GRIDS[1:]))
    new = rows(tiny[1], "What is {}?", "It is {}.")
    clock.busy = 1.9 * PATIENCE
    advice = measure(new=new, seconds=80.0, check=clock.check)
    assert [trial.learning_rate for trial in advice.trials] == [1e-5, 2e-2]
    assert (advice.learning_rate, advice.untried) == (1e-5, ())
    assert "It could not be measured" not in advice.reason


@pytest.mark.parametrize(
    ("seconds", "grid", "steps"), [(1000.0, 0, 12), (130.0, 0, 9), (90.0, 1, 9), (44.0, 2, 9)]
)
def test_little_time_tries_fewer_rates_rather_than_too_few_steps_at_each(
    tiny, measure, clock, seconds, grid, steps
):
    new = rows(tiny[1], "What is {}?", "It is {}.")
    advice = measure(new=new, seconds=seconds, check=clock.check)
    tried = GRIDS[grid] if grid < 2 else GRIDS[2][1:]  # of three, the middle one and the better half
    assert tuple(trial.learning_rate for trial in advice.trials) == tried
    assert {trial.steps for trial in advice.trials} == {steps}
    assert clock.now <= seconds


def test_a_rate_that_tears_the_model_apart_ends_the_search(tiny, measure, monkeypatch):
    new = rows(tiny[1], "What is {}?", "It is {}.")
    monkeypatch.setattr("sails.training.lr_range_test.GRIDS", ((1e-5, 1e30), *GRIDS))
    advice = measure(new=new)
    assert advice.learning_rate == 1e-5
    assert advice.reason.endswith("At 1e30 the training would go wrong.")
    monkeypatch.setattr("sails.training.lr_range_test.GRIDS", ((1e30,), *GRIDS))
    advice = measure(new=new)
    assert (advice.learning_rate, advice.reason) == (None, "At 1e30 the training would go wrong.")


def test_without_new_rows_there_is_nothing_to_measure(measure):
    with pytest.raises(ValueError, match="new rows"):
        measure(new=[])
