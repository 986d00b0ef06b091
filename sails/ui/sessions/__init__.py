"""The page Sessions."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.ui.sessions.audit import audit_panel, keeps_audit
    from sails.ui.sessions.compare import compare_sessions, sessions_to_compare
    from sails.ui.sessions.detail import find_session, session_page
    from sails.ui.sessions.family import family_tree
    from sails.ui.sessions.table import history_table
    from sails.ui.sessions.versions import versions_panel

__getattr__, __all__ = lazy_exports(__name__)
