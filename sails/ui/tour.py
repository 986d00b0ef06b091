"""The guided tour of the demo: four stops in two minutes, a card at the top of the page that each is about.

/?tour=1        leads to the first stop; where a tour is stands in the address, so that a reload keeps it
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import streamlit as st

from sails import jobs, sessions
from sails.models import Workspace
from sails.sessions import SessionRecord, TrainSpec, monitor_of
from sails.system import count
from sails.ui.frame import PAGES, TOUR, go, show_errors
from sails.ui.text import plain
from sails.ui.widgets import change_button

REPLAY_SECONDS = 30


@dataclass(frozen=True)
class Stop:
    """One stop: what it is about, the page, what to look at there (Markdown), and the rest of the address."""

    title: str
    page: str
    look: str
    query: dict[str, str] = field(default_factory=dict)
    replay: SessionRecord | None = None  # a training that can be watched from here


def start_tour(workspace: Workspace) -> None:
    """Go to the first stop."""
    if stops := _stops(workspace):
        _go(stops, 1)


def tour_card(workspace: Workspace, title: str) -> None:
    """Draw the card of the stop that the address names, on the page with this title; nothing without one."""
    if TOUR not in st.query_params:
        return
    if not sessions.is_demo(workspace):
        st.info("The tour leads through the demo. Start that with `make demo`.", icon=":material/tour:")
        return
    with show_errors():
        stops = _stops(workspace)
        named = st.query_params[TOUR]
        number = int(named) if named.isascii() and named.isdecimal() else 1
        number = min(max(number, 1), max(len(stops), 1))
        if stops and title == PAGES[0].title:
            _go(stops, number)  # the link that starts it
        if stops:
            _card(workspace, stops, number, title)


def _card(workspace: Workspace, stops: list[Stop], number: int, title: str) -> None:
    stop, is_here = stops[number - 1], title == stops[number - 1].page
    with st.container(border=True, gap="small"):
        st.caption(f"Tour, stop {number} of {len(stops)}")
        st.markdown(f"**{stop.title}**")
        if is_here:
            st.markdown(stop.look)
        with st.container(horizontal=True, gap="small"):
            if not is_here and st.button("Back to this stop", icon=":material/arrow_back:", key="tour-back"):
                _go(stops, number)
            if number < len(stops):
                label, arrow = f"Next: {stops[number].title}", ":material/arrow_forward:"
                if st.button(label, icon=arrow, type="primary", key="tour-next"):
                    _go(stops, number + 1)
            if stop.replay and is_here:
                label = f"Watch it learn ({REPLAY_SECONDS} s)"
                if change_button(label, "play_arrow", "tour-replay", by_name=False):
                    job = jobs.start_replay(workspace, stop.replay.session, REPLAY_SECONDS, from_start=False)
                    go("Train", session=job.id)
            st.button("End the tour", key="tour-end", type="tertiary", on_click=_end)


def _end() -> None:
    st.query_params.pop(TOUR, None)


def _go(stops: list[Stop], number: int) -> None:
    stop = stops[number - 1]
    go(stop.page, **stop.query, **{TOUR: str(number)})


# --- the stops ------------------------------------------------------------------------------------


def _stops(workspace: Workspace) -> list[Stop]:
    """The stops, each about a recorded session; one whose session was deleted is left out."""
    history = sessions.read_history(workspace)
    called = sessions.titles(history)
    records = [one for one in history if isinstance(one.spec, TrainSpec)]
    published = [one for one in records if one.status.verdict == "published"]
    held = [one for one in records if sessions.is_recorded_candidate(workspace, one.session)]
    certified = [one for one in published if one.status.results.certificates]
    makers: list[tuple[list[SessionRecord], Callable[[SessionRecord, str], Stop]]] = [
        (published[:1], _learn),
        (held[-1:], _forget),
        (published[-1:], _correct),
        (certified[-1:], _certify),
    ]
    return [make(found[0], called[found[0].session.id]) for found, make in makers if found]


def _learn(record: SessionRecord, called: str) -> Stop:
    taught = count(record.status.results.rows_taught, "example")
    return Stop(
        "It learns",
        "Sessions",
        f"*{plain(called)}* taught {taught}. Below, read what the model answered **before** and "
        "**after**: that is the real test of a lesson.",
        {"session": record.session.id},
        record,
    )


def _forget(record: SessionRecord, called: str) -> Stop:
    plan = record.status.plan
    times = plan.learning_rate / plan.automatic_learning_rate if plan else 1
    speed = f" at {times:.0f} times the automatic learning speed" if times >= 2 else ""
    return Stop(
        "It forgets, and is held back",
        "Sessions",
        f"*{plain(called)}* was taught{speed}. Afterwards, its model had lost too much of what it "
        "knew, so it was **held back**, and the one before it stayed. Read why below, then decide.",
        {"session": record.session.id},
    )


def _correct(record: SessionRecord, _: str) -> Stop:
    monitor = monitor_of(record.session)
    monitor.wait()
    wrong = [
        item.question
        for item in monitor.answers.get("after", ())
        if item.about == "taught" and item.expected and item.answer != item.expected
    ]
    ask = f"Ask: *{plain(wrong[0])}* Its answer is not what was taught." if wrong else "Ask it something."
    return Stop(
        "You correct it",
        "Chat",
        f"{ask} Press **Correct it** below the answer, and write what it should have said. It then waits on "
        "the page Data until somebody approves it, and can be taught.",
    )


def _certify(_: SessionRecord, called: str) -> Stop:
    return Stop(
        "It is certified",
        "ONNX export",
        f"After *{plain(called)}*, the model was made into an ONNX model, which answers fast. Each "
        "size was compared with its original: below are the **certificates**, as they were recorded.",
    )
