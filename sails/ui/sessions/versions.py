"""Earlier models: which came from which, what they are called, which are kept, and going back to one."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from sails import models, sessions, system
from sails.models import MAX_NAME_LENGTH, VERSIONS_KEPT, Version, Workspace
from sails.sessions import Branch, SessionRecord, TrainSpec
from sails.ui import confirm, onnx_status, text
from sails.ui.frame import link, show_errors
from sails.ui.text import code, plain
from sails.ui.widgets import change_button

MAX_LINES = 100  # of the tree; the rest is older
FATES = {
    "current": "★ the current model",
    "version": "kept as a version",
    "held": "✋ held back",
    "discarded": "↩️ discarded",
    "gone": "no longer kept",
}
ORIGINS = {"base": "from the base model", "unknown": "from a model whose session is not here", "session": ""}
INDENT = "\u2003"  # as wide as a letter, and no space that a browser would swallow

# --- which came from which ------------------------------------------------------------------------


def family_tree(workspace: Workspace, records: Sequence[SessionRecord]) -> None:
    """Draw the sessions that made a model, each below the one that it continued."""
    lines = sessions.tree(workspace, records)
    if not lines:
        st.markdown("No session has made a model yet.")
        return
    st.markdown(
        "Each model grew from the one above it. One that is indented branched off there, and the line "
        "went on without it."
    )
    if len(lines) > MAX_LINES:
        st.caption(f"The last {MAX_LINES} of {len(lines):,} models.")
    for line in lines[-MAX_LINES:]:
        _line(line)


def _line(line: Branch) -> None:
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if line.depth:
            st.markdown(f"{2 * INDENT * line.depth}└", width="content")
        link("Sessions", plain(line.record.spec.name), session=line.record.session.id)
        fate = f"{FATES[line.fate]} {plain(line.version.name if line.version else '')}".strip()
        details = [
            text.moment(line.record.spec.created, st.context.timezone),
            f"**{fate}**" if line.fate == "current" else fate,
            ORIGINS[line.origin],
        ]
        st.markdown(f":small[{', '.join(filter(None, details))}]", width="content")


# --- earlier models -------------------------------------------------------------------------------


def versions_panel(workspace: Workspace, records: Sequence[SessionRecord]) -> None:
    """Draw the current model, the earlier ones, and what can be done with them."""
    _undo(workspace)
    current = workspace.situation().trained
    with st.container(border=True, gap="xsmall"):
        st.subheader("★ The current model", anchor=False)
        if current.complete:
            st.markdown(_made_by(records, current.session, current.fingerprint))
            for line in onnx_status.describe_variants(workspace, workspace.situation()):
                st.markdown(f"ONNX model, {line}")
            onnx_status.offer_refresh(workspace, "versions_onnx")
        else:
            st.markdown(f"There is none: it is {current.state}. {plain(current.reason or '')}".strip())
    versions = models.list_versions(workspace)
    if not versions:
        st.markdown(
            "There are no earlier models yet. When a new one takes over, the one before is kept here."
        )
        return
    st.markdown(
        f"The {VERSIONS_KEPT} newest earlier models are kept. Older ones go, except those you keep for good."
    )
    for version in versions:
        with st.container(border=True, gap="small"), show_errors():
            _version(workspace, records, version)


def _title(version: Version, records: Sequence[SessionRecord]) -> str:
    made = next((r for r in records if r.session.id == version.id), None)
    return version.name or (made.spec.name if made else version.id)


def _made_by(records: Sequence[SessionRecord], session: str | None, fingerprint: str | None) -> str:
    made = next((r for r in records if r.session.id == session), None)
    facts = [f"Made by the session {code(session)}" if session else "Made elsewhere"]
    if made and isinstance(made.spec, TrainSpec):
        facts.append(f"Taught last: {code(made.spec.dataset)}")
    return "  \n".join([*facts, f"Fingerprint {code(fingerprint)}"])


def _version(workspace: Workspace, records: Sequence[SessionRecord], version: Version) -> None:
    key = version.id
    kept = " 📌 kept for good" if version.pinned else ""
    st.subheader(f"{plain(_title(version, records))}{kept}", anchor=False)
    provenance = models.provenance_of(workspace.versions / version.id)
    replaced = text.moment(version.retired, st.context.timezone)
    made_by = _made_by(records, provenance.session if provenance else None, version.fingerprint)
    st.markdown(f"Replaced on {replaced}  \n{made_by}")
    with st.container(horizontal=True):
        confirm.ask_button("Roll back to it", "undo", f"roll-{key}")
        label = "No longer keep it for good" if version.pinned else "Keep it for good"
        if change_button(label, "keep", f"pin-{key}"):
            models.pin(workspace, version.id, pinned=not version.pinned)
            st.rerun()
        naming = st.popover("Name it", icon=":material/edit:", disabled=system.view_only())
        with naming, st.form(f"name-{key}", border=False):
            name = st.text_input("Name of this version", version.name, MAX_NAME_LENGTH, key=f"name-of-{key}")
            if st.form_submit_button("Save", key=f"save-{key}", disabled=system.view_only()):
                models.name_version(workspace, key, name)
                st.rerun()
    if confirm.confirmed(f"roll-{key}", _what_happens(workspace, records, version), "Yes, roll back"):
        _roll_back(workspace, version.id, _title(version, records))


# --- going back -----------------------------------------------------------------------------------


def _what_happens(workspace: Workspace, records: Sequence[SessionRecord], version: Version) -> list[str]:
    if not st.session_state.get(f"asked-roll-{version.id}"):
        return []
    prospect = models.prospect(workspace, version.id)
    title = plain(_title(version, records))
    replaced = "There is no current model now, so nothing makes room for it."
    if prospect.current.complete:
        replaced = "The model that is current now is kept as a version, so nothing is lost."
    elif prospect.current.state == "incomplete":
        replaced = "What lies in the folder of the current model is incomplete; it is set aside, not deleted."
    if not prospect.onnx.present:
        onnx = "There is no ONNX model; to chat with it, make one afterwards."
    elif prospect.refreshes_onnx:
        onnx = "The ONNX model that is here was made from it, so it fits again."
    else:
        onnx = (
            "The ONNX model that is here was made from another model, so it goes out of date. A button "
            "beside the current model makes it again."
        )
    return [
        f"**{title} becomes the current model again** ({system.size(prospect.size)} are copied).",
        replaced,
        onnx,
        "The next training continues from it. Afterwards you can undo this.",
    ]


def _roll_back(workspace: Workspace, version: str, title: str) -> None:
    before = workspace.situation().trained.fingerprint
    with st.spinner("Putting the model in place; this copies the whole model …"):
        models.roll_back(workspace, version)
    former = models.version_with(workspace, before)
    st.session_state[_undo_key(workspace)] = (former.id if former else "", title)
    st.rerun()


def _undo(workspace: Workspace) -> None:
    """What was just done, and taking it back."""
    former, now = st.session_state.get(_undo_key(workspace), ("", ""))
    if not now:
        return
    st.success(f"{plain(now)} is the current model again.", icon=":material/check_circle:")
    is_kept = any(version.id == former for version in models.list_versions(workspace))
    if is_kept and change_button("Undo", "redo", "undo"):
        with st.spinner("Putting the former model back in place …"):
            models.roll_back(workspace, former)
        del st.session_state[_undo_key(workspace)]
        st.toast("Undone: the model that was current before is current again.", icon=":material/redo:")
        st.rerun()


def _undo_key(workspace: Workspace) -> str:
    return f"undo-{workspace.root}-{workspace.trained_model}"
