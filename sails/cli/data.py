"""`sails validate`: check a file of conversations. `sails datasets`: the library of those that were added."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from sails import data, models, system, training
from sails.cli import options
from sails.cli.follow import print_table, progress_bar
from sails.cli.output import EXIT_FAILED, say, say_json
from sails.data import ColumnMapping, Conversation, QualityReport, Reading, clean, read, write_jsonl
from sails.errors import RequestError
from sails.models import Workspace
from sails.sessions import Settings
from sails.system import count
from sails.training import RowsView

datasets_app = typer.Typer(help="The library of datasets: list, show, rename, delete.", no_args_is_help=True)

ROWS_SHOWN = 3
MAX_LENGTH = Settings().max_length
MaxLength = Annotated[int, typer.Option(help="Longest conversation of the training to come, in tokens.")]
ModelToCome = Annotated[str | None, typer.Option(help="Base model to come. Default: the workspace's model.")]


def validate(
    data_file: options.DataFile,
    keep_good: Annotated[bool, typer.Option("--filter", help="Write the good rows to a clean file.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="The clean file. Default: the name of the data file with _filtered.json."),
    ] = None,
    question_column: options.QuestionColumn = None,
    answer_column: options.AnswerColumn = None,
    system_column: options.SystemColumn = None,
    context_column: options.ContextColumn = None,
    assistant: options.Assistant = None,
    max_length: MaxLength = MAX_LENGTH,
    model_name: ModelToCome = None,
    as_model_sees: Annotated[
        bool,
        typer.Option(
            "--as-model-sees",
            help=f"Show the first {ROWS_SHOWN} good rows as the model will see them, ⟦what it learns⟧ so.",
        ),
    ] = False,
    workspace: options.WorkspaceOption = None,
    as_json: options.AsJson = False,
) -> None:
    """Check a file of conversations: what can be read, how good it is, what to improve."""
    mapping = column_mapping(question_column, answer_column, system_column, context_column)
    with progress_bar() as report_progress:
        reading = read(data_file, mapping, assistant=assistant, progress=report_progress)
    report = reading.assess()
    target = output or data_file.with_name(f"{data_file.stem}_filtered.json")
    good = clean(reading.conversations, report)
    if keep_good:
        models.check_output(target)
        if target.suffix == ".jsonl":
            write_jsonl(target, good)
        else:  # a list, written whole or not at all
            lines = ",\n".join(json.dumps(row.to_json(), ensure_ascii=False) for row in good)
            system.write_atomic(target, f"[\n{lines}\n]\n")
    if model_name:
        model = models.base_model_path(models.find_base_model(model_name))
    else:
        model = training.tokenizer_folder(Workspace.open(workspace))
    view = None
    if as_model_sees:
        view = training.view_rows(Workspace.open(workspace), good[:ROWS_SHOWN], max_length, model_name)
    fit = training.preview(reading.conversations, model, max_length)
    if as_json:
        content = {"file": str(data_file), **asdict(report), "refused": [asdict(r) for r in reading.refused]}
        content |= {"duplicates": reading.duplicates, "encoding": reading.encoding, "format": reading.format}
        content |= {"columns": reading.columns, "understood": reading.understood, "notes": reading.notes}
        content["unused"] = reading.unused
        if view:
            content["as_model_sees"] = view_json(good, view)
        if fit:
            numbers = [row.row or number for number, row in enumerate(reading.conversations, 1)]
            content["shortened"] = [numbers[number] for number in fit.cut]
            content["not_taught"] = {numbers[number]: reason for number, reason in fit.refused.items()}
        say_json(content | {"filtered": {"file": str(target), "rows": len(good)} if keep_good else None})
    else:
        say_reading(reading, report, len(fit.refused) if fit else 0)
        say_problems(report)
        for text in fit.notes(reading.conversations) if fit else ():
            say(f"· {text}")
        for text in report.recommendations:
            say(f"→ {text}")
        if keep_good:
            say(f"{count(len(good), 'good row')} written to {target}")
        if view:
            say_view(good, view)
    if report.grade == "critical":
        raise typer.Exit(EXIT_FAILED)


def column_mapping(
    question: str | None, answer: str | None, system: str | None, context: str | None
) -> ColumnMapping | None:
    """Make a mapping of the options; None without any, `RequestError` without question or answer."""
    if question is None and answer is None and system is None and context is None:
        return None
    if question is None or answer is None:
        raise RequestError("A column mapping needs both --question-column and --answer-column.")
    return ColumnMapping(input=question, output=answer, system=system, context=context)


def say_reading(reading: Reading, report: QualityReport, not_taught: int = 0) -> None:
    """Say what could be read of a file and how good it is; `not_taught` rows are not for the model."""
    for text in filter(None, (reading.understood, *reading.notes)):
        say(f"· {text}")
    for refusal in reading.refused[:10]:
        say(f"  row {refusal.row} refused: {refusal.reason}")
    if len(reading.refused) > 10:
        say(f"  … and {len(reading.refused) - 10} more")
    doubles = f", {count(reading.duplicates, 'duplicate')}" if reading.duplicates else ""
    sign = {"good": "✅", "acceptable": "⚠️", "critical": "❌"}[report.grade]
    conversations = count(len(reading.conversations), "conversation")
    if not_taught:
        conversations += f", {not_taught:,} of which this model cannot be taught"
    if report.too_few:
        say(f"⚠️ {conversations}{doubles}: too few to learn from. See whether they are what you meant.")
        return
    say(f"{sign} {conversations}{doubles}, quality {report.score:.0%}: {report.grade}")


def say_problems(report: QualityReport) -> None:
    """Say what is wrong with single rows, the first twenty."""
    problems = [problem for problem in report.problems if problem.check != "refused"]
    for problem in problems[:20]:
        say(f"  row {problem.row}: {problem.reason} ({problem.severity})")
    if len(problems) > 20:
        say(f"  … and {len(problems) - 20} more")


# --- as the model sees it -------------------------------------------------------------------------


def say_view(rows: Sequence[Conversation], view: RowsView) -> None:
    """Print rows as the model will see them, what it learns in brackets that hardly any text has."""
    if view.missing:
        say(view.missing)
        return
    say(f"As {view.model} will see it; ⟦what it learns⟧ stands in such brackets, the rest is only read.")
    for row, conversation in zip(rows, view.conversations, strict=False):
        for number, example in enumerate(conversation.examples, 1):
            parts = len(conversation.examples)
            say(f"--- row {row.row}{f', part {number} of {parts}' if parts > 1 else ''}")
            marked = (f"⟦{one.text}⟧" if one.learned else one.text for one in example.passages)
            say("".join(marked).rstrip("\n"))
            if example.tokens_beyond:
                beyond = f"the last {example.tokens_beyond} are not read"
                say(f"--- cut off after {view.max_length} tokens; {beyond}:")
                say(example.beyond.rstrip("\n"))
        for note in conversation.notes:
            say(f"· {note}")


def view_json(rows: Sequence[Conversation], view: RowsView) -> dict[str, Any]:
    """Return the same for a program."""
    shown = zip(rows, view.conversations, strict=False)
    conversations = [{"row": row.row, **asdict(conversation)} for row, conversation in shown]
    return {**asdict(view), "conversations": conversations}


# --- datasets -------------------------------------------------------------------------------------

DatasetName = Annotated[str, typer.Argument(help="A dataset, as `sails datasets list` names it.")]


@datasets_app.command("list")
def datasets_list(folder: options.WorkspaceOption = None, as_json: options.AsJson = False) -> None:
    """All datasets, the newest first."""
    workspace = Workspace.open(folder)
    reports = data.reports(workspace)
    if as_json:
        say_json([report.model_dump(mode="json", exclude={"quality"}) for report in reports])
        return
    rows = [
        (
            report.name,
            f"{report.rows:,}",
            f"{report.tokens:,}" if report.tokens else "",
            report.grade,
            f"{report.created:%Y-%m-%d %H:%M}" if report.created else "",
            report.source,
        )
        for report in reports
    ]
    columns = ("dataset", "rows", "tokens, about", "quality", "added (UTC)", "from")
    print_table(f"Datasets in {workspace.root}", columns, rows)


@datasets_app.command("show")
def datasets_show(
    dataset: DatasetName,
    rows: Annotated[int, typer.Option(min=1, help="How many conversations to show.")] = ROWS_SHOWN,
    max_length: MaxLength = MAX_LENGTH,
    model_name: ModelToCome = None,
    folder: options.WorkspaceOption = None,
    as_json: options.AsJson = False,
) -> None:
    """Show the first conversations as the model will see them, and what it learns of them."""
    workspace = Workspace.open(folder)
    first = data.rows_of(workspace, data.report_of(workspace, dataset).name)[:rows]
    view = training.view_rows(workspace, first, max_length, model_name)
    if as_json:
        say_json(view_json(first, view))
    else:
        say_view(first, view)


@datasets_app.command("rename")
def datasets_rename(
    dataset: DatasetName,
    name: Annotated[str, typer.Argument(help="Its new name.")],
    workspace: options.WorkspaceOption = None,
) -> None:
    """Give a dataset another name; sessions that were taught with it still find it."""
    renamed = data.rename(Workspace.open(workspace), dataset, name)
    say(f"It is called {renamed.name} now.")


@datasets_app.command("delete")
def datasets_delete(
    dataset: DatasetName,
    folder: options.WorkspaceOption = None,
    force: Annotated[bool, typer.Option("--force", help="Do not ask.")] = False,
) -> None:
    """Delete a dataset for good; models that were taught with it stay as they are."""
    workspace = Workspace.open(folder)
    report = data.report_of(workspace, dataset)
    if not force:
        if not sys.stdin.isatty():
            raise RequestError("Deleting a dataset must be confirmed.", "Add --force.")
        say(f"{report.name} has {report.rows:,} rows. They and their source are deleted for good.")
        if typer.prompt("To confirm, type its name") != report.name:
            raise RequestError("The name does not match, so nothing was deleted.")
    data.delete(workspace, report.name)
    say(f"{report.name} is deleted.")
