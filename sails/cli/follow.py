"""What the commands share: following a session, progress bars, plain sentences, JSON.

Everything that a person wrote (names, questions, answers) is printed as plain text, never as markup.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table
from rich.text import Text

from sails import jobs, models, retention, sessions, system
from sails.cli.output import say, warn
from sails.errors import JobError, RequestError
from sails.models import VARIANT_TITLES, Workspace
from sails.onnx.certify import certificate_checks, certificate_title, read_content
from sails.sessions import Plan, Session, Status, TrainSpec, describe_learning_rate, describe_plan
from sails.system import Progress
from sails.training import judge

POLL_SECONDS = 0.25

PHASES = {
    "queued": "waiting",
    "prepare": "preparing",
    "train": "training",
    "judge": "judging",
    "publish": "publishing",
    "export": "exporting to ONNX",
    "done": "done",
}

screen = Console(stderr=True, highlight=False, markup=False)


def print_table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table as wide as it needs to be, so that it can be piped and searched."""
    grid = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    # Where nobody sees the width, a row must not be folded into lines that no search finds.
    width = None if sys.stdout.isatty() else 200
    Console(highlight=False, markup=False, width=width).print(grid)


# --- progress -------------------------------------------------------------------------------------


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar with the time left on a terminal, elsewhere a line at every tenth.

    Gives `report(fraction, *words)`.
    """
    if not screen.is_terminal:
        yield _quiet_progress()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with ProgressBar(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("", total=1.0, visible=False)  # until there is something to say
        last = 0.0

        def report(fraction: float, *words: str) -> None:
            nonlocal last
            if fraction < last:  # the next piece of work; its time left is its own
                bar.reset(task, total=1.0)
            last = fraction
            bar.update(task, completed=fraction, description=": ".join(words), visible=True)

        yield report


def _quiet_progress() -> Progress:
    said: tuple[str, float] = ("", -1.0)

    def report(fraction: float, *words: str) -> None:
        nonlocal said
        if words[0] != said[0] or fraction - said[1] >= 0.1:  # a line for every tenth
            warn(f"{': '.join(words)} ({fraction:.0%})")
            said = (words[0], fraction)

    return report


# --- following a session --------------------------------------------------------------------------


def announce(plan: Plan) -> None:
    """Say what the training will do and why, in the words of the matrix."""
    say(describe_plan(plan))
    say(f"Learning rate: {describe_learning_rate(plan)}")
    for warning in plan.warnings:
        say(warning)


def plan_of(session: Session) -> Plan:
    """Return the plan that a training session was queued with."""
    spec = session.spec()
    assert isinstance(spec, TrainSpec)
    assert spec.plan is not None
    return spec.plan


def follow(session: Session, workspace: Workspace | None = None) -> Status:
    """Show a session's progress until it ends; Ctrl-C asks it to stop at its next step.

    With a `workspace`, the queue is kept moving meanwhile. A second Ctrl-C no longer waits for the end.
    """
    launcher = jobs.launcher_for(session)
    notes = 0
    interrupts = 0
    with progress_bar() as report:
        while True:
            try:
                status = session.status()
                for note in status.notes[notes:]:
                    screen.print(f"· {note}")
                notes = len(status.notes)
                if status.state not in ("queued", "running"):
                    return status
                report(status.progress, *_words(session, status, workspace))
                if workspace is not None:
                    jobs.dispatch(workspace)
                elif status.state == "queued" and launcher.state(session) == "absent":
                    raise JobError(f"{session.id} could not be started.", "\n".join(launcher.logs(session)))
                time.sleep(POLL_SECONDS)
            except KeyboardInterrupt:
                interrupts += 1
                if interrupts > 1:
                    raise
                screen.print("Stopping within a few steps… (Ctrl-C again does not wait for it)")
                with suppress(RequestError):  # it has just ended
                    launcher.stop(workspace or Workspace.open(session.folder.parent.parent), session)


def _words(session: Session, status: Status, workspace: Workspace | None) -> tuple[str, ...]:
    if status.state == "queued" and workspace is not None:
        ids = [entry.id for entry in sessions.waiting(workspace)]
        ahead = ids.index(session.id) if session.id in ids else 0
        busy = system.is_held(workspace.training_lock) and not system.is_held(session.lock)  # by another
        return ("waiting", f"{ahead + 1 if busy else ahead} before it") if ahead or busy else ("starting",)
    return (PHASES[status.phase], status.message) if status.message else (PHASES[status.phase],)


def conclude(session: Session, status: Status) -> None:
    """Say how a training session ended; raises `JobError` unless it succeeded."""
    if status.state == "failed" and status.failure:
        tail = "\n".join(("", *status.failure.log_tail)) if status.failure.log_tail else ""
        done = "published the new model, then " if status.verdict == "published" else ""
        go_on = f" Go on with: sails sessions resume {session.id}" if status.resumable else ""
        remedy = f"{status.failure.remedy}{go_on}{tail}"
        raise JobError(f"{session.id} {done}failed: {status.failure.message}", remedy)
    if status.resumable:
        raise JobError(
            f"{session.id} was {status.state} at step {status.step} of {status.total_steps or '?'}.",
            f"Go on with: sails sessions resume {session.id}",
        )
    results = status.results
    for name, before, after in (
        ("taught rows", results.taught_before, results.taught_after),
        ("rows it never saw", results.held_out_before, results.held_out_after),
    ):
        if before and after:
            rows = system.count(after.rows, "row")
            say(
                f"  {name:18} loss {before.loss:.3f} → {after.loss:.3f}, "
                f"answer tokens right {before.accuracy:.0%} → {after.accuracy:.0%} ({rows})"
            )
    if results.tokens_per_second:
        say(f"  {system.count(results.steps, 'step')}, {results.tokens_per_second:,.0f} tokens per second")
    if judged := judge(status, retention.read_retention(session)):
        say(f"{judged.sentence} {judged.next_step}")
    if status.verdict == "published":
        say(f"✅ {session.id}: the new model is published.")
    elif status.verdict == "held":
        say(f"⚠️ {session.id}: held. {status.verdict_reason}")


def say_certificates(certificates: Mapping[str, dict[str, Any]]) -> None:
    """Say what was measured of each variant of an ONNX model, in words and figures."""
    for content in certificates.values():
        certificate = read_content(content)
        if certificate is None:
            say("❔ There is a certificate that cannot be read.")
            continue
        say(f"{'✅' if certificate.passed else '❌'} {certificate_title(certificate)}")
        for reason in certificate.reasons:
            say(f"   {reason}")
        for check in certificate_checks(certificate):
            sign = {True: "✅", False: "❌", None: "  "}[check.good]
            say(f"   {sign} {check.name}: {check.value}. {check.sentence}".rstrip())


def refresh_hint(workspace: Workspace) -> str:
    """Which command makes the ONNX model fit the trained model again; empty when it does."""
    trained = workspace.situation().trained
    found = models.inspect_variants(workspace.onnx_model, trained.fingerprint, trained.tokenizer)
    again = jobs.to_refresh(trained, found)
    if not again:
        return ""
    which = f" --variant {again[0]}" if len(again) == 1 else ""
    model = f"{VARIANT_TITLES[again[0]]} ONNX model" if which else "ONNX model"
    freshness = jobs.freshness_of(workspace, found[again[0]], trained)
    if not which:
        freshness = jobs.freshness(workspace, workspace.situation())
    return models.refresh_advice(freshness, model, f"{which} --verify")
