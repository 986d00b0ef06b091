"""Did it work? The sentence and the next step for every way in which a lesson can be learned."""

import pytest

from sails.retention.schema import Decision, GateFinding, Lesson, Measured, Retention
from sails.sessions import Results, Scores, Status
from sails.sessions.plan import Plan
from sails.training.outcome import judge


def status(before, after, *, held=None, rate=1e-5, start="trained"):
    """A session with (loss, accuracy) on taught rows before and after; `held` are two losses on 40 rows."""
    plan = Plan(
        row=2,
        start_from=start,
        model="m",
        base="m",
        learning_rate=rate,
        automatic_learning_rate=rate,
        reason="",
    )
    unseen = [Scores(loss=loss, accuracy=0.4, rows=40) for loss in held or ()]
    return Status(
        plan=plan,
        results=Results(
            taught_before=Scores(loss=before[0], accuracy=before[1], rows=60),
            taught_after=Scores(loss=after[0], accuracy=after[1], rows=60),
            held_out_before=unseen[0] if unseen else None,
            held_out_after=unseen[1] if unseen else None,
        ),
    )


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        ((3.0, 0.40), (3.1, 0.40), "nothing"),
        ((3.0, 0.40), (2.8, 0.43), "little"),
        ((3.0, 0.40), (1.5, 0.65), "partly"),
        ((3.0, 0.40), (0.3, 0.95), "well"),
        ((0.3, 0.95), (0.2, 0.97), "well"),  # it knew nearly all of it already
    ],
)
def test_the_outcome_follows_from_the_scores(before, after, outcome):
    judged = judge(status(before, after))
    assert judged.outcome == outcome
    assert f"{before[1]:.0%} → {after[1]:.0%}" in judged.sentence


def test_who_learned_little_when_continuing_is_told_the_two_remedies():
    judged = judge(status((3.0, 0.40), (2.9, 0.42)))
    assert judged.next_step == "Continuing at 1e-5 needs more rounds, or choose 5e-5."


def test_who_learned_little_at_full_speed_is_told_of_rounds_only():
    judged = judge(status((3.0, 0.40), (2.9, 0.42), rate=5e-5, start="base"))
    assert "rounds" in judged.next_step
    assert "5e-5" not in judged.next_step


def test_doing_worse_on_unseen_questions_is_learning_by_heart():
    assert judge(status((3.0, 0.4), (0.2, 0.97), held=(3.0, 3.6))).outcome == "by heart"
    assert judge(status((3.0, 0.4), (0.2, 0.97), held=(3.0, 3.1))).outcome == "well"


def test_a_few_unseen_questions_are_too_few_to_say_so():
    few = status((3.0, 0.4), (0.2, 0.97), held=(3.0, 3.6))
    scores = few.results.held_out_after.model_copy(update={"rows": 5})
    few = few.model_copy(update={"results": few.results.model_copy(update={"held_out_after": scores})})
    assert judge(few).outcome == "well"


def test_a_session_without_scores_is_not_judged():
    assert judge(Status()) is None


@pytest.mark.parametrize("after", [(0.3, 0.95), (1.5, 0.65)])
def test_a_model_that_is_held_back_asks_for_a_decision_and_not_for_a_chat(after):
    held = status((3.0, 0.40), after).model_copy(update={"verdict": "held"})
    assert "decide" in judge(held).next_step
    assert "chat" not in judge(held).next_step


LOST = Retention(
    lessons=(Lesson(session="a", name="databases"), Lesson(session="b", name="kitchen")),
    before=Measured(),
    decision=Decision(
        held=True,
        reason="",
        findings=(GateFinding(lessons=("a",), rows=40, before=81, after=58, low=-28, high=-18, lost=True),),
    ),
)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ((0.3, 0.95), "Learned well, but lost 23 points on databases: 40% → 95% of the answers'"),
        ((1.5, 0.65), "Learned a part, but lost 23 points on databases: 40% → 65%"),
        ((3.1, 0.40), "Nothing was learned, and it lost 23 points on databases: 40% → 40%"),
    ],
)
def test_who_lost_an_earlier_lesson_is_not_praised(after, said):
    held = status((3.0, 0.40), after).model_copy(update={"verdict": "held"})
    judged = judge(held, LOST)
    assert judged.outcome == "forgot"
    assert judged.sentence.startswith(said)
    assert "decide" in judged.next_step


def test_who_lost_and_was_published_all_the_same_is_shown_the_way_back():
    done = status((3.0, 0.40), (0.3, 0.95)).model_copy(update={"verdict": "published"})
    assert "leads back to the one before" in judge(done, LOST).next_step


def test_who_lost_nothing_is_judged_as_ever():
    kept = LOST.model_copy(update={"decision": Decision(held=False, reason="")})
    done = status((3.0, 0.40), (0.3, 0.95))
    assert judge(done, kept) == judge(done)
