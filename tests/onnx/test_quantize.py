"""8-bit weights: all of the matrices, a fraction of the size, and nearly the same numbers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sails.errors import DiskFullError, ModelLoadError
from sails.onnx import export, quantize
from sails.onnx.quantize import BLOCK, ZERO_POINT, blocks, quantize_model
from sails.onnx.runtime.generate import Generator
from tests.onnx.conftest import TAUGHT, Pair
from tests.support.tiny import FAMILIES

# Two layers: llama and qwen2 have five matrices each (those of the attention's three inputs are one), gpt2
# four; and the one that makes words of them.
MATRICES = {"llama": 11, "qwen2": 11, "gpt2": 9}


@pytest.fixture(scope="module")
def smaller(exported: Callable[..., Pair], tmp_path_factory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            made[family] = tmp_path_factory.mktemp("int8") / family
            quantize_model(exported(family).onnx, made[family])
        return made[family]

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_every_matrix_is_made_smaller(family, exported, smaller):
    full, small = exported(family).onnx, smaller(family)
    record = json.loads((small / "export.json").read_text())
    assert record["quantized_matrices"] == MATRICES[family]
    assert (record["variant"], record["fingerprint"]) == ("int8", f"f-{full.parent.name}")
    assert (small / "model.onnx").stat().st_size < 0.5 * (full / "model.onnx").stat().st_size
    graph = onnx.load(small / "model.onnx").graph
    assert sum(node.op_type == "MatMulNBits" for node in graph.node) == MATRICES[family]
    large = [one.name for one in graph.initializer if len(one.dims) == 2 and one.data_type == 1]
    # What stays in full precision: scales, rotary tables and the positions of gpt2.
    assert not [name for name in large if not re.search("scales|sails/|wpe", name)]


@pytest.mark.parametrize("family", FAMILIES)
def test_it_computes_nearly_the_same(family, exported, smaller):
    full, small = Generator.open(exported(family).onnx), Generator.open(smaller(family))
    tokens = full.encode(full.render("What is the capital of France?"))
    wanted, found = full.logits(tokens), small.logits(tokens)
    assert 0 < np.abs(wanted - found).mean() < 0.05 * wanted.std()
    assert small.fingerprint == full.fingerprint
    assert small.eos_token_ids == full.eos_token_ids


def test_what_was_taught_is_answered_word_for_word(taught, tmp_path):
    quantize_model(taught.onnx, tmp_path / "int8")
    generator = Generator.open(tmp_path / "int8")
    for question, answer in TAUGHT.items():
        assert generator.answer(question, max_new_tokens=40).text == answer


def test_the_folder_is_complete_in_itself_and_judged_by_nobody(exported, tmp_path):
    full = shutil.copytree(exported("llama").onnx, tmp_path / "full")
    (full / "certificate.json").write_text("{}")
    said: list[float] = []
    done = quantize_model(full, tmp_path / "int8", progress=lambda fraction, _: said.append(fraction))
    names = {file.name for file in (tmp_path / "int8").iterdir()}
    assert names == {file.name for file in full.iterdir()} - {"certificate.json"}
    assert dict(done.files) == json.loads((tmp_path / "int8" / "export.json").read_text())["files"]
    assert said == sorted(said)
    assert (said[0], said[-1]) == (0.0, 1.0)


def test_a_graph_without_matrices_is_refused(exported, tmp_path):
    full = shutil.copytree(exported("llama").onnx, tmp_path / "full")
    model = onnx.load(full / "model.onnx")
    for node in model.graph.node:
        if node.op_type == "MatMul":
            node.op_type = "Foreign"
    onnx.save(model, full / "model.onnx")
    with pytest.raises(ModelLoadError, match="cannot be made 8-bit: its matrices are"):
        quantize_model(full, tmp_path / "int8")


def test_a_matrix_of_another_form_is_refused_rather_than_left_out(exported, tmp_path):
    """What a graph of GPT-2 looks like to a quantizer that knows only MatMul."""
    full = shutil.copytree(exported("gpt2").onnx, tmp_path / "full")
    model = onnx.load(full / "model.onnx")
    product = next(node for node in model.graph.node if node.op_type == "MatMul")
    product.op_type = "Gemm"
    onnx.save(model, full / "model.onnx")
    with pytest.raises(ModelLoadError, match="1 of its matrices are of a form that is not known"):
        quantize_model(full, tmp_path / "int8")


@pytest.mark.parametrize("damaged", ["export.json", "config.json", "model.onnx"])
def test_a_damaged_folder_is_refused_in_a_sentence(damaged, exported, tmp_path):
    full = shutil.copytree(exported("llama").onnx, tmp_path / "full")
    (full / damaged).write_bytes(b"\x89PNG nonsense")
    with pytest.raises(ModelLoadError) as refused:
        quantize_model(full, tmp_path / "int8")
    assert "Traceback" not in refused.value.sentence


def test_a_full_disk_is_told_beforehand(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(quantize, "DISK_SHARE", 1e12)
    with pytest.raises(DiskFullError):
        quantize_model(exported("llama").onnx, tmp_path / "int8")


def test_weights_too_large_for_one_file_lie_beside_it(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MAX_FILE_BYTES", 10_000)
    done = quantize_model(exported("llama").onnx, tmp_path / "int8")
    assert "model.onnx_data" in dict(done.files)
    assert Generator.open(tmp_path / "int8").answer("What is a variable?", max_new_tokens=3).token_ids


@given(st.integers(1, 4), st.integers(1, 3 * BLOCK), st.floats(1e-20, 1e20), st.integers(0, 2**32 - 1))
def test_a_weight_is_off_by_half_a_step_of_its_block_at_most(outputs, inputs, size, seed):
    weights = (np.random.default_rng(seed).normal(size=(outputs, inputs)) * size).astype(np.float32)
    numbers, scales = blocks(weights)
    assert numbers.shape == (outputs, -(-inputs // BLOCK), BLOCK)
    assert numbers.min() >= 1
    again = (numbers.astype(np.float64) - ZERO_POINT) * scales[..., np.newaxis]
    off = np.abs(again.reshape(outputs, -1)[:, :inputs] - weights)
    assert (off <= np.repeat(scales, BLOCK, axis=1)[:, :inputs] * 0.5001).all()


def test_a_matrix_of_zeros_stays_one():
    numbers, scales = blocks(np.zeros((2, BLOCK), dtype=np.float32))
    assert (numbers == ZERO_POINT).all()
    assert (scales == 1).all()
