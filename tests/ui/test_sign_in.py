"""Where the dashboard listens, and whether sign-in is set up so that it keeps people out."""

import subprocess
import sys
from pathlib import Path

import pytest
import streamlit as st
from streamlit import config
from streamlit.runtime.secrets import Secrets

from sails import system
from sails.errors import RequestError
from sails.ui import exposure, sign_in
from tests.conftest import REPOSITORY
from tests.support.oidc import Provider

ROLES = '[access.roles]\nviewer = ["@example.org"]\n'
HTTPS = Provider("https://sign-in.example.org").secrets_toml("https://sails.example.org", ROLES)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Give a text as the file of secrets."""

    def write(text: str) -> None:
        file = tmp_path / "secrets.toml"
        file.write_text(text)
        monkeypatch.setattr(st, "secrets", Secrets())
        config.set_option("secrets.files", [str(file)])

    monkeypatch.setattr(sign_in, "_seen", False)
    before = config.get_option("secrets.files")
    yield write
    config.set_option("secrets.files", before)


@pytest.fixture
def listens():
    """Have the dashboard listen on an address."""
    before = config.get_option("server.address")
    yield lambda address: config.set_option("server.address", address)
    config.set_option("server.address", before)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost", "unix:///run/sails"]
)
def test_on_this_computer_nobody_must_sign_in(written, listens, address):
    written("")
    listens(address)
    exposure.check_exposure()


@pytest.mark.parametrize(
    "address", [None, "0.0.0.0", "::", "192.0.2.7", "my-computer", "localhost.evil.example"]
)
def test_elsewhere_it_is_refused_unless_that_is_said(written, listens, monkeypatch, address):
    written("")
    listens(address)
    with pytest.raises(RequestError, match="nobody has to sign in") as refused:
        exposure.check_exposure()
    assert exposure.OPTION in refused.value.remedy
    monkeypatch.setenv(exposure.INSECURE, "1")
    exposure.check_exposure()


def test_who_signs_in_over_an_encrypted_connection_may_come_from_elsewhere(written, listens):
    listens("0.0.0.0")
    written(HTTPS)
    exposure.check_exposure()
    written(HTTPS.replace("https://sails.", "http://sails."))
    with pytest.raises(RequestError, match="unencrypted"):
        exposure.check_exposure()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[access.roles]", "[other]", "Nobody has a role"),
        ('["@example.org"]', "[]", "Nobody has a role"),
        ('["@example.org"]', '"@example.org"', "no list of names"),
        ("a secret of this test alone, long enough", "short", "could be guessed"),
        ("cookie_secret", "cookie", "no cookie_secret"),
        ("redirect_uri", "uri", "no redirect_uri"),
        ("server_metadata_url", "url", "no server_metadata_url"),
        ("[auth]", "[auth_]", "no table auth"),
        ("[auth]", "[auth", "cannot be read"),
    ],
)
def test_sign_in_that_would_keep_nobody_out_or_let_nobody_in_is_refused(written, listens, old, new, problem):
    listens("127.0.0.1")
    written(HTTPS.replace(old, new))
    with pytest.raises(RequestError, match=problem):
        exposure.check_exposure()


def test_sign_in_that_was_there_and_is_gone_lets_nobody_in(written, listens):
    listens("127.0.0.1")
    written(HTTPS)
    assert sign_in.is_on()
    written("")
    assert sign_in.is_on()
    with pytest.raises(RequestError):
        exposure.check_exposure()


def test_without_sign_in_one_person_has_all_rights(written):
    written("")
    assert not sign_in.is_on()
    system.require_role("admin")


@pytest.mark.parametrize(
    ("options", "environment", "code"),
    [
        (("--server.address=0.0.0.0",), {}, 2),
        (("--server.address=192.0.2.7", "--insecure"), {}, None),  # it has no such address, and says so
        (("--server.address=192.0.2.7",), {"SAILS_INSECURE": "1"}, None),
        ((), {"STREAMLIT_SERVER_ADDRESS": "0.0.0.0"}, 2),
    ],
)
def test_the_server_ends_with_one_sentence_before_it_listens(options, environment, code, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "sails.ui", "run", "app.py", "--server.headless=true", "--server.port=0"]
    done = subprocess.run([*command, *options], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    lines = [line for line in done.stderr.splitlines() if "nobody has to sign in" in line]
    assert (done.returncode, len(lines)) == (code, 1) if code else not lines


def test_where_it_listens_by_itself_is_this_computer():
    settings = (Path(REPOSITORY) / ".streamlit/config.toml").read_text()
    assert 'address = "127.0.0.1"' in settings


OTHER_VERSION = """
import runpy
from streamlit.web.server import server_util
del server_util.get_cookie_secret
runpy.run_module("sails.ui", run_name="__main__")
"""


def test_with_a_streamlit_that_lacks_what_is_asked_of_it_the_server_ends_with_one_sentence():
    done = subprocess.run([sys.executable, "-c", OTHER_VERSION], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith(" Install requirements.txt.\n")
    assert "get_cookie_secret" in done.stderr
    assert "Traceback" not in done.stderr
