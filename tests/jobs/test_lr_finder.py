"""A measured learning rate from the question to the answer: who may ask, what the job does, when it holds."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from sails import sessions, training
from sails.cli import app
from sails.data import datasets
from sails.errors import BusyError, RequestError, ViewOnlyError
from sails.jobs import launcher, lr_finder, submit
from sails.models.workspace import Workspace
from sails.sessions import ProbeSpec, Session, Settings, TrainSpec
from sails.sessions.plan import describe_learning_rate, format_rate
from sails.system import locks
from sails.training import lr_range_test, trainer
from sails.training.plan import forecast_training
from sails.training.plan.request import Choices
from tests.support.helpers import add_dataset, run_worker, write_lesson
from tests.support.lessons import measured, taught_workspace
from tests.support.tiny import make_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def workspace(tmp_path, tiny) -> Workspace:
    """A model that was taught one lesson, and the library with that lesson."""
    return taught_workspace(tmp_path, tiny)


@pytest.fixture
def choices(workspace, tmp_path) -> Choices:
    """The second lesson."""
    return Choices((add_dataset(workspace, write_lesson(tmp_path / "rivers.json", topic="river")),))


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch) -> None:
    """What is started only waits: the test runs the worker itself, where it can watch."""
    monkeypatch.setattr(launcher, "start_worker", lambda _: None)


@pytest.fixture(autouse=True)
def _two_rates(monkeypatch) -> None:
    """Which rates are tried is `lr_range_test`'s part."""
    monkeypatch.setattr(lr_range_test, "GRIDS", ((1e-5, 1e-4), *lr_range_test.GRIDS))


# --- who may ask ----------------------------------------------------------------------------------


def test_what_is_measured_is_full_training_so_lora_gets_no_advice(workspace, choices):
    with pytest.raises(RequestError, match="LoRA learns in other steps") as refusal:
        lr_finder.start_measurement(workspace, dataclasses.replace(choices, settings=Settings(method="lora")))
    assert "automatic" in refusal.value.remedy


def test_where_the_earlier_examples_are_gone_or_the_same_nothing_can_be_measured(workspace, choices):
    same = Choices(("mountains",))
    with pytest.raises(RequestError, match="teaches all of them again"):
        lr_finder.start_measurement(workspace, same)
    (workspace.sessions / "20260105-090000-mountains" / "data" / "train.jsonl").unlink()
    with pytest.raises(RequestError, match="were deleted"):
        lr_finder.start_measurement(workspace, choices)


def test_nothing_is_measured_beside_a_training_or_another_measurement(workspace, choices):
    lock = locks.LifeLock(workspace.training_lock)
    lock.acquire()
    try:
        with pytest.raises(BusyError, match="A training runs or waits now"):
            lr_finder.start_measurement(workspace, choices)
    finally:
        lock.release()
    lr_finder.start_measurement(workspace, choices)
    with pytest.raises(BusyError, match="being measured already"):
        lr_finder.start_measurement(workspace, choices)


def test_nothing_is_measured_where_one_may_only_look(workspace, choices, monkeypatch):
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    with pytest.raises(ViewOnlyError):
        lr_finder.start_measurement(workspace, choices)
    assert not workspace.jobs.exists()


# --- measuring ------------------------------------------------------------------------------------


def test_a_measurement_tries_rates_with_the_sessions_own_rows_and_changes_nothing(workspace, choices):
    register = workspace.register.read_bytes()
    fingerprint = workspace.situation().trained.fingerprint
    job = lr_finder.start_measurement(workspace, choices)
    spec = job.spec()
    assert isinstance(spec, ProbeSpec)
    assert (spec.dataset, spec.seconds, job.status().parent) == ("rivers", 120.0, fingerprint)
    assert lr_finder.running_measurement(workspace) == job
    status = run_worker(job)
    assert status.state == "succeeded", status.failure
    advice = status.results.advice
    assert advice is not None
    assert len(advice.trials) >= 2
    assert advice.learning_rate in {trial.learning_rate for trial in advice.trials}
    assert advice.seconds < 60
    assert lr_finder.advice_for(workspace, choices) == advice
    assert lr_finder.running_measurement(workspace) is None
    assert workspace.register.read_bytes() == register
    assert workspace.situation().trained.fingerprint == fingerprint
    assert not locks.is_held(workspace.training_lock)
    assert [record.spec.name for record in sessions.read_history(workspace)] == ["mountains"]


def test_a_measurement_that_is_stopped_gives_no_advice(workspace, choices):
    job = lr_finder.start_measurement(workspace, choices)
    job.request_stop()
    assert run_worker(job).state == "stopped"
    assert lr_finder.advice_for(workspace, choices) is None
    latest = lr_finder.latest_measurement(workspace, choices)
    assert latest is not None
    assert latest.status.state == "stopped"


def test_a_measurement_that_meets_a_training_or_another_model_says_so(workspace, choices):
    job = lr_finder.start_measurement(workspace, choices)
    lock = locks.LifeLock(workspace.training_lock)
    lock.acquire()
    try:
        failure = run_worker(job).failure
    finally:
        lock.release()
    assert failure is not None
    assert "A training began before" in failure.message
    job = lr_finder.start_measurement(workspace, choices)
    shutil.rmtree(workspace.trained_model)
    make_tiny_model(workspace.trained_model, seed=1)
    failure = run_worker(job).failure
    assert failure is not None
    assert "The model changed before it could be measured" in failure.message


def test_old_rows_are_mixed_in_as_the_session_would_repeat_them(workspace, choices):
    spec = lr_finder.start_measurement(
        workspace, dataclasses.replace(choices, settings=Settings(replay_share=0.2))
    ).spec()
    assert isinstance(spec, ProbeSpec)
    rows = lr_finder._rows(workspace, spec)
    assert rows.each == pytest.approx(0.25, abs=0.05)
    assert rows.repeated == pytest.approx(rows.each * len(rows.train) / len(rows.old))
    assert rows.schedule.token_budget == 256


def test_a_first_lesson_is_measured_on_its_base_model(tmp_path, tiny):
    workspace = Workspace.open(tmp_path / "empty")
    lesson = add_dataset(workspace, write_lesson(tmp_path / "mountains.json"))
    choices = Choices((lesson,), model_name=str(tiny))
    advice = run_worker(lr_finder.start_measurement(workspace, choices)).results.advice
    assert advice is not None
    assert (advice.old_loss, advice.general_loss) == (None, pytest.approx(0.0, abs=1e-4))
    assert all(trial.old_loss is None and trial.general_loss for trial in advice.trials)
    assert lr_finder.advice_for(workspace, choices) == advice
    assert lr_finder.advice_for(workspace, Choices((lesson,))) is None  # from another base model
    assert workspace.situation().trained.state == "missing"


@pytest.mark.parametrize("again", [False, True])
def test_starting_over_is_measured_with_earlier_lessons_only_where_they_are_taught_again(
    workspace, choices, tiny, again
):
    settings = Settings(teach_again=again)
    over = dataclasses.replace(choices, start="base", model_name=str(tiny), settings=settings)
    advice = run_worker(lr_finder.start_measurement(workspace, over)).results.advice
    assert advice is not None
    assert (advice.old_loss is not None) == again
    assert lr_finder.advice_for(workspace, over) == advice
    assert lr_finder.advice_for(workspace, choices) is None
    other = dataclasses.replace(over, settings=Settings(teach_again=not again))
    assert lr_finder.advice_for(workspace, other) is None


@pytest.mark.parametrize("protect", [0.0, 0.4])
def test_its_steps_are_protected_as_those_of_the_session(workspace, choices, monkeypatch, protect):
    runs = []

    def seen(model, tokenizer, run, precision, session, watcher):
        runs.append(run)
        return train(model, tokenizer, run, precision, session, watcher)

    train = trainer.train
    monkeypatch.setattr(lr_range_test, "train", seen)
    monkeypatch.setattr(training, "train", seen)
    settings = Settings(protect=protect, max_steps=2)
    asked = dataclasses.replace(choices, settings=settings)
    status = run_worker(lr_finder.start_measurement(workspace, asked))
    assert status.state == "succeeded", status.failure
    trials, count = [*runs], len(runs)
    assert run_worker(submit.start_training(workspace, asked)).state == "succeeded"
    (session,) = runs[count:]
    for trial in trials:
        assert (trial.rehearsal is None) == (trial.matrices is None) == (not protect)
        if protect:
            assert trial.rehearsal.examples == session.rehearsal.examples
            assert all(torch.equal(trial.matrices[name], value) for name, value in session.matrices.items())
            assert trial.settings.protect == protect


def test_where_there_is_no_time_it_says_so_and_can_be_measured_again(workspace, choices, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(lr_range_test, "PATIENCE", 0)
        status = run_worker(lr_finder.start_measurement(workspace, choices))
    advice = status.results.advice
    assert advice is not None
    assert (status.state, advice.learning_rate, advice.trials) == ("succeeded", None, ())
    assert "It could not be measured" in advice.reason
    assert lr_finder.advice_for(workspace, choices) is None
    latest = lr_finder.latest_measurement(workspace, choices)
    assert latest is not None
    assert latest.status.results.advice == advice
    run_worker(lr_finder.start_measurement(workspace, choices))
    assert lr_finder.advice_for(workspace, choices) is not None


# --- what it holds for ----------------------------------------------------------------------------


def test_an_advice_holds_for_the_same_rows_whatever_they_are_called(workspace, choices):
    measured(workspace, choices)
    datasets.rename(workspace, "rivers", "streams")
    found = lr_finder.advice_for(workspace, Choices(("streams",)))
    assert found is not None
    assert found.learning_rate == 5e-5
    assert lr_finder.advice_for(workspace, Choices(("mountains", "streams"))) is None


def test_an_advice_for_several_datasets_together_is_found_again(workspace, choices, tmp_path):
    lakes = add_dataset(workspace, write_lesson(tmp_path / "lakes.json", topic="lake"))
    both = Choices((*choices.datasets, lakes))
    measured(workspace, both, 2e-5)
    found = lr_finder.advice_for(workspace, Choices((lakes, *choices.datasets)))
    assert found is not None
    assert found.learning_rate == 2e-5
    assert lr_finder.advice_for(workspace, choices) is None


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({"epochs": 3}, False),  # its learning rate falls to the end
        ({"max_steps": 30}, True),
        ({"protect": 0.0}, False),
        ({"learning_rate": 1e-4}, True),
        ({"publish": "never"}, True),
        ({"blend": True}, True),
        ({"method": "lora"}, False),
        ({"replay_share": 0.3}, False),
        ({"batch_size": 2}, False),
        ({"max_length": 64}, False),
        ({"seed": 7}, False),
    ],
)
def test_an_advice_holds_as_long_as_nothing_changes_that_matters_to_it(workspace, choices, change, holds):
    measured(workspace, choices)
    changed = dataclasses.replace(choices, settings=Settings(**change))
    assert (lr_finder.advice_for(workspace, changed) is not None) == holds


def test_an_advice_for_exact_rounds_holds_however_many_they_are(workspace, choices):
    measured(workspace, dataclasses.replace(choices, settings=Settings(epochs=3)))
    for epochs, holds in ((5, True), (None, False)):
        changed = dataclasses.replace(choices, settings=Settings(epochs=epochs))
        assert (lr_finder.advice_for(workspace, changed) is not None) == holds


def test_what_an_earlier_release_measured_is_read(workspace, choices):
    job = measured(workspace, choices)
    content = json.loads((job.folder / "status.json").read_text())
    former = content["results"]["advice"]
    del former["general_loss"], former["untried"]
    for trial in former["trials"]:
        del trial["general_loss"]
    (job.folder / "status.json").write_text(json.dumps(content))
    spec = json.loads((job.folder / "spec.json").read_text())
    del spec["base"]
    (job.folder / "spec.json").write_text(json.dumps(spec))
    found = lr_finder.advice_for(workspace, choices)
    assert found is not None
    assert (found.learning_rate, found.general_loss, found.untried) == (5e-5, None, ())


def test_an_advice_holds_for_one_model_and_the_newest_counts(workspace, choices):
    measured(workspace, choices)
    newest = measured(workspace, choices, None)
    found = lr_finder.advice_for(workspace, choices)
    assert found is not None
    assert found.learning_rate is None
    (newest.folder / "status.json").write_text("damaged")
    found = lr_finder.advice_for(workspace, choices)
    assert found is not None
    assert found.learning_rate == 5e-5
    assert lr_finder.advice_for(workspace, dataclasses.replace(choices, start="base")) is None
    shutil.rmtree(workspace.trained_model)
    make_tiny_model(workspace.trained_model, seed=1)
    assert lr_finder.advice_for(workspace, choices) is None


def test_a_training_records_the_advice_whether_or_not_it_is_followed(workspace, choices):
    measured(workspace, choices)
    advice = lr_finder.advice_for(workspace, choices)
    for rate, chooser in ((None, "automatic"), (5e-5, "advice"), (2e-5, "person")):
        asked = dataclasses.replace(choices, settings=Settings(learning_rate=rate), advice=advice)
        assert forecast_training(workspace, asked).plan.learning_rate_chosen_by == chooser
        spec = json.loads((submit.start_training(workspace, asked).folder / "spec.json").read_text())
        assert spec["advice"]["learning_rate"] == 5e-5


def test_a_session_at_the_advised_rate_says_that_it_was_measured(workspace, choices):
    measured(workspace, choices)
    settings = Settings(learning_rate=5e-5, max_steps=3, publish="always")
    advice = lr_finder.advice_for(workspace, choices)
    session = submit.start_training(workspace, dataclasses.replace(choices, settings=settings, advice=advice))
    status = run_worker(session)
    assert (status.state, status.verdict) == ("succeeded", "published"), status.failure
    assert status.plan is not None
    assert describe_learning_rate(status.plan) == "5e-5 (advised; the automatic value is 1e-5)"
    assert status.results.rows_replayed == 23
    assert lr_finder.advice_for(workspace, choices) is None  # it was measured for the model before


# --- from the command line ------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch, capsys):
    """One command; measurements are carried out at once, trainings only wait. Its exit code and its words."""

    def work(session: Session) -> None:
        if isinstance(session.spec(), ProbeSpec):
            run_worker(session)

    def command(place: Workspace, *words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = app.main([*words, "--workspace", str(place.root)])
        return code, "".join(capsys.readouterr())

    monkeypatch.setattr(launcher, "start_worker", work)
    return command


def newest_spec(workspace: Workspace) -> TrainSpec:
    spec = sessions.read_history(workspace)[-1].spec
    assert isinstance(spec, TrainSpec)
    return spec


def test_a_command_measures_shows_its_table_and_trains_at_the_advised_rate(run, workspace, tmp_path):
    rivers = write_lesson(tmp_path / "rivers.json", topic="river")
    code, said = run(workspace, "train", "--data-file", str(rivers), "--advise", "--detach")
    assert code == 0, said
    assert "learning rate  steps  new examples (loss)  earlier ones (loss)  general questions (KL)" in said
    spec = newest_spec(workspace)
    assert spec.advice is not None
    assert spec.settings.learning_rate == spec.advice.learning_rate is not None
    assert spec.advice.reason in said
    assert f"{format_rate(spec.advice.learning_rate)} (advised; the automatic value is 1e-5)" in said


def test_a_command_measures_a_first_lesson_too(run, tmp_path, tiny):
    workspace = Workspace.open(tmp_path / "empty")
    rivers = write_lesson(tmp_path / "rivers.json", topic="river")
    words = ("--data-file", str(rivers), "--model-name", str(tiny), "--advise", "--detach")
    code, said = run(workspace, "train", *words)
    assert code == 0, said
    spec = newest_spec(workspace)
    assert spec.advice is not None
    assert spec.advice.reason in said
    assert spec.settings.learning_rate == spec.advice.learning_rate is not None
    assert f"{format_rate(spec.advice.learning_rate)} (advised; the automatic value is 5e-5)" in said


def test_a_command_that_cannot_measure_in_time_says_so_and_trains_at_the_automatic_rate(
    run, workspace, tmp_path, monkeypatch
):
    monkeypatch.setattr(lr_range_test, "PATIENCE", 0)
    rivers = write_lesson(tmp_path / "rivers.json", topic="river")
    code, said = run(workspace, "train", "--data-file", str(rivers), "--advise", "--detach")
    assert code == 0, said
    assert "It could not be measured: there was not enough time to try" in said
    assert "It trains at the automatic learning rate." in said
    spec = newest_spec(workspace)
    assert (spec.advice, spec.settings.learning_rate) == (None, None)


def test_a_command_says_why_nothing_can_be_measured_and_trains(run, workspace, tmp_path):
    (workspace.sessions / "20260105-090000-mountains" / "data" / "train.jsonl").unlink()
    rivers = write_lesson(tmp_path / "rivers.json", topic="river")
    code, said = run(workspace, "train", "--data-file", str(rivers), "--advise", "--detach")
    assert code == 0, said
    assert "nobody can measure what it would forget" in said
    assert newest_spec(workspace).settings.learning_rate is None


def test_the_options_of_replay_and_publishing_reach_the_spec(run, workspace, tmp_path):
    rivers = str(write_lesson(tmp_path / "rivers.json", topic="river"))
    options = ("--replay-share", "0.3", "--publish", "never", "--detach")
    assert run(workspace, "train", "--data-file", rivers, *options)[0] == 0
    settings = newest_spec(workspace).settings
    assert (settings.replay_share, settings.publish, settings.teach_again) == (0.3, "never", False)
    assert (
        run(workspace, "train", "--data-file", rivers, "--start", "base", "--teach-again", "--detach")[0] == 0
    )
    assert newest_spec(workspace).settings.teach_again


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--advise", "--learning-rate", "1e-4"), "Leave out one of the two."),
        (("--teach-again",), "Add --start base to start over"),
        (("--replay-share", "0.95"), "The share of earlier lessons (--replay-share) cannot be 0.95."),
        (("--replay-share", "-0.1"), "The share of earlier lessons (--replay-share) cannot be -0.1."),
        (("--publish", "perhaps"), "--publish"),
    ],
)
def test_what_does_not_go_together_is_refused_in_a_sentence(run, workspace, tmp_path, words, said):
    rivers = write_lesson(tmp_path / "rivers.json", topic="river")
    code, told = run(workspace, "train", "--data-file", str(rivers), *words)
    assert code == 2
    assert said in told
    assert len(sessions.read_history(workspace)) == 1
