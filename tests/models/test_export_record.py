"""What an ONNX folder says of itself: written as it always was, read from whatever lies there."""

import json
import subprocess
import sys

import pytest

from sails.models.export_record import EXPORT_RECORD, ExportRecord

FULL = ExportRecord(
    fingerprint="0123456789abcdef",
    variant="int8",
    fused_attentions=0,
    quantized_matrices=7,
    block=16,
    opset=18,
    created="2026-01-05T09:15:00+00:00",
    versions={"sails": "1.0"},
    files={"model.onnx": 12, "config.json": 3},
    sha256={"model.onnx": "aa", "config.json": "bb"},
    note="Opset 30 cannot be written for this model; the export uses 18.",
)


def test_a_record_comes_back_as_it_was_written(tmp_path):
    FULL.write(tmp_path)
    assert ExportRecord.read(tmp_path) == FULL


def test_the_file_has_its_keys_in_their_order_and_none_without_a_value(tmp_path):
    ExportRecord(None, "fp32", 0, opset=18, created="now", versions={}, files={}, sha256={}).write(tmp_path)
    written = json.loads((tmp_path / EXPORT_RECORD).read_text())
    names = ["fingerprint", "variant", "fused_attentions", "opset", "created", "versions", "files", "sha256"]
    assert list(written) == names
    assert (written["fingerprint"], written["fused_attentions"]) == (None, 0)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"7", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_record_is_none(tmp_path, content):
    assert ExportRecord.read(tmp_path) is None
    (tmp_path / EXPORT_RECORD).write_bytes(content)
    assert ExportRecord.read(tmp_path) is None


def test_what_is_not_what_it_should_be_counts_as_not_recorded(tmp_path):
    wrong = {
        "fingerprint": {"a": 1},
        "variant": ["int8"],
        "opset": "x",
        "created": 5,
        "files": ["x"],
        "sha256": 1,
    }
    (tmp_path / EXPORT_RECORD).write_text(json.dumps(wrong))
    assert ExportRecord.read(tmp_path) == ExportRecord()


def test_a_size_that_is_none_and_a_digest_that_is_no_text_are_not_lost():
    found = ExportRecord.parse({"files": {"a": "big", "b": 2}, "sha256": {"a": 5, "b": None}})
    assert found.files == {"a": None, "b": 2}
    assert found.sha256 == {"a": "5", "b": None}


def test_reading_one_loads_no_library():
    code = (
        "import sys; from sails.models.export_record import ExportRecord; "
        "print([n for n in sys.modules if n.startswith('pydantic') or n.startswith('sails.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['sails.models', 'sails.models.export_record']"
