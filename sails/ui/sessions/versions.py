"""Earlier models: what they are called, which are kept, and going back to one."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from sails import jobs, models, sessions, system
from sails.models import MAX_NAME_LENGTH, VERSIONS_KEPT, Version, Workspace
from sails.sessions import SessionRecord, TrainSpec
from sails.ui import confirm, onnx_status, text
from sails.ui.frame import show_errors
from sails.ui.sessions.actions import why_not_now
from sails.ui.text import code, plain
from sails.ui.widgets import change_button

MAX_ACTS = 50  # of those that were noted

# --- earlier models -------------------------------------------------------------------------------


def versions_panel(workspace: Workspace, records: Sequence[SessionRecord]) -> None:
    """Draw the current model, the earlier ones, and what can be done with them."""
    _undo(workspace)
    current = workspace.situation().trained
    with st.container(border=True, gap="xsmall"):
        st.subheader("★ The current model", anchor=False)
        if current.complete:
            details = _details(current.session, current.fingerprint)
            st.markdown(_made_by(records, current.session), help=details)
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
    else:
        _versions(workspace, records, versions)
    _acts(workspace, records)


def _versions(workspace: Workspace, records: Sequence[SessionRecord], versions: Sequence[Version]) -> None:
    st.markdown(
        f"The {VERSIONS_KEPT} newest earlier models are kept. Older ones go, except those you keep for good."
    )
    busy = why_not_now(workspace)
    if not busy and onnx_status.making_onnx(workspace):
        busy = (
            "While the ONNX model of the current model is being made, nobody can roll back. Wait, or stop it."
        )
    if busy:
        st.caption(busy)
    for version in versions:
        with st.container(border=True, gap="small"), show_errors():
            _version(workspace, records, version, bool(busy))


def _title(workspace: Workspace, records: Sequence[SessionRecord], version: Version) -> str:
    """What people call a version, else the session that made it."""
    made = models.provenance_of(workspace.versions / version.id)
    called = sessions.titles(records)
    return version.name or called.get((made and made.session) or version.id, version.id)


def _made_by(records: Sequence[SessionRecord], session: str | None) -> str:
    made = next((r for r in records if r.session.id == session), None)
    called = sessions.titles(records).get(session or "", session)
    facts = [f"Made by the session {code(called)}" if session else "Made elsewhere"]
    if made and isinstance(made.spec, TrainSpec):
        facts.append(f"Taught last: {code(made.spec.dataset)}")
    return "  \n".join(facts)


def _details(session: str | None, fingerprint: str | None) -> str:
    """What only a programmer asks for, behind a question mark."""
    return (
        f"Session {code(session)}, fingerprint {code(fingerprint)}"
        if session
        else f"Fingerprint {code(fingerprint)}"
    )


def _version(workspace: Workspace, records: Sequence[SessionRecord], version: Version, busy: bool) -> None:
    key = version.id
    kept = " :material/keep: kept for good" if version.pinned else ""
    st.subheader(f"{plain(_title(workspace, records, version))}{kept}", anchor=False)
    provenance = models.provenance_of(workspace.versions / version.id)
    replaced = text.moment(version.retired, st.context.timezone)
    session = provenance.session if provenance else None
    details = _details(session, version.fingerprint)
    st.markdown(f"Replaced on {replaced}  \n{_made_by(records, session)}", help=details)
    with st.container(horizontal=True):
        confirm.ask_button("Roll back to it", "undo", f"roll-{key}", disabled=busy)
        label = "No longer keep it for good" if version.pinned else "Keep it for good"
        if change_button(label, "keep", f"pin-{key}"):
            models.pin(workspace, version.id, pinned=not version.pinned)
            st.rerun()
        naming = st.popover("Name it", icon=":material/edit:", disabled=system.view_only())
        with naming, st.form(f"name-{key}", border=False):
            name = st.text_input("Name of this version", version.name, MAX_NAME_LENGTH, key=f"name-of-{key}")
            if change_button("Save", key=f"save-{key}", in_form=True):
                models.name_version(workspace, key, name)
                st.rerun()
    if confirm.confirmed(f"roll-{key}", _what_happens(workspace, records, version), "Yes, roll back"):
        _roll_back(workspace, version.id, _title(workspace, records, version))


def _acts(workspace: Workspace, records: Sequence[SessionRecord]) -> None:
    acts = models.list_acts(workspace)[::-1]
    if not acts:
        return
    called = sessions.titles(records)
    lines = [
        f"- {text.moment(act.when, st.context.timezone)}: "
        f"{plain(models.describe_act(act, called.get(act.what, act.what)))}"
        for act in acts[:MAX_ACTS]
    ]
    with st.expander("Who rolled back and deleted", icon=":material/history:"):
        st.markdown("\n".join(lines))
        if len(acts) > MAX_ACTS:
            st.caption(f"The last {MAX_ACTS} of {len(acts):,}.")


# --- going back -----------------------------------------------------------------------------------


def _what_happens(workspace: Workspace, records: Sequence[SessionRecord], version: Version) -> list[str]:
    if not st.session_state.get(f"asked-roll-{version.id}"):
        return []
    prospect = models.prospect(workspace, version.id)
    title = plain(_title(workspace, records, version))
    replaced = "There is no current model now, so nothing makes room for it."
    if prospect.current.complete:
        replaced = "The model that is current now is kept as a version, so nothing is lost."
    elif prospect.current.state == "incomplete":
        replaced = "What lies in the folder of the current model is incomplete; it is set aside, not deleted."
    kept = " The one that is here is kept with the model that it was made from." if prospect.leaves else ""
    answers = {
        "here": "The ONNX model that is here was made from it, so the chat answers from it at once.",
        "kept": f"Its own ONNX model comes back with it, so the chat answers from it at once.{kept}",
        "none": "There is no ONNX model of it; to chat with it, make one afterwards.",
        "other": "There is no ONNX model of it. The one that is here was made from another model; the chat "
        "answers from that one, and says so, until you make it again.",
    }[prospect.onnx]
    if prospect.onnx == "none" and workspace.situation().onnx.present:
        answers = (
            "Its ONNX model is made at once, which takes a minute or two for a small model; until then it "
            f"cannot answer in the chat.{kept}"
        )
    return [
        f"**{title} becomes the current model again** ({system.size(prospect.size)} are copied).",
        replaced,
        answers,
        "The next training continues from it. Afterwards you can undo this.",
    ]


def _roll_back(workspace: Workspace, version: str, title: str) -> None:
    before = workspace.situation()
    with st.spinner("Putting the model in place; this copies the whole model …"):
        models.roll_back(workspace, version)
    if before.onnx.present and not workspace.situation().onnx.present:
        jobs.export_current(workspace)
    former = models.version_with(workspace, before.trained.fingerprint)
    st.session_state[_undo_key(workspace)] = (former.id if former else "", title)
    st.rerun()


def _undo(workspace: Workspace) -> None:
    """What was just done, and taking it back."""
    former, now = st.session_state.get(_undo_key(workspace), ("", ""))
    if not now:
        return
    st.success(f"{plain(now)} is the current model again.", icon=":material/check_circle:")
    is_kept = any(version.id == former for version in models.list_versions(workspace))
    if is_kept and change_button("Undo", "redo", "undo", disabled=bool(why_not_now(workspace))):
        if job := jobs.running_export(workspace, workspace.onnx_model):
            jobs.launcher_for(job.session).stop(workspace, job.session)
        with st.spinner("Putting the former model back in place …"):
            models.roll_back(workspace, former)
        del st.session_state[_undo_key(workspace)]
        st.toast("Undone: the model that was current before is current again.", icon=":material/redo:")
        st.rerun()


def _undo_key(workspace: Workspace) -> str:
    return f"undo-{workspace.root}-{workspace.trained_model}"
