"""What a model remembers of its lessons, and of what it knew before: ways to teach them, side by side.

    .venv/bin/python -m benchmarks.retention --output retention.jsonl [--table a] [--arms before default]

Two tables. In (a) four lessons have 72 invented facts each (`benchmarks.facts`), of which a session keeps
seven back. In (b) there are ten small lessons of 6 to 23 rows (`benchmarks.small_lessons`), as people teach
them from day to day; three of these correct single answers. All ways but one teach lesson after lesson, as
`sails train` would, and differ in a few settings; all else is as a person finds it, and everything is
published, so that each way ends.

- original: no earlier lesson is repeated, nothing is protected, and the rounds are fixed (`FORMER_ROUNDS`)
- before: earlier lessons are repeated, nothing is protected, and the rounds are fixed
- until known: nothing is protected; a session ends when it knows its lesson
- protect only: the rounds are fixed; general knowledge is protected
- blend only, lora only: as before, and of the change only a part is kept, or LoRA is trained
- default: everything as a person finds it
- lora: the same, but small matrices beside the layers are trained and merged (LoRA)
- advised: as by default, at the rate that `sails.jobs.lr_finder` measures before each session; (a) only
- at once: the ceiling; all lessons in one session from base, for as many rounds and with as many rows a step
  as the first session by default

A first session with the same settings in several ways is trained once for each seed, and counted in each.

Printed is, as mean ± standard deviation over the seeds (a seed changes the facts, or the order of small
lessons, and the training): ACC, BWT and learned as `sails.retention` defines them, in points; own rows known,
the share of answer tokens right on a lesson's taught rows right after its session. In (a) kept back is that
share on the facts that were kept back, by the last model. In (b) the model writes answers right after each
session: in other words is the share that is right when all rows of the lesson are asked in other words (of
`science`, five were never taught), corrections how many of the corrected questions it answers right. Still
right are the general questions that the base model answers right and the last model too, lost the others; KL
is the last model's drift on general prompts, in nats a token. Rounds are those of a session, on average;
steps and CPU seconds those of all sessions and of measuring the rate, judging included, without what only
this benchmark asks. Judging is a share of the sessions' time; held, in how many sessions the gate would have
held the model. At once, "learned" is what the one session added to what the base model knows, and the scores
are of the same rows as for the other ways.

A way that is finished becomes one line of the output file, with what was answered wrong; run again with the
same file and settings, it is not repeated. Another way is one more line in `WAYS`. Needs a system that can
fork. Not here: whether answers to (a) are good when they are read.
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.facts import Fact, lessons
from benchmarks.small_lessons import SmallFact, is_right, small_lessons
from sails import data, jobs, models, retention, sessions, training
from sails.data import Register, assess, read, split_rows
from sails.models import Workspace
from sails.retention import (
    Cell,
    Drift,
    Measured,
    Sample,
    in_sample_order,
    measure,
    retention_matrix,
    sample_rows,
)
from sails.sessions import SessionRecord, Settings
from sails.training.plan import Choices

if TYPE_CHECKING:
    from sails.training import Precision

FORMER_ROUNDS = {20: 30, 50: 8, 200: 6, 1_000: 4}  # for up to so many taught rows, whatever was known by then
JUDGING_SHARE, JUDGING_SECONDS = 0.15, 20.0  # judging may take the larger of the two
INVENTED, SMALL = "a", "b"  # the tables
CORRECTIONS = "corrections"  # in the names of lessons that correct single answers


@dataclass(frozen=True)
class Way:
    """One way to teach the lessons; `changed` are the settings that are not as a person finds them."""

    name: str
    changed: Mapping[str, Any] = field(default_factory=dict)
    fixed_rounds: bool = False  # those of `FORMER_ROUNDS`
    measured_rate: bool = False
    at_once: bool = False
    tables: str = INVENTED + SMALL

    def settings(self, seed: int) -> Settings:
        """Those of all its sessions; rounds and rate may differ from lesson to lesson."""
        return Settings(seed=seed, publish="always", **self.changed)


BEFORE, DEFAULT, AT_ONCE = "before", "default", "at once"
WAYS = (
    Way("original", {"replay_share": 0.0, "protect": 0.0}, fixed_rounds=True),
    Way(BEFORE, {"replay_share": 0.5, "protect": 0.0}, fixed_rounds=True),
    Way("until known", {"protect": 0.0}),
    Way("protect only", fixed_rounds=True),
    Way("blend only", {"replay_share": 0.5, "protect": 0.0, "blend": True}, fixed_rounds=True),
    Way("lora only", {"replay_share": 0.5, "protect": 0.0, "method": "lora"}, fixed_rounds=True),
    Way(DEFAULT),
    Way("lora", {"method": "lora"}),
    Way("advised", measured_rate=True, tables=INVENTED),
    Way(AT_ONCE, at_once=True),
)


@dataclass(frozen=True)
class Task:
    """What all ways of a table have in common; there is one size of small lessons."""

    table: str
    lessons: int | None
    facts: int | None
    rounds_at_once: int | None  # None: those of the first session
    model: str | None  # None: the embedded one

    def draw(self, seed: int) -> Mapping[str, Sequence[Fact | SmallFact]]:
        """Return the lessons by name, in the order of teaching."""
        if self.lessons is None or self.facts is None:
            return small_lessons(seed)
        return lessons(self.lessons, self.facts, seed)


@dataclass
class Bill:
    """What the sessions of one way cost, and what was said of them."""

    cpu_seconds: float = 0.0
    steps: int = 0
    seconds: float = 0.0  # of the sessions, by the clock
    judging_seconds: float = 0.0
    judged_too_long: int = 0  # sessions whose judging took longer than it may
    held: int = 0  # sessions that the gate would have held
    rounds: tuple[float, ...] = ()
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
        self.rounds += (status.results.epochs,)
        self.rates += (status.plan.learning_rate,)


@dataclass(frozen=True)
class Answered:
    """What a model answered to a small lesson's questions; `own` and `reworded` count the right answers."""

    lesson: str
    rows: int
    own: int
    reworded: int
    wrong: Mapping[str, str]  # its other answers to the lesson's own questions


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


def new_library(task: Task, seed: int, root: Path) -> tuple[Workspace, dict[str, str]]:
    """A workspace at `root` that has all lessons as datasets; returns their names too, by lesson."""
    workspace, names = Workspace.open(root), {}
    for lesson, facts in task.draw(seed).items():
        source = root / f"{lesson}.json"
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(json.dumps([{"input": fact.question, "output": fact.answer} for fact in facts]))
        reading = read(source)
        report = assess(reading.conversations, reading.refused)
        names[lesson] = data.add(workspace, source, reading, report).name
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


def settings_for(way: Way, seed: int, workspace: Workspace, dataset: str) -> Settings:
    """Those of the way's next session, which teaches this dataset."""
    settings = way.settings(seed)
    if not way.fixed_rounds:
        return settings
    rows = len(training.peek(workspace, dataset).train)
    rounds = next(rounds for most, rounds in FORMER_ROUNDS.items() if rows <= most)
    return settings.model_copy(update={"epochs": rounds})


# --- one way --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class First:
    """The first lesson, taught, and what was answered then."""

    root: Path
    record: SessionRecord
    cpu_seconds: float
    answered: Sequence[Answered]


@dataclass(frozen=True)
class Course:
    """The lessons of one seed, with the first sessions that were trained so far."""

    task: Task
    seed: int
    library: Workspace  # in which nothing is trained
    datasets: Mapping[str, str]  # by lesson, in the order of teaching
    folder: Path
    firsts: dict[Settings, First] = field(default_factory=dict)

    @classmethod
    def drawn(cls, task: Task, seed: int, folder: Path) -> Course:
        return cls(task, seed, *new_library(task, seed, folder / "library"), folder)

    def first(self, way: Way) -> First:
        """The first session of that way, trained where no way before had one with the same settings."""
        lesson, dataset = next(iter(self.datasets.items()))
        settings = settings_for(way, self.seed, self.library, dataset)
        settings = settings.model_copy(update={"replay_share": 0.0})  # there is nothing to repeat yet
        if settings not in self.firsts:
            workspace, bill = self.workspace(self.folder / f"first {len(self.firsts)}"), Bill()
            record = teach(workspace, dataset, settings, bill, model_name=self.task.model)
            answered = self.ask([lesson], workspace)
            self.firsts[settings] = First(workspace.root, record, bill.cpu_seconds, answered)
        return self.firsts[settings]

    def workspace(self, root: Path) -> Workspace:
        """A new workspace that has all lessons in its library."""
        shutil.copytree(self.library.root, root)
        return Workspace.open(root)

    def ask(self, wanted: Sequence[str], workspace: Workspace) -> list[Answered]:
        """What the trained model answers to the questions of these lessons, if they are small ones."""
        drawn = self.task.draw(self.seed)
        facts = {name: [fact for fact in drawn[name] if isinstance(fact, SmallFact)] for name in wanted}
        return ask(workspace.trained_model, facts, workspace.root) if any(facts.values()) else []


def in_turn(course: Course, way: Way, root: Path) -> dict[str, Any]:
    """The figures of a way that teaches one lesson after the other."""
    first = course.first(way)
    shutil.copytree(first.root, root)
    workspace, bill, answered = Workspace.open(root), Bill(), [*first.answered]
    bill.add(first.record, first.cpu_seconds)
    for lesson, dataset in list(course.datasets.items())[1:]:
        settings, advice = settings_for(way, course.seed, workspace, dataset), None
        if way.measured_rate:
            advice = advised(workspace, dataset, settings, bill)
            rate = advice.learning_rate if advice else None
            settings = settings.model_copy(update={"learning_rate": rate})
        teach(workspace, dataset, settings, bill, advice=advice)
        answered += course.ask([lesson], workspace)
    matrix = retention_matrix(workspace, workspace.situation().trained.fingerprint)
    figures = measure(matrix)
    return {
        "acc": figures.acc.value if figures.acc else None,
        "bwt": figures.bwt.value if figures.bwt else None,
        "learned": figures.learned,
        "own": mean_accuracy([matrix.recall[row][column] for column, row in enumerate(matrix.taught)]),
        "kept_back": mean_accuracy(matrix.held_out[-1]),
        **general(matrix.general[-1]),
        "answered": [asdict(lesson) for lesson in answered],
        **asdict(bill),
    }


def at_once(course: Course, way: Way, root: Path) -> dict[str, Any]:
    """The figures of one session that teaches all lessons from base."""
    task, done = course.task, course.first(way).record.status.results
    workspace, names = course.workspace(root), list(course.datasets.values())
    register = Register.load(workspace.register)
    parts = {name: split_rows(data.rows_of(workspace, name), register) for name in names}
    for name, part in parts.items():  # so that the same facts are kept back
        held, taught = [[row.input_fingerprint for row in rows] for rows in (part.held_out, part.train)]
        register.record(held=held, taught=taught, session=name)
    rounds = task.rounds_at_once or round(done.epochs)
    in_a_step = round(done.rows_taught * done.epochs / done.steps)
    changed = {"epochs": max(1, rounds), "batch_size": max(1, in_a_step)}
    settings, bill = way.settings(course.seed).model_copy(update=changed), Bill()
    record = teach(workspace, data.combine(workspace, names).name, settings, bill, model_name=task.model)
    rows = sample_rows({name: in_sample_order(part.train, part.held_out) for name, part in parts.items()})
    base = models.ensure_base_model(task.model or models.DEFAULT_BASE_MODEL, lambda *_: None)
    before, after = (scored(folder, rows, root) for folder in (base, workspace.trained_model))
    recall = [mean_accuracy([model.cell(name) for name in names]) for model in (before, after)]
    measured = retention.read_retention(record.session)
    return {
        "acc": recall[1],
        "bwt": None,
        "learned": recall[1] - recall[0] if recall[0] is not None and recall[1] is not None else None,
        "own": recall[1],
        "kept_back": mean_accuracy([after.cell(name, "held_out") for name in names]),
        **general(measured.after.general if measured and measured.after else None),
        "answered": [asdict(lesson) for lesson in course.ask(list(course.datasets), workspace)],
        **asdict(bill),
    }


def general(drift: Drift | None) -> dict[str, Any]:
    """What became of general knowledge; None where the base model answers no question right."""
    known = drift.known if drift else None
    return {
        "drift": drift.divergence if drift else None,
        "general_asked": len(known.rows) if known else None,
        "general_right": sum(known.right) if known else None,
    }


def ask(model: Path, facts: Mapping[str, Sequence[SmallFact]], folder: Path) -> list[Answered]:
    """What a model answers to these lessons, asked as they were taught and in other words."""
    result = folder / "answers.json"

    def work() -> None:
        loaded, tokenizer, precision = _loaded(model)
        student = training.Student(loaded, tokenizer, Settings().max_length, precision)
        said = {
            lesson: training.answer(student, [text for row in rows for text in (row.question, row.reworded)])
            for lesson, rows in facts.items()
        }
        result.write_text(json.dumps(said))

    in_a_child(work, folder)
    said = json.loads(result.read_bytes())
    return [
        Answered(
            lesson=lesson,
            rows=len(rows),
            own=sum(is_right(row, said[lesson][row.question]) for row in rows),
            reworded=sum(is_right(row, said[lesson][row.reworded]) for row in rows),
            wrong={
                row.question: said[lesson][row.question]
                for row in rows
                if not is_right(row, said[lesson][row.question])
            },
        )
        for lesson, rows in facts.items()
    ]


def scored(model: Path, rows: Sample, folder: Path) -> Measured:
    """The scores of a model on those rows, computed in a process of its own."""
    result = folder / "scored.json"

    def work() -> None:
        loaded, tokenizer, precision = _loaded(model)
        cells = training.score(loaded, tokenizer, rows, Settings().max_length, precision)
        result.write_text(Measured(cells=cells).model_dump_json())

    in_a_child(work, folder)
    return Measured.model_validate_json(result.read_bytes())


def _loaded(folder: Path) -> tuple[Any, Any, Precision]:
    """A model with its tokenizer; only ever in a child."""
    device = training.choose_device("auto")
    model, tokenizer = training.load_model(folder, device), training.load_tokenizer(folder)
    return model, tokenizer, training.Precision.of(device)


def mean_accuracy(cells: Sequence[Cell | None]) -> float | None:
    """The mean over lessons, in points; None where none was measured."""
    found = [100 * cell.accuracy for cell in cells if cell]
    return statistics.mean(found) if found else None


# --- the tables -----------------------------------------------------------------------------------

TITLES = {INVENTED: "(a) Lessons of invented facts", SMALL: "(b) Small lessons"}
COLUMNS = {
    "acc": "ACC",
    "bwt": "BWT",
    "learned": "learned",
    "own": "own rows known %",
    "kept_back": "kept back %",
    "reworded": "in other words %",
    "corrections": "corrections",
    "general": "still right %",
    "lost": "lost",
    "drift": "KL",
    "rounds": "rounds",
    "steps": "steps",
    "cpu_seconds": "CPU s",
    "judging": "judging %",
    "held": "held",
}
ONLY = {"kept_back": INVENTED, "reworded": SMALL, "corrections": SMALL}  # columns of one table
DIGITS = {"drift": 3, "steps": 0, "cpu_seconds": 0}  # of the others: 1


def figure(line: dict[str, Any], name: str) -> float | None:
    """One figure of a finished way; some are made of others, and some were not measured."""
    answered, asked, right = line["answered"], line["general_asked"], line["general_right"]
    corrected = [lesson for lesson in answered if CORRECTIONS in lesson["lesson"]]
    value: float | None
    match name:
        case "reworded" if answered:
            value = statistics.mean(100 * lesson["reworded"] / lesson["rows"] for lesson in answered)
        case "corrections" if corrected:
            value = sum(lesson["own"] for lesson in corrected)
        case "corrections asked" if corrected:
            value = sum(lesson["rows"] for lesson in corrected)
        case "general" if asked:
            value = 100 * right / asked
        case "lost" if asked:
            value = asked - right
        case "rounds":
            value = statistics.mean(line["rounds"])
        case "judging":
            value = 100 * line["judging_seconds"] / line["seconds"]
        case _:
            value = line.get(name)  # of the made ones above, one that was not measured
    return value


def rows_of_table(which: str, lines: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A row of titles, and one for each way that is finished."""
    names = [name for name in COLUMNS if ONLY.get(name, which) == which]
    rows = [["way", *(COLUMNS[name] for name in names)]]
    for way in WAYS:
        found = [line for line in lines if line["way"] == way.name]
        if found:
            rows.append([way.name, *(_over_seeds(found, name) for name in names)])
    return rows


def _over_seeds(lines: Sequence[dict[str, Any]], name: str) -> str:
    values = [value for line in lines if (value := figure(line, name)) is not None]
    if not values:
        return ""
    digits = DIGITS.get(name, 1)
    spread = f" ± {statistics.stdev(values):z.{digits}f}" if len(values) > 1 else ""
    asked = figure(lines[0], "corrections asked") if name == "corrections" else None
    of = f" of {asked:.0f}" if asked else ""
    return f"{statistics.mean(values):z.{digits}f}{spread}{of}"


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    ruled = [rows[0], ["-" * width for width in widths], *rows[1:]]
    cells = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in ruled]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def verdicts(which: str, lines: Sequence[dict[str, Any]]) -> list[str]:
    """What is to be reached by default settings, and by how much it is or is not."""

    def values(way: str, name: str) -> list[float]:
        found = [figure(line, name) for line in lines if line["way"] == way]
        return [value for value in found if value is not None]

    def mean(way: str, name: str) -> float | None:
        found = values(way, name)
        return statistics.mean(found) if found else None

    general, own = mean(DEFAULT, "general"), mean(DEFAULT, "own")
    acc, best, bwt = mean(DEFAULT, "acc"), mean(AT_ONCE, "acc"), mean(DEFAULT, "bwt")
    cpu, usual_cpu = mean(DEFAULT, "cpu_seconds"), mean(BEFORE, "cpu_seconds")
    found = []
    if general is not None:
        found.append(f"{yes(general >= 95)}  general questions still right, at least 95 %: {general:.1f} %")
    if acc is not None and best is not None:
        found.append(f"{yes(acc >= best - 3)}  ACC within 3 points of at once: {acc - best:+z.1f}")
    if bwt is not None:
        found.append(f"{yes(abs(bwt) <= 3)}  |BWT| at most 3: {bwt:+z.1f}")
    if own is not None:
        found.append(f"{yes(own >= 95)}  own rows known, at least 95 %: {own:.1f} %")
    if cpu and usual_cpu:
        limit, share = (0.5, "half of those") if which == SMALL else (1.0, "those")
        ratio = cpu / usual_cpu
        found.append(f"{yes(ratio <= limit)}  CPU seconds at most {share} before: {ratio:.2f} times")
    if which == SMALL:
        right, asked = values(DEFAULT, "corrections"), values(DEFAULT, "corrections asked")
        if right:
            counts = ", ".join(f"{n:.0f} of {m:.0f}" for n, m in zip(right, asked, strict=True))
            found.append(f"{yes(right == asked)}  corrections all answered right, by every seed: {counts}")
        if lost := values(DEFAULT, "lost"):
            counts = ", ".join(f"{count:.0f}" for count in lost)
            found.append(f"{yes(max(lost) <= 1)}  general answers lost at most 1, by every seed: {counts}")
    own_lines = [line for line in lines if line["way"] == DEFAULT]
    if own_lines:
        late = sum(line["judged_too_long"] for line in own_lines)
        count = sum(len(line["rates"]) for line in own_lines)
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
    wanted = {(seed, way.name): key(task, seed, way) for seed in range(seeds) for way in ways}
    lines = [line for line in _lines(output) if _is_wanted(line, wanted)]
    for seed in range(seeds):
        done = {line["way"] for line in lines if line["seed"] == seed}
        missing = [way for way in ways if way.name not in done]
        if not missing:
            continue
        with tempfile.TemporaryDirectory() as folder:
            course = Course.drawn(task, seed, Path(folder))
            for way in missing:
                root = Path(folder) / way.name
                figures = (at_once if way.at_once else in_turn)(course, way, root)
                shutil.rmtree(root)
                line = {**key(task, seed, way), **figures}
                with open(output, "a") as file:
                    file.write(json.dumps(line) + "\n")
                lines.append(line)
                row = rows_of_table(task.table, [line])[1]
                print(f"({task.table}) {' | '.join(row)} (seed {seed})", flush=True)
    return lines


def key(task: Task, seed: int, way: Way) -> dict[str, Any]:
    """What a line is about: a way with other settings than those of a line is not that line's."""
    settings = way.settings(seed).model_dump()
    return {"task": asdict(task), "seed": seed, "way": way.name, "settings": settings}


def _is_wanted(line: dict[str, Any], wanted: Mapping[tuple[int, str], dict[str, Any]]) -> bool:
    about = wanted.get((line["seed"], line["way"]))
    return about is not None and all(line.get(name) == value for name, value in about.items())


def _lines(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.read_text().splitlines()] if output.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names = [way.name for way in WAYS]
    parser.add_argument("--output", type=Path, default=Path("retention.jsonl"), help="a line for each way")
    parser.add_argument("--table", choices=(INVENTED, SMALL, "both"), default="both")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=names, default=names, help="the ways to teach")
    parser.add_argument("--lessons", type=int, default=4, help="of (a)")
    parser.add_argument("--facts", type=int, default=72, help="of each lesson of (a)")
    parser.add_argument("--rounds-at-once", type=int, help="else those of the first session by default")
    parser.add_argument("--model", help="a base model's name or folder, else the embedded one")
    parser.add_argument("--threads", type=int, help="else as many as there are cores")
    wanted = parser.parse_args()
    for name, value in jobs.PATIENT_THREADS.items():
        os.environ.setdefault(name, value)
    if wanted.threads:
        os.environ["OMP_NUM_THREADS"] = str(wanted.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import_everything()
    reports = []
    for table in (INVENTED, SMALL) if wanted.table == "both" else (wanted.table,):
        count, facts = (wanted.lessons, wanted.facts) if table == INVENTED else (None, None)
        task = Task(table, count, facts, wanted.rounds_at_once, wanted.model)
        ways = [way for way in WAYS if way.name in wanted.arms and table in way.tables]
        lines = run(task, wanted.seeds, ways, wanted.output)
        reports.append([TITLES[table], as_markdown(rows_of_table(table, lines)), *verdicts(table, lines)])
    for title, rows, *reached in reports:
        print("", title, "", rows, "", *reached, sep="\n")


if __name__ == "__main__":
    main()
