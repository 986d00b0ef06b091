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
from pathlib import Path
from typing import NoReturn

import streamlit as st
from streamlit.elements.lib.mutable_expander_container import ExpanderContainer

from sails import jobs, system
from sails.errors import SailsError
from sails.models import Workspace, create_workspace, workspaces_in
from sails.system import fit
from sails.ui import exposure, sign_in
from sails.ui.text import code, plain
from sails.ui.who import name_first, name_popover

WIDTH = 1000  # pixels; beyond that, lines become hard to read
TOUR = "tour"  # in the address: the stop of the guided tour, see `sails.ui.tour`
A_ROLE = {"viewer": "a viewer", "trainer": "a trainer", "admin": "an admin"}
MAX_NAME = 20  # characters of a workspace's name that are shown

# Streamlit writes white on the accent colour in both themes; on the light one of the dark theme nobody can
# read that. Its own menu keeps a bar free at the top: here the bar lies over the navigation and lets clicks
# through. A narrow screen has one menu in place of six links.
STYLE = """<style>
[data-testid="stBaseButton-primary"]:enabled, [data-testid="stBaseButton-primaryFormSubmit"]:enabled,
[data-testid="stMultiSelect"] :is([data-tag], [data-tag] button) {
  color: light-dark(#ffffff, #10191d) !important;
}
[data-testid="stMainBlockContainer"] { padding-top: 0.25rem; }
[data-testid="stHeader"] { background: none; height: 3.25rem; min-height: 0; }
[data-testid="stHeader"], [data-testid="stHeader"] :not(button, button *) { pointer-events: none; }
[data-testid="stHeader"] button { background: light-dark(#ffffff, #10191d); }
.stMain h1 { padding: 0 0 0.5rem; }
:is([data-testid="stMarkdownContainer"], [data-testid="stCaptionContainer"]) :not(pre) > code {
  font-size: 0.875rem !important;
}
.st-key-frame { margin-bottom: -0.5rem; }
.st-key-frame [data-testid="stMarkdownContainer"] p { white-space: nowrap; }
.st-key-menu { display: none; }
@media (max-width: 900px) {
  .st-key-links { display: none; }
  .st-key-menu { display: flex; }
}
@media (max-width: 640px) {
  .st-key-frame { flex-wrap: nowrap; gap: 0.25rem; padding-right: 2.5rem; }
  .st-key-frame strong { display: none; }
  :is(.st-key-workspace, .st-key-who-popover, .st-key-person) p {
    max-width: 4rem; overflow: hidden; text-overflow: ellipsis;
  }
}
/* The bar that starts a training stays in view; a field reached by the keyboard is not left below it. */
[data-testid="stLayoutWrapper"]:has(> .st-key-start_bar) { position: sticky; bottom: 0; z-index: 50; }
.st-key-start_bar {
  padding: 0.75rem 0;
  border-top: 1px solid light-dark(#d3dfe2, #33444b);
  background: light-dark(#ffffff, #10191d);
}
.st-key-start_line { flex-wrap: nowrap; }
.stMain:has(.st-key-start_bar) { scroll-padding-bottom: 9rem; }
</style>"""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """One page of the navigation; `icon` is Streamlit's name of a Material symbol."""

    script: str  # relative to app.py
    title: str
    icon: str


PAGES = (
    Page("app.py", "Home", ":material/home:"),
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
    with st.container(horizontal_alignment="center"), st.container(width=WIDTH, gap="small"), stop_on_error():
        exposure.check_page()
        sign_in.ask_to_sign_in()
        st.query_params.update()  # tell the browser: a link within a page leaves its old address standing
        with st.container(key="frame", horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown("⛵ **MTN Sails**", width="content")
            with st.container(key="links", horizontal=True, vertical_alignment="center", width="content"):
                for page in PAGES:
                    st.page_link(page.script, label=page.title, icon=page.icon, query_params=_passed_on())
            titles = [page.title for page in PAGES]
            menu_icon = ":material/menu:"
            if chosen := st.menu_button(title, titles, key="menu", type="tertiary", icon=menu_icon):
                go(chosen)
            where = st.container(key="workspace", width="content")
            with st.container(width="content"):
                if sign_in.is_on():
                    _person_popover()
                else:
                    name_popover()
        usual = Workspace.usual_root()
        root = system.allowed_root(usual)
        if not workspace_query() and not _may_open(usual):
            _open_first(root)
        query = workspace_query()
        named = {name: system.inside(root, value, workspaces_in(root)) for name, value in query.items()}
        workspace = Workspace.open(named.get("workspace", usual), output_dir=named.get("model"))
        if workspace.root.exists():
            jobs.dispatch(workspace)  # after a crash, whoever looks keeps the queue moving
        with where:
            st.fragment(_workspace_switcher)(workspace)
        if system.view_only():
            st.info("You can look at everything here and change nothing.", icon=":material/visibility:")
        st.title(title, anchor=False)
        with name_first():
            yield workspace


def tab_title(title: str, state: str = "") -> None:
    """Name the browser's tab; `state` in front of it, for who looks at another tab: ✅ Done."""
    name = f"{state} · {title}" if state else title
    st.set_page_config(page_title=f"{name} · MTN Sails", page_icon="⛵", layout="wide")


# --- where a person is ----------------------------------------------------------------------------


def workspace_query() -> dict[str, str]:
    """Return what the address says of the workspace, empty for the usual one; every link passes it on."""
    return {name: st.query_params[name] for name in ("workspace", "model") if st.query_params.get(name)}


def _passed_on() -> dict[str, str]:
    """What every link takes along: the workspace, and the tour."""
    return workspace_query() | ({TOUR: st.query_params[TOUR]} if TOUR in st.query_params else {})


def _page(title: str) -> Page:
    return next(page for page in PAGES if page.title == title)


def link(title: str, label: str, *, icon: str | None = None, **parameters: str) -> None:
    """Draw a link to another page in the same workspace; `parameters` stand in the address as well."""
    page, query = _page(title), {**_passed_on(), **parameters}
    st.page_link(page.script, label=label, icon=icon or page.icon, query_params=query)


def go(title: str, **parameters: str) -> NoReturn:
    """Go to another page in the same workspace now; `parameters` stand in the address as well."""
    st.switch_page(_page(title).script, query_params={**_passed_on(), **parameters})


def _person_popover() -> None:
    """Draw who signed in, what they may do here, and the way out."""
    person = system.visitor()
    if person is None:
        return
    with st.popover(
        plain(fit(person.name, MAX_NAME)), icon=":material/person:", type="tertiary", key="person"
    ):
        role = person.role_in(person.workspace)
        st.markdown(f"You signed in as {code(person.name)}.")
        st.markdown(f"In this workspace you are {A_ROLE[role]}." if role else "You have no role here.")
        sign_in.sign_out_button()


# --- which workspace ------------------------------------------------------------------------------


def _may_open(folder: Path) -> bool:
    person = system.visitor()
    return person is None or person.role_in(folder) is not None


def _open_first(root: Path) -> None:
    """Open the first workspace that this person may, where the usual one is not theirs."""
    names = [str(path.relative_to(root)) for path in workspaces_in(root) if _may_open(path)]
    if names:
        st.query_params["workspace"] = names[0]


def _workspace_switcher(workspace: Workspace) -> None:
    """The workspace's name, and behind it: open another one, make a new one, and where this one lies."""
    # One of its own for each workspace, so that it is closed again when another one was opened.
    switcher = st.popover(
        plain(fit(workspace.root.name, MAX_NAME)),
        icon=":material/folder:",
        type="tertiary",
        key=f"switcher {workspace.root}",
        on_change="rerun",
    )
    if switcher.open:
        with switcher:
            _choose_workspace(workspace)


def _choose_workspace(workspace: Workspace) -> None:
    root = system.allowed_root(Workspace.usual_root())
    names = [str(path.relative_to(root)) for path in workspaces_in(root) if _may_open(path)]
    current = str(workspace.root.relative_to(root)) if workspace.root.is_relative_to(root) else None
    names = names if current is None or current in names else [current, *names]
    chosen = st.selectbox("Workspace", names, names.index(current) if current else None, key="open_workspace")
    if chosen and chosen != current:
        _open_workspace(workspace=chosen)
    with st.form("make_workspace", border=False):
        new = st.text_input("Make a new workspace", placeholder="its name", key="new_workspace")
        wanted = st.form_submit_button("Make it", disabled=system.view_only() or not system.is_admin())
    if wanted:
        with show_errors() as failed:
            created = create_workspace(root, new)
        if not failed:
            _open_workspace(workspace=str(created.relative_to(root)))
    with st.expander("Where it lies", icon=":material/folder_open:"):
        st.markdown(f"Everything of one model lies in one folder, its workspace: {code(workspace.root)}")
        if not workspace.root.exists():
            st.markdown("Nothing is here yet; the folder is made when something is added.")
        st.markdown(f"Others may lie anywhere in {code(root)}.")
        with st.form("choose_model_folder", border=False):
            model = st.text_input(
                "Folder of the trained model",
                value=workspace_query().get("model", ""),
                placeholder="trained_model in the workspace",
                help="Only when it lies elsewhere. Empty: the workspace's own.",
                key="model_folder",
            )
            wanted = st.form_submit_button("Use this folder")
    if wanted:
        with show_errors() as failed:
            if model.strip():
                Workspace.open(workspace.root, output_dir=system.inside(root, model))
        if not failed:
            _open_workspace(workspace=workspace_query().get("workspace", ""), model=model.strip())


def go_to_workspace(name: str) -> NoReturn:
    """Open another workspace on this page now, by its name inside the folder that holds them."""
    _open_workspace(workspace=name)


def _open_workspace(**parts: str) -> NoReturn:
    st.query_params.from_dict({name: value for name, value in parts.items() if value})
    st.rerun()


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
