"""The page Data."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.ui.data.editor import draft_quality, rows_grid, save_panel
    from sails.ui.data.library import (
        dataset_actions,
        dataset_contents,
        dataset_heading,
        dataset_list,
        measure_lengths,
        rename_and_delete,
        show_left_out,
        show_lengths,
        show_novelty,
    )
    from sails.ui.data.model_view import show_model_view
    from sails.ui.data.pending import offer_undo, pending_uploads, show_messages
    from sails.ui.data.review import corrections_on_bridge, corrections_on_data_page, review_list
    from sails.ui.data.upload import (
        ask_for_assistant,
        ask_for_columns,
        choose_waiting,
        how_many_examples,
        upload_panel,
    )

__getattr__, __all__ = lazy_exports(__name__)
