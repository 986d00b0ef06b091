"""The page Train."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.ui.train.form import started, training_form
    from sails.ui.train.live import view
    from sails.ui.train.queue import now

__getattr__, __all__ = lazy_exports(__name__)
