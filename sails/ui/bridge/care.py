"""Whether the workspace is well, on Home: a card when something is wrong, and all that keeps it so."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import NoReturn

import streamlit as st

from sails import doctor, sessions, system
from sails.doctor import KINDS, Finding, Report
from sails.errors import RequestError
from sails.models import Workspace
from sails.sessions import Session
from sails.system import count, size
from sails.ui import confirm
from sails.ui.frame import go_to_workspace, lazy_expander, show_errors
from sails.ui.text import code, plain
from sails.ui.widgets import change_button, download_button, progress_bar, table

QUICK_SECONDS = 10  # for which a quick look is kept
MOST_SHOWN = 3  # sentences on the card
ON_DISK = "Your models on disk, health and backup"  # the part of the page that all of it stands in
ENDING = ".backup.zip"
CARE = "Health, disk space and backup"

# --- the card -------------------------------------------------------------------------------------


def health_card(workspace: Workspace) -> None:
    """Draw what a quick look finds wrong, and offer to mend it; nothing where all is well."""
    _say_what_was_done(workspace)
    wrong = _quick_look(workspace, int(time.monotonic() / QUICK_SECONDS)) if workspace.root.is_dir() else ()
    if not wrong:
        return
    with st.container(border=True, gap="xsmall"):
        st.markdown("⚠️ **Something in this workspace is damaged or was cut short.**")
        for finding in wrong[:MOST_SHOWN]:
            st.markdown(plain(finding.sentence))
        more = len(wrong) - MOST_SHOWN
        also = f" {count(more, 'more thing')} found." if more > 0 else ""
        st.caption(f"All of it stands below, under “{ON_DISK}”.{also}")
        _repair_button(workspace, [one for one in wrong if one.can_be_repaired], "card", "Repair it")


@lru_cache(maxsize=8)
def _quick_look(workspace: Workspace, _moment: int) -> tuple[Finding, ...]:
    return doctor.examine(workspace, thorough=False).wrong


def _repair_button(workspace: Workspace, findings: Sequence[Finding], key: str, label: str) -> None:
    """Offer what can be done about these findings, all or nothing, and say before what that is."""
    if not findings:
        return
    key = f"doctor-{key}"
    confirm.ask_button(label, "build", key)
    lines = [f"- {plain(finding.sentence)} **{plain(finding.repair)}**" for finding in findings]
    freed = sum(finding.size for finding in findings)
    frees = f"**{size(freed)} are deleted.**" if freed else "Nothing is deleted."
    if confirm.confirmed(key, ["This is what will be done:", "\n".join(lines), frees], "Yes, do it"):
        _carry_out(workspace, findings)


def _carry_out(workspace: Workspace, findings: Sequence[Finding]) -> NoReturn:
    with st.spinner("Mending …"):
        outcome = doctor.repair(workspace, findings)
    _quick_look.cache_clear()
    st.session_state.pop(_report_key(workspace), None)
    freed = f" {size(outcome.freed)} are free now." if outcome.freed else ""
    done = f"{count(len(outcome.done), 'repair')} done.{freed}" if outcome.done else ""
    failed = [f"{finding.sentence} {sentence}" for finding, sentence in outcome.failed]
    st.session_state[_done_key(workspace)] = done, failed
    st.rerun()


def _say_what_was_done(workspace: Workspace) -> None:
    done, failed = st.session_state.pop(_done_key(workspace), ("", []))
    if done:
        st.success(done, icon=":material/check_circle:")
    for sentence in failed:
        st.error(plain(f"Not mended: {sentence}"), icon=":material/error:")


# --- all that keeps it well -----------------------------------------------------------------------


def care_panel(workspace: Workspace) -> None:
    """Draw the whole check, what takes the room, and backup and restore, folded away."""
    panel = lazy_expander(CARE, ":material/health_and_safety:", "care")
    if panel.open:
        with panel, show_errors():
            if workspace.root.is_dir():
                _check(workspace)
                st.divider()
                _back_up(workspace)
            _restore()


def _check(workspace: Workspace) -> None:
    """The whole check, when somebody asks for it, and what it found."""
    if st.button("Check everything", icon=":material/stethoscope:", key="doctor-check"):
        with st.spinner("Looking at everything; a large workspace takes a minute …"):
            st.session_state[_report_key(workspace)] = doctor.examine(workspace)
    report: Report | None = st.session_state.get(_report_key(workspace))
    if report is None:
        st.markdown(
            "It reads every model, session and dataset here, and says what is damaged or lost and what takes "
            "the room. Nothing is changed unless you say so, and nothing of yours is deleted."
        )
        return
    if not report.wrong:
        st.markdown(f"✅ **Nothing is damaged or lost.** Looked at in {system.duration(report.seconds)}.")
    for kind, findings in doctor.by_kind([one for one in report.findings if one.weight != "spare"]).items():
        with st.container(border=True, gap="xsmall"):
            st.markdown(f"**{KINDS[kind]}**")
            for finding in findings:
                _finding(workspace, finding)
            mendable = [finding for finding in findings if finding.can_be_repaired]
            _repair_button(workspace, mendable, kind, f"Repair {'it' if len(mendable) == 1 else 'them'}")
    _room(workspace, report)


def _finding(workspace: Workspace, finding: Finding) -> None:
    sign = "❌" if finding.weight == "wrong" else ":material/info:"
    st.markdown(f"{sign} {plain(finding.sentence)} {plain(finding.repair or finding.remedy)}")
    if finding.session and finding.weight == "wrong":
        session = Session(workspace.sessions / finding.session)
        key = f"doctor-save-{finding.kind}-{finding.session}-{finding.path.name}"
        packed = partial(_packed, session)
        download_button("Save what is there", packed, f"{session.id}.zip", "application/zip", key)


def _packed(session: Session) -> bytes:
    stream = io.BytesIO()
    sessions.write_zip(session, stream)
    return stream.getvalue()


def _room(workspace: Workspace, report: Report) -> None:
    rows = [(room.title, size(room.size)) for room in report.rooms]
    rows.append(("Free on this disk", size(report.free)))
    table(["What", "Takes"], rows, "What takes the room of this workspace")
    if report.spare:
        st.markdown(f"**{size(report.freeable)} can be freed**, and nothing of yours goes with it.")
        _repair_button(workspace, report.spare, "room", "Free space")
    else:
        st.caption(
            "Nothing here can go unasked. Sessions and datasets that you no longer want, you can delete."
        )


# --- backup and restore ---------------------------------------------------------------------------


def _back_up(workspace: Workspace) -> None:
    root = system.allowed_root(Workspace.usual_root())
    st.markdown(
        "**Backup.** The whole workspace in one file, read once more when it is written. A training may go "
        f"on meanwhile. It lies on the computer on which this runs, in {code(root)}; copy it to another disk."
    )
    usual = f"{workspace.root.name}-{datetime.now(UTC):%Y%m%d}{ENDING}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Name of the file", usual, key="backup-name")
        wanted = change_button("Save a backup", "save", "backup")
    if wanted:
        with progress_bar("Saving") as report:
            made = doctor.back_up(workspace, _file_named(root, name), report)
        st.success(
            f"The workspace is saved in {code(made.path)}: {count(len(made.contents.files), 'file')}, "
            f"{size(made.size)}, read once more and whole.",
            icon=":material/check_circle:",
        )
        for left_out in made.contents.left_out:
            st.warning(f"{code(left_out)} is a link to something else, so it is not in it.")


def _file_named(root: Path, name: str) -> Path:
    """Beside the workspaces, where each may save its own; who may restore one is another matter."""
    name = name.strip()
    is_plain = Path(name).name == name and name[:1] != "." and name.isprintable()
    if not is_plain or not name.endswith(ENDING):
        raise RequestError(
            f"{name[:200] or '(empty)'} is no name of a backup.", f"Choose one that ends in {ENDING}."
        )
    return root / name


def _restore() -> None:
    root = system.allowed_root(Workspace.usual_root())
    person = system.visitor()
    may = person is None or person.role_in(root) == "admin"  # anybody's workspace may be in one
    files = sorted(path.name for path in root.glob(f"[!.]*{ENDING}")) if may and root.is_dir() else []
    st.markdown("**Restore.** A backup becomes a workspace of its own; this one stays as it is.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Backup", files, None, key="restore-file", accept_new_options=True, placeholder="a file"
        )
        name = st.text_input("Name of the new workspace", key="restore-name", placeholder="its name")
        ready = may and bool(chosen and name.strip())
        wanted = change_button("Restore it", "settings_backup_restore", "restore", disabled=not ready)
    if wanted and chosen:
        target = system.inside(root, name)
        with progress_bar("Restoring") as report:
            doctor.restore(system.inside(root, chosen), target, report)
        go_to_workspace(str(target.relative_to(root)))


def _report_key(workspace: Workspace) -> str:
    return f"doctor-{workspace.root}"


def _done_key(workspace: Workspace) -> str:
    return f"doctor-done-{workspace.root}"
