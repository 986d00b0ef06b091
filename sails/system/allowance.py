"""How much one person may do at once, from whoever runs the dashboard; nothing is limited for an admin.

    [access.limits]
    trainings = 2        that somebody started or resumed and that wait or run, in all workspaces together
    questions = 50       in one conversation of the chat
    upload_mb = 20       in one file that is brought
    workspace_gb = 50    that a workspace takes when something is added to it

What is not named is not limited. Each check raises `RequestError` where the limit is reached.
"""

from __future__ import annotations

from pathlib import Path

from sails.errors import RequestError
from sails.system.access import visitor
from sails.system.files import folder_size
from sails.system.format import count, gigabytes, megabytes
from sails.system.roles import Limit


def limit(name: Limit) -> float | None:
    """Return a limit of who visits; None where there is none."""
    who = visitor()
    if who is None or who.rules is None or who.role_in(who.workspace) == "admin":
        return None
    return who.rules.limits.get(name)


def check_trainings(started: int) -> None:
    """Refuse one more training to who started that many which have not ended."""
    most = limit("trainings")
    if most is not None and started >= most:
        raise RequestError(
            f"You may have {count(int(most), 'training')} waiting or running at a time.",
            "Wait until one has ended, or stop one.",
        )


def check_questions(asked: int) -> None:
    """Refuse one more question in a conversation of that many."""
    most = limit("questions")
    if most is not None and asked >= most:
        raise RequestError(f"A conversation may have {count(int(most), 'question')}.", "Begin a new one.")


def check_upload(size: int) -> None:
    """Refuse a file of that many bytes that is too large."""
    most = limit("upload_mb")
    if most is not None and size > most * 1e6:
        raise RequestError(
            f"The file has {megabytes(size)}, and one may have {megabytes(most * 1e6)}.", "Bring it in parts."
        )


def check_room(root: Path) -> None:
    """Refuse to add to a workspace that takes as much as it may."""
    most = limit("workspace_gb")
    if most is not None and (taken := folder_size(root)) >= most * 1e9:
        raise RequestError(
            f"The workspace takes {gigabytes(taken)}, and may take {gigabytes(most * 1e9)}.",
            "Delete sessions or datasets that nobody needs, or ask an admin.",
        )
