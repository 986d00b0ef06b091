"""The life of a session: prepare, train, judge, publish, export; and every way in which it can end."""

import contextlib
import json
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from sails import sessions, training
from sails.data import datasets, read_jsonl, write_jsonl
from sails.errors import RequestError, WorkspaceError
from sails.jobs import candidates, export, train
from sails.models import versions
from sails.models.folder import inspect_model
from sails.models.workspace import Workspace
from sails.sessions.metrics import MetricsWriter
from sails.system import locks
from sails.training.plan import resources
from tests.support.helpers import add_dataset, queue_training, run_worker, steps_of, write_lesson
from tests.support.situations import make_session, published, rows_of
from tests.support.tiny import make_tiny_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("base"), "gpt2")


@pytest.fixture
def place(tmp_path):
    return Workspace.open(tmp_path / "workspace")


@pytest.fixture
def teach(place, base, tmp_path, monkeypatch):
    """Teach a lesson of `rows` pairs about `topic`, in this process; gives the session and its status."""

    def run(topic="mountain", rows=28, model=base, **choices):
        session = queue_training(
            place,
            add_dataset(place, write_lesson(tmp_path / f"{topic}.json", rows, topic)),
            model,
            monkeypatch=monkeypatch,
            **{"epochs": 1, **choices},
        )
        return session, run_worker(session)

    return run


@pytest.fixture(scope="module")
def taught_once(base, tmp_path_factory):
    """A workspace whose model was taught about mountains, for one round."""
    folder = tmp_path_factory.mktemp("taught")
    workspace = Workspace.open(folder / "workspace")
    dataset = add_dataset(workspace, write_lesson(folder / "mountain.json"))
    with pytest.MonkeyPatch.context() as patch:
        session = queue_training(workspace, dataset, base, monkeypatch=patch, epochs=1)
    assert run_worker(session).verdict == "published"
    return workspace


@pytest.fixture
def first(place, taught_once):
    """What `teach()` gives, in a copy of the workspace in which it was done."""
    shutil.copytree(taught_once.root, place.root)
    (record,) = sessions.read_history(place)
    return record.session, record.status


def test_the_first_session_starts_from_base_and_is_published(place, teach, base):
    session, status = teach()
    assert (status.state, status.phase, status.verdict) == ("succeeded", "done", "published")
    assert (status.plan.row, status.plan.start_from, status.plan.learning_rate) == (1, "base", 5e-5)
    current = inspect_model(place.trained_model)
    assert current.complete
    assert current.fingerprint == status.fingerprint
    assert (current.base, current.session) == (str(base), session.id)
    assert not session.model.exists()
    assert not session.checkpoints.exists()
    assert sessions.waiting(place) == []
    assert not locks.is_held(place.training_lock)
    alone, seconds = status.results.seconds_alone, status.results.seconds
    assert alone.keys() == seconds.keys() >= {"prepare", "train", "judge", "publish"}
    assert all(0 <= alone[phase] <= seconds[phase] for phase in seconds)


CHANGED = "The tokenizer or chat template of the current model was changed since its last lesson"


def test_the_next_session_continues_at_a_fifth_of_the_rate_and_keeps_the_former_model(place, first, teach):
    _, first = first
    _, second = teach("river")
    assert (second.plan.row, second.plan.start_from, second.plan.learning_rate) == (2, "trained", 1e-5)
    assert second.parent == first.fingerprint
    assert [v.fingerprint for v in versions.list_versions(place)] == [first.fingerprint]
    assert [r.status.fingerprint for r in sessions.ancestors(place, second.fingerprint)] == [
        first.fingerprint,
        second.fingerprint,
    ]
    assert not any(CHANGED in note for note in second.notes)


@pytest.mark.usefixtures("first")
def test_a_tokenizer_or_template_that_changed_since_the_last_lesson_is_noticed_at_the_start(place, teach):
    template = place.trained_model / "chat_template.jinja"
    template.write_text("Now: " + template.read_text())
    _, changed = teach("lake")
    assert any(CHANGED in note for note in changed.notes)
    _, again = teach("wood")  # taught with it since
    assert not any(CHANGED in note for note in again.notes)


@pytest.mark.usefixtures("first")
def test_a_chosen_learning_rate_wins_also_when_continuing_and_reaches_the_optimizer(teach):
    session, status = teach("river", learning_rate=3e-4)
    assert status.plan.learning_rate == 3e-4
    assert status.plan.automatic_learning_rate == 1e-5
    assert status.plan.learning_rate_chosen_by == "person"
    assert max(m["learning_rate"] for m in steps_of(session)) == pytest.approx(3e-4)


def test_another_base_model_starts_over_and_the_same_one_continues(place, first, teach, tmp_path):
    _, first = first
    _, second = teach("river")
    assert second.plan.start_from == "trained"
    other = make_tiny_model(tmp_path / "other", "llama")
    _, third = teach("lake", model=other)
    assert (third.plan.start_from, third.plan.start_chosen_by) == ("base", "person")
    assert third.parent is None
    assert json.loads((place.trained_model / "config.json").read_text())["model_type"] == "llama"
    assert {v.fingerprint for v in versions.list_versions(place)} == {first.fingerprint, second.fingerprint}


@pytest.mark.usefixtures("first")
def test_starting_over_from_base_on_purpose(teach):
    _, status = teach("river", start="base")
    assert (status.plan.start_from, status.plan.start_chosen_by) == ("base", "person")
    assert status.plan.learning_rate == 5e-5


@pytest.mark.usefixtures("first")
def test_an_incomplete_model_is_set_aside_and_not_deleted(place, teach):
    (place.trained_model / "model.safetensors").write_bytes(b"rubbish")
    _, status = teach("river")
    assert status.plan.row == 5
    (aside,) = place.set_aside.iterdir()
    assert (aside / "model.safetensors").read_bytes() == b"rubbish"
    assert inspect_model(place.trained_model).complete


def test_the_same_questions_are_answered_before_and_after_the_lesson(teach):
    session, _ = teach(epochs=30, learning_rate=5e-3, protect=0.0)
    metrics = sessions.MetricsReader(session.metrics).read_metrics()
    before, after = [m for m in metrics if m["kind"] == "answers"]
    assert (before["when"], after["when"]) == ("before", "after")
    about = ["taught"] * 5 + ["reworded", "unrelated"]
    assert [item["about"] for item in before["items"]] == about
    assert [item["question"] for item in before["items"]] == [item["question"] for item in after["items"]]
    taught = [row.input for row in read_jsonl(session.data / "train.jsonl")]
    assert all(item["question"] in taught for item in before["items"][:5])
    right = [item for item in after["items"][:5] if item["answer"] == item["expected"]]
    assert len(right) > sum(item["answer"] == item["expected"] for item in before["items"][:5])


def test_the_scores_before_and_after_are_measured(teach):
    session, status = teach(epochs=12, learning_rate=5e-3)
    results = status.results
    samples = [m for m in sessions.MetricsReader(session.metrics).read_metrics() if m["kind"] == "samples"]
    assert samples[0]["step"] == 0
    assert samples[-1]["step"] == status.total_steps
    assert samples[0]["prompts"] == samples[-1]["prompts"]
    assert samples[0]["answers"] != samples[-1]["answers"]
    assert results.taught_after.loss < results.taught_before.loss
    assert results.held_out_before.rows == results.held_out_after.rows == results.rows_held_out == 5
    assert results.rows_taught == results.rows_new == 23
    assert set(results.seconds) >= {"prepare", "train", "judge", "publish"}
    assert results.peak_memory > 50_000_000
    assert results.precision in ("fp32", "bf16")


def test_a_session_ends_when_its_lesson_is_known_and_says_so(teach):
    session, status = teach(**UNTIL_KNOWN, protect=0.0)  # random weights learn more slowly where protected
    results = status.results
    assert (status.state, status.verdict, results.enough) == ("succeeded", "published", "known")
    assert 1 < results.epochs < results.most_epochs == 12
    assert results.epochs == round(results.epochs)
    assert results.steps == len(steps_of(session)) < status.total_steps
    assert f"It knew the lesson after round {results.epochs:.0f} of up to 12." in status.notes
    assert results.taught_after.accuracy > 0.9
    rates = [step["learning_rate"] for step in steps_of(session)]
    assert rates[-1] == max(rates)


def test_rounds_that_a_person_asked_for_are_gone_through_to_the_end(teach):
    session, status = teach(**{**UNTIL_KNOWN, "epochs": 14})
    assert (status.results.enough, status.results.epochs, status.results.most_epochs) == (None, 14, 14)
    assert status.results.steps == len(steps_of(session)) == status.total_steps
    assert not any("knew the lesson" in note for note in status.notes)


@pytest.mark.parametrize("protect", [0.0, 0.1, 0.5])
def test_general_knowledge_is_protected_as_much_as_asked(protect, teach):
    session, status = teach(protect=protect)
    assert session.spec().settings.protect == protect
    results = status.results
    rows = results.rows_taught * results.epochs / results.steps  # in a step, beside those that are rehearsed
    assert results.rehearsed == pytest.approx(rows * protect / (1 - protect), abs=1 / results.steps)
    drifts = ["drift" in step for step in steps_of(session)]
    assert any(drifts) == bool(protect)
    assert all(drifts) == (protect == 0.5)  # a small share is less than a row of a step


def test_what_is_rehearsed_and_what_is_repeated_do_not_count_as_known(first, teach):
    """The second lesson has as many rows again from the first one; its own answer tokens are counted."""
    first, _ = first
    second, _ = teach("river", epochs=2, replay_share=0.5, protect=0.25)
    tokens = []
    for session in (first, second):
        steps = steps_of(session)
        rounds = {step["epoch"] for step in steps if step["epoch"] == int(step["epoch"])}
        tokens.append(sum(step["taught_tokens"] for step in steps) / len(rounds))
    assert second.status().results.rows_replayed == 23
    assert tokens[1] == pytest.approx(tokens[0], rel=0.2)


def test_held_out_rows_are_never_taught_later_and_taught_rows_never_held_out(first, teach):
    first, _ = first
    second, status = teach("mountain", rows=60)  # the same 28 and 32 more
    taught = {name: _inputs(name.data / "train.jsonl") for name in (first, second)}
    held = {name: _inputs(name.data / "heldout.jsonl") for name in (first, second)}
    assert not (taught[first] | taught[second]) & (held[first] | held[second])
    assert held[first] <= held[second]
    assert status.results.rows_taught - status.results.rows_new == len(taught[first])


def _inputs(path):
    return {row.input for row in read_jsonl(path)}


UNTIL_KNOWN = {"epochs": None, "preset": "quick", "learning_rate": 5e-3}  # the tiny model knows it soon


@pytest.mark.parametrize(
    "choices",
    [{"epochs": 10}, UNTIL_KNOWN, {"epochs": 10, "method": "lora", "learning_rate": 1e-3}],
    ids=["ten rounds", "until it is known", "lora"],
)
def test_a_session_stopped_in_the_middle_resumes_to_the_same_model(
    choices, teach, tmp_path, monkeypatch, base
):
    _, whole = teach(name="whole", **choices)
    fresh = Workspace.open(tmp_path / "again")
    dataset = add_dataset(fresh, tmp_path / "mountain.json")
    session = queue_training(fresh, dataset, base, monkeypatch=monkeypatch, **choices)
    stopper = threading.Thread(target=_stop_after, args=(session, 5))
    stopper.start()
    stopped = run_worker(session)
    stopper.join()
    assert stopped.state == "stopped"
    assert 5 <= stopped.step < stopped.total_steps
    assert not fresh.trained_model.exists()
    _resume(fresh, session, monkeypatch)
    befores = []

    def listening(model, tokenizer, run, *others, train=training.train):
        befores.append(run.before)
        return train(model, tokenizer, run, *others)

    with monkeypatch.context() as patch:
        patch.setattr("sails.training.train", listening)
        resumed = run_worker(session)
    (before,) = befores
    assert [step["step"] for step in before.steps] == list(range(1, stopped.step + 1))
    assert all(step["taught_tokens"] > 0 for step in before.steps)
    assert (resumed.state, resumed.verdict) == ("succeeded", "published")
    assert resumed.fingerprint == whole.fingerprint
    assert resumed.results.enough == whole.results.enough
    losses = {m["step"]: m["loss"] for m in steps_of(session)}
    assert list(losses) == list(range(1, whole.results.steps + 1))


def test_a_session_whose_base_is_gone_by_then_is_not_resumed_as_another_one(
    place, tmp_path, monkeypatch, base
):
    gone = shutil.copytree(base, tmp_path / "gone")
    dataset = add_dataset(place, write_lesson(tmp_path / "mountain.json", 28, "mountain"))
    session = queue_training(place, dataset, gone, monkeypatch=monkeypatch, epochs=10, protect=0.5)
    stopper = threading.Thread(target=_stop_after, args=(session, 5))
    stopper.start()
    stopped = run_worker(session)
    stopper.join()
    assert stopped.state == "stopped"
    assert session.projection.exists()
    gone.rename(tmp_path / "elsewhere")
    _resume(place, session, monkeypatch)
    failed = run_worker(session)
    assert failed.state == "failed"
    assert "whose answers it rehearses is not here any more" in failed.failure.message
    assert failed.failure.remedy == "Put the base model back, and start the training again."
    assert not place.trained_model.exists()


LORA = {"method": "lora", "learning_rate": 1e-3, "epochs": 8}


def test_a_session_by_lora_learns_and_its_model_is_one_like_any_other(place, teach, base):
    _, status = teach(**LORA)
    assert (status.state, status.verdict, status.plan.learning_rate) == ("succeeded", "published", 1e-3)
    assert status.results.taught_after.loss < 0.7 * status.results.taught_before.loss
    assert {f.name for f in place.trained_model.iterdir()} >= {"config.json", "model.safetensors"}
    assert not [f for f in place.trained_model.iterdir() if "adapter" in f.name]
    before, after = (load_file(folder / "model.safetensors") for folder in (base, place.trained_model))
    assert {name: w.shape for name, w in before.items()} == {name: w.shape for name, w in after.items()}
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved
    assert not [name for name in moved if "wte" in name or "wpe" in name or "ln_" in name or "bias" in name]
    _, second = teach("river", epochs=1)  # and can be taught further, in full
    assert (second.plan.start_from, second.verdict) == ("trained", "published")


def test_the_automatic_rate_of_a_session_by_lora_is_that_of_the_matrix(teach):
    session, status = teach(method="lora")
    assert status.plan.learning_rate == 5e-5
    assert max(step["learning_rate"] for step in steps_of(session)) == pytest.approx(5e-5)
    session, status = teach("river", method="lora")
    assert status.plan.learning_rate == 1e-5
    assert max(step["learning_rate"] for step in steps_of(session)) == pytest.approx(1e-5)


def test_a_model_that_lora_does_not_know_is_refused_before_anything_is_measured(teach, tmp_path):
    from transformers import AutoModelForCausalLM, LlamaConfig

    folder = make_tiny_model(tmp_path / "empty", "llama")
    config = LlamaConfig.from_pretrained(folder, num_hidden_layers=0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    session, status = teach(model=folder, method="lora")
    assert (status.state, status.failure.kind) == ("failed", "request")
    assert "no layers that LoRA is known to work with" in status.failure.message
    assert "--method full" in status.failure.remedy
    assert not (session.folder / "retention.json").exists()


@pytest.mark.parametrize("method", ["full", "lora"])
def test_what_is_not_needed_is_taken_back_where_that_was_asked(method, place, teach, base):
    """The blended model lies between the one before and the one that the same session makes without it."""
    choices = {**LORA, "method": method, "epochs": 12}
    _, plain = teach(**choices)
    whole = load_file(place.trained_model / "model.safetensors")
    session, status = teach(**choices, blend=True, start="base")
    share = status.results.blend
    assert session.spec().settings.blend
    assert share in (0.5, 0.7, 0.85, 1.0)
    start, now = (load_file(folder / "model.safetensors") for folder in (base, place.trained_model))
    for name, value in now.items():
        assert value == pytest.approx(start[name] + share * (whole[name] - start[name]), abs=1e-5)
    assert status.results.taught_after.accuracy >= plain.results.taught_after.accuracy - 0.005
    (said,) = [note for note in status.notes if "of the change" in note]
    assert said == (
        "All of the change was needed for the lesson, so all of it was kept."
        if share == 1
        else f"It kept {share:.0%} of the change: as much of the lesson, less change elsewhere."
    )
    assert plain.results.blend is None


def test_what_was_seen_before_a_resumption_is_what_led_to_its_checkpoint(place):
    """Steps behind a checkpoint were gone through in vain when the process died, and are taken again."""
    session = make_session(place, "rivers", 9)
    writer = MetricsWriter(session.metrics)
    for step in (1, 2, 3, 4):
        writer.write("step", step=step, loss=10.0 + step)
        writer.write("evaluation", step=step, loss=1.0 + step)
    writer.write("resume", step=2)
    writer.write("step", step=3, loss=99.0)
    writer.close()
    nothing = train._seen_before(session)
    assert (nothing.held_out_losses, nothing.steps) == ((), ())  # there is no checkpoint to go on from
    checkpoint = session.checkpoints / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    (checkpoint / sessions.CHECKPOINT_COMPLETE).touch()
    before = train._seen_before(session)
    assert [(step["step"], step["loss"]) for step in before.steps] == [(1, 11.0), (2, 12.0), (3, 99.0)]
    assert before.held_out_losses == (2.0, 3.0)


def _stop_after(session, steps):
    deadline = time.monotonic() + 120
    while len(steps_of(session)) < steps and time.monotonic() < deadline:
        time.sleep(0.005)
    session.request_stop()


def test_a_session_stopped_before_it_starts_training_can_be_resumed(place, base, tmp_path, monkeypatch):
    dataset = add_dataset(place, write_lesson(tmp_path / "lesson.json"))
    session = queue_training(place, dataset, base, monkeypatch=monkeypatch, epochs=1)
    session.request_stop()
    assert run_worker(session).state == "stopped"
    _resume(place, session, monkeypatch)
    assert run_worker(session).verdict == "published"


@pytest.mark.parametrize("written", ["relative to the workspace", "in full, as by earlier releases"])
def test_a_session_that_is_resumed_in_a_copy_of_its_workspace_leaves_the_original_alone(
    written, place, base, tmp_path, monkeypatch
):
    dataset = add_dataset(place, write_lesson(tmp_path / "lesson.json"))
    session = queue_training(place, dataset, base, monkeypatch=monkeypatch, epochs=1)
    session.request_stop()
    assert run_worker(session).state == "stopped"
    if written.startswith("in full"):
        path = session.folder / "spec.json"
        full = {"trained_model": str(place.trained_model), "onnx_model": str(place.onnx_model)}
        path.write_text(json.dumps(json.loads(path.read_text()) | full))
    assert (str(place.root) in (session.folder / "spec.json").read_text()) == written.startswith("in full")
    copy = Workspace.open(shutil.copytree(place.root, tmp_path / "copy"))
    copied = sessions.find(copy, session.id)
    _resume(copy, copied, monkeypatch)
    assert run_worker(copied).verdict == "published"
    assert copy.situation().trained.complete
    assert not place.trained_model.exists()


def test_a_session_whose_models_lie_outside_of_its_workspace_does_not_go_on_in_a_copy(
    place, base, tmp_path, monkeypatch
):
    own = Workspace.open(place.root, output_dir=tmp_path / "shared")
    dataset = add_dataset(own, write_lesson(tmp_path / "lesson.json"))
    session = queue_training(own, dataset, base, monkeypatch=monkeypatch, epochs=1)
    session.request_stop()
    assert run_worker(session).state == "stopped"
    copy = Workspace.open(shutil.copytree(place.root, tmp_path / "copy"))
    copied = sessions.find(copy, session.id)
    with pytest.raises(WorkspaceError, match="lies outside of it"):
        sessions.resume(copy, copied)
    copied.write_status(copied.status().model_copy(update={"state": "queued"}))
    assert run_worker(copied).failure.kind == "workspace"
    assert not (tmp_path / "shared").exists()
    _resume(own, session, monkeypatch)
    assert run_worker(session).verdict == "published"
    assert inspect_model(tmp_path / "shared").complete


def test_a_candidate_is_held_when_another_model_became_current_meanwhile(
    place, first, teach, base, tmp_path, monkeypatch
):
    _, first = first
    dataset = add_dataset(place, write_lesson(tmp_path / "river.json", topic="river"))
    session = queue_training(place, dataset, base, monkeypatch=monkeypatch, epochs=10)
    stopper = threading.Thread(target=_stop_after, args=(session, 3))
    stopper.start()
    assert run_worker(session).state == "stopped"
    stopper.join()
    _, third = teach("lake")
    _resume(place, session, monkeypatch)
    held = run_worker(session)
    assert (held.state, held.verdict) == ("succeeded", "held")
    assert place.situation().trained.fingerprint == third.fingerprint
    candidates.publish_held(place, session)
    assert place.situation().trained.fingerprint == held.fingerprint
    assert session.status().verdict == "published"
    assert {v.fingerprint for v in versions.list_versions(place)} == {first.fingerprint, third.fingerprint}
    with pytest.raises(RequestError, match="is published already"):
        candidates.publish_held(place, session)


def test_a_session_that_was_killed_behind_its_publication_is_not_taught_again(place, teach, monkeypatch):
    session, first = teach("mountain", export=True)
    # As a kill leaves it between the publication and the word of it.
    session.write_status(first.model_copy(update={"state": "stopped", "verdict": None}))
    shutil.rmtree(place.onnx_model)
    _resume(place, session, monkeypatch)
    again = run_worker(session)
    assert (again.state, again.verdict, again.fingerprint) == ("succeeded", "published", first.fingerprint)
    assert place.situation().onnx.stale is False  # the export was caught up on

    _, second = teach("river")
    session.write_status(first.model_copy(update={"state": "stopped", "verdict": None}))
    _resume(place, session, monkeypatch)
    assert run_worker(session).verdict == "published"
    assert place.situation().trained.fingerprint == second.fingerprint
    assert [v.fingerprint for v in versions.list_versions(place)] == [first.fingerprint]


def _resume(place, session, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(train.launcher, "start_worker", lambda _: None)
        sessions.resume(place, session)


def test_export_and_verification_follow_when_asked(place, teach):
    _, status = teach(export=True, verify=True)
    assert status.state == "succeeded"
    assert status.results.certificates["fp32"]["passed"]
    onnx = place.situation().onnx
    assert onnx.present
    assert onnx.stale is False
    _, second = teach("river", export=True)
    assert second.plan.row == 3
    assert place.situation().onnx.stale is False
    _, third = teach("lake")
    assert third.plan.row == 3
    assert place.situation().onnx.stale is True


def test_a_dataset_that_is_gone_fails_the_session_with_a_remedy(place, base, tmp_path, monkeypatch):
    dataset = add_dataset(place, write_lesson(tmp_path / "lesson.json"))
    session = queue_training(place, dataset, base, monkeypatch=monkeypatch)
    shutil.rmtree(place.datasets / dataset)
    status = run_worker(session)
    assert (status.state, status.failure.kind) == ("failed", "bad_data")
    assert status.failure.remedy


@pytest.mark.usefixtures("first")
def test_a_model_that_cannot_be_loaded_fails_the_session_and_stays_as_it_is(place, teach):
    (place.trained_model / "tokenizer.json").write_text("{}")
    before = place.situation().trained.fingerprint
    _, status = teach("river")
    assert (status.state, status.failure.kind) == ("failed", "model_load")
    assert place.situation().trained.fingerprint == before


def test_a_loss_that_is_not_finite_fails_the_session_and_nothing_is_published(place, teach, base, tmp_path):
    from safetensors.torch import load_file, save_file

    broken = shutil.copytree(base, tmp_path / "broken")
    tensors = load_file(broken / "model.safetensors")
    name = next(name for name in tensors if "mlp" in name)
    tensors[name][:] = 1e38  # numbers, of which the model makes what is none
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    _, status = teach(model=broken)
    assert (status.state, status.failure.kind) == ("failed", "diverged")
    assert place.situation().trained.state == "missing"


@pytest.mark.parametrize(("what", "kind"), [("memory", "out_of_memory"), ("disk", "disk_full")])
def test_a_training_that_cannot_fit_is_refused_with_the_numbers(what, kind, teach, monkeypatch):
    need = resources.ResourceNeed(memory=1, disk=1, parameters=1)
    too_much = resources.ResourceNeed(**{**need.__dict__, what: 10**16})
    monkeypatch.setattr("sails.training.plan.estimate", lambda *_, **__: too_much)
    _, status = teach()
    assert (status.state, status.failure.kind) == ("failed", kind)
    assert "10,000 TB" in status.failure.message
    assert status.step == 0


def test_a_worker_leaves_a_session_alone_that_has_already_ended(first):
    session, status = first
    assert run_worker(session) == status


def test_a_worker_leaves_a_session_in_the_queue_while_another_trains(place, base, tmp_path, monkeypatch):
    dataset = add_dataset(place, write_lesson(tmp_path / "lesson.json"))
    session = queue_training(place, dataset, base, monkeypatch=monkeypatch)
    with _another_process_holds(place.training_lock):
        assert run_worker(session).state == "queued"
        assert [entry.id for entry in sessions.waiting(place)] == [session.id]


@contextlib.contextmanager
def _another_process_holds(path):
    code = (
        "import sys; from pathlib import Path; from sails.system.locks import LifeLock; "
        f"LifeLock(Path({str(path)!r})).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield
    process.communicate()


def test_long_conversations_are_shortened_and_said_so(teach):
    _, status = teach(max_length=40)
    assert status.state == "succeeded"
    assert any("longer than 40 tokens were shortened" in note for note in status.notes)


def test_a_processor_that_is_not_here_is_refused_before_the_start(teach, place, monkeypatch):
    monkeypatch.setattr("sails.training.plan.request.Path.exists", lambda _: False)
    monkeypatch.setattr("sails.training.plan.request.shutil.which", lambda _: None)
    with pytest.raises(RequestError, match="no cuda device"):
        teach(device="cuda")
    assert sessions.waiting(place) == []


def test_every_setting_reaches_the_worker(place, base, tmp_path, monkeypatch):
    dataset = add_dataset(place, write_lesson(tmp_path / "lesson.json"))
    session = queue_training(
        place,
        dataset,
        base,
        monkeypatch=monkeypatch,
        epochs=3,
        batch_size=5,
        max_steps=9,
        seed=11,
        protect=0.5,
    )
    status = run_worker(session)
    spec = session.spec()
    assert (spec.settings.epochs, spec.settings.batch_size, spec.settings.seed) == (3, 5, 11)
    # 23 taught rows in batches of 5 are 5 steps a round; the ninth step ends it.
    assert status.total_steps == status.results.steps == 9
    assert status.results.epochs == pytest.approx(1.8)
    # Batches of 5, 5, 5, 4 and 4 rows, in any order, get as many more that are rehearsed; one is not reached.
    assert round(9 * status.results.rehearsed, 6) in (2 * 23 - 5, 2 * 23 - 4)


def test_the_library_keeps_clean_rows_and_knows_a_file_again(place, tmp_path):
    path = write_lesson(tmp_path / "lesson.json")
    name = add_dataset(place, path)
    assert add_dataset(place, path) == name
    write_lesson(path, rows=30)
    assert add_dataset(place, path) == f"{name}-2"
    assert datasets.report_of(place, name).rows == 28
    assert len(datasets.rows_of(place, f"{name}-2")) == 30


def test_a_model_is_verified_on_what_all_its_lessons_kept_back(tmp_path):
    workspace = Workspace.open(tmp_path / "workspace")
    first = make_session(workspace, "rivers", 9, **published(fingerprint="a"))
    second = make_session(workspace, "corrections", 10, **published(fingerprint="b", parent="a"))
    rows = rows_of(first, 4)
    for session in (first, second):
        session.data.mkdir(exist_ok=True)
        write_jsonl(session.data / "train.jsonl", rows[2:])
    assert export.verification_rows(workspace, "b") == rows[2:]  # nothing was kept back
    write_jsonl(first.data / "heldout.jsonl", rows[:2])
    assert export.verification_rows(workspace, "b") == rows[:2]
    write_jsonl(second.data / "heldout.jsonl", rows[1:2])
    assert export.verification_rows(workspace, "b") == [
        rows[1],
        rows[0],
    ]  # the newest first
