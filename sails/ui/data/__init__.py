"""The page Data."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.ui.data.editor import rows, save, verdict
    from sails.ui.data.library import (
        actions,
        contents,
        heading,
        housekeeping,
        lengths,
        measured,
        novelty,
        shelf,
    )
    from sails.ui.data.pending import news, offer_undo, pending_uploads
    from sails.ui.data.review import on_bridge, on_data_page, review_list
    from sails.ui.data.upload import ask_for_columns, bring, choose_waiting, how_many

__getattr__, __all__ = lazy_exports(__name__)
