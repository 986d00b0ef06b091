"""The page ONNX export."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.ui.export.certificates import certificate_tabs, failed_variants, speed_table
    from sails.ui.export.download import bundle_panel, model_files
    from sails.ui.export.panels import earlier_exports, export_state, follow_job, next_step

__getattr__, __all__ = lazy_exports(__name__)
