"""Who uses the dashboard or a command, and what they may do: change things or only look, and where.

    SAILS_VIEW_ONLY=1   everything is shown and nothing is changed
    SAILS_WHO=NAME      the name that stands beside what is started, stopped and decided on the command line;
                        without it, the login name. In the dashboard, who signed in, or where there is no
                        sign-in the name that each browser was told.
    SAILS_ROOT=DIR      workspaces and model folders chosen in the browser must lie in DIR;
                        without it, in the folder that holds the usual workspace

Every function below the pages that changes something is an act, marked by `@changes`, and what such a
function stands on asks `require_changes`: a button that was drawn by mistake, or forged, changes nothing
either. What an act writes down says who made it: `actor()`. Without sign-in a name is what somebody said, not
what was proved.
"""

from __future__ import annotations

import functools
import getpass
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from sails.errors import AccessError, RequestError, SailsError, ViewOnlyError
from sails.system.audit import AUDIT, AuditLine, note
from sails.system.roles import ROLES, Role, Rules

VIEW_ONLY = "SAILS_VIEW_ONLY"
WHO = "SAILS_WHO"
LONGEST_WHO = 80  # characters of a name
SOMEONE = "someone in the browser"  # who gave no name
AUTOMATIC_TRAINING = "automatic training"
ROOT = "SAILS_ROOT"


P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Visitor:
    """Who visits the dashboard."""

    name: str  # where they signed in, the e-mail address that they proved
    address: str = ""  # of their computer
    email: str = ""
    groups: frozenset[str] = frozenset()
    signed_in: bool = False
    rules: Rules | None = None  # None where there is no sign-in: everybody may do everything
    workspace: Path | None = None  # the one that they look at

    def role_in(self, folder: Path | None) -> Role | None:
        """Return what they are in a folder, where there is sign-in; None where they may see nothing."""
        if self.rules is None:
            return "admin"
        return self.rules.role_of(self.email, self.groups, folder) if self.signed_in else None


def view_only() -> bool:
    """Tell whether who looks now may change nothing."""
    if os.environ.get(VIEW_ONLY, "") not in ("", "0"):
        return True
    who = visitor()
    return who is not None and who.role_in(who.workspace) in (None, "viewer")


def is_admin() -> bool:
    """Tell whether who looks now may do what only an admin may: everybody may where there is no sign-in."""
    who = visitor()
    return who is None or who.role_in(who.workspace) == "admin"


def require_changes(folder: Path | None = None, role: Role = "trainer") -> None:
    """Raise `ViewOnlyError` where nothing may be changed, `AccessError` where this person may not do it.

    `folder` is what is changed; without it, the workspace that a visitor looks at.
    """
    if os.environ.get(VIEW_ONLY, "") not in ("", "0"):
        raise ViewOnlyError(
            "This dashboard only shows; nothing can be changed here.",
            f"Ask whoever runs it, or start it without {VIEW_ONLY}.",
        )
    require_role(role, folder)


def require_role(role: Role, folder: Path | None = None) -> None:
    """Raise `AccessError` unless who visits is that or more in the folder; outside a browser, all may."""
    who = visitor()
    if who is None or who.rules is None:
        return
    if not who.signed_in:
        raise AccessError("Nobody has signed in here.", "Sign in first.")
    own = who.role_in(folder or who.workspace)
    if own is None:
        where = f" in {folder.name}" if folder else ""
        raise AccessError(f"{who.name} has no role{where}.", "Ask an admin for one.")
    if ROLES.index(own) < ROLES.index(role):
        if role == "trainer":
            raise ViewOnlyError("A viewer can look at everything here and change nothing.", "Ask an admin.")
        raise AccessError(f"Only an {role} may do this.", "Ask one.")


def require_look(folder: Path, root: Path | None = None) -> None:
    """Raise `AccessError` where this person may not even look, and write that down.

    `root` is the workspace, where none with roles of its own is meant; without it, one that keeps a log.
    """
    try:
        require_role("viewer", folder)
    except AccessError as error:
        who = visitor()
        if who and who.rules and who.signed_in:
            kept = (place for place in (folder, *folder.parents) if (place / AUDIT).exists())
            if root := who.rules.workspace_of(folder) or root or next(kept, None):
                _note("open the workspace", root, "", "refused", error)
        raise


_in_act: ContextVar[bool] = ContextVar("in_act", default=False)


def changes(
    act: str, *, what: str = "", role: Role = "trainer", folder: Callable[..., Path] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a function as an act: it is refused to who may not do it, and goes to the workspace's audit log.

    `act` says what is done, in a few words; `what` names the argument that says to what. The workspace is the
    first argument, unless `folder` gives its folder from the arguments. Acts inside of an act are part of it.
    """

    def marked(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            named = signature.bind_partial(*args, **kwargs).arguments
            first: Any = next(iter(named.values()), None)
            root = folder(*args, **kwargs) if folder else first.root
            # Its models may lie elsewhere, in a workspace that this person may only look at.
            elsewhere = [getattr(first, name, root) for name in ("trained_model", "onnx_model")]
            with acting(act, root, named.get(what, ""), role, elsewhere):
                return function(*args, **kwargs)

        return guarded

    return marked


@contextmanager
def acting(
    act: str, root: Path, what: Any = "", role: Role = "trainer", elsewhere: Iterable[Path] = ()
) -> Iterator[None]:
    """Do something inside that changes the workspace in the folder `root`, as `changes` says.

    `elsewhere` are folders outside of it that it may change as well.
    """
    try:
        for place in dict.fromkeys((root, *elsewhere)):
            require_changes(place, role)
    except (AccessError, ViewOnlyError) as error:
        if visitor() is not None:
            _note(act, root, what, "refused", error)
        raise
    if _in_act.get():
        yield
        return
    token = _in_act.set(True)
    try:
        yield
    except (SailsError, OSError) as error:
        is_refused = isinstance(error, AccessError | ViewOnlyError)
        _note(act, root, what, "refused" if is_refused else "failed", error)
        raise
    finally:
        _in_act.reset(token)
    _note(act, root, what, "done")


def export_audit(root: Path) -> bytes:
    """Return the audit log of the workspace in `root` as it is; raises `AccessError` for who is no admin."""
    require_role("admin", root)
    try:
        return (root / AUDIT).read_bytes()
    except FileNotFoundError:
        return b""


def _note(act: str, root: Path, what: Any, outcome: str, error: Exception | None = None) -> None:
    who = visitor()
    if who is None or who.rules is None:
        begins, address, role = False, "", None
    else:
        begins, address, role = True, who.address, who.role_in(root)
        if not root.is_dir() and who.workspace:  # what was not made cannot keep it
            root = who.workspace
    named = getattr(what, "id", what)
    line = AuditLine(
        act=act,
        what=clean_name(", ".join(named) if isinstance(named, (list, tuple)) else str(named)),
        who=actor(),
        address=address,
        role=role or "",
        outcome=outcome,
        why=str(error) if error else "",
    )
    note(root, line, begins=begins)


def keep_private() -> None:
    """Have all files and folders that this process makes readable by its own user alone: 0600 and 0700."""
    os.umask(os.umask(0o077) | 0o077)


def allowed_root(usual_workspace: Path) -> Path:
    """Return the folder inside which a person may open and make workspaces from the browser."""
    chosen = os.environ.get(ROOT)
    return Path(chosen).expanduser().resolve() if chosen else usual_workspace.parent


def inside(root: Path, name: str, workspaces: Iterable[Path] = ()) -> Path:
    """The folder that a person named, relative to `root` or in full; raises `RequestError` outside of it.

    Links are followed first, so that none leads outside. Who may not look there is written down in the one of
    the `workspaces` in which it lies.
    """
    wanted = name.strip()
    try:
        path = (root / wanted).resolve()
    except (OSError, ValueError, RuntimeError):  # a null character, a circle of links
        path = root
    if not wanted or path == root or not path.is_relative_to(root):
        raise RequestError(
            f"The folder {wanted[:200] or '(empty)'} does not lie in {root}.", "Choose a folder inside of it."
        )
    require_look(path, next((folder for folder in workspaces if path.is_relative_to(folder)), None))
    return path


# --- who it is ------------------------------------------------------------------------------------

_acting: ContextVar[str | None] = ContextVar("acting", default=None)
_asked_first: list[Callable[[], Visitor | None]] = []


def ask_first(ask: Callable[[], Visitor | None]) -> None:
    """Let the dashboard say who visits: with an empty name where none was given, None outside a browser."""
    _asked_first[:] = [ask]


def visitor() -> Visitor | None:
    """Return who visits the dashboard in whose name this is done; None on the command line."""
    return _asked_first[0]() if _asked_first else None


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """Have everything inside done in this name, whoever else could be asked."""
    token = _acting.set(name)
    try:
        yield
    finally:
        _acting.reset(token)


def actor() -> str:
    """Return the name of who acts now; empty for somebody in the browser who gave none."""
    if (name := _acting.get()) is not None:
        return name
    if who := visitor():
        return clean_name(who.name)
    if name := clean_name(os.environ.get(WHO, "")):
        return name
    try:
        return clean_name(getpass.getuser())
    except (OSError, KeyError, ImportError):  # a user without a name, in a container for example
        return "someone at the command line"


def clean_name(name: str) -> str:
    """Return a name on one line, without signs that cannot be shown, of at most `LONGEST_WHO` characters."""
    shown = "".join(sign if sign.isprintable() else " " for sign in name)
    return " ".join(shown.split())[:LONGEST_WHO].strip()


def name_of(who: str | None) -> str:
    """Say who did something, as it was noted; empty where nobody noted it."""
    return "" if who is None else who or SOMEONE
