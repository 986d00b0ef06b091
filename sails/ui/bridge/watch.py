"""The watch on the bridge: a switch, what it watches, what it did last, and why it stopped."""

from __future__ import annotations

import streamlit as st

from sails import system
from sails.errors import RequestError
from sails.jobs import watch
from sails.jobs.watch import WatchState
from sails.models import Workspace
from sails.sessions import checked_settings, option
from sails.training.plan import read_learning_rate
from sails.ui import text
from sails.ui.frame import link, show_errors, stop_on_error
from sails.ui.text import plain
from sails.ui.widgets import change_button, choice

REFRESH_SECONDS = 3
CORRECTIONS, FILE = "Approved corrections from the chat", "A file of conversations"
SIGNS = {
    "watching": ":material/visibility:",
    "starting": ":material/hourglass_empty:",
    "ended": "⚠️",
    "stopped": "⏹️",
    "off": ":material/radio_button_unchecked:",
}


def watch_panel(workspace: Workspace) -> None:
    """Draw the switch, what is watched and what it did last; what a living watch does appears by itself."""
    with show_errors():
        state = watch.watch_state(workspace)
        # As it was when the page was opened: else switching would open and close it under the mouse.
        opened = st.session_state.setdefault("watch_opened", state.on)
        with st.expander("Automatic training", icon=":material/autorenew:", expanded=opened):
            st.markdown(
                "Switched on, it trains without being asked: as soon as enough approved examples have come "
                "together, a training is queued, and the model is checked, published and exported. A model "
                "that forgot something is held back, and you decide."
            )
            refresh = REFRESH_SECONDS if state.on else None
            st.fragment(_standing, run_every=refresh)(workspace, _looks(workspace))
            st.subheader("What it watches, and how it teaches", anchor=False)
            _order(workspace, state)


def _looks(workspace: Workspace) -> tuple[object, ...]:
    """What the rest of the page depends on, too."""
    latest = [
        (batch.session, batch.outcome, record and record.status.state)
        for _, batch, record in watch.latest_lesson(workspace, 1)
    ]
    return watch.watch_state(workspace).on, watch.is_alive(workspace), latest


def _standing(workspace: Workspace, before: tuple[object, ...]) -> None:
    with stop_on_error():
        if _looks(workspace) != before:
            st.rerun()
        state, alive = watch.watch_state(workspace), watch.is_alive(workspace)
        stands, sentence = watch.standing(state, alive=alive, starting=watch.is_starting(workspace))
        with st.container(border=True, gap="small"):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"{SIGNS[stands]} {plain(sentence)}", width="stretch")
                _button(workspace, state, stands)
            for note in state.notes if state.on else ():
                st.markdown(f":small[{plain(note)}]")
            if state.on and state.failures:
                st.warning(plain(f"The last try failed. {state.failures[-1]}"))
            _batches(workspace)


def _button(workspace: Workspace, state: WatchState, stands: str) -> None:
    """The one thing that may be done with it as it stands."""
    label, icon = {
        "watching": ("Switch it off", "pause"),
        "starting": ("Switch it off", "pause"),
        "ended": ("Start it again", "play_arrow"),
        "stopped": ("Switch it on again", "play_arrow"),
        "off": ("Switch it on", "play_arrow"),
    }[stands]
    if change_button(label, icon, "watch-switch"):
        with show_errors() as failed:
            if stands in ("watching", "starting"):
                watch.switch_off(workspace)
            else:
                watch.switch_on(workspace, state.order)
        if not failed:
            st.rerun()


def _batches(workspace: Workspace) -> None:
    for number, batch, record in watch.latest_lesson(workspace):
        sign, sentence = watch.what_became(batch, record)
        with st.container(horizontal=True, vertical_alignment="center"):
            when = text.moment(batch.begun, st.context.timezone)
            st.markdown(
                f"{text.symbol(sign)} {plain(sentence)}  \n:small[Batch {number}, {plain(when)}]",
                width="stretch",
            )
            if record:
                link("Sessions", "Look at it", session=record.spec.id)


# --- what it watches ------------------------------------------------------------------------------


def _order(workspace: Workspace, state: WatchState) -> None:
    """What to watch and how to teach; a living watch takes it over, else it is switched on with it."""
    current, view_only = state.order, system.view_only()
    root = system.allowed_root(Workspace.usual_root())
    with st.form("watch-order", border=False):
        source = st.radio(
            "What it watches", [CORRECTIONS, FILE], index=0 if current.file is None else 1, disabled=view_only
        )
        file = st.text_input(
            "The file, if it is one",
            value=str(current.file or ""),
            placeholder="talks.jsonl",
            help=f"Only for a file of conversations. It must lie in {root}. Where its rows say `accepted`, "
            "only those that are true are taught.",
            disabled=view_only,
        )
        left, right = st.columns(2)
        at_least = left.number_input(
            "Examples that must come together",
            1,
            100_000,
            current.at_least,
            help="Few examples must be repeated often to stick, and that can change other answers, too: it "
            "is better to teach many at once.",
            disabled=view_only,
        )
        every = right.number_input(
            "Check every (seconds)", 1, 86_400, max(1, round(current.every)), disabled=view_only
        )
        with left:
            preset = choice(
                "preset", value=current.settings.preset, label="How thoroughly it learns", disabled=view_only
            )
        rate = right.text_input(
            option("learning_rate").title,
            value="" if current.settings.learning_rate is None else f"{current.settings.learning_rate:g}",
            placeholder="automatic",
            disabled=view_only,
        )
        share_of_old = option("replay_share")
        share = left.slider(
            share_of_old.title,
            0.0,
            share_of_old.high,
            current.settings.replay_share,
            0.05,
            format="percent",
            disabled=view_only,
        )
        label = "Watch this from now on" if state.on else "Switch it on with this"
        wanted = change_button(label, key="watch-order-send", in_form=True)
    if wanted:
        with show_errors() as failed:
            path = None
            if source == FILE:
                if not file.strip():
                    raise RequestError("No file was named.", "Write its name, or watch the corrections.")
                path = system.inside(root, file)
            settings = checked_settings(
                preset=preset, learning_rate=read_learning_rate(rate), replay_share=share
            )
            order = watch.order_of(file=path, at_least=at_least, every=every, settings=settings)
            watch.switch_on(workspace, order)
        if not failed:
            st.rerun()
