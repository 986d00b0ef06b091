"""The behavior matrix: its six rows exactly, every override, and what is refused."""

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from sails.errors import RequestError
from sails.models.folder import ModelState, OnnxState, Situation
from sails.sessions.plan import Plan, describe_learning_rate, format_rate
from sails.training.plan.behavior import MATRIX, check_learning_rate, plan_from, row_for

DEFAULT = "smollm2-135m-instruct"
WHY = "model.safetensors is cut off at 10 of 200 bytes"
CONTINUE = "🔄 Continuing from the trained model, 📚 lower learning rate to keep what it knows"
INCOMPLETE = (
    f"⚠️ The trained model is incomplete: training from base; its files are set aside, not deleted ({WHY})"
)


def situation(trained="missing", onnx="missing", base="own-base"):
    reason = WHY if trained == "incomplete" else None
    recorded = base if trained != "missing" else None
    model = ModelState(Path("/somewhere/trained_model"), trained, reason=reason, base=recorded)
    return Situation(model, OnnxState(Path("/somewhere/onnx_model"), onnx))


def planned(trained="missing", onnx="missing", base="own-base", **choices):
    return plan_from(situation(trained, onnx, base), default_base=DEFAULT, **choices)


@pytest.mark.parametrize(
    ("number", "trained", "onnx", "start_from", "rate", "reason"),
    [
        (1, "missing", "missing", "base", 5e-5, "🆕 Training a new model from base"),
        (2, "complete", "missing", "trained", 1e-5, CONTINUE),
        (3, "complete", "present", "trained", 1e-5, f"{CONTINUE}; the ONNX model needs a refresh afterwards"),
        (
            4,
            "missing",
            "present",
            "base",
            5e-5,
            "⚠️ ONNX model found, but not the model it came from: training from base",
        ),
        (5, "incomplete", "missing", "base", 5e-5, INCOMPLETE),
        (6, "incomplete", "present", "base", 5e-5, INCOMPLETE),
    ],
)
def test_each_row_says_what_to_start_from_how_fast_and_why(number, trained, onnx, start_from, rate, reason):
    made = planned(trained, onnx)
    assert (made.row, made.start_from, made.learning_rate, made.reason) == (number, start_from, rate, reason)
    assert made.automatic_learning_rate == rate
    assert (made.start_chosen_by, made.learning_rate_chosen_by) == ("automatic", "automatic")
    assert made.warnings == ()


def test_the_matrix_has_a_row_for_every_pair_of_states_and_no_other():
    pairs = [(t, o) for t in ("missing", "complete", "incomplete") for o in ("missing", "present")]
    assert sorted((row.trained, row.onnx) for row in MATRIX) == sorted(pairs)
    assert [row.number for row in MATRIX] == [1, 2, 3, 4, 5, 6]
    for trained, onnx in pairs:
        row = row_for(trained, onnx)
        assert (row.trained, row.onnx) == (trained, onnx)
        assert row.learning_rate == (5e-5 if row.start_from == "base" else 1e-5)


def test_continuing_starts_from_the_folder_and_remembers_its_base():
    made = planned("complete")
    assert (made.model, made.base) == (str(Path("/somewhere/trained_model")), "own-base")


def test_a_trained_model_of_unknown_base_is_continued_all_the_same():
    made = planned("complete", base=None)
    assert (made.start_from, made.base) == ("trained", None)


@pytest.mark.parametrize("trained", ["missing", "incomplete"])
def test_from_base_means_the_default_unless_one_is_named(trained):
    made, named = planned(trained), planned(trained, model_name="gpt2")
    assert (made.model, made.base) == (DEFAULT, DEFAULT)
    assert (named.model, named.base) == ("gpt2", "gpt2")
    assert named.start_chosen_by == "automatic"  # there was nothing else to start from


# --- the start, overridden ------------------------------------------------------------------------


def test_starting_over_from_base_wins_over_continuing_and_keeps_the_old_model():
    made = planned("complete", "present", start="base")
    assert (made.start_from, made.start_chosen_by, made.row) == ("base", "person", 3)
    assert (made.model, made.base) == (DEFAULT, DEFAULT)
    assert made.learning_rate == made.automatic_learning_rate == 5e-5
    assert made.reason == "🆕 Starting over from base, as chosen; the current model is kept as a version"


def test_starting_over_from_a_named_base_uses_that_one_even_if_it_is_the_models_own():
    made = planned("complete", start="base", model_name="own-base", same_base=True)
    assert (made.start_from, made.model) == ("base", "own-base")


def test_another_base_than_the_models_own_starts_over_from_it():
    made = planned("complete", model_name="gpt2", same_base=False)
    assert (made.start_from, made.start_chosen_by) == ("base", "person")
    assert (made.model, made.base, made.learning_rate) == ("gpt2", "gpt2", 5e-5)
    assert made.reason == "🆕 Starting over from gpt2; the current model (from own-base) is kept as a version"


def test_naming_the_models_own_base_continues_it():
    made = planned("complete", model_name="own-base", same_base=True)
    assert (made.start_from, made.start_chosen_by, made.learning_rate) == ("trained", "automatic", 1e-5)


def test_naming_a_base_for_a_model_of_unknown_base_starts_over_and_says_so():
    made = planned("complete", base=None, model_name="gpt2", same_base=False)
    assert made.start_from == "base"
    assert "from a base that is not recorded" in made.reason


def test_continuing_and_another_base_at_once_is_refused():
    with pytest.raises(RequestError, match="did not grow from gpt2") as refusal:
        planned("complete", model_name="gpt2", same_base=False, start="trained")
    assert "--start" in refusal.value.remedy


def test_an_explicit_start_from_the_trained_model_continues_it_as_chosen():
    made = planned("complete", model_name="own-base", same_base=True, start="trained")
    assert (made.start_from, made.start_chosen_by, made.base) == ("trained", "person", "own-base")
    assert made.reason == CONTINUE


@pytest.mark.parametrize(
    ("trained", "why"), [("missing", "(missing)"), ("incomplete", f"(incomplete: {WHY})")]
)
def test_continuing_without_a_complete_model_is_refused_with_the_reason(trained, why):
    with pytest.raises(RequestError) as refusal:
        planned(trained, start="trained")
    assert why in str(refusal.value)
    assert refusal.value.remedy


@pytest.mark.parametrize("trained", ["missing", "incomplete"])
def test_asking_for_base_where_base_is_next_anyway_changes_nothing_but_who_chose(trained):
    automatic, chosen = planned(trained), planned(trained, start="base")
    assert chosen.start_chosen_by == "person"
    assert chosen.model_copy(update={"start_chosen_by": "automatic"}) == automatic


# --- the learning rate, overridden ----------------------------------------------------------------


@pytest.mark.parametrize("trained", ["missing", "complete", "incomplete"])
def test_a_chosen_learning_rate_always_wins_and_the_automatic_one_is_recorded(trained):
    made = planned(trained, learning_rate=2e-4)
    assert (made.learning_rate, made.learning_rate_chosen_by) == (2e-4, "person")
    assert made.automatic_learning_rate == planned(trained).learning_rate
    assert made.start_from == planned(trained).start_from


def test_continuing_at_a_chosen_learning_rate_promises_no_lower_one():
    made = planned("complete", "present", learning_rate=1e-3)
    assert made.reason.startswith(
        "🔄 Continuing from the trained model, at the learning rate that was chosen"
    )
    assert "📚" not in made.reason
    assert "ONNX" in made.reason


def test_choosing_the_automatic_value_still_counts_as_chosen():
    made = planned("complete", learning_rate=1e-5)
    assert (made.learning_rate_chosen_by, made.warnings) == ("person", ())


def test_a_rate_that_was_measured_counts_as_advised_only_where_it_is_used():
    followed = planned("complete", learning_rate=5e-5, advised=5e-5)
    assert (followed.learning_rate_chosen_by, followed.automatic_learning_rate) == ("advice", 1e-5)
    assert followed.reason == ("🔄 Continuing from the trained model, at the learning rate that was measured")
    assert describe_learning_rate(followed) == "5e-5 (advised; the automatic value is 1e-5)"
    assert planned("complete", learning_rate=2e-5, advised=5e-5).learning_rate_chosen_by == "person"
    assert planned("complete", advised=5e-5) == planned("complete")


@pytest.mark.parametrize(
    "impossible", [0, 0.0, -0.0, -1e-5, math.nan, math.inf, -math.inf, 0.010001, 1, math.nextafter(1e-2, 1)]
)
def test_an_impossible_learning_rate_is_refused(impossible):
    with pytest.raises(RequestError, match="out of range") as refusal:
        planned("complete", learning_rate=impossible)
    assert "0.01" in refusal.value.remedy
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize(
    ("rate", "warning"),
    [
        (1e-2, "forget"),
        (math.nextafter(1e-3, 1), "forget"),
        (1e-3, None),
        (5e-5, None),
        (1e-6, None),
        (math.nextafter(1e-6, 0), "hardly learn"),
        (1e-30, "hardly learn"),
    ],
)
def test_an_unusual_learning_rate_is_taken_with_a_plain_warning(rate, warning):
    made = planned("complete", learning_rate=rate)
    assert made.learning_rate == rate
    if warning is None:
        assert made.warnings == ()
    else:
        assert len(made.warnings) == 1
        assert made.warnings[0].startswith("⚠️")
        assert warning in made.warnings[0]
    assert list(made.warnings) == check_learning_rate(rate)


def test_a_learning_rate_is_told_as_people_write_it():
    told = {5e-5: "5e-5", 1e-5: "1e-5", 1e-2: "1e-2", 2.5e-4: "2.5e-4", 1.0: "1e0", 3.14159e-4: "3.142e-4"}
    assert {rate: format_rate(rate) for rate in told} == told


def test_the_rate_is_described_with_who_chose_it():
    assert describe_learning_rate(planned("complete")) == "1e-5 (automatic)"
    chosen = planned("complete", learning_rate=5e-5)
    assert describe_learning_rate(chosen) == "5e-5 (chosen; the automatic value is 1e-5)"


def test_a_plan_survives_json_and_cannot_be_changed():
    made = planned("complete", learning_rate=5e-3, start="trained")
    assert Plan.model_validate_json(made.model_dump_json()) == made
    with pytest.raises(ValidationError, match="frozen"):
        made.row = 1


def test_planning_takes_microseconds():
    here = situation("complete", "present")
    began = datetime.now(UTC)
    for _ in range(1000):
        plan_from(here, default_base=DEFAULT)
    assert (datetime.now(UTC) - began).total_seconds() < 1
