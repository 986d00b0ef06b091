"""Attention of training steps on a processor: plain matrix products where sequences are short.

    use_short_attention(model)

PyTorch's own (`scaled_dot_product_attention`) never holds all scores at once, which long sequences need. For
some hundred tokens its backward pass takes up to six times as long as plain products. Without gradients, on
other devices and for longer sequences the model uses PyTorch's as before.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import causal_mask_function, sdpa_mask

NAME = "short"
MAX_SCORES = 2**20  # of a layer at once; all layers keep theirs until the backward pass


def implementation(model: Any) -> str:
    """Return transformers' name of what the model calculates its attention with, short sequences aside."""
    named: str = model.config._attn_implementation
    return "sdpa" if named == NAME else named


def use_short_attention(model: Any) -> None:
    """Let `model` calculate so from now on, if it lets others calculate its attention."""
    if model.config._attn_implementation == "sdpa" and model._supports_attention_backend:
        model.set_attn_implementation(NAME)


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Return what the tokens see, (rows, tokens, heads, width of a head); as transformers calls it.

    `query`, `key` and `value` are of shape (rows, heads, tokens, width of a head), with fewer heads in the
    last two where several queries share one; `attention_mask` is true where a token (third) sees another
    (last).
    """
    rows, heads, tokens, width = query.shape
    keys, mask = key.shape[2], attention_mask
    trains = torch.is_grad_enabled() and query.requires_grad and query.device.type == "cpu"
    short = trains and not dropout and rows * heads * tokens * keys <= MAX_SCORES
    if short and mask is None and tokens == keys and getattr(module, "is_causal", True):
        mask = torch.ones(tokens, keys, dtype=torch.bool).tril()
    if not short or mask is None or mask.dtype != torch.bool:
        options = {"dropout": dropout, "scaling": scaling, **more}
        seen: torch.Tensor = sdpa_attention_forward(module, query, key, value, attention_mask, **options)[0]
        return seen, None
    key, value = (repeat_kv(part, heads // key.shape[1]) for part in (key, value))
    scores = (query * (scaling or width**-0.5)) @ key.transpose(2, 3)
    scores = scores.masked_fill(~mask[..., :keys], torch.finfo(scores.dtype).min)
    with torch.autocast("cpu", enabled=False):  # which would make them fp32 for no more than a rounding
        shares = scores.softmax(-1)
    return (shares @ value).transpose(1, 2).contiguous(), None


def padded_causal_mask(
    batch_size: int,
    cache_position: torch.Tensor,
    kv_length: int,
    kv_offset: int = 0,
    mask_function: Any = causal_mask_function,
    attention_mask: torch.Tensor | None = None,
    **options: Any,
) -> torch.Tensor | None:
    """Return what `sdpa_mask` does, and at once for a padded batch: there it takes longer than a small model.

    Shape (rows, 1, new tokens, all tokens); True where a token is seen.
    """
    whole = attention_mask is not None and attention_mask.shape[-1] == kv_length and not kv_offset
    if whole and mask_function is causal_mask_function:
        assert attention_mask is not None
        if not attention_mask.all():
            places = torch.arange(kv_length, device=cache_position.device)
            return attention_mask[:, None, None, :] & (places <= cache_position[:, None])
    mask: torch.Tensor | None = sdpa_mask(
        batch_size, cache_position, kv_length, kv_offset, mask_function, attention_mask, **options
    )
    return mask


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, padded_causal_mask)
