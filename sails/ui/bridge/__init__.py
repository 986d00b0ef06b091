"""The page Bridge."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.ui.bridge.next_step import NextStep, choose_next_step
    from sails.ui.bridge.panels import (
        behavior_matrix,
        found_on_disk,
        last_sessions,
        main_button,
        next_training,
        running_now,
    )
    from sails.ui.bridge.watch import watch_panel
    from sails.ui.bridge.workspaces import choose_workspace, demo_panel

__getattr__, __all__ = lazy_exports(__name__)
