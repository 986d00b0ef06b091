"""Did it work? The sentence and the next step for every way in which a lesson can be learned."""

import pytest

from sails.retention.schema import GENERAL, Decision, GateFinding, Lesson, Measured, Retention
from sails.sessions import Results, Scores, Status
from sails.sessions.plan import Plan
from sails.training.outcome import describe_end, judge
from tests.support.cells import cell


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
        ((3.0, 0.40), (0.5, 0.90), "partly"),  # a word in ten is wrong, and that may be the one that matters
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


TEXT = "% of the answers' text right"
LOST = Retention(
    lessons=(Lesson(session="a", name="databases"), Lesson(session="b", name="kitchen")),
    before=Measured(),
    decision=Decision(
        held=True,
        reason="",
        findings=(GateFinding(lessons=("a",), rows=40, before=81, after=58, low=-28, high=-18, lost=True),),
    ),
)
KEPT = LOST.model_copy(update={"decision": Decision(held=False, reason="")})


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (
            (0.3, 0.95),
            f"Learned well (40% → 95{TEXT}), but lost 23 points on databases.",
        ),
        (
            (1.5, 0.65),
            f"Learned a part (40% → 65{TEXT}), but lost 23 points on databases.",
        ),
        (
            (3.1, 0.40),
            f"Nothing was learned (40% → 40{TEXT}), and it lost 23 points on databases.",
        ),
    ],
)
def test_who_lost_an_earlier_lesson_is_not_praised(after, said):
    held = status((3.0, 0.40), after).model_copy(update={"verdict": "held"})
    judged = judge(held, LOST)
    assert judged.outcome == "forgot"
    assert judged.sentence.startswith(said)
    assert "decide" in judged.next_step


def test_examples_that_are_right_word_for_word_are_counted():
    after = Measured(cells=(cell("b", [9, 10, 10]),))
    judged = judge(status((3.0, 0.40), (0.3, 0.97)), KEPT.model_copy(update={"after": after}))
    assert judged.sentence == (
        "Learned well: 40% → 97% of the answers' text right, 2 of 3 examples word for word."
    )


def test_who_lost_and_was_published_all_the_same_is_shown_the_way_back():
    done = status((3.0, 0.40), (0.3, 0.95)).model_copy(update={"verdict": "published"})
    assert "leads back to the one before" in judge(done, LOST).next_step


def test_who_started_over_is_shown_the_way_back_too():
    done = status((3.0, 0.40), (0.3, 0.95), start="base")
    done = done.model_copy(update={"verdict": "published", "replaces": "f"})
    assert "leads back to the one before" in judge(done, LOST).next_step


def test_a_first_lesson_that_lost_and_was_published_has_no_version_before():
    done = status((3.0, 0.40), (0.3, 0.95), rate=5e-5, start="base").model_copy(
        update={"verdict": "published"}
    )
    next_step = judge(done, LOST).next_step
    assert "from the base model" in next_step
    assert "one before" not in next_step


def test_who_lost_something_is_told_so_where_an_answer_does_not_end_as_well():
    done = status((3.0, 0.40), (0.3, 0.95)).model_copy(update={"verdict": "published"})
    endless = done.model_copy(update={"results": done.results.model_copy(update={"ends": False})})
    alone, both = judge(endless), judge(endless, LOST)
    assert alone.outcome == "partly"
    assert alone.next_step.startswith("Teach it more rounds.")
    assert both.outcome == "forgot"
    assert both.sentence.endswith("), but lost 23 points on databases.")
    assert "did not end by itself" in both.sentence


@pytest.mark.parametrize(("rate", "said"), [(1e-5, "choose the learning rate 5e-5"), (5e-5, "measure which")])
@pytest.mark.parametrize("after", [(1.5, 0.65), (2.9, 0.42), (3.1, 0.40)])
def test_who_got_no_better_is_not_told_of_more_rounds(rate, said, after):
    done = status((3.0, 0.40), after, rate=rate)
    level = done.model_copy(update={"results": done.results.model_copy(update={"enough": "level"})})
    assert "brought nothing any more" in judge(level).next_step
    assert said in judge(level).next_step


def test_who_lost_nothing_is_judged_as_ever():
    done = status((3.0, 0.40), (0.3, 0.95))
    assert judge(done, KEPT) == judge(done)


# --- general knowledge ----------------------------------------------------------------------------

BEFORE_ANY = "some of what it knew before any lesson"


def knowledge(after, high, *, lost, others=()):
    one = GateFinding(lessons=(GENERAL,), rows=100, before=100, after=after, low=-30, high=high, lost=lost)
    decision = Decision(held=lost, reason="", findings=(*others, one))
    return LOST.model_copy(update={"decision": decision})


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ((0.3, 0.95), f"Learned well (40% → 95{TEXT}), but lost {BEFORE_ANY} (12 of 100 questions)."),
        ((1.5, 0.65), f"Learned a part (40% → 65{TEXT}), but lost {BEFORE_ANY} (12 of 100 questions)."),
        ((2.8, 0.43), f"Learned little (40% → 43{TEXT}), and it lost {BEFORE_ANY} (12 of 100 questions)."),
        (
            (3.1, 0.40),
            f"Nothing was learned (40% → 40{TEXT}), and it lost {BEFORE_ANY} (12 of 100 questions).",
        ),
    ],
)
def test_who_lost_general_knowledge_is_not_praised(after, said):
    held = status((3.0, 0.40), after).model_copy(update={"verdict": "held"})
    judged = judge(held, knowledge(88, -5, lost=True))
    assert judged.outcome == "forgot"
    assert judged.sentence.startswith(said)
    assert "good" not in judged.sentence
    assert "decide" in judged.next_step


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ((0.3, 0.95), f"Learned well (40% → 95{TEXT}), but forgot"),
        ((1.5, 0.65), f"Learned a part (40% → 65{TEXT}), but forgot"),
        ((2.8, 0.43), f"Learned little (40% → 43{TEXT}), and it forgot"),
        ((3.1, 0.40), f"Nothing was learned (40% → 40{TEXT}), and it forgot"),
    ],
)
def test_a_little_general_knowledge_that_was_surely_lost_is_said_and_let_pass(after, said):
    done = status((3.0, 0.40), after).model_copy(update={"verdict": "published"})
    judged, plain = judge(done, knowledge(96, -1, lost=False)), judge(done)
    assert judged.outcome == "forgot"
    assert judged.sentence == f"{said} {BEFORE_ANY} (4 of 100 questions)."
    assert "good" not in judged.sentence
    assert judged.next_step == f"That little is let pass. {plain.next_step}"


def test_general_knowledge_that_was_kept_or_lost_by_chance_changes_nothing():
    done = status((3.0, 0.40), (0.3, 0.95))
    for found in (knowledge(100, 0, lost=False), knowledge(97, 1, lost=False)):
        assert judge(done, found) == judge(done)


def test_a_lost_lesson_is_told_beside_lost_general_knowledge():
    held = status((3.0, 0.40), (0.3, 0.95)).model_copy(update={"verdict": "held"})
    judged = judge(held, knowledge(88, -5, lost=True, others=LOST.decision.findings))
    assert f"but lost 23 points on databases and {BEFORE_ANY} (12 of 100 questions)." in judged.sentence


# --- why it ended ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("enough", "said"),
    [
        (None, ""),
        ("known", "It knew the lesson after round 7 of up to 24."),
        ("level", "It got no better at the lesson any more, so it ended after round 7 of up to 24."),
    ],
)
def test_why_a_session_ended_before_its_last_round_is_a_sentence(enough, said):
    assert describe_end(Results(epochs=7.0, most_epochs=24, enough=enough)) == said


def test_who_never_ends_an_answer_has_not_learned_well():
    taught = status((3.0, 0.40), (0.3, 1.0))
    assert judge(taught).sentence.startswith("Learned well")
    endless = taught.model_copy(update={"results": taught.results.model_copy(update={"ends": False})})
    judged = judge(endless)
    assert judged.outcome == "partly"
    assert "did not end by itself" in judged.sentence
    assert "another base model" in judged.next_step
