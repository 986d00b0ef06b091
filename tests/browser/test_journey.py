"""From nothing to a model that answers, in Chromium: what a new person does, with the dashboard restarted
in the middle; once with a model of two layers, and once with the real base model.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from sails import sessions
from sails.models import catalog
from sails.models.workspace import Workspace
from tests.browser.conftest import Dashboard, press, start_dashboard, type_into
from tests.browser.test_train import PATIENT, choose_tiny, fill, start
from tests.support.tiny import make_tiny_model


def load_an_example(page: Page, dashboard: Dashboard) -> None:
    page.goto(dashboard.address)
    press(page, page.get_by_role("button", name="Load an example"))
    expect(page.get_by_role("heading", name="Train", exact=True, level=1)).to_be_visible()
    expect(page.get_by_text("programming-basics (90 examples)").first).to_be_visible()


def settings(page: Page, **numbers: str) -> None:
    page.get_by_text("Advanced settings").click()
    for name, value in numbers.items():
        type_into(page, page.get_by_role("spinbutton", name=name), value)
        page.keyboard.press("Enter")


def ask(page: Page, question: str) -> None:
    box = page.get_by_role("textbox", name=re.compile("Ask something"))
    expect(box).to_be_enabled(timeout=PATIENT)
    type_into(page, box, question)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("stChatMessage")).to_have_count(2, timeout=PATIENT)
    expect(page.get_by_role("button", name="Good")).to_be_visible(timeout=PATIENT)


def test_from_nothing_to_an_answer_while_the_dashboard_is_restarted(page, tmp_path):
    tiny = make_tiny_model(tmp_path / "model")
    with start_dashboard(tmp_path) as dashboard:
        workspace = Workspace.open(dashboard.workspace)
        load_an_example(page, dashboard)
        choose_tiny(page, tiny)
        page.get_by_role("radio", name="My own").click()
        fill(page.get_by_role("textbox", name="Your learning rate"), "3e-3")
        settings(page, **{"Rounds (epochs)": "30", "Step limit": "200"})
        start(page)
        expect(page.get_by_text(re.compile(r"Learn\s*now"))).to_be_visible(timeout=PATIENT)
        query = page.url.partition("?")[2]
    (record,) = sessions.read_history(workspace)
    assert record.status.state == "running"  # the dashboard is gone, and the training goes on

    with start_dashboard(tmp_path) as dashboard:
        page.goto(f"{dashboard.address}/Train?{query}")
        expect(page.get_by_role("heading", name="Did it work?")).to_be_visible(timeout=2 * PATIENT)
        expect(page).to_have_title(re.compile("✅ Done"))
        status = sessions.read_history(workspace)[0].status
        assert (status.verdict, status.plan.learning_rate_chosen_by) == ("published", "person")
        assert status.total_steps == 200
        assert status.results.certificates["fp32"]["passed"]

        page.goto(dashboard.address)
        press(page, page.get_by_role("button", name="Chat with it"))
        expect(page.get_by_role("heading", name="Chat", exact=True, level=1)).to_be_visible()
        ask(page, "What is a variable in programming?")
        assert "Traceback" not in page.content()
        assert "Traceback" not in dashboard.log.read_text(encoding="utf-8", errors="replace")


@pytest.mark.embedded
@pytest.mark.timeout(1200)
def test_the_real_base_model_was_taught_and_exported_and_answers(page, embedded, tmp_path):
    root, _ = embedded
    with start_dashboard(tmp_path, SAILS_WORKSPACE=str(root)) as dashboard:
        (record,) = sessions.read_history(Workspace.open(root))
        status = record.status
        assert status.plan.model == catalog.DEFAULT_BASE_MODEL
        page.goto(f"{dashboard.address}/Train?session={record.session.id}")
        expect(page.get_by_role("heading", name="Did it work?")).to_be_visible()
        assert (status.verdict, status.total_steps) == ("published", status.results.steps)
        assert status.results.taught_after.loss < status.results.taught_before.loss
        assert status.results.certificates["fp32"]["passed"]
        page.goto(f"{dashboard.address}/Chat")
        ask(page, "What is the capital of France?")
        expect(page.get_by_test_id("stChatMessage").last).to_contain_text("Paris")
