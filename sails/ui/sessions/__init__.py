"""The page Sessions."""

from sails.ui.sessions.compare import chosen, side_by_side
from sails.ui.sessions.detail import everything, named
from sails.ui.sessions.table import history_table
from sails.ui.sessions.versions import family_tree, versions_panel

__all__ = [
    "chosen",
    "everything",
    "family_tree",
    "history_table",
    "named",
    "side_by_side",
    "versions_panel",
]
