"""What a training would do: choices are checked, the forecast is the worker's own arithmetic."""

from __future__ import annotations

import dataclasses
import json

import pytest

from sails import sessions, system
from sails.data import datasets, write_jsonl
from sails.errors import BadDataError, RequestError, ViewOnlyError, WorkspaceError
from sails.jobs import launcher, submit
from sails.models import catalog, size
from sails.models.workspace import Workspace
from sails.sessions import Settings, checked_settings
from sails.training import mixture
from sails.training.plan import forecast, schedule
from sails.training.plan.behavior import BASE_LEARNING_RATE
from sails.training.plan.forecast import Earlier, forecast_training, offers
from sails.training.plan.request import Choices, checked_name, read_learning_rate
from sails.ui.train.form import what_is_taught
from tests.support.helpers import add_dataset, write_lesson
from tests.support.situations import make_session, make_situation, published
from tests.support.tiny import make_tiny_model


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace.open(tmp_path / "workspace")


@pytest.fixture
def lesson(workspace, tmp_path) -> str:
    return add_dataset(workspace, write_lesson(tmp_path / "mountains.json"))


# --- choices --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("3e-5", 3e-5),
        (" 3E-5 ", 3e-5),
        ("0.00003", 3e-5),
        ("0,00003", 3e-5),
        ("3×10^-5", 3e-5),
        ("3 x 10^-5", 3e-5),
        ("3*10**-5", 3e-5),
        ("3e−5", 3e-5),
        ("", None),
        ("   ", None),
    ],
)
def test_a_learning_rate_is_read_as_people_write_it(text, rate):
    assert read_learning_rate(text) == (None if rate is None else pytest.approx(rate))


@pytest.mark.parametrize(
    "text", ["abc", "1_0", "5e", "--", "1.000,5", "five", "3e-5 5", "1 0", "\x00", "1e-5 or so", "x" * 10_000]
)
def test_what_is_no_number_is_refused_with_a_remedy(text):
    with pytest.raises(RequestError, match="is not a number") as caught:
        read_learning_rate(text)
    assert "such as 3e-5" in caught.value.remedy
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("epochs", 0, "The number of rounds cannot be 0. Choose a value greater than or equal to 1."),
        ("epochs", 1001, "The number of rounds cannot be 1001. Choose a value less than or equal to 1000."),
        ("epochs", 1.5, "The number of rounds cannot be 1.5."),
        ("batch_size", -1, "The batch size cannot be -1."),
        ("max_steps", 0, "The highest number of steps cannot be 0."),
        ("max_steps", 10**12, "The highest number of steps cannot be 1,000,000,000,000."),
        ("seed", 2**32, "The seed cannot be 4294967296."),
        ("max_length", 15, "The longest conversation cannot be 15."),
        ("device", "toaster", "The device cannot be toaster."),
        ("preset", "slow", "The preset cannot be slow."),
        ("replay_share", 1.0, "The share of earlier lessons cannot be 1.0."),
        ("publish", "perhaps", "What happens with the new model cannot be perhaps."),
    ],
)
def test_a_setting_out_of_range_is_one_sentence_in_words(name, value, words):
    with pytest.raises(RequestError) as caught:
        checked_settings(**{name: value})
    assert caught.value.sentence.startswith(words)


def test_settings_in_range_are_settings():
    assert checked_settings(preset="quick", epochs=3) == Settings(preset="quick", epochs=3)


def test_a_name_is_one_line_of_a_readable_length():
    assert checked_name("  My\nfirst   lesson ") == "My first lesson"
    with pytest.raises(RequestError, match="has 81 characters"):
        checked_name("x" * 81)


# --- base models ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("memory", "first", "fitting"),
    [
        (64 * 10**9, catalog.DEFAULT_BASE_MODEL, 6),
        (5 * 10**9, catalog.DEFAULT_BASE_MODEL, 5),
        (10**9, "distilgpt2", 0),
    ],
)
def test_the_recommended_base_model_comes_first_and_those_that_do_not_fit_last(
    memory, first, fitting, monkeypatch
):
    monkeypatch.setattr(system, "available_memory", lambda: memory)
    made = offers()
    assert [offer.model.name for offer in made if offer.recommended] == [first] == [made[0].model.name]
    assert {offer.model.name for offer in made} == {model.name for model in catalog.base_models()}
    assert sum(offer.fits for offer in made) == fitting
    others = [offer.fits for offer in made[1:]]
    assert others == sorted(others, reverse=True)


# --- what would happen ----------------------------------------------------------------------------


def test_the_forecast_counts_what_the_worker_would_teach_and_writes_nothing(workspace, lesson):
    before = sorted(workspace.root.rglob("*"))
    seen = forecast_training(workspace, Choices((lesson,)))
    assert (seen.rows, seen.taught, seen.held_out) == (28, 23, 5)
    assert seen.plan.learning_rate == BASE_LEARNING_RATE
    assert (seen.schedule.epochs, seen.schedule.until_known) == (24, True)
    assert seen.need is not None
    assert seen.need.parameters == catalog.base_models()[0].parameters
    assert seen.time is not None
    assert 0 < seen.time.low < seen.time.high
    assert sorted(workspace.root.rglob("*")) == before


def test_rows_that_the_chosen_model_cannot_be_taught_are_not_counted_as_taught(workspace, tmp_path):
    call = {"type": "function", "function": {"name": "tide", "arguments": {}}}
    asked = [{"role": "user", "content": "When?"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    lesson = tmp_path / "tools.jsonl"
    rows = [{"input": f"Question {n}?", "output": f"Answer {n}."} for n in range(10)]
    lesson.write_text("\n".join(map(json.dumps, [*rows, {"messages": asked}])))
    model = make_tiny_model(tmp_path / "model")
    choices = Choices((add_dataset(workspace, lesson),), model_name=str(model))
    seen = forecast_training(workspace, choices)
    assert (seen.rows, seen.taught, seen.held_out, seen.left_out) == (11, 10, 0, 1)
    assert what_is_taught(seen).startswith(
        "1 example cannot be taught to this model. 10 of the 11 examples are taught"
    )
    said = "message['content'] + ((message['tool_calls'] | tojson) if message['tool_calls'] else '')"
    template = model / "chat_template.jinja"
    template.write_text(template.read_text().replace("message['content']", said))
    assert forecast_training(workspace, choices).left_out == 0  # counted anew: it writes the calls


def test_rows_that_stand_in_two_datasets_count_once(workspace, lesson, tmp_path):
    again = add_dataset(workspace, write_lesson(tmp_path / "more.json", rows=40))
    assert forecast_training(workspace, Choices((lesson, again))).rows == 40


def test_continuing_counts_the_parameters_of_the_trained_model(workspace, lesson):
    make_situation(workspace.root, 2)
    seen = forecast_training(workspace, Choices((lesson,)))
    assert seen.need is not None
    assert seen.need.parameters == size.count_parameters(workspace.trained_model)
    assert seen.plan.start_from == "trained"


def test_a_model_of_unknown_size_has_no_forecast(workspace, lesson):
    seen = forecast_training(workspace, Choices((lesson,), model_name="somebody/something"))
    assert (seen.need, seen.time, seen.warnings) == (None, None, ())


def test_what_does_not_fit_is_a_warning_with_numbers(workspace, lesson, monkeypatch):
    monkeypatch.setattr(system, "available_memory", lambda: 10**9)
    (warning,) = forecast_training(workspace, Choices((lesson,))).warnings
    assert "1.0 GB are free" in warning


def test_a_busy_minute_is_not_taken_for_a_busy_hour(workspace, lesson, monkeypatch):
    choices = Choices((lesson,))
    monkeypatch.setattr(system, "slowdown", lambda: 1.0)
    alone = forecast_training(workspace, choices).time
    monkeypatch.setattr(system, "slowdown", lambda: 9.0)
    busy = forecast_training(workspace, choices).time
    assert alone is not None
    assert busy is not None
    assert (busy.low, busy.high, busy.slowdown) == (2 * alone.low, 2 * alone.high, 2.0)


def test_rows_added_meanwhile_are_counted(workspace, lesson):
    choices = Choices((lesson,))
    assert forecast_training(workspace, choices).rows == 28
    with open(datasets.rows_file(workspace, lesson), "a") as file:
        file.write('{"input": "One more?", "output": "Yes, one more."}\n')
    assert forecast_training(workspace, choices).rows == 29


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"datasets": ()}, RequestError),
        ({"datasets": ("nowhere",)}, WorkspaceError),
        ({"datasets": ("../../etc",)}, WorkspaceError),
        ({"start": "trained"}, RequestError),
        ({"model_name": "no such model"}, RequestError),
        ({"name": "x" * 200}, RequestError),
        ({"settings": Settings(learning_rate=0.0)}, RequestError),
        ({"settings": Settings(learning_rate=-1.0)}, RequestError),
        ({"settings": Settings(learning_rate=1e9)}, RequestError),
        ({"settings": Settings(learning_rate=float("nan"))}, RequestError),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(workspace, lesson, change, error):
    choices = dataclasses.replace(Choices((lesson,)), **change)
    for action in (forecast_training, submit.start_training):
        with pytest.raises(error):
            action(workspace, choices)
    assert sessions.read_history(workspace) == []


def test_a_start_asks_for_exactly_what_was_chosen(workspace, lesson, monkeypatch):
    monkeypatch.setattr(launcher, "start_worker", lambda _: None)
    choices = Choices((lesson,), Settings(epochs=2, learning_rate=3e-4), name=" A  name ", export=True)
    spec = submit.start_training(workspace, choices).spec()
    assert isinstance(spec, sessions.TrainSpec)
    assert (spec.name, spec.dataset, spec.settings) == ("A name", lesson, choices.settings)
    assert (spec.export, spec.verify) == (True, True)


def test_nothing_is_started_where_one_may_only_look(workspace, lesson, monkeypatch):
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    with pytest.raises(ViewOnlyError):
        submit.start_training(workspace, Choices((lesson,)))
    assert sessions.read_history(workspace) == []


def test_a_dataset_whose_rows_are_gone_is_a_sentence(workspace, lesson):
    datasets.rows_file(workspace, lesson).unlink()
    with pytest.raises(BadDataError, match="are gone"):
        forecast_training(workspace, Choices((lesson,)))


# --- earlier lessons ------------------------------------------------------------------------------


def teach(workspace: Workspace, lesson: str, number: int, earlier: tuple[str, ...] = ()) -> str:
    """A session that taught this lesson to the model that the workspace has, as its files say it."""
    status = published(lessons=earlier, fingerprint=workspace.situation().trained.fingerprint)
    session = make_session(workspace, lesson, hour=number, **status)
    session.data.mkdir()
    write_jsonl(session.data / "train.jsonl", mixture.peek(workspace, lesson).train)
    return session.id


@pytest.fixture
def second(workspace, lesson, tmp_path) -> str:
    """The second lesson of a model that was taught the first one: 23 of 28 rows, as in the first."""
    make_situation(workspace.root, 2)
    teach(workspace, lesson, 1)
    return add_dataset(workspace, write_lesson(tmp_path / "rivers.json", topic="river"))


@pytest.mark.parametrize(("share", "repeated"), [(0.5, 23), (0.2, 6), (0.0, 0), (0.9, 23)])
def test_the_forecast_says_how_many_earlier_rows_each_round_repeats(workspace, second, share, repeated):
    seen = forecast_training(workspace, Choices((second,), Settings(replay_share=share)))
    assert (seen.taught, seen.earlier.lessons, seen.earlier.rows, seen.repeated) == (23, 1, 23, repeated)


def test_what_is_repeated_takes_its_time(workspace, second):
    none, half = (
        forecast_training(workspace, Choices((second,), Settings(replay_share=share))) for share in (0, 0.5)
    )
    assert none.time is not None
    assert half.time is not None
    assert half.time.high > none.time.high


def test_starting_over_repeats_nothing_or_teaches_everything_again(workspace, second):
    over = forecast_training(workspace, Choices((second,), start="base"))
    assert (over.repeated, over.earlier.rows) == (0, 23)
    again = forecast_training(
        workspace, Choices((second,), Settings(teach_again=True, replay_share=0), start="base")
    )
    assert again.repeated == 23
    assert again.schedule == schedule.resolve_schedule(Settings(), 46)


def test_rows_that_are_taught_anyway_are_not_counted_as_earlier_ones(workspace, lesson, second):
    assert forecast_training(workspace, Choices((lesson,))).earlier == Earlier(
        lessons=1, gone=0, rows=0, size=0
    )
    assert forecast_training(workspace, Choices((lesson, second))).earlier.rows == 0


def test_deleted_rows_of_earlier_lessons_are_counted_as_gone(workspace, second):
    first = sessions.read_history(workspace)[0].session
    choices = Choices((second,))
    assert forecast_training(workspace, choices).repeated == 23
    (first.data / "train.jsonl").unlink()
    seen = forecast_training(workspace, choices)
    assert (seen.earlier, seen.repeated) == (Earlier(lessons=1, gone=1, rows=0, size=0), 0)


def test_a_first_lesson_and_a_model_from_elsewhere_have_no_earlier_ones(workspace, lesson):
    assert forecast_training(workspace, Choices((lesson,))).earlier == Earlier()
    make_situation(workspace.root, 2)
    assert forecast_training(workspace, Choices((lesson,))).earlier == Earlier()


def test_datasets_with_the_same_rows_have_one_fingerprint(workspace, lesson, tmp_path):
    other = add_dataset(workspace, write_lesson(tmp_path / "more.json", rows=40))
    alone = forecast.rows_fingerprint(workspace, (lesson,))
    datasets.rename(workspace, lesson, "peaks")
    assert forecast.rows_fingerprint(workspace, ("peaks",)) == alone
    assert forecast.rows_fingerprint(workspace, ("peaks", other)) == forecast.rows_fingerprint(
        workspace, (other,)
    )
    assert forecast.rows_fingerprint(workspace, (other,)) != alone
