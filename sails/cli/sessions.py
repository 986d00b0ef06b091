"""`sails status`, `reset` and `sessions`: what is there, what happened, and going back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sails import jobs, models, retention, sessions, system
from sails.cli import options
from sails.cli.follow import conclude, follow, print_table
from sails.cli.output import say, say_json
from sails.errors import RequestError
from sails.models import Workspace
from sails.retention import Part
from sails.sessions import format_rate
from sails.system import seconds
from sails.training import judge

sessions_app = typer.Typer(
    help="The history: list, show, stop, resume, decide, what is still remembered, versions, roll back.",
    no_args_is_help=True,
)
SessionName = Annotated[str, typer.Argument(help="The session's full name, its short name, or `last`.")]
VersionName = Annotated[str, typer.Argument(help="A version, as `sails sessions versions` lists it.")]


@sessions_app.command("list")
def sessions_list(folder: options.WorkspaceOption = None, as_json: options.AsJson = False) -> None:
    """All training sessions, oldest first."""
    workspace = Workspace.open(folder)
    records = sessions.read_history(workspace)
    if as_json:
        say_json([record.brief() for record in records])
        return
    columns: tuple[str, ...] = ("session", "state", "verdict", "from", "learning rate", "chosen by", "loss")
    columns = (*columns, "time", "by")
    rows = [(*_line(record), system.name_of(record.spec.started_by)) for record in records]
    if any(record.labels.tags for record in records):
        columns = (*columns, "tags")
        rows = [(*row, ", ".join(r.labels.tags)) for row, r in zip(rows, records, strict=True)]
    print_table(f"Sessions in {workspace.root}", columns, rows)


def _line(record: sessions.SessionRecord) -> tuple[str, ...]:
    plan, results = record.status.plan, record.status.results
    before, after = results.taught_before, results.taught_after
    return (
        record.spec.id,
        record.status.state,
        record.status.verdict or "",
        plan.start_from if plan else "",
        format_rate(plan.learning_rate) if plan else "",
        plan.learning_rate_chosen_by if plan else "",
        f"{before.loss:.2f} → {after.loss:.2f}" if before and after else "",
        seconds(record.seconds, 0) if record.seconds else "",
    )


@sessions_app.command("show")
def sessions_show(
    session: SessionName, workspace: options.WorkspaceOption = None, as_json: options.AsJson = False
) -> None:
    """Everything about one session."""
    record = sessions.record(sessions.find(Workspace.open(workspace), session))
    if as_json:
        say_json(record.full())
        return
    for key, value in record.brief().items():
        if value is not None:
            say(f"{key:24} {', '.join(value) if isinstance(value, list) else value}")
    if record.status.verdict_reason:
        say(f"{'verdict reason':24} {record.status.verdict_reason}")
    if record.status.failure:
        say(f"{'failure':24} {record.status.failure.message} {record.status.failure.remedy}")
    for note in record.status.notes:
        say(f"· {note}")
    measured = retention.read_retention(record.session)
    if judged := judge(record.status, measured):
        say(f"{'did it work':24} {judged.sentence}")
    if measured:
        for finding in retention.findings(measured):
            say(f"{'compared':24} {retention.describe_finding(measured, finding)}")


@sessions_app.command("note")
def sessions_note(
    session: SessionName,
    note: Annotated[str, typer.Argument(help="What to write beside it; empty for no note.")],
    workspace: options.WorkspaceOption = None,
) -> None:
    """Write a note beside a session, in place of the one before."""
    chosen = sessions.find(Workspace.open(workspace), session)
    kept = sessions.label(chosen, note=note).note
    say(f"✅ {chosen.id} has {'this note' if kept else 'no note any more'}.")


@sessions_app.command("tag")
def sessions_tag(
    session: SessionName,
    tags: Annotated[list[str] | None, typer.Argument(help="All tags that it is to have.")] = None,
    workspace: options.WorkspaceOption = None,
) -> None:
    """Give a session these tags, in place of those before; none takes all away."""
    chosen = sessions.find(Workspace.open(workspace), session)
    kept = sessions.label(chosen, tags=tags or ()).tags
    say(f"✅ {chosen.id} is tagged {', '.join(kept)}." if kept else f"✅ {chosen.id} has no tags any more.")


@sessions_app.command("log")
def sessions_log(
    session: SessionName,
    workspace: options.WorkspaceOption = None,
    lines: Annotated[int, typer.Option(min=1, help="How many of the last lines.")] = 40,
) -> None:
    """The last lines of a session's log."""
    chosen = sessions.find(Workspace.open(workspace), session)
    for line in jobs.launcher_for(chosen).logs(chosen, lines):
        say(line)


@sessions_app.command("stop")
def sessions_stop(session: SessionName, folder: options.WorkspaceOption = None) -> None:
    """End a running session at its next step, or cancel one that waits."""
    workspace = Workspace.open(folder)
    chosen = sessions.find(workspace, session)
    jobs.launcher_for(chosen).stop(workspace, chosen)
    say(f"{chosen.id} was asked to stop.")


@sessions_app.command("resume")
def sessions_resume(
    session: SessionName, folder: options.WorkspaceOption = None, detach: options.Detach = False
) -> None:
    """Go on with a session that was stopped or interrupted."""
    workspace, chosen = _training_session(folder, session)
    sessions.resume(workspace, chosen)
    jobs.dispatch(workspace)
    if detach:
        say(chosen.id)
        return
    conclude(chosen, follow(chosen, workspace))


@sessions_app.command("replay")
def sessions_replay(
    session: SessionName,
    folder: options.WorkspaceOption = None,
    seconds: Annotated[float, typer.Option(help="How long the replay takes.")] = 60.0,
) -> None:
    """Play a recorded session again for an audience, in the dashboard; nothing is trained."""
    workspace = Workspace.open(folder)
    say(jobs.start_replay(workspace, sessions.find(workspace, session), seconds).id)


@sessions_app.command("save")
def sessions_save(
    session: SessionName,
    output: Annotated[
        Path | None, typer.Option(help="The zip file. Default: the session's name, where you are.")
    ] = None,
    workspace: options.WorkspaceOption = None,
) -> None:
    """Save everything about a session but its model as a zip file."""
    chosen = sessions.find(Workspace.open(workspace), session)
    target = output or Path(f"{chosen.id}.zip")
    models.check_output(target)
    with open(target, "wb") as file:
        sessions.write_zip(chosen, file)
    say(f"✅ {chosen.id} is saved in {target}.")


@sessions_app.command("delete")
def sessions_delete(
    session: SessionName,
    folder: options.WorkspaceOption = None,
    force: Annotated[bool, typer.Option("--force", help="Do not ask.")] = False,
) -> None:
    """Delete a session for good; never one that a model which is still here goes back to."""
    workspace = Workspace.open(folder)
    chosen = sessions.find(workspace, session)
    if not force:
        if not sys.stdin.isatty():
            raise RequestError("Deleting a session must be confirmed.", "Add --force.")
        if not typer.confirm(f"Delete {chosen.id} with all its files?"):
            return
    sessions.delete(workspace, chosen)
    say(f"✅ {chosen.id} is deleted.")


@sessions_app.command("publish")
def sessions_publish(session: SessionName, folder: options.WorkspaceOption = None) -> None:
    """Make the candidate of a held session the current model; the current one becomes a version."""
    workspace, chosen = _training_session(folder, session)
    since = jobs.taught_since(workspace, sessions.record(chosen))
    jobs.publish_held(workspace, chosen)
    say(f"✅ {chosen.id} is published.")
    if since:
        say(f"⚠️ The model before was taught more, and this one was not: {', '.join(since)}.")


@sessions_app.command("discard")
def sessions_discard(session: SessionName, folder: options.WorkspaceOption = None) -> None:
    """Leave the current model in place of a held session's candidate, which can still be published later."""
    workspace, chosen = _training_session(folder, session)
    jobs.discard(workspace, chosen)
    say(f"✅ {chosen.id} is discarded; the current model stays.")


PARTS: dict[Part, str] = {
    "recall": "What it was taught: share of the answers' tokens right",
    "held_out": "What it never saw: share of the answers' tokens right",
}


@sessions_app.command("retention")
def sessions_retention(
    folder: options.WorkspaceOption = None,
    output_dir: options.OutputDir = None,
    as_json: options.AsJson = False,
) -> None:
    """What the current model still remembers of each lesson."""
    workspace = Workspace.open(folder, output_dir=output_dir)
    memory = retention.current_memory(workspace)
    if as_json:
        say_json(retention.as_json(memory.matrix, memory.measures))
        return
    say(memory.measures.headline)
    say(retention.describe_headline(memory))
    if memory.matrix.lessons:
        for part, title in PARTS.items():
            lesson_map = retention.retention_map(memory.matrix, part)
            lines = zip(lesson_map.rows, lesson_map.squares, strict=True)
            rows = [(row, *(square.text for square in line)) for row, line in lines]
            say()
            print_table(title, ("", *lesson_map.columns), rows)
        say()
        for sentence in (*retention.figure_sentences(memory), *retention.forgetting_sentences(memory)):
            say(sentence)
    for note in memory.matrix.notes:
        say(f"· {note}")


@sessions_app.command("versions")
def sessions_versions(folder: options.WorkspaceOption = None, as_json: options.AsJson = False) -> None:
    """Earlier models that can be rolled back to."""
    workspace = Workspace.open(folder)
    versions = models.list_versions(workspace)
    if as_json:
        say_json([version.model_dump(mode="json") for version in versions])
        return
    rows = [
        (v.id, v.name, f"{v.retired:%Y-%m-%d %H:%M}", v.fingerprint or "", "kept" if v.pinned else "")
        for v in versions
    ]
    print_table(f"Versions in {workspace.root}", ("version", "name", "replaced", "fingerprint", ""), rows)
    for act in models.list_acts(workspace):
        say(f"{act.when:%Y-%m-%d %H:%M}  {models.describe_act(act, act.what)}")


@sessions_app.command("keep")
def sessions_keep(
    version: VersionName,
    workspace: options.WorkspaceOption = None,
    no_longer: Annotated[bool, typer.Option("--no-longer", help="Let it be deleted when it is old.")] = False,
) -> None:
    """Keep a version for good; others are deleted once five newer ones are there."""
    models.pin(Workspace.open(workspace), version, pinned=not no_longer)
    say(f"{version} is {'no longer ' if no_longer else ''}kept for good.")


@sessions_app.command("name")
def sessions_name(
    version: VersionName,
    name: Annotated[str, typer.Argument(help="What to call it; empty for no name.")],
    workspace: options.WorkspaceOption = None,
) -> None:
    """Give a version a name."""
    models.name_version(Workspace.open(workspace), version, name)
    say(f"✅ {version} is called {name}." if name.strip() else f"✅ {version} has no name any more.")


@sessions_app.command("rollback")
def sessions_rollback(
    version: VersionName, folder: options.WorkspaceOption = None, output_dir: options.OutputDir = None
) -> None:
    """Make an earlier model the current one again; the current one becomes a version."""
    workspace = Workspace.open(folder, output_dir=output_dir)
    models.roll_back(workspace, version)
    advice = "" if workspace.situation().onnx.stale is False else " Make its ONNX model with: sails convert"
    say(f"✅ {version} is the current model again.{advice}")


def _training_session(folder: Path | None, name: str) -> tuple[Workspace, sessions.Session]:
    """A training session, and the workspace with the model folders that it was asked to use."""
    workspace = Workspace.open(folder)
    chosen = sessions.find(workspace, name)
    spec = chosen.spec()
    if spec.kind != "train":
        raise RequestError(f"{spec.id} is no training session.")
    return Workspace(workspace.root, spec.trained_model, spec.onnx_model), chosen
