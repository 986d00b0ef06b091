"""What pages share. Beside `app.py` and `pages/`, the only room that knows streamlit."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.ui.frame import go, link, page_frame, show_errors
    from sails.ui.onnx_status import start_export, variant_states
    from sails.ui.retention import RETENTION_TAB, current_model_retention, retention_headline

__getattr__, __all__ = lazy_exports(__name__)
