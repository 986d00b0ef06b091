"""The page Train."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.ui.train.form import allow_next_start, training_form
    from sails.ui.train.live import live_view, time_left_in_words
    from sails.ui.train.queue import running_and_waiting, why_waiting

__getattr__, __all__ = lazy_exports(__name__)
