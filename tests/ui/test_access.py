"""What a browser's messages can do, for who signed in as what; each is sent as it is, drawn or not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetState

from sails import sessions
from sails.chat import feedback, saved_prompts
from sails.models import Provenance, Workspace, publish_model
from sails.sessions import demo
from sails.system import read_audit
from tests.browser.conftest import Dashboard, free_port, start_dashboard
from tests.support.folders import listing, make_model
from tests.support.forging import Forger, Widget, pressed
from tests.support.helpers import add_dataset, write_lesson
from tests.support.oidc import provider
from tests.support.situations import make_situation

TRAINER, VIEWER, ADMIN, OTHER = (f"{name}@example.org" for name in ("ann", "bob", "cleo", "dan"))
ROLES = f"""
[access.roles]
admin = ["{ADMIN}"]
trainer = ["{TRAINER}"]
viewer = ["{VIEWER}"]
[access.workspaces.theirs.roles]
trainer = ["{OTHER}"]
"""
# Streamlit hands on nothing from a widget that is switched off. These pages switch none off.
FORGETFUL = """
import runpy
from sails import system
system.view_only = lambda: False
system.is_admin = lambda: True
runpy.run_module("sails.ui", run_name="__main__", alter_sys=True)
"""


PROGRAMS = {"as it is": ("-m", "sails.ui"), "forgetful": ("-c", FORGETFUL)}


@pytest.fixture(scope="module", params=PROGRAMS.values(), ids=list(PROGRAMS))
def dashboard(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    folder, port = tmp_path_factory.mktemp("dashboard"), free_port()
    with provider() as oidc:
        secrets = folder / "secrets.toml"
        secrets.write_text(oidc.secrets_toml(f"http://127.0.0.1:{port}", ROLES))
        files = {"STREAMLIT_SECRETS_FILES": str(secrets)}
        with start_dashboard(folder, port, request.param, **files) as dashboard:
            yield dashboard


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which every act has something to act on."""
    folder = tmp_path_factory.mktemp("filled")
    workspace = Workspace.open(folder / "workspace")
    demo.make_demo(workspace)
    make_situation(workspace.root, 3)
    add_dataset(workspace, write_lesson(folder / "rivers.json", topic="rivers"))
    saved_prompts.add(workspace, "Which river is long?")
    feedback.give(workspace, question="Who?", answer="He.", kind="corrected", correction="She.")
    made = Provenance(created=datetime.now(UTC))
    publish_model(workspace, make_model(folder / "candidate", seed=7), made)
    return workspace.root


@pytest.fixture
def workspace(dashboard: Dashboard, filled: Path) -> Iterator[Workspace]:
    for folder in (dashboard.workspace, dashboard.workspace.with_name("theirs")):
        shutil.copytree(filled, folder, symlinks=True)
    yield Workspace.open(dashboard.workspace)
    for folder in (dashboard.workspace, dashboard.workspace.with_name("theirs")):
        shutil.rmtree(folder)


def pages(workspace: Workspace) -> list[tuple[str, str]]:
    """Every page, in every view that holds something to press."""
    held = next(r.session.id for r in sessions.read_history(workspace) if r.status.verdict == "held")
    views = [f"view={view}" for view in ("History", "Family+tree", "Versions")]
    return [
        ("", ""),
        ("Data", ""),
        ("Data", "dataset=rivers"),
        ("Data", "corrections=waiting"),
        ("Data", UNTOUCHED),
        ("Train", ""),
        ("Train", "dataset=rivers"),
        *(("Sessions", view) for view in views),
        ("Sessions", f"session={held}"),
        ("ONNX_export", ""),
        ("Chat", ""),
    ]


def draw(dashboard: Dashboard, who: str, page: str, query: str) -> list[Widget]:
    with Forger(dashboard.address, who) as forger:
        return forger.visit_opened(page, query)


def press(
    dashboard: Dashboard, who: str, page: str, query: str, drawn: list[Widget], presses: list[Widget]
) -> list[str]:
    """Open all, type the dataset's name everywhere, press each of these, and say yes where that asks."""
    fields = () if query.endswith(UNTOUCHED) else ("text_input", "text_area")
    typed = [pressed(w, "rivers") for w in drawn if w.opens or w.kind in fields]
    said = []
    with Forger(dashboard.address, who) as forger:
        forger.visit_opened(page, query)
        for widget in presses:
            drawn = forger.visit(page, query, [*typed, _used(forger, widget)])
            said += forger.said
            for asked in [one for one in drawn if "-yes-" in one.id]:
                forger.visit(page, query, [*typed, pressed(asked)])
                said += forger.said
    return said


def _used(forger: Forger, widget: Widget) -> WidgetState:
    if widget.kind != "file_uploader":
        return pressed(widget, "rivers")
    try:
        return forger.uploaded(widget, "brought.csv", TABLE)
    except HTTPError as error:  # it was not taken in, so that there is nothing of it to be told
        if error.code != 403:
            raise
        return pressed(widget)


def changing(widgets: list[Widget]) -> list[Widget]:
    """What may be pressed and is not the way out."""
    kinds = ("file_uploader", "button", "checkbox", "selectbox", "dataframe", "download_button", "chat_input")
    found = [widget for widget in widgets if widget.kind in kinds and widget.label != "Sign out"]
    return sorted(found, key=lambda widget: kinds.index(widget.kind))  # what begins an answer comes last


UNTOUCHED = "corrections=untouched"  # the same list; what is typed there would be refused before an approval
NOWHERE = Widget("drawn-nowhere", "file_uploader", "", None)
TABLE = b"question,answer\nWhich river is long?,The Nile is.\nWhich is wide?,The Amazon is.\n"
REFUSED = {
    "approve corrections",
    "delete a dataset",
    "discard a held model",
    "edit a correction",
    "keep a version",
    "make the ONNX model",
    "rename a dataset",
    "roll back",
    "save a question",
    "start a training",
    "switch automatic training on",
    "write tags or a note",
}

# The page, and the button that changes something there.
CONTROL = [
    ("Data", "dataset=rivers", "Rename"),
    ("Data", "dataset=rivers", "Delete for good"),
    ("Sessions", "session=", "Save"),
    ("Sessions", "view=Versions", "Roll back to it"),
    ("Data", UNTOUCHED, "Approve"),
    ("Chat", "", "Add it to the list"),
]


def test_forged_messages_change_something_for_a_trainer_alone(request, dashboard, workspace):
    forgetful = request.node.callspec.id == "forgetful"
    known: dict[tuple[str, str], list[Widget]] = {}
    for page, query in pages(workspace):
        # All that a trainer has, and what is drawn for a viewer alone.
        both = [*draw(dashboard, TRAINER, page, query), *draw(dashboard, VIEWER, page, query)]
        known[page, query] = list({widget.id: widget for widget in both}.values())
    before, pressings = listing(workspace.root), 0
    for (page, query), drawn in known.items():
        for who, where in ((VIEWER, ""), ("", ""), (OTHER, "workspace=workspace&")):
            presses = changing(drawn) if who == VIEWER else changing(drawn)[:3]
            press(dashboard, who, page, where + query, drawn, presses)
            pressings += len(presses)
    after = {name: what for name, what in listing(workspace.root).items() if name != "audit.jsonl"}
    assert after == before
    assert pressings > 100
    refused = read_audit(workspace.root)
    assert {line.outcome for line in refused} == {"refused"}
    assert {line.who for line in refused} <= {VIEWER, OTHER}
    assert {line.act for line in refused if line.who == OTHER} == {"open the workspace"}
    assert {line.act for line in refused} >= (REFUSED if forgetful else set())

    for (page, query), drawn in known.items():
        for _, _, label in (c for c in CONTROL if c[0] == page and query.startswith(c[1])):
            here = listing(workspace.root)
            presses = [widget for widget in drawn if widget.label == label]
            press(dashboard, TRAINER, page, query, drawn, presses)
            assert listing(workspace.root) != here, label
            assert read_audit(workspace.root)[-1].who == TRAINER
    assert bring(dashboard, TRAINER) == 204
    assert (workspace.datasets / "brought").exists()


def bring(dashboard: Dashboard, who: str) -> int:
    """Upload a table and save it as a dataset; returns how the server answered to the upload."""
    with Forger(dashboard.address, who) as forger:
        drawn = [widget for widget in forger.visit_opened("Data") if widget.kind == "file_uploader"]
        try:
            brought = forger.uploaded((drawn or [NOWHERE])[0], "brought.csv", TABLE)
        except HTTPError as error:
            return error.code
        drawn = forger.visit("Data", "", [brought])
        forger.visit("Data", "", [pressed(w) for w in drawn if w.id.endswith("data-save")])
        return 204


def test_files_are_taken_in_from_who_may_change_something_alone(dashboard, workspace):
    assert [bring(dashboard, who) for who in ("", VIEWER, "eve@evil.example")] == [403, 403, 403]
    assert not (workspace.datasets / "brought").exists()


def test_who_has_not_signed_in_is_shown_nothing(dashboard, workspace):
    for who in ({}, {"email": ADMIN, "secret": "another secret, as long as the other"}):
        for page, query in pages(workspace):
            with Forger(dashboard.address, **who) as forger:
                assert [widget.label for widget in forger.visit_opened(page, query)] == ["Sign in"]
                assert forger.said[0] == "Sign in"


@pytest.mark.usefixtures("workspace")
def test_only_what_one_may_open_is_offered_and_opened(dashboard):
    def offered(who: str, query: str = "") -> list[str]:
        with Forger(dashboard.address, who) as forger:
            boxes = [w for w in forger.visit_opened("", query) if w.key == "open_workspace"]
            return list(boxes[0].message.options) if boxes else forger.said

    assert offered(ADMIN) == ["theirs", "workspace"]
    assert offered(VIEWER) == ["workspace"]
    assert offered(OTHER) == ["theirs"]  # though the usual workspace is not theirs
    for who, query in ((OTHER, "workspace=workspace"), (VIEWER, "workspace=theirs")):
        assert f"{who} has no role in {query[10:]}. Ask an admin for one." in map(
            plainly, offered(who, query)
        )
    said = offered(VIEWER, "workspace=workspace&model=theirs/trained_model")
    assert any("has no role" in plainly(sentence) for sentence in said)


def plainly(text: str) -> str:
    return text.replace("\\", "").replace("\u2060", "")


@pytest.mark.usefixtures("workspace")
def test_the_log_of_acts_is_shown_to_all_and_given_to_admins(dashboard):
    press(dashboard, TRAINER, "Data", "dataset=rivers", *renaming(dashboard))
    for who, downloads in ((VIEWER, 0), (TRAINER, 0), (ADMIN, 1)):
        with Forger(dashboard.address, who) as forger:
            drawn = forger.visit_opened("Sessions", "view=Who+did+what")
            assert any("is written down" in sentence for sentence in forger.said)
            assert sum(widget.kind == "download_button" for widget in drawn) == downloads


def renaming(dashboard: Dashboard) -> tuple[list[Widget], list[Widget]]:
    drawn = draw(dashboard, TRAINER, "Data", "dataset=rivers")
    return drawn, [widget for widget in drawn if widget.label == "Rename"]


# As if it listened for others, which no test does.
EXPOSED = """
import sys
from sails.ui import exposure
from streamlit.web.cli import main
exposure.is_local = lambda address: False
sys.argv[0] = "streamlit"
main()
"""


def test_a_page_of_a_server_that_should_not_listen_says_so_and_nothing_else(tmp_path):
    with start_dashboard(tmp_path, program=("-c", EXPOSED)) as dashboard, Forger(dashboard.address) as forger:
        assert forger.visit("Data") == []
        assert "nobody has to sign in" in plainly(forger.said[0])


def test_where_people_sign_in_a_server_without_its_guard_shows_nothing(tmp_path):
    port = free_port()
    with provider() as oidc:
        secrets = tmp_path / "secrets.toml"
        secrets.write_text(oidc.secrets_toml(f"http://127.0.0.1:{port}", ROLES))
        files = {"STREAMLIT_SECRETS_FILES": str(secrets)}
        server = start_dashboard(tmp_path, port, ("-m", "streamlit"), **files)
        with server as dashboard, Forger(dashboard.address, ADMIN) as forger:
            assert forger.visit("Data") == []
            assert "without what guards its requests" in plainly(forger.said[0])
