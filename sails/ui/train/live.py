"""A session or job as it happens: its steps, progress and time left, curves, answers, log, stop and resume.

    live_view(workspace, session)      # any session or job folder, running or ended

One part of the page refreshes itself, and only while something runs or waits; when the state changes, the
whole page is drawn anew. What all viewers see alike (curves as figures) is made once for all of them. Not
here: whether it worked (`sails.ui.outcome`), and how a session compares with others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

import streamlit as st

from sails import jobs, sessions
from sails.errors import SailsError
from sails.models import VARIANTS, Workspace
from sails.sessions import (
    PRESETS,
    ProbeSpec,
    ReplaySpec,
    Samples,
    Session,
    SessionMonitor,
    Status,
    TrainSpec,
    monitor_of,
)
from sails.system import Usage, duration, duration_range, listed
from sails.training import plan
from sails.training.plan import TimeLeft, time_left
from sails.ui import onnx_status, text
from sails.ui.frame import go, lazy_expander, link, show_errors, stop_on_error, tab_title
from sails.ui.outcome import did_it_work
from sails.ui.text import code, plain
from sails.ui.train.gauges import gauges, meter_for
from sails.ui.train.live_charts import curves
from sails.ui.train.notification import tell_when_done
from sails.ui.train.queue import REFRESH_SECONDS, queue, queue_position
from sails.ui.widgets import change_button

SILENT_SECONDS = 30  # a worker says that it lives every five
MAX_LINES = 25  # of the log
MAX_ASKED = 3  # questions that are shown before it has learned anything

ACTIVE = ("queued", "running")
STEPS = {"prepare": "Prepare", "train": "Learn", "judge": "Judge", "publish": "Publish", "export": "Export"}
NOT_PUBLISHED = {"held": "held back", "discarded": "discarded"}
ENDED_HERE = {
    "failed": (":red[:material/error:]", "failed here"),
    "stopped": (":gray[:material/stop_circle:]", "stopped here"),
    "interrupted": (":orange[:material/warning:]", "interrupted here"),
}
BUSY = 1.25  # times as long as alone, from which on the machine is called busy
ENDED = {
    "published": "✅ Done",
    "held": "✋ Held",
    "discarded": "Discarded",
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
    with st.container(horizontal=True, vertical_alignment="center"):
        called = sessions.title(workspace, session)
        st.header(plain(called), anchor=False, width="stretch")
        if not isinstance(record.spec, ReplaySpec):
            tell_when_done(session, called, status, _tab(status))
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
        monitor, trained = monitor_of(session), _trained(workspace, session, spec)
        monitor.update()
        # Each part has a slot, so that one which appears moves no other and takes nothing typed with it.
        slot = [st.container() for _ in range(7)]
        if state in ACTIVE:
            tab_title("Train", _tab(status))
            with slot[0]:
                _stepper(_phases(workspace, spec), status, trained.status().results.seconds)
                _progress(workspace, session, spec, status, monitor)
            with slot[1]:
                _stopping(workspace, session, spec, state)
            with slot[6]:
                queue(workspace, but=session.id)
        with slot[2]:
            _notes(status)
        with slot[3]:
            _answers(monitor, ended=state not in ACTIVE)
        with slot[4]:
            curves(trained, monitor, ended=state not in ACTIVE)
        with slot[5]:
            _log(session, monitor)


def _notes(status: Status) -> None:
    """What was noted on the way: warnings, and the rest, folded once it has ended."""
    told = status.state not in ACTIVE and status.verdict_reason  # stands above already
    notes = [note for note in status.notes if not (told and status.verdict_reason in note)]
    others = [note for note in notes if not note.startswith("⚠️")]
    for note in notes:
        if note not in others:
            st.markdown(plain(note))
    if not others:
        return
    folded = status.state not in ACTIVE
    with st.expander("Noted on the way", icon=":material/info:") if folded else st.container():
        for note in others:
            st.markdown(f":material/info: {plain(note)}")


def _trained(workspace: Workspace, session: Session, spec: sessions.AnySpec) -> Session:
    """The session that trained: of a replay the recorded one, as long as it is here."""
    if isinstance(spec, ReplaySpec):
        with contextlib.suppress(SailsError):
            return sessions.find(workspace, spec.session)
    return session


def _tab(status: Status) -> str:
    if status.state == "queued":
        return "Waiting"
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


def _stepper(phases: Sequence[str], status: Status, took: Mapping[str, float]) -> None:
    """The steps of the pipeline side by side: what is done, where it is or ended, what comes next.

    `took` are the seconds of each: of a replay those of the recorded session.
    """
    current = phases.index(status.phase) if status.phase in phases else -1
    if status.state == "succeeded":
        current = len(phases)
    with st.container(horizontal=True, gap="medium"):
        for number, phase in enumerate(phases):
            seconds = took.get(phase)
            if phase == "publish" and number < current and status.verdict in NOT_PUBLISHED:
                icon, how = ":orange[:material/front_hand:]", NOT_PUBLISHED[status.verdict]
            elif number < current:
                icon = ":green[:material/check_circle:]"
                how = f"took {duration(seconds)}" if seconds is not None else "done"
            elif number > current:
                icon = ":gray[:material/radio_button_unchecked:]"
                how = "next" if number == current + 1 and status.state in ACTIVE else "later"
                how = how if status.state in ACTIVE else "not reached"
            elif status.state == "running":
                icon, how = ":primary[:material/play_circle:]", "**now**"
            else:
                icon, how = ENDED_HERE.get(status.state, ENDED_HERE["stopped"])
            st.markdown(f"{icon} **{STEPS[phase]}**  \n:small[{how}]", width="content")


def _progress(
    workspace: Workspace, session: Session, spec: sessions.AnySpec, status: Status, monitor: SessionMonitor
) -> None:
    if status.state == "queued":
        st.markdown(f":material/hourglass_empty: {queue_position(workspace, session)}")
        if isinstance(spec, TrainSpec) and spec.plan:
            rate = sessions.describe_learning_rate(spec.plan)
            st.markdown(plain(f"{sessions.describe_plan(spec.plan)}. Learning rate: {rate}."))
        jobs.dispatch(workspace)  # whoever looks keeps the queue moving
        return
    st.progress(min(max(status.progress, 0.0), 1.0), plain(text.progress(status)))
    now = datetime.now(UTC)
    running = (now - status.started).total_seconds() if status.started else 0.0
    meter = None if isinstance(spec, ReplaySpec) else meter_for(status)
    usage = meter.read() if meter else None
    left = _left(workspace, session, spec, status, monitor, now)
    st.metric("Time left", _left_in_short(left).capitalize())
    st.caption(f"{_why_so_long(left, spec, status, usage)} It has run for {duration(running)}.")
    if usage:
        gauges(usage, status)
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
) -> TimeLeft:
    if isinstance(spec, ReplaySpec):
        gone = (now - status.started).total_seconds() if status.started else 0.0
        return TimeLeft(max(spec.seconds - gone, 0.0))
    known = None
    if isinstance(spec, TrainSpec) and spec.settings.until_known:
        known = plan.steps_to_know(monitor.rounds, PRESETS[spec.settings.preset])
    return time_left(
        status,
        _phases(workspace, spec),
        steps=monitor.steps_since_resume,
        seen=_usual_seconds(workspace, session, status.phase),
        now=now,
        known=known,
    )


def _left_in_short(left: TimeLeft, slowdown: float = 1.0) -> str:
    """The time that is left, divided by how much slower the machine is."""
    if left.seconds is None:
        return "Not known yet"
    if left.least is None:
        return f"about {duration(left.seconds / slowdown)}"
    return duration_range(left.least / slowdown, left.seconds / slowdown)


def _why_so_long(left: TimeLeft, spec: sessions.AnySpec, status: Status, usage: Usage | None) -> str:
    """What the time that is left rests on: the lesson, the steps of which nobody knows, and the machine."""
    if left.seconds is None:
        return "It is known after a few steps."
    said = []
    if isinstance(spec, TrainSpec) and spec.settings.until_known and status.phase == "train":
        at_most = "" if left.least is not None else " This is the most that it takes."
        said.append(f"It ends as soon as it knows the lesson.{at_most}")
    if left.unknown:
        later = listed([STEPS[phase].lower() for phase in left.unknown])
        said.append(f"How long it takes to {later} is known after the first time, and not counted here.")
    slowdown = usage.processors.slowdown if usage and usage.processors else 1.0
    if slowdown > BUSY:
        said.append(f"The machine is busy now; alone it would take {_left_in_short(left, slowdown)}.")
    return " ".join(said)


def time_left_in_words(workspace: Workspace, record: sessions.SessionRecord) -> str:
    """Say how long a running session still takes in a sentence, for other pages."""
    monitor = monitor_of(record.session)
    monitor.update()
    left = _left(workspace, record.session, record.spec, record.status, monitor, datetime.now(UTC))
    if left.seconds is None:
        return "How long it takes is known after a few steps."
    return f"{_left_in_short(left).capitalize()} left."


@lru_cache(maxsize=64)
def _usual_seconds(workspace: Workspace, session: Session, _phase: str) -> dict[str, float]:
    """What each phase usually takes; looked up once for each phase of a session."""
    return plan.usual_seconds(workspace, session.status())


# --- stop, cancel ---------------------------------------------------------------------------------


def _stopping(workspace: Workspace, session: Session, spec: sessions.AnySpec, state: str) -> None:
    """Stop what runs, or cancel what waits; asks once."""
    if session.stop_requested():
        st.markdown(
            ":material/stop_circle: It was asked to stop, and ends within a few steps; one that does "
            "not react is ended after two minutes, and one that hangs after ten."
        )
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
    samples, before = monitor.samples, monitor.answers.get("before", ())
    taught = {question.question: question.expected for question in before}
    if not samples and before and not ended:  # it has only been asked so far
        asked = before[:MAX_ASKED]
        questions = tuple(question.question for question in asked)
        samples = (Samples(0, questions, tuple(question.answer for question in asked)),)
    if not samples:
        return
    first, latest = samples[0], samples[-1]
    if not ended or "after" not in monitor.answers:  # else what it answers in the end stands above
        st.subheader("What it answered on the way" if ended else "What it answers", anchor=False)
        for number, question in enumerate(latest.prompts):
            with st.container(border=True, gap="xsmall"):
                st.markdown(f"**{plain(question)}**")
                columns = st.columns(3 if taught.get(question) else 2)
                columns[0].caption("Before the lesson")
                columns[0].markdown(text.answer(_text(first, number)))
                if latest is not first:
                    columns[1].caption(f"{'After' if ended else 'Now, after'} step {latest.step}")
                    columns[1].markdown(text.answer(_text(latest, number)))
                elif not ended:
                    columns[1].caption("Now")
                    columns[1].markdown(":gray[It is asked again after a while.]")
                if taught.get(question):
                    columns[2].caption("The answer that is taught")
                    columns[2].markdown(text.answer(taught[question] or ""))
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
        st.caption(f"Session {code(session.id)}")


# --- how it ended ---------------------------------------------------------------------------------


def _ended(workspace: Workspace, record: sessions.SessionRecord) -> None:
    """How it ended in words, the one next step, and whether it worked."""
    shown = record  # whose end is told
    if record.status.state == "succeeded":
        shown = sessions.record(_trained(workspace, record.session, record.spec))
    status = shown.status
    _stepper(_phases(workspace, shown.spec), status, status.results.seconds)
    if shown.session != record.session:
        st.markdown("The replay is over. This is how the recorded session ended:")
    sign, sentence = text.outcome(shown)
    st.markdown(f"{sign} **{plain(sentence)}**")
    if status.failure and status.failure.log_tail:
        with st.expander("The last lines of its log", icon=":material/article:"):
            st.code("\n".join(status.failure.log_tail), language=None, wrap_lines=True)
    if facts := text.describe_learning(shown):
        st.caption(plain(facts[:1].upper() + facts[1:]))
    with st.container(horizontal=True, vertical_alignment="center"):
        _next_step(workspace, record)
    if shown.session != record.session or not isinstance(record.spec, ReplaySpec):
        did_it_work(shown)


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
    if status.resumable:
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
    elif status.verdict == "published":
        _way_to_chat(workspace, status)
    link("Sessions", "Everything about this session", session=spec.id)
    if status.state != "failed":
        link("Train", "Another training")


def _way_to_chat(workspace: Workspace, status: Status) -> None:
    """Lead to where the model answers, as long as it is the current one."""
    situation = workspace.situation()
    if status.fingerprint != situation.trained.fingerprint:
        other = "Another model is the current one by now."
        st.markdown(other if situation.trained.complete else "Its model is not here.")
    elif situation.onnx.stale is False:
        if st.button("Try it in the chat", type="primary", key="live_next", icon=":material/arrow_forward:"):
            go("Chat")
    else:
        label = "Make the ONNX model, to chat with it"
        onnx_status.export_button(workspace, VARIANTS, label, "live_next", primary=True)
