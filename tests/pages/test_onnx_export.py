"""The ONNX export page in detail, without a browser: what it says, what its buttons start, how jobs end."""

import json
import os
import re

import pytest
from streamlit.testing.v1 import AppTest

from sails import exporting, locks, sessions
from sails.onnx.verify import CERTIFICATE
from sails.sessions import Failure
from sails.ui.onnx import figures
from tests.conftest import REPOSITORY
from tests.helpers import run_worker
from tests.situations import make_situation

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

APP = str(REPOSITORY / "app.py")
HOSTILE = "<b>x</b> ![x](http://127.0.0.1:9/x) `y` $a$"


@pytest.fixture
def place(talking):
    return talking


def visit(**parameters: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60).run()
    for name, value in parameters.items():
        app.query_params[name] = value
    page = app.switch_page("pages/4_ONNX_export.py").run()
    assert not page.exception
    return page


def text(page: AppTest) -> str:
    """All that the page says outside of tables, with the escapes taken out."""
    elements = [*page.header, *page.caption, *page.markdown, *page.error, *page.info, *page.success]
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", "\n".join(element.value for element in elements))


def button(page: AppTest, label: str):
    return next(button for button in page.button if button.label == label)


def certificate_of(place, **changes) -> dict:
    """A certificate in the workspace's ONNX folder."""
    fingerprint = place.situation().onnx.fingerprint
    content = {
        "passed": True,
        "reasons": [],
        "max_logit_difference": 3.8e-6,
        "mean_logit_difference": 1e-7,
        "next_token_agreement": 1.0,
        "identical_answers": 24,
        "prompts": 24,
        "positions": 812,
        "source_fingerprint": fingerprint,
        "created": "2026-01-05T09:15:00+00:00",
        "examples": [{"prompt": HOSTILE, "torch": "A value.", "onnx": HOSTILE}],
        "seconds": 12.5,
        **changes,
    }
    (place.onnx_model / CERTIFICATE).write_text(json.dumps(content))
    return content


# --- the state ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "fingerprint", "headline", "primary"),
    [
        (1, None, "There is no ONNX model yet", "Train a model first"),
        (2, None, "There is no ONNX model yet", "Make the ONNX model"),
        (3, None, "The ONNX model is fresh", "Talk with it"),
        (3, "other", "The ONNX model is out of date", "Make the ONNX model"),
        (3, "", "Nobody knows whether the ONNX model is fresh", "Make the ONNX model"),
        (4, "other", "The ONNX model is orphaned", "Train a model first"),
        (5, None, "There is no ONNX model yet", "Train a model first"),
    ],
)
def test_the_state_stands_there_in_words_with_one_next_step(root, row, fingerprint, headline, primary):
    place = make_situation(root, row)
    record = place.onnx_model / "export.json"
    if fingerprint:
        record.write_text(json.dumps({"fingerprint": fingerprint}))
    elif fingerprint == "":
        record.unlink()
    page = visit()
    assert headline in page.header[0].value
    assert [button.label for button in page.button if button.proto.type == "primary"] == [primary]


def test_why_an_incomplete_model_cannot_be_exported_is_said(root):
    place = make_situation(root, 5)
    assert place.situation().trained.reason in text(visit())


@pytest.mark.parametrize(
    ("row", "label", "title"), [(1, "Train a model first", "Train"), (3, "Talk with it", "Chat")]
)
def test_the_next_step_leads_to_its_page(root, row, label, title):
    make_situation(root, row)
    page = button(visit(), label).click().run()
    assert page.title[0].value == title


# --- making it ------------------------------------------------------------------------------------


def test_the_button_starts_a_job_with_what_was_chosen_and_follows_it(place, started):
    page = visit()
    page.selectbox(key="onnx_opset").set_value(17)
    page.checkbox(key="onnx_verify").uncheck()
    page = page.run()
    page = button(page, "Make it again").click().run()
    assert not page.exception
    (job,) = started
    assert (job.spec().opset, job.spec().verify) == (17, False)
    assert page.query_params["job"] == job.id
    assert "is being made" in text(page)
    assert button(page, "Make it again").disabled
    run_worker(job)
    assert "was made in" in text(page.run())
    assert json.loads((place.onnx_model / "export.json").read_text())["opset"] == 17


def test_the_proof_is_on_and_the_opset_automatic_unless_somebody_chooses(place, started):
    button(visit(), "Make it again").click().run()
    (job,) = started
    assert (job.spec().opset, job.spec().verify) == (None, True)
    assert exporting.at_work(place, place.onnx_model) is not None


def test_who_presses_too_late_sees_the_job_of_who_was_faster(place, started):
    page = visit()
    exporting.export_current(place)
    page = button(page, "Make it again").click().run()
    assert "The ONNX model is being made." in text(page)
    assert len(started) == 1


def test_who_may_only_look_has_no_button_to_press(place, started, monkeypatch):
    exporting.export_current(place)
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    page = visit()
    assert {b.label: b.disabled for b in page.button} == {
        "Stop": True,
        "Talk with it": False,
        "Make it again": True,
    }
    assert len(started) == 1


# --- a job ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("started")
def test_a_running_job_is_found_after_a_reload_and_can_be_stopped(place):
    job = exporting.export_current(place)
    lock = locks.LifeLock(job.lock)
    lock.acquire()
    try:
        running = {"state": "running", "phase": "export", "progress": 0.4, "message": "writing the graph"}
        status = job.written_status().model_copy(update={**running, **sessions.this_worker()})
        job.write_status(status)
        page = visit()
        assert page.get("progress")[0].proto.value == 40
        assert page.get("progress")[0].proto.text == "Making the ONNX model\\: writing the graph"
        page = button(page, "Stop").click().run()
        assert job.stop_requested()
        assert "It stops after the piece of work that it is in." in text(page)
        assert button(page, "Stop").disabled
    finally:
        lock.release()


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (
            {
                "state": "failed",
                "failure": Failure(kind="disk_full", message=HOSTILE, remedy="Free some space."),
            },
            f"The ONNX model was not made. {HOSTILE} Free some space.",
        ),
        ({"state": "stopped"}, "was stopped on request. One that was there before is untouched."),
        ({"state": "running"}, "was interrupted before its end, so nothing was made."),
        ({"state": "succeeded", "notes": (HOSTILE,)}, "The ONNX model was made"),
    ],
)
def test_how_a_job_ended_is_told_in_words(place, ended, said):
    job = exporting.export_current(place)
    job.write_status(job.written_status().model_copy(update=ended))
    page = visit(job=job.id)
    assert said in text(page).replace("\u2060", "")
    assert not any(element.allow_html for element in page.markdown)
    assert not button(page, "Make it again").disabled


@pytest.mark.usefixtures("started")
def test_an_unknown_error_shows_the_last_lines_of_the_log_as_they_are(place):
    job = exporting.export_current(place)
    failure = Failure(kind="unknown", message="ValueError: odd", log_tail=("line one", HOSTILE))
    job.write_status(job.written_status().model_copy(update={"state": "failed", "failure": failure}))
    assert visit(job=job.id).code[0].value == f"line one\n{HOSTILE}"


@pytest.mark.usefixtures("started")
def test_a_failed_proof_shows_its_reasons_and_the_answers_that_differ(place):
    measured = certificate_of(
        place, passed=False, reasons=[f"2 of 24 answers differ, {HOSTILE}."], identical_answers=22
    )
    (place.onnx_model / CERTIFICATE).unlink()
    job = exporting.export_current(place)
    status = job.written_status()
    results = status.results.model_copy(update={"certificate": measured})
    failure = Failure(kind="verification", message="It does not answer like the original.")
    job.write_status(status.model_copy(update={"state": "failed", "failure": failure, "results": results}))
    said = text(visit(job=job.id)).replace("\u2060", "")
    assert f"2 of 24 answers differ, {HOSTILE}." in said
    assert "❌ Not good. All must be the same" in said


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("named", ["nobody", "../../etc", "\0", "a" * 300])
def test_a_job_that_is_none_is_a_sentence_and_the_page_goes_on(named):
    page = visit(job=named)
    assert len(page.error) == 1
    assert "There is no session" in text(page)
    assert button(page, "Make it again")


@pytest.mark.usefixtures("started")
def test_earlier_exports_are_listed_with_their_ends(place):
    for state in ("succeeded", "stopped"):
        job = exporting.export_current(place)
        job.write_status(job.written_status().model_copy(update={"state": state}))
    said = text(visit())
    assert said.index("was stopped") < said.index("The ONNX model was made")


# --- the certificate ------------------------------------------------------------------------------


def test_each_figure_stands_there_with_its_threshold_and_whether_it_is_good(place):
    certificate_of(place)
    page = visit()
    assert "It answers like the original." in text(page)
    assert [metric.value for metric in page.metric] == ["24 of 24", "100.00%", "less than 0.00001"]
    assert text(page).count("✅ Good.") == 3
    assert "At least 99.9% of the 812 places" in text(page)
    assert "At most 0.001 is allowed." in text(page)


def test_both_answers_stand_side_by_side_as_they_are(place):
    certificate_of(place)
    page = visit()
    raw = "\n".join(element.value for element in page.markdown)
    assert "![x](" not in raw
    assert text(page).replace("\u2060", "").count(HOSTILE) == 2


def test_an_answer_that_differs_by_a_tie_is_explained(place):
    certificate_of(place, identical_answers=23)
    said = text(visit())
    assert "✅ Good. All must be the same" in said
    assert "Those that differ here are such ties." in said


@pytest.mark.parametrize(
    ("certificate", "said"),
    [
        (None, "Not verified."),
        ("{", "Not verified."),
        ('{"passed": true}', "Not verified."),
        ("[[" * 10_000, "Not verified."),
        ({"source_fingerprint": HOSTILE}, "The certificate belongs to another model."),
        ({"max_logit_difference": "large"}, "Not verified."),
        ({"created": "yesterday"}, "Measured yesterday"),
    ],
)
def test_a_certificate_that_is_missing_damaged_or_foreign_is_said_to_be_so(place, certificate, said):
    if isinstance(certificate, dict):
        certificate_of(place, **certificate)
    elif certificate is not None:
        (place.onnx_model / CERTIFICATE).write_text(certificate)
    page = visit()
    assert said in text(page)
    assert not page.error


def test_a_figure_is_good_only_within_its_threshold():
    from sails.onnx.verify import certificate_from

    content = {
        "passed": False,
        "reasons": ["x"],
        "max_logit_difference": 0.5,
        "mean_logit_difference": 0.1,
        "next_token_agreement": 0.95,
        "identical_answers": 3,
        "prompts": 8,
        "positions": 100,
        "source_fingerprint": None,
        "created": "",
        "examples": [],
        "seconds": 1,
    }
    assert [figure.good for figure in figures(certificate_from(content))] == [False, False, False]


@pytest.mark.parametrize("examples", ["x", [7], [None], [["a"]], [{"prompt": "p"}], 3, None])
def test_examples_that_are_none_make_no_certificate(examples):
    from sails.onnx.verify import certificate_from

    numbers = ("max_logit_difference", "mean_logit_difference", "next_token_agreement", "seconds")
    counts = ("identical_answers", "prompts", "positions")
    content = {**dict.fromkeys((*numbers, *counts), 1), "passed": True, "reasons": [], "created": ""}
    content |= {"source_fingerprint": None, "examples": examples}
    with pytest.raises((KeyError, TypeError, ValueError)):
        certificate_from(content)


# --- files ----------------------------------------------------------------------------------------


def test_folder_files_and_sizes_are_listed(place):
    page = visit()
    table = page.table[0].value
    assert "`model.onnx`" in set(table["File"])
    assert f"`{place.onnx_model}`" in text(page)
    assert page.get("download_button")[0].proto.label.startswith("Download all as one zip file (")


def test_a_model_too_large_for_memory_offers_its_folder_instead_of_a_download(place):
    os.truncate(place.onnx_model / "model.onnx", 2**42)
    page = visit()
    assert f"Copy the folder {place.onnx_model} instead." in text(page)
    assert not page.get("download_button")
