"""Sessions: what was asked, where each stands, who waits, what became of all, and readers that read once.

`session` is one of them, `settings` how it trains, `queue` who waits, `history` all of them, `lineage` which
model came from which, `metrics` and `monitor` the figures of one. Jobs (an
export, say) have the same shapes in `jobs/ID`. Nothing here knows how a worker is started or what it does.
"""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.sessions.archive import delete, why_not_deletable, write_zip
    from sails.sessions.damage import tells_of_damage
    from sails.sessions.demo import (
        discard_recorded,
        is_demo,
        is_recorded_candidate,
        make_demo,
        reset_demo,
    )
    from sails.sessions.history import (
        SessionRecord,
        find,
        read_history,
        record,
        running,
        running_jobs,
        title,
        titles,
        write_down_verdicts,
    )
    from sails.sessions.labels import LONGEST_NOTE, MAX_TAGS, Labels, label, labels_of
    from sails.sessions.lineage import Branch, Place, ancestors, kinship, maker_of, tree
    from sails.sessions.metrics import MetricsReader
    from sails.sessions.monitor import AnsweredQuestion, Round, Samples, SessionMonitor, monitor_of
    from sails.sessions.plan import (
        Chooser,
        Plan,
        Start,
        StartFrom,
        describe_change,
        describe_learning_rate,
        describe_plan,
        format_rate,
        where,
    )
    from sails.sessions.presets import DEFAULT_PRESET, MAX_ROWS_FEW, PRESET_ROWS, PRESETS, Preset, size_for
    from sails.sessions.queue import (
        active,
        dequeue,
        enqueue,
        may_be_starting,
        next_to_start,
        one_more_training,
        queue_at_rest,
        queue_is_damaged,
        resume,
        stop,
        waiting,
    )
    from sails.sessions.repair import damaged_files, repair_session
    from sails.sessions.reporter import Reporter, Stopped, end_if_stuck, live
    from sails.sessions.session import CHECKPOINT_COMPLETE, Session, create, free_id, this_worker
    from sails.sessions.settings import Method, Settings, checked_settings, flag, option
    from sails.sessions.spec import Advice, AnySpec, ExportSpec, ProbeSpec, ReplaySpec, TrainSpec, Trial
    from sails.sessions.status import Failure, Phase, Results, Scores, State, Status

__getattr__, __all__ = lazy_exports(__name__)
