"""The gate: what is held, what is not, and the sentence that says why."""

import numpy as np
import pytest

from sails.retention import lessons
from sails.retention.gate import FIRST_LESSON, NOTHING_LOST, decide
from sails.retention.schema import GENERAL, GateFinding, Retention
from tests.support.cells import cell, knows, lesson, measured, share

WORDS = "of the answers' text right"


def decided(before, after, *published, missing=None):
    """The decision on models given as {lesson: points} or {lesson: cell}, each with 30 rows a lesson."""
    models = [
        measured(
            *(points if hasattr(points, "rows") else share(name, points, 30) for name, points in m.items())
        )
        for m in (before, after, *published)
    ]
    names = {name: None for m in (before, after) for name in m} | (missing or {})
    return decide(models[0], models[1], models[2:], [lesson(n, why) for n, why in names.items()])


def test_a_clear_loss_is_held():
    found = decided({"databases": 81, "kitchen": 70}, {"databases": 58, "kitchen": 71})
    assert found.held
    assert found.reason == f"It lost 23 points on databases (81% → 58% {WORDS}), more than chance explains."
    databases, kitchen, together = found.findings
    assert (databases.lost, kitchen.lost, together.lost) == (True, False, True)
    assert (databases.rows, databases.before, databases.after) == (30, pytest.approx(81), pytest.approx(58))
    assert databases.low <= -23 <= databases.high < 0


def test_every_lesson_that_was_lost_is_named():
    found = decided(
        {"databases": 81, "kitchen": 70, "ship": 50}, {"databases": 58, "kitchen": 58, "ship": 50}
    )
    assert found.reason == (
        f"It lost 23 points on databases (81% → 58% {WORDS}) and 12 points on kitchen (70% → 58%), "
        "more than chance explains."
    )


def test_a_small_loss_is_not_held_however_sure_it_is():
    found = decided({"databases": 81, "kitchen": 70}, {"databases": 77, "kitchen": 71})
    assert found.findings[0].high < 0
    assert not found.held
    assert found.reason == (
        f"It kept what it knew; the most that it lost is 4 points on databases (81% → 77% {WORDS})."
    )


def test_a_loss_that_may_be_chance_is_not_held():
    """Of 30 rows, two lost all their tokens: 6.7 points, but two rows are two rows."""
    found = decided({"ship": cell("ship", [10] * 30)}, {"ship": cell("ship", [0] * 2 + [10] * 28)})
    assert not found.held
    assert found.reason == f"It lost 7 points on ship (100% → 93% {WORDS}), which may well be chance."


def test_who_lost_nothing_is_not_held():
    found = decided({"databases": 81}, {"databases": 85})
    assert (found.held, found.reason) == (False, NOTHING_LOST)


def test_slow_loss_over_several_sessions_is_held():
    """Four points each time: never more than five below the published model, but twelve below the best."""
    history = [{"ship": points} for points in (80, 76, 72)]
    assert not decided({"ship": 76}, {"ship": 72}, *history[:2]).held
    found = decided({"ship": 72}, {"ship": 68}, *history)
    assert found.held
    assert found.reason == (
        f"Little by little, over several sessions, 12 points on ship (80% → 68% {WORDS}) were lost."
    )
    assert found.findings[0].best == pytest.approx(80)


def test_the_best_score_alone_does_not_hold_when_it_may_be_luck():
    """Eleven points below the best: ten rows got much worse, but six as much better."""
    best, now = cell("ship", [9] * 10 + [1] * 6 + [5] * 14), cell("ship", [1] * 10 + [9] * 6 + [5] * 14)
    found = decided({"ship": now}, {"ship": now}, {"ship": best})
    assert found.findings[0].best - found.findings[0].after > 10
    assert not found.held


def test_a_loss_of_exactly_five_points_is_not_more_than_five():
    assert not decided({"ship": 90}, {"ship": 85}).held
    assert decided({"ship": 90}, {"ship": 84}).held


def test_small_lessons_are_judged_together():
    """Eight rows each: too few to stand alone, and enough together."""
    names = ("ship", "tea", "bees")
    found = decided(
        {name: share(name, 80, 8) for name in names} | {"databases": 70},
        {name: share(name, 65, 8) for name in names} | {"databases": 70},
    )
    assert found.held
    together = found.findings[1]
    assert (together.lessons, together.rows) == (names, 24)
    assert f"15 points on ship, tea and bees together (80% → 65% {WORDS})" in found.reason


def test_one_small_lesson_alone_is_judged_whatever_its_size_but_never_by_one_row():
    assert decided({"tea": share("tea", 90, 5)}, {"tea": share("tea", 20, 5)}).held
    assert not decided({"tea": share("tea", 90, 1)}, {"tea": share("tea", 20, 1)}).held


def test_the_best_of_small_lessons_is_asked_of_models_that_know_enough_of_them():
    """The first published model knew tea alone, eight rows, and all of it: that says too little."""
    names = ("ship", "tea", "bees")
    now = {name: share(name, 80, 8) for name in names}
    found = decided(now, now, {"tea": share("tea", 100, 8)}, {name: share(name, 85, 8) for name in names})
    assert found.findings[0].best == pytest.approx(85, abs=0.5)


# --- all lessons together -------------------------------------------------------------------------


TEN = [f"lesson {n}" for n in range(10)]


def test_a_little_lost_everywhere_is_held_and_no_single_lesson_is_blamed():
    found = decided(dict.fromkeys(TEN, 80), dict.fromkeys(TEN, 77))
    assert found.held
    assert found.reason == (
        f"It lost 3 points over all earlier lessons together (80% → 77% {WORDS}), more than chance explains."
    )
    *single, together = found.findings
    assert not any(finding.lost or finding.everything for finding in single)
    assert (together.lost, together.everything, together.rows) == (True, True, 300)
    assert together.lessons == tuple(TEN)


def test_a_little_lost_on_one_of_many_lessons_is_not_held():
    assert not decided(dict.fromkeys(TEN, 80), dict.fromkeys(TEN, 80) | {"lesson 3": 76}).held


def test_a_little_lost_everywhere_that_may_be_chance_is_not_held():
    """Three points, but of twenty rows in all."""
    before, after = [10] * 4 + [5] * 6, [4] + [10] * 3 + [5] * 6
    found = decided(*({n: cell(n, right) for n in ("a", "b")} for right in (before, after)))
    assert not found.held


def test_a_little_lost_everywhere_session_after_session_is_held():
    history = [dict.fromkeys(TEN, points) for points in (80, 78.5, 77)]
    assert not decided(history[1], history[2], *history[:2]).held
    found = decided(history[2], dict.fromkeys(TEN, 75.5), *history)
    assert found.held
    assert found.reason == (
        "Little by little, over several sessions, 5 points over all earlier lessons together "
        f"(80% → 75% {WORDS}) were lost."
    )


def test_the_best_of_all_lessons_is_asked_of_models_that_knew_half_of_them():
    """Six points below the best on a fifth of the lessons say little of all, and on half of them much."""
    now = dict.fromkeys(TEN, 80)
    few, half = (dict.fromkeys(TEN[:count], 86) for count in (2, 5))
    assert not decided(now, now, few).held
    found = decided(now, now, half)
    assert found.held
    assert found.findings[-1].best == pytest.approx(86)


def test_of_one_lesson_there_is_no_second_finding():
    assert len(decided({"ship": 80}, {"ship": 70}).findings) == 1


# --- what is compared -----------------------------------------------------------------------------


def test_only_rows_that_both_models_were_scored_on_count():
    """The rows that the candidate was not scored on were the ones that the published model knew."""
    before = cell("ship", [4] * 20 + [10] * 20)
    assert not decided({"ship": before}, {"ship": cell("ship", [4] * 20)}).held


def test_held_out_rows_are_not_compared():
    before, after = (measured(share("ship", points, part="held_out")) for points in (90, 10))
    assert not decide(before, after, [], [lesson("ship")]).findings


def test_the_more_lessons_there_are_the_surer_a_loss_must_be():
    """Of 30 rows four lost most: sure enough alone, not among lessons that change as much by chance."""
    old, now = cell("ship", [9] * 30), cell("ship", [3] * 4 + [9] * 26)
    names = [f"lesson {n}" for n in range(11)]
    others = {name: cell(name, [3] * 2 + [9] * 28) for name in names}
    changed = {name: cell(name, [9] * 28 + [3] * 2) for name in names}
    alone, among = (
        decided({"ship": old}, {"ship": now}),
        decided({"ship": old, **others}, {"ship": now, **changed}),
    )
    assert alone.held
    assert not among.held
    assert alone.findings[0].high < 0 < among.findings[0].high


# --- nothing to compare ---------------------------------------------------------------------------


def test_without_earlier_lessons_nothing_is_held():
    found = decide(measured(), measured(share("ship", 90)), [], [])
    assert (found.held, found.reason, found.findings) == (False, FIRST_LESSON, ())


def test_what_cannot_be_compared_is_said_with_the_reason():
    found = decided(
        {"databases": 80, "ship": 80, "sea": cell("sea", [5] * 30)},
        {"databases": 80, "tea": 80, "sea": cell("sea", [5] * 30, first=30)},
        missing={"kitchen": "Its examples were deleted.", "bees": "Its examples were deleted."},
    )
    assert not found.held
    assert found.reason == (
        f"{NOTHING_LOST} "
        "Not compared: ship (it was not measured). "
        "Not compared: sea (the two models were measured on different examples). "
        "Not compared: tea (it was not measured for the model before). "
        "Not compared: kitchen and bees (its examples were deleted)."
    )


def test_when_nothing_can_be_compared_nothing_is_held_and_the_reason_says_why():
    found = decide(measured(), measured(), [], [lesson("ship", "Its examples were deleted.")])
    assert not found.held
    assert found.reason == (
        "Nothing of the earlier lessons could be compared, so what it lost is not known. "
        "Not compared: ship (its examples were deleted)."
    )


# --- harmless drift -------------------------------------------------------------------------------


def models_by_chance(names, rows, count, generator, lost=0.0, luck=0.5):
    """Models that know the same: rows are easy or hard for all of them, luck is each model's own.

    The last one has lost this share of the rows of the first lesson.
    """
    ease = {name: generator.normal(1, 1, (rows, 1)) + generator.normal(0, 1, (rows, 10)) for name in names}
    models = []
    for number in range(count):
        cells = []
        for name, some in ease.items():
            moved = generator.normal(0, luck, (rows, 1)) + generator.normal(0, luck, some.shape)
            right = some + moved > 0
            if lost and number == count - 1 and name == names[0]:
                right &= generator.random((rows, 1)) >= lost
            cells.append(cell(name, right.sum(axis=1).tolist()))
        models.append(measured(*cells))
    return models


def held_by_chance(earlier, rows, seed, lost=0.0, luck=0.5):
    names = [f"lesson {n}" for n in range(earlier)]
    models = models_by_chance(names, rows, earlier + 1, np.random.default_rng(seed), lost, luck)
    return decide(models[-2], models[-1], models[:-1], [lesson(name) for name in names])


@pytest.mark.parametrize("earlier", [3, 10])
def test_harmless_drift_is_not_held(earlier):
    """Ten seeds. All models before are published."""
    for seed in range(10):
        found = held_by_chance(earlier, lessons.RECALL_ROWS, seed)
        assert not found.held, (seed, found.reason)


def test_ten_points_lost_on_one_lesson_of_ten_are_seen_on_as_many_rows_as_are_scored():
    """An eighth of its rows is lost, of which three quarters of the tokens were right."""
    held = {
        rows: sum(held_by_chance(10, rows, seed, lost=0.13, luck=0.3).held for seed in range(15))
        for rows in (lessons.MIN_ROWS, lessons.RECALL_ROWS)
    }
    assert held[lessons.RECALL_ROWS] >= 9, held
    assert held[lessons.MIN_ROWS] <= 4, held


# --- what was written before ----------------------------------------------------------------------


def test_models_that_were_scored_on_fewer_rows_are_judged_on_those():
    old = {name: share(name, 80, 20) for name in ("ship", "tea")}
    now = {name: share(name, 60, 60) for name in ("ship", "tea")}
    found = decided(old, now, old)
    assert found.held
    assert [finding.rows for finding in found.findings] == [20, 20, 40]


def test_a_finding_that_was_written_before_there_was_one_on_everything_is_read():
    line = '{"lessons": ["a"], "rows": 30, "before": 80, "after": 60, "low": -30, "high": -10, "lost": true}'
    assert not GateFinding.model_validate_json(line).everything


# --- general knowledge ----------------------------------------------------------------------------

KEPT = "It kept what it knew; the most that it lost is"
QUESTIONS = "of the questions that its base model surely knows"


def general(before, after, *published):
    """What is decided of a first lesson, when so many of the questions are answered right."""
    models = [measured(general=one) for one in (before, after, *published)]
    return decide(models[0], models[1], models[2:], [])


def test_general_knowledge_that_is_lost_is_held_also_for_a_first_lesson():
    found = general(knows(100), knows(90))
    assert found.held
    assert found.reason == (
        f"{FIRST_LESSON} It lost 10 points on general knowledge (100% → 90% {QUESTIONS}), "
        "more than chance explains."
    )
    (one,) = found.findings
    assert (one.lessons, one.rows, one.before, one.after, one.lost) == ((GENERAL,), 100, 100, 90, True)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (knows(100), knows(100), NOTHING_LOST),
        (knows(90), knows(95), NOTHING_LOST),
        (
            knows(1000, 1000),
            knows(997, 1000),
            "It kept what it knew; as far as that was measured, it lost less than a point anywhere.",
        ),
        # Surely lost, and little: up to five points.
        (
            knows(1000, 1000),
            knows(955, 1000),
            f"{KEPT} 4 points on general knowledge (100% → 96% {QUESTIONS}).",
        ),
        (
            knows(100),
            knows(95),
            f"{KEPT} 5 points on general knowledge (100% → 95% {QUESTIONS}).",
        ),
        # Much, and perhaps by chance.
        (
            knows(20, 20),
            knows(18, 20),
            f"It lost 10 points on general knowledge (100% → 90% {QUESTIONS}), which may well be chance.",
        ),
    ],
)
def test_a_little_of_it_or_what_may_be_chance_is_not_held(before, after, said):
    found = general(before, after)
    assert (found.held, found.reason) == (False, f"{FIRST_LESSON} {said}")


def test_general_knowledge_that_is_lost_little_by_little_is_held():
    assert not general(knows(93), knows(89), knows(93)).held
    found = general(knows(93), knows(89), knows(100), knows(97), knows(93))
    assert found.held
    assert found.reason.endswith(
        f"Little by little, over several sessions, 11 points on general knowledge (100% → 89% {QUESTIONS}) "
        "were lost."
    )


def test_general_knowledge_is_compared_on_the_questions_that_both_were_asked():
    asked, more = knows(30, 40), knows(35, 60)
    found = general(asked, more)
    assert found.findings[0].rows == 40
    assert (found.findings[0].before, found.findings[0].after) == (75, 87.5)


def test_general_knowledge_is_none_of_the_earlier_lessons_together():
    cells = [share(name, 80) for name in ("ship", "tea")]
    before, after = measured(*cells, general=knows(100)), measured(*cells, general=knows(80))
    found = decide(before, after, [], [lesson("ship"), lesson("tea")])
    assert [(f.lessons, f.everything, f.lost) for f in found.findings] == [
        (("ship",), False, False),
        (("tea",), False, False),
        (("ship", "tea"), True, False),
        ((GENERAL,), False, True),
    ]
    assert found.reason.startswith("It lost 20 points on general knowledge")


def test_a_lesson_and_general_knowledge_that_are_lost_are_both_named():
    before = measured(share("ship", 80), general=knows(100))
    after = measured(share("ship", 50), general=knows(80))
    assert decide(before, after, [], [lesson("ship")]).reason == (
        f"It lost 30 points on ship (80% → 50% {WORDS}) and 20 points on general knowledge (100% → 80%"
        f" {QUESTIONS}), more than chance explains."
    )


OLD = """{"lessons": [{"session": "ship", "name": "ship", "missing": null}], "base": null,
"before": {"fingerprint": null, "cells": [], "general": {"divergence": 0.0, "agreement": 1.0, "prompts": 24}},
"after": {"fingerprint": null, "general": {"divergence": 0.5, "agreement": 0.8, "prompts": 24}, "cells": [
{"lesson": "ship", "part": "recall", "rows": ["a", "b"], "tokens": [9, 9], "right": [8, 8], "loss": [1, 2]}]},
"decision": {"held": false, "reason": "", "findings": []}, "changed": [], "seconds": 4.0}"""


def test_what_an_earlier_release_measured_is_read_and_its_general_knowledge_is_not_judged():
    old = Retention.model_validate_json(OLD)
    assert old.after.general.known is old.after.cell(GENERAL) is None
    for before, after in ((old.before, old.after), (old.before, measured(general=knows(0)))):
        found = decide(before, after, [old.after], [])
        assert (found.held, found.reason, found.findings) == (False, FIRST_LESSON, ())
    # One that is measured today beside an old one of the line before it.
    found = decide(measured(general=knows(100)), measured(general=knows(99)), [old.after], [])
    assert not found.held
    assert found.findings[0].best == 100
