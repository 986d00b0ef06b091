"""Two dashboards and a command line on one workspace: each shows what the others did; one training runs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sails import sessions
from sails.models import Provenance, Workspace, publish_model
from tests.browser.conftest import Dashboard, start_dashboard
from tests.support.forging import Forger, pressed
from tests.support.helpers import add_dataset, write_lesson
from tests.support.tiny import make_tiny_model

PATIENCE = 240  # seconds
ENDED = ("stopped", "succeeded", "failed", "interrupted")


@pytest.fixture(scope="module")
def dashboards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Dashboard, Dashboard]]:
    folder = tmp_path_factory.mktemp("two")
    workspace = Workspace.open(folder / "workspace")
    model = make_tiny_model(folder / "base", "gpt2")
    publish_model(workspace, model, Provenance(created="2026-01-05T09:00:00Z"))
    add_dataset(workspace, write_lesson(folder / "rivers.json", topic="rivers"))
    with start_dashboard(folder) as one, start_dashboard(folder) as other:
        yield one, other


def wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end
        time.sleep(0.2)


def use(dashboard: Dashboard, page: str, query: str, key: str, text: str = "") -> None:
    """Type the text into all fields of a page, and press the button with this key."""
    with Forger(dashboard.address) as forger:
        drawn = forger.visit_opened(page, query)
        states = [pressed(widget, text) for widget in drawn if widget.opens or widget.kind == "text_input"]
        [button] = [widget for widget in drawn if widget.id.endswith(key)]
        forger.visit(page, query, [*states, pressed(button)])


def says(dashboard: Dashboard, query: str) -> str:
    with Forger(dashboard.address) as forger:
        forger.visit_opened("Data", query)
        return " ".join(forger.said).replace("\\", "")


def test_what_one_does_the_other_shows(dashboards):
    one, other = dashboards
    use(one, "Data", "dataset=rivers", "data-rename", "lakes")
    assert "lakes" in says(other, "dataset=lakes")
    command = [sys.executable, "-m", "sails", "datasets", "rename", "lakes", "ponds"]
    subprocess.run([*command, "--workspace", str(one.workspace)], check=True, capture_output=True)
    for dashboard in dashboards:
        assert "ponds" in says(dashboard, "dataset=ponds")


def test_of_two_that_are_started_at_once_one_runs_and_one_waits(dashboards):
    workspace = Workspace.open(dashboards[0].workspace)

    def states() -> list[str]:
        return sorted(record.status.state for record in sessions.read_history(workspace))

    with ThreadPoolExecutor() as both:
        list(both.map(lambda dashboard: use(dashboard, "Train", "dataset=ponds", "train_go"), dashboards))
    assert len(states()) == 2
    seen = set()

    def one_ran() -> bool:
        seen.add(tuple(states()))
        return any("running" in now or now[0] in ENDED for now in seen)

    wait(one_ran)
    for record in sessions.read_history(workspace):
        if record.status.state in ("queued", "running"):
            sessions.stop(workspace, record.session)
    wait(lambda: all(state in ENDED for state in states()))
    assert ("running", "running") not in seen
    assert ("queued", "running") in seen


def test_the_workspace_is_well_after_that(dashboards):
    command = [sys.executable, "-m", "sails", "doctor", "--workspace", str(Path(dashboards[0].workspace))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
