"""How a worker is started, watched and stopped; `local` is the only launcher so far."""

from sails.jobs.candidates import (
    discard,
    publish_held,
    run_again,
    share_to_try,
    taught_since,
    train_again,
)
from sails.jobs.export import (
    OPSETS,
    Freshness,
    Job,
    discard_failed,
    export_base,
    export_current,
    export_for,
    export_jobs,
    freshness,
    freshness_of,
    keep_failed,
    read_job,
    running_export,
    stop_export,
    to_refresh,
    verification_rows,
)
from sails.jobs.launcher import PATIENT_THREADS, dispatch, start_worker
from sails.jobs.lr_finder import (
    advice_for,
    latest_measurement,
    running_measurement,
    seconds_for,
    start_measurement,
    why_not,
)
from sails.jobs.replay import start_replay
from sails.jobs.submit import start_training, submit_training
from sails.jobs.worker import run_worker

__all__ = [
    "OPSETS",
    "PATIENT_THREADS",
    "Freshness",
    "Job",
    "advice_for",
    "discard",
    "discard_failed",
    "dispatch",
    "export_base",
    "export_current",
    "export_for",
    "export_jobs",
    "freshness",
    "freshness_of",
    "keep_failed",
    "latest_measurement",
    "publish_held",
    "read_job",
    "run_again",
    "run_worker",
    "running_export",
    "running_measurement",
    "seconds_for",
    "share_to_try",
    "start_measurement",
    "start_replay",
    "start_training",
    "start_worker",
    "stop_export",
    "submit_training",
    "taught_since",
    "to_refresh",
    "train_again",
    "verification_rows",
    "why_not",
]
