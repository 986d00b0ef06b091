"""Who may talk with the running dashboard, and what its server loads before anybody does."""

import http.client
import socket
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import start_dashboard

SERVE = """
import gc, runpy, sys
sys.argv = ["sails.ui", "--help"]
try:
    runpy.run_module("sails.ui", run_name="__main__")
except SystemExit:
    pass
names = ("pandas", "plotly.graph_objects", "sails.ui.bridge.panels", "torch")
print([name for name in names if name in sys.modules], gc.get_freeze_count() > 100_000)
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with start_dashboard(tmp_path_factory.mktemp("dashboard")) as dashboard:
        port = urlsplit(dashboard.address).port
        assert port
        yield port


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:{port}", "http://127.0.0.1:{port}", 101),
        ("localhost:{port}", "http://localhost:{port}", 101),
        ("[::1]:{port}", "http://[::1]:{port}", 101),
        ("evil.example:{port}", "http://evil.example:{port}", 403),  # a name that was given this address
        ("127.0.0.1.evil.example", "http://127.0.0.1.evil.example", 403),
        ("localhost@evil.example", "http://evil.example", 403),
        ("127.0.0.1:{port}", "http://127.0.0.1:1", 403),  # a page that another program on this machine serves
        ("127.0.0.1:{port}", "http://localhost:{port}", 403),
        ("127.0.0.1:{port}", "null", 403),
        ("127.0.0.1:{port}", "http://evil.example", 403),
    ],
)
def test_only_its_own_names_open_a_connection(port: int, host: str, origin: str, status: int) -> None:
    assert _asked_to_talk(port, host.format(port=port), origin.format(port=port)) == status


@pytest.mark.parametrize(("host", "status"), [("localhost", 200), ("[::1]:1", 200), ("evil.example", 403)])
@pytest.mark.parametrize("path", ["/", "/Chat", "/_stcore/health"])
def test_it_answers_by_its_own_names_alone_and_no_other_page_may_frame_it(
    port: int, host: str, status: int, path: str
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == status
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["interact", "mcp"])
def test_no_program_drives_the_pages_without_a_browser(port: int, path: str) -> None:
    """Streamlit has a way for that, in which nobody is signed in and no origin is asked for; it stays off."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", f"/_stcore/agent/{path}", "{}", {"Content-Type": "application/json"})
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    assert answer.status >= 400
    assert b"does not serve the agent API" in said


def _asked_to_talk(port: int, host: str, origin: str) -> int:
    """The HTTP status that a browser gets which asks for a websocket."""
    request = (
        f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request.encode())
        return int(connection.makefile("rb").readline().split()[1])


def test_pages_are_loaded_before_the_first_visit():
    done = subprocess.run([sys.executable, "-c", SERVE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['pandas', 'plotly.graph_objects', 'sails.ui.bridge.panels'] True"
