"""`sails corrections`: what people said about the chat's answers: review it, and teach what is approved."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from sails import jobs
from sails.chat import feedback
from sails.chat.feedback import Correction, Review, as_json_lines, load_review
from sails.cli import options
from sails.cli.follow import announce, conclude, follow, plan_of, print_table
from sails.cli.options import with_options
from sails.cli.output import say, say_json, warn, write_file
from sails.errors import RequestError
from sails.models import Workspace
from sails.sessions import Settings
from sails.system import count, one_line, shorten
from sails.training.plan import Choices, plan_training

MIN_ID_LENGTH = 4  # characters of an id that may stand for it
ID_LENGTH = 8
KINDS = {"good": "good", "corrected": "corrected", "never": "never say"}

corrections_app = typer.Typer(
    help="Corrections from the chat: list, approve, reject, edit, import, export, teach.",
    no_args_is_help=True,
)
Ids = Annotated[
    list[str] | None, typer.Argument(help="Ids from `sails corrections list`; their beginning is enough.")
]
Who = Annotated[str, typer.Option("--who", help="Your name, as it stands in the list.")]
Wanted = Literal["waiting", "approved", "rejected", "taught", "all"]


@corrections_app.command("list")
def corrections_list(
    which: Annotated[Wanted, typer.Option("--state", help="Which of them.")] = "waiting",
    folder: options.WorkspaceOption = None,
    as_json: options.AsJson = False,
) -> None:
    """What waits for a review, with what there is to know about each; or what was decided already."""
    workspace = Workspace.open(folder)
    review = load_review(workspace)
    listed = [c for c in review.corrections if which in ("all", review.standing(c))]
    if as_json:
        say_json([_full(review, correction) for correction in listed])
        return
    counts = feedback.counts(workspace)
    rows = [
        (
            correction.id[:ID_LENGTH],
            review.standing(correction),
            KINDS[correction.kind],
            correction.who,
            _short(correction.question),
            _short(correction.taught) or "(none yet)",
        )
        for correction in listed
    ]
    if rows:
        columns = ("id", "state", "kind", "who", "question", "answer that is taught")
        print_table(f"Corrections in {workspace.root}", columns, rows)
    for correction in listed:
        for trouble in review.troubles(correction):
            say(f"  {correction.id[:ID_LENGTH]}: {trouble.sentence}")
    say(
        f"{counts.waiting} waiting, {counts.approved} approved and not taught, {counts.rejected} rejected, "
        f"{counts.taught} taught"
    )


def _full(review: Review, correction: Correction) -> dict[str, object]:
    findings = [
        {"finding": trouble.finding, "sentence": trouble.sentence, "stops": trouble.stops}
        for trouble in review.troubles(correction)
    ]
    return {
        **feedback.as_json(correction, review.standing(correction)),
        "taught": correction.taught,
        "findings": findings,
    }


@corrections_app.command("approve")
def corrections_approve(
    ids: Ids = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that wait and have no finding, instead of ids.")
    ] = False,
    who: Who = "",
    folder: options.WorkspaceOption = None,
) -> None:
    """Let these be taught with the next training on corrections."""
    workspace = Workspace.open(folder)
    if everything and ids:
        raise RequestError("Ids and --all exclude each other.", "Leave out one of the two.")
    if everything:
        wanted = [correction.id for correction in load_review(workspace).without_findings()]
    else:
        wanted = _matching_ids(workspace, ids)
    feedback.approve(workspace, *wanted, who=who)
    say(f"{count(len(wanted), 'correction')} approved.")


@corrections_app.command("reject")
def corrections_reject(ids: Ids = None, who: Who = "", folder: options.WorkspaceOption = None) -> None:
    """Never teach these; they stay in the list."""
    workspace = Workspace.open(folder)
    wanted = _matching_ids(workspace, ids)
    feedback.reject(workspace, *wanted, who=who)
    say(f"{count(len(wanted), 'correction')} rejected.")


@corrections_app.command("edit")
def corrections_edit(
    correction: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    question: Annotated[str | None, typer.Option(help="Other words for the question.")] = None,
    answer: Annotated[str | None, typer.Option(help="Other words for the answer that is taught.")] = None,
    who: Who = "",
    folder: options.WorkspaceOption = None,
) -> None:
    """Write another question or answer; an approved one waits for a review again."""
    workspace = Workspace.open(folder)
    if question is None and answer is None:
        raise RequestError("There is nothing to change.", "Add --question, --answer or both.")
    (identity,) = _matching_ids(workspace, [correction])
    edited = feedback.edit(workspace, identity, question=question, answer=answer, who=who)
    say(f"{edited.id[:ID_LENGTH]} waits for a review: {_short(edited.question)} → {_short(edited.taught)}")


@corrections_app.command("import")
def corrections_import(
    file: Annotated[
        Path, typer.Argument(help="Judged answers: rows with input, output and accepted, maybe correction.")
    ],
    workspace: options.WorkspaceOption = None,
) -> None:
    """Bring the judged answers of a file, as `sails chat` writes them; they wait for a review."""
    new = feedback.import_file(Workspace.open(workspace), file)
    say(f"{count(new, 'correction')} came into the list." if new else "All of it was in the list already.")


@corrections_app.command("export")
def corrections_export(
    output: Annotated[
        Path | None, typer.Option(help="A JSON Lines file. Without it, the lines are printed.")
    ] = None,
    which: Annotated[Wanted, typer.Option("--state", help="Which of them.")] = "all",
    workspace: options.WorkspaceOption = None,
) -> None:
    """Write the list as JSON Lines, which `sails corrections import` reads again."""
    review = load_review(Workspace.open(workspace))
    listed = [c for c in review.corrections if which in ("all", review.standing(c))]
    lines = as_json_lines(review, listed)
    if output is None:
        sys.stdout.write(lines)
    else:
        write_file(output, lines)
        say(f"{count(len(listed), 'correction')} written to {output}")


@corrections_app.command("teach")
@with_options("preset", "epochs", "learning_rate", "replay_share", "publish")
def corrections_teach(
    settings: Settings,
    folder: options.WorkspaceOption = None,
    output_dir: options.OutputDir = None,
    onnx_output: options.OnnxOutput = None,
    name: options.Name = None,
    export: Annotated[
        bool, typer.Option("--export/--no-export", help="Make and verify the ONNX model afterwards.")
    ] = True,
    detach: options.Detach = False,
) -> None:
    """Teach the model all approved corrections that it was not taught yet."""
    workspace = Workspace.open(folder, output_dir=output_dir, onnx_output=onnx_output)
    # What cannot be is refused before it begins.
    plan_training(workspace, learning_rate=settings.learning_rate)
    report = feedback.as_dataset(workspace)
    say(f"{count(report.rows, 'correction')} to teach, as the dataset {report.name}")
    session = jobs.start_training(workspace, Choices((report.name,), settings, name or "", export=export))
    announce(plan_of(session))
    if detach:
        say(session.id)
        return
    warn(f"Session {session.id}")
    conclude(session, follow(session, workspace))


# --- small parts ----------------------------------------------------------------------------------


def _matching_ids(workspace: Workspace, ids: list[str] | None) -> list[str]:
    """Whole ids for their beginnings; raises `RequestError` unless each is exactly one."""
    if not ids:
        raise RequestError("No correction was named.", "See `sails corrections list`.")
    all_ids = [correction.id for correction in feedback.corrections(workspace)]
    matching = []
    for wanted in ids:
        long_enough = len(wanted) >= MIN_ID_LENGTH
        matches = [i for i in all_ids if i == wanted or (long_enough and i.startswith(wanted))]
        if len(matches) != 1:
            what = f"{len(matches)} corrections begin with" if matches else "There is no correction"
            raise RequestError(f"{what} {wanted[:40]!r}.", "See `sails corrections list --state all`.")
        matching += matches
    return matching


def _short(text: str) -> str:
    return shorten(one_line(text), 60)
