"""Fusing attention: the same numbers from fewer nodes, with and without padding, in one go and in parts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from sails.onnx import export
from sails.onnx.fuse import Graph, fuse
from sails.onnx.runtime.generate import Generator
from tests.onnx.conftest import Pair
from tests.support.tiny import FAMILIES, make_tiny_model

ROUNDING = 1e-4
QUESTION = "What is a variable?"


@pytest.fixture(scope="module")
def unfused(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The graph of a family as optimum writes it."""

    def make(family: str) -> Path:
        folder = tmp_path_factory.mktemp(family)
        model = make_tiny_model(folder / "model", family)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(export, "_fuse", lambda *_: 0)
            export.export_model(model, folder / "onnx", source_fingerprint=None)
        return folder / "onnx"

    return make


def operators(folder: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(folder / "model.onnx").graph.node)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fused_graph_computes_the_same_with_a_fraction_of_the_nodes(family, exported, unfused):
    before, after = unfused(family), exported(family).onnx
    assert json.loads((after / "export.json").read_text())["fused_attentions"] == 2  # one a layer
    assert operators(after)["GroupQueryAttention"] == 2
    assert operators(after).total() < operators(before).total() / 3
    plain, fused = Generator.open(before), Generator.open(after)
    tokens = plain.encode(plain.render(QUESTION)) * 4
    assert np.abs(plain.logits(tokens) - fused.logits(tokens)).max() < ROUNDING
    assert plain.answer(QUESTION).token_ids == fused.answer(QUESTION).token_ids


@pytest.mark.parametrize("family", FAMILIES)
def test_a_long_prompt_may_be_read_in_parts(family, exported):
    generator = Generator.open(exported(family).onnx)
    tokens = generator.encode(generator.render(QUESTION)) * 3
    whole = generator.logits(tokens)
    half = len(tokens) // 2
    first, past = generator.decoder.step(tokens[:half], generator.decoder.empty_past(), 0)
    second, _ = generator.decoder.step(tokens[half:], past, half)
    assert np.abs(np.concatenate([first, second]) - whole).max() < ROUNDING


@pytest.mark.parametrize("family", FAMILIES)
def test_new_keys_and_values_are_written_behind_the_old_ones(family, exported):
    decoder = Generator.open(exported(family).onnx).decoder
    _, past = decoder.step([5, 6, 7, 8], decoder.empty_past(), 0)
    first, after = decoder.step([9], past, 4)
    assert all(after[name] is past[name] for name in past)  # nothing was copied
    decoder.step([3, 2], past, 4)  # another way on, from the same place
    again, _ = decoder.step([9], past, 4)
    assert (again == first).all()
    session = onnxruntime.InferenceSession(exported(family).onnx / "model.onnx")
    empty = {name: array[:, :, :0] for name, array in past.items()}
    _, copied = run(session, np.array([[5, 6, 7, 8]]), np.ones((1, 4), np.int64), np.arange(4)[None], empty)
    one, _ = run(session, np.array([[9]]), np.ones((1, 5), np.int64), np.array([[4]]), copied)
    assert np.abs(one[0] - first).max() < ROUNDING


def test_a_graph_that_cannot_write_in_place_is_not_asked_to(unfused):
    decoder = Generator.open(unfused("llama")).decoder
    _, past = decoder.step([5, 6, 7, 8], decoder.empty_past(), 0)
    assert {array.shape[2] for array in past.values()} == {4}


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_before_a_prompt_changes_nothing(family, exported):
    """As programs that answer several prompts at once ask: each prompt pushed to the right."""
    pair = exported(family)
    session = onnxruntime.InferenceSession(pair.onnx / "model.onnx")
    generator = Generator.open(pair.onnx)
    prompt = np.array(generator.encode(generator.render(QUESTION)))
    alone, past = generator.decoder.step(list(prompt), generator.decoder.empty_past(), 0)
    following, _ = generator.decoder.step([7], past, len(prompt))

    mask = np.ones((2, len(prompt) + 3), dtype=np.int64)
    mask[0, :3] = 0
    tokens = np.stack([np.concatenate([[0, 0, 0], prompt]), np.concatenate([prompt, [5, 6, 7]])])
    empty = {
        one.name: np.zeros([2, one.shape[1], 0, one.shape[3]], dtype=np.float32)
        for one in session.get_inputs()
        if one.name.startswith("past")
    }
    positions = np.maximum(mask.cumsum(axis=1) - 1, 0)
    padded, past = run(session, tokens, mask, positions, empty)
    assert np.abs(padded[0, 3:] - alone).max() < ROUNDING
    longer = np.concatenate([mask, np.ones((2, 1), dtype=np.int64)], axis=1)
    after, _ = run(session, np.array([[7], [7]]), longer, longer.sum(axis=1, keepdims=True) - 1, past)
    assert np.abs(after[0] - following).max() < ROUNDING


def run(session, tokens, mask, positions, past):
    feeds = {"input_ids": tokens, "attention_mask": mask, "position_ids": positions, **past}
    logits, *presents = session.run(None, feeds)
    return logits, dict(zip(past, presents, strict=True))


def test_what_was_fused_stays_as_it_is(exported: Callable[..., Pair]):
    folder = exported("llama").onnx
    graph = Graph(onnx.load(folder / "model.onnx"))
    before = operators(folder)
    assert fuse(graph, json.loads((folder / "config.json").read_text())) == 0
    assert Counter(node.op_type for node in graph.proto.node) == before


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 8}),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
        ("llama", {"model_type": "something_else"}),
    ],
)
def test_attention_of_an_unknown_form_is_left_alone(family, changes, unfused):
    folder = unfused(family)
    graph = Graph(onnx.load(folder / "model.onnx"))
    config = json.loads((folder / "config.json").read_text())
    assert fuse(graph, config | changes) == 0
    assert "GroupQueryAttention" not in {node.op_type for node in graph.proto.node}
