"""Whatever a file holds, its reader gives what it can or a SailsError with a remedy: soon, never a trace.

    SAILS_MALFORMED=all .venv/bin/python -m pytest tests/chaos/test_malformed_files.py    # every one, minutes

Without the variable, a few of each kind, others for each reader.
"""

from __future__ import annotations

import io
import json
import os
import random
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sails import data, sessions
from sails.chat import feedback, saved_prompts
from sails.data import sandbox
from sails.data.reading import parse
from sails.data.split import Register
from sails.errors import SailsError
from sails.models import ExportRecord, Workspace, inspect_model, list_versions, resolve
from sails.models.folder import inspect_onnx, safetensors_header
from sails.models.foreign import foreign_model
from sails.models.journal import journal_of, recover_folder
from sails.onnx.certify.certificate import read_certificate
from sails.sessions import MetricsReader, Session, TrainSpec, waiting
from sails.sessions.spec import spec_as_json
from sails.sessions.status import Status
from tests.support.folders import CONFIG, make_model, make_onnx
from tests.support.malformed import DOCUMENTS, malformed

ALL = os.environ.get("SAILS_MALFORMED") == "all"
SAMPLE, SLOW_SAMPLE = 25, 2  # files for each reader in the short run
MAX_SECONDS = 10.0  # of processor time, for one file
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ID = "20260102-030405-first"
ROWS = [{"input": f"What is {n}?", "output": f"It is the number {n}.", "score": n} for n in range(6)]
CHAT = [
    {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So it is."}]}
] * 2


@dataclass
class Kind:
    """A file of some kind: where it lies in a folder, whole, and who reads it."""

    path: str
    content: bytes
    read: Callable[[Path], object]  # the folder
    slow: bool = False


def _workspace(folder: Path) -> Workspace:
    return Workspace.open(folder / "w")


def _session(folder: Path) -> Session:
    return Session(folder / "w" / "sessions" / ID)


def _read_session(folder: Path) -> object:
    session = _session(folder)
    with suppress(SailsError):
        session.written_spec(), session.written_status()
    return session.spec(), session.status(), sessions.read_history(_workspace(folder))


def _read_journal(folder: Path) -> object:
    target = folder / "w" / "trained_model"
    resolve(target)
    recover_folder(target)
    assert not journal_of(target).exists()
    return list_versions(_workspace(folder))


def _read_model(folder: Path) -> object:
    model = folder / "w" / "trained_model"
    foreign_model(model)
    with suppress(ValueError, RecursionError):  # as it says
        safetensors_header(model / "model.safetensors")
    return inspect_model(model)


def _open_exported(folder: Path) -> object:
    from sails.onnx.runtime.tokenizer import Reader

    reader = Reader.open(folder / "w" / "onnx_model")
    return reader.render("Why?"), reader.context_length


def _open_graph(folder: Path) -> object:
    from sails.onnx.runtime.decoder import Decoder

    return Decoder(folder / "w" / "onnx_model" / "model.onnx")


def _json(content: object) -> bytes:
    return json.dumps(content).encode()


def _lines(rows: list[dict[str, object]]) -> bytes:
    return b"".join(_json(row) + b"\n" for row in rows)


def _zip(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name.replace("__", "."), content)
    return packed.getvalue()


def _xlsx() -> bytes:
    import openpyxl

    book, content = openpyxl.Workbook(), io.BytesIO()
    for row in (("input", "output"), *((row["input"], row["output"]) for row in ROWS)):
        book.active.append(row)
    book.save(content)
    return content.getvalue()


def _docx() -> bytes:
    import docx

    document, content = docx.Document(), io.BytesIO()
    for row in ROWS:
        document.add_paragraph(f"Q: {row['input']}")
        document.add_paragraph(f"A: {row['output']}")
    document.save(content)
    return content.getvalue()


def _parquet() -> bytes:
    import pyarrow.parquet

    content = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), content)
    return content.getvalue()


def _arrow() -> bytes:
    import pyarrow

    content, table = io.BytesIO(), pyarrow.Table.from_pylist(ROWS)
    with pyarrow.ipc.new_file(content, table.schema) as file:
        file.write_table(table)
    return content.getvalue()


def _onnx() -> bytes:
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("input_ids", "logits")]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["input_ids"], ["logits"])], "g", ends[:1], ends[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.metadata_props.add(key="author", value="somebody")
    return model.SerializeToString()


def _tokenizer() -> bytes:
    from tokenizers import Tokenizer, models

    return Tokenizer(models.WordLevel({"why": 0, "<eos>": 1}, unk_token="why")).to_str().encode()


def _table(separator: str) -> bytes:
    return "\n".join(separator.join(map(str, row)) for row in (ROWS[0], *(r.values() for r in ROWS))).encode()


def _conversations(name: str, content: bytes, in_process: bool = True) -> Kind:
    read = parse if in_process else sandbox.read
    return Kind(name, content, lambda folder: read(folder / name), slow=not in_process)


TEMPLATE = "{% for message in messages %}{{ message['content'] }}{{ eos_token }}{% endfor %}"
SESSION, MODEL, ONNX = f"w/sessions/{ID}", "w/trained_model", "w/onnx_model"
SPEC = TrainSpec(
    id=ID, name="first", created=NOW, dataset="d", rows=6, trained_model=Path("/w/t"), onnx_model=Path("/w/o")
)
EXPORT = {"source_fingerprint": "a" * 16, "opset": 17, "created": NOW.isoformat(), "files": {"model.onnx": 4}}
JOURNAL = {
    "candidate": f"sessions/{ID}/model",
    "staged": ".trained_model.staged-x.999999-1",
    "previous": ".trained_model.previous-x.999999-1",
    "keep": "versions/x",
}
REPORT = {"name": "d", "source": "d.csv", "fingerprint": "a", "rows": 6, "left_out": 0, "refused": 0}
REPORT |= {"duplicates": 0, "encoding": "utf-8", "format": "csv", "quality": {"grade": "good"}}
KINDS: dict[str, Callable[[], Kind]] = {
    "conversations in JSON": lambda: _conversations("a.json", _json(ROWS)),
    "conversations in JSON Lines": lambda: _conversations("a.jsonl", _lines(CHAT)),
    "conversations in CSV": lambda: _conversations("a.csv", _table(",")),
    "conversations in TSV": lambda: _conversations("a.tsv", _table("\t")),
    "conversations in YAML": lambda: _conversations("a.yaml", b"- input: Why?\n  output: So it is.\n" * 4),
    "conversations in text": lambda: _conversations("a.txt", b"Q: Why?\nA: So it is.\n\n" * 4),
    "conversations in Markdown": lambda: _conversations("a.md", b"# Why is it?\n\nSo it is.\n\n" * 4),
    "conversations in Excel": lambda: _conversations("a.xlsx", _xlsx()),
    "conversations in Word": lambda: _conversations("a.docx", _docx()),
    "conversations in gzip": lambda: _conversations("a.jsonl.gz", zlib.compress(_lines(ROWS), wbits=31)),
    "conversations in a zip": lambda: _conversations(
        "a.zip", _zip(a__jsonl=_lines(ROWS), b__csv=_table(","))
    ),
    "conversations in Parquet": lambda: _conversations("a.parquet", _parquet(), in_process=False),
    "conversations in Arrow": lambda: _conversations("a.arrow", _arrow(), in_process=False),
    "clean rows": lambda: Kind("a.jsonl", _lines(ROWS), lambda folder: data.read_jsonl(folder / "a.jsonl")),
    "the register": lambda: Kind("heldout", b"held " + b"a" * 32 + b" s\n", _register),
    "a dataset's report": lambda: Kind("w/datasets/d/report.json", _json(REPORT), _datasets),
    "metrics": lambda: Kind(
        "metrics.jsonl",
        _lines([{"kind": "step", "step": n, "loss": 1.5, "learning_rate": 1e-5} for n in range(4)]),
        lambda folder: MetricsReader(folder / "metrics.jsonl").read_metrics(),
    ),
    "a status": lambda: Kind(f"{SESSION}/status.json", Status().model_dump_json().encode(), _read_session),
    "a spec": lambda: Kind(f"{SESSION}/spec.json", spec_as_json(SPEC, Path("/w")).encode(), _read_session),
    "the queue": lambda: Kind("w/queue.json", _json({"waiting": [{"id": ID, "starts": 1}]}), _queue),
    "a journal": lambda: Kind("w/.trained_model.journal.json", _json(JOURNAL), _read_journal),
    "a version": lambda: Kind(
        "w/versions/v/version.json",
        _json({"fingerprint": "a", "retired": NOW.isoformat(), "pinned": False}),
        lambda folder: list_versions(_workspace(folder)),
    ),
    "weights": lambda: Kind(f"{MODEL}/model.safetensors", b"", _read_model),
    "a list of shards": lambda: Kind(
        f"{MODEL}/model.safetensors.index.json", _json({"weight_map": {"a": "1.safetensors"}}), _read_model
    ),
    "a config": lambda: Kind(f"{MODEL}/config.json", _json(CONFIG), _read_model),
    "an export's record": lambda: Kind(f"{ONNX}/export.json", _json(EXPORT), _read_onnx),
    "a certificate": lambda: Kind(
        f"{ONNX}/certificate.json", _json({"passed": True, "checks": []}), _read_onnx
    ),
    "a graph": lambda: Kind(f"{ONNX}/model.onnx", _onnx(), _open_graph),
    "a tokenizer": lambda: Kind(f"{ONNX}/tokenizer.json", _tokenizer(), _open_exported),
    "a tokenizer's settings": lambda: Kind(
        f"{ONNX}/tokenizer_config.json",
        _json({"eos_token": "<eos>", "chat_template": TEMPLATE, "model_max_length": 64}),
        _open_exported,
    ),
    "an exported config": lambda: Kind(
        f"{ONNX}/config.json", _json({"eos_token_id": [1], "max_position_embeddings": 64}), _open_exported
    ),
    "a generation config": lambda: Kind(
        f"{ONNX}/generation_config.json", _json({"eos_token_id": 1}), _open_exported
    ),
    "a chat template": lambda: Kind(f"{ONNX}/chat_template.jinja", TEMPLATE.encode(), _open_exported),
    "corrections": lambda: Kind("w/corrections.jsonl", _lines([CORRECTION]), _corrections),
    "saved questions": lambda: Kind("w/prompts.json", _json([{"id": "a", "question": "Why?"}]), _prompts),
}
CORRECTION = {
    "event": "given",
    "id": "a" * 16,
    "input": "Why?",
    "output": "So.",
    "timestamp": NOW.isoformat(),
}
CORRECTION |= {"accepted": False, "kind": "corrected", "correction": "Thus.", "who": "", "context": []}


def _register(folder: Path) -> object:
    return Register.load(folder / "heldout")


def _datasets(folder: Path) -> object:
    return [(report.grade, report.assessment()) for report in data.reports(_workspace(folder))]


def _queue(folder: Path) -> object:
    return waiting(_workspace(folder)), sessions.next_to_start(_workspace(folder))


def _read_onnx(folder: Path) -> object:
    onnx = folder / "w" / "onnx_model"
    return ExportRecord.read(onnx), inspect_onnx(onnx, "a" * 16), read_certificate(onnx)


def _corrections(folder: Path) -> object:
    return feedback.corrections(_workspace(folder))


def _prompts(folder: Path) -> object:
    return saved_prompts.prompts(_workspace(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace in which the other files are whole."""
    root = tmp_path / "w"
    session = root / "sessions" / ID
    session.mkdir(parents=True)
    (session / "spec.json").write_text(spec_as_json(SPEC, Path("/w")))
    (session / "status.json").write_text(Status().model_dump_json())
    make_model(root / "trained_model")
    onnx = make_onnx(root / "onnx_model")
    (onnx / "tokenizer.json").write_bytes(_tokenizer())
    (onnx / "tokenizer_config.json").write_bytes(_json({"eos_token": "<eos>", "chat_template": TEMPLATE}))
    (onnx / "config.json").write_bytes(_json({"eos_token_id": 1, "max_position_embeddings": 64}))
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")  # of libraries, on what they read
def test_a_malformed_file_ends_in_what_can_be_read_or_in_a_sentence(folder, kind):
    made = KINDS[kind]()
    path = folder / made.path
    content = made.content or path.read_bytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    files = list(malformed(content, seed=len(kind)))
    if not ALL:
        chance = random.Random(kind)
        files = chance.sample(files, min(len(files), SLOW_SAMPLE if made.slow else SAMPLE))
    wrong = []
    for name, damaged in files:
        path.write_bytes(damaged)
        began = time.process_time()
        error = _error_of(made, folder)
        seconds = time.process_time() - began
        is_told = isinstance(error, SailsError) and error.remedy and "\n" not in str(error)
        if seconds > MAX_SECONDS or not (error is None or is_told):
            wrong.append(f"{name}: {seconds:.1f} s, {type(error).__name__}: {str(error)[:200]}")
    assert not wrong, "\n".join((f"{len(wrong)} of {len(files)}", *wrong[:10]))


def _error_of(kind: Kind, folder: Path) -> Exception | None:
    try:
        kind.read(folder)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is looked at)
        return error
    return None


def test_there_are_hundreds_of_them():
    assert len(list(malformed(_json({"id": "a", "rows": [1, 2]}), 0))) + len(DOCUMENTS) > 150
    assert dict(malformed(b"whole", 1)) == dict(malformed(b"whole", 1))
