"""A real Chromium and a real dashboard: `browser`, and `dashboard` with a workspace of its own.

Without a Chromium these tests are skipped; with SAILS_REQUIRE_BROWSER=1, as in CI, they fail.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Error,
    Locator,
    LocatorAssertions,
    Page,
    expect,
    sync_playwright,
)

from tests.conftest import REPOSITORY

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 60.0  # seconds; a busy machine draws a page slowly
expect.set_options(timeout=PATIENCE * 1000)
# Chromium has nothing to ask anybody, and in a container no sandbox.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
START_SECONDS = 60
THEMES = {"light": "rgb(255, 255, 255)", "dark": "rgb(16, 25, 29)"}  # and their backgrounds
# What opens slides into its place. A person waits for that; a click in the middle of it meets nothing.
NO_SLIDING = """
const animate = Element.prototype.animate;
Element.prototype.animate = function (frames, options) {
    return animate.call(this, frames, {...(typeof options === "object" ? options : {}), duration: 0});
};
"""


def _until_it_is_one(method: Callable[..., Any]) -> Callable[..., Any]:
    """`method`, which may have to wait until what it names stands on the page only once.

    While a page is drawn anew, what moved stands at its old and at its new place. Playwright waits for what
    is not there yet, but refuses at once what is there twice.
    """

    @wraps(method)
    def patient(*arguments: Any, **options: Any) -> Any:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return method(*arguments, **options)
            except (AssertionError, Error) as error:
                if "strict mode violation" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    return patient


for _kind, _names in (
    (Locator, ("click", "dblclick", "fill", "press", "focus", "hover", "bounding_box", "set_input_files")),
    (LocatorAssertions, tuple(name for name in dir(LocatorAssertions) if name.startswith("to_"))),
):
    for _name in _names:
        setattr(_kind, _name, _until_it_is_one(getattr(_kind, _name)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        if os.environ.get("SAILS_REQUIRE_BROWSER") == "1":
            pytest.fail("There is no Chromium, and SAILS_REQUIRE_BROWSER=1 asks for one.")
        pytest.skip("There is no Chromium on this machine.")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


def settled(page: Page) -> None:
    """Wait until the page is drawn to its end and stays so: a click on what is just moving is lost."""
    app, quiet = page.get_by_test_id("stApp"), 0
    while quiet < 3:
        expect(app).to_have_attribute("data-test-script-state", "notRunning")
        page.wait_for_timeout(150)
        still = app.get_attribute("data-test-script-state") == "notRunning"
        quiet = quiet + 1 if still else 0


# How an element and what it stands in look; where the focus is, that must look otherwise.
LOOK = """element => {
    let look = "";
    for (let part = element, up = 0; part && up < 4; part = part.parentElement, up++) {
        const style = getComputedStyle(part);
        look += [style.boxShadow, style.outline, style.borderColor, style.backgroundColor].join();
    }
    return look;
}"""


def tab_to(page: Page, target: Locator) -> None:
    """Go to a part of the page with the key Tab alone, and see where the focus is."""
    expect(target).to_be_enabled()
    settled(page)
    plain = target.evaluate(LOOK)
    for _ in range(150):
        if target.evaluate("element => element === document.activeElement"):
            break
        page.keyboard.press("Tab")
    else:
        pytest.fail(f"The key Tab does not lead to {target}.")
    page.wait_for_timeout(300)  # it fades in
    assert target.evaluate(LOOK) != plain, f"Nobody sees that the focus is on {target}."


def press(page: Page, target: Locator) -> None:
    """Press a button as who has no mouse."""
    tab_to(page, target)
    page.keyboard.press("Enter")


def type_into(page: Page, field: Locator, text: str) -> None:
    """Write into a field, in place of what is there, as who has no mouse."""
    tab_to(page, field)
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(text)


def in_each_theme(page: Page) -> Iterator[str]:
    """Let the system prefer one theme after the other; the page, drawn already, follows."""
    for theme, background in THEMES.items():
        page.emulate_media(color_scheme=theme)
        expect(page.get_by_test_id("stApp")).to_have_css("background-color", background)
        settled(page)
        yield theme


SERIOUS = ("serious", "critical")
OF_COLORS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}


def barriers(page: Page, theme: str = "light") -> list[tuple[str, str, str]]:
    """What keeps people from using the page who see little, or use no mouse: rule, element and why.

    The themes differ in their colours alone, so all but the rules on colours are asked in the light one.
    """
    page.mouse.move(0, 0)  # the colours under a mouse are Streamlit's
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    options = {"resultTypes": ["violations"], **({} if theme == "light" else OF_COLORS)}
    return [
        (violation["id"], node["html"][:200], node["failureSummary"])
        for violation in Axe().run(page, options=options).response["violations"]
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]


@dataclass(frozen=True)
class Dashboard:
    """A running dashboard; what lies in `workspace` may change between two visits."""

    address: str
    workspace: Path
    log: Path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    with start_dashboard(tmp_path_factory.mktemp("dashboard")) as dashboard:
        yield dashboard


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def start_dashboard(
    folder: Path, port: int | None = None, program: Sequence[str] = ("-m", "sails.ui"), **environment: str
) -> Iterator[Dashboard]:
    """A dashboard of its own, whose workspace lies in `folder`; it is ended with the block."""
    port = port or free_port()
    dashboard = Dashboard(f"http://127.0.0.1:{port}", folder / "workspace", folder / "log")
    command = [sys.executable, *program, "run", "app.py", f"--server.port={port}"]
    command.append("--server.headless=true")
    all_variables = {**os.environ, "SAILS_WORKSPACE": str(dashboard.workspace), **environment}
    with open(dashboard.log, "ab") as log:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=all_variables, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait_for(dashboard, process)
        yield dashboard
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(dashboard: Dashboard, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{dashboard.address}/_stcore/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    pytest.fail(f"The dashboard did not start:\n{dashboard.log.read_text(errors='replace')}")


@pytest.fixture
def dashboard(server: Dashboard) -> Iterator[Dashboard]:
    """The dashboard, with nothing in its workspace yet."""
    yield server
    if server.workspace.is_file():
        server.workspace.unlink()
    shutil.rmtree(server.workspace, ignore_errors=True)


@pytest.fixture(scope="session")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One profile for all tests, so that Streamlit's own files come out of the cache."""
    profile = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
    profile.add_init_script(NO_SLIDING)
    # Who has been asked for a name and gave none; the first act of another profile asks.
    profile.add_cookies([{"name": "sails_who", "value": "", "domain": "127.0.0.1", "path": "/"}])
    yield profile
    profile.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab of its own, at the size of a laptop, in the light theme."""
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE * 1000)
    yield tab
    tab.close()
