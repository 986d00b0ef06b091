"""The page Train without a browser: each choice reaches the worker, nothing wrong gets through."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from sails import retention, sessions, system
from sails.data import Register, datasets, split_rows
from sails.data.reading import parse as read
from sails.jobs import launcher, lr_finder
from sails.models import catalog
from sails.models.workspace import Workspace
from sails.sessions import ProbeSpec, Session, TrainSpec
from sails.sessions.plan import format_rate
from sails.sessions.status import Failure
from sails.system import locks
from sails.system.load import processors
from sails.training import judge
from sails.training.plan import expected, forecast, request
from sails.training.plan.request import Choices
from sails.ui.text import plain
from sails.ui.train import form
from tests.conftest import REPOSITORY
from tests.support.helpers import add_dataset, run_worker, steps_of, write_lesson
from tests.support.lessons import measured, taught_workspace
from tests.support.situations import BASE, failed, make_line, make_session, make_situation, published
from tests.support.tiny import make_tiny_model

APP = str(REPOSITORY / "app.py")
TRAIN = "pages/2_Train.py"
HOSTILE = "<img src=x onerror=alert(1)> **bold** :red[x] `y`"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.setenv("SAILS_WORKSPACE", str(tmp_path / "workspace"))
    return Workspace.open(tmp_path / "workspace")


@pytest.fixture
def lesson(workspace, tmp_path) -> str:
    return add_dataset(workspace, write_lesson(tmp_path / "mountains.json"))


@pytest.fixture
def _no_worker(monkeypatch) -> None:
    """What is started only waits: the test runs the worker itself, where it can watch."""
    monkeypatch.setattr(launcher, "start_worker", lambda _: None)


no_worker = pytest.mark.usefixtures("_no_worker")
in_workspace = pytest.mark.usefixtures("workspace")
with_lesson = pytest.mark.usefixtures("lesson")


def visit(**query: str) -> AppTest:
    page = AppTest.from_file(APP, default_timeout=60)
    page.run()
    page.switch_page(TRAIN)
    for name, value in query.items():
        page.query_params[name] = value
    return checked(page.run())


def checked(page: AppTest) -> AppTest:
    assert not page.exception
    return page


def text(page: AppTest) -> str:
    """All that the page says, with the escapes taken out."""
    kinds = (page.title, page.header, page.subheader, page.caption, page.markdown, page.error, page.warning)
    return plainer("\n".join(element.value for kind in (*kinds, page.info) for element in kind))


def plainer(said: str) -> str:
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", said).replace("\u2060", "").replace("\u00a0", " ")


def press(page: AppTest, key: str = "train_go") -> AppTest:
    return checked(page.button(key=key).click().run())


def from_tiny(page: AppTest, tiny: Path) -> AppTest:
    """The tiny model as the base model, in the field for other ones."""
    page.selectbox(key="train_base").select("Another one")
    page.run()
    return checked(page.text_input(key="train_other_base").input(str(tiny)).run())


def only_session(workspace: Workspace) -> Session:
    (record,) = sessions.read_history(workspace)
    return record.session


def spec_of(session: Session) -> dict[str, Any]:
    return json.loads((session.folder / "spec.json").read_text())


# --- each input reaches the worker ----------------------------------------------------------------


def number(key: str, value: float) -> Callable[[AppTest], Any]:
    return lambda page: page.number_input(key=key).set_value(value)


def toggle(key: str, value: bool) -> Callable[[AppTest], Any]:
    return lambda page: page.toggle(key=key).set_value(value)


def chosen(key: str, value: str) -> Callable[[AppTest], Any]:
    return lambda page: page.selectbox(key=key).select(value)


def choose_speed(page: AppTest, way: str) -> AppTest:
    return checked(page.segmented_control(key="train_speed").set_value(way).run())


def own_rate(page: AppTest, rate: str) -> AppTest:
    return checked(choose_speed(page, "own").text_input(key="train_rate").input(rate).run())


STEPS = number("train_max_steps", 4)  # of the tests that look at something else


@no_worker
@pytest.mark.parametrize(
    ("choose", "asked", "done"),
    [
        pytest.param(
            [number("train_batch_size", 3), number("train_epochs", 2)],
            {"batch_size": 3, "epochs": 2},
            lambda s, steps: (
                round(s.results.epochs) == 2
                and len(steps) == steps[-1]["total_steps"] == 2 * -(-s.results.rows_taught // 3)
            ),
            id="rounds and batch size",
        ),
        pytest.param(
            [
                number("train_max_steps", 5),
                lambda page: own_rate(page, "3e-4"),
                number("train_protect", 0.5),
                number("train_max_length", 64),
                chosen("train_device", "cpu"),
            ],
            {"max_steps": 5, "learning_rate": 3e-4, "protect": 0.5, "max_length": 64, "device": "cpu"},
            lambda s, steps: (
                len(steps) == 5
                and s.plan.learning_rate == 3e-4
                and s.plan.learning_rate_chosen_by == "person"
                and max(step["learning_rate"] for step in steps) == pytest.approx(3e-4)
                and s.results.rehearsed > 1
                and all("drift" in step for step in steps)
                and any("longer than 64 tokens" in note for note in s.notes)
                and s.results.device == "cpu"
            ),
            id="steps, learning rate, protection, longest conversation and device",
        ),
        pytest.param(
            [STEPS, number("train_protect", 0.0)],
            {"learning_rate": None, "protect": 0.0},
            lambda s, steps: (
                s.plan.learning_rate_chosen_by == "automatic"
                and max(step["learning_rate"] for step in steps) == pytest.approx(5e-5)
                and s.results.rehearsed == 0
                and not any("drift" in step for step in steps)
            ),
            id="automatic learning rate, not protected",
        ),
        pytest.param(
            [lambda page: page.radio(key="train_preset").set_value("quick")],
            {"preset": "quick"},
            lambda s, _: s.results.most_epochs == 12,
            id="quick",
        ),
        pytest.param(
            [lambda page: page.radio(key="train_method").set_value("lora"), STEPS],
            {"method": "lora", "learning_rate": None, "blend": False},
            lambda s, steps: (
                s.results.blend is None
                and max(step["learning_rate"] for step in steps) == pytest.approx(5e-5)
            ),
            id="lora",
        ),
        pytest.param(
            [toggle("train_blend", True), STEPS],
            {"method": "full", "blend": True},
            lambda s, _: s.results.blend is not None and any("of the change" in note for note in s.notes),
            id="blended",
        ),
    ],
)  # fmt: skip
def test_each_setting_is_found_in_the_spec_and_in_what_the_worker_did(
    workspace, lesson, tiny, choose, asked, done
):
    page = from_tiny(visit(), tiny)
    page.toggle(key="train_export").set_value(False)
    for change in choose:
        change(page)
    press(checked(page.run()))
    session = only_session(workspace)
    spec = spec_of(session)
    assert {key: spec["settings"][key] for key in asked} == asked
    assert (spec["dataset"], spec["name"], spec["export"]) == (lesson, lesson, False)
    status = run_worker(session)
    assert (status.state, status.verdict) == ("succeeded", "published"), status.failure
    assert done(status, steps_of(session))


@no_worker
@pytest.mark.parametrize("early", [True, False])
def test_an_early_stop_ends_what_makes_unseen_questions_worse(workspace, tmp_path, tiny, early):
    """All taught answers are one word and all answers kept back another, so learning can only do harm."""
    rows = [
        {"input": f"What is the name of hill number {n}?", "output": "Paris Paris Paris"} for n in range(220)
    ]
    (tmp_path / "hills.json").write_text(json.dumps(rows))
    kept_back = {
        row.input
        for row in split_rows(
            read(tmp_path / "hills.json").conversations, Register.load(workspace.register)
        ).held_out
    }
    assert len(kept_back) >= 20
    for row in rows:
        if row["input"] in kept_back:
            row["output"] = "When 7 tests sort colors"
    (tmp_path / "hills.json").write_text(json.dumps(rows))
    add_dataset(workspace, tmp_path / "hills.json")
    page = from_tiny(visit(), tiny)
    own_rate(page, "1e-2")
    number("train_epochs", 6)(page)
    number("train_protect", 0.0)(page)  # or it would do less harm
    page.toggle(key="train_early_stop").set_value(early)
    page.toggle(key="train_export").set_value(False)
    press(checked(page.run()))
    session = only_session(workspace)
    assert spec_of(session)["settings"]["early_stop"] == early
    status = run_worker(session)
    assert any("Stopped early" in note for note in status.notes) == early
    assert (status.step < status.total_steps) == early


@no_worker
@with_lesson
def test_the_seed_decides_the_order_of_the_examples(workspace, tiny):
    tokens = []
    for seed in (1, 2, 1):
        page = visit()
        if tokens:
            page.radio(key="train_start").set_value("over")
            page.run()
        page = from_tiny(page, tiny)
        number("train_seed", seed)(page)
        STEPS(page)
        page.toggle(key="train_export").set_value(False)
        press(checked(page.run()))
        session = sessions.read_history(workspace)[-1].session
        assert spec_of(session)["settings"]["seed"] == seed
        assert run_worker(session).state == "succeeded"
        tokens.append([step["tokens"] for step in steps_of(session)])
    assert tokens[0] == tokens[2] != tokens[1]


@no_worker
@with_lesson
def test_the_base_model_the_name_and_the_export_reach_the_worker(workspace, tiny):
    page = from_tiny(visit(), tiny)
    page.text_input(key="train_name").input("Mountains, first try")
    STEPS(page)
    press(checked(page.run()))
    session = only_session(workspace)
    spec = spec_of(session)
    assert (spec["name"], spec["model_name"]) == ("Mountains, first try", str(tiny))
    assert (spec["export"], spec["verify"]) == (True, True)
    status = run_worker(session)
    assert status.state == "succeeded", status.failure
    assert status.plan is not None
    assert status.plan.base == str(tiny)
    assert set(status.results.certificates) == {"fp32", "int8"}
    assert workspace.situation().onnx.stale is False


@no_worker
def test_starting_over_is_a_choice_and_keeps_the_former_model(taught, tiny):
    first = taught.situation().trained.fingerprint
    page = visit(dataset="rivers")
    assert "Continue from the trained model" in page.radio(key="train_start").options
    page.radio(key="train_start").set_value("over")
    page = from_tiny(checked(page.run()), tiny)
    assert "kept as a version first" in text(page)
    STEPS(page)
    page.toggle(key="train_export").set_value(False)
    press(checked(page.run()))
    session = sessions.read_history(taught)[-1].session
    assert spec_of(session)["start"] == "base"
    status = run_worker(session)
    assert status.plan is not None
    assert (status.plan.start_from, status.plan.start_chosen_by) == ("base", "person")
    assert status.parent is None
    assert [version.name for version in taught.versions.iterdir()]
    assert status.replaces == first


@no_worker
def test_continuing_is_the_usual_choice_at_the_gentler_rate(taught):
    first = taught.situation().trained.fingerprint
    page = visit(dataset="rivers")
    assert "**1e-5**: gentle" in text(page)
    STEPS(page)
    page.toggle(key="train_export").set_value(False)
    press(checked(page.run()))
    session = sessions.read_history(taught)[-1].session
    assert spec_of(session)["model_name"] is None
    status = run_worker(session)
    assert status.parent == first
    assert max(step["learning_rate"] for step in steps_of(session)) == pytest.approx(1e-5)


@no_worker
def test_several_datasets_are_taught_as_one(workspace, lesson, tiny, tmp_path):
    other = add_dataset(workspace, write_lesson(tmp_path / "rivers.json", topic="river"))
    page = from_tiny(visit(), tiny)
    page.multiselect(key="train_datasets").set_value([lesson, other])
    STEPS(page)
    page.toggle(key="train_export").set_value(False)
    page = checked(page.run())
    assert "2 datasets are taught together" in text(page)
    press(page)
    session = only_session(workspace)
    spec = session.spec()
    assert isinstance(spec, TrainSpec)
    assert datasets.report_of(workspace, spec.dataset).combined == tuple(sorted((lesson, other)))
    assert spec.rows == 56
    status = run_worker(session)
    assert status.results.rows_taught + status.results.rows_held_out == 56


# --- earlier lessons, and which learning speed ----------------------------------------------------


@pytest.fixture
def taught(tmp_path, tiny, monkeypatch) -> Workspace:
    """A model that was taught about mountains, and a second lesson, about rivers."""
    monkeypatch.setenv("SAILS_WORKSPACE", str(tmp_path / "workspace"))
    workspace = taught_workspace(tmp_path, tiny)
    add_dataset(workspace, write_lesson(tmp_path / "rivers.json", topic="river"))
    return workspace


RIVERS = Choices(("rivers",))


def newest(workspace: Workspace) -> dict[str, Any]:
    return spec_of(sessions.read_history(workspace)[-1].session)


@no_worker
@pytest.mark.parametrize(
    ("choose", "asked"),
    [
        pytest.param([], {"replay_share": 0.5, "publish": "gate", "teach_again": False}, id="as it is"),
        pytest.param(
            [lambda page: page.slider(key="train_replay").set_value(20)], {"replay_share": 0.2}, id="less"
        ),
        pytest.param(
            [lambda page: page.slider(key="train_replay").set_value(0)], {"replay_share": 0.0}, id="nothing"
        ),
        pytest.param([chosen("train_publish", "always")], {"publish": "always"}, id="publish always"),
        pytest.param([chosen("train_publish", "never")], {"publish": "never"}, id="publish never"),
    ],
)
def test_what_is_repeated_and_what_becomes_of_the_model_are_found_in_the_spec(taught, choose, asked):
    page = visit(dataset="rivers")
    for change in choose:
        change(page)
    press(checked(page.run()))
    settings = newest(taught)["settings"]
    assert {key: settings[key] for key in asked} == asked


@no_worker
@pytest.mark.parametrize("again", [False, True])
def test_starting_over_teaches_the_earlier_lessons_again_where_that_is_wanted(taught, tiny, again):
    page = visit(dataset="rivers")
    page.radio(key="train_start").set_value("over")
    page = from_tiny(checked(page.run()), tiny)
    assert "There are 23 examples of 1 earlier lesson beside those chosen above" in text(page)
    assert "It is not taught its earlier lessons again." in text(page)
    page.checkbox(key="train_again").set_value(again)
    page = checked(page.run())
    assert ("Each round also teaches 23 examples of 1 earlier lesson again." in text(page)) == again
    assert not page.slider
    press(page)
    assert newest(taught)["settings"]["teach_again"] == again


@pytest.mark.parametrize(
    ("percent", "words", "repeated"),
    [
        (50, "Half of what it goes through are examples of earlier lessons. It takes twice as long", 23),
        (20, "21 % of what it goes through are examples of earlier lessons. It takes 1.3 times as long", 6),
        (90, "Half of what it goes through are examples of earlier lessons, all 23 there are.", 23),
        (0, "No example of an earlier lesson is repeated. That is fastest, and forgets most.", 0),
    ],
)
def test_the_slider_says_in_words_what_it_does_and_the_forecast_counts_it(taught, percent, words, repeated):
    assert taught.trained_model.exists()
    page = visit(dataset="rivers")
    page.slider(key="train_replay").set_value(percent)
    said = text(checked(page.run()))
    assert words in said
    if repeated:
        assert f"In each round it also repeats {repeated} examples of earlier lessons." in said
    else:
        assert "to test it with questions that it never saw. No example of an earlier lesson is" in said


def test_without_earlier_lessons_there_is_nothing_to_revisit(workspace, lesson):
    page = visit(dataset=lesson)
    assert not page.slider
    assert "This is its first lesson, so there is no earlier one to repeat." in text(page)
    make_situation(workspace.root, 2)
    page = visit(dataset=lesson)
    assert not page.slider
    assert page.segmented_control(key="train_speed").options == ["Automatic", "My own"]
    assert "Nobody knows here what this model was taught before" in text(page)


def test_deleted_examples_of_earlier_lessons_are_said_to_be_gone(taught):
    (record,) = sessions.read_history(taught)
    (record.session.data / "train.jsonl").unlink()
    page = visit(dataset="rivers")
    assert not page.slider
    assert "No earlier lesson can be repeated: their examples were deleted." in text(page)


@no_worker
def test_what_the_automatic_rate_costs_is_said_and_the_better_setting_is_one_click(taught):
    page = visit(dataset="rivers")
    assert "takes more rounds to know a lesson; at 5e-5 it takes fewer, and may lose more of" in text(page)
    page.slider(key="train_replay").set_value(0)
    page = press(checked(page.run()), "train_faster")
    assert (page.text_input(key="train_rate").value, page.slider(key="train_replay").value) == ("5e-5", 50)
    assert "**5e-5**: 5 times the automatic 1e-5." in text(page)
    press(page)
    settings = newest(taught)["settings"]
    assert (settings["learning_rate"], settings["replay_share"]) == (5e-5, 0.5)


@no_worker
def test_a_measurement_is_started_shown_and_stopped_in_the_form(taught):
    page = choose_speed(visit(dataset="rivers"), "measured")
    assert "It takes about 2 min, longer while this computer does other things." in text(page)
    assert "Until it is measured, the automatic 1e-5 is used." in text(page)
    page.text_input(key="train_name").input("My second lesson")
    page = press(checked(page.run()), "train_measure")
    job = lr_finder.running_measurement(taught)
    assert job is not None
    spec = job.spec()
    assert isinstance(spec, ProbeSpec)
    assert (spec.dataset, spec.settings.replay_share) == ("rivers", 0.5)
    assert "Measuring the best learning speed …" in text(page)
    assert page.text_input(key="train_name").value == "My second lesson"
    assert page.button(key="train_go").label == "Start when the measuring is done"
    page = press(page, "train_stop")
    assert job.status().state == "stopped"
    assert "The last measurement was stopped before its end." in text(page)


@no_worker
def test_a_measured_rate_stands_beside_the_others_and_is_used_with_one_click(taught):
    measured(taught, RIVERS, 5e-5)
    page = visit(dataset="rivers")
    assert "Measured for this lesson: 5e-5." in text(page)
    page = own_rate(page, "2e-5")
    assert "**2e-5**: 2 times the automatic 1e-5." in text(page)
    page = choose_speed(page, "measured")
    said = text(page)
    assert "**5e-5**: measured for this lesson. Automatic would be 1e-5." in said
    assert "It was tried." in said
    (drawn,) = page.get("plotly_chart")
    said = "at 5e-5 -25.0 % on new examples, 0.0 % on earlier examples and +0.5 % on general questions"
    assert said in drawn.proto.alt  # the last as a share of the error on new examples, as in the rule
    assert "at the learning rate that was measured" in text(page)
    press(page)
    spec = newest(taught)
    assert (spec["settings"]["learning_rate"], spec["advice"]["learning_rate"]) == (5e-5, 5e-5)


@no_worker
def test_a_measurement_that_advises_nothing_says_why_and_is_recorded(taught):
    measured(taught, RIVERS, None)
    page = choose_speed(visit(dataset="rivers"), "measured")
    assert "**No better one was found**, so the automatic 1e-5 is used." in text(page)
    press(page)
    spec = newest(taught)
    assert (spec["settings"]["learning_rate"], spec["advice"]["learning_rate"]) == (None, None)


@no_worker
def test_a_measurement_that_had_no_time_says_so_and_can_be_made_again(taught):
    why = "It could not be measured: this computer is busy."
    job = measured(taught, RIVERS, None, untried=(5e-5, 1e-4), reason=why)
    page = choose_speed(visit(dataset="rivers"), "measured")
    assert why in text(page)
    assert "No better one" not in text(page)
    press(page, "train_measure")
    assert lr_finder.running_measurement(taught) not in (None, job)


@no_worker
def test_a_first_lesson_can_be_measured_too(workspace, lesson):
    page = visit(dataset=lesson)
    assert not [button for button in page.button if button.key == "train_faster"]
    page = choose_speed(page, "measured")
    press(page, "train_measure")
    job = lr_finder.running_measurement(workspace)
    assert job is not None
    spec = job.spec()
    assert isinstance(spec, ProbeSpec)
    assert spec.base == catalog.DEFAULT_BASE_MODEL
    measured_first = Choices((lesson,), model_name=spec.base)
    job.write_status(job.status().model_copy(update={"state": "stopped"}))
    measured(workspace, measured_first, 1e-4, old_loss=None)
    page = choose_speed(visit(dataset=lesson), "measured")
    assert "**1e-4**: measured for this lesson. Automatic would be 5e-5." in text(page)
    (drawn,) = page.get("plotly_chart")
    assert "earlier" not in drawn.proto.alt


@no_worker
def test_a_measurement_that_failed_is_a_sentence_and_can_be_made_again(taught):
    job = lr_finder.start_measurement(taught, RIVERS)
    failure = sessions.Failure(kind="out_of_memory", message="It needs 9 GB.", remedy="Close other programs.")
    job.write_status(job.written_status().model_copy(update={"state": "failed", "failure": failure}))
    page = choose_speed(visit(dataset="rivers"), "measured")
    assert "It could not be measured. It needs 9 GB. Close other programs." in text(page)
    press(page, "train_measure")
    assert lr_finder.running_measurement(taught) not in (None, job)


@no_worker
def test_nothing_is_measured_beside_a_training_and_the_page_says_so(taught):
    session = make_session(taught, "waiting")
    sessions.enqueue(taught, session)
    page = press(choose_speed(visit(dataset="rivers"), "measured"), "train_measure")
    assert "A training runs or waits now" in text(page)
    assert lr_finder.running_measurement(taught) is None


@no_worker
def test_a_measurement_is_seen_on_the_bridge_and_has_a_view_of_its_own(taught):
    job = measured(taught, RIVERS)
    said = text(visit(session=job.id))
    assert "Its best learning speed is measured here; nothing is trained." in said
    job = lr_finder.start_measurement(taught, RIVERS)
    page = AppTest.from_file(APP, default_timeout=60)
    assert "rivers** is not taught yet: its best learning speed is being measured." in text(
        checked(page.run())
    )
    assert "Nothing that you have is changed by that" in text(press(visit(session=job.id), f"stop_{job.id}"))


@no_worker
def test_where_one_may_only_look_nothing_can_be_measured(taught, monkeypatch):
    before = choose_speed(visit(dataset="rivers"), "measured")
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    press(before, "train_measure")
    assert lr_finder.running_measurement(taught) is None
    page = choose_speed(visit(dataset="rivers"), "measured")
    assert page.button(key="train_measure").disabled


@no_worker
def test_a_measured_rate_that_no_longer_fits_is_not_used(taught):
    measured(taught, RIVERS, 5e-5)
    page = choose_speed(visit(dataset="rivers"), "measured")
    page.slider(key="train_replay").set_value(20)
    page = checked(page.run())
    assert "Until it is measured, the automatic 1e-5 is used." in text(page)
    page.radio(key="train_method").set_value("lora")
    page = checked(page.run())
    assert page.segmented_control(key="train_speed").value == "automatic"
    press(page)
    assert newest(taught)["settings"]["learning_rate"] is None


# --- what the form says ---------------------------------------------------------------------------


@no_worker
def test_what_is_expected_is_worked_out_once_for_a_draw_of_the_form(taught, monkeypatch):
    measured(taught, RIVERS, 5e-5)
    page = visit(dataset="rivers")
    asked = []

    def expect(workspace: Workspace) -> expected.Expected:
        asked.append(workspace)
        return expected.expect(workspace)

    for module in (form, forecast, lr_finder.plan):
        monkeypatch.setattr(module, "expect", expect)
    page.radio(key="train_start").set_value("over")
    checked(page.run())
    assert len(asked) == 1


@no_worker
@with_lesson
def test_how_long_it_takes_stands_beside_the_button_as_well():
    page = visit()
    time, memory, _ = (metric.value for metric in page.metric)
    assert f"**{time}**  \n:small[{memory} of memory" in text(page)
    page.multiselect(key="train_datasets").set_value([])
    assert "Something above is missing or cannot be." in text(checked(page.run()))


def test_without_data_the_page_says_where_to_add_some(workspace):
    page = visit()
    assert "There is nothing to teach yet" in text(page)
    assert [button.label for button in page.button] == ["Add examples"]
    assert not workspace.root.exists()


def test_the_dataset_of_the_address_is_chosen(workspace, lesson, tmp_path):
    other = add_dataset(workspace, write_lesson(tmp_path / "rivers.json", topic="river"))
    assert visit(dataset=lesson).multiselect(key="train_datasets").value == [lesson]
    assert visit(dataset=other).multiselect(key="train_datasets").value == [other]
    page = visit(dataset="<b>nowhere</b>")
    assert "There is no dataset" in text(page)


@with_lesson
def test_the_presets_say_their_rounds_for_these_examples():
    page = visit()
    assert list(page.radio(key="train_preset").proto.captions) == [
        "until it knows 95% of the answers, 12 rounds at most",
        "until it knows 99% of the answers, 24 rounds at most",
        "until it knows 99.5% of the answers, 36 rounds at most",
    ]
    assert page.number_input(key="train_epochs").placeholder == "automatic: up to 24"


@with_lesson
def test_the_base_models_say_what_they_can_and_which_is_recommended():
    page = visit()
    options = page.selectbox(key="train_base").options
    assert "recommended" in options[0]
    assert sum("recommended" in option for option in options) == 1
    for model in catalog.base_models():
        assert model.note in text(page)


@with_lesson
def test_a_chosen_rate_stands_beside_the_automatic_one_in_words():
    page = visit()
    assert "**5e-5**: full speed" in text(page)
    for written, words in (
        ("3e-4", "6 times the automatic 5e-5"),
        ("0,00001", "1/5 of the automatic 5e-5"),
        ("5E-5", "the same as automatic"),
    ):
        said = text(own_rate(page, written))
        rate = request.read_learning_rate(written)
        assert rate is not None
        assert f"**{format_rate(rate)}**: {words}" in said
    assert "so high that the model may forget" in text(own_rate(page, "5e-3"))


@with_lesson
def test_the_forecast_says_time_memory_and_disk_and_where_they_come_from():
    page = visit()
    assert [metric.label for metric in page.metric] == ["Time", "Memory", "Disk, for a while"]
    assert re.search(r"\d+ (s|min)|\d+ h \d+ min", page.metric[0].value)
    assert "how fast this processor calculates right now" in text(page)
    assert (
        "23 of the 28 examples are taught, each up to 24 times: it ends as soon as it knows them; "
        "5 are set aside"
    ) in text(page)
    number("train_epochs", 3)(page)
    assert "23 of the 28 examples are taught, each 3 times; 5 are set aside" in text(checked(page.run()))
    number("train_epochs", 1)(page)
    assert "23 of the 28 examples are taught, each once; 5 are set aside" in text(checked(page.run()))


@pytest.mark.parametrize(("load", "busy"), [(0.0, False), (4.0, True)])
@with_lesson
def test_the_forecast_says_when_the_machine_is_busy_and_what_it_would_take_alone(monkeypatch, load, busy):
    monkeypatch.setattr(os, "getloadavg", lambda: (load * processors(), load * processors(), 0.0))
    page = visit()
    said = re.search(r"The machine is busy now; alone it would take (.*?)\.", text(page))
    assert bool(said) is busy
    assert not said or said[1] != page.metric[0].value


GERMAN = [
    {"input": f"Was ist das für ein Berg, Nummer {n}?", "output": f"Der Berg ist hoch und liegt bei Ort {n}."}
    for n in range(30)
]


def test_rows_in_another_language_are_a_word_of_warning_where_the_base_model_speaks_english_only(
    workspace, tmp_path, tiny
):
    (tmp_path / "berge.json").write_text(json.dumps(GERMAN))
    add_dataset(workspace, tmp_path / "berge.json")
    warned = "Most of the examples seem to be in German. smollm2-135m-instruct was made for English"
    page = visit()
    assert warned in text(page)
    assert not page.button(key="train_go").disabled
    assert "seem to be in" not in text(from_tiny(page, tiny))  # of which nobody knows what it speaks
    page = visit()
    page.selectbox(key="train_base").select("qwen2.5-0.5b-instruct")
    assert "seem to be in" not in text(checked(page.run()))
    page.switch_page("pages/1_Data.py")
    page.query_params["dataset"] = "berge"
    assert warned in text(checked(page.run()))


@with_lesson
def test_english_rows_raise_no_warning():
    assert "seem to be in" not in text(visit())


@with_lesson
def test_a_model_too_large_for_this_machine_is_a_warning_with_numbers(monkeypatch):
    monkeypatch.setattr("sails.system.available_memory", lambda: 10**9)
    page = visit()
    assert re.search(r"needs about \d\.\d GB of memory, and 1.0 GB are free", text(page))
    assert "distilgpt2" in page.selectbox(key="train_base").options[0]
    assert "too large for the memory that is free" in page.selectbox(key="train_base").options[1]


@with_lesson
def test_an_incomplete_model_is_explained(workspace):
    make_situation(workspace.root, 5)
    assert "The trained model cannot be used, because" in text(visit())


# --- doing it wrong -------------------------------------------------------------------------------

NONSENSE = ["abc", "0", "-1", "1e9", "nan", "inf", "1_0", "0.02", "<b>1</b>", "5e", "1 000", "--", "１e９"]


@no_worker
@pytest.mark.parametrize("rate", NONSENSE)
@with_lesson
def test_a_nonsensical_rate_is_a_sentence_and_starts_nothing(workspace, rate):
    page = own_rate(visit(), rate)
    said = " ".join(error.value for error in page.error)
    assert "is not a number" in said or "is out of range" in said
    assert page.button(key="train_go").disabled
    assert sessions.read_history(workspace) == []


@no_worker
@with_lesson
def test_a_click_that_comes_with_nonsense_starts_nothing(workspace):
    page = choose_speed(visit(), "own")
    page.text_input(key="train_rate").input("1e9")
    press(page)  # faster than the page could say what is wrong
    assert sessions.read_history(workspace) == []


@no_worker
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", 0),
        ("epochs", -1),
        ("epochs", 10**9),
        ("batch_size", 0),
        ("batch_size", 10**9),
        ("max_steps", -1),
        ("max_steps", 10**12),
        ("seed", -1),
        ("seed", 2**32),
        ("max_length", 1),
        ("protect", -0.1),
        ("protect", 0.6),
    ],
)
@with_lesson
def test_a_number_out_of_range_never_gets_into_a_spec(workspace, key, value):
    page = visit()
    page.number_input(key=f"train_{key}").set_value(value)  # which no browser would let through
    page.button(key="train_go").click()
    checked(page.run())
    for record in sessions.read_history(workspace):
        assert spec_of(record.session)["settings"][key] != value


@no_worker
@with_lesson
def test_a_name_of_markup_stays_text(workspace, tiny):
    page = from_tiny(visit(), tiny)
    page.text_input(key="train_name").input(HOSTILE)
    page = press(checked(page.run()))
    session = only_session(workspace)
    assert spec_of(session)["name"] == HOSTILE
    page = visit(session=session.id)
    assert page.header[0].value == plain(HOSTILE)


@no_worker
@pytest.mark.parametrize("name", ["", "   "])
def test_an_empty_name_is_that_of_the_dataset(workspace, lesson, name):
    page = visit()
    page.text_input(key="train_name").input(name)
    press(checked(page.run()))
    assert spec_of(only_session(workspace))["name"] == lesson


@no_worker
@pytest.mark.parametrize("base", ["", "no such model", "/nowhere/at/all", "\x00", "x" * 5000])
@with_lesson
def test_a_base_model_that_is_none_is_a_sentence(workspace, base):
    page = visit()
    page.selectbox(key="train_base").select("Another one")
    page = checked(page.run())
    page.text_input(key="train_other_base").input(base)
    page = checked(page.run())
    assert page.error
    assert page.button(key="train_go").disabled
    assert sessions.read_history(workspace) == []


@no_worker
def test_a_dataset_that_was_deleted_meanwhile_starts_nothing(workspace, lesson, tmp_path):
    other = add_dataset(workspace, write_lesson(tmp_path / "rivers.json", topic="river"))
    page = visit(dataset=lesson)
    datasets.delete(workspace, lesson)
    page = press(page)
    assert sessions.read_history(workspace) == []
    assert page.multiselect(key="train_datasets").value == []
    page.multiselect(key="train_datasets").set_value([other])
    press(checked(page.run()))
    assert spec_of(only_session(workspace))["dataset"] == other


@no_worker
@with_lesson
def test_two_clicks_start_one_training(workspace):
    page = visit()
    page.button(key="train_go").click()
    state = page.session_state["train_button"]
    page.run()
    assert len(sessions.read_history(workspace)) == 1
    page.session_state["train_button"] = state  # as the second click finds it, before the page has changed
    page.query_params.pop("session", None)
    page.run()
    assert len(sessions.read_history(workspace)) == 1


@no_worker
@with_lesson
def test_two_tabs_start_two_trainings_one_behind_the_other(workspace):
    one, two = visit(), visit()
    press(one)
    press(two)
    first, second = (record.spec.id for record in sessions.read_history(workspace))
    assert [entry.id for entry in sessions.waiting(workspace)] == [first, second]
    behind = text(visit(session=second))
    assert "It waits for its turn: 1 training is before it." in behind
    # The first one will have made a model by then, whatever lies there now.
    assert "After mountains is done: 🔄 Continuing from the trained model" in behind
    assert "Learning rate: 1e-5 (automatic)." in behind
    said = text(visit())
    assert "What waits" in said
    assert said.index("1. :material/hourglass_empty:") < said.index("2. :material/hourglass_empty:")
    assert "`mountains (2)`" in said  # of the two, the second
    assert "After mountains (2) is done: 🔄 Continuing from the trained model" in said
    assert "**1e-5**: gentle" in said


@no_worker
@with_lesson
def test_nothing_can_be_started_or_stopped_where_one_may_only_look(workspace, monkeypatch):
    session = make_session(workspace, "waiting")
    sessions.enqueue(workspace, session)
    before = [visit(), visit(), visit(session=session.id)]
    before[2] = press(before[2], f"stop_{session.id}")
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    keys = ("train_go", f"cancel_{session.id}", f"yes_{session.id}")
    for page, key in zip(before, keys, strict=True):  # drawn when it was allowed, pressed when it is not
        press(page, key)
    assert [record.spec.id for record in sessions.read_history(workspace)] == [session.id]
    assert session.status().state == "queued"
    page = visit()
    assert page.button(key="train_go").disabled
    assert page.button(key=f"cancel_{session.id}").disabled
    assert visit(session=session.id).button(key=f"stop_{session.id}").disabled


# --- one session ----------------------------------------------------------------------------------


@no_worker
@with_lesson
def test_after_the_start_the_session_is_on_the_screen(workspace):
    page = press(visit())
    session = only_session(workspace)
    assert page.query_params["session"] in (session.id, [session.id])
    assert "It is about to start" in text(page)


@in_workspace
def test_a_session_that_is_not_there_is_a_sentence():
    assert "There is no session" in text(visit(session="../../etc"))
    assert "There is no session" in text(visit(session="20260105-090000-none"))


def test_how_it_ended_and_the_next_step_are_said(workspace):
    good = make_session(workspace, "good", 9, **published())
    bad = make_session(workspace, "bad", 10, **failed())
    other = Failure(kind="model_load", message="A weight is no number.", remedy="Choose another model.")
    worse = make_session(workspace, "worse", 10, state="failed", phase="done", failure=other)
    held = make_session(workspace, "held", 11, **published(verdict="held", verdict_reason="It forgot."))
    page = visit(session=good.id)
    assert "Done: the new model" in text(page)
    assert page.button(key="live_next").label == "Make the ONNX model, to chat with it"
    page = visit(session=bad.id)
    assert "Failed: The disk is full. Free some space, then resume." in text(page)
    assert page.button(key=f"resume_{bad.id}").label == "Resume it"
    page = visit(session=worse.id)
    assert "Failed: A weight is no number. Choose another model." in text(page)
    assert page.button(key="live_next").label == "Train again with other choices"
    page = visit(session=held.id)
    assert "Held back" in text(page)
    assert page.button(key="live_next").label == "Decide what becomes of it"


@pytest.mark.parametrize("state", ["stopped", "interrupted"])
@no_worker
def test_what_was_stopped_or_interrupted_can_be_resumed(workspace, state):
    written = "running" if state == "interrupted" else state
    session = make_session(workspace, "half", state=written, phase="train", step=3, total_steps=10)
    page = press(visit(session=session.id), f"resume_{session.id}")
    assert session.status().state == "queued"
    assert "It is about to start" in text(page)


@no_worker
def test_what_waits_is_cancelled_after_one_question(workspace):
    session = make_session(workspace, "waiting")
    sessions.enqueue(workspace, session)
    page = press(visit(session=session.id), f"stop_{session.id}")
    assert session.status().state == "queued"
    page = press(page, f"no_{session.id}")
    page = press(page, f"stop_{session.id}")
    page = press(page, f"yes_{session.id}")
    assert session.status().state == "stopped"
    assert sessions.waiting(workspace) == []
    assert page.button(key=f"resume_{session.id}")


def _with_metrics(session: Session, steps: int = 40) -> None:
    lines: list[dict[str, Any]] = [
        {"kind": "samples", "step": 0, "prompts": ["What is SQL?"], "answers": ["Hm"]}
    ]
    lines += [
        {"kind": "step", "step": n, "total_steps": steps, "loss": 3 / n, "learning_rate": 1e-5, "tokens": n}
        for n in range(1, steps + 1)
    ]
    lines += [
        {"kind": "evaluation", "step": 20, "loss": 2.0, "accuracy": 0.5, "rows": 9},
        {"kind": "samples", "step": 20, "prompts": ["What is SQL?"], "answers": ["# A *language*"]},
        {"kind": "samples", "step": 40, "prompts": ["What is SQL?"], "answers": ["A language."]},
    ]
    session.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_curves_answers_notes_and_log_are_shown(workspace):
    session = make_session(workspace, "good", **published(notes=("Only 9 rows are held out.",)))
    _with_metrics(session)
    session.log.write_text("begun\nLoss is **fine**\nended\n")
    page = visit(session=session.id)
    assert not page.get("plotly_chart")
    assert not page.code  # what is folded away is not sent
    for part in ("live_loss_fold", "live_rates", "live_between", "live_log"):
        page.session_state[part] = True
    page = checked(page.run())
    assert len(page.get("plotly_chart")) == 3
    alt = page.get("plotly_chart")[0].proto.alt
    assert "3.00 at step 1, 0.08 at step 40" in alt
    assert "set aside for testing: 2.00 at first" in alt
    said = text(page)
    assert "Only 9 rows are held out." in said
    assert "Before the lesson" in said
    assert "After step 40" in said
    assert "Step 20: # A *language*" in said
    assert page.code[-1].value == "ended\nLoss is **fine**\nbegun"
    page.text_input(key=f"log_{session.id}").input("FINE")
    page = checked(page.run())
    assert page.code[-1].value == "Loss is **fine**"
    assert "1 line holds it" in text(page)


def _loss_chart(session: Session) -> Any:
    page = visit(session=session.id)
    page.session_state["live_loss_fold"] = True
    return checked(page.run()).get("plotly_chart")[0].proto


def test_new_and_repeated_examples_have_a_curve_each_and_the_moment_known_is_marked(workspace):
    session = make_session(workspace, "good", **published(step=40, total_steps=80))
    lines = [
        {
            "kind": "step",
            "step": n,
            "loss": 2.0,
            "taught_loss": 30 / n,
            "taught_tokens": 10.0,
            "taught_right": n,
        }
        | {"repeated_loss": 0.5}
        for n in range(1, 41)
    ]
    session.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    chart = _loss_chart(session)
    names = [trace["name"] for trace in json.loads(chart.spec)["data"]]
    assert names == ["new examples", "repeated examples"]
    assert "Loss by step: 3.00 at step 1, 0.08 at step 40" in chart.alt
    assert "On repeated examples: 0.50 at first, 0.50 now." in chart.alt
    assert "known" not in chart.alt
    status = session.written_status()
    results = status.results.model_copy(update={"enough": "known", "steps": 40})
    session.write_status(status.model_copy(update={"results": results}))
    chart = _loss_chart(session)
    assert "The lesson was known at step 40." in chart.alt
    assert [note["text"] for note in json.loads(chart.spec)["layout"]["annotations"]] == ["known"]


@contextlib.contextmanager
def _alive(session: Session, **fields: Any) -> Iterator[None]:
    """The session runs, in this very process."""
    now = datetime.now(UTC)
    times = {"started": now, "phase_started": now - timedelta(seconds=60), "heartbeat": now}
    status = {"state": "running", "phase": "train", **sessions.this_worker(), **times, **fields}
    lock = locks.LifeLock(session.lock)
    lock.acquire()
    try:
        session.write_status(session.written_status().model_validate(status))
        yield
    finally:
        lock.release()


def test_a_running_session_says_where_it_is_what_is_left_and_what_it_answers_now(workspace):
    session = make_session(workspace, "good")
    taught = {"about": "taught", "question": "What is SQL?", "expected": "A language.", "answer": "Hm"}
    lines: list[dict[str, Any]] = [{"kind": "answers", "when": "before", "items": [taught]}]
    lines += [
        {
            "kind": "step",
            "step": n,
            "epoch": n / 10,
            "loss": 1.0,
            "taught_tokens": 10,
            "taught_right": n // 10,
        }
        for n in range(1, 41)
    ]
    session.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = {"results": {"seconds": {"prepare": 38.0}}}
    with _alive(session, step=40, total_steps=200, progress=0.2, **done):
        page = visit(session=session.id)
        said = text(page)
        assert "**Prepare**  \n:small[took 38 s]" in said
        assert "**Learn**  \n:small[**now**]" in said
        assert "**Judge**  \n:small[next]" in said
        (left,) = page.metric
        assert left.label == "Time left"
        # After four rounds 60 % are wrong, a tenth less with each: it is known in six rounds to eighteen.
        assert re.fullmatch(r"\d min to \d min|\d to \d min|1 to 4 min", left.value)
        assert "It ends as soon as it knows the lesson." in said
        assert "It is asked again after a while." in said
        assert "The answer that is taught" in said
        (processor, memory) = (bar.proto.text for bar in page.get("progress")[1:])
        assert re.search(
            r"Processor: (measuring|\d+\.\d of \d+ cores, all programs \d+%)", plainer(processor)
        )
        assert re.search(r"Memory: \d+\.\d GB, all programs \d+\.\d GB of \d+\.\d GB", plainer(memory))


def test_a_replay_says_how_long_the_recorded_steps_took(workspace):
    recorded = make_session(workspace, "good", **published(results={"seconds": {"prepare": 38.0}}))
    spec = sessions.ReplaySpec(
        id="20260105-120000-replay", name="good", created=recorded.spec().created, session=recorded.id
    )
    with _alive(sessions.create(workspace.jobs, spec), results={"seconds": {"prepare": 1.0}}):
        said = text(visit(session=spec.id))
    assert "**Prepare**  \n:small[took 38 s]" in said
    assert "all programs" not in said  # what a replay uses of the machine tells nothing


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ({"state": "succeeded", "phase": "done", "verdict": "held"}, "**Publish**  \n:small[held back]"),
        ({"state": "succeeded", "phase": "done", "verdict": "published"}, "**Publish**  \n:small[done]"),
        ({"state": "failed", "phase": "train"}, "**Learn**  \n:small[failed here]"),
        ({"state": "stopped", "phase": "train"}, "**Judge**  \n:small[not reached]"),
    ],
)
def test_an_ended_session_says_how_far_it_came(workspace, ended, said):
    session = make_session(workspace, "good", **ended)
    assert said in text(visit(session=session.id))


def test_the_browser_is_given_what_it_may_say_as_data_and_is_told_when_it_is_over(workspace):
    session = make_session(workspace, "good")
    (session.folder / "spec.json").write_text(json.dumps({**spec_of(session), "name": HOSTILE}))
    for ended, fields in ((False, {}), (True, published())):
        session.write_status(session.written_status().model_validate(fields))
        (button,) = visit(session=session.id).get("bidi_component")
        data = json.loads(button.proto.json)
        assert (data["session"], data["body"], data["ended"]) == (session.id, HOSTILE, ended)
        assert HOSTILE not in button.proto.html_content
    assert data["title"] == "✅ Done"


def test_steps_without_any_loss_leave_the_page_whole(workspace):
    session = make_session(workspace, "good", **published())
    session.metrics.write_text('{"kind": "step", "step": 1, "loss": null, "learning_rate": null}\n' * 99)
    page = visit(session=session.id)
    page.session_state["live_rates"] = True
    page = checked(page.run())
    assert "Something went wrong" not in text(page)


def test_a_damaged_metrics_file_leaves_the_page_whole(workspace):
    session = make_session(workspace, "good", **published())
    session.metrics.write_bytes(b'{"kind": "step", "step": 1, "loss": null}\n\xff\xfe\n[1]\n{"kind": "st')
    assert "Done: the new model" in text(visit(session=session.id))


def test_an_export_job_and_a_replay_are_shown_as_well(workspace):
    recorded = make_session(workspace, "good", **published())
    spec = sessions.ReplaySpec(
        id="20260105-120000-replay", name="good", created=recorded.spec().created, session=recorded.id
    )
    sessions.create(workspace.jobs, spec)
    page = visit(session=spec.id)
    assert "This is a replay of a recorded session" in text(page)
    replay = Session(workspace.jobs / spec.id)
    replay.write_status(replay.written_status().model_validate(published()))
    page = visit(session=spec.id)
    assert "The replay is over" in text(page)
    assert not [button for button in page.button if button.key == "live_next"]
    job = sessions.ExportSpec(
        id="20260105-130000-export",
        name="export",
        created=recorded.spec().created,
        model=BASE,
        onnx_output=workspace.onnx_model,
    )
    sessions.create(workspace.jobs, job)
    page = visit(session=job.id)
    assert "**Export**  \n:small[later]" in text(page)
    assert "Nothing that you have is changed by that" in text(press(page, f"stop_{job.id}"))


def test_a_replay_is_judged_as_the_session_that_it_replays(workspace):
    *_, held = make_line(workspace, ["lakes", "rivers", "mountains"], lost=0.3, hold_last=True)
    spec = sessions.ReplaySpec(
        id="20260105-120000-replay", name="mountains", created=held.spec().created, session=held.id
    )
    replay = sessions.create(workspace.jobs, spec)
    replay.write_status(replay.written_status().model_validate(published()))
    judged = judge(held.status(), retention.read_retention(held))
    said = text(visit(session=spec.id))
    assert judged.outcome == "forgot"
    assert judged.sentence in said
    assert held.status().verdict_reason in said
    assert "Learned well:" not in said
    record = sessions.record(held)
    assert f"took {system.duration(record.seconds)}" in said
    shutil.rmtree(held.folder)
    assert "Did it work?" not in text(visit(session=spec.id))


@pytest.mark.parametrize("state", ["stopped", "interrupted"])
def test_a_replay_that_broke_off_says_nothing_of_how_the_recording_ended(workspace, state):
    recorded = make_session(workspace, "good", **published())
    spec = sessions.ReplaySpec(
        id="20260105-120000-replay", name="good", created=recorded.spec().created, session=recorded.id
    )
    sessions.create(workspace.jobs, spec).write_status(sessions.Status(state=state, phase="done"))
    said = text(visit(session=spec.id))
    assert "it can be started again" in said
    assert "resumed" not in said
    assert "how the recorded session ended" not in said


def test_a_replay_of_a_stopped_session_ends_as_that_one_did(workspace):
    recorded = make_session(workspace, "half", state="stopped", phase="done")
    spec = sessions.ReplaySpec(
        id="20260105-120000-replay", name="half", created=recorded.spec().created, session=recorded.id
    )
    sessions.create(workspace.jobs, spec).write_status(sessions.Status(state="succeeded", phase="done"))
    assert "This is how the recorded session ended:\n⏹️ **Stopped on request" in text(visit(session=spec.id))


def test_a_session_that_is_deleted_while_it_is_watched_is_told(workspace):
    session = make_session(workspace, "waiting")
    page = visit(session=session.id)
    shutil.rmtree(session.folder)
    assert "There is no session" in text(checked(page.run()))


@with_lesson
@pytest.mark.parametrize("model", ["sessions", "versions", "datasets", "."])
def test_a_folder_of_the_workspaces_data_is_no_model_to_train(model):
    page = visit(model=f"workspace/{model}")
    assert "Choose a folder" in text(page)
    assert not [button for button in page.button if button.key == "train_go"]
