"""Training as a person does it: in Chromium, with real workers and a model of two layers."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from sails import sessions
from sails.jobs import lr_finder
from sails.models.workspace import Workspace
from sails.sessions import Session
from sails.sessions.plan import format_rate
from sails.system import locks
from sails.training.plan.request import Choices
from tests.browser.conftest import Dashboard, barriers, in_each_theme, settled
from tests.browser.test_bridge import ACROSS
from tests.support.helpers import add_dataset, write_lesson
from tests.support.lessons import taught_workspace
from tests.support.situations import make_session, published
from tests.support.tiny import make_tiny_model

PATIENT = 120_000  # milliseconds; a worker loads its libraries first


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def workspace(dashboard: Dashboard, tmp_path: Path):
    """A workspace with one lesson; whatever still runs in the end is stopped and awaited."""
    workspace = Workspace.open(dashboard.workspace)
    add_dataset(workspace, write_lesson(tmp_path / "mountains.json"))
    yield workspace
    for record in sessions.read_history(workspace):
        if record.status.state in ("queued", "running"):
            sessions.stop(workspace, record.session)
            wait_for_end(record.session)


def wait_for_end(session: Session) -> None:
    """Until its worker has said how it ended."""
    deadline = time.monotonic() + 120
    while session.status().state in ("queued", "running") and time.monotonic() < deadline:
        time.sleep(0.1)


def visit(page: Page, dashboard: Dashboard, **query: str) -> None:
    parameters = "&".join(f"{name}={value}" for name, value in query.items())
    page.goto(f"{dashboard.address}/Train?{parameters}")
    expect(page.get_by_role("heading", name="Train", exact=True)).to_be_visible()
    settled(page)


def fill(field: Locator, text: str) -> None:
    field.fill(text)
    field.press("Enter")


def choose_tiny(page: Page, tiny: Path) -> None:
    page.get_by_role("combobox", name=re.compile("Base model")).click()
    page.get_by_role("option", name=re.compile("Another one")).click()
    fill(page.get_by_role("textbox", name="Its name or folder"), str(tiny))
    expect(page.get_by_text("A model in a folder of yours.")).to_be_visible()


def start(page: Page) -> None:
    button = page.get_by_role("button", name=re.compile("Start "))
    expect(button).to_be_enabled()
    button.dblclick()  # as impatient people do
    expect(page).to_have_url(re.compile("session="))


def the_session(workspace: Workspace) -> Session:
    return sessions.read_history(workspace)[-1].session


def test_a_training_is_started_watched_stopped_killed_and_resumed(page, context, dashboard, workspace, tiny):
    visit(page, dashboard)
    choose_tiny(page, tiny)
    page.get_by_role("radio", name="My own").click()
    fill(page.get_by_role("textbox", name="Your learning rate"), "3e-3")
    expect(page.get_by_text("3e-3: 60 times the automatic 5e-5.")).to_be_visible()
    expect(page.get_by_text("so high that the model may forget")).to_be_visible()
    page.get_by_text("Advanced settings").click()
    fill(page.get_by_role("spinbutton", name="Rounds (epochs)"), "200")
    page.get_by_text("Make the ONNX model afterwards and verify it").click()
    start(page)

    expect(page).to_have_title(re.compile(r"▶"), timeout=PATIENT)
    session = the_session(workspace)
    assert len(sessions.read_history(workspace)) == 1
    expect(page.get_by_text("How wrong it still is (loss)")).to_be_visible(timeout=PATIENT)
    expect(page).to_have_title(re.compile(r"▶ \d+.% · Train"))
    expect(page.get_by_text(re.compile(r"Learn\s*now"))).to_be_visible()
    expect(page.get_by_test_id("stMetric")).to_contain_text(
        re.compile(r"Time left.*\d", re.S), timeout=PATIENT
    )
    # What a person types and has opened survives the refreshes.
    page.get_by_text("Log", exact=True).click()
    search = page.get_by_role("textbox", name="Search in the log")
    search.press_sequentially("Learning ra")
    step = session.status().step
    expect(page.get_by_text(re.compile(r"step \d+ of"))).not_to_contain_text(f"step {step} of")
    page.wait_for_function(
        "old => !document.querySelector('[data-testid=stMain]').innerText.includes(old)",
        arg=f"step {step} of",
    )
    search.press_sequentially("te 3")
    expect(search).to_have_value("Learning rate 3")
    expect(search).to_be_focused()
    search.press("Enter")
    expect(page.get_by_text("1 line holds it.")).to_be_visible()
    expect(page.get_by_test_id("stCode").last).to_contain_text("3e-3 (chosen; the automatic value is 5e-5)")

    page.get_by_role("button", name="Stop …").click()
    page.get_by_role("button", name="No, go on").click()
    page.get_by_role("button", name="Stop …").click()
    page.get_by_role("button", name="Yes, stop it").click()
    expect(page.get_by_text("Stopped on request")).to_be_visible(timeout=PATIENT)
    expect(page).to_have_title(re.compile("Stopped"))
    stopped_at = session.status().step

    page.get_by_role("button", name="Resume it").click()
    expect(page.get_by_text(re.compile(r"Learn\s*now"))).to_be_visible(timeout=PATIENT)
    expect(page.get_by_text(re.compile(r"step \d+ of"))).to_be_visible(timeout=PATIENT)
    wait_for_more(session, stopped_at)
    pid = session.written_status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    expect(page.get_by_text("Interrupted before its end; it can be resumed")).to_be_visible(timeout=PATIENT)
    expect(page).to_have_title(re.compile("Interrupted"))
    with open(session.metrics, "a") as file:
        file.write('{"kind": "step", "st')  # as a worker that is killed in the middle of a line leaves it

    other = context.new_page()
    other.set_default_timeout(PATIENT)
    visit(other, dashboard)
    choose_tiny(other, tiny)
    page.get_by_role("button", name="Resume it").click()
    wait_for_more(session, stopped_at)
    wait_in_the_queue(page, other, dashboard, workspace)
    expect(page.get_by_text("Done: the new model")).to_be_visible(timeout=2 * PATIENT)
    expect(page).to_have_title(re.compile("✅ Done"))
    expect(page.get_by_role("heading", name="Did it work?")).to_be_visible()
    expect(page.get_by_role("button", name="Make the ONNX model, to chat with it")).to_be_visible()
    spec = json.loads((session.folder / "spec.json").read_text())
    assert spec["settings"]["learning_rate"] == 3e-3
    assert "Traceback" not in page.content()
    page.get_by_role("link", name="Another training").click()
    expect(page.get_by_text("Continue from the trained model")).to_be_visible()


def wait_for_more(session: Session, step: int) -> None:
    """Until its worker runs and is behind this step."""
    deadline = time.monotonic() + 120
    while (status := session.status()).state != "running" or status.step <= step:
        assert time.monotonic() < deadline, "it did not go on"
        time.sleep(0.1)


def wait_in_the_queue(page: Page, other: Page, dashboard: Dashboard, workspace: Workspace) -> None:
    """What `page` watches goes on while another tab starts a training, which waits and is cancelled."""
    start(other)
    expect(other.get_by_text("It waits for its turn: 1 training is before it.")).to_be_visible()
    expect(other).to_have_title(re.compile("Waiting"))
    expect(page.get_by_role("heading", name="What waits")).to_be_visible()
    visit(other, dashboard)
    expect(other.get_by_role("link", name="Watch it live")).to_be_visible()
    other.get_by_role("button", name="Cancel").click()
    expect(other.get_by_role("heading", name="What waits")).to_have_count(0)
    expect(page.get_by_role("heading", name="What waits")).to_have_count(0)
    assert the_session(workspace).status().state == "stopped"
    expect(other.get_by_role("link", name="Watch it live")).to_have_count(0, timeout=2 * PATIENT)
    other.close()


# What the browser would show, written down instead.
TOLD = """
window.told = [];
const asked = window.Notification;
window.Notification = class {
    static get permission() { return asked.permission; }
    static requestPermission() { return asked.requestPermission(); }
    constructor(title, options) { window.told.push([title, options.body]); }
};
"""


def test_a_session_survives_a_reload_and_a_second_viewer(page, context, dashboard, workspace):
    running = {"state": "running", "phase": "train", "total_steps": 60, **sessions.this_worker()}
    session = make_session(workspace, "databases", step=12, progress=0.2, **running)
    held = [locks.LifeLock(session.lock), locks.LifeLock(workspace.training_lock)]
    for lock in held:
        lock.acquire()
    other = context.new_page()
    context.grant_permissions(["notifications"])
    other.add_init_script(TOLD)
    try:
        for tab in (page, other):
            visit(tab, dashboard, session=session.id)
            expect(tab.get_by_text("step 12 of 60")).to_be_visible()
        other.get_by_role("button", name="Tell me when it is done").click()
        expect(other.get_by_text("Your browser will tell you")).to_be_visible()
        later = session.written_status().model_copy(update={"step": 30, "progress": 0.5})
        session.write_status(later)
        page.reload()
        for tab in (page, other):
            expect(tab.get_by_text("step 30 of 60")).to_be_visible()
            expect(tab).to_have_title(re.compile("▶ 50.%"))
        session.write_status(later.model_copy(update=published(verdict="held", verdict_reason="Look first.")))
    finally:
        for lock in held:
            lock.release()
    for tab in (page, other):
        expect(tab.get_by_text("Look first.")).to_be_visible()
        expect(tab).to_have_title(re.compile("✋ Held"))
    other.wait_for_function("told.length")
    assert other.evaluate("told") == [["✋ Held", "databases"]]
    asked: list[str] = []
    page.on("websocket", lambda _: asked.append("again"))
    frames: list[object] = []
    other.on("websocket", lambda socket: socket.on("framesent", lambda _: frames.append(1)))
    other.reload()
    expect(other.get_by_text("Look first.")).to_be_visible()
    sent = len(frames)
    other.wait_for_timeout(3000)  # the time of several refreshes, in which there must be none
    assert len(frames) == sent
    other.close()


@pytest.fixture
def taught(dashboard: Dashboard, tmp_path: Path, tiny: Path) -> Workspace:
    """A model that was taught about mountains, and a second lesson, about rivers."""
    workspace = taught_workspace(dashboard.workspace.parent, tiny)
    add_dataset(workspace, write_lesson(tmp_path / "rivers.json", topic="river"))
    return workspace


def test_the_best_learning_speed_is_measured_in_the_form_and_used(page, dashboard, taught):
    visit(page, dashboard, dataset="rivers")
    page.get_by_role("radio", name="Measured").click()
    name = page.get_by_role("textbox", name="Name of this training")
    name.fill("half a na")
    page.get_by_role("button", name="Measure the best learning speed").click()
    expect(page.get_by_text("Measuring the best learning speed …")).to_be_visible()
    expect(page.get_by_text(re.compile(r"trying \de-\d, \d of \d"))).to_be_visible(timeout=PATIENT)
    name.press("End")
    name.press_sequentially("me")  # while the part beside it refreshes itself
    expect(page.get_by_text(re.compile(r"\de-\d: measured for this lesson"))).to_be_visible(timeout=PATIENT)
    expect(name).to_have_value("half a name")
    expect(page.get_by_test_id("stPlotlyChart")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    check_all_opened(page)
    expect(page.get_by_text("at the learning rate that was measured")).to_be_visible()
    advice = lr_finder.advice_for(taught, Choices(("rivers",)))
    assert advice is not None
    rate = format_rate(advice.learning_rate or 0)
    expect(page.get_by_text(f"{rate}: measured for this lesson")).to_be_visible()
    assert [record.spec.name for record in sessions.read_history(taught)] == ["mountains"]


def test_the_form_and_the_live_view_fit_a_phone_in_both_themes(page, dashboard, workspace):
    session = make_session(workspace, "long-name-" * 20, **published(notes=("word" * 60,)))
    session.metrics.write_text(
        "".join(json.dumps({"kind": "step", "step": n, "loss": 5 / n}) + "\n" for n in range(1, 99))
        + json.dumps({"kind": "samples", "step": 0, "prompts": ["why" * 99], "answers": ["so" * 99]})
        + "\n"
    )
    session.log.write_text("x" * 500 + "\n")
    page.set_viewport_size({"width": 390, "height": 844})
    visit(page, dashboard)
    expect(page.get_by_role("button", name="Start the training")).to_be_enabled()
    check_all_opened(page)
    visit(page, dashboard, session=session.id)
    expect(page.get_by_text("How wrong it was, step by step (loss)")).to_be_visible()
    check_all_opened(page)
    expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible()


def check_all_opened(page: Page) -> None:
    """With everything open, nothing is too wide, and nothing bars who does not use eyes and a mouse."""
    for summary in page.get_by_test_id("stMain").locator("summary").all():
        summary.click()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    for theme in in_each_theme(page):
        assert page.evaluate(ACROSS) <= 0
        assert barriers(page, theme) == []


def test_a_number_that_cannot_be_never_leaves_the_field(page, dashboard, workspace):
    visit(page, dashboard)
    page.get_by_text("Advanced settings").click()
    rounds = page.get_by_role("spinbutton", name="Rounds (epochs)")
    for wrong in ("0", "-1", "1000000000"):
        rounds.fill(wrong)
        rounds.press("Tab")
        expect(page.get_by_text("each up to 24 times")).to_be_visible()
    page.get_by_role("radio", name="My own").click()
    rate = page.get_by_role("textbox", name="Your learning rate")
    for wrong, words in (("-1", "out of range"), ("1e9", "out of range"), ("quickly", "is not a number")):
        fill(rate, wrong)
        expect(page.get_by_test_id("stAlert")).to_contain_text(words)
        expect(page.get_by_role("button", name="Start the training")).to_be_disabled()
    fill(rate, "")
    expect(page.get_by_role("button", name="Start the training")).to_be_enabled()
    assert sessions.read_history(workspace) == []
