"""The whole main job with the embedded model: three lessons, one after the other, then one learned by heart.

    .venv/bin/python -m benchmarks.pipeline

Runs `sails pipeline` as a person would: programming_basics for 3 rounds, web_development for 2, databases
for 2, in one workspace; then, in another, programming_basics for 6 rounds at a learning rate of 5e-5, after
which the ONNX model is asked every taught question. Prints one table with seconds and memory by phase. An
answer has the taught words when it holds at least half of the words of the taught answer, small words
left out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from sails import sessions
from sails.data import Conversation, read_jsonl
from sails.models import Workspace
from sails.onnx import Generator

REPOSITORY = Path(__file__).resolve().parent.parent
LESSONS = (("programming_basics", 3), ("web_development", 2), ("databases", 2))
COLUMNS = ("lesson", "row", "rate", "prepare", "train", "judge", "publish", "export", "total s", "peak GB")
MORE = ("tok/s", "taught loss", "held-out loss", "logit diff", "identical")


def pipeline(workspace: Path, lesson: str, *options: str) -> None:
    command = [sys.executable, "-m", "sails", "pipeline", "--workspace", str(workspace)]
    command += ["--data-file", str(REPOSITORY / "examples" / f"{lesson}.json"), *options]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def rows(workspace: Workspace) -> list[tuple[str, ...]]:
    """One line of the table for each session."""
    lines = []
    for record in sessions.read_history(workspace):
        results, plan, status = record.status.results, record.status.plan, record.status
        if plan is None or status.state != "succeeded":
            raise SystemExit(f"{record.spec.id} is {status.state}: {status.failure}")
        certificate = results.certificates.get("fp32", {})
        seconds = [f"{results.seconds.get(phase, 0):.0f}" for phase in COLUMNS[3:8]]
        lines.append(
            (
                record.spec.name,
                str(plan.row),
                f"{plan.learning_rate:g}",
                *seconds,
                f"{record.seconds:.0f}",
                f"{results.peak_memory / 1e9:.1f}",
                f"{results.tokens_per_second:.0f}",
                _change(results.taught_before, results.taught_after),
                _change(results.held_out_before, results.held_out_after),
                f"{certificate.get('max_logit_difference', float('nan')):.1e}",
                f"{certificate.get('identical_answers')}/{certificate.get('prompts')}",
            )
        )
    return lines


def _change(before: sessions.Scores | None, after: sessions.Scores | None) -> str:
    return f"{before.loss:.2f}→{after.loss:.2f}" if before and after else ""


def with_taught_words(workspace: Workspace) -> tuple[int, int]:
    """How many taught questions the ONNX model answers with the taught words, and of how many."""
    generator = Generator.open(workspace.onnx_model)
    session = sessions.read_history(workspace)[-1].session
    taught = read_jsonl(session.data / "train.jsonl")
    return sum(_has_taught_words(generator.answer(row.input).text, row) for row in taught), len(taught)


def _has_taught_words(answer: str, row: Conversation) -> bool:
    wanted, said = _words(row.output), _words(answer)
    return len(wanted & said) >= len(wanted) / 2


def _words(text: str) -> set[str]:
    """Words of four letters and more, in lower case."""
    letters = "".join(c.lower() if c.isalnum() else " " for c in text)
    return {word for word in letters.split() if len(word) > 3}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        three, heart = Workspace.open(Path(folder) / "three"), Workspace.open(Path(folder) / "heart")
        for lesson, epochs in LESSONS:
            pipeline(three.root, lesson, "--epochs", str(epochs))
        pipeline(heart.root, "programming_basics", "--epochs", "6", "--learning-rate", "5e-5")
        table = [(*COLUMNS, *MORE), *rows(three), *rows(heart)]
        right, asked = with_taught_words(heart)
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    print(f"By heart: {right} of {asked} taught questions answered with the taught words")


if __name__ == "__main__":
    main()
