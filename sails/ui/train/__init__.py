"""The page Train."""

from sails.ui.train.form import started, training_form
from sails.ui.train.live import view
from sails.ui.train.queue import now

__all__ = [
    "now",
    "started",
    "training_form",
    "view",
]
