"""What whoever uses the dashboard or a command may do: change things or only look, and where.

    SAILS_VIEW_ONLY=1   everything is shown and nothing is changed
    SAILS_ROOT=DIR      workspaces and model folders chosen in the browser must lie in DIR;
                        without it, in the folder that holds the usual workspace

Every function below the pages that changes something asks `require_changes` first, so that a button which
was drawn by mistake changes nothing either.
"""

from __future__ import annotations

import os
from pathlib import Path

from sails.errors import RequestError, ViewOnlyError

VIEW_ONLY = "SAILS_VIEW_ONLY"
ROOT = "SAILS_ROOT"


def view_only() -> bool:
    """Tell whether nothing may be changed."""
    return os.environ.get(VIEW_ONLY, "") not in ("", "0")


def require_changes() -> None:
    """Raise `ViewOnlyError` where nothing may be changed."""
    if view_only():
        raise ViewOnlyError(
            "This dashboard only shows; nothing can be changed here.",
            f"Ask whoever runs it, or start it without {VIEW_ONLY}.",
        )


def allowed_root(usual_workspace: Path) -> Path:
    """Return the folder inside which a person may open and make workspaces from the browser."""
    chosen = os.environ.get(ROOT)
    return Path(chosen).expanduser().resolve() if chosen else usual_workspace.parent


def inside(root: Path, name: str) -> Path:
    """The folder that a person named, relative to `root` or in full; raises `RequestError` outside of it.

    Links are followed first, so that none leads outside.
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
    return path
