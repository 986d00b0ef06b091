"""Attention by plain products gives what PyTorch's gives: the same answers and the same gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from sails.training import Precision, load_model
from sails.training.attention import (
    MAX_SCORES,
    NAME,
    attend,
    implementation,
    padded_causal_mask,
    use_short_attention,
)
from tests.support.tiny import make_tiny_model

LOWER = torch.ones(6, 6, dtype=torch.bool).tril()
PACKED = LOWER & torch.block_diag(torch.ones(2, 2), torch.ones(4, 4)).bool()


class Layer(nn.Module):
    """Two queries share a key, as transformers tells it."""

    num_key_value_groups = 2
    is_causal = True


def gradients(function, precision, mask, tokens=6):
    torch.manual_seed(0)
    states = [torch.randn(2, heads, tokens, 8, requires_grad=True) for heads in (4, 2, 2)]
    with precision.autocast():
        seen, _ = function(Layer(), *states, mask, scaling=0.3)
    (seen.float() ** 2).sum().backward()
    return [seen, *(state.grad for state in states)]


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("mask", [None, LOWER[None, None], PACKED[None, None].expand(2, 1, 6, 6)])
def test_plain_products_give_what_pytorch_gives(mask, bf16):
    precision = Precision("cpu", bf16)
    near = {"rtol": 0.05, "atol": 0.1} if bf16 else {}
    for ours, theirs in zip(
        gradients(attend, precision, mask), gradients(sdpa_attention_forward, precision, mask), strict=True
    ):
        torch.testing.assert_close(ours, theirs, **near)


def kinds_of_backward(tokens, *, training=True):
    states = [torch.randn(1, 4, tokens, 8, requires_grad=training) for _ in range(3)]
    seen, _ = attend(Layer(), states[0], states[1][:, :2], states[2][:, :2], None)
    kinds, left = set(), [seen.grad_fn]
    while left:
        if node := left.pop():
            kinds.add(type(node).__name__)
            left += [before for before, _ in node.next_functions]
    return kinds


def test_only_short_sequences_that_are_trained_go_that_way():
    longest = int((MAX_SCORES / 4) ** 0.5)
    assert "SoftmaxBackward0" in kinds_of_backward(longest)
    assert "SoftmaxBackward0" not in kinds_of_backward(longest + 1)
    assert kinds_of_backward(6, training=False) == set()


def test_a_model_in_training_uses_it_and_is_saved_as_it_was(tmp_path):
    model = load_model(make_tiny_model(tmp_path / "tiny"), "cpu")
    use_short_attention(model)
    assert model.config._attn_implementation == NAME
    assert implementation(model) == "sdpa"
    model.save_pretrained(tmp_path / "saved")
    assert NAME not in (tmp_path / "saved" / "config.json").read_text().replace('"', " ").split()


@pytest.mark.parametrize("new", [6, 2, 1], ids=lambda new: f"the last {new}")
@pytest.mark.parametrize("padding", ["none", "before", "between"])
def test_the_mask_of_a_padded_batch_is_that_of_transformers(new, padding):
    seen = torch.ones(3, 6, dtype=torch.bool)
    if padding != "none":
        seen[1, :2] = seen[2, 1:4] = False
    if padding == "between":
        seen[:, 0] = True
    for allow_is_causal_skip in (True, False):
        asked = {"batch_size": 3, "cache_position": torch.arange(6 - new, 6), "kv_length": 6}
        asked |= {"attention_mask": seen, "allow_is_causal_skip": allow_is_causal_skip}
        ours, theirs = padded_causal_mask(**asked), sdpa_mask(**asked)
        assert (ours is None) == (theirs is None)
        assert ours is None or torch.equal(ours, theirs)
