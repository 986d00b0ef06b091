"""Work in processes of its own, one module a kind: a training, an export, a measured learning rate, a replay.

`submit` and the `start_…` functions are the caller's side and light; `worker` is the process itself, which
runs the `run_…` function of its kind. A `launcher` starts it, `candidates` decides about the model it made.
"""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.jobs.candidates import (
        discard,
        publish_held,
        run_again,
        settings_to_try,
        taught_since,
        train_again,
    )
    from sails.jobs.export import (
        OPSETS,
        Job,
        answering_freshness,
        export_base,
        export_current,
        export_for,
        export_jobs,
        exporter_of,
        freshness,
        freshness_of,
        read_job,
        running_export,
        to_refresh,
        verification_rows,
    )
    from sails.jobs.launcher import PATIENT_THREADS, dispatch, launcher_for
    from sails.jobs.lr_finder import (
        advice_for,
        latest_measurement,
        running_measurement,
        seconds_for,
        start_measurement,
        why_not,
    )
    from sails.jobs.playback import start_replay
    from sails.jobs.submit import start_training, submit_training
    from sails.jobs.worker import run_worker

__getattr__, __all__ = lazy_exports(__name__)
