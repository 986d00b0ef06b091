"""Files that would exhaust the machine are read in a process of its own, which ends in a sentence."""

from __future__ import annotations

import gc
import gzip
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sails.data import ColumnMapping, sandbox
from sails.data.reading import Reading, parse
from sails.data.rows import UnknownColumns
from sails.data.sandbox import read
from sails.errors import AssistantNeededError, ConversationFileError
from sails.system import Limits, watched
from tests.data.formats import test_shapes
from tests.support import workbooks

FORMATS = Path(test_shapes.__file__).parent
GOOD = [{"input": f"What is {n}?", "output": f"It is the number {n}."} for n in range(3)]


def told(path: Path) -> str:
    with pytest.raises(ConversationFileError) as error:
        read(path)
    assert error.value.remedy
    return str(error.value)


def test_what_is_read_there_is_what_is_read_here():
    files = sorted((FORMATS / "shapes").iterdir())[::30] + sorted((FORMATS / "tables").iterdir())[::30]
    for path in files:
        assert outcome(read, path) == outcome(parse, path), path


def outcome(reader: Callable[[Path], Reading], path: Path) -> object:
    try:
        return reader(path)
    except ConversationFileError as error:
        return type(error), error.sentence


def test_what_must_be_told_comes_across(tmp_path):
    table, chat = tmp_path / "a.csv", tmp_path / "chat.jsonl"
    table.write_text("left,right\nWhat is it?,It is that.\n")
    with pytest.raises(UnknownColumns) as unknown:
        read(table)
    assert unknown.value.preview == (
        ("left", "right"),
        ({"left": "What is it?", "right": "It is that."},),
        True,
    )
    assert read(table, ColumnMapping("left", "right")).conversations[0].output == "It is that."
    people = [{"messages": [{"role": "Ann", "content": "Why?"}, {"role": "Bob", "content": "So."}]}] * 3
    chat.write_text("".join(json.dumps(one) + "\n" for one in people))
    with pytest.raises(AssistantNeededError) as needed:
        read(chat)
    assert set(needed.value.people) == {"Ann", "Bob"}
    assert read(chat, assistant="Bob").conversations[0].output == "So."


def test_content_needs_no_file():
    content = json.dumps(GOOD).encode()
    assert [row.output for row in read("a.json", content=content).conversations] == [
        g["output"] for g in GOOD
    ]


def test_a_pipe_is_read(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    command = [sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"]
    with subprocess.Popen([*command, str(path), json.dumps(GOOD)]):
        assert len(read(path).conversations) == 3


def test_a_file_without_end_is_too_large():
    if Path("/dev/zero").exists():
        assert told(Path("/dev/zero")) == "zero is larger than 200 MB."


def test_a_small_parquet_with_millions_of_rows(tmp_path):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "a.parquet"
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.repeat(0, 3_000_000), ["So it is."])
    table = pyarrow.table({"input": column, "output": column})
    pyarrow.parquet.write_table(table, path, row_group_size=3_000_000, compression="zstd")
    assert path.stat().st_size < 100_000
    assert told(path) == "a.parquet has more than 200,000 rows."


def test_a_small_parquet_with_one_huge_row(tmp_path):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "a.parquet"
    turns = [{"role": "user", "content": "hello"}] * 2_000_000
    pyarrow.parquet.write_table(pyarrow.table({"messages": [turns]}), path, compression="zstd")
    assert told(path) == "a.parquet takes more than 900 MB of memory to read."


def test_while_rows_come_nobody_waits_for_a_search_for_garbage(monkeypatch):
    """One of all that a dashboard holds took most of a second, in which it answered nobody."""
    came = []
    monkeypatch.setattr(sandbox, "_conversation", lambda _: came.append(gc.isenabled()))
    content = b"question,answer\n" + b"".join(b"Why is it %d?,It is %d.\n" % (n, n) for n in range(3000))
    read("a.csv", content=content)
    assert len(came) == 3000
    assert not any(came)
    assert gc.isenabled()


def test_a_small_workbook_with_very_wide_rows(tmp_path):
    rows = (
        f"<row>{workbooks.cell('A', n, 'Why?')}{workbooks.cell('XFD', n, 'So.')}</row>" for n in range(400)
    )
    path = workbooks.write(tmp_path / "a.xlsx", rows)
    assert told(path).startswith("a.xlsx has more than 5,000,000 cells")


def test_a_small_workbook_with_one_huge_cell(tmp_path):
    rows = ["<row><c t='inlineStr'><is><t>", *["a" * 1_000_000] * 250, "</t></is></c></row>"]
    path = workbooks.write(tmp_path / "a.xlsx", rows)
    with pytest.raises(ConversationFileError, match=r"^a\.xlsx expands to more than 200 MB\.$") as refused:
        read(path)
    assert "CSV" in refused.value.remedy  # nobody can split what is one cell


def test_a_table_of_a_million_rows_is_told_at_once(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("question,answer\n" + "What is it?,It is that.\n" * 300_000)
    assert told(path) == "a.csv has more than 200,000 rows."
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(GOOD[0]) + "\n" + (json.dumps(GOOD[1]) + "\n") * 300_000)
    assert told(path) == "a.jsonl has more than 200,000 rows."


def test_what_expands_to_more_than_memory_holds(tmp_path):
    packed, archive = tmp_path / "a.jsonl.gz", tmp_path / "a.zip"
    packed.write_bytes(gzip.compress(b"a" * 201_000_000, 1))
    assert told(packed) == "a.jsonl.gz expands to more than 200 MB."
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for n in range(3):
            file.writestr(f"{n}.jsonl", b"a" * 70_000_000)
    assert told(archive) == "a.zip expands to more than 200 MB."


def test_a_reader_that_takes_for_ever_is_ended(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text("[" + ",".join(f'{{"a{n}": "b"}}' for n in range(5_100)) + "]")
    monkeypatch.setattr(sandbox, "MIN_SECONDS", 0.0)
    monkeypatch.setattr(sandbox, "SECONDS_A_MB", 0.0)
    assert "took more than" in told(path)


def test_it_says_how_far_it_is(tmp_path):
    path, said = tmp_path / "a.csv", []
    path.write_text("question,answer\n" + "".join(f"What is {n}?,It is the {n}.\n" for n in range(12_000)))
    read(path, progress=lambda *words: said.append(words))
    assert all(0 <= fraction <= 1 for fraction, _ in said)
    assert [fraction for fraction, _ in said] == sorted(fraction for fraction, _ in said)
    steps: list[tuple[float, ...]] = []
    parse(path, progress=lambda *words: steps.append(words))
    assert "reading row 10,001" in [words[1] for words in steps]
    assert steps[-1][0] > 0.9


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only who watches keeps the limit")
def test_whoever_is_ended_by_the_system_is_a_sentence(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(GOOD))
    program = "import os, sys; sys.stdin.buffer.read(); os.kill(os.getpid(), int(sys.argv[-1]))"
    for number, sentence in ((signal.SIGKILL, "900 MB of memory"), (signal.SIGSEGV, "is damaged")):
        monkeypatch.setattr(sandbox, "COMMAND", ("-c", program, str(int(number))))
        assert sentence in told(path)


def test_nothing_but_plain_data_comes_back():
    import io
    import pickle

    with pytest.raises(pickle.UnpicklingError):
        sandbox._PlainData(io.BytesIO(pickle.dumps(("rows", [os.system])))).load()


def test_a_process_that_goes_beyond_its_limits_is_ended():
    busy = [sys.executable, "-c", "while True: pass"]
    greedy = [sys.executable, "-c", "import time; kept = b'x' * 200_000_000; time.sleep(60)"]
    for command, limits, exceeded in (
        (busy, Limits(10**9, -0.8, 60), "time"),
        (greedy, Limits(10**9, 60, 0.3), "time"),
        (greedy, Limits(10**8, 60, 60), "memory"),
    ):
        began = time.monotonic()
        process = subprocess.Popen(command)
        with watched(process, limits) as watch:
            process.wait(30)
        assert watch.exceeded == exceeded
        assert time.monotonic() - began < 20


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only who watches keeps the limit")
def test_a_limited_process_is_told_that_there_is_no_more_memory():
    program = (
        "from sails.system import Limits, limit_this_process\n"
        "limit_this_process(Limits(150_000_000, 60, 60))\n"
        "try: kept = b'x' * 200_000_000\n"
        "except MemoryError: print('told')"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "told\n"


TAKES_LONG = {
    "deep.json": b"[" * 1_000_000,
    "deep_object.json": b'{"a":' * 500_000 + b"1" + b"}" * 500_000,
    "deep.yaml": b"[" * 300_000,
    "laughs.yaml": b"a: &a [x,x]\n"
    + b"".join(b"%c: &%c [*%c,*%c]\n" % (n + 1, n + 1, n, n) for n in range(97, 120)),
    "comments.csv": b"#\n" * 200_000,
    "columns.csv": b"a," * 300_000 + b"\n" + b"b," * 300_000,
    "spaces.txt": b"#separator:space\n" + b" " * 400_000,
    "names.json": b"[{" + b",".join(b'"k%d":1' % (n % 100_000) for n in range(200_000)) + b"}]",
    "shapes.jsonl": b"".join(b'{"a%d":1,"b":2}\n' % n for n in range(6_000)),
}


@pytest.mark.parametrize("name", TAKES_LONG)
def test_what_is_made_to_take_long_is_told_soon(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(TAKES_LONG[name])
    assert "took more than" not in told(path)
