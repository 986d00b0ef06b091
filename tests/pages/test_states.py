"""Ten states in which pages could contradict each other: all that each page says is held against one truth.

A state is made by the package's own functions. `CLAIMS` are sentences that pages say, each with when it is
true: wherever one stands on any page, it must be true of that state. `heard` are those that a state must say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from sails import jobs, sessions
from sails.models.publish import publish_model, roll_back
from sails.models.versions import Provenance
from sails.models.workspace import Workspace
from sails.sessions import queue
from sails.sessions.metrics import MetricsWriter
from sails.system import access
from tests.conftest import REPOSITORY
from tests.support.folders import fingerprint_of, make_model, make_onnx
from tests.support.helpers import add_dataset, queue_training, run_worker, write_lesson
from tests.support.situations import make_line, make_session, published

APP = str(REPOSITORY / "app.py")
SESSIONS, TRAIN = "pages/3_Sessions.py", "pages/2_Train.py"
HELD_BACK = r"waits for your decision"
CURRENT = r"(\w+) \|.*\| ★ Current \|"
RIVERS, LAKES = "rivers", "lakes"


@dataclass(frozen=True)
class Truth:
    """What is so: whose model is current, what waits and runs, what the ONNX model was made from."""

    current: str | None  # the session that made the current model, "elsewhere" for one from elsewhere
    onnx: str = "missing"  # fresh, other
    decide: bool = False  # a model that was held back is here
    waits: int = 0
    resumable: bool = False
    exporting: bool = False
    left: str | None = None  # the session whose model somebody went back from
    former: str | None = None  # one whose model was current once
    demo: bool = False
    view_only: bool = False
    shown: tuple[tuple[str, str], ...] = ()  # pages of its own: script, session
    heard: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A sentence on a page, and when it is true; its first group, if it has one, is a session's name."""

    words: str
    is_true: Callable[[Truth, str], bool]


CLAIMS = [
    Claim(
        r"There is no trained model yet|no model has learned them|There is no model yet|There is none: it is",
        lambda t, _: t.current is None,
    ),
    Claim(r"A complete trained model is here|The model has learned", lambda t, _: t.current is not None),
    Claim(CURRENT, lambda t, name: t.current == name),
    Claim(r"current model: (\w+)\.", lambda t, name: t.current == name),
    Claim(
        r"Another model is the current one now", lambda t, _: t.former is not None and t.current is not None
    ),
    Claim(r"Its model is not here any more", lambda t, _: t.demo),
    Claim(r"left by a roll back: (\w+)\.", lambda t, name: t.left == name),
    Claim(r"rolled back to", lambda t, _: t.left is not None),
    Claim(HELD_BACK + r"|then decide whether it becomes|\[button\] Keep it$", lambda t, _: t.decide),
    Claim(r"the new one is not here", lambda t, _: t.demo),
    Claim(r"Nothing is running", lambda t, _: not t.exporting),
    Claim(r"What runs now|is being made", lambda t, _: t.exporting),
    Claim(
        r"It waits for its turn|trainings? waits?\b|waits\. It|\| Waiting \||one waits for its turn",
        lambda t, _: t.waits > 0,
    ),
    Claim(r"A training is under way", lambda *_: False),  # in none of these states does one train
    Claim(r"it can be put back into the queue|\[button\] Resume", lambda t, _: t.resumable),
    Claim(r"Stopped on request; it can be resumed", lambda t, _: t.demo),
    Claim(
        r"not been made yet|There is no ONNX model of it yet",
        lambda t, _: t.onnx == "missing" and not t.exporting,
    ),
    Claim(r"ONNX model is of another model|Of another model", lambda t, _: t.onnx == "other"),
    Claim(r"✅ Up to date|ready to answer", lambda t, _: t.onnx == "fresh"),
    Claim(r"answers without what was taught since|misses what was taught", lambda t, _: t.onnx == "older"),
    Claim(r"\[button\] (?:Make the ONNX model|Make it again)", lambda t, _: not t.exporting),
    Claim(r"\[button\] Roll back to it", lambda t, _: not t.exporting and not t.view_only),
    Claim(r"This is a demo", lambda t, _: t.demo),
    Claim(r"You can look at everything here and change nothing", lambda t, _: t.view_only),
    Claim(r"Made elsewhere", lambda t, _: t.current == "elsewhere"),
    Claim(
        r"Try it in the chat, then teach it the next lesson",
        lambda t, _: t.shown[0][1].endswith(f"-{t.current}"),
    ),
]


@pytest.fixture
def workspace(root: Path, started) -> Workspace:  # noqa: ARG001 (workers wait to be called)
    return Workspace.open(root)


def publish(workspace: Workspace, name: str, hour: int, seed: int, parent: str | None = None):
    """A session whose model becomes the current one; returns it and the model's fingerprint."""
    session = make_session(workspace, name, hour)
    fingerprint = fingerprint_of(make_model(session.model, seed))
    session.write_status(sessions.Status.model_validate(published(fingerprint=fingerprint, parent=parent)))
    made = Provenance(session=session.id, parent=parent, created=datetime.now(UTC))
    publish_model(workspace, session.model, made)
    return session, fingerprint


# --- the ten states -------------------------------------------------------------------------------


def rolled_back(workspace, **_) -> Truth:
    rivers, first = publish(workspace, RIVERS, 8, 1)
    lakes, second = publish(workspace, LAKES, 9, 2, first)
    make_onnx(workspace.onnx_model, second)
    roll_back(workspace, rivers.id)
    heard = ("left by a roll back: lakes", "Another model is the current one now", "rolled back to", CURRENT)
    return Truth(RIVERS, left=LAKES, former=LAKES, shown=((SESSIONS, lakes.id),), heard=heard)


def held(workspace, **_) -> Truth:
    *_, lakes = make_line(workspace, [RIVERS, LAKES], lost=0.3, hold_last=True)
    return Truth(RIVERS, decide=True, shown=((SESSIONS, lakes.id),), heard=(HELD_BACK, CURRENT, "Keep it"))


def replayed(workspace, **_) -> Truth:
    *_, lakes = make_line(workspace, [RIVERS, LAKES], lost=0.3, hold_last=True)
    writer = MetricsWriter(lakes.metrics)
    writer.write("step", step=1, total_steps=1, epoch=1, loss=1.0, learning_rate=1e-5, tokens=9)
    writer.close()
    replay = jobs.start_replay(workspace, lakes, 1)
    run_worker(replay)
    heard = (HELD_BACK, CURRENT, "replay")
    return Truth(RIVERS, decide=True, shown=((TRAIN, replay.id),), heard=heard)


def queued_behind(workspace, tmp_path, monkeypatch) -> Truth:
    publish(workspace, RIVERS, 8, 1)
    dataset = add_dataset(workspace, write_lesson(tmp_path / "lesson.json"))
    queue_training(workspace, dataset, None, monkeypatch=monkeypatch, name="seas")
    lakes = queue_training(workspace, dataset, None, monkeypatch=monkeypatch, name=LAKES)
    heard = (
        "It waits for its turn",
        "seas.* waits. It is about to start",
        "One more training waits",
        CURRENT,
    )
    return Truth(RIVERS, waits=2, shown=((SESSIONS, lakes.id),), heard=heard)


def cancelled(workspace, **_) -> Truth:
    publish(workspace, RIVERS, 8, 1)
    lakes = make_session(workspace, LAKES, 9)
    sessions.enqueue(workspace, lakes)
    sessions.stop(workspace, lakes)
    return Truth(RIVERS, resumable=True, shown=((SESSIONS, lakes.id),), heard=("Cancelled before it began",))


def export_running(workspace, monkeypatch, **_) -> Truth:
    monkeypatch.setattr(queue, "START_SECONDS", 600)  # its worker is on its way as long as pages are drawn
    _, first = publish(workspace, RIVERS, 8, 1)
    lakes, _ = publish(workspace, LAKES, 9, 2, first)
    jobs.export_current(workspace)
    heard = ("is being made", "nobody can roll back", CURRENT)
    return Truth(LAKES, former=RIVERS, exporting=True, shown=((SESSIONS, lakes.id),), heard=heard)


def onnx_of_another_branch(workspace, **_) -> Truth:
    _, first = publish(workspace, RIVERS, 8, 1)
    lakes, _ = publish(workspace, LAKES, 9, 2)
    make_onnx(workspace.onnx_model, first)
    heard = ("is of another model", CURRENT)
    return Truth(LAKES, onnx="other", former=RIVERS, shown=((SESSIONS, lakes.id),), heard=heard)


def imported(workspace, **_) -> Truth:
    make_model(workspace.trained_model, 5)
    return Truth("elsewhere", heard=("Made elsewhere", "There has been no training yet"))


def demo(workspace, **_) -> Truth:
    sessions.make_demo(workspace)
    (lakes,) = (r for r in sessions.read_history(workspace) if r.status.verdict == "held")
    heard = ("This is a demo", "There is no trained model yet")
    return Truth(None, resumable=True, demo=True, shown=((SESSIONS, lakes.session.id),), heard=heard)


def view_only(workspace, monkeypatch, **_) -> Truth:
    *_, lakes = make_line(workspace, [RIVERS, LAKES], lost=0.3, hold_last=True)
    monkeypatch.setenv(access.VIEW_ONLY, "1")
    heard = ("look at everything here and change nothing", CURRENT)
    return Truth(RIVERS, decide=True, view_only=True, shown=((SESSIONS, lakes.id),), heard=heard)


STATES = (
    *(rolled_back, held, replayed, queued_behind, cancelled, export_running, onnx_of_another_branch),
    *(imported, demo, view_only),
)

# --- what the pages say ---------------------------------------------------------------------------


def pages(truth: Truth) -> Iterator[tuple[str, list[str]]]:
    """Each page and what it says, line by line."""
    places: list[tuple[str, dict[str, str]]] = [("app.py", {}), (TRAIN, {}), (SESSIONS, {})]
    views = ("Family tree", "Versions")
    places += [(SESSIONS, {"view": view}) for view in views]
    places += [("pages/4_ONNX_export.py", {}), ("pages/5_Chat.py", {})]
    places += [(script, {"session": session}) for script, session in truth.shown]
    for script, address in places:
        page = AppTest.from_file(APP, default_timeout=60)
        if script != "app.py":
            page.switch_page(script)
        for name, value in address.items():
            page.query_params[name] = value
        page.run()
        assert not page.exception, script
        yield f"{script} {address}", lines(page)


def lines(page: AppTest) -> list[str]:
    kinds = ("title", "header", "subheader", "caption", "markdown", "info", "warning", "success", "error")
    said = [element.value for kind in kinds for element in getattr(page, kind)]
    said += [f"[button{' off' if button.disabled else ''}] {button.label}" for button in page.button]
    said += [chart.proto.alt for chart in page.get("plotly_chart")]
    said += [" | ".join(map(str, row)) for table in page.dataframe for row in table.value.to_numpy().tolist()]
    plain = (re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text).replace("\u2060", "") for text in said)
    return [line for text in plain for line in text.splitlines()]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_all_that_the_pages_say_of_a_state_is_true_of_it(state, workspace, tmp_path, monkeypatch):
    truth = state(workspace=workspace, tmp_path=tmp_path, monkeypatch=monkeypatch)
    wrong, everything, pressable = [], [], []
    for place, said in pages(truth):
        everything += said
        if "Chat" not in place:  # there, the button that makes the ONNX model only leads to where it is made
            pressable += [line for line in said if line.startswith("[button]")]
        for line in said:
            for claim in CLAIMS:
                for found in re.finditer(claim.words, line):
                    if not claim.is_true(truth, found[1] if found.re.groups else ""):
                        wrong.append(f"{place}: {line}")
    assert wrong == []
    text = "\n".join(everything)
    assert [words for words in truth.heard if not re.search(words, text)] == []
    if truth.view_only:
        leads = r"\[button\] (?:Look at it|Add examples|Use this folder)$"
        assert [line for line in pressable if not re.match(leads, line)] == []
