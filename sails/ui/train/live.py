"""A session or job as it happens: its steps, progress and time left, curves, answers, log, stop and resume.

    live_view(workspace, session)      # any session or job folder, running or ended

One part of the page refreshes itself, and only while something runs or waits; when the state changes, the
whole page is drawn anew. What all viewers see alike (curves as figures) is made once for all of them. Not
here: whether it worked (`sails.ui.outcome`), and how a session compares with others.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from functools import lru_cache

import streamlit as st

from sails import jobs, sessions
from sails.errors import SailsError
from sails.models import Workspace
from sails.sessions import (
    ProbeSpec,
    ReplaySpec,
    Samples,
    Session,
    SessionMonitor,
    Status,
    TrainSpec,
    monitor_of,
)
from sails.system import duration
from sails.training import plan
from sails.training.plan import TimeLeft, time_left
from sails.ui import onnx_status, text
from sails.ui.frame import go, lazy_expander, link, show_errors, stop_on_error, tab_title
from sails.ui.outcome import did_it_work
from sails.ui.text import code, plain
from sails.ui.train.live_charts import curves
from sails.ui.train.queue import REFRESH_SECONDS, queue, queue_position
from sails.ui.widgets import change_button

SILENT_SECONDS = 30  # a worker says that it lives every five
MAX_LINES = 25  # of the log

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


def live_view(workspace: Workspace, session: Session) -> None:
    """Draw the whole live view; it refreshes itself until the session has ended."""
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
            monitor_of(session).wait()
        _ended(workspace, record)
    refresh = REFRESH_SECONDS if status.state in ACTIVE else None
    st.fragment(_tick, run_every=refresh)(workspace, session, record.spec, status.state)


def _tick(workspace: Workspace, session: Session, spec: sessions.AnySpec, state: str) -> None:
    with stop_on_error():
        status = session.status()
        if status.state != state or not session.folder.exists():
            st.rerun()  # everything else on the page is different now
        monitor = monitor_of(session)
        monitor.update()
        # Each part has a slot, so that one which appears moves no other and takes nothing typed with it.
        slot = [st.container() for _ in range(7)]
        if state in ACTIVE:
            tab_title("Train", _tab(status))
            with slot[0]:
                _steps(workspace, spec, status)
                _progress(workspace, session, spec, status, monitor)
            with slot[1]:
                _stopping(workspace, session, spec, state)
            with slot[6]:
                queue(workspace, but=session.id)
        with slot[2]:
            for note in status.notes:
                st.markdown(f"ℹ️ {plain(note)}")
        with slot[3]:
            curves(monitor, at_once=state not in ACTIVE)
        with slot[4]:
            _answers(monitor, ended=state not in ACTIVE)
        with slot[5]:
            _log(session, monitor)


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
    current = phases.index(status.phase) if status.phase in phases else -1
    parts = []
    for number, phase in enumerate(phases):
        seconds = status.results.seconds.get(phase)
        if number < current:
            took = f" in {duration(seconds)}" if seconds is not None else ""
            parts.append(f"✅ {STEPS[phase]}: done{took}")
        elif number == current:
            parts.append(f"▶️ **{STEPS[phase]}: now**")
        else:
            parts.append(f"◻️ {STEPS[phase]}: {'next' if number == current + 1 else 'later'}")
    st.markdown(" \u2003 ".join(part.replace(" ", "\u00a0") for part in parts))


def _progress(
    workspace: Workspace, session: Session, spec: sessions.AnySpec, status: Status, monitor: SessionMonitor
) -> None:
    if status.state == "queued":
        st.markdown(f"⏳ {queue_position(workspace, session)}")
        jobs.dispatch(workspace)  # whoever looks keeps the queue moving
        return
    st.progress(min(max(status.progress, 0.0), 1.0), plain(text.progress(status)))
    now = datetime.now(UTC)
    running = (now - status.started).total_seconds() if status.started else 0.0
    st.markdown(
        f"**{_left(workspace, session, spec, status, monitor, now)}** It has run for {duration(running)}."
    )
    if status.heartbeat and (silent := (now - status.heartbeat).total_seconds()) > SILENT_SECONDS:
        st.warning(
            f"Nothing was heard from it for {duration(silent)}. It may be waiting for a busy machine.",
            icon=":material/hourglass_top:",
        )


def _left(
    workspace: Workspace,
    session: Session,
    spec: sessions.AnySpec,
    status: Status,
    monitor: SessionMonitor,
    now: datetime,
) -> str:
    if isinstance(spec, ReplaySpec):
        gone = (now - status.started).total_seconds() if status.started else 0.0
        left = TimeLeft(max(spec.seconds - gone, 0.0))
    else:
        usual = _usual_seconds(workspace, session, status.phase)
        left = time_left(
            status, _phases(workspace, spec), steps=monitor.steps_since_resume, seen=usual, now=now
        )
    if left.seconds is None:
        return "How long it still takes is not known yet."
    until_known = isinstance(spec, TrainSpec) and spec.settings.until_known
    if until_known and status.phase == "train":
        return f"About {duration(left.seconds)} left at most: it ends as soon as it knows the lesson."
    if not left.unknown:
        return f"About {duration(left.seconds)} left."
    later = ", ".join(STEPS[phase].lower() for phase in left.unknown)
    known = duration(left.seconds)
    return f"About {known} left for this step. How long the rest takes ({later}) shows after the first time."


@lru_cache(maxsize=64)
def _usual_seconds(workspace: Workspace, session: Session, _phase: str) -> dict[str, float]:
    """What each phase usually takes; looked up once for each phase of a session."""
    return plan.usual_seconds(workspace, session.status())


# --- stop, cancel ---------------------------------------------------------------------------------


def _stopping(workspace: Workspace, session: Session, spec: sessions.AnySpec, state: str) -> None:
    """Stop what runs, or cancel what waits; asks once."""
    if session.stop_requested():
        st.markdown("⏹️ It was asked to stop, and ends within a few steps.")
        return
    verb = "Stop" if state == "running" else "Cancel"
    asked = f"asked_{session.id}"
    if not st.session_state.get(asked):
        if change_button(f"{verb} …", "stop_circle", f"stop_{session.id}"):
            st.session_state[asked] = True
            st.rerun()
        return
    with st.container(border=True):
        st.markdown(_question(spec, state))
        with st.container(horizontal=True):
            if st.button(f"Yes, {verb.lower()} it", key=f"yes_{session.id}", type="primary"):
                with show_errors():
                    jobs.launcher_for(session).stop(workspace, session)
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


# --- answers --------------------------------------------------------------------------------------


def _answers(monitor: SessionMonitor, ended: bool) -> None:
    """What it answers to a few questions: at first and now, and folded away all in between."""
    samples = monitor.samples
    if not samples:
        return
    first, latest = samples[0], samples[-1]
    if "after" not in monitor.answers:  # else what it answers in the end stands above
        st.subheader("What it answered on the way" if ended else "What it answers meanwhile", anchor=False)
        for number, question in enumerate(latest.prompts):
            with st.container(border=True, gap="xsmall"):
                st.markdown(f"**{plain(question)}**")
                before, now = st.columns(2)
                before.caption("Before the lesson")
                before.markdown(text.answer(_text(first, number)))
                if latest is not first:
                    now.caption(f"After step {latest.step}")
                    now.markdown(text.answer(_text(latest, number)))
                elif not ended:
                    now.caption("What it answers in between comes here after a while.")
    if len(samples) > 2:
        folded = lazy_expander("All answers on the way", ":material/timeline:", "live_between")
        if folded.open:
            for number, question in enumerate(latest.prompts):
                folded.markdown(f"**{plain(question)}**")
                lines = (f"- Step {sample.step}: {plain(_text(sample, number))}" for sample in samples)
                folded.markdown("\n".join(lines))


def _text(sample: Samples, number: int) -> str:
    return sample.answers[number] if number < len(sample.answers) else ""


# --- log ------------------------------------------------------------------------------------------


def _log(session: Session, monitor: SessionMonitor) -> None:
    folded = lazy_expander("Log", ":material/article:", "live_log")
    if not folded.open:
        return
    with folded:
        wanted = st.text_input(
            "Search in the log", key=f"log_{session.id}", placeholder="a word; empty shows the last lines"
        )
        lines = monitor.log
        if wanted:
            lines = tuple(line for line in lines if wanted.casefold() in line.casefold())
            label = "1 line holds it" if len(lines) == 1 else f"{len(lines):,} lines hold it"
            st.caption(label + (f"; the last {MAX_LINES}:" if len(lines) > MAX_LINES else "."))
        st.caption("The newest line stands at the top.")
        newest = "\n".join(reversed(lines[-MAX_LINES:]))
        st.code(newest or "(nothing)", language=None, wrap_lines=True)


# --- how it ended ---------------------------------------------------------------------------------


def _ended(workspace: Workspace, record: sessions.SessionRecord) -> None:
    """How it ended in words, the one next step, and whether it worked."""
    status = record.status
    sign, sentence = text.outcome(record)
    if isinstance(record.spec, ReplaySpec) and status.state == "succeeded":
        st.markdown("The replay is over. This is how the recorded session ended:")
        with contextlib.suppress(SailsError):  # the recording is gone by now
            recorded = sessions.find(workspace, record.spec.session)
            sign, sentence = text.outcome(sessions.record(recorded))
    st.markdown(f"{sign} **{plain(sentence)}**")
    if status.failure and status.failure.log_tail:
        with st.expander("The last lines of its log", icon=":material/article:"):
            st.code("\n".join(status.failure.log_tail), language=None, wrap_lines=True)
    if facts := text.describe_learning(record):
        st.caption(plain(facts))
    with st.container(horizontal=True, vertical_alignment="center"):
        _next_step(workspace, record)
    did_it_work(record)
    st.caption(f"Session {code(record.session.id)}")


def _next_step(workspace: Workspace, record: sessions.SessionRecord) -> None:
    status, spec = record.status, record.spec
    if isinstance(spec, ReplaySpec):
        link("Sessions", "The recorded session", session=spec.session)
        return
    if isinstance(spec, sessions.ExportSpec):
        link("ONNX export", "The ONNX model and its certificate", job=spec.id)
        return
    if isinstance(spec, ProbeSpec):
        link("Train", "What was measured, and the training", dataset=spec.dataset)
        return
    if status.state in sessions.RESUMABLE:
        if change_button("Resume it", "play_arrow", f"resume_{spec.id}", type="primary"):
            with show_errors() as failed:
                sessions.resume(workspace, record.session)
                jobs.dispatch(workspace)
            if not failed:
                st.rerun()
    elif status.verdict == "held":
        if st.button("Decide what becomes of it", type="primary", key="live_next", icon=":material/balance:"):
            go("Sessions", session=spec.id)
    elif status.state == "failed":
        label = "Train again with other choices"
        if st.button(label, type="primary", key="live_next", icon=":material/school:"):
            go("Train", dataset=spec.dataset)
    elif status.verdict == "published" and workspace.situation().onnx.stale is False:
        if st.button("Try it in the chat", type="primary", key="live_next", icon=":material/arrow_forward:"):
            go("Chat")
    elif status.verdict == "published":
        label = "Make the ONNX model, to chat with it"
        if change_button(label, "arrow_forward", "live_next", type="primary"):
            onnx_status.start_export(workspace)
    link("Sessions", "Everything about this session", session=spec.id)
    if status.state != "failed":
        link("Train", "Another training")
