"""From a 👎 with a correction to a model that gives the corrected answer, in Chromium, with a tiny model."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from sails import sessions
from sails.chat import feedback
from sails.chat.conversation import Origin
from sails.chat.feedback import dataset
from sails.models.workspace import Workspace
from tests.browser.conftest import barriers, in_each_theme, press, settled, tab_to, type_into
from tests.browser.test_bridge import ACROSS
from tests.browser.test_train import PATIENT
from tests.support.exported import make_talking

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

QUESTION = "Which mountain stands near Oslo?"
WRONG = "I do not know any mountain there."
RIGHT = "The mountain near Oslo is called Peak 7."


def main(page: Page) -> Locator:
    return page.get_by_role("main")


def go(page: Page, name: str) -> None:
    """By the navigation, so that the page keeps what this browser said so far."""
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", name=name, exact=True, level=1)).to_be_visible()
    settled(page)


def ask(page: Page, question: str, turn: int) -> Locator:
    """The answer, which is there and complete."""
    box = page.get_by_role("textbox", name=re.compile("Ask something"))
    expect(box).to_be_enabled(timeout=PATIENT)
    box.fill(question)
    box.press("Enter")
    messages = page.get_by_test_id("stChatMessage")
    expect(messages).to_have_count(2 * turn, timeout=PATIENT)
    expect(main(page).get_by_role("button", name="Stop")).to_have_count(0, timeout=PATIENT)
    settled(page)
    return messages.last


def test_a_correction_becomes_the_answer_of_the_next_model_with_the_keyboard_alone(page, dashboard):
    workspace = make_talking(dashboard.workspace)
    page.goto(f"{dashboard.address}/Chat")
    press(page, page.get_by_role("button", name="You"))
    type_into(page, page.get_by_role("textbox", name="Your name"), "Ann")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    answer = ask(page, QUESTION, 1)
    expect(answer).not_to_contain_text("Peak 7")
    press(page, answer.get_by_role("button", name="Correct it"))
    type_into(page, page.get_by_role("textbox", name="The right answer"), RIGHT)
    press(page, page.get_by_role("button", name="Send for review"))
    expect(answer).to_contain_text("You corrected this answer.")

    press(page, answer.get_by_role("link", name="Review list"))
    expect(page.get_by_text("by Ann")).to_be_visible()
    press(page, page.get_by_role("button", name="Approve", exact=True))
    expect(page.get_by_text("Approved: ready to be taught.")).to_be_visible()

    go(page, "Home")
    lesson = page.get_by_role("button", name="1 approved correction since the last session: train on it")
    press(page, lesson)
    expect(page.get_by_role("heading", name="Train", exact=True, level=1)).to_be_visible()
    expect(
        page.get_by_text("corrections (1 examples)").or_(page.get_by_text("corrections (1 example)"))
    ).to_be_visible()
    tab_to(page, page.get_by_role("radio", name="Automatic"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    type_into(page, page.get_by_role("textbox", name="Your learning rate"), "5e-3")
    page.keyboard.press("Enter")
    expect(page.get_by_text(re.compile(r"5e-3: \d+ times the automatic"))).to_be_visible()
    press(page, page.get_by_role("button", name=re.compile("Start ")))
    expect(page.get_by_role("heading", name="Did it work?")).to_be_visible(timeout=PATIENT)
    (record,) = sessions.read_history(workspace)
    assert record.status.verdict == "published"

    go(page, "Chat")
    answer = ask(page, QUESTION, 2)
    expect(answer).to_contain_text(RIGHT)
    expect(answer).to_contain_text("after corrections")
    expect(main(page)).to_contain_text("It was put into a training.")

    go(page, "Home")
    expect(page.get_by_role("button", name=re.compile("approved correction"))).to_have_count(0)
    assert feedback.counts(workspace) == dataset.Counts(taught=1)
    assert "Traceback" not in dashboard.log.read_text(encoding="utf-8", errors="replace")


def test_the_review_list_fits_a_phone_and_has_no_serious_barrier(page, dashboard):
    workspace = Workspace.open(dashboard.workspace)
    long = "very-long" * 40
    for number, kind in enumerate(("good", "corrected", "never")):
        feedback.give(
            workspace,
            question=f"{QUESTION} {number} {long} <b>bold</b> ![x](http://127.0.0.1:9/x)",
            answer=WRONG,
            kind=kind,
            correction="No" if kind == "corrected" else "",
            who=long,
            origin=Origin("Current model", "1a2b3c4d"),
        )
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{dashboard.address}/Data?corrections=waiting")
    expect(page.get_by_role("button", name="Approve", exact=True)).to_have_count(3)
    for theme in in_each_theme(page):
        assert page.evaluate(ACROSS) <= 0
        assert main(page).locator(":is(img, b)").count() == 0
        assert barriers(page, theme) == []
    page.set_viewport_size({"width": 1440, "height": 900})
