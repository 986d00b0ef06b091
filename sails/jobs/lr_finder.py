"""Which learning rate suits the next lesson, measured as a background job: start it, follow it, read it.

    session = start_measurement(workspace, choices)  # some minutes; a training does not run beside it
    advice  = advice_for(workspace, choices)         # of the newest measurement for the same lesson

It measures with the rows, the protection and the schedule of the session to come, from a base model or from
the trained one. What it measures is `sails.training.lr_range_test`'s part. An advice holds for one model to
start from, one set of rows, and all settings but `OTHERS`.
"""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import zip_longest

from sails import data, models, retention, sessions, system, training
from sails.data import Conversation
from sails.errors import BusyError, RequestError, SailsError, WorkspaceError
from sails.jobs import launcher
from sails.models import Workspace
from sails.retention import replay_count
from sails.sessions import Advice, Plan, ProbeSpec, Reporter, Session, SessionRecord
from sails.training import plan
from sails.training.plan import Choices, Expected, TrainingForecast

# Settings with which a measurement holds as well; what is not named here counts as one that matters.
OTHERS = {"preset", "epochs", "max_steps", "learning_rate", "early_stop", "device", "publish", "blend"}
MIN_SECONDS = 120.0  # of computing; as much as two of three rates take on one core
MAX_SHARE = 0.1  # of the training, where that is longer
NAME = "probe"
MAX_OLD_ROWS = 200  # old rows that are tokenized
GENERAL_PROMPTS = 24  # whose answers tell whether general knowledge is kept

log = logging.getLogger(__name__)

# --- asking ---------------------------------------------------------------------------------------


def why_not(seen: TrainingForecast) -> RequestError | None:
    """Return why nothing can be measured for a training, None when something can."""
    earlier = seen.earlier
    if seen.schedule.method == "lora":
        return RequestError(
            "The learning speed is measured by training the model itself; LoRA learns in other steps.",
            "Train at the automatic learning speed.",
        )
    if seen.plan.start_from == "trained" and not earlier.rows:
        gone = earlier.lessons and earlier.gone == earlier.lessons
        why = "were deleted" if gone else "are not known here, or this lesson teaches all of them again"
        return RequestError(
            f"The examples of earlier lessons {why}, so nobody can measure what it would forget.",
            "Train at the automatic learning speed.",
        )
    return None


def seconds_for(seen: TrainingForecast) -> float:
    """Return how many seconds measuring may compute: a tenth of the training, or two minutes."""
    alone = (seen.time.low + seen.time.high) / 2 / seen.time.slowdown if seen.time else 0.0
    return max(MIN_SECONDS, MAX_SHARE * alone)


@system.changes("measure the learning rate")
def start_measurement(workspace: Workspace, choices: Choices) -> Session:
    """Start a job that measures for that training; nothing trains until it has ended.

    Raises `RequestError` where nothing can be measured (see `why_not`), `BusyError` while something trains,
    waits for training or is measured.
    """
    seen = plan.forecast_training(workspace, choices)
    if refusal := why_not(seen):
        raise refusal
    dataset = data.combine(workspace, choices.datasets)
    with system.short_lock(workspace.root / "jobs.lock"):
        if running_measurement(workspace):
            raise BusyError("The learning speed is being measured already.", "Wait until that is done.")
        if system.is_held(workspace.training_lock) or sessions.waiting(workspace):
            raise BusyError(
                "A training runs or waits now, and measuring beside it would slow down both.",
                "Wait until it has ended, or stop it first.",
            )
        spec = ProbeSpec(
            id=sessions.free_id(workspace.jobs, NAME),
            name=dataset.name,
            created=datetime.now(UTC),
            dataset=dataset.name,
            base=_base(seen.plan),
            settings=choices.settings,
            seconds=seconds_for(seen),
            trained_model=workspace.trained_model,
            onnx_model=workspace.onnx_model,
        )
        job = sessions.create(workspace.jobs, spec)
        parent = workspace.situation().trained.fingerprint
        job.write_status(job.written_status().model_copy(update={"parent": parent}))
    launcher.launcher_for(job).submit(job)
    return job


# --- following ------------------------------------------------------------------------------------


def running_measurement(workspace: Workspace) -> Session | None:
    """Return the measurement that runs or is just starting."""
    jobs = [job for job in sessions.running_jobs(workspace) if isinstance(job.spec, ProbeSpec)]
    states = {job.session: launcher.launcher_for(job.session).state(job.session) for job in jobs}
    return next((job for job, state in states.items() if state in ("starting", "running")), None)


def latest_measurement(
    workspace: Workspace, choices: Choices, expected: Expected | None = None
) -> SessionRecord | None:
    """Return the newest measurement for the same lesson, however it ended."""
    with contextlib.suppress(SailsError):
        return next(_matching(workspace, choices, expected), None)
    return None


def advice_for(workspace: Workspace, choices: Choices, expected: Expected | None = None) -> Advice | None:
    """Return what was measured last for the same rows, model and settings that matter.

    Where there was not enough time to measure, that is no advice. `expected` is what `plan.expect` says, for
    who knows it already.
    """
    with contextlib.suppress(SailsError):
        found = (record.status for record in _matching(workspace, choices, expected))
        done = (status.results.advice for status in found if status.state == "succeeded")
        return next((advice for advice in done if advice and not advice.untried), None)
    return None


def _base(planned: Plan) -> str | None:
    return planned.model if planned.start_from == "base" else None


def _matching(workspace: Workspace, choices: Choices, expected: Expected | None) -> Iterator[SessionRecord]:
    """Measurements for the same lesson, newest first."""
    expected = expected or plan.expect(workspace)
    if not choices.datasets or expected.before:  # of a model that is yet to be made, nothing was measured
        return
    current = workspace.situation().trained.fingerprint
    planned = plan.plan_training(workspace, start=choices.start, model_name=choices.model_name)
    asked = choices.settings
    for path in sorted(workspace.jobs.glob(f"*-{NAME}*/spec.json"), reverse=True):
        with contextlib.suppress(SailsError, OSError):
            record = sessions.record(Session(path.parent))
            spec = record.spec
            if not isinstance(spec, ProbeSpec) or record.status.parent != current:
                continue
            same = spec.settings.model_dump(exclude=OTHERS) == asked.model_dump(exclude=OTHERS)
            if same and (spec.base, spec.settings.until_known) == (_base(planned), asked.until_known):
                rows = plan.rows_fingerprint(workspace, (spec.dataset,))
                if rows == plan.rows_fingerprint(workspace, choices.datasets):
                    yield record


# --- measuring ------------------------------------------------------------------------------------


def run_measurement(job: Session, spec: ProbeSpec, reporter: Reporter) -> None:
    """Measure for the training to come, which waits meanwhile. Raises `SailsError` or `Stopped`."""
    job.check_place()
    workspace = Workspace(job.folder.parent.parent, spec.trained_model, spec.onnx_model)
    training = system.LifeLock(workspace.training_lock)
    try:
        training.acquire(timeout=1.0)
    except BusyError as error:
        problem = "A training began before the learning speed could be measured."
        raise BusyError(problem, "Measure it afterwards.") from error
    try:
        with reporter.phase("prepare"):
            _measure(workspace, spec, reporter)
    finally:
        training.release()
        launcher.dispatch(workspace)


@dataclass(frozen=True)
class _NextLesson:
    """The rows of the session to come; how many old ones a round repeats for each new one, and of all."""

    train: Sequence[Conversation]
    old: Sequence[Conversation]
    schedule: plan.Schedule
    each: float
    repeated: float


def _measure(workspace: Workspace, spec: ProbeSpec, reporter: Reporter) -> None:
    reporter.progress(0.0, "loading the model")
    trained = workspace.situation().trained
    if trained.fingerprint != reporter.status.parent or not (spec.base or trained.complete):
        raise WorkspaceError("The model changed before it could be measured.", "Measure it again.")
    folder = workspace.trained_model
    if spec.base:
        folder = models.ensure_base_model(spec.base, reporter.progress)
    rows = _rows(workspace, spec)
    need = plan.estimate(folder, rows.schedule, spec.settings.max_length, export=False)
    copy = 4 * need.parameters  # of the weights, to put back after each trial
    plan.refuse_if_too_big(replace(need, memory=need.memory + copy, disk=0), workspace.root)
    reporter.check_stop()
    from sails.training import Mixture, Precision, choose_device, context_length, load_model, probe

    device = choose_device(spec.settings.device)
    model, tokenizer = load_model(folder, device), training.load_tokenizer(folder)
    longest = min(spec.settings.max_length, context_length(model))
    student = training.Student(model, tokenizer, longest, Precision.of(device))
    reporter.check_stop()
    new = training.encode(rows.train, tokenizer, longest)
    old = training.encode(rows.old, tokenizer, longest)
    reporter.progress(0.0, "reading what the base model answers")
    base = training.base_folder(spec.base or trained.base)
    before = None if spec.base else folder
    rehearsal = training.rehearsal_for(
        student, spec.settings.protect, base=base, before=before, reporter=reporter
    )
    general = training.unrehearsed(student, base or folder, GENERAL_PROMPTS)
    reporter.check_stop()
    schedule, lengths = rows.schedule, (*new.lengths, *old.lengths)
    in_a_batch = schedule.batch_size or (schedule.token_budget or 0) * len(lengths) // sum(lengths)
    advice = probe(
        model,
        tokenizer,
        new=new.examples,
        old=old.examples,
        general=general,
        mixture=Mixture(
            rows=max(1, in_a_batch),
            each=rows.each,
            repeated=rows.repeated,
            rehearsal=rehearsal,
            matrices=training.matrices_for(student, rehearsal),
        ),
        settings=spec.settings,
        precision=student.precision,
        seconds=spec.seconds,
        report=reporter.progress,
        check=reporter.check_stop,
    )
    reporter.result(advice=advice)
    log.info("%s", advice.reason)


def _rows(workspace: Workspace, spec: ProbeSpec) -> _NextLesson:
    """As a session would choose them; nothing is recorded."""
    train = training.peek(workspace, spec.dataset).train
    repeats = spec.base is None or spec.settings.teach_again
    current = workspace.situation().trained.fingerprint if repeats else None
    ids = retention.taught_to(workspace, current)
    earlier = retention.replayable_rows(retention.all_lesson_rows(workspace, ids, train), train)
    total = sum(map(len, earlier.values()))
    count = replay_count(len(train), total, spec.settings.replay_share)
    if spec.settings.teach_again:
        count = total
    schedule = plan.resolve_schedule(spec.settings, len(train), count)
    # Old rows evenly from all lessons, each shuffled, as many as a session in small may need.
    mixed = []
    for number, rows in enumerate(earlier.values()):
        shuffled = sorted(rows, key=lambda row: row.fingerprint)
        random.Random(number).shuffle(shuffled)
        mixed.append(shuffled)
    old = [row for turn in zip_longest(*mixed) for row in turn if row is not None][:MAX_OLD_ROWS]
    return _NextLesson(train, old, schedule, count / len(train), count / max(1, total))
