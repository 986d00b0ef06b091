"""What a model still remembers: the R matrix, ACC, BWT and forgetting, replay, and the gate.

`schema` is what was measured, `lessons` which lessons a model was taught and where their rows lie, `matrix`
all of it together, `metrics` the figures and the headline, `replay` which old rows an epoch repeats, `gate`
whether a candidate may be published. Reads files only; `sails.training.scoring` is what measures.
"""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.retention.bootstrap import bootstrap_generator, difference, paired
    from sails.retention.gate import MAX_GRADUAL_LOSS_POINTS, MAX_LOSS_POINTS, decide
    from sails.retention.general import (
        ClosedQuestion,
        closed_questions,
        is_right,
        open_prompts,
        rehearsal_prompts,
    )
    from sails.retention.lessons import (
        ELSEWHERE,
        ROWS,
        LessonRows,
        Sample,
        all_lesson_rows,
        in_sample_order,
        lesson_rows,
        lessons_of,
        sample_rows,
        taught_before,
        taught_to,
    )
    from sails.retention.matrix import retention_matrix
    from sails.retention.metrics import Estimate, as_json, measure
    from sails.retention.model_report import (
        Memory,
        RetentionMap,
        current_memory,
        describe_headline,
        figure_sentences,
        forgetting_sentences,
        retention_map,
    )
    from sails.retention.progress import Progress, ProgressCurve, progress_of
    from sails.retention.questions import (
        UNRELATED,
        ProbeAnswer,
        ProbeQuestion,
        no_longer_right,
        questions_for,
    )
    from sails.retention.replay import draw, replay_count, replayable_rows
    from sails.retention.schema import (
        GENERAL,
        RETENTION_FILE,
        Cell,
        Changed,
        Decision,
        Drift,
        Lesson,
        Measured,
        Part,
        Retention,
        read_retention,
        retention_if_readable,
        write_retention,
    )
    from sails.retention.session_report import (
        WELL,
        before_and_after,
        describe_answer,
        describe_finding,
        describe_general_loss,
        describe_losses,
        findings,
        gained_answers,
        lost_answers,
        spread,
    )

__getattr__, __all__ = lazy_exports(__name__)
