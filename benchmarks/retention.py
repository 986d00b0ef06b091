"""What a model remembers of four lessons, by the way in which they are taught: six ways, side by side.

    .venv/bin/python -m benchmarks.retention --output retention.jsonl

Each lesson has 72 invented facts (`benchmarks.facts`), of which a session keeps seven back. Five ways teach
one lesson after the other, as `sails train` would: at the automatic learning rate, at 5e-5, or at the rate
that `sails.jobs.lr_finder` measures before each session, with and without repeating earlier lessons. "At
once" teaches all four in one session from base, for as many rounds and with as many rows a step. The first
session is the same for all five ways, so it is trained once for each seed, and counted in each of them.

Printed is, as mean ± standard deviation over the seeds (a seed changes the facts and the training): ACC, BWT
and learned as `sails.retention` defines them, in points; the share of answer tokens right on the facts that
were kept back; drift from the base model on general prompts, in nats a token, and the same for each point
learned; steps and CPU seconds of all sessions and of measuring the rate; judging as a share of the sessions'
time; in how many sessions the gate would have held the model (all are published, so that each way ends). At
once, "learned" is what the one session added to what the base model knows; the scores are of the same rows as
for the other ways.

A way that is finished becomes one line of the output file; run again with the same file, it is not repeated.
Needs a system that can fork. Not here: whether the answers are good when they are read.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.facts import lessons
from sails import data, jobs, models, retention, sessions
from sails.data import Register, assess, read, split_rows
from sails.models import Workspace
from sails.retention import Cell, Measured, in_sample_order, measure, retention_matrix, sample_rows
from sails.sessions import SessionRecord, Settings, format_rate
from sails.training.plan import Choices

HIGH_RATE = 5e-5
JUDGING_SHARE, JUDGING_SECONDS = 0.15, 20.0  # judging may take the larger of the two


@dataclass(frozen=True)
class Way:
    """One way to teach the lessons; `rate` is a number, `automatic`, `advised`, or `at once`."""

    name: str
    rate: float | str
    repeats: bool = False


AUTOMATIC, ADVISED, AT_ONCE = "automatic", "advised+replay", "at-once"
WAYS = (
    Way(AUTOMATIC, "automatic"),
    Way("automatic+replay", "automatic", repeats=True),
    Way("5e-5", HIGH_RATE),
    Way("5e-5+replay", HIGH_RATE, repeats=True),
    Way(ADVISED, "advised", repeats=True),
    Way(AT_ONCE, "at once"),
)


@dataclass(frozen=True)
class Task:
    """What all ways have in common."""

    lessons: int
    facts: int
    rounds: int | None  # None: those of the preset
    rounds_at_once: int | None  # None: the same
    model: str | None  # None: the embedded one


@dataclass
class Bill:
    """What the sessions of one way cost, and what was said of them."""

    cpu_seconds: float = 0.0
    steps: int = 0
    seconds: float = 0.0  # of the sessions, by the clock
    judging_seconds: float = 0.0
    judged_too_long: int = 0  # sessions whose judging took longer than it may
    held: int = 0  # sessions that the gate would have held
    rates: tuple[float, ...] = ()

    def add(self, record: SessionRecord, cpu_seconds: float) -> None:
        status, measured = record.status, retention.read_retention(record.session)
        assert measured is not None
        assert status.plan is not None
        seconds = sum(status.results.seconds.values())
        self.cpu_seconds += cpu_seconds
        self.steps += status.results.steps
        self.seconds += seconds
        self.judging_seconds += measured.seconds
        self.judged_too_long += measured.seconds > max(JUDGING_SHARE * seconds, JUDGING_SECONDS)
        self.held += bool(measured.decision and measured.decision.held)
        self.rates += (status.plan.learning_rate,)


# --- processes ------------------------------------------------------------------------------------


def import_everything() -> None:
    """So that no worker has to; this process must never compute, or its children could not."""
    for name in (
        "sails.jobs.train",
        "sails.training.evaluation",
        "sails.training.trainer",
        "sails.training.lr_range_test",
        "transformers",
    ):
        importlib.import_module(name)


def in_a_child(work: Callable[[], int | None], folder: Path) -> float:
    """Do the work in a forked process; returns its CPU seconds. Raises `SystemExit` when it fails."""
    log = folder / "benchmark.log"
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _be_the_child(work, log)
    _, status, used = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(status):
        last = log.read_text(errors="replace").splitlines()[-15:]
        raise SystemExit("\n".join(["The work was not done; its log ends with:", *last]))
    return used.ru_utime + used.ru_stime


def _be_the_child(work: Callable[[], int | None], log: Path) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    code = 1
    try:
        code = work() or 0
    except BaseException:  # noqa: BLE001 (a forked child must never go on as its parent)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run_here(start: Callable[[], sessions.Session]) -> int:
    """What a worker does, here and not in a process of its own."""
    from sails.jobs import launcher

    launcher.start_worker = lambda _: None  # type: ignore[assignment]
    return jobs.run_worker(str(start().folder))


# --- one session ----------------------------------------------------------------------------------


def new_workspace(task: Task, seed: int, root: Path) -> tuple[Workspace, list[str]]:
    """A workspace at `root` that has all lessons in its library, and their names in the order of teaching."""
    workspace, names = Workspace.open(root), []
    for name, facts in lessons(task.lessons, task.facts, seed).items():
        source = root / f"{name}.json"
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(json.dumps([{"input": fact.question, "output": fact.answer} for fact in facts]))
        reading = read(source)
        report = assess(reading.conversations, reading.refused)
        names.append(data.add(workspace, source, reading, report).name)
    return workspace, names


def teach(
    workspace: Workspace, dataset: str, settings: Settings, bill: Bill, **options: Any
) -> SessionRecord:
    """One session from beginning to end, put on the bill."""

    def start() -> sessions.Session:
        return jobs.submit_training(workspace, dataset, settings, **options)

    cpu_seconds = in_a_child(lambda: _run_here(start), workspace.root)
    record = sessions.read_history(workspace)[-1]
    if record.status.verdict != "published":
        raise SystemExit(f"{record.spec.id} is {record.status.state}: {record.status.verdict_reason}")
    bill.add(record, cpu_seconds)
    return record


def advised(workspace: Workspace, dataset: str, settings: Settings, bill: Bill) -> sessions.Advice | None:
    """The learning rate that is measured for that session, put on the bill."""
    choices = Choices((dataset,), settings)
    work = lambda: _run_here(lambda: jobs.start_measurement(workspace, choices))  # noqa: E731
    bill.cpu_seconds += in_a_child(work, workspace.root)
    return jobs.advice_for(workspace, choices)


def settings_for(task: Task, seed: int, way: Way) -> Settings:
    """Everything as a person finds it, but for what the ways differ in, and all is published."""
    share = Settings().replay_share if way.repeats else 0.0
    rate = way.rate if isinstance(way.rate, float) else None
    return Settings(seed=seed, epochs=task.rounds, replay_share=share, learning_rate=rate, publish="always")


# --- one way --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class First:
    """The first lesson, taught; at the automatic rate, which is 5e-5 from base."""

    root: Path
    record: SessionRecord
    cpu_seconds: float


def teach_first(task: Task, seed: int, root: Path) -> First:
    workspace, names = new_workspace(task, seed, root)
    bill = Bill()
    settings = settings_for(task, seed, WAYS[0])
    record = teach(workspace, names[0], settings, bill, model_name=task.model)
    assert bill.rates == (HIGH_RATE,)
    return First(root, record, bill.cpu_seconds)


def in_turn(task: Task, seed: int, way: Way, first: First, root: Path) -> dict[str, Any]:
    """The figures of a way that teaches one lesson after the other."""
    shutil.copytree(first.root, root)
    workspace, bill = Workspace.open(root), Bill()
    bill.add(first.record, first.cpu_seconds)
    for name in list(lessons(task.lessons, task.facts, seed))[1:]:
        settings, advice = settings_for(task, seed, way), None
        if way.rate == "advised":
            advice = advised(workspace, name, settings, bill)
            rate = advice.learning_rate if advice else None
            settings = settings.model_copy(update={"learning_rate": rate})
        teach(workspace, name, settings, bill, advice=advice)
    matrix = retention_matrix(workspace, workspace.situation().trained.fingerprint)
    figures, drift = measure(matrix), matrix.general[-1]
    return {
        "acc": figures.acc.value if figures.acc else None,
        "bwt": figures.bwt.value if figures.bwt else None,
        "learned": figures.learned,
        "held_out": mean_accuracy(matrix.held_out[-1]),
        "drift": drift.divergence if drift else None,
        **asdict(bill),
    }


def at_once(task: Task, seed: int, first: First, root: Path) -> dict[str, Any]:
    """The figures of one session that teaches all lessons from base."""
    workspace, names = new_workspace(task, seed, root)
    register = Register.load(workspace.register)
    parts = {name: split_rows(data.rows_of(workspace, name), register) for name in names}
    for name, part in parts.items():  # so that the same facts are kept back
        held, taught = [[row.input_fingerprint for row in rows] for rows in (part.held_out, part.train)]
        register.record(held=held, taught=taught, session=name)
    done = first.record.status.results
    settings = Settings(
        seed=seed,
        epochs=task.rounds_at_once or round(done.epochs),
        batch_size=round(done.rows_taught * done.epochs / done.steps),
        publish="always",
    )
    bill = Bill()
    dataset = data.combine(workspace, names).name
    record = teach(workspace, dataset, settings, bill, model_name=task.model)
    rows = sample_rows({name: in_sample_order(part.train, part.held_out) for name, part in parts.items()})
    base = models.ensure_base_model(task.model or models.DEFAULT_BASE_MODEL, lambda *_: None)
    before, after = (scored(folder, rows, root) for folder in (base, workspace.trained_model))
    recall = [mean_accuracy([model.cell(name) for name in names]) for model in (before, after)]
    measured = retention.read_retention(record.session)
    drift = measured.after.general if measured and measured.after else None
    return {
        "acc": recall[1],
        "bwt": None,
        "learned": recall[1] - recall[0],
        "held_out": mean_accuracy([after.cell(name, "held_out") for name in names]),
        "drift": drift.divergence if drift else None,
        **asdict(bill),
    }


def scored(model: Path, rows: Any, folder: Path) -> Measured:
    """The scores of a model on those rows, computed in a process of its own."""
    result = folder / "scored.json"

    def work() -> None:
        from sails import training
        from sails.training import Precision, choose_device, load_model

        device, longest = choose_device("auto"), Settings().max_length
        precision, tokenizer = Precision.of(device), training.load_tokenizer(model)
        cells = training.score(load_model(model, device), tokenizer, rows, longest, precision)
        result.write_text(Measured(cells=cells).model_dump_json())

    in_a_child(work, folder)
    return Measured.model_validate_json(result.read_bytes())


def mean_accuracy(cells: Sequence[Cell | None]) -> float:
    """The mean over lessons, in points."""
    return statistics.mean(100 * cell.accuracy for cell in cells if cell)


# --- the tables -----------------------------------------------------------------------------------

COLUMNS = {
    "acc": "ACC",
    "bwt": "BWT",
    "learned": "learned",
    "held_out": "kept back",
    "drift": "drift",
    "drift a point": "a point",
    "steps": "steps",
    "cpu_seconds": "CPU s",
    "judging": "judging %",
    "held": "held",
}
DIGITS = {"drift": 3, "drift a point": 4, "steps": 0, "cpu_seconds": 0, "held": 0}  # of the others: 1


def figure(line: dict[str, Any], name: str) -> float | None:
    """One figure of a finished way; some are made of others."""
    if name == "judging":
        return 100 * line["judging_seconds"] / line["seconds"]
    if name == "drift a point":
        return line["drift"] / line["learned"] if line["drift"] is not None and line["learned"] else None
    return line[name]


def table(lines: Sequence[dict[str, Any]]) -> list[list[str]]:
    """One row for each way that is finished, with its learning rates in the last column."""
    rows = [["way", *COLUMNS.values(), "rates"]]
    for way in WAYS:
        found = [line for line in lines if line["way"] == way.name]
        if found:
            rates = " | ".join(",".join(map(format_rate, line["rates"])) for line in found)
            rows.append([way.name, *(_over_seeds(found, name) for name in COLUMNS), rates])
    return rows


def _over_seeds(lines: Sequence[dict[str, Any]], name: str) -> str:
    values = [value for line in lines if (value := figure(line, name)) is not None]
    if not values:
        return ""
    digits = DIGITS.get(name, 1)
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def verdicts(lines: Sequence[dict[str, Any]]) -> list[str]:
    """What is to be reached by default settings with advice, and by how much it is or is not."""

    def mean(way: str, name: str) -> float | None:
        values = [figure(line, name) for line in lines if line["way"] == way]
        known = [value for value in values if value is not None]
        return statistics.mean(known) if known else None

    acc, best = mean(ADVISED, "acc"), mean(AT_ONCE, "acc")
    bwt = mean(ADVISED, "bwt")
    drift, usual_drift = mean(ADVISED, "drift a point"), mean(AUTOMATIC, "drift a point")
    steps, usual_steps = mean(ADVISED, "steps"), mean(AUTOMATIC, "steps")
    found = []
    if acc is not None and best is not None:
        found.append(f"{yes(acc >= best - 3)}  ACC within 3 points of at once: {acc - best:+.1f}")
    if bwt is not None:
        found.append(f"{yes(abs(bwt) <= 3)}  |BWT| at most 3: {bwt:+.1f}")
    if drift is not None and usual_drift is not None:
        ratio = f"{drift / usual_drift:.2f}" if usual_drift else "more"
        found.append(
            f"{yes(drift <= usual_drift)}  drift for each point learned at most the automatic rule's: "
            f"{drift:.5f} against {usual_drift:.5f}, {ratio} times"
        )
    if steps and usual_steps:
        ratio = f"{steps / usual_steps:.2f}"
        found.append(
            f"{yes(steps <= 2 * usual_steps)}  steps at most twice the automatic rule's: {ratio} times"
        )
    late = sum(line["judged_too_long"] for line in lines)
    count = sum(len(line["rates"]) for line in lines)
    found.append(
        f"{yes(not late)}  judging at most {JUDGING_SHARE:.0%} of a session or {JUDGING_SECONDS:.0f} s: "
        f"longer in {late} of {count} sessions"
    )
    return found


def yes(reached: bool) -> str:
    return "yes" if reached else "NO "


# --- all of it ------------------------------------------------------------------------------------


def run(task: Task, seeds: int, ways: Sequence[Way], output: Path) -> list[dict[str, Any]]:
    """The lines of all that is wanted, those that are in the output already included."""
    lines = [line for line in _lines(output) if line["task"] == asdict(task) and line["seed"] < seeds]
    for seed in range(seeds):
        done = {line["way"] for line in lines if line["seed"] == seed}
        missing = [way for way in ways if way.name not in done]
        if not missing:
            continue
        with tempfile.TemporaryDirectory() as folder:
            first = teach_first(task, seed, Path(folder) / "first")
            for way in missing:
                root = Path(folder) / way.name
                figures = (
                    at_once(task, seed, first, root)
                    if way.name == AT_ONCE
                    else in_turn(task, seed, way, first, root)
                )
                shutil.rmtree(root)
                line = {"task": asdict(task), "seed": seed, "way": way.name, **figures}
                with open(output, "a") as file:
                    file.write(json.dumps(line) + "\n")
                lines.append(line)
                print("  ".join(table([line])[1]), f"(seed {seed})", flush=True)
    return lines


def _lines(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.read_text().splitlines()] if output.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names = [way.name for way in WAYS]
    parser.add_argument("--output", type=Path, default=Path("retention.jsonl"), help="a line for each way")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=names, default=names, help="the ways to teach")
    parser.add_argument("--lessons", type=int, default=4)
    parser.add_argument("--facts", type=int, default=72, help="of each lesson")
    parser.add_argument("--rounds", type=int, help="else those of the preset")
    parser.add_argument("--rounds-at-once", type=int, help="else the same")
    parser.add_argument("--model", help="a base model's name or folder, else the embedded one")
    parser.add_argument("--threads", type=int, help="else as many as there are cores")
    wanted = parser.parse_args()
    for name, value in jobs.PATIENT_THREADS.items():
        os.environ.setdefault(name, value)
    if wanted.threads:
        os.environ["OMP_NUM_THREADS"] = str(wanted.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import_everything()
    task = Task(wanted.lessons, wanted.facts, wanted.rounds, wanted.rounds_at_once, wanted.model)
    ways = [way for way in WAYS if way.name in wanted.arms]
    lines = run(task, wanted.seeds, ways, wanted.output)
    rows = table(lines)
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    print()
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print()
    print("\n".join(verdicts(lines)))


if __name__ == "__main__":
    main()
