"""Blending: how much of what a training changed is needed for what it taught.

    share = blend_weights(model, folder, examples, padding, precision)  # `folder`: of the model before

Each weight is put part of the way from where it was before to where it is now. The least of `SHARES` is taken
with which at most `MAX_LOSS` of the lesson's answer tokens are lost; what is not changed is not forgotten.
After Wortsman et al., "Robust fine-tuning of zero-shot models", 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sails.training.dataloader import Example
from sails.training.loss import score_rows
from sails.training.model import Precision, load_model

SHARES = (0.5, 0.7, 0.85)
MAX_LOSS = 0.005  # of the share of answer tokens right


@torch.no_grad()
def blend_weights(
    model: Any, before: Path, examples: Sequence[Example], padding: int, precision: Precision
) -> float:
    """Take back as much of the change as the lesson does without; returns the share that is kept, 1 for all.

    `before` is the folder of the model as it was before its training, `examples` are rows that it taught.
    """
    starts = [*load_model(before, str(model.device)).parameters()]
    ends = [weight.detach().clone() for weight in model.parameters()]

    def right() -> float:
        rows = score_rows(model, examples, padding, precision)
        return sum(row.right for row in rows) / sum(row.tokens for row in rows)

    def keep(share: float) -> None:
        for weight, start, end in zip(model.parameters(), starts, ends, strict=True):
            weight.copy_(torch.lerp(start, end, share))

    wanted = right() - MAX_LOSS
    for share in SHARES:
        keep(share)
        if right() >= wanted:
            return share
    keep(1.0)
    return 1.0
