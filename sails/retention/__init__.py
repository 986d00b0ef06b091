"""What a model still remembers: the R matrix, ACC, BWT and forgetting, replay, and the gate.

`schema` is what was measured, `lessons` which lessons a model was taught and where their rows lie, `matrix`
all of it together, `metrics` the figures and the headline, `replay` which old rows an epoch repeats, `gate`
whether a candidate may be published. Reads files only; `sails.training.scoring` is what measures.
"""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.retention.bootstrap import chance, difference, paired
    from sails.retention.gate import LOST, LOST_SLOWLY, decide
    from sails.retention.lessons import (
        ELSEWHERE,
        ROWS,
        LessonRows,
        Sample,
        all_lesson_rows,
        in_order,
        lesson_rows,
        lessons_of,
        sample_rows,
        taught_before,
        taught_to,
    )
    from sails.retention.matrix import matrix_of
    from sails.retention.metrics import as_json, measure
    from sails.retention.model_report import (
        Map,
        Memory,
        forgetting_sentences,
        good_or_not,
        map_of,
        of_current,
        sentences,
    )
    from sails.retention.questions import GENERAL_PROMPTS, UNRELATED, Answered, Question, questions_for
    from sails.retention.replay import draw, repeatable, replayed
    from sails.retention.schema import (
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
        write_retention,
    )
    from sails.retention.session_report import (
        before_and_after,
        finding_words,
        findings,
        gained_answers,
        lost_answers,
        lost_words,
    )

__getattr__, __all__ = lazy_exports(__name__)
