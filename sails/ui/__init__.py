"""What pages share. Beside `app.py` and `pages/`, the only room that knows streamlit.

What is heavy is loaded here as a whole: each browser's page runs in a thread of its own, and two threads that
load parts of such a library at once may find it half loaded.
"""

from typing import TYPE_CHECKING

import numpy
import pandas
import plotly.io
import pyarrow
from plotly.graph_objects import Figure

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.ui.frame import go, link, page_frame, show_errors
    from sails.ui.onnx_status import making_onnx, redraw_when_models_change, start_export, variant_states
    from sails.ui.retention import RETENTION_TAB, current_model_retention
    from sails.ui.tour import start_tour, tour_card

__getattr__, __all__ = lazy_exports(__name__)
