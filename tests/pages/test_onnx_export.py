"""The ONNX export page in detail, without a browser: what it says, what its buttons start, how jobs end."""

import json
import os
import re
import shutil
import zipfile
from dataclasses import asdict

import pytest
from streamlit.testing.v1 import AppTest

from sails import sessions
from sails.jobs import export
from sails.models import variants
from sails.onnx import bundle
from sails.onnx.certify.certificate import AnswerPair
from sails.sessions import Failure
from sails.system import access, locks
from tests.conftest import REPOSITORY
from tests.support.certified import add_variant, certify
from tests.support.helpers import run_worker
from tests.support.situations import make_session, make_situation, published

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
    said = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", "\n".join(element.value for element in elements))
    return said.replace("\u2060", "")


def button(page: AppTest, label: str):
    return next(button for button in page.button if button.label == label)


def labels(page: AppTest) -> list[str]:
    return [button.label for button in page.button]


def make_stale(onnx, variant: str) -> None:
    """As if the variant had been made from another model."""
    record = variants.variant_folder(onnx, variant) / "export.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "fingerprint": "of another model"}))


# --- the state ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "fingerprint", "headline", "primary"),
    [
        (1, None, "There is no ONNX model yet", "Train a model first"),
        (2, None, "There is no ONNX model yet", "Make the ONNX model"),
        (3, None, "The ONNX model is fresh", "Chat with it"),
        (3, "other", "The ONNX model is of another model", "Make it again"),
        (3, "", "Nobody knows whether the ONNX model is fresh", "Make it again"),
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


def test_a_seal_says_what_was_certified_on_how_much_and_when(place):
    certify(place.onnx_model, excused_answers=1, identical_answers=22)
    said = text(visit())
    assert (
        "✅ **The full precision model answers like the original.** Both give the same answer to 23 of 24 "
        in said
    )
    assert "questions. Measured 5 Jan 2026, " in said


@pytest.mark.parametrize(("row", "offered"), [(1, False), (4, True), (6, True)])
def test_the_chat_is_offered_as_soon_as_there_is_something_to_chat_with(root, row, offered):
    make_situation(root, row)
    assert ("Chat with it" in labels(visit())) is offered


def test_why_an_incomplete_model_cannot_be_exported_is_said(root):
    place = make_situation(root, 5)
    assert place.situation().trained.reason in text(visit())


@pytest.mark.parametrize(
    ("row", "label", "title"), [(1, "Train a model first", "Train"), (3, "Chat with it", "Chat")]
)
def test_the_next_step_leads_to_its_page(root, row, label, title):
    make_situation(root, row)
    page = button(visit(), label).click().run()
    assert page.title[0].value == title


def test_each_variant_says_how_it_stands_and_which_one_the_chat_uses(place):
    certify(place.onnx_model)
    page = visit()
    said = text(page)
    assert [element.value for element in page.subheader] == ["Full precision", "8-bit"]
    assert "✅ Fresh  \n✅ Certified: it answers like the original" in said
    assert ":material/radio_button_unchecked: Not made" in said
    add_variant(place.onnx_model)
    certify(place.onnx_model, "int8")
    small = next(element.value for element in visit().markdown if "the chat uses this one" in element.value)
    assert small.startswith("✅ Fresh")


def test_an_old_8_bit_model_beside_a_fresh_one_is_made_again_with_one_click(place, started):
    add_variant(place.onnx_model)
    make_stale(place.onnx_model, "int8")
    page = visit()
    assert "The 8-bit model is of another model" in page.header[0].value
    assert "the full precision one was" in text(page)
    primary = [button.label for button in page.button if button.proto.type == "primary"]
    assert primary == ["Make the 8-bit model again"]
    page = button(page, "Make the 8-bit model again").click().run()
    (job,) = started
    assert (job.spec().variants, job.spec().verify) == (("int8",), True)
    assert page.query_params["job"] == [job.id] or page.query_params["job"] == job.id


def test_the_only_old_one_needs_no_button_of_its_own(place):
    make_stale(place.onnx_model, "fp32")
    assert labels(visit()).count("Make it again") == 1
    assert not [label for label in labels(visit()) if label.endswith("model again")]


# --- making it ------------------------------------------------------------------------------------


def test_the_button_starts_a_job_with_what_was_chosen_and_follows_it(place, started):
    page = visit()
    page.selectbox(key="onnx_opset").set_value(17)
    page.checkbox(key="onnx_verify").uncheck()
    page.checkbox(key="onnx_make_int8").uncheck()
    page = page.run()
    page = button(page, "Make it again").click().run()
    assert not page.exception
    (job,) = started
    assert (job.spec().opset, job.spec().verify, job.spec().variants) == (17, False, ("fp32",))
    assert page.query_params["job"] == job.id
    assert "is being made" in text(page)
    assert button(page, "Make it again").disabled
    run_worker(job)
    assert "was made in" in text(page.run())
    assert json.loads((place.onnx_model / "export.json").read_text())["opset"] == 17


def test_the_proof_is_on_and_the_opset_automatic_unless_somebody_chooses(place, started):
    button(visit(), "Make it again").click().run()
    (job,) = started
    spec = job.spec()
    assert (spec.opset, spec.verify, spec.variants) == (None, True, ("fp32", "int8"))
    assert export.running_export(place, place.onnx_model) is not None


@pytest.mark.usefixtures("place")
def test_nothing_to_make_is_a_sentence(started):
    page = visit()
    for variant in variants.VARIANTS:
        page.checkbox(key=f"onnx_make_{variant}").uncheck()
    page = button(page.run(), "Make it again").click().run()
    assert "No variant of the ONNX model was chosen." in text(page)
    assert started == []


def test_who_presses_too_late_sees_the_job_of_who_was_faster(place, started):
    page = visit()
    export.export_current(place)
    page = button(page, "Make it again").click().run()
    assert "The ONNX model is being made." in text(page)
    assert len(started) == 1


def test_who_may_only_look_changes_nothing_and_downloads_what_is_made(place, started, monkeypatch):
    certify(place.onnx_model)
    add_variant(place.onnx_model, apart=True)
    certify(place.onnx_model, "int8", apart=True)
    export.export_current(place)
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    page = visit()
    assert {b.label: b.disabled for b in page.button} == {
        "Stop": True,
        "Chat with it": False,
        "Make it again": True,
        "Use it all the same": True,
        "Delete it": True,
        "Make the zip file": True,
    }
    assert len(started) == 1
    monkeypatch.delenv("SAILS_VIEW_ONLY")
    bundle.make_download(place, "fp32")
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    assert downloads(visit())[-1].startswith("Download the zip file")


# --- a job ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("started")
def test_a_running_job_is_found_after_a_reload_and_can_be_stopped(place):
    job = export.export_current(place)
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
    job = export.export_current(place)
    job.write_status(job.written_status().model_copy(update=ended))
    page = visit(job=job.id)
    assert said in text(page).replace("\u2060", "")
    assert not any(element.allow_html for element in page.markdown)
    assert not button(page, "Make it again").disabled


@pytest.mark.usefixtures("started")
def test_an_unknown_error_shows_the_last_lines_of_the_log_as_they_are(place):
    job = export.export_current(place)
    failure = Failure(kind="unknown", message="ValueError: odd", log_tail=("line one", HOSTILE))
    job.write_status(job.written_status().model_copy(update={"state": "failed", "failure": failure}))
    assert visit(job=job.id).code[0].value == f"line one\n{HOSTILE}"


@pytest.mark.usefixtures("started")
def test_a_failed_proof_shows_its_reasons_and_the_answers_that_differ(place):
    measured = certify(place.onnx_model, passed=False, reasons=(f"2 of 24 answers differ, {HOSTILE}.",))
    (place.onnx_model / "certificate.json").unlink()
    job = export.export_current(place)
    status = job.written_status()
    certificates = {"fp32": asdict(measured), "int8": {"passed": "perhaps"}}
    results = status.results.model_copy(update={"certificates": certificates})
    failure = Failure(kind="verification", message="It does not answer like the original.")
    job.write_status(status.model_copy(update={"state": "failed", "failure": failure, "results": results}))
    page = visit(job=job.id)
    assert f"2 of 24 answers differ, {HOSTILE}." in text(page)
    assert "What was compared: full precision" in [expander.label for expander in page.expander]
    assert "full precision and 8-bit: failed the proof" in text(page)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("named", ["nobody", "../../etc", "\0", "a" * 300])
def test_a_job_that_is_none_is_a_sentence_and_the_page_goes_on(named):
    page = visit(job=named)
    assert len(page.error) == 1
    assert "There is no session" in text(page)
    assert button(page, "Make it again")


@pytest.mark.usefixtures("started")
def test_earlier_exports_are_listed_with_their_ends_and_who_started_them(place, monkeypatch):
    monkeypatch.setenv(access.WHO, "Ann")
    for state in ("succeeded", "stopped"):
        job = export.export_current(place)
        job.write_status(job.written_status().model_copy(update={"state": state}))
    said = text(visit())
    assert said.index("was stopped") < said.index("The ONNX model was made")
    assert said.count("Started by Ann") == 2


@pytest.mark.usefixtures("started")
def test_a_certificate_says_who_started_its_export(place, monkeypatch):
    monkeypatch.setenv(access.WHO, "Ann")
    certify(place.onnx_model)
    assert "The export was started by" not in text(visit())
    job = export.export_current(place)
    made = json.loads((place.onnx_model / "certificate.json").read_text())
    status = job.written_status()
    results = status.results.model_copy(update={"certificates": {"fp32": made}})
    job.write_status(status.model_copy(update={"state": "succeeded", "results": results}))
    assert "The export was started by Ann." in text(visit())


# --- the certificate ------------------------------------------------------------------------------


def test_each_variant_has_a_certificate_with_figures_and_what_they_must_be(place):
    certify(place.onnx_model)
    add_variant(place.onnx_model)
    certify(place.onnx_model, "int8")
    page = visit()
    assert [tab.label for tab in page.tabs] == ["Full precision", "8-bit"]
    full, small = page.tabs
    figures = [metric.value.replace("\\", "") for metric in full.metric]
    assert figures[:3] == ["24 of 24", "99.91%", "less than 0.00001"]
    assert len(small.metric) == 4
    assert "At most 0.001 is allowed." in text(page)
    assert text(page).count("✅ Good.") == 8
    assert downloads(page)[:2] == ["Download the certificate as a page"] * 2


def downloads(page: AppTest) -> list[str]:
    return [element.proto.label for element in page.get("download_button")]


def test_speed_stands_side_by_side_with_a_sentence(place):
    certify(place.onnx_model)
    add_variant(place.onnx_model)
    certify(place.onnx_model, "int8")
    page = visit()
    assert "**Full precision** is 2.0 times as fast, **8-bit** is 4.4 times as fast." in text(page)
    table = page.table[0].value
    assert list(table["Word pieces a second"]) == ["12.5", "25.0", "55.0"]
    assert list(table["Size"]) == ["538 MB", "540 MB", "150 MB"]


def test_without_measured_speed_there_is_no_such_part(place):
    certify(place.onnx_model, speed=None, original_speed=None)
    assert "How fast is it?" not in [header.value for header in visit().header]


def test_both_answers_stand_side_by_side_as_they_are(place):
    certify(place.onnx_model, examples=(AnswerPair(HOSTILE, "A value.", HOSTILE),))
    page = visit()
    raw = "\n".join(element.value for element in page.markdown)
    assert "![x](" not in raw
    assert text(page).count(HOSTILE) == 2
    assert not any(element.allow_html for element in page.markdown)


@pytest.mark.parametrize(
    ("content", "said"),
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
def test_a_certificate_that_is_missing_damaged_or_foreign_is_said_to_be_so(place, content, said):
    if isinstance(content, dict):
        made = asdict(certify(place.onnx_model))
        (place.onnx_model / "certificate.json").write_text(json.dumps({**made, **content}))
    elif content is not None:
        (place.onnx_model / "certificate.json").write_text(content)
    page = visit()
    assert said in text(page)
    assert not page.error


# --- kept apart -----------------------------------------------------------------------------------


@pytest.fixture
def apart(place):
    certify(place.onnx_model)
    add_variant(place.onnx_model, apart=True)
    certify(place.onnx_model, "int8", apart=True, reasons=(f"2 of 24 answers differ, {HOSTILE}.",))
    return place


def test_one_that_failed_is_kept_apart_with_its_reasons_and_is_not_offered(apart):
    page = visit()
    assert "❌ The 8-bit model failed its certificate" in [header.value for header in page.header]
    assert f"2 of 24 answers differ, {HOSTILE}." in text(page)
    assert "**Full precision**, " in text(page)
    assert not page.radio
    assert apart.situation().onnx.present


def test_it_takes_its_place_only_after_a_second_thought_and_keeps_saying_that_it_failed(apart):
    page = button(visit(), "Use it all the same").click().run()
    assert "takes its place although it failed" in text(page)
    assert variants.inspect_failed_variants(apart.onnx_model, None)
    page = button(page, "Yes, use it").click().run()
    assert not variants.inspect_failed_variants(apart.onnx_model, None)
    assert variants.inspect_variants(apart.onnx_model, None)["int8"].certified is False
    said = text(page)
    assert "❌ Its certificate failed" in said
    assert f"2 of 24 answers differ, {HOSTILE}." in said
    page = page.radio(key="onnx_zip_variant").set_value("int8").run()
    assert "Make the zip file" not in labels(page)
    page = page.checkbox(key="onnx_insist_int8").check().run()
    assert "Make the zip file" in labels(page)


def test_who_changes_their_mind_leaves_it_where_it_is_and_who_wants_deletes_it(apart):
    page = button(visit(), "Use it all the same").click().run()
    page = button(page, "No, leave it as it is").click().run()
    assert variants.inspect_failed_variants(apart.onnx_model, None)
    page = button(page, "Delete it").click().run()
    page = button(page, "Yes, delete it").click().run()
    assert not variants.inspect_failed_variants(apart.onnx_model, None)
    assert not page.error


# --- handing it over ------------------------------------------------------------------------------


def test_the_zip_file_is_made_of_the_8_bit_model_and_offered_until_the_model_changes(place):
    certify(place.onnx_model)
    add_variant(place.onnx_model)
    certify(place.onnx_model, "int8")
    page = visit()
    assert page.radio(key="onnx_zip_variant").value == "int8"
    assert "python chat.py" in text(page)
    page = button(page, "Make the zip file").click().run()
    assert not page.error
    (made,) = (place.jobs / bundle.DOWNLOADS).glob("*.zip")
    assert "model-int8/chat.py" in zipfile.ZipFile(made).namelist()
    assert downloads(page)[-1].startswith("Download the zip file (")
    page = page.radio(key="onnx_zip_variant").set_value("fp32").run()
    page = button(page, "Make the zip file").click().run()
    assert len(list((place.jobs / bundle.DOWNLOADS).glob("*.zip"))) == 2
    certify(place.onnx_model, "int8", seconds=99)
    page = visit()
    page = button(page, "Make the zip file").click().run()
    assert not made.exists()
    assert len(list((place.jobs / bundle.DOWNLOADS).glob("*.zip"))) == 2


def test_one_that_nobody_verified_leaves_only_when_somebody_insists(place):
    page = visit()
    assert "Make the zip file" not in labels(page)
    page = page.checkbox(key="onnx_insist_fp32").check().run()
    page = button(page, "Make the zip file").click().run()
    assert downloads(page) == [label for label in downloads(page) if label.startswith("Download the zip")]
    assert len(list((place.jobs / bundle.DOWNLOADS).glob("*.zip"))) == 1


def test_a_damaged_model_is_not_packed_and_that_is_a_sentence(place):
    certify(place.onnx_model)
    os.truncate(place.onnx_model / "model.onnx", 1000)
    page = button(visit(), "Make the zip file").click().run()
    assert "model.onnx is damaged: it has 1,000 of" in text(page)
    assert "Earlier exports" in [header.value for header in page.header]


def test_a_zip_file_too_large_for_memory_is_copied_instead_of_downloaded(place, monkeypatch):
    certify(place.onnx_model)
    made = bundle.make_download(place, "fp32")
    monkeypatch.setattr("sails.system.available_memory", lambda: 1000)
    page = visit()
    assert f"Copy the file {made.path} instead." in text(page)
    assert downloads(page) == ["Download the certificate as a page"]


def test_folder_files_and_sizes_are_listed(place):
    add_variant(place.onnx_model)
    page = visit()
    table = page.table[-1].value
    assert list(table["File"]).count("`model.onnx`") == 2
    assert f"`{place.onnx_model}`" in text(page)


def test_the_page_stands_when_the_model_vanishes_while_it_is_read(place):
    page = visit()
    shutil.rmtree(place.onnx_model)
    page = page.run()
    assert "There is no ONNX model yet" in page.header[0].value
    assert not page.exception


# --- on the other pages ---------------------------------------------------------------------------


def at(script: str, **parameters: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60).run()
    for name, value in parameters.items():
        app.query_params[name] = value
    page = app.run() if script == "app.py" else app.switch_page(script).run()
    assert not page.exception
    return page


def test_the_bridge_says_how_each_size_stands_and_makes_the_old_one_again(place, started):
    certify(place.onnx_model)
    assert not [label for label in labels(at("app.py")) if label.startswith("Make the")]
    add_variant(place.onnx_model)
    certify(place.onnx_model, "int8")
    make_stale(place.onnx_model, "int8")
    page = at("app.py")
    assert "**Full precision:** ✅ Fresh. ✅ Certified: it answers like the original." in text(page)
    assert "**8-bit:** ⚠️ Of another model. :material/help: Not verified." in text(page)
    assert "**Partly fresh:**" in text(page)
    page = button(page, "Make the 8-bit ONNX model again").click().run()
    assert page.title[0].value == "ONNX export"
    assert [job.spec().variants for job in started] == [("int8",)]


def test_the_main_button_of_the_bridge_makes_both_sizes_of_a_model_that_changed(place, started):
    make_stale(place.onnx_model, "fp32")
    page = at("app.py").button(key="main_button")
    assert page.label == "Make the ONNX model"
    assert page.click().run().title[0].value == "ONNX export"
    assert [job.spec().variants for job in started] == [("fp32", "int8")]
    assert at("app.py").button(key="bridge_onnx").label == "See how far it is"
    page = at("app.py").button(key="main_button")
    assert page.label == "See how far it is"
    page.click().run()
    assert len(started) == 1


def test_while_a_training_makes_the_onnx_model_nobody_is_asked_to_make_it(place, started):
    make_stale(place.onnx_model, "fp32")
    fields = published(state="running", phase="export", ended=None, **sessions.this_worker())
    session = make_session(place, "lesson", 12, **fields)
    locked = [locks.LifeLock(session.lock), locks.LifeLock(place.training_lock)]
    for lock in locked:
        lock.acquire()
    pages = [at("app.py"), visit(), at("pages/3_Sessions.py", view="Versions"), at("pages/5_Chat.py")]
    for lock in locked:
        lock.release()
    bridge, page = pages[:2]
    assert bridge.button(key="bridge_onnx").label == "See how far it is"
    assert page.button(key="onnx_make").disabled
    assert "The training **lesson** is making the ONNX model" in text(page)
    offered = [button.label for page in pages for button in page.button if not button.disabled]
    assert not [label for label in offered if label.startswith(("Make the", "Make it again"))]
    assert not started


def test_who_may_only_look_makes_nothing_from_the_bridge(place, monkeypatch):
    make_stale(place.onnx_model, "fp32")
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    page = at("app.py")
    assert page.button(key="main_button").disabled
    assert page.button(key="bridge_onnx").disabled


@pytest.mark.parametrize(
    ("script", "parameters", "key"),
    [
        ("pages/3_Sessions.py", {"view": "Versions"}, "versions_onnx"),
        ("pages/3_Sessions.py", {"session": "20260105-090000-rivers"}, "session_onnx"),
        ("pages/2_Train.py", {"session": "20260105-090000-rivers"}, "live_next"),
    ],
)
def test_versions_and_the_session_that_made_the_model_offer_it_too(place, started, script, parameters, key):
    fingerprint = place.situation().trained.fingerprint
    make_session(place, "rivers", 9, **published(fingerprint=fingerprint))
    make_stale(place.onnx_model, "fp32")
    page = at(script, **parameters)
    page = page.button(key=key).click().run()
    assert page.title[0].value == "ONNX export"
    assert [job.spec().verify for job in started] == [True]


def test_a_session_whose_model_was_replaced_says_nothing_of_todays_onnx_model(place):
    made = make_session(place, "rivers", 9, **published(fingerprint="another"))
    make_stale(place.onnx_model, "fp32")
    page = at("pages/3_Sessions.py", session=made.id)
    assert not [label for label in labels(page) if label.startswith("Make the ONNX")]
