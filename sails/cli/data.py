"""`sails validate`: check a file of conversations. `sails datasets`: the library of those that were added."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sails import data, models, system, training
from sails.cli import options
from sails.cli.follow import print_table
from sails.cli.output import EXIT_FAILED, say, say_json
from sails.data import ColumnMapping, QualityReport, Reading, assess, clean, read, write_jsonl
from sails.errors import RequestError
from sails.models import Workspace
from sails.sessions import Settings
from sails.system import count

datasets_app = typer.Typer(help="The library of datasets: list, rename, delete.", no_args_is_help=True)


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
    max_length: Annotated[
        int, typer.Option(help="Longest conversation of the training to come, in tokens.")
    ] = Settings().max_length,
    model_name: Annotated[
        str | None, typer.Option(help="Base model to come. Default: the workspace's model.")
    ] = None,
    workspace: options.WorkspaceOption = None,
    as_json: options.AsJson = False,
) -> None:
    """Check a file of conversations: what can be read, how good it is, what to improve."""
    mapping = column_mapping(question_column, answer_column, system_column, context_column)
    reading = read(data_file, mapping, assistant=assistant)
    report = assess(reading.conversations, reading.refused)
    target = output or data_file.with_name(f"{data_file.stem}_filtered.json")
    good = clean(reading.conversations, report)
    if keep_good:
        if target.suffix == ".jsonl":
            write_jsonl(target, good)
        else:  # a list, written whole or not at all
            lines = ",\n".join(json.dumps(row.to_json(), ensure_ascii=False) for row in good)
            system.write_atomic(target, f"[\n{lines}\n]\n")
    if model_name:
        model = models.base_model_path(models.find_base_model(model_name))
    else:
        model = training.tokenizer_folder(Workspace.open(workspace))
    fit = training.preview(reading.conversations, model, max_length)
    if as_json:
        content = {"file": str(data_file), **asdict(report), "refused": [asdict(r) for r in reading.refused]}
        content |= {"duplicates": reading.duplicates, "encoding": reading.encoding, "format": reading.format}
        content |= {"columns": reading.columns, "understood": reading.understood, "notes": reading.notes}
        content["unused"] = reading.unused
        if fit:
            numbers = [row.row or number for number, row in enumerate(reading.conversations, 1)]
            content["shortened"] = [numbers[number] for number in fit.cut]
            content["not_taught"] = {numbers[number]: reason for number, reason in fit.refused.items()}
        say_json(content | {"filtered": {"file": str(target), "rows": len(good)} if keep_good else None})
    else:
        say_reading(reading, report)
        say_problems(report)
        for text in fit.notes(reading.conversations) if fit else ():
            say(f"· {text}")
        for text in report.recommendations:
            say(f"→ {text}")
        if keep_good:
            say(f"{count(len(good), 'good row')} written to {target}")
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


def say_reading(reading: Reading, report: QualityReport) -> None:
    """Say what could be read of a file and how good it is."""
    for text in filter(None, (reading.understood, *reading.notes)):
        say(f"· {text}")
    for refusal in reading.refused[:10]:
        say(f"  row {refusal.row} refused: {refusal.reason}")
    if len(reading.refused) > 10:
        say(f"  … and {len(reading.refused) - 10} more")
    doubles = f", {count(reading.duplicates, 'duplicate')}" if reading.duplicates else ""
    sign = {"good": "✅", "acceptable": "⚠️", "critical": "❌"}[report.grade]
    conversations = count(len(reading.conversations), "conversation")
    say(f"{sign} {conversations}{doubles}, quality {report.score:.0%}: {report.grade}")


def say_problems(report: QualityReport) -> None:
    """Say what is wrong with single rows, the first twenty."""
    problems = [problem for problem in report.problems if problem.check != "refused"]
    for problem in problems[:20]:
        say(f"  row {problem.row}: {problem.reason} ({problem.severity})")
    if len(problems) > 20:
        say(f"  … and {len(problems) - 20} more")


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
