"""Certificates of faithful exports, and of exports broken on purpose, which must not pass."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from functools import cache
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
from sails.models.variants import CERTIFICATE, VARIANTS, Variant
from sails.onnx.certify import questions as asked
from sails.onnx.certify.certificate import Certificate, read_certificate
from sails.onnx.certify.questions import FIXED_PROMPTS, MAX_OWN_PROMPTS
from sails.onnx.certify.verify import verify_model
from sails.onnx.export import export_model
from sails.onnx.quantize import quantize_model
from sails.onnx.runtime.generate import Generator
from tests.onnx.conftest import TAUGHT, Pair
from tests.support.tiny import FAMILIES, make_tiny_model


def verify(
    model: Path, onnx: Path, prompts: Sequence[str] = (), *, variant: Variant = "fp32", **options: Any
) -> Certificate:
    """One variant; how much memory it takes is not measured."""
    answers = [TAUGHT.get(prompt, "") for prompt in prompts]
    options = {"memory": False, "new_tokens": 12} | options
    return verify_model(model, {variant: onnx}, prompts, answers, **options)[variant]


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
    certificate = verify(pair.model, pair.onnx, list(TAUGHT), write=True)
    assert not certificate.passed
    assert any("scores differ by up to" in reason for reason in certificate.reasons)
    assert any("of the next words" in reason for reason in certificate.reasons)
    assert any("answers differ, the first to “" in reason for reason in certificate.reasons)
    assert certificate.identical_answers < certificate.prompts
    assert not read_certificate(pair.onnx).passed


def test_a_matrix_that_is_one_percent_off_fails(pair: Pair) -> None:
    change_weights(pair.onnx / "model.onnx", lambda weights: weights * np.float32(1.01), "MatMul")
    certificate = verify(pair.model, pair.onnx, [], new_tokens=4)
    assert not certificate.passed
    assert "scores differ by up to" in certificate.reasons[0]


def test_a_single_weight_that_is_no_number_fails(pair: Pair) -> None:
    def change(weights: np.ndarray) -> np.ndarray:
        weights[0, 0] = np.nan
        return weights

    change_weights(pair.onnx / "model.onnx", change, "MatMul")
    certificate = verify(pair.model, pair.onnx, [], new_tokens=4, write=True)
    assert not certificate.passed
    assert "A model computes values that are not numbers." in certificate.reasons
    assert strict_json((pair.onnx / CERTIFICATE).read_text())["passed"] is False


def test_a_model_with_infinite_scores_fails(pair: Pair) -> None:
    change_weights(pair.onnx / "model.onnx", lambda weights: np.full_like(weights, 1e38), "MatMul")
    assert not verify(pair.model, pair.onnx, [], new_tokens=4).passed


# --- 8-bit ----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def rounded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Pair], Pair]:
    """The same model with 8-bit weights."""

    @cache
    def make(pair: Pair) -> Pair:
        folder = tmp_path_factory.mktemp("int8") / "int8"
        quantize_model(pair.onnx, folder)
        return Pair(pair.model, folder)

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_a_faithful_8_bit_model_passes(
    exported: Callable[..., Pair], rounded: Callable[[Pair], Pair], family: str
) -> None:
    pair = rounded(exported(family))
    certificate = verify(pair.model, pair.onnx, list(TAUGHT), variant="int8")
    assert certificate.passed, certificate.reasons
    assert certificate.variant == "int8"
    assert 0 < certificate.mean_share < 0.05
    assert certificate.known_answers == len(TAUGHT)
    assert abs(certificate.loss_difference) < 0.01


def test_a_taught_8_bit_model_passes(taught: Pair, rounded: Callable[[Pair], Pair]) -> None:
    certificate = verify(taught.model, rounded(taught).onnx, list(TAUGHT), variant="int8")
    assert certificate.passed, certificate.reasons
    assert certificate.loss < 0.1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("fault", ["matrix", "weight"])
def test_an_8_bit_model_with_one_fault_fails(
    exported: Callable[..., Pair], rounded: Callable[[Pair], Pair], tmp_path: Path, family: str, fault: str
) -> None:
    pair = rounded(exported(family))
    broken = Path(shutil.copytree(pair.onnx, tmp_path / "broken"))
    random = np.random.default_rng(0)

    def change(array: np.ndarray) -> np.ndarray:
        if fault == "matrix":
            return random.permutation(array)
        array.flat[array.size // 2] *= 100  # the scale of 32 weights of one output
        return array

    change_tensor(broken / "model.onnx", change, "mlp" if family == "gpt2" else "MatMul", fault)
    certificate = verify(pair.model, broken, list(TAUGHT), variant="int8")
    assert not certificate.passed
    assert certificate.reasons


def change_tensor(file: Path, change: Callable[[np.ndarray], np.ndarray], name: str, fault: str) -> None:
    """Applies `change` to the first 8-bit matrix whose name contains `name`, or to its scales."""
    ending = "8bit" if fault == "matrix" else "scales"
    model = onnx.load(file)
    tensor = next(t for t in model.graph.initializer if name in t.name and t.name.endswith(ending))
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor).copy()), tensor.name))
    onnx.save(model, file)


def test_a_single_weight_that_is_far_too_large_fails(pair: Pair) -> None:
    def change(weights: np.ndarray) -> np.ndarray:
        weights[3, 5] = 100 * np.abs(weights).max()
        return weights

    change_weights(pair.onnx / "model.onnx", change, "MatMul")
    assert not verify(pair.model, pair.onnx, list(TAUGHT)).passed


def test_both_variants_are_compared_in_one_go_each_with_its_own_verdict_speed_and_memory(
    taught: Pair, rounded: Callable[[Pair], Pair], tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(rounded(taught).onnx, tmp_path / "int8"))
    change_tensor(broken / "model.onnx", lambda array: array * 50, "MatMul", "weight")
    folders: dict[Variant, Path] = {"fp32": taught.onnx, "int8": broken}
    told: list[float] = []
    made = verify_model(
        taught.model, folders, list(TAUGHT), new_tokens=6, progress=lambda done, _: told.append(done)
    )
    assert {variant: made[variant].passed for variant in VARIANTS} == {"fp32": True, "int8": False}
    for certificate in made.values():
        assert min(certificate.original_bytes, certificate.bytes) > 100_000
        for speed in (certificate.speed, certificate.original_speed):
            assert 0 < speed.first_token_seconds < 10
            assert speed.tokens_per_second > 0
            assert speed.memory_bytes > 20e6
        assert certificate.known_answers == 0
        assert certificate.loss is not None  # of what the original answers
    assert told == sorted(told)


def test_a_variant_that_cannot_be_loaded_is_one_sentence(taught: Pair, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="There is no ONNX model in nothing"):
        verify_model(taught.model, {"fp32": taught.onnx, "int8": tmp_path / "nothing"}, [])


def test_another_model_of_the_same_shape_fails(exported: Callable[..., Pair]) -> None:
    certificate = verify(exported("llama", True, 1).model, exported("llama").onnx, [], new_tokens=4)
    assert not certificate.passed
    assert certificate.identical_answers < certificate.prompts


def test_another_tokenizer_fails(pair: Pair) -> None:
    file = pair.onnx / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["e"] = vocabulary["e"], vocabulary["a"]
    file.write_text(json.dumps(tokenizer))
    (pair.onnx / "export.json").unlink()  # which would say how long it must be
    certificate = verify(pair.model, pair.onnx, [], new_tokens=4)
    assert not certificate.passed
    assert "tokenizer or chat template writes" in certificate.reasons[0]


def test_another_chat_template_fails(pair: Pair) -> None:
    (pair.onnx / "chat_template.jinja").write_text("{{ messages[-1].content }}")
    certificate = verify(pair.model, pair.onnx, [], new_tokens=4)
    assert not certificate.passed
    assert "tokenizer or chat template writes 8 of 8 prompts differently" in certificate.reasons[0]


def test_differing_answers_are_shown_beside_what_transformers_generates(pair: Pair) -> None:
    random = np.random.default_rng(0)
    change_weights(pair.onnx / "model.onnx", lambda weights: random.permutation(weights), "embed")
    certificate = verify(pair.model, pair.onnx, ["What is a variable?"], new_tokens=30, own_new_tokens=30)
    shown = {example.prompt: example for example in certificate.examples}
    generator, model = Generator.open(pair.onnx), AutoModelForCausalLM.from_pretrained(pair.model)
    for prompt, example in shown.items():
        if prompt == "What is my name?":  # the last message of several
            continue
        ids = torch.tensor([generator.encode(generator.render(prompt))])
        answer = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=30)
        assert example.torch == generator.decode(answer[0, ids.shape[1] :].tolist()).strip()
        assert example.onnx == generator.decode(generator.answer(prompt, max_new_tokens=30).token_ids).strip()
    assert any(example.torch != example.onnx for example in certificate.examples)


def test_two_tokens_as_good_as_equal_are_no_difference(tmp_path: Path) -> None:
    # Each odd token scores exactly like the even one before it; the export tips the balance by a hair.
    model = make_tiny_model(tmp_path / "model", "qwen2")
    weights = load_file(model / "model.safetensors")
    weights["lm_head.weight"][1::2] = weights["lm_head.weight"][::2]
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    export_model(model, tmp_path / "onnx", source_fingerprint=None)

    def tip(matrix: np.ndarray) -> np.ndarray:
        matrix[:, 1::2] *= np.float32(1 + 2e-5)
        return matrix

    change_weights(tmp_path / "onnx" / "model.onnx", tip, "MatMul")
    certificate = verify(model, tmp_path / "onnx", [])
    assert certificate.identical_answers < certificate.prompts
    assert certificate.passed, certificate.reasons


def test_settings_of_the_model_itself_do_not_disturb(exported: Callable[..., Pair], tmp_path: Path) -> None:
    model = Path(shutil.copytree(exported("llama").model, tmp_path / "model"))
    own = {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "repetition_penalty": 1.5, "eos_token_id": 2}
    (model / "generation_config.json").write_text(json.dumps(own | {"max_length": 20}))
    export_model(model, tmp_path / "onnx", source_fingerprint=None)
    assert verify(model, tmp_path / "onnx", []).passed


def test_at_most_64_own_prompts_are_compared_and_long_ones_left_out(exported: Callable[..., Pair]) -> None:
    pair = exported("gpt2")
    long = "word " * 700
    certificate = verify(pair.model, pair.onnx, [long, *["Hi"] * 100], new_tokens=2, own_new_tokens=1)
    assert certificate.own_prompts == MAX_OWN_PROMPTS - 1
    assert certificate.prompts == len(FIXED_PROMPTS) + certificate.own_prompts
    assert certificate.passed


def test_where_nothing_could_be_compared_nothing_is_certified(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "MAX_PROMPT_TOKENS", 1)
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
