"""Sessions: what was asked, where each stands, who waits, what became of all, and readers that read once.

`session` is one of them, `queue` who waits, `index` the history, `metrics` the figures of one. Jobs (an
export, say) have the same shapes in `jobs/ID`. Nothing here knows how a worker is started or what it does.
"""

from sails.sessions.history import SessionRecord, active, find, read_history, record, running, running_jobs
from sails.sessions.lineage import ancestors, chain
from sails.sessions.metrics import LineReader, MetricsReader, MetricsWriter
from sails.sessions.queue import (
    MAX_STARTS,
    RESUMABLE,
    START_SECONDS,
    Waiting,
    dequeue,
    enqueue,
    next_to_start,
    queue_at_rest,
    resume,
    stop,
    waiting,
)
from sails.sessions.session import CHECKPOINT_COMPLETE, Session, create, free_id, this_worker
from sails.sessions.spec import (
    Advice,
    AnySpec,
    ExportSpec,
    Preset,
    ProbeSpec,
    Publishing,
    ReplaySpec,
    Settings,
    Spec,
    TrainSpec,
    Trial,
)
from sails.sessions.status import Failure, Phase, Results, Scores, State, Status, Verdict

__all__ = [
    "CHECKPOINT_COMPLETE",
    "MAX_STARTS",
    "RESUMABLE",
    "START_SECONDS",
    "Advice",
    "AnySpec",
    "ExportSpec",
    "Failure",
    "LineReader",
    "MetricsReader",
    "MetricsWriter",
    "Phase",
    "Preset",
    "ProbeSpec",
    "Publishing",
    "ReplaySpec",
    "Results",
    "Scores",
    "Session",
    "SessionRecord",
    "Settings",
    "Spec",
    "State",
    "Status",
    "TrainSpec",
    "Trial",
    "Verdict",
    "Waiting",
    "active",
    "ancestors",
    "chain",
    "create",
    "dequeue",
    "enqueue",
    "find",
    "free_id",
    "next_to_start",
    "queue_at_rest",
    "read_history",
    "record",
    "resume",
    "running",
    "running_jobs",
    "stop",
    "this_worker",
    "waiting",
]
