"""What pages share. Beside `app.py` and `pages/`, the only room that knows streamlit."""

from sails.ui.frame import go, link, page_frame, show_errors
from sails.ui.onnx_status import look, start
from sails.ui.retention import TAB, headline, of_the_current_model

__all__ = [
    "TAB",
    "go",
    "headline",
    "link",
    "look",
    "of_the_current_model",
    "page_frame",
    "show_errors",
    "start",
]
