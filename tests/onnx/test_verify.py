"""Certificates of faithful exports, and of exports broken on purpose, which must not pass."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from sails.errors import ModelLoadError
from sails.onnx import verify as verification
from sails.onnx.export import export
from sails.onnx.generate import Generator
from sails.onnx.verify import CERTIFICATE, FIXED_PROMPTS, MOST_PROMPTS, read_certificate, verify
from tests.onnx.conftest import TAUGHT, Pair
from tests.tiny import FAMILIES, make_tiny_model


@pytest.fixture
def pair(taught: Pair, tmp_path: Path) -> Pair:
    """A taught model and an export of its own, to be broken."""
    return Pair(taught.model, Path(shutil.copytree(taught.onnx, tmp_path / "onnx")))


def change_weights(file: Path, change: Callable[[np.ndarray], np.ndarray], name: str = "") -> None:
    """Applies `change` to the largest weight matrix of the graph whose name contains `name`."""
    model = onnx.load(file)
    matrices = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 2 and name in tensor.name]
    tensor = max(matrices, key=lambda tensor: int(np.prod(tensor.dims)))
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor).copy()), tensor.name))
    onnx.save(model, file)


def strict_json(text: str) -> Any:
    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("chat_template", [True, False])
def test_a_faithful_export_passes(exported: Callable[..., Pair], family: str, chat_template: bool) -> None:
    pair = exported(family, chat_template)
    told: list[float] = []
    certificate = verify(
        pair.model,
        pair.onnx,
        ["What is Köln?"],
        max_new_tokens=12,
        progress=lambda done, _: told.append(done),
    )
    assert certificate.reasons == ()
    assert certificate.passed
    assert 0 < certificate.mean_logit_difference < certificate.max_logit_difference < 1e-4
    assert certificate.next_token_agreement == 1.0
    assert certificate.identical_answers == certificate.prompts == len(FIXED_PROMPTS) + 1
    assert certificate.positions > 8 * certificate.prompts
    assert certificate.source_fingerprint == Generator.open(pair.onnx).fingerprint
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert not (pair.onnx / CERTIFICATE).exists()


def test_the_certificate_is_written_and_read_when_asked_for(pair: Pair) -> None:
    certificate = verify(pair.model, pair.onnx, list(TAUGHT), write=True)
    assert certificate.passed
    assert strict_json((pair.onnx / CERTIFICATE).read_text())["passed"] is True
    assert read_certificate(pair.onnx) == certificate
    (pair.onnx / CERTIFICATE).write_text("{")
    assert read_certificate(pair.onnx) is None


@pytest.mark.parametrize("matrix", ["embed", "MatMul"])
def test_one_wrong_weight_matrix_fails(pair: Pair, matrix: str) -> None:
    random = np.random.default_rng(0)
    change_weights(pair.onnx / "model.onnx", lambda weights: random.permutation(weights), matrix)
    certificate = verify(pair.model, pair.onnx, list(TAUGHT), max_new_tokens=12, write=True)
    assert not certificate.passed
    assert any("scores differ by up to" in reason for reason in certificate.reasons)
    assert any("of the next words" in reason for reason in certificate.reasons)
    assert any("answers differ, the first to “" in reason for reason in certificate.reasons)
    assert certificate.identical_answers < certificate.prompts
    assert not read_certificate(pair.onnx).passed


def test_a_matrix_that_is_one_percent_off_fails(pair: Pair) -> None:
    change_weights(pair.onnx / "model.onnx", lambda weights: weights * np.float32(1.01), "MatMul")
    certificate = verify(pair.model, pair.onnx, [], max_new_tokens=4)
    assert not certificate.passed
    assert "scores differ by up to" in certificate.reasons[0]


def test_a_single_weight_that_is_no_number_fails(pair: Pair) -> None:
    def change(weights: np.ndarray) -> np.ndarray:
        weights[0, 0] = np.nan
        return weights

    change_weights(pair.onnx / "model.onnx", change, "MatMul")
    certificate = verify(pair.model, pair.onnx, [], max_new_tokens=4, write=True)
    assert not certificate.passed
    assert "A model computes values that are not numbers." in certificate.reasons
    assert strict_json((pair.onnx / CERTIFICATE).read_text())["passed"] is False


def test_a_model_with_infinite_scores_fails(pair: Pair) -> None:
    change_weights(pair.onnx / "model.onnx", lambda weights: np.full_like(weights, 1e38), "MatMul")
    assert not verify(pair.model, pair.onnx, [], max_new_tokens=4).passed


def test_another_model_of_the_same_shape_fails(exported: Callable[..., Pair]) -> None:
    certificate = verify(exported("llama", True, 1).model, exported("llama").onnx, [], max_new_tokens=4)
    assert not certificate.passed
    assert certificate.identical_answers < certificate.prompts


def test_another_tokenizer_fails(pair: Pair) -> None:
    file = pair.onnx / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["e"] = vocabulary["e"], vocabulary["a"]
    file.write_text(json.dumps(tokenizer))
    certificate = verify(pair.model, pair.onnx, [], max_new_tokens=4)
    assert not certificate.passed
    assert "tokenizer or chat template writes" in certificate.reasons[0]


def test_another_chat_template_fails(pair: Pair) -> None:
    (pair.onnx / "chat_template.jinja").write_text("{{ messages[-1].content }}")
    certificate = verify(pair.model, pair.onnx, [], max_new_tokens=4)
    assert not certificate.passed
    assert "tokenizer or chat template writes 8 of 8 prompts differently" in certificate.reasons[0]


def test_differing_answers_are_shown_beside_what_transformers_generates(pair: Pair) -> None:
    random = np.random.default_rng(0)
    change_weights(pair.onnx / "model.onnx", lambda weights: random.permutation(weights), "embed")
    certificate = verify(pair.model, pair.onnx, ["What is a variable?"], max_new_tokens=30)
    shown = {example.prompt: example for example in certificate.examples}
    generator, model = Generator.open(pair.onnx), AutoModelForCausalLM.from_pretrained(pair.model)
    for prompt, example in shown.items():
        if prompt == "What is my name?":  # the last message of several
            continue
        ids = torch.tensor([generator.encode(generator.render(prompt))])
        answer = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=30)
        assert example.torch.strip("\ufffd") == generator.decode(answer[0, ids.shape[1] :].tolist()).strip(
            "\ufffd"
        )
        assert example.onnx == generator.answer(prompt, max_new_tokens=30).text
    assert any(example.torch != example.onnx for example in certificate.examples)


def test_two_tokens_as_good_as_equal_are_no_difference(tmp_path: Path) -> None:
    # Each odd token scores exactly like the even one before it; the export tips the balance by a hair.
    model = make_tiny_model(tmp_path / "model", "qwen2")
    weights = load_file(model / "model.safetensors")
    weights["lm_head.weight"][1::2] = weights["lm_head.weight"][::2]
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    export(model, tmp_path / "onnx", source_fingerprint=None)

    def tip(matrix: np.ndarray) -> np.ndarray:
        matrix[:, 1::2] *= np.float32(1 + 2e-5)
        return matrix

    change_weights(tmp_path / "onnx" / "model.onnx", tip, "MatMul")
    certificate = verify(model, tmp_path / "onnx", [], max_new_tokens=12)
    assert certificate.identical_answers < certificate.prompts
    assert certificate.passed, certificate.reasons


def test_settings_of_the_model_itself_do_not_disturb(exported: Callable[..., Pair], tmp_path: Path) -> None:
    model = Path(shutil.copytree(exported("llama").model, tmp_path / "model"))
    own = {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "repetition_penalty": 1.5, "eos_token_id": 2}
    (model / "generation_config.json").write_text(json.dumps(own | {"max_length": 20}))
    export(model, tmp_path / "onnx", source_fingerprint=None)
    assert verify(model, tmp_path / "onnx", [], max_new_tokens=12).passed


def test_at_most_64_prompts_are_compared_and_long_ones_left_out(exported: Callable[..., Pair]) -> None:
    pair = exported("gpt2")
    long = "word " * 700
    certificate = verify(pair.model, pair.onnx, [long, *["Hi"] * 100], max_new_tokens=1)
    assert certificate.prompts == MOST_PROMPTS - 1
    assert certificate.passed


def test_where_nothing_could_be_compared_nothing_is_certified(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "LONGEST_PROMPT", 1)
    certificate = verify(pair.model, pair.onnx, [])
    assert (certificate.passed, certificate.prompts) == (False, 0)
    assert "nothing was compared" in certificate.reasons[0]


def test_models_that_do_not_belong_together_are_refused(pair: Pair, tmp_path: Path) -> None:
    model = Path(shutil.copytree(pair.model, tmp_path / "model"))
    larger = AutoModelForCausalLM.from_pretrained(model)
    larger.resize_token_embeddings(600, mean_resizing=False)
    larger.save_pretrained(model)
    with pytest.raises(ModelLoadError, match="The ONNX model has 512 tokens and its original 600"):
        verify(model, pair.onnx, [])
    (model / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelLoadError, match="The model in model cannot be loaded"):
        verify(model, pair.onnx, [])
    (pair.onnx / "model.onnx").write_bytes(b"")
    with pytest.raises(ModelLoadError, match=r"model\.onnx is empty"):
        verify(pair.model, pair.onnx, [])
