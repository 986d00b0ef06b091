"""Training: rows, batches, the loop, and what came of it."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.training.adapters import adaptable_layers
    from sails.training.blend import blend_weights
    from sails.training.dataloader import encode, load_tokenizer, schedule, spread
    from sails.training.encoding import Encoded, describe_left_out, name_rows
    from sails.training.evaluation import Examination, Student, answer, base_folder, ends_by_itself
    from sails.training.known import KnownRule
    from sails.training.lr_range_test import Mixture, probe
    from sails.training.mixture import TrainingMixture, begin_again, peek, prepare
    from sails.training.model import (
        Precision,
        check_vocabulary,
        choose_device,
        context_length,
        context_length_in,
        load_model,
        save_model,
    )
    from sails.training.model_view import ConversationView, ExampleView, Passage, RowsView, view_rows
    from sails.training.outcome import describe_blend, describe_end, judge
    from sails.training.projection import Matrices, load_matrices
    from sails.training.protection import matrices_for, rehearsal_for, unrehearsed
    from sails.training.rehearsal import Rehearsal, with_rehearsal
    from sails.training.run import Before, Outcome, Run
    from sails.training.scoring import score
    from sails.training.token_count import MOST_MEASURED, Lengths, measure, preview, tokenizer_folder
    from sails.training.trainer import train

__getattr__, __all__ = lazy_exports(__name__)
