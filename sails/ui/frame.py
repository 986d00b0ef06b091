"""What every page stands in: title, navigation, workspace, and errors as sentences.

    with frame("Train") as workspace:
        ...

Every page opens with it, because a deep link on a fresh server runs that page's script and nothing else. To
add a page, add its line to `PAGES`. Which workspace a person looks at stands in the address (`?workspace=`,
`?model=`), so that it survives a reload, and two tabs may show two workspaces.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import streamlit as st
from streamlit.elements.lib.mutable_expander_container import ExpanderContainer

from sails import jobs, system
from sails.errors import SailsError
from sails.models import Workspace
from sails.ui.text import code, plain

WIDTH = 1000  # pixels; beyond that, lines become hard to read

# Streamlit writes white on the accent colour in both themes; on the light one of the dark theme nobody can
# read that.
STYLE = """<style>
[data-testid="stBaseButton-primary"]:enabled, [data-testid="stBaseButton-primaryFormSubmit"]:enabled,
[data-testid="stMultiSelect"] :is([data-tag], [data-tag] button) {
  color: light-dark(#ffffff, #10191d) !important;
}
</style>"""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """One page of the navigation; `icon` is Streamlit's name of a Material symbol."""

    script: str  # relative to app.py
    title: str
    icon: str


PAGES = (
    Page("app.py", "Bridge", ":material/explore:"),
    Page("pages/1_Data.py", "Data", ":material/library_books:"),
    Page("pages/2_Train.py", "Train", ":material/school:"),
    Page("pages/3_Sessions.py", "Sessions", ":material/history:"),
    Page("pages/4_ONNX_export.py", "ONNX export", ":material/package_2:"),
    Page("pages/5_Chat.py", "Chat", ":material/chat:"),
)


@contextmanager
def page_frame(title: str) -> Iterator[Workspace]:
    """Draw what all pages have in common and give the workspace; whatever fails inside is told in words."""
    tab_title(title)
    st.html(STYLE)
    with st.container(horizontal_alignment="center"), st.container(width=WIDTH), stop_on_error():
        st.query_params.update()  # tell the browser: a link within a page leaves its old address standing
        with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
            st.markdown("⛵ **MTN Sails**", width="content")
            for page in PAGES:
                st.page_link(page.script, label=page.title, icon=page.icon, query_params=workspace_query())
        usual = Workspace.open().root
        root = system.allowed_root(usual)
        named = {name: system.inside(root, value) for name, value in workspace_query().items()}
        workspace = Workspace.open(named.get("workspace", usual), output_dir=named.get("model"))
        missing = " (nothing is here yet; it is made when something is added)"
        if workspace.root.exists():
            jobs.dispatch(workspace)  # after a crash, whoever looks keeps the queue moving
            missing = ""
        st.caption(f"Workspace: {code(workspace.root)}{missing}")
        if system.view_only():
            st.info("You can look at everything here and change nothing.", icon=":material/visibility:")
        st.title(title, anchor=False)
        yield workspace


def tab_title(title: str, state: str = "") -> None:
    """Name the browser's tab; `state` in front of it, for who looks at another tab: ✅ Done."""
    name = f"{state} · {title}" if state else title
    st.set_page_config(page_title=f"{name} · MTN Sails", page_icon="⛵", layout="wide")


# --- where a person is ----------------------------------------------------------------------------


def workspace_query() -> dict[str, str]:
    """Return what the address says of the workspace, empty for the usual one; every link passes it on."""
    return {name: st.query_params[name] for name in ("workspace", "model") if st.query_params.get(name)}


def _page(title: str) -> Page:
    return next(page for page in PAGES if page.title == title)


def link(title: str, label: str, *, icon: str | None = None, **parameters: str) -> None:
    """Draw a link to another page in the same workspace; `parameters` stand in the address as well."""
    page, query = _page(title), {**workspace_query(), **parameters}
    st.page_link(page.script, label=label, icon=icon or page.icon, query_params=query)


def go(title: str, **parameters: str) -> NoReturn:
    """Go to another page in the same workspace now; `parameters` stand in the address as well."""
    st.switch_page(_page(title).script, query_params={**workspace_query(), **parameters})


# --- errors ---------------------------------------------------------------------------------------


@contextmanager
def stop_on_error() -> Iterator[None]:
    """Show an error as a sentence with a remedy; one nobody foresaw goes to the log under a short code.

    What stands behind it in the same block is not drawn. To let the rest of a page be drawn all the same,
    wrap only the part that may fail in `show_errors`.
    """
    with show_errors() as failed:
        yield
    if failed:
        st.stop()


@contextmanager
def show_errors(earlier: list[str] | None = None) -> Iterator[list[str]]:
    """Show an error as `stop_on_error` does, and let the page go on; gives the sentences that were shown.

    They join those in `earlier`, where that is given.
    """
    shown = [] if earlier is None else earlier
    try:
        yield shown
    except SailsError as error:
        shown.append(show_error(str(error), error.remedy))
    except OSError as error:
        log.warning("cannot read or write: %s", error)
        sentence = f"{error.filename or 'A file'} cannot be used: {error.strerror}."
        shown.append(show_error(sentence, "Check that it is there and may be opened."))
    except Exception as error:  # the last resort: a person must never meet a stack trace
        number = secrets.token_hex(3)
        log.error("error %s", number, exc_info=error)
        sentence = f"Something went wrong that should not have (code {number})."
        remedy = (
            "Reload the page; if it stays, the dashboard's log in the terminal says more under this code."
        )
        shown.append(show_error(sentence, remedy))


def show_error(message: str, remedy: str = "") -> str:
    """Draw one sentence for what happened and one for what to do; returns both."""
    sentence = f"{message} {remedy}".strip()
    st.error(plain(sentence), icon=":material/error:")
    return sentence


def lazy_expander(label: str, icon: str, key: str) -> ExpanderContainer:
    """Open a part that is sent only while it is open: a refresh stays small."""
    return st.expander(label, icon=icon, key=key, on_change="rerun")
