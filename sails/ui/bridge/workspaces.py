"""Choosing a workspace, and the demo's."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from sails import jobs, system
from sails.models import Workspace, create_workspace, workspaces_in
from sails.sessions import SessionRecord
from sails.ui.frame import go, show_errors, workspace_query
from sails.ui.text import code
from sails.ui.widgets import change_button


def demo_panel(workspace: Workspace, records: Sequence[SessionRecord]) -> None:
    """Say what a demo workspace is, and play one of its sessions again for an audience."""
    with st.container(border=True, gap="small"):
        st.markdown(
            "🎬 **This is a demo.** Its trainings are real and were recorded; the models that they made "
            "are not included, so there is none to continue from or to chat with until you train."
        )
        recorded = {record.spec.id: record for record in records if record.status.plan}
        with st.container(horizontal=True, vertical_alignment="bottom"):
            names = {session: record.spec.name for session, record in recorded.items()}
            chosen = st.selectbox("A recorded training", list(names), 0, names.__getitem__, key="replay")
            seconds = st.number_input("Seconds it takes", 10, 600, 60, key="replay_seconds", width=140)
            if change_button("Replay it", "replay", disabled=not recorded) and chosen:
                job = jobs.start_replay(workspace, recorded[chosen].session, seconds)
                go("Train", session=job.id)


def choose_workspace(workspace: Workspace) -> None:
    """Open another workspace or model folder inside the allowed root, or make a new workspace."""
    root = system.allowed_root(Workspace.open().root)
    with st.expander("Workspace and model folder", icon=":material/folder_open:"):
        st.markdown(
            "Everything of one model lies in one folder, its workspace. "
            f"Yours may lie anywhere in {code(root)}."
        )
        names = [str(path.relative_to(root)) for path in workspaces_in(root)]
        current = str(workspace.root.relative_to(root)) if workspace.root.is_relative_to(root) else None
        names = names if current is None or current in names else [current, *names]
        index = names.index(current) if current else None
        chosen = st.selectbox("Open a workspace", names, index, key=f"open_workspace {current}")
        if chosen and chosen != current:
            _open_workspace(workspace=chosen)
        with st.form("make_workspace", border=False):
            new = st.text_input("Make a new workspace", placeholder="its name", key="new_workspace")
            wanted = st.form_submit_button("Make it", disabled=system.view_only())
        if wanted:
            with show_errors() as failed:
                created = create_workspace(root, new)
            if not failed:
                _open_workspace(workspace=str(created.relative_to(root)))
        with st.form("choose_model_folder", border=False):
            model = st.text_input(
                "Folder of the trained model",
                value=workspace_query().get("model", ""),
                placeholder="trained_model in the workspace",
                help="Only when it lies elsewhere. Empty: the workspace's own.",
                key=f"model_folder {current}",
            )
            wanted = st.form_submit_button("Use this folder")
        if wanted:
            with show_errors() as failed:
                if model.strip():
                    Workspace.open(workspace.root, output_dir=system.inside(root, model))
            if not failed:
                _open_workspace(workspace=workspace_query().get("workspace", ""), model=model.strip())


def _open_workspace(**parts: str) -> None:
    st.query_params.from_dict({name: value for name, value in parts.items() if value})
    st.rerun()
