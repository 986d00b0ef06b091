"""The page Home."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.ui.bridge.care import ON_DISK, care_panel, health_card
    from sails.ui.bridge.demo import demo_panel
    from sails.ui.bridge.matrix import behavior_board, behavior_matrix
    from sails.ui.bridge.next_step import NextStep, choose_next_step
    from sails.ui.bridge.panels import (
        found_on_disk,
        how_decided,
        last_sessions,
        next_training,
        status_card,
    )
    from sails.ui.bridge.watch import watch_panel

__getattr__, __all__ = lazy_exports(__name__)
