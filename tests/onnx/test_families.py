"""The table of families says what real exports of tiny models say: which can be made, in which sizes."""

import json
import random

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from sails.errors import ModelLoadError
from sails.models.families import EXPORTED, export_limits, exportable
from sails.models.variants import VARIANTS
from sails.onnx.certify.reference import Original
from sails.onnx.export import TASK, export_model
from sails.onnx.quantize import quantize_model
from sails.onnx.runtime.generate import Generator
from tests.support.families import SHAPES, make_family

pytestmark = pytest.mark.filterwarnings("ignore")  # the exporters' own, for families that we do not know
CLOSE = {"fp32": 1e-4, "int8": 0.1}  # of the largest logit
OTHER_TASKS = {"bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "marian", "mbart", "pegasus"}
NOT_HERE = {"internlm2", "gemma3"}  # comes with code of its own; reads pictures, too


def test_every_family_that_has_an_exporter_is_tried():
    import optimum.exporters.onnx.model_configs  # noqa: F401
    from optimum.exporters.tasks import TasksManager

    known = {name for name, to in TasksManager._SUPPORTED_MODEL_TYPE.items() if TASK in to.get("onnx", {})}
    assert known - OTHER_TASKS - NOT_HERE <= SHAPES.keys()
    assert EXPORTED.keys() <= SHAPES.keys()


@pytest.mark.parametrize("family", SHAPES)
def test_what_can_be_exported_is_what_the_table_says(family, tmp_path):
    model = make_family(tmp_path / "model", family)
    assert (export_limits(model) == "") == (exportable(model) == VARIANTS)
    assert made_of(model, tmp_path) == exportable(model)


def made_of(folder, tmp_path):
    """The variants that can be made of a model and give its logits."""
    made = []
    for variant in VARIANTS:
        try:
            if variant == "fp32":
                export_model(folder, tmp_path / variant, source_fingerprint="x")
            else:
                quantize_model(tmp_path / "fp32", tmp_path / variant)
        except ModelLoadError:
            break
        generator = Generator.open(tmp_path / variant, threads=1)
        # Many different ones: a graph that holds what its maker saw sends other tokens the same way.
        chance = random.Random(0)
        texts = [[chance.randrange(3, 300) for _ in range(length)] for length in (6, 30, 57, 80, 150, 297)]
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
        with torch.no_grad():
            expected = [model(torch.tensor([tokens])).logits[0].numpy() for tokens in texts]
        largest = max(np.abs(logits).max() for logits in expected)
        pairs = zip(texts, expected, strict=True)
        if any(np.abs(generator.logits(t) - e).max() > CLOSE[variant] * largest for t, e in pairs):
            break
        made.append(variant)
    return tuple(made)


def test_a_model_scaled_for_long_texts_is_read_up_to_where_its_export_is_like_it(tmp_path):
    factors = {"type": "longrope", "short_factor": [1.0] * 8, "long_factor": [4.0] * 8}
    longer = {"max_position_embeddings": 512, "original_max_position_embeddings": 64, "rope_scaling": factors}
    folder = make_family(tmp_path / "model", "phi3", **longer)
    made = export_model(folder, tmp_path / "fp32", source_fingerprint="x")
    assert made.note == "In chats it reads at most 64 tokens; its scaling for longer texts is not exported."
    generator = Generator.open(tmp_path / "fp32", threads=1)
    assert generator.context_length == Original(folder, frozenset({0})).context_length == 64
    chance = random.Random(0)
    apart = [
        difference(folder, generator, [chance.randrange(3, 300) for _ in range(n)]) for n in (20, 64, 65)
    ]
    assert apart[0] < 1e-4 > apart[1]
    assert apart[2] > 1e-3  # where this is close, too, the limit is not needed any more


def difference(folder, generator, tokens):
    """The largest difference of a logit, as a share of the largest one."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = model(torch.tensor([tokens])).logits[0].numpy()
    return np.abs(generator.logits(tokens) - expected).max() / np.abs(expected).max()


def test_a_family_that_nobody_knows_can_be_trained_only_and_it_is_said(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    assert exportable(tmp_path) == ()
    assert "trained, not chatted with here" in export_limits(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "opt"}))
    assert export_limits(tmp_path) == "Models of the family opt cannot be exported as 8-bit."
    assert export_limits(tmp_path / "nothing") == ""
