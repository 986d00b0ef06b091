"""One training session, from its place in the queue to a published model.

    prepare ─► train ─► judge ─► publish ─► export

It takes the workspace's training lock before anything heavy is imported, and holds it to its end. All it says
goes into the session's folder. Killed anywhere, it leaves the former model in place and the session
*interrupted*: resumed, it continues behind the last thing that was finished.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from statistics import mean
from typing import Any, Literal

from sails import models, retention, sessions, system, training
from sails.data import Conversation
from sails.errors import BusyError, WorkspaceError
from sails.jobs import launcher
from sails.jobs.candidates import publish_candidate, was_published, why_held
from sails.jobs.export import verification_rows
from sails.models import Workspace, inspect_model
from sails.onnx import ConversionOrder, convert_model
from sails.retention import UNRELATED, ProbeAnswer, ProbeQuestion, questions_for
from sails.sessions import (
    PRESETS,
    MetricsReader,
    Reporter,
    Session,
    Stopped,
    TrainSpec,
    describe_change,
    describe_learning_rate,
    live,
)
from sails.training import TrainingMixture, plan
from sails.training.plan import current_plan

log = logging.getLogger(__name__)


def train_in_turn(session: Session, spec: TrainSpec) -> int:
    """Run a training session, unless another one trains or it is not waiting any more."""
    workspace = Workspace(session.folder.parent.parent, spec.trained_model, spec.onnx_model)
    training = system.LifeLock(workspace.training_lock)
    try:
        training.acquire(timeout=1.0)
    except BusyError:
        log.info("Another session trains; %s keeps its place in the queue.", session.id)
        return 0

    def leave() -> None:
        sessions.dequeue(workspace, session.id)
        training.release()
        launcher.dispatch(workspace)

    try:
        # Somebody may have stopped it, or another worker may have run it, while this one came up.
        if session.written_status().state != "queued":
            return 0
        return live(session, lambda reporter: run_training(workspace, session, spec, reporter), leave)
    finally:
        leave()


# --- a training session ---------------------------------------------------------------------------


def run_training(workspace: Workspace, session: Session, spec: TrainSpec, reporter: Reporter) -> None:
    """Take a session from its start to its end. Raises `SailsError` or `Stopped`."""
    sessions.dequeue(workspace, session.id)
    session.check_place()
    models.recover_folder(workspace.trained_model)
    models.recover_onnx(workspace.onnx_model)
    models.remove_leftovers(workspace)
    sessions.write_down_verdicts(workspace)
    if was_published(workspace, reporter.status):
        reporter.update(verdict="published")  # it may have been killed before it could say so
    else:
        if not inspect_model(session.model).complete:
            prepared = prepare(workspace, session, spec, reporter)
            prompts = train(prepared, session, spec, reporter)
            evaluate(prepared, prompts, session, reporter)
            del prepared  # the model's memory: the export needs it
            reporter.check_stop()
        publish(workspace, session, spec, reporter)
    shutil.rmtree(session.checkpoints, ignore_errors=True)
    variants = tuple(name for name in spec.variants if name in models.exportable(workspace.trained_model))
    if spec.export and variants != spec.variants:
        reporter.note(f"⚠️ {models.export_limits(workspace.trained_model)}")
    if spec.export and variants and workspace.situation().trained.fingerprint == reporter.status.fingerprint:
        with reporter.phase("export"):
            rows = verification_rows(workspace, reporter.status.fingerprint) if spec.verify else []
            # Without a trained model, the ONNX model was all that is left of something: keep it.
            orphan = reporter.status.plan is not None and reporter.status.plan.row in (4, 6)
            order = ConversionOrder(
                model=workspace.trained_model,
                target=workspace.onnx_model,
                variants=variants,
                verify=spec.verify,
                opset=spec.opset,
                prompts=tuple(row.input for row in rows),
                answers=tuple(row.output for row in rows),
                keep=workspace.set_aside / f"{session.id}-onnx" if orphan else None,
                forgiving=True,
            )
            convert_model(order, reporter)


@dataclass(frozen=True)
class Prepared:
    """A model before the first step of its session, and all that it is taught and asked."""

    lesson: TrainingMixture
    student: training.Student
    examination: training.Examination
    questions: Sequence[ProbeQuestion]  # asked before and after the lesson
    taught: training.Encoded
    held_out: Sequence[Conversation]  # rows that are scored along the way
    rehearsal: training.Rehearsal | None


def prepare(workspace: Workspace, session: Session, spec: TrainSpec, reporter: Reporter) -> Prepared:
    """Choose the model to start from and the rows, refuse what does not fit, and measure what it knows."""
    with reporter.phase("prepare"):
        start = _choose_start(workspace, session, spec, reporter)
        load_tokenizer = cache(training.load_tokenizer)

        def encode(
            rows: Sequence[Conversation], progress: Callable[[float], object] = lambda _: None
        ) -> training.Encoded:
            longest = min(spec.settings.max_length, training.context_length_in(start))
            return training.encode(rows, load_tokenizer(start), longest, workspace.tokens, progress)

        def counting(part: float) -> None:
            reporter.progress(part / 2, "cutting the examples into word pieces")

        lesson = training.prepare(workspace, session, spec, reporter, partial(encode, progress=counting))
        need = plan.estimate(start, lesson.schedule, spec.settings.max_length, export=spec.export)
        plan.refuse_if_too_big(need, workspace.root)
        reporter.check_stop()
        reporter.progress(0.5, "loading the model")
        # Heavy, and not needed for a request that cannot be met.
        from sails.training import Precision, check_vocabulary, choose_device, load_model

        device = choose_device(spec.settings.device)
        precision = Precision.of(device)
        tokenizer, model = load_tokenizer(start), load_model(start, device)
        check_vocabulary(model, tokenizer, start)
        if spec.settings.method == "lora":
            training.adaptable_layers(model)  # raises where there are none
        taught = encode((*lesson.train, *lesson.repeated))
        if not any(number < len(lesson.train) for number in taught.kept):
            encode(lesson.train)  # which says why
        student = training.Student(model, tokenizer, taught.max_length, precision)
        examination = training.Examination(workspace, session, reporter, lesson, student)
        rehearsal = _rehearsal(spec, examination, reporter)
        measured = (session.folder / retention.RETENTION_FILE).exists()
        if not measured:
            reporter.progress(0.7, "measuring the model before the lesson")
            examination.before()
            reporter.result(precision=precision.name, device=device)
        questions = questions_for(lesson.train, examination.general_questions)
        if not measured:
            reporter.progress(0.9, "asking it a few questions before the lesson")
            answers = training.answer(student, [question.question for question in questions])
            _write_down(questions, answers, "before", reporter)
        held_out = examination.sample.get((session.id, "held_out"), ())[: plan.LOOKED_AT_ROWS]
    return Prepared(lesson, student, examination, questions, taught, held_out, rehearsal)


def train(prepared: Prepared, session: Session, spec: TrainSpec, reporter: Reporter) -> list[str]:
    """Train the model in place, from its newest checkpoint where there is one; returns its sample prompts.

    Raises `Stopped`.
    """
    lesson, student, taught = prepared.lesson, prepared.student, prepared.taught
    plan = reporter.status.plan
    assert plan is not None
    with reporter.phase("train"):
        examples: dict[int, list[int]] = {}  # not all rows have one, and some have several
        for example, row in enumerate(taught.kept):
            examples.setdefault(row, []).append(example)
        samples = [row.input for row in (*lesson.train[:2], *lesson.held_out[:1]) if len(row.input) < 500]
        prompts = [*samples, UNRELATED]
        batches = training.schedule(
            taught.lengths,
            [[example for row in rows for example in examples.get(row, ())] for rows in lesson.rounds()],
            seed=spec.settings.seed,
            token_budget=lesson.schedule.token_budget,
            batch_size=lesson.schedule.batch_size,
        )
        rehearsal, first = prepared.rehearsal, len(taught.examples)
        if rehearsal:
            share, seed = lesson.schedule.protect, spec.settings.seed
            count = len(rehearsal)
            batches = training.with_rehearsal(batches, first=first, count=count, share=share, seed=seed)
        preset = PRESETS[spec.settings.preset]
        rule = training.KnownRule(preset.known_share, preset.known_rounds)
        new = sum(row < len(lesson.train) for row in taught.kept)
        run = training.Run(
            examples=taught.examples,
            batches=batches,
            held_out=training.encode(prepared.held_out, student.tokenizer, student.longest).examples,
            learning_rate=plan.learning_rate,
            settings=spec.settings,
            prompts=prompts,
            before=_seen_before(session),
            taught=first if spec.settings.teach_again else new,
            known=rule if lesson.schedule.until_known else None,
            rehearsal=rehearsal,
            matrices=_matrices(session, rehearsal, student),
        )
        outcome = training.train(student.model, student.tokenizer, run, student.precision, session, reporter)
        rehearsed = 0.0
        if rehearsal:
            rehearsed = mean(sum(number >= first for number in batch) for batch in run.flat)
        reporter.result(
            steps=outcome.steps,
            epochs=round(run.epochs_after(outcome.steps), 3),
            most_epochs=len(run.batches),
            rehearsed=rehearsed,
            enough=outcome.enough,
            tokens=reporter.status.results.tokens + outcome.tokens,
            tokens_per_second=round(outcome.tokens / outcome.seconds, 1) if outcome.seconds else 0.0,
        )
        if outcome.stopped:
            raise Stopped
        if outcome.enough:
            reporter.note(training.describe_end(reporter.status.results))
        if spec.settings.blend:
            _blend(prepared, reporter)
        reporter.update(guarded=outcome.guarded)
        if outcome.stopped_early:
            reporter.note(f"Stopped early at step {outcome.steps}: the held-out loss no longer improved.")
    return prompts


def evaluate(prepared: Prepared, prompts: list[str], session: Session, reporter: Reporter) -> None:
    """Measure what the model knows now, ask the same questions again, and save it as the candidate."""
    student, examination, questions = prepared.student, prepared.examination, prepared.questions
    with reporter.phase("judge"):
        system.give_back_memory()  # what the optimizer had: a second model needs it now
        reporter.progress(0.1, "measuring what it knows now")
        examination.after()
        reporter.progress(0.6, "asking it the same questions after the lesson")
        asked = [*prompts, *(question.question for question in questions), *examination.changed]
        answers = training.answer(student, asked)
        said = [answers[prompt] for prompt in prompts]
        reporter.metric("samples", step=reporter.status.results.steps, prompts=prompts, answers=said)
        reporter.result(ends=training.ends_by_itself(student, prepared.lesson.train))
        _write_down(questions, answers, "after", reporter)
        reporter.progress(0.8, "asking the model before it what changed most")
        examination.compare_answers(answers)
        training.save_model(student.model, student.tokenizer, session.model)


def publish(workspace: Workspace, session: Session, spec: TrainSpec, reporter: Reporter) -> None:
    """Publish the candidate, unless there is a reason to let a person decide."""
    with reporter.phase("publish"):
        reporter.update(fingerprint=inspect_model(session.model).fingerprint)
        if reporter.status.verdict == "discarded":  # by a person, while the session was interrupted
            return
        reason = why_held(workspace, session, spec, reporter)
        if reason:
            reporter.update(verdict="held", verdict_reason=reason)
            reporter.note(f"⚠️ {reason} The new model is kept; you decide what becomes of it.")
            return
        publish_candidate(workspace, session, reporter.status)
        reporter.update(verdict="published")


# --- what the four need ---------------------------------------------------------------------------


def _choose_start(workspace: Workspace, session: Session, spec: TrainSpec, reporter: Reporter) -> Path:
    """The folder of the model to start from; the plan as carried out goes into the status.

    A resumed session keeps its plan and starts from its own checkpoint, whatever is current by now.
    """
    checkpoint = session.newest_checkpoint()
    if reporter.status.plan is not None and checkpoint is not None:
        reporter.metric("resume", step=int(checkpoint.name.rpartition("-")[2]))
        log.info("Resuming from %s.", checkpoint.name)
        return checkpoint
    plan = current_plan(workspace, spec)
    if reporter.status.plan is not None:  # resumed before its first checkpoint: nothing measured so far holds
        reporter.metric("resume", step=0)
        reporter.result(taught_before=None, held_out_before=None, tokens=0)
        training.begin_again(session)
    current = workspace.situation().trained.fingerprint
    parent = current if plan.start_from == "trained" else None
    earlier = retention.taught_to(workspace, current if spec.settings.teach_again else parent)
    reporter.update(plan=plan, replaces=current, parent=parent, lessons=earlier)
    if change := describe_change(spec.plan, plan):
        reporter.note(change)
    for line in (plan.reason, *plan.warnings, f"Learning rate {describe_learning_rate(plan)}"):
        log.info("%s", line)
    if plan.start_from == "trained":
        known = models.provenance_of(workspace.trained_model)
        if known and known.tokenizer and known.tokenizer != workspace.situation().trained.tokenizer:
            reporter.note(
                "⚠️ The tokenizer or chat template of the current model was changed since its last lesson: it "
                "reads this one in another way. Start over from base if its answers get worse."
            )
        return workspace.trained_model
    return models.ensure_base_model(plan.model, reporter.progress)


def _blend(prepared: Prepared, reporter: Reporter) -> None:
    """Take back as much of what the training changed as the lesson does without."""
    student, taught, folder = prepared.student, prepared.taught, prepared.examination.start_folder
    if folder is None:
        reporter.note("⚠️ The model that it started from is not here any more, so the whole change is kept.")
        return
    reporter.progress(1.0, "looking how much of the change was needed")
    own = [e for row, e in zip(taught.kept, taught.examples, strict=True) if row < len(prepared.lesson.train)]
    rows = training.spread(own, retention.ROWS)
    share = training.blend_weights(
        student.model, folder, rows, student.tokenizer.pad_token_id, student.precision
    )
    reporter.result(blend=share)
    reporter.note(training.describe_blend(reporter.status.results))


def _write_down(
    questions: Sequence[ProbeQuestion],
    answers: Mapping[str, str],
    when: Literal["before", "after"],
    reporter: Reporter,
) -> None:
    """The answers to the questions that show what the lesson did."""
    said = (ProbeAnswer(**asked.model_dump(), answer=answers[asked.question]) for asked in questions)
    items = [answer.model_dump() for answer in said]
    reporter.metric("answers", when=when, items=items)


def _seen_before(session: Session) -> training.Before:
    """What steps and evaluations said up to the checkpoint that is resumed from; nothing at a first start."""
    losses: dict[int, float] = {}
    steps: dict[int, dict[str, Any]] = {}
    for metric in MetricsReader(session.metrics).read_metrics() if session.newest_checkpoint() else ():
        if metric["kind"] == "evaluation":
            losses[metric["step"]] = metric["loss"]
        elif metric["kind"] == "step":
            steps[metric["step"]] = metric
        elif metric["kind"] == "resume":
            losses = {step: loss for step, loss in losses.items() if step <= metric["step"]}
            steps = {step: seen for step, seen in steps.items() if step <= metric["step"]}
    return training.Before(tuple(losses.values()), tuple(steps.values()))


def _rehearsal(
    spec: TrainSpec, examination: training.Examination, reporter: Reporter
) -> training.Rehearsal | None:
    reporter.progress(0.6, "reading what the base model answers")
    rehearsal = training.rehearsal_for(
        examination.student,
        spec.settings.protect,
        base=examination.base_folder,
        before=examination.start_folder,
        reporter=reporter,
    )
    if rehearsal is None and reporter.session.newest_checkpoint() and reporter.session.projection.exists():
        raise WorkspaceError(
            "The model whose answers it rehearses is not here any more, so it cannot go on as it began.",
            "Put the base model back, and start the training again.",
        )
    return rehearsal


def _matrices(
    session: Session, rehearsal: training.Rehearsal | None, student: training.Student
) -> training.Matrices | None:
    """What steps are projected by; a session that is resumed knows."""
    if rehearsal and session.newest_checkpoint():
        return training.load_matrices(session.projection) if session.projection.exists() else None
    return training.matrices_for(student, rehearsal)
