"""Before a training: what it will do, what it needs and how long it takes."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.training.plan.behavior import (
        BASE_LEARNING_RATE,
        CONTINUE_LEARNING_RATE,
        HIGHEST_LEARNING_RATE,
        MATRIX,
        MatrixRow,
        automatic_learning_rate,
        check_learning_rate,
        plan_from,
        plan_training,
        row_for,
    )
    from sails.training.plan.duration import LOOKED_AT_ROWS, TimeEstimate, TimeLeft, steps_to_know, time_left
    from sails.training.plan.expected import Expected, expect, lessons_then
    from sails.training.plan.forecast import (
        Earlier,
        Offer,
        TrainingForecast,
        current_plan,
        earlier_lessons,
        forecast_training,
        offers,
        rows_fingerprint,
        usual_seconds,
    )
    from sails.training.plan.language import describe_foreign
    from sails.training.plan.request import (
        LONGEST_NAME,
        Choices,
        check_device,
        checked_name,
        read_learning_rate,
    )
    from sails.training.plan.resources import estimate, refuse_if_too_big
    from sails.training.plan.schedule import Schedule, rehearsed_rows, resolve_schedule

__getattr__, __all__ = lazy_exports(__name__)
