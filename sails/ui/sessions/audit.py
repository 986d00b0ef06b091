"""Who did what, when and from where, and who was refused: the last lines of the audit log, and the whole."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from sails import system
from sails.models import Workspace
from sails.system import AuditLine
from sails.ui.text import moment, plain
from sails.ui.widgets import download_button, table

MAX_LINES = 200  # shown
COLUMNS = ("When", "Who", "Role", "From", "What was done", "To what", "What came of it")


def keeps_audit(workspace: Workspace) -> bool:
    """Tell whether what is done here is written down: where people sign in, and where they did once."""
    person = system.visitor()
    return (person is not None and person.rules is not None) or bool(system.read_audit(workspace.root))


def audit_panel(workspace: Workspace) -> None:
    """Draw the last acts, newest first, and for an admin the whole log as a file."""
    lines = system.read_audit(workspace.root)
    if not lines:
        st.markdown("Nothing was done since people sign in here.")
        return
    st.markdown("What people who sign in do here, and what was refused to them, is written down.")
    newest = lines[: -MAX_LINES - 1 : -1]
    if len(newest) < len(lines):
        st.caption(f"The last {MAX_LINES:,} of {len(lines):,} lines.")
    table(COLUMNS, [_row(line) for line in newest], "Who did what, newest first")
    if system.is_admin():
        name = f"{workspace.root.name}-audit.jsonl"
        download_button("Download all", system.export_audit(workspace.root), name, "application/jsonl")


def _row(line: AuditLine) -> list[str]:
    came = line.outcome if not line.why else f"{line.outcome}: {line.why}"
    where = line.address or system.COMMAND_LINE
    return [_when(line), *map(plain, (line.who, line.role, where, line.act, line.what, came))]


def _when(line: AuditLine) -> str:
    try:
        return moment(datetime.fromisoformat(line.when))
    except ValueError:
        return plain(line.when)
