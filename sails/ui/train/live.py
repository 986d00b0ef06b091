"""A session or job as it happens: its steps, progress and time left, curves, answers, log, stop and resume.

    live.view(workspace, session)      # any session or job folder, running or ended
    live.now(workspace)                # what runs and what waits, in a few lines

One part of the page refreshes itself, and only while something runs or waits; when the state changes, the
whole page is drawn anew. What all viewers see alike (curves as figures) is made once for all of them. Not
here: whether it worked (`sails.ui.outcome`), and how a session compares with others.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import plotly.graph_objects as go
import streamlit as st
from streamlit.elements.lib.mutable_expander_container import ExpanderContainer

from sails import sessions
from sails.errors import SailsError
from sails.jobs import launcher as local
from sails.models.workspace import Workspace
from sails.sessions import ExportSpec, ProbeSpec, ReplaySpec, Session, Status, TrainSpec
from sails.sessions.monitor import Feed, Samples, feed_of
from sails.system import access
from sails.training.plan import forecast as foresight
from sails.training.plan import presets as planning
from sails.training.plan.presets import TimeLeft
from sails.ui import charts
from sails.ui import onnx_status as freshness
from sails.ui import text as words
from sails.ui.charts import Line
from sails.ui.frame import go as go_to
from sails.ui.frame import in_words, link, tab_title, told
from sails.ui.outcome import did_it_work
from sails.ui.text import code, literal, plain

REFRESH_SECONDS = 1.0
CHART_SECONDS = 3.0
SILENT_SECONDS = 30  # a worker says that it lives every five
LOG_TAIL = 25  # lines shown
LOSS_POINTS, SMALL_POINTS = 700, 100  # of the loss, and of the curves beside it: what a screen can show
AVERAGE_FROM = 30  # steps, before an average says more than the steps themselves

ACTIVE = ("queued", "running")
STEPS = {"prepare": "Prepare", "train": "Learn", "judge": "Judge", "publish": "Publish", "export": "Export"}
ENDED = {
    "published": "✅ Done",
    "held": "✋ Held",
    "discarded": "↩️ Discarded",
    "succeeded": "✅ Done",
    "failed": "❌ Failed",
    "stopped": "⏹️ Stopped",
    "interrupted": "⚠️ Interrupted",
}

# --- one session ----------------------------------------------------------------------------------


def view(workspace: Workspace, session: Session) -> None:
    """The whole live view; refreshes itself until the session has ended."""
    record = sessions.record(session)
    status = record.status
    st.header(plain(record.spec.name), anchor=False)
    if isinstance(record.spec, ProbeSpec):
        st.info("Its best learning speed is measured here; nothing is trained.", icon=":material/speed:")
    if isinstance(record.spec, ReplaySpec):
        st.info(
            "This is a replay of a recorded session: nothing is trained, and nothing changes.",
            icon=":material/replay:",
        )
    tab_title("Train", _tab(status))
    if status.state not in ACTIVE:
        with st.spinner("Reading what it wrote …"):  # of a long session, a few seconds the first time
            feed_of(session).wait()
        _ended(workspace, record)
    refresh = REFRESH_SECONDS if status.state in ACTIVE else None
    st.fragment(_tick, run_every=refresh)(workspace, session, record.spec, status.state)


def _tick(workspace: Workspace, session: Session, spec: sessions.AnySpec, state: str) -> None:
    with in_words():
        status = session.status()
        if status.state != state or not session.folder.exists():
            st.rerun()  # everything else on the page is different now
        feed = feed_of(session)
        feed.update()
        # Each part has its place, so that one which appears moves no other and takes nothing typed with it.
        place = [st.container() for _ in range(7)]
        if state in ACTIVE:
            tab_title("Train", _tab(status))
            with place[0]:
                _steps(workspace, spec, status)
                _progress(workspace, session, spec, status, feed)
            with place[1]:
                _stopping(workspace, session, spec, state)
            with place[6]:
                _queue(workspace, but=session.id)
        with place[2]:
            _notes(status)
        with place[3]:
            _curves(feed, at_once=state not in ACTIVE)
        with place[4]:
            _answers(feed, ended=state not in ACTIVE)
        with place[5]:
            _log(session, feed)


def _tab(status: Status) -> str:
    if status.state == "queued":
        return "⏳ Waiting"
    if status.state == "running":
        if status.phase == "train" and status.total_steps:
            return f"▶ {status.step / status.total_steps:.0%}".replace("%", "\u00a0%")
        return f"▶ {STEPS.get(status.phase, 'Running')}"
    return ENDED[status.verdict or status.state]


# --- how far it is --------------------------------------------------------------------------------


def _phases(workspace: Workspace, spec: sessions.AnySpec) -> tuple[str, ...]:
    """The steps that a session of this kind goes through."""
    if isinstance(spec, ReplaySpec):
        try:
            spec = sessions.find(workspace, spec.session).spec()
        except SailsError:  # the recording is gone by now
            return ("prepare", "train", "judge", "publish")
    if isinstance(spec, TrainSpec):
        return ("prepare", "train", "judge", "publish", *(["export"] if spec.export else []))
    return ("prepare",) if isinstance(spec, ProbeSpec) else ("prepare", "export")


def _steps(workspace: Workspace, spec: sessions.AnySpec, status: Status) -> None:
    """The pipeline in one line: what is done, what happens now, what comes next."""
    phases = _phases(workspace, spec)
    place = phases.index(status.phase) if status.phase in phases else -1
    parts = []
    for number, phase in enumerate(phases):
        seconds = status.results.seconds.get(phase)
        if number < place:
            took = f" in {words.duration(seconds)}" if seconds is not None else ""
            parts.append(f"✅ {STEPS[phase]}: done{took}")
        elif number == place:
            parts.append(f"▶️ **{STEPS[phase]}: now**")
        else:
            parts.append(f"◻️ {STEPS[phase]}: {'next' if number == place + 1 else 'later'}")
    st.markdown(" \u2003 ".join(part.replace(" ", "\u00a0") for part in parts))


def _progress(
    workspace: Workspace, session: Session, spec: sessions.AnySpec, status: Status, feed: Feed
) -> None:
    if status.state == "queued":
        st.markdown(f"⏳ {_place_in_queue(workspace, session)}")
        local.dispatch(workspace)  # whoever looks keeps the queue moving
        return
    st.progress(min(max(status.progress, 0.0), 1.0), plain(words.progress(status)))
    now = datetime.now(UTC)
    running = (now - status.started).total_seconds() if status.started else 0.0
    st.markdown(
        f"**{_left(workspace, session, spec, status, feed, now)}** It has run for {words.duration(running)}."
    )
    if status.heartbeat and (silent := (now - status.heartbeat).total_seconds()) > SILENT_SECONDS:
        st.warning(
            f"Nothing was heard from it for {words.duration(silent)}. It may be waiting for a busy machine.",
            icon=":material/hourglass_top:",
        )


def _place_in_queue(workspace: Workspace, session: Session) -> str:
    ids = [entry.id for entry in sessions.waiting(workspace)]
    if session.id not in ids:
        return "It is about to start."
    ahead = ids.index(session.id) + (sessions.running(workspace) is not None)
    if ahead == 0:
        return "It is about to start."
    return f"It waits for its turn: {ahead} {'training is' if ahead == 1 else 'trainings are'} before it."


def _left(
    workspace: Workspace, session: Session, spec: sessions.AnySpec, status: Status, feed: Feed, now: datetime
) -> str:
    if isinstance(spec, ReplaySpec):
        gone = (now - status.started).total_seconds() if status.started else 0.0
        left = TimeLeft(max(spec.seconds - gone, 0.0))
    else:
        seen = _usual_seconds(workspace, session, status.phase)
        left = planning.time_left(
            status, _phases(workspace, spec), steps=feed.steps_since_resume, seen=seen, now=now
        )
    if left.seconds is None:
        return "How long it still takes is not known yet."
    if not left.unknown:
        return f"About {words.duration(left.seconds)} left."
    later = ", ".join(STEPS[phase].lower() for phase in left.unknown)
    known = words.duration(left.seconds)
    return f"About {known} left for this step. How long the rest takes ({later}) shows after the first time."


@lru_cache(maxsize=64)
def _usual_seconds(workspace: Workspace, session: Session, _phase: str) -> dict[str, float]:
    """What each phase usually takes; looked up once for each phase of a session."""
    return foresight.usual_seconds(workspace, session.status())


# --- stop, resume, cancel -------------------------------------------------------------------------


def _stopping(workspace: Workspace, session: Session, spec: sessions.AnySpec, state: str) -> None:
    """Stop what runs, or cancel what waits; asks once."""
    if session.stop_requested():
        st.markdown("⏹️ It was asked to stop, and ends after the step that it is in.")
        return
    verb = "Stop" if state == "running" else "Cancel"
    asked = f"asked_{session.id}"
    if not st.session_state.get(asked):
        if st.button(
            f"{verb} …", key=f"stop_{session.id}", icon=":material/stop_circle:", disabled=access.view_only()
        ):
            st.session_state[asked] = True
            st.rerun()
        return
    with st.container(border=True):
        st.markdown(_question(spec, state))
        with st.container(horizontal=True):
            if st.button(f"Yes, {verb.lower()} it", key=f"yes_{session.id}", type="primary"):
                with told():
                    sessions.stop(workspace, session)
                st.session_state[asked] = False
                st.rerun()
            if st.button("No, go on", key=f"no_{session.id}"):
                st.session_state[asked] = False
                st.rerun()


def _question(spec: sessions.AnySpec, state: str) -> str:
    if not isinstance(spec, TrainSpec):
        return "Stop it? Nothing that you have is changed by that; it can be started again."
    if state == "running":
        return (
            "Stop it? What it learned so far is kept, and it can be resumed later. The current model stays."
        )
    return "Take it out of the queue? Nothing is lost; it can be put back later."


def resume_button(workspace: Workspace, session: Session) -> None:
    """Goes on from the last checkpoint; for sessions that were stopped or interrupted."""
    if st.button(
        "Resume it",
        type="primary",
        icon=":material/play_arrow:",
        key=f"resume_{session.id}",
        disabled=access.view_only(),
    ):
        with told() as failed:
            sessions.resume(workspace, session)
            local.dispatch(workspace)
        if not failed:
            st.rerun()


# --- curves ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Figures:
    version: int
    made: float  # seconds on the machine's own clock
    loss: go.Figure
    loss_alt: str
    rate: go.Figure
    speed: go.Figure


_made: weakref.WeakKeyDictionary[Feed, _Figures] = weakref.WeakKeyDictionary()


def _figures(feed: Feed, at_once: bool) -> _Figures:
    """The charts of a feed as it is now, made once for all who look.

    While a session runs they may be a few seconds old: a chart that changes forgets where the mouse was.
    """
    version, now = feed.version, time.monotonic()
    made = _made.get(feed)
    if made is None or (made.version != version and (at_once or now - made.made > CHART_SECONDS)):
        small = [_small(feed, name) for name in ("learning_rate", "tokens_per_second")]
        made = _Figures(version, now, *_loss(feed), *small)
        _made[feed] = made
    return made


def _loss(feed: Feed) -> tuple[go.Figure, str]:
    steps, held_out = feed.curve("loss", LOSS_POINTS), feed.curve("held_out_loss", SMALL_POINTS)
    lines = []
    if feed.rows >= AVERAGE_FROM:
        average = feed.average("loss", parts=min(60, feed.rows // 5))
        lines.append(Line("average", average.x, average.y, width=4))
    lines.append(Line("each step", steps.x, steps.y, width=1, dash="solid"))
    if len(held_out):
        lines.append(Line("examples kept back", held_out.x, held_out.y, points=True, dash="dot"))
    alt = "No step has been made yet."
    if len(steps):
        alt = (
            f"Loss by step: {steps.y[0]:.2f} at step {steps.x[0]}, {steps.y[-1]:.2f} at step {steps.x[-1]}, "
            f"at its lowest {steps.y.min():.2f}."
        )
    if len(held_out):
        alt += f" On the examples kept back: {held_out.y[0]:.2f} at first, {held_out.y[-1]:.2f} now."
    return charts.lines(lines, "Step", "Loss"), alt


def _small(feed: Feed, name: str) -> go.Figure:
    curve = feed.curve(name, SMALL_POINTS)
    label = {"learning_rate": "Learning rate", "tokens_per_second": "Word pieces a second"}[name]
    return charts.lines([Line(label, curve.x, curve.y)], "Step", label, height=220)


def _curves(feed: Feed, at_once: bool) -> None:
    if not feed.rows:
        return
    st.subheader("How wrong it still is (loss)", anchor=False)
    st.caption(
        "The lower, the better. It jumps from step to step; what counts is where it goes. Where the dotted "
        "line (examples kept back) rises while the others fall, it learns by heart instead of understanding."
    )
    if feed.share_read < 1:
        st.caption(f"Reading what was written so far: {feed.share_read:.0%}")
    figures = _figures(feed, at_once)
    charts.draw(figures.loss, "live_loss", figures.loss_alt)
    folded = _folded("Learning rate and speed", ":material/speed:", "live_rates")
    if folded.open:
        left, right = folded.columns(2)
        rate, speed = (feed.last.get(name) for name in ("learning_rate", "tokens_per_second"))
        with left:
            st.caption("The learning rate rises at first, then falls to a tenth.")
            charts.draw(figures.rate, "live_rate", f"Learning rate by step, {rate} at the last one.")
        with right:
            st.caption("How many word pieces (tokens) it goes through in a second.")
            charts.draw(
                figures.speed, "live_speed", f"Word pieces a second by step, {speed} at the last one."
            )


# --- answers --------------------------------------------------------------------------------------


def _answers(feed: Feed, ended: bool) -> None:
    """What it answers to a few questions: at first and now, and folded away all in between."""
    samples = feed.samples
    if not samples:
        return
    first, latest = samples[0], samples[-1]
    if "after" not in feed.answers:  # else what it answers in the end stands above
        st.subheader("What it answered on the way" if ended else "What it answers meanwhile", anchor=False)
        _first_and_latest(first, latest, ended)
    if len(samples) > 2:
        folded = _folded("All answers on the way", ":material/timeline:", "live_between")
        if folded.open:
            for number, question in enumerate(latest.prompts):
                folded.markdown(f"**{plain(question)}**")
                lines = (f"- Step {one.step}: {plain(_text(one, number))}" for one in samples)
                folded.markdown("\n".join(lines))


def _first_and_latest(first: Samples, latest: Samples, ended: bool) -> None:
    for number, question in enumerate(latest.prompts):
        with st.container(border=True, gap="xsmall"):
            st.markdown(f"**{plain(question)}**")
            before, now = st.columns(2)
            with before:
                _answer("Before the lesson", first, number)
            with now:
                if latest is not first:
                    _answer(f"After step {latest.step}", latest, number)
                elif not ended:
                    st.caption("What it answers in between comes here after a while.")


def _answer(title: str, sample: Samples, number: int) -> None:
    st.caption(title)
    text = _text(sample, number)
    st.markdown(literal(text) if text.strip() else "*(no answer)*")


def _text(sample: Samples, number: int) -> str:
    return sample.answers[number] if number < len(sample.answers) else ""


# --- log and notes --------------------------------------------------------------------------------


def _notes(status: Status) -> None:
    for note in status.notes:
        st.markdown(f"ℹ️ {plain(note)}")


def _log(session: Session, feed: Feed) -> None:
    folded = _folded("Log", ":material/article:", "live_log")
    if not folded.open:
        return
    with folded:
        wanted = st.text_input(
            "Search in the log", key=f"log_{session.id}", placeholder="a word; empty shows the last lines"
        )
        lines = feed.log
        if wanted:
            lines = tuple(line for line in lines if wanted.casefold() in line.casefold())
            found = "1 line holds it" if len(lines) == 1 else f"{len(lines):,} lines hold it"
            st.caption(found + (f"; the last {LOG_TAIL}:" if len(lines) > LOG_TAIL else "."))
        st.caption("The newest line stands at the top.")
        newest = "\n".join(reversed(lines[-LOG_TAIL:]))
        st.code(newest or "(nothing)", language=None, wrap_lines=True)


def _folded(label: str, icon: str, key: str) -> ExpanderContainer:
    """A part that is sent only while it is open: a refresh stays small."""
    return st.expander(label, icon=icon, key=key, on_change="rerun")


# --- how it ended ---------------------------------------------------------------------------------


def _ended(workspace: Workspace, record: sessions.Record) -> None:
    """How it ended in words, the one next step, and whether it worked."""
    status = record.status
    sign, sentence = words.outcome(record)
    if isinstance(record.spec, ReplaySpec) and status.state == "succeeded":
        st.markdown("The replay is over. This is how the recorded session ended:")
        with contextlib.suppress(SailsError):  # the recording is gone by now
            recorded = sessions.find(workspace, record.spec.session)
            sign, sentence = words.outcome(sessions.record(recorded))
    st.markdown(f"{sign} **{plain(sentence)}**")
    if status.failure and status.failure.log_tail:
        with st.expander("The last lines of its log", icon=":material/article:"):
            st.code("\n".join(status.failure.log_tail), language=None, wrap_lines=True)
    if facts := words.learned(record):
        st.caption(plain(facts))
    with st.container(horizontal=True, vertical_alignment="center"):
        _next_step(workspace, record)
    did_it_work(record)
    st.caption(f"Session {code(record.session.id)}")


def _next_step(workspace: Workspace, record: sessions.Record) -> None:
    status, spec = record.status, record.spec
    if isinstance(spec, ReplaySpec):
        link("Sessions", "The recorded session", session=spec.session)
        return
    if isinstance(spec, ExportSpec):
        link("ONNX export", "The ONNX model and its certificate", job=spec.id)
        return
    if isinstance(spec, ProbeSpec):
        link("Train", "What was measured, and the training", dataset=spec.dataset)
        return
    if status.state in sessions.RESUMABLE:
        resume_button(workspace, record.session)
    elif status.verdict == "held":
        if st.button("Decide what becomes of it", type="primary", key="live_next", icon=":material/balance:"):
            go_to("Sessions", session=spec.id)
    elif status.state == "failed":
        label = "Train again with other choices"
        if st.button(label, type="primary", key="live_next", icon=":material/school:"):
            go_to("Train", dataset=spec.dataset)
    elif status.verdict == "published":
        fresh = workspace.situation().onnx.stale is False
        label = "Try it in the chat" if fresh else "Make the ONNX model, to chat with it"
        disabled = not fresh and access.view_only()
        if st.button(
            label, type="primary", key="live_next", icon=":material/arrow_forward:", disabled=disabled
        ):
            if fresh:
                go_to("Chat")
            freshness.start(workspace)
    link("Sessions", "Everything about this session", session=spec.id)
    if status.state != "failed":
        link("Train", "Another training")


# --- what runs and what waits ---------------------------------------------------------------------


def now(workspace: Workspace) -> None:
    """What runs, with a link to it, and what waits; draws nothing when there is neither."""
    running, queued = sessions.running(workspace), sessions.waiting(workspace)
    if running or queued:
        key = (running.spec.id if running else None, tuple(entry.id for entry in queued))
        st.fragment(_now, run_every=2 * REFRESH_SECONDS)(workspace, key)


def _now(workspace: Workspace, was: tuple[str | None, tuple[str, ...]]) -> None:
    with in_words():
        running, queued = sessions.running(workspace), sessions.waiting(workspace)
        if was != (running.spec.id if running else None, tuple(entry.id for entry in queued)):
            st.rerun()
        if running:
            with st.container(border=True):
                st.markdown(f"▶️ **{plain(running.spec.name)}** is running.")
                st.progress(
                    min(max(running.status.progress, 0.0), 1.0), plain(words.progress(running.status))
                )
                link("Train", "Watch it live", session=running.spec.id)
        _queue(workspace)


def _queue(workspace: Workspace, but: str = "") -> None:
    """Who waits, in order, each with a button to cancel it."""
    waiting = [entry.id for entry in sessions.waiting(workspace)]
    others = [one for one in waiting if one != but]
    if not others:
        return
    (st.subheader if but else st.header)("What waits", anchor=False)
    for one in others:
        session = Session(workspace.sessions / one)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"{waiting.index(one) + 1}. ⏳ {code(_name(session))}", width="stretch")
            if st.button("Cancel", key=f"cancel_{one}", disabled=access.view_only()):
                with told():
                    sessions.stop(workspace, session)
                st.rerun()


def _name(session: Session) -> str:
    try:
        return session.spec().name
    except SailsError:
        return session.id
