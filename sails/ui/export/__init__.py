"""The page ONNX export."""

from sails.ui.export.certificates import kept_apart, of_all, speed
from sails.ui.export.download import files, hand_over
from sails.ui.export.panels import earlier, follow, make, state

__all__ = [
    "earlier",
    "files",
    "follow",
    "hand_over",
    "kept_apart",
    "make",
    "of_all",
    "speed",
    "state",
]
