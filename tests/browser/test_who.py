"""The name that each browser is asked for once, before its first act."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from sails import sessions
from sails.models.workspace import Workspace
from sails.sessions import Session
from sails.system import LifeLock
from tests.browser.conftest import NO_SLIDING, barriers, in_each_theme, settled
from tests.support.situations import make_session


@pytest.fixture
def waiting(dashboard) -> Iterator[list[Session]]:
    """Two trainings that wait, because somebody else holds what they need."""
    workspace = Workspace.open(dashboard.workspace)
    made = [make_session(workspace, name) for name in ("rivers", "lakes")]
    for session in made:
        sessions.enqueue(workspace, session)
    training = LifeLock(workspace.training_lock)
    training.acquire()
    yield made
    training.release()


@pytest.mark.parametrize("name", ["Ann", ""])
def test_the_first_act_asks_for_the_name_and_goes_on_with_it(browser: Browser, dashboard, waiting, name):
    visitor = browser.new_context()
    visitor.add_init_script(NO_SLIDING)
    try:
        page = visitor.new_page()
        page.goto(f"{dashboard.address}/Train")
        cancel = page.get_by_role("button", name="Cancel")
        question = page.get_by_role("dialog")
        cancel.first.click()
        expect(question).to_contain_text("You are asked only this once.")
        for theme in in_each_theme(page):
            assert barriers(page, theme) == []
        page.keyboard.press("Escape")
        expect(question).to_have_count(0)
        assert waiting[0].status().state == "queued"  # who closes it has not acted
        cancel.first.click()
        expect(question.get_by_role("button", name="Go on")).to_be_visible()
        settled(page)  # the key Enter needs the form whole
        question.get_by_role("textbox", name="Your name").fill(name)
        page.keyboard.press("Enter")
        expect(cancel).to_have_count(1)
        status = waiting[0].status()
        assert (status.state, status.stopped_by) == ("stopped", name)
        page.reload()  # the browser has kept it
        cancel.click()
        expect(cancel).to_have_count(0)
        expect(question).to_have_count(0)
        assert waiting[1].status().stopped_by == name
    finally:
        visitor.close()
