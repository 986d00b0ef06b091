"""When a lesson is known: rounds in a row with enough of its answers right, or rounds that bring no more."""

import pytest

from sails.training.known import LEAST_FALL, PATIENCE, KnownRule, RoundScores, why_enough

TOKENS = 1000


def rounds(*seen):
    """Rounds with (right, loss) of a thousand tokens each; the loss is the mean."""
    return [RoundScores(loss=loss * TOKENS, tokens=TOKENS, right=right) for right, loss in seen]


def falling(*rights):
    """Rounds whose loss halves each time, so that only what is right can end them."""
    return rounds(*((right, 4 / 2**number) for number, right in enumerate(rights)))


ONCE, TWICE = KnownRule(0.99), KnownRule(0.995, rounds=2)


@pytest.mark.parametrize(
    ("rule", "rights", "enough"),
    [
        (ONCE, (), None),
        (ONCE, (0,), None),
        (ONCE, (989,), None),
        (ONCE, (990,), "known"),
        (ONCE, (1000,), "known"),
        (ONCE, (500, 700, 995), "known"),
        (ONCE, (995, 989), None),  # it is the last round that counts
        (TWICE, (1000,), None),
        (TWICE, (995, 995), "known"),
        (TWICE, (995, 994), None),
        (TWICE, (994, 995), None),
        (TWICE, (995, 500, 995), None),  # two, but not in a row
        (TWICE, (995, 500, 995, 996), "known"),
    ],
)
def test_a_lesson_is_known_after_so_many_rounds_in_a_row_with_so_much_right(rule, rights, enough):
    assert why_enough(falling(*rights), rule) == enough


@pytest.mark.parametrize(
    ("losses", "enough"),
    [
        ([2.0] * PATIENCE, None),  # nothing is before them to compare with
        ([2.0] * (PATIENCE + 1), "level"),
        ([2.0, 3.0, 3.0, 3.0, 3.0], "level"),
        ([2.0, 1.995, 1.99, 1.985, 1.981], "level"),  # within the rounds it fell by less than a hundredth
        ([2.0, 1.995, 1.99, 1.985, 1.979], None),
        ([2.0, 2.0, 2.0, 2.0, 1.0], None),
        ([2.0, 1.0, 2.0, 2.0, 2.0], None),  # the best of the last ones counts
        ([2.0, 1.0, 2.0, 2.0, 2.0, 2.0], "level"),
        ([9.0, 2.0, 2.0, 2.0, 2.0, 2.0], "level"),
    ],
)
def test_a_lesson_is_level_when_its_loss_falls_no_further(losses, enough):
    assert (PATIENCE, LEAST_FALL) == (4, 0.01)
    assert why_enough(rounds(*((500, loss) for loss in losses)), ONCE) == enough


def test_what_is_known_and_level_is_known():
    assert why_enough(rounds(*[(995, 0.1)] * 6), ONCE) == "known"


def test_rounds_that_nobody_counted_tell_nothing():
    uncounted = [RoundScores()] * 6
    assert why_enough(uncounted, ONCE) is None
    assert why_enough([*uncounted, *falling(995)], TWICE) is None
    assert why_enough([*uncounted, *falling(995, 995)], TWICE) == "known"
    assert why_enough(uncounted + rounds(*[(500, 2.0)] * PATIENCE), ONCE) is None


def test_a_round_adds_up_its_steps_and_a_longer_one_is_no_worse():
    seen = RoundScores()
    for loss, tokens, right in ((3.0, 6.0, 5.0), (1.0, 4.0, 4.0)):
        seen.add(loss, tokens, right)
    assert seen == RoundScores(loss=4.0, tokens=10, right=9)
    # Twice the tokens at the same mean loss: the loss of a token counts, not the sum.
    twice = [RoundScores(loss=20.0, tokens=10)] + [RoundScores(loss=20.0, tokens=20)] * PATIENCE
    assert why_enough(twice, ONCE) is None
    assert why_enough([*twice, twice[-1]], ONCE) == "level"
