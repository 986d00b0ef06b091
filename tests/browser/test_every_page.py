"""Every page in Chromium: a deep link, both themes, a phone, and no barrier for who uses other means.

With SAILS_SCREENSHOTS=FOLDER the pictures stay there; the README shows three of them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from sails.models.workspace import Workspace
from sails.sessions import Session, demo
from sails.ui.frame import PAGES
from tests.browser.conftest import Dashboard, barriers, in_each_theme
from tests.support.situations import make_situation

ACROSS = "document.querySelector('main').scrollWidth - window.innerWidth"
SIZES = {"phone": (390, 844), "laptop": (1440, 900)}
# What stands below the title and above the first thing that can be pressed or filled in.
WORDS_BEFORE_A_CONTROL = """main => {
    const words = [], walker = document.createTreeWalker(main);
    while (walker.nextNode()) {
        const node = walker.currentNode, element = node.nodeType === 3 ? node.parentElement : node;
        if (!element || !element.checkVisibility() || element.closest('.st-key-frame, h1, style')) continue;
        if (element.closest('[data-testid=stIconMaterial]')) continue;
        if (node.nodeType === 3) words.push(node.textContent);
        else if (element.matches('a, button, input, textarea, summary, [tabindex="0"]')) break;
    }
    return words.join(' ');
}"""
SCALE = {"32px", "22.4px", "16px", "14px"}  # of docs/DESIGN_LANGUAGE.md
TEXT_SIZES = """() => [...document.querySelectorAll('main *')]
    .filter(element => element.checkVisibility())
    .filter(element => !element.closest('svg, canvas, [data-testid=stIconMaterial]'))
    .filter(element => [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()))
    .map(element => getComputedStyle(element).fontSize)"""

FIRST, LAST = "20261130-222651-programming-basics", "20261130-233922-databases"
HELD = "20261130-233321-databases-in-a-hurry"
VIEWS = {
    **{page.title.lower().replace(" ", "-"): (page.title, "") for page in PAGES},
    "one-dataset": ("Data", "?dataset=web-development"),
    "one-training": ("Train", f"?session={LAST}"),
    "one-session": ("Sessions", f"?session={FIRST}"),
    "held": ("Sessions", f"?session={HELD}"),
    "comparison": ("Sessions", f"?compare={FIRST},{LAST}"),
    "remembering": ("Sessions", "?view=What+it+still+remembers"),
    "versions": ("Sessions", "?view=Versions"),
}


@pytest.fixture
def furnished(dashboard: Dashboard) -> Workspace:
    """Recorded sessions, and a model of either kind."""
    workspace = Workspace.open(dashboard.workspace)
    demo.make_demo(workspace)
    (workspace.root / demo.MARK).unlink()
    make_situation(workspace.root, 3)
    made = Session(workspace.sessions / LAST)  # its model is the one that is here
    fingerprint = workspace.situation().trained.fingerprint
    made.write_status(made.written_status().model_copy(update={"fingerprint": fingerprint}))
    return workspace


def address(dashboard: Dashboard, title: str) -> str:
    return dashboard.address if title == "Home" else f"{dashboard.address}/{title.replace(' ', '_')}"


def visit(page: Page, dashboard: Dashboard, title: str, query: str = "") -> None:
    """A deep link, and nothing before it; waits until the page is drawn to its end."""
    page.goto(address(dashboard, title) + query)
    expect(page.get_by_role("heading", name=title, exact=True, level=1)).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    expect(page.get_by_test_id("stException")).to_have_count(0)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.usefixtures("furnished")
def test_each_deep_link_is_framed_has_no_serious_barrier_and_fits_a_phone(page, dashboard, view, tmp_path):
    title, query = VIEWS[view]
    pictures = Path(os.environ.get("SAILS_SCREENSHOTS") or tmp_path)
    pictures.mkdir(parents=True, exist_ok=True)
    missing = []
    page.on("response", lambda response: missing.append(response.url) if response.status >= 400 else None)
    for name, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        if name == "phone":  # to load a page takes longer than all the rest; it follows the window's size
            visit(page, dashboard, title, query)
        for theme in in_each_theme(page):
            assert page.evaluate(ACROSS) <= 0
            assert set(page.evaluate(TEXT_SIZES)) <= SCALE
            file = pictures / f"{view}-{theme}-{name}.png"
            page.screenshot(path=file)
            assert file.stat().st_size > 10_000
            if name == "laptop":
                assert barriers(page, theme) == []
        before = page.get_by_role("main").evaluate(WORDS_BEFORE_A_CONTROL).split()
        assert len(before) <= 60, " ".join(before)
    assert not missing
    links = page.get_by_test_id("stPageLink")
    for other in PAGES:
        expect(links.filter(has_text=re.compile(f"^.*{other.title}$")).first).to_be_visible()
    if not query:
        expect(page).to_have_title(re.compile(f"{title} · MTN Sails$"))


def test_a_recorded_session_is_replayed_live_and_marked_as_a_replay(page, dashboard, tmp_path):
    workspace = Workspace.open(dashboard.workspace)
    demo.make_demo(workspace)
    visit(page, dashboard, "Home")
    expect(page.get_by_text("This is a demo.")).to_be_visible()
    assert barriers(page) == []
    page.get_by_text("Replay another training", exact=True).click()
    page.get_by_label("Seconds it takes").fill("12")
    page.get_by_label("Seconds it takes").press("Enter")
    page.get_by_role("button", name="Replay it").click()
    expect(page.get_by_text("This is a replay of a recorded session")).to_be_visible()
    # It knew its lesson after 8 of 20 rounds, so no more than 40 % are ever shown.
    expect(page).to_have_title(re.compile(r"▶ [23]\d.% · Train"), timeout=120_000)
    pictures = Path(os.environ.get("SAILS_SCREENSHOTS") or tmp_path)
    page.screenshot(path=pictures / "live.png")
    expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible()
    expect(page).to_have_title(re.compile("✅ Done"), timeout=120_000)
    expect(page.get_by_role("heading", name="Did it work?")).to_be_visible()
    expect(page.get_by_text("This is a replay of a recorded session")).to_be_visible()
    assert workspace.situation().trained.state == "missing"


@pytest.mark.usefixtures("furnished")
def test_no_address_leads_out_of_the_allowed_root(page, dashboard):
    for title in ("Home", "Data", "Train", "Sessions", "Chat"):
        page.goto(address(dashboard, title) + "?workspace=../..")
        expect(page.get_by_test_id("stAlert").first).to_contain_text("does not lie in")
