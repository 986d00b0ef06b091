"""The certificates of the demo, as they were recorded: its ONNX models themselves are not here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from sails import sessions
from sails.models import VARIANT_TITLES, Workspace
from sails.onnx.certify import read_content
from sails.ui.export.certificates import show_certificate
from sails.ui.text import plain


def recorded_certificates(workspace: Workspace) -> bool:
    """Draw the certificates of the newest session of a demo that has some; returns whether there were any."""
    if not sessions.is_demo(workspace):
        return False
    certified = [one for one in sessions.read_history(workspace) if one.status.results.certificates]
    if not certified:
        return False
    record = certified[-1]
    found = map(read_content, record.status.results.certificates.values())
    certificates = [certificate for certificate in found if certificate]
    st.header("Recorded certificates", anchor=False)
    called = plain(sessions.title(workspace, record.session))
    st.markdown(
        f"Measured on the model that *{called}* made. The models are not in this demo, so "
        "there is nothing to hand over."
    )
    names = [VARIANT_TITLES[certificate.variant].capitalize() for certificate in certificates]
    tabs: Sequence[Any] = st.tabs(names) if len(names) > 1 else [st.container()]
    for tab, certificate in zip(tabs, certificates, strict=True):
        with tab:
            show_certificate(certificate)
    return True
