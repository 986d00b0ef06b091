"""Making the ONNX model and talking with it, in Chromium and with real workers on a model of two layers."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from sails.jobs import export
from sails.models.workspace import Workspace
from sails.onnx.export import export_model
from tests.browser.conftest import Dashboard, barriers, in_each_theme, settled, start_dashboard
from tests.support.exported import add_version, make_talking
from tests.support.folders import fingerprint_of
from tests.support.helpers import add_dataset, queue_training, run_worker, write_lesson
from tests.support.tiny import make_tiny_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

PATIENT = 120_000  # milliseconds; a worker loads torch on a machine that does other things too
ACROSS = "document.querySelector('main').scrollWidth - window.innerWidth"
HOSTILE = "<b>bold</b>![x](http://127.0.0.1:9/x):red[x]" + "very-long" * 20


@dataclass(frozen=True)
class Place:
    dashboard: Dashboard
    workspace: Workspace

    def open(self, page: Page, name: str) -> None:
        page.goto(f"{self.dashboard.address}/{name}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        settled(page)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A dashboard whose cache of base models lies in a folder of its own as well."""
    folder = tmp_path_factory.mktemp("talking")
    workspace = make_talking(folder / "workspace")
    with start_dashboard(folder, SAILS_CACHE=str(folder / "cache")) as dashboard:
        yield Place(dashboard, workspace)
        assert "Traceback" not in dashboard.log.read_text(encoding="utf-8", errors="replace")


def main(page: Page) -> Locator:
    return page.get_by_role("main")


def ask(page: Page, question: str, turn: int = 1) -> None:
    """Ask and wait until the answer has come to its end."""
    box = page.get_by_placeholder("Ask something")
    box.fill(question)
    box.press("Enter")
    expect(page.get_by_test_id("stChatMessage").filter(has_text=question[:20])).to_have_count(turn)
    expect(main(page).get_by_role("button", name="This conversation")).to_be_visible()
    expect(main(page).get_by_role("button", name="Stop")).to_have_count(0)


def test_a_taught_model_is_made_proven_downloaded_and_talked_with(page, dashboard, tmp_path, monkeypatch):
    workspace = Workspace.open(dashboard.workspace)
    dataset = add_dataset(workspace, write_lesson(tmp_path / "lesson.json"))
    base = make_tiny_model(tmp_path / "base")
    session = queue_training(workspace, dataset, base, monkeypatch=monkeypatch, epochs=30, learning_rate=5e-3)
    assert run_worker(session).verdict == "published"
    Place(dashboard, workspace).open(page, "ONNX_export")
    page.get_by_role("button", name="Make the ONNX model").click()
    expect(page.get_by_text("The ONNX model is being made.")).to_be_visible()
    page.reload()  # the job is found again
    expect(page.get_by_role("heading", name="The ONNX model is fresh")).to_be_visible(timeout=PATIENT)
    expect(page.get_by_text("The full precision model answers like the original.")).to_be_visible()
    expect(page.get_by_text("The 8-bit model answers like the original.")).to_be_visible()
    expect(page.get_by_text("the chat uses this one")).to_be_visible()

    page.get_by_role("button", name="Make the zip file").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the zip file").click()
    download.value.save_as(tmp_path / "taken.zip")
    archive = zipfile.ZipFile(tmp_path / "taken.zip")
    assert archive.testzip() is None
    model = (workspace.onnx_model / "int8" / "model.onnx").read_bytes()
    assert archive.read("model-int8/model/model.onnx") == model
    page.get_by_text("What was compared, in figures").click()
    page.get_by_role("tab", name="8-bit").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the certificate as a page").last.click()
    assert download.value.suggested_filename == "certificate-int8.html"

    page.get_by_role("button", name="Chat with it").click()
    expect(page.get_by_role("heading", name="Chat", exact=True, level=1)).to_be_visible()
    ask(page, "Which mountain stands near Paris number 0?")
    expect(page.get_by_test_id("stChatMessage").last).to_contain_text("The mountain near")
    page.get_by_test_id("stChatMessage").last.get_by_role("button", name="Help").hover()
    expect(page.get_by_test_id("stTooltipContent")).to_contain_text(f"Session {session.id}")


def test_base_and_current_answer_side_by_side_and_the_conversation_is_kept(page, place, tmp_path):
    place.open(page, "Chat")
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("Base and current", exact=True).click()
    page.keyboard.press("Escape")
    expect(page.get_by_text("must be made ready once")).to_be_visible()
    page.get_by_role("button", name="Make it ready").click()
    expect(page.get_by_placeholder("Ask something")).to_be_enabled(timeout=PATIENT)
    ask(page, f"{HOSTILE} one")
    expect(page.get_by_test_id("stChatMessage")).to_have_count(3)
    names = main(page).locator("strong").all_inner_texts()
    assert {"Base model base", "Current model"} <= set(names)
    expect(page.get_by_text("A completely different answer.")).to_be_visible()
    expect(page.get_by_text("about 512 word pieces in mind").first).to_be_visible()
    said = page.get_by_test_id("stChatMessage").first.inner_text().replace("\u2060", "")
    assert f"{HOSTILE} one" in said
    assert main(page).locator("[data-testid=stChatMessage] :is(img, b)").count() == 0

    page.get_by_role("button", name="This conversation").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as JSON").click()
    download.value.save_as(tmp_path / "conversation.json")
    (turn,) = json.loads((tmp_path / "conversation.json").read_text(encoding="utf-8"))
    assert turn["question"] == f"{HOSTILE} one"
    base, current = turn["replies"]
    assert base["text"] != current["text"]
    assert current["origin"]["fingerprint"] == fingerprint_of(place.workspace.trained_model)

    page.keyboard.press("Escape")
    page.get_by_role("button", name="Saved questions").click()
    page.get_by_role("button", name="Save the last question").click()
    expect(page.get_by_text("1 question that you ask")).to_be_visible()
    page.get_by_role("button", name="Ask both models all of these").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the table as CSV").click()
    download.value.save_as(tmp_path / "table.csv")
    (row,) = csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text(encoding="utf-8-sig")))
    assert (row["question"], row["Current model"]) == (f"{HOSTILE} one", current["text"])

    page.get_by_role("link", name="Home").click()
    expect(page.get_by_role("heading", name="Chat", exact=True, level=1)).to_have_count(0)
    page.get_by_role("link", name="Chat").click()
    expect(page.get_by_test_id("stChatMessage")).to_have_count(3)
    page.reload()
    expect(page.get_by_test_id("stChatMessage")).to_have_count(3)
    place.open(page, "Chat")  # by an address that names none
    expect(page.get_by_test_id("stChatMessage")).to_have_count(0)
    page.get_by_role("button", name="Conversations", exact=True).click()
    page.get_by_test_id("stPopoverBody").get_by_role("button", name="very-long").click()
    expect(page.get_by_test_id("stPopoverBody")).to_have_count(0)
    expect(page.get_by_test_id("stChatMessage")).to_have_count(3)
    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_test_id("stChatMessage")).to_have_count(0)


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A model of many layers that never ends its turn and can read very much: there is time to stop it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("endless")
    workspace = Workspace.open(folder / "workspace")
    make_tiny_model(workspace.trained_model)
    config = AutoConfig.from_pretrained(workspace.trained_model)
    config.update({"num_hidden_layers": 80, "max_position_embeddings": 100_000, "eos_token_id": 1})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = AutoModelForCausalLM.from_config(config)
    model.generation_config.eos_token_id = 1  # never chosen: an untaught model goes round in circles
    model.save_pretrained(workspace.trained_model)
    fingerprint = fingerprint_of(workspace.trained_model)
    export_model(workspace.trained_model, workspace.onnx_model, source_fingerprint=fingerprint)
    with start_dashboard(folder, SAILS_CACHE=str(folder / "cache")) as dashboard:
        yield Place(dashboard, workspace)
        assert "Traceback" not in dashboard.log.read_text(encoding="utf-8", errors="replace")


def begin_long_answer(page: Page, place: Place) -> Locator:
    """Ask for the longest answer there is; gives the place where it grows."""
    place.open(page, "Chat")
    page.get_by_text("Settings", exact=True).click()
    longest = page.get_by_label("Longest answer")
    longest.fill("4096")
    longest.press("Enter")
    expect(longest).to_have_value("4096")
    box = page.get_by_placeholder("Ask something")
    box.fill("Tell me everything.")
    box.press("Enter")
    answer = page.get_by_test_id("stChatMessage").nth(1)
    expect(answer).to_contain_text(" ")
    return answer


def test_stop_keeps_what_was_said_so_far_and_the_chat_goes_on(page, endless):
    answer = begin_long_answer(page, endless)
    length = len(answer.inner_text())
    page.wait_for_function(
        "length => document.querySelectorAll('[data-testid=stChatMessage]')[1].innerText.length > length",
        arg=length,
    )  # it streams
    main(page).get_by_role("button", name="Stop").click()
    expect(answer).to_contain_text("Stopped here.")
    expect(main(page).get_by_role("button", name="Stop")).to_have_count(0)
    box = page.get_by_placeholder("Ask something")
    expect(box).to_be_enabled()


def test_two_people_chat_at_once_and_one_who_leaves_finds_what_was_said(page, endless, browser: Browser):
    answer = begin_long_answer(page, endless)
    visitor = browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        other = visitor.new_page()
        theirs = begin_long_answer(other, endless)
        assert len(theirs.inner_text()) > 0
        expect(main(page).get_by_role("button", name="Stop")).to_be_visible()  # ours still goes on
        page.get_by_role("link", name="Home").click()
        expect(page.get_by_role("heading", name="Chat", exact=True, level=1)).to_have_count(0)
        page.get_by_role("link", name="Chat").click()
        expect(answer).to_contain_text("Stopped here.")
        main(other).get_by_role("button", name="Stop").click()
        expect(theirs).to_contain_text("Stopped here.")
    finally:
        visitor.close()


def test_the_chat_offers_by_itself_what_another_page_made(page, place):
    aside = place.workspace.root / "aside"
    place.workspace.onnx_model.rename(aside)
    try:
        place.open(page, "Chat")
        make = main(page).get_by_role("button", name="Make the ONNX model")
        expect(make).to_be_visible()
    finally:
        aside.rename(place.workspace.onnx_model)
    expect(make).to_have_count(0)
    expect(page.get_by_placeholder("Ask something")).to_be_enabled()


def test_a_job_whose_worker_is_killed_is_told_and_can_be_started_again(page, place):
    place.open(page, "ONNX_export")
    page.get_by_role("button", name="Make it again").click()
    expect(page.get_by_text("The ONNX model is being made.")).to_be_visible()
    job = export.running_export(place.workspace, place.workspace.onnx_model)
    assert job is not None
    expect(page.get_by_text("now. It goes on when you leave this page.")).to_be_visible()
    pid = job.session.written_status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    expect(page.get_by_text("was interrupted before its end")).to_be_visible()
    expect(page.get_by_role("button", name="Make it again")).to_be_enabled()


@pytest.mark.parametrize("name", ["ONNX_export", "Chat"])
def test_with_all_opened_both_pages_fit_a_phone_and_have_no_serious_barrier(page, place, name):
    add_version_once(place.workspace)
    page.set_viewport_size({"width": 390, "height": 844})
    place.open(page, name)
    for summary in page.locator("summary").all():
        summary.click()
    if name == "Chat":
        ask(page, HOSTILE)
    for _ in in_each_theme(page):
        assert page.evaluate(ACROSS) <= 0
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.locator("[data-stale=true]")).to_have_count(0)  # what is faded is about to be drawn anew
    for theme in in_each_theme(page):
        assert barriers(page, theme) == []
    unfolding = page.get_by_role("main").get_by_test_id("stPopoverButton")
    for number in range(unfolding.count()):
        unfolding.nth(number).click()
        expect(page.get_by_test_id("stPopoverBody")).to_be_visible()
        settled(page)  # some fetch what they show only when they are opened
        assert barriers(page) == []
        page.keyboard.press("Escape")
        expect(page.get_by_test_id("stPopoverBody")).to_have_count(0)


def add_version_once(workspace: Workspace) -> None:
    if not workspace.versions.exists():
        add_version(workspace)


def test_a_damaged_model_is_a_sentence_and_no_trace(page, dashboard):
    workspace = make_talking(dashboard.workspace)
    os.truncate(workspace.onnx_model / "model.onnx", 1000)
    Place(dashboard, workspace).open(page, "Chat")
    ask(page, "Is anybody there?")
    expect(page.get_by_test_id("stAlert")).to_contain_text("is damaged")
    assert "Traceback" not in page.content()
