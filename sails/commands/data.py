"""`sails validate`: check a file of conversations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sails import locks
from sails.commands import options
from sails.commands.terminal import EXIT_FAILED, say, say_json
from sails.conversations import (
    ColumnMapping,
    Conversation,
    QualityReport,
    Reading,
    assess,
    clean,
    read,
    write_jsonl,
)
from sails.errors import RequestError


def validate(
    data_file: options.DataFile,
    keep_good: Annotated[bool, typer.Option("--filter", help="Write the good rows to a clean file.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="The clean file. Default: the name of the data file with _filtered.json."),
    ] = None,
    question_column: options.QuestionColumn = None,
    answer_column: options.AnswerColumn = None,
    as_json: options.AsJson = False,
) -> None:
    """Check a file of conversations: what can be read, how good it is, what to improve."""
    reading = read(data_file, column_mapping(question_column, answer_column))
    report = assess(reading.conversations, reading.refused)
    target = output or data_file.with_name(f"{data_file.stem}_filtered.json")
    good = clean(reading.conversations, report)
    if keep_good:
        _write_clean(target, good)
    if as_json:
        content = {"file": str(data_file), **asdict(report), "refused": [asdict(r) for r in reading.refused]}
        content |= {"duplicates": reading.duplicates, "encoding": reading.encoding, "format": reading.format}
        content |= {"columns": reading.columns, "notes": reading.notes}
        say_json(content | {"filtered": {"file": str(target), "rows": len(good)} if keep_good else None})
    else:
        say_reading(reading, report)
        say_problems(report)
        for text in report.recommendations:
            say(f"→ {text}")
        if keep_good:
            say(f"{len(good)} good rows written to {target}")
    if report.grade == "critical":
        raise typer.Exit(EXIT_FAILED)


def _write_clean(target: Path, rows: Sequence[Conversation]) -> None:
    """A JSON list, or JSON Lines when the name ends so; written whole or not at all."""
    if target.suffix == ".jsonl":
        write_jsonl(target, rows)
    else:
        lines = ",\n".join(json.dumps(row.to_json(), ensure_ascii=False) for row in rows)
        locks.write_atomic(target, f"[\n{lines}\n]\n")


def column_mapping(question: str | None, answer: str | None) -> ColumnMapping | None:
    if question is None and answer is None:
        return None
    if question is None or answer is None:
        raise RequestError("A column mapping needs both --question-column and --answer-column.")
    return ColumnMapping(input=question, output=answer, context=None)


def say_reading(reading: Reading, report: QualityReport) -> None:
    for text in reading.notes:
        say(f"· {text}")
    for refusal in reading.refused[:10]:
        say(f"  row {refusal.row} refused: {refusal.reason}")
    if len(reading.refused) > 10:
        say(f"  … and {len(reading.refused) - 10} more")
    doubles = f", {reading.duplicates} duplicates" if reading.duplicates else ""
    sign = {"good": "✅", "acceptable": "⚠️", "critical": "❌"}[report.grade]
    count = f"{len(reading.conversations)} conversations{doubles}"
    say(f"{sign} {count}, quality {report.score:.0%}: {report.grade}")


def say_problems(report: QualityReport) -> None:
    problems = [problem for problem in report.problems if problem.check != "refused"]
    for problem in problems[:20]:
        say(f"  row {problem.row}: {problem.reason} ({problem.severity})")
    if len(problems) > 20:
        say(f"  … and {len(problems) - 20} more")
