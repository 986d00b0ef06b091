"""Large files of conversations on their whole way into a training: CPU seconds and peak memory of each step.

    .venv/bin/python -m benchmarks.conversations [--rows 30000 100000] [--formats jsonl csv parquet]
    .venv/bin/python -m benchmarks.conversations --rows 1000000 --steps read check split fingerprint save

Steps: `read` by the process that reads and the one that asked it (`reader`, `here`), `check`, leave out what
is unfit (`clean`), `split`, `fingerprint`, `save` into the library, `prepare` a training's tokens, `again`
those of a second one, and a dashboard behind an upload, when it was saved, and after a second one. Each file
has processes of its own, and the peak is that of the step, not of those before it. To reach: 1 GB each.

Rows are about 300 characters: prose in several languages, code, short facts. CPU seconds are user and
system; a machine that does other things too makes them longer, so compare columns of one run. Needs Linux,
where a process can forget its peak.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

FORMATS = ("jsonl", "csv", "parquet", "json", "tsv", "xlsx")
STEPS = ("read", "check", "split", "fingerprint", "save", "prepare", "again", "dashboard")
COLUMNS = ("input", "output", "timestamp")
Row = tuple[str, str, str]
Figures = tuple[str, float, float]  # a step, its CPU seconds and the peak in MB

TOPICS = """
lists tuples dictionaries sets strings numbers files modules classes functions loops generators
decorators exceptions threads processes sockets servers databases indexes tables queries transactions
caches queues pages forms buttons styles layouts images fonts colours requests cookies sessions tokens
passwords backups tests branches commits merges packages releases logs metrics alerts containers clusters
"""
WORDS = """
the of and to a in is it that for you with on as are be this by or an from at not can have one when which
use if your will each may other more than most only also into so time first second after before without
because while where how why what value name key item order change keep make take give show read write open
close start stop call return pass build check find add remove copy move send wait work run point line part
place side step case rule way kind form group set level small large short long new old same different next
last good better simple clear safe fast slow early late common useful important possible whole single local
memory machine program system user person team question answer example result error reason problem idea
language computer number letter word sentence message network data record field option setting default
limit size length weight speed hour minute day week month year price cost market river mountain city country
music picture story history science water light energy plant animal family friend house garden kitchen street
always often sometimes never usually quickly slowly carefully together instead however therefore although
"""
FOREIGN = """\
El río nace en la montaña, cruza tres ciudades y llega al mar después de seiscientos kilómetros.
Die Prüfung dauert zwei Stunden, und wer früher fertig ist, darf den Raum leise verlassen.
La réponse dépend de la saison : en été, le marché ouvre à sept heures et ferme à midi.
Столица расположена на берегу реки, и каждую весну вода поднимается почти до самого моста.
東京は日本の首都で、世界で最も人口の多い都市圏の一つです。多くの人が毎日電車で通勤しています。
数据库索引可以加快查询速度,但是会占用额外的空间,并且让写入变慢,所以只给常用的列建立索引。
"""
CODE = """\
```python
def {name}_of(items):
    return sum(1 for item in items if item.{other})
```
"""


def conversations(count: int) -> Iterator[Row]:
    """The same rows each time."""
    chance = random.Random(0)
    topics, common, foreign = TOPICS.split(), WORDS.split(), FOREIGN.splitlines()
    weights = [1 / (rank + 3) for rank in range(len(common))]

    def sentence() -> str:
        words = chance.choices(common, weights, k=chance.randint(8, 14))
        return " ".join(words).capitalize() + "."

    for number in range(count):
        topic, other = chance.sample(topics, 2)
        question = f"How do {topic} differ from {other} in lesson {number}?"
        sentences = (sentence() for _ in range(chance.randint(1, 3)))
        answer = " ".join((f"{topic.capitalize()} are not {other}.", *sentences))
        kind = chance.random()
        if kind < 0.1:
            answer = CODE.format(name=topic, other=other) + answer
        elif kind < 0.2:
            answer = chance.choice(foreign) + " " + chance.choice(foreign) + f" ({number})"
        elif kind < 0.25:
            answer = str(number)
        yield question, answer, f"2026-01-{number % 28 + 1:02d}T08:00:00"


def write(path: Path, rows: Iterable[Row]) -> None:
    """The rows as the format that the suffix names."""
    if path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerow(COLUMNS)
            writer.writerows(rows)
        return
    records = (dict(zip(COLUMNS, row, strict=True)) for row in rows)
    if path.suffix == ".jsonl":
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    elif path.suffix == ".json":
        path.write_text(json.dumps(list(records), ensure_ascii=False, indent=1), "utf-8")
    elif path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        schema = pyarrow.schema([(name, pyarrow.string()) for name in COLUMNS])
        with pyarrow.parquet.ParquetWriter(path, schema) as file:
            while batch := list(itertools.islice(records, 10_000)):
                file.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema))
    else:
        import openpyxl

        workbook = openpyxl.Workbook(write_only=True)
        sheet = workbook.create_sheet()
        for row in (COLUMNS, *rows):
            sheet.append(row)
        workbook.save(path)


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def busy(who: int = resource.RUSAGE_SELF) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def measured(step: str, act: Callable[[], Any], figures: list[Figures]) -> Any:
    """What `act` gives; a line of figures is added."""
    from sails.system import peak_memory

    forget_peak()
    before = busy()
    found = act()
    figures.append((step, busy() - before, peak_memory() / 1e6))
    return found


def to_the_library(path: Path, root: Path, steps: set[str]) -> list[Figures]:
    """A file's way into the library; to be called in a fresh process."""
    from sails import data
    from sails.data import datasets
    from sails.models import Workspace

    figures: list[Figures] = []
    workspace = Workspace.open(root)
    reading = measured("read, here", lambda: data.read(path), figures)
    reader = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures.insert(0, ("read, reader", busy(resource.RUSAGE_CHILDREN), reader.ru_maxrss * 1024 / 1e6))
    report = measured("check", reading.assess, figures)
    rows = measured("clean", lambda: data.clean(reading.conversations, report), figures)
    parts = measured("split", lambda: data.split_rows(rows, data.Register.load(workspace.register)), figures)
    measured("fingerprint", lambda: datasets.fingerprint_of(rows), figures)
    if len(parts.held_out) != min(200, len(rows) // 10):
        raise SystemExit(f"{path.name}: good rows were lost")
    if steps & {"save", "prepare", "again"}:
        measured("save", lambda: data.add(workspace, path, reading, report, name="big"), figures)
    return figures


def to_tokens(root: Path, which: str) -> list[Figures]:
    """What a worker makes of the dataset before it loads the model; to be called in a fresh process."""
    from sails import models, training
    from sails.jobs import launcher, submit_training
    from sails.models import Workspace
    from sails.sessions import Reporter, Settings

    figures: list[Figures] = []
    workspace = Workspace.open(root)
    start = models.ensure_base_model(models.DEFAULT_BASE_MODEL)
    tokenizer = training.load_tokenizer(start)
    launcher.start_worker = lambda _: None  # type: ignore[assignment]  # the session stays in the queue
    session = submit_training(workspace, "big", Settings(epochs=1), name=which)
    reporter = Reporter(session)

    def prepare() -> Any:
        def encode(rows: Any) -> Any:
            return training.encode(rows, tokenizer, 512, workspace.tokens)

        lesson = training.prepare(workspace, session, session.spec(), reporter, encode)
        return encode((*lesson.train, *lesson.repeated))

    measured(which, prepare, figures)
    return figures


def in_the_dashboard(path: Path) -> list[Figures]:
    """A real dashboard to which a browser sends the file, which is saved; and then once more."""
    import psutil

    from tests.browser.conftest import start_dashboard
    from tests.support import forging

    forging.PATIENCE = 3600.0
    figures: list[Figures] = []

    def look(step: str, server: psutil.Process, before: float) -> float:
        used = sum(server.cpu_times()[:2])
        figures.append((f"dashboard, {step}", used - before, server.memory_info().rss / 1e6))
        return used

    with tempfile.TemporaryDirectory() as folder, start_dashboard(Path(folder)) as dashboard:
        (server,) = psutil.Process().children()
        with forging.Forger(dashboard.address) as forger:
            drawn = forger.visit("Data")
            used = look("at rest", server, 0.0)
            for step in ("", "second "):
                [uploader] = [widget for widget in drawn if widget.kind == "file_uploader"]
                drawn = forger.visit("Data", "", [forger.uploaded(uploader, path.name, path.read_bytes())])
                used = look(f"{step}uploaded", server, used)
                saves = [widget for widget in drawn if widget.id.endswith("data-save")]
                assert saves, forger.said
                forger.visit("Data", "", [forging.pressed(saves[0])])
                drawn = forger.visit("Data")
                used = look(f"{step}saved", server, used)
        peak = Path(f"/proc/{server.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
        figures.append(("dashboard, peak", used, int(peak) * 1024 / 1e6))
    return figures


def in_a_process(act: Callable[..., Any], *arguments: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(act, arguments)


def make(path: Path, count: int) -> None:
    write(path, conversations(count))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[30_000, 100_000])
    parser.add_argument("--formats", nargs="+", default=FORMATS[:3], choices=FORMATS)
    parser.add_argument("--steps", nargs="+", default=STEPS, choices=STEPS)
    parser.add_argument("--folder", type=Path, help="for the files; a temporary one by default")
    arguments = parser.parse_args()
    steps = set(arguments.steps)
    print(f"{'rows':>9} {'format':8} {'MB':>5}  {'step':26} {'CPU s':>8} {'peak MB':>8}")
    for count, suffix in itertools.product(arguments.rows, arguments.formats):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            path = Path(folder) / f"conversations.{suffix}"
            in_a_process(make, path, count)
            lines: list[Figures] = []
            if steps - {"dashboard"}:
                lines += in_a_process(to_the_library, path, Path(folder) / "workspace", steps)
            for which in ("prepare", "again"):
                if which in steps:
                    lines += in_a_process(to_tokens, Path(folder) / "workspace", which)
            if "dashboard" in steps:
                lines += in_a_process(in_the_dashboard, path)
            megabytes = path.stat().st_size / 1e6
            for step, seconds, peak in lines:
                print(f"{count:9,} {suffix:8} {megabytes:5.0f}  {step:26} {seconds:8.1f} {peak:8.0f}")
    began = time.process_time()
    sum(range(10**8))
    print(f"yardstick: adding up 100 million numbers takes {time.process_time() - began:.2f} CPU s")


if __name__ == "__main__":
    main()
