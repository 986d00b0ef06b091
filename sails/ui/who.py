"""The name that a person gave in this browser; it stands beside what is started, stopped and decided.

Without sign-in nobody checks it, and it may stay empty. It is asked for once in each browser, before the
first act that changes something. The browser keeps it in a cookie, so that it survives a reload and a new tab
and does not travel with an address that is passed on. Where people sign in (`sails.ui.sign_in`), their
e-mail address takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

import streamlit as st

from sails import system
from sails.models import Workspace
from sails.system import fit

COOKIE = "sails_who"
KEPT_SECONDS = 365 * 86_400
ABOUT = (
    "It stands beside what you start, stop and decide. This is no sign-in: nobody checks it, and it may stay "
    "empty."
)
# In the session state:
NAME = "who"  # the name, once it was given or changed in this tab
WAITING = "who-waiting"  # the act that waits for the name, and what is to be called before it goes on
GOES_ON = "who-goes-on"  # the act that waited and goes on in this run
FIELD, ANSWER = "who-field", "who-answer"
MAX_SHOWN = 12  # characters of it in the head of the page


def current_name() -> str:
    """Return the name that was given, empty where none was."""
    if NAME in st.session_state:
        return str(st.session_state[NAME])
    return system.clean_name(unquote(st.context.cookies.get(COOKIE, "")))


def remember(name: str) -> None:
    """Keep the name from now on, in this browser as well; empty: none is given."""
    st.session_state[NAME] = system.clean_name(name)


def name_popover() -> None:
    """Draw where the name is given and changed; nothing for who may only look."""
    if system.view_only():
        return
    if NAME in st.session_state and st.context.cookies.get(COOKIE) != quote(current_name(), safe=""):
        # In every run, for one that leads to another page at once may never be shown. What is quoted holds no
        # sign that would end the text.
        cookie = f"{COOKIE}={quote(current_name(), safe='')}; path=/; max-age={KEPT_SECONDS}; samesite=lax"
        st.html(f"<script>document.cookie = '{cookie}'</script>", unsafe_allow_javascript=True)
    label = fit(current_name(), MAX_SHOWN) or "You"
    with st.popover(label, icon=":material/person:", type="tertiary", key="who-popover"):
        st.text_input(
            "Your name",
            current_name(),
            system.LONGEST_WHO,
            key=FIELD,
            on_change=_changed,
            placeholder=system.name_of(""),
        )
        st.caption(ABOUT)


def _changed() -> None:
    remember(st.session_state[FIELD])


# --- asked once, before the first act -------------------------------------------------------------


def is_to_ask() -> bool:
    """Tell whether the next act is to ask for the name first: it never did in this browser.

    One that keeps no cookies would be asked every time, so it is not asked at all.
    """
    person, cookies = system.visitor(), st.context.cookies
    if (person and person.rules) or system.view_only():
        return False
    return bool(cookies) and COOKIE not in cookies and NAME not in st.session_state


def ask_before(act: str, then: Callable[[], None] | None) -> None:
    """Ask for the name when the page is drawn next; `act` goes on afterwards, after `then` was called."""
    st.session_state[WAITING] = (act, then)


def goes_on(act: str) -> bool:
    """Tell, once, whether this act waited for the name and goes on now."""
    if st.session_state.get(GOES_ON) != act:
        return False
    del st.session_state[GOES_ON]
    return True


@contextmanager
def name_first() -> Iterator[None]:
    """Draw the question where an act waits for the name; what goes on does so inside, or not at all."""
    if WAITING in st.session_state:
        _question()
    try:
        yield
    finally:
        st.session_state.pop(GOES_ON, None)


def _give_up() -> None:
    st.session_state.pop(WAITING, None)


@st.dialog("Who are you?", on_dismiss=_give_up)
def _question() -> None:
    if WAITING not in st.session_state:
        st.rerun()  # it was answered
    with st.form("who-first", border=False):
        st.text_input("Your name", key=ANSWER, max_chars=system.LONGEST_WHO, placeholder=system.name_of(""))
        st.caption(f"{ABOUT} You are asked only this once.")
        st.form_submit_button("Go on", on_click=_answered)


def _answered() -> None:
    remember(st.session_state[ANSWER])
    st.session_state[GOES_ON], then = st.session_state.pop(WAITING)
    if then:
        then()


def workspace_in_address() -> Path:
    """Return the folder of the workspace that the browser's address names, open to this person or not."""
    usual = Workspace.usual_root()
    try:
        return (
            system.allowed_root(usual) / (st.query_params.get("workspace", "").strip() or usual)
        ).resolve()
    except (OSError, ValueError, RuntimeError):  # a null character, a circle of links
        return usual
