"""The page ONNX export."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.ui.export.certificates import certificate_figures, failed_variants, speed_table
    from sails.ui.export.download import bundle_panel, model_files
    from sails.ui.export.panels import (
        earlier_exports,
        export_state,
        export_variants,
        follow_job,
        made_by_training,
        next_step,
    )
    from sails.ui.export.recorded import recorded_certificates

__getattr__, __all__ = lazy_exports(__name__)
