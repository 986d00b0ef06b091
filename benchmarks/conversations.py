"""Read, check and split 100,000 conversations, in each format: seconds and peak memory.

    .venv/bin/python -m benchmarks.conversations [--rows 100000]

The number to reach: under 10 s and under 1 GB for all three steps together. Each format runs in a
process of its own, so that one's memory is not another's, and the files are made beforehand. Rows are
about 500 characters: prose in several languages, code, short facts. Seconds are wall clock; `busy` is
processor time, the fairer figure on a machine that does other things too. Last comes a plain loop as
a yardstick for the machine itself.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FORMATS = ("jsonl", "json", "csv", "tsv", "parquet", "xlsx")
COLUMNS = ("input", "output", "timestamp")
Row = tuple[str, str, str]

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
        words = chance.choices(common, weights, k=chance.randint(8, 22))
        return " ".join(words).capitalize() + "."

    for number in range(count):
        topic, other = chance.sample(topics, 2)
        question = f"How do {topic} differ from {other} in lesson {number}?"
        sentences = (sentence() for _ in range(chance.randint(2, 7)))
        answer = " ".join((f"{topic.capitalize()} are not {other}.", *sentences))
        kind = chance.random()
        if kind < 0.1:
            answer = CODE.format(name=topic, other=other) + answer
        elif kind < 0.2:
            answer = chance.choice(foreign) + " " + chance.choice(foreign) + f" ({number})"
        elif kind < 0.25:
            answer = str(number)
        yield question, answer, f"2026-01-{number % 28 + 1:02d}T08:00:00"


def write(path: Path, rows: list[Row]) -> None:
    """The rows as the format that the suffix names."""
    records = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(records, ensure_ascii=False, indent=1), "utf-8")
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerows([COLUMNS, *rows])
    elif path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), path)
    else:
        import openpyxl

        workbook = openpyxl.Workbook(write_only=True)
        sheet = workbook.create_sheet()
        for row in (COLUMNS, *rows):
            sheet.append(row)
        workbook.save(path)


@dataclass(frozen=True)
class Figures:
    read: float
    check: float
    split: float
    busy: float
    peak_mb: float

    @property
    def total(self) -> float:
        return self.read + self.check + self.split


def _busy() -> float:
    """Return the processor seconds of this process and of the children that ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def measure(path: Path) -> Figures:
    """Seconds and peak resident memory of one file; to be called in a fresh process."""
    from sails.data import Register, clean, read, split_rows

    marks = [time.perf_counter()]
    reading = read(path)
    marks.append(time.perf_counter())
    report = reading.assess()
    rows = clean(reading.conversations, report)
    marks.append(time.perf_counter())
    parts = split_rows(rows, Register.load(path.parent / "heldout"))
    marks.append(time.perf_counter())
    if report.valid != len(rows) or len(parts.held_out) != min(200, len(rows) // 10):
        raise SystemExit(f"{path.name}: good rows were lost")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)  # a child reads the file, this process the rows
    peak = max(resource.getrusage(one).ru_maxrss for one in who) / unit
    seconds = [later - sooner for sooner, later in itertools.pairwise(marks)]
    return Figures(seconds[0], seconds[1], seconds[2], _busy(), peak)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--formats", nargs="*", default=FORMATS, choices=FORMATS)
    arguments = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"conversations.{suffix}" for suffix in arguments.formats]
        for path in paths:
            writer = processes.Process(target=_write, args=(path, arguments.rows))
            writer.start()
            writer.join()
        print(f"{arguments.rows:,} rows".ljust(17) + "   read s  check s  split s  total s   busy s  peak MB")
        for path in paths:
            with processes.Pool(1) as pool:
                figures = pool.apply(measure, (path,))
            megabytes = path.stat().st_size / 1e6
            seconds = (figures.read, figures.check, figures.split, figures.total, figures.busy)
            columns = "".join(f"{figure:9.2f}" for figure in seconds)
            print(f"{path.suffix[1:]:8}{megabytes:5.0f} MB {columns}{figures.peak_mb:9.0f}")
    start = time.perf_counter()
    sum(range(10**8))
    print(f"yardstick: adding up 100 million numbers takes {time.perf_counter() - start:.2f} s")


def _write(path: Path, count: int) -> None:
    write(path, list(conversations(count)))


if __name__ == "__main__":
    main()
