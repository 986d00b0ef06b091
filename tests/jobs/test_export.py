"""Export jobs: what is asked reaches the worker, two never write one folder, and all can be taken away."""

import json
import os
import shutil
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from sails import sessions
from sails.chat.models import chat_models, find_chat_model
from sails.errors import BusyError, RequestError, ViewOnlyError, WorkspaceError
from sails.jobs import export, launcher
from sails.jobs.export import export_base, export_current, export_for, export_jobs, freshness, read_job
from sails.models import publish
from sails.models.folder import inspect_onnx
from sails.models.variants import inspect_variants
from sails.models.workspace import Workspace
from sails.onnx.convert import ConversionOrder, convert_model
from sails.sessions import queue
from sails.sessions.reporter import Reporter
from sails.system import access, locks
from tests.support.exported import VERSION, add_version, copy_talking, make_talking
from tests.support.folders import fingerprint_of, listing, make_model, make_onnx
from tests.support.helpers import run_worker
from tests.support.situations import make_session, make_situation

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_talking(tmp_path_factory.mktemp("talking") / "workspace")


@pytest.fixture
def place(template, tmp_path):
    return copy_talking(template, tmp_path / "workspace")


@pytest.fixture(autouse=True)
def started(monkeypatch):
    """Workers are not started by themselves: a test calls them where it can watch."""
    sessions_started = []
    monkeypatch.setattr(launcher, "start_worker", sessions_started.append)
    return sessions_started


# --- starting -------------------------------------------------------------------------------------


def test_what_is_asked_stands_in_the_spec_and_in_what_the_worker_made(place, started):
    job = export_current(place, verify=True, opset=17)
    assert started == [job]
    spec = job.spec()
    assert (spec.kind, spec.verify, spec.opset) == ("export", True, 17)
    assert (spec.model, spec.onnx_output) == (str(place.trained_model), place.onnx_model)
    status = run_worker(job)
    assert status.state == "succeeded"
    assert {name: one["passed"] for name, one in status.results.certificates.items()} == {
        "fp32": True,
        "int8": True,
    }
    record = json.loads((place.onnx_model / "export.json").read_text())
    assert record["opset"] == 17
    assert record["fingerprint"] == fingerprint_of(place.trained_model)


def test_an_opset_that_cannot_be_written_is_replaced_and_that_is_noted(place):
    assert run_worker(export_current(place, verify=False, opset=3)).notes == (
        "Opset 3 cannot be written for this model; the export uses 14.",
    )


@pytest.mark.parametrize("opset", [0, -1])
def test_a_number_that_is_no_opset_is_refused(place, opset):
    with pytest.raises(RequestError, match="is no ONNX opset"):
        export_current(place, opset=opset)
    assert export_jobs(place) == []


def test_without_a_complete_model_nothing_is_started(tmp_path, place):
    with pytest.raises(RequestError, match="it is missing"):
        export_current(Workspace.open(tmp_path / "empty"))
    os.truncate(place.trained_model / "model.safetensors", 1000)
    with pytest.raises(RequestError, match="cut off at 1,000"):
        export_current(place)
    assert not place.jobs.exists()


def test_a_second_export_is_refused_while_the_first_starts_or_runs(place):
    job = export_current(place)
    with pytest.raises(BusyError, match="being made already"):
        export_current(place)
    lock = locks.LifeLock(job.lock)
    lock.acquire()
    try:
        job.write_status(
            job.written_status().model_copy(update={"state": "running", **sessions.this_worker()})
        )
        with pytest.raises(BusyError):
            export_current(place)
        assert export_base(place, str(place.trained_model), place.root / "other")
    finally:
        lock.release()
    assert read_job(job).status.state == "interrupted"
    export_current(place)  # its worker died, so the way is free


def test_a_job_whose_worker_never_came_up_blocks_nobody(place):
    job = export_current(place)
    long_ago = datetime.now(UTC) - timedelta(seconds=queue.START_SECONDS + 1)
    job.write_status(job.written_status().model_copy(update={"queued": long_ago}))
    assert read_job(job).status.state == "interrupted"
    assert export_current(place).id != job.id


def test_two_who_press_at_once_start_one_job(place):
    refused = []

    def press():
        try:
            export_current(place)
        except BusyError as error:
            refused.append(error)

    threads = [threading.Thread(target=press) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(export_jobs(place)), len(refused)) == (1, 3)


def test_who_may_only_look_starts_and_stops_nothing(place, monkeypatch):
    job = export_current(place)
    base, version = chat_models(place)[1], add_version(place)
    monkeypatch.setenv(access.VIEW_ONLY, "1")
    for attempt in (
        lambda: export_current(place),
        lambda: export_base(place, "gpt2", place.root / "base"),
        lambda: export_for(place, base),
        lambda: launcher.launcher_for(job).stop(place, job),
    ):
        with pytest.raises(ViewOnlyError):
            attempt()
    assert version.exists()
    assert len(export_jobs(place)) == 1
    assert not job.stop_requested()


# --- for those who are asked ----------------------------------------------------------------------


def test_a_version_gets_an_onnx_model_of_its_own(place):
    folder = add_version(place)
    version = find_chat_model(chat_models(place), f"version/{VERSION}")
    assert version.readiness == "unmade"
    assert run_worker(export_for(place, version)).state == "succeeded"
    version = find_chat_model(chat_models(place), f"version/{VERSION}")
    assert (version.readiness, version.fingerprint) == ("ready", fingerprint_of(folder))
    assert inspect_onnx(place.onnx_model, None).fingerprint == fingerprint_of(place.trained_model)
    publish.roll_back(place, VERSION)
    assert not (place.trained_model / "onnx").exists()
    current = chat_models(place)[0]
    assert (current.readiness, current.fingerprint) == ("ready", fingerprint_of(place.trained_model))
    assert current.fingerprint == version.fingerprint


def test_a_base_model_is_made_once_and_anew_when_its_folder_changed(place):
    base = chat_models(place)[1]
    assert (base.key, base.readiness) == ("base", "unmade")
    job = export_for(place, base)
    assert job.spec().kind == "baseline"
    assert run_worker(job).state == "succeeded"
    assert chat_models(place)[1].readiness == "ready"
    for record in (base.onnx / "export.json", base.onnx / "int8" / "export.json"):
        record.write_text(json.dumps({**json.loads(record.read_text()), "fingerprint": "of another model"}))
    assert chat_models(place)[1].readiness == "unmade"


def test_for_the_current_model_it_is_the_same_export_with_its_proof(place):
    assert export_for(place, chat_models(place)[0]).spec().verify


def test_a_model_that_is_not_complete_is_not_made_ready(place):
    folder = add_version(place)
    os.truncate(folder / "model.safetensors", 10)
    with pytest.raises(RequestError, match="is not complete"):
        export_for(place, find_chat_model(chat_models(place), f"version/{VERSION}"))


# --- how a job can end ----------------------------------------------------------------------------


def test_a_job_stopped_in_the_middle_leaves_what_was_there_and_nothing_else(place):
    before = listing(place.onnx_model)
    job = export_current(place)
    stopper = threading.Thread(target=_stop_when_exporting, args=(place, job))
    stopper.start()
    assert run_worker(job).state == "stopped"
    stopper.join()
    assert listing(place.onnx_model) == before
    assert [path.name for path in place.root.glob(".onnx_model.staged*")] == []


def _stop_when_exporting(place, job):
    deadline = time.monotonic() + 120
    while job.written_status().phase != "export" and time.monotonic() < deadline:
        time.sleep(0.005)
    launcher.launcher_for(job).stop(place, job)


def test_a_model_that_changes_meanwhile_fails_the_job_and_keeps_the_old_export(place):
    before = listing(place.onnx_model)
    config = place.trained_model / "config.json"

    def changing(_fraction, words):
        if words == "writing the tokenizer":
            config.write_text(config.read_text() + "\n")

    reporter = Reporter(export_current(place))
    with pytest.raises(Exception, match="changed while its ONNX model was being made"):
        convert_model(ConversionOrder(place.trained_model, place.onnx_model), reporter, progress=changing)
    reporter.end("failed")
    assert listing(place.onnx_model) == before


def test_a_version_deleted_meanwhile_fails_in_a_sentence_and_leaves_no_folder(place):
    folder = add_version(place)
    job = export_for(place, find_chat_model(chat_models(place), f"version/{VERSION}"))
    shutil.rmtree(folder)
    status = run_worker(job)
    assert status.failure.message == f"There is no complete model in {folder} (it is missing)."
    assert not folder.exists()


def test_where_nothing_can_be_written_the_failure_says_so(place, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    job = export_base(place, str(place.trained_model), tmp_path / "file" / "onnx")
    status = run_worker(job)
    assert status.failure.kind == "workspace"
    assert status.failure.message.startswith(f"Nothing can be written in {tmp_path / 'file'}")


# --- following ------------------------------------------------------------------------------------


def test_jobs_are_listed_newest_first_and_what_is_none_is_left_out(place):
    first = export_base(place, str(place.trained_model), place.root / "one")
    second = export_base(place, str(place.trained_model), place.root / "two")
    damaged = export_base(place, str(place.trained_model), place.root / "three")
    (damaged.folder / "spec.json").write_text("{")
    assert [job.session for job in export_jobs(place)] == [second, first]
    assert export.running_export(place, place.root / "one").session == first
    assert export.running_export(place, place.onnx_model) is None


def test_a_session_is_no_export(place):
    with pytest.raises(RequestError, match="is no export"):
        read_job(make_session(place, "rivers"))
    with pytest.raises(WorkspaceError):
        read_job(sessions.Session(place.jobs / "nobody"))


@pytest.mark.parametrize(
    ("trained", "fingerprint", "expected"),
    [
        (True, "", "missing"),
        (True, "same", "fresh"),
        (True, "parent", "stale"),
        (True, "child", "newer"),
        (True, "sister", "other"),
        (True, "nobody knows which", "other"),
        (True, None, "unknown"),
        (False, "other", "orphaned"),
        (False, None, "unknown"),
    ],
)
def test_how_the_onnx_model_stands_to_the_trained_one(tmp_path, trained, fingerprint, expected):
    place = Workspace.open(tmp_path / "w")
    if trained:
        make_model(place.trained_model)
    if fingerprint != "":
        own = place.situation().trained.fingerprint
        make_onnx(place.onnx_model, own if fingerprint == "same" else fingerprint)
        for name, (made, parent) in enumerate(
            [("parent", None), (own, "parent"), ("mother", own), ("child", "mother"), ("sister", "parent")]
        ):
            make_session(place, str(name), 9 + name, state="succeeded", fingerprint=made, parent=parent)
    assert freshness(place, place.situation()) == expected


def test_the_same_weights_with_another_tokenizer_are_another_model_and_not_an_earlier_one(tmp_path):
    place = make_situation(tmp_path / "w", 2)
    own = place.situation().trained
    make_session(place, "its-own", state="succeeded", fingerprint=own.fingerprint, parent="parent")
    make_onnx(place.onnx_model, own.fingerprint)
    record = {"fingerprint": own.fingerprint, "tokenizer": "of another one"}
    (place.onnx_model / "export.json").write_text(json.dumps(record))
    assert freshness(place, place.situation()) == "other"


@pytest.mark.parametrize(
    ("trained", "full", "small", "expected"),
    [
        (True, "", "", ()),
        (True, "same", "", ()),
        (True, "same", "same", ()),
        (True, "same", "other", ("int8",)),
        (True, None, "same", ("fp32",)),
        (True, "other", "", ("fp32", "int8")),
        (True, "other", None, ("fp32", "int8")),
        (False, "other", "other", ()),
    ],
)
def test_what_is_to_be_made_again_is_what_is_not_fresh(tmp_path, trained, full, small, expected):
    place = Workspace.open(tmp_path / "w")
    if trained:
        make_model(place.trained_model)
    own = place.situation().trained.fingerprint
    for folder, fingerprint in ((place.onnx_model, full), (place.onnx_model / "int8", small)):
        if fingerprint != "":
            make_onnx(folder, own if fingerprint == "same" else fingerprint)
    found = inspect_variants(place.onnx_model, own)
    assert export.to_refresh(place.situation().trained, found) == expected
