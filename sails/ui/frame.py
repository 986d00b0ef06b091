"""What every page stands in: title, navigation, workspace, and errors as sentences.

    with frame("Bridge") as workspace:
        ...

Every page opens with it, because a deep link on a fresh server runs that page's script and nothing else. To
add a page, add its line to `PAGES`.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import streamlit as st

from sails.errors import SailsError
from sails.launchers import local
from sails.ui.words import code, plain
from sails.workspace import Workspace

WIDTH = 1000  # pixels; beyond that, lines become hard to read

log = logging.getLogger("sails.ui")


@dataclass(frozen=True)
class Page:
    script: str  # relative to app.py
    title: str
    icon: str


PAGES = (Page("app.py", "Bridge", ":material/explore:"),)


@contextmanager
def frame(title: str) -> Iterator[Workspace]:
    """Draw what all pages have in common and give the workspace; whatever fails inside is told in words."""
    st.set_page_config(page_title=f"{title} · MTN Sails", page_icon="⛵", layout="wide")
    with st.container(horizontal_alignment="center"), st.container(width=WIDTH), in_words():
        _header()
        workspace = Workspace.open()
        if workspace.root.exists():
            local.dispatch(workspace)  # after a crash, whoever looks keeps the queue moving
        st.caption(f"Workspace: {code(workspace.root)}")
        st.title(title, anchor=False)
        yield workspace


def _header() -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.markdown("⛵ **MTN Sails**", width="content")
        if len(PAGES) > 1:  # without a pages/ folder, streamlit refuses even the link to app.py
            for page in PAGES:
                st.page_link(page.script, label=page.title, icon=page.icon)


@contextmanager
def in_words() -> Iterator[None]:
    """Show an error as a sentence with a remedy; one nobody foresaw goes to the log under a short code."""
    try:
        yield
        return
    except SailsError as error:
        show_error(str(error), error.remedy)
    except OSError as error:
        log.warning("cannot read or write: %s", error)
        what = error.filename or "A file"
        show_error(f"{what} cannot be used: {error.strerror}.", "Check that it is there and may be opened.")
    except Exception as error:  # the last resort: a person must never meet a stack trace
        number = secrets.token_hex(3)
        log.error("error %s", number, exc_info=error)
        show_error(
            f"Something went wrong that should not have (code {number}).",
            "Reload the page; if it stays, the dashboard's log in the terminal says more under this code.",
        )
    st.stop()


def show_error(message: str, remedy: str = "") -> None:
    """One sentence for what happened and one for what to do."""
    st.error(plain(f"{message} {remedy}".strip()), icon=":material/error:")
