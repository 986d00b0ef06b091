"""Signing in at a real provider, in a real browser: in, what one may do then, and out."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Browser, expect

from sails.data import EXAMPLES, add_example
from sails.models import Workspace
from tests.browser.conftest import free_port, start_dashboard
from tests.support.oidc import Provider, provider

ANN = re.compile("Ann.?@example.org")  # what breaks a link may stand between
ROLES = '[access.roles]\ntrainer = ["ann@example.org"]\nviewer = ["group:guests"]\n'


@pytest.fixture(scope="module")
def oidc():
    with provider() as oidc:
        yield oidc


@pytest.fixture(scope="module")
def dashboard(oidc: Provider, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("dashboard")
    port = free_port()
    secrets = folder / "secrets.toml"
    secrets.write_text(oidc.secrets_toml(f"http://127.0.0.1:{port}", ROLES))
    add_example(Workspace.open(folder / "workspace"), EXAMPLES[0])
    with start_dashboard(folder, port=port, STREAMLIT_SECRETS_FILES=str(secrets)) as dashboard:
        yield dashboard


def sign_in(browser: Browser, dashboard, oidc: Provider, person: dict):
    oidc.people[:] = [person]
    page = browser.new_context().new_page()
    page.goto(f"{dashboard.address}/Data")
    page.get_by_role("button", name="Sign in").click()
    return page


def test_who_signs_in_may_do_what_their_role_lets_them_and_it_is_written_down(browser, dashboard, oidc):
    person = {"email": "Ann@example.org", "email_verified": True, "name": "Ann"}
    page = sign_in(browser, dashboard, oidc, person)
    expect(page.get_by_role("button", name=ANN)).to_be_visible()
    page.goto(f"{dashboard.address}/Data?dataset=programming-basics")
    page.get_by_text("Delete this dataset").click()
    page.get_by_label("To confirm").fill("programming-basics")
    page.get_by_label("To confirm").press("Tab")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text("programming-basics is deleted")).to_be_visible()
    line = json.loads((dashboard.workspace / "audit.jsonl").read_text().splitlines()[-1])
    assert line | {"when": ""} == {
        "act": "delete a dataset",
        "what": "programming-basics",
        "who": "Ann@example.org",
        "address": "127.0.0.1",
        "role": "trainer",
        "outcome": "done",
        "when": "",
    }
    assert {"/authorize", "/token", "/jwks"} <= set(oidc.asked)

    page.get_by_role("button", name=ANN).click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.context.close()


@pytest.mark.parametrize(
    "person",
    [
        {"email": "somebody@example.org", "email_verified": True},
        {"email": "ann@example.org", "email_verified": False},  # claimed, not proved
        {"email": "else@example.org", "groups": ["group:guests"]},
    ],
)
def test_who_has_no_role_sees_nothing_but_that(browser, dashboard, oidc, person):
    page = sign_in(browser, dashboard, oidc, person)
    expect(page.get_by_text("has no role in workspace")).to_be_visible()
    expect(page.get_by_role("heading", name="Data")).to_have_count(0)
    page.context.close()
