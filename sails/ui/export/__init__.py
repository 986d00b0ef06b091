"""The page ONNX export."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.ui.export.certificates import kept_apart, of_all, speed
    from sails.ui.export.download import files, hand_over
    from sails.ui.export.panels import earlier, follow, make, state

__getattr__, __all__ = lazy_exports(__name__)
